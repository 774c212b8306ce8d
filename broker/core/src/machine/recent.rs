//! What is remembered only while the process runs: beats, usage, refusals.
//!
//! None of it decides whether a promise holds. After a restart every open session is taken to
//! have been heard just then, so it gets a full lease and grace.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use tidegate_policy::{
    BitRate, ByteCount, RequestId, ReservationId, RuleId, SessionId, Span, Timestamp,
};

use super::rules::{Hits, RuleCount};
use super::{Machine, Note};
use crate::event::{CloseWhy, RequestMark};
use crate::refusal::Refusal;
use crate::reservation::{Reservation, State};

/// The most refusals remembered; past that the oldest goes first.
const REFUSALS_MAX: usize = 100_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    /// What became of requests by each rule.
    rules: BTreeMap<RuleId, RuleCount>,
    heard: BTreeMap<SessionId, Timestamp>,
    by_silence: BTreeSet<(Timestamp, SessionId)>,
    meters: BTreeMap<ReservationId, Meter>,
    /// For how long bytes were held back under each grant, as its holder counts it.
    held_back: BTreeMap<ReservationId, Span>,
    /// When what was reported lately is to be journaled.
    to_meter: BTreeSet<(Timestamp, ReservationId)>,
    /// Sessions that report bytes at all: of others, nobody can tell whether they move any.
    reporting: BTreeSet<SessionId>,
    /// When each grant under which nothing has moved yet is taken for one that nobody uses.
    idle: BTreeMap<ReservationId, Timestamp>,
    by_idleness: BTreeSet<(Timestamp, ReservationId)>,
    /// Transfers whose holders reported behind the end of their plans: what is left is known now.
    last_words: BTreeSet<(Timestamp, ReservationId)>,
    counts: Counts,
    /// Closed ones of which it has been counted that they were used after all.
    regretted: BTreeSet<ReservationId>,
    refusals: BTreeMap<RequestId, (RequestMark, Box<Refusal>)>,
    refusals_by_age: BTreeSet<(Timestamp, RequestId)>,
}

#[derive(Clone, Debug)]
struct Meter {
    bytes: ByteCount,
    at: Timestamp,
    rate: BitRate,
    /// When it was journaled last.
    metered_at: Option<Timestamp>,
    /// When it is to be journaled next.
    to_meter: Option<Timestamp>,
}

/// What happened since the process started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Plans that were moved.
    pub moved: u64,
    /// Reservations that were taken back because nothing moved under them.
    pub no_shows: u64,
    /// Those of them under which bytes were reported later.
    pub false_no_shows: u64,
    /// Requests for which no room was looked for, because that had taken its share of the time.
    pub not_sought: u64,
    /// Reservations that were closed for a higher priority.
    pub preempted: u64,
    /// Reservations that would have been refused, or changes of them, had the broker not only observed.
    pub observed: u64,
    /// Bytes that sessions reported as moved.
    pub used_bytes: u64,
    /// For how long they reported that their limiters held bytes back, in milliseconds.
    pub held_back_ms: u64,
}

/// Reports are journaled at most this often for one reservation.
const METER_EVERY: Span = Span::from_secs(60);

impl Recent {
    pub(super) fn heard(&self, session: SessionId) -> Option<Timestamp> {
        self.heard.get(&session).copied()
    }

    /// The open session that has been silent for longest.
    pub(super) fn most_silent(&self) -> Option<(Timestamp, SessionId)> {
        self.by_silence.first().copied()
    }

    pub(super) fn hear(&mut self, session: SessionId, at: Timestamp) {
        if let Some(before) = self.heard.insert(session, at) {
            self.by_silence.remove(&(before, session));
        }
        self.by_silence.insert((at, session));
    }

    pub(super) fn forget_session(&mut self, session: SessionId) {
        self.reporting.remove(&session);
        if let Some(at) = self.heard.remove(&session) {
            self.by_silence.remove(&(at, session));
        }
    }

    pub(super) fn used(&self, id: ReservationId) -> ByteCount {
        self.meters.get(&id).map_or(ByteCount::ZERO, |meter| meter.bytes)
    }

    pub(super) fn rates(&self) -> impl Iterator<Item = (ReservationId, u64)> {
        self.rates_behind(None)
    }

    pub(super) fn rates_behind(
        &self,
        after: Option<ReservationId>,
    ) -> impl Iterator<Item = (ReservationId, u64)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let meters = self.meters.range((from, Bound::Unbounded));
        meters.map(|(id, meter)| (*id, meter.rate.bps()))
    }

    /// A close says how many bytes moved in all.
    pub(super) fn count_last(&mut self, id: ReservationId, metered: ByteCount, used: ByteCount) {
        let known = self.used(id).max(metered);
        let more = used.bytes().saturating_sub(known.bytes());
        self.counts.used_bytes = self.counts.used_bytes.saturating_add(more);
    }

    pub(super) fn forget_meter(&mut self, id: ReservationId) {
        self.not_idle(id);
        self.no_last_word(id);
        self.held_back.remove(&id);
        if let Some(when) = self.meters.remove(&id).and_then(|meter| meter.to_meter) {
            self.to_meter.remove(&(when, id));
        }
    }

    /// The grant that is first to be taken for one that nobody uses.
    pub(super) fn most_idle(&self) -> Option<(Timestamp, ReservationId)> {
        self.by_idleness.first().copied()
    }

    /// Watches a grant, from `since` on.
    pub(super) fn watch_idle(&mut self, id: ReservationId, until: Timestamp) {
        self.not_idle(id);
        self.idle.insert(id, until);
        self.by_idleness.insert((until, id));
    }

    pub(super) fn not_idle(&mut self, id: ReservationId) {
        if let Some(until) = self.idle.remove(&id) {
            self.by_idleness.remove(&(until, id));
        }
    }

    /// The transfer whose holder reported first, of those whose plans are over.
    pub(super) fn last_word(&self) -> Option<(Timestamp, ReservationId)> {
        self.last_words.first().copied()
    }

    pub(super) fn no_last_word(&mut self, id: ReservationId) {
        self.last_words.retain(|(_, said)| *said != id);
    }

    pub(super) fn forget_reservation(&mut self, id: ReservationId) {
        self.regretted.remove(&id);
    }

    pub(super) fn reports(&self, session: SessionId) -> bool {
        self.reporting.contains(&session)
    }

    pub(super) fn count(&mut self, count: impl FnOnce(&mut Counts) -> &mut u64) {
        let counted = count(&mut self.counts);
        *counted = counted.saturating_add(1);
    }

    /// When reports are to be journaled, and for which reservations, the first first.
    pub(super) fn to_meter(&self) -> impl Iterator<Item = (Timestamp, ReservationId)> {
        self.to_meter.iter().copied()
    }

    /// What was reported has been journaled.
    pub(super) fn metered(&mut self, id: ReservationId, at: Timestamp) {
        let Some(meter) = self.meters.get_mut(&id) else { return };
        meter.metered_at = Some(at);
        if let Some(when) = meter.to_meter.take() {
            self.to_meter.remove(&(when, id));
        }
    }

    pub(super) fn refusal(&self, id: RequestId) -> Option<&(RequestMark, Box<Refusal>)> {
        self.refusals.get(&id)
    }

    fn measure(&mut self, id: ReservationId, bytes: ByteCount, metered: ByteCount, at: Timestamp) {
        let before = self.meters.get(&id);
        // A counter never falls: an old report that comes late changes nothing.
        if before.is_some_and(|meter| bytes < meter.bytes || at < meter.at) {
            return;
        }
        let rate = before.and_then(|meter| {
            let moved = bytes.bytes().saturating_sub(meter.bytes.bytes());
            // Two reports of one instant say no other rate.
            BitRate::mean(ByteCount::new(moved), at.since(meter.at)).or(Some(meter.rate))
        });
        let counted = before.map_or(metered, |meter| meter.bytes);
        let more = bytes.bytes().saturating_sub(counted.bytes());
        self.counts.used_bytes = self.counts.used_bytes.saturating_add(more);
        let metered_at = before.and_then(|meter| meter.metered_at);
        let mut to_meter = before.and_then(|meter| meter.to_meter);
        if to_meter.is_none() && metered < bytes {
            let due = metered_at.unwrap_or(at).plus(METER_EVERY).max(at);
            self.to_meter.insert((due, id));
            to_meter = Some(due);
        }
        let rate = rate.unwrap_or_default();
        self.meters.insert(id, Meter { bytes, at, rate, metered_at, to_meter });
    }

    /// A counter never falls either. What was counted before this process began is not counted again.
    fn hold_back(&mut self, found: &Reservation, total: Span) {
        let before = self.held_back.get(&found.id).copied();
        let known =
            before.unwrap_or(if found.metered == ByteCount::ZERO { Span::ZERO } else { total });
        let more = total.as_ms().saturating_sub(known.as_ms());
        self.counts.held_back_ms = self.counts.held_back_ms.saturating_add(more);
        self.held_back.insert(found.id, known.max(total));
    }

    /// Bytes are reported under a grant that has been closed: if nothing had moved under it, that
    /// was wrong.
    fn count_rules(&mut self, hits: &Hits) {
        let one = |rules: &mut BTreeMap<RuleId, RuleCount>, id: &RuleId, shadow: bool| {
            let count = rules.entry(id.clone()).or_default();
            let count = if shadow { &mut count.shadow } else { &mut count.applied };
            *count = count.saturating_add(1);
        };
        hits.applied.iter().for_each(|id| one(&mut self.rules, id, false));
        hits.shadow.iter().for_each(|id| one(&mut self.rules, id, true));
    }

    pub(super) fn rule_counts(&self) -> &BTreeMap<RuleId, RuleCount> {
        &self.rules
    }

    /// Counts only for rules that there are.
    pub(super) fn forget_rules(&mut self, stays: impl Fn(&RuleId) -> bool) {
        self.rules.retain(|id, _| stays(id));
    }

    fn regret(&mut self, found: &Reservation, bytes: ByteCount) {
        let State::Closed { why: CloseWhy::NoShow, used: ByteCount::ZERO, .. } = found.state else {
            return;
        };
        if ByteCount::ZERO < bytes && self.regretted.insert(found.id) {
            self.count(|counts| &mut counts.false_no_shows);
        }
    }

    fn refuse(&mut self, mark: RequestMark, refusal: Box<Refusal>, at: Timestamp) {
        // Whoever asks again is told the same; that makes it neither younger nor two.
        if self.refusals.contains_key(&mark.id) {
            return;
        }
        self.refusals.insert(mark.id, (mark, refusal));
        self.refusals_by_age.insert((at, mark.id));
        if REFUSALS_MAX < self.refusals_by_age.len()
            && let Some((_, oldest)) = self.refusals_by_age.pop_first()
        {
            self.refusals.remove(&oldest);
        }
    }

    fn forget_refusals(&mut self, now: Timestamp, keep: Span) {
        while let Some((at, id)) = self.refusals_by_age.first().copied() {
            if now < at.plus(keep) {
                break;
            }
            self.refusals_by_age.pop_first();
            self.refusals.remove(&id);
        }
    }
}

impl Machine {
    /// Remembers something while the process runs. Notes about what is not there are dropped.
    pub fn note(&mut self, note: &Note) {
        match note {
            Note::Heard { session, at } => {
                if self.state.bound.contains_key(session) {
                    self.recent.hear(*session, *at);
                }
            }
            Note::Used { session, reservation, bytes, at } => {
                let bound = self.state.bound.get(session);
                let Some(found) = self.state.reservations.get(reservation) else { return };
                let metered = found.metered;
                if bound.is_some_and(|bound| bound.contains(reservation)) {
                    if self.recent.reporting.insert(*session) {
                        let bound = self.state.bound.get(session).cloned();
                        for id in bound.into_iter().flatten() {
                            self.watch_for_use(id, *at);
                        }
                    }
                    self.recent.measure(*reservation, *bytes, metered, *at);
                    if ByteCount::ZERO < *bytes {
                        self.recent.not_idle(*reservation);
                    }
                    let found = self.state.reservations.get(reservation);
                    if found.is_some_and(|it| it.is_last_word(*at)) {
                        self.recent.last_words.insert((*at, *reservation));
                    }
                } else if found.session == Some(*session) {
                    self.recent.regret(found, *bytes);
                }
            }
            Note::HeldBack { session, reservation, total } => {
                let bound = self.state.bound.get(session);
                if bound.is_some_and(|bound| bound.contains(reservation))
                    && let Some(found) = self.state.reservations.get(reservation)
                {
                    self.recent.hold_back(found, *total);
                }
            }
            Note::Ruled(hits) => self.recent.count_rules(hits),
            Note::RoomNotSought => self.recent.count(|counts| &mut counts.not_sought),
            Note::Refused { mark, refusal, at } => {
                let window = self.limits.request_window;
                self.recent.forget_refusals(*at, window.plus(window));
                self.recent.refuse(*mark, refusal.clone(), *at);
            }
        }
    }

    /// After a replay: every open session counts as heard now.
    pub fn resume(&mut self, now: Timestamp) {
        // What was replayed was counted when it happened.
        self.recent.counts = Counts::default();
        let open: Vec<SessionId> = self.state.bound.keys().copied().collect();
        for session in open {
            self.recent.hear(session, now);
        }
        self.live_resume(now);
    }

    /// From when it has begun, or from `now`, something has to move under a grant whose holder
    /// reports what it moves.
    pub(super) fn watch_for_use(&mut self, id: ReservationId, now: Timestamp) {
        let Some(found) = self.state.reservations.get(&id) else { return };
        let reported = found.session.is_some_and(|session| self.recent.reports(session));
        let unused = self.used(id) == ByteCount::ZERO && reported;
        if found.state == State::Confirmed && unused {
            let since = found.interval.start().max(now);
            let of_class = self.class_of(&found.owner).and_then(|class| class.no_show_grace);
            let grace = of_class.unwrap_or(self.limits.no_show_grace);
            self.recent.watch_idle(id, since.plus(grace));
        }
    }

    /// After a replay: what was heard of bytes moved, beyond what the journal has.
    pub fn resume_used(
        &mut self,
        now: Timestamp,
        heard: impl IntoIterator<Item = (ReservationId, ByteCount)>,
    ) {
        for (id, bytes) in heard {
            let found = self.state.reservations.get(&id).filter(|found| found.is_live());
            let Some(metered) = found.map(|found| found.metered) else { continue };
            if metered < bytes {
                self.recent.measure(id, bytes, metered, now);
                self.recent.not_idle(id);
            }
        }
        // It was counted when it was heard.
        self.recent.counts.used_bytes = 0;
    }

    /// Whether a request was refused, and would be told so again.
    #[must_use]
    pub fn has_refused(&self, id: RequestId) -> bool {
        self.recent.refusal(id).is_some()
    }

    /// What happened since the process started.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.recent.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Reason;

    #[test]
    fn a_refusal_that_is_told_again_is_remembered_once() {
        let at = |ms| Timestamp::from_ms(ms).unwrap();
        let mark = RequestMark { id: RequestId::from_u128(1), fingerprint: [0; 32] };
        let refusal = Refusal::bare(Reason::NoPath);
        let mut recent = Recent::default();
        recent.refuse(mark, refusal.clone().into(), at(1));
        recent.refuse(mark, refusal.into(), at(2));
        assert_eq!(recent.refusals_by_age.len(), 1);
        recent.forget_refusals(at(11), Span::from_ms(10).unwrap());
        assert_eq!(recent.refusal(mark.id), None);
    }
}

//! What is remembered only while the process runs: beats, usage, refusals.
//!
//! None of it decides whether a promise holds. After a restart every open session is taken to
//! have been heard just then, so it gets a full lease and grace.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::{BitRate, ByteCount, RequestId, ReservationId, SessionId, Span, Timestamp};

use super::{Machine, Note};
use crate::event::RequestMark;
use crate::refusal::Refusal;

/// The most refusals remembered; past that the oldest goes first.
const REFUSALS_MAX: usize = 100_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    heard: BTreeMap<SessionId, Timestamp>,
    by_silence: BTreeSet<(Timestamp, SessionId)>,
    meters: BTreeMap<ReservationId, Meter>,
    /// When what was reported lately is to be journaled.
    to_meter: BTreeSet<(Timestamp, ReservationId)>,
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
        if let Some(at) = self.heard.remove(&session) {
            self.by_silence.remove(&(at, session));
        }
    }

    pub(super) fn used(&self, id: ReservationId) -> ByteCount {
        self.meters.get(&id).map_or(ByteCount::ZERO, |meter| meter.bytes)
    }

    pub(super) fn rates(&self) -> impl Iterator<Item = (ReservationId, u64)> {
        self.meters.iter().map(|(id, meter)| (*id, meter.rate.bps()))
    }

    pub(super) fn forget_meter(&mut self, id: ReservationId) {
        if let Some(when) = self.meters.remove(&id).and_then(|meter| meter.to_meter) {
            self.to_meter.remove(&(when, id));
        }
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
        if before.is_some_and(|meter| bytes < meter.bytes || at <= meter.at) {
            return;
        }
        let rate = before.and_then(|meter| {
            let moved = bytes.bytes().saturating_sub(meter.bytes.bytes());
            BitRate::mean(ByteCount::new(moved), at.since(meter.at))
        });
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
                let found = self.state.reservations.get(reservation);
                if let Some(found) = found
                    && bound.is_some_and(|bound| bound.contains(reservation))
                {
                    self.recent.measure(*reservation, *bytes, found.metered, *at);
                }
            }
            Note::Refused { mark, refusal, at } => {
                let window = self.limits.request_window;
                self.recent.forget_refusals(*at, window.plus(window));
                self.recent.refuse(*mark, refusal.clone(), *at);
            }
        }
    }

    /// After a replay: every open session counts as heard now.
    pub fn resume(&mut self, now: Timestamp) {
        let open: Vec<SessionId> = self.state.bound.keys().copied().collect();
        for session in open {
            self.recent.hear(session, now);
        }
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

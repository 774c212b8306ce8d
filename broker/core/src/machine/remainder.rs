//! Plans what is left of a transfer anew: because somebody asks for other terms, or because its
//! bytes are behind its plan when that ends.

use tidegate_policy::{BitRate, ByteCount, Interval, ReservationId, Span, Timestamp};

use super::decide::{boxed, unchanged};
use super::modify::kept;
use super::placing::out_of_budget;
use super::room::Room;
use super::sight::{Sight, Way};
use super::wanted::{Sought, Wish};
use super::{Answer, Decision, Machine, Stamp};
use crate::command::Modify;
use crate::event::{Change, Event, MoveWhy, Moved};
use crate::fault::{Fault, FieldFault};
use crate::lane::PPM;
use crate::plan::{self, Plan};
use crate::planner::Volume;
use crate::promise::{Promise, Promised};
use crate::refusal::{CounterOffer, OfferKind};
use crate::reservation::{Reservation, State};

/// A plan that nobody waits for lasts so long at least: its holder has to hear of it, by a poke, a
/// beat and an answer, before it can be used.
const HEARD_IN: Span = match Span::from_ms(500) {
    Some(span) => span,
    None => Span::ZERO,
};

impl Machine {
    /// Changes the terms of a transfer: what is left of it is planned anew from now on.
    pub(super) fn replan(
        &self,
        stamp: Stamp,
        (found, promise): (&Reservation, &Promise),
        modify: &Modify,
    ) -> Result<Decision, Fault> {
        let now = stamp.now;
        let (what, sought) = self.new_terms(now, (found, promise), modify)?;
        if what == promise.what {
            return Ok(unchanged(boxed(found.clone())));
        }
        let ways = self.ways_within(found, &promise.ways, what.window())?;
        let mut sight = Sight::of(self).without(found, now).opened(&ways);
        let wish = Wish::Volume(sought);
        let most = self.limits.segments_max;
        // Even its holder sends under the plan before until it hears of the new one, which nobody
        // but the broker can know.
        let stops = self.stops(now, found, None);
        let room = match sight.plan_for(&ways, &wish, most) {
            Some(plan) => Some(Room { plan, moved: Vec::new() }),
            None => self.room(now, &sight, (&ways, &wish), Some((found.id, stops))),
        };
        let Some(Room { plan, moved: others }) = room else {
            let mut refusal = sight.refuse(&ways, &wish);
            refusal.offers = self.other_terms(&sight, (&ways, &sought), found, what);
            refusal.offers.retain(|offer| {
                let end = Some(offer.interval.end());
                let offered = Modify { end, volume: offer.volume, ..modify.clone() };
                self.allows_change(now, found, &offered).is_ok()
            });
            return Ok(Decision::new(Vec::new(), Answer::Refusal(refusal.into())));
        };
        let new: Vec<_> = plan.bookings().collect();
        let old: Vec<_> = found.bookings().collect();
        let kept = kept(&old, &new, (now, stops))?;
        let moved = Moved::new(found.id, now, plan.clone(), MoveWhy::Asked);
        let moved = Moved { kept, promise: Some(what), ..moved };
        let after = found.clone().moved(moved.clone());
        let over = || {
            Fault::Invalid(vec![FieldFault::new("reservation.transfer", "nothing of it is left")])
        };
        let after = after.ok_or_else(over)?;
        let moves = others.iter().map(|moved| Change::Moved(moved.clone().into()));
        let short = self.short(now, &sight, &[(Some(found), &after)]);
        if !short.is_empty() {
            return Ok(unchanged(Answer::Refusal(
                out_of_budget(&short, Some(what.window())).into(),
            )));
        }
        let moves: Vec<Change> = moves.collect();
        let whole = Sight::of(self).opened(&ways);
        let moved_fits =
            moves.is_empty() || self.leaves_quotas(now, whole, (&plan, &moves), Some(found));
        if !moved_fits || !self.may_move(now, &sight, (&moves, (Some(found), &after))) {
            let refusal = sight.refuse(&ways, &wish);
            return Ok(unchanged(Answer::Refusal(refusal.into())));
        }
        let answer = boxed(after);
        let mut events = Vec::with_capacity(others.len().saturating_add(1));
        for other in others.into_iter().chain([moved]) {
            if let Some(found) =
                self.state.reservations.get(&other.id).filter(|it| it.id != found.id)
            {
                sight.shift(found, &other);
            }
            events.push(Event { at: now, request: None, change: Change::Moved(other.into()) });
        }
        Ok(Decision::new(events, answer))
    }

    /// What the terms of a transfer could be changed to instead. The figures are those of the whole
    /// transfer, as its terms are: what has moved by plan until it takes to say so counts.
    fn other_terms(
        &self,
        sight: &Sight<'_>,
        (ways, sought): (&[Way], &Sought),
        found: &Reservation,
        what: Promised,
    ) -> Vec<CounterOffer> {
        let Promised::Volume { volume, max, window, .. } = what else { return Vec::new() };
        let moved = |from, to| Interval::new(from, to).map_or(0, |over| found.plan.carries(over));
        let (start, offered) = (sought.window.start(), sought.offered);
        let booked = self.with_margin(volume);
        // At a lower highest rate than before, less has to have moved by then.
        let meanwhile = if max < found.rate() { 0 } else { moved(start, offered) };
        let need = sought.volume.need.saturating_sub(meanwhile);
        let done = booked.saturating_sub(need);
        let left = Volume { need, ..sought.volume };
        let sought = Sought { bytes: plan::bytes(need), volume: left, ..*sought };
        let offers = sight.volume_offers(ways, &sought, self.limits.segments_max).into_iter();
        let whole = offers.filter_map(|offer| {
            let booked = plan::volume(offer.volume?).saturating_add(done);
            let less = offer.kind == OfferKind::LessInTime;
            let volume = if less { self.without_margin(booked) } else { volume };
            let interval = Interval::new(window.start(), offer.interval.end())?;
            Some(CounterOffer { volume: Some(volume), interval, ..offer })
        });
        whole.collect()
    }

    /// Another plan for a volume that is held for longer than until its plan begins, and the
    /// reservation with it: it has to fit even if it is confirmed at the last moment. `None` if it
    /// can stay where it is, or if there is no such plan.
    pub(super) fn held_until(
        &self,
        now: Timestamp,
        found: &Reservation,
        until: Timestamp,
    ) -> Option<(Moved, Reservation)> {
        let promise = found.promise.as_ref().filter(|_| found.interval.start() < until)?;
        let Promised::Volume { volume: bytes, min, max, window, split } = promise.what else {
            return None;
        };
        let window = window.from(until)?;
        let volume = Volume { need: self.with_margin(bytes), min, max, split };
        let (horizon, offered) = (window.end(), window.start());
        let wish = Wish::Volume(Sought { bytes, volume, window, horizon, offered });
        let ways = self.ways_within(found, &promise.ways, window).ok()?;
        let sight = Sight::of(self).without(found, now).opened(&ways);
        let plan = sight.plan_for(&ways, &wish, self.limits.segments_max)?;
        let what = Promised::Volume { volume: bytes, min, max, window, split };
        let moved = Moved::new(found.id, now, plan, MoveWhy::Asked);
        let moved = Moved { promise: Some(what), ..moved };
        let after = found.clone().moved(moved.clone())?;
        let short = self.short(now, &sight, &[(Some(found), &after)]);
        short.is_empty().then_some((moved, after))
    }

    /// What is promised under the new terms, and what of it is left.
    pub(super) fn new_terms(
        &self,
        now: Timestamp,
        (found, promise): (&Reservation, &Promise),
        modify: &Modify,
    ) -> Result<(Promised, Sought), Fault> {
        let Promised::Volume { volume, min, max, window, split } = promise.what else {
            return Err(Fault::Invalid(vec![FieldFault::new(
                "reservation.transfer",
                "it promises no volume",
            )]));
        };
        let mut faults = Vec::new();
        let mut fault = |field: &str, why: String| faults.push(FieldFault::new(field, why));
        let volume = modify.volume.unwrap_or(volume);
        let max = modify.rate.unwrap_or(max);
        if volume == ByteCount::ZERO {
            fault(
                "reservation.transfer.volume_bytes",
                "it is zero; release the reservation to end it".into(),
            );
        }
        if max == BitRate::ZERO {
            fault("reservation.transfer.max_bps", "it is zero; ask for at least 1 bit/s".into());
        } else if max < min {
            let why = format!("it is {max}, below the lowest rate of {min}");
            fault("reservation.transfer.max_bps", why);
        }
        if modify.start.is_some() {
            let why = "the start of a transfer stays what it is; change volume, rate or deadline";
            fault("reservation.transfer.start_time", why.into());
        }
        let deadline = modify.end.unwrap_or(window.end());
        let horizon =
            self.within_horizon(now, deadline, "reservation.transfer.deadline", &mut faults);
        let ahead = Interval::new(window.start().max(now), deadline);
        if ahead.is_none() {
            let why = format!("it is at {deadline}, and it is {now}; ask for a later one");
            faults.push(FieldFault::new("reservation.transfer.deadline", why));
        }
        let need = self.left_of(now, found, volume);
        if need == 0 && volume != ByteCount::ZERO {
            let why = "so much has moved already; ask for more, or release it";
            faults.push(FieldFault::new("reservation.transfer.volume_bytes", why));
        }
        match (ahead, Interval::new(window.start(), deadline)) {
            (Some(ahead), Some(window)) if faults.is_empty() => {
                let what = Promised::Volume { volume, min, max, window, split };
                let bytes = plan::bytes(need);
                let volume = Volume { need, min, max, split };
                let offered = ahead.start().max(now.plus(self.limits.past_start));
                Ok((what, Sought { bytes, volume, window: ahead, horizon, offered }))
            }
            _ => Err(Fault::Invalid(faults)),
        }
    }

    /// What a plan for the rest of a volume books: what its plan has not carried yet, and what its
    /// holder is behind that.
    fn left_of(&self, now: Timestamp, found: &Reservation, volume: ByteCount) -> u128 {
        let before = Interval::new(Timestamp::EPOCH, now);
        let planned = before.map_or(0, |before| found.plan.carries(before));
        let reports = found.session.is_some_and(|session| self.recent.reports(session));
        let reported = if reports { self.with_margin(self.used(found.id)) } else { u128::MAX };
        self.with_margin(volume).saturating_sub(planned.min(reported))
    }

    /// What a plan for so many bytes books.
    pub(super) fn with_margin(&self, bytes: ByteCount) -> u128 {
        let margin = u128::from(self.limits.margin_ppm).saturating_add(PPM);
        plan::volume(bytes).saturating_mul(margin).div_ceil(PPM)
    }

    /// The bytes for which a plan books so much.
    fn without_margin(&self, booked: u128) -> ByteCount {
        let margin = u128::from(self.limits.margin_ppm).saturating_add(PPM);
        plan::bytes(booked.saturating_mul(PPM).checked_div(margin).unwrap_or(0))
    }

    /// The bytes that are missing if so much is not booked, rounded up.
    pub(super) fn missing_bytes(&self, booked: u128) -> ByteCount {
        let least = self.without_margin(booked);
        let more = u64::from(self.with_margin(least) < booked);
        ByteCount::new(least.bytes().saturating_add(more))
    }

    /// What follows the end of a plan whose bytes are behind it: a plan for what is left, or for as
    /// much of it as fits by the deadline. Where nothing has moved since that was tried last, its holder may
    /// be starved: it gets twice as long, again and again, until it has moved nothing for a lease. `None` then,
    /// and if there is no such plan.
    pub(super) fn catch_up(&self, now: Timestamp, id: ReservationId) -> Option<Moved> {
        let found = self.state.reservations.get(&id)?;
        let promise = found.promise.as_ref().filter(|_| found.state == State::Confirmed)?;
        let Promised::Volume { volume, min, max, window, split } = promise.what else {
            return None;
        };
        let (used, window) = (self.used(id), Interval::new(now, window.end())?);
        let tried = found.last_move.filter(|last| last.why == MoveWhy::Lagging);
        let in_vain = tried.filter(|last| used <= last.used).map(|last| now.since(last.from));
        let heard = found.session.is_some_and(|session| self.recent.reports(session));
        let given_up = in_vain.is_some_and(|span| self.limits.lease <= span);
        if !heard || volume <= used || used == ByteCount::ZERO || given_up {
            return None;
        }
        let left = ByteCount::new(volume.bytes().saturating_sub(used.bytes()));
        let need = self.left_of(now, found, volume);
        let ways = self.ways_for(found, &promise.ways).ok()?;
        let sight = Sight::of(self).opened(&ways);
        let (horizon, offered) = (window.end(), now);
        let sought = |need, bytes| {
            let volume = Volume { need, min, max, split };
            Sought { bytes, volume, window, horizon, offered }
        };
        let most = self.limits.segments_max;
        let plan_of = |sought| sight.plan_for(&ways, &Wish::Volume(sought), most);
        // At full rate a small rest would be over before its holder has heard of it.
        let twice = in_vain.map_or(HEARD_IN, |span| span.plus(span).min(window.span()));
        let slower = need.div_ceil(u128::from(twice.as_ms()).max(1));
        let slower = u64::try_from(slower).ok().and_then(BitRate::from_bps).unwrap_or(max);
        let Sought { volume: unhurried, .. } = sought(need, left);
        let unhurried = Volume { max: slower.max(min).min(max), ..unhurried };
        let whole = plan_of(Sought { volume: unhurried, ..sought(need, left) });
        if in_vain.is_some() {
            // At its lowest rate it is over as soon as the last time: that was long enough.
            let plan = whole.filter(|_| min <= slower)?;
            return Some(Moved { used, ..Moved::new(id, now, plan, MoveWhy::Lagging) });
        }
        let whole =
            whole.or_else(|| plan_of(sought(need, left))).map(|plan| (plan, ByteCount::ZERO));
        let (plan, short) = whole.or_else(|| {
            let less = sight.most_in_time(&ways, &sought(need, left), most)?.volume?;
            let short = ByteCount::new(left.bytes().saturating_sub(less.bytes()));
            let plan: Plan = plan_of(sought(self.with_margin(less), less))?;
            Some((plan, short))
        })?;
        let moved = Moved::new(id, now, plan, MoveWhy::Lagging);
        Some(Moved { short, used, ..moved })
    }
}

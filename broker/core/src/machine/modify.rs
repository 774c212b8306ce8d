//! Decides changes of a reservation in one step: what it books itself is not in its way, and what
//! its holder may still be sending under the terms before stays booked until it must have stopped.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::{Interval, ReservationId, SessionId, Span, Timestamp};

use super::decide::{boxed, happens, unchanged};
use super::placing::out_of_budget;
use super::sight::{Placed, Sight, Way};
use super::wanted::{Wanted, Wish};
use super::{Answer, Decision, Machine, Stamp};
use crate::command::{Modify, Ways};
use crate::event::{Booked, Change, Event, Kept, Modified, Route};
use crate::fault::{Fault, FieldFault};
use crate::lane::LaneName;
use crate::owner::Account;
use crate::plan::Plan;
use crate::promise::Promised;
use crate::refusal::{OfferKind, Reason, Refusal};
use crate::reservation::{Reservation, State};
use crate::timeline::Timeline;

/// So many pieces may stay booked of earlier terms: each change leaves two on a lane at most, and
/// somebody who shaves a little off again and again leaves a staircase.
const KEPT_MAX: usize = 1024;

/// The terms that a change asks for.
struct Changed {
    wanted: Wanted,
    /// As it will be told, which may have begun.
    interval: Interval,
}

impl Machine {
    pub(super) fn modify(&self, stamp: Stamp, modify: &Modify) -> Result<Decision, Fault> {
        let found = self.target(&modify.target)?;
        self.check_holder(found, modify.holder)?;
        if !found.is_live() {
            let (id, state) = (found.id, found.state);
            return Err(Fault::IllegalStep { id, step: "change", state });
        }
        if let Some(reason) = found.despite {
            return self.change_observed(stamp, (found, reason), modify);
        }
        let decision = self.change(stamp, found, modify)?;
        if let Answer::Refusal(refusal) = &decision.answer
            && self.limits.observe
        {
            return self.change_despite(stamp, (found, refusal.reason), modify);
        }
        Ok(decision)
    }

    fn change(
        &self,
        stamp: Stamp,
        found: &Reservation,
        modify: &Modify,
    ) -> Result<Decision, Fault> {
        let allowed = self.allows_change(stamp.now, found, modify);
        if let Err(refusal) = allowed.and_then(|()| self.rules_allow(stamp.now, found, modify)) {
            return Ok(unchanged(Answer::Refusal(refusal.into())));
        }
        if let Some(promise) = &found.promise
            && let Promised::Volume { .. } = promise.what
        {
            return self.replan(stamp, (found, promise), modify);
        }
        let Changed { wanted, interval } = self.changed(stamp.now, found, modify)?;
        if wanted.min == found.rate() && interval == found.interval {
            return Ok(unchanged(boxed(found.clone())));
        }
        let ways = self.ways_of(found, interval.span());
        let sight = Sight::of(self).without(found, stamp.now).opened(&ways);
        let placed = of_its_own(found, &ways, &wanted).or_else(|| sight.place(&ways, &wanted));
        let Some(placed) = placed else {
            let mut refusal = sight.refuse_steady(&ways, &wanted);
            // Only what the same reservation could be changed to: at another time it is another.
            refusal.offers = sight.offers(&ways, &wanted);
            refusal.offers.retain(|offer| offer.kind == OfferKind::LowerRateNow);
            return Ok(Decision::new(Vec::new(), Answer::Refusal(refusal.into())));
        };
        let booked = placed.way.booked(placed.rate);
        let word = modify.holder.filter(|_| found.plan_version <= modify.obeyed);
        let stops = self.stops(stamp.now, found, word);
        let new: Vec<_> = booked.iter().map(|it| (&it.lane, placed.over, it.amount)).collect();
        let old: Vec<_> = found.bookings().collect();
        let kept = kept(&old, &new, (stamp.now, stops))?;
        let (id, rate, from) = (found.id, placed.rate, placed.over.start());
        let modified = Modified { id, rate, interval, from, booked, kept, despite: None };
        let after = found.clone().modified(modified.clone());
        let short = self.short(stamp.now, &sight, &[(Some(found), &after)]);
        if !short.is_empty() {
            return Ok(unchanged(Answer::Refusal(out_of_budget(&short, None).into())));
        }
        Ok(happens(stamp, Change::Modified(modified.into()), boxed(after)))
    }

    /// Changes what was only observed. It books nothing, so whoever enforces lets it have less and no more.
    fn change_observed(
        &self,
        stamp: Stamp,
        (found, reason): (&Reservation, Reason),
        modify: &Modify,
    ) -> Result<Decision, Fault> {
        let Changed { wanted, interval } = self.changed(stamp.now, found, modify)?;
        let is_less =
            wanted.max <= found.rate() && interval.within(found.interval) == Some(interval);
        match is_less || self.limits.observe {
            true => self.change_despite(stamp, (found, reason), modify),
            false => Ok(unchanged(Answer::Refusal(Refusal::bare(reason).into()))),
        }
    }

    /// What becomes of a change that would be refused where the broker only observes: it has what it asked
    /// for, as a rate that books nothing, and gives up what it had.
    fn change_despite(
        &self,
        stamp: Stamp,
        (found, reason): (&Reservation, Reason),
        modify: &Modify,
    ) -> Result<Decision, Fault> {
        let now = stamp.now;
        let (wanted, interval) = match &found.promise {
            Some(promise) if promise.what.volume().is_some() => {
                let (what, sought) = self.new_terms(now, (found, promise), modify)?;
                (Wish::Volume(sought).steady(), what.window())
            }
            _ => {
                let Changed { wanted, interval } = self.changed(now, found, modify)?;
                (wanted, interval)
            }
        };
        let old: Vec<_> = found.bookings().collect();
        let word = modify.holder.filter(|_| found.plan_version <= modify.obeyed);
        let kept = kept(&old, &[], (now, self.stops(now, found, word)))?;
        let (id, rate, from) = (found.id, wanted.min, wanted.first);
        let (booked, despite) = (Vec::new(), Some(reason));
        let modified = Modified { id, rate, interval, from, booked, kept, despite };
        let after = found.clone().modified(modified.clone());
        Ok(happens(stamp, Change::Modified(modified.into()), boxed(after)))
    }

    /// The terms that are asked for, against now.
    fn changed(
        &self,
        now: Timestamp,
        found: &Reservation,
        modify: &Modify,
    ) -> Result<Changed, Fault> {
        let mut faults = Vec::new();
        if modify.volume.is_some() {
            let why = "it promises a rate, not a volume; change its rate, start or end";
            faults.push(FieldFault::new("reservation.transfer.volume_bytes", why));
        }
        let rate = modify.rate.map_or(found.rate(), |asked| found.standing.ratio.floor(asked));
        if rate == tidegate_policy::BitRate::ZERO {
            faults.push(FieldFault::new(
                "reservation.rate_bps",
                "it is zero; release the reservation to end it",
            ));
        }
        let start = match modify.start {
            Some(_) => self.start(now, modify.start, "reservation.start_time", &mut faults),
            None => found.interval.start(),
        };
        let end = modify.end.unwrap_or(found.interval.end());
        let field = "reservation.end_time";
        let horizon = self.within_horizon(now, end, field, &mut faults);
        let interval = Interval::new(start, end);
        let ahead = interval.and_then(|interval| interval.from(now));
        if ahead.is_none() {
            let why = format!("it ends at {end}, not after its start at {start} and now, {now}");
            faults.push(FieldFault::new(field, why));
        }
        match interval.zip(ahead) {
            Some((interval, ahead)) if faults.is_empty() => {
                let (span, first) = (ahead.span(), ahead.start());
                let wanted = Wanted { min: rate, max: rate, span, first, latest: first, horizon };
                Ok(Changed { wanted, interval })
            }
            _ => Err(Fault::Invalid(faults)),
        }
    }

    /// The way that a reservation takes, as far as the topology still has it, if it lasts this long.
    pub(super) fn ways_of(&self, found: &Reservation, lasts: Span) -> Vec<Way> {
        let Some(route) = found.plan.route() else { return Vec::new() };
        let asked = match route {
            Route::Between { source, destination, via, .. } => Ways::Between {
                sources: vec![source.clone()],
                destination: destination.clone(),
                via: via.clone(),
                path: None,
            },
            Route::Lanes(lanes) => Ways::Lanes(lanes.clone()),
        };
        // What it was granted on may have left the topology, or be served by other relays: then no
        // way leads there any more.
        let long = self.state.quotas().is_long(&found.owner, lasts);
        let account = found.owner.account(found.standing.ratio, long);
        let borrows = found.standing.preemptible && found.session.is_some();
        let account = Account { borrows, ..account };
        let mut ways = self.ways(&account, &asked, found.terms).unwrap_or_default();
        ways.retain(|way| way.route.is_along(route));
        if 1 < ways.len() {
            // A controller follows the bookings: its paths differ in nothing but their lanes.
            let booked: BTreeSet<&LaneName> = found.plan.lanes().collect();
            ways.retain(|way| {
                let needs = way.needs.iter().filter(|need| need.applies(found.terms));
                needs.map(|need| &need.lane).collect::<BTreeSet<_>>() == booked
            });
        }
        ways
    }

    /// Until when the holder of a reservation may be sending under its present terms, if somebody
    /// else ends or changes them: now, unless it is a grant that is bound to a session.
    pub(super) fn stops(
        &self,
        now: Timestamp,
        found: &Reservation,
        holder: Option<SessionId>,
    ) -> Timestamp {
        let stops = match (found.state, found.session) {
            // Under a plan that may move, not even the floor is sent behind the lease.
            (State::Confirmed, Some(session)) if holder.is_none() && found.may_move() => {
                self.unheard_until(session)
            }
            (State::Confirmed, Some(session)) if holder.is_none() => self.silent_until(session),
            _ => None,
        };
        stops.unwrap_or(now).max(now)
    }

    /// What happens when the holder of a reservation says in a beat which of its plans it obeys:
    /// nothing is sent any more under an earlier one.
    #[must_use]
    pub fn settle(
        &self,
        now: Timestamp,
        session: SessionId,
        (id, plan_version): (ReservationId, u64),
    ) -> Option<Event> {
        let found = self.state.reservations.get(&id)?;
        let waits = found.kept.iter().any(|kept| now < kept.over.end())
            || matches!(found.state, State::Closed { free_from, .. } if now < free_from);
        let obeys = found.session == Some(session) && found.plan_version <= plan_version;
        let change = Change::Settled { id };
        (waits && obeys).then_some(Event { at: now, request: None, change })
    }
}

impl Reservation {
    /// The reservation under other terms.
    pub(super) fn modified(self, modified: Modified) -> Self {
        let Modified { id: _, rate, interval, from, booked, kept, despite } = modified;
        let (revision, version) = (self.revision, self.plan_version);
        // It ends as it was asked again, unless only the rest of it is other than before.
        let curtailed = self.curtailed && interval.end() == self.interval.end();
        let over = Interval::new(from, interval.end()).unwrap_or(interval);
        let route = self.plan.route().cloned().unwrap_or(Route::Lanes(Vec::new()));
        let plan = Plan::single(route, over, rate, booked);
        let mut after =
            Self { plan, promise: None, interval, from, kept, curtailed, despite, ..self };
        after.revision = revision.saturating_add(1);
        after.plan_version = version.saturating_add(1);
        if let State::Held { until } = after.state {
            after.state = State::Held { until: until.min(after.interval.end()) };
        }
        after
    }
}

/// Where it is already, if what is wanted is nowhere more than its plan has there: it needs no room,
/// however little a lane that lost capacity still has.
fn of_its_own<'w>(found: &Reservation, ways: &'w [Way], wanted: &Wanted) -> Option<Placed<'w>> {
    let over = wanted.starting(wanted.first).filter(|_| wanted.first == wanted.latest)?;
    let old: Vec<_> = found.plan.bookings().collect();
    let own = summed(&old, over);
    let has = |it: &Booked| {
        let own = own.get(&it.lane).map(|own| own.pieces(over));
        own.is_some_and(|mut own| own.all(|(_, level)| it.amount <= level))
    };
    let way = ways.iter().find(|way| way.booked(wanted.max).iter().all(has))?;
    Some(Placed { way, rate: wanted.max, over })
}

/// What has to stay booked beyond the new terms from `now` to `stops`: on each lane, what the old
/// ones book more than the new ones. Their holder sends under one of them at a time, so it is the
/// higher of the two and never their sum.
///
/// # Errors
/// [`Fault::Full`] if that is too many pieces.
pub(super) fn kept(
    old: &[(&LaneName, Interval, u64)],
    new: &[(&LaneName, Interval, u64)],
    (now, stops): (Timestamp, Timestamp),
) -> Result<Vec<Kept>, Fault> {
    let Some(while_sending) = Interval::new(now, stops) else { return Ok(Vec::new()) };
    let (before, after) = (summed(old, while_sending), summed(new, while_sending));
    let nothing = Timeline::default();
    let mut kept: Vec<Kept> = Vec::new();
    for (lane, before) in before {
        let after = after.get(lane).unwrap_or(&nothing);
        let steps = before.steps().chain(after.steps());
        let mut edges: BTreeSet<Timestamp> = steps.map(|(instant, _)| instant).collect();
        edges.extend([while_sending.start(), while_sending.end()]);
        let edges: Vec<Timestamp> = edges.into_iter().collect();
        for pair in edges.windows(2) {
            let [from, to] = pair else { continue };
            let Some(piece) = Interval::new(*from, *to) else { continue };
            let more = before.level_at(*from).saturating_sub(after.level_at(*from));
            match kept.last_mut() {
                _ if more == 0 => {}
                // Edges of the other terms that change nothing here make no two pieces of one.
                Some(Kept { lane: last, over, amount })
                    if last == lane && *amount == more && over.end() == piece.start() =>
                {
                    *over = Interval::new(over.start(), piece.end()).unwrap_or(piece);
                }
                _ => kept.push(Kept { lane: lane.clone(), over: piece, amount: more }),
            }
        }
    }
    if KEPT_MAX < kept.len() {
        let what = "pieces of what one reservation may still send under earlier terms";
        return Err(Fault::Full { what, limit: KEPT_MAX });
    }
    Ok(kept)
}

/// What bookings come to on each lane inside of `over`.
fn summed<'a>(
    bookings: &[(&'a LaneName, Interval, u64)],
    over: Interval,
) -> BTreeMap<&'a LaneName, Timeline> {
    let mut lanes: BTreeMap<&LaneName, Timeline> = BTreeMap::new();
    for (lane, when, amount) in bookings {
        if let Some(when) = when.within(over) {
            let summed = lanes.entry(lane).or_default().book(when, *amount);
            debug_assert!(summed.is_ok(), "what stands on a lane together does not overflow");
        }
    }
    lanes
}

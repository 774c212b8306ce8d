//! Shrinks flexible requests where capacity is lost, at most to their floors: nobody is closed where
//! the floors of all fit.
//!
//! Each stays on its way, at no instant with more than it had, and at no rate above the highest that
//! is left to its end. What its holder may still send under the rate before stays booked until it
//! must have stopped.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::{BitRate, Interval, ReservationId, Timestamp};

use super::Machine;
use super::capacity::{Ceiling, Loss};
use super::modify::kept;
use super::movables::plan_of;
use super::room::Mover;
use super::sight::Way;
use crate::event::{Kept, MoveWhy, Moved};
use crate::lane::LaneName;
use crate::plan::Plan;
use crate::planner::Piece;
use crate::planner::board::{Board, Profile};
use crate::promise::Promised;
use crate::reservation::Reservation;
use crate::timeline::Timeline;

/// A flexible request as it can be shrunk.
#[derive(Clone, Debug)]
pub(super) struct Flexible {
    /// The way that it is on at its end,
    way: Way,
    /// and since when: before that it stays as it is.
    pub(super) from: Timestamp,
    floor: BitRate,
    /// The floor on each lane of the way, in bits per second of that lane.
    pub(super) amounts: Vec<u64>,
}

/// One that is shrunk.
#[derive(Clone)]
struct Shrunk<'a> {
    found: &'a Reservation,
    flexible: Flexible,
    /// From when on to its end.
    over: Interval,
    /// From when on others can have what it gives up: its holder must have stopped by then.
    freed: Option<Interval>,
    stops: Timestamp,
    /// Its highest rate from then on, before.
    before: BitRate,
    /// It does not last to its end: its floor is too much at some later instant.
    is_lost: bool,
    rate: BitRate,
}

/// Those that are shrunk, oldest first, and what is promised on lanes that carry too little.
#[derive(Clone)]
pub(super) struct Squeeze<'a> {
    all: Vec<Shrunk<'a>>,
    lanes: BTreeMap<&'a LaneName, (u64, Timeline)>,
}

impl Machine {
    /// How a reservation can be shrunk: to a floor below what it has ahead, if its holder can be
    /// told and its way is still there.
    pub(super) fn shrinkable(&self, now: Timestamp, found: &Reservation) -> Option<Flexible> {
        let promise = found.promise.as_ref().filter(|_| found.session.is_some())?;
        let Promised::Span { min: floor, .. } = promise.what else { return None };
        // It may come from another way, by a move.
        let last = found.plan.segments.last()?.way;
        let on_last = found.plan.segments.iter().rev().take_while(|it| it.way == last);
        let ahead: Vec<_> = on_last.take_while(|it| now < it.over.end()).collect();
        let (own, from) = (found.plan.ways.get(last)?, ahead.last()?.over.start());
        if ahead.iter().all(|segment| segment.rate <= floor) {
            return None;
        }
        // The paths may be counted otherwise today: it is on the one that it is on.
        let mut ways = self.ways_for(found, &promise.ways.on_any_path()).ok()?;
        ways.retain(|way| {
            let books = |rate| way.booked(rate).into_iter().map(|booked| booked.amount);
            way.booked(floor).iter().map(|booked| &booked.lane).eq(&own.lanes)
                && ahead.iter().all(|it| books(it.rate).eq(it.amounts.iter().copied()))
        });
        // Its bytes get onto it as before, even if that is done with other marks today.
        let way = Way { route: own.route.clone(), ..ways.pop()? };
        let amounts = way.booked(floor).into_iter().map(|booked| booked.amount).collect();
        Some(Flexible { way, from, floor, amounts })
    }

    /// Those of `shrunk` that are not lost at the same instant, all at their floors, while `gone` are
    /// given up and those who may move have left what they have behind the freeze.
    pub(super) fn squeeze<'a>(
        &'a self,
        now: Timestamp,
        tight: &BTreeMap<&'a LaneName, &'a Ceiling>,
        displaced: &[Mover<'_>],
        (gone, shrunk): (&[Loss<'a>], Vec<(Loss<'a>, Flexible)>),
    ) -> Squeeze<'a> {
        let lost: BTreeMap<ReservationId, Timestamp> =
            gone.iter().map(|loss| (loss.reservation.id, loss.at)).collect();
        let mut all: Vec<Shrunk<'a>> = Vec::new();
        for (Loss { reservation: found, at, .. }, flexible) in shrunk {
            let lost = lost.get(&found.id);
            let over = Interval::new(at, found.interval.end());
            let Some(over) = over.filter(|_| lost.is_none_or(|lost| at < *lost)) else { continue };
            let stops = self.stops(now, found, None);
            let ahead = found.plan.segments.iter().filter(|it| it.over.overlaps(over));
            let before = ahead.map(|it| it.rate).max().unwrap_or(flexible.floor);
            let (freed, rate, is_lost) = (over.from(stops), flexible.floor, lost.is_some());
            all.push(Shrunk { found, flexible, over, freed, stops, before, is_lost, rate });
        }
        all.sort_by_key(|it| (it.found.created, it.found.id));
        let mut squeeze = Squeeze { all, lanes: BTreeMap::new() };
        if !squeeze.all.is_empty() {
            let movers: BTreeSet<_> = displaced.iter().map(|mover| mover.found.id).collect();
            let frozen = self.frozen_until(now);
            let until = |id| match movers.contains(&id) {
                true => frozen,
                false => lost.get(&id).copied().unwrap_or(Timestamp::MAX),
            };
            squeeze.count(self, (now, &until), tight);
        }
        squeeze
    }
}

impl<'a> Squeeze<'a> {
    /// Counts what is promised on the tight lanes, to each until some instant.
    fn count(
        &mut self,
        machine: &'a Machine,
        (now, until): (Timestamp, &dyn Fn(ReservationId) -> Timestamp),
        tight: &BTreeMap<&'a LaneName, &'a Ceiling>,
    ) {
        let lane = |(name, ceiling): (&&'a LaneName, &&'a Ceiling)| {
            (*name, (ceiling.capacity, ceiling.cuts.clone()))
        };
        self.lanes = tight.iter().map(lane).collect();
        let shrunk: BTreeMap<_, _> =
            self.all.iter().map(|it| (it.found.id, it.over.start())).collect();
        for found in machine.live_on(now, |lane| tight.contains_key(lane)) {
            let until = shrunk.get(&found.id).copied().unwrap_or_else(|| until(found.id));
            let Some(over) = Interval::new(now, until) else { continue };
            self.promise(&found.plan.within(over));
        }
        for place in 0..self.all.len() {
            let it = &self.all[place];
            let over = Interval::new(it.over.start(), until(it.found.id).min(it.over.end()));
            let Some(over) = over else { continue };
            let floor = it.plan(over);
            self.promise(&floor);
        }
    }

    /// Counts a plan on the tight lanes.
    pub(super) fn promise(&mut self, plan: &Plan) {
        for (lane, over, amount) in plan.bookings() {
            if let Some((_, load)) = self.lanes.get_mut(lane) {
                let booked = load.book(over, amount);
                debug_assert!(booked.is_ok(), "what is promised does not overflow");
            }
        }
    }

    /// Leaves them their floors on a board that has all of what they had.
    pub(super) fn to_floors(&self, machine: &Machine, board: &mut Board) {
        for it in self.all.iter().filter(|it| !it.is_lost) {
            it.on(machine, board, &it.found.plan, Profile::give);
            it.on(machine, board, &it.plan(it.over), Profile::take);
        }
    }

    /// Raises them as far as there is room on a board on which they have their present rates, the
    /// oldest first; whether that changes anything.
    pub(super) fn raise(&mut self, machine: &Machine, board: &mut Board) -> bool {
        let mut is_raised = false;
        for place in 0..self.all.len() {
            let it = &self.all[place];
            if it.is_lost {
                continue;
            }
            let rate = self.room(machine, board, it);
            if rate <= it.rate {
                continue;
            }
            is_raised = true;
            let before = it.plan(it.over);
            self.all[place].rate = rate;
            let it = &self.all[place];
            let after = it.plan(it.over);
            for (lane, over, amount) in after.bookings() {
                if let Some((_, load)) = self.lanes.get_mut(lane) {
                    let booked = load.book(over, amount);
                    debug_assert!(booked.is_ok(), "what fits does not overflow");
                }
            }
            for (lane, over, amount) in before.bookings() {
                if let Some((_, load)) = self.lanes.get_mut(lane) {
                    let freed = load.free(over, amount);
                    debug_assert!(freed.is_ok(), "what is freed was booked");
                }
            }
            it.on(machine, board, &after, Profile::take);
            it.on(machine, board, &before, Profile::give);
        }
        is_raised
    }

    /// The highest rate that one of them could have who has its floor now. On lanes that carry too
    /// little it is what is promised that has to fit: until they hear, its holder and others may all
    /// send more.
    fn room(&self, machine: &Machine, board: &Board, it: &Shrunk<'_>) -> BitRate {
        let (way, terms) = (&it.flexible.way, it.found.terms);
        let mut most = it.before;
        for (over, rate) in it.ahead(it.over) {
            for need in way.needs.iter().filter(|need| need.applies(terms)) {
                let own = need.amount(it.rate, terms);
                let left = match self.lanes.get(&need.lane) {
                    Some((capacity, load)) => capacity.saturating_sub(load.peak(over)),
                    None => {
                        let number = machine.movables.number(&need.lane);
                        let lane = number.and_then(|number| board.lane(number));
                        let freed = it.freed.and_then(|freed| over.within(freed));
                        freed.map_or(u64::MAX, |freed| lane.map_or(0, |lane| lane.low(freed)))
                    }
                };
                let within = need.rate_within(left.saturating_add(own), terms);
                if within < rate {
                    most = most.min(within);
                }
            }
        }
        most
    }

    /// What happens to them.
    pub(super) fn moved(&self) -> impl Iterator<Item = Moved> {
        let changed = self.all.iter().filter(|it| it.rate < it.before);
        changed.map(|it| {
            let (from, plan) = (it.over.start(), it.plan(it.over));
            let old: Vec<_> = it.found.plan.bookings().collect();
            let new: Vec<_> = plan.bookings().collect();
            // If those were too many pieces, all of what it had stays booked.
            let kept = kept(&old, &new, (from, it.stops)).unwrap_or_else(|_| {
                let sending = Interval::new(from, it.stops);
                let all = old.iter().filter_map(|(lane, over, amount)| {
                    let (lane, amount) = (LaneName::clone(lane), *amount);
                    Some(Kept { lane, over: over.within(sending?)?, amount })
                });
                all.collect()
            });
            let moved = Moved::new(it.found.id, from, plan.clone(), MoveWhy::CapacityLost);
            Moved { kept, ..moved }
        })
    }
}

impl Shrunk<'_> {
    /// What it had inside of `over`, and at which rates.
    fn ahead(&self, over: Interval) -> impl Iterator<Item = (Interval, BitRate)> {
        let segments = self.found.plan.segments.iter();
        segments.filter_map(move |it| Some((it.over.within(over)?, it.rate)))
    }

    /// Its plan inside of `over`: what it had, but at no instant more than its present rate.
    fn plan(&self, over: Interval) -> Plan {
        let piece = |(over, rate): (Interval, BitRate)| Piece { way: 0, over, rate };
        let ahead = self.ahead(over).map(|(over, rate)| piece((over, rate.min(self.rate))));
        let way = self.flexible.way.clone();
        plan_of(&[way], &ahead.collect::<Vec<_>>())
    }

    /// Does something with what a plan books on a board, once others can have it.
    fn on(
        &self,
        machine: &Machine,
        board: &mut Board,
        plan: &Plan,
        act: impl Fn(&mut Profile, Interval, u64),
    ) {
        let Some(freed) = self.freed else { return };
        for (lane, over, amount) in plan.bookings() {
            let lane = machine.movables.number(lane).and_then(|lane| board.lane_mut(lane));
            if let Some((lane, over)) = lane.zip(over.within(freed)) {
                act(lane, over, amount);
            }
        }
    }
}

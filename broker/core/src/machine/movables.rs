//! The plans that may move, as the planner sees them: derived from the ledger, never stored.
//!
//! Lanes are numbered and ways looked up once, when a plan is made and not each time room is
//! looked for.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use tidegate_policy::{Interval, ReservationId, Timestamp};

use super::Machine;
use super::sight::Way;
use crate::command::Ways;
use crate::lane::{LaneName, Terms};
use crate::owner::Account;
use crate::plan::{Plan, PlanWay, Segment, carried};
use crate::planner::replan::Job;
use crate::planner::{Fan, Need, Piece, Steady, Volume};
use crate::promise::Promised;
use crate::reservation::Reservation;

/// Numbered lanes, and every plan that may move.
#[derive(Clone, Debug, Default)]
pub(super) struct Movables {
    numbers: BTreeMap<LaneName, usize>,
    names: Vec<LaneName>,
    /// What is asked again and again is looked up once.
    known: BTreeMap<(Account, Ways, Terms), Arc<Routes>>,
    /// The seats of the plans, by identifier.
    plans: BTreeMap<ReservationId, usize>,
    seats: Vec<Option<Seat>>,
    /// Seats that nobody has.
    vacant: Vec<usize>,
    /// Whose seats have something on each lane: from the first start there to the last end, by that
    /// end.
    on: Vec<BTreeMap<(Timestamp, usize), Timestamp>>,
}

/// A plan that may move, where it is.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) id: ReservationId,
    pub(super) routes: Arc<Routes>,
    promised: Promised,
    /// When it begins.
    start: Timestamp,
    pieces: Vec<Piece>,
    /// From then on its pieces are all that it has.
    from: Timestamp,
}

/// The ways that a plan may take, with numbered lanes.
#[derive(Clone, Debug)]
pub(super) struct Routes {
    pub(super) ways: Vec<Way>,
    pub(super) fan: Arc<Fan<usize>>,
}

/// So many different questions for ways are remembered.
const KNOWN_MAX: usize = 4096;

impl Movables {
    /// Every plan that may move, in the order of their identifiers.
    pub(super) fn plans(&self) -> impl Iterator<Item = &Seat> {
        self.plans.values().filter_map(|seat| self.seat(*seat))
    }

    pub(super) fn plan(&self, id: ReservationId) -> Option<&Seat> {
        self.seat(self.number_of(id)?)
    }

    pub(super) fn number_of(&self, id: ReservationId) -> Option<usize> {
        self.plans.get(&id).copied()
    }

    pub(super) fn seat(&self, seat: usize) -> Option<&Seat> {
        self.seats.get(seat)?.as_ref()
    }

    /// How many seats there are, vacant ones included.
    pub(super) fn seats(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plans.is_empty()
    }

    /// The lanes in the order of their numbers.
    pub(super) fn lanes(&self) -> &[LaneName] {
        &self.names
    }

    /// The number of a lane that the topology has.
    pub(super) fn number(&self, lane: &LaneName) -> Option<usize> {
        self.numbers.get(lane).copied()
    }

    /// The seats of those who have something on a lane about then, and from when to when.
    pub(super) fn on(
        &self,
        lane: usize,
        over: Interval,
    ) -> impl Iterator<Item = (usize, Interval)> + use<'_> {
        let first = (over.start(), usize::MAX);
        let on = self.on.get(lane).map(|on| on.range((Excluded(first), Unbounded)));
        let begun = on.into_iter().flatten().filter(move |(_, start)| **start < over.end());
        begun.filter_map(|((end, seat), start)| Some((*seat, Interval::new(*start, *end)?)))
    }

    fn put(&mut self, seat: Seat) {
        self.forget(seat.id);
        let number = self.vacant.pop().unwrap_or(self.seats.len());
        for (lane, over) in seat.lanes() {
            if let Some(on) = self.on.get_mut(lane) {
                on.insert((over.end(), number), over.start());
            }
        }
        self.plans.insert(seat.id, number);
        match self.seats.get_mut(number) {
            Some(vacant) => *vacant = Some(seat),
            None => self.seats.push(Some(seat)),
        }
    }

    pub(super) fn forget(&mut self, id: ReservationId) {
        let Some(number) = self.plans.remove(&id) else { return };
        let Some(seat) = self.seats.get_mut(number).and_then(Option::take) else { return };
        for (lane, over) in seat.lanes() {
            if let Some(on) = self.on.get_mut(lane) {
                on.remove(&(over.end(), number));
            }
        }
        self.vacant.push(number);
    }

    /// The ways that are asked for, if they are known and there are any.
    pub(super) fn known(&self, account: &Account, asked: &Ways, terms: Terms) -> Option<&[Way]> {
        let known = self.known.get(&(account.clone(), asked.clone(), terms))?;
        Some(known.ways.as_slice()).filter(|ways| !ways.is_empty())
    }

    /// Ways with their lanes numbered, quotas included on which nobody has booked anything yet.
    fn routes(&mut self, ways: Vec<Way>) -> Routes {
        let mut numbers = Numbers::of(self);
        let routes = numbers.routes(ways);
        for name in numbers.more {
            self.numbers.insert(name.clone(), self.names.len());
            self.names.push(name);
            self.on.push(BTreeMap::new());
        }
        routes
    }
}

/// What lanes are called: those that have numbers, and those that get one for a single question.
pub(super) struct Numbers<'a> {
    movables: &'a Movables,
    more: Vec<LaneName>,
}

impl<'a> Numbers<'a> {
    pub(super) fn of(movables: &'a Movables) -> Self {
        Self { movables, more: Vec::new() }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.movables.names.len().saturating_add(self.more.len())
    }

    /// The lane of this number.
    pub(super) fn name(&self, number: usize) -> Option<&LaneName> {
        let names = &self.movables.names;
        names.get(number).or_else(|| self.more.get(number.checked_sub(names.len())?))
    }

    fn number(&mut self, lane: &LaneName) -> usize {
        let known = self.movables.number(lane);
        let more = || self.more.iter().position(|it| it == lane);
        let counted = || more().map(|place| self.movables.names.len().saturating_add(place));
        known.or_else(counted).unwrap_or_else(|| {
            self.more.push(lane.clone());
            self.count().saturating_sub(1)
        })
    }

    /// Ways with their lanes numbered.
    pub(super) fn routes(&mut self, ways: Vec<Way>) -> Routes {
        let numbered = ways.iter().map(|way| {
            let crossings = way.crossings(|lane| lane);
            crossings.map(|(lane, factor)| (self.number(lane), factor)).collect::<Vec<_>>()
        });
        let fan = Fan::of(numbered);
        Routes { ways, fan: fan.into() }
    }
}

impl Machine {
    /// Numbers the lanes that there are, quotas included, and looks the ways of all plans up anew.
    pub(super) fn renumber(&mut self) {
        let ids = self.movables.plans.keys().copied().collect();
        self.number_all(ids);
    }

    /// The same the first time.
    pub(super) fn number_first(&mut self) {
        let movable = self.state.reservations.values().filter(|found| found.is_movable());
        let ids = movable.map(|found| found.id).collect();
        self.number_all(ids);
    }

    fn number_all(&mut self, ids: Vec<ReservationId>) {
        let there = self.state.lanes.iter().filter(|(_, lane)| lane.def.is_some());
        let names: Vec<LaneName> = there.map(|(name, _)| name.clone()).collect();
        let numbers = names.iter().cloned().zip(0..).collect();
        let on = vec![BTreeMap::new(); names.len()];
        self.movables = Movables { numbers, names, on, ..Movables::default() };
        for id in ids {
            self.number(id);
        }
    }

    /// Whether the seats are those of the plans that may move, and the index says where they are.
    pub(crate) fn is_seating_sound(&self) -> bool {
        let movables = &self.movables;
        let mut movable = 0_usize;
        let mut entries = 0_usize;
        let sits = |found: &Reservation, entries: &mut usize| {
            let number = movables.number_of(found.id)?;
            let seat = movables.seat(number)?;
            let promised = found.promise.as_ref().map(|promise| promise.what);
            let is_there = (seat.pieces.clone(), seat.from) == seat.routes.pieces(&found.plan)
                && promised == Some(seat.promised);
            for (lane, over) in seat.lanes() {
                let start = movables.on.get(lane)?.get(&(over.end(), number))?;
                *entries = entries.saturating_add(usize::from(*start == over.start()));
            }
            is_there.then_some(())
        };
        for found in self.state.reservations.values().filter(|found| found.is_movable()) {
            movable = movable.saturating_add(1);
            if sits(found, &mut entries).is_none() {
                return false;
            }
        }
        movable == movables.plans.len() && entries == movables.on.iter().map(BTreeMap::len).sum()
    }

    /// Remembers the ways of a plan that may move, and where it is.
    pub(super) fn number(&mut self, id: ReservationId) {
        let Some(found) = self.state.reservations.get(&id).filter(|found| found.is_movable())
        else {
            return;
        };
        let Some(promise) = &found.promise else { return };
        let account = self.state.quotas().account(found);
        let key = (account, promise.ways.clone(), found.terms);
        let routes = match self.movables.known.get(&key) {
            Some(routes) => Arc::clone(routes),
            None => {
                // What left the topology meanwhile leads nowhere: the plan stays where it is.
                let ways = self.ways(&key.0, &promise.ways, found.terms).unwrap_or_default();
                Arc::new(self.movables.routes(ways))
            }
        };
        if KNOWN_MAX <= self.movables.known.len() {
            self.movables.known.clear();
        }
        self.movables.known.insert(key, Arc::clone(&routes));
        let seat = Seat::of(id, routes, promise.what, &found.plan);
        self.movables.put(seat);
    }
}

impl Seat {
    fn of(id: ReservationId, routes: Arc<Routes>, promised: Promised, plan: &Plan) -> Self {
        let (pieces, from) = routes.pieces(plan);
        let start = plan.interval().map_or(Timestamp::MAX, Interval::start);
        Self { id, routes, promised, start, pieces, from }
    }

    /// The job of finding what it has from `from` on another place, under the plan that it `moved`
    /// to in the same batch if it did; `None` if it may not move.
    pub(super) fn job(&self, moved: Option<&Plan>, from: Timestamp) -> Option<Job> {
        if let Some(plan) = moved {
            let Self { id, routes, promised, .. } = self.clone();
            return Self::of(id, routes, promised, plan).job(None, from);
        }
        let window = self.promised.window().from(from)?;
        let present = self.ahead(from)?;
        let need = match self.promised {
            Promised::Volume { min, max, split, .. } => {
                // What it is to carry behind the freeze, whatever was planned before it.
                let carried = present.iter().map(|piece| carried(piece.rate, piece.over));
                let need = carried.fold(0, u128::saturating_add);
                Need::Volume(Volume { need, min, max, split })
            }
            // What has begun, or will before it hears, stays.
            Promised::Span { .. } if self.start < from => return None,
            Promised::Span { min, max, span, .. } => Need::Steady(Steady { min, max, span }),
        };
        Some(Job { fan: Arc::clone(&self.routes.fan), need, window, present })
    }

    /// What it has from `from` on; `None` if some of that is on none of its ways, or books there
    /// other than it would today.
    fn ahead(&self, from: Timestamp) -> Option<Vec<Piece>> {
        (self.from <= from).then(|| self.pieces.iter().filter_map(|it| it.from(from)).collect())
    }

    /// The lanes that it is on, each from its first start to its last end there.
    fn lanes(&self) -> impl Iterator<Item = (usize, Interval)> + use<> {
        let fan = &self.routes.fan;
        let mut hulls: Vec<Option<Interval>> = vec![None; fan.lanes.len()];
        for piece in &self.pieces {
            for crossing in &fan.ways[piece.way] {
                let hull = &mut hulls[crossing.lane];
                *hull = Some(hull.map_or(piece.over, |hull| hull.hull(piece.over)));
            }
        }
        let lanes = fan.lanes.clone().into_iter().zip(hulls);
        lanes.filter_map(|(lane, hull)| Some((lane, hull?)))
    }
}

impl Routes {
    /// A plan as pieces on these ways, and from when on they are all that it has: what comes before
    /// is on none of them, or books there other than it would today.
    pub(super) fn pieces(&self, plan: &Plan) -> (Vec<Piece>, Timestamp) {
        let places: Vec<Option<usize>> = plan.ways.iter().map(|way| self.place_of(way)).collect();
        let (mut pieces, mut from) = (Vec::new(), Timestamp::EPOCH);
        for segment in &plan.segments {
            let way = places.get(segment.way).copied().flatten();
            match way.and_then(|way| self.piece(segment, way)) {
                Some(piece) => pieces.push(piece),
                None => from = from.max(segment.over.end()),
            }
        }
        (pieces, from)
    }

    /// A segment as a piece on one of these ways; `None` if it books there other than it would
    /// today.
    fn piece(&self, segment: &Segment, way: usize) -> Option<Piece> {
        let piece = Piece { way, over: segment.over, rate: segment.rate };
        let booked = self.fan.ways.get(way)?.iter().map(|it| it.factor.amount(piece.rate));
        booked.eq(segment.amounts.iter().copied()).then_some(piece)
    }

    fn place_of(&self, way: &PlanWay) -> Option<usize> {
        self.ways.iter().position(|known| {
            let mut lanes = known.needs.iter().filter(|need| need.applies(known.terms));
            known.route.is_along(&way.route) && lanes.by_ref().map(|need| &need.lane).eq(&way.lanes)
        })
    }
}

/// Pieces on ways as a plan.
pub(super) fn plan_of(ways: &[Way], pieces: &[Piece]) -> Plan {
    let mut plan = Plan { ways: Vec::new(), segments: Vec::new() };
    for way in ways {
        let needs = way.needs.iter().filter(|need| need.applies(way.terms));
        let lanes = needs.map(|need| need.lane.clone()).collect();
        plan.ways.push(PlanWay { route: way.route.clone(), lanes });
    }
    for piece in pieces {
        let Some(way) = ways.get(piece.way) else { continue };
        let needs = way.needs.iter().filter(|need| need.applies(way.terms));
        let amounts = needs.map(|need| need.amount(piece.rate, way.terms)).collect();
        let Piece { way, over, rate } = *piece;
        plan.segments.push(Segment { way, over, rate, amounts });
    }
    plan.tidy()
}

impl Way {
    /// Its lanes as `number` calls them, with what a rate books there.
    pub(super) fn crossings<'a, L>(
        &'a self,
        number: impl Fn(&'a LaneName) -> L + 'a,
    ) -> impl Iterator<Item = (L, crate::lane::Factor)> + 'a {
        self.needs.iter().filter_map(move |need| {
            need.factor(self.terms).map(|factor| (number(&need.lane), factor))
        })
    }
}

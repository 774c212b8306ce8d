//! The plans that may move, as the planner sees them: derived from the ledger, never stored.
//!
//! Lanes are numbered and ways looked up once, when a plan is made and not each time room is
//! looked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_policy::{Interval, ReservationId, Timestamp};

use super::Machine;
use super::sight::Way;
use crate::command::Ways;
use crate::lane::{LaneName, Terms};
use crate::plan::{Plan, PlanWay, Segment};
use crate::planner::{Fan, Piece};

/// Numbered lanes, and the ways of every plan that may move.
#[derive(Clone, Debug, Default)]
pub(super) struct Movables {
    numbers: BTreeMap<LaneName, usize>,
    /// What is asked again and again is looked up once.
    known: BTreeMap<(Ways, Terms), Arc<Routes>>,
    plans: BTreeMap<ReservationId, Arc<Routes>>,
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
    pub(super) fn plans(&self) -> impl Iterator<Item = (ReservationId, &Arc<Routes>)> {
        self.plans.iter().map(|(id, routes)| (*id, routes))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plans.is_empty()
    }

    /// The lanes in the order of their numbers.
    pub(super) fn lanes(&self) -> impl Iterator<Item = &LaneName> {
        self.numbers.keys()
    }

    /// The number of a lane that the topology has.
    pub(super) fn number(&self, lane: &LaneName) -> Option<usize> {
        self.numbers.get(lane).copied()
    }

    pub(super) fn forget(&mut self, id: ReservationId) {
        self.plans.remove(&id);
    }

    /// Ways with their lanes numbered.
    pub(super) fn routes(&self, ways: Vec<Way>) -> Routes {
        let number = |lane: &LaneName| self.number(lane).unwrap_or(usize::MAX);
        let fan = Fan::of(ways.iter().map(|way| way.crossings(number)));
        Routes { ways, fan: fan.into() }
    }
}

impl Machine {
    /// Numbers the lanes of the topology that stands, and looks the ways of all plans up anew.
    pub(super) fn renumber(&mut self) {
        let lanes = self.state.topology.lanes.keys().enumerate();
        let numbers = lanes.map(|(number, lane)| (lane.clone(), number)).collect();
        self.movables = Movables { numbers, ..Movables::default() };
        let movable = self.state.reservations.values().filter(|found| found.is_movable());
        let ids: Vec<ReservationId> = movable.map(|found| found.id).collect();
        for id in ids {
            self.number(id);
        }
    }

    /// Remembers the ways of a plan that may move.
    pub(super) fn number(&mut self, id: ReservationId) {
        let Some(found) = self.state.reservations.get(&id).filter(|found| found.is_movable())
        else {
            return;
        };
        let Some(promise) = &found.promise else { return };
        let key = (promise.ways.clone(), found.terms);
        let routes = match self.movables.known.get(&key) {
            Some(routes) => Arc::clone(routes),
            None => {
                // What left the topology meanwhile leads nowhere: the plan stays where it is.
                let ways = self.ways(&promise.ways, found.terms).unwrap_or_default();
                Arc::new(self.movables.routes(ways))
            }
        };
        if KNOWN_MAX <= self.movables.known.len() {
            self.movables.known.clear();
        }
        self.movables.known.insert(key, Arc::clone(&routes));
        self.movables.plans.insert(id, routes);
    }
}

impl Routes {
    /// The segments of a plan from `from` on as pieces on these ways; `None` if there is one that
    /// is on none of them, or books there other than it would today.
    pub(super) fn pieces(&self, plan: &Plan, from: Timestamp) -> Option<Vec<Piece>> {
        let places: Vec<Option<usize>> = plan.ways.iter().map(|way| self.place_of(way)).collect();
        let ahead = Interval::new(from, Timestamp::MAX)?;
        let mut pieces = Vec::with_capacity(plan.segments.len());
        for segment in &plan.segments {
            let Some(over) = segment.over.within(ahead) else { continue };
            let way = places.get(segment.way).copied().flatten()?;
            let piece = Piece { way, over, rate: segment.rate };
            let booked = self.fan.ways.get(way)?.iter().map(|it| it.factor.amount(piece.rate));
            if !booked.eq(segment.amounts.iter().copied()) {
                return None;
            }
            pieces.push(piece);
        }
        Some(pieces)
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

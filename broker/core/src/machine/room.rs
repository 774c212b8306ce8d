//! Makes room: what lies behind the freeze of plans that may move is planned anew, together with
//! a request that would be refused otherwise.
//!
//! Nothing before now, a lease and a second is touched: whoever does not hear of its new plan by
//! then has stopped by its own count, so no instant is ever given to two.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidegate_policy::{Interval, ReservationId, Timestamp};

use super::movables::{Numbers, Routes, Seat, plan_of};
use super::sight::{Sight, Way};
use super::wanted::Wish;
use super::{Machine, SILENCE_MARGIN};
use crate::event::{MoveWhy, Moved};
use crate::lane::{Lane, LaneName};
use crate::plan::Plan;
use crate::planner::Fan;
use crate::planner::board::{Board, Profile};
use crate::planner::replan::{Budget, Ground, Job, Places, replan};
use crate::reservation::Reservation;

/// Room for a request: its plan, and what moves for it.
pub(super) struct Room {
    pub(super) plan: Plan,
    pub(super) moved: Vec<Moved>,
}

/// A plan that may move, and the job of finding it a place.
pub(super) struct Mover<'a> {
    pub(super) found: &'a Reservation,
    pub(super) routes: &'a Arc<Routes>,
    pub(super) job: Job,
}

impl Machine {
    /// Room for a request among the plans that may move, `except` for one; `None` if there is none
    /// within the budget.
    pub(super) fn room(
        &self,
        now: Timestamp,
        sight: &Sight<'_>,
        (ways, wish): (&[Way], &Wish),
        except: Option<(ReservationId, Timestamp)>,
    ) -> Option<Room> {
        if !self.seeks_room || self.movables.is_empty() || ways.is_empty() {
            return None;
        }
        // What the one that makes the room may still send is nobody's.
        let from = except.map_or(now, |(_, stops)| stops).max(self.frozen_until(now));
        let except = except.map(|(id, _)| id);
        let mut numbers = Numbers::of(&self.movables);
        let newcomer = numbers.routes(ways.to_vec());
        let (need, window) = wish.need()?;
        let job = Job { fan: newcomer.fan, need, window, present: Vec::new() };
        let except = except.into_iter().collect();
        let field = Field { machine: self, sight, from, except, board: None, numbers };
        let Places { mut homeless, moved } = replan(&field, vec![job], self.budget())?;
        let plan = plan_of(ways, &homeless.pop()?);
        let moved = moved.into_iter().filter_map(|(id, pieces)| {
            let plan = plan_of(&self.movables.plan(id)?.routes.ways, &pieces);
            Some(Moved::new(id, from, plan, MoveWhy::Room))
        });
        Some(Room { plan, moved: moved.collect() })
    }

    /// Nothing before this instant moves.
    pub(super) fn frozen_until(&self, now: Timestamp) -> Timestamp {
        now.plus(self.limits.lease).plus(SILENCE_MARGIN)
    }

    pub(super) fn budget(&self) -> Budget {
        let limits = &self.limits;
        Budget {
            steps: limits.replan_steps,
            rounds: limits.replan_rounds,
            segments_max: limits.segments_max,
            among_max: limits.moves_max.saturating_mul(2),
            moves_max: limits.moves_max,
        }
    }

    /// Everything that may move from `from` on.
    pub(super) fn movers<'a>(&'a self, sight: &Sight<'_>, from: Timestamp) -> Vec<Mover<'a>> {
        let plans = self.movables.plans();
        plans.filter_map(|seat| self.mover(sight, from, seat)).collect()
    }

    fn mover<'a>(
        &'a self,
        sight: &Sight<'_>,
        from: Timestamp,
        seat: &'a Seat,
    ) -> Option<Mover<'a>> {
        let found = self.state.reservations.get(&seat.id)?;
        Some(Mover { found, routes: &seat.routes, job: seat.job(sight.moved(seat.id), from)? })
    }

    /// What is free on the lanes of some ways, with everybody where it is.
    pub(super) fn board<'f>(
        &self,
        sight: &Sight<'_>,
        fans: impl Iterator<Item = &'f Fan<usize>>,
        numbers: &Numbers<'_>,
    ) -> Board {
        let mut board = Board::new(numbers.count(), Interval::ALL);
        for lane in fans.flat_map(|fan| &fan.lanes) {
            board.open(*lane, || self.profile(sight, numbers.name(*lane), Interval::ALL));
        }
        board
    }

    /// What is free on a lane, with everybody where it is.
    fn profile(&self, sight: &Sight<'_>, name: Option<&LaneName>, over: Interval) -> Profile {
        let profile = name.and_then(|name| {
            // Also where one that stands on a drained lane may have its own again.
            let drained = self.state.lanes.get(name).is_some_and(Lane::is_drained);
            Some(sight.profile(name, over)?.closed(drained))
        });
        profile.unwrap_or_default()
    }
}

/// The plans that may move, as the planner looks at them.
pub(super) struct Field<'a> {
    pub(super) machine: &'a Machine,
    pub(super) sight: &'a Sight<'a>,
    /// Nothing before this instant moves.
    pub(super) from: Timestamp,
    /// These do not move.
    pub(super) except: BTreeSet<ReservationId>,
    /// What is free, where that is not what `sight` shows.
    pub(super) board: Option<&'a Board>,
    /// What lanes are called.
    pub(super) numbers: Numbers<'a>,
}

impl Ground for Field<'_> {
    type Name = ReservationId;

    fn lanes(&self) -> usize {
        self.numbers.count()
    }

    fn seats(&self) -> usize {
        self.machine.movables.seats()
    }

    fn profile(&self, lane: usize, over: Interval) -> Profile {
        match self.board {
            Some(board) => board.lane(lane).cloned().unwrap_or_default(),
            None => self.machine.profile(self.sight, self.numbers.name(lane), over),
        }
    }

    fn area(&self, lane: usize, over: Interval) -> u128 {
        match (self.board, self.numbers.name(lane)) {
            (Some(board), _) => board.lane(lane).map_or(0, |lane| lane.area(over)),
            (None, None) => 0,
            (None, Some(name)) => match self.sight.lane(name) {
                Some(lane) => lane.area(over),
                None => self.profile(lane, over).area(over),
            },
        }
    }

    fn on(&self, lane: usize, over: Interval) -> impl Iterator<Item = (usize, Option<Interval>)> {
        let movables = &self.machine.movables;
        let still = move |(seat, over): (usize, Interval)| {
            let seated = movables.seat(seat)?;
            // What is frozen is not there to be moved.
            let known = Some(over).filter(|over| self.from <= over.start());
            self.sight.moved(seated.id).is_none().then_some((seat, known))
        };
        // Whoever was moved by the same batch may be anywhere.
        let moved = self.sight.moved_ids().filter_map(|id| Some((movables.number_of(id)?, None)));
        movables.on(lane, over).filter_map(still).chain(moved)
    }

    fn job(&self, seat: usize) -> Option<(ReservationId, Job)> {
        let seat = self.machine.movables.seat(seat)?;
        let movable = Some(seat).filter(|seat| !self.except.contains(&seat.id));
        let job = movable?.job(self.sight.moved(seat.id), self.from)?;
        Some((seat.id, job))
    }
}

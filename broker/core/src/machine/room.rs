//! Makes room: what lies behind the freeze of plans that may move is planned anew, together with
//! a request that would be refused otherwise.
//!
//! Nothing before now, a lease and a second is touched: whoever does not hear of its new plan by
//! then has stopped by its own count, so no instant is ever given to two.

use std::sync::Arc;

use tidegate_policy::{Interval, ReservationId, Timestamp};

use super::movables::{Routes, plan_of};
use super::sight::{Sight, Way};
use super::wanted::Wish;
use super::{Machine, SILENCE_MARGIN};
use crate::event::{MoveWhy, Moved};
use crate::lane::{Lane, LaneName};
use crate::plan::Plan;
use crate::planner::board::{Board, Profile};
use crate::planner::replan::{Budget, Job, Places, replan};
use crate::planner::{Fan, Need, Steady, Volume};
use crate::promise::Promised;
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
        let newcomer = self.movables.routes(ways.to_vec());
        let (need, window) = wish.need()?;
        let mut movers = self.movers_near(sight, from, (&newcomer.fan, window));
        movers.retain(|mover| !mover.job.present.is_empty() && Some(mover.found.id) != except);
        if movers.is_empty() {
            return None;
        }
        let board = self.board(sight, now);
        let mut jobs: Vec<Job> = movers.iter().map(|mover| mover.job.clone()).collect();
        let fan = Arc::clone(&newcomer.fan);
        jobs.push(Job { fan, need, window, present: Vec::new(), homeless: true });
        let mut places = replan(&board, &jobs, self.budget())?;
        let plan = plan_of(ways, &places.pop()?);
        let moved = moves(from, &movers, &places, MoveWhy::Room);
        Some(Room { plan, moved })
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
        let movers = plans.filter_map(|(id, routes)| self.mover(sight, from, id, routes));
        movers.collect()
    }

    /// Everything that may move from `from` on; where that is more than room is looked for among,
    /// only what may cross a lane of these ways and stands in this window.
    fn movers_near<'a>(
        &'a self,
        sight: &Sight<'_>,
        from: Timestamp,
        (fan, window): (&Fan<usize>, Interval),
    ) -> Vec<Mover<'a>> {
        if self.movables.plans().count() <= self.budget().among_max {
            return self.movers(sight, from);
        }
        let mut crossed = vec![false; self.movables.lanes().count()];
        for lane in &fan.lanes {
            if let Some(crossed) = crossed.get_mut(*lane) {
                *crossed = true;
            }
        }
        let near = self.movables.plans().filter(|(id, routes)| {
            let found = self.state.reservations.get(id);
            routes.fan.lanes.iter().any(|lane| crossed.get(*lane) == Some(&true))
                && found.is_some_and(|found| found.interval.overlaps(window))
        });
        near.filter_map(|(id, routes)| self.mover(sight, from, id, routes)).collect()
    }

    fn mover<'a>(
        &'a self,
        sight: &Sight<'_>,
        from: Timestamp,
        id: ReservationId,
        routes: &'a Arc<Routes>,
    ) -> Option<Mover<'a>> {
        let found = self.state.reservations.get(&id)?;
        let promise = found.promise.as_ref()?;
        let window = promise.what.window().from(from)?;
        // As those before it in the same batch have left it.
        let plan = sight.plan(found);
        let present = routes.pieces(plan, from)?;
        let need = match promise.what {
            Promised::Volume { min, max, split, .. } => {
                let ahead = Interval::new(from, Timestamp::MAX)?;
                // What it is to carry behind the freeze, whatever was planned before it.
                Need::Volume(Volume { need: plan.carries(ahead), min, max, split })
            }
            Promised::Span { min, max, span, .. } => {
                // What has begun, or will before it hears, stays.
                if plan.interval()?.start() < from {
                    return None;
                }
                Need::Steady(Steady { min, max, span })
            }
        };
        let job = Job { fan: Arc::clone(&routes.fan), need, window, present, homeless: false };
        Some(Mover { found, routes, job })
    }

    /// What is free on every lane from `now` on, with everybody where it is.
    pub(super) fn board(&self, sight: &Sight<'_>, now: Timestamp) -> Board {
        let profile = |name: &LaneName| match sight.lane(name) {
            Some(lane) => {
                // Also where one that stands on a drained lane may have its own again.
                let drained = self.state.lanes.get(name).is_some_and(Lane::is_drained);
                Profile::new(lane.balance(now)).closed(drained)
            }
            None => Profile::new(Vec::new()),
        };
        Board { lanes: self.movables.lanes().map(profile).collect() }
    }
}

/// What changes for those who move.
fn moves(from: Timestamp, movers: &[Mover<'_>], places: &Places, why: MoveWhy) -> Vec<Moved> {
    let pairs = movers.iter().zip(places);
    let moved = pairs.filter(|(mover, pieces)| mover.job.present != **pieces);
    moved
        .map(|(mover, pieces)| {
            let plan = plan_of(&mover.routes.ways, pieces);
            Moved::new(mover.found.id, from, plan, why)
        })
        .collect()
}

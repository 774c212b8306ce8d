//! Keeps promises where capacity is lost, as far as plans that may move can keep them elsewhere; of
//! a volume that finds no place for all of it, as much as there is by its deadline.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::{ByteCount, Interval, ReservationId, Timestamp};

use super::Machine;
use super::capacity::{Ceiling, Ceilings, Loss};
use super::movables::{Numbers, plan_of};
use super::room::{Field, Mover};
use super::shrink::Squeeze;
use super::sight::Sight;
use crate::event::{Kept, MoveWhy, Moved};
use crate::lane::{Lane, LaneName};
use crate::planner::board::Board;
use crate::planner::fill::{Choice, fill, most};
use crate::planner::replan::{Job, replan, salvage};
use crate::planner::{Need, Piece, Volume};
use crate::reservation::Reservation;

/// What a loss of capacity comes to for those who may move.
pub(super) struct Salvaged {
    pub(super) moved: Vec<Moved>,
    /// Those that find no other place, with what there is for a part of them.
    pub(super) lost: BTreeMap<ReservationId, Option<Moved>>,
}

/// As much of a volume as there is a place for, and what is missing of it, in bits per second times
/// milliseconds.
type Part = (Vec<Piece>, u128);

impl Machine {
    /// Those who may move and have something to move on these lanes.
    pub(super) fn displaced(
        &self,
        from: Timestamp,
        tight: &BTreeMap<&LaneName, &Ceiling>,
    ) -> Vec<Mover<'_>> {
        let mut movers = self.movers(&Sight::of(self), from);
        movers.retain(|mover| mover.found.plan.lanes().any(|lane| tight.contains_key(lane)));
        movers
    }

    /// Finds other places for those who may move: all of them if there is a way, else as many as
    /// fit, the most urgent first. `gone` are given up, those of them who may move only what they
    /// have before the freeze. Those who are shrunk get what is left above their floors first, if
    /// all find a place then too.
    pub(super) fn salvage(
        &self,
        now: Timestamp,
        ceilings: &Ceilings,
        displaced: &[Mover<'_>],
        (gone, mut squeeze): (&[Loss<'_>], Squeeze<'_>),
    ) -> Salvaged {
        let from = self.frozen_until(now);
        let sight = Sight::of(self);
        let mut board = self.board_under(&sight, ceilings);
        let ids: BTreeSet<ReservationId> = displaced.iter().map(|mover| mover.found.id).collect();
        let hurried: BTreeSet<ReservationId> =
            gone.iter().map(|loss| loss.reservation.id).collect();
        for loss in gone.iter().filter(|loss| !ids.contains(&loss.reservation.id)) {
            self.give_back(&mut board, loss, now);
        }
        let jobs = homeless(&mut board, displaced, &hurried, now);
        squeeze.to_floors(self, &mut board);
        let found = |board: &Board| {
            let except = ids.clone();
            let numbers = Numbers::of(&self.movables);
            let field =
                Field { machine: self, sight: &sight, from, except, board: Some(board), numbers };
            replan(&field, jobs.clone(), self.budget())
        };
        let (mut raised, mut roomy) = (squeeze.clone(), board.clone());
        let is_raised = raised.raise(self, &mut roomy);
        let mut all = found(&roomy);
        if all.is_some() {
            squeeze = raised;
        } else if is_raised {
            all = found(&board);
        }
        let (places, others, mut parts) = match all {
            Some(places) => {
                let homeless: Vec<_> = places.homeless.into_iter().map(Some).collect();
                (homeless, places.moved, BTreeMap::new())
            }
            None => {
                let places = salvage(board.clone(), &jobs, &self.budget());
                let parts = self.in_part(&mut board, &jobs, &places);
                for (index, mover) in displaced.iter().enumerate() {
                    let part = parts.get(&index).map(|(pieces, _)| pieces);
                    if let Some(pieces) = places[index].as_ref().or(part) {
                        squeeze.promise(&plan_of(&mover.routes.ways, pieces));
                    }
                }
                squeeze.raise(self, &mut board);
                (places, Vec::new(), parts)
            }
        };
        let moved = squeeze.moved().collect();
        let mut salvaged = Salvaged { moved, lost: BTreeMap::new() };
        for (index, (mover, pieces)) in displaced.iter().zip(places).enumerate() {
            let at_once = hurried.contains(&mover.found.id);
            self.settle_mover((mover, pieces, parts.remove(&index)), (now, at_once), &mut salvaged);
        }
        for (id, pieces) in others {
            let Some(seat) = self.movables.plan(id) else { continue };
            let plan = plan_of(&seat.routes.ways, &pieces);
            salvaged.moved.push(Moved::new(id, from, plan, MoveWhy::CapacityLost));
        }
        salvaged
    }

    /// What becomes of one that may move: it has a place, or a part of one, or none.
    fn settle_mover(
        &self,
        (mover, pieces, part): (&Mover<'_>, Option<Vec<Piece>>, Option<Part>),
        (now, at_once): (Timestamp, bool),
        salvaged: &mut Salvaged,
    ) {
        let id = mover.found.id;
        let from = if at_once { now } else { self.frozen_until(now) };
        let moved = |pieces: &[Piece], short| {
            let plan = plan_of(&mover.routes.ways, pieces);
            let kept = if at_once { self.still_sent(mover.found, now) } else { Vec::new() };
            Moved { kept, short, ..Moved::new(id, from, plan, MoveWhy::CapacityLost) }
        };
        match pieces {
            None => {
                let part = part.map(|(pieces, missing)| {
                    let last = mover.found.last_move;
                    let before = last.map_or(ByteCount::ZERO, |last| last.short);
                    let short = self.missing_bytes(missing).bytes();
                    moved(&pieces, ByteCount::new(before.bytes().saturating_add(short)))
                });
                salvaged.lost.insert(id, part);
            }
            Some(pieces) if pieces != mover.job.present || at_once => {
                salvaged.moved.push(moved(&pieces, ByteCount::ZERO));
            }
            Some(_) => {}
        }
    }

    /// As much as there is for the volumes that find no place for all of them, the most urgent
    /// first, by the places of their jobs.
    fn in_part(
        &self,
        board: &mut Board,
        jobs: &[Job],
        places: &[Option<Vec<Piece>>],
    ) -> BTreeMap<usize, Part> {
        let mut homeless = Vec::new();
        for (index, (job, place)) in jobs.iter().zip(places).enumerate() {
            match place {
                Some(pieces) => pieces.iter().for_each(|piece| board.take(&job.fan, piece)),
                None => homeless.push((job.window.end(), index, job)),
            }
        }
        homeless.sort_by_key(|(deadline, index, _)| (*deadline, *index));
        let mut parts = BTreeMap::new();
        for (_, index, job) in homeless.into_iter().take(self.limits.moves_max) {
            if let Some(part) = self.most_on(board, job) {
                part.0.iter().for_each(|piece| board.take(&job.fan, piece));
                parts.insert(index, part);
            }
        }
        parts
    }

    /// As much of a volume as a board has by its deadline; `None` if that is nothing, or if it is
    /// no volume.
    fn most_on(&self, board: &Board, job: &Job) -> Option<Part> {
        let Need::Volume(volume) = job.need else { return None };
        let (fan, window, segments_max) = (&job.fan, job.window, self.limits.segments_max);
        let order = fan.order();
        let choice = Choice { ways: &fan.ways, order: &order, exact: true };
        let read = |lane: usize, from| board.read(fan.lanes[lane], from);
        let need = most(read, choice, (&volume, window), segments_max).min(volume.need);
        let part = Volume { need, ..volume };
        let pieces = fill(read, choice, (&part, window), segments_max, &mut 0);
        let pieces = pieces.filter(|pieces| need != 0 && !pieces.is_empty())?;
        Some((pieces, volume.need.saturating_sub(need)))
    }

    /// What a holder may still send under a plan that is replaced at once.
    fn still_sent(&self, found: &Reservation, now: Timestamp) -> Vec<Kept> {
        let until = Interval::new(now, self.stops(now, found, None));
        let ahead = found.plan.bookings().filter_map(|(lane, over, amount)| {
            Some(Kept { lane: lane.clone(), over: over.within(until?)?, amount })
        });
        ahead.collect()
    }

    /// What is free under these ceilings, with everybody where it is. A share is as much less as its lane.
    fn board_under(&self, sight: &Sight<'_>, ceilings: &Ceilings) -> Board {
        let names = self.movables.lanes();
        let mut board = Board::new(names.len(), Interval::ALL);
        for (number, name) in names.iter().enumerate() {
            let lane = sight.lane(name);
            let profile = match (lane, ceilings.get(name), self.share_under(ceilings, name)) {
                (Some(lane), Some(ceiling), _) => {
                    Some(lane.profile_under(ceiling.capacity, &ceiling.cuts))
                }
                (lane, None, Some(Ceiling { capacity, cuts, .. })) => {
                    let lane = lane.cloned().unwrap_or_default();
                    Some(lane.profile_under(capacity, &cuts).at_least_its_load())
                }
                _ => sight.profile(name, Interval::ALL),
            };
            let Some(profile) = profile else { continue };
            board.open(number, || profile.closed(lane.is_some_and(Lane::is_drained)));
        }
        board
    }

    /// What a share can carry of a lane with a ceiling.
    fn share_under(&self, ceilings: &Ceilings, name: &LaneName) -> Option<Ceiling> {
        let quota = name.as_quota()?;
        let of = ceilings.get(&LaneName::new(quota.of?))?;
        Some(of.share(self.state.quotas().part(quota)?))
    }

    /// What a loss frees, once its holder must have stopped.
    fn give_back(&self, board: &mut Board, loss: &Loss<'_>, now: Timestamp) {
        let free_from = self.stops(now, loss.reservation, None).max(loss.at);
        let Some(ahead) = Interval::new(free_from, Timestamp::MAX) else { return };
        for (lane, over, amount) in loss.reservation.plan.bookings() {
            let lane = self.movables.number(lane).and_then(|number| board.lane_mut(number));
            if let Some((lane, over)) = lane.zip(over.within(ahead)) {
                lane.give(over, amount);
            }
        }
    }
}

/// Takes those who may move off a board: what each of them has to find a place for.
fn homeless(
    board: &mut Board,
    displaced: &[Mover<'_>],
    hurried: &BTreeSet<ReservationId>,
    now: Timestamp,
) -> Vec<Job> {
    let mut jobs: Vec<Job> = displaced.iter().map(|mover| mover.job.clone()).collect();
    for (job, mover) in jobs.iter_mut().zip(displaced) {
        for piece in &job.present {
            board.give(&job.fan, piece);
        }
        // What it cannot move before the freeze either has to be moved behind it.
        if hurried.contains(&mover.found.id)
            && let Need::Volume(volume) = &mut job.need
        {
            let ahead = Interval::new(now, Timestamp::MAX);
            volume.need = ahead.map_or(volume.need, |ahead| mover.found.plan.carries(ahead));
        }
    }
    jobs
}

impl Mover<'_> {
    /// A lane that it cannot have any more.
    pub(super) fn tight_lane<'t>(
        &self,
        tight: &BTreeMap<&'t LaneName, &'t Ceiling>,
    ) -> Option<&'t LaneName> {
        self.found.plan.lanes().find_map(|lane| tight.get_key_value(lane).map(|(name, _)| *name))
    }
}

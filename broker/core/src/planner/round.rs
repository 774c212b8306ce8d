//! One round of a search: some jobs find their places in an order, and all others stay.
//!
//! A lane is put onto the board when somebody looks for a place there, and only over the time in
//! which it looks are those taken off who come later. Whoever stands only where nobody looks can stay
//! without a look: nobody has taken anything there.

use std::collections::BTreeMap;

use tidegate_policy::Interval;

use super::Piece;
use super::board::{Board, Profile};
use super::put::put;
use super::replan::{Found, Ground, Search, hull};
use crate::lane::Factor;

/// Those who are asked in a round, and where they are.
pub(super) struct Crowd {
    over: Interval,
    /// Who is on each lane.
    lanes: Vec<Vec<Stand>>,
    /// What is free on each lane if all of them are gone, once somebody has asked.
    bare: Vec<Option<Profile>>,
}

/// A job that takes a way over a lane.
struct Stand {
    number: usize,
    way: usize,
    factor: Factor,
    /// From its first start to its last end on that way.
    over: Interval,
}

impl Crowd {
    /// `None` if it is nobody.
    pub(super) fn new<G: Ground>(search: &Search<'_, G>, some: &[usize]) -> Option<Self> {
        let over = hull(some.iter().map(|number| &search.jobs[*number]))?;
        let count = search.ground.lanes();
        let mut lanes: Vec<Vec<Stand>> = Vec::new();
        lanes.resize_with(count, Vec::new);
        for number in some.iter().filter(|number| search.homeless <= **number) {
            let job = &search.jobs[*number];
            let mut ways: BTreeMap<usize, Interval> = BTreeMap::new();
            for piece in &job.present {
                let hull = ways.entry(piece.way).or_insert(piece.over);
                *hull = hull.hull(piece.over);
            }
            for (way, over) in ways {
                for crossing in &job.fan.ways[way] {
                    let stand = Stand { number: *number, way, factor: crossing.factor, over };
                    lanes[job.fan.lanes[crossing.lane]].push(stand);
                }
            }
        }
        Some(Self { over, lanes, bare: vec![None; count] })
    }

    /// Gives back what those who are gone have on a lane now that somebody looks at it over some
    /// time, but for what was given back when somebody looked at it before.
    fn leave<G: Ground>(
        &self,
        search: &Search<'_, G>,
        (lane, profile): (usize, &mut Profile),
        (before, now): (Option<Interval>, Interval),
        gone: impl Fn(usize) -> bool,
    ) {
        let was_seen = |over: Interval| before.is_some_and(|before| before.overlaps(over));
        for Stand { number, way, factor, over } in &self.lanes[lane] {
            let all_seen = before.is_some_and(|before| before.hull(*over) == before);
            if all_seen || !now.overlaps(*over) || !gone(*number) {
                continue;
            }
            let pieces = search.jobs[*number].present.iter().filter(|piece| piece.way == *way);
            for piece in pieces.filter(|it| now.overlaps(it.over) && !was_seen(it.over)) {
                if let Some(over) = piece.over.within(self.over) {
                    profile.give(over, factor.amount(piece.rate));
                }
            }
        }
    }
}

pub(super) struct Round<'r, 'g, G: Ground> {
    search: &'r mut Search<'g, G>,
    crowd: &'r mut Crowd,
    order: &'r [usize],
    /// When it is each one's turn, by numbers.
    turns: Vec<usize>,
    board: Board,
    found: Found,
}

/// Why a round failed.
pub(super) enum Failed {
    /// This one found no place.
    Squeaky(usize),
    /// The budget is spent.
    Spent,
}

impl<'r, 'g, G: Ground> Round<'r, 'g, G> {
    /// A round of all of a crowd.
    pub(super) fn new(
        search: &'r mut Search<'g, G>,
        crowd: &'r mut Crowd,
        order: &'r [usize],
    ) -> Self {
        let board = Board::new(search.ground.lanes(), crowd.over);
        let mut turns = vec![0; search.jobs.len()];
        for (turn, number) in order.iter().enumerate() {
            turns[*number] = turn;
        }
        Self { search, crowd, order, turns, board, found: Found::new() }
    }

    /// Whether somebody homeless fits where all others of the round are gone.
    pub(super) fn fits(&mut self, number: usize) -> bool {
        self.look(number, 0);
        self.put(number).is_some()
    }

    /// Puts the jobs onto the board in their order; if they may `stay`, each where it is if that is
    /// still free.
    pub(super) fn run(mut self, stay: bool) -> Result<Found, Failed> {
        for (turn, number) in self.order.iter().enumerate() {
            let homeless = *number < self.search.homeless;
            match stay {
                false => self.clear(*number),
                // Of the others, only what somebody looks at can be taken.
                true if homeless => self.look(*number, turn),
                true => {}
            }
            let job = &self.search.jobs[*number];
            if stay && job.is_kept() && self.board.take_all(&job.fan, &job.present) {
                if homeless {
                    self.found.insert(*number, job.present.clone());
                }
                continue;
            }
            if self.search.budget.steps <= self.search.spent {
                return Err(Failed::Spent);
            }
            if stay {
                self.look(*number, turn);
            }
            let pieces = self.put(*number).ok_or(Failed::Squeaky(*number))?;
            let job = &self.search.jobs[*number];
            for piece in &pieces {
                self.board.take(&job.fan, piece);
            }
            self.found.insert(*number, pieces);
        }
        Ok(self.found)
    }

    fn put(&mut self, number: usize) -> Option<Vec<Piece>> {
        let Search { jobs, prices, budget, spent, .. } = &mut *self.search;
        put(&self.board, &jobs[number], prices, budget, spent)
    }

    /// Looks at the lanes of a job over its window, as they are at its turn: those before it are
    /// where they have stayed, or were put; it and those behind it are gone.
    fn look(&mut self, number: usize, turn: usize) {
        let Self { search, crowd, turns, board, found, .. } = self;
        let job = &search.jobs[number];
        let gone = |number: usize| turn <= turns[number] || found.contains_key(&number);
        for lane in &job.fan.lanes {
            let profile = || search.ground.profile(*lane, crowd.over);
            let Some(looks) = board.look(*lane, job.window, profile) else { continue };
            let Some(profile) = board.lane_mut(*lane) else { continue };
            crowd.leave(search, (*lane, profile), looks, gone);
        }
    }

    /// Puts the lanes of a job onto the board, with nobody of the crowd there.
    fn clear(&mut self, number: usize) {
        let Self { search, crowd, board, .. } = self;
        for lane in &search.jobs[number].fan.lanes {
            board.open(*lane, || {
                let bare = crowd.bare[*lane].take().unwrap_or_else(|| {
                    let mut profile = search.ground.profile(*lane, crowd.over);
                    crowd.leave(search, (*lane, &mut profile), (None, crowd.over), |_| true);
                    profile
                });
                crowd.bare[*lane].insert(bare).clone()
            });
        }
    }
}

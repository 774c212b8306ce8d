//! One round of a search: some jobs find their places in an order, and all others stay.
//!
//! A lane is put onto the board when somebody looks for a place there. Whoever stands only on lanes
//! that nobody has looked at can stay without a look: nobody has taken anything there.

use std::sync::Arc;

use tidegate_policy::Interval;

use super::Piece;
use super::board::{Board, Profile};
use super::put::put;
use super::replan::{Found, Ground, Job, Search, hull};

pub(super) struct Round<'r, 'g, G: Ground> {
    search: &'r mut Search<'g, G>,
    order: &'r [usize],
    /// When it is each one's turn, by numbers; `None` of those who are not asked.
    turns: Vec<Option<usize>>,
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
    /// `None` if nobody is asked.
    pub(super) fn new(search: &'r mut Search<'g, G>, order: &'r [usize]) -> Option<Self> {
        let over = hull(order.iter().map(|number| &search.jobs[*number]))?;
        let board = Board::new(search.ground.lanes(), over);
        let mut turns = vec![None; search.jobs.len()];
        for (turn, number) in order.iter().enumerate() {
            turns[*number] = Some(turn);
        }
        Some(Self { search, order, turns, board, found: Found::new() })
    }

    /// Whether somebody homeless fits where all others of the round are gone.
    pub(super) fn fits(&mut self, number: usize) -> bool {
        self.open(number, 0);
        self.put(number).is_some()
    }

    /// Puts the jobs onto the board in their order; if they may `stay`, each where it is if that is
    /// still free.
    pub(super) fn run(mut self, stay: bool) -> Result<Found, Failed> {
        for (turn, number) in self.order.iter().enumerate() {
            let homeless = *number < self.search.homeless;
            if homeless {
                self.open(*number, turn);
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
            self.open(*number, turn);
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

    /// Puts the lanes of a job onto the board, as they are at its turn.
    fn open(&mut self, number: usize, turn: usize) {
        let fan = Arc::clone(&self.search.jobs[number].fan);
        for lane in &fan.lanes {
            let (search, turns, found) = (&*self.search, &self.turns, &self.found);
            let gone = |number: usize| {
                let later = turns.get(number).copied().flatten().is_some_and(|at| turn <= at);
                later || found.contains_key(&number)
            };
            self.board.open(*lane, |over| search.without(*lane, over, gone));
        }
    }
}

impl<G: Ground> Search<'_, G> {
    /// What is free on a lane if some are gone.
    fn without(&self, lane: usize, over: Interval, gone: impl Fn(usize) -> bool) -> Profile {
        let mut profile = self.ground.profile(lane, over);
        let on = self.ground.on(lane, over).filter_map(|who| self.known(who));
        for number in on.filter(|number| gone(*number)) {
            self.jobs[number].leave(&mut profile, lane, over);
        }
        profile
    }
}

impl Job {
    /// Gives back what it has on a lane.
    fn leave(&self, profile: &mut Profile, lane: usize, inside: Interval) {
        for piece in &self.present {
            let crossing =
                self.fan.ways[piece.way].iter().find(|it| self.fan.lanes[it.lane] == lane);
            if let Some((crossing, over)) = crossing.zip(piece.over.within(inside)) {
                profile.give(over, crossing.factor.amount(piece.rate));
            }
        }
    }
}

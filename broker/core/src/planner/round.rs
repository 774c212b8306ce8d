//! One round of a search: some jobs find their places in an order, and all others stay.
//!
//! A lane is put onto the board when somebody looks for a place there. Whoever stands only on lanes
//! that nobody has looked at can stay without a look: nobody has taken anything there.

use std::sync::Arc;

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
            let mut ways: Vec<usize> = job.present.iter().map(|piece| piece.way).collect();
            ways.sort_unstable();
            ways.dedup();
            for way in ways {
                for crossing in &job.fan.ways[way] {
                    let stand = Stand { number: *number, way, factor: crossing.factor };
                    lanes[job.fan.lanes[crossing.lane]].push(stand);
                }
            }
        }
        Some(Self { over, lanes, bare: vec![None; count] })
    }

    /// What is free on a lane if some of them are gone.
    fn without<G: Ground>(
        &self,
        search: &Search<'_, G>,
        lane: usize,
        gone: impl Fn(usize) -> bool,
    ) -> Profile {
        let mut profile = search.ground.profile(lane, self.over);
        for stand in self.lanes[lane].iter().filter(|stand| gone(stand.number)) {
            let pieces = search.jobs[stand.number].present.iter();
            for piece in pieces.filter(|piece| piece.way == stand.way) {
                if let Some(over) = piece.over.within(self.over) {
                    profile.give(over, stand.factor.amount(piece.rate));
                }
            }
        }
        profile
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
        self.open(number, 0);
        self.put(number).is_some()
    }

    /// Puts the jobs onto the board in their order; if they may `stay`, each where it is if that is
    /// still free.
    pub(super) fn run(mut self, stay: bool) -> Result<Found, Failed> {
        for (turn, number) in self.order.iter().enumerate() {
            let homeless = *number < self.search.homeless;
            // Of the others, only what somebody has looked at can be taken.
            if !stay || homeless {
                self.open(*number, if stay { turn } else { 0 });
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
                self.open(*number, turn);
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

    /// Puts the lanes of a job onto the board, as they are at its turn: those before it are where
    /// they have stayed, or were put onto the lanes that are there.
    fn open(&mut self, number: usize, turn: usize) {
        let fan = Arc::clone(&self.search.jobs[number].fan);
        let Self { search, crowd, turns, found, .. } = self;
        for lane in &fan.lanes {
            self.board.open(*lane, || {
                if turn == 0 {
                    let bare = crowd.bare[*lane].take();
                    let bare = bare.unwrap_or_else(|| crowd.without(search, *lane, |_| true));
                    return crowd.bare[*lane].insert(bare).clone();
                }
                let gone = |number: usize| turn <= turns[number] || found.contains_key(&number);
                crowd.without(search, *lane, gone)
            });
        }
    }
}

//! Finds many plans new places, all of them or none.
//!
//! Jobs are put onto the board one by one, in an order. The first order leaves as much as it can
//! where it is: the newcomer first, then everybody by deadline, at the present place if that is
//! still free. The next ones put all of them anew, by deadline and by laxity. Then, each time
//! somebody finds no place, it goes first in the next round (squeaky wheel optimisation, Joslin
//! and Clements 1999), until all have one or the budget is spent.

use std::sync::Arc;

use tidegate_policy::{Interval, Timestamp};

use super::board::Board;
use super::fill::fill;
use super::place::place;
use super::{Fan, Need, Piece};

/// A plan that needs a place.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) fan: Arc<Fan<usize>>,
    pub(crate) need: Need,
    pub(crate) window: Interval,
    /// Where it is now; empty if it is nowhere yet, or cannot stay there.
    pub(crate) present: Vec<Piece>,
}

/// How much may be spent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Pieces of time that are looked at, over all rounds.
    pub(crate) steps: u64,
    /// Rounds.
    pub(crate) rounds: usize,
    pub(crate) segments_max: usize,
    /// Jobs that may move.
    pub(crate) moves_max: usize,
}

/// New places for all jobs, in their order.
pub(crate) type Places = Vec<Vec<Piece>>;

/// A place for every job; `None` if none was found within the budget.
pub(crate) fn replan(board: &Board, jobs: &[Job], budget: Budget) -> Option<Places> {
    let mut search = Search { board, jobs, budget, spent: 0 };
    let moved = |places: &Places| {
        let pairs = jobs.iter().zip(places);
        let moved = pairs.filter(|(job, place)| !job.present.is_empty() && job.present != **place);
        moved.count()
    };
    let few_enough = |places: &Places| moved(places) <= budget.moves_max;
    search.run().filter(few_enough)
}

struct Search<'a> {
    board: &'a Board,
    jobs: &'a [Job],
    budget: Budget,
    spent: u64,
}

impl Search<'_> {
    fn run(&mut self) -> Option<Places> {
        let by_deadline = self.ordered(|job| job.window.end());
        let newcomers = |place: &usize| self.jobs[*place].present.is_empty();
        let (mut first, rest): (Vec<usize>, Vec<usize>) =
            by_deadline.iter().copied().partition(newcomers);
        first.extend(rest);
        if let Ok(places) = self.round(&first, true) {
            return Some(places);
        }
        let by_laxity = self.ordered(latest_start);
        if let Ok(places) = self.round(&by_laxity, false) {
            return Some(places);
        }
        let mut order = by_deadline;
        for _ in 0..self.budget.rounds {
            match self.round(&order, false) {
                Ok(places) => return Some(places),
                Err(None) => return None,
                Err(Some(squeaky)) => {
                    order.retain(|place| *place != squeaky);
                    order.insert(0, squeaky);
                }
            }
        }
        None
    }

    fn ordered(&self, key: impl Fn(&Job) -> Timestamp) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.jobs.len()).collect();
        order.sort_by_key(|place| (key(&self.jobs[*place]), *place));
        order
    }

    /// Puts all jobs in an order; the one that finds no place is the error, or nobody if the budget
    /// is spent.
    fn round(&mut self, order: &[usize], stay: bool) -> Result<Places, Option<usize>> {
        let mut board = self.board.clone();
        let mut places: Places = vec![Vec::new(); self.jobs.len()];
        for place in order {
            let job = &self.jobs[*place];
            if stay && !job.present.is_empty() && board.take_all(&job.fan, &job.present) {
                places[*place].clone_from(&job.present);
                continue;
            }
            if self.budget.steps <= self.spent {
                return Err(None);
            }
            let pieces = self.put(&board, job).ok_or(Some(*place))?;
            for piece in &pieces {
                board.take(&job.fan, piece);
            }
            places[*place] = pieces;
        }
        Ok(places)
    }

    fn put(&mut self, board: &Board, job: &Job) -> Option<Vec<Piece>> {
        put(board, job, self.budget.segments_max, &mut self.spent)
    }
}

/// The first place of a job on a board.
pub(crate) fn put(
    board: &Board,
    job: &Job,
    segments_max: usize,
    steps: &mut u64,
) -> Option<Vec<Piece>> {
    let (fan, window) = (&job.fan, job.window);
    match &job.need {
        Need::Volume(volume) => {
            let read = || fan.lanes.iter().map(|lane| board.lanes[*lane].from(window.start())).collect();
            fill(read, &fan.ways, (volume, window), segments_max, steps)
        }
        Need::Steady(steady) => place(board, fan, steady, window, steps).map(|piece| vec![piece]),
    }
}

/// The latest instant at which a job could start at its highest rate.
fn latest_start(job: &Job) -> Timestamp {
    let ms = match &job.need {
        Need::Volume(volume) => {
            let ms = volume.need.div_ceil(u128::from(volume.max.bps()).max(1));
            i64::try_from(ms).unwrap_or(i64::MAX)
        }
        Need::Steady(steady) => i64::try_from(steady.span.as_ms()).unwrap_or(i64::MAX),
    };
    Timestamp::from_ms(job.window.end().as_ms().saturating_sub(ms)).unwrap_or(Timestamp::EPOCH)
}

//! Finds many plans new places, all of them or none.
//!
//! Whoever is homeless goes first, then those around it by deadline, each where it is now if that
//! is still free: so few move. If that does not do, the same with those around them and so on; then
//! all of these anew, by deadline and by laxity. Then, each time somebody finds no place, it goes first in the next round
//! (squeaky wheel optimisation, Joslin and Clements 1999). Ways are taken by what their lanes are
//! worth to all together, so that detours over what others need more die out.

use std::sync::Arc;

use tidegate_policy::{Interval, Timestamp};

use super::board::Board;
use super::fill::{Choice, fill};
use super::prices::{PRICE, prices};
use super::{Fan, Need, Piece};
use crate::plan::carried;

/// A plan that needs a place.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) fan: Arc<Fan<usize>>,
    pub(crate) need: Need,
    pub(crate) window: Interval,
    /// Where it is now, or was; empty if it is new.
    pub(crate) present: Vec<Piece>,
    /// It is on the board no more, and may find its place taken.
    pub(crate) homeless: bool,
}

/// How much may be spent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Pieces of time that are looked at, over all rounds.
    pub(crate) steps: u64,
    /// Rounds.
    pub(crate) rounds: usize,
    pub(crate) segments_max: usize,
    /// Jobs among which room is looked for anew.
    pub(crate) among_max: usize,
    /// Jobs that may move.
    pub(crate) moves_max: usize,
}

/// New places for all jobs, in their order.
pub(crate) type Places = Vec<Vec<Piece>>;

/// A place for every job, on a board on which everybody is where it is now but the homeless; `None` if none was
/// found within the budget.
pub(crate) fn replan(board: &Board, jobs: &[Job], budget: Budget) -> Option<Places> {
    let prices = vec![PRICE; board.lanes.len()];
    let mut search = Search { jobs, budget, prices, spent: 0 };
    let places = search.run(board)?;
    let pairs = jobs.iter().zip(&places);
    let moved = pairs.filter(|(job, place)| !job.homeless && job.present != **place);
    (moved.count() <= budget.moves_max).then_some(places)
}

/// Places for as many of the homeless as fit, the most urgent first; all others stay.
pub(crate) fn salvage(board: &Board, jobs: &[Job], budget: Budget) -> Vec<Option<Vec<Piece>>> {
    let prices = vec![PRICE; board.lanes.len()];
    let mut search = Search { jobs, budget, prices, spent: 0 };
    let mut board = board.clone();
    let mut places: Vec<Option<Vec<Piece>>> =
        jobs.iter().map(|job| (!job.homeless).then(|| job.present.clone())).collect();
    let all = (0..jobs.len()).collect();
    for place in search.ordered(all, |job| job.window.end()) {
        let job = &jobs[place];
        if !job.homeless {
            continue;
        }
        let stays = job.is_kept(&job.present) && board.take_all(&job.fan, &job.present);
        places[place] = if stays { Some(job.present.clone()) } else { search.put(&board, place) };
        for piece in places[place].iter().flatten().filter(|_| !stays) {
            board.take(&job.fan, piece);
        }
    }
    places
}

/// The first place of one job on a board.
pub(crate) fn put(board: &Board, job: &Job, budget: Budget) -> Option<Vec<Piece>> {
    let prices = vec![PRICE; board.lanes.len()];
    let jobs = [job.clone()];
    Search { jobs: &jobs, budget, prices, spent: 0 }.put(board, 0)
}

impl Job {
    /// Whether these pieces do all that it wants.
    fn is_kept(&self, pieces: &[Piece]) -> bool {
        let carried = pieces.iter().map(|piece| carried(piece.rate, piece.over));
        match &self.need {
            Need::Volume(volume) => volume.need <= carried.fold(0, u128::saturating_add),
            Need::Steady(_) => !pieces.is_empty(),
        }
    }
}

/// Ways that cost this much of the cheapest are taken with it, in percent; dearer ones only if it
/// does not fit there.
const ABOUT_AS_CHEAP: u64 = 120;

struct Search<'a> {
    jobs: &'a [Job],
    budget: Budget,
    /// What each lane costs.
    prices: Vec<u64>,
    spent: u64,
}

/// Why a round failed.
enum Failed {
    /// This one found no place.
    Squeaky(usize),
    /// The budget is spent.
    Spent,
}

impl Search<'_> {
    fn run(&mut self, board: &Board) -> Option<Places> {
        let all: Vec<usize> = (0..self.jobs.len()).collect();
        let by_deadline = self.ordered(all, |job| job.window.end());
        let homeless = |place: &usize| self.jobs[*place].homeless;
        let (homeless, settled): (Vec<usize>, Vec<usize>) =
            by_deadline.into_iter().partition(homeless);
        let near = self.near(&homeless, &settled);
        let around = self.without(board, &near);
        // Where it does not fit among those that never move, nobody else has to be asked.
        if !homeless.iter().all(|place| self.put(&around, *place).is_some()) {
            return None;
        }
        let mut order: Vec<usize> = homeless.iter().chain(&near).copied().collect();
        if let Ok(places) = self.round(&around, &order, true) {
            return Some(places);
        }
        let far = self.reach(&order, near, &settled);
        let around = self.without(board, &far);
        order.truncate(homeless.len());
        order.extend(far);
        self.prices = prices(&around, order.iter().map(|place| &self.jobs[*place]).collect());
        if let Ok(places) = self.round(&around, &order, true) {
            return Some(places);
        }
        self.anew(&around, order)
    }

    /// All of these anew.
    fn anew(&mut self, board: &Board, some: Vec<usize>) -> Option<Places> {
        let by_laxity = self.ordered(some.clone(), latest_start);
        let mut order = self.ordered(some, |job| job.window.end());
        for round in 0..self.budget.rounds {
            match self.round(board, &order, false) {
                Ok(places) => return Some(places),
                Err(Failed::Spent) => return None,
                Err(Failed::Squeaky(squeaky)) => {
                    order.retain(|place| *place != squeaky);
                    order.insert(0, squeaky);
                }
            }
            if round == 0
                && let Ok(places) = self.round(board, &by_laxity, false)
            {
                return Some(places);
            }
        }
        None
    }

    /// Those that are where somebody near could be, and so on, as long as they are not too many.
    fn reach(&self, some: &[usize], near: Vec<usize>, settled: &[usize]) -> Vec<usize> {
        let (mut reached, mut far) = (some.to_vec(), near);
        while far.len() < settled.len() {
            let farther = self.near(&reached, settled);
            if farther.len() <= far.len() || self.budget.among_max < farther.len() {
                break;
            }
            reached.clone_from(&farther);
            far = farther;
        }
        far
    }

    /// The board without some of them.
    fn without(&self, board: &Board, some: &[usize]) -> Board {
        let mut board = board.clone();
        for place in some {
            let job = &self.jobs[*place];
            for piece in &job.present {
                board.give(&job.fan, piece);
            }
        }
        board
    }

    fn ordered(&self, mut order: Vec<usize>, key: impl Fn(&Job) -> Timestamp) -> Vec<usize> {
        order.sort_by_key(|place| (key(&self.jobs[*place]), *place));
        order
    }

    /// Those that are where somebody homeless could be.
    fn near(&self, homeless: &[usize], settled: &[usize]) -> Vec<usize> {
        let mut lanes: Vec<Option<Interval>> = vec![None; self.prices.len()];
        for job in homeless.iter().map(|place| &self.jobs[*place]) {
            for lane in &job.fan.lanes {
                let hull = lanes[*lane].map_or(Some(job.window), |known| {
                    let start = known.start().min(job.window.start());
                    Interval::new(start, known.end().max(job.window.end()))
                });
                lanes[*lane] = hull;
            }
        }
        let meets = |job: &Job, piece: &Piece| {
            let mut crossings = job.fan.ways[piece.way].iter();
            crossings.any(|crossing| {
                lanes[job.fan.lanes[crossing.lane]].is_some_and(|over| over.overlaps(piece.over))
            })
        };
        let near = settled.iter().copied().filter(|place| {
            let job = &self.jobs[*place];
            job.present.iter().any(|piece| meets(job, piece))
        });
        near.collect()
    }

    /// Puts some jobs onto a board in an order; all others stay where they are.
    fn round(&mut self, board: &Board, order: &[usize], stay: bool) -> Result<Places, Failed> {
        let mut board = board.clone();
        let mut places: Places = self.jobs.iter().map(|job| job.present.clone()).collect();
        for place in order {
            let job = &self.jobs[*place];
            if stay && job.is_kept(&job.present) && board.take_all(&job.fan, &job.present) {
                places[*place].clone_from(&job.present);
                continue;
            }
            if self.budget.steps <= self.spent {
                return Err(Failed::Spent);
            }
            let Some(pieces) = self.put(&board, *place) else {
                return Err(Failed::Squeaky(*place));
            };
            for piece in &pieces {
                board.take(&job.fan, piece);
            }
            places[*place] = pieces;
        }
        Ok(places)
    }

    /// The first place of a job, over the cheapest ways first.
    fn put(&mut self, board: &Board, place: usize) -> Option<Vec<Piece>> {
        let job = &self.jobs[place];
        let (fan, window, most) = (&job.fan, job.window, self.budget.segments_max);
        let volume = match &job.need {
            Need::Steady(steady) => {
                let piece = super::place::place(board, fan, steady, window, &mut self.spent);
                return piece.map(|piece| vec![piece]);
            }
            Need::Volume(volume) => volume,
        };
        let cost = |place: &usize| -> u64 {
            let lanes = fan.ways[*place].iter().map(|it| self.prices[fan.lanes[it.lane]]);
            lanes.fold(0, u64::saturating_add)
        };
        let mut order: Vec<usize> = (0..fan.ways.len()).collect();
        order.sort_by_cached_key(&cost);
        let read = || -> Vec<_> {
            fan.lanes.iter().map(|lane| board.lanes[*lane].from(window.start())).collect()
        };
        let cheap = order.first().map_or(0, cost).saturating_mul(ABOUT_AS_CHEAP);
        let few = order.iter().filter(|way| cost(way).saturating_mul(100) <= cheap).count();
        let mut among = |order: &[usize]| {
            let choice = Choice { ways: &fan.ways, order, exact: false };
            fill(read, choice, (volume, window), most, &mut self.spent)
        };
        let found = among(&order[..few]);
        if found.is_some() || few == order.len() { found } else { among(&order) }
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

//! Finds many plans new places, all of them or none.
//!
//! Whoever is homeless goes first, then those around it by deadline, each where it is now if that
//! is still free: so few move. If that does not do, the same with those around them and so on; then
//! all of these anew, by deadline and by laxity. Then, each time somebody finds no place, it goes
//! first in the next round (squeaky wheel optimisation, Joslin and Clements 1999). Ways are taken by
//! what their lanes are worth to all together, so that detours over what others need more die out.
//!
//! Nobody and no lane is looked at before the search comes to it ([`Ground`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_policy::{Interval, Timestamp};

use super::board::{Board, Profile};
use super::circle::Circle;
use super::prices::{PRICE, prices};
use super::put::put;
use super::round::{Crowd, Failed, Round};
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

/// Where room is looked for. Whoever may move has a seat, which is a number.
pub(crate) trait Ground {
    /// What whoever may move is called.
    type Name: Copy + Ord;

    /// How many lanes there are.
    fn lanes(&self) -> usize;

    /// How many seats there are.
    fn seats(&self) -> usize;

    /// What is free on a lane inside of `over`, with everybody where it is but the homeless.
    fn profile(&self, lane: usize, over: Interval) -> Profile;

    /// What is free there in all, in bits per second times milliseconds.
    fn area(&self, lane: usize, over: Interval) -> u128;

    /// The seats of those who may move and have something on a lane inside of `over`, perhaps of
    /// others too; and from when to when, where that is known.
    fn on(&self, lane: usize, over: Interval) -> impl Iterator<Item = (usize, Option<Interval>)>;

    /// Who has a seat, and what it has to find another place for; `None` if it may not move after
    /// all.
    fn job(&self, seat: usize) -> Option<(Self::Name, Job)>;
}

/// How many times as many are in the next circle.
const WIDER: usize = 2;

/// New places.
pub(crate) struct Places<N> {
    /// For the homeless, in their order.
    pub(crate) homeless: Vec<Vec<Piece>>,
    /// For those who move, in their order.
    pub(crate) moved: Vec<(N, Vec<Piece>)>,
}

/// A place for all of the homeless, on a ground where everybody else is where it is now; `None` if
/// none was found within the budget.
pub(crate) fn replan<G: Ground>(
    ground: &G,
    homeless: Vec<Job>,
    budget: Budget,
) -> Option<Places<G::Name>> {
    if homeless.is_empty() {
        return Some(Places { homeless: Vec::new(), moved: Vec::new() });
    }
    let mut search = Search::new(ground, homeless, budget);
    let mut found = search.run()?;
    let homeless = (0..search.homeless).map(|number| found.remove(&number).unwrap_or_default());
    let homeless = homeless.collect();
    found.retain(|number, place| search.jobs[*number].present != *place);
    let moved = found.into_iter().filter_map(|(number, place)| Some((search.name(number)?, place)));
    let mut moved: Vec<_> = moved.collect();
    moved.sort_unstable_by_key(|(name, _)| *name);
    (moved.len() <= budget.moves_max).then_some(Places { homeless, moved })
}

/// Places for as many of these as fit, the most urgent first, on a board that has all of their
/// lanes.
pub(crate) fn salvage(mut board: Board, jobs: &[Job], budget: &Budget) -> Vec<Option<Vec<Piece>>> {
    let prices = vec![PRICE; board.lanes()];
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|number| (jobs[*number].window.end(), *number));
    let mut places = vec![None; jobs.len()];
    for number in order {
        let job = &jobs[number];
        if job.is_kept() && board.take_all(&job.fan, &job.present) {
            places[number] = Some(job.present.clone());
            continue;
        }
        let place = put(&board, job, &prices, budget, &mut 0);
        for piece in place.iter().flatten() {
            board.take(&job.fan, piece);
        }
        places[number] = place;
    }
    places
}

impl Job {
    /// Whether its present place does all that it wants.
    pub(super) fn is_kept(&self) -> bool {
        let carried = self.present.iter().map(|piece| carried(piece.rate, piece.over));
        match &self.need {
            Need::Volume(volume) => volume.need <= carried.fold(0, u128::saturating_add),
            Need::Steady(_) => !self.present.is_empty(),
        }
    }

    /// Whether it is on a lane inside of `over`.
    pub(super) fn meets(&self, lane: usize, over: Interval) -> bool {
        self.present.iter().any(|piece| {
            let mut crossings = self.fan.ways[piece.way].iter();
            piece.over.overlaps(over) && crossings.any(|it| self.fan.lanes[it.lane] == lane)
        })
    }

    /// The latest instant at which it could start at its highest rate.
    fn latest_start(&self) -> Timestamp {
        let ms = match &self.need {
            Need::Volume(volume) => {
                let ms = volume.need.div_ceil(u128::from(volume.max.bps()).max(1));
                i64::try_from(ms).unwrap_or(i64::MAX)
            }
            Need::Steady(steady) => i64::try_from(steady.span.as_ms()).unwrap_or(i64::MAX),
        };
        let start = self.window.end().as_ms().saturating_sub(ms);
        Timestamp::from_ms(start).unwrap_or(Timestamp::EPOCH)
    }
}

/// A search, and everybody whom it has come to.
pub(super) struct Search<'g, G: Ground> {
    pub(super) ground: &'g G,
    pub(super) budget: Budget,
    /// What each lane costs.
    pub(super) prices: Vec<u64>,
    pub(super) spent: u64,
    /// The homeless, then everybody in the order in which the search came to it.
    pub(super) jobs: Vec<Job>,
    /// So many are homeless.
    pub(super) homeless: usize,
    /// What the others are called.
    names: Vec<G::Name>,
    /// The number of each seat to which the search has come, or that nobody there may move.
    numbers: Vec<Option<Option<usize>>>,
}

/// The places that a round found, by numbers: for the homeless, and for whoever did not just stay.
pub(super) type Found = BTreeMap<usize, Vec<Piece>>;

impl<'g, G: Ground> Search<'g, G> {
    fn new(ground: &'g G, homeless: Vec<Job>, budget: Budget) -> Self {
        Self {
            ground,
            budget,
            prices: vec![PRICE; ground.lanes()],
            spent: 0,
            homeless: homeless.len(),
            jobs: homeless,
            names: Vec::new(),
            numbers: vec![None; ground.seats()],
        }
    }

    fn run(&mut self) -> Option<Found> {
        let homeless = self.ordered((0..self.homeless).collect(), |job| job.window.end());
        let mut circle = Circle::around(self.ground.lanes(), self.jobs.iter());
        while let Some(lane) = circle.wider.pop_first() {
            self.ask(&mut circle, lane, usize::MAX);
        }
        let near = self.ordered(circle.members.clone(), |job| job.window.end());
        let order = [homeless.as_slice(), &near].concat();
        let mut crowd = Crowd::new(self, &order)?;
        let mut round = Round::new(self, &mut crowd, &order);
        // Where it does not fit among those that never move, nobody else has to be asked.
        if !homeless.iter().all(|number| round.fits(*number)) {
            return None;
        }
        if let Ok(found) = round.run(true) {
            return Some(found);
        }
        let (mut order, mut crowd) = (order, crowd);
        // Ever wider circles, as long as they grow and are not too many.
        let mut is_priced = false;
        loop {
            let known = circle.members.len();
            let most = known.saturating_mul(WIDER).min(self.budget.among_max);
            self.reach(&mut circle, most);
            if is_priced && known == circle.members.len() {
                break;
            }
            is_priced = true;
            let far = self.ordered(circle.members.clone(), |job| job.window.end());
            self.price(&homeless, &far);
            order = [homeless.as_slice(), &far].concat();
            crowd = Crowd::new(self, &order)?;
            if let Ok(found) = Round::new(self, &mut crowd, &order).run(true) {
                return Some(found);
            }
        }
        self.anew(&mut crowd, order)
    }

    /// Prices what lanes are worth to these.
    fn price(&mut self, homeless: &[usize], settled: &[usize]) {
        let jobs =
            |some: &[usize]| some.iter().map(|number| &self.jobs[*number]).collect::<Vec<_>>();
        self.prices = prices(self.ground, &jobs(homeless), &jobs(settled));
    }

    /// All of these anew.
    fn anew(&mut self, crowd: &mut Crowd, some: Vec<usize>) -> Option<Found> {
        let by_laxity = self.ordered(some.clone(), Job::latest_start);
        let mut order = self.ordered(some, |job| job.window.end());
        for round in 0..self.budget.rounds {
            match Round::new(self, crowd, &order).run(false) {
                Ok(found) => return Some(found),
                Err(Failed::Spent) => return None,
                Err(Failed::Squeaky(squeaky)) => {
                    order.retain(|number| *number != squeaky);
                    order.insert(0, squeaky);
                }
            }
            if round == 0
                && let Ok(found) = Round::new(self, crowd, &by_laxity).run(false)
            {
                return Some(found);
            }
        }
        None
    }

    fn ordered(&self, mut order: Vec<usize>, key: impl Fn(&Job) -> Timestamp) -> Vec<usize> {
        // Of equals the homeless are last.
        let name = |number: usize| (number < self.homeless, self.name(number), number);
        order.sort_unstable_by_key(|number| (key(&self.jobs[*number]), name(*number)));
        order
    }

    fn name(&self, number: usize) -> Option<G::Name> {
        self.names.get(number.checked_sub(self.homeless)?).copied()
    }

    /// The number of whoever has a seat; `None` if it may not move.
    pub(super) fn number(&mut self, seat: usize) -> Option<usize> {
        if let Some(known) = self.numbers.get(seat)? {
            return *known;
        }
        let number = self.ground.job(seat).map(|(name, job)| {
            self.jobs.push(job);
            self.names.push(name);
            self.jobs.len().saturating_sub(1)
        });
        self.numbers[seat] = Some(number);
        number
    }
}

/// From the first start to the last end of all windows.
pub(super) fn hull<'a>(jobs: impl Iterator<Item = &'a Job>) -> Option<Interval> {
    jobs.map(|job| job.window).reduce(Interval::hull)
}

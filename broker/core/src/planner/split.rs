//! How much several ways carry together over a piece of time.

use tidegate_policy::{BitRate, Timestamp};

use super::fill::Choice;
use super::flow::{Shared, most};
use super::{Crossing, Volume};
use crate::lane::Factor;

/// Splits a rate over ways, again and again.
#[derive(Debug)]
pub(crate) struct Splitter<'w> {
    ways: &'w [Vec<Crossing>],
    /// The places of the ways that may be taken, best first.
    order: &'w [usize],
    exact: bool,
    max: u64,
    several: bool,
    /// Below this rate a way is closed, if just one is taken.
    least: u64,
    lows: Vec<Low>,
    /// The rate on each way, after a split.
    pub(crate) rates: Vec<u64>,
    /// What ways taken before leave of what is free on each lane.
    left: Vec<u64>,
}

/// The least that is free on a lane of the fan, and the rate that it carries: most ways that cross
/// it do so alike.
#[derive(Clone, Copy, Debug)]
struct Low {
    free: u64,
    /// How the first way crosses it; `None` if none does.
    factor: Option<Factor>,
    carries: u64,
}

impl Low {
    const UNUSED: Self = Self { free: 0, factor: None, carries: 0 };

    fn carries(&self, factor: Factor) -> u64 {
        if self.factor == Some(factor) { self.carries } else { factor.rate_within(self.free).bps() }
    }
}

impl<'w> Splitter<'w> {
    pub(crate) fn new(choice: Choice<'w>, volume: &Volume) -> Self {
        let Choice { ways, order, exact } = choice;
        let mut lows: Vec<Low> = Vec::new();
        for crossing in order.iter().flat_map(|place| &ways[*place]) {
            if lows.len() <= crossing.lane {
                lows.resize(crossing.lane.saturating_add(1), Low::UNUSED);
            }
            let factor = &mut lows[crossing.lane].factor;
            *factor = factor.or(Some(crossing.factor));
        }
        let (max, several) = (volume.max.bps(), volume.split);
        let least = if several { 1 } else { volume.min.bps().max(1) };
        let (rates, left) = (vec![0; ways.len()], Vec::new());
        Self { ways, order, exact, max, several, least, lows, rates, left }
    }

    /// The lanes that any of the ways crosses, by their places in the fan.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = usize> {
        let lanes = self.lows.iter().enumerate().filter(|(_, low)| low.factor.is_some());
        lanes.map(|(lane, _)| lane)
    }

    /// So much is free on a lane now.
    pub(crate) fn set(&mut self, lane: usize, free: u64) {
        let low = &mut self.lows[lane];
        if low.free != free {
            low.free = free;
            low.carries = low.factor.map_or(0, |factor| factor.rate_within(free).bps());
        }
    }

    /// No more than so much is free on a lane.
    pub(crate) fn lower(&mut self, lane: usize, free: u64) {
        self.set(lane, free.min(self.lows[lane].free));
    }

    /// If every way is closed now: the first instant at which one may be open, where what is free
    /// on each lane changes at these.
    pub(crate) fn opens(&self, changes: &[Timestamp]) -> Option<Timestamp> {
        let mut first = Timestamp::MAX;
        for place in self.order {
            let way = self.ways[*place].iter();
            let closed = way.filter(|it| self.lows[it.lane].carries(it.factor) < self.least);
            first = first.min(closed.map(|crossing| changes[crossing.lane]).max()?);
        }
        Some(first)
    }

    /// The most that the ways carry together of what is free, shortest first.
    pub(crate) fn split(&mut self) -> BitRate {
        if self.several { self.together() } else { self.one() }
    }

    /// Takes rates back, from the last way on, until they are `enough` together.
    pub(crate) fn trim(&mut self, enough: u64) {
        let total = self.rates.iter().fold(0, |sum: u64, rate| sum.saturating_add(*rate));
        let mut surplus = total.saturating_sub(enough);
        for place in self.order.iter().rev() {
            let rate = &mut self.rates[*place];
            let less = surplus.min(*rate);
            *rate = rate.saturating_sub(less);
            surplus = surplus.saturating_sub(less);
        }
    }

    fn one(&mut self) -> BitRate {
        self.rates.fill(0);
        let mut best = (0, 0);
        for &index in self.order {
            let way = self.ways[index].iter();
            let rates = way.map(|it| self.lows[it.lane].carries(it.factor));
            let rate = rates.fold(self.max, u64::min);
            if best.1 < rate {
                best = (index, rate);
            }
            if rate == self.max {
                break;
            }
        }
        if let Some(rate) = self.rates.get_mut(best.0) {
            *rate = best.1;
        }
        BitRate::from_bps(best.1).unwrap_or(BitRate::MAX)
    }

    fn together(&mut self) -> BitRate {
        self.rates.fill(0);
        self.reset();
        let mut total = 0_u64;
        for &index in self.order {
            let way = &self.ways[index];
            let rate = self.within(way, self.max.saturating_sub(total));
            self.rates[index] = rate;
            total = total.saturating_add(rate);
            if total == self.max {
                break;
            }
            book(way, rate, &mut self.left);
        }
        if self.exact && total < self.max && !self.is_most(total) {
            total = self.exactly(total);
        }
        BitRate::from_bps(total).unwrap_or(BitRate::MAX)
    }

    /// Nothing is taken of what is free.
    fn reset(&mut self) {
        self.left.clear();
        self.left.extend(self.lows.iter().map(|low| low.free));
    }

    /// The highest rate up to `max` that a way carries of what is left.
    fn within(&self, way: &[Crossing], max: u64) -> u64 {
        let mut rate = max;
        for crossing in way {
            if rate == 0 {
                break;
            }
            let (left, low) = (self.left[crossing.lane], &self.lows[crossing.lane]);
            let carries = match left == low.free {
                true => low.carries(crossing.factor),
                false => crossing.factor.rate_within(left).bps(),
            };
            rate = rate.min(carries);
        }
        rate
    }

    /// Whether lanes that are full stand in every way, and carry no more than this together: then
    /// nothing carries more.
    fn is_most(&self, total: u64) -> bool {
        let (mut cut, mut carries): (Vec<usize>, u64) = (Vec::new(), 0);
        for way in self.order.iter().map(|place| &self.ways[*place]) {
            if way.iter().any(|crossing| cut.contains(&crossing.lane)) {
                continue;
            }
            let full = |crossing: &&Crossing| self.within(&[**crossing], 1) == 0;
            let Some(crossing) = way.iter().find(full) else { return false };
            // Other ways may cross it less often: it carries most of those that do so least.
            let ways = self.order.iter().flat_map(|place| &self.ways[*place]);
            let times =
                ways.filter(|it| it.lane == crossing.lane).map(|it| it.factor.times()).min();
            let once = crossing.factor.carries(self.lows[crossing.lane].free);
            let limit = once.checked_div(times.unwrap_or(1).into()).unwrap_or(once);
            cut.push(crossing.lane);
            carries = carries.saturating_add(limit);
        }
        // Each way rounds once on each lane.
        let slack = u64::try_from(self.order.len()).unwrap_or(0);
        carries <= total.saturating_add(slack)
    }

    /// The most in all, if that is more than `total`, which the rates are now.
    fn exactly(&mut self, total: u64) -> u64 {
        let mut lanes: Vec<Shared> = Vec::new();
        for lane in 0..self.lows.len() {
            let crossing = |place: &usize| self.ways[*place].iter().find(|it| it.lane == lane);
            let Some(any) = self.order.iter().find_map(crossing) else { continue };
            let times = |place| crossing(place).map_or(0, |it| it.factor.times());
            let times = self.order.iter().map(times).collect();
            lanes.push(Shared { times, limit: any.factor.carries(self.lows[lane].free) });
        }
        lanes.push(Shared { times: vec![1; self.order.len()], limit: self.max });
        let Some(most) = most(self.order.len(), &lanes) else { return total };
        let before = self.rates.clone();
        self.reset();
        let mut sum = 0_u64;
        for (place, rate) in self.order.iter().zip(most) {
            // Each booking rounds up for itself, which may cost the last one a bit.
            let rate = self.within(&self.ways[*place], rate);
            self.rates[*place] = rate;
            book(&self.ways[*place], rate, &mut self.left);
            sum = sum.saturating_add(rate);
        }
        if sum < total {
            self.rates = before;
            return total;
        }
        sum
    }
}

/// Takes what a rate books on a way.
fn book(way: &[Crossing], rate: u64, left: &mut [u64]) {
    let rate = BitRate::from_bps(rate).unwrap_or(BitRate::MAX);
    for crossing in way.iter().filter(|_| rate != BitRate::ZERO) {
        let booked = crossing.factor.amount(rate);
        left[crossing.lane] = left[crossing.lane].saturating_sub(booked);
    }
}

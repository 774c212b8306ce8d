//! How much several ways carry together over a piece of time.

use tidegate_policy::BitRate;

use super::fill::Choice;
use super::flow::{Shared, most};
use super::{Crossing, Volume};

/// Splits a rate over ways, again and again.
#[derive(Debug)]
pub(crate) struct Splitter<'w> {
    ways: &'w [Vec<Crossing>],
    /// The places of the ways that may be taken, best first.
    order: &'w [usize],
    exact: bool,
    max: u64,
    several: bool,
    /// The least that is free on each lane of the fan.
    pub(crate) lows: Vec<u64>,
    /// The rate on each way, after a split.
    pub(crate) rates: Vec<u64>,
    left: Vec<u64>,
}

impl<'w> Splitter<'w> {
    pub(crate) fn new(choice: Choice<'w>, volume: &Volume) -> Self {
        let Choice { ways, order, exact } = choice;
        let lanes = ways.iter().flatten().map(|it| it.lane.saturating_add(1)).max().unwrap_or(0);
        Self {
            ways,
            order,
            exact,
            max: volume.max.bps(),
            several: volume.split,
            lows: vec![0; lanes],
            rates: vec![0; ways.len()],
            left: Vec::new(),
        }
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
            let rate = within(&self.ways[index], &self.lows, self.max);
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
        self.left.clone_from(&self.lows);
        let mut total = 0_u64;
        for &index in self.order {
            let (way, rate) = (&self.ways[index], &mut self.rates[index]);
            *rate = within(way, &self.left, self.max.saturating_sub(total));
            total = total.saturating_add(*rate);
            if total == self.max {
                break;
            }
            book(way, *rate, &mut self.left);
        }
        if self.exact && total < self.max && !self.is_most(total) {
            total = self.exactly(total);
        }
        BitRate::from_bps(total).unwrap_or(BitRate::MAX)
    }

    /// Whether lanes that are full stand in every way, and carry no more than this together: then
    /// nothing carries more.
    fn is_most(&self, total: u64) -> bool {
        let (mut cut, mut carries): (Vec<usize>, u64) = (Vec::new(), 0);
        for way in self.order.iter().map(|place| &self.ways[*place]) {
            if way.iter().any(|crossing| cut.contains(&crossing.lane)) {
                continue;
            }
            let full = |crossing: &&Crossing| within(&[**crossing], &self.left, 1) == 0;
            let Some(crossing) = way.iter().find(full) else { return false };
            // Other ways may cross it less often: it carries most of those that do so least.
            let ways = self.order.iter().flat_map(|place| &self.ways[*place]);
            let times =
                ways.filter(|it| it.lane == crossing.lane).map(|it| it.factor.times()).min();
            let once = crossing.factor.carries(self.lows[crossing.lane]);
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
            lanes.push(Shared { times, limit: any.factor.carries(self.lows[lane]) });
        }
        lanes.push(Shared { times: vec![1; self.order.len()], limit: self.max });
        let Some(most) = most(self.order.len(), &lanes) else { return total };
        let before = self.rates.clone();
        self.left.clone_from(&self.lows);
        let mut sum = 0_u64;
        for (place, rate) in self.order.iter().zip(most) {
            // Each booking rounds up for itself, which may cost the last one a bit.
            let rate = within(&self.ways[*place], &self.left, rate);
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

/// The highest rate up to `max` that a way carries.
fn within(way: &[Crossing], free: &[u64], max: u64) -> u64 {
    let mut rate = max;
    for crossing in way {
        if rate == 0 {
            break;
        }
        rate = rate.min(crossing.factor.rate_within(free[crossing.lane]).bps());
    }
    rate
}

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
    /// What each of the ways that are open carries by itself, in their order.
    open: Vec<u64>,
    /// Those for which that has to be looked at again: see [`bit`].
    changed: u64,
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
    /// The ways that cross it: see [`bit`].
    ways: u64,
    /// Less is as good as nothing to any of them.
    least: u64,
    /// More is of no use to all of them together.
    enough: u64,
}

impl Low {
    const UNUSED: Self =
        Self { free: 0, factor: None, carries: 0, ways: 0, least: u64::MAX, enough: 0 };

    fn carries(&self, factor: Factor) -> u64 {
        if self.factor == Some(factor) { self.carries } else { factor.rate_within(self.free).bps() }
    }
}

/// The bit of a way by its place in the order: the last stands for all from there on.
fn bit(place: usize) -> u64 {
    1_u64.checked_shl(u32::try_from(place).unwrap_or(u32::MAX)).unwrap_or(1 << 63)
}

impl<'w> Splitter<'w> {
    pub(crate) fn new(choice: Choice<'w>, volume: &Volume) -> Self {
        let Choice { ways, order, exact } = choice;
        let several = volume.split;
        let least = if several { 1 } else { volume.min.bps().max(1) };
        let least_rate = BitRate::from_bps(least).unwrap_or(BitRate::MAX);
        // Each way may round up for itself.
        let count = u64::try_from(order.len()).unwrap_or(u64::MAX);
        let mut lows: Vec<Low> = Vec::new();
        for (place, way) in order.iter().enumerate() {
            for Crossing { lane, factor } in ways[*way].iter().copied() {
                if lows.len() <= lane {
                    lows.resize(lane.saturating_add(1), Low::UNUSED);
                }
                let low = &mut lows[lane];
                let rounded = count.saturating_mul(factor.times().into());
                low.factor = low.factor.or(Some(factor));
                low.ways |= bit(place);
                low.least = low.least.min(factor.amount(least_rate));
                low.enough = low.enough.max(factor.amount(volume.max).saturating_add(rounded));
            }
        }
        Self {
            ways,
            order,
            exact,
            max: volume.max.bps(),
            several,
            least,
            lows,
            open: Vec::with_capacity(order.len()),
            changed: 0,
            rates: vec![0; ways.len()],
            left: Vec::new(),
        }
    }

    /// Takes one more way into account, if there is one: what is free on its lanes has to be set.
    pub(crate) fn open(&mut self) -> Option<&'w [Crossing]> {
        let place = self.open.len();
        let way = &self.ways[*self.order.get(place)?];
        self.open.push(0);
        self.changed |= bit(place);
        Some(way)
    }

    /// Below what a lane is as good as full, and above what as good as empty.
    pub(crate) fn bounds(&self, lane: usize) -> (u64, u64) {
        let low = &self.lows[lane];
        (low.least, low.enough)
    }

    /// So much is free on a lane now.
    pub(crate) fn set(&mut self, lane: usize, free: u64) {
        let low = &mut self.lows[lane];
        if low.free != free {
            low.free = free;
            low.carries = low.factor.map_or(0, |factor| factor.rate_within(free).bps());
            self.changed |= low.ways;
        }
    }

    /// Where no way carries anything of use: the first instant at which one may, if what is free on
    /// each lane changes at these.
    pub(crate) fn opens(&self, change: impl Fn(usize) -> Timestamp) -> Timestamp {
        let opens = self.order.iter().filter_map(|way| {
            let way = self.ways[*way].iter();
            let closed = way.filter(|it| self.lows[it.lane].carries(it.factor) < self.least);
            closed.map(|crossing| change(crossing.lane)).max()
        });
        opens.min().unwrap_or(Timestamp::MAX)
    }

    /// Looks at the ways on which something has changed.
    fn look(&mut self) {
        if self.changed == 0 {
            return;
        }
        for (place, carries) in self.open.iter_mut().enumerate() {
            if self.changed & bit(place) != 0 {
                let way = self.ways[self.order[place]].iter();
                let rates = way.map(|it| self.lows[it.lane].carries(it.factor));
                *carries = rates.fold(self.max, u64::min);
            }
        }
        self.changed = 0;
    }

    /// The most that the ways that are open carry together of what is free, shortest first.
    pub(crate) fn split(&mut self) -> BitRate {
        let total = self.greedily();
        let ways = self.open.len();
        let all_together = self.several && 1 < ways && ways == self.order.len();
        if self.exact && all_together && total < self.max && !self.is_most(total) {
            self.exactly(total);
        }
        self.total()
    }

    /// What the ways carry together, after a split.
    pub(crate) fn total(&self) -> BitRate {
        let total = self.rates.iter().fold(0, |sum: u64, rate| sum.saturating_add(*rate));
        BitRate::from_bps(total).unwrap_or(BitRate::MAX)
    }

    /// The same, each way taking what those before it leave.
    fn greedily(&mut self) -> u64 {
        self.look();
        self.rates.fill(0);
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

    fn one(&mut self) -> u64 {
        let mut best = (0, 0);
        for (place, rate) in self.open.iter().copied().enumerate() {
            if best.1 < rate {
                best = (place, rate);
            }
        }
        if let Some(way) = self.order.get(best.0) {
            self.rates[*way] = best.1;
        }
        best.1
    }

    fn together(&mut self) -> u64 {
        let mut total = 0_u64;
        if let [only] = self.open.as_slice() {
            self.rates[self.order[0]] = *only;
            return *only;
        }
        self.reset();
        for &index in &self.order[..self.open.len()] {
            let way = &self.ways[index];
            let rate = self.within(way, self.max.saturating_sub(total));
            self.rates[index] = rate;
            total = total.saturating_add(rate);
            if total == self.max {
                break;
            }
            book(way, rate, &mut self.left);
        }
        total
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
        // Each way rounds once on each lane.
        let slack = u64::try_from(self.order.len()).unwrap_or(0);
        self.is_cut(self.order, total.saturating_add(slack), &mut Vec::new())
    }

    /// Whether full lanes that carry no more than `most` together stand in every one of these ways
    /// on which none of `cut` does.
    fn is_cut(&self, ways: &[usize], most: u64, cut: &mut Vec<usize>) -> bool {
        let uncut = |place: &&usize| {
            let mut crossings = self.ways[**place].iter();
            !crossings.any(|crossing| cut.contains(&crossing.lane))
        };
        let Some(next) = ways.iter().find(uncut) else { return true };
        self.ways[*next].iter().any(|crossing| {
            let carries = self.carries(crossing);
            if most < carries || self.within(&[*crossing], 1) != 0 {
                return false;
            }
            cut.push(crossing.lane);
            let is_cut = self.is_cut(ways, most.saturating_sub(carries), cut);
            cut.pop();
            is_cut
        })
    }

    /// The most that all ways together carry over a lane.
    fn carries(&self, crossing: &Crossing) -> u64 {
        // Other ways may cross it less often: it carries most of those that do so least.
        let ways = self.order.iter().flat_map(|place| &self.ways[*place]);
        let times = ways.filter(|it| it.lane == crossing.lane).map(|it| it.factor.times()).min();
        let once = crossing.factor.carries(self.lows[crossing.lane].free);
        once.checked_div(times.unwrap_or(1).into()).unwrap_or(once)
    }

    /// Takes the most in all, if that is more than `total`, which the rates are now.
    fn exactly(&mut self, total: u64) {
        let mut lanes: Vec<Shared> = Vec::new();
        for lane in 0..self.lows.len() {
            let crossing = |place: &usize| self.ways[*place].iter().find(|it| it.lane == lane);
            let Some(any) = self.order.iter().find_map(crossing) else { continue };
            let times = |place| crossing(place).map_or(0, |it| it.factor.times());
            let times = self.order.iter().map(times).collect();
            lanes.push(Shared { times, limit: any.factor.carries(self.lows[lane].free) });
        }
        lanes.push(Shared { times: vec![1; self.order.len()], limit: self.max });
        let Some(most) = most(self.order.len(), &lanes) else { return };
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
        }
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

//! How much several ways carry together over a piece of time.

use tidegate_policy::BitRate;

use super::{Crossing, Volume};

/// Splits a rate over ways, again and again.
#[derive(Debug)]
pub(crate) struct Splitter<'w> {
    ways: &'w [Vec<Crossing>],
    max: u64,
    several: bool,
    /// The least that is free on each lane of the fan.
    pub(crate) lows: Vec<u64>,
    /// The rate on each way, after a split.
    pub(crate) rates: Vec<u64>,
    left: Vec<u64>,
}

impl<'w> Splitter<'w> {
    pub(crate) fn new(ways: &'w [Vec<Crossing>], volume: &Volume) -> Self {
        let lanes = ways.iter().flatten().map(|it| it.lane.saturating_add(1)).max().unwrap_or(0);
        Self {
            ways,
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
        for rate in self.rates.iter_mut().rev() {
            let less = surplus.min(*rate);
            *rate = rate.saturating_sub(less);
            surplus = surplus.saturating_sub(less);
        }
    }

    fn one(&mut self) -> BitRate {
        self.rates.fill(0);
        let mut best = (0, 0);
        for (index, way) in self.ways.iter().enumerate() {
            let rate = within(way, &self.lows, self.max);
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
        for (way, rate) in self.ways.iter().zip(&mut self.rates) {
            *rate = within(way, &self.left, self.max.saturating_sub(total));
            total = total.saturating_add(*rate);
            if total == self.max {
                break;
            }
            for crossing in way.iter().filter(|_| *rate != 0) {
                let booked = BitRate::from_bps(*rate).map_or(u64::MAX, |it| crossing.factor.amount(it));
                self.left[crossing.lane] = self.left[crossing.lane].saturating_sub(booked);
            }
        }
        BitRate::from_bps(total).unwrap_or(BitRate::MAX)
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

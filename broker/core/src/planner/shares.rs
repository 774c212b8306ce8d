//! What lanes have left, shared by weight: weighted max-min fairness by progressive filling.
//!
//! All shares rise together, each by its weight, until one reaches the most that it may have or a lane
//! that it draws on is full; those stay where they are, and the others go on (D. Bertsekas, R. Gallager,
//! *Data Networks*, 2nd ed., section 6.5.2). Numbers are whole bits per second; levels and costs in between
//! have 24 binary places, so a full lane may keep one part in some millions. A sum of draws is never above
//! what a lane has left.

use std::collections::{BTreeMap, BTreeSet};

/// Somebody who shares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sharer {
    /// How much it gets beside others.
    pub(crate) weight: u32,
    /// The most payload that is of use to it, in bits per second.
    pub(crate) most: u64,
    /// What it draws on lanes, each named once.
    pub(crate) draws: Vec<Draw>,
}

/// What a rate takes of a lane: as much of it, rounded up, as `booked` is of `payload`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Draw {
    /// The lane, by its number.
    pub(crate) lane: usize,
    /// So many bits of the lane
    pub(crate) booked: u64,
    /// for so many of payload.
    pub(crate) payload: u64,
}

impl Draw {
    /// What a payload rate takes of the lane.
    pub(crate) fn amount(self, bps: u64) -> u64 {
        let product = u128::from(bps).saturating_mul(self.booked.into());
        u64::try_from(product.div_ceil(self.payload.max(1).into())).unwrap_or(u64::MAX)
    }

    /// The highest payload rate that takes no more than `free` of the lane.
    pub(crate) fn within(self, free: u64) -> u64 {
        let product = u128::from(free).saturating_mul(self.payload.into());
        let bps = product.checked_div(self.booked.into()).unwrap_or(u128::MAX);
        u64::try_from(bps).unwrap_or(u64::MAX)
    }

    /// What one bit of payload takes, rounded up in its last binary place.
    fn cost(self) -> u128 {
        (u128::from(self.booked) << PLACES).div_ceil(self.payload.max(1).into())
    }

    /// Whether an amount may be rounded up.
    fn rounds(self) -> bool {
        self.booked.checked_rem(self.payload) != Some(0)
    }
}

/// Binary places of levels and of costs.
const PLACES: u32 = 24;

/// A lane while it is filled.
#[derive(Default)]
struct Filling {
    /// What it has left over those that rise no more, in bits per second and 48 binary places.
    room: u128,
    /// How fast it is filled by those that rise: cost times weight.
    slope: u128,
    /// Who draws on it.
    sharers: Vec<usize>,
}

impl Filling {
    /// The level at which it is full; `None` if nobody fills it.
    fn full_at(&self) -> Option<u128> {
        self.room.checked_div(self.slope)
    }
}

/// What each may have of `left`, the bits per second of each lane, by its number.
pub(crate) fn shares(left: &[u64], sharers: &[Sharer]) -> Vec<u64> {
    let mut lanes: BTreeMap<usize, Filling> = BTreeMap::new();
    // What is rounded up is at most one bit for each sharer.
    let mut rounded: BTreeMap<usize, u64> = BTreeMap::new();
    for (index, sharer) in sharers.iter().enumerate() {
        for draw in &sharer.draws {
            let lane = lanes.entry(draw.lane).or_default();
            lane.sharers.push(index);
            lane.slope = lane.slope.saturating_add(cost_of(*draw, sharer));
            let rounded = rounded.entry(draw.lane).or_default();
            *rounded = rounded.saturating_add(draw.rounds().into());
        }
    }
    let mut full = BTreeSet::new();
    for (number, lane) in &mut lanes {
        let left = left.get(*number).copied().unwrap_or(0);
        let lost = rounded.get(number).copied().unwrap_or(0);
        lane.room = u128::from(left.saturating_sub(lost)) << (2 * PLACES);
        full.extend(lane.full_at().map(|level| (level, *number)));
    }
    let enough = |(index, it): (usize, &Sharer)| (enough_at(it), index);
    let mut sated: BTreeSet<(u128, usize)> = sharers.iter().enumerate().map(enough).collect();
    let mut shares: Vec<Option<u64>> = vec![None; sharers.len()];
    let mut fill = Fill { sharers, lanes, full: &mut full, shares: &mut shares };
    loop {
        let (next, first) = (fill.full.first().copied(), sated.first().copied());
        match (next, first) {
            (Some((level, lane)), first) if first.is_none_or(|(sated, _)| level < sated) => {
                fill.stop_at(lane, level);
            }
            (_, Some(one)) => {
                sated.remove(&one);
                let (_, index) = one;
                let most = sharers.get(index).map_or(0, |sharer| sharer.most);
                fill.settle(index, most);
            }
            (_, None) => break,
        }
    }
    shares.into_iter().map(Option::unwrap_or_default).collect()
}

struct Fill<'a> {
    sharers: &'a [Sharer],
    lanes: BTreeMap<usize, Filling>,
    /// When each lane is full, as it is filled now.
    full: &'a mut BTreeSet<(u128, usize)>,
    shares: &'a mut [Option<u64>],
}

impl Fill<'_> {
    /// A lane is full: all that draw on it stay where they are.
    fn stop_at(&mut self, lane: usize, level: u128) {
        self.full.remove(&(level, lane));
        let on = self.lanes.get_mut(&lane).map(|it| std::mem::take(&mut it.sharers));
        for index in on.into_iter().flatten() {
            let Some(sharer) = self.sharers.get(index) else { continue };
            let share = level.saturating_mul(sharer.weight.into()) >> PLACES;
            let share = u64::try_from(share).unwrap_or(u64::MAX).min(sharer.most);
            self.settle(index, share);
        }
    }

    /// Somebody rises no more.
    fn settle(&mut self, index: usize, share: u64) {
        let Some((sharer, place)) = self.sharers.get(index).zip(self.shares.get_mut(index)) else {
            return;
        };
        if place.is_some() {
            return;
        }
        *place = Some(share);
        for draw in &sharer.draws {
            let Some(lane) = self.lanes.get_mut(&draw.lane) else { continue };
            if let Some(level) = lane.full_at() {
                self.full.remove(&(level, draw.lane));
            }
            let taken = draw.cost().saturating_mul(share.into()).saturating_mul(1 << PLACES);
            lane.room = lane.room.saturating_sub(taken);
            lane.slope = lane.slope.saturating_sub(cost_of(*draw, sharer));
            self.full.extend(lane.full_at().map(|level| (level, draw.lane)));
        }
    }
}

/// How fast somebody fills a lane.
fn cost_of(draw: Draw, sharer: &Sharer) -> u128 {
    draw.cost().saturating_mul(sharer.weight.max(1).into())
}

/// The level at which somebody has all that is of use to it.
fn enough_at(sharer: &Sharer) -> u128 {
    (u128::from(sharer.most) << PLACES).div_ceil(sharer.weight.max(1).into())
}

#[cfg(test)]
#[path = "shares_tests.rs"]
mod tests;

//! What the exact answer is: in each piece of time between two instants at which anything changes,
//! the most that the ways carry; the pieces depend on nothing but time, so taking all of each
//! finishes first.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::lane::LaneName;

use super::case::Wished;
use super::lp::{Shared, most};
use super::world::{Lane, World};

/// What whole numbers may cost: bookings round up for each way, and so may rates round down.
const PER_WAY: u64 = 2;

/// The highest rate at one instant: at least `surely`, at most `maybe`. They differ by what
/// rounding may cost, and are the same where one way is taken at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Highest {
    pub(super) surely: u64,
    pub(super) maybe: u64,
}

/// Which of the two is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bound {
    Surely,
    Maybe,
}

/// The lanes that are crossed, each once.
pub(super) struct Oracle<'a> {
    wish: Wished,
    lanes: Vec<&'a Lane>,
    /// How often each way crosses which of these lanes.
    ways: Vec<Vec<(usize, u32)>>,
    /// What is free on each lane, and what can be carried then.
    known: RefCell<BTreeMap<Vec<u64>, Highest>>,
    /// In how many pieces of time taking the shortest way first carries less than can be carried.
    pub(super) beyond_greed: RefCell<u64>,
}

impl<'a> Oracle<'a> {
    pub(super) fn new(world: &'a World, wish: Wished) -> Self {
        let names: BTreeSet<&LaneName> =
            world.ways.iter().flatten().map(|(name, _)| name).collect();
        let names: Vec<&LaneName> = names.into_iter().collect();
        let place = |name: &LaneName| names.iter().position(|known| *known == name).unwrap();
        let way = |way: &Vec<(LaneName, u32)>| {
            way.iter().map(|(name, times)| (place(name), *times)).collect()
        };
        Self {
            wish,
            ways: world.ways.iter().map(way).collect(),
            lanes: names.iter().map(|name| &world.lanes[*name]).collect(),
            known: RefCell::default(),
            beyond_greed: RefCell::default(),
        }
    }

    /// The same question to a network without bookings, maintenance and drains.
    pub(super) fn fits_empty(&self, (from, to): (i64, i64), need: u128, bound: Bound) -> bool {
        let free = self.lanes.iter().map(|lane| lane.capacity).collect();
        let rate = self.helps(self.highest(free), bound);
        need <= u128::from(rate) * u128::try_from(to - from).unwrap()
    }

    pub(super) fn is_drained(&self) -> bool {
        self.ways.iter().all(|way| way.iter().any(|(lane, _)| self.lanes[*lane].drained))
    }

    /// Pieces of time between which nothing changes, and the rate in each.
    fn pieces(&self, (from, to): (i64, i64), bound: Bound) -> Vec<(i64, i64, u64)> {
        let taken = self.lanes.iter().flat_map(|lane| &lane.taken);
        let mut edges: BTreeSet<i64> = taken.flat_map(|(from, to, _)| [*from, *to]).collect();
        edges.extend([from, to]);
        let edges: Vec<i64> = edges.into_iter().filter(|it| from <= *it && *it <= to).collect();
        let piece = |pair: &[i64]| {
            let free = self.lanes.iter().map(|lane| lane.free(pair[0])).collect();
            (pair[0], pair[1], self.helps(self.highest(free), bound))
        };
        edges.windows(2).map(piece).collect()
    }

    /// When a volume is carried, in bits per second times milliseconds; `None` if not by then.
    pub(super) fn finish(&self, window: (i64, i64), need: u128, bound: Bound) -> Option<i64> {
        let mut left = need;
        for (from, to, rate) in self.pieces(window, bound) {
            let carries = u128::from(rate) * u128::try_from(to - from).unwrap();
            if left <= carries {
                return Some(from + i64::try_from(left.div_ceil(rate.into())).unwrap());
            }
            left -= carries;
        }
        None
    }

    /// The most that is carried.
    pub(super) fn most(&self, window: (i64, i64), bound: Bound) -> u128 {
        let pieces = self.pieces(window, bound).into_iter();
        pieces.map(|(from, to, rate)| u128::from(rate) * u128::try_from(to - from).unwrap()).sum()
    }

    /// A rate, if it is one that helps.
    fn helps(&self, highest: Highest, bound: Bound) -> u64 {
        let rate = match bound {
            Bound::Surely => highest.surely,
            Bound::Maybe => highest.maybe,
        };
        if rate < self.wish.min { 0 } else { rate }
    }

    fn highest(&self, free: Vec<u64>) -> Highest {
        if let Some(known) = self.known.borrow().get(&free) {
            return *known;
        }
        let found = if self.wish.split { self.together(&free) } else { self.alone(&free) };
        self.known.borrow_mut().insert(free, found);
        found
    }

    fn alone(&self, free: &[u64]) -> Highest {
        let rates = self.ways.iter().map(|way| self.carries(way, free));
        let best = rates.max().unwrap_or(0).min(self.wish.max);
        Highest { surely: best, maybe: best }
    }

    fn together(&self, free: &[u64]) -> Highest {
        let open = self.ways.iter().filter(|way| way.iter().all(|(lane, _)| 0 < free[*lane]));
        let open: Vec<&Vec<(usize, u32)>> = open.collect();
        let crossed: BTreeSet<usize> =
            open.iter().flat_map(|way| way.iter().map(|it| it.0)).collect();
        let times = |way: &&Vec<(usize, u32)>, lane: usize| {
            way.iter().find(|(known, _)| *known == lane).map_or(0, |(_, times)| *times)
        };
        let shared = crossed.iter().map(|lane| Shared {
            times: open.iter().map(|way| times(way, *lane)).collect(),
            free: free[*lane],
            ppm: self.lanes[*lane].ppm,
        });
        let (most, rates) = most(open.len(), &shared.collect::<Vec<Shared>>());
        let found: u64 = rates.iter().sum();
        let rounding = PER_WAY * u64::try_from(open.len()).unwrap();
        assert!(most <= found + rounding, "{most} bit/s are not nearly carried by {rates:?}");
        let greedy = self.greedy(&open, free);
        if greedy + rounding < most.min(self.wish.max) {
            *self.beyond_greed.borrow_mut() += 1;
        }
        let maybe = most.min(self.wish.max);
        let surely = maybe.saturating_sub(rounding).max(greedy.min(maybe));
        Highest { surely, maybe }
    }

    /// Each way in turn takes what those before it have left.
    fn greedy(&self, ways: &[&Vec<(usize, u32)>], free: &[u64]) -> u64 {
        let mut free = free.to_vec();
        let mut sum = 0;
        for way in ways {
            let rate = self.carries(way, &free);
            for (lane, times) in way.iter() {
                free[*lane] -= self.lanes[*lane].amount(rate, *times);
            }
            sum += rate;
        }
        sum
    }

    fn carries(&self, way: &[(usize, u32)], free: &[u64]) -> u64 {
        let rates = way.iter().map(|(lane, times)| {
            let once = u128::from(free[*lane] / u64::from(*times));
            let payload = once * 1_000_000 / u128::from(1_000_000 + self.lanes[*lane].ppm);
            u64::try_from(payload).unwrap()
        });
        rates.min().unwrap_or(0)
    }
}

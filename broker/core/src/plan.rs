//! How a reservation's bytes are to move: rates over pieces of time, each on one of some ways.
//!
//! A rate over one interval is a plan of one segment. Breakpoints are exact, never slots; amounts
//! stand in the plan, so that nothing is computed anew when it is freed.

use std::collections::BTreeMap;

use tidegate_policy::{BitRate, ByteCount, Interval, Timestamp};

use crate::event::{Booked, Route};
use crate::lane::LaneName;
use crate::timeline::Timeline;

/// How a reservation's bytes are to move.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The ways that its segments take; segments name them by their place here.
    pub ways: Vec<PlanWay>,
    /// In the order of their starts, then of their ways; at least one.
    pub segments: Vec<Segment>,
}

/// A way that bytes take, and the lanes that they book there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlanWay {
    /// The way.
    pub route: Route,
    /// The lanes that are booked, in path order.
    pub lanes: Vec<LaneName>,
}

/// A rate on one way over an interval.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// The place of its way in the plan.
    pub way: usize,
    /// When.
    pub over: Interval,
    /// The payload rate.
    pub rate: BitRate,
    /// What is booked on each lane of the way, in bits per second of that lane. The truth,
    /// whatever a formula says today.
    pub amounts: Vec<u64>,
}

/// What a rate carries over an interval, in bits per second times milliseconds: exact, where
/// bytes would have to be rounded.
#[must_use]
pub fn carried(rate: BitRate, over: Interval) -> u128 {
    u128::from(rate.bps()).saturating_mul(over.span().as_ms().into())
}

/// Bits per second times milliseconds in a byte.
const PER_BYTE: u128 = 8000;

/// A volume in bits per second times milliseconds.
#[must_use]
pub fn volume(bytes: ByteCount) -> u128 {
    u128::from(bytes.bytes()).saturating_mul(PER_BYTE)
}

/// The whole bytes in so many bits per second times milliseconds.
#[must_use]
pub fn bytes(volume: u128) -> ByteCount {
    let bytes = volume.checked_div(PER_BYTE).unwrap_or(0);
    ByteCount::new(u64::try_from(bytes).unwrap_or(u64::MAX))
}

/// The same with a byte that is begun counted as a whole one.
#[must_use]
pub(crate) fn bytes_up(volume: u128) -> ByteCount {
    ByteCount::new(u64::try_from(volume.div_ceil(PER_BYTE)).unwrap_or(u64::MAX))
}

impl Plan {
    /// A rate on one way over one interval.
    #[must_use]
    pub fn single(route: Route, over: Interval, rate: BitRate, booked: Vec<Booked>) -> Self {
        let (lanes, amounts) = booked.into_iter().map(|it| (it.lane, it.amount)).unzip();
        let ways = vec![PlanWay { route, lanes }];
        Self { ways, segments: vec![Segment { way: 0, over, rate, amounts }] }
    }

    /// The way of its first segment.
    #[must_use]
    pub fn route(&self) -> Option<&Route> {
        self.first_way().map(|way| &way.route)
    }

    /// From its first start to its last end; `None` only of a plan that is not sound.
    #[must_use]
    pub fn interval(&self) -> Option<Interval> {
        let start = self.segments.iter().map(|it| it.over.start()).min()?;
        let end = self.segments.iter().map(|it| it.over.end()).max()?;
        Interval::new(start, end)
    }

    /// The highest payload rate at one instant, all ways together.
    #[must_use]
    pub fn peak(&self) -> BitRate {
        match self.segments.as_slice() {
            [only] => only.rate,
            _ => {
                let top = self.rates().steps().map(|(_, level)| level).max().unwrap_or(0);
                BitRate::from_bps(top).unwrap_or(BitRate::MAX)
            }
        }
    }

    /// The payload rate over time, all ways together.
    #[must_use]
    pub fn rates(&self) -> Timeline {
        let mut rates = Timeline::default();
        for segment in &self.segments {
            let summed = rates.book(segment.over, segment.rate.bps());
            debug_assert!(summed.is_ok(), "rates of one plan do not overflow");
        }
        rates
    }

    /// Everything that it books.
    pub fn bookings(&self) -> impl Iterator<Item = (&LaneName, Interval, u64)> {
        self.segments.iter().flat_map(move |segment| {
            let lanes = self.ways.get(segment.way).map_or(&[][..], |way| &way.lanes);
            let pairs = lanes.iter().zip(&segment.amounts);
            pairs.map(move |(lane, amount)| (lane, segment.over, *amount))
        })
    }

    /// Every lane that it books, once for each way that does.
    pub fn lanes(&self) -> impl Iterator<Item = &LaneName> {
        self.ways.iter().flat_map(|way| &way.lanes)
    }

    /// The most that it books on each lane at one instant, in the order of its ways.
    #[must_use]
    pub fn booked(&self) -> Vec<Booked> {
        if let ([way], [only]) = (self.ways.as_slice(), self.segments.as_slice()) {
            let pairs = way.lanes.iter().zip(&only.amounts);
            return pairs
                .map(|(lane, amount)| Booked { lane: lane.clone(), amount: *amount })
                .collect();
        }
        let mut levels: BTreeMap<&LaneName, Timeline> = BTreeMap::new();
        for (lane, over, amount) in self.bookings() {
            let summed = levels.entry(lane).or_default().book(over, amount);
            debug_assert!(summed.is_ok(), "what stands on a lane together does not overflow");
        }
        let mut booked: Vec<Booked> = Vec::new();
        for lane in self.lanes() {
            let top = levels.remove(lane).into_iter();
            let top = top.flat_map(|line| line.steps().map(|(_, level)| level).max());
            booked.extend(top.map(|amount| Booked { lane: lane.clone(), amount }));
        }
        booked
    }

    /// What it carries inside of `over`, in bits per second times milliseconds.
    #[must_use]
    pub fn carries(&self, over: Interval) -> u128 {
        let parts = self.segments.iter().filter_map(|it| Some((it.rate, it.over.within(over)?)));
        parts.map(|(rate, over)| carried(rate, over)).fold(0, u128::saturating_add)
    }

    /// What it carries in all, in bits per second times milliseconds.
    #[must_use]
    pub fn total(&self) -> u128 {
        let parts = self.segments.iter().map(|it| carried(it.rate, it.over));
        parts.fold(0, u128::saturating_add)
    }

    /// The part of it inside of `over`; it may be empty.
    #[must_use]
    pub fn within(&self, over: Interval) -> Self {
        let part = |it: &Segment| Some(Segment { over: it.over.within(over)?, ..it.clone() });
        let segments = self.segments.iter().filter_map(part).collect();
        Self { ways: self.ways.clone(), segments }.tidy()
    }

    /// One after the other: this one, then what begins where it ends at the earliest.
    #[must_use]
    pub fn then(mut self, later: Self) -> Self {
        let places: Vec<usize> = later.ways.into_iter().map(|way| self.place_of(way)).collect();
        for segment in later.segments {
            let way = places.get(segment.way).copied().unwrap_or(usize::MAX);
            self.segments.push(Segment { way, ..segment });
        }
        self.tidy()
    }

    /// The same without ways that no segment takes, and with pieces joined that differ in nothing.
    #[must_use]
    pub fn tidy(self) -> Self {
        let Self { ways, mut segments } = self;
        segments.sort_by_key(|it| (it.over.start(), it.way));
        let mut tidy = Self { ways: Vec::new(), segments: Vec::new() };
        // The last piece so far of each way, by the new place of the way.
        let mut last: BTreeMap<usize, usize> = BTreeMap::new();
        for segment in segments {
            let Some(way) = ways.get(segment.way) else { continue };
            let way = tidy.place_of(way.clone());
            let before = last.get(&way).and_then(|place| tidy.segments.get_mut(*place));
            if let Some(before) = before
                && before.over.end() == segment.over.start()
                && (before.rate, &before.amounts) == (segment.rate, &segment.amounts)
                && let Some(over) = Interval::new(before.over.start(), segment.over.end())
            {
                before.over = over;
                continue;
            }
            last.insert(way, tidy.segments.len());
            tidy.segments.push(Segment { way, ..segment });
        }
        tidy
    }

    /// Whether it is a plan at all: something to do, on ways that it has, none busy twice at once.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let mut free_from: BTreeMap<usize, Timestamp> = BTreeMap::new();
        let fits = |segment: &Segment| {
            let lanes = self.ways.get(segment.way).map(|way| way.lanes.len());
            let before = free_from.insert(segment.way, segment.over.end());
            lanes == Some(segment.amounts.len())
                && before.is_none_or(|before| before <= segment.over.start())
        };
        !self.segments.is_empty() && self.segments.iter().all(fits)
    }

    fn first_way(&self) -> Option<&PlanWay> {
        self.segments.first().and_then(|segment| self.ways.get(segment.way))
    }

    fn place_of(&mut self, way: PlanWay) -> usize {
        let place = self.ways.iter().position(|known| *known == way);
        place.unwrap_or_else(|| {
            self.ways.push(way);
            self.ways.len().saturating_sub(1)
        })
    }
}

//! One capacity over time, and how a payload rate becomes an amount on it.

use std::fmt;
use std::sync::Arc;

use tidegate_policy::{BitRate, Interval, Span, Timestamp};

use crate::timeline::Timeline;

/// The name of a lane: its resource and its direction, such as `links/spine-1/forward`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LaneName(Arc<str>);

impl LaneName {
    /// The lane of this name.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a lane can carry, by declaration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaneDef {
    /// The declared rate, in bits per second.
    pub nominal: u64,
    /// What can be booked: nominal less what is reserved, in bits per second.
    pub capacity: u64,
    /// Headers on top of the payload, in parts per million of it.
    pub overhead_ppm: u32,
}

/// A lane as it stands: what it can carry and what is booked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lane {
    /// What it can carry; `None` once it left the topology, while bookings of the past remain.
    pub def: Option<LaneDef>,
    /// What is booked.
    pub timeline: Timeline,
}

impl Lane {
    /// What can be booked on it, in bits per second.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.def.as_ref().map_or(0, |def| def.capacity)
    }

    /// The least that is free at one instant of `over`, in bits per second.
    #[must_use]
    pub fn free(&self, over: Interval) -> u64 {
        self.capacity().saturating_sub(self.timeline.peak(over))
    }

    /// The first start from `after` to `latest` from which `amount` is free for all of `span`.
    #[must_use]
    pub fn earliest(
        &self,
        after: Timestamp,
        latest: Timestamp,
        span: Span,
        amount: u64,
    ) -> Option<Timestamp> {
        let ceiling = self.capacity().checked_sub(amount)?;
        self.timeline.earliest(after, latest, span, ceiling)
    }

    /// What is free at the start of `over` and from each change inside of it on, in bits per
    /// second.
    pub fn steps(&self, over: Interval) -> impl Iterator<Item = (Timestamp, u64)> + '_ {
        let capacity = self.capacity();
        let levels = self.timeline.steps_in(over);
        levels.map(move |(instant, level)| (instant, capacity.saturating_sub(level)))
    }
}

/// What the bookings of a rate depend on besides the lanes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// It may count on others not using what they have booked.
    pub shared: bool,
    /// Over how many parallel streams its bytes are spread, at least 1.
    pub streams: u16,
}

impl Default for Terms {
    fn default() -> Self {
        Self { shared: false, streams: 1 }
    }
}

/// What a path needs of one lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaneNeed {
    /// The lane.
    pub lane: LaneName,
    /// Headers on top of the payload, in parts per million of it.
    pub overhead_ppm: u32,
    /// How often the path crosses it: a lane named twice carries the bytes twice.
    pub times: u32,
}

const PPM: u128 = 1_000_000;

impl LaneNeed {
    /// The amount booked for a payload rate, rounded up: the only place where bookings round.
    #[must_use]
    pub fn amount(&self, rate: BitRate) -> u64 {
        let wire = u128::from(rate.bps()).saturating_mul(self.per_million()).div_ceil(PPM);
        let all = wire.saturating_mul(u128::from(self.times));
        u64::try_from(all).unwrap_or(u64::MAX)
    }

    /// The highest payload rate whose amount fits into `free`, rounded down: the inverse of
    /// [`Self::amount`] and the only place where headroom rounds.
    #[must_use]
    pub fn rate_within(&self, free: u64) -> BitRate {
        let once = u128::from(free).checked_div(u128::from(self.times)).unwrap_or(0);
        let bps = once.saturating_mul(PPM).checked_div(self.per_million()).unwrap_or(0);
        u64::try_from(bps).ok().and_then(BitRate::from_bps).unwrap_or(BitRate::MAX)
    }

    fn per_million(&self) -> u128 {
        PPM.saturating_add(u128::from(self.overhead_ppm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The highest rate that is said to fit does, and one bit more does not.
        #[test]
        fn rate_within_is_the_exact_inverse_of_amount(
            free in 0..=BitRate::MAX.bps(), overhead_ppm in 0..=1_000_000_u32, times in 1..4_u32,
        ) {
            let need = LaneNeed { lane: LaneName::new("l"), overhead_ppm, times };
            let rate = need.rate_within(free);
            prop_assert!(need.amount(rate) <= free);
            let more = BitRate::from_bps(rate.bps() + 1).unwrap();
            prop_assert!(free < need.amount(more));
        }
    }
}

//! The lengths of buckets that are kept: minutes, hours and days of UTC.

use tidegate_policy::{Interval, Timestamp};

use crate::config::ReportsConfig;

/// How long a kept bucket is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Grain {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day of UTC.
    Day,
}

/// A minute in milliseconds.
pub(crate) const MINUTE_MS: i64 = 60_000;
/// An hour in milliseconds.
pub(crate) const HOUR_MS: i64 = 60 * MINUTE_MS;
/// A day in milliseconds.
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

impl Grain {
    /// All of them, the shortest first.
    pub(crate) const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// How long one bucket is, in milliseconds.
    pub(crate) const fn ms(self) -> i64 {
        match self {
            Self::Minute => MINUTE_MS,
            Self::Hour => HOUR_MS,
            Self::Day => DAY_MS,
        }
    }

    /// How long the buckets of one stored value are together, in milliseconds: an hour of minutes, a
    /// day of hours, 32 days of days.
    pub(crate) const fn block_ms(self) -> i64 {
        match self {
            Self::Minute => HOUR_MS,
            Self::Hour => DAY_MS,
            Self::Day => 32 * DAY_MS,
        }
    }

    /// From when on its buckets are kept, in milliseconds since the epoch.
    pub(crate) fn kept_from(self, config: &ReportsConfig, now: i64) -> i64 {
        let kept = match self {
            Self::Minute => i64::try_from(config.minutes_kept.as_ms()).unwrap_or(i64::MAX),
            Self::Hour => i64::try_from(config.hours_kept.as_ms()).unwrap_or(i64::MAX),
            Self::Day => i64::from(config.days_kept).saturating_mul(DAY_MS),
        };
        now.saturating_sub(kept)
    }

    /// Its number in the database; never changes.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Minute => 0,
            Self::Hour => 1,
            Self::Day => 2,
        }
    }

    /// The start of the bucket that an instant lies in.
    pub(crate) const fn floor(self, at: i64) -> i64 {
        floor(at, self.ms())
    }

    /// The block that a bucket lies in, and which of its buckets it is.
    pub(crate) fn place(self, bucket: i64) -> (i64, u8) {
        let start = floor(bucket, self.block_ms());
        let index = bucket.saturating_sub(start).div_euclid(self.ms());
        (start, u8::try_from(index).unwrap_or(u8::MAX))
    }

    /// The start of a bucket of a block.
    pub(crate) fn at(self, block: i64, index: u8) -> i64 {
        block.saturating_add(i64::from(index).saturating_mul(self.ms()))
    }
}

/// The last multiple of `step` that does not lie behind `at`.
pub(crate) const fn floor(at: i64, step: i64) -> i64 {
    at.div_euclid(step).saturating_mul(step)
}

/// The first multiple of `step` that does not lie before `at`.
pub(crate) const fn ceil(at: i64, step: i64) -> i64 {
    let down = floor(at, step);
    if down == at { at } else { down.saturating_add(step) }
}

/// An interval in pieces, none over a multiple of `step`: each with the multiple that it follows.
pub(crate) fn pieces(over: Interval, step: i64) -> impl Iterator<Item = (i64, Interval)> {
    let mut next = Some(over.start());
    std::iter::from_fn(move || {
        let start = next?;
        let bucket = floor(start.as_ms(), step);
        let until = Timestamp::from_ms(bucket.saturating_add(step)).unwrap_or(Timestamp::MAX);
        let end = until.min(over.end());
        next = (end < over.end()).then_some(end);
        Some((bucket, Interval::new(start, end)?))
    })
}

/// An interval between two instants in milliseconds; `None` if it is empty or too far away.
pub(crate) fn interval(start: i64, end: i64) -> Option<Interval> {
    Interval::new(Timestamp::from_ms(start)?, Timestamp::from_ms(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_one_place_and_comes_back_from_it() {
        for grain in Grain::ALL {
            for at in [0, 1, 59_999, HOUR_MS - 1, DAY_MS, 40 * DAY_MS + 7, 1_764_451_234_567] {
                let bucket = grain.floor(at);
                assert!(bucket <= at && at < bucket + grain.ms());
                let (block, index) = grain.place(bucket);
                assert!(i64::from(index) < grain.block_ms() / grain.ms());
                assert_eq!(grain.at(block, index), bucket);
            }
        }
    }

    #[test]
    fn pieces_add_up_and_cross_nothing() {
        let over = interval(30_000, 150_500).unwrap();
        let pieces: Vec<_> = pieces(over, MINUTE_MS).collect();
        let ends =
            pieces.iter().map(|(bucket, it)| (*bucket, it.start().as_ms(), it.end().as_ms()));
        let wanted = [(0, 30_000, 60_000), (60_000, 60_000, 120_000), (120_000, 120_000, 150_500)];
        assert_eq!(ends.collect::<Vec<_>>(), wanted);
    }
}

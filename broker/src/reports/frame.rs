//! The time that a report looks at, and the buckets that it is divided into.

use tidegate_policy::{Interval, Timestamp};

use super::grain::{DAY_MS, Grain, HOUR_MS, MINUTE_MS, ceil, floor, interval};

/// A range of whole buckets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Frame {
    /// The first instant, in milliseconds since the epoch.
    pub(crate) start: i64,
    /// The first instant past it.
    pub(crate) end: i64,
    /// How long each bucket is, in milliseconds.
    pub(crate) bucket: i64,
}

/// The most buckets of a range.
pub(crate) const BUCKETS_MAX: i64 = 10_000;
/// The most buckets of a range whose asker did not say how long they are to be.
const CHOSEN_MAX: i64 = 300;
/// The lengths that are chosen from.
const CHOICES: [i64; 11] = [
    MINUTE_MS,
    5 * MINUTE_MS,
    15 * MINUTE_MS,
    HOUR_MS,
    3 * HOUR_MS,
    12 * HOUR_MS,
    DAY_MS,
    2 * DAY_MS,
    4 * DAY_MS,
    8 * DAY_MS,
    16 * DAY_MS,
];

impl Frame {
    /// Whole buckets around a range.
    pub(crate) fn new((start, end): (i64, i64), bucket: i64) -> Self {
        Self { start: floor(start, bucket), end: ceil(end, bucket), bucket }
    }

    /// The shortest buckets of which there are few enough, none shorter than is kept.
    pub(crate) fn chosen(range: (i64, i64), least: Grain) -> Self {
        let mut choices = CHOICES.into_iter().filter(|bucket| least.ms() <= *bucket);
        let fits = |bucket: &i64| Self::new(range, *bucket).count() <= CHOSEN_MAX;
        let bucket = choices.find(fits).unwrap_or(16 * DAY_MS);
        Self::new(range, bucket)
    }

    /// How many buckets there are.
    pub(crate) const fn count(&self) -> i64 {
        self.end.saturating_sub(self.start).div_euclid(self.bucket)
    }

    /// The bucket that an instant lies in, counted from the start; `None` if it lies in none.
    pub(crate) fn index(&self, at: i64) -> Option<usize> {
        let index = at.saturating_sub(self.start).div_euclid(self.bucket);
        usize::try_from(index).ok().filter(|_| at < self.end)
    }

    /// The first instant of a bucket.
    pub(crate) fn at(&self, index: usize) -> i64 {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        self.start.saturating_add(index.saturating_mul(self.bucket))
    }

    /// The longest kept buckets that add up to these.
    pub(crate) const fn grain(&self) -> Grain {
        if self.bucket % DAY_MS == 0 {
            Grain::Day
        } else if self.bucket % HOUR_MS == 0 {
            Grain::Hour
        } else {
            Grain::Minute
        }
    }

    /// The part of it before an instant, and the part from it on.
    pub(crate) fn parted(&self, at: i64) -> (Option<Interval>, Option<Interval>) {
        let at = at.clamp(self.start, self.end);
        (interval(self.start, at), interval(at, self.end))
    }

    /// All of it.
    pub(crate) fn range(&self) -> (i64, i64) {
        (self.start, self.end)
    }

    /// Its first instant.
    pub(crate) fn starts(&self) -> Timestamp {
        Timestamp::from_ms(self.start).unwrap_or(Timestamp::EPOCH)
    }

    /// The first instant past it.
    pub(crate) fn ends(&self) -> Timestamp {
        Timestamp::from_ms(self.end).unwrap_or(Timestamp::MAX)
    }
}

/// What is wrong with a length of buckets.
pub(crate) fn bucket_fault(ms: i64) -> Option<&'static str> {
    let whole = 0 < ms && ms % MINUTE_MS == 0;
    let part = whole && (DAY_MS % ms == 0 || ms % DAY_MS == 0);
    (!part).then_some("it is not whole minutes that are a part of a day, or whole days; write 1m, 5m, 15m, 1h, 3h, 12h or 1day")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_chosen_so_that_there_are_few() {
        let day = Frame::chosen((7, DAY_MS), Grain::Minute);
        assert_eq!((day.start, day.bucket, day.count()), (0, 5 * MINUTE_MS, 288));
        assert_eq!(Frame::chosen((0, HOUR_MS), Grain::Minute).bucket, MINUTE_MS);
        assert_eq!(Frame::chosen((0, HOUR_MS), Grain::Hour).count(), 1);
        let longest = Frame::chosen((0, 1500 * DAY_MS), Grain::Minute);
        assert!(longest.count() <= CHOSEN_MAX, "{longest:?}");
    }

    #[test]
    fn only_buckets_that_fit_into_days_are_taken() {
        for good in [MINUTE_MS, 15 * MINUTE_MS, 8 * HOUR_MS, DAY_MS, 7 * DAY_MS] {
            assert_eq!(bucket_fault(good), None, "{good}");
        }
        for bad in [0, -MINUTE_MS, 1, 7 * MINUTE_MS, 5 * HOUR_MS, DAY_MS + HOUR_MS] {
            assert!(bucket_fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn every_bucket_has_its_index() {
        let frame = Frame::new((MINUTE_MS + 1, 4 * MINUTE_MS), MINUTE_MS);
        let all: Vec<_> = (0..6).map(|minute| frame.index(minute * MINUTE_MS)).collect();
        assert_eq!(all, [None, Some(0), Some(1), Some(2), None, None]);
        assert_eq!(frame.at(2), 3 * MINUTE_MS);
    }
}

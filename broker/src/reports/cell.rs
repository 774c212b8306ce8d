//! What is known of something in one bucket, and its bytes in the database.
//!
//! Everything is a sum of exact integers but the peak, which is the most of its parts. So cells of
//! short buckets merge into those of long ones, and nothing is rounded before it is shown.

use crate::reports::varint::{Reader, put};

/// What is known of a lane, a project, a class, or a project on a lane in one bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cell {
    /// What is booked, in bits times milliseconds per second: of a lane in its own bits, of a project
    /// or class in payload. Signed, because what came late may be taken back.
    pub(crate) booked: i128,
    /// The part of it of which nobody reports how much moved.
    pub(crate) unreported: i128,
    /// The most that was booked at one instant, in bits per second; of lanes only.
    pub(crate) peak: u64,
    /// What moved, in payload bytes.
    pub(crate) used: u64,
    /// Requests that were granted; not of lanes.
    pub(crate) granted: u64,
    /// Requests that were refused; not of lanes.
    pub(crate) refused: u64,
    /// What was observed to cross a lane, in bytes of the lane.
    pub(crate) carried: u64,
    /// For how long that was observed, in milliseconds.
    pub(crate) observed_ms: u64,
}

impl Cell {
    /// Takes another part of the same bucket, or a bucket within it, in.
    pub(crate) fn merge(&mut self, other: &Self) {
        let Self { booked, unreported, peak, used, granted, refused, carried, observed_ms } = other;
        self.booked = self.booked.saturating_add(*booked);
        self.unreported = self.unreported.saturating_add(*unreported);
        self.peak = self.peak.max(*peak);
        for (sum, more) in [
            (&mut self.used, used),
            (&mut self.granted, granted),
            (&mut self.refused, refused),
            (&mut self.carried, carried),
            (&mut self.observed_ms, observed_ms),
        ] {
            *sum = sum.saturating_add(*more);
        }
    }

    /// Whether there is nothing to keep.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Writes it behind its place in a block: a bit for each number that is there, then those.
    pub(crate) fn write(&self, index: u8, out: &mut Vec<u8>) {
        let numbers = self.numbers();
        let bits = numbers.iter().enumerate().filter(|(_, number)| **number != 0);
        let mask = bits.fold(0_u8, |mask, (bit, _)| mask | (1 << bit));
        out.extend([index, mask]);
        numbers.into_iter().filter(|number| *number != 0).for_each(|number| put(out, number));
    }

    /// Reads one; `None` at the end, or where the bytes are none.
    pub(crate) fn read(bytes: &mut Reader<'_>) -> Option<(u8, Self)> {
        let (index, mask) = (bytes.byte()?, bytes.byte()?);
        let mut numbers = [0_u128; 8];
        for (bit, number) in numbers.iter_mut().enumerate() {
            if mask & (1 << bit) != 0 {
                *number = bytes.number()?;
            }
        }
        Some((index, Self::of(numbers)))
    }

    /// In the order of the database, which only ever grows.
    fn numbers(&self) -> [u128; 8] {
        [
            zigzag(self.booked),
            zigzag(self.unreported),
            self.peak.into(),
            self.used.into(),
            self.granted.into(),
            self.refused.into(),
            self.carried.into(),
            self.observed_ms.into(),
        ]
    }

    fn of(numbers: [u128; 8]) -> Self {
        let [booked, unreported, peak, used, granted, refused, carried, observed_ms] = numbers;
        let short = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
        Self {
            booked: unzigzag(booked),
            unreported: unzigzag(unreported),
            peak: short(peak),
            used: short(used),
            granted: short(granted),
            refused: short(refused),
            carried: short(carried),
            observed_ms: short(observed_ms),
        }
    }
}

/// Small numbers of either sign as small numbers.
fn zigzag(number: i128) -> u128 {
    let doubled = number.unsigned_abs().saturating_mul(2);
    if number < 0 { doubled.saturating_sub(1) } else { doubled }
}

fn unzigzag(number: u128) -> i128 {
    let half = i128::try_from(number.div_ceil(2)).unwrap_or(i128::MAX);
    if number.is_multiple_of(2) { half } else { half.saturating_neg() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let all = Cell {
            booked: -(1 << 90),
            unreported: 1 << 80,
            peak: 10_u64.pow(15),
            used: u64::MAX,
            granted: 1,
            refused: 127,
            carried: 128,
            observed_ms: 60_000,
        };
        let some = Cell { used: 5, ..Cell::default() };
        let mut bytes = Vec::new();
        all.write(59, &mut bytes);
        some.write(3, &mut bytes);
        Cell::default().write(0, &mut bytes);
        let mut reader = Reader::new(&bytes);
        assert_eq!(Cell::read(&mut reader), Some((59, all)));
        assert_eq!(Cell::read(&mut reader), Some((3, some)));
        assert_eq!(Cell::read(&mut reader), Some((0, Cell::default())));
        assert_eq!(Cell::read(&mut reader), None);
    }

    #[test]
    fn parts_make_a_whole() {
        let part = |booked, peak, used| Cell { booked, peak, used, ..Cell::default() };
        let mut whole = part(7, 5, 1);
        whole.merge(&part(-2, 9, 2));
        assert_eq!(whole, part(5, 9, 3));
    }
}

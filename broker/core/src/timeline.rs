//! The exact step function of what is booked on one lane.
//!
//! A breakpoint holds the level from its instant on; before the first and after the last one
//! nothing is booked. Neighbours always differ, so equal functions are equal maps, and a timeline
//! from which everything was freed is empty again. Never slots: instants are exact.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};

use tidegate_policy::{Interval, Span, Timestamp};

/// What is booked on a lane, in bits per second of that lane, over time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Timeline {
    levels: BTreeMap<Timestamp, u64>,
}

/// An amount that cannot be booked or freed: the caller's ledger and this one disagree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Imbalance;

impl Timeline {
    /// The most that is booked at one instant of `over`.
    #[must_use]
    pub fn peak(&self, over: Interval) -> u64 {
        let inside = self.levels.range((Excluded(over.start()), Excluded(over.end())));
        inside.map(|(_, level)| *level).fold(self.level_at(over.start()), u64::max)
    }

    /// What is booked at `instant`.
    #[must_use]
    pub fn level_at(&self, instant: Timestamp) -> u64 {
        self.levels.range(..=instant).next_back().map_or(0, |(_, level)| *level)
    }

    /// Books `amount` more over `over`.
    ///
    /// # Errors
    /// [`Imbalance`] if a level would pass 64 bits; nothing has changed then.
    pub fn book(&mut self, over: Interval, amount: u64) -> Result<(), Imbalance> {
        self.peak(over).checked_add(amount).ok_or(Imbalance)?;
        self.shift(over, |level| level.saturating_add(amount));
        Ok(())
    }

    /// Frees `amount` over `over`.
    ///
    /// # Errors
    /// [`Imbalance`] if less than that is booked somewhere; nothing has changed then.
    pub fn free(&mut self, over: Interval, amount: u64) -> Result<(), Imbalance> {
        let inside = self.levels.range((Excluded(over.start()), Excluded(over.end())));
        let floor = inside.map(|(_, level)| *level).fold(self.level_at(over.start()), u64::min);
        if floor < amount {
            return Err(Imbalance);
        }
        self.shift(over, |level| level.saturating_sub(amount));
        Ok(())
    }

    /// Books all of `other` on top.
    ///
    /// # Errors
    /// [`Imbalance`] if a level would pass 64 bits; what fitted is booked then.
    pub fn add(&mut self, other: &Self) -> Result<(), Imbalance> {
        let edges = other.levels.iter().zip(other.levels.keys().skip(1));
        for ((from, level), to) in edges {
            let over = Interval::new(*from, *to).filter(|_| *level != 0);
            over.map_or(Ok(()), |over| self.book(over, *level))?;
        }
        Ok(())
    }

    /// The first start from `after` to `latest` at which the level stays at or below `ceiling`
    /// for all of `span`.
    #[must_use]
    pub fn earliest(
        &self,
        after: Timestamp,
        latest: Timestamp,
        span: Span,
        ceiling: u64,
    ) -> Option<Timestamp> {
        // One pass: a level above the ceiling rules out every start up to its end, and the first
        // start that no such level reaches within its span is the answer.
        let mut candidate = after;
        let mut blocked = ceiling < self.level_at(after);
        for (&instant, &level) in self.levels.range((Excluded(after), Unbounded)) {
            if blocked {
                candidate = instant;
            } else if candidate.plus(span) <= instant {
                break;
            }
            blocked = ceiling < level;
            if latest < candidate {
                return None;
            }
        }
        (!blocked && candidate <= latest).then_some(candidate)
    }

    /// The breakpoints: the level from each instant on.
    pub fn steps(&self) -> impl Iterator<Item = (Timestamp, u64)> + '_ {
        self.levels.iter().map(|(instant, level)| (*instant, *level))
    }

    /// The level from each instant of `over` on: at its start, then at every breakpoint inside.
    pub fn steps_over(&self, over: Interval) -> impl Iterator<Item = (Timestamp, u64)> + '_ {
        let inside = self.levels.range((Excluded(over.start()), Excluded(over.end())));
        let inside = inside.map(|(instant, level)| (*instant, *level));
        std::iter::once((over.start(), self.level_at(over.start()))).chain(inside)
    }

    /// The level over each piece of `over` between two breakpoints.
    pub fn pieces(&self, over: Interval) -> impl Iterator<Item = (Interval, u64)> + '_ {
        let mut steps = self.steps_over(over).peekable();
        std::iter::from_fn(move || {
            let (start, level) = steps.next()?;
            let end = steps.peek().map_or(over.end(), |(next, _)| *next);
            Some((Interval::new(start, end)?, level))
        })
    }

    /// Whether nothing is booked at any instant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Moves every level inside of `over`, which must not make neighbours equal there.
    fn shift(&mut self, over: Interval, moved: impl Fn(u64) -> u64) {
        for edge in [over.start(), over.end()] {
            let level = self.level_at(edge);
            self.levels.entry(edge).or_insert(level);
        }
        for (_, level) in self.levels.range_mut((Included(over.start()), Excluded(over.end()))) {
            *level = moved(*level);
        }
        // Inside, all levels moved alike, so only the two edges can have become superfluous.
        for edge in [over.start(), over.end()] {
            let before = self.levels.range(..edge).next_back().map_or(0, |(_, level)| *level);
            if self.levels.get(&edge) == Some(&before) {
                self.levels.remove(&edge);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms).unwrap()
    }

    fn over(start: i64, end: i64) -> Interval {
        Interval::new(at(start), at(end)).unwrap()
    }

    fn span(ms: u64) -> Span {
        Span::from_ms(ms).unwrap()
    }

    #[test]
    fn touching_bookings_do_not_add_up() {
        let mut line = Timeline::default();
        line.book(over(0, 10), 4).unwrap();
        line.book(over(10, 20), 4).unwrap();
        assert_eq!(line.peak(over(0, 20)), 4);
        assert_eq!(line.steps().count(), 2, "equal neighbours are one step");
    }

    #[test]
    fn equal_bookings_add_up() {
        let mut line = Timeline::default();
        line.book(over(0, 10), 4).unwrap();
        line.book(over(0, 10), 4).unwrap();
        assert_eq!(line.peak(over(9, 10)), 8);
        line.free(over(0, 10), 4).unwrap();
        line.free(over(0, 10), 4).unwrap();
        assert!(line.is_empty());
    }

    #[test]
    fn what_is_not_booked_cannot_be_freed() {
        let mut line = Timeline::default();
        line.book(over(0, 10), 4).unwrap();
        let before = line.clone();
        assert_eq!(line.free(over(5, 11), 1), Err(Imbalance));
        assert_eq!(line.book(over(5, 11), u64::MAX), Err(Imbalance));
        assert_eq!(line, before);
    }

    proptest! {
        /// Every answer equals one computed instant by instant from the list of bookings.
        #[test]
        fn equals_the_list_of_bookings(
            bookings in prop::collection::vec((0..40_i64, 1..20_i64, 1..5_u64, any::<bool>()), 0..24),
            (start, length, ceiling) in (0..50_i64, 1..20_i64, 0..12_u64),
        ) {
            let mut line = Timeline::default();
            let mut list = Vec::new();
            for (from, length, amount, kept) in bookings {
                line.book(over(from, from + length), amount).unwrap();
                if kept {
                    list.push((over(from, from + length), amount));
                } else {
                    line.free(over(from, from + length), amount).unwrap();
                }
            }
            let level = |ms: i64| -> u64 {
                let inside = |(over, _): &&(Interval, u64)| over.overlaps(self::over(ms, ms + 1));
                list.iter().filter(inside).map(|(_, amount)| amount).sum()
            };
            let asked = over(start, start + length);
            prop_assert_eq!(line.peak(asked), (start..start + length).map(level).max().unwrap());
            let fits = |from: &i64| (*from..from + length).all(|ms| level(ms) <= ceiling);
            let expected = (start..=90).find(fits).map(at);
            let found = line.earliest(at(start), at(90), span(length.try_into().unwrap()), ceiling);
            prop_assert_eq!(found, expected);
            let levels: Vec<u64> = line.steps().map(|(_, level)| level).collect();
            prop_assert!(levels.windows(2).all(|pair| pair[0] != pair[1]));
        }
    }
}

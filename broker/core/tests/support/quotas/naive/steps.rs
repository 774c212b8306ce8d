//! A number over time, as a list of what it is from each instant on.

use std::collections::BTreeMap;

/// What a number is from each instant on; zero before the first. Neighbours differ.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Steps(Vec<(i64, u64)>);

impl Steps {
    /// The sum of amounts, each from an instant to another.
    pub(crate) fn summed(pieces: impl IntoIterator<Item = (i64, i64, u64)>) -> Self {
        let mut changes: BTreeMap<i64, i128> = BTreeMap::new();
        for (from, to, amount) in pieces {
            *changes.entry(from).or_default() += i128::from(amount);
            *changes.entry(to).or_default() -= i128::from(amount);
        }
        let mut level = 0_i128;
        let levels = changes.into_iter().map(|(instant, change)| {
            level += change;
            (instant, u64::try_from(level).unwrap())
        });
        Self::of(levels)
    }

    /// A number as it is said to be from each of some instants on.
    pub(crate) fn of(levels: impl IntoIterator<Item = (i64, u64)>) -> Self {
        let mut steps = Self::default();
        for (instant, level) in levels {
            if steps.0.last().map_or(0, |(_, last)| *last) != level {
                steps.0.push((instant, level));
            }
        }
        steps
    }

    /// The same at all times.
    pub(crate) fn constant(level: u64) -> Self {
        Self::of([(i64::MIN, level)])
    }

    pub(crate) fn at(&self, instant: i64) -> u64 {
        let after = self.0.partition_point(|(at, _)| *at <= instant);
        after.checked_sub(1).map_or(0, |place| self.0[place].1)
    }

    /// Where it changes between two instants, and the first of them.
    pub(crate) fn instants(&self, from: i64, to: i64) -> impl Iterator<Item = i64> {
        let first = self.0.partition_point(|(at, _)| *at <= from);
        let later = self.0[first..].iter().map(|(at, _)| *at);
        [from].into_iter().chain(later.take_while(move |at| *at < to))
    }

    pub(crate) fn list(&self) -> &[(i64, u64)] {
        &self.0
    }
}

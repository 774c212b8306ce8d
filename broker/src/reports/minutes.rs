//! What has been added up since the last time that it was put into buckets: minute by minute.

use std::collections::{BTreeMap, HashMap};

use tidegate_policy::Interval;

use super::cell::Cell;
use super::grain::{Grain, pieces};
use super::names::{NameId, has_minutes};
use super::store::Pending;

/// What is being added up: minutes, and hours of a time that was too long for minutes.
#[derive(Debug)]
pub(crate) struct Minutes {
    minutes: Buckets,
    hours: Buckets,
}

/// Buckets of one length.
#[derive(Debug)]
struct Buckets {
    grain: Grain,
    cells: BTreeMap<i64, HashMap<NameId, Cell>>,
    /// What stands at once on lanes, of buckets that are not over.
    levels: BTreeMap<i64, HashMap<NameId, Level>>,
}

/// An amount over a bucket: what stands through all of it, and what begins or ends within.
#[derive(Debug, Default)]
struct Level {
    whole: i128,
    edges: Vec<(i64, i128)>,
}

impl Level {
    fn add(&mut self, (grain, over): (Grain, Interval), amount: i128) {
        if over.span().as_ms() == grain.ms().unsigned_abs() {
            self.whole = self.whole.saturating_add(amount);
        } else {
            let ends = [(over.start(), amount), (over.end(), amount.saturating_neg())];
            self.edges.extend(ends.map(|(at, amount)| (at.as_ms(), amount)));
        }
    }

    /// The most at one instant.
    fn peak(&mut self) -> u64 {
        self.edges.sort_unstable();
        let (mut level, mut most) = (0_i128, 0_i128);
        let mut edges = self.edges.iter().peekable();
        while let Some((at, amount)) = edges.next() {
            level = level.saturating_add(*amount);
            if edges.peek().is_none_or(|(next, _)| next != at) {
                most = most.max(level);
            }
        }
        u64::try_from(self.whole.saturating_add(most).max(0)).unwrap_or(u64::MAX)
    }
}

/// What an amount is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Of {
    /// Of a lane: the most at once is kept too.
    pub(crate) lane: bool,
    /// Somebody reports how much of it moves.
    pub(crate) reported: bool,
    /// It is of a time that is too long for minutes.
    pub(crate) coarse: bool,
}

impl Default for Minutes {
    fn default() -> Self {
        Self { minutes: Buckets::of(Grain::Minute), hours: Buckets::of(Grain::Hour) }
    }
}

impl Minutes {
    /// Adds an amount per second, or takes it back, over an interval: in minutes, or in hours where the time
    /// that is accounted for is too long for them.
    pub(crate) fn book(&mut self, (name, of): (NameId, Of), over: Interval, amount: i128) {
        let buckets = if of.coarse { &mut self.hours } else { &mut self.minutes };
        buckets.book((name, of), over, amount);
    }

    /// The cell of a minute.
    pub(crate) fn cell(&mut self, minute: i64, name: NameId) -> &mut Cell {
        self.minutes.cells.entry(minute).or_default().entry(name).or_default()
    }

    /// Puts everything into buckets; what lies before `until` is over.
    pub(crate) fn settle(&mut self, until: i64, pending: &mut Pending) {
        self.minutes.settle(until, pending);
        self.hours.settle(until, pending);
    }
}

impl Buckets {
    fn of(grain: Grain) -> Self {
        Self { grain, cells: BTreeMap::new(), levels: BTreeMap::new() }
    }

    fn book(&mut self, (name, of): (NameId, Of), over: Interval, amount: i128) {
        for (bucket, part) in pieces(over, self.grain.ms()) {
            let sum = amount.saturating_mul(part.span().as_ms().into());
            let cell = self.cells.entry(bucket).or_default().entry(name).or_default();
            cell.booked = cell.booked.saturating_add(sum);
            if !of.reported {
                cell.unreported = cell.unreported.saturating_add(sum);
            }
            if of.lane {
                let levels = self.levels.entry(bucket).or_default();
                levels.entry(name).or_default().add((self.grain, part), amount);
            }
        }
    }

    fn settle(&mut self, until: i64, pending: &mut Pending) {
        for (bucket, levels) in &mut self.levels {
            let cells = self.cells.entry(*bucket).or_default();
            for (name, level) in levels {
                let cell = cells.entry(*name).or_default();
                cell.peak = cell.peak.max(level.peak());
            }
        }
        for (bucket, cells) in std::mem::take(&mut self.cells) {
            for (name, cell) in cells.into_iter().filter(|(_, cell)| !cell.is_empty()) {
                for grain in Grain::ALL.into_iter().filter(|grain| self.grain <= *grain) {
                    if grain != Grain::Minute || has_minutes(name) {
                        pending.add(grain, grain.floor(bucket), name, &cell);
                    }
                }
            }
        }
        let ms = self.grain.ms();
        self.levels.retain(|bucket, _| until < bucket.saturating_add(ms));
    }
}

#[cfg(test)]
mod tests {
    use super::super::grain::interval;
    use super::*;

    fn peak(pieces: &[(i64, i64, i128)]) -> u64 {
        let mut level = Level::default();
        for (start, end, amount) in pieces {
            level.add((Grain::Minute, interval(*start, *end).unwrap()), *amount);
        }
        level.peak()
    }

    #[test]
    fn the_most_at_once_is_no_sum_of_what_follows_each_other() {
        assert_eq!(peak(&[(0, 30_000, 5), (30_000, 60_000, 7)]), 7);
        assert_eq!(peak(&[(0, 30_000, 5), (29_999, 60_000, 7)]), 12);
        assert_eq!(peak(&[(0, 60_000, 3), (10, 20, 4), (20, 30, 4)]), 7);
        assert_eq!(peak(&[]), 0);
    }
}

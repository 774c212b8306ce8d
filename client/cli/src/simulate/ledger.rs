//! What the lanes really carry, counted apart from the core: its timelines are what is tested.

use std::collections::BTreeMap;

use tidegate_core::lane::LaneName;
use tidegate_policy::{Interval, Timestamp};

/// So many columns a picture has at most.
const COLUMNS: u64 = 240;

/// All lanes, and what was carried until when.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    index: BTreeMap<LaneName, usize>,
    lanes: Vec<Load>,
    columns: Columns,
}

/// One lane.
#[derive(Clone, Debug)]
struct Load {
    name: LaneName,
    /// What it can carry, in bits per second.
    limit: u64,
    /// The most that it could ever carry, in bits per second.
    limit_max: u64,
    /// What is sent, in bits per second.
    sent: u64,
    /// Until when all of this is counted.
    until: Timestamp,
    /// Bits per second beyond the limit, times milliseconds.
    excess: u128,
    /// Bits per second times milliseconds, for each column.
    carried: Vec<u128>,
    /// From when it could carry how many bits per second, as that changed.
    limits: Vec<(Timestamp, u64)>,
}

/// The columns of a picture.
#[derive(Clone, Copy, Debug)]
struct Columns {
    start: Timestamp,
    /// How long each of them is, in milliseconds, at least 1.
    ms: u64,
    count: usize,
}

/// One lane of a picture.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) lane: String,
    /// What was carried of what could be in each column, in parts per million.
    pub(super) shares_ppm: Vec<u64>,
    /// When it could carry less than at its best.
    pub(super) losses: Vec<Loss>,
}

/// A time in which a lane could carry less than at its best.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Loss {
    /// From when and until when, in milliseconds from the beginning of the picture.
    pub(super) from_ms: u64,
    pub(super) until_ms: u64,
    /// What is left, in parts per million of its best.
    pub(super) left_ppm: u64,
}

impl Ledger {
    /// No lanes yet, from the beginning of `over`; its end bounds the picture and nothing else.
    pub(super) fn new(over: Interval) -> Self {
        let ms = over.span().as_ms().div_ceil(COLUMNS).max(1);
        let count = usize::try_from(over.span().as_ms().div_ceil(ms)).unwrap_or(0);
        let columns = Columns { start: over.start(), ms, count };
        Self { index: BTreeMap::new(), lanes: Vec::new(), columns }
    }

    /// From then on these lanes can carry so many bits per second.
    pub(super) fn limit<'a>(
        &mut self,
        at: Timestamp,
        limits: impl Iterator<Item = (&'a LaneName, u64)>,
    ) {
        for (name, limit) in limits {
            let lane = self.lane(name, at);
            self.count(lane, at);
            if let Some(load) = self.lanes.get_mut(lane) {
                if load.limits.last().is_none_or(|(_, before)| *before != limit) {
                    load.limits.push((at, limit));
                }
                load.limit = limit;
                load.limit_max = load.limit_max.max(limit);
            }
        }
    }

    /// The number of a lane; one that no topology has can carry nothing.
    pub(super) fn lane(&mut self, name: &LaneName, at: Timestamp) -> usize {
        if let Some(known) = self.index.get(name) {
            return *known;
        }
        let carried = vec![0; self.columns.count];
        let (name, until) = (name.clone(), at);
        self.index.insert(name.clone(), self.lanes.len());
        let (limit, limit_max, sent, excess, limits) = (0, 0, 0, 0, Vec::new());
        self.lanes.push(Load { name, limit, limit_max, sent, until, excess, carried, limits });
        self.lanes.len() - 1
    }

    /// Somebody begins to send so many bits per second of the lane.
    pub(super) fn begin(&mut self, lane: usize, at: Timestamp, bps: u64) {
        self.count(lane, at);
        if let Some(load) = self.lanes.get_mut(lane) {
            load.sent = load.sent.saturating_add(bps);
        }
    }

    /// And ends.
    pub(super) fn end(&mut self, lane: usize, at: Timestamp, bps: u64) {
        self.count(lane, at);
        if let Some(load) = self.lanes.get_mut(lane) {
            load.sent = load.sent.saturating_sub(bps);
        }
    }

    /// Counts what was sent until then.
    fn count(&mut self, lane: usize, at: Timestamp) {
        let columns = self.columns;
        let Some(load) = self.lanes.get_mut(lane) else { return };
        let Some(over) = Interval::new(load.until, at) else { return };
        load.until = at;
        let excess = u128::from(load.sent.saturating_sub(load.limit));
        load.excess = load.excess.saturating_add(excess * u128::from(over.span().as_ms()));
        if load.sent == 0 {
            return;
        }
        for (column, ms) in columns.of(over) {
            if let Some(carried) = load.carried.get_mut(column) {
                *carried = carried.saturating_add(u128::from(load.sent) * u128::from(ms));
            }
        }
    }

    /// Bits per second beyond what a lane can carry, times milliseconds, of all lanes until then.
    pub(super) fn overbooked(&mut self, until: Timestamp) -> u128 {
        (0..self.lanes.len()).for_each(|lane| self.count(lane, until));
        self.lanes.iter().map(|lane| lane.excess).fold(0, u128::saturating_add)
    }

    /// How many columns the picture has.
    pub(super) fn columns(&self) -> usize {
        self.columns.count
    }

    /// How long a column of the picture is, in milliseconds.
    pub(super) fn column_ms(&self) -> u64 {
        self.columns.ms
    }

    /// When the picture begins.
    pub(super) fn start(&self) -> Timestamp {
        self.columns.start
    }

    /// The lanes that carried anything or once could carry less, in the order of their names.
    pub(super) fn rows(&self) -> Vec<Row> {
        let row = |load: &Load| {
            let whole = u128::from(load.limit_max) * u128::from(self.columns.ms);
            let share = |carried: &u128| {
                let ppm = carried.saturating_mul(1_000_000).checked_div(whole).unwrap_or(0);
                u64::try_from(ppm).unwrap_or(u64::MAX)
            };
            let shares_ppm = load.carried.iter().map(share).collect();
            Row { lane: load.name.to_string(), shares_ppm, losses: self.columns.losses(load) }
        };
        let loads = self.index.values().filter_map(|lane| self.lanes.get(*lane)).map(row);
        let seen = |row: &Row| row.shares_ppm.iter().any(|it| *it != 0) || !row.losses.is_empty();
        loads.filter(seen).collect()
    }
}

impl Columns {
    /// When a lane could carry less than at its best, as far as the picture goes.
    fn losses(self, load: &Load) -> Vec<Loss> {
        let all = self.ms * u64::try_from(self.count).unwrap_or(0);
        let at = |at: &Timestamp| at.since(self.start).as_ms().min(all);
        let untils = load.limits.iter().skip(1).map(|(until, _)| at(until)).chain([all]);
        let loss = |((from, limit), until_ms): (&(Timestamp, u64), u64)| {
            let left = u128::from(*limit) * 1_000_000 / u128::from(load.limit_max.max(1));
            let left_ppm = u64::try_from(left).unwrap_or(u64::MAX);
            Loss { from_ms: at(from), until_ms, left_ppm }
        };
        let losses = load.limits.iter().zip(untils).map(loss);
        losses.filter(|it| it.from_ms < it.until_ms && it.left_ppm < 1_000_000).collect()
    }

    /// The columns that an interval touches, and for how long, in milliseconds.
    fn of(self, over: Interval) -> impl Iterator<Item = (usize, u64)> {
        let from = over.start().since(self.start).as_ms();
        let to = over.end().since(self.start).as_ms();
        let (first, last) = (from / self.ms, to.div_ceil(self.ms));
        (first..last).filter_map(move |column| {
            let begin = column * self.ms;
            let inside = to.min(begin + self.ms).saturating_sub(from.max(begin));
            usize::try_from(column).ok().map(|column| (column, inside))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms).unwrap()
    }

    #[test]
    fn what_is_beyond_the_limit_counts_for_as_long_as_it_is() {
        let mut ledger = Ledger::new(Interval::new(at(0), at(480)).unwrap());
        let name = LaneName::new("links/a/forward");
        ledger.limit(at(0), [(&name, 10)].into_iter());
        let lane = ledger.lane(&name, at(0));
        ledger.begin(lane, at(0), 8);
        ledger.begin(lane, at(10), 8);
        ledger.end(lane, at(20), 8);
        assert_eq!(ledger.overbooked(at(30)), 6 * 10);
        // Less can be carried: what goes on is too much.
        ledger.limit(at(40), [(&name, 5)].into_iter());
        ledger.end(lane, at(50), 8);
        assert_eq!(ledger.overbooked(at(480)), 6 * 10 + 3 * 10);
        let [row] = ledger.rows().try_into().unwrap();
        assert_eq!(row.shares_ppm.len(), 240);
        assert_eq!(
            row.shares_ppm[..11],
            [800_000; 5].into_iter().chain([1_600_000; 5]).chain([800_000]).collect::<Vec<_>>()
        );
        assert_eq!(row.shares_ppm[25..].iter().sum::<u64>(), 0);
        assert_eq!(row.losses, [Loss { from_ms: 40, until_ms: 480, left_ppm: 500_000 }]);
    }
}

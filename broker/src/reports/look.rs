//! What is kept, as it stays while a report is made of it: what is in the database, and what is not yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_proto::v1;

use super::cell::Cell;
use super::grain::Grain;
use super::names::{NameId, Names};
use super::refused::Groups;
use super::store::{Archived, Pending, ReportsError, Stored};

/// A state of the reports.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    stored: Stored,
    pending: Arc<Pending>,
    names: Arc<Names>,
    since: i64,
    until: i64,
}

impl Look {
    pub(crate) fn new(
        stored: Stored,
        pending: Arc<Pending>,
        names: Arc<Names>,
        (since, until): (i64, i64),
    ) -> Self {
        Self { stored, pending, names, since, until }
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// Since when everything is accounted for, in milliseconds since the epoch.
    pub(crate) fn since(&self) -> i64 {
        self.since
    }

    /// Until when.
    pub(crate) fn until(&self) -> i64 {
        self.until
    }

    /// The buckets of a name that begin in a range, by their starts.
    pub(crate) fn cells(
        &self,
        grain: Grain,
        (start, end): (i64, i64),
        name: NameId,
    ) -> Result<BTreeMap<i64, Cell>, ReportsError> {
        let (first, _) = grain.place(grain.floor(start));
        let (last, _) = grain.place(grain.floor(end.saturating_sub(1)));
        let mut found: BTreeMap<i64, Cell> = BTreeMap::new();
        let mut take = |block: i64, cells: &BTreeMap<u8, Cell>| {
            for (index, cell) in cells {
                let at = grain.at(block, *index);
                if start <= at && at < end {
                    found.entry(at).or_default().merge(cell);
                }
            }
        };
        for (block, cells) in self.stored.blocks(grain, (first, last), name)? {
            take(block, &cells);
        }
        let mut block = first;
        while block <= last {
            if let Some(cells) = self.pending.cells.get(&(grain, block, name)) {
                take(block, cells);
            }
            block = block.saturating_add(grain.block_ms());
        }
        Ok(found)
    }

    /// All buckets of a name in a range together.
    pub(crate) fn sum(
        &self,
        grain: Grain,
        range: (i64, i64),
        name: NameId,
    ) -> Result<Cell, ReportsError> {
        let mut sum = Cell::default();
        self.cells(grain, range, name)?.values().for_each(|cell| sum.merge(cell));
        Ok(sum)
    }

    /// What a lane could carry, as steps: the first holds at the start of the range, or is not there.
    pub(crate) fn limits(
        &self,
        name: NameId,
        (start, end): (i64, i64),
    ) -> Result<BTreeMap<i64, u64>, ReportsError> {
        let mut steps: BTreeMap<i64, u64> =
            self.stored.limits(name, (start, end))?.into_iter().collect();
        let before = self.pending.limits.range((name, i64::MIN)..=(name, start)).next_back();
        let within = self
            .pending
            .limits
            .range((name, start.saturating_add(1))..(name, end.max(start.saturating_add(1))));
        steps.extend(before.into_iter().chain(within).map(|((_, at), limit)| (*at, *limit)));
        Ok(steps)
    }

    /// What was refused in a range of whole buckets.
    pub(crate) fn refusals(
        &self,
        grain: Grain,
        (start, end): (i64, i64),
    ) -> Result<Groups, ReportsError> {
        let mut all = Groups::default();
        self.stored.refusals(grain, (start, end), |groups| all.merge(&groups))?;
        let pending = self.pending.refusals.range((grain, start)..(grain, end));
        pending.for_each(|(_, groups)| all.merge(groups));
        Ok(all)
    }

    /// At most so many reservations that were closed behind a place, in order.
    pub(crate) fn closed(
        &self,
        behind: (i64, u128),
        most: usize,
    ) -> Result<Vec<Archived>, ReportsError> {
        use std::ops::Bound::{Excluded, Unbounded};
        let mut found: BTreeMap<_, _> = self.stored.closed(behind, most)?.into_iter().collect();
        let pending = self.pending.closed.range((Excluded(behind), Unbounded));
        found.extend(pending.map(|(key, it)| (*key, it.clone())));
        Ok(found.into_iter().take(most).collect())
    }

    /// Since and until when there are no minutes, because the broker was away.
    pub(crate) fn coarse(&self) -> Result<Vec<(i64, i64)>, ReportsError> {
        let mut all = self.stored.coarse()?;
        all.extend(self.pending.coarse.iter().map(|(since, until)| (*since, *until)));
        Ok(all)
    }

    /// What was found wrong, lane by lane.
    pub(crate) fn findings(&self) -> Result<BTreeMap<String, v1::Finding>, ReportsError> {
        let mut all: BTreeMap<_, _> = self.stored.findings()?.into_iter().collect();
        for (key, finding) in &self.pending.findings {
            match finding {
                Some(finding) => drop(all.insert(key.clone(), finding.clone())),
                None => drop(all.remove(key)),
            }
        }
        Ok(all)
    }
}

//! Payload bytes in each period of the calendar: what plans show, and what lies behind and is shown by
//! none any more.

use std::cell::RefCell;
use std::collections::BTreeMap;

use tidegate_core::{Machine, Owner, Reason, Whose};
use tidegate_policy::{Budget, Period, Principal, ProjectId, Projects, Zone};

use super::super::at;
use super::{Item, Naive};

/// A budget in a period, from an instant to another.
pub(super) type Key = (ProjectId, Option<Principal>, Period, (i64, i64));
/// Bits per second times milliseconds.
pub(super) type Used = BTreeMap<Key, u128>;

/// Periods of a zone, in order and without a gap.
type Tiles = BTreeMap<(Period, Zone), Vec<(i64, i64)>>;

/// Bits per second times milliseconds in a byte.
const PER_BYTE: u128 = 8000;

/// What of budgets nobody can see any more, and the periods that were looked up.
#[derive(Default)]
pub(crate) struct Budgets {
    gone: Used,
    tiles: RefCell<Tiles>,
    /// So much more plans of volumes book than is promised.
    margin_ppm: u32,
}

/// Every budget that an owner is charged to, and whose days are meant.
fn budgets<'a>(
    projects: &'a Projects,
    owner: &'a Owner,
) -> impl Iterator<Item = (&'a ProjectId, Option<&'a Principal>, &'a Zone, Budget)> {
    projects.lineage(&owner.project).flat_map(move |above| {
        let quota = &above.quota;
        let whole = quota.budgets.iter().map(|it| (None, *it));
        let own = quota.each.budgets.iter().filter_map(|it| Some((owner.principal.as_ref()?, *it)));
        let own = own.map(|(whose, budget)| (Some(whose), budget));
        whole.chain(own).map(|(whose, budget)| (&above.id, whose, &quota.zone, budget))
    })
}

fn bytes(volume: u128) -> u64 {
    u64::try_from(volume / PER_BYTE).unwrap()
}

impl Budgets {
    pub(crate) fn new(margin_ppm: u32) -> Self {
        Self { margin_ppm, ..Self::default() }
    }

    /// The periods that have something of a time, whole and in order.
    fn tiles(&self, period: Period, zone: &Zone, (from, to): (i64, i64)) -> Vec<(i64, i64)> {
        let mut known = self.tiles.borrow_mut();
        let tiles = known.entry((period, zone.clone())).or_default();
        if tiles.first().is_none_or(|(first, _)| from < *first) {
            tiles.clear();
            let first = period.containing(zone, at(from));
            tiles.push((first.start().as_ms(), first.end().as_ms()));
        }
        while tiles.last().unwrap().1 < to {
            let next = period.containing(zone, at(tiles.last().unwrap().1));
            assert_eq!(next.start().as_ms(), tiles.last().unwrap().1, "no gap");
            tiles.push((next.start().as_ms(), next.end().as_ms()));
        }
        let inside = tiles.iter().filter(|(start, end)| *start < to && from < *end);
        inside.copied().collect()
    }

    /// What one reservation is charged before an instant.
    fn charges(&self, projects: &Projects, item: &Item, until: i64) -> Used {
        let mut used = Used::new();
        let pieces = item.shown.iter().map(|(from, to, rate)| (*from, (*to).min(until), *rate));
        let pieces: Vec<_> = pieces.filter(|(from, to, _)| from < to).collect();
        for (id, whose, zone, budget) in budgets(projects, &item.owner) {
            for (from, to, rate) in &pieces {
                for (start, end) in self.tiles(budget.period, zone, (*from, *to)) {
                    let ms = u128::try_from((*to).min(end) - (*from).max(start)).unwrap();
                    let key = (id.clone(), whose.cloned(), budget.period, (start, end));
                    *used.entry(key).or_default() += ms * u128::from(*rate);
                }
            }
        }
        if item.volume {
            let whole = 1_000_000 + u128::from(self.margin_ppm);
            used.values_mut().for_each(|volume| *volume = *volume * 1_000_000 / whole);
        }
        used.retain(|_, volume| *volume != 0);
        used
    }

    /// What lies behind of what one had and shows no more.
    fn lost(&self, projects: &Projects, items: (&Item, Option<&Item>), now: i64) -> Used {
        let mut lost = self.charges(projects, items.0, now);
        let shown = items.1.map(|it| self.charges(projects, it, now)).unwrap_or_default();
        for (key, volume) in shown {
            let rest = lost.entry(key).or_default();
            *rest = rest.saturating_sub(volume);
        }
        lost
    }

    /// Remembers what one had and shows no more.
    pub(crate) fn forget(
        &mut self,
        projects: &Projects,
        before: &Item,
        after: Option<&Item>,
        now: i64,
    ) {
        for (key, volume) in self.lost(projects, (before, after), now) {
            *self.gone.entry(key).or_default() += volume;
        }
    }

    /// What is used of each budget.
    pub(super) fn used(&self, projects: &Projects, naive: &Naive) -> Used {
        let mut used = self.gone.clone();
        for item in &naive.items {
            for (key, volume) in self.charges(projects, item, i64::MAX) {
                *used.entry(key).or_default() += volume;
            }
        }
        used.retain(|_, volume| *volume != 0);
        used
    }

    /// The limit of a budget, as long as its zone has this period.
    pub(super) fn limit(&self, projects: &Projects, key: &Key) -> Option<u128> {
        let quota = &projects.get(&key.0)?.quota;
        let budgets = if key.1.is_none() { &quota.budgets } else { &quota.each.budgets };
        let budget = budgets.iter().find(|it| it.period == key.2)?;
        let (start, _) = key.3;
        // What is known of a period of another zone is no use of one of this.
        let there = self.tiles(key.2, &quota.zone, (start, start + 1))[0] == key.3;
        there.then(|| u128::from(budget.bytes.bytes()) * PER_BYTE)
    }

    /// Whether nobody has more than a budget allows in a period that is not over, but what there was
    /// before; and whether the machine counts the same.
    pub(crate) fn keeps(
        &self,
        machine: &Machine,
        (before, after): (&Naive, &Naive),
        (now, strict): (i64, bool),
    ) -> Result<(), String> {
        let projects = machine.projects();
        let was = strict.then(|| self.used(projects, before));
        let used = self.used(projects, after);
        for (key, used) in used {
            let Some(limit) = self.limit(projects, &key) else { continue };
            if key.3.1 <= now {
                continue;
            }
            let was = was.as_ref().map(|was| was.get(&key).copied().unwrap_or(0));
            if was.is_some_and(|was| limit.max(was) < used) {
                return Err(format!("{key:?}: {used} of {limit}, {was:?} before"));
            }
            let whose = match &key.1 {
                None => Whose::Project(key.0.clone()),
                Some(whose) => Whose::Principal(key.0.clone(), whose.clone()),
            };
            let zone = &projects.get(&key.0).unwrap().quota.zone;
            let counted = machine.budget_used(&whose, key.2, zone, at(key.3.0)).bytes();
            if counted != bytes(used) {
                return Err(format!("{key:?}: {counted} B counted, {} B used", bytes(used)));
            }
        }
        Ok(())
    }

    /// Why budgets have not enough for something at just this time, that was as it was before, if it was.
    pub(super) fn short(
        &self,
        projects: &Projects,
        naive: &Naive,
        (before, after): (Option<&Item>, &Item),
        now: i64,
    ) -> Option<Reason> {
        let mut asked = self.charges(projects, after, i64::MAX);
        let own = before.map(|it| self.charges(projects, it, i64::MAX)).unwrap_or_default();
        for (key, volume) in
            before.map(|it| self.lost(projects, (it, Some(after)), now)).unwrap_or_default()
        {
            *asked.entry(key).or_default() += volume;
        }
        let used = self.used(projects, naive);
        let mut reason = None;
        for (key, asked) in asked {
            let own = own.get(&key).copied().unwrap_or(0);
            let others = used.get(&key).copied().unwrap_or(0) - own;
            let Some(limit) = self.limit(projects, &key) else { continue };
            if asked <= own || others + asked <= limit {
                continue;
            }
            let this = if limit < asked { Reason::AboveQuota } else { Reason::QuotaExhausted };
            reason = Some(reason.map_or(this, |reason: Reason| reason.min(this)));
        }
        reason
    }
}

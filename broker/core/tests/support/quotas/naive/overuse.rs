//! Whether other quotas would be further below what is used than those that stand.

use std::collections::BTreeMap;

use tidegate_core::lane::LaneName;
use tidegate_policy::Projects;

use super::limits::limit;
use super::lines::lines;
use super::verdict::Sight;
use super::{Item, Naive, Rules, Steps};

impl Sight<'_> {
    /// Whether a policy would take a quota further below its use than it is; nothing where that depends
    /// on what is still sent under terms that are no more.
    pub(crate) fn overused(
        &self,
        (before, after): (&Naive, Vec<Item>),
        to: Rules<'_>,
        ahead: i64,
    ) -> (Option<bool>, String) {
        let over = (self.now, self.now + ahead);
        let was = self.excesses(Rules::of(self.machine), &before.lines, over);
        let after = Naive::from_items(to.projects, after);
        let whole = self.excesses(to, &after.lines, over);
        // What is looked at is what is promised, wherever it would have to be counted anew.
        let promised = lines(after.items.iter().filter(|it| it.counted), |it| !it.tail);
        let promised = self.excesses(to, &promised, over);
        let more = |now: &BTreeMap<LaneName, u64>| {
            let before = |lane: &LaneName| was.get(lane).copied().unwrap_or(0);
            let more = now.iter().filter(|(lane, excess)| before(lane) < **excess);
            more.map(|(lane, excess)| format!("{lane} by {excess} ")).collect::<String>()
        };
        let projects = Rules::of(self.machine).projects;
        let mut told = over_counts(projects, to.projects, (before, &after));
        told.extend(self.over_budgets(to.projects, before));
        let (whole, promised) = (more(&whole), more(&promised));
        let sure = match (whole.is_empty(), promised.is_empty()) {
            _ if !told.is_empty() => Some(true),
            (whole, promised) if whole == promised => Some(!whole),
            _ => None,
        };
        (sure, format!("{told:?} {whole} {promised}"))
    }

    /// By how much each quota is exceeded at most from now on.
    fn excesses(
        &self,
        rules: Rules<'_>,
        lines: &BTreeMap<LaneName, Steps>,
        over: (i64, i64),
    ) -> BTreeMap<LaneName, u64> {
        let quotas = lines.iter().filter(|(lane, _)| lane.is_quota());
        let most = quotas.map(|(lane, line)| {
            let limit = limit(rules, (self.machine, self.network), lane, over);
            let instants = line.instants(over.0, over.1).chain(limit.instants(over.0, over.1));
            let excess = instants.map(|it| line.at(it).saturating_sub(limit.at(it)));
            (lane.clone(), excess.max().unwrap_or(0))
        });
        most.collect()
    }

    fn over_budgets(&self, after: &Projects, naive: &Naive) -> Vec<String> {
        let projects = Rules::of(self.machine).projects;
        let was = self.budgets.used(projects, naive);
        let used = self.budgets.used(after, naive).into_iter();
        let over = used.filter(|(key, used)| {
            let Some(limit) = self.budgets.limit(after, key) else { return false };
            let before = self
                .budgets
                .limit(projects, key)
                .map_or(0, |limit| was.get(key).copied().unwrap_or(0).saturating_sub(limit));
            self.now < key.3.1 && before < used.saturating_sub(limit)
        });
        over.map(|(key, used)| format!("{key:?}: {used}")).collect()
    }
}

/// Of what there are further more than there may be.
fn over_counts(before: &Projects, after: &Projects, (was, now): (&Naive, &Naive)) -> Vec<String> {
    let mut over = Vec::new();
    for project in after.iter() {
        let old = before.get(&project.id).map(|it| was.counts(it)).unwrap_or_default();
        over.extend(now.counts(project).into_iter().filter_map(|(what, limit, used)| {
            let old = old.iter().find(|(name, ..)| *name == what);
            let excess = old.map_or(0, |(_, limit, used)| used.saturating_sub(*limit));
            (excess < used.saturating_sub(limit)).then_some(what)
        }));
    }
    over
}

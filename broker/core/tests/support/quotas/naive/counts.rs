//! How many reservations, and of how many principals.

use tidegate_core::{Machine, Owner, Reason};
use tidegate_policy::{Principal, Project, ProjectId, Projects};

use super::Naive;

impl Naive {
    pub(super) fn count(&mut self, projects: &Projects) {
        (self.live_of, self.live_by) = Default::default();
        for item in self.items.iter().filter(|it| it.counted) {
            for above in projects.lineage(&item.owner.project) {
                *self.live_of.entry(above.id.clone()).or_default() += 1;
                if let Some(whose) = &item.owner.principal {
                    *self.live_by.entry((above.id.clone(), whose.clone())).or_default() += 1;
                }
            }
        }
    }

    pub(super) fn live(&self, id: &ProjectId) -> u64 {
        self.live_of.get(id).copied().unwrap_or(0)
    }

    pub(super) fn own(&self, id: &ProjectId, whose: &Principal) -> u64 {
        self.live_by.get(&(id.clone(), whose.clone())).copied().unwrap_or(0)
    }

    pub(super) fn by(&self, id: &ProjectId) -> Vec<(&Principal, u64)> {
        let of = self.live_by.iter().filter(|((of, _), _)| of == id);
        of.map(|((_, whose), count)| (whose, *count)).collect()
    }

    /// Every count of a project that its quota limits: what of, the limit and what is used.
    pub(super) fn counts(&self, project: &Project) -> Vec<(String, u64, u64)> {
        let (id, quota) = (&project.id, &project.quota);
        let mut counts = Vec::new();
        if let Some(limit) = quota.reservations {
            counts.push((format!("{id}: reservations"), limit.into(), self.live(id)));
        }
        let by = self.by(id);
        if let Some(limit) = quota.principals {
            let used = u64::try_from(by.len()).unwrap();
            counts.push((format!("{id}: principals"), limit.into(), used));
        }
        if let Some(limit) = quota.each.reservations {
            for (whose, used) in by {
                counts.push((format!("{id}: reservations of {whose}"), limit.into(), used));
            }
        }
        counts
    }

    /// Whether nobody has more of them than allowed, but what there was before.
    pub(in super::super) fn keeps_counts(
        &self,
        projects: &Projects,
        before: &Self,
    ) -> Result<(), String> {
        for project in projects.iter() {
            let was = before.counts(project);
            for (what, limit, used) in self.counts(project) {
                let was = was.iter().find(|(name, ..)| *name == what).map_or(0, |(.., was)| *was);
                if limit.max(was) < used {
                    return Err(format!("{what}: {used} of {limit}, {was} before"));
                }
            }
        }
        Ok(())
    }

    /// Why there may not be one more.
    pub(super) fn one_more(&self, projects: &Projects, owner: &Owner) -> Option<Reason> {
        let mut full = Vec::new();
        for above in projects.lineage(&owner.project) {
            let (id, quota) = (&above.id, &above.quota);
            full.extend(quota.reservations.filter(|it| u64::from(*it) <= self.live(id)));
            let Some(whose) = &owner.principal else { continue };
            let own = self.own(id, whose);
            full.extend(quota.each.reservations.filter(|it| u64::from(*it) <= own));
            let others = u64::try_from(self.by(id).len()).unwrap();
            full.extend(quota.principals.filter(|it| own == 0 && u64::from(*it) <= others));
        }
        let never = full.contains(&0);
        let reason = if never { Reason::AboveQuota } else { Reason::QuotaExhausted };
        (!full.is_empty()).then_some(reason)
    }

    /// Whether the machine counts as many.
    pub(in super::super) fn counts_as(&self, machine: &Machine) -> Result<(), String> {
        for project in machine.projects().iter() {
            let (counted, live) = (machine.live_of(&project.id), self.live(&project.id));
            if u64::try_from(counted).unwrap() != live {
                return Err(format!("{} counts {counted} and has {live}", project.id));
            }
            let counted: Vec<_> = machine.live_by(&project.id).collect();
            let counted: Vec<_> =
                counted.into_iter().map(|(who, it)| (who, u64::try_from(it).unwrap())).collect();
            let live = self.by(&project.id);
            if counted != live {
                return Err(format!("{} counts {counted:?} and has {live:?}", project.id));
            }
        }
        Ok(())
    }
}

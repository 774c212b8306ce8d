//! What the agents reported, added up by themselves: what every report has to agree with.

use std::collections::BTreeMap;

use tidegate_policy::{ByteCount, ClassId, ProjectId, ReservationId};

/// What was reported, granted and refused.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Bytes, by `projects/...`, `classes/...`, and the names of lanes.
    used: BTreeMap<String, u64>,
    /// Bytes of each reservation under which any moved.
    pub(crate) moved: BTreeMap<ReservationId, u64>,
    /// Grants and refusals, by `projects/...`.
    pub(crate) decided: BTreeMap<String, Decided>,
    /// Reservations that ended before their agents had given them back.
    pub(crate) lost: u64,
}

/// How often somebody was told yes and no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decided {
    pub(crate) granted: u64,
    pub(crate) refused: u64,
}

/// Whose bytes they are, and where they go.
#[derive(Clone, Debug)]
pub(crate) struct Whose {
    pub(crate) project: ProjectId,
    pub(crate) class: ClassId,
    pub(crate) lanes: Vec<String>,
}

impl Ledger {
    /// So many bytes more have moved under a reservation.
    pub(crate) fn add(&mut self, id: ReservationId, whose: &Whose, more: u64) {
        if more == 0 {
            return;
        }
        let (project, class) =
            (format!("projects/{}", whose.project), format!("classes/{}", whose.class));
        for name in [&project, &class].into_iter().chain(&whose.lanes) {
            let sum = self.used.entry(name.clone()).or_default();
            *sum = sum.saturating_add(more);
        }
        let sum = self.moved.entry(id).or_default();
        *sum = sum.saturating_add(more);
    }

    /// Somebody was told yes, or no.
    pub(crate) fn decide(&mut self, project: &ProjectId, granted: bool) {
        let decided = self.decided.entry(format!("projects/{project}")).or_default();
        let count = if granted { &mut decided.granted } else { &mut decided.refused };
        *count = count.saturating_add(1);
    }

    /// What moved for a project or a class, or over a lane.
    pub(crate) fn used(&self, name: &str) -> ByteCount {
        ByteCount::new(self.used.get(name).copied().unwrap_or(0))
    }

    /// All that moved.
    pub(crate) fn total(&self) -> ByteCount {
        ByteCount::new(self.moved.values().sum())
    }

    /// All that was decided.
    pub(crate) fn all_decided(&self) -> Decided {
        let sum = |part: fn(&Decided) -> u64| self.decided.values().map(part).sum();
        Decided { granted: sum(|it| it.granted), refused: sum(|it| it.refused) }
    }
}

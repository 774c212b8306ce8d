//! Projects in a tree, and how much each of them may have.
//!
//! A project has what its quota says, and so have all those below it together: what is asked for one
//! is asked of every project above it as well. A quota that is not set limits nothing; zero is zero.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound::{Excluded, Unbounded};

use crate::calendar::{Period, Profile, Weekly, Zone};
use crate::ids::ProjectId;
use crate::share::{SHARES_MAX, Share};
use crate::time::{Interval, Span};
use crate::units::{BitRate, ByteCount};

/// The most projects.
pub const PROJECTS_MAX: usize = 10_000;
/// The most projects from one without a parent to one without children, both included.
pub const DEPTH_MAX: usize = 8;
/// The most labels of a project.
pub const LABELS_MAX: usize = 32;
/// The longest key or value of a label, in characters.
pub const LABEL_MAX: usize = 63;

/// A project: who reservations belong to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Project {
    /// Its name.
    pub id: ProjectId,
    /// The one that it is a part of.
    pub parent: Option<ProjectId>,
    /// What people want to know of it.
    pub labels: BTreeMap<String, String>,
    /// What it may have.
    pub quota: Quota,
}

/// What a project, and all those below it together, may have; what is `None` is unlimited.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Quota {
    /// The payload rate that may be booked at one instant.
    pub rate: Option<BitRate>,
    /// How many reservations may be held or confirmed at once.
    pub reservations: Option<u32>,
    /// The highest payload rate of one reservation.
    pub rate_each: Option<BitRate>,
    /// How long one reservation may last; of a volume, from its earliest start to its deadline.
    pub duration_each: Option<Span>,
    /// How far from now one reservation may end.
    pub horizon: Option<Span>,
    /// How much of lanes may be booked at one instant.
    pub shares: Vec<Share>,
    /// How many principals may have something at once.
    pub principals: Option<u32>,
    /// What each principal may have.
    pub each: Each,
    /// The payload bytes that may be promised in a period.
    pub budgets: Vec<Budget>,
    /// The rate instead of `rate` at hours of the week, in `zone`; of hours that overlap the least.
    pub weekly: Vec<(Weekly, BitRate)>,
    /// The rate instead of both at a time; of those that overlap the last in the list.
    pub overrides: Vec<(Interval, BitRate)>,
    /// Whose days, weeks, months and hours are meant.
    pub zone: Zone,
    /// How much of `rate` those beside it may have while it does not use it itself; nothing if unset.
    pub lend: Option<BitRate>,
    /// How much beyond `rate` it may have of what those beside it lend; nothing if unset. Only who can be
    /// preempted gets it.
    pub borrow: Option<BitRate>,
    /// What those below it may borrow beside what they lend each other.
    pub pool: Option<BitRate>,
}

/// So many payload bytes in each period.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Budget {
    /// A day, week or month.
    pub period: Period,
    /// The payload bytes that may be promised in each of them.
    pub bytes: ByteCount,
}

/// What one principal of a project, or of those below it, may have; what is `None` is unlimited.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Each {
    /// The payload rate that may be booked at one instant.
    pub rate: Option<BitRate>,
    /// How many reservations may be held or confirmed at once.
    pub reservations: Option<u32>,
    /// How much of lanes may be booked at one instant.
    pub shares: Vec<Share>,
    /// The payload bytes that may be promised in a period, in the zone of the quota.
    pub budgets: Vec<Budget>,
}

/// What there may be so much of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Limit {
    /// Bits per second of payload at one instant.
    Rate,
    /// Reservations held or confirmed.
    Reservations,
    /// Bits per second of payload of one reservation.
    RateEach,
    /// Milliseconds that one reservation lasts.
    DurationEach,
    /// Milliseconds from now to the end of one reservation.
    Horizon,
    /// Principals with something held or confirmed.
    Principals,
    /// Bits per second of a lane at one instant.
    Share,
    /// Payload bytes promised in a period.
    Budget(Period),
}

impl Limit {
    /// So much of it, with its unit.
    #[must_use]
    pub fn amount(self, amount: u64) -> String {
        let text = match self {
            Self::Rate | Self::RateEach | Self::Share => {
                BitRate::from_bps(amount).map(|it| it.to_string())
            }
            Self::DurationEach | Self::Horizon => Span::from_ms(amount).map(|it| it.to_string()),
            Self::Budget(_) => Some(ByteCount::new(amount).to_string()),
            Self::Reservations | Self::Principals => None,
        };
        text.unwrap_or_else(|| amount.to_string())
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Rate => "rate at once",
            Self::Reservations => "reservations at once",
            Self::RateEach => "rate of one reservation",
            Self::DurationEach => "duration of one reservation",
            Self::Horizon => "time until one reservation ends",
            Self::Principals => "principals at once",
            Self::Share => "share",
            Self::Budget(Period::Day) => "bytes in a day",
            Self::Budget(Period::Week) => "bytes in a week",
            Self::Budget(Period::Month) => "bytes in a month",
        })
    }
}

/// A limit and whose it is.
pub type Bound<'a, T> = (T, &'a ProjectId);

/// All projects. Those without a parent are the roots of trees of their own; `default` always exists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Projects(BTreeMap<ProjectId, Project>);

/// Why some projects are no tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProjectFault {
    /// Which of them.
    pub project: ProjectId,
    /// The part of it that is wrong: `parent`, `labels` or nothing for all of it.
    pub field: &'static str,
    /// What is wrong, and what would be right.
    pub why: String,
}

impl Default for Projects {
    fn default() -> Self {
        let id = ProjectId::default_project();
        Self([(id.clone(), Project::new(id))].into())
    }
}

impl Project {
    /// A project by itself, without a quota.
    #[must_use]
    pub fn new(id: ProjectId) -> Self {
        Self { id, parent: None, labels: BTreeMap::new(), quota: Quota::default() }
    }
}

impl Projects {
    /// One of them.
    #[must_use]
    pub fn get(&self, id: &ProjectId) -> Option<&Project> {
        self.0.get(id)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Project> {
        self.0.values()
    }

    /// Those behind one of that name, in the order of their names; all of them behind none.
    pub fn after(&self, id: Option<&ProjectId>) -> impl Iterator<Item = &Project> {
        let from = id.map_or(Unbounded, Excluded);
        self.0.range((from, Unbounded)).map(|(_, project)| project)
    }

    /// Those that somebody declared: all but a `default` of which nothing is said.
    pub fn declared(&self) -> impl Iterator<Item = &Project> {
        let plain = Project::new(ProjectId::default_project());
        self.0.values().filter(move |project| **project != plain)
    }

    /// A project and those above it, from the one that is named upwards; empty if there is none.
    pub fn lineage<'a>(&'a self, id: &'a ProjectId) -> impl Iterator<Item = &'a Project> {
        let up = |project: &&'a Project| project.parent.as_ref().and_then(|it| self.0.get(it));
        std::iter::successors(self.0.get(id), up).take(DEPTH_MAX)
    }

    /// The tightest of a limit along the lineage of a project, and whose it is: the lowest of those
    /// that are alike.
    pub fn tightest<'a, T: Ord + Copy>(
        &'a self,
        id: &'a ProjectId,
        limit: impl Fn(&Quota) -> Option<T>,
    ) -> Option<Bound<'a, T>> {
        let bounds = self.lineage(id).filter_map(|it| Some((limit(&it.quota)?, &it.id)));
        bounds.min_by_key(|(limit, _)| *limit)
    }

    /// The same projects with some of them put in or replaced, and others gone; all that are not put
    /// in are gone if they are the `whole` of it.
    ///
    /// # Errors
    /// Every [`ProjectFault`] that there is.
    pub fn changed(
        &self,
        put: &[Project],
        gone: &[ProjectId],
        whole: bool,
    ) -> Result<Self, Vec<ProjectFault>> {
        let mut after = if whole { Self::default() } else { self.clone() };
        let mut faults = Vec::new();
        for id in gone {
            if !self.0.contains_key(id) {
                faults.push(ProjectFault::new(id, "", "there is no such project"));
            } else if *id == ProjectId::default_project() {
                let why = "what names no project belongs to it; it always exists";
                faults.push(ProjectFault::new(id, "", why));
            } else {
                after.0.remove(id);
            }
        }
        let mut seen = BTreeSet::new();
        for project in put {
            if !seen.insert(&project.id) || gone.contains(&project.id) {
                faults.push(ProjectFault::new(&project.id, "", "it is named twice"));
            }
            after.0.insert(project.id.clone(), project.clone());
        }
        faults.extend(after.faults());
        if faults.is_empty() { Ok(after) } else { Err(faults) }
    }

    /// The projects that differ, as they were and as they are, in the order of their names.
    pub fn differences<'a>(
        &'a self,
        after: &'a Self,
    ) -> impl Iterator<Item = (Option<&'a Project>, Option<&'a Project>)> {
        let ids: BTreeSet<&ProjectId> = self.0.keys().chain(after.0.keys()).collect();
        let both = ids.into_iter().map(|id| (self.0.get(id), after.0.get(id)));
        both.filter(|(before, after)| before != after)
    }

    fn faults(&self) -> Vec<ProjectFault> {
        let mut faults = Vec::new();
        if PROJECTS_MAX < self.0.len() {
            let why = format!("there would be {}; {PROJECTS_MAX} is the most", self.0.len());
            faults.push(ProjectFault::new(&ProjectId::default_project(), "", why));
        }
        for project in self.0.values() {
            if let Some(parent) = &project.parent {
                if !self.0.contains_key(parent) {
                    let why = format!("there is no projects/{parent}; declare it too");
                    faults.push(ProjectFault::new(&project.id, "parent", why));
                } else if let Some(why) = self.has_no_root(&project.id) {
                    faults.push(ProjectFault::new(&project.id, "parent", why));
                }
            }
            let labels = label_fault(&project.labels);
            faults.extend(labels.map(|why| ProjectFault::new(&project.id, "labels", why)));
            faults.extend(
                project
                    .quota
                    .faults()
                    .into_iter()
                    .map(|(field, why)| ProjectFault::new(&project.id, field, why)),
            );
        }
        faults
    }

    /// Why nothing leads from a project to one without a parent.
    fn has_no_root(&self, id: &ProjectId) -> Option<String> {
        let mut above = self.0.get(id)?.parent.as_ref();
        for _ in 1..DEPTH_MAX {
            above = match above {
                None => return None,
                Some(it) if it == id => return Some("it would be a part of itself".into()),
                Some(it) => self.0.get(it).and_then(|it| it.parent.as_ref()),
            };
        }
        above.map(|_| format!("there are more than {DEPTH_MAX} levels; use fewer"))
    }
}

/// What is wrong with labels; nothing if they are some.
#[must_use]
pub fn label_fault(labels: &BTreeMap<String, String>) -> Option<String> {
    let is_text =
        |text: &String| text.chars().count() <= LABEL_MAX && !text.chars().any(char::is_control);
    let good = |(key, value): (&String, &String)| !key.is_empty() && is_text(key) && is_text(value);
    if LABELS_MAX < labels.len() {
        return Some(format!("there are {}; {LABELS_MAX} is the most", labels.len()));
    }
    let bad = labels.iter().find(|label| !good(*label))?;
    Some(format!("{:?} is no label; use 1 to {LABEL_MAX} characters a side", bad.0))
}

impl Quota {
    /// The rate that may be booked, over time; `None` if it is the same at all times.
    #[must_use]
    pub fn profile(&self) -> Option<Profile> {
        let changes = !self.weekly.is_empty() || !self.overrides.is_empty();
        changes.then(|| Profile {
            base: self.rate,
            weekly: self.weekly.clone(),
            overrides: self.overrides.clone(),
            zone: self.zone.clone(),
        })
    }

    /// Whether it lends, borrows, or has something to be borrowed.
    #[must_use]
    pub fn shares_out(&self) -> bool {
        self.lend.is_some() || self.borrow.is_some() || self.pool.is_some()
    }

    /// Whether it limits the rate at any time.
    #[must_use]
    pub fn limits_rate(&self) -> bool {
        self.rate.is_some() || !self.weekly.is_empty() || !self.overrides.is_empty()
    }

    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        for (field, shares) in
            [("quota.shares", &self.shares), ("quota.each.shares", &self.each.shares)]
        {
            if SHARES_MAX < shares.len() {
                let why = format!("there are {}; name at most {SHARES_MAX}", shares.len());
                faults.push((field, why));
            }
        }
        for (field, budgets) in
            [("quota.budgets", &self.budgets), ("quota.each.budgets", &self.each.budgets)]
        {
            let periods: BTreeSet<Period> = budgets.iter().map(|budget| budget.period).collect();
            if periods.len() < budgets.len() {
                faults.push((field, "a period is named twice; say one budget for each".into()));
            }
        }
        for (field, rate) in [("quota.lend", self.lend), ("quota.borrow", self.borrow)] {
            if rate.is_some() && !self.limits_rate() && self.pool.is_none() {
                let why = "it has no rate of its own; set rate, or pool for those below it";
                faults.push((field, why.into()));
            }
        }
        let profile = self.profile().map(|profile| profile.faults()).unwrap_or_default();
        faults.extend(profile.into_iter().map(|fault| match fault.field {
            "overrides" => ("quota.overrides", fault.why),
            _ => ("quota.weekly", fault.why),
        }));
        faults
    }
}

impl ProjectFault {
    fn new(project: &ProjectId, field: &'static str, why: impl Into<String>) -> Self {
        Self { project: project.clone(), field, why: why.into() }
    }
}

#[cfg(test)]
#[path = "project_tests.rs"]
mod tests;

//! What administrators say about projects, and what a change of that comes to.

use std::fmt;

use tidegate_policy::{Limit, Project, ProjectId, Timestamp};

/// A change of projects and their quotas.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PolicyAsk {
    /// Projects to put in, or to replace as they are.
    pub put: Vec<Project>,
    /// Projects to delete.
    pub gone: Vec<ProjectId>,
    /// What is put in is all that there is to be: every other project goes, but for `default`.
    pub whole: bool,
    /// The version that the policy must have; `None` takes any.
    pub version: Option<u64>,
    /// Takes quotas below what is used. Nobody loses anything by it: nothing more is granted until
    /// enough has ended.
    pub accept_overuse: bool,
}

/// A project that came, went or changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProjectChange {
    /// As it was; `None` if it was not there.
    pub before: Option<Project>,
    /// As it is; `None` if it is gone.
    pub after: Option<Project>,
}

impl ProjectChange {
    /// Which.
    #[must_use]
    pub fn id(&self) -> Option<&ProjectId> {
        self.after.as_ref().or(self.before.as_ref()).map(|project| &project.id)
    }
}

/// A quota that is below what is used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Overuse {
    /// Whose.
    pub project: ProjectId,
    /// Of what.
    pub what: Limit,
    /// What it would allow.
    pub limit: u64,
    /// The most that is used at one instant from now on.
    pub used: u64,
    /// From when on it is kept again, as things stand.
    pub until: Timestamp,
}

/// The most quotas below their use that are named one by one.
pub const OVERUSES_MAX: usize = 1000;

impl Overuse {
    /// By how much the most that is used is above the limit.
    pub(crate) fn excess(&self) -> u64 {
        self.used.saturating_sub(self.limit)
    }
}

impl fmt::Display for Overuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { project, what, limit, used, until } = self;
        let [used, limit] = [*used, *limit].map(|it| what.amount(it));
        write!(f, "projects/{project}: {what}: {used} used of {limit} until {until}")
    }
}

//! What administrators say about projects and classes, and what a change of that comes to.

use std::fmt;

use tidegate_policy::{
    Class, ClassId, Limit, Principal, Project, ProjectId, Rule, RuleId, Timestamp,
};

use crate::lane::LaneName;

/// A change of what administrators say: all of it or nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PolicyAsk {
    /// Of projects and their quotas. `default` stays, whatever else goes.
    pub projects: Edit<Project, ProjectId>,
    /// Of classes.
    pub classes: Edit<Class, ClassId>,
    /// Of admission rules.
    pub rules: Edit<Rule, RuleId>,
    /// The version that the policy must have; `None` takes any.
    pub version: Option<u64>,
    /// Takes quotas below what is used. Nobody loses anything by it: nothing more is granted until
    /// enough has ended.
    pub accept_overuse: bool,
}

/// A change of things that are told apart by an identifier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edit<T, I> {
    /// To put in, or to replace as they are.
    pub put: Vec<T>,
    /// To delete.
    pub gone: Vec<I>,
    /// What is put in is all that there is to be.
    pub whole: bool,
}

impl<T, I> Default for Edit<T, I> {
    fn default() -> Self {
        Self { put: Vec::new(), gone: Vec::new(), whole: false }
    }
}

/// What a change of the policy comes to, in the order of identifiers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PolicyChanges {
    /// Projects that differ.
    pub projects: Vec<Changed<Project>>,
    /// Classes that differ.
    pub classes: Vec<Changed<Class>>,
    /// Rules that differ.
    pub rules: Vec<Changed<Rule>>,
}

impl PolicyChanges {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.projects.is_empty() && self.classes.is_empty() && self.rules.is_empty()
    }
}

/// Something that came, went or changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changed<T> {
    /// As it was; `None` if it was not there.
    pub before: Option<T>,
    /// As it is; `None` if it is gone.
    pub after: Option<T>,
}

impl<T> Changed<T> {
    /// The one that came, changed or went.
    #[must_use]
    pub fn latest(&self) -> Option<&T> {
        self.after.as_ref().or(self.before.as_ref())
    }
}

impl<T: Clone> Changed<T> {
    pub(crate) fn of((before, after): (Option<&T>, Option<&T>)) -> Self {
        Self { before: before.cloned(), after: after.cloned() }
    }
}

/// Whose a quota is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Whose {
    /// Of a project and all below it.
    Project(ProjectId),
    /// Of one principal of a project and those below it.
    Principal(ProjectId, Principal),
    /// Of a class.
    Class(ClassId),
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project(project) => write!(f, "projects/{project}"),
            Self::Principal(project, whose) => write!(f, "projects/{project}/principals/{whose}"),
            Self::Class(class) => write!(f, "classes/{class}"),
        }
    }
}

/// A quota that is below what is used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Overuse {
    /// Whose.
    pub whose: Whose,
    /// Of what.
    pub what: Limit,
    /// The lane that it is a share of.
    pub of: Option<LaneName>,
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
        let Self { whose, what, of, limit, used, until } = self;
        let [used, limit] = [*used, *limit].map(|it| what.amount(it));
        let of = of.as_ref().map_or(String::new(), |lane| format!(" of lanes/{lane}"));
        write!(f, "{whose}: {what}{of}: {used} used of {limit} until {until}")
    }
}

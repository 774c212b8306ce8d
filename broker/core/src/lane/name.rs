//! What lanes are called: those of the network, and those that quotas are.

use std::fmt;
use std::sync::Arc;

use tidegate_policy::{ClassId, Principal, ProjectId};

/// The name of a lane: its resource and its direction, such as `links/spine-1/forward`; of a quota,
/// whose it is and of what, such as `projects/vision/rate`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LaneName(Arc<str>);

/// Whose quota a lane is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Holder<'a> {
    /// Of a project and all below it.
    Project(&'a str),
    /// Of one principal of a project and those below it.
    Principal(&'a str, &'a str),
    /// Of a class.
    Class(&'a str),
    /// Of what is long in a class.
    Long(&'a str),
}

/// The quota that a lane is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct QuotaLane<'a> {
    /// Whose it is.
    pub holder: Holder<'a>,
    /// The lane of which it is a share; `None` if it is of a rate.
    pub of: Option<&'a str>,
}

const PROJECTS: &str = "projects/";
const CLASSES: &str = "classes/";

impl LaneName {
    /// The lane of this name.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The lane that a project's quota of a rate is: whatever is booked for the project, or for one
    /// below it, takes it as well.
    #[must_use]
    pub fn quota(project: &ProjectId) -> Self {
        Self::new(&format!("{PROJECTS}{project}/rate"))
    }

    /// The lane that a project's share of another one is.
    pub(crate) fn project_share(project: &ProjectId, of: &Self) -> Self {
        Self::new(&format!("{PROJECTS}{project}/on/{of}"))
    }

    /// The lane that the rate of one principal of a project is.
    pub(crate) fn principal_rate(project: &ProjectId, whose: &Principal) -> Self {
        Self::new(&format!("{PROJECTS}{project}/principals/{whose}/rate"))
    }

    /// The lane that the share of one principal of a project is.
    pub(crate) fn principal_share(project: &ProjectId, whose: &Principal, of: &Self) -> Self {
        Self::new(&format!("{PROJECTS}{project}/principals/{whose}/on/{of}"))
    }

    /// The lane that the share of a class is.
    pub(crate) fn class_share(class: &ClassId, of: &Self) -> Self {
        Self::new(&format!("{CLASSES}{class}/on/{of}"))
    }

    /// The lane that what is long in a class may have of another one.
    pub(crate) fn class_long(class: &ClassId, of: &Self) -> Self {
        Self::new(&format!("{CLASSES}{class}/long/{of}"))
    }

    /// Whether it is a quota and not of the network.
    #[must_use]
    pub fn is_quota(&self) -> bool {
        self.0.starts_with(PROJECTS) || self.0.starts_with(CLASSES)
    }

    /// The quota that it is, if it is one.
    #[must_use]
    pub fn as_quota(&self) -> Option<QuotaLane<'_>> {
        if let Some(rest) = self.0.strip_prefix(CLASSES) {
            let (class, rest) = rest.split_once('/')?;
            return Some(match rest.split_once('/')? {
                ("on", of) => QuotaLane { holder: Holder::Class(class), of: Some(of) },
                ("long", of) => QuotaLane { holder: Holder::Long(class), of: Some(of) },
                _ => return None,
            });
        }
        let (project, rest) = self.0.strip_prefix(PROJECTS)?.split_once('/')?;
        let (holder, rest) = match rest.strip_prefix("principals/") {
            Some(rest) => {
                let (whose, rest) = rest.split_once('/')?;
                (Holder::Principal(project, whose), rest)
            }
            None => (Holder::Project(project), rest),
        };
        let of = rest.strip_prefix("on/");
        (of.is_some() || rest == "rate").then_some(QuotaLane { holder, of })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_quotas_say_whose_and_of_what() {
        let (project, class) =
            (ProjectId("lab".parse().unwrap()), ClassId("gold".parse().unwrap()));
        let whose: Principal = "ann@example.org".parse().unwrap();
        let link = LaneName::new("links/a/forward");
        let of = Some("links/a/forward");
        for (name, holder, of) in [
            (LaneName::quota(&project), Holder::Project("lab"), None),
            (LaneName::project_share(&project, &link), Holder::Project("lab"), of),
            (
                LaneName::principal_rate(&project, &whose),
                Holder::Principal("lab", "ann@example.org"),
                None,
            ),
            (
                LaneName::principal_share(&project, &whose, &link),
                Holder::Principal("lab", "ann@example.org"),
                of,
            ),
            (LaneName::class_share(&class, &link), Holder::Class("gold"), of),
            (LaneName::class_long(&class, &link), Holder::Long("gold"), of),
        ] {
            assert!(name.is_quota());
            assert_eq!(name.as_quota(), Some(QuotaLane { holder, of }), "{name}");
        }
        assert!(!link.is_quota());
        assert_eq!(link.as_quota(), None);
    }
}

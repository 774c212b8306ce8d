//! What numbers are kept of, and the short number that stands for each in the database.

use std::collections::BTreeMap;

use tidegate_core::lane::LaneName;
use tidegate_policy::Selector;

/// The most names that are kept apart. Past that, what a project has on a lane is kept for all projects
/// that came later together: lanes, projects and classes are bounded elsewhere.
pub(crate) const NAMES_MAX: usize = 300_000;

/// The name of what is not kept apart, of no class, and of nobody.
pub(crate) const OTHERS: &str = "-";

/// The short number of a name. That of a project on a lane has its highest bit set: there are many of
/// them, and they have no minutes.
pub(crate) type NameId = u32;

const SHARE_BIT: NameId = 1 << 31;

/// Whether numbers are kept of it for each minute.
pub(crate) fn has_minutes(name: NameId) -> bool {
    name & SHARE_BIT == 0
}

/// Every name that there ever was, as far as numbers are kept of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    ids: BTreeMap<Box<str>, NameId>,
}

/// The words that names begin with.
const LANE: &str = "lane ";
const PROJECT: &str = "project ";
const CLASS: &str = "class ";
const SHARE: &str = "share ";

/// A lane.
pub(crate) fn lane(lane: &LaneName) -> String {
    format!("{LANE}{lane}")
}

/// A project, as it is called without `projects/`.
pub(crate) fn project(project: &str) -> String {
    format!("{PROJECT}{project}")
}

/// A class, as it is called without `classes/`; [`OTHERS`] is what named none.
pub(crate) fn class(class: &str) -> String {
    format!("{CLASS}{class}")
}

/// A project on a lane.
pub(crate) fn share(lane: &LaneName, project: &str) -> String {
    format!("{SHARE}{lane} {project}")
}

impl Names {
    /// A name that was kept before.
    pub(crate) fn restore(&mut self, name: &str, id: NameId) {
        self.ids.insert(name.into(), id);
    }

    pub(crate) fn get(&self, name: &str) -> Option<NameId> {
        self.ids.get(name).copied()
    }

    /// The number of a name, and whether it is new.
    pub(crate) fn number(&mut self, name: &str) -> (NameId, bool) {
        if let Some(id) = self.get(name) {
            return (id, false);
        }
        let many = if name.starts_with(SHARE) { SHARE_BIT } else { 0 };
        let id = NameId::try_from(self.ids.len()).unwrap_or(SHARE_BIT) | many;
        self.ids.insert(name.into(), id);
        (id, true)
    }

    /// Whether shares of lanes are still kept apart.
    pub(crate) fn has_room(&self) -> bool {
        self.ids.len() < NAMES_MAX
    }

    /// The projects that there were, without their word, in order.
    pub(crate) fn projects(&self) -> impl Iterator<Item = (&str, NameId)> {
        self.beginning(PROJECT)
    }

    /// The classes that there were.
    pub(crate) fn classes(&self) -> impl Iterator<Item = (&str, NameId)> {
        self.beginning(CLASS)
    }

    /// The lanes that there ever were.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = (&str, NameId)> {
        self.beginning(LANE)
    }

    /// What projects have on some lanes: the project and the number.
    pub(crate) fn shares<'a>(
        &'a self,
        lanes: &'a Selector,
    ) -> impl Iterator<Item = (&'a str, NameId)> {
        let parts = self.beginning(SHARE).filter_map(|(name, id)| {
            let (lane, project) = name.split_once(' ')?;
            Some((lane, project, id))
        });
        parts.filter(|(lane, _, _)| lanes.takes(lane)).map(|(_, project, id)| (project, id))
    }

    fn beginning(&self, word: &'static str) -> impl Iterator<Item = (&str, NameId)> {
        let rest =
            self.ids.range::<str, _>((std::ops::Bound::Included(word), std::ops::Bound::Unbounded));
        rest.map_while(move |(name, id)| Some((name.strip_prefix(word)?, *id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_found_by_their_lanes() {
        let mut names = Names::default();
        let (forward, reverse) =
            (LaneName::new("links/a--b/forward"), LaneName::new("links/a--b/reverse"));
        let wanted = [names.number(&share(&forward, "x")).0, names.number(&share(&forward, "y")).0];
        names.number(&share(&reverse, "x"));
        names.number(&lane(&forward));
        let selector: Selector = "links/*/forward".parse().unwrap();
        let found: Vec<_> = names.shares(&selector).collect();
        assert_eq!(found, [("x", wanted[0]), ("y", wanted[1])]);
        assert_eq!(names.lanes().count(), 1);
        assert_eq!(names.number(&lane(&forward)), (3, false));
        assert!(has_minutes(3) && wanted.iter().all(|share| !has_minutes(*share)));
    }
}

//! What a path needs of its lanes: twins, bundles, and lanes that it crosses twice.

use std::collections::BTreeMap;

use tidegate_policy::Name;

use super::Topology;
use crate::lane::{LaneDef, LaneName, LaneNeed};

impl Topology {
    /// The backends that hold the same objects as this one; none if there is no such backend.
    #[must_use]
    pub fn mirrors_of(&self, storage: &Name) -> &[Name] {
        self.storage.get(storage).map_or(&[], |storage| &storage.mirrors)
    }

    /// The tier of a backend, if it has one.
    pub(crate) fn tier_of(&self, storage: &Name) -> Option<&Name> {
        self.storage.get(storage)?.tier.as_ref()
    }

    /// What a request needs that names its lanes itself: one that is named twice carries the bytes
    /// twice, and one with a firm twin brings it along. A twin is not named by itself.
    ///
    /// # Errors
    /// The first name that is no lane to be named.
    pub fn lane_needs(&self, lanes: &[LaneName]) -> Result<Vec<LaneNeed>, LaneName> {
        let named = |lane: &&LaneName| self.lanes.get(*lane).is_some_and(|def| !def.firm);
        if let Some(unknown) = lanes.iter().find(|lane| !named(lane)) {
            return Err(unknown.clone());
        }
        Ok(self.needs(lanes))
    }

    /// What these lanes amount to, in the order in which each comes first, its twin behind it.
    pub(super) fn needs<'a>(
        &'a self,
        lanes: impl IntoIterator<Item = &'a LaneName>,
    ) -> Vec<LaneNeed> {
        let mut needs: Vec<LaneNeed> = Vec::new();
        let mut known: BTreeMap<&LaneName, usize> = BTreeMap::new();
        for lane in lanes {
            let twin = self.lanes.get(lane).and_then(|def| def.twin.as_ref());
            for lane in [Some(lane), twin].into_iter().flatten() {
                let def: Option<&LaneDef> = self.lanes.get(lane);
                let at = *known.entry(lane).or_insert(needs.len());
                match (needs.get_mut(at), def) {
                    (Some(need), _) => need.times = need.times.saturating_add(1),
                    (None, Some(def)) => needs.push(LaneNeed::of(lane, def, 1)),
                    // No path leads over a lane that there is not.
                    (None, None) => {}
                }
            }
        }
        needs
    }
}

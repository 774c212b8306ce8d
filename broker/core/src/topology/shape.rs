//! What differs between two topologies, lane by lane.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::{Name, Resource};

use super::Topology;
use super::spec::{BundleSpec, Node};
use crate::lane::LaneName;

/// One lane that came, went or changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaneChange {
    /// The lane.
    pub lane: LaneName,
    /// What it could carry before, in bits per second; `None` if it was not there.
    pub before: Option<u64>,
    /// What it can carry now; `None` if it is gone. Where it is the same as before, what the lane
    /// books for a rate has changed, or how paths use it.
    pub after: Option<u64>,
}

/// What a new topology changes about the lanes, in the order of their names.
#[must_use]
pub fn differences(old: &Topology, new: &Topology) -> Vec<LaneChange> {
    let capacity =
        |topology: &Topology, lane: &LaneName| topology.lanes.get(lane).map(|def| def.capacity);
    let reshaped = reshaped(old, new);
    let lanes: BTreeSet<&LaneName> = old.lanes.keys().chain(new.lanes.keys()).collect();
    let changes = lanes.into_iter().filter_map(|lane| {
        let (before, after) = (capacity(old, lane), capacity(new, lane));
        let differs = before != after || reshaped.contains(lane);
        differs.then(|| LaneChange { lane: lane.clone(), before, after })
    });
    changes.collect()
}

/// The lanes that book something else for a rate, or that paths use in another way.
fn reshaped<'a>(old: &'a Topology, new: &'a Topology) -> BTreeSet<&'a LaneName> {
    let mut lanes: BTreeSet<&LaneName> = BTreeSet::new();
    let defs = old.lanes.iter().filter(|(lane, def)| new.lanes.get(*lane) != Some(def));
    lanes.extend(defs.map(|(lane, _)| lane));
    let (before, after) = (uses(old), uses(new));
    let resources: BTreeSet<&Resource> = before.keys().chain(after.keys()).collect();
    for resource in resources {
        if before.get(resource) != after.get(resource) {
            lanes.extend([old, new].into_iter().filter_map(|it| it.lanes_of(resource)).flatten());
        }
    }
    let routes: BTreeSet<_> = old.routes.keys().chain(new.routes.keys()).collect();
    for pair in routes {
        let (before, after) = (old.routes.get(pair), new.routes.get(pair));
        if before != after {
            lanes.extend([before, after].into_iter().flatten().flat_map(|route| &route.lanes));
        }
    }
    let steerings: BTreeSet<_> = old.steerings.keys().chain(new.steerings.keys()).collect();
    for pair in steerings {
        let (before, after) = (old.steerings.get(pair), new.steerings.get(pair));
        if before != after {
            let both = [before, after].into_iter().flatten();
            lanes.extend(both.flat_map(|it| &it.alternatives).flat_map(|it| &it.lanes));
        }
    }
    lanes
}

/// How paths use a resource.
#[derive(PartialEq, Eq)]
enum Use<'a> {
    Nic(&'a Name),
    Link { from: &'a Name, to: &'a Name, cost: u32, bundle: Option<BundleSpec> },
    Storage { place: &'a Node, served_via: &'a [Name], mirrors: &'a [Name] },
}

fn uses(topology: &Topology) -> BTreeMap<Resource, Use<'_>> {
    let spec = &topology.spec;
    let nics = spec.hosts.iter().flat_map(|host| host.nics.iter().map(move |nic| (host, nic)));
    let nics = nics.map(|(host, nic)| {
        (Resource::Nic(host.name.clone(), nic.name.clone()), Use::Nic(&nic.switch))
    });
    let links = spec.links.iter().map(|link| {
        let (from, to, cost, bundle) = (&link.from, &link.to, link.cost, link.bundle);
        (Resource::Link(link.name.clone()), Use::Link { from, to, cost, bundle })
    });
    let storage = spec.storage.iter().map(|storage| {
        let (place, served_via) = (&storage.place, storage.served_via.as_slice());
        let mirrors = storage.mirrors.as_slice();
        (Resource::Storage(storage.name.clone()), Use::Storage { place, served_via, mirrors })
    });
    nics.chain(links).chain(storage).collect()
}

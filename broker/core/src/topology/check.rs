//! Whether a declaration makes sense: every fault of it, with the path of its field.

use std::collections::BTreeSet;

use tidegate_policy::{BitRate, Mark, MarkKind, Name};

use super::spec::{
    BundleSpec, Capacity, Framing, MTU_MIN, Node, SteeringHow, StorageSpec, TopologySpec,
};
use crate::fault::FieldFault;

/// The most hosts, switches, links or backends of a topology, each.
pub(super) const RESOURCES_MAX: usize = 100_000;
/// The most NICs of a host.
pub(super) const NICS_MAX: usize = 64;
/// The most links of a declared route.
pub(super) const ROUTE_LINKS_MAX: usize = 64;
/// The most relays that a backend is served via.
pub(super) const SERVED_VIA_MAX: usize = 16;
/// The most mirrors of a backend.
pub(super) const MIRRORS_MAX: usize = 16;
/// The most pairs of places between which bytes can be steered: their paths are looked for with
/// every topology that is applied.
const STEERINGS_MAX: usize = 1000;
/// How many paths there are to choose from.
const PATHS_MIN: u32 = 2;
const PATHS_MAX: u32 = 4;
/// The most links of a bundle.
const MEMBERS_MAX: u32 = 1024;
/// The highest allocation ratio, in parts per million.
const RATIO_MAX: u32 = 100_000_000;
/// The most a path pays for a link.
pub(super) const COST_MAX: u32 = 1_000_000;

const PPM: u32 = 1_000_000;

struct Checker<'a> {
    faults: Vec<FieldFault>,
    hosts: BTreeSet<&'a Name>,
    switches: BTreeSet<&'a Name>,
    links: BTreeSet<&'a Name>,
    storage: BTreeSet<&'a Name>,
}

pub(super) fn check(spec: &TopologySpec) -> Vec<FieldFault> {
    let mut checker = Checker {
        faults: Vec::new(),
        hosts: spec.hosts.iter().map(|host| &host.name).collect(),
        switches: spec.switches.iter().collect(),
        links: spec.links.iter().map(|link| &link.name).collect(),
        storage: spec.storage.iter().map(|storage| &storage.name).collect(),
    };
    checker.names("topology.hosts", spec.hosts.iter().map(|host| &host.name));
    checker.names("topology.switches", spec.switches.iter());
    checker.names("topology.links", spec.links.iter().map(|link| &link.name));
    checker.names("topology.storage", spec.storage.iter().map(|storage| &storage.name));
    checker.hosts(spec);
    checker.links(spec);
    checker.storage(spec);
    checker.routes(spec);
    checker.steerings(spec);
    checker.faults
}

impl<'a> Checker<'a> {
    fn fault(&mut self, field: String, why: impl Into<String>) {
        self.faults.push(FieldFault::new(field, why));
    }

    fn names(&mut self, list: &str, names: impl Iterator<Item = &'a Name>) {
        let mut seen = BTreeSet::new();
        let mut count = 0_usize;
        for (index, name) in names.enumerate() {
            count = index.saturating_add(1);
            if !seen.insert(name) {
                let why = format!("the name '{name}' is used twice; rename one of them");
                self.fault(format!("{list}[{index}].name"), why);
            }
        }
        self.bound(list, count, RESOURCES_MAX);
    }

    fn bound(&mut self, list: &str, count: usize, most: usize) {
        if most < count {
            self.fault(list.into(), format!("there are {count}, at most {most} are kept"));
        }
    }

    fn switch(&mut self, field: String, name: &Name) {
        if !self.switches.contains(name) {
            self.fault(field, format!("there is no switch '{name}'; declare it under switches"));
        }
    }

    fn host(&mut self, field: String, name: &Name) {
        if !self.hosts.contains(name) {
            self.fault(field, format!("there is no host '{name}'; declare it under hosts"));
        }
    }

    fn hosts(&mut self, spec: &'a TopologySpec) {
        for (index, host) in spec.hosts.iter().enumerate() {
            let field = format!("topology.hosts[{index}]");
            self.names(&format!("{field}.nics"), host.nics.iter().map(|nic| &nic.name));
            self.bound(&format!("{field}.nics"), host.nics.len(), NICS_MAX);
            for (nic_index, nic) in host.nics.iter().enumerate() {
                let field = format!("{field}.nics[{nic_index}]");
                self.switch(format!("{field}.switch"), &nic.switch);
                self.capacity(&field, nic.capacity);
                self.framing(&field, nic.framing);
            }
        }
    }

    fn links(&mut self, spec: &TopologySpec) {
        for (index, link) in spec.links.iter().enumerate() {
            let field = format!("topology.links[{index}]");
            self.switch(format!("{field}.from"), &link.from);
            self.switch(format!("{field}.to"), &link.to);
            if link.from == link.to {
                let why = "it leads back to where it starts; name two switches";
                self.fault(format!("{field}.to"), why);
            }
            if link.cost < 1 || COST_MAX < link.cost {
                let why = format!("it is {}; write 1 to {COST_MAX}", link.cost);
                self.fault(format!("{field}.cost"), why);
            }
            self.capacity(&field, link.capacity);
            self.framing(&field, link.framing);
            if let Some(bundle) = link.bundle {
                self.bundle(&format!("{field}.bundle"), bundle);
            }
        }
    }

    fn bundle(&mut self, field: &str, bundle: BundleSpec) {
        if bundle.members < 2 || MEMBERS_MAX < bundle.members {
            let why = format!("it has {} links; write 2 to {MEMBERS_MAX}", bundle.members);
            self.fault(format!("{field}.members"), why);
        }
        let Some(share) = bundle.ecmp_share_ppm else { return };
        let equal = PPM.div_ceil(bundle.members.max(1));
        if share < equal || PPM < share {
            let why = format!(
                "it is {share}; one of {} links carries at least an equal share, so write {equal} \
                 to {PPM}",
                bundle.members
            );
            self.fault(format!("{field}.ecmp_share_ppm"), why);
        }
        if bundle.streams_min == 0 {
            let why = "say for how many parallel streams the share holds, 1 to 65535";
            self.fault(format!("{field}.streams_min"), why);
        }
    }

    fn storage(&mut self, spec: &'a TopologySpec) {
        for (index, storage) in spec.storage.iter().enumerate() {
            let field = format!("topology.storage[{index}]");
            let place = match storage.place {
                Node::Host(_) => "host",
                Node::Switch(_) => "switch",
            };
            self.node(&format!("{field}.{place}"), &storage.place);
            self.capacity(&field, storage.capacity);
            self.bound(&format!("{field}.served_via"), storage.served_via.len(), SERVED_VIA_MAX);
            for (via_index, host) in storage.served_via.iter().enumerate() {
                self.host(format!("{field}.served_via[{via_index}]"), host);
            }
            self.mirrors(&format!("{field}.mirrors"), storage);
        }
    }

    fn mirrors(&mut self, field: &str, storage: &'a StorageSpec) {
        self.bound(field, storage.mirrors.len(), MIRRORS_MAX);
        let mut seen = BTreeSet::new();
        for (index, mirror) in storage.mirrors.iter().enumerate() {
            let field = format!("{field}[{index}]");
            if !self.storage.contains(mirror) {
                let why = format!("there is no backend '{mirror}'; declare it under storage");
                self.fault(field, why);
            } else if *mirror == storage.name {
                self.fault(field, "it is its own mirror; leave it out");
            } else if !seen.insert(mirror) {
                self.fault(field, format!("'{mirror}' is named twice; leave one out"));
            }
        }
    }

    fn routes(&mut self, spec: &TopologySpec) {
        let mut seen = BTreeSet::new();
        self.bound("topology.routes", spec.routes.len(), RESOURCES_MAX);
        for (index, route) in spec.routes.iter().enumerate() {
            let field = format!("topology.routes[{index}]");
            self.node(&format!("{field}.from"), &route.from);
            self.node(&format!("{field}.to"), &route.to);
            if !seen.insert((&route.from, &route.to)) {
                let why = format!("{} to {} has a route already", route.from, route.to);
                self.fault(field.clone(), why);
            }
            if route.links.is_empty() {
                self.fault(format!("{field}.links"), "it is empty; name the links in order");
            }
            self.bound(&format!("{field}.links"), route.links.len(), ROUTE_LINKS_MAX);
            for (link_index, link) in route.links.iter().enumerate() {
                if !self.links.contains(link) {
                    let why = format!("there is no link '{link}'; declare it under links");
                    self.fault(format!("{field}.links[{link_index}]"), why);
                }
            }
        }
    }

    fn steerings(&mut self, spec: &TopologySpec) {
        self.bound("topology.steerings", spec.steerings.len(), STEERINGS_MAX);
        let routes: BTreeSet<(&Node, &Node)> =
            spec.routes.iter().map(|route| (&route.from, &route.to)).collect();
        let mut seen = BTreeSet::new();
        for (index, steering) in spec.steerings.iter().enumerate() {
            let field = format!("topology.steerings[{index}]");
            let (from, to) = (&steering.from, &steering.to);
            self.node(&format!("{field}.from"), from);
            self.node(&format!("{field}.to"), to);
            if from == to {
                self.fault(format!("{field}.to"), "it is where it starts; name two places");
            }
            if !seen.insert((from, to)) {
                self.fault(field.clone(), format!("{from} to {to} can be steered already"));
            }
            if routes.contains(&(from, to)) {
                let why = format!(
                    "{from} to {to} has a declared route, so there is no choice; take one of the \
                     two out"
                );
                self.fault(field.clone(), why);
            }
            if !(PATHS_MIN..=PATHS_MAX).contains(&steering.paths) {
                let why = format!("it is {}; write {PATHS_MIN} to {PATHS_MAX}", steering.paths);
                self.fault(format!("{field}.paths"), why);
            }
            if let SteeringHow::Marks(kind, marks) = &steering.how {
                self.marks(&format!("{field}.marks.values"), (*kind, marks), steering.paths);
            }
        }
    }

    /// One mark for each path, all of this kind, all different.
    fn marks(&mut self, field: &str, (kind, marks): (MarkKind, &[Mark]), paths: u32) {
        if u32::try_from(marks.len()) != Ok(paths) {
            let why = format!("there are {} for {paths} paths; write one for each", marks.len());
            self.fault(field.into(), why);
        }
        let mut seen = BTreeSet::new();
        for (index, mark) in marks.iter().enumerate() {
            if mark.kind() != kind {
                self.fault(format!("{field}[{index}]"), format!("{mark} is no {kind}"));
            } else if !seen.insert(mark) {
                let why = format!("{mark} marks another path already; write another value");
                self.fault(format!("{field}[{index}]"), why);
            }
        }
    }

    fn node(&mut self, field: &str, node: &Node) {
        match node {
            Node::Host(name) => self.host(field.into(), name),
            Node::Switch(name) => self.switch(field.into(), name),
        }
    }

    fn capacity(&mut self, field: &str, capacity: Capacity) {
        let named = [
            ("out_bps", Some(capacity.out)),
            ("in_bps", Some(capacity.back)),
            ("total_bps", capacity.total),
        ];
        for (name, rate) in named {
            if rate == Some(BitRate::ZERO) {
                let why = "it is zero; give a rate, or leave the resource out";
                self.fault(format!("{field}.capacity.{name}"), why);
            }
        }
        if capacity.reserved_ppm.is_some_and(|ppm| PPM <= ppm) {
            let why = format!("all of it would be kept back; write less than {PPM}");
            self.fault(format!("{field}.capacity.reserved_ppm"), why);
        }
        if let Some(ratio) = capacity.allocation_ratio_ppm
            && !(PPM..=RATIO_MAX).contains(&ratio)
        {
            let why = format!("it is {ratio}; write {PPM} (once) to {RATIO_MAX} (a hundredfold)");
            self.fault(format!("{field}.capacity.allocation_ratio_ppm"), why);
        }
    }

    fn framing(&mut self, field: &str, framing: Framing) {
        if framing.overhead_ppm.is_some_and(|ppm| PPM < ppm) {
            let why = format!("headers outweigh the payload; write at most {PPM}");
            self.fault(format!("{field}.framing.overhead_ppm"), why);
        }
        if framing.mtu.is_some_and(|mtu| mtu < MTU_MIN) {
            let why = format!("it is too small for TCP over IPv6; write at least {MTU_MIN}");
            self.fault(format!("{field}.framing.mtu_bytes"), why);
        }
    }
}

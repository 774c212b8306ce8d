//! From a declaration to a topology that can be asked for paths.

use tidegate_policy::{BitRate, Name, Resource};

use super::spec::{self, BundleSpec, Capacity, Framing, TopologySpec};
use super::{Edge, Nic, Storage, Topology, check, routes};
use crate::fault::FieldFault;
use crate::lane::{LaneDef, LaneName, Spread};

/// Checks a declaration and makes a topology of it. What depends on the order of declaration is
/// sorted by name first, so that a file's order never decides a path.
///
/// # Errors
/// Everything that is wrong with it, field by field.
pub fn compile(spec: &TopologySpec) -> Result<Topology, Vec<FieldFault>> {
    let faults = check::check(spec);
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut topology = Topology { spec: spec.clone(), ..Topology::default() };
    topology.add_hosts(spec);
    topology.add_links(spec);
    topology.add_storage(spec);
    topology.resources.values_mut().for_each(|lanes| lanes.sort_unstable());
    let mut faults = Vec::new();
    for (index, route) in spec.routes.iter().enumerate() {
        match routes::compile(&topology, route) {
            Ok(compiled) => {
                topology.routes.insert((route.from.clone(), route.to.clone()), compiled);
            }
            Err(why) => faults.push(FieldFault::new(format!("topology.routes[{index}]"), why)),
        }
    }
    faults.extend(topology.add_steerings(&spec.steerings));
    if faults.is_empty() { Ok(topology) } else { Err(faults) }
}

/// What the two directions of a kind of resource are called.
struct Directions {
    out: &'static str,
    back: &'static str,
}

/// How the lanes of a resource follow from what it can carry.
struct Shape {
    reserved_ppm: u32,
    overhead_ppm: u32,
    spread: Option<Spread>,
}

const NIC: Directions = Directions { out: "egress", back: "ingress" };
const LINK: Directions = Directions { out: "forward", back: "reverse" };
const STORAGE: Directions = Directions { out: "read", back: "write" };

impl Topology {
    fn add_hosts(&mut self, spec: &TopologySpec) {
        for host in &spec.hosts {
            let mut declared: Vec<&spec::NicSpec> = host.nics.iter().collect();
            declared.sort_by(|a, b| a.name.cmp(&b.name));
            let mut nics = Vec::new();
            for nic in declared {
                let resource = Resource::Nic(host.name.clone(), nic.name.clone());
                let shape = network(nic.capacity, nic.framing, None);
                let (egress, ingress) = self.add_lanes(&resource, &NIC, nic.capacity, &shape);
                self.gather(&resource, [Resource::Host(host.name.clone())]);
                self.gather(&resource, [Resource::Switch(nic.switch.clone())]);
                nics.push(Nic {
                    name: nic.name.clone(),
                    switch: nic.switch.clone(),
                    egress,
                    ingress,
                });
            }
            self.resources.entry(Resource::Host(host.name.clone())).or_default();
            self.hosts.insert(host.name.clone(), nics);
        }
    }

    fn add_links(&mut self, spec: &TopologySpec) {
        for switch in &spec.switches {
            self.links.insert(switch.clone(), Vec::new());
            self.resources.entry(Resource::Switch(switch.clone())).or_default();
        }
        let mut declared: Vec<&spec::LinkSpec> = spec.links.iter().collect();
        declared.sort_by(|a, b| a.name.cmp(&b.name));
        for link in declared {
            let resource = Resource::Link(link.name.clone());
            let shape = network(link.capacity, link.framing, link.bundle);
            let (forward, reverse) = self.add_lanes(&resource, &LINK, link.capacity, &shape);
            self.gather(&resource, [link.from.clone(), link.to.clone()].map(Resource::Switch));
            self.add_edge(link, &link.from, &link.to, forward);
            self.add_edge(link, &link.to, &link.from, reverse);
        }
    }

    fn add_edge(&mut self, link: &spec::LinkSpec, from: &Name, to: &Name, lanes: Vec<LaneName>) {
        let edge = Edge { link: link.name.clone(), to: to.clone(), cost: link.cost, lanes };
        self.links.entry(from.clone()).or_default().push(edge);
    }

    fn add_storage(&mut self, spec: &TopologySpec) {
        for storage in &spec.storage {
            let resource = Resource::Storage(storage.name.clone());
            // A backend books what is read and written: headers and control are the network's.
            let reserved_ppm = storage.capacity.reserved_ppm.unwrap_or(0);
            let shape = Shape { reserved_ppm, overhead_ppm: 0, spread: None };
            let (read, write) = self.add_lanes(&resource, &STORAGE, storage.capacity, &shape);
            let compiled = Storage {
                place: storage.place.clone(),
                read,
                write,
                served_via: storage.served_via.clone(),
                mirrors: storage.mirrors.clone(),
                tier: storage.tier.clone(),
            };
            self.storage.insert(storage.name.clone(), compiled);
        }
    }

    /// Adds the lanes of one resource and returns those that each direction books.
    fn add_lanes(
        &mut self,
        resource: &Resource,
        directions: &Directions,
        capacity: Capacity,
        shape: &Shape,
    ) -> (Vec<LaneName>, Vec<LaneName>) {
        let ratio = capacity.allocation_ratio_ppm.filter(|ratio| ONCE_PPM < *ratio);
        let mut all = Vec::new();
        let mut add = |direction: &str, nominal: BitRate| {
            let lane = LaneName::new(&format!("{resource}/{direction}"));
            let there = keep_back(nominal, shape.reserved_ppm);
            let firm = LaneDef {
                nominal: nominal.bps(),
                capacity: there,
                overhead_ppm: shape.overhead_ppm,
                spread: shape.spread,
                firm: true,
                twin: None,
            };
            let twin = ratio.map(|_| LaneName::new(&format!("{lane}/firm")));
            let capacity = ratio.map_or(there, |ratio| times(there, ratio));
            let def = LaneDef { capacity, firm: false, twin: twin.clone(), ..firm.clone() };
            all.push(lane.clone());
            self.lanes.insert(lane.clone(), def);
            if let Some(twin) = twin {
                all.push(twin.clone());
                self.lanes.insert(twin, firm);
            }
            lane
        };
        let shared: Vec<LaneName> =
            capacity.total.map(|total| add("total", total)).into_iter().collect();
        let mut lanes_of = |direction: &str, rate: BitRate| {
            let mut lanes = vec![add(direction, rate)];
            lanes.extend(shared.iter().cloned());
            lanes
        };
        let directed =
            (lanes_of(directions.out, capacity.out), lanes_of(directions.back, capacity.back));
        self.resources.insert(resource.clone(), all);
        directed
    }

    /// Counts the lanes of one resource among those of others.
    fn gather<const N: usize>(&mut self, resource: &Resource, wholes: [Resource; N]) {
        let lanes = self.resources.get(resource).cloned().unwrap_or_default();
        for whole in wholes {
            self.resources.entry(whole).or_default().extend(lanes.iter().cloned());
        }
    }

    /// Every lane of a resource, firm twins included; `None` if there is no such resource.
    #[must_use]
    pub fn lanes_of(&self, resource: &Resource) -> Option<&[LaneName]> {
        self.resources.get(resource).map(Vec::as_slice)
    }
}

fn network(capacity: Capacity, framing: Framing, bundle: Option<BundleSpec>) -> Shape {
    let spread = bundle.and_then(|bundle| {
        let share_ppm = bundle.ecmp_share_ppm?;
        Some(Spread { share_ppm, streams_min: bundle.streams_min })
    });
    let reserved_ppm = capacity.reserved_ppm.unwrap_or(spec::NETWORK_RESERVED_PPM);
    Shape { reserved_ppm, overhead_ppm: framing.overhead_ppm(), spread }
}

/// What is there, booked once and no more.
const ONCE_PPM: u32 = 1_000_000;

/// What can be booked of `there` at an allocation ratio, rounded down.
fn times(there: u64, ratio_ppm: u32) -> u64 {
    let millionths = u128::from(there).saturating_mul(ratio_ppm.into());
    let booked = millionths.checked_div(ONCE_PPM.into()).unwrap_or(0);
    u64::try_from(booked).unwrap_or(u64::MAX)
}

/// `nominal` less `reserved_ppm` of it; what is kept back rounds up.
fn keep_back(nominal: BitRate, reserved_ppm: u32) -> u64 {
    let kept = u128::from(nominal.bps()).saturating_mul(reserved_ppm.into()).div_ceil(1_000_000);
    nominal.bps().saturating_sub(u64::try_from(kept).unwrap_or(u64::MAX))
}

impl Framing {
    /// Payload is the wire: for lanes declared in what they carry for their users.
    #[must_use]
    pub const fn none() -> Self {
        Self { overhead_ppm: Some(0), mtu: None }
    }
}

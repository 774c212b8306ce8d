//! From a declaration to a topology that can be asked for paths.

use tidegate_policy::{BitRate, Name};

use super::spec::{self, Capacity, Framing, TopologySpec};
use super::{Edge, Nic, Storage, Topology, check, routes};
use crate::fault::FieldFault;
use crate::lane::{LaneDef, LaneName};

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
    let mut faults = Vec::new();
    for (index, route) in spec.routes.iter().enumerate() {
        match routes::compile(&topology, route) {
            Ok(compiled) => {
                topology.routes.insert((route.from.clone(), route.to.clone()), compiled);
            }
            Err(why) => faults.push(FieldFault::new(format!("topology.routes[{index}]"), why)),
        }
    }
    if faults.is_empty() { Ok(topology) } else { Err(faults) }
}

/// What the two directions of a kind of resource are called.
struct Directions {
    out: &'static str,
    back: &'static str,
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
                let resource = format!("hosts/{}/nics/{}", host.name, nic.name);
                let overhead = nic.framing.overhead_ppm();
                let reserved = network_reserved(nic.capacity);
                let (egress, ingress) =
                    self.add_lanes(&resource, &NIC, nic.capacity, (reserved, overhead));
                nics.push(Nic { switch: nic.switch.clone(), egress, ingress });
            }
            self.hosts.insert(host.name.clone(), nics);
        }
    }

    fn add_links(&mut self, spec: &TopologySpec) {
        for switch in &spec.switches {
            self.links.insert(switch.clone(), Vec::new());
        }
        let mut declared: Vec<&spec::LinkSpec> = spec.links.iter().collect();
        declared.sort_by(|a, b| a.name.cmp(&b.name));
        for link in declared {
            let resource = format!("links/{}", link.name);
            let shape = (network_reserved(link.capacity), link.framing.overhead_ppm());
            let (forward, reverse) = self.add_lanes(&resource, &LINK, link.capacity, shape);
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
            let resource = format!("storage/{}", storage.name);
            // A backend books what is read and written: headers and control are the network's.
            let reserved = storage.capacity.reserved_ppm.unwrap_or(0);
            let (read, write) =
                self.add_lanes(&resource, &STORAGE, storage.capacity, (reserved, 0));
            let compiled = Storage {
                place: storage.place.clone(),
                read,
                write,
                served_via: storage.served_via.clone(),
            };
            self.storage.insert(storage.name.clone(), compiled);
        }
    }

    /// Adds the lanes of one resource and returns those that each direction books.
    fn add_lanes(
        &mut self,
        resource: &str,
        directions: &Directions,
        capacity: Capacity,
        (reserved_ppm, overhead_ppm): (u32, u32),
    ) -> (Vec<LaneName>, Vec<LaneName>) {
        let mut add = |direction: &str, nominal: BitRate| {
            let lane = LaneName::new(&format!("{resource}/{direction}"));
            let def = LaneDef {
                nominal: nominal.bps(),
                capacity: keep_back(nominal, reserved_ppm),
                overhead_ppm,
            };
            self.lanes.insert(lane.clone(), def);
            lane
        };
        let shared: Vec<LaneName> =
            capacity.total.map(|total| add("total", total)).into_iter().collect();
        let mut lanes_of = |direction: &str, rate: BitRate| {
            let mut lanes = vec![add(direction, rate)];
            lanes.extend(shared.iter().cloned());
            lanes
        };
        (lanes_of(directions.out, capacity.out), lanes_of(directions.back, capacity.back))
    }
}

fn network_reserved(capacity: Capacity) -> u32 {
    capacity.reserved_ppm.unwrap_or(spec::NETWORK_RESERVED_PPM)
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

//! The network of the moves: three switches in a triangle, so that bytes have a choice of ways; its
//! figures change, its shape hardly does.
//!
//! ```text
//!   a, p at s1 ==l1== s2 at b; s1 ==l2== s3 ==l3== s2; c at s3; q at s2, served via b or c
//! ```

use tidegate_core::lane::LaneName;
use tidegate_core::topology::spec::{
    Capacity, Framing, HostSpec, LinkSpec, NicSpec, Node, SteeringHow, SteeringSpec, StorageSpec,
};
use tidegate_core::{Machine, TopologySpec};
use tidegate_policy::{BitRate, Mark, MarkKind, Name, Resource};

use super::rng::Rng;

const RESOURCES: usize = 8;
/// A lane each way and maybe one for both: lane `3 r + direction` of resource `r`.
pub(super) const LANES: usize = 3 * RESOURCES;
const HOSTS: [(&str, &str); 3] = [("a", "s1"), ("b", "s2"), ("c", "s3")];
const LINKS: [(&str, &str, &str); 3] = [("l1", "s1", "s2"), ("l2", "s1", "s3"), ("l3", "s3", "s2")];
const L1: usize = 3;
const L3: usize = 5;
const P: usize = 6;
const Q: usize = 7;

const NAMES: [[&str; 3]; RESOURCES] = [
    ["hosts/a/nics/eth0/egress", "hosts/a/nics/eth0/ingress", ""],
    ["hosts/b/nics/eth0/egress", "hosts/b/nics/eth0/ingress", ""],
    ["hosts/c/nics/eth0/egress", "hosts/c/nics/eth0/ingress", "hosts/c/nics/eth0/total"],
    ["links/l1/forward", "links/l1/reverse", ""],
    ["links/l2/forward", "links/l2/reverse", ""],
    ["links/l3/forward", "links/l3/reverse", "links/l3/total"],
    ["storage/p/read", "storage/p/write", ""],
    ["storage/q/read", "storage/q/write", "storage/q/total"],
];

/// What can be drained or maintained.
pub(super) const DECLARED: [&str; 10] = [
    "hosts/a/nics/eth0",
    "hosts/b",
    "hosts/c",
    "links/l1",
    "links/l2",
    "links/l3",
    "switches/s1",
    "switches/s3",
    "storage/p",
    "storage/q",
];

#[derive(Clone)]
pub(super) struct Net {
    /// Out, back and both, in bits per second.
    rates: [[u64; 3]; RESOURCES],
    /// The first link can leave.
    has_l1: bool,
    /// Headers on NICs and links, in parts per million of the payload.
    headers: u32,
}

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(super) fn lane_name(lane: usize) -> &'static str {
    NAMES[lane / 3][lane % 3]
}

/// The number of a lane.
pub(super) fn lane(name: &LaneName) -> usize {
    (0..LANES).find(|lane| lane_name(*lane) == name.as_str()).unwrap()
}

fn draw(rng: &mut Rng, scale: u64) -> [u64; 3] {
    let mut rate = || (scale * rng.pick(&[5, 10, 12, 15, 20, 20]) / 20 + rng.below(2)).max(1);
    [rate(), rate(), rate()]
}

impl Net {
    pub(super) fn random(rng: &mut Rng, scale: u64, headers: u32) -> Self {
        let mut net = Self { rates: [[scale; 3]; RESOURCES], has_l1: true, headers };
        for rates in &mut net.rates {
            *rates = draw(rng, scale);
        }
        net
    }

    /// Another one that differs a little.
    pub(super) fn changed(&self, rng: &mut Rng, scale: u64) -> Self {
        let mut net = self.clone();
        for _ in 0..=rng.below(2) {
            net.rates[rng.index(RESOURCES)] = draw(rng, scale);
        }
        if rng.chance(20) {
            net.has_l1 = !net.has_l1;
        }
        net
    }

    pub(super) fn capacity(&self, lane: usize) -> u64 {
        if lane / 3 == L1 && !self.has_l1 || lane_name(lane).is_empty() {
            return 0;
        }
        self.rates[lane / 3][lane % 3]
    }

    /// What a payload rate takes of a lane that is crossed so often.
    pub(super) fn amount(&self, lane: usize, bps: u64, times: u32) -> u64 {
        let headers = if lane / 3 < P { self.headers } else { 0 };
        let wire = (u128::from(bps) * u128::from(1_000_000 + headers)).div_ceil(1_000_000);
        u64::try_from(wire * u128::from(times)).unwrap()
    }

    fn lanes_of(&self, resource: &Resource) -> Vec<usize> {
        let (a, b, c, l2) = (0, 1, 2, 4);
        let of: &[usize] = match resource.to_string().as_str() {
            "hosts/a/nics/eth0" => &[a],
            "hosts/b" => &[b],
            "hosts/c" => &[c],
            "links/l1" => &[L1],
            "links/l2" => &[l2],
            "links/l3" => &[L3],
            "switches/s1" => &[a, L1, l2],
            "switches/s3" => &[c, l2, L3],
            "storage/p" => &[P],
            "storage/q" => &[Q],
            other => panic!("no {other} here"),
        };
        of.iter().flat_map(|resource| 3 * resource..3 * resource + 3).collect()
    }

    /// What maintenance leaves of each lane, and when.
    pub(super) fn windows(&self, machine: &Machine) -> Vec<Vec<(i64, i64, u32)>> {
        let mut windows = vec![Vec::new(); LANES];
        for found in machine.maintenances(None) {
            let over = (found.over.start().as_ms(), found.over.end().as_ms());
            for lane in self.lanes_of(&found.resource) {
                windows[lane].push((over.0, over.1, found.left_ppm));
            }
        }
        windows
    }

    pub(super) fn drained(&self, machine: &Machine) -> Vec<bool> {
        let mut drained = vec![false; LANES];
        for resource in machine.drained() {
            for lane in self.lanes_of(resource) {
                drained[lane] = true;
            }
        }
        drained
    }

    pub(super) fn spec(&self) -> TopologySpec {
        let capacity = |index: usize| {
            let [out, back, total] = self.rates[index].map(|bps| BitRate::from_bps(bps).unwrap());
            let total = (!NAMES[index][2].is_empty()).then_some(total);
            Capacity { out, back, total, reserved_ppm: Some(0), allocation_ratio_ppm: None }
        };
        let framing = Framing { overhead_ppm: Some(self.headers), mtu: None };
        let hosts = HOSTS.iter().enumerate().map(|(index, (host, switch))| {
            let (switch, capacity) = (name(switch), capacity(index));
            let nic = NicSpec { name: name("eth0"), switch, capacity, framing };
            HostSpec { name: name(host), nics: vec![nic] }
        });
        let links = LINKS.iter().enumerate().map(|(index, (link, from, to))| LinkSpec {
            name: name(link),
            from: name(from),
            to: name(to),
            capacity: capacity(L1 + index),
            framing,
            cost: 1,
            bundle: None,
        });
        let links = links.filter(|link| self.has_l1 || link.name != name("l1"));
        let storage =
            [(P, "p", "s1", "q"), (Q, "q", "s2", "p")].map(|(index, at, switch, other)| {
                let served: &[&str] = if index == Q { &["b", "c"] } else { &[] };
                StorageSpec {
                    name: name(at),
                    place: Node::Switch(name(switch)),
                    capacity: capacity(index),
                    served_via: served.iter().map(|host| name(host)).collect(),
                    mirrors: vec![name(other)],
                    tier: None,
                }
            });
        let marks = ["8", "16"].map(|value| Mark::new(MarkKind::Dscp, value).unwrap());
        let steer = |from: &str, to: &str| SteeringSpec {
            from: Node::Switch(name(from)),
            to: Node::Switch(name(to)),
            paths: 2,
            how: SteeringHow::Marks(MarkKind::Dscp, marks.to_vec()),
        };
        TopologySpec {
            hosts: hosts.collect(),
            switches: ["s1", "s2", "s3"].iter().map(|switch| name(switch)).collect(),
            links: links.collect(),
            storage: storage.to_vec(),
            routes: Vec::new(),
            // Without the first link there is no choice.
            steerings: if self.has_l1 {
                vec![steer("s1", "s2"), steer("s2", "s1"), steer("s1", "s3")]
            } else {
                Vec::new()
            },
        }
    }
}

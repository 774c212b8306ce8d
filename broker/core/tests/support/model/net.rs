//! The network of the model: two switches, hosts, two links, three backends; its figures
//! change, its shape does not, so the lanes of a path can be written down by hand.
//!
//! ```text
//!   a, r, p, q at s1 ==l1, l2== s2 at b, which carries d; q is served via r or b; x is on its own
//! ```

use tidegate_core::lane::LaneName;
use tidegate_core::topology::spec::{
    Capacity, Framing, HostSpec, LinkSpec, NicSpec, Node, StorageSpec,
};
use tidegate_core::{Fault, Route, TopologySpec, Ways};
use tidegate_policy::{BitRate, Endpoint, Name, Resource as Declared};

use super::rng::Rng;

/// A resource has a lane each way and maybe one for both: lane `3 r + direction` of resource `r`.
pub(crate) const LANES: usize = 24;
const RESOURCES: usize = LANES / 3;
const OUT: usize = 0;
const BACK: usize = 1;
const TOTAL: usize = 2;

const HOSTS: [&str; 3] = ["a", "b", "r"];
/// A host without a NIC: known, and out of reach.
const ISLAND: &str = "x";
const L1: usize = 3;
const L2: usize = 4;
const D: usize = 5;
const P: usize = 6;
const Q: usize = 7;
const Q_SERVED_VIA: [&str; 2] = ["r", "b"];

const NAMES: [[&str; 3]; RESOURCES] = [
    ["hosts/a/nics/eth0/egress", "hosts/a/nics/eth0/ingress", ""],
    ["hosts/b/nics/eth0/egress", "hosts/b/nics/eth0/ingress", ""],
    ["hosts/r/nics/eth0/egress", "hosts/r/nics/eth0/ingress", ""],
    ["links/l1/forward", "links/l1/reverse", ""],
    ["links/l2/forward", "links/l2/reverse", "links/l2/total"],
    ["storage/d/read", "storage/d/write", ""],
    ["storage/p/read", "storage/p/write", "storage/p/total"],
    ["storage/q/read", "storage/q/write", ""],
];

/// A resource as declared.
#[derive(Clone, Copy)]
struct Resource {
    present: bool,
    rates: [u64; 3],
    reserved_ppm: Option<u32>,
    framing: Framing,
}

#[derive(Clone)]
pub(crate) struct Net {
    resources: [Resource; RESOURCES],
}

/// One way of a request: its relays, and how often it crosses which lane.
pub(crate) struct Way {
    pub(crate) route: Route,
    pub(crate) lanes: Vec<(usize, u32)>,
}

/// Why there is no answer: a fault, or the field that it is about.
pub(crate) enum Unasked {
    Fault(Fault),
    Field(&'static str),
}

pub(crate) fn lane_name(lane: usize) -> LaneName {
    LaneName::new(NAMES[lane / 3][lane % 3])
}

/// All lanes in the order of their names.
pub(crate) fn lanes_by_name() -> Vec<usize> {
    let mut lanes: Vec<usize> =
        (0..LANES).filter(|lane| !NAMES[lane / 3][lane % 3].is_empty()).collect();
    lanes.sort_by_key(|lane| NAMES[lane / 3][lane % 3]);
    lanes
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

impl Net {
    pub(crate) fn random(rng: &mut Rng, scale: u64) -> Self {
        let resource = Resource {
            present: true,
            rates: [scale; 3],
            reserved_ppm: None,
            framing: Framing::default(),
        };
        let mut net = Self { resources: [resource; RESOURCES] };
        for index in 0..RESOURCES {
            net.redraw(rng, scale, index);
        }
        net.resources[L1].present = true;
        net
    }

    /// Another network that differs in a few resources.
    pub(crate) fn changed(&self, rng: &mut Rng, scale: u64) -> Self {
        let mut net = self.clone();
        for _ in 0..=rng.below(3) {
            let index = rng.index(RESOURCES);
            net.redraw(rng, scale, index);
        }
        net
    }

    fn redraw(&mut self, rng: &mut Rng, scale: u64, index: usize) {
        let rate = |rng: &mut Rng| scale / 20 * rng.pick(&[4, 5, 10, 15, 20, 20]) + rng.below(2);
        let framing = |said, mtu| Framing { overhead_ppm: said, mtu };
        let framings = [
            framing(None, None),
            framing(None, Some(9000)),
            framing(Some(0), None),
            framing(Some(333_333), Some(1500)),
            framing(Some(1_000_000), None),
        ];
        let may_leave = [L1, L2, D].contains(&index);
        self.resources[index] = Resource {
            present: !may_leave || rng.chance(if index == D { 85 } else { 55 }),
            rates: [rate(rng).min(scale), rate(rng).min(scale), rate(rng).min(scale)],
            reserved_ppm: rng.pick(&[None, Some(0), Some(1), Some(250_000)]),
            framing: rng.pick(&framings),
        };
    }

    /// What can be booked on a lane; `None` if there is no such lane.
    pub(crate) fn capacity(&self, lane: usize) -> Option<u64> {
        let resource = &self.resources[lane / 3];
        if !resource.present || NAMES[lane / 3][lane % 3].is_empty() {
            return None;
        }
        let default = if lane / 3 < D { 30_000 } else { 0 };
        let kept = u128::from(resource.reserved_ppm.unwrap_or(default));
        let nominal = u128::from(resource.rates[lane % 3]);
        let millionths = nominal * 1_000_000 - nominal * kept;
        Some(u64::try_from(millionths / 1_000_000).unwrap())
    }

    /// What a lane is like besides what can be booked on it.
    pub(crate) fn shape(&self, lane: usize) -> (u64, u128) {
        (self.resources[lane / 3].rates[lane % 3], self.headers(lane))
    }

    /// The lanes of a resource; `None` if there is no such resource.
    pub(crate) fn lanes_of(&self, resource: &Declared) -> Option<Vec<usize>> {
        let (a, b, r) = (0, 1, 2);
        let of: Vec<usize> = match resource.to_string().as_str() {
            "hosts/a" | "hosts/a/nics/eth0" => vec![a],
            "hosts/b" | "hosts/b/nics/eth0" => vec![b],
            "hosts/r" | "hosts/r/nics/eth0" => vec![r],
            "hosts/x" => Vec::new(),
            "switches/s1" => vec![a, r, L1, L2],
            "switches/s2" => vec![b, L1, L2],
            "links/l1" if self.resources[L1].present => vec![L1],
            "links/l2" if self.resources[L2].present => vec![L2],
            "storage/d" if self.resources[D].present => vec![D],
            "storage/p" => vec![P],
            "storage/q" => vec![Q],
            _ => return None,
        };
        let lanes = of.into_iter().flat_map(|resource| 3 * resource..3 * resource + 3);
        Some(lanes.filter(|lane| self.capacity(*lane).is_some()).collect())
    }

    /// Headers on top of the payload, in parts per million of it.
    fn headers(&self, lane: usize) -> u128 {
        let framing = self.resources[lane / 3].framing;
        match (framing.overhead_ppm, framing.mtu) {
            _ if D <= lane / 3 => 0,
            (Some(said), _) => said.into(),
            (None, Some(9000)) => 12_321,
            _ => 77_031,
        }
    }

    /// What a payload rate takes of a lane that is crossed so often.
    pub(crate) fn amount(&self, (lane, times): (usize, u32), rate: u64) -> u128 {
        let millionths = u128::from(rate) * (1_000_000 + self.headers(lane));
        let rest = u128::from(!millionths.is_multiple_of(1_000_000));
        (millionths / 1_000_000 + rest) * u128::from(times)
    }

    pub(crate) fn spec(&self) -> TopologySpec {
        let capacity = |index: usize| {
            let Resource { rates, reserved_ppm, .. } = self.resources[index];
            let [out, back, total] = rates.map(|bps| BitRate::from_bps(bps).unwrap());
            let total = [L2, P].contains(&index).then_some(total);
            Capacity { out, back, total, reserved_ppm, allocation_ratio_ppm: None }
        };
        let framing = |index: usize| self.resources[index].framing;
        let hosts = (0..3).map(|index| {
            let switch = name(if HOSTS[index] == "b" { "s2" } else { "s1" });
            let (capacity, framing) = (capacity(index), framing(index));
            let nics = vec![NicSpec { name: name("eth0"), switch, capacity, framing }];
            HostSpec { name: name(HOSTS[index]), nics }
        });
        let island = HostSpec { name: name(ISLAND), nics: Vec::new() };
        // The second link is declared from the other end and costs more.
        let links = [(L1, "l1", ("s1", "s2"), 1), (L2, "l2", ("s2", "s1"), 2)];
        let links = links.into_iter().filter(|link| self.resources[link.0].present);
        let links = links.map(|(index, link, (from, to), cost)| {
            let (capacity, framing) = (capacity(index), framing(index));
            LinkSpec {
                name: name(link),
                from: name(from),
                to: name(to),
                capacity,
                framing,
                cost,
                bundle: None,
            }
        });
        let (here, on_b) = (Node::Switch(name("s1")), Node::Host(name("b")));
        let storage = [(D, "d", on_b), (P, "p", here.clone()), (Q, "q", here)];
        let storage = storage.into_iter().filter(|storage| self.resources[storage.0].present);
        let storage = storage.map(|(index, storage, place)| {
            let served_via: &[&str] = if index == Q { &Q_SERVED_VIA } else { &[] };
            let served_via = served_via.iter().map(|host| name(host)).collect();
            StorageSpec {
                name: name(storage),
                place,
                capacity: capacity(index),
                served_via,
                mirrors: Vec::new(),
                tier: None,
            }
        });
        TopologySpec {
            hosts: hosts.chain([island]).collect(),
            switches: vec![name("s1"), name("s2")],
            links: links.collect(),
            storage: storage.collect(),
            routes: Vec::new(),
            steerings: Vec::new(),
        }
    }

    /// The ways of a request, best first.
    pub(crate) fn ways(&self, ways: &Ways) -> Result<Vec<Way>, Unasked> {
        let (sources, destination, via) = match ways {
            Ways::Between { sources, destination, via, .. } => (sources, destination, via),
            Ways::Lanes(lanes) => return self.named(lanes).map(|way| vec![way]),
        };
        let mut ways = Vec::new();
        for source in sources {
            let first = self.relays(source, via)?;
            let last = self.relays(destination, via)?;
            if let Some(stranger) = via.iter().find(|via| !is_host(via.as_str())) {
                return Err(Unasked::Fault(unknown(format!("hosts/{stranger}"))));
            }
            for chain in chains(via, &first, &last) {
                if let Some(lanes) = self.walk(source, &chain, destination) {
                    let (source, destination) = (source.clone(), destination.clone());
                    let (path, steers) = (None, Vec::new());
                    let route = Route::Between { source, destination, via: chain, path, steers };
                    ways.push(Way { route, lanes });
                }
            }
        }
        Ok(ways)
    }

    /// The way over lanes that a request names itself.
    fn named(&self, names: &[LaneName]) -> Result<Way, Unasked> {
        let mut lanes: Vec<usize> = Vec::new();
        for name in names {
            let known = (0..LANES).find(|lane| lane_name(*lane) == *name);
            let known = known.filter(|lane| self.capacity(*lane).is_some());
            lanes.push(known.ok_or(Unasked::Fault(unknown(format!("lanes/{name}"))))?);
        }
        Ok(Way { route: Route::Lanes(names.to_vec()), lanes: counted(lanes) })
    }

    /// Whether none of the relays that a request names serves one of its ends.
    pub(crate) fn unserved(&self, ways: &Ways) -> bool {
        let Ways::Between { sources, destination, via, .. } = ways else { return false };
        let known = via.iter().all(|host| is_host(host.as_str()));
        let mut ends = sources.iter().chain([destination]);
        known && ends.any(|end| matches!(self.relays(end, via), Err(Unasked::Field(_))))
    }

    /// The hosts that an endpoint can be reached through; none if it needs none.
    fn relays(&self, end: &Endpoint, via: &[Name]) -> Result<Vec<Name>, Unasked> {
        let known = match end {
            Endpoint::Host(host) => is_host(host.as_str()),
            Endpoint::Storage(storage) => match storage.as_str() {
                "d" => self.resources[D].present,
                other => other == "p" || other == "q",
            },
        };
        if !known {
            return Err(Unasked::Fault(unknown(end.to_string())));
        }
        if *end != Endpoint::Storage(name("q")) {
            return Ok(Vec::new());
        }
        let serves = |host: &Name| Q_SERVED_VIA.contains(&host.as_str());
        match via {
            [] => Ok(Q_SERVED_VIA.iter().map(|host| name(host)).collect()),
            _ if via.iter().any(serves) => Ok(Vec::new()),
            _ => Err(Unasked::Field("via")),
        }
    }

    /// The lanes from one end to the other through these hosts; `None` where no link leads on.
    fn walk(&self, from: &Endpoint, via: &[Name], to: &Endpoint) -> Option<Vec<(usize, u32)>> {
        let mut stops: Vec<&str> = vec![place(from)];
        stops.extend(via.iter().map(Name::as_str));
        stops.push(place(to));
        let mut lanes: Vec<usize> = Vec::new();
        lanes.extend(storage_of(from).into_iter().flat_map(|it| directed(it, OUT)));
        stops.dedup();
        for pair in stops.windows(2) {
            lanes.extend(HOSTS.iter().position(|host| *host == pair[0]).map(|host| 3 * host + OUT));
            match (side(pair[0]), side(pair[1])) {
                (1, 2) if self.resources[L1].present => lanes.extend(directed(L1, OUT)),
                (2, 1) if self.resources[L1].present => lanes.extend(directed(L1, BACK)),
                (1, 2) if self.resources[L2].present => lanes.extend(directed(L2, BACK)),
                (2, 1) if self.resources[L2].present => lanes.extend(directed(L2, OUT)),
                (from, to) if from != to => return None,
                _ => {}
            }
            lanes
                .extend(HOSTS.iter().position(|host| *host == pair[1]).map(|host| 3 * host + BACK));
        }
        lanes.extend(storage_of(to).into_iter().flat_map(|it| directed(it, BACK)));
        Some(counted(lanes))
    }
}

/// How often each lane is crossed, in the order in which each comes first.
fn counted(lanes: Vec<usize>) -> Vec<(usize, u32)> {
    let mut counted: Vec<(usize, u32)> = Vec::new();
    for lane in lanes {
        match counted.iter_mut().find(|(known, _)| *known == lane) {
            Some((_, times)) => *times += 1,
            None => counted.push((lane, 1)),
        }
    }
    counted
}

/// Every chain of relays that a request may take.
fn chains(via: &[Name], first: &[Name], last: &[Name]) -> Vec<Vec<Name>> {
    match (first, last) {
        ([], []) => vec![via.to_vec()],
        (one, []) | ([], one) => one.iter().map(|host| vec![host.clone()]).collect(),
        _ => {
            let pairs = first.iter().flat_map(|a| last.iter().map(move |b| (a, b)));
            let chain = |(a, b): (&Name, &Name)| {
                let mut chain = vec![a.clone(), b.clone()];
                chain.dedup();
                chain
            };
            pairs.map(chain).collect()
        }
    }
}

fn is_host(name: &str) -> bool {
    name == ISLAND || HOSTS.contains(&name)
}

fn unknown(what: String) -> Fault {
    Fault::NotFound { what }
}

/// The lanes of a resource in one direction.
fn directed(resource: usize, direction: usize) -> Vec<usize> {
    let total = [L2, P].contains(&resource).then_some(3 * resource + TOTAL);
    [3 * resource + direction].into_iter().chain(total).collect()
}

fn storage_of(end: &Endpoint) -> Option<usize> {
    match end {
        Endpoint::Host(_) => None,
        Endpoint::Storage(storage) => match storage.as_str() {
            "d" => Some(D),
            "p" => Some(P),
            _ => Some(Q),
        },
    }
}

fn place(end: &Endpoint) -> &str {
    match end {
        Endpoint::Host(host) => host.as_str(),
        Endpoint::Storage(storage) if storage.as_str() == "d" => "b",
        Endpoint::Storage(_) => "s1",
    }
}

/// The switch that a place is at.
fn side(place: &str) -> u8 {
    match place {
        "b" => 2,
        ISLAND => 3,
        _ => 1,
    }
}

//! The network of a replay: a topology for the core, and what a workload has to know about it.
//!
//! Three kinds of files are read. A topology in TOML is taken as it would be applied. A network of a
//! study or of topohub knows nodes and links only: each node becomes a switch with a host on it
//! whose NIC is never in the way, and each pair of switches can be steered over up to 4 loop-free
//! paths.

mod declared;
mod network;
mod paths;
mod study;
mod topohub;

use std::collections::BTreeMap;
use std::path::Path;

use tidegate_core::TopologySpec;
use tidegate_core::topology::Topology;
use tidegate_core::topology::compile::compile;
use tidegate_core::topology::spec::{Node, SteeringHow, SteeringSpec};
use tidegate_policy::{BitRate, Endpoint, Name, Span};

use self::network::Pairs;
use super::formats::requests::Request;
use super::formats::{called, text};
use crate::exit::Mistake;

/// The most pairs between which a topology can be steered: a bound of the core.
pub(super) const STEERED_MAX: usize = 1000;

/// A network to replay requests on.
#[derive(Clone, Debug)]
pub(super) struct World {
    /// As it would be applied, but for what [`World::steered`] adds.
    spec: TopologySpec,
    /// Endpoints by what a file may call them without their collection.
    bare: BTreeMap<String, Vec<Endpoint>>,
    /// How much is asked for between two endpoints, in shares; empty where the file does not say.
    pub(super) demand: Vec<Demand>,
    /// The most that can be carried of this demand, in bits per second, as the file says it.
    pub(super) concurrent_bps: Option<u64>,
    /// The grid of its study.
    pub(super) slot: Option<Span>,
    /// The pairs of switches that can be steered; `None` where the file declares its own.
    pairs: Option<Pairs>,
}

/// A share of all that is asked for.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Demand {
    pub(super) source: Endpoint,
    pub(super) destination: Endpoint,
    pub(super) weight: f64,
}

/// One direction of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Direction {
    /// Which link of the declaration.
    link: usize,
    forward: bool,
}

impl World {
    /// Reads a network; `capacity` is that of links whose file does not say it.
    pub(super) fn read(file: &Path, capacity: BitRate) -> anyhow::Result<Self> {
        let text = text(file)?;
        if !text.trim_start().starts_with('{') {
            return declared::read(file, &text);
        }
        let wrong = |why: String| Mistake::new(format!("{}: {why}", called(file)));
        let json: serde_json::Value = serde_json::from_str(&text)
            .map_err(|error| wrong(format!("line {}: {error}", error.line())))?;
        let network = match topohub::is_one(&json) {
            true => topohub::network(json, capacity),
            false => study::network(json),
        };
        let world = network.and_then(network::Network::world).map_err(wrong)?;
        // Whatever else is wrong with it, the core finds.
        world.compiled(&[]).map_err(wrong)?;
        Ok(world)
    }

    /// An endpoint by its full name, or by that of a node.
    pub(super) fn endpoint(&self, text: &str) -> Result<Endpoint, String> {
        if text.contains('/') {
            let endpoint: Endpoint = text.parse().map_err(|error| format!("{error}"))?;
            let known = self.bare.get(bare(&endpoint).as_str());
            return match known.is_some_and(|known| known.contains(&endpoint)) {
                true => Ok(endpoint),
                false => Err(format!("{text} does not exist{}", self.nearest(text))),
            };
        }
        match self.bare.get(text).map(Vec::as_slice) {
            Some([one]) => Ok(one.clone()),
            Some([]) | None => Err(format!("there is no node {text:?}{}", self.nearest(text))),
            Some([one, ..]) => Err(format!("{text:?} names several; write {one} or another")),
        }
    }

    /// What may have been meant.
    fn nearest(&self, text: &str) -> String {
        let wanted = text.split('/').next_back().unwrap_or(text);
        let near = self.bare.keys().map(|name| (strsim::jaro_winkler(name, wanted), name));
        let best = near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(near, _)| 0.8 < *near);
        match best {
            Some((_, name)) => format!("; {name:?} does"),
            None => format!("; there are {} names in the topology", self.bare.len()),
        }
    }

    /// What a node of the file is called: without its collection where that is enough.
    pub(super) fn called(&self, endpoint: &Endpoint) -> String {
        match self.pairs.is_some() {
            true => bare(endpoint).to_string(),
            false => endpoint.to_string(),
        }
    }

    /// What a lane is called in a picture. The links of a network of nodes have names that nobody
    /// wrote: there its ends say more.
    pub(super) fn lane_called(&self, lane: &str) -> String {
        let ends = |(name, way): (&str, &str)| {
            let link = self.spec.links.iter().find(|link| link.name.as_str() == name)?;
            let (from, to) =
                if way == "forward" { (&link.from, &link.to) } else { (&link.to, &link.from) };
            // Of several between the same only their names tell which is which.
            self.link(from.as_str(), to.as_str()).is_ok().then(|| format!("{from} → {to}"))
        };
        let link = lane.strip_prefix("links/").filter(|_| self.pairs.is_some());
        let called = link.and_then(|link| link.split_once('/')).and_then(ends);
        called.unwrap_or_else(|| lane.to_owned())
    }

    /// The endpoints that bytes may come from, and those that they may go to: storage and hosts,
    /// or hosts alone where there is no storage.
    pub(super) fn ends(&self) -> (Vec<Endpoint>, Vec<Endpoint>) {
        let hosts = self.spec.hosts.iter().filter(|host| !host.nics.is_empty());
        let hosts: Vec<Endpoint> = hosts.map(|host| Endpoint::Host(host.name.clone())).collect();
        let storage = self.spec.storage.iter().map(|it| Endpoint::Storage(it.name.clone()));
        let storage: Vec<Endpoint> = storage.collect();
        if storage.is_empty() { (hosts.clone(), hosts) } else { (storage, hosts) }
    }

    /// Sources in the order in which they are asked for. A study names replicas in no order, so the
    /// nearest comes first, by the lanes of its first path; else the file's order is meant.
    pub(super) fn ordered(&self, topology: &Topology, request: &mut Request) {
        if self.pairs.is_none() || request.sources.len() < 2 {
            return;
        }
        let Request { sources, via, destination, .. } = request;
        sources.sort_by_cached_key(|source| {
            let paths = topology.paths(source, via, destination);
            paths.ok().and_then(|paths| paths.first().map(|path| path.needs.len()))
        });
    }

    /// The rates of all links in both directions, in bits per second.
    pub(super) fn link_rates(&self) -> Vec<u64> {
        let rates = self.spec.links.iter().flat_map(|link| [link.capacity.out, link.capacity.back]);
        rates.map(BitRate::bps).collect()
    }

    /// The direction of the link between two switches.
    pub(super) fn link(&self, src: &str, dst: &str) -> Result<Direction, String> {
        let links = || self.spec.links.iter().enumerate();
        let forward = links().filter(|(_, it)| it.from.as_str() == src && it.to.as_str() == dst);
        let reverse = links().filter(|(_, it)| it.to.as_str() == src && it.from.as_str() == dst);
        let both = forward
            .map(|(link, _)| Direction { link, forward: true })
            .chain(reverse.map(|(link, _)| Direction { link, forward: false }));
        let both: Vec<Direction> = both.collect();
        match both.as_slice() {
            [one] => Ok(*one),
            [] => Err(format!("there is no link from switch {src:?} to switch {dst:?}")),
            several => Err(format!("{} links lead from {src:?} to {dst:?}: which?", several.len())),
        }
    }

    /// How many of `asked`, the pairs that are asked for with the most asked first, can be steered;
    /// and the declaration to apply with them.
    pub(super) fn steered(&self, asked: &[(Endpoint, Endpoint)]) -> (TopologySpec, usize) {
        let mut spec = self.spec.clone();
        let Some(pairs) = &self.pairs else { return (spec, 0) };
        let all = pairs.all();
        let chosen: Vec<(Name, Name)> = if all.len() <= STEERED_MAX {
            all
        } else {
            asked.iter().map(|(a, b)| (bare(a), bare(b))).take(STEERED_MAX).collect()
        };
        spec.steerings = chosen.into_iter().filter_map(|pair| steering(pairs, pair)).collect();
        let left_out = match pairs.all().len() <= STEERED_MAX {
            true => 0,
            false => asked.len().saturating_sub(STEERED_MAX),
        };
        (spec, left_out)
    }

    /// The topology with these pairs steered.
    pub(super) fn compiled(&self, asked: &[(Endpoint, Endpoint)]) -> Result<Topology, String> {
        compile(&self.steered(asked).0).map_err(|faults| {
            let lines = faults.iter().map(|fault| format!("{}: {}", fault.field, fault.why));
            lines.collect::<Vec<_>>().join("; ")
        })
    }
}

/// The declaration with a link of another capacity.
pub(super) fn with_fault(mut spec: TopologySpec, at: Direction, capacity: BitRate) -> TopologySpec {
    if let Some(link) = spec.links.get_mut(at.link) {
        let way = if at.forward { &mut link.capacity.out } else { &mut link.capacity.back };
        *way = capacity;
    }
    spec
}

/// The name of an endpoint without its collection.
fn bare(endpoint: &Endpoint) -> Name {
    match endpoint {
        Endpoint::Host(name) | Endpoint::Storage(name) => name.clone(),
    }
}

/// Everything that a file may call an endpoint without its collection.
fn bare_names(spec: &TopologySpec) -> BTreeMap<String, Vec<Endpoint>> {
    let hosts = spec.hosts.iter().map(|host| Endpoint::Host(host.name.clone()));
    let storage = spec.storage.iter().map(|it| Endpoint::Storage(it.name.clone()));
    let mut names: BTreeMap<String, Vec<Endpoint>> = BTreeMap::new();
    for endpoint in hosts.chain(storage) {
        names.entry(bare(&endpoint).to_string()).or_default().push(endpoint);
    }
    names
}

/// The choice between two switches, where there is one.
fn steering(pairs: &Pairs, (from, to): (Name, Name)) -> Option<SteeringSpec> {
    let paths = pairs.paths(&from, &to);
    let how = SteeringHow::Controller("simulate".parse().ok()?);
    let (from, to) = (Node::Switch(from), Node::Switch(to));
    (2 <= paths).then_some(SteeringSpec { from, to, paths, how })
}

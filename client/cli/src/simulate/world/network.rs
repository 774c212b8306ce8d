//! Nodes and links, as both kinds of JSON know them, and what becomes of them.

use std::collections::BTreeMap;

use tidegate_core::TopologySpec;
use tidegate_core::topology::spec::{Capacity, Framing, HostSpec, LinkSpec, NicSpec};
use tidegate_policy::{BitRate, Endpoint, Name, Span};

use super::{Demand, World, bare_names, paths};

/// The most nodes and the most links of a network.
const NODES_MAX: usize = 2_000;
const LINKS_MAX: usize = 20_000;
/// Over so many paths a pair can be steered: a bound of the core.
const PATHS_MAX: u32 = 4;

/// A network of nodes and links.
#[derive(Clone, Debug, Default)]
pub(super) struct Network {
    pub(super) nodes: Vec<Place>,
    /// From, to, bits per second.
    pub(super) arcs: Vec<(usize, usize, u64)>,
    /// From, to, share.
    pub(super) weights: Vec<(usize, usize, f64)>,
    pub(super) concurrent_bps: Option<u64>,
    pub(super) slot_s: Option<u32>,
}

/// A node.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: String,
    /// What else a file may call it.
    pub(super) alias: Option<String>,
}

/// The pairs of switches that can be steered.
#[derive(Clone, Debug)]
pub(super) struct Pairs {
    names: BTreeMap<Name, usize>,
    arcs: Vec<Vec<usize>>,
}

impl Pairs {
    pub(super) fn all(&self) -> Vec<(Name, Name)> {
        let pair = |from: &Name| {
            let others = self.names.keys().filter(move |to| *to != from);
            let from = from.clone();
            others.map(move |to| (from.clone(), to.clone())).collect::<Vec<_>>()
        };
        self.names.keys().flat_map(pair).collect()
    }

    /// How many loop-free paths there are, up to the bound.
    pub(super) fn paths(&self, from: &Name, to: &Name) -> u32 {
        match (self.names.get(from), self.names.get(to)) {
            (Some(from), Some(to)) => paths::count(&self.arcs, *from, *to, PATHS_MAX),
            _ => 0,
        }
    }
}

impl Network {
    /// Finds nodes by their names.
    pub(super) fn finder(&self) -> impl Fn(&str) -> Result<usize, String> + use<> {
        let nodes = self.nodes.iter().enumerate();
        let index: BTreeMap<String, usize> =
            nodes.map(|(index, node)| (node.name.clone(), index)).collect();
        move |name| index.get(name).copied().ok_or_else(|| format!("there is no node {name:?}"))
    }

    /// The network with a host on each switch.
    pub(super) fn world(self) -> Result<World, String> {
        let bound = |what: &str, count: usize, most: usize| match count {
            0 => Err(format!("it has no {what}")),
            count if most < count => Err(format!("it has {count} {what}; at most {most} are read")),
            _ => Ok(()),
        };
        bound("nodes", self.nodes.len(), NODES_MAX)?;
        bound("links", self.arcs.len(), LINKS_MAX)?;
        let names = self.names()?;
        let spec = TopologySpec {
            hosts: names.iter().map(host).collect::<Result<_, _>>()?,
            switches: names.clone(),
            links: self.links(&names)?,
            ..TopologySpec::default()
        };
        let mut bare = bare_names(&spec);
        for (node, name) in self.nodes.iter().zip(&names) {
            if let Some(alias) = &node.alias {
                let known = bare.entry(alias.clone()).or_default();
                let host = Endpoint::Host(name.clone());
                if !known.contains(&host) {
                    known.push(host);
                }
            }
        }
        let demand = self.demand(&names)?;
        let pairs = Some(self.pairs(&names));
        let slot = self.slot_s.map(Span::from_secs);
        Ok(World { spec, bare, demand, concurrent_bps: self.concurrent_bps, slot, pairs })
    }

    fn names(&self) -> Result<Vec<Name>, String> {
        let name = |node: &Place| {
            let name = node.name.parse::<Name>();
            name.map_err(|error| format!("node {:?}: {error}", node.name))
        };
        self.nodes.iter().map(name).collect()
    }

    /// Joins each arc with the one that leads back: a link has two directions.
    fn links(&self, names: &[Name]) -> Result<Vec<LinkSpec>, String> {
        let name_of = |index: usize| names.get(index).cloned().ok_or("a link has no end");
        let mut waiting: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
        let mut links: Vec<LinkSpec> = Vec::new();
        let mut parallel: BTreeMap<(&usize, &usize), usize> = BTreeMap::new();
        for (from, to, bps) in &self.arcs {
            let rate = BitRate::from_bps(*bps).filter(|rate| *rate != BitRate::ZERO);
            let (a, b) = (name_of(*from)?, name_of(*to)?);
            let rate = rate.ok_or_else(|| {
                format!(
                    "the link from {a} to {b} has {bps} bit/s; write 1 to {}",
                    BitRate::MAX.bps()
                )
            })?;
            let back = waiting.get_mut(&(*to, *from)).and_then(Vec::pop);
            if let Some(link) = back.and_then(|index| links.get_mut(index)) {
                link.capacity.back = rate;
                continue;
            }
            waiting.entry((*from, *to)).or_default().push(links.len());
            let before = parallel.entry((from.min(to), from.max(to))).or_default();
            let name = self.link_name((*from, &a), (*to, &b), *before);
            let name = name.parse::<Name>().map_err(|error| error.to_string())?;
            *before += 1;
            let capacity = Capacity { back: BitRate::ZERO, ..whole(rate) };
            let framing = BARE;
            links.push(LinkSpec { name, from: a, to: b, capacity, framing, cost: 1, bundle: None });
        }
        // A link that leads one way only cannot be declared.
        match links.iter().find(|link| link.capacity.back == BitRate::ZERO) {
            Some(LinkSpec { from, to, .. }) => {
                Err(format!("a link leads from {from} to {to} and none back; declare both ways"))
            }
            None => Ok(links),
        }
    }

    /// A name for a link that sorts as its ends stand in the file: of two paths of equal length the
    /// core takes the first by name, and what stands first in the file is to be tried first.
    fn link_name(&self, from: (usize, &Name), to: (usize, &Name), before: usize) -> String {
        let digits = self.nodes.len().saturating_sub(1).to_string().len();
        let ends = if from.0 < to.0 { [from, to] } else { [to, from] };
        let end = |(index, name): (usize, &Name)| match index.to_string() == name.as_str() {
            true => format!("{index:0digits$}"),
            false => format!("{index:0digits$}.{name}"),
        };
        let (long, short) = (ends.map(end), ends.map(|(index, _)| format!("{index:0digits$}")));
        match (before, long.join("--")) {
            (0, long) if long.parse::<Name>().is_ok() => long,
            (0, _) => short.join("--"),
            (before, _) => format!("{}-{before}", short.join("--")),
        }
    }

    fn demand(&self, names: &[Name]) -> Result<Vec<Demand>, String> {
        let mut demand = Vec::new();
        for (from, to, weight) in &self.weights {
            let (Some(a), Some(b)) = (names.get(*from), names.get(*to)) else { continue };
            if !weight.is_finite() || *weight < 0.0 {
                return Err(format!("the demand from {a} to {b} is {weight}; write 0 or more"));
            }
            if 0.0 < *weight && from != to {
                let (source, destination) = (Endpoint::Host(a.clone()), Endpoint::Host(b.clone()));
                demand.push(Demand { source, destination, weight: *weight });
            }
        }
        Ok(demand)
    }

    fn pairs(&self, names: &[Name]) -> Pairs {
        let mut arcs = vec![Vec::new(); names.len()];
        for (from, to, _) in &self.arcs {
            if let Some(leaving) = arcs.get_mut(*from) {
                leaving.push(*to);
            }
        }
        let names = names.iter().cloned().enumerate().map(|(index, name)| (name, index)).collect();
        Pairs { names, arcs }
    }
}

/// No headers: a study counts what is carried.
const BARE: Framing = Framing { overhead_ppm: Some(0), mtu: None };

/// All of it can be booked, once.
fn whole(rate: BitRate) -> Capacity {
    Capacity {
        out: rate,
        back: rate,
        total: None,
        reserved_ppm: Some(0),
        allocation_ratio_ppm: None,
    }
}

/// A host whose NIC is never in the way.
fn host(switch: &Name) -> Result<HostSpec, String> {
    let name: Name = "nic".parse().map_err(|error| format!("{error}"))?;
    let capacity = whole(BitRate::MAX);
    let nic = NicSpec { name, switch: switch.clone(), capacity, framing: BARE };
    Ok(HostSpec { name: switch.clone(), nics: vec![nic] })
}

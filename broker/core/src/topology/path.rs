//! The ordered lanes from a source to a destination.
//!
//! A path is the source's read lane, one network leg for each pair of neighbouring waypoints, and
//! the destination's write lane. A leg takes the declared route where there is one, else the
//! cheapest way over switches (Dijkstra 1959), the one with fewer links among equals, and of those
//! the first in the order of names: the same question always gets the same path. Hosts
//! are never passed through unless they are named as relays. Where a leg can be steered, each of
//! its paths is an alternative.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::{Endpoint, Name};

use super::spec::Node;
use super::{Nic, Steer, Storage, Topology};
use crate::lane::{LaneName, LaneNeed};

/// The ordered lanes from a source to a destination.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Path {
    /// The relays it passes through.
    pub via: Vec<Name>,
    /// Which of the paths that steering allows, 0 for the cheapest; `None` where there is no
    /// choice.
    pub path: Option<u8>,
    /// How bytes get onto it, where there is a choice.
    pub steers: Vec<Steer>,
    /// What it needs of each lane; a lane that it crosses twice stands here once, counted twice.
    pub needs: Vec<LaneNeed>,
}

/// Why there is no path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathFault {
    /// Something that the request names does not exist, by its full name.
    Unknown(String),
    /// The storage is only reachable through relays, and the request names none of them.
    NotServed {
        /// The storage.
        storage: Endpoint,
        /// The relays that serve it.
        served_via: Vec<Name>,
    },
    /// Nothing connects two neighbouring waypoints.
    Disconnected,
}

/// The most ways that one source is tried through its relays and the destination's.
const WAYS_MAX: usize = 64;
/// The most ways through one chain of relays.
const CHAIN_WAYS_MAX: usize = 4;

impl Topology {
    /// Every way from `source` to `destination`, best first: through each relay that serves them,
    /// or exactly through `via` where the request names its relays. Where bytes can be steered, a
    /// chain of relays has up to four ways, in the order of what they cost; else it has one. Ways
    /// that are not connected are left out.
    ///
    /// # Errors
    /// [`PathFault::Unknown`] and [`PathFault::NotServed`]: no state of the network helps.
    pub fn paths(
        &self,
        source: &Endpoint,
        via: &[Name],
        destination: &Endpoint,
    ) -> Result<Vec<Path>, PathFault> {
        let relays_in = self.relays(source, via)?;
        let relays_out = self.relays(destination, via)?;
        if let Some(stranger) = via.iter().find(|host| !self.hosts.contains_key(*host)) {
            return Err(PathFault::Unknown(format!("hosts/{stranger}")));
        }
        let mut paths = Vec::new();
        for first in &relays_in {
            for last in &relays_out {
                let mut chain: Vec<Name> = via.to_vec();
                if via.is_empty() {
                    chain.extend(first.iter().cloned());
                    chain.extend(last.iter().filter(|_| first != last).cloned());
                }
                if WAYS_MAX <= paths.len() {
                    break;
                }
                match self.paths_through(source, &chain, destination) {
                    Ok(through) => paths.extend(through),
                    Err(PathFault::Disconnected) => {}
                    Err(fault) => return Err(fault),
                }
            }
        }
        paths.truncate(WAYS_MAX);
        Ok(paths)
    }

    /// The first of these endpoints that none of the relays which a request names serves; none if
    /// there is no such relay at all, which is another fault.
    pub(crate) fn unserved<'a>(
        &self,
        mut ends: impl Iterator<Item = &'a Endpoint>,
        via: &[Name],
    ) -> Option<PathFault> {
        if via.iter().any(|host| !self.hosts.contains_key(host)) {
            return None;
        }
        let unserved = |end| self.relays(end, via).err();
        ends.find_map(|end| unserved(end).filter(|it| matches!(it, PathFault::NotServed { .. })))
    }

    /// The relays that could serve an endpoint, each an alternative; `[None]` where none is
    /// needed, or the request names its own.
    fn relays(&self, endpoint: &Endpoint, via: &[Name]) -> Result<Vec<Option<Name>>, PathFault> {
        let unknown = || PathFault::Unknown(endpoint.to_string());
        let served_via = match endpoint {
            Endpoint::Host(name) => {
                self.hosts.get(name).ok_or_else(unknown)?;
                return Ok(vec![None]);
            }
            Endpoint::Storage(name) => &self.storage.get(name).ok_or_else(unknown)?.served_via,
        };
        if served_via.is_empty() {
            return Ok(vec![None]);
        }
        if via.is_empty() {
            return Ok(served_via.iter().cloned().map(Some).collect());
        }
        if via.iter().any(|host| served_via.contains(host)) {
            return Ok(vec![None]);
        }
        Err(PathFault::NotServed { storage: endpoint.clone(), served_via: served_via.clone() })
    }

    fn paths_through(
        &self,
        source: &Endpoint,
        via: &[Name],
        destination: &Endpoint,
    ) -> Result<Vec<Path>, PathFault> {
        let (start, reads) = self.end(source, |storage| &storage.read)?;
        let (end, writes) = self.end(destination, |storage| &storage.write)?;
        let mut waypoints = vec![start];
        waypoints.extend(via.iter().cloned().map(Node::Host));
        waypoints.push(end);
        let mut ways = vec![Way { lanes: reads.iter().collect(), ..Way::default() }];
        for pair in waypoints.windows(2) {
            if let [from, to] = pair
                && from != to
            {
                let legs = self.leg(from, to).ok_or(PathFault::Disconnected)?;
                ways = combined(&ways, &legs);
            }
        }
        let path = |(index, mut way): (usize, Way<'_>)| {
            way.lanes.extend(writes);
            let path = u8::try_from(index).ok().filter(|_| !way.steers.is_empty());
            Path { via: via.to_vec(), path, needs: self.needs(way.lanes), steers: way.steers }
        };
        Ok(ways.into_iter().enumerate().map(path).collect())
    }

    /// Where an endpoint meets the network, and the lanes of its storage.
    fn end(
        &self,
        endpoint: &Endpoint,
        lanes: fn(&Storage) -> &[LaneName],
    ) -> Result<(Node, &[LaneName]), PathFault> {
        let unknown = || PathFault::Unknown(endpoint.to_string());
        match endpoint {
            Endpoint::Host(name) => Ok((Node::Host(name.clone()), &[])),
            Endpoint::Storage(name) => {
                let storage = self.storage.get(name).ok_or_else(unknown)?;
                Ok((storage.place.clone(), lanes(storage)))
            }
        }
    }

    /// The ways between two different nodes, best first; `None` if there is none.
    fn leg<'a>(&'a self, from: &'a Node, to: &'a Node) -> Option<Vec<Way<'a>>> {
        let leaves = self.exits(from);
        let enters = self.exits(to);
        if let Some(ways) = self.declared(from, to, (&leaves, &enters)) {
            return Some(ways);
        }
        let (exit, links, enter) = self.cheapest(&leaves, &enters)?;
        Some(vec![Way { lanes: through(exit, links, enter), ..Way::default() }])
    }

    /// The switches at which a node meets the network, each with the NIC in between.
    fn exits<'a>(&'a self, node: &'a Node) -> Vec<(&'a Name, Option<&'a Nic>)> {
        match node {
            Node::Switch(name) => vec![(name, None)],
            Node::Host(name) => {
                let nics = self.hosts.get(name).into_iter().flatten();
                nics.map(|nic| (&nic.switch, Some(nic))).collect()
            }
        }
    }

    /// What is declared, a route or a choice: what is between the very nodes wins over what is
    /// between their switches.
    fn declared<'a>(
        &'a self,
        from: &Node,
        to: &Node,
        (leaves, enters): (&Exits<'a>, &Exits<'a>),
    ) -> Option<Vec<Way<'a>>> {
        if self.routes.is_empty() && self.steerings.is_empty() {
            return None;
        }
        let at = |exits: &Exits<'a>| -> Vec<Node> {
            exits.iter().map(|(switch, _)| Node::Switch((*switch).clone())).collect()
        };
        let starts: Vec<Node> = [from.clone()].into_iter().chain(at(leaves)).collect();
        let ends: Vec<Node> = [to.clone()].into_iter().chain(at(enters)).collect();
        let nic = |exits: &Exits<'a>, at: &Name| {
            exits.iter().find(|(switch, _)| *switch == at).map(|(_, nic)| *nic)
        };
        for start in &starts {
            for end in &ends {
                let pair = (start.clone(), end.clone());
                if let Some(route) = self.routes.get(&pair) {
                    let (exit, enter) = (nic(leaves, &route.from)?, nic(enters, &route.to)?);
                    let lanes = through(exit, &route.lanes, enter);
                    return Some(vec![Way { lanes, ..Way::default() }]);
                }
                if let Some(steering) = self.steerings.get(&pair) {
                    // The NICs of a host that is steered from or to are part of the choice.
                    let outside = |node: &Node, exits: &Exits<'a>| match node {
                        Node::Switch(name) => nic(exits, name).flatten(),
                        Node::Host(_) => None,
                    };
                    let ends = (outside(start, leaves), outside(end, enters));
                    return Some(steering.ways(&pair, ends));
                }
            }
        }
        None
    }

    /// The cheapest way over switches from any of `leaves` to any of `enters`.
    fn cheapest<'a>(
        &'a self,
        leaves: &Exits<'a>,
        enters: &Exits<'a>,
    ) -> Option<(Option<&'a Nic>, Vec<&'a LaneName>, Option<&'a Nic>)> {
        // What a switch was first reached by: settled in the order of (cost, links, name), so
        // that equals are decided by names and never by the order of declaration.
        let mut reached: BTreeMap<&Name, Step<'a>> = BTreeMap::new();
        let mut frontier: BTreeSet<(u64, u32, &Name)> = BTreeSet::new();
        for (switch, nic) in leaves {
            let step = Step { cost: 0, links: 0, from: From::Exit(*nic) };
            if !reached.contains_key(*switch) {
                reached.insert(switch, step);
                frontier.insert((0, 0, switch));
            }
        }
        while let Some((cost, links, here)) = frontier.pop_first() {
            if let Some((_, enter)) = enters.iter().find(|(switch, _)| *switch == here) {
                let (exit, lanes) = trace(&reached, here)?;
                return Some((exit, lanes, *enter));
            }
            for edge in self.links.get(here).into_iter().flatten() {
                let next = (cost.saturating_add(edge.cost.into()), links.saturating_add(1));
                let known = reached.get(&edge.to).map(|step| (step.cost, step.links));
                if known.is_none_or(|known| next < known) {
                    if let Some(known) = known {
                        frontier.remove(&(known.0, known.1, &edge.to));
                    }
                    let from = From::Edge { switch: here, lanes: &edge.lanes };
                    reached.insert(&edge.to, Step { cost: next.0, links: next.1, from });
                    frontier.insert((next.0, next.1, &edge.to));
                }
            }
        }
        None
    }
}

/// One way through some legs.
#[derive(Clone, Default)]
pub(super) struct Way<'a> {
    pub(super) cost: u64,
    pub(super) links: u32,
    pub(super) lanes: Vec<&'a LaneName>,
    pub(super) steers: Vec<Steer>,
}

/// The best of the ways through a chain and then through one of the alternatives of its next leg,
/// in the order of their cost, then links, then of the alternatives leg by leg. None that is left
/// out could become one of the best by a further leg.
fn combined<'a>(ways: &[Way<'a>], legs: &[Way<'a>]) -> Vec<Way<'a>> {
    let pairs = ways.iter().flat_map(|way| legs.iter().map(move |leg| (way, leg)));
    let joined = pairs.map(|(way, leg)| Way {
        cost: way.cost.saturating_add(leg.cost),
        links: way.links.saturating_add(leg.links),
        lanes: way.lanes.iter().chain(&leg.lanes).copied().collect(),
        steers: way.steers.iter().chain(&leg.steers).cloned().collect(),
    });
    let mut joined: Vec<Way<'a>> = joined.collect();
    joined.sort_by_key(|way| (way.cost, way.links));
    joined.truncate(CHAIN_WAYS_MAX);
    joined
}

/// Out by one NIC, over links, in by another.
pub(super) fn through<'a>(
    exit: Option<&'a Nic>,
    links: impl IntoIterator<Item = &'a LaneName>,
    enter: Option<&'a Nic>,
) -> Vec<&'a LaneName> {
    let mut lanes: Vec<&LaneName> = exit.into_iter().flat_map(|nic| &nic.egress).collect();
    lanes.extend(links);
    lanes.extend(enter.into_iter().flat_map(|nic| &nic.ingress));
    lanes
}

type Exits<'a> = [(&'a Name, Option<&'a Nic>)];

struct Step<'a> {
    cost: u64,
    links: u32,
    from: From<'a>,
}

#[derive(Clone, Copy)]
enum From<'a> {
    Exit(Option<&'a Nic>),
    Edge { switch: &'a Name, lanes: &'a [LaneName] },
}

/// Goes back from `end` to the exit that the search began with.
fn trace<'a>(
    reached: &BTreeMap<&'a Name, Step<'a>>,
    end: &'a Name,
) -> Option<(Option<&'a Nic>, Vec<&'a LaneName>)> {
    let mut legs: Vec<&'a [LaneName]> = Vec::new();
    let mut here = end;
    loop {
        match reached.get(here)?.from {
            From::Exit(nic) => {
                legs.reverse();
                return Some((nic, legs.into_iter().flatten().collect()));
            }
            From::Edge { switch, lanes } => {
                legs.push(lanes);
                here = switch;
            }
        }
    }
}

//! The ordered lanes from a source to a destination.
//!
//! A path is the source's read lane, one network leg for each pair of neighbouring waypoints, and
//! the destination's write lane. A leg takes the declared route where there is one, else the
//! cheapest way over switches (Dijkstra 1959), the one with fewer links among equals, and of those
//! the first in the order of names: the same question always gets the same path. Hosts
//! are never passed through unless they are named as relays.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::{Endpoint, Name};

use super::spec::Node;
use super::{Nic, Steer, Storage, Topology, routes};
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

impl Topology {
    /// Every way from `source` to `destination`, best first: one through each relay that serves
    /// them, or exactly through `via` where the request names its relays. Ways that are not
    /// connected are left out.
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
                match self.path_through(source, &chain, destination) {
                    Ok(path) => paths.push(path),
                    Err(PathFault::Disconnected) => {}
                    Err(fault) => return Err(fault),
                }
            }
        }
        paths.truncate(WAYS_MAX);
        Ok(paths)
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

    fn path_through(
        &self,
        source: &Endpoint,
        via: &[Name],
        destination: &Endpoint,
    ) -> Result<Path, PathFault> {
        let (start, reads) = self.end(source, |storage| &storage.read)?;
        let (end, writes) = self.end(destination, |storage| &storage.write)?;
        let mut waypoints = vec![start];
        waypoints.extend(via.iter().cloned().map(Node::Host));
        waypoints.push(end);
        let mut lanes: Vec<&LaneName> = reads.iter().collect();
        for pair in waypoints.windows(2) {
            if let [from, to] = pair
                && from != to
            {
                lanes.extend(self.leg(from, to).ok_or(PathFault::Disconnected)?);
            }
        }
        lanes.extend(writes);
        let needs = self.needs(lanes);
        Ok(Path { via: via.to_vec(), path: None, steers: Vec::new(), needs })
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

    /// The lanes between two different nodes.
    fn leg<'a>(&'a self, from: &'a Node, to: &'a Node) -> Option<Vec<&'a LaneName>> {
        let leaves = self.exits(from);
        let enters = self.exits(to);
        if let Some(lanes) = self.declared(from, to, (&leaves, &enters)) {
            return Some(lanes);
        }
        let (exit, links, enter) = self.cheapest(&leaves, &enters)?;
        let mut lanes: Vec<&LaneName> = exit.into_iter().flat_map(|nic| &nic.egress).collect();
        lanes.extend(links);
        lanes.extend(enter.into_iter().flat_map(|nic| &nic.ingress));
        Some(lanes)
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

    /// A declared route: one between the very nodes wins over one between their switches.
    fn declared<'a>(
        &'a self,
        from: &Node,
        to: &Node,
        (leaves, enters): (&Exits<'a>, &Exits<'a>),
    ) -> Option<Vec<&'a LaneName>> {
        if self.routes.is_empty() {
            return None;
        }
        let at = |exits: &Exits<'a>| -> Vec<Node> {
            exits.iter().map(|(switch, _)| Node::Switch((*switch).clone())).collect()
        };
        let starts: Vec<Node> = [from.clone()].into_iter().chain(at(leaves)).collect();
        let ends: Vec<Node> = [to.clone()].into_iter().chain(at(enters)).collect();
        let pairs = starts.iter().flat_map(|start| ends.iter().map(move |end| (start, end)));
        let route: &routes::Route = pairs
            .filter_map(|(start, end)| self.routes.get(&(start.clone(), end.clone())))
            .next()?;
        let exit = leaves.iter().find(|(switch, _)| **switch == route.from)?.1;
        let enter = enters.iter().find(|(switch, _)| **switch == route.to)?.1;
        let mut lanes: Vec<&LaneName> = exit.into_iter().flat_map(|nic| &nic.egress).collect();
        lanes.extend(&route.lanes);
        lanes.extend(enter.into_iter().flat_map(|nic| &nic.ingress));
        Some(lanes)
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

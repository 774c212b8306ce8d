//! Declared static paths, checked to be contiguous.

use tidegate_policy::Name;

use super::spec::{Node, RouteSpec};
use super::{Edge, Topology};
use crate::lane::LaneName;

/// A declared path between two switches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Route {
    /// Where its first link starts.
    pub(super) from: Name,
    /// Where its last link ends.
    pub(super) to: Name,
    /// The lanes of its links, in order.
    pub(super) lanes: Vec<LaneName>,
}

pub(super) fn compile(topology: &Topology, spec: &RouteSpec) -> Result<Route, String> {
    let mut broken = String::new();
    for start in switches_of(topology, &spec.from) {
        match walk(topology, start, &spec.links) {
            Ok((end, lanes)) if switches_of(topology, &spec.to).any(|switch| switch == end) => {
                return Ok(Route { from: start.clone(), to: end.clone(), lanes });
            }
            Ok((end, _)) => {
                broken = format!("its last link ends at switch '{end}', where {} is not", spec.to);
            }
            Err(why) => broken = why,
        }
    }
    if broken.is_empty() {
        broken = format!("{} has no NIC", spec.from);
    }
    Err(format!("{broken}; list the links in order from {} to {}", spec.from, spec.to))
}

/// The switches at which a node meets the network, in the order of its NICs' names.
fn switches_of<'a>(
    topology: &'a Topology,
    node: &'a Node,
) -> impl Iterator<Item = &'a Name> + use<'a> {
    let (nics, switch) = match node {
        Node::Host(name) => (topology.hosts.get(name), None),
        Node::Switch(name) => (None, Some(name)),
    };
    nics.into_iter().flatten().map(|nic| &nic.switch).chain(switch)
}

/// Follows `links` from `start` and returns where they end and what lanes they take.
fn walk<'a>(
    topology: &'a Topology,
    start: &'a Name,
    links: &[Name],
) -> Result<(&'a Name, Vec<LaneName>), String> {
    let mut here = start;
    let mut lanes = Vec::new();
    for link in links {
        let leaving: Option<&Edge> =
            topology.links.get(here).and_then(|edges| edges.iter().find(|edge| edge.link == *link));
        let edge =
            leaving.ok_or_else(|| format!("link '{link}' does not leave switch '{here}'"))?;
        lanes.extend(edge.lanes.iter().cloned());
        here = &edge.to;
    }
    Ok((here, lanes))
}

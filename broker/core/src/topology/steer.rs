//! How bytes get onto one of several paths between two places.
//!
//! Which paths there are follows from the network alone (see `yen`); a declaration says
//! between which places bytes can be steered at all, and who does it.

use std::collections::BTreeMap;

use tidegate_policy::{Mark, Name};

use super::path::{Way, through};
use super::spec::{Node, SteeringHow, SteeringSpec};
use super::yen::{Arc, Graph};
use super::{Nic, Topology};
use crate::fault::FieldFault;
use crate::lane::LaneName;

/// How bytes get onto the path that was chosen between two places.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Steer {
    /// Where the choice begins.
    pub from: Node,
    /// Where it ends.
    pub to: Node,
    /// Who makes it.
    pub how: How,
}

/// Who chooses a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum How {
    /// The sender, by marking its packets.
    Mark(Mark),
    /// This controller, which follows the bookings; the sender does nothing.
    Controller(Name),
}

/// A declaration with the paths that it allows, the cheapest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Steering {
    pub(super) alternatives: Vec<Alternative>,
}

/// One of the paths that can be chosen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Alternative {
    /// What it costs.
    pub(super) cost: u64,
    /// Over how many links it leads.
    pub(super) links: u32,
    /// Its lanes, NICs of the places themselves included.
    pub(super) lanes: Vec<LaneName>,
    /// How bytes get onto it.
    pub(super) how: How,
}

impl Steering {
    /// Its paths as ways, between NICs that are no part of the choice.
    pub(super) fn ways<'a>(
        &'a self,
        (from, to): &(Node, Node),
        (exit, enter): (Option<&'a Nic>, Option<&'a Nic>),
    ) -> Vec<Way<'a>> {
        let way = |it: &'a Alternative| {
            let steer = Steer { from: from.clone(), to: to.clone(), how: it.how.clone() };
            let lanes = through(exit, &it.lanes, enter);
            Way { cost: it.cost, links: it.links, lanes, steers: vec![steer] }
        };
        self.alternatives.iter().map(way).collect()
    }
}

/// The network of a topology, for finding paths: its switches in the order of their names, and a
/// node each for a host at either end.
pub(super) struct Network<'a> {
    switches: BTreeMap<&'a Name, usize>,
    graph: Graph<'a>,
}

impl<'a> Network<'a> {
    pub(super) fn of(topology: &'a Topology) -> Self {
        let switches = topology.links.keys().enumerate().map(|(index, name)| (name, index));
        let switches: BTreeMap<&Name, usize> = switches.collect();
        let mut graph = Graph::of(switches.len().saturating_add(2));
        for (name, edges) in &topology.links {
            let Some(from) = switches.get(name) else { continue };
            for edge in edges {
                let Some(to) = switches.get(&edge.to).copied() else { continue };
                let (cost, name) = (u64::from(edge.cost), edge.link.as_str());
                graph.add(*from, Arc { to, cost, links: 1, name, lanes: &edge.lanes });
            }
        }
        Self { switches, graph }
    }

    /// The paths that a declaration allows.
    pub(super) fn steering(
        &mut self,
        topology: &'a Topology,
        spec: &SteeringSpec,
    ) -> Result<Steering, String> {
        let ends = [self.switches.len(), self.switches.len().saturating_add(1)];
        let mut added = Vec::new();
        let from = self.mount(topology, &spec.from, (ends[0], true), &mut added);
        let to = self.mount(topology, &spec.to, (ends[1], false), &mut added);
        let most = usize::try_from(spec.paths).unwrap_or(usize::MAX);
        let paths = self.graph.paths(from, to, most);
        for (from, to) in added.into_iter().rev() {
            self.graph.take_back(from, to);
        }
        if paths.len() < most {
            return Err(format!(
                "there are {} loop-free paths from {} to {}; write at most as many, or leave the \
                 steering out where there is no choice",
                paths.len(),
                spec.from,
                spec.to
            ));
        }
        // There is a mark for each path: that was checked.
        let hows = hows(&spec.how, paths.len());
        let alternatives = paths.iter().zip(hows).map(|(arcs, how)| Alternative {
            cost: arcs.iter().map(|arc| arc.cost).fold(0, u64::saturating_add),
            links: arcs.iter().map(|arc| arc.links).fold(0, u32::saturating_add),
            lanes: arcs.iter().flat_map(|arc| arc.lanes).cloned().collect(),
            how,
        });
        Ok(Steering { alternatives: alternatives.collect() })
    }

    /// The node of a place; a host is joined to its switches by its NICs first.
    fn mount(
        &mut self,
        topology: &'a Topology,
        place: &Node,
        (node, leaves): (usize, bool),
        added: &mut Vec<(usize, usize)>,
    ) -> usize {
        let host = match place {
            Node::Switch(name) => return self.switches.get(name).copied().unwrap_or(node),
            Node::Host(name) => name,
        };
        for nic in topology.hosts.get(host).into_iter().flatten() {
            let Some(switch) = self.switches.get(&nic.switch).copied() else { continue };
            let name = nic.name.as_str();
            let (from, to, lanes) = if leaves {
                (node, switch, nic.egress.as_slice())
            } else {
                (switch, node, nic.ingress.as_slice())
            };
            self.graph.add(from, Arc { to, cost: 0, links: 0, name, lanes });
            added.push((from, to));
        }
        node
    }
}

/// How bytes get onto each path, in the order of the paths.
fn hows(spec: &SteeringHow, paths: usize) -> Vec<How> {
    match spec {
        SteeringHow::Controller(name) => vec![How::Controller(name.clone()); paths],
        SteeringHow::Marks(_, marks) => marks.iter().cloned().map(How::Mark).collect(),
    }
}

impl Topology {
    /// Finds the paths of every declaration.
    pub(super) fn add_steerings(&mut self, spec: &[SteeringSpec]) -> Vec<FieldFault> {
        let (mut found, mut faults) = (BTreeMap::new(), Vec::new());
        let mut network = Network::of(self);
        for (index, steering) in spec.iter().enumerate() {
            match network.steering(self, steering) {
                Ok(compiled) => {
                    found.insert((steering.from.clone(), steering.to.clone()), compiled);
                }
                Err(why) => {
                    let field = format!("topology.steerings[{index}].paths");
                    faults.push(FieldFault::new(field, why));
                }
            }
        }
        self.steerings = found;
        faults
    }
}

//! What there is to reserve, and which lanes lead from one endpoint to another.
//!
//! [`spec`] is the declaration as it was applied, [`compile`](mod@compile) checks it and makes a
//! [`Topology`], [`path`] finds the lanes.

pub mod compile;
pub mod path;
pub mod shape;
pub mod spec;
pub mod steer;

mod bundle;
mod check;
mod routes;
mod yen;

use std::collections::BTreeMap;

use tidegate_policy::{Name, Resource};

use crate::lane::{LaneDef, LaneName};

pub use path::{Path, PathFault};
pub use spec::TopologySpec;
pub use steer::{How, Steer};

/// A checked topology.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Topology {
    /// As it was declared.
    pub spec: TopologySpec,
    /// Every lane and what it can carry.
    pub lanes: BTreeMap<LaneName, LaneDef>,
    /// Every resource and its lanes.
    resources: BTreeMap<Resource, Vec<LaneName>>,
    hosts: BTreeMap<Name, Vec<Nic>>,
    storage: BTreeMap<Name, Storage>,
    /// The links that leave each switch.
    links: BTreeMap<Name, Vec<Edge>>,
    routes: BTreeMap<(spec::Node, spec::Node), routes::Route>,
    steerings: BTreeMap<(spec::Node, spec::Node), steer::Steering>,
}

/// A NIC: the way from its host to its switch and back.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Nic {
    name: Name,
    switch: Name,
    egress: Vec<LaneName>,
    ingress: Vec<LaneName>,
}

/// A link in one direction.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Edge {
    link: Name,
    to: Name,
    cost: u32,
    lanes: Vec<LaneName>,
}

/// A storage backend.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Storage {
    place: spec::Node,
    read: Vec<LaneName>,
    write: Vec<LaneName>,
    served_via: Vec<Name>,
    mirrors: Vec<Name>,
    tier: Option<Name>,
}

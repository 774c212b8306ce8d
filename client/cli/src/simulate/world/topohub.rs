//! A network of topohub: node-link JSON, with demands and without capacities.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tidegate_policy::BitRate;

use super::network::{Network, Place};

#[derive(Deserialize)]
struct NodeLink {
    #[serde(default)]
    directed: bool,
    graph: Graph,
    nodes: Vec<Node>,
    #[serde(alias = "links")]
    edges: Vec<Edge>,
}

#[derive(Deserialize)]
struct Graph {
    #[serde(default)]
    demands: BTreeMap<String, BTreeMap<String, f64>>,
}

#[derive(Deserialize)]
struct Node {
    id: Id,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Edge {
    source: Id,
    target: Id,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "the id of a node is a whole number or text")]
enum Id {
    Number(u64),
    Text(String),
}

impl Id {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// Whether it is node-link JSON rather than a study's.
pub(super) fn is_one(json: &Value) -> bool {
    json.get("graph").is_some_and(Value::is_object)
}

pub(super) fn network(json: Value, capacity: BitRate) -> Result<Network, String> {
    let read: NodeLink =
        serde_json::from_value(json).map_err(|error| format!("as node-link JSON: {error}"))?;
    let place = |node: Node| Place { name: node.id.text(), alias: node.name };
    let nodes = read.nodes.into_iter().map(place).collect();
    let mut network = Network { nodes, ..Network::default() };
    let find = network.finder();
    for (index, edge) in read.edges.iter().enumerate() {
        let within = |why: String| format!("edges[{index}]: {why}");
        let from = find(&edge.source.text()).map_err(within)?;
        let to = find(&edge.target.text()).map_err(within)?;
        network.arcs.push((from, to, capacity.bps()));
        if !read.directed {
            network.arcs.push((to, from, capacity.bps()));
        }
    }
    for (from, row) in &read.graph.demands {
        for (to, weight) in row {
            let within = |why: String| format!("graph.demands[{from:?}][{to:?}]: {why}");
            let pair = (find(from).map_err(within)?, find(to).map_err(within)?);
            network.weights.push((pair.0, pair.1, *weight));
        }
    }
    Ok(network)
}

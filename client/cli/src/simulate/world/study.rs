//! A network of a study: `*.topology.json`.

use serde::Deserialize;
use serde_json::Value;

use super::network::{Network, Place};

#[derive(Deserialize)]
struct Study {
    nodes: Vec<String>,
    links: Vec<Link>,
    #[serde(default)]
    od: Vec<(String, String, f64)>,
    lambda_star_bps: Option<u64>,
    slot_s: Option<u32>,
}

#[derive(Deserialize)]
struct Link {
    src: String,
    dst: String,
    cap_bps: u64,
}

pub(super) fn network(json: Value) -> Result<Network, String> {
    let study: Study = serde_json::from_value(json)
        .map_err(|error| format!("it is neither a network of a study nor of topohub: {error}"))?;
    let mut network = Network {
        nodes: study.nodes.into_iter().map(|name| Place { name, alias: None }).collect(),
        concurrent_bps: study.lambda_star_bps.filter(|bps| *bps != 0),
        slot_s: study.slot_s.filter(|slot| *slot != 0),
        ..Network::default()
    };
    let find = network.finder();
    for (index, link) in study.links.iter().enumerate() {
        let within = |why: String| format!("links[{index}]: {why}");
        let (from, to) = (find(&link.src).map_err(within)?, find(&link.dst).map_err(within)?);
        network.arcs.push((from, to, link.cap_bps));
    }
    for (index, (from, to, weight)) in study.od.iter().enumerate() {
        let within = |why: String| format!("od[{index}]: {why}");
        let (from, to) = (find(from).map_err(within)?, find(to).map_err(within)?);
        network.weights.push((from, to, *weight));
    }
    Ok(network)
}

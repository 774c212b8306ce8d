//! A network to plan on: a ring of switches with chords, a host at each.

use tidegate_core::TopologySpec;
use tidegate_core::topology::spec::{
    Capacity, Framing, HostSpec, LinkSpec, NicSpec, Node, SteeringHow, SteeringSpec,
};
use tidegate_policy::{BitRate, Endpoint, Mark, MarkKind, Name};

use super::rng::Rng;

const NODES: usize = 80;
/// Hosts that each host sends to.
const PEERS: usize = 3;
/// Paths between them.
const PATHS: u32 = 4;
pub(super) const LINK_BPS: u64 = 10_000_000_000;
const NIC_BPS: u64 = 25_000_000_000;

/// Two hosts that transfers run between.
pub(super) type Pair = (Endpoint, Endpoint);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn capacity(bps: u64) -> Capacity {
    let rate = BitRate::from_bps(bps).unwrap();
    Capacity { out: rate, back: rate, total: None, reserved_ppm: None, allocation_ratio_ppm: None }
}

/// The network, and the pairs of hosts with a choice of paths.
pub(super) fn network(rng: &mut Rng) -> (TopologySpec, Vec<Pair>) {
    let switches: Vec<Name> = (0..NODES).map(|index| name(&format!("s{index}"))).collect();
    let framing = Framing { overhead_ppm: None, mtu: Some(9000) };
    let hosts = switches.iter().enumerate().map(|(index, switch)| {
        let (switch, capacity) = (switch.clone(), capacity(NIC_BPS));
        let nic = NicSpec { name: name("eth0"), switch, capacity, framing };
        HostSpec { name: name(&format!("h{index}")), nics: vec![nic] }
    });
    let mut ends: Vec<(usize, usize)> = (0..NODES).map(|from| (from, (from + 1) % NODES)).collect();
    // Each switch has one chord, to any other: three links each.
    let mut open: Vec<usize> = (0..NODES).collect();
    while let Some(from) = open.pop() {
        let to = open.swap_remove(rng.index(open.len()));
        ends.push((from, to));
    }
    let links = ends.iter().enumerate().map(|(index, (from, to))| LinkSpec {
        name: name(&format!("l{index}")),
        from: switches[*from].clone(),
        to: switches[*to].clone(),
        capacity: capacity(LINK_BPS),
        framing,
        cost: 1,
        bundle: None,
    });
    let marks = ["8", "16", "24", "32"].map(|value| Mark::new(MarkKind::Dscp, value).unwrap());
    let (mut pairs, mut steerings) = (Vec::new(), Vec::new());
    for from in 0..NODES {
        for peer in 1..=PEERS {
            let to = (from + peer * 19 + rng.index(7)) % NODES;
            let [source, sink] = [from, to].map(|index| name(&format!("h{index}")));
            let how = SteeringHow::Marks(MarkKind::Dscp, marks.to_vec());
            let (from, to) = (Node::Host(source.clone()), Node::Host(sink.clone()));
            steerings.push(SteeringSpec { from, to, paths: PATHS, how });
            pairs.push((Endpoint::Host(source), Endpoint::Host(sink)));
        }
    }
    let spec = TopologySpec {
        hosts: hosts.collect(),
        links: links.collect(),
        switches,
        steerings,
        ..TopologySpec::default()
    };
    (spec, pairs)
}

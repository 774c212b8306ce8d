//! Steered paths over random networks: the ones that listing every loop-free path and sorting them
//! finds, alone and in chains of relays.
#![allow(clippy::unwrap_used, reason = "a network that cannot be built fails its test")]

use tidegate_core::TopologySpec;
use tidegate_core::topology::spec::{
    Capacity, Framing, HostSpec, LinkSpec, NicSpec, Node, SteeringHow, SteeringSpec,
};
use tidegate_core::topology::{How, Path, compile::compile};
use tidegate_policy::{BitRate, Endpoint, Mark, MarkKind, Name};

#[path = "support/model/rng.rs"]
#[allow(dead_code, reason = "the model draws more kinds of numbers than networks need")]
mod rng;

use rng::Rng;

/// So many random networks are tried for each property.
const NETWORKS: u64 = 1500;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn switch(index: usize) -> Name {
    name(&format!("s{index}"))
}

fn host(index: usize) -> Name {
    name(&format!("h{index}"))
}

fn capacity() -> Capacity {
    let rate = BitRate::from_bps(1000).unwrap();
    let (total, reserved_ppm, allocation_ratio_ppm) = (None, None, None);
    Capacity { out: rate, back: rate, total, reserved_ppm, allocation_ratio_ppm }
}

/// Up to six switches, up to eleven links of a few costs, parallel ones among them, and three
/// hosts with up to three NICs.
fn network(rng: &mut Rng) -> TopologySpec {
    let switches = 2 + rng.index(5);
    let mut spec =
        TopologySpec { switches: (0..switches).map(switch).collect(), ..TopologySpec::default() };
    let framing = Framing::default();
    for index in 0..rng.index(12) {
        let (from, to) = (switch(rng.index(switches)), switch(rng.index(switches)));
        if from == to {
            continue;
        }
        let (name, cost) = (name(&format!("l{index}")), rng.pick(&[1, 1, 2, 3]));
        let (capacity, bundle) = (capacity(), None);
        spec.links.push(LinkSpec { name, from, to, capacity, framing, cost, bundle });
    }
    for index in 0..3 {
        let nics = (0..1 + rng.index(3)).map(|nic| NicSpec {
            name: name(&format!("eth{nic}")),
            switch: switch(rng.index(switches)),
            capacity: capacity(),
            framing,
        });
        spec.hosts.push(HostSpec { name: host(index), nics: nics.collect() });
    }
    spec
}

/// A loop-free path: its cost, its links, the names on the way with the places that they lead to,
/// and its lanes.
type Found = ((u32, u32, Vec<(String, usize)>), Vec<String>);

/// The place of a node in the order of names: switches first, then both ends.
fn place(spec: &TopologySpec, name: &Name) -> usize {
    let mut names: Vec<&Name> = spec.switches.iter().collect();
    names.sort();
    names.iter().position(|known| *known == name).unwrap()
}

/// Every loop-free path from a switch on, by following all links.
fn walk(spec: &TopologySpec, been: &mut Vec<Name>, so_far: &Found, out: &mut Vec<(Name, Found)>) {
    let here = been.last().unwrap().clone();
    out.push((here.clone(), so_far.clone()));
    for link in &spec.links {
        let (next, direction) = match (&link.from, &link.to) {
            (from, to) if *from == here => (to, "forward"),
            (from, to) if *to == here => (from, "reverse"),
            _ => continue,
        };
        if been.contains(next) {
            continue;
        }
        let ((cost, links, mut names), mut lanes) = so_far.clone();
        names.push((link.name.to_string(), place(spec, next)));
        lanes.push(format!("links/{}/{direction}", link.name));
        been.push(next.clone());
        walk(spec, been, &((cost + link.cost, links + 1, names), lanes), out);
        been.pop();
    }
}

/// The switches of a node: with the NIC in between and its lane, if it is a host.
fn exits(
    spec: &TopologySpec,
    node: &Node,
    direction: &str,
) -> Vec<(Name, Option<(String, String)>)> {
    match node {
        Node::Switch(name) => vec![(name.clone(), None)],
        Node::Host(name) => {
            let host = spec.hosts.iter().find(|host| host.name == *name).unwrap();
            let nic = |nic: &NicSpec| {
                let lane = format!("hosts/{name}/nics/{}/{direction}", nic.name);
                (nic.switch.clone(), Some((nic.name.to_string(), lane)))
            };
            host.nics.iter().map(nic).collect()
        }
    }
}

/// All loop-free paths between two places, in the order of cost, links and names.
fn all(spec: &TopologySpec, from: &Node, to: &Node) -> Vec<Found> {
    let ends = spec.switches.len();
    let mut found = Vec::new();
    for (start, out) in exits(spec, from, "egress") {
        let mut so_far: Found = ((0, 0, Vec::new()), Vec::new());
        if let Some((nic, lane)) = out {
            so_far.0.2.push((nic, place(spec, &start)));
            so_far.1.push(lane);
        }
        let mut walked = Vec::new();
        walk(spec, &mut vec![start], &so_far, &mut walked);
        for (end, back) in exits(spec, to, "ingress") {
            for (_, path) in walked.iter().filter(|(here, _)| *here == end) {
                let mut path = path.clone();
                if let Some((nic, lane)) = &back {
                    path.0.2.push((nic.clone(), ends + 1));
                    path.1.push(lane.clone());
                }
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn steering(from: Node, to: Node, paths: u32) -> SteeringSpec {
    let marks = (0..paths).map(|index| Mark::new(MarkKind::Dscp, &(index + 8).to_string()));
    let marks = marks.map(Result::unwrap).collect();
    SteeringSpec { from, to, paths, how: SteeringHow::Marks(MarkKind::Dscp, marks) }
}

fn lanes(path: &Path) -> Vec<String> {
    path.needs.iter().map(|need| need.lane.to_string()).collect()
}

fn marks(path: &Path) -> Vec<String> {
    let mark = |how: &How| match how {
        How::Mark(mark) => mark.value().to_owned(),
        How::Controller(name) => name.to_string(),
    };
    path.steers.iter().map(|steer| mark(&steer.how)).collect()
}

#[test]
fn the_first_paths_are_those_that_listing_all_finds() {
    let mut rng = Rng::new(31);
    let (mut steered, mut refused) = (0, 0);
    for seed in 0..NETWORKS {
        let mut spec = network(&mut rng);
        let node = |rng: &mut Rng, index: usize| match rng.chance(60) {
            true => Node::Host(host(index)),
            false => Node::Switch(spec.hosts[index].nics[0].switch.clone()),
        };
        let (from, to) = (node(&mut rng, 0), node(&mut rng, 1));
        if from == to {
            continue;
        }
        let expected = all(&spec, &from, &to);
        let paths = rng.pick(&[2, 3, 4]);
        spec.steerings.push(steering(from.clone(), to.clone(), paths));
        let topology = match compile(&spec) {
            Ok(topology) => topology,
            Err(faults) => {
                let too_few = expected.len() < usize::try_from(paths).unwrap();
                assert!(too_few, "network {seed}: {faults:?}");
                assert_eq!(faults[0].field, "topology.steerings[0].paths");
                refused += 1;
                continue;
            }
        };
        let (source, destination) = (Endpoint::Host(host(0)), Endpoint::Host(host(1)));
        let found = topology.paths(&source, &[], &destination).unwrap();
        assert_eq!(found.len(), usize::try_from(paths).unwrap(), "network {seed}");
        for (index, (found, (_, expected))) in found.iter().zip(expected).enumerate() {
            // A switch's first NIC by name is outside of the choice.
            let mut whole = expected;
            if matches!(from, Node::Switch(_)) {
                whole.insert(0, "hosts/h0/nics/eth0/egress".into());
            }
            if matches!(to, Node::Switch(_)) {
                whole.push("hosts/h1/nics/eth0/ingress".into());
            }
            assert_eq!(lanes(found), whole, "network {seed}, path {index}");
            assert_eq!(found.path, Some(u8::try_from(index).unwrap()));
            assert_eq!(marks(found), [(index + 8).to_string()]);
        }
        steered += 1;
    }
    assert!(400 < steered && 300 < refused, "{steered} steered, {refused} refused");
}

#[test]
fn a_chain_of_legs_has_the_cheapest_of_all_combinations() {
    let mut rng = Rng::new(32);
    let mut chained = 0;
    for seed in 0..NETWORKS {
        let mut spec = network(&mut rng);
        let nodes: Vec<Node> = (0..3).map(|index| Node::Host(host(index))).collect();
        let legs: Vec<Vec<Found>> =
            nodes.windows(2).map(|pair| all(&spec, &pair[0], &pair[1])).collect();
        for (pair, leg) in nodes.windows(2).zip(&legs) {
            let paths = u32::try_from(leg.len().min(4)).unwrap();
            if 2 <= paths {
                spec.steerings.push(steering(pair[0].clone(), pair[1].clone(), paths));
            }
        }
        if spec.steerings.len() < 2 {
            continue;
        }
        let mut expected = Vec::new();
        for (a, first) in legs[0].iter().take(4).enumerate() {
            for (b, second) in legs[1].iter().take(4).enumerate() {
                let order = (first.0.0 + second.0.0, first.0.1 + second.0.1, a, b);
                expected.push((order, [(a + 8).to_string(), (b + 8).to_string()]));
            }
        }
        expected.sort();
        expected.truncate(4);
        let topology = compile(&spec).unwrap();
        let (source, destination) = (Endpoint::Host(host(0)), Endpoint::Host(host(2)));
        let found = topology.paths(&source, &[host(1)], &destination).unwrap();
        let found: Vec<Vec<String>> = found.iter().map(marks).collect();
        let expected: Vec<Vec<String>> =
            expected.into_iter().map(|(_, marks)| marks.to_vec()).collect();
        assert_eq!(found, expected, "network {seed}");
        chained += 1;
    }
    assert!(400 < chained, "{chained} chained");
}

#[test]
fn steering_that_makes_no_sense_is_a_fault_of_its_field() {
    let mut rng = Rng::new(33);
    let mut spec = network(&mut rng);
    let ends = || (Node::Switch(switch(0)), Node::Switch(switch(1)));
    let mark = |kind, text: &str| Mark::new(kind, text).unwrap();
    let dscp = |values: &[&str]| {
        let marks = values.iter().map(|text| mark(MarkKind::Dscp, text)).collect();
        SteeringHow::Marks(MarkKind::Dscp, marks)
    };
    let of = |(from, to): (Node, Node), paths, how| SteeringSpec { from, to, paths, how };
    let same = || (Node::Switch(switch(0)), Node::Switch(switch(0)));
    let ghost = || (Node::Host(name("ghost")), Node::Switch(switch(1)));
    let table = [
        (of(ends(), 1, dscp(&["1"])), "topology.steerings[0].paths"),
        (of(ends(), 5, SteeringHow::Controller(name("c"))), "topology.steerings[0].paths"),
        (of(ends(), 2, dscp(&["1"])), "topology.steerings[0].marks.values"),
        (of(ends(), 2, dscp(&["1", "01"])), "topology.steerings[0].marks.values[1]"),
        (of(same(), 2, dscp(&["1", "2"])), "topology.steerings[0].to"),
        (of(ghost(), 2, dscp(&["1", "2"])), "topology.steerings[0].from"),
    ];
    for (steering, field) in table {
        spec.steerings = vec![steering];
        let faults = compile(&spec).unwrap_err();
        assert_eq!(faults.iter().map(|it| it.field.as_str()).collect::<Vec<_>>(), [field]);
    }
}

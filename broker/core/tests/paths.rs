//! Paths over random networks: the cheapest as trying all ways finds it, the same in whatever order
//! a network is declared, and never a panic whatever is declared.
#![allow(clippy::unwrap_used, reason = "a network that cannot be built fails its test")]

use tidegate_core::TopologySpec;
use tidegate_core::lane::LaneNeed;
use tidegate_core::topology::spec::{
    Capacity, Framing, HostSpec, LinkSpec, NicSpec, Node, RouteSpec, StorageSpec,
};
use tidegate_core::topology::{Path, Topology, compile::compile};
use tidegate_policy::{BitRate, Endpoint, Name};

#[path = "support/model/rng.rs"]
#[allow(dead_code, reason = "the model draws more kinds of numbers than networks need")]
mod rng;

use rng::Rng;

/// So many random networks are tried for each property.
const NETWORKS: u64 = 1500;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn capacity() -> Capacity {
    let rate = BitRate::from_bps(1000).unwrap();
    Capacity { out: rate, back: rate, total: None, reserved_ppm: None, allocation_ratio_ppm: None }
}

fn switch(index: usize) -> Name {
    name(&format!("s{index}"))
}

/// A small network: up to six switches, up to nine links, parallel ones among them, hosts with up
/// to two NICs, and storage on hosts and at switches, some of it served via hosts.
fn network(rng: &mut Rng) -> TopologySpec {
    let switches = 1 + rng.index(6);
    let mut spec =
        TopologySpec { switches: (0..switches).map(switch).collect(), ..TopologySpec::default() };
    for index in 0..rng.index(10) {
        let (from, to) = (rng.index(switches), rng.index(switches));
        if from == to {
            continue;
        }
        let (link, cost) = (name(&format!("l{index}")), rng.pick(&[1, 1, 2, 3]));
        let (from, to) = (switch(from), switch(to));
        let (capacity, framing) = (capacity(), Framing::default());
        spec.links.push(LinkSpec { name: link, from, to, capacity, framing, cost, bundle: None });
    }
    for index in 0..1 + rng.index(4) {
        let nic = |nic: usize, rng: &mut Rng| NicSpec {
            name: name(&format!("eth{nic}")),
            switch: switch(rng.index(switches)),
            capacity: capacity(),
            framing: Framing::default(),
        };
        let nics = (0..rng.pick(&[0, 1, 1, 1, 2])).map(|index| nic(index, rng)).collect();
        spec.hosts.push(HostSpec { name: name(&format!("h{index}")), nics });
    }
    let hosts: Vec<Name> = spec.hosts.iter().map(|host| host.name.clone()).collect();
    for index in 0..rng.index(3) {
        let place = match rng.chance(50) {
            true => Node::Host(hosts[rng.index(hosts.len())].clone()),
            false => Node::Switch(switch(rng.index(switches))),
        };
        let served_via = hosts.iter().filter(|_| rng.chance(20)).cloned().collect();
        let name = name(&format!("p{index}"));
        spec.storage.push(StorageSpec {
            name,
            place,
            capacity: capacity(),
            served_via,
            mirrors: Vec::new(),
            tier: None,
        });
    }
    spec
}

fn endpoints(spec: &TopologySpec) -> Vec<Endpoint> {
    let hosts = spec.hosts.iter().map(|host| Endpoint::Host(host.name.clone()));
    let storage = spec.storage.iter().map(|storage| Endpoint::Storage(storage.name.clone()));
    hosts.chain(storage).collect()
}

/// The least cost and hops from one switch to another, by following every way without a loop.
fn try_all(
    spec: &TopologySpec,
    here: &Name,
    goal: &Name,
    been: &mut Vec<Name>,
) -> Option<(u32, u32)> {
    if here == goal {
        return Some((0, 0));
    }
    been.push(here.clone());
    let mut best = None;
    for link in &spec.links {
        let next = match (&link.from, &link.to) {
            (from, to) if from == here => to,
            (from, to) if to == here => from,
            _ => continue,
        };
        if been.contains(next) {
            continue;
        }
        if let Some((cost, hops)) = try_all(spec, next, goal, been) {
            let way = (cost + link.cost, hops + 1);
            best = Some(best.map_or(way, |best: (u32, u32)| best.min(way)));
        }
    }
    been.pop();
    best
}

fn nics<'a>(spec: &'a TopologySpec, host: &str) -> &'a [NicSpec] {
    &spec.hosts.iter().find(|known| known.name.as_str() == host).unwrap().nics
}

/// The least cost and hops between two hosts over any pair of their NICs.
fn cheapest(spec: &TopologySpec, from: &str, to: &str) -> Option<(u32, u32)> {
    let pairs = nics(spec, from).iter().flat_map(|a| nics(spec, to).iter().map(move |b| (a, b)));
    pairs.filter_map(|(a, b)| try_all(spec, &a.switch, &b.switch, &mut Vec::new())).min()
}

/// Follows a path lane by lane and returns its cost and hops; fails where it does not hang
/// together.
fn follow(spec: &TopologySpec, from: &str, to: &str, path: &Path) -> (u32, u32) {
    let lanes: Vec<Vec<&str>> =
        path.needs.iter().map(|need| need.lane.as_str().split('/').collect()).collect();
    assert!(path.needs.iter().all(|need| need.times == 1), "{path:?} crosses a lane twice");
    let (first, rest) = lanes.split_first().unwrap();
    let (last, links) = rest.split_last().unwrap();
    let at = |host: &str, lane: &[&str], direction: &str| -> Name {
        assert_eq!((lane[0], lane[1], lane[4]), ("hosts", host, direction), "{path:?}");
        let nic = nics(spec, host).iter().find(|nic| nic.name.as_str() == lane[3]);
        nic.unwrap().switch.clone()
    };
    let mut here = at(from, first, "egress");
    let mut cost = 0;
    for lane in links {
        let link = spec.links.iter().find(|link| link.name.as_str() == lane[1]).unwrap();
        let (start, end) = match lane[2] {
            "forward" => (&link.from, &link.to),
            _ => (&link.to, &link.from),
        };
        assert_eq!(*start, here, "{path:?} does not hang together");
        here = end.clone();
        cost += link.cost;
    }
    assert_eq!(at(to, last, "ingress"), here, "{path:?} ends elsewhere");
    (cost, u32::try_from(links.len()).unwrap())
}

#[test]
fn the_cheapest_way_is_the_one_that_trying_all_finds() {
    let mut rng = Rng::new(11);
    let (mut found, mut unconnected) = (0, 0);
    for seed in 0..NETWORKS {
        let spec = network(&mut rng);
        let topology = compile(&spec).unwrap();
        for from in &spec.hosts {
            for to in spec.hosts.iter().filter(|to| to.name != from.name) {
                let (source, destination) =
                    (Endpoint::Host(from.name.clone()), Endpoint::Host(to.name.clone()));
                let paths = topology.paths(&source, &[], &destination).unwrap();
                let (from, to) = (from.name.as_str(), to.name.as_str());
                let ways = paths.iter().map(|path| follow(&spec, from, to, path));
                let expected: Vec<(u32, u32)> = cheapest(&spec, from, to).into_iter().collect();
                assert_eq!(ways.collect::<Vec<_>>(), expected, "network {seed}, {from} to {to}");
                found += expected.len();
                unconnected += 1 - expected.len();
            }
        }
    }
    assert!(1000 < found && 1000 < unconnected, "{found} found, {unconnected} not");
}

fn shuffle<T>(rng: &mut Rng, list: &mut [T]) {
    for index in (1..list.len()).rev() {
        list.swap(index, rng.index(index + 1));
    }
}

/// All paths between all endpoints.
fn all_paths(topology: &Topology, spec: &TopologySpec) -> Vec<Vec<(Vec<Name>, Vec<LaneNeed>)>> {
    let mut ends = endpoints(spec);
    ends.sort();
    let pairs = ends.iter().flat_map(|from| ends.iter().map(move |to| (from, to)));
    let paths = pairs.map(|(from, to)| {
        let paths = topology.paths(from, &[], to).unwrap();
        paths.into_iter().map(|path| (path.via, path.needs)).collect()
    });
    paths.collect()
}

#[test]
fn the_order_of_declaration_decides_nothing() {
    let mut rng = Rng::new(12);
    for seed in 0..NETWORKS {
        let mut spec = network(&mut rng);
        routes(&mut rng, &mut spec);
        let Ok(topology) = compile(&spec) else { continue };
        let paths = all_paths(&topology, &spec);
        shuffle(&mut rng, &mut spec.switches);
        shuffle(&mut rng, &mut spec.links);
        shuffle(&mut rng, &mut spec.hosts);
        shuffle(&mut rng, &mut spec.storage);
        shuffle(&mut rng, &mut spec.routes);
        for host in &mut spec.hosts {
            shuffle(&mut rng, &mut host.nics);
        }
        let shuffled = compile(&spec).unwrap();
        assert_eq!(topology.lanes, shuffled.lanes, "network {seed}");
        assert_eq!(paths, all_paths(&shuffled, &spec), "network {seed}");
    }
}

/// Declares a few routes: links in a row from some switch, between its ends or between hosts.
fn routes(rng: &mut Rng, spec: &mut TopologySpec) {
    for _ in 0..rng.index(3) {
        let start = spec.switches[rng.index(spec.switches.len())].clone();
        let mut here = start.clone();
        let mut links = Vec::new();
        for _ in 0..1 + rng.index(4) {
            let leaving: Vec<&LinkSpec> =
                spec.links.iter().filter(|link| link.from == here || link.to == here).collect();
            if leaving.is_empty() {
                break;
            }
            let link = leaving[rng.index(leaving.len())];
            here = if link.from == here { link.to.clone() } else { link.from.clone() };
            links.push(link.name.clone());
        }
        let plugged = |at: &Name| {
            let mut hosts = spec.hosts.iter();
            hosts.find(|host| host.nics.iter().any(|nic| nic.switch == *at))
        };
        let end = |at: Name, to_host: bool| match plugged(&at) {
            Some(host) if to_host => Node::Host(host.name.clone()),
            _ => Node::Switch(at),
        };
        let route =
            RouteSpec { from: end(start, rng.chance(40)), to: end(here, rng.chance(40)), links };
        spec.routes.push(route);
    }
}

/// Breaks something about a network, or several things.
fn damage(rng: &mut Rng, spec: &mut TopologySpec) {
    let strange = ["s0", "s9", "h0", "h9", "l0", "l9", "p0"].map(name);
    let any = |rng: &mut Rng| strange[rng.index(strange.len())].clone();
    for _ in 0..1 + rng.index(3) {
        match rng.below(9) {
            0 => spec.switches.push(any(rng)),
            1 => spec.switches.clear(),
            2 => spec.routes.push(RouteSpec {
                from: Node::Host(any(rng)),
                to: Node::Switch(any(rng)),
                links: vec![any(rng), any(rng)],
            }),
            3 => spec.links.iter_mut().for_each(|link| link.to = any(rng)),
            4 => spec.links.iter_mut().for_each(|link| link.cost = rng.pick(&[0, 1, u32::MAX])),
            5 => spec.hosts.iter_mut().for_each(|host| host.name = any(rng)),
            6 => spec.storage.iter_mut().for_each(|storage| storage.served_via.push(any(rng))),
            7 => spec.links.iter_mut().for_each(|link| {
                link.capacity.reserved_ppm = Some(rng.pick(&[0, 999_999, 1_000_000, u32::MAX]));
            }),
            _ => spec.hosts.iter_mut().flat_map(|host| &mut host.nics).for_each(|nic| {
                let mtu = rng.pick(&[0, 575, 576, 9000, u16::MAX]);
                let overhead = rng.pick(&[None, Some(1_000_000), Some(u32::MAX)]);
                nic.framing = Framing { overhead_ppm: overhead, mtu: Some(mtu) };
            }),
        }
    }
}

#[test]
fn whatever_is_declared_nothing_panics() {
    let mut rng = Rng::new(13);
    let (mut sound, mut faulty) = (0, 0);
    for _ in 0..NETWORKS {
        let mut spec = network(&mut rng);
        routes(&mut rng, &mut spec);
        if rng.chance(70) {
            damage(&mut rng, &mut spec);
        }
        match compile(&spec) {
            Ok(topology) => {
                sound += 1;
                try_everything(&mut rng, &topology, &spec);
            }
            Err(faults) => {
                faulty += 1;
                assert!(!faults.is_empty(), "refused without a fault");
                assert!(faults.iter().all(|fault| fault.field.starts_with("topology.")));
            }
        }
    }
    assert!(300 < sound && 300 < faulty, "{sound} sound, {faulty} faulty");
}

/// Asks for paths between all endpoints and some that do not exist, over random relays.
fn try_everything(rng: &mut Rng, topology: &Topology, spec: &TopologySpec) {
    let mut ends = endpoints(spec);
    ends.push(Endpoint::Host(name("nobody")));
    ends.push(Endpoint::Storage(name("nothing")));
    let hosts: Vec<Name> = spec.hosts.iter().map(|host| host.name.clone()).collect();
    for from in &ends {
        for to in &ends {
            let via: Vec<Name> = hosts.iter().filter(|_| rng.chance(30)).cloned().collect();
            let paths = topology.paths(from, &via, to).unwrap_or_default();
            for need in paths.iter().flat_map(|path| &path.needs) {
                assert!(topology.lanes.contains_key(&need.lane), "{need:?} of no lane");
                assert_ne!(need.times, 0);
            }
        }
    }
}

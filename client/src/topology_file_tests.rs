//! Topologies as files: what is read, what is refused and where, what survives being written.

use proptest::option;
use proptest::prelude::*;

use super::*;

#[test]
fn the_example_of_the_documentation_reads() {
    let source = include_str!("topology_file.rs");
    let doc = source.lines().map_while(|line| line.strip_prefix("//!"));
    let lines = doc.skip_while(|line| line.trim() != "```toml").skip(1);
    let text: Vec<&str> = lines.take_while(|line| line.trim() != "```").collect();
    let topology = parse(&text.join("\n")).unwrap();
    assert_eq!((topology.hosts.len(), topology.switches.len()), (1, 2));
    let link = &topology.links[0];
    let capacity = link.capacity.unwrap();
    assert_eq!((capacity.out_bps, capacity.in_bps), (100_000_000_000, 0));
    assert_eq!(capacity.reserved_ppm, Some(30_000));
    assert_eq!((link.framing.unwrap().mtu_bytes, link.cost), (9000, 1));
    let storage = &topology.storage[0];
    assert_eq!(storage.capacity.unwrap().in_bps, 10_000_000_000);
    assert_eq!(storage.place, Some(v1::storage::Place::Switch("spine".into())));
    assert_eq!(topology.routes[0].links, ["tor-1--spine"]);
}

#[test]
fn faults_name_their_line_and_column() {
    let table = [
        ("[[switch]]\nname = \"-a\"\n", (2, 8), "not a name"),
        ("[[switch]]\nname = \"a\"\nnmae = 1\n", (3, 1), "unknown field"),
        (
            "[[host]]\nname = \"a\"\nnic = [{ name = \"e\", switch = \"s\", capacity = 25 }]",
            (3, 47),
            "string",
        ),
        ("[[storage]]\nname = \"a\"\nhost = \"h\"\nread = \"20G\"\n", (4, 8), "not known"),
        ("[[storage]]\nname = \"a\"\ncapacity = \"1Gbit\"\n", (1, 1), "either host or switch"),
        (
            "\n[[storage]]\nname = \"a\"\nhost = \"h\"\nread = \"1Gbit\"\n",
            (2, 1),
            "both read and write",
        ),
        ("[[storage]]\nname = \"a\"\nhost = \"h\"\ncapacity = \"0bit\"\n", (4, 12), "it is zero"),
        ("[[route]]\nfrom = \"a\"\nto = \"hosts/b\"\nlinks = []\n", (2, 8), "neither"),
        ("[[host]\n", (1, 8), ""),
    ];
    for (text, place, what) in table {
        let error = parse(text).unwrap_err();
        assert_eq!((error.line, error.column), place, "{text}\n{error}");
        assert!(error.message.contains(what), "{text}\n{error}");
    }
}

#[test]
fn percentages_are_exact() {
    let table = [
        ("3%", Some(30_000)),
        ("7.7 %", Some(77_000)),
        ("0.0001%", Some(1)),
        ("100%", Some(1_000_000)),
        ("0.00001%", None),
        ("3", None),
        (".5%", None),
        ("5.%", None),
        ("-1%", None),
        ("99999999%", None),
    ];
    for (text, ppm) in table {
        assert_eq!(Percent::try_from(text.to_owned()).ok(), ppm.map(Percent), "{text}");
    }
}

const MAX: i64 = 1_000_000_000_000_000;

fn name() -> impl Strategy<Value = String> {
    "[a-z0-9]([a-zA-Z0-9._-]{0,8}[a-z0-9])?"
}

fn capacity() -> impl Strategy<Value = Option<v1::Capacity>> {
    let zero_or = || prop_oneof![Just(0), 1..=MAX];
    let reserved = option::of(0..=1_000_000);
    (1..=MAX, zero_or(), zero_or(), reserved).prop_map(
        |(out_bps, in_bps, total_bps, reserved_ppm)| {
            Some(v1::Capacity { out_bps, in_bps, total_bps, reserved_ppm, ..Default::default() })
        },
    )
}

fn some_framing() -> impl Strategy<Value = Option<v1::Framing>> {
    let overhead = option::of(0..=10_000_000);
    (option::of(576..=65535), overhead)
        .prop_map(|(mtu, overhead)| framing(mtu, overhead.map(Percent)))
}

fn host() -> impl Strategy<Value = v1::Host> {
    let nic = (name(), name(), capacity(), some_framing())
        .prop_map(|(name, switch, capacity, framing)| v1::Nic { name, switch, capacity, framing });
    (name(), prop::collection::vec(nic, 0..3)).prop_map(|(name, nics)| v1::Host { name, nics })
}

fn link() -> impl Strategy<Value = v1::Link> {
    (name(), name(), name(), capacity(), some_framing(), 0..=1_000_000).prop_map(
        |(name, from, to, capacity, framing, cost)| v1::Link {
            name,
            from,
            to,
            capacity,
            framing,
            cost,
            ..Default::default()
        },
    )
}

fn storage() -> impl Strategy<Value = v1::Storage> {
    use v1::storage::Place;
    let place =
        prop_oneof![name().prop_map(Place::Host), name().prop_map(Place::Switch)].prop_map(Some);
    (name(), place, capacity(), prop::collection::vec(name(), 0..3)).prop_map(
        |(name, place, capacity, served_via)| v1::Storage {
            name,
            place,
            capacity,
            served_via,
            ..Default::default()
        },
    )
}

fn route() -> impl Strategy<Value = v1::Route> {
    let place = || {
        prop_oneof![
            name().prop_map(|n| format!("hosts/{n}")),
            name().prop_map(|n| format!("switches/{n}"))
        ]
    };
    (place(), place(), prop::collection::vec(name(), 0..4))
        .prop_map(|(from, to, links)| v1::Route { from, to, links })
}

fn topology() -> impl Strategy<Value = v1::Topology> {
    let few = 0..4_usize;
    (
        prop::collection::vec(host(), few.clone()),
        prop::collection::vec(name(), few.clone()),
        prop::collection::vec(link(), few.clone()),
        prop::collection::vec(storage(), few.clone()),
        prop::collection::vec(route(), few),
    )
        .prop_map(|(hosts, switches, links, storage, routes)| v1::Topology {
            hosts,
            switches: switches.into_iter().map(|name| v1::Switch { name }).collect(),
            links,
            storage,
            routes,
            version: 0,
            ..Default::default()
        })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(topology in topology()) {
        let text = to_toml(&topology);
        let back = parse(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(back, topology);
    }
}

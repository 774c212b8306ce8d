//! Topologies as files: what is read, what is refused and where, what survives being written.

use proptest::option;
use proptest::prelude::*;

use super::words::{Percent, Ratio};
use super::*;

#[test]
fn the_example_of_the_documentation_reads() {
    let source = include_str!("topology_file.rs");
    let doc = source.lines().map_while(|line| line.strip_prefix("//!"));
    let lines = doc.skip_while(|line| line.trim() != "```toml").skip(1);
    let text: Vec<&str> = lines.take_while(|line| line.trim() != "```").collect();
    let topology = parse(&text.join("\n")).unwrap();
    assert_eq!((topology.hosts.len(), topology.switches.len()), (1, 2));
    let steering = &topology.steerings[0];
    assert_eq!((steering.from.as_str(), steering.paths), ("switches/spine", 2));
    let values = vec!["10".to_owned(), "18".to_owned()];
    let marks = v1::Marks { kind: v1::mark::Kind::Dscp.into(), values };
    assert_eq!(steering.how, Some(v1::steering::How::Marks(marks)));
    let bundle = v1::Bundle { members: 4, ecmp_share_ppm: Some(400_000), streams_min: 16 };
    assert_eq!(topology.links[0].bundle, Some(bundle));
    assert_eq!(topology.links[0].capacity.unwrap().allocation_ratio_ppm, Some(1_500_000));
    assert_eq!(topology.storage[0].mirrors, ["swift-west"]);
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
        (
            "[[storage]]\nname = \"a\"\nhost = \"h\"\nread = \"20G\"\nwrite = \"1Gbit\"\n",
            (4, 8),
            "not known",
        ),
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
        let error = parse(text).unwrap_err().0.remove(0);
        assert_eq!((error.line, error.column), place, "{text}\n{error}");
        assert!(error.message.contains(what), "{text}\n{error}");
    }
}

/// A file with something wrong in nearly every line, and all that is said about it.
#[test]
fn every_fault_of_a_file_is_told_at_once() {
    let text = "\
[[switch]]
name = \"-a\"
[[link]]
name = \"l\"
from = 7
capacity = \"1Gbit\"
forward = \"0bit\"
mtu = 100
cots = 3
bundle = { share = \"140\" }
[[storage]]
name = \"p\"
read = \"1Gbit\"
allocation_ratio = \"0.5\"
mirrors = [\"q\", \"-\", 3]
[[steering]]
from = \"switches/a\"
to = \"b\"
paths = 9
vlan = [1, 4095]
controller = \"c\"
";
    let faults = parse(text).unwrap_err();
    let places: Vec<(usize, usize)> = faults.0.iter().map(|it| (it.line, it.column)).collect();
    let expected = [
        (2, 8),
        (3, 1),
        (3, 1),
        (5, 8),
        (7, 11),
        (8, 7),
        (9, 1),
        (10, 10),
        (10, 20),
        (11, 1),
        (11, 1),
        (14, 20),
        (15, 17),
        (15, 22),
        (16, 1),
        (18, 6),
        (19, 9),
        (20, 12),
    ];
    assert_eq!(places, expected, "{faults}");
}

#[test]
fn what_the_broker_finds_is_told_with_its_place() {
    let text = "\
[[switch]]
name = \"a\"
[[host]]
name = \"h\"
nic = [{ name = \"e\", switch = \"b\", egress = \"1Gbit\", ingress = \"2Gbit\", mtu = 9000 }]
[[link]]
name = \"l\"
from = \"a\"
to = \"z\"
capacity = \"1Gbit\"
[[steering]]
from = \"switches/a\"
to = \"hosts/h\"
paths = 2
dscp = [1, 2]
";
    let file = TopologyFile::read(text).unwrap();
    let table = [
        ("topology.hosts[0].nics[0].switch", Some((5, 31))),
        ("topology.hosts[0].nics[0].capacity.in_bps", Some((5, 64))),
        ("topology.hosts[0].nics[0].framing.mtu_bytes", Some((5, 79))),
        ("topology.links[0].to", Some((9, 6))),
        ("topology.links[0].capacity.out_bps", Some((10, 12))),
        // Both directions are said by one word.
        ("topology.links[0].capacity.in_bps", Some((10, 12))),
        // What is not said is the table's.
        ("topology.links[0].cost", Some((6, 1))),
        // The list itself stands where its first entry does.
        ("topology.links[7].to", Some((6, 1))),
        ("topology.steerings[0].paths", Some((14, 9))),
        ("topology.steerings[0].marks.values[1]", Some((15, 12))),
        ("topology.steerings[0]", Some((11, 1))),
        ("request_id", None),
    ];
    for (field, place) in table {
        assert_eq!(file.place_of(field), place, "{field}");
    }
    let violation = |field: &str| crate::error::FieldViolation {
        field: field.into(),
        description: "it is wrong".into(),
    };
    let violations = vec![violation("topology.links[0].to"), violation("topology.hosts[0].name")];
    let error = ClientError::Invalid { why: "two".into(), violations };
    let told = file.explain(&error).unwrap().to_string();
    assert_eq!(
        told,
        "line 4, column 8: topology.hosts[0].name: it is wrong\n\
         line 9, column 6: topology.links[0].to: it is wrong"
    );
    assert_eq!(file.explain(&ClientError::Denied { why: "no".into() }), None);
}

#[test]
fn ratios_are_exact() {
    let table = [
        ("1", Some(1_000_000)),
        ("1.5", Some(1_500_000)),
        ("100", Some(100_000_000)),
        ("1.000001", Some(1_000_001)),
        ("1.0000001", None),
        ("0.999999", None),
        ("100.000001", None),
        ("1,5", None),
        (".5", None),
        ("99999999999", None),
    ];
    for (text, ppm) in table {
        assert_eq!(Ratio::try_from(text.to_owned()).ok(), ppm.map(Ratio), "{text}");
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
    let ratio = option::of(1_000_000..=100_000_000);
    (1..=MAX, zero_or(), zero_or(), reserved, ratio).prop_map(
        |(out_bps, in_bps, total_bps, reserved_ppm, allocation_ratio_ppm)| {
            Some(v1::Capacity { out_bps, in_bps, total_bps, reserved_ppm, allocation_ratio_ppm })
        },
    )
}

fn some_framing() -> impl Strategy<Value = Option<v1::Framing>> {
    let overhead = option::of(0..=10_000_000);
    (option::of(576..=65535), overhead).prop_map(|(mtu, overhead_ppm)| {
        let said = mtu.is_some() || overhead_ppm.is_some();
        said.then(|| v1::Framing { overhead_ppm, mtu_bytes: mtu.unwrap_or(0) })
    })
}

fn host() -> impl Strategy<Value = v1::Host> {
    let nic = (name(), name(), capacity(), some_framing())
        .prop_map(|(name, switch, capacity, framing)| v1::Nic { name, switch, capacity, framing });
    (name(), prop::collection::vec(nic, 0..3)).prop_map(|(name, nics)| v1::Host { name, nics })
}

fn link() -> impl Strategy<Value = v1::Link> {
    let bundle = (2..=1024, option::of(0..=1_000_000), 0..=65535).prop_map(
        |(members, ecmp_share_ppm, streams_min)| v1::Bundle {
            members,
            ecmp_share_ppm,
            streams_min,
        },
    );
    let ends = (name(), name(), name());
    (ends, capacity(), some_framing(), 0..=1_000_000, option::of(bundle)).prop_map(
        |((name, from, to), capacity, framing, cost, bundle)| v1::Link {
            name,
            from,
            to,
            capacity,
            framing,
            cost,
            bundle,
        },
    )
}

fn storage() -> impl Strategy<Value = v1::Storage> {
    use v1::storage::Place;
    let place =
        prop_oneof![name().prop_map(Place::Host), name().prop_map(Place::Switch)].prop_map(Some);
    let names = || prop::collection::vec(name(), 0..3);
    let tier = prop_oneof![Just(String::new()), name()];
    (name(), place, capacity(), names(), names(), tier).prop_map(
        |(name, place, capacity, served_via, mirrors, tier)| v1::Storage {
            name,
            place,
            capacity,
            served_via,
            mirrors,
            tier,
        },
    )
}

fn place() -> impl Strategy<Value = String> {
    prop_oneof![
        name().prop_map(|n| format!("hosts/{n}")),
        name().prop_map(|n| format!("switches/{n}"))
    ]
}

fn steering() -> impl Strategy<Value = v1::Steering> {
    use v1::mark::Kind;
    use v1::steering::How;
    let marks = |kind: Kind, values: std::ops::RangeInclusive<u16>| {
        prop::collection::vec(values.prop_map(|it| it.to_string()), 1..4)
            .prop_map(move |values| How::Marks(v1::Marks { kind: kind.into(), values }))
    };
    let addresses = prop::collection::vec(1..=254_u8, 1..4).prop_map(|last| {
        let values = last.iter().map(|it| format!("192.0.2.{it}")).collect();
        How::Marks(v1::Marks { kind: Kind::SourceAddress.into(), values })
    });
    let how = prop_oneof![
        marks(Kind::Dscp, 0..=63),
        marks(Kind::Vlan, 1..=4094),
        addresses,
        name().prop_map(How::Controller),
    ];
    (place(), place(), 2..=4, how).prop_map(|(from, to, paths, how)| v1::Steering {
        from,
        to,
        paths,
        how: Some(how),
    })
}

fn route() -> impl Strategy<Value = v1::Route> {
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
        prop::collection::vec(route(), few.clone()),
        prop::collection::vec(steering(), few),
    )
        .prop_map(|(hosts, switches, links, storage, routes, steerings)| v1::Topology {
            hosts,
            switches: switches.into_iter().map(|name| v1::Switch { name }).collect(),
            links,
            storage,
            routes,
            steerings,
            version: 0,
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

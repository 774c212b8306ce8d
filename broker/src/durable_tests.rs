//! The durable form is pinned to the byte: a change here is a change of every journal out there.

use super::*;
use tidegate_core::topology::spec::{
    BundleSpec, Capacity, Framing, HostSpec, LinkSpec, NicSpec, Node, RouteSpec, SteeringHow,
    SteeringSpec, StorageSpec,
};
use tidegate_core::{Losses, Maintenance, Overuse, ProjectChange, TopologySpec, Victim};
use tidegate_policy::{Limit, MaintenanceId, Mark, MarkKind, Name, Project, Quota, Resource, Span};

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(super) fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms).unwrap()
}

pub(super) fn rate(text: &str) -> BitRate {
    text.parse().unwrap()
}

pub(super) fn spec() -> TopologySpec {
    let capacity = |out, back| Capacity {
        out: rate(out),
        back: rate(back),
        total: None,
        reserved_ppm: None,
        allocation_ratio_ppm: None,
    };
    TopologySpec {
        hosts: vec![HostSpec {
            name: name("h"),
            nics: vec![NicSpec {
                name: name("eth0"),
                switch: name("s"),
                capacity: capacity("25Gbit", "25Gbit"),
                framing: Framing { overhead_ppm: None, mtu: Some(9000) },
            }],
        }],
        switches: vec![name("s"), name("t")],
        links: vec![LinkSpec {
            name: name("l"),
            from: name("s"),
            to: name("t"),
            capacity: Capacity {
                total: Some(rate("150Gbit")),
                reserved_ppm: Some(0),
                ..capacity("100Gbit", "90Gbit")
            },
            framing: Framing { overhead_ppm: Some(1), mtu: None },
            cost: 3,
            bundle: None,
        }],
        storage: vec![StorageSpec {
            name: name("swift"),
            place: Node::Switch(name("t")),
            capacity: capacity("20Gbit", "10Gbit"),
            served_via: vec![name("h")],
            mirrors: Vec::new(),
        }],
        routes: vec![RouteSpec {
            from: Node::Host(name("h")),
            to: Node::Switch(name("t")),
            links: vec![name("l")],
        }],
        steerings: Vec::new(),
    }
}

fn one_of_each() -> Vec<Event> {
    let id = ReservationId::from_u128(0x019a_a7e0_8000_7000_8000_0000_0000_0001);
    let session = SessionId::from_u128(2);
    let reserved = Reserved {
        id,
        project: ProjectId::default_project(),
        plan: single(between(vec![name("h")]), "storage/swift/read"),
        promise: None,
        standing: Standing::default(),
        terms: Terms::default(),
        hold_until: Some(at(31_000)),
        session: Some(session),
    };
    let plan = single(between(vec![]), "storage/swift/read");
    let unbound = Reserved { hold_until: None, session: None, plan, ..reserved.clone() };
    let changes = [
        Change::TopologyApplied { spec: Box::new(spec()), version: 7, losses: Losses::default() },
        Change::SessionOpened { id: session, agent: name("compute-1") },
        Change::Reserved(Box::new(reserved)),
        Change::Reserved(Box::new(unbound)),
        Change::HoldExtended { id, until: at(41_000) },
        Change::Confirmed { id },
        Change::Closed {
            id,
            why: CloseWhy::SessionLost,
            free_from: at(50_000),
            used: ByteCount::new(12),
        },
        Change::SessionEnded { id: session, lost: true },
        Change::Forgotten {
            reservations: vec![id],
            sessions: vec![session],
            requests: vec![RequestId::from_u128(3)],
            maintenances: vec![],
        },
    ];
    marked(changes)
}

/// Two gigabits on one lane for a minute.
pub(super) fn single(route: Route, lane: &str) -> Plan {
    let booked = vec![Booked { lane: LaneName::new(lane), amount: 2_000_000_000 }];
    Plan::single(route, Interval::new(at(1_000), at(61_000)).unwrap(), rate("2Gbit"), booked)
}

pub(super) fn between(via: Vec<Name>) -> Route {
    Route::Between {
        source: "storage/swift".parse().unwrap(),
        destination: "hosts/h".parse().unwrap(),
        via,
        path: None,
        steers: Vec::new(),
    }
}

/// What came with changes, named lanes and steered paths.
fn one_of_each_since() -> Vec<Event> {
    let id = ReservationId::from_u128(0x019a_a7e0_8000_7000_8000_0000_0000_0001);
    let lane = LaneName::new("links/l/forward");
    let booked = vec![Booked { lane: lane.clone(), amount: 2_000_000_000 }];
    let over = |from, to| Interval::new(at(from), at(to)).unwrap();
    let place = |text: &str| core::topology::spec::Node::Switch(name(text));
    let mark = |kind, value| core::topology::How::Mark(Mark::new(kind, value).unwrap());
    let steer = |how| core::topology::Steer { from: place("s"), to: place("t"), how };
    let steers = vec![
        steer(mark(MarkKind::Dscp, "10")),
        steer(mark(MarkKind::Vlan, "100")),
        steer(mark(MarkKind::SourceAddress, "10.0.0.7")),
        steer(core::topology::How::Controller(name("onos"))),
    ];
    let Route::Between { source, destination, via, .. } = between(vec![]) else { unreachable!() };
    let steered = Reserved {
        id,
        project: ProjectId::default_project(),
        plan: single(
            Route::Between { source, destination, via, path: Some(2), steers },
            "links/l/forward",
        ),
        promise: None,
        standing: Standing::default(),
        terms: Terms { shared: true, streams: 8 },
        hold_until: None,
        session: None,
    };
    let plan = single(Route::Lanes(vec![lane.clone(), lane.clone()]), "links/l/forward");
    let named = Reserved { plan, terms: Terms::default(), ..steered.clone() };
    let modified = Modified {
        id,
        rate: rate("1Gbit"),
        interval: over(1_000, 51_000),
        from: at(9_000),
        booked,
        kept: vec![Kept { lane, over: over(9_000, 91_000), amount: 1_000_000_000 }],
    };
    marked([
        Change::Reserved(Box::new(steered)),
        Change::Reserved(Box::new(named)),
        Change::Modified(Box::new(modified)),
        Change::Settled { id },
        Change::Metered { used: vec![(id, ByteCount::new(123_456_789))] },
    ])
}

/// Changes one second after another, every other one asked for.
pub(super) fn marked(changes: impl IntoIterator<Item = Change>) -> Vec<Event> {
    let mark = RequestMark { id: RequestId::from_u128(3), fingerprint: [9; 32] };
    let mut clock = at(1_000);
    changes
        .into_iter()
        .enumerate()
        .map(|(index, change)| {
            clock = clock.plus(Span::from_secs(1));
            Event { at: clock, request: (index % 2 == 0).then_some(mark), change }
        })
        .collect()
}

/// What operators do to the network.
fn network() -> Vec<Event> {
    let id = ReservationId::from_u128(1);
    let window = MaintenanceId::from_u128(4);
    let victim = Victim {
        reservation: id,
        session: Some(SessionId::from_u128(2)),
        lane: LaneName::new("links/l/forward"),
        lost: at(50_000),
        end: at(61_000),
    };
    let unbound = Victim { session: None, ..victim.clone() };
    let losses = Losses { victims: vec![victim, unbound], count: 3 };
    let maintenance = Box::new(Maintenance {
        id: window,
        resource: Resource::Link(name("l")),
        over: Interval::new(at(50_000), at(90_000)).unwrap(),
        left_ppm: 250_000,
        comment: "new optics".into(),
        created: at(4_000),
        ended: None,
    });
    let mut whole = spec();
    whole.links[0].bundle =
        Some(BundleSpec { members: 4, ecmp_share_ppm: Some(400_000), streams_min: 16 });
    whole.links[0].capacity.allocation_ratio_ppm = Some(1_500_000);
    whole.storage.push(StorageSpec {
        name: name("mirror"),
        mirrors: vec![name("swift")],
        ..whole.storage[0].clone()
    });
    let marks = ["10", "20"].map(|value| Mark::new(MarkKind::Dscp, value).unwrap());
    let (from, to) = (Node::Host(name("h")), Node::Switch(name("t")));
    let how = SteeringHow::Marks(MarkKind::Dscp, marks.to_vec());
    whole.steerings.push(SteeringSpec { from: from.clone(), to, paths: 2, how });
    let to = Node::Switch(name("s"));
    let how = SteeringHow::Controller(name("faucet"));
    whole.steerings.push(SteeringSpec { from, to, paths: 3, how });
    marked([
        Change::TopologyApplied { spec: Box::new(whole), version: 8, losses: losses.clone() },
        Change::Curtailed { id, end: at(50_000), free_from: at(52_000) },
        Change::MaintenanceCreated { maintenance, losses },
        Change::MaintenanceEnded { id: window },
        Change::Drained { resource: Resource::Nic(name("h"), name("eth0")) },
        Change::Undrained { resource: Resource::Nic(name("h"), name("eth0")) },
        Change::Closed {
            id,
            why: CloseWhy::CapacityLost,
            free_from: at(52_000),
            used: ByteCount::new(12),
        },
        Change::Forgotten {
            reservations: vec![],
            sessions: vec![],
            requests: vec![],
            maintenances: vec![window],
        },
    ])
}

/// What administrators do.
fn policy() -> Vec<Event> {
    let lab = ProjectId(name("lab"));
    let quota = Quota {
        rate: Some(rate("5Gbit")),
        reservations: Some(0),
        rate_each: None,
        duration_each: Span::from_ms(1),
        horizon: Some(Span::MAX),
    };
    let labels = [("team".to_owned(), "lab".to_owned()), ("a".into(), "b".into())].into();
    let parent = Some(ProjectId::default_project());
    let after = Project { id: lab.clone(), parent, labels, quota };
    let before = Project::new(lab.clone());
    let (what, until) = (Limit::Rate, at(50_000));
    let overuse = Overuse { project: lab, what, limit: 7, used: 8, until };
    marked([Change::PolicyApplied {
        version: 2,
        changes: vec![
            ProjectChange { before: Some(before), after: None },
            ProjectChange { before: None, after: Some(after) },
        ],
        overuses: vec![overuse],
    }])
}

#[test]
fn every_event_reads_back_as_it_was() {
    for events in [one_of_each(), one_of_each_since(), network(), policy()] {
        assert_eq!(decode(&encode(&events)).unwrap(), events);
    }
    let whys = [
        CloseWhy::Completed,
        CloseWhy::Released,
        CloseWhy::Expired,
        CloseWhy::SessionLost,
        CloseWhy::CapacityLost,
    ];
    for why in whys {
        let id = ReservationId::from_u128(1);
        let change = Change::Closed { id, why, free_from: at(1), used: ByteCount::ZERO };
        let events = vec![Event { at: at(1), request: None, change }];
        assert_eq!(decode(&encode(&events)).unwrap(), events);
    }
}

#[test]
fn the_bytes_are_those_of_every_version_before() {
    let golden = [
        (one_of_each(), include_str!("../tests/golden/events-1.hex")),
        (one_of_each_since(), include_str!("../tests/golden/events-2.hex")),
        (network(), include_str!("../tests/golden/events-3.hex")),
        (policy(), include_str!("../tests/golden/events-5.hex")),
    ];
    for (events, golden) in golden {
        let hex: String = encode(&events).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden.split_whitespace().collect::<String>());
    }
}

#[test]
fn an_event_of_a_later_version_is_refused() {
    let later = wire::Batch { events: vec![wire::Event { at_ms: 1, request: None, change: None }] };
    assert!(matches!(decode(&later.encode_to_vec()), Err(Unreadable::Unknown)));
    assert!(matches!(decode(&[0xff; 7]), Err(Unreadable::Malformed(_))));
    let id = vec![1; 15];
    let change = Some(wire::event::Change::Confirmed(wire::Confirmed { id }));
    let short = wire::Batch { events: vec![wire::Event { at_ms: 1, request: None, change }] };
    assert!(matches!(decode(&short.encode_to_vec()), Err(Unreadable::Field { .. })));
}

/// The recorder joins what waits for one sync by putting the bytes one behind the other.
#[test]
fn batches_behind_one_another_are_one_batch() {
    let events = one_of_each();
    let (first, second) = events.split_at(4);
    let joined = [encode(first), encode(second)].concat();
    assert_eq!(joined, encode(&events));
}

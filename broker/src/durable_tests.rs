//! The durable form is pinned to the byte: a change here is a change of every journal out there.

use super::*;
use tidegate_core::topology::spec::{
    Capacity, Framing, HostSpec, LinkSpec, NicSpec, Node, RouteSpec, StorageSpec,
};
use tidegate_policy::Span;

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
    let capacity =
        |out, back| Capacity { out: rate(out), back: rate(back), total: None, reserved_ppm: None };
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
        }],
        storage: vec![StorageSpec {
            name: name("swift"),
            place: Node::Switch(name("t")),
            capacity: capacity("20Gbit", "10Gbit"),
            served_via: vec![name("h")],
        }],
        routes: vec![RouteSpec {
            from: Node::Host(name("h")),
            to: Node::Switch(name("t")),
            links: vec![name("l")],
        }],
    }
}

fn one_of_each() -> Vec<Event> {
    let id = ReservationId::from_u128(0x019a_a7e0_8000_7000_8000_0000_0000_0001);
    let session = SessionId::from_u128(2);
    let reserved = Reserved {
        id,
        project: ProjectId::default_project(),
        source: "storage/swift".parse().unwrap(),
        destination: "hosts/h".parse().unwrap(),
        via: vec![name("h")],
        rate: rate("2Gbit"),
        interval: Interval::new(at(1_000), at(61_000)).unwrap(),
        hold_until: Some(at(31_000)),
        session: Some(session),
        booked: vec![Booked { lane: LaneName::new("storage/swift/read"), amount: 2_000_000_000 }],
    };
    let unbound = Reserved { hold_until: None, session: None, via: vec![], ..reserved.clone() };
    let changes = [
        Change::TopologyApplied { spec: Box::new(spec()), version: 7 },
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
        },
    ];
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

#[test]
fn every_event_reads_back_as_it_was() {
    let events = one_of_each();
    assert_eq!(decode(&encode(&events)).unwrap(), events);
    for why in [CloseWhy::Completed, CloseWhy::Released, CloseWhy::Expired, CloseWhy::SessionLost] {
        let id = ReservationId::from_u128(1);
        let change = Change::Closed { id, why, free_from: at(1), used: ByteCount::ZERO };
        let events = vec![Event { at: at(1), request: None, change }];
        assert_eq!(decode(&encode(&events)).unwrap(), events);
    }
}

#[test]
fn the_bytes_are_those_of_every_version_before() {
    let hex: String = encode(&one_of_each()).iter().map(|byte| format!("{byte:02x}")).collect();
    let golden = include_str!("../tests/golden/events-1.hex");
    assert_eq!(hex, golden.split_whitespace().collect::<String>());
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

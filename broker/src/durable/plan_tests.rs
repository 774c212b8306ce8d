//! Plans and promises read back as they were, and what no broker writes is refused.

use prost::Message;
use tidegate_core::event::{MoveWhy, Moved, Reserved};
use tidegate_core::lane::LaneName;
use tidegate_core::{
    Change, CloseWhy, Event, Kept, LastMove, Plan, PlanWay, Promise, Promised, Reservation, Route,
    Segment, Standing, State, Terms, Ways,
};
use tidegate_policy::{ByteCount, Interval, ProjectId, ReservationId, SessionId, Timestamp};
use tidegate_proto::journal::v1 as wire;

use super::super::tests::{at, between, marked, name, rate, single};
use super::super::{Unreadable, decode, encode, image};

fn over(from: i64, to: i64) -> Interval {
    Interval::new(at(from), at(to)).unwrap()
}

fn lane(name: &str) -> LaneName {
    LaneName::new(name)
}

/// Two ways at once, then one of them faster.
fn winding() -> Plan {
    let Route::Between { source, destination, via, steers, .. } = between(vec![name("h")]) else {
        unreachable!()
    };
    let other = Route::Between { source, destination, via, path: Some(3), steers };
    let ways = vec![
        PlanWay { route: between(vec![]), lanes: vec![lane("storage/swift/read")] },
        PlanWay { route: other, lanes: vec![lane("links/l/forward"), lane("nics/h/eth0/in")] },
    ];
    let segment = |way, over, bps: &str, amounts: &[u64]| Segment {
        way,
        over,
        rate: rate(bps),
        amounts: amounts.to_vec(),
    };
    let segments = vec![
        segment(0, over(1_000, 11_000), "1Gbit", &[1_000_000_000]),
        segment(1, over(1_000, 6_000), "2Gbit", &[2_050_000_000, 2_020_000_000]),
        segment(0, over(30_000, 61_000), "3Gbit", &[3_000_000_000]),
    ];
    Plan { ways, segments }
}

fn volume() -> Promise {
    let what = Promised::Volume {
        volume: ByteCount::new(14_000_000_001),
        min: rate("0bit"),
        max: rate("4Gbit"),
        window: over(1_000, 90_000),
        split: true,
    };
    let ways = Ways::Between {
        sources: vec!["storage/swift".parse().unwrap(), "hosts/x".parse().unwrap()],
        destination: "hosts/h".parse().unwrap(),
        via: vec![name("h")],
        path: Some(0),
    };
    Promise { what, ways, movable: true }
}

fn span() -> Promise {
    let what = Promised::Span {
        min: rate("1Gbit"),
        max: rate("2Gbit"),
        span: "1m".parse().unwrap(),
        window: over(1_000, 90_000),
    };
    let lanes = vec![lane("links/l/forward"), lane("links/l/forward")];
    Promise { what, ways: Ways::Lanes(lanes), movable: false }
}

fn transfer() -> Reserved {
    Reserved {
        id: ReservationId::from_u128(7),
        owner: ProjectId::default_project().into(),
        plan: winding(),
        promise: Some(volume().into()),
        standing: Standing { priority: 9, preemptible: true, ..Standing::default() },
        terms: Terms { shared: true, streams: 8 },
        hold_until: Some(at(21_000)),
        session: Some(SessionId::from_u128(2)),
        borrowed: false,
        despite: None,
    }
}

/// What came with plans.
fn events() -> Vec<Event> {
    let transfer = transfer();
    let named = Route::Lanes(vec![lane("links/l/forward"), lane("links/l/forward")]);
    let flexible = Reserved {
        plan: single(named, "links/l/forward"),
        promise: Some(span().into()),
        standing: Standing::default(),
        ..transfer.clone()
    };
    let preferred = Reserved {
        plan: single(between(vec![]), "storage/swift/read"),
        promise: None,
        standing: Standing { priority: 1, preemptible: false, ..Standing::default() },
        terms: Terms::default(),
        hold_until: None,
        session: None,
        ..transfer.clone()
    };
    let moved = |why| {
        let moved = Moved::new(transfer.id, at(1_000), winding(), why);
        Change::Moved(moved.into())
    };
    let lane = LaneName::new("links/a/forward");
    let kept = vec![Kept { lane, over: over(1_000, 4_000), amount: 77 }];
    let asked = Moved {
        kept,
        promise: Some(volume().what),
        short: ByteCount::new(5),
        used: ByteCount::new(6),
        ..Moved::new(transfer.id, at(1_000), winding(), MoveWhy::Asked)
    };
    let closed = |why| {
        let (free_from, used) = (at(50_000), ByteCount::new(12));
        Change::Closed { id: transfer.id, why, free_from, used }
    };
    marked([
        Change::Reserved(transfer.clone().into()),
        Change::Reserved(flexible.into()),
        Change::Reserved(preferred.into()),
        moved(MoveWhy::Room),
        moved(MoveWhy::CapacityLost),
        moved(MoveWhy::Lagging),
        moved(MoveWhy::Preempted),
        Change::Moved(asked.into()),
        closed(CloseWhy::NoShow),
        closed(CloseWhy::Preempted),
    ])
}

#[test]
fn every_plan_reads_back_as_it_was() {
    assert_eq!(decode(&encode(&events())).unwrap(), events());
}

#[test]
fn the_bytes_are_those_of_every_version_before() {
    let hex: String = encode(&events()).iter().map(|byte| format!("{byte:02x}")).collect();
    let golden = include_str!("../../tests/golden/events-4.hex");
    assert_eq!(hex, golden.split_whitespace().collect::<String>());
}

/// A broker of before requires what is left out, so it refuses what it would misread.
#[test]
fn what_a_broker_of_before_does_not_know_it_does_not_take_for_something_else() {
    let batch = wire::Batch::decode(encode(&events()).as_slice()).unwrap();
    let mut reserved = 0;
    for event in batch.events {
        if let Some(wire::event::Change::Reserved(it)) = event.change {
            reserved += 1;
            assert!(it.source.is_empty() && it.lanes.is_empty() && it.rate_bps == 0, "{it:?}");
        }
    }
    assert_eq!(reserved, 3);
}

/// A reservation in each way that a plan and what was told of it can stand to each other, and
/// whether it is written as it was before there were plans.
fn reservations() -> Vec<(Reservation, bool)> {
    let told = Reservation {
        id: ReservationId::from_u128(7),
        owner: ProjectId::default_project().into(),
        plan: winding(),
        promise: Some(volume().into()),
        standing: Standing { priority: 9, preemptible: true, ..Standing::default() },
        terms: Terms::default(),
        interval: over(1_000, 61_000),
        from: at(1_000),
        session: None,
        borrowed: false,
        despite: None,
        kept: vec![],
        curtailed: false,
        last_move: Some(LastMove {
            from: at(900),
            why: MoveWhy::Lagging,
            short: ByteCount::new(3),
            plan_version: 3,
            used: ByteCount::new(4),
        }),
        revision: 1,
        plan_version: 4,
        metered: ByteCount::ZERO,
        created: at(999),
        created_by: None,
        state: State::Confirmed,
    };
    let plain = || single(between(vec![]), "storage/swift/read");
    let rigid = |plan, interval, from: Timestamp| Reservation {
        plan,
        promise: None,
        standing: Standing::default(),
        interval,
        from,
        last_move: None,
        ..told.clone()
    };
    vec![
        (rigid(plain(), over(1_000, 61_000), at(1_000)), true),
        (rigid(plain().within(over(9_000, 61_000)), over(1_000, 61_000), at(9_000)), true),
        // What was moved behind the time that it was told to begin at.
        (rigid(plain().within(over(9_000, 61_000)), over(1_000, 61_000), at(1_000)), false),
        (rigid(winding(), over(500, 61_000), at(700)), false),
        (Reservation { promise: Some(span().into()), plan: plain(), ..told.clone() }, false),
        (told, false),
    ]
}

#[test]
fn every_plan_of_a_snapshot_reads_back_as_it_was() {
    let mut hex = String::new();
    for (reservation, plain) in reservations() {
        let wire = image::reservation_to_wire(&reservation);
        let granted = wire.granted.as_ref().unwrap();
        assert_eq!(granted.segments.is_empty(), plain, "{granted:?}");
        assert_eq!(image::reservation(&wire).unwrap(), reservation);
        let bytes = wire.encode_length_delimited_to_vec();
        hex.extend(bytes.iter().map(|byte| format!("{byte:02x}")));
    }
    let golden = include_str!("../../tests/golden/snapshot-2.hex");
    assert_eq!(hex, golden.split_whitespace().collect::<String>());
}

/// The first event as it is written, after a change to it.
fn changed(change: impl FnOnce(&mut wire::Reserved)) -> Result<Vec<Event>, Unreadable> {
    let mut batch = wire::Batch::decode(encode(&events()[..1]).as_slice()).unwrap();
    let Some(wire::event::Change::Reserved(reserved)) = &mut batch.events[0].change else {
        unreachable!()
    };
    change(reserved);
    decode(&batch.encode_to_vec())
}

fn field(read: Result<Vec<Event>, Unreadable>) -> &'static str {
    match read {
        Err(Unreadable::Field { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_no_broker_writes_is_refused() {
    type Spoil = fn(&mut wire::Reserved);
    let table: [(&str, Spoil); 15] = [
        ("segments", |it| it.segments.clear()),
        ("segments", |it| it.segments[0].way = 2),
        ("segments", |it| it.segments[2].start_ms = 10_999),
        ("segments", |it| it.segments[1].amounts_bps.truncate(1)),
        ("segments", |it| it.source = "storage/swift".into()),
        ("segments", |it| it.lanes.push("links/l/forward".into())),
        ("segments", |it| it.start_ms = 999),
        ("end_ms", |it| it.segments[0].end_ms = 1_000),
        ("rate_bps", |it| it.segments[0].rate_bps = u64::MAX),
        ("source", |it| it.ways[0].source.clear()),
        ("path", |it| it.ways[1].path = Some(256)),
        ("priority", |it| it.priority = 10),
        ("destination", |it| it.promise.as_mut().unwrap().destination.clear()),
        ("volume_bytes", |it| volume_of(it).volume_bytes = 0),
        ("max_bps", |it| volume_of(it).min_bps = 4_000_000_001),
    ];
    for (named, spoil) in table {
        assert_eq!(field(changed(spoil)), named);
    }
    let unknown = changed(|it| it.promise.as_mut().unwrap().what = None);
    assert!(matches!(unknown, Err(Unreadable::Unknown)), "{unknown:?}");
}

fn volume_of(reserved: &mut wire::Reserved) -> &mut wire::PromisedVolume {
    match &mut reserved.promise.as_mut().unwrap().what {
        Some(wire::promise::What::Volume(volume)) => volume,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_move_that_no_broker_writes_is_refused() {
    let moved = |change: fn(&mut wire::Moved)| {
        let mut batch = wire::Batch::decode(encode(&events()[3..4]).as_slice()).unwrap();
        let Some(wire::event::Change::Moved(moved)) = &mut batch.events[0].change else {
            unreachable!()
        };
        change(moved);
        decode(&batch.encode_to_vec())
    };
    assert_eq!(moved(|_| {}).unwrap(), events()[3..4]);
    assert_eq!(field(moved(|it| it.from_ms = 1_001)), "segments");
    assert_eq!(field(moved(|it| it.segments.clear())), "segments");
    assert_eq!(field(moved(|it| it.id.clear())), "id");
    for why in [0, 99, -1] {
        let spoilt = match why {
            0 => moved(|it| it.why = 0),
            99 => moved(|it| it.why = 99),
            _ => moved(|it| it.why = -1),
        };
        assert!(matches!(spoilt, Err(Unreadable::Unknown)), "{spoilt:?}");
    }
}

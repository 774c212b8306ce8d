//! The form of a snapshot is pinned to the byte, as that of events is.

use super::super::tests::{
    all_of_a_class, all_of_a_quota, all_overuses, all_rules, at, between, name, single, spec,
};
use super::*;
use tidegate_core::{
    Changed, CloseWhy, Kept, Limits, Machine, Overuse, Owner, Plan, PolicyChanges, Reason, Route,
    Standing, Terms, Victim, Whose,
};
use tidegate_policy::{
    BitRate, ClassId, Classes, Interval, Limit, MaintenanceId, Period, Project, ProjectId, Quota,
    ReservationId, Resource, SessionId, Span,
};

/// What operators did to the network, and who lost by it.
fn network(reservation: ReservationId) -> (Losses, Resource, Vec<Maintenance>) {
    let victim = Victim {
        reservation,
        session: None,
        lane: LaneName::new("links/l/forward"),
        lost: at(4_000),
        end: at(61_000),
    };
    let losses = Losses { victims: vec![victim], count: 1, ..Losses::default() };
    let link = Resource::Link(name("l"));
    let window = |number, ended| Maintenance {
        id: MaintenanceId::from_u128(number),
        resource: link.clone(),
        over: Interval::new(at(50_000), at(90_000)).unwrap(),
        left_ppm: 250_000,
        comment: "new optics".into(),
        created: at(4_000),
        ended,
    };
    (losses, link.clone(), vec![window(4, None), window(5, Some(at(4_500)))])
}

/// The rest of a plan, since it was changed.
fn changed(route: Route) -> Plan {
    let rest = Interval::new(at(1_500), at(61_000)).unwrap();
    single(route, "storage/swift/read").within(rest)
}

/// A promise with everything about it that there was before there were plans.
fn confirmed() -> Reservation {
    Reservation {
        id: ReservationId::from_u128(0x019a_a7e0_8000_7000_8000_0000_0000_0001),
        owner: ProjectId::default_project().into(),
        plan: changed(between(vec![name("h")])),
        promise: None,
        standing: Standing::default(),
        terms: Terms { shared: true, streams: 8 },
        interval: Interval::new(at(1_000), at(61_000)).unwrap(),
        from: at(1_500),
        session: Some(SessionId::from_u128(2)),
        borrowed: false,
        despite: None,
        kept: vec![Kept {
            lane: LaneName::new("storage/swift/read"),
            over: Interval::new(at(1_500), at(9_000)).unwrap(),
            amount: 7,
        }],
        curtailed: true,
        last_move: None,
        revision: 3,
        plan_version: 2,
        metered: ByteCount::new(77),
        created: at(999),
        created_by: Some(RequestId::from_u128(3)),
        state: State::Confirmed,
    }
}

/// A state with everything in it that there is.
fn one_of_all() -> Image {
    let confirmed = confirmed();
    let ending = |number: u128, state| Reservation {
        id: ReservationId::from_u128(number),
        created_by: None,
        session: None,
        plan: changed(Route::Lanes(vec![LaneName::new("storage/swift/read")])),
        kept: vec![],
        state,
        ..confirmed.clone()
    };
    let closed = State::Closed {
        why: CloseWhy::Released,
        at: at(2_000),
        free_from: at(3_000),
        used: ByteCount::new(12),
    };
    let session = |number, state| Session {
        id: SessionId::from_u128(number),
        agent: name("compute-1"),
        created: at(500),
        state,
    };
    let change = |before, after| LaneChange { lane: LaneName::new("links/l/total"), before, after };
    let answer = |number, outcome| Answered {
        id: RequestId::from_u128(number),
        fingerprint: [9; 32],
        outcome,
        at: at(998),
    };
    let changes = vec![change(None, Some(1)), change(Some(0), None)];
    let (losses, link, maintenances) = network(confirmed.id);
    Image {
        clock: at(5_000),
        topology: spec(),
        topology_version: 7,
        reservations: vec![
            ending(8, State::Held { until: at(31_000) }),
            ending(9, closed),
            confirmed.clone(),
        ],
        sessions: vec![
            session(2, SessionState::Open),
            session(3, SessionState::Closed { at: at(501) }),
            session(4, SessionState::Lost { at: at(502) }),
        ],
        answers: vec![
            answer(3, Outcome::Reservation(confirmed.id)),
            answer(4, Outcome::Session(SessionId::from_u128(2))),
            answer(5, Outcome::Topology { version: 7, changes, losses: losses.clone() }),
            answer(6, Outcome::Maintenance(MaintenanceId::from_u128(4), losses)),
            answer(7, Outcome::Drain(link.clone())),
            answer(8, Outcome::Undrain(link.clone())),
        ],
        maintenances,
        drained: vec![link],
        projects: vec![],
        classes: Classes::default().iter().cloned().collect(),
        rules: vec![],
        policy_version: 0,
        spent: vec![],
    }
}

fn governed(called: &str, parent: Option<&str>) -> Project {
    Project {
        id: ProjectId(name(called)),
        parent: parent.map(|parent| ProjectId(name(parent))),
        labels: [("team".to_owned(), called.to_owned()), ("a".into(), "b".into())].into(),
        quota: Quota {
            rate: BitRate::from_bps(5),
            reservations: Some(0),
            rate_each: None,
            duration_each: Span::from_ms(1),
            horizon: Some(Span::MAX),
            ..Quota::default()
        },
    }
}

/// The same with projects.
fn with_projects() -> Image {
    let projects = vec![governed("lab", None), governed("vision", Some("lab"))];
    let changed = vec![Changed { before: None, after: projects.last().cloned() }];
    let changes = PolicyChanges { projects: changed, ..PolicyChanges::default() };
    let overuse = Overuse {
        whose: Whose::Project(ProjectId(name("lab"))),
        what: Limit::DurationEach,
        of: None,
        limit: 1,
        used: 2,
        until: at(998),
    };
    let mut image = Image { projects, policy_version: 3, ..one_of_all() };
    image.answers.push(Answered {
        id: RequestId::from_u128(9),
        fingerprint: [9; 32],
        outcome: Outcome::Policy { version: 3, changes, overuses: vec![overuse] },
        at: at(998),
    });
    image
}

/// The same with other classes, and everything that a quota can say.
fn with_classes() -> Image {
    let (classes, changes) = (all_of_a_class(), Vec::new());
    let lab = Project { quota: all_of_a_quota(), ..governed("lab", None) };
    let changed = vec![Changed { before: None, after: classes.first().cloned() }];
    let changes = PolicyChanges { projects: changes, classes: changed, rules: vec![] };
    let mut image = with_projects();
    image.projects[0] = lab;
    image.classes = classes;
    image.answers.push(Answered {
        id: RequestId::from_u128(10),
        fingerprint: [9; 32],
        outcome: Outcome::Policy { version: 3, changes, overuses: all_overuses() },
        at: at(998),
    });
    let standing =
        Standing { priority: 3, preemptible: true, ratio: "1:1.5".parse().unwrap(), weight: 7 };
    let principal = Some("ann@example.org".parse().unwrap());
    let labels = [("run".to_owned(), "7".to_owned())].into();
    let class = Some(ClassId(name("silver")));
    image.reservations[2].owner =
        Owner { principal, class, labels, ..image.reservations[2].owner.clone() };
    image.reservations[2].standing = standing;
    image
}

/// The same with rules, and what was spent of budgets.
fn with_rules() -> Image {
    let (lab, ann) = (ProjectId(name("lab")), "ann@example.org".parse().unwrap());
    let over = Interval::new(at(0), at(86_400_000)).unwrap();
    let day = |whose| ((whose, Period::Day, over), u128::MAX - 7);
    let spent = [Whose::Project(lab.clone()), Whose::Principal(lab, ann)].map(day);
    let mut image = Image { rules: all_rules(), spent: spent.into(), ..with_classes() };
    image.reservations[2].borrowed = true;
    image.reservations[1].despite = Some(Reason::NoPath);
    image
}

#[test]
fn projects_read_back_as_they_were() {
    for image in [with_projects(), with_classes(), with_rules()] {
        let read = decode(&encode(&image)).unwrap();
        assert_eq!(read, image);
        let machine = Machine::from_image(Limits::default(), read).unwrap();
        assert_eq!(machine.image(), image);
    }
}

#[test]
fn a_state_of_before_classes_has_those_that_are_shipped() {
    let none = Image { classes: vec![], ..one_of_all() };
    assert_eq!(decode(&encode(&none)).unwrap().classes, []);
    let ledger = wire::Ledger { format: IMAGE_FORM, ..wire::Ledger::default() };
    let ledger = wire::Ledger { topology: Some(convert::topology::to_wire(&spec(), 1)), ..ledger };
    let old = wire::Piece { piece: Some(Kind::Ledger(ledger)) }.encode_length_delimited_to_vec();
    let shipped: Vec<_> = Classes::default().iter().cloned().collect();
    assert_eq!(decode(&old).unwrap().classes, shipped);
}

#[test]
fn every_state_reads_back_as_it_was() {
    let image = one_of_all();
    let read = decode(&encode(&image)).unwrap();
    assert_eq!(read, image);
    let machine = Machine::from_image(Limits::default(), read).unwrap();
    assert_eq!(machine.into_image(), image);
    let empty = Machine::new(Limits::default()).into_image();
    assert_eq!(decode(&encode(&empty)).unwrap(), empty);
    assert_ne!(digest(&encode(&empty)), digest(&encode(&image)));
}

#[test]
fn the_bytes_are_those_of_every_version_before() {
    for (image, golden) in [
        (one_of_all(), include_str!("../../tests/golden/snapshot-1.hex")),
        (with_projects(), include_str!("../../tests/golden/snapshot-3.hex")),
        (with_classes(), include_str!("../../tests/golden/snapshot-4.hex")),
        (with_rules(), include_str!("../../tests/golden/snapshot-5.hex")),
    ] {
        let hex: String = encode(&image).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden.split_whitespace().collect::<String>());
    }
}

#[test]
fn what_is_not_whole_or_of_a_later_version_is_refused() {
    let bytes = encode(&one_of_all());
    for length in 0..bytes.len() {
        assert!(decode(&bytes[..length]).is_err(), "cut to {length} bytes it was read");
    }
    let piece = |kind| wire::Piece { piece: kind }.encode_length_delimited_to_vec();
    let unknown = [bytes.clone(), piece(None)].concat();
    assert!(matches!(decode(&unknown), Err(Unreadable::Unknown)));
    let again = [bytes.clone(), bytes.clone()].concat();
    assert!(matches!(decode(&again), Err(Unreadable::Field { field: "ledger", .. })));
    let later = wire::Ledger { format: 2, ..wire::Ledger::default() };
    let later = piece(Some(Kind::Ledger(later)));
    assert!(matches!(decode(&later), Err(Unreadable::Form { found: 2, known: 1 })));
    let mut giant = Vec::new();
    prost::encode_length_delimiter(MAX_BATCH_BYTES + 1, &mut giant).unwrap();
    giant.resize(MAX_BATCH_BYTES + 64, 0);
    assert!(matches!(decode(&giant), Err(Unreadable::Field { field: "piece", .. })));
    let headless = piece(Some(Kind::Session(wire::KeptSession::default())));
    assert!(matches!(decode(&headless), Err(Unreadable::Field { field: "ledger", .. })));
}

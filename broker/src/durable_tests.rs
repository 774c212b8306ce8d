//! The durable form is pinned to the byte: a change here is a change of every journal out there.

use super::network::tests::{moves, network};
use super::*;
use tidegate_core::topology::spec::{
    Capacity, Framing, HostSpec, LinkSpec, NicSpec, Node, RouteSpec, StorageSpec,
};
use tidegate_core::{Changed, Losses, Overuse, Owner, PolicyChanges, TopologySpec, Whose};
use tidegate_policy::{
    Budget, Class, ClassId, Each, Effect, Headroom, Limit, Mark, MarkKind, Name, Part, Period,
    Project, ProjectId, Quota, Rule, RuleId, Share, Span,
};

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
            tier: None,
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
        owner: ProjectId::default_project().into(),
        plan: single(between(vec![name("h")]), "storage/swift/read"),
        promise: None,
        standing: Standing::default(),
        terms: Terms::default(),
        hold_until: Some(at(31_000)),
        session: Some(session),
        borrowed: false,
        despite: None,
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
        owner: ProjectId::default_project().into(),
        plan: single(
            Route::Between { source, destination, via, path: Some(2), steers },
            "links/l/forward",
        ),
        promise: None,
        standing: Standing::default(),
        terms: Terms { shared: true, streams: 8 },
        hold_until: None,
        session: None,
        borrowed: false,
        despite: None,
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
        despite: None,
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

/// What administrators do.
fn policy() -> Vec<Event> {
    let lab = ProjectId(name("lab"));
    let quota = Quota {
        rate: Some(rate("5Gbit")),
        reservations: Some(0),
        rate_each: None,
        duration_each: Span::from_ms(1),
        horizon: Some(Span::MAX),
        ..Quota::default()
    };
    let labels = [("team".to_owned(), "lab".to_owned()), ("a".into(), "b".into())].into();
    let parent = Some(ProjectId::default_project());
    let after = Project { id: lab.clone(), parent, labels, quota };
    let before = Project::new(lab.clone());
    let (what, until) = (Limit::Rate, at(50_000));
    let overuse = Overuse { whose: Whose::Project(lab), what, of: None, limit: 7, used: 8, until };
    let projects = vec![
        Changed { before: Some(before), after: None },
        Changed { before: None, after: Some(after) },
    ];
    let changes = PolicyChanges { projects, ..PolicyChanges::default() };
    marked([Change::PolicyApplied { version: 2, changes, overuses: vec![overuse] }])
}

/// Everything that a quota can say.
pub(super) fn all_of_a_quota() -> Quota {
    let share =
        |of: &str, part: &str| Share { of: of.parse().unwrap(), part: part.parse().unwrap() };
    let budget = |period, bytes| Budget { period, bytes: ByteCount::new(bytes) };
    Quota {
        rate: Some(rate("5Gbit")),
        reservations: Some(1),
        rate_each: Some(rate("0bit")),
        duration_each: Span::from_ms(1),
        horizon: Some(Span::MAX),
        shares: vec![share("network", "12.5%"), share("storage/swift-*", "0%")],
        principals: Some(u32::MAX),
        each: Each {
            rate: Some(rate("1Gbit")),
            reservations: Some(0),
            shares: vec![share("all", "100%")],
            budgets: vec![budget(Period::Month, 7)],
        },
        budgets: vec![budget(Period::Day, 0), budget(Period::Week, 1 << 60)],
        weekly: vec![("mon-fri 08:00-18:00".parse().unwrap(), rate("1Gbit"))],
        overrides: vec![(Interval::new(at(1), at(90_000)).unwrap(), rate("0bit"))],
        zone: "Europe/Berlin".parse().unwrap(),
        ..Quota::default()
    }
}

/// A class of which nothing is said, and one of which everything is.
pub(super) fn all_of_a_class() -> Vec<Class> {
    let plain = Class::new(ClassId(name("plain")));
    let silver = Class {
        ratio: "1:1.5".parse().unwrap(),
        weight: 1000,
        priority: 9,
        preemptible: true,
        lane_share: Some(Part::ALL),
        headroom: Some(Headroom { part: "10%".parse().unwrap(), longest: "10m".parse().unwrap() }),
        no_show_grace: Span::from_ms(1),
        hold_for: Some(Span::from_secs(30)),
        projects: [ProjectId(name("lab"))].into(),
        tiers: [name("ssd"), name("hdd")].into(),
        ..Class::new(ClassId(name("silver")))
    };
    vec![plain, silver]
}

/// An overuse of each kind, of everybody who can have one.
pub(super) fn all_overuses() -> Vec<Overuse> {
    let (lab, ann) = (ProjectId(name("lab")), "ann@example.org".parse().unwrap());
    let of = Some(LaneName::new("links/l/forward"));
    let over = |whose, what, of| Overuse { whose, what, of, limit: 7, used: 8, until: at(50_000) };
    vec![
        over(Whose::Project(lab.clone()), Limit::Share, of.clone()),
        over(Whose::Project(lab.clone()), Limit::Principals, None),
        over(Whose::Principal(lab.clone(), ann), Limit::Reservations, None),
        over(Whose::Class(ClassId(name("silver"))), Limit::Share, of),
        over(Whose::Project(lab.clone()), Limit::Budget(Period::Day), None),
        over(Whose::Project(lab.clone()), Limit::Budget(Period::Week), None),
        over(Whose::Project(lab), Limit::Budget(Period::Month), None),
    ]
}

/// What came with classes.
fn classes() -> Vec<Event> {
    let lab = Project { quota: all_of_a_quota(), ..Project::new(ProjectId(name("lab"))) };
    let mut classes = all_of_a_class().into_iter();
    let changes = PolicyChanges {
        projects: vec![Changed { before: Some(Project::new(lab.id.clone())), after: Some(lab) }],
        classes: vec![
            Changed { before: classes.next(), after: None },
            Changed { before: None, after: classes.next() },
        ],
        rules: vec![],
    };
    let reserved = Reserved {
        id: ReservationId::from_u128(7),
        owner: Owner {
            project: ProjectId::default_project(),
            principal: Some("ann@example.org".parse().unwrap()),
            class: Some(ClassId(name("silver"))),
            labels: [("run".to_owned(), "7".to_owned()), ("a".into(), "".into())].into(),
        },
        plan: single(between(vec![]), "storage/swift/read"),
        promise: None,
        standing: Standing { ratio: "1:1.5".parse().unwrap(), weight: 7, ..Standing::default() },
        terms: Terms { shared: true, streams: 1 },
        hold_until: None,
        session: None,
        borrowed: false,
        despite: None,
    };
    // One of nobody in particular but somebody.
    let owner =
        Owner { principal: Some("bob".parse().unwrap()), ..ProjectId::default_project().into() };
    let plain = Reserved { owner, standing: Standing::default(), ..reserved.clone() };
    let mut tiered = spec();
    tiered.storage[0].tier = Some(name("ssd"));
    marked([
        Change::PolicyApplied { version: 3, changes, overuses: all_overuses() },
        Change::Reserved(Box::new(reserved)),
        Change::Reserved(Box::new(plain)),
        Change::TopologyApplied { spec: Box::new(tiered), version: 9, losses: Losses::default() },
    ])
}

/// A rule of each effect.
pub(super) fn all_rules() -> Vec<Rule> {
    let effects = [
        Effect::Deny { message: "no".into() },
        Effect::Cap { rate: rate("1Gbit") },
        Effect::Class(ClassId(name("silver"))),
        Effect::Priority(0),
    ];
    let rule = |(number, then): (usize, Effect)| Rule {
        id: RuleId(name(&format!("r{number}"))),
        when: format!("request.streams > {number}"),
        then,
        shadow: number == 3,
        comment: if number == 1 { "why".into() } else { String::new() },
    };
    effects.into_iter().enumerate().map(rule).collect()
}

/// What came with rules, lending and observing.
fn rules() -> Vec<Event> {
    let lends = Quota { lend: Some(rate("1Gbit")), ..all_of_a_quota() };
    let lends = Quota { borrow: Some(rate("0bit")), pool: Some(rate("5Gbit")), ..lends };
    let lab = Project { quota: lends, ..Project::new(ProjectId(name("lab"))) };
    let mut rules = all_rules().into_iter();
    let first = Changed { before: rules.next(), after: None };
    let others = rules.map(|rule| Changed { before: None, after: Some(rule) });
    let changes = PolicyChanges {
        projects: vec![Changed { before: None, after: Some(lab) }],
        classes: vec![],
        rules: [first].into_iter().chain(others).collect(),
    };
    let reserved = Reserved {
        id: ReservationId::from_u128(8),
        owner: ProjectId::default_project().into(),
        plan: single(between(vec![]), "storage/swift/read"),
        promise: None,
        standing: Standing::default(),
        terms: Terms { shared: false, streams: 1 },
        hold_until: None,
        session: None,
        borrowed: true,
        despite: None,
    };
    let observed =
        Reserved { borrowed: false, despite: Some(Reason::RuleDenied), ..reserved.clone() };
    marked([
        Change::PolicyApplied { version: 4, changes, overuses: vec![] },
        Change::Reserved(Box::new(reserved)),
        Change::Reserved(Box::new(observed)),
    ])
}

#[test]
fn every_event_reads_back_as_it_was() {
    let before = [one_of_each(), one_of_each_since(), network(), policy(), classes(), rules()];
    for events in before.into_iter().chain([moves()]) {
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
        (classes(), include_str!("../tests/golden/events-6.hex")),
        (rules(), include_str!("../tests/golden/events-7.hex")),
        (moves(), include_str!("../tests/golden/events-8.hex")),
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

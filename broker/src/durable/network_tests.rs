//! What operators do to the network, as events whose form is pinned with that of all others.

use tidegate_core::event::Event;
use tidegate_core::topology::spec::{BundleSpec, Node, SteeringHow, SteeringSpec, StorageSpec};
use tidegate_core::{CloseWhy, Modified, Reason};
use tidegate_policy::{ByteCount, Interval, Mark, MarkKind, ReservationId, Resource, SessionId};

use super::super::tests::{at, marked, name, rate, spec};
use super::*;

/// What operators do to the network.
pub(crate) fn network() -> Vec<Event> {
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
    let losses = Losses { victims: vec![victim, unbound], count: 3, ..Losses::default() };
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

/// Who moves out of the way of a change, and a change that was only observed.
pub(crate) fn moves() -> Vec<Event> {
    let id = ReservationId::from_u128(1);
    let session = Some(SessionId::from_u128(2));
    let (from, end, old_end) = (at(50_000), at(90_000), at(80_000));
    let moved = Move { reservation: id, session, from, end, old_end };
    let moves = vec![moved.clone(), Move { session: None, ..moved }];
    let losses = Losses { moves, move_count: 7, ..Losses::default() };
    let (booked, kept, despite) = (Vec::new(), Vec::new(), Some(Reason::NoHeadroom));
    let (rate, interval) = (rate("1Gbit"), Interval::new(at(1_000), at(51_000)).unwrap());
    let modified = Modified { id, rate, interval, from: at(9_000), booked, kept, despite };
    marked([
        Change::TopologyApplied { spec: Box::new(spec()), version: 7, losses },
        Change::Modified(Box::new(modified)),
    ])
}

//! What operators do to the network, over the wire: losses are told before they are made, and
//! drains and maintenance outlive the process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use support::{GBIT, Served, create, request_id, topology};
use tidegate_broker::Config;
use tidegate_broker::config::JournalPlace;
use tidegate_client::operator::{Care, MaintenanceAsk};
use tidegate_client::steer::SteeredBy;
use tidegate_client::topology::ChangeKind;
use tidegate_client::{Client, ClientError};
use tidegate_policy::{Span, Timestamp};
use tidegate_proto::v1;

fn client(served: &Served) -> Client {
    Client::connect(&served.address()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn losses_are_told_before_they_are_made() {
    let served = Served::in_memory().await;
    served.clients.apply(topology(10 * GBIT)).await;
    let client = client(&served);
    let made = served.clients.create(create(6 * GBIT, 3_600_000)).await;
    let session = served.clients.open("agent").await.name;
    let bound = v1::CreateReservationRequest { session, ..create(3 * GBIT, 3_600_000) };
    let bound = served.clients.create(bound).await;

    let smaller = topology(7 * GBIT);
    let dry = Care { validate_only: true, accept_losses: false };
    let told = client.apply_topology_with(smaller.clone(), dry).await.unwrap();
    assert_eq!(told.losses.count, 1);
    assert_eq!(told.losses.victims[0].reservation.to_string(), bound.name);
    assert!(told.losses.victims[0].session.is_some());
    let refused = client.apply_topology(smaller.clone(), false).await.unwrap_err();
    let ClientError::LanesInUse { why, lanes } = &refused else { panic!("{refused}") };
    assert_eq!(lanes[0].lane, "links/spine/forward");
    assert!(why.contains("links/spine/forward would keep"), "{why}");
    assert!(why.contains("would be lost"), "{why}");

    let accepted = Care { validate_only: false, accept_losses: true };
    let done = client.apply_topology_with(smaller.clone(), accepted).await.unwrap();
    assert_eq!(done.losses.victims[0].reservation, told.losses.victims[0].reservation);
    assert_eq!((done.version, &done.changes), (2, &told.changes));
    let lost = served.clients.get(&bound.name).await;
    assert_eq!(lost.close_reason(), v1::CloseReason::CapacityLost);
    assert_eq!(served.clients.get(&made.name).await.state(), v1::reservation::State::Confirmed);

    // The same once more is no new version, and another shape is told.
    let again = client.apply_topology(smaller.clone(), false).await.unwrap();
    assert_eq!((again.version, again.changes.len()), (2, 0));
    let mut reshaped = smaller;
    reshaped.links[0].cost = 7;
    let done = client.apply_topology(reshaped, false).await.unwrap();
    assert!(done.changes.iter().all(|change| change.kind == ChangeKind::Reshaped));
    assert_eq!((done.version, done.changes.len()), (3, 2));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_moves_is_told_before_it_does() {
    let served = Served::in_memory().await;
    served.clients.apply(topology(10 * GBIT)).await;
    let client = client(&served);
    let session = served.clients.open("agent").await.name;
    let now = served.clients.info().await.now.unwrap().seconds;
    let at = |seconds| Some(prost_types::Timestamp { seconds: now + seconds, nanos: 0 });
    // Nearly an hour of the whole link, within two.
    let transfer = v1::Transfer {
        volume_bytes: 4_000_000_000_000,
        max_bps: 10 * GBIT,
        start_time: at(3600),
        deadline: at(3 * 3600),
        ..v1::Transfer::default()
    };
    let shape = Some(v1::create_reservation_request::Shape::Transfer(transfer));
    let asked = v1::CreateReservationRequest { shape, ..create(GBIT, 3_600_000) };
    let bound = v1::CreateReservationRequest { session, movable: true, ..asked };
    let bound = served.clients.create(bound).await;

    let smaller = topology(8 * GBIT);
    let dry = Care { validate_only: true, accept_losses: false };
    let told = client.apply_topology_with(smaller.clone(), dry).await.unwrap().losses;
    assert_eq!((told.count, told.move_count), (0, 1));
    let moved = &told.moves[0];
    assert_eq!(moved.reservation.to_string(), bound.name);
    assert!(moved.session.is_some() && moved.from < moved.end && moved.old_end < moved.end);
    assert_eq!(served.clients.get(&bound.name).await.plan_version, bound.plan_version);

    let done = client.apply_topology(smaller, false).await.unwrap();
    assert_eq!(done.losses.moves[0].reservation, moved.reservation);
    let after = served.clients.get(&bound.name).await;
    assert_eq!(after.plan_version, bound.plan_version + 1);
    assert_eq!(after.state(), v1::reservation::State::Confirmed);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drains_and_maintenance_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let config = || Config::ephemeral(JournalPlace::Directory(folder.path().into()));
    let served = Served::start(config()).await;
    served.clients.apply(topology(10 * GBIT)).await;
    let made = served.clients.create(create(GBIT, 3_600_000)).await;
    let operator = client(&served);
    let resource = "links/spine".parse().unwrap();
    let drained = operator.drain(&resource, false).await.unwrap();
    assert_eq!(drained.lanes, ["links/spine/forward", "links/spine/reverse"]);
    assert_eq!(drained.reservations[0].to_string(), made.name);
    assert!(drained.empty.is_some());
    let info = operator.server_info().await.unwrap();
    let hour = Span::from_secs(3600);
    let start: Timestamp = info.now.plus(hour).plus(hour);
    let mut windows = Vec::new();
    for left_ppm in [900_000, 500_000, 0] {
        let ask = MaintenanceAsk {
            resource: resource.clone(),
            start: Some(start),
            end: start.plus(hour),
            left_ppm,
            comment: "new optics".into(),
        };
        let (window, losses) = operator.create_maintenance(&ask, Care::default()).await.unwrap();
        assert_eq!(losses.count, 0);
        windows.push(window);
    }
    operator.delete_maintenance(windows[2].id, false).await.unwrap();
    served.stop().await;

    let served = Served::start(config()).await;
    let operator = client(&served);
    let first = operator.list_maintenances(1, "").await.unwrap();
    let rest = operator.list_maintenances(0, &first.next_page_token).await.unwrap();
    assert_eq!([first.items, rest.items].concat(), windows[..2]);
    assert_eq!(rest.next_page_token, "");
    let over = tidegate_policy::Interval::new(start, start.plus(hour)).unwrap();
    let lanes = operator.list_lanes(Some(over)).await.unwrap();
    let lane = lanes.iter().find(|lane| lane.name == "links/spine/forward").unwrap();
    assert!(lane.drained);
    assert_eq!(lane.left.bps(), lane.capacity.bps() / 2);
    let request = create(GBIT, 60_000);
    let refused = served.clients.reservations.clone().create_reservation(request).await.unwrap();
    let outcome = refused.into_inner().outcome;
    assert!(matches!(outcome, Some(v1::create_reservation_response::Outcome::Refusal(_))));
    let lanes = operator.undrain(&resource, false).await.unwrap();
    assert_eq!(lanes, ["links/spine/forward", "links/spine/reverse"]);
    served.clients.create(create(GBIT, 60_000)).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn steered_paths_are_resolved() {
    let served = Served::in_memory().await;
    let mut steered = topology(10 * GBIT);
    let other = v1::Link { name: "other".into(), cost: 9, ..steered.links[0].clone() };
    steered.links.push(other);
    steered.routes.clear();
    let values = vec!["10".into(), "18".into()];
    let marks = v1::Marks { kind: v1::mark::Kind::Dscp.into(), values };
    steered.steerings.push(v1::Steering {
        from: "switches/east".into(),
        to: "switches/west".into(),
        paths: 2,
        how: Some(v1::steering::How::Marks(marks)),
    });
    served.clients.apply(steered.clone()).await;
    let exported = client(&served).export_topology().await.unwrap();
    assert_eq!(exported.steerings, steered.steerings);
    let (source, destination) =
        ("storage/swift".parse().unwrap(), "hosts/compute-1".parse().unwrap());
    let paths = client(&served).resolve_path(&source, &[], &destination).await.unwrap();
    assert_eq!(paths.iter().map(|path| path.path).collect::<Vec<_>>(), [Some(0), Some(1)]);
    let second: Vec<&str> = paths[1].lanes.iter().map(|lane| lane.lane.as_str()).collect();
    assert_eq!(
        second,
        ["storage/swift/read", "links/other/forward", "hosts/compute-1/nics/eth0/ingress"]
    );
    let SteeredBy::Mark(mark) = &paths[1].steers[0].by else { panic!("{paths:?}") };
    assert_eq!(mark.value(), "18");
    let unknown = request_id();
    let missing = format!("storage/{unknown}").parse().unwrap();
    let error = client(&served).resolve_path(&missing, &[], &destination).await.unwrap_err();
    assert!(matches!(error, ClientError::NotFound { .. }), "{error}");
    served.stop().await;
}

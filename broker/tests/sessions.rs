//! Sessions over the wire, and many who want the same lane at once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use support::{
    Clients, GBIT, Served, beat, confirm, create, eventually, release, request_id, span_ms,
    topology,
};
use tidegate_broker::Config;
use tidegate_broker::config::JournalPlace;
use tidegate_client::clock::BootTime;
use tidegate_policy::Span;
use tidegate_proto::v1;
use tidegate_proto::v1::CloseReason;
use tidegate_proto::v1::create_reservation_response::Outcome;
use tidegate_proto::v1::reservation::State;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

const HOUR_MS: i64 = 3_600_000;

async fn served(link_bps: i64, config: Config) -> Served {
    let served = Served::start(config).await;
    served.clients.apply(topology(link_bps)).await;
    served
}

fn usage(reservation: &str, used_bytes: i64) -> v1::Usage {
    v1::Usage { reservation: reservation.into(), used_bytes, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_beat_is_answered_with_how_its_grants_stand() {
    let served = served(100 * GBIT, Config::ephemeral(JournalPlace::Memory)).await;
    let clients = &served.clients;
    let session = clients.open("agent-1").await.name;
    let bound = |hold_ms: Option<i64>| v1::CreateReservationRequest {
        session: session.clone(),
        hold_for: hold_ms.map(span_ms),
        ..create(GBIT, HOUR_MS)
    };
    let confirmed = clients.create(bound(None)).await.name;
    let held = clients.create(bound(Some(800_000))).await.name;
    let lapsing = clients.create(bound(Some(50))).await.name;
    let given_back = clients.create(bound(None)).await.name;
    let not_ours = clients.create(create(GBIT, HOUR_MS)).await.name;
    let unknown = "projects/default/reservations/019aa7e0-8000-7000-8000-000000000001";
    clients.reservations.clone().release_reservation(release(&given_back)).await.unwrap();
    eventually("the hold lapses", || async {
        Some(clients.get(&lapsing).await).filter(|it| it.state() == State::Closed)
    })
    .await;
    let (beats, sent) = tokio::sync::mpsc::channel(4);
    let stream = ReceiverStream::new(sent);
    let mut answers = clients.sessions.clone().keep_alive(stream).await.unwrap().into_inner();
    let names = [&confirmed, &held, &lapsing, &given_back, &not_ours, unknown];
    let expected = [
        (State::Confirmed, CloseReason::Unspecified),
        (State::Held, CloseReason::Unspecified),
        (State::Closed, CloseReason::Expired),
        (State::Closed, CloseReason::Released),
        (State::Confirmed, CloseReason::Unspecified),
        (State::Closed, CloseReason::Unspecified),
    ];
    for sequence in [1, 2, 40, -7] {
        let usage = names.iter().map(|name| usage(name, 1000)).collect();
        beats.send(v1::KeepAliveRequest { usage, ..beat(&session, sequence) }).await.unwrap();
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!(answer.sequence, sequence);
        assert_eq!(answer.session.as_ref().unwrap().name, session);
        assert_eq!(answer.session.unwrap().state(), v1::session::State::Open);
        let told: Vec<&String> = answer.grants.iter().map(|it| &it.reservation).collect();
        assert_eq!(told, names.to_vec(), "in the order of the beat");
        for (grant, (state, why)) in answer.grants.iter().zip(expected) {
            assert_eq!((grant.state(), grant.close_reason()), (state, why), "{grant:?}");
        }
    }
    assert_eq!(clients.get(&confirmed).await.used_bytes, 1000);
    assert_eq!(clients.get(&not_ours).await.used_bytes, 0, "only its holder reports");
    beats
        .send(v1::KeepAliveRequest { usage: vec![usage(&confirmed, 10)], ..beat(&session, 41) })
        .await
        .unwrap();
    answers.message().await.unwrap().unwrap();
    assert_eq!(clients.get(&confirmed).await.used_bytes, 1000, "it never falls");
    drop(beats);
    assert!(answers.message().await.unwrap().is_none(), "the stream ends with its beats");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_falls_silent_is_lost_with_what_is_bound_to_it() {
    let mut config = Config::ephemeral(JournalPlace::Memory);
    config.session.beat_every = Span::from_ms(50).unwrap();
    config.session.lease = Span::from_ms(400).unwrap();
    config.session.grace = Span::ZERO;
    let served = served(100 * GBIT, config).await;
    let clients = &served.clients;
    let silent = clients.open("silent").await.name;
    let alive = clients.open("alive").await.name;
    let bound = |session: &str| v1::CreateReservationRequest {
        session: session.into(),
        ..create(GBIT, HOUR_MS)
    };
    let (lost, kept) = (bound(&silent), bound(&alive));
    let (lost, kept) = (clients.create(lost).await.name, clients.create(kept).await.name);
    let (clients_alive, session) = (clients.clone(), alive.clone());
    let keeper = tokio::spawn(async move {
        loop {
            clients_alive.beat(beat(&session, 1)).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let closed = eventually("the silent session is lost", || async {
        Some(clients.get(&lost).await).filter(|it| it.state() == State::Closed)
    })
    .await;
    assert_eq!(closed.close_reason(), CloseReason::SessionLost);
    let answer = clients
        .beat(v1::KeepAliveRequest { usage: vec![usage(&lost, 1)], ..beat(&silent, 1) })
        .await;
    assert_eq!(answer.session.unwrap().state(), v1::session::State::Lost);
    assert_eq!(answer.grants[0].close_reason(), CloseReason::SessionLost);
    let status = clients.reservations.clone().create_reservation(bound(&silent)).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    let (name, request_id) = (silent.clone(), request_id());
    let close = v1::CloseSessionRequest { name, request_id, validate_only: false };
    let status = clients.sessions.clone().close_session(close).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    let lanes = clients.lanes(v1::ListResourcesRequest::default()).await;
    let read = lanes.iter().find(|lane| lane.name == "storage/swift/read").unwrap();
    assert_eq!(clients.get(&kept).await.state(), State::Confirmed, "who beats stays");
    assert_eq!(read.booked_bps, GBIT, "what was lost is free again");
    keeper.abort();
    drop(keeper.await);
    let (name, request_id) = (alive, support::request_id());
    let close = v1::CloseSessionRequest { name, request_id, validate_only: false };
    clients.sessions.clone().close_session(close).await.unwrap();
    assert_eq!(clients.get(&kept).await.close_reason(), CloseReason::Released);
    assert_eq!(clients.info().await.open_session_count, 0);
    served.stop().await;
}

/// One who reports that nothing moves loses the grant; one who reports nothing at all, and one
/// under whose grant something moves, do not.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_under_which_nothing_moves_is_taken_back() {
    let mut config = Config::ephemeral(JournalPlace::Memory);
    config.session.beat_every = Span::from_ms(100).unwrap();
    config.session.lease = Span::from_secs(1);
    config.session.grace = Span::from_secs(1);
    config.planning.no_show_grace = Span::from_secs(10);
    let served = served(100 * GBIT, config).await;
    let clients = &served.clients;
    let info = clients.info().await;
    assert_eq!(info.no_show_grace, Some(span_ms(10_000)));
    let [silent, reporting] =
        [clients.open("silent").await.name, clients.open("reporting").await.name];
    let bound = |session: &str, rate| v1::CreateReservationRequest {
        session: session.into(),
        ..create(rate, HOUR_MS)
    };
    let mute = clients.create(bound(&silent, GBIT)).await.name;
    let idle = clients.create(bound(&reporting, 2 * GBIT)).await.name;
    let busy = clients.create(bound(&reporting, 4 * GBIT)).await.name;
    let mut held = bound(&reporting, 8 * GBIT);
    held.hold_for = Some(span_ms(800_000));
    let held = clients.create(held).await.name;
    let from = BootTime::now();
    let says = |moved| v1::KeepAliveRequest {
        usage: vec![usage(&idle, 0), usage(&busy, moved), usage(&held, 0)],
        ..beat(&reporting, 1)
    };
    let heard = eventually("the idle one is taken back", || async {
        clients.beat(beat(&silent, 1)).await;
        let answer = clients.beat(says(1)).await;
        Some(answer.grants[0].clone()).filter(|it| it.state() == State::Closed)
    })
    .await;
    assert_eq!(heard.close_reason(), CloseReason::NoShow, "its holder hears it");
    let waited = BootTime::now().since(from);
    assert!(Duration::from_secs(10) <= waited, "not before: {waited:?}");
    assert_eq!(clients.get(&idle).await.close_reason(), CloseReason::NoShow);
    for (name, why) in [(&mute, "says nothing"), (&busy, "moves bytes"), (&held, "is no promise")] {
        assert_ne!(clients.get(name).await.state(), State::Closed, "{name} {why}");
    }
    let free = eventually("what it had is free once its holder must have stopped", || async {
        clients.beat(beat(&silent, 1)).await;
        clients.beat(says(1)).await;
        let lanes = clients.lanes(v1::ListResourcesRequest::default()).await;
        let read = lanes.into_iter().find(|lane| lane.name == "storage/swift/read").unwrap();
        Some(read.booked_bps).filter(|booked| *booked == 13 * GBIT)
    });
    free.await;
    let counts = |it: &v1::ServerInfo| (it.no_show_count, it.false_no_show_count, it.moved_count);
    assert_eq!(counts(&clients.info().await), (1, 0, 0));
    // Bytes after all: it was no no-show, and that is counted once.
    for moved in [5, 6] {
        let usage = vec![usage(&idle, moved)];
        clients.beat(v1::KeepAliveRequest { usage, ..beat(&reporting, 2) }).await;
    }
    assert_eq!(counts(&clients.info().await), (1, 1, 0));
    assert_eq!(clients.info().await.preempted_count, 0);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_who_want_one_lane_never_get_more_than_it_carries() {
    // 9.7 Gbit/s can be booked: 9 of the 100 get their Gbit/s, whoever they are.
    let served = served(10 * GBIT, Config::ephemeral(JournalPlace::Memory)).await;
    let address = served.address();
    let mut calls = JoinSet::new();
    for index in 0..100 {
        let address = address.clone();
        calls.spawn(async move {
            let clients = Clients::connect(&address).await;
            let mut request = create(GBIT, HOUR_MS);
            request.hold_for = (index % 2 == 0).then(|| span_ms(800_000));
            let answer = clients.reservations.clone().create_reservation(request).await;
            let outcome = answer.unwrap().into_inner().outcome.unwrap();
            if let Outcome::Reservation(it) = &outcome
                && it.state() == State::Held
            {
                let asked = confirm(&it.name);
                clients.reservations.clone().confirm_reservation(asked).await.unwrap();
            }
            outcome
        });
    }
    let mut granted = 0;
    for outcome in calls.join_all().await {
        match outcome {
            Outcome::Reservation(it) => granted += it.rate_bps,
            Outcome::Refusal(no) => {
                assert_eq!(no.reason(), v1::refusal::Reason::NoHeadroom, "{no:?}");
                let blocker = no.blockers.iter().find(|it| it.lane == "links/spine/forward");
                let blocker = blocker.unwrap_or_else(|| panic!("{no:?}"));
                assert_eq!(blocker.limit_bps, 9_700_000_000, "{blocker:?}");
                assert_eq!(blocker.needed_bps, GBIT, "{blocker:?}");
                assert_eq!(blocker.free_bps + blocker.missing_bps, GBIT, "{blocker:?}");
            }
        }
    }
    assert_eq!(granted, 9 * GBIT);
    let lanes = served.clients.lanes(v1::ListResourcesRequest::default()).await;
    let link = lanes.iter().find(|lane| lane.name == "links/spine/forward").unwrap();
    assert_eq!((link.booked_bps, link.capacity_bps), (9 * GBIT, 9_700_000_000));
    served.stop().await;
}

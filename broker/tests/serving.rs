//! What callers may rely on: asking twice does it once, a dry run does nothing, overload and
//! deadlines leave nothing behind, lists are complete, sessions are kept, lanes never overflow.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use support::gated::{Gate, Gated};
use support::raw::{self, Raw};
use support::{
    Clients, GBIT, Served, confirm, create, eventually, release, request_id, span_ms, topology,
};
use tidegate_broker::config::JournalPlace;
use tidegate_broker::journal::MemoryJournal;
use tidegate_broker::{Broker, Config};
use tidegate_proto::v1;
use tidegate_proto::v1::CloseReason;
use tidegate_proto::v1::create_reservation_response::Outcome;
use tidegate_proto::v1::reservation::State;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt;

const HOUR_MS: i64 = 3_600_000;

async fn served(link_bps: i64) -> Served {
    let served = Served::in_memory().await;
    served.clients.apply(topology(link_bps)).await;
    served
}

async fn ask(clients: &Clients, request: &v1::CreateReservationRequest) -> Result<Outcome, Status> {
    let answer = clients.reservations.clone().create_reservation(request.clone()).await?;
    Ok(answer.into_inner().outcome.unwrap())
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// What an answer promises, without what moves with the clock.
fn promise(outcome: &Outcome) -> (String, i32, Vec<v1::Booking>) {
    let Outcome::Reservation(it) = outcome else { panic!("refused: {outcome:?}") };
    (it.name.clone(), it.state, it.bookings.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_twice_does_it_once_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::ephemeral(JournalPlace::Directory(dir.path().join("journal")));
    let served = Served::start(config.clone()).await;
    let first = served.clients.apply(topology(100 * GBIT)).await;
    let confirmed = create(GBIT, HOUR_MS);
    let held =
        v1::CreateReservationRequest { hold_for: Some(span_ms(800_000)), ..create(7, HOUR_MS) };
    let too_much = create(200 * GBIT, HOUR_MS);
    let mut before = Vec::new();
    for request in [&confirmed, &held] {
        let outcome = ask(&served.clients, request).await.unwrap();
        let again = ask(&served.clients, request).await.unwrap();
        assert_eq!(promise(&outcome), promise(&again));
        before.push(promise(&outcome));
    }
    let no = ask(&served.clients, &too_much).await.unwrap();
    assert!(matches!(no, Outcome::Refusal(_)), "{no:?}");
    // A refusal stays one under its id, even when there is room.
    served.clients.apply(topology(1000 * GBIT)).await;
    assert_eq!(ask(&served.clients, &too_much).await.unwrap(), no);
    let other = v1::CreateReservationRequest { parent: "projects/default".into(), ..too_much };
    assert_eq!(ask(&served.clients, &other).await.unwrap_err().code(), Code::AlreadyExists);
    served.stop().await;

    let served = Served::start(config).await;
    for (request, promised) in [&confirmed, &held].into_iter().zip(&before) {
        let again = ask(&served.clients, request).await.unwrap();
        assert_eq!(promise(&again), *promised, "the same after a restart");
        let other =
            v1::CreateReservationRequest { destination: "hosts/relay-1".into(), ..request.clone() };
        let status = ask(&served.clients, &other).await.unwrap_err();
        assert_eq!(status.code(), Code::AlreadyExists, "{status:?}");
        assert_eq!(reason(&status), "REQUEST_ID_REUSED");
    }
    // An id belongs to its method too.
    let request_id = confirmed.request_id.clone();
    let open = v1::OpenSessionRequest { request_id, agent: "a".into(), validate_only: false };
    let status = served.clients.sessions.clone().open_session(open).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    let info = served.clients.info().await;
    assert_eq!((info.live_reservation_count, info.topology_version), (2, 2));
    assert_eq!(first.version, 1);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_change_is_repeated_alike_too() {
    let served = served(100 * GBIT).await;
    let clients = &served.clients;
    let hold =
        v1::CreateReservationRequest { hold_for: Some(span_ms(60_000)), ..create(7, HOUR_MS) };
    let name = clients.create(hold).await.name;
    let mut reservations = clients.reservations.clone();
    let extend = v1::ExtendHoldRequest {
        name: name.clone(),
        request_id: request_id(),
        validate_only: false,
        hold_for: Some(span_ms(600_000)),
        ..Default::default()
    };
    let open = v1::OpenSessionRequest {
        request_id: request_id(),
        agent: "a".into(),
        validate_only: false,
    };
    let apply = v1::ApplyTopologyRequest {
        topology: Some(topology(200 * GBIT)),
        request_id: request_id(),
        validate_only: false,
        ..Default::default()
    };
    let (confirm, release) = (confirm(&name), release(&name));
    let mut seen = Vec::new();
    for _ in 0..2 {
        let extended = reservations.extend_hold(extend.clone()).await.unwrap().into_inner();
        let session = clients.sessions.clone().open_session(open.clone()).await.unwrap();
        let applied = clients.topology.clone().apply_topology(apply.clone()).await.unwrap();
        seen.push((extended.hold_until_time, session.into_inner(), applied.into_inner()));
    }
    assert_eq!(seen[0], seen[1]);
    for _ in 0..2 {
        let done = reservations.confirm_reservation(confirm.clone()).await.unwrap();
        assert_eq!(done.into_inner().state(), State::Confirmed);
    }
    for _ in 0..2 {
        let done = reservations.release_reservation(release.clone()).await.unwrap().into_inner();
        assert_eq!(done.close_reason(), CloseReason::Released);
    }
    let request_id = request_id();
    let close =
        v1::CloseSessionRequest { name: seen[0].1.name.clone(), request_id, validate_only: false };
    for _ in 0..2 {
        let closed = clients.sessions.clone().close_session(close.clone()).await.unwrap();
        assert_eq!(closed.into_inner().state(), v1::session::State::Closed);
    }
    let other = v1::ReleaseReservationRequest { used_bytes: 1, ..release };
    let status = reservations.release_reservation(other).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists, "{status:?}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_answers_and_changes_nothing() {
    let served = served(100 * GBIT).await;
    let clients = &served.clients;
    let hold =
        v1::CreateReservationRequest { hold_for: Some(span_ms(600_000)), ..create(7, HOUR_MS) };
    let held = clients.create(hold).await.name;
    let session = clients.open("agent-1").await.name;
    let before = v1::ServerInfo { now: None, ..clients.info().await };
    let mut reservations = clients.reservations.clone();
    let dry = v1::CreateReservationRequest { validate_only: true, ..create(GBIT, HOUR_MS) };
    let would = clients.create(dry.clone()).await;
    assert!(!would.bookings.is_empty());
    let found = v1::GetReservationRequest { name: would.name };
    assert_eq!(reservations.get_reservation(found).await.unwrap_err().code(), Code::NotFound);
    let dry = v1::ConfirmReservationRequest { validate_only: true, ..confirm(&held) };
    let would = reservations.confirm_reservation(dry).await.unwrap().into_inner();
    assert_eq!(would.state(), State::Confirmed);
    let dry = v1::ReleaseReservationRequest { validate_only: true, ..release(&held) };
    let would = reservations.release_reservation(dry).await.unwrap().into_inner();
    assert_eq!(would.state(), State::Closed);
    let request_id = request_id();
    let dry = v1::CloseSessionRequest { name: session.clone(), request_id, validate_only: true };
    clients.sessions.clone().close_session(dry).await.unwrap();
    let dry = v1::ApplyTopologyRequest {
        topology: Some(topology(GBIT)),
        request_id: support::request_id(),
        validate_only: true,
        ..Default::default()
    };
    let would = clients.topology.clone().apply_topology(dry.clone()).await.unwrap().into_inner();
    assert_eq!(would.changes.len(), 2, "{would:?}");
    assert_eq!(v1::ServerInfo { now: None, ..clients.info().await }, before);
    assert_eq!(clients.get(&held).await.state(), State::Held);
    // A dry run does not use its id up.
    let real = v1::ApplyTopologyRequest { validate_only: false, ..dry };
    clients.topology.clone().apply_topology(real).await.unwrap();
    served.stop().await;
}

/// A broker whose disk answers when the gate is open.
async fn served_behind(gate: &Gate, config: Config) -> Served {
    let journal = Box::new(Gated { journal: MemoryJournal::new(), gate: gate.clone() });
    let served = Served::of(Broker::start_on(journal, config).await.unwrap()).await;
    served.clients.apply(topology(100 * GBIT)).await;
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_sheds_and_says_when_to_ask_again() {
    let mut config = Config::ephemeral(JournalPlace::Memory);
    config.limits.queue = 1;
    let gate = Gate::default();
    let served = served_behind(&gate, config).await;
    gate.shut();
    let mut calls = JoinSet::new();
    for _ in 0..2000 {
        let clients = served.clients.clone();
        calls.spawn(async move { ask(&clients, &create(1, HOUR_MS)).await });
    }
    let (mut granted, mut shed) = (0, 0);
    while let Some(answer) = calls.join_next().await {
        match answer.unwrap() {
            Ok(Outcome::Reservation(_)) => granted += 1,
            Ok(Outcome::Refusal(no)) => panic!("{no:?}"),
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                assert_eq!(reason(&status), "SHED");
                let after = status.get_details_retry_info().unwrap().retry_delay.unwrap();
                assert!(Duration::ZERO < after, "{after:?}");
                shed += 1;
                // The disk is slow no longer than that.
                gate.open();
            }
        }
    }
    assert_eq!(granted + shed, 2000, "every call was answered");
    assert!(0 < granted && 0 < shed, "{granted} granted, {shed} shed");
    let info = served.clients.info().await;
    assert_eq!(info.live_reservation_count, i64::from(granted), "what was shed is not there");
    served.stop().await;
}

/// More than what is decided and not yet durable: past that the writer waits.
const MORE_THAN_WAIT: i64 = 150;

/// A request that is answered late or never, by its own deadline.
async fn ask_in_vain(raw: &Raw, request: &v1::CreateReservationRequest, timeout: &str) {
    use prost_reflect::prost::Message;
    let headers = [raw::GRPC, &[("grpc-timeout", timeout)]].concat();
    let path = raw::path("ReservationService/CreateReservation");
    let status = raw.send(&path, raw::frame(&request.encode_to_vec()), &headers).await.status;
    match (status.code(), reason(&status).as_str()) {
        (Code::DeadlineExceeded, "DEADLINE_PASSED" | "ANSWER_LATE") => {}
        // The transport gives up itself where this process was too busy to answer.
        (Code::Cancelled, _) => {}
        _ => panic!("{status:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_too_late_is_not_granted() {
    let gate = Gate::default();
    let served = served_behind(&gate, Config::ephemeral(JournalPlace::Memory)).await;
    let raw = Raw::new(&served.address());
    // Told apart by their rates.
    let asked: BTreeMap<i64, _> =
        (1..=MORE_THAN_WAIT).map(|rate| (rate, create(rate, HOUR_MS))).collect();
    gate.shut();
    // The first is decided, since it is on its way to the disk, and cannot be answered.
    let first = tokio::spawn({
        let (raw, request) = (raw.clone(), asked[&1].clone());
        async move { ask_in_vain(&raw, &request, "2S").await }
    });
    eventually("it is on its way", async || gate.is_waited_at().then_some(())).await;
    // Then one after another, each answered before the next is asked: so many of them are decided in
    // time as may wait for the disk, and those behind them are not.
    for request in asked.values().skip(1) {
        ask_in_vain(&raw, request, "10m").await;
    }
    first.await.unwrap();
    gate.open();
    // One more decision, after all of those.
    served.clients.create(create(1000, HOUR_MS)).await;
    let all = served.clients.list(true, 1000).await;
    let found: BTreeSet<i64> = all.iter().map(|it| it.rate_bps).filter(|it| *it < 1000).collect();
    println!("{} of {} were decided in time", found.len(), asked.len());
    assert!(found.contains(&1), "what was decided in time is kept");
    assert!(found.len() < asked.len(), "what was too late was granted");
    // Late is only the answer to what was decided in time: asking again tells which it was.
    for (rate, request) in &asked {
        let again = ask(&served.clients, request).await.unwrap();
        let (name, ..) = promise(&again);
        let before = all.iter().find(|it| it.rate_bps == *rate);
        assert!(before.is_none_or(|it| it.name == name), "booked twice: {again:?}");
    }
    assert_eq!(served.clients.list(true, 1000).await.len(), asked.len() + 1);
    served.stop().await;
}

/// A topology of many pages.
fn large() -> v1::Topology {
    let mut large = topology(100 * GBIT);
    large.switches.extend((0..50_000).map(|it| v1::Switch { name: format!("switch-{it}") }));
    large.links.extend((0..50_000).map(|it| v1::Link {
        name: format!("link-{it}"),
        from: format!("switch-{it}"),
        to: "east".into(),
        capacity: support::capacity(GBIT),
        ..v1::Link::default()
    }));
    large
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_complete_and_show_nothing_twice() {
    let served = served(100 * GBIT).await;
    let clients = &served.clients;
    let mut live = BTreeSet::new();
    let mut closed = BTreeSet::new();
    for index in 0..57 {
        let name = clients.create(create(1, HOUR_MS)).await.name;
        if index % 3 == 0 {
            clients.reservations.clone().release_reservation(release(&name)).await.unwrap();
            closed.insert(name);
        } else {
            live.insert(name);
        }
    }
    let all: BTreeSet<String> = live.union(&closed).cloned().collect();
    // Others come and go meanwhile.
    let busy = clients.clone();
    let noise = tokio::spawn(async move {
        loop {
            let name = busy.create(create(1, HOUR_MS)).await.name;
            busy.reservations.clone().release_reservation(release(&name)).await.unwrap();
        }
    });
    for size in [1, 2, 7, 19, 56, 57, 58, 1000, 0] {
        for (show_closed, expected) in [(false, &live), (true, &all)] {
            let shown = clients.list(show_closed, size).await;
            let names: Vec<String> = shown.iter().map(|it| it.name.clone()).collect();
            let set: BTreeSet<String> = names.iter().cloned().collect();
            assert_eq!(set.len(), names.len(), "twice in pages of {size}");
            assert!(expected.is_subset(&set), "missing in pages of {size}");
            assert!(show_closed || set.is_disjoint(&closed), "closed in pages of {size}");
            assert!(names.is_sorted(), "in the order they were made");
        }
    }
    noise.abort();
    drop(noise.await);
    clients.apply(large()).await;
    let whole = clients.lanes(v1::ListResourcesRequest { page_size: 1000, ..<_>::default() }).await;
    assert_eq!(i64::try_from(whole.len()).unwrap(), clients.info().await.lane_count);
    clients.apply(topology(100 * GBIT)).await;
    for page_size in [1, 3, 9, 10, 11, 1000, 0] {
        let lanes = clients.lanes(v1::ListResourcesRequest { page_size, ..<_>::default() }).await;
        let names: Vec<&String> = lanes.iter().map(|lane| &lane.name).collect();
        assert_eq!(names.len(), 10, "two for each of two NICs, a link and two backends: {names:?}");
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "sorted, none twice: {names:?}");
    }
    served.stop().await;
}

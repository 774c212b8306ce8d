//! `/metrics` says what gRPC says, is bounded, and is read by whoever reads Prometheus.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/scrape.rs"]
#[allow(dead_code, reason = "a module of several tests")]
mod scrape;
mod support;

use std::collections::BTreeMap;

use scrape::Scrape;
use support::gated::{Gate, Gated};
use support::{
    Clients, GBIT, Served, at_ms, beat, create, eventually, lab, ms_of, release, span_ms, topology,
};
use tidegate_broker::config::JournalPlace;
use tidegate_broker::journal::MemoryJournal;
use tidegate_broker::{Broker, Config};
use tidegate_proto::v1;

const HOUR_MS: i64 = 3_600_000;

type OfLane = fn(&v1::Lane) -> i64;

/// A number as Prometheus has it.
fn number(value: i64) -> f64 {
    value.to_string().parse().unwrap()
}

/// Bookings of every kind: with a project's quota and without, held, given back, used, on lanes that
/// are drained or in maintenance.
async fn busy(clients: &Clients) {
    clients.apply(topology(100 * GBIT)).await;
    let below = v1::Project { name: "projects/below".into(), ..v1::Project::default() };
    let below = v1::Project { parent: "projects/lab".into(), ..below };
    clients.govern(vec![lab(40 * GBIT), below]).await;
    let session = clients.open("agent-1").await.name;
    let of = |project: &str, rate| v1::CreateReservationRequest {
        parent: project.into(),
        principal: "user:ada".into(),
        ..create(rate, HOUR_MS)
    };
    let bound = v1::CreateReservationRequest { session: session.clone(), ..create(GBIT, HOUR_MS) };
    let used = clients.create(bound).await.name;
    clients.create(of("projects/lab", 2 * GBIT)).await;
    clients.create(of("projects/below", 3 * GBIT)).await;
    let held =
        v1::CreateReservationRequest { hold_for: Some(span_ms(800_000)), ..create(7, HOUR_MS) };
    clients.create(held).await;
    let gone = clients.create(create(GBIT, HOUR_MS)).await.name;
    clients.reservations.clone().release_reservation(release(&gone)).await.unwrap();
    let later = at_ms(ms_of(clients.info().await.now.unwrap()) + HOUR_MS);
    let rigid = v1::Rigid {
        rate_bps: 5 * GBIT,
        start_time: Some(later),
        until: Some(v1::rigid::Until::Duration(span_ms(HOUR_MS))),
    };
    let shape = Some(v1::create_reservation_request::Shape::Rigid(rigid));
    clients.create(v1::CreateReservationRequest { shape, ..create(1, 1) }).await;
    for bytes in [1_000, 501_000_000] {
        let usage = vec![v1::Usage {
            reservation: used.clone(),
            used_bytes: bytes,
            held_back: Some(span_ms(bytes / 1000)),
            ..v1::Usage::default()
        }];
        clients.beat(v1::KeepAliveRequest { usage, ..beat(&session, 1) }).await;
        assert_eq!(clients.get(&used).await.used_bytes, bytes);
        // Two reports of one millisecond say no rate.
        let said = ms_of(clients.info().await.now.unwrap());
        eventually("a while passes", || async {
            (said + 1 < ms_of(clients.info().await.now.unwrap())).then_some(())
        })
        .await;
    }
    let drain = v1::DrainResourceRequest {
        resource: "storage/glance".into(),
        request_id: support::request_id(),
        ..v1::DrainResourceRequest::default()
    };
    clients.topology.clone().drain_resource(drain).await.unwrap();
    let now_s = ms_of(clients.info().await.now.unwrap()) / 1000;
    let window = v1::Maintenance {
        start_time: Some(at_ms(now_s * 1000)),
        ..support::maintenance("links/spine", now_s)
    };
    clients.maintain(window).await;
}

async fn lanes(clients: &Clients) -> BTreeMap<String, v1::Lane> {
    let all = clients.lanes(v1::ListResourcesRequest::default()).await;
    let physical = all.into_iter().filter(|it| !it.name.starts_with("projects/"));
    physical.map(|it| (it.name.clone(), it)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_gauge_is_what_grpc_says() {
    let served = Served::in_memory().await;
    let clients = &served.clients;
    busy(clients).await;
    let scrape = Scrape::of(&served.address()).await;
    let lanes = lanes(clients).await;
    let rows: [(&str, OfLane); 5] = [
        ("tidegate_lane_capacity_bits_per_second", |it| it.capacity_bps),
        ("tidegate_lane_limit_bits_per_second", |it| it.left_bps),
        ("tidegate_lane_booked_bits_per_second", |it| it.booked_bps),
        ("tidegate_lane_used_bits_per_second", |it| it.used_bps),
        ("tidegate_lane_drained", |it| it.drained.into()),
    ];
    for (name, value) in rows {
        let expected: BTreeMap<String, f64> =
            lanes.iter().map(|(lane, it)| (lane.clone(), number(value(it)))).collect();
        assert_eq!(scrape.by_label(name), expected, "{name}");
        assert!(expected.values().any(|it| *it != 0.0), "{name} says something");
    }
    let spine = &lanes["links/spine/forward"];
    assert!(spine.left_bps < spine.capacity_bps, "maintenance is on: {spine:?}");
    let info = clients.info().await;
    let state = |state: &str| scrape.value(&format!("tidegate_reservations{{state=\"{state}\"}}"));
    assert_eq!(state("held") + state("confirmed"), number(info.live_reservation_count));
    assert_eq!((state("held"), state("confirmed"), state("closed")), (1.0, 4.0, 1.0));
    let same = [
        ("tidegate_journal_sequence", info.journal_sequence),
        ("tidegate_topology_version", info.topology_version),
        ("tidegate_sessions_open", info.open_session_count),
        ("tidegate_plans_moved_total", info.moved_count),
        ("tidegate_no_shows_total", info.no_show_count),
        ("tidegate_preempted_total", info.preempted_count),
        ("tidegate_room_not_sought_total", info.room_not_sought_count),
        ("tidegate_observed_total", info.observed_count),
        ("tidegate_lanes", i64::try_from(lanes.len()).unwrap()),
        ("tidegate_lanes_left_out", 0),
        ("tidegate_observing", 0),
        ("tidegate_writer_alive", 1),
    ];
    for (name, value) in same {
        assert_eq!(scrape.value(name), number(value), "{name}");
    }
    assert_eq!(
        scrape.value("tidegate_start_time_seconds") * 1000.0,
        number(ms_of(info.start_time.unwrap()))
    );
    let build = format!("tidegate_build_info{{version=\"{}\",journal=\"memory\"}}", info.version);
    assert_eq!(scrape.value(&build), 1.0);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_have_what_their_policy_says() {
    let served = Served::in_memory().await;
    let clients = &served.clients;
    busy(clients).await;
    let scrape = Scrape::of(&served.address()).await;
    let all = clients.list(false, 1000).await;
    let started = |it: &&v1::Reservation| it.starts_in.is_none_or(|it| it.seconds <= 0);
    let booked = |of: &[&str]| {
        let own = all.iter().filter(started);
        let own = own.filter(|it| of.iter().any(|of| it.name.starts_with(&format!("{of}/"))));
        number(own.map(|it| it.rate_bps).sum())
    };
    let [default, lab, below] = ["projects/default", "projects/lab", "projects/below"];
    let expected = [
        (default.to_owned(), booked(&[default])),
        (lab.to_owned(), booked(&[lab, below])),
        (below.to_owned(), booked(&[below])),
    ];
    let told = scrape.by_label("tidegate_project_booked_bits_per_second");
    assert_eq!(told, BTreeMap::from(expected));
    assert_eq!(told[lab], number(5 * GBIT));
    let live = scrape.by_label("tidegate_project_reservations");
    assert_eq!([live[default], live[lab], live[below]], [3.0, 2.0, 1.0]);
    let request = v1::GetEffectivePolicyRequest { name: lab.into() };
    let policy = clients.policy.clone().get_effective_policy(request).await.unwrap().into_inner();
    let limit = policy.limits.iter().find(|it| it.limit() == v1::Limit::Rate).unwrap();
    let bps = |amount: &Option<v1::Amount>| match amount.as_ref().unwrap().of {
        Some(v1::amount::Of::RateBps(bps)) => number(bps),
        _ => panic!("no rate: {amount:?}"),
    };
    let (allowed, used) = (bps(&limit.allowed), bps(&limit.used));
    assert!(used > 0.0);
    let of_lab = |value| BTreeMap::from([(lab.to_owned(), value)]);
    assert_eq!(scrape.by_label("tidegate_project_rate_limit_bits_per_second"), of_lab(allowed));
    assert_eq!(scrape.by_label("tidegate_project_rate_used_bits_per_second"), of_lab(used));
    // Who asked is nobody's business here.
    let (_, _, text) = scrape::get(&served.address(), "/metrics", "*/*").await;
    assert!(!text.contains("ada"), "{text}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_counted() {
    let served = Served::in_memory().await;
    let clients = &served.clients;
    busy(clients).await;
    let before = Scrape::of(&served.address()).await;
    assert_eq!(before.value("tidegate_used_bytes_total"), 501_000_000.0);
    assert_eq!(before.value("tidegate_held_back_seconds_total"), 501.0);
    assert_eq!(before.value("tidegate_reservations_closed_total{reason=\"RELEASED\"}"), 1.0);
    let refused = |request| async {
        let answer = clients.reservations.clone().create_reservation(request).await.unwrap();
        let outcome = answer.into_inner().outcome.unwrap();
        assert!(matches!(outcome, v1::create_reservation_response::Outcome::Refusal(_)));
    };
    refused(create(101 * GBIT, HOUR_MS)).await;
    refused(create(90 * GBIT, HOUR_MS)).await;
    refused(create(90 * GBIT, HOUR_MS)).await;
    clients.create(create(1, HOUR_MS)).await;
    clients
        .create(v1::CreateReservationRequest { validate_only: true, ..create(1, HOUR_MS) })
        .await;
    let missing = "projects/default/reservations/019aa7e0-8000-7000-8000-000000000001";
    clients.reservations.clone().release_reservation(release(missing)).await.unwrap_err();
    let session = clients.open("agent-2").await.name;
    let close = v1::CloseSessionRequest {
        name: session,
        request_id: support::request_id(),
        validate_only: false,
    };
    clients.sessions.clone().close_session(close).await.unwrap();
    let after = Scrape::of(&served.address()).await;
    let decided = |outcome: &str, reason: &str| {
        format!("tidegate_requests_decided_total{{outcome=\"{outcome}\",reason=\"{reason}\"}}")
    };
    let grown = |key: &str| after.value(key) - before.value(key);
    assert_eq!(grown(&decided("granted", "")), 3.0);
    assert_eq!(grown(&decided("refused", "RATE_ABOVE_CAPACITY")), 1.0);
    assert_eq!(grown(&decided("refused", "NO_HEADROOM")), 2.0);
    assert_eq!(after.value(&decided("failed", "NOT_FOUND")), 1.0);
    assert_eq!(grown("tidegate_sessions_ended_total{reason=\"CLOSED\"}"), 1.0);
    assert_eq!(grown("tidegate_admission_seconds_count"), 8.0);
    assert!(grown("tidegate_admission_seconds_sum") > 0.0);
    assert_eq!(grown("tidegate_journal_append_seconds_count"), grown("tidegate_journal_sequence"));
    assert_eq!(grown("tidegate_journal_batch_events_sum"), 3.0);
    assert!(grown("tidegate_journal_appended_bytes_total") > 0.0);
    served.broker.snapshot().await.unwrap();
    let last = Scrape::of(&served.address()).await;
    assert_eq!(last.value("tidegate_snapshots_total{outcome=\"made\"}"), 1.0);
    assert!(last.value("tidegate_snapshot_bytes") > 0.0);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_are_told_of_up_to_a_bound() {
    for (most, selector, told) in
        [(2, "all", 2), (0, "all", 0), (1000, "storage", 4), (3, "storage", 3), (1000, "all", 10)]
    {
        let mut config = Config::ephemeral(JournalPlace::Memory);
        config.reports.lanes_in_metrics = most;
        config.reports.metrics_selector = selector.parse().unwrap();
        let served = Served::start(config).await;
        busy(&served.clients).await;
        let scrape = Scrape::of(&served.address()).await;
        let all = lanes(&served.clients).await;
        assert_eq!(all.len(), 10);
        let shown = scrape.by_label("tidegate_lane_booked_bits_per_second");
        assert_eq!(shown.len(), told, "{most} {selector}");
        assert!(selector == "all" || shown.keys().all(|it| it.starts_with("storage/")));
        assert_eq!(scrape.value("tidegate_lanes"), 10.0);
        let left = number(i64::try_from(all.len() - told).unwrap());
        assert_eq!(scrape.value("tidegate_lanes_left_out"), left);
        served.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn open_metrics_are_had_by_whoever_asks_for_them() {
    let served = Served::in_memory().await;
    busy(&served.clients).await;
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2";
    let (status, kind, text) = scrape::get(&served.address(), "/metrics", accept).await;
    assert_eq!(status, 200);
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(text.ends_with("\n# EOF\n"), "{text}");
    assert!(
        text.contains("# TYPE tidegate_requests_shed counter\ntidegate_requests_shed_total 0\n")
    );
    assert!(text.contains("# UNIT tidegate_lane_booked_bits_per_second bits_per_second\n"));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_hangs_is_seen() {
    let gate = Gate::default();
    let journal = Box::new(Gated { journal: MemoryJournal::new(), gate: gate.clone() });
    let config = Config::ephemeral(JournalPlace::Memory);
    let served = Served::of(Broker::start_on(journal, config).await.unwrap()).await;
    served.clients.apply(topology(GBIT)).await;
    gate.shut();
    let call = tokio::spawn({
        let clients = served.clients.clone();
        async move { clients.create(create(1, HOUR_MS)).await }
    });
    eventually("it is on its way", async || gate.is_waited_at().then_some(())).await;
    assert_eq!(Scrape::of(&served.address()).await.value("tidegate_writer_alive"), 0.0);
    gate.open();
    call.await.unwrap();
    assert_eq!(Scrape::of(&served.address()).await.value("tidegate_writer_alive"), 1.0);
    served.stop().await;
}

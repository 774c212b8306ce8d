//! What operators are told of the past, the present and the future: at once, to the byte, and after a
//! restart.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use support::{Clients, GBIT, Served, at_ms, beat, create, eventually, release, span_ms, topology};
use tidegate_broker::Config;
use tidegate_broker::config::JournalPlace;
use tidegate_proto::v1;
use tidegate_proto::v1::finding::Kind;
use tidegate_proto::v1::refusal::Reason;

const HOUR_MS: i64 = 3_600_000;
const LINK: &str = "links/spine/forward";

async fn top(clients: &Clients) -> v1::ListTopConsumersResponse {
    let request = v1::ListTopConsumersRequest::default();
    clients.reports.clone().list_top_consumers(request).await.unwrap().into_inner()
}

async fn utilization(
    clients: &Clients,
    request: v1::QueryUtilizationRequest,
) -> v1::QueryUtilizationResponse {
    clients.reports.clone().query_utilization(request).await.unwrap().into_inner()
}

async fn lines(clients: &Clients, request: v1::ExportReservationsRequest) -> String {
    let mut stream =
        clients.reports.clone().export_reservations(request).await.unwrap().into_inner();
    let (mut bytes, mut count) = (Vec::new(), 0);
    while let Some(piece) = stream.message().await.unwrap() {
        bytes.extend(piece.data);
        count += piece.reservation_count;
    }
    let text = String::from_utf8(bytes).unwrap();
    let head = usize::from(request_has_head(&text));
    assert_eq!(i64::try_from(text.lines().count() - head).unwrap(), count);
    text
}

fn request_has_head(text: &str) -> bool {
    text.starts_with("name,")
}

/// One grant that moves bytes, one that nobody reports of, and one that is refused.
async fn three(clients: &Clients, used: i64) -> (String, v1::Reservation) {
    clients.apply(topology(10 * GBIT)).await;
    let session = clients.open("agent-1").await.name;
    let bound = v1::CreateReservationRequest { session: session.clone(), ..create(GBIT, HOUR_MS) };
    let bound = clients.create(bound).await;
    clients.create(create(2 * GBIT, HOUR_MS)).await;
    let too_much = create(9 * GBIT, HOUR_MS);
    let refused = clients.reservations.clone().create_reservation(too_much.clone()).await;
    let again = clients.reservations.clone().create_reservation(too_much).await;
    assert_eq!(refused.unwrap().into_inner(), again.unwrap().into_inner());
    moved(clients, &session, &bound.name, used).await;
    (session, bound)
}

async fn moved(clients: &Clients, session: &str, reservation: &str, used_bytes: i64) {
    let usage =
        vec![v1::Usage { reservation: reservation.into(), used_bytes, ..Default::default() }];
    clients.beat(v1::KeepAliveRequest { usage, ..beat(session, 1) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_reported_at_once() {
    let served = Served::in_memory().await;
    let clients = &served.clients;
    three(clients, 12_345).await;

    let top = top(clients).await;
    let total = top.total.unwrap();
    assert_eq!((total.used_bytes, total.granted_count, total.refused_count), (12_345, 2, 1));
    assert_eq!(top.consumers.len(), 1);
    assert_eq!(top.consumers[0].name, "projects/default");
    assert_eq!(top.consumers[0].consumption, Some(total));

    let asked = v1::QueryUtilizationRequest { selector: LINK.into(), ..Default::default() };
    let told = utilization(clients, asked).await;
    assert_eq!((told.lane_count, told.lanes.len()), (1, 1));
    let now = told.now.unwrap().seconds;
    let lane = &told.lanes[0];
    let at = |it: &v1::UtilizationBucket| it.start_time.unwrap().seconds;
    let bucket = told.bucket.unwrap().seconds;
    let present = lane.buckets.iter().find(|it| at(it) <= now && now < at(it) + bucket).unwrap();
    assert_eq!(present.used_bytes, 12_345);
    let later = lane.buckets.iter().find(|it| now < at(it)).unwrap();
    assert_eq!(later.booked_bps, later.peak_bps, "it stands through all of it");
    assert_eq!(later.headroom_bps, later.capacity_bps - later.peak_bps);
    assert!(3 * GBIT <= later.booked_bps && later.booked_bps < 4 * GBIT, "{later:?}");
    let before = &lane.buckets[0];
    assert!(before.unknown && before.capacity_bps == 0, "the broker was not there: {before:?}");
    assert!(!later.unknown);

    let request = v1::AggregateRefusalsRequest::default();
    let refusals = clients.reports.clone().aggregate_refusals(request).await.unwrap().into_inner();
    assert_eq!((refusals.refused_count, refusals.granted_count), (1, 2));
    let group = &refusals.groups[0];
    assert_eq!((group.reason(), group.bottleneck.as_str()), (Reason::NoHeadroom, LINK));
    assert_eq!((group.asked_bps, group.offered_count), (9 * GBIT, 1));
    assert!(0 < group.least_missing_bps && group.least_missing_bps == group.most_missing_bps);
    let offer = group.last_offer.as_ref().unwrap();
    assert!(offer.token.is_empty() && 0 < offer.rate_bps, "{offer:?}");

    let name = "projects/default".to_owned();
    let request = v1::GetUsageStatementRequest { name, ..Default::default() };
    let statement = clients.reports.clone().get_usage_statement(request).await.unwrap();
    let statement = statement.into_inner();
    // What is promised grows while it is looked at.
    let counts = |it: v1::Consumption| (it.used_bytes, it.granted_count, it.refused_count);
    assert_eq!(statement.total.map(counts), Some(counts(total)));
    assert_eq!(statement.refusals, refusals.groups);
    let day = statement.periods.last().unwrap();
    assert_eq!(day.consumption, statement.total, "all of it was today");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_has_each_reservation_once_however_it_ended() {
    let served = Served::in_memory().await;
    let clients = &served.clients;
    let (_, bound) = three(clients, 777).await;
    let given_back = clients.create(create(GBIT, HOUR_MS)).await.name;
    clients.reservations.clone().release_reservation(release(&given_back)).await.unwrap();
    let text = lines(clients, v1::ExportReservationsRequest::default()).await;
    let all: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = all.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.contains(&given_back.as_str()));
    let used: i64 = all
        .iter()
        .filter_map(|it| it["usedBytes"].as_str())
        .map(|bytes| bytes.parse::<i64>().unwrap())
        .sum();
    assert_eq!(used, 777);

    let format = v1::export_reservations_request::Format::Csv.into();
    let filter = "used_bytes > 0".to_owned();
    let request = v1::ExportReservationsRequest { format, filter, ..Default::default() };
    let text = lines(clients, request).await;
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let columns = rows.headers().unwrap().clone();
    let row = rows.records().next().unwrap().unwrap();
    let cell = |name: &str| row.get(columns.iter().position(|it| it == name).unwrap()).unwrap();
    assert_eq!((cell("name"), cell("used_bytes")), (bound.name.as_str(), "777"));
    assert_eq!(cell("promised_bytes"), (GBIT / 8 * 3600).to_string());
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_counts_nothing_twice_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::ephemeral(JournalPlace::Directory(dir.path().join("journal")));
    let served = Served::start(config.clone()).await;
    let (session, bound) = three(&served.clients, 1000).await;
    moved(&served.clients, &session, &bound.name, 1500).await;
    assert_eq!(top(&served.clients).await.total.unwrap().used_bytes, 1500);
    served.stop().await;

    let served = Served::start(config).await;
    let clients = &served.clients;
    let before = top(clients).await.total.unwrap();
    assert_eq!((before.used_bytes, before.granted_count, before.refused_count), (1500, 2, 1));
    assert_eq!(clients.get(&bound.name).await.used_bytes, 1500, "the ledger knows it too");
    // What was said before the stop, said again, and more.
    moved(clients, &session, &bound.name, 1500).await;
    moved(clients, &session, &bound.name, 1600).await;
    let given_back = v1::ReleaseReservationRequest {
        session: session.clone(),
        used_bytes: 1700,
        ..release(&bound.name)
    };
    clients.reservations.clone().release_reservation(given_back).await.unwrap();
    let after = eventually("the close is reported", || async {
        Some(top(clients).await.total.unwrap()).filter(|total| total.used_bytes == 1700)
    });
    assert_eq!(after.await.granted_count, 2);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_is_flagged_with_what_was_observed() {
    let served = Served::in_memory().await;
    let clients = &served.clients;
    three(clients, 0).await;
    let now = clients.info().await.now.unwrap().seconds;
    let observe = |carried: i64, able: i64| v1::ReportObservationsRequest {
        observer: "switch-1".into(),
        observations: vec![v1::Observation {
            lane: LINK.into(),
            start_time: Some(at_ms((now - 60) * 1000)),
            end_time: Some(at_ms(now * 1000)),
            carried_bytes: Some(carried),
            able_bps: Some(able),
        }],
    };
    let found = || async {
        let asked = v1::QueryUtilizationRequest { selector: LINK.into(), ..Default::default() };
        let told = utilization(clients, asked).await;
        told.lanes[0].findings.clone()
    };
    // More than is booked and set aside crosses it, and it is slower than declared.
    let much = GBIT / 8 * 60 * 9;
    clients.topology.clone().report_observations(observe(much, 5 * GBIT)).await.unwrap();
    let findings = eventually("it is flagged", || async {
        Some(found().await).filter(|found| found.len() == 2)
    });
    let findings = findings.await;
    let slow = findings.iter().find(|it| it.kind() == Kind::UnderDelivery).unwrap();
    assert_eq!((slow.observed_bps, slow.observer.as_str()), (5 * GBIT, "switch-1"));
    assert!(9 * GBIT < slow.expected_bps);
    let traffic = findings.iter().find(|it| it.kind() == Kind::UnbookedTraffic).unwrap();
    assert_eq!(traffic.observed_bps, 9 * GBIT);
    // It is mended.
    clients.topology.clone().report_observations(observe(0, 10 * GBIT)).await.unwrap();
    eventually("it is mended", || async { found().await.is_empty().then_some(()) }).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_booked_is_the_least_of_a_forecast() {
    let served = Served::in_memory().await;
    let clients = &served.clients;
    three(clients, 0).await;
    let request = v1::ForecastUtilizationRequest::default();
    let told = clients.reports.clone().forecast_utilization(request).await.unwrap().into_inner();
    assert!(told.lanes.len() <= 10);
    for lane in &told.lanes {
        assert_eq!(lane.basis(), v1::lane_forecast::Basis::Bookings, "nothing is known yet");
        for it in &lane.buckets {
            assert!(it.booked_bps <= it.low_bps && it.low_bps <= it.expected_bps);
            assert!(it.expected_bps <= it.high_bps, "{it:?}");
        }
    }
    let booked = |lane: &v1::LaneForecast| lane.buckets.iter().any(|it| 0 < it.booked_bps);
    assert!(booked(&told.lanes[0]), "those that get fullest come first");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_every_lane_once() {
    let served = Served::in_memory().await;
    let clients = &served.clients;
    three(clients, 0).await;
    for order in [0, 1] {
        let mut seen = Vec::new();
        let mut page_token = String::new();
        loop {
            let asked = v1::QueryUtilizationRequest {
                page_size: 2,
                page_token,
                order,
                bucket: Some(span_ms(HOUR_MS)),
                ..Default::default()
            };
            let told = utilization(clients, asked).await;
            seen.extend(told.lanes.into_iter().map(|lane| lane.lane));
            page_token = told.next_page_token;
            if page_token.is_empty() {
                assert_eq!(i64::try_from(seen.len()).unwrap(), told.lane_count);
                break;
            }
        }
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
    served.stop().await;
}

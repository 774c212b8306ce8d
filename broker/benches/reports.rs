//! What reports cost those who ask for reservations meanwhile, and how long they take.
//!
//! `cargo bench -p tidegate-broker --bench reports` prints one line of JSON per figure: what was measured, its
//! goal if it has one and whether it was met. A broker of 5,000 lanes has a past of 90 days, lived through in
//! virtual time. Admissions while it is scraped and asked for reports, and admissions while it is not, take
//! turns in one run, so that other work on the machine falls on both alike; a goal that is missed on a machine
//! too busy to tell is inconclusive. The lines about the host say how busy it was: read no figure without them.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![allow(clippy::print_stdout, reason = "the figures are the output")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tidegate_broker::config::JournalPlace;
use tidegate_broker::past::{Past, Wish};
use tidegate_broker::{Broker, Config};
use tidegate_policy::{ByteCount, ProjectId, Span, Timestamp};
use tidegate_proto::v1;
use tidegate_proto::v1::report_service_client::ReportServiceClient;
use tidegate_proto::v1::reservation_service_client::ReservationServiceClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::transport::Channel;
use uuid::Uuid;

const RACKS: usize = 50;
const HOSTS: usize = 2400;
const DAYS: u32 = 90;
/// Reservations that live when it is measured.
const LIVE: usize = 20_000;
const ROUNDS: usize = 6;
/// How long each turn is.
const TURN: Duration = Duration::from_secs(5);
const CLIENTS: usize = 4;
const PAUSE: Duration = Duration::from_millis(5);
/// How often it is scraped and asked for a report in a turn with reports.
const EVERY: Duration = Duration::from_millis(500);
/// The goals: p99 with reports over p99 without, in percent; a scrape and a report in milliseconds.
const GOAL_PERCENT: u128 = 120;
const SCRAPE_MS: u128 = 100;
const REPORT_MS: u128 = 1000;

fn main() {
    let busy = host("at the start");
    let dir = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    fill(dir.path());
    let size = std::fs::metadata(dir.path().join("reports.redb")).unwrap().len();
    println!(
        r#"{{"bench":"reports","metric":"a past of {DAYS} days made, s","value":{},"bytes":{size}}}"#,
        begun.elapsed().as_secs()
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(dir.path(), busy));
    host("at the end");
}

/// Prints the load; whether it leaves nothing to measure with.
fn host(when: &str) -> bool {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap();
    let load: Vec<&str> = text.split(' ').take(3).collect();
    println!(r#"{{"bench":"host","metric":"load average {when}","value":"{}"}}"#, load.join(" "));
    let cores = std::thread::available_parallelism().unwrap().get();
    let running: f64 = load[0].parse().unwrap();
    running > f64::from(u32::try_from(cores).unwrap())
}

fn verdict(met: bool, busy: bool) -> &'static str {
    match (met, busy) {
        (true, _) => "ok",
        (false, true) => "inconclusive",
        (false, false) => "miss",
    }
}

fn config(dir: &Path) -> Config {
    let mut config = Config::ephemeral(JournalPlace::Directory(dir.into()));
    config.reports.lanes_in_metrics = 5000;
    config
}

/// Racks of hosts around a core, with a storage for each rack there: 5,000 lanes.
fn topology() -> v1::Topology {
    let capacity = |bps| Some(v1::Capacity { out_bps: bps, ..v1::Capacity::default() });
    let rack = |at: usize| format!("rack-{}", at % RACKS);
    let host = |at: usize| v1::Host {
        name: format!("host-{at}"),
        nics: vec![v1::Nic {
            name: "eth0".into(),
            switch: rack(at),
            capacity: capacity(25_000_000_000),
            framing: None,
        }],
    };
    let link = |at: usize| v1::Link {
        name: format!("link-{at}"),
        from: "core".into(),
        to: rack(at),
        capacity: capacity(1_000_000_000_000),
        ..Default::default()
    };
    let storage = |at: usize| v1::Storage {
        name: format!("store-{at}"),
        place: Some(v1::storage::Place::Switch("core".into())),
        capacity: capacity(1_000_000_000_000),
        ..Default::default()
    };
    let switches = (0..RACKS).map(rack).chain(["core".to_owned()]);
    v1::Topology {
        hosts: (0..HOSTS).map(host).collect(),
        switches: switches.map(|name| v1::Switch { name }).collect(),
        links: (0..RACKS).map(link).collect(),
        storage: (0..RACKS).map(storage).collect(),
        ..Default::default()
    }
}

fn wish(host: usize, gigabytes: u64, rate: &str) -> Wish {
    Wish {
        project: ProjectId::default_project(),
        class: None,
        source: format!("storage/store-{}", host % RACKS).parse().unwrap(),
        destination: format!("hosts/host-{}", host % HOSTS).parse().unwrap(),
        volume: ByteCount::new(gigabytes * 1_000_000_000),
        max: rate.parse().unwrap(),
        within: Span::from_secs(3 * 86_400),
    }
}

/// Each host fetches something each day; and many do now.
fn fill(dir: &Path) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now = Timestamp::from_ms(i64::try_from(now.as_millis()).unwrap()).unwrap();
    let ago = |days: u32| now.minus(Span::from_secs(days * 86_400));
    let mut past = Past::begin(&config(dir), ago(DAYS)).unwrap();
    past.apply_topology(&topology()).unwrap();
    for day in 0..DAYS {
        for host in 0..HOSTS {
            past.reserve_unbound(&wish(host, 400 + 10 * u64::from(day % 7), "1Gbit")).unwrap();
        }
        past.leap(ago(DAYS - day - 1)).unwrap();
    }
    for host in 0..LIVE {
        past.reserve_unbound(&wish(host, 400, "100Mbit")).unwrap();
    }
    past.end().unwrap();
}

/// How long each admission took.
async fn worker(address: String, turn: Arc<AtomicBool>, stop: Arc<AtomicBool>) -> [Vec<u128>; 2] {
    let channel = Channel::from_shared(address).unwrap().connect().await.unwrap();
    let mut client = ReservationServiceClient::new(channel);
    let mut took = [Vec::new(), Vec::new()];
    while !stop.load(Ordering::Relaxed) {
        let reports = turn.load(Ordering::Relaxed);
        let begun = Instant::now();
        let answer = client.create_reservation(create()).await.unwrap().into_inner();
        took[usize::from(reports)].push(begun.elapsed().as_micros());
        let Some(v1::create_reservation_response::Outcome::Reservation(made)) = answer.outcome
        else {
            panic!("refused")
        };
        let (name, request_id) = (made.name, Uuid::now_v7().to_string());
        let release = v1::ReleaseReservationRequest { name, request_id, ..Default::default() };
        tokio::time::sleep(PAUSE).await;
        client.release_reservation(release).await.unwrap();
        tokio::time::sleep(PAUSE).await;
    }
    took
}

fn create() -> v1::CreateReservationRequest {
    let until = prost_types::Duration { seconds: 3600, nanos: 0 };
    let until = Some(v1::rigid::Until::Duration(until));
    let rigid = v1::Rigid { rate_bps: 1_000_000, start_time: None, until };
    v1::CreateReservationRequest {
        request_id: Uuid::now_v7().to_string(),
        sources: vec!["storage/store-0".into()],
        destination: "hosts/host-0".into(),
        shape: Some(v1::create_reservation_request::Shape::Rigid(rigid)),
        ..v1::CreateReservationRequest::default()
    }
}

/// One scrape, over a connection of its own. Returns how long it took and how many bytes it has.
async fn scrape(address: &str) -> (u128, usize) {
    let begun = Instant::now();
    let host = address.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let ask = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..60]));
    (begun.elapsed().as_millis(), answer.len())
}

/// Every report over 90 days: what it is called and how long it took.
async fn reports(client: &mut ReportServiceClient<Channel>) -> Vec<(&'static str, u128)> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    // A little less, because it has to be within what is kept when it is asked for.
    let ago = i64::try_from(now).unwrap() - i64::from(DAYS) * 86_400 + 3600;
    let start_time = Some(prost_types::Timestamp { seconds: ago, nanos: 0 });
    let mut took = Vec::new();
    let begun = Instant::now();
    let asked = v1::QueryUtilizationRequest { start_time, order: 1, ..Default::default() };
    client.query_utilization(asked).await.unwrap();
    took.push(("the fullest of all lanes", begun.elapsed().as_millis()));
    let begun = Instant::now();
    let bucket = Some(prost_types::Duration { seconds: 3600, nanos: 0 });
    let selector = "links/link-1".into();
    let asked = v1::QueryUtilizationRequest { start_time, bucket, selector, ..Default::default() };
    client.query_utilization(asked).await.unwrap();
    took.push(("each hour of a link", begun.elapsed().as_millis()));
    let begun = Instant::now();
    let asked = v1::ListTopConsumersRequest { start_time, ..Default::default() };
    client.list_top_consumers(asked).await.unwrap();
    took.push(("top consumers", begun.elapsed().as_millis()));
    let begun = Instant::now();
    let selector = "storage/*".into();
    let asked = v1::ListTopConsumersRequest { start_time, selector, ..Default::default() };
    client.list_top_consumers(asked).await.unwrap();
    took.push(("top consumers of all storage", begun.elapsed().as_millis()));
    let begun = Instant::now();
    let asked = v1::AggregateRefusalsRequest { start_time, ..Default::default() };
    client.aggregate_refusals(asked).await.unwrap();
    took.push(("refusals", begun.elapsed().as_millis()));
    let begun = Instant::now();
    client.forecast_utilization(v1::ForecastUtilizationRequest::default()).await.unwrap();
    took.push(("forecast of all lanes", begun.elapsed().as_millis()));
    let begun = Instant::now();
    let name = "projects/default".into();
    let asked = v1::GetUsageStatementRequest { name, start_time, ..Default::default() };
    client.get_usage_statement(asked).await.unwrap();
    took.push(("a statement", begun.elapsed().as_millis()));
    took
}

async fn measure(dir: &Path, busy: bool) {
    let broker = Broker::start(config(dir)).await.unwrap();
    let channel = Channel::from_shared(broker.address()).unwrap().connect().await.unwrap();
    let mut client = ReportServiceClient::new(channel).max_decoding_message_size(64 << 20);
    // The first ones fill caches, as they would have been.
    reports(&mut client).await;
    let mut scrapes = Vec::new();
    for _ in 0..5 {
        scrapes.push(scrape(&broker.address()).await);
    }
    scrapes.sort_unstable();
    let (ms, bytes) = scrapes[scrapes.len() / 2];
    println!(
        r#"{{"bench":"scrape","metric":"5000 lanes, median of 5, ms","value":{ms},"goal":"< {SCRAPE_MS}","verdict":"{}","bytes":{bytes}}}"#,
        verdict(ms < SCRAPE_MS, busy)
    );
    for (what, ms) in reports(&mut client).await {
        println!(
            r#"{{"bench":"report","metric":"{what}, {DAYS} days, ms","value":{ms},"goal":"< {REPORT_MS}","verdict":"{}"}}"#,
            verdict(ms < REPORT_MS, busy)
        );
    }
    admissions(&broker, &mut client, busy).await;
    broker.stopper().cancel();
    broker.wait().await.unwrap();
}

/// Admissions with and without scrapes and reports, in turns.
async fn admissions(broker: &Broker, client: &mut ReportServiceClient<Channel>, busy: bool) {
    let (turn, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let address = broker.address();
    let spawn = |_| tokio::spawn(worker(address.clone(), Arc::clone(&turn), Arc::clone(&stop)));
    let workers: Vec<_> = (0..CLIENTS).map(spawn).collect();
    for _ in 0..ROUNDS {
        turn.store(false, Ordering::Relaxed);
        tokio::time::sleep(TURN).await;
        turn.store(true, Ordering::Relaxed);
        let begun = Instant::now();
        while begun.elapsed() < TURN {
            scrape(&address).await;
            client
                .query_utilization(v1::QueryUtilizationRequest { order: 1, ..Default::default() })
                .await
                .unwrap();
            tokio::time::sleep(EVERY).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut took = [Vec::new(), Vec::new()];
    for worker in workers {
        let [quiet, loud] = worker.await.unwrap();
        took[0].extend(quiet);
        took[1].extend(loud);
    }
    let mut p99 = [0, 0];
    for (which, what) in [(0, "without reports"), (1, "with scrapes and reports")] {
        took[which].sort_unstable();
        let at = |percent: usize| took[which][(took[which].len() - 1) * percent / 100];
        println!(
            r#"{{"bench":"admission","metric":"p50 and p99 {what}, us","value":[{},{}],"of":{}}}"#,
            at(50),
            at(99),
            took[which].len()
        );
        p99[which] = at(99);
    }
    let percent = p99[1] * 100 / p99[0].max(1);
    println!(
        r#"{{"bench":"admission","metric":"p99 with reports over p99 without, %","value":{percent},"goal":"<= {GOAL_PERCENT}","verdict":"{}"}}"#,
        verdict(percent <= GOAL_PERCENT, busy)
    );
}

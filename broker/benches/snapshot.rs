//! What snapshots cost those who ask meanwhile, and what they do for the disk and for a restart.
//!
//! `cargo bench -p tidegate-broker --bench snapshot` prints one line of JSON per figure: what was
//! measured, its goal if it has one and whether it was met. Admissions with a snapshot of 10^5
//! reservations being written and admissions without one take turns in one run, so that other
//! work on the machine falls on both alike; a goal that is missed on a machine too busy to tell is
//! inconclusive. The lines about the host say how busy it was: read no figure without them.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![allow(clippy::print_stdout, reason = "the figures are the output")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

#[path = "../tests/support/churn.rs"]
mod churn;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use churn::{Churn, Scale, size};
use tidegate_broker::config::JournalPlace;
use tidegate_broker::{Broker, Config};
use tidegate_proto::v1;
use tidegate_proto::v1::reservation_service_client::ReservationServiceClient;
use tonic::transport::Channel;
use uuid::Uuid;

/// Reservations in each snapshot, at least.
const STATE: usize = 100_000;
/// Reservations that come and go while the directory is watched.
const CHURN: usize = 1_000_000;
const ROUNDS: usize = 8;
/// How long each contender without a snapshot runs.
const QUIET: Duration = Duration::from_secs(3);
/// Concurrent clients, each with a call every so often: busy, not overrun.
const CLIENTS: usize = 8;
const PAUSE: Duration = Duration::from_millis(5);
/// The goal: p99 while a snapshot is written, over p99 without, in percent.
const GOAL_PERCENT: u128 = 150;

fn main() {
    let busy = host("at the start");
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    restart(dir.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(admissions(dir.path(), busy));
    drop(dir);
    bounded();
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

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// A journal of so many live reservations.
fn fill(dir: &Path) {
    let scale = Scale { live: STATE, events: 512, batches: u64::MAX, pause_ms: 0 };
    let mut churn = Churn::begin(dir, scale, Some(now_ms()));
    for _ in 0..STATE {
        churn.step();
    }
    churn.append();
}

fn config(dir: &Path) -> Config {
    Config::ephemeral(JournalPlace::Directory(dir.into()))
}

/// A start by the log alone, and one by a snapshot.
fn restart(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for from in ["the log", "a snapshot"] {
            let begun = Instant::now();
            let broker = Broker::start(config(dir)).await.unwrap();
            let ms = begun.elapsed().as_millis();
            println!(
                r#"{{"bench":"restart","metric":"{STATE} reservations from {from}, ms","value":{ms}}}"#
            );
            if from == "the log" {
                let begun = Instant::now();
                let made = broker.snapshot().await.unwrap();
                println!(
                    r#"{{"bench":"snapshot","metric":"made while idle, ms","value":{},"bytes":{}}}"#,
                    begun.elapsed().as_millis(),
                    made.bytes
                );
            }
            broker.stopper().cancel();
            broker.wait().await.unwrap();
        }
    });
}

/// When an admission was asked for and when it was answered.
type Admission = (Instant, Instant);

async fn worker(address: String, stop: Arc<AtomicBool>) -> Vec<Admission> {
    let channel = Channel::from_shared(address).unwrap().connect().await.unwrap();
    let mut client = ReservationServiceClient::new(channel);
    let mut admissions = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let request = create();
        let begun = Instant::now();
        let answer = client.create_reservation(request).await.unwrap().into_inner();
        admissions.push((begun, Instant::now()));
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
    admissions
}

fn create() -> v1::CreateReservationRequest {
    let until = prost_types::Duration { seconds: 3600, nanos: 0 };
    let until = Some(v1::rigid::Until::Duration(until));
    let rigid = v1::Rigid { rate_bps: 1_000_000, start_time: None, until };
    v1::CreateReservationRequest {
        request_id: Uuid::now_v7().to_string(),
        sources: vec!["storage/swift".into()],
        destination: "hosts/compute-1".into(),
        shape: Some(v1::create_reservation_request::Shape::Rigid(rigid)),
        ..v1::CreateReservationRequest::default()
    }
}

/// Admissions with and without a snapshot being made, in turns.
async fn admissions(dir: &Path, busy: bool) {
    let broker = Broker::start(config(dir)).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> =
        (0..CLIENTS).map(|_| tokio::spawn(worker(broker.address(), Arc::clone(&stop)))).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut turns = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        tokio::time::sleep(QUIET).await;
        let ordered = Instant::now();
        broker.snapshot().await.unwrap();
        turns.push((begun, ordered, Instant::now()));
    }
    stop.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    for worker in workers {
        all.extend(worker.await.unwrap());
    }
    broker.stopper().cancel();
    broker.wait().await.unwrap();
    let during = |from: Instant, to: Instant| {
        // Whatever was under way at any moment of it.
        all.iter().filter(move |(asked, answered)| from <= *answered && *asked <= to)
    };
    let quiet: Vec<&Admission> = turns
        .iter()
        .flat_map(|(begun, ordered, _)| during(*begun, *ordered).filter(move |it| it.1 < *ordered))
        .collect();
    let written: Vec<&Admission> =
        turns.iter().flat_map(|(_, ordered, made)| during(*ordered, *made)).collect();
    let took: Duration = turns.iter().map(|(_, ordered, made)| *made - *ordered).sum();
    println!(
        r#"{{"bench":"snapshot","metric":"made under load, mean of {ROUNDS}, ms","value":{}}}"#,
        took.as_millis() / u128::try_from(ROUNDS).unwrap()
    );
    report(&quiet, &written, busy);
}

fn report(quiet: &[&Admission], written: &[&Admission], busy: bool) {
    let mut figures = Vec::new();
    for (what, turns) in [("without a snapshot", quiet), ("while one is made", written)] {
        let mut took: Vec<u128> = turns.iter().map(|it| (it.1 - it.0).as_micros()).collect();
        took.sort_unstable();
        let at = |percent: usize| took[(took.len() - 1) * percent / 100];
        for percent in [50, 90, 99] {
            println!(
                r#"{{"bench":"admission","metric":"p{percent} {what}, us","value":{},"of":{}}}"#,
                at(percent),
                took.len()
            );
        }
        figures.push(at(99));
    }
    let percent = figures[1] * 100 / figures[0].max(1);
    println!(
        r#"{{"bench":"admission","metric":"p99 while one is made over p99 without, %","value":{percent},"goal":"<= {GOAL_PERCENT}","verdict":"{}"}}"#,
        verdict(percent <= GOAL_PERCENT, busy)
    );
}

/// The directory while a million reservations come and go.
fn bounded() {
    let dir = tempfile::tempdir().unwrap();
    let scale = Scale { live: 1_000, events: 256, batches: 500, pause_ms: 100 };
    let mut churn = Churn::begin(dir.path(), scale, None);
    let begun = Instant::now();
    for _ in 0..CHURN {
        churn.step();
    }
    let seconds = begun.elapsed().as_secs();
    let sizes = &churn.sizes;
    let (early, late) = (sizes.len() / 4..sizes.len() / 2, sizes.len() * 3 / 4..sizes.len());
    let most = |part: std::ops::Range<usize>| sizes[part].iter().max().copied().unwrap_or(0);
    let (early, late) = (most(early), most(late));
    let percent = late * 100 / early.max(1);
    println!(
        r#"{{"bench":"directory","metric":"most bytes in the last quarter of {CHURN} reservations over the second, %","value":{percent},"goal":"<= 110","verdict":"{}","bytes":{late},"appended":{},"seconds":{seconds}}}"#,
        verdict(percent <= 110, false),
        churn.appended
    );
    drop(churn);
    println!(r#"{{"bench":"directory","metric":"bytes after the next start","value":{}}}"#, {
        let reopened = tidegate_broker::journal::EmbeddedJournal::open(dir.path()).unwrap();
        drop(reopened);
        size(dir.path())
    });
}

//! What following requests costs: admissions through the port of a broker in memory, with a log of which
//! nothing is wanted, one at `info`, as a broker has it in production, and one at `debug`.
//!
//! `cargo bench -p tidegate-broker --bench tracing_cost` prints one line of JSON per figure. The contenders
//! take turns in one run on one broker; what is counted is the processor time of this whole process,
//! client and broker, so that other work on the machine matters little. Lines are formed and thrown away.
//! `-- --quick` does a tenth of it, to see that it runs, and `--json` forms lines of JSON. Read no figure
//! without the load beside it; on a machine that is too busy a call may even run out of time.

#![allow(clippy::print_stdout, reason = "the figures are the output")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io;

use rustix::time::{ClockId, clock_gettime};
use support::{Served, admit, create, release, topology};
use tidegate_proto::v1;
use tidegate_proto::v1::admit_request::Ask;
use tidegate_proto::v1::admit_response::Outcome;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt, reload};

const RATE_BPS: i64 = 1_000;
const LASTS_MS: i64 = 3_600_000;
const LEVELS: [&str; 4] = ["off", "warn", "info", "debug"];

#[derive(Clone, Copy)]
struct Scale {
    /// Admissions of each contender in each round, on one stream and as calls of their own.
    streamed: usize,
    called: usize,
    rounds: usize,
}

const WHOLE: Scale = Scale { streamed: 4_000, called: 1_000, rounds: 15 };
const QUICK: Scale = Scale { streamed: 800, called: 200, rounds: 7 };

fn main() {
    // Cargo says `--bench` as well.
    let quick = std::env::args().any(|argument| argument == "--quick");
    let json = std::env::args().any(|argument| argument == "--json");
    let scale = if quick { QUICK } else { WHOLE };
    let load = std::fs::read_to_string("/proc/loadavg").unwrap();
    println!(r#"{{"bench":"host","metric":"load average","value":"{}"}}"#, load.trim_end());
    let (filter, turn) = reload::Layer::new(EnvFilter::new("off"));
    let registry = tracing_subscriber::registry().with(filter);
    if json {
        registry.with(fmt::layer().json().with_writer(io::sink)).init();
    } else {
        registry.with(fmt::layer().with_ansi(false).with_writer(io::sink)).init();
    }
    let turn = move |level: &str| turn.reload(EnvFilter::new(level)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(scale, &turn));
}

async fn measure(scale: Scale, turn: &(dyn Fn(&str) + Sync)) {
    let served = Served::in_memory().await;
    served.clients.apply(topology(100 * support::GBIT)).await;
    let mut figures = [(); 2].map(|()| [(); LEVELS.len()].map(|()| Vec::new()));
    for round in 0..=scale.rounds {
        for index in 0..LEVELS.len() {
            let index = (index + round) % LEVELS.len();
            turn(LEVELS[index]);
            let streamed = streamed(&served, scale.streamed).await;
            let called = called(&served, scale.called).await;
            // The first round warms up.
            if 0 < round {
                figures[0][index].push(streamed);
                figures[1][index].push(called);
            }
        }
    }
    turn("off");
    for (how, levels) in ["on one stream", "in a call of its own"].into_iter().zip(&mut figures) {
        for (level, figures) in LEVELS.into_iter().zip(levels) {
            figures.sort_unstable();
            let median = figures[figures.len() / 2];
            println!(
                r#"{{"bench":"tracing_cost","metric":"admission {how}, log {level}, ns of processor time","value":{median}}}"#
            );
        }
    }
    served.stop().await;
}

/// The processor time of an admission and of giving it back, in nanoseconds.
async fn streamed(served: &Served, count: usize) -> u64 {
    let question = |(sequence, ask)| v1::AdmitRequest { sequence, ask: Some(ask) };
    let creates = (0..).zip((0..count).map(|_| Ask::Create(create(RATE_BPS, LASTS_MS))));
    let creates = creates.map(question).collect();
    let begun = cpu_ns();
    let answers = admit(&served.clients, creates).await;
    let names = answers.into_iter().map(|answer| match answer.outcome {
        Some(Outcome::Reservation(made)) => made.name,
        other => panic!("{other:?}"),
    });
    let releases = (0..).zip(names.map(|name| Ask::Release(release(&name)))).map(question);
    admit(&served.clients, releases.collect()).await;
    (cpu_ns() - begun) / u64::try_from(count).unwrap()
}

async fn called(served: &Served, count: usize) -> u64 {
    let begun = cpu_ns();
    for _ in 0..count {
        let made = served.clients.create(create(RATE_BPS, LASTS_MS)).await;
        let release = release(&made.name);
        served.clients.reservations.clone().release_reservation(release).await.unwrap();
    }
    (cpu_ns() - begun) / u64::try_from(count).unwrap()
}

fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap()
}

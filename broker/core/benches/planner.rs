//! What it costs to make room: decisions among ten thousand plans that may move.
//!
//! `cargo bench -p tidegate-core --bench planner` prints one line of JSON per figure: what was
//! measured, its goal if it has one and whether it was met. The network has 80 switches with a
//! host each, 120 links and a choice of four paths between the hosts that transfers run between;
//! all decisions go through [`Machine::decide`]. `-- --quick` does it with a tenth of the plans, to
//! see that it runs. How long a fixed piece of work took and how busy the machine was stand
//! beside the figures: read none without them. A goal that is missed on a machine too busy to tell
//! is `"ok":"inconclusive"`.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![allow(clippy::disallowed_types, reason = "a benchmark measures time")]
#![allow(clippy::print_stdout, reason = "the figures are the output")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

#[path = "planner/load.rs"]
mod load;
#[path = "planner/network.rs"]
mod network;
#[path = "../tests/support/model/rng.rs"]
mod rng;

use std::time::Instant;

use load::{Load, Outcome};
use rng::Rng;

/// How much is done.
#[derive(Clone, Copy)]
struct Scale {
    /// Plans that live when decisions are measured.
    live: usize,
    /// Requests that would be refused without moving, of each kind.
    hard: usize,
    /// Requests that fit as they are.
    easy: usize,
}

const WHOLE: Scale = Scale { live: 10_000, hard: 300, easy: 20_000 };
const QUICK: Scale = Scale { live: 1_000, hard: 40, easy: 2_000 };

/// The goals: of a decision that makes room, of one that need not, and of what moves.
const ROOM_P99_US: u128 = 50_000;
const PINNED_P99_US: u128 = 50;
const MOVED_PERCENT: u128 = 20;

fn main() {
    // Cargo says `--bench` as well.
    let quick = std::env::args().any(|argument| argument == "--quick");
    let scale = if quick { QUICK } else { WHOLE };
    host("at the start");
    calibrate();
    let begun = Instant::now();
    let mut load = Load::fill(scale.live);
    row("fill", "live plans", load.live().to_string().as_str(), None);
    row("fill", "ms", begun.elapsed().as_millis().to_string().as_str(), None);
    for (metric, value) in load.figures() {
        row("fill", metric, &value, None);
    }
    pinned(&mut load, scale.easy);
    room(&mut load, "rigid", scale.hard, Load::hard_rigid);
    room(&mut load, "transfer", scale.hard, Load::hard_transfer);
    calibrate();
    host("at the end");
}

fn row(bench: &str, metric: &str, value: &str, goal: Option<(u128, bool)>) {
    let goal = match goal {
        Some((goal, false)) if is_busy() => format!(r#""< {goal}","ok":"inconclusive""#),
        Some((goal, ok)) => format!(r#""< {goal}","ok":{ok}"#),
        None => r#"null,"ok":null"#.into(),
    };
    println!(r#"{{"bench":"{bench}","metric":"{metric}","value":{value},"goal":{goal}}}"#);
}

fn host(when: &str) {
    let (load, cores) = (load_average(), cores());
    row("host", &format!("load average {when}, of {cores} cores"), &load, None);
}

/// Of the last minute.
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap();
    text.split(' ').next().unwrap().into()
}

fn cores() -> usize {
    std::thread::available_parallelism().unwrap().get()
}

/// Whether others are in the way.
fn is_busy() -> bool {
    let running: f64 = load_average().parse().unwrap();
    // This one is running too.
    running > f64::from(u32::try_from(cores()).unwrap())
}

/// A fixed piece of work, to compare machines by: a hundred million steps of a generator.
fn calibrate() {
    let (begun, mut rng) = (Instant::now(), Rng::new(1));
    let mut sum = 0_u64;
    for _ in 0..100_000_000_u64 {
        sum = sum.wrapping_add(rng.next());
    }
    std::hint::black_box(sum);
    let took = begun.elapsed().as_millis().to_string();
    row("host", "calibration: 100 million steps of splitmix64, ms", &took, None);
}

fn percentiles(bench: &str, what: &str, mut took: Vec<u128>, goal_us: Option<u128>) {
    if took.is_empty() {
        return;
    }
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    for percent in [50, 90, 99, 100] {
        let ns = at(percent);
        let goal = goal_us.filter(|_| percent == 99);
        let goal = goal.map(|goal| (goal, ns < goal * 1000));
        let metric = format!("p{percent} {what} (of {}), us", took.len());
        row(bench, &metric, &format!("{}.{:03}", ns / 1000, ns % 1000), goal);
    }
}

/// Decisions of transfers that stay where they are put, where they fit.
fn pinned(load: &mut Load, count: usize) {
    let mut took = Vec::with_capacity(count);
    while took.len() < count {
        let request = load.easy();
        let begun = Instant::now();
        let decision = load.decide(&request);
        let ns = begun.elapsed().as_nanos();
        if matches!(load::outcome(&decision), Outcome::Granted(0)) {
            took.push(ns);
        }
    }
    percentiles("pinned transfer", "of a decision", took, Some(PINNED_P99_US));
}

/// Decisions of requests that would be refused without moving.
fn room(load: &mut Load, kind: &str, count: usize, draw: fn(&mut Load) -> load::Asked) {
    let (mut all, mut granted, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    let (mut moved, mut tries) = (0_u128, 0_usize);
    while all.len() < count && tries < 100 * count {
        tries += 1;
        let request = draw(load);
        let begun = Instant::now();
        let decision = load.decide(&request);
        let ns = begun.elapsed().as_nanos();
        match load::outcome(&decision) {
            // It fitted as it was.
            Outcome::Granted(0) => continue,
            Outcome::Granted(moves) => {
                granted.push(ns);
                moved += u128::try_from(moves).unwrap();
            }
            Outcome::Refused => refused.push(ns),
        }
        all.push(ns);
    }
    let bench = format!("room for a {kind}");
    row(&bench, "requests drawn", &tries.to_string(), None);
    let makes = u128::try_from(granted.len()).unwrap().max(1);
    let live = u128::try_from(load.live()).unwrap();
    percentiles(&bench, "of all", all, Some(ROOM_P99_US));
    percentiles(&bench, "of those granted", granted, None);
    percentiles(&bench, "of those refused", refused, None);
    let thousandths = moved * 100_000 / (makes * live);
    let percent = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    let ok = thousandths < MOVED_PERCENT * 1000;
    row(&bench, "mean share of live plans moved, %", &percent, Some((MOVED_PERCENT, ok)));
}

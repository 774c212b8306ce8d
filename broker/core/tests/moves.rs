//! Random operations with moves and faults: rates and volumes that may move or not, priorities,
//! batches, changes of terms, holders that beat, lag or fall silent, and a network that loses
//! capacity. After each of them nothing is overbooked, nobody sends more than a lane carries,
//! every plan keeps its promise, and the events alone lead to the same state.
//!
//! A failure names its seed and tells the last steps. `MOVES_SEED` runs one seed in every setting,
//! `MOVES_OPERATIONS` so many operations in all settings together: a million takes some minutes.
#![allow(clippy::unwrap_used, reason = "a world that trips over itself fails its test")]
#![allow(clippy::print_stdout, reason = "how often what happened is for people to read")]

#[path = "support/moves/mod.rs"]
mod moves;

use moves::{Counts, Setting, run};
use tidegate_core::Limits;
use tidegate_policy::Span;

/// Operations of a usual run, in all settings together.
const OPERATIONS: u64 = 32_000;
/// The settings: a test each.
const SETTINGS: u64 = 4;

/// How often each thing must have happened at least, in ten thousand operations: a run that
/// misses one of them proves nothing about it.
const SHARES: [(&str, u64); 44] = [
    ("granted", 800),
    ("refused", 1000),
    ("transfer granted", 300),
    ("granted with moves", 40),
    ("moved for room", 100),
    ("moved for a priority", 1),
    ("closed for a priority", 4),
    ("offered instead", 4),
    ("moved from lost capacity", 50),
    ("moved in part from lost capacity", 4),
    ("moved at once", 10),
    ("shrunk by lost capacity", 4),
    ("lost with floors that exceed", 10),
    ("curtailed", 20),
    ("closed for lost capacity", 80),
    ("lanes in use", 30),
    ("caught up", 30),
    ("caught up in part", 4),
    ("lagging in vain", 4),
    ("all moved", 25),
    ("completed", 300),
    ("no show", 5),
    ("session lost", 15),
    ("session closed", 80),
    ("closed with its session", 2),
    ("released", 400),
    ("expired", 50),
    ("confirmed", 50),
    ("changed", 90),
    ("transfer changed", 90),
    ("change refused", 70),
    ("settled", 150),
    ("each granted", 30),
    ("all granted", 10),
    ("any granted", 30),
    ("order granted", 10),
    ("gapless granted", 2),
    ("offer taken", 500),
    ("topology", 130),
    ("maintenance", 40),
    ("drained", 15),
    ("undrained", 20),
    ("restart", 15),
    ("read again", 50),
];

/// The bounds of a broker, but for what is remembered and how long a grant may stay unused: here
/// time passes quickly.
fn usual() -> Limits {
    Limits {
        retain: Span::ZERO,
        request_window: Span::from_secs(60),
        no_show_grace: Span::from_secs(40),
        maintenances_max: 8,
        ..Limits::default()
    }
}

/// A short lease, so that more lies behind the freeze, few segments and few moves.
fn tight() -> Limits {
    Limits {
        lease: Span::from_secs(9),
        grace: Span::from_secs(6),
        segments_max: 6,
        moves_max: 3,
        replan_rounds: 4,
        replan_steps: 400,
        ..usual()
    }
}

fn nothing_breaks(setting: &Setting) {
    #[allow(clippy::disallowed_methods, reason = "switches for people, not settings of the core")]
    let said = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let operations = said("MOVES_OPERATIONS").unwrap_or(OPERATIONS).div_ceil(SETTINGS);
    let seed = said("MOVES_SEED").unwrap_or(setting.seed);
    let counts: Counts = run(&Setting { seed, ..setting.clone() }, operations);
    println!("{counts:#?}");
    for (what, least) in SHARES {
        let count = counts.get(what).copied().unwrap_or(0);
        assert!(
            least * operations <= count * 10_000,
            "seed {seed}: too little of {what}: {counts:?}"
        );
    }
}

/// Lanes of a few bits, where every rounding shows.
#[test]
fn bits() {
    nothing_breaks(&Setting { seed: 11, scale: 400, headers: 0, limits: usual() });
}

#[test]
fn bits_tight() {
    nothing_breaks(&Setting { seed: 12, scale: 1_000, headers: 333_333, limits: tight() });
}

#[test]
fn gigabits() {
    nothing_breaks(&Setting { seed: 13, scale: 10_000_000_000, headers: 77_031, limits: usual() });
}

#[test]
fn gigabits_tight() {
    let limits = Limits { lease: Span::from_secs(6), grace: Span::from_secs(9), ..usual() };
    nothing_breaks(&Setting { seed: 14, scale: 999_999_937, headers: 12_321, limits });
}

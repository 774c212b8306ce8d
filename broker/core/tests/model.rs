//! A million random commands: the machine answers as a naive model does that keeps a list of
//! reservations and recomputes everything from it, and no lane is ever overbooked.
//!
//! A failure names its seed; `MODEL_SEED` runs every setting with that seed instead of its own.
#![allow(clippy::unwrap_used, reason = "a model that trips over itself fails its test")]

#[path = "support/model/mod.rs"]
mod model;

use model::driver::{Counts, Setting, run};
use tidegate_core::Machine;

/// Commands of each test; eight of them make a million.
const COMMANDS: u64 = 125_000;

/// How often each thing must have happened at least, in ten thousand commands: a run that misses
/// one of them proves nothing about it.
const SHARES: [(&str, u64); 41] = [
    ("held", 50),
    ("confirmed", 100),
    ("released", 50),
    ("released, still booked", 30),
    ("unchanged", 100),
    ("session step", 100),
    ("topology", 100),
    ("no headroom", 100),
    ("rate above capacity", 100),
    ("no path", 50),
    ("invalid", 100),
    ("not found", 100),
    ("illegal step", 100),
    ("request reused", 60),
    ("request out of window", 100),
    ("session ended", 15),
    ("not holder", 100),
    ("lanes in use", 10),
    ("full", 8),
    ("completed", 20),
    ("expired", 20),
    ("session lost", 10),
    ("no show", 1),
    ("forgotten", 100),
    ("same rate later taken", 30),
    ("lower rate taken", 60),
    ("later finish taken", 40),
    ("offer held", 8),
    ("changed", 30),
    ("changed, still booked", 3),
    ("settled", 1),
    ("stale", 50),
    ("batch", 20),
    ("batch refused", 5),
    ("restart", 3),
    ("maintenance", 30),
    ("window over", 20),
    ("drained", 20),
    ("undrained", 20),
    ("capacity lost", 5),
    ("curtailed", 1),
];

/// A restart goes on from an image, and every thousand commands the image of the state is the
/// state: a thousand times in all.
fn reread(machine: &Machine) -> Machine {
    Machine::from_image(machine.limits().clone(), machine.image()).unwrap()
}

/// `scale` is the largest rate that a lane is declared with.
fn differs_nowhere(seed: u64, scale: u64, tight: bool) {
    #[allow(clippy::disallowed_methods, reason = "a switch for people, not a setting of the core")]
    let chosen = std::env::var("MODEL_SEED").ok().map(|text| text.parse().unwrap());
    let seed = chosen.unwrap_or(seed);
    let counts: Counts = run(Setting { seed, scale, tight, reread }, COMMANDS);
    for (what, least) in SHARES {
        let count = counts.get(what).copied().unwrap_or(0);
        assert!(
            least * COMMANDS <= count * 10_000,
            "seed {seed}: too little of {what}: {counts:?}"
        );
    }
}

// Lanes of a few bits, where every rounding shows.

#[test]
fn bits() {
    differs_nowhere(1, 20, false);
}

#[test]
fn bits_tight() {
    differs_nowhere(2, 40, true);
}

// Lanes as they are.

#[test]
fn gigabits() {
    differs_nowhere(3, 10_000_000_000, false);
}

#[test]
fn gigabits_tight() {
    differs_nowhere(4, 10_000_000_000, true);
}

#[test]
fn odd_rates() {
    differs_nowhere(5, 999_999_937, false);
}

#[test]
fn odd_rates_tight() {
    differs_nowhere(6, 7_919, true);
}

// The largest lanes that can be declared.

#[test]
fn petabits() {
    differs_nowhere(7, 1_000_000_000_000_000, false);
}

#[test]
fn petabits_tight() {
    differs_nowhere(8, 1_000_000_000_000_000, true);
}

//! Ten thousand small random networks, one transfer each: when it is finished, whether it is
//! refused, and what is offered instead equal what an oracle finds that looks at each piece of
//! time by itself and proves what the ways carry together. Only the finish may be a millisecond
//! later than that: segments that together gain no more are left out.
//!
//! A failure is shrunk and names its seed; `EXACT_SEED` runs that one alone.
#![allow(clippy::unwrap_used, reason = "a case that cannot be told fails its test")]
#![allow(clippy::print_stdout, reason = "how often what happened is for people to read")]

#[path = "support/exact/mod.rs"]
mod exact;

use exact::case::Case;
use exact::check::{Counts, check};
use exact::{Scale, shrunk};

/// Networks of each test; four of them make ten thousand.
const NETWORKS: u64 = 2500;

/// Of a hundred networks, the most of which the exact plan has more segments than a usual one may.
const CROWDED_PERCENT: u64 = 1;

/// How often each thing must have happened at least, in a thousand networks.
const SHARES: [(&str, u64); 11] = [
    ("granted", 300),
    ("refused", 150),
    ("split", 200),
    ("one of several", 100),
    ("beyond greed", 1),
    ("to the millisecond", 300),
    ("later to the millisecond", 60),
    ("less to the byte", 30),
    ("later taken", 300),
    ("less taken", 300),
    ("crowded", 1),
];

fn exact_everywhere(first: u64, scale: Scale) {
    #[allow(clippy::disallowed_methods, reason = "a switch for people, not a setting of the core")]
    let chosen = std::env::var("EXACT_SEED").ok().map(|text| text.parse().unwrap());
    let seeds = chosen.map_or(first..first + NETWORKS, |seed| seed..seed + 1);
    let mut counts = Counts::new();
    for seed in seeds {
        let case = Case::draw(seed, scale);
        if let Err(why) = check(&case, &mut counts) {
            let (case, why) = shrunk(case, why);
            panic!("seed {seed}: {why}\n{case}");
        }
    }
    println!("{counts:?}");
    let crowded = counts.get("crowded").copied().unwrap_or(0);
    assert!(crowded * 100 <= CROWDED_PERCENT * NETWORKS, "{counts:?}");
    for (what, least) in SHARES.iter().filter(|_| chosen.is_none()) {
        let count = counts.get(what).copied().unwrap_or(0);
        assert!(least * NETWORKS <= count * 1000, "too little of {what}: {counts:?}");
    }
}

/// Lanes of a few bits, where every rounding shows.
#[test]
fn bits() {
    exact_everywhere(1_000_000, Scale { bps: 40, headers: &[0], bookings: 16 });
}

#[test]
fn kilobits_with_headers() {
    let headers = &[0, 77_031, 12_321, 1_000_000, 333_333];
    exact_everywhere(2_000_000, Scale { bps: 8_000, headers, bookings: 16 });
}

#[test]
fn gigabits() {
    let headers = &[77_031, 12_321, 0];
    exact_everywhere(3_000_000, Scale { bps: 10_000_000_000, headers, bookings: 16 });
}

#[test]
fn odd_rates_without_headers() {
    exact_everywhere(4_000_000, Scale { bps: 999_999_937, headers: &[0], bookings: 30 });
}

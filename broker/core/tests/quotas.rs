//! Random operations on random trees of projects with quotas, budgets and classes, against a naive
//! count of who has what.
//!
//! After each of them nobody has more than its quota at any instant, at any level of the tree, but
//! what it had before that was cut; what is counted is what there is; and the events alone lead to the
//! same state. Of a fixed rate the naive count says beforehand whether it is granted, and why not.
//!
//! A failure names its seed and its world. `QUOTAS_SEED` runs another, `QUOTAS_OPERATIONS` more of them,
//! `QUOTAS_WORLD` just that one.
#![allow(clippy::unwrap_used, reason = "a world that trips over itself fails its test")]
#![allow(clippy::print_stdout, reason = "how often what happened is for people to read")]

#[path = "support/quotas/mod.rs"]
mod quotas;
#[path = "support/model/rng.rs"]
#[allow(dead_code, reason = "the model draws more kinds of numbers than quotas need")]
mod rng;

use std::collections::BTreeMap;

use quotas::World;

/// Operations of a usual run.
const OPERATIONS: u64 = 12_000;

/// Operations in one world.
const IN_ONE: u64 = 1500;

/// How often each thing must have happened at least, in ten thousand operations.
const SHARES: [(&str, u64); 29] = [
    ("granted", 500),
    ("granted despite", 30),
    ("above quota", 300),
    ("quota exhausted", 100),
    ("no headroom", 50),
    ("no tier", 5),
    ("class not allowed", 20),
    ("budget short", 5),
    ("room but no budget", 5),
    ("made room", 20),
    ("flexible granted", 100),
    ("volume granted", 100),
    ("several granted", 20),
    ("offer taken", 50),
    ("changed", 50),
    ("change refused", 20),
    ("volume changed", 20),
    ("confirmed", 10),
    ("held on", 10),
    ("released", 200),
    ("policy changed", 300),
    ("quotas in use", 20),
    ("cut below use", 10),
    ("project in use", 5),
    ("maintenance", 20),
    ("topology", 20),
    ("days passed", 5),
    ("session ended", 20),
    ("read again", 10),
];

#[test]
fn no_project_ever_has_more_than_its_quotas_allow() {
    #[allow(clippy::disallowed_methods, reason = "switches for people, not settings of the core")]
    let said = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let operations = said("QUOTAS_OPERATIONS").unwrap_or(OPERATIONS);
    let seed = said("QUOTAS_SEED").unwrap_or(6);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let worlds = operations.div_ceil(IN_ONE);
    let only = said("QUOTAS_WORLD");
    for number in (0..worlds).filter(|number| only.is_none_or(|only| only == *number)) {
        // A few of them have many projects.
        let projects = if number % 16 == 15 { 200 } else { 12 + number % 4 * 12 };
        let mut world = World::new(seed.wrapping_mul(1_000_003) + number, projects);
        for operation in 0..IN_ONE.min(operations - number * IN_ONE) {
            world.place = format!("seed {seed}, world {number}, operation {operation}");
            world.step();
        }
        world.release_all();
        for (what, count) in world.counts {
            *counts.entry(what).or_default() += count;
        }
    }
    println!("{counts:#?}");
    if only.is_some() {
        return;
    }
    for (what, least) in SHARES {
        let count = counts.get(what).copied().unwrap_or(0);
        assert!(least * operations <= count * 10_000, "too little of {what}: {counts:?}");
    }
}

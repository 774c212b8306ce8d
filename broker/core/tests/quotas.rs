//! Random operations on random trees of projects, against a naive count of who has what.
//!
//! After each of them no project has more than its quota at any instant, at any level of the tree,
//! but what it had before that was cut; what is counted is what there is; and the events alone lead
//! to the same state. Where nothing but quotas can be in the way, the naive count says beforehand
//! whether a rate is granted, and why not.
//!
//! A failure names its seed. `QUOTAS_SEED` runs another, `QUOTAS_OPERATIONS` more of them.
#![allow(clippy::unwrap_used, reason = "a world that trips over itself fails its test")]
#![allow(clippy::print_stdout, reason = "how often what happened is for people to read")]

#[path = "support/quotas/mod.rs"]
mod quotas;
#[path = "support/model/rng.rs"]
#[allow(dead_code, reason = "the model draws more kinds of numbers than quotas need")]
mod rng;

use quotas::World;

/// Operations of a usual run.
const OPERATIONS: u64 = 12_000;

/// How often each thing must have happened at least, in ten thousand operations.
const SHARES: [(&str, u64); 15] = [
    ("granted", 1000),
    ("above quota", 300),
    ("quota exhausted", 100),
    ("made room", 1),
    ("flexible granted", 100),
    ("volume granted", 100),
    ("several granted", 20),
    ("offer taken", 50),
    ("changed", 50),
    ("released", 200),
    ("policy changed", 300),
    ("quotas in use", 20),
    ("cut below use", 20),
    ("project in use", 5),
    ("read again", 10),
];

#[test]
fn no_project_ever_has_more_than_its_quotas_allow() {
    #[allow(clippy::disallowed_methods, reason = "switches for people, not settings of the core")]
    let said = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let operations = said("QUOTAS_OPERATIONS").unwrap_or(OPERATIONS);
    let seed = said("QUOTAS_SEED").unwrap_or(6);
    let mut world = World::new(seed);
    for operation in 0..operations {
        world.place = format!("seed {seed}, operation {operation}");
        world.step();
    }
    world.release_all();
    println!("{:#?}", world.counts);
    for (what, least) in SHARES {
        let count = world.counts.get(what).copied().unwrap_or(0);
        assert!(least * operations <= count * 10_000, "too little of {what}: {:?}", world.counts);
    }
}

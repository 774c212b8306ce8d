//! Who may send until when, in virtual time: a broker, agents and a network between them that
//! delays and cuts, with restarts, pauses and wall clocks that are set by an hour. Whatever
//! happens, what the agents may send on a lane by their own law is never more than it can carry.
//!
//! Both sides decide by the code that ships: the broker's machine, its clock, its beats and
//! answers, the client's law. Only time, the network and the tasks around them are made here.
//!
//! `PARTITION_RUNS` sets how many runs there are, `PARTITION_SEED` runs one and tells its story.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "one seed tells its story")]

mod agent;
mod calls;
mod check;
mod operations;
#[path = "../../core/tests/support/model/rng.rs"]
mod rng;
mod server;
mod tally;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use tally::Tally;
use world::World;

/// Runs where nothing else is said.
const RUNS: u64 = 100_000;

fn number(name: &str) -> Option<u64> {
    #[allow(clippy::disallowed_methods, reason = "how long a test runs is no setting of a broker")]
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn run(seed: u64, tally: &mut Tally, tells: bool) {
    let mut world = World::new(seed, tally, tells);
    world.run();
}

/// Every `step`th seed from `first` on.
fn runs(first: u64, step: usize, all: u64) -> Tally {
    let mut tally = Tally::default();
    for seed in (first..all).step_by(step) {
        let done = catch_unwind(AssertUnwindSafe(|| run(seed, &mut tally, false)));
        assert!(
            done.is_ok(),
            "seed {seed} failed; see what happened with\n  PARTITION_SEED={seed} cargo test \
             -p tidegate-broker --test partitions -- --nocapture"
        );
    }
    tally
}

#[test]
fn nobody_sends_what_is_not_booked_whoever_is_cut_off_from_whom() {
    if let Some(seed) = number("PARTITION_SEED") {
        run(seed, &mut Tally::default(), true);
        return;
    }
    let all = number("PARTITION_RUNS").unwrap_or(RUNS);
    let workers = thread::available_parallelism().map_or(1, usize::from).min(8);
    let firsts = 0..u64::try_from(workers).unwrap();
    let workers: Vec<_> =
        firsts.map(|first| thread::spawn(move || runs(first, workers, all))).collect();
    let mut tally = Tally::default();
    for worker in workers {
        tally.add(&worker.join().unwrap());
    }
    println!("{tally}");
    tally.assert_worth(all);
}

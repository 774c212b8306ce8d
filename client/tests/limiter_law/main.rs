//! The law of the limiter in virtual time: no clock decides, and a failing seed reproduces itself.
//!
//! `LIMITER_STEPS=100000000 cargo test --release -p tidegate-client --test limiter_law -- --nocapture`
//! takes so many steps in each of the four tests and prints what they were made of.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bucket;
mod law;
mod random;
mod streams;

/// How many steps to take where `usual` ones are, a hundredth of what is run by hand.
#[allow(clippy::disallowed_methods, reason = "a test has no command line of its own")]
fn steps(usual: u64) -> u64 {
    std::env::var("LIMITER_STEPS").map_or(usual, |steps| steps.parse().unwrap())
}

/// What a run was made of.
#[derive(Default)]
struct Tally(std::collections::BTreeMap<&'static str, u64>);

impl Tally {
    fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    fn tell(&self, test: &str, steps: u64) {
        #[allow(clippy::print_stdout, reason = "what was run is the record")]
        {
            println!("{test}: {steps} steps, 0 violations, {:?}", self.0);
        }
    }
}

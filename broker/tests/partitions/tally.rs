//! How often each thing really happened: a property of runs without faults would say nothing.

use std::collections::BTreeMap;
use std::fmt;

#[derive(Default)]
pub(crate) struct Tally(BTreeMap<&'static str, u64>);

/// What has to have happened, and in how many of a thousand runs at least, on average.
const WORTH: [(&str, u64); 41] = [
    ("grants", 3000),
    ("refusals", 300),
    ("holds confirmed", 100),
    ("changes by holders", 300),
    ("changes by others", 300),
    ("what was kept, settled", 50),
    ("sent under earlier terms", 100),
    ("releases by holders", 100),
    ("releases by others", 100),
    ("sessions closed", 20),
    ("sessions lost", 100),
    ("sent while cut off", 300),
    ("stopped by its own law", 100),
    ("up cut", 200),
    ("down cut", 200),
    ("both cut", 200),
    ("streams broken", 300),
    ("answers that nobody waited for", 50),
    ("requests that nobody waited for", 50),
    ("requests tried again", 100),
    ("pauses", 200),
    ("restarts", 200),
    ("restarts not felt", 50),
    ("wall clock set", 200),
    ("drains", 50),
    ("windows with losses", 50),
    ("curtailed", 20),
    ("capacity lost", 20),
    ("lanes nearly full", 1000),
    ("full rate asserted", 3000),
    ("rate of one segment of several asserted", 1000),
    ("moved for others", 5),
    ("moved off lost capacity", 10),
    ("moved to other terms", 50),
    ("moved while its holder was cut off", 20),
    ("sent under a plan that was moved", 1000),
    ("sent under a plan that was moved away", 100),
    ("no-shows", 5),
    ("sent above the floor", 1000),
    ("live rates that fell", 100),
    ("live rates asked to give way", 20),
];

impl Tally {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    pub(crate) fn assert_worth(&self, runs: u64) {
        for (what, least) in WORTH {
            let found = self.0.get(what).copied().unwrap_or(0);
            assert!(least * runs / 1000 <= found, "{what}: only {found} times in {runs} runs");
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, count)| writeln!(f, "{count:>9} {what}"))
    }
}

//! Single transfers on small random networks, and an oracle that knows the exact answer: it looks
//! at every piece of time by itself and proves by a dual what the ways carry together at most.

pub(crate) mod case;
pub(crate) mod check;
mod draw;
mod lp;
mod oracle;
#[path = "../model/rng.rs"]
pub(crate) mod rng;
pub(crate) mod world;

pub(crate) use draw::Scale;

use case::Case;
use check::{Counts, check};

/// A smaller case that fails as well, and how.
pub(crate) fn shrunk(mut case: Case, mut why: String) -> (Case, String) {
    'again: loop {
        for smaller in case.smaller() {
            if let Err(how) = check(&smaller, &mut Counts::new()) {
                (case, why) = (smaller, how);
                continue 'again;
            }
        }
        return (case, why);
    }
}

//! Random operations with moves and faults, and naive checks of what must never happen.

mod checks;
mod clients;
mod draw;
mod driver;
mod levels;
mod look;
mod net;
mod promises;
#[path = "../model/rng.rs"]
mod rng;
mod tell;
mod time;

pub(crate) use driver::{Counts, Setting, run};

//! How exactly and how cheaply the limiter keeps a rate, with others beside it in the same run.
//!
//! `cargo bench -p tidegate-client --bench limiter` prints a table as it goes, and one line of
//! JSON per figure at the end. `-- --quick` takes shorter windows and fewer rates and leaves out what
//! takes a minute; a word such as `-- costs` runs the parts whose names contain it.
//!
//! The contenders take turns, so that other work on the machine falls on all of them alike. A goal
//! that is missed while other work was running, or where the machine copies hardly faster than the
//! rate, is inconclusive: `ok` is `true`, `false` or `"inconclusive"`, and `null` where there is
//! no goal. Each line has the load average beside it: read no figure without it.
//!
//! Everything moves in memory: this is the limiter and the timer, not a network.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![allow(clippy::print_stdout, reason = "the figures are the output")]
#![allow(clippy::large_futures, reason = "one task on a deep stack, and no allocation per step")]
#![allow(clippy::cast_precision_loss, reason = "figures are for people")]

mod contenders;
mod costs;
#[path = "../figures/mod.rs"]
mod figures;
mod host;
mod live;
mod rates;
mod recording;
mod sharing;
mod slow;

use std::error::Error;

use figures::report::Report;
use tidegate_policy::BitRate;

/// What a part of the benchmark comes to; a figure that is missed is no error.
type Outcome = Result<(), Box<dyn Error>>;

/// How much to do.
struct Options {
    quick: bool,
    parts: Vec<String>,
}

impl Options {
    fn parse(words: impl Iterator<Item = String>) -> Self {
        let mut options = Self { quick: false, parts: Vec::new() };
        for word in words {
            match word.as_str() {
                "--quick" => options.quick = true,
                // What cargo adds by itself.
                word if word.starts_with('-') => {}
                word => options.parts.push(word.into()),
            }
        }
        options
    }

    fn has(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|word| part.contains(word.as_str()))
    }
}

type Part = fn(&mut Report, bool) -> Outcome;

const PARTS: [(&str, Part); 9] = [
    ("costs", costs::run),
    ("windows", rates::windows),
    ("hundred", rates::hundred),
    ("reads", rates::reads),
    ("cpu", rates::cpu),
    ("sharing", sharing::run),
    ("change", live::change),
    ("revoke", live::revoke),
    ("slow", slow::run),
];

fn main() -> Outcome {
    let options = Options::parse(std::env::args().skip(1));
    let mut report = Report::default();
    for (name, part) in PARTS {
        if options.has(name) {
            host::describe(&mut report)?;
            part(&mut report, options.quick)?;
        }
    }
    report.finish();
    Ok(())
}

/// One thread with a timer, as the rest of a program would be.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_time().build()
}

fn rate(bps: u64) -> Result<BitRate, &'static str> {
    BitRate::from_bps(bps).ok_or("the rate is above the largest")
}

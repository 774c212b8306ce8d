//! How far bytes are, for a person at a terminal: their rate beside the one that is granted now, what is
//! left, and what was promised.

use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use tidegate_client::download::Progress;
use tidegate_client::{Grant, Limiter};
use tidegate_policy::BitRate;

use crate::output::{Printer, say};

/// A bar, and what moves bytes under it.
#[derive(Clone)]
pub(super) struct Meter {
    bar: ProgressBar,
    limiters: Arc<Mutex<Vec<Limiter>>>,
}

/// How a bar reads: `━━━╾───  12 MB/40 MB  798Mbit/s of 800Mbit/s  3s left, until ...`.
const TEMPLATE: &str =
    "{bar:24} {decimal_bytes}/{decimal_total_bytes}  {rate}{granted}  {eta} left{msg}";

impl Meter {
    /// One that is seen only where a person looks.
    pub(super) fn new(printer: &Printer) -> Self {
        let limiters: Arc<Mutex<Vec<Limiter>>> = Arc::default();
        if !printer.for_people() || !std::io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden(), limiters };
        }
        let now = Arc::clone(&limiters);
        let style = ProgressStyle::with_template(TEMPLATE)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
                out.write_str(&rounded(state.per_sec() * 8.0)).unwrap_or_default();
            })
            .with_key("granted", move |_: &ProgressState, out: &mut dyn Write| {
                if let Some(rate) = granted(&now) {
                    write!(out, " of {rate}").unwrap_or_default();
                }
            });
        Self { bar: ProgressBar::new(0).with_style(style), limiters }
    }

    /// Bytes move under these grants from now on, one behind the other.
    pub(super) fn begin<'a>(&self, grants: impl IntoIterator<Item = &'a Grant>) {
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        limiters.clear();
        for grant in grants {
            limiters.push(grant.limiter().clone());
            follow(grant, &self.bar);
            self.announce(grant);
        }
    }

    fn announce(&self, grant: &Grant) {
        let Some(granted) = grant.reservation() else {
            self.tell("the broker cannot be reached: going on without a promise");
            return;
        };
        let from = granted.source().map(|it| format!(" from {it}")).unwrap_or_default();
        match granted.promise {
            Some(promise) => {
                self.tell(&format!("granted {promise}{from}, at most {}", granted.rate));
                self.bar.set_message(format!(", promised {promise}"));
            }
            None => {
                self.tell(&format!("granted {}{from} until {}", granted.rate, granted.end));
                self.bar.set_message(format!(", granted until {}", granted.end));
            }
        }
    }

    pub(super) fn moved(&self, progress: Progress) {
        if let Some(total) = progress.total {
            self.bar.set_length(total.bytes());
        }
        self.bar.set_position(progress.moved.bytes());
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn tell(&self, text: &str) {
        self.bar.suspend(|| say(text));
    }
}

/// Tells what becomes of a grant while it is used: that its plan is moved, or that it lags.
fn follow(grant: &Grant, bar: &ProgressBar) {
    let (mut notices, bar) = (grant.notices(), bar.clone());
    // It ends with the grant.
    tokio::spawn(async move {
        let mut before = Vec::new();
        while notices.changed().await.is_ok() {
            let now = notices.borrow_and_update().clone();
            for notice in now.iter().filter(|notice| !before.contains(*notice)) {
                bar.suspend(|| say(&notice.to_string()));
            }
            before = now;
        }
    });
}

/// What is granted now: of several grants in a row the least, as one byte passes all of them.
fn granted(limiters: &Mutex<Vec<Limiter>>) -> Option<BitRate> {
    let limiters = limiters.lock().unwrap_or_else(PoisonError::into_inner);
    limiters.iter().map(Limiter::rate).min()
}

/// A rate as one reads it that changes all the time: three digits.
fn rounded(bps: f64) -> String {
    let units = [(1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")];
    let unit = units.into_iter().find(|(one, _)| *one <= bps);
    let Some((one, unit)) = unit else { return format!("{bps:.0}bit/s") };
    let count = bps / one;
    let digits = if count < 9.995 { 2 } else { usize::from(count < 99.95) };
    format!("{count:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_rate_has_three_digits() {
        for (bps, text) in [
            (0.0, "0bit/s"),
            (999.4, "999bit/s"),
            (1_000.0, "1.00kbit/s"),
            (79_900_000.0, "79.9Mbit/s"),
            (99_960_000.0, "100Mbit/s"),
            (798_400_000.0, "798Mbit/s"),
            (2_345_000_000.0, "2.35Gbit/s"),
        ] {
            assert_eq!(rounded(bps), text);
        }
    }
}

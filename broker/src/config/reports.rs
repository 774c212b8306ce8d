//! Settings of what is told of what was and is.

use std::fmt;

use serde::Deserialize;
use tidegate_policy::{Selector, Span};

/// What is told of what was and is.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportsConfig {
    /// How long buckets of a minute are kept. What is older is dropped within two hours.
    pub minutes_kept: Span,
    /// How long buckets of an hour are kept.
    pub hours_kept: Span,
    /// How many days buckets of a day are kept.
    pub days_kept: u32,
    /// How long reservations that are over are kept, to be exported.
    pub reservations_kept: Span,
    /// The most lanes that `/metrics` tells of; 0: of none.
    pub lanes_in_metrics: usize,
    /// Which lanes it tells of.
    pub metrics_selector: Selector,
}

/// More than this makes a scrape slow and a Prometheus large.
const LANES_MAX: usize = 100_000;

impl ReportsConfig {
    /// Adds what makes no sense.
    pub(super) fn check(&self, faults: &mut Vec<String>) {
        let spans = [
            ("minutes_kept", self.minutes_kept, 3600, "1h"),
            ("hours_kept", self.hours_kept, 172_800, "2days"),
            ("reservations_kept", self.reservations_kept, 3600, "1h"),
        ];
        for (name, span, least, word) in spans {
            if span < Span::from_secs(least) {
                faults.push(format!("reports.{name}: it is {span}; write at least {word}"));
            }
        }
        if !(32..=36_500).contains(&self.days_kept) {
            faults.push(format!("reports.days_kept: it is {}; write 32 to 36500", self.days_kept));
        }
        let lanes = self.lanes_in_metrics;
        if LANES_MAX < lanes {
            faults.push(format!("reports.lanes_in_metrics: it is {lanes}; write 0 to {LANES_MAX}"));
        }
    }
}

impl Default for ReportsConfig {
    fn default() -> Self {
        const DAY: u32 = 86_400;
        let months = Span::from_secs(90 * DAY);
        Self {
            minutes_kept: Span::from_secs(2 * DAY),
            hours_kept: months,
            days_kept: 3 * 365,
            reservations_kept: months,
            lanes_in_metrics: 1000,
            metrics_selector: Selector::all(),
        }
    }
}

/// As a part of a file that reads back the same.
impl fmt::Display for ReportsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { minutes_kept, hours_kept, days_kept, reservations_kept, .. } = self;
        writeln!(f, "[reports]\nminutes_kept = \"{minutes_kept}\"")?;
        writeln!(f, "hours_kept = \"{hours_kept}\"\ndays_kept = {days_kept}")?;
        writeln!(f, "reservations_kept = \"{reservations_kept}\"")?;
        writeln!(f, "lanes_in_metrics = {}", self.lanes_in_metrics)?;
        writeln!(f, "metrics_selector = \"{}\"", self.metrics_selector)
    }
}

//! Settings of what is told of what was and is.

use std::fmt;

use serde::Deserialize;
use tidegate_policy::Selector;

/// What is told of what was and is.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportsConfig {
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
        let Self { lanes_in_metrics, .. } = self;
        if LANES_MAX < *lanes_in_metrics {
            faults.push(format!(
                "reports.lanes_in_metrics: it is {lanes_in_metrics}; write 0 to {LANES_MAX}"
            ));
        }
    }
}

impl Default for ReportsConfig {
    fn default() -> Self {
        Self { lanes_in_metrics: 1000, metrics_selector: Selector::all() }
    }
}

/// As a part of a file that reads back the same.
impl fmt::Display for ReportsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lanes_in_metrics, metrics_selector } = self;
        writeln!(f, "[reports]\nlanes_in_metrics = {lanes_in_metrics}")?;
        writeln!(f, "metrics_selector = \"{metrics_selector}\"")
    }
}

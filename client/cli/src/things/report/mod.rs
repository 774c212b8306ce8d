//! What was, and what is to come.

pub(crate) mod consumers;
pub(crate) mod forecast;
pub(crate) mod refusals;
pub(crate) mod statement;
pub(crate) mod utilization;

/// How many characters a range of time is in a table.
const SPARK: usize = 24;

/// How many characters a bar is.
const BAR: u64 = 20;

/// A bar that is `part` of `whole` long; more than all is all.
fn bar(part: u64, whole: u64) -> String {
    let full = (u128::from(part.min(whole)) * u128::from(BAR)).checked_div(u128::from(whole));
    let full = usize::try_from(full.unwrap_or(0)).unwrap_or(0);
    "█".repeat(if 0 < part { full.max(1) } else { 0 })
}

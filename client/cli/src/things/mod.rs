//! What can be said of each kind of thing: its columns, one file a subject.

mod answered;
mod broker;
pub(crate) mod class;
mod lane;
mod observed;
mod overview;
mod path;
pub(crate) mod policy;
mod refusal;
mod rehearsal;
pub(crate) mod report;
pub(crate) mod reservation;
mod rule;
mod session;
mod told;
mod topology;
mod way;
mod window;

pub(crate) use answered::Answered;
pub(crate) use broker::words as broker_words;
pub(crate) use observed::{Observed, words as observed_words};
pub(crate) use overview::{BusyLane, LastHour, Overview};
pub(crate) use path::words as path_words;
pub(crate) use rehearsal::words as rehearsal_words;
pub(crate) use told::{Told, words as told_words};
pub(crate) use topology::{
    Planned, Undrained, applied_words, drained_words, losses_words, planned_words,
};
pub(crate) use way::words as way_words;
pub(crate) use window::words as window_words;

use crate::output::Value;

/// A number of things: `1 lane`, `2 lanes`.
pub(crate) fn counted(count: u64, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

/// What people want to know of something.
fn labels(labels: &std::collections::BTreeMap<String, String>) -> Value {
    if labels.is_empty() {
        return Value::Nothing;
    }
    Value::texts(labels.iter().map(|(key, value)| format!("{key}={value}")))
}

//! What was refused, alike together.

use tidegate_client::report::RefusalGroup;
use tidegate_policy::BitRate;

use crate::output::{Column, Record, Thing, Tone, Value, records, round};
use crate::things::refusal::reason;

impl Thing for RefusalGroup {
    const ONE: &'static str = "refusal";
    const MANY: &'static str = "refusals";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("refused", "refused_count", |it| Value::Count(it.refused)),
        Column::new("why", "reason", |it| {
            Value::word(reason(it.reason), it.reason.to_string(), Tone::Plain)
        }),
        Column::new("by", "bottleneck", |it| match it.bottleneck.as_str() {
            "" => Value::Nothing,
            "-" => Value::told("(several)", Value::text("-")),
            name => Value::text(name),
        }),
        Column::new("project", "project", |it| match &it.project {
            Some(project) => Value::text(project),
            None => Value::told("(all others)", Value::text("-")),
        }),
        Column::new("class", "class", |it| Value::maybe(it.class.as_ref())),
        Column::new("asked", "highest_asked_bps", |it| {
            it.asked.map_or(Value::Nothing, Value::mean)
        }),
        Column::new("missing", "missing", missing),
        Column::data("least-missing", "least_missing_bps", |it| Value::Rate(it.least_missing)),
        Column::data("most-missing", "most_missing_bps", |it| Value::Rate(it.most_missing)),
        Column::new("offers", "offered_count", |it| Value::Count(it.offered)),
        Column::new("last", "last_time", |it| Value::Time(it.last)),
        Column::wide("fitted", "last_offer", |it| {
            let record = it.last_offer.as_ref().map(crate::things::refusal::offer);
            it.last_offer.as_ref().zip(record).map_or(Value::Nothing, |(offer, record)| {
                Value::told(offer.to_string(), Value::Record(record))
            })
        }),
    ];
}

/// From how much to how much was missing.
fn missing(it: &RefusalGroup) -> Value {
    let (least, most) = (it.least_missing, it.most_missing);
    let words = match (least, most) {
        (_, BitRate::ZERO) => return Value::Nothing,
        (least, most) if least == most => round::rate(most),
        (least, most) => format!("{} to {}", round::rate(least), round::rate(most)),
    };
    Value::told(words, Value::Rate(most))
}

/// Several of them inside something larger.
pub(crate) fn all(groups: &[RefusalGroup]) -> Vec<Record> {
    records(groups)
}

/// The most frequent in words: for a line in something larger.
pub(crate) fn first_words(groups: &[RefusalGroup]) -> Option<String> {
    let first = groups.first()?;
    let by = match first.bottleneck.as_str() {
        "" | "-" => String::new(),
        name => format!(" ({name})"),
    };
    Some(format!("{} because {}{by}", first.refused, first.reason))
}

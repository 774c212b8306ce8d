//! Who had most.

use tidegate_client::report::{Consumer, ConsumerName, Consumers, Consumption};

use crate::output::{Column, Fields, Record, Thing, Value, round};
use crate::things::counted;

impl Thing for Consumer {
    const ONE: &'static str = "consumer";
    const MANY: &'static str = "consumers";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("consumer", "consumer", |it| name(&it.name)),
        Column::new("promised", "promised_bytes", |it| Value::sum(it.consumption.promised)),
        Column::new("used", "used_bytes", |it| Value::sum(it.consumption.used)),
        Column::new("use", "used_percent", |it| used(&it.consumption)),
        Column::new("wasted", "wasted_bytes", |it| Value::sum(it.consumption.wasted)),
        Column::new("waste", "wasted_percent", |it| wasted(&it.consumption)),
        Column::new("unreported", "unreported_bytes", |it| Value::sum(it.consumption.unreported)),
        Column::new("granted", "granted_count", |it| Value::Count(it.consumption.granted)),
        Column::new("refused", "refused_count", |it| Value::Count(it.consumption.refused)),
    ];
}

/// For people without its collection.
pub(crate) fn name(name: &ConsumerName) -> Value {
    let words = match name {
        ConsumerName::Project(project) => project.to_string(),
        ConsumerName::Class(class) => class.to_string(),
        ConsumerName::OtherProjects => "(all others)".to_owned(),
        ConsumerName::NoClass => "(no class)".to_owned(),
    };
    Value::told(words, Value::text(name))
}

/// What was moved of what was promised to those that report. It is good news, however much it is.
pub(crate) fn used(it: &Consumption) -> Value {
    match Value::share_of_bytes(it.used, it.reported()) {
        Value::Percent(percent) => Value::told(format!("{percent} %"), Value::Count(percent)),
        other => other,
    }
}

/// What was not moved of it.
pub(crate) fn wasted(it: &Consumption) -> Value {
    Value::share_of_bytes(it.wasted, it.reported())
}

/// All of it in a line.
pub(crate) fn sum(it: &Consumption) -> String {
    let of = |value: Value| match value {
        Value::Nothing => String::new(),
        value => format!(" ({})", value.exact()),
    };
    let (promised, moved) = (round::size(it.promised), round::size(it.used));
    let (not_moved, unreported) = (round::size(it.wasted), round::size(it.unreported));
    let (used, wasted) = (of(used(it)), of(wasted(it)));
    // On some lanes only, requests are not counted.
    let requests = match (it.granted, it.refused) {
        (0, 0) => String::new(),
        (granted, refused) => {
            format!("; {} granted, {refused} refused", counted(granted, "request"))
        }
    };
    format!(
        "{promised} promised: {moved} moved{used}, {not_moved} not moved{wasted}, {unreported} of \
         which nobody reports{requests}"
    )
}

/// Consumption as fields of something larger.
pub(crate) fn fields(it: &Consumption) -> Fields {
    vec![
        ("promised_bytes", Value::sum(it.promised)),
        ("used_bytes", Value::sum(it.used)),
        ("used_percent", used(it)),
        ("wasted_bytes", Value::sum(it.wasted)),
        ("wasted_percent", wasted(it)),
        ("unreported_bytes", Value::sum(it.unreported)),
        ("granted_count", Value::Count(it.granted)),
        ("refused_count", Value::Count(it.refused)),
    ]
}

pub(crate) fn record(it: &Consumer) -> Record {
    let mut all = vec![("consumer", name(&it.name))];
    all.extend(fields(&it.consumption));
    Record(all)
}

/// What stands below a table of them.
pub(crate) fn foot(found: &Consumers) -> Vec<String> {
    vec![format!("in all {}", sum(&found.total))]
}

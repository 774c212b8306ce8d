//! Projects, what they may have, and what a change of that comes to.

use tidegate_client::policy::{
    Amount, EffectiveLimit, Overuse, PolicyApplied, ProjectChange, ProjectInfo,
};
use tidegate_policy::{Limit, Project};

use super::counted;
use crate::output::{Column, Record, Style, Thing, Tone, Value, painted};

impl Thing for ProjectInfo {
    const ONE: &'static str = "project";
    const MANY: &'static str = "projects";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("name", "name", |it| Value::text(&it.project.id)),
        Column::new("parent", "parent", |it| Value::maybe(it.project.parent.as_ref())),
        Column::new("live", "live_reservation_count", |it| Value::Count(it.live)),
        Column::new("rate", "rate_bps", |it| {
            it.project.quota.rate.map_or(Value::Nothing, Value::Rate)
        }),
        Column::new("reservations", "reservation_count", |it| {
            let most = it.project.quota.reservations;
            most.map_or(Value::Nothing, |most| Value::Count(most.into()))
        }),
        Column::new("rate-each", "rate_each_bps", |it| {
            it.project.quota.rate_each.map_or(Value::Nothing, Value::Rate)
        }),
        Column::new("duration-each", "duration_each", |it| {
            it.project.quota.duration_each.map_or(Value::Nothing, Value::Span)
        }),
        Column::new("horizon", "horizon", |it| {
            it.project.quota.horizon.map_or(Value::Nothing, Value::Span)
        }),
        Column::new("labels", "labels", |it| {
            let labels = it.project.labels.iter().map(|(key, value)| format!("{key}={value}"));
            match it.project.labels.is_empty() {
                true => Value::Nothing,
                false => Value::texts(labels),
            }
        }),
    ];
}

/// A limit that binds a project.
pub(crate) struct Binding(pub(crate) EffectiveLimit);

impl Thing for Binding {
    const ONE: &'static str = "limit";
    const MANY: &'static str = "limits";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("limit", "limit", |it| {
            Value::word(limit(it.0.what), it.0.what.to_string(), Tone::Plain)
        }),
        Column::new("allowed", "allowed", |it| amount(it.0.allowed)),
        Column::new("used", "used", |it| it.0.used.map_or(Value::Nothing, amount)),
        Column::new("of", "project", |it| Value::text(&it.0.project)),
    ];
}

impl Thing for PolicyApplied {
    const ONE: &'static str = "change";
    const MANY: &'static str = "changes";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("etag", "etag", |it| Value::text(&it.etag)),
        Column::new("changes", "changes", |it| {
            Value::Records(it.changes.iter().map(change).collect())
        }),
        Column::new("overuses", "overuses", |it| {
            Value::Records(it.overuses.iter().map(overuse).collect())
        }),
    ];
}

pub(crate) fn limit(what: Limit) -> &'static str {
    match what {
        Limit::Rate => "rate",
        Limit::Reservations => "reservations",
        Limit::RateEach => "rate_each",
        Limit::DurationEach => "duration_each",
        Limit::Horizon => "horizon",
    }
}

/// With its unit for people, a number for programs: in bits per second, reservations or time, as the
/// limit beside it says.
pub(crate) fn amount(amount: Amount) -> Value {
    match amount {
        Amount::Rate(rate) => Value::Rate(rate),
        Amount::Count(count) => Value::Count(count),
        Amount::Time(span) => Value::Span(span),
    }
}

fn change(it: &ProjectChange) -> Record {
    let kind = match (&it.before, &it.after) {
        (None, _) => "added",
        (Some(_), None) => "deleted",
        (Some(_), Some(_)) => "changed",
    };
    let name = it.after.as_ref().or(it.before.as_ref()).map(|project| &project.id);
    Record(vec![("kind", Value::text(kind)), ("project", Value::maybe(name))])
}

fn overuse(it: &Overuse) -> Record {
    Record(vec![
        ("project", Value::text(&it.project)),
        ("limit", Value::text(limit(it.what))),
        ("allowed", amount(it.allowed)),
        ("used", amount(it.used)),
        ("until_time", Value::Time(it.until)),
    ])
}

/// What a change does, for people.
pub(crate) fn applied_words(applied: &PolicyApplied, dry_run: bool, style: Style) -> String {
    if applied.changes.is_empty() {
        return "nothing differs".into();
    }
    let line = |it: &ProjectChange| match (&it.before, &it.after) {
        (None, Some(after)) => painted(&format!("+ {}", described(after)), Tone::Good, style),
        (Some(before), Some(after)) => {
            format!("- {}\n+ {}", described(before), described(after))
        }
        (Some(before), None) => painted(&format!("- {}", described(before)), Tone::Bad, style),
        (None, None) => String::new(),
    };
    let mut lines: Vec<String> = applied.changes.iter().map(line).collect();
    if !applied.overuses.is_empty() {
        lines.push(overuse_words(&applied.overuses));
    }
    let changed = counted(u64::try_from(applied.changes.len()).unwrap_or(u64::MAX), "project");
    lines.push(match dry_run {
        true => format!("{changed} would change; nothing was changed"),
        false => format!("{changed} changed"),
    });
    lines.join("\n")
}

/// Which quotas are below what is used.
pub(crate) fn overuse_words(overuses: &[Overuse]) -> String {
    /// So many are told one by one.
    const NAMED_MAX: usize = 8;
    let mut lines: Vec<String> = overuses.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    let more = overuses.len().saturating_sub(NAMED_MAX);
    if 0 < more {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

fn described(project: &Project) -> String {
    let quota = &project.quota;
    let parts = [
        project.parent.as_ref().map(|parent| format!("in {parent}")),
        quota.rate.map(|it| format!("rate {it}")),
        quota.reservations.map(|it| format!("reservations {it}")),
        quota.rate_each.map(|it| format!("rate-each {it}")),
        quota.duration_each.map(|it| format!("duration-each {it}")),
        quota.horizon.map(|it| format!("horizon {it}")),
    ];
    let labels = project.labels.iter().map(|(key, value)| format!("{key}={value}"));
    let words = parts.into_iter().flatten().chain(labels);
    [project.id.to_string()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

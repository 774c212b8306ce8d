//! Admission rules.

use tidegate_client::policy::{RuleChange, RuleInfo};
use tidegate_policy::{Effect, Rule};

use crate::output::{Column, Record, Thing, Tone, Value};

impl Thing for RuleInfo {
    const ONE: &'static str = "rule";
    const MANY: &'static str = "rules";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("name", "name", |it| Value::text(&it.rule.id)),
        Column::new("then", "then", |it| {
            Value::told(effect(&it.rule.then), Value::Record(Record(vec![then(&it.rule.then)])))
        }),
        Column::new("when", "when", |it| Value::text(&it.rule.when)),
        Column::new("shadow", "shadow", |it| Value::Mark(it.rule.shadow, "yes", Tone::Warning)),
        Column::new("applied", "applied_count", |it| Value::Count(it.applied)),
        Column::new("in-shadow", "shadow_count", |it| Value::Count(it.shadow)),
        Column::wide("comment", "comment", |it| Value::text(&it.rule.comment)),
    ];
}

fn then(effect: &Effect) -> (&'static str, Value) {
    match effect {
        Effect::Deny { message } => ("deny", Value::text(message)),
        Effect::Cap { rate } => ("cap_bps", Value::Rate(*rate)),
        Effect::Class(class) => ("class", Value::text(class)),
        Effect::Priority(priority) => ("priority", Value::Count((*priority).into())),
    }
}

fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Deny { message } => format!("deny {message:?}"),
        Effect::Cap { rate } => format!("cap {rate}"),
        Effect::Class(class) => format!("class {class}"),
        Effect::Priority(priority) => format!("priority {priority}"),
    }
}

pub(super) fn change(it: &RuleChange) -> Record {
    let kind = match (&it.before, &it.after) {
        (None, _) => "added",
        (Some(_), None) => "deleted",
        (Some(_), Some(_)) => "changed",
    };
    let name = it.after.as_ref().or(it.before.as_ref()).map(|rule| &rule.id);
    Record(vec![("kind", Value::text(kind)), ("rule", Value::maybe(name))])
}

/// A rule in one line.
pub(super) fn described(rule: &Rule) -> String {
    let shadow = if rule.shadow { " in shadow" } else { "" };
    format!("rule {}{shadow}: {} when {}", rule.id, effect(&rule.then), rule.when)
}

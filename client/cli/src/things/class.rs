//! Classes of service.

use tidegate_client::policy::ClassChange;
use tidegate_policy::{Class, Overcommit, Part, Span};

use crate::output::{Column, Record, Thing, Tone, Value};

impl Thing for Class {
    const ONE: &'static str = "class";
    const MANY: &'static str = "classes";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("name", "name", |it| Value::text(&it.id)),
        Column::new("ratio", "ratio_ppm", |it| {
            Value::told(it.ratio.to_string(), Value::Count(it.ratio.ppm().into()))
        }),
        Column::new("weight", "weight", |it| Value::Count(it.weight.into())),
        Column::new("priority", "priority", |it| Value::Count(it.priority.into())),
        Column::new("preemptible", "preemptible", |it| {
            Value::Mark(it.preemptible, "yes", Tone::Plain)
        }),
        Column::new("lane-share", "lane_share_ppm", |it| {
            it.lane_share.map_or(Value::Nothing, part)
        }),
        Column::new("headroom", "headroom", |it| {
            let Some(headroom) = it.headroom else { return Value::Nothing };
            let words = format!("{} for up to {}", headroom.part, headroom.longest);
            let fields = vec![
                ("part_ppm", part(headroom.part)),
                ("longest_ms", Value::Span(headroom.longest)),
            ];
            Value::told(words, Value::Record(Record(fields)))
        }),
        Column::new("no-show-grace", "no_show_grace_ms", |it| span(it.no_show_grace)),
        Column::new("hold", "hold_for_ms", |it| span(it.hold_for)),
        Column::new("only", "projects", |it| some(&it.projects)),
        Column::new("tiers", "tiers", |it| some(&it.tiers)),
    ];
}

/// In percent for people, in parts per million for programs.
pub(super) fn part(part: Part) -> Value {
    Value::told(part.to_string(), Value::Ppm(part.ppm()))
}

fn span(span: Option<Span>) -> Value {
    span.map_or(Value::Nothing, Value::Span)
}

fn some<T: ToString>(names: impl IntoIterator<Item = T>) -> Value {
    let names: Vec<T> = names.into_iter().collect();
    if names.is_empty() { Value::Nothing } else { Value::texts(names) }
}

pub(super) fn change(it: &ClassChange) -> Record {
    let kind = match (&it.before, &it.after) {
        (None, _) => "added",
        (Some(_), None) => "deleted",
        (Some(_), Some(_)) => "changed",
    };
    let name = it.after.as_ref().or(it.before.as_ref()).map(|class| &class.id);
    Record(vec![("kind", Value::text(kind)), ("class", Value::maybe(name))])
}

/// A class in one line.
pub(super) fn described(class: &Class) -> String {
    let list = |word: &str, names: Vec<String>| {
        (!names.is_empty()).then(|| format!("{word} {}", names.join(",")))
    };
    let parts = [
        (class.ratio != Overcommit::NONE).then(|| format!("ratio {}", class.ratio)),
        (class.weight != 1).then(|| format!("weight {}", class.weight)),
        (class.priority != 0).then(|| format!("priority {}", class.priority)),
        class.preemptible.then(|| "preemptible".to_owned()),
        class.lane_share.map(|it| format!("lane-share {it}")),
        class.headroom.map(|it| format!("headroom {}:{}", it.part, it.longest)),
        class.no_show_grace.map(|it| format!("no-show-grace {it}")),
        class.hold_for.map(|it| format!("hold {it}")),
        list("only", class.projects.iter().map(ToString::to_string).collect()),
        list("tier", class.tiers.iter().map(ToString::to_string).collect()),
    ];
    let words = parts.into_iter().flatten();
    [format!("class {}", class.id)].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

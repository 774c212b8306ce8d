//! Which lanes lead from one endpoint to another.

use tidegate_client::operator::{ResolvedLane, ResolvedPath};

use crate::output::{Column, Record, Style, Thing, Value, block};

impl Thing for ResolvedPath {
    const ONE: &'static str = "path";
    const MANY: &'static str = "paths";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("path", "path", |it| {
            it.path.map_or(Value::Nothing, |path| Value::Count(path.into()))
        }),
        Column::new("via", "via", |it| {
            Value::texts(it.via.iter().map(|host| format!("hosts/{host}")))
        }),
        Column::new("steering", "steers", |it| Value::texts(&it.steers)),
        Column::new("lanes", "lanes", |it| Value::Records(it.lanes.iter().map(lane).collect())),
    ];
}

fn lane(it: &ResolvedLane) -> Record {
    Record(vec![
        ("lane", Value::text(&it.lane)),
        ("times", Value::Count(it.times.into())),
        ("overhead_ppm", Value::Ppm(it.overhead_ppm)),
    ])
}

/// A path as a table of its lanes.
pub(crate) fn words(it: &ResolvedPath, style: Style) -> String {
    let mut heading = it.path.map_or_else(|| "path".to_owned(), |path| format!("path {path}"));
    if !it.via.is_empty() {
        let via: Vec<String> = it.via.iter().map(|host| format!("hosts/{host}")).collect();
        heading.push_str(&format!(" via {}", via.join(", ")));
    }
    let mut lines = vec![heading];
    lines.extend(it.steers.iter().map(|steer| format!("  {steer}")));
    let rows: Vec<Record> = it.lanes.iter().map(lane).collect();
    lines.extend(block(&rows, style).iter().map(|line| format!("  {line}")));
    lines.join("\n")
}

//! Lanes.

use tidegate_client::topology::Lane;

use crate::output::{Column, Thing, Tone, Value};

impl Thing for Lane {
    const ONE: &'static str = "lane";
    const MANY: &'static str = "lanes";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("lane", "lane", |it| Value::text(&it.name)),
        Column::new("capacity", "capacity_bps", |it| Value::Rate(it.capacity)),
        Column::new("booked", "booked_bps", |it| Value::Rate(it.booked)),
        Column::new("share", "booked_percent", |it| Value::share(it.booked, it.capacity)),
        Column::drawn("load", "load", load),
        Column::new("used", "used_bps", |it| Value::Rate(it.used)),
        Column::new("state", "drained", |it| Value::Mark(it.drained, "drained", Tone::Warning)),
        Column::wide("left", "left_bps", |it| Value::Rate(it.left)),
        Column::wide("nominal", "nominal_bps", |it| Value::Rate(it.nominal)),
    ];
}

/// How many characters all of a lane is.
const BAR: u64 = 20;

/// The share that is booked, as a bar.
fn load(lane: &Lane) -> Value {
    let Value::Percent(percent) = Value::share(lane.booked, lane.capacity) else {
        return Value::Nothing;
    };
    let full = (percent.min(100) * BAR).div_ceil(100);
    let full = usize::try_from(full).unwrap_or(0);
    Value::Text(format!("{:<width$}", "█".repeat(full), width = 20))
}

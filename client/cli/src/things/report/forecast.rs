//! When lanes will be full.

use tidegate_client::report::{Basis, ForecastBucket, LaneForecast};
use tidegate_policy::{BitRate, Span, Timestamp};

use super::{SPARK, bar};
use crate::output::{Column, Record, Style, Thing, Tone, Value, painted, sparkline};

/// One piece of the future of a lane.
pub(crate) struct ForecastRow {
    lane: String,
    bucket: ForecastBucket,
    end: Timestamp,
}

/// Every piece of every lane.
pub(crate) fn rows(lanes: &[LaneForecast], bucket: Span) -> Vec<ForecastRow> {
    let rows = |it: &LaneForecast| {
        let lane = it.lane.clone();
        let rows = it.buckets.clone().into_iter();
        rows.map(move |piece| ForecastRow {
            lane: lane.clone(),
            bucket: piece,
            end: piece.start.plus(bucket),
        })
    };
    lanes.iter().flat_map(rows).collect()
}

impl Thing for LaneForecast {
    const ONE: &'static str = "lane";
    const MANY: &'static str = "lanes";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("lane", "lane", |it| Value::text(&it.lane)),
        Column::new("expected", "expected_percent", |it| most(it, |bucket| bucket.expected)),
        Column::pictured("over-time", "over_time", |it| Value::Text(spark(it))),
        Column::new("full", "full_time", |it| Value::time(it.full)),
        Column::new("trend-a-day", "trend_bps", |it| Value::Trend(it.trend_bps)),
        Column::new("earliest-full", "earliest_full_time", |it| Value::time(it.earliest_full)),
        Column::new("booked-full", "booked_full_time", |it| Value::time(it.booked_full)),
        Column::new("rests-on", "basis", basis),
        Column::wide("booked", "booked_percent", |it| most(it, |bucket| bucket.booked)),
        Column::wide("at-most", "high_percent", |it| most(it, |bucket| bucket.high)),
        Column::wide("history", "history_hours_count", |it| Value::Count(it.history_hours)),
        Column::data("buckets", "buckets", |it| {
            Value::Records(it.buckets.iter().map(piece).collect())
        }),
    ];
}

impl Thing for ForecastRow {
    const ONE: &'static str = "bucket";
    const MANY: &'static str = "buckets";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::data("lane", "lane", |it| Value::text(&it.lane)),
        Column::new("start", "start_time", |it| Value::Time(it.bucket.start)),
        Column::data("end", "end_time", |it| Value::Time(it.end)),
        Column::new("share", "expected_percent", |it| {
            Value::share(it.bucket.expected, it.bucket.capacity)
        }),
        Column::drawn("load", "load", |it| {
            Value::Text(bar(it.bucket.expected.bps(), it.bucket.capacity.bps()))
        }),
        Column::new("booked", "booked_bps", |it| Value::mean(it.bucket.booked)),
        Column::new("expected", "expected_bps", |it| Value::mean(it.bucket.expected)),
        Column::new("low", "low_bps", |it| Value::mean(it.bucket.low)),
        Column::new("high", "high_bps", |it| Value::mean(it.bucket.high)),
        Column::new("capacity", "capacity_bps", |it| Value::mean(it.bucket.capacity)),
    ];
}

fn piece(it: &ForecastBucket) -> Record {
    Record(vec![
        ("start_time", Value::Time(it.start)),
        ("capacity_bps", Value::Rate(it.capacity)),
        ("booked_bps", Value::Rate(it.booked)),
        ("expected_bps", Value::Rate(it.expected)),
        ("low_bps", Value::Rate(it.low)),
        ("high_bps", Value::Rate(it.high)),
    ])
}

/// The largest part of the lane that this is of it.
fn most(it: &LaneForecast, of: fn(&ForecastBucket) -> BitRate) -> Value {
    let share = |bucket: &ForecastBucket| match Value::share(of(bucket), bucket.capacity) {
        Value::Percent(percent) => Some(percent),
        _ => None,
    };
    it.buckets.iter().filter_map(share).max().map_or(Value::Nothing, Value::Percent)
}

fn spark(it: &LaneForecast) -> String {
    let part = |bucket: &ForecastBucket| Some((bucket.expected.bps(), bucket.capacity.bps()));
    sparkline(&it.buckets.iter().map(part).collect::<Vec<_>>(), None, SPARK)
}

fn basis(it: &LaneForecast) -> Value {
    match it.basis {
        Basis::Bookings => Value::word("bookings", "bookings only", Tone::Faint),
        Basis::Daily => Value::word("daily", "hours of the day", Tone::Plain),
        Basis::Weekly => Value::word("weekly", "hours of the week", Tone::Plain),
        Basis::Unknown(_) => Value::word("unknown", "not known", Tone::Faint),
    }
}

/// What stands below: which lane is full first, and how far all of this can be relied on.
pub(crate) fn foot(lanes: &[LaneForecast], style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    let full = lanes.iter().filter_map(|it| Some((it, it.full?))).min_by_key(|(_, full)| *full);
    if let Some((it, full)) = full {
        let words = format!("! {} is likely to be full from {full} on", it.lane);
        lines.push(painted(&words, Tone::Warning, style));
        lines.push(format!(
            "  next: `tidegate report top --lane {} --by promised` says who books it",
            it.lane
        ));
    }
    if lanes.iter().any(|it| it.basis == Basis::Bookings) {
        lines.push(
            "of lanes whose past is not known for long enough, nothing is expected but what is booked"
                .to_owned(),
        );
    }
    lines
}

//! What a request would be answered, way by way and lane by lane.

use tidegate_client::reservation::Outcome;
use tidegate_client::windows::{Explanation, Holder, LaneCheck, Route, WayCheck};

use crate::output::{Column, Record, Style, Thing, Tone, Value, block, painted, records};
use crate::things::refusal;

impl Thing for Explanation {
    const ONE: &'static str = "explanation";
    const MANY: &'static str = "explanations";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("granted", "granted", |it| {
            Value::Flag(matches!(it.answer, Outcome::Granted(_)))
        }),
        Column::new("reservation", "reservation", |it| match &it.answer {
            Outcome::Granted(one) => match records(std::slice::from_ref(one)).pop() {
                Some(record) => Value::Record(record),
                None => Value::Nothing,
            },
            Outcome::Refused(_) => Value::Nothing,
        }),
        Column::new("refusal", "refusal", |it| match &it.answer {
            Outcome::Granted(_) => Value::Nothing,
            Outcome::Refused(one) => Value::Record(refusal::record(one)),
        }),
        Column::new("ways", "ways", |it| Value::Records(it.ways.iter().map(way).collect())),
    ];
}

/// The fields that tell a way from others.
pub(super) fn route(route: &Route) -> Vec<(&'static str, Value)> {
    vec![
        ("source", Value::maybe(route.source.as_ref())),
        ("via", Value::texts(route.via.iter().map(|host| format!("hosts/{host}")))),
        ("path", route.path.map_or(Value::Nothing, |path| Value::Count(path.into()))),
    ]
}

/// A way in words: `from storage/a via hosts/b, path 1`.
pub(super) fn route_words(route: &Route) -> String {
    let mut text = match &route.source {
        Some(source) => format!("from {source}"),
        None => "on the lanes named".to_owned(),
    };
    if !route.via.is_empty() {
        let via: Vec<String> = route.via.iter().map(|host| format!("hosts/{host}")).collect();
        text.push_str(&format!(" via {}", via.join(", ")));
    }
    if let Some(path) = route.path {
        text.push_str(&format!(", path {path}"));
    }
    text
}

fn way(it: &WayCheck) -> Record {
    let mut fields = route(&it.route);
    fields.extend([
        ("fits", Value::Flag(it.fits)),
        ("highest_bps", Value::Rate(it.highest)),
        ("earliest_time", Value::time(it.earliest)),
        ("lanes", Value::Records(it.lanes.iter().map(lane).collect())),
    ]);
    Record(fields)
}

fn lane(it: &LaneCheck) -> Record {
    Record(vec![
        ("lane", Value::text(&it.lane)),
        ("needed_bps", Value::Rate(it.needed)),
        ("free_bps", Value::Rate(it.free)),
        ("booked_bps", Value::Rate(it.booked)),
        ("limit_bps", Value::Rate(it.limit)),
        ("drained", Value::Flag(it.drained)),
        ("tightest_time", Value::time(it.tightest)),
        ("first_free_time", Value::time(it.first_free)),
        ("holders", Value::Records(it.holders.iter().map(holder).collect())),
    ])
}

fn holder(it: &Holder) -> Record {
    Record(vec![
        ("booked_bps", Value::Rate(it.booked)),
        ("reservation", Value::text(it.reservation.id)),
        ("end_time", Value::Time(it.end)),
    ])
}

/// So many ways are shown lane by lane to people.
const WAYS_MAX: usize = 8;

/// Each way with its lanes, and who is on the lanes that are in the way.
pub(crate) fn words(it: &Explanation, style: Style) -> String {
    let mut lines = Vec::new();
    for way in it.ways.iter().take(WAYS_MAX) {
        lines.push(String::new());
        lines.push(heading(way, style));
        let rows: Vec<Record> = way.lanes.iter().map(row).collect();
        lines.extend(block(&rows, style).iter().map(|line| format!("  {line}")));
        for lane in way.lanes.iter().filter(|lane| !fits(lane) && !lane.holders.is_empty()) {
            lines.push(format!("  who is on {} then, the largest first:", lane.lane));
            let rows: Vec<Record> = lane.holders.iter().map(held).collect();
            lines.extend(block(&rows, style).iter().map(|line| format!("    {line}")));
        }
    }
    if WAYS_MAX < it.ways.len() {
        lines.push(format!("\nand {} more ways; -o yaml has all", it.ways.len() - WAYS_MAX));
    }
    lines.join("\n").trim_start_matches('\n').to_owned()
}

fn heading(way: &WayCheck, style: Style) -> String {
    let verdict = match (way.fits, way.earliest) {
        (true, _) => painted("fits", Tone::Good, style),
        (false, Some(time)) => painted(&format!("fits from {time}"), Tone::Warning, style),
        (false, None) => painted("never fits", Tone::Bad, style),
    };
    format!("{}: {verdict}; at most {}", route_words(&way.route), way.highest)
}

fn fits(lane: &LaneCheck) -> bool {
    !lane.drained && lane.needed <= lane.free
}

/// A lane as a row: the verdict first, then the figures behind it.
fn row(it: &LaneCheck) -> Record {
    let verdict = match (it.drained, fits(it)) {
        (true, _) => Value::word("drained", "drained", Tone::Bad),
        (false, true) => Value::word("fits", "fits", Tone::Good),
        (false, false) => Value::word("full", "too full", Tone::Bad),
    };
    Record(vec![
        ("lane", Value::text(&it.lane)),
        ("verdict", verdict),
        ("needed", Value::Rate(it.needed)),
        ("free", Value::Rate(it.free)),
        ("booked", Value::Rate(it.booked)),
        ("limit", Value::Rate(it.limit)),
        ("tightest_at", Value::time(it.tightest.filter(|_| !fits(it)))),
    ])
}

fn held(it: &Holder) -> Record {
    Record(vec![
        ("booked", Value::Rate(it.booked)),
        ("reservation", Value::text(format!("{} until {}", it.reservation.id, it.end))),
    ])
}

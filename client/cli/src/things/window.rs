//! When a rate fits, and how much is free when.

use tidegate_client::windows::{Availability, Search, Step, TimeWindow, Windows};
use tidegate_policy::{BitRate, Timestamp};

use super::way::{route, route_words};
use crate::output::{Column, HEIGHTS, Record, Style, Thing, Tone, Value, block, height, painted};

impl Thing for Windows {
    const ONE: &'static str = "windows";
    const MANY: &'static str = "windows";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("windows", "windows", |it| {
            Value::Records(it.windows.iter().map(window).collect())
        }),
        Column::new("availability", "availability", |it| {
            Value::Records(it.availability.iter().map(availability).collect())
        }),
    ];
}

fn window(it: &TimeWindow) -> Record {
    let mut fields = vec![
        ("start_time", Value::Time(it.start)),
        ("end_time", Value::Time(it.end)),
        ("rate_bps", Value::Rate(it.rate)),
    ];
    fields.extend(route(&it.route));
    Record(fields)
}

fn availability(it: &Availability) -> Record {
    let step = |step: &Step| {
        Record(vec![("start_time", Value::Time(step.start)), ("rate_bps", Value::Rate(step.rate))])
    };
    let mut fields = route(&it.route);
    fields.extend([
        ("steps", Value::Records(it.steps.iter().map(step).collect())),
        ("until_time", Value::Time(it.until)),
    ]);
    Record(fields)
}

/// So many ways are drawn, and so many of their steps told.
const WAYS_MAX: usize = 8;
const STEPS_MAX: usize = 12;

/// The windows first, then a chart for each way, with its steps.
pub(crate) fn words(it: &Windows, search: &Search, style: Style) -> String {
    let mut lines = Vec::new();
    let (min, span) = (search.min, search.duration);
    if it.windows.is_empty() {
        let words = format!("{min} for {span} fits at no time before {}", search.end);
        lines.push(painted(&words, Tone::Bad, style));
    }
    for window in &it.windows {
        let fits = painted(&format!("{min} for {span} fits"), Tone::Good, style);
        let (start, end) = (window.start, window.end);
        let way = route_words(&window.route);
        lines.push(format!("{fits} {start} to {end}, {way}; at most {}", window.rate));
    }
    for way in it.availability.iter().take(WAYS_MAX) {
        lines.push(String::new());
        lines.push(format!("free {}", route_words(&way.route)));
        lines.extend(chart(way, search.min, style));
        let rows: Vec<Record> = way.steps.iter().take(STEPS_MAX).map(|it| row(it, min)).collect();
        lines.extend(block(&rows, style).iter().map(|line| format!("  {line}")));
        if let Some(more) = way.steps.len().checked_sub(STEPS_MAX).filter(|more| 0 < *more) {
            lines.push(format!("  and {more} more steps; -o yaml has all"));
        }
    }
    lines.join("\n")
}

fn row(step: &Step, min: BitRate) -> Record {
    let fits = min <= step.rate;
    let (words, tone) = if fits { ("enough", Tone::Good) } else { ("too little", Tone::Bad) };
    Record(vec![
        ("start", Value::Time(step.start)),
        ("free", Value::Rate(step.rate)),
        ("", Value::word("", words, tone)),
    ])
}

/// How wide a chart is, in characters.
const WIDTH: i64 = 60;

/// The least that is free in each of sixty parts of the time: nothing is shown as free that is not.
fn chart(way: &Availability, min: BitRate, style: Style) -> Vec<String> {
    let Some(first) = way.steps.first() else { return Vec::new() };
    let (start, end) = (first.start.as_ms(), way.until.as_ms());
    let highest = way.steps.iter().map(|step| step.rate).max().unwrap_or(BitRate::ZERO);
    let edge = |part: i64| start.saturating_add((end - start).saturating_mul(part) / WIDTH);
    let mut bars = String::new();
    let mut run = (Tone::Plain, String::new());
    for part in 0..WIDTH {
        let least = least(way, edge(part), edge(part + 1));
        let tone = if min <= least { Tone::Good } else { Tone::Plain };
        if tone != run.0 {
            bars.push_str(&painted(&run.1, run.0, style));
            run = (tone, String::new());
        }
        run.1.push_str(HEIGHTS[height(least.bps(), highest.bps())]);
    }
    bars.push_str(&painted(&run.1, run.0, style));
    let (from, until) = (Value::Time(first.start).brief(), Value::Time(way.until).brief());
    let gap = usize::try_from(WIDTH).unwrap_or(0).saturating_sub(from.len() + until.len());
    vec![format!("  {bars}  {highest} at most"), format!("  {from}{}{until}", " ".repeat(gap))]
}

/// The least that is free between two instants, in milliseconds.
fn least(way: &Availability, from: i64, until: i64) -> BitRate {
    let ends = way.steps.iter().skip(1).map(|step| step.start).chain([way.until]);
    let here = way.steps.iter().zip(ends).filter(|(step, end): &(&Step, Timestamp)| {
        step.start.as_ms() < until.max(from + 1) && from < end.as_ms()
    });
    here.map(|(step, _)| step.rate).min().unwrap_or(BitRate::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_client::windows::Route;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms).unwrap()
    }

    fn rate(text: &str) -> BitRate {
        text.parse().unwrap()
    }

    #[test]
    fn a_chart_shows_nothing_free_that_is_not() {
        let step = |ms, text| Step { start: at(ms), rate: rate(text) };
        let way = Availability {
            route: Route { source: None, via: Vec::new(), path: None },
            steps: vec![step(0, "8Gbit"), step(30_500, "0bit"), step(31_000, "4Gbit")],
            until: at(60_000),
        };
        let lines = chart(&way, rate("1Gbit"), Style::Plain);
        let expected = format!("  {}{}{}  8Gbit/s at most", "█".repeat(30), " ", "▄".repeat(29));
        assert_eq!(lines[0], expected);
    }
}

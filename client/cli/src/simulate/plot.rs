//! A picture of what lanes carry when, as SVG: a row for each lane, of deeper colour the fuller it
//! is, hatched while it can carry less than at its best.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::{Span, Timestamp};

use super::ledger::{Ledger, Loss, Row};
use crate::things::counted;

mod style;

use style::{HEAD_STYLE, LEGEND, ramp};

/// The most lanes of a picture; the fullest are drawn.
const ROWS_MAX: usize = 200;
/// A lane that is never fuller than this is not drawn, in parts per million.
const EMPTY: u64 = 1_000;
/// Shades from nothing to all, and one for more than all.
const SHADES: u64 = 20;
const MILLION: u64 = 1_000_000;

/// Sizes in pixels.
const TOP: u64 = 34;
const COLUMN: u64 = 4;
const ROW: u64 = 14;
const FOOT: u64 = 44;
const RIGHT: u64 = 30;
const LEGEND_TOP: u64 = 30;
/// What a letter takes at most on average, in tenths of a pixel, and the longest part of a name in
/// letters.
const LETTER: u64 = 66;
const PART_MAX: usize = 28;
/// As many marks on the axis of time at most.
const TICKS_MAX: u64 = 12;
const DAY: u64 = 1440;
/// How long marks may be apart, in minutes.
const TICKS: [u64; 14] =
    [1, 5, 15, 30, 60, 120, 240, 360, 720, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 56 * DAY];

/// One picture: what it is called, and what was carried.
pub(super) struct Figure<'a> {
    pub(super) title: &'a str,
    pub(super) ledger: &'a Ledger,
}

/// What all pictures below each other have in common.
struct Frame<F> {
    /// The lanes that are drawn, and how many are not.
    lanes: BTreeSet<String>,
    left_out: usize,
    /// The width of the names, in pixels.
    left: u64,
    /// The instant from which hours are counted, and how it is called.
    origin: Timestamp,
    axis: String,
    called: F,
}

/// Pictures below each other. Hours are counted from `zero`, or else from the hour in which the
/// first begins; `called` says what a lane is called.
pub(super) fn svg(
    figures: &[Figure<'_>],
    zero: Option<Timestamp>,
    called: impl Fn(&str) -> String,
) -> String {
    let frame = Frame::new(figures, zero, called);
    let (mut body, mut top, mut width) = (String::new(), LEGEND_TOP, 0);
    for figure in figures {
        let (drawn, size) = frame.drawn(figure, top);
        body.push_str(&drawn);
        top += size.1;
        width = size.0.max(width);
    }
    let left = frame.left;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {top}\" width=\"{width}\" \
         height=\"{top}\" role=\"img\">\n<title>What lanes carried</title>\n<style>{HEAD_STYLE}{}\
         @media (prefers-color-scheme:dark){{{}}}</style>\n{LEGEND}<g transform=\"translate({left},8)\">\
         {}</g>\n{body}</svg>\n",
        ramp(SHADES, false),
        ramp(SHADES, true),
        style::legend(SHADES),
    )
}

impl<F: Fn(&str) -> String> Frame<F> {
    fn new(figures: &[Figure<'_>], zero: Option<Timestamp>, called: F) -> Self {
        // The same lanes in each, so that a lane is at the same place of all of them.
        let mut fullness: BTreeMap<String, u64> = BTreeMap::new();
        for row in figures.iter().flat_map(|figure| figure.ledger.rows()) {
            let drawn = row.shares_ppm.iter().any(|share| EMPTY <= *share);
            if drawn || !row.losses.is_empty() {
                *fullness.entry(row.lane).or_default() += row.shares_ppm.iter().sum::<u64>();
            }
        }
        let mut lanes: Vec<(String, u64)> = fullness.into_iter().collect();
        lanes.sort_by_key(|(_, fullness)| std::cmp::Reverse(*fullness));
        let left_out = lanes.len().saturating_sub(ROWS_MAX);
        lanes.truncate(ROWS_MAX);
        let lanes: BTreeSet<String> = lanes.into_iter().map(|(lane, _)| lane).collect();
        let letters = lanes.iter().map(|lane| short(&called(lane)).chars().count()).max();
        let left = count(letters.unwrap_or(0)) * LETTER / 10 + 14;
        let start = figures.first().map_or(Timestamp::EPOCH, |figure| figure.ledger.start());
        let (origin, axis) = match zero {
            Some(zero) => (zero, "from second 0 of the requests".to_owned()),
            None => (hour_of(start), format!("from {}", hour_of(start))),
        };
        Self { lanes, left_out, left, origin, axis, called }
    }

    /// One picture from `top` on, and its width and height.
    fn drawn(&self, figure: &Figure<'_>, top: u64) -> (String, (u64, u64)) {
        let rows = figure.ledger.rows();
        let rows: BTreeMap<&str, &Row> = rows.iter().map(|row| (row.lane.as_str(), row)).collect();
        let columns = count(figure.ledger.columns());
        let (width, height) = (columns * COLUMN, count(self.lanes.len()) * ROW);
        let more = match self.left_out {
            0 => String::new(),
            left_out => format!(", the fullest; {left_out} more are not drawn"),
        };
        let mut out = format!(
            "<g transform=\"translate({},{})\">\n<text y=\"-10\" class=\"head\">{}: {}{more}</text>\n",
            self.left,
            top + TOP,
            figure.title,
            counted(count(self.lanes.len()), "lane")
        );
        let scale = Scale { ms: figure.ledger.column_ms(), columns };
        for (place, lane) in (0..).zip(&self.lanes) {
            self.draw_row(&mut out, (lane, rows.get(lane.as_str()).copied()), place * ROW, scale);
        }
        self.draw_axis(&mut out, figure.ledger.start(), (width, height), scale);
        out.push_str("</g>\n");
        (out, (self.left + width + RIGHT, TOP + height + FOOT))
    }

    /// A row: all columns of one shade are one shape.
    fn draw_row(&self, out: &mut String, (lane, row): (&str, Option<&Row>), y: u64, scale: Scale) {
        let called = (self.called)(lane);
        let (nothing, none) = (Vec::new(), Vec::new());
        let (shares, losses) = row.map_or((&nothing, &none), |row| (&row.shares_ppm, &row.losses));
        let mean = shares.iter().sum::<u64>() / count(shares.len()).max(1) / 10_000;
        out.push_str(&format!(
            "<text class=\"name\" x=\"-6\" y=\"{}\">{}</text><g><title>{called}: {mean}% on \
             average ({lane})</title>\n",
            y + ROW - 4,
            short(&called)
        ));
        let height = ROW - 1;
        let mut shapes: BTreeMap<String, String> = BTreeMap::new();
        // What lies below shows through where nothing is carried.
        let below = format!("M0 {y}h{}v{height}H0z", scale.columns * COLUMN);
        shapes.insert("s0".into(), below);
        let mut from = 0;
        for run in shares.chunk_by(|a, b| shade(*a) == shade(*b)) {
            let (x, width) = (from * COLUMN, count(run.len()) * COLUMN);
            from += count(run.len());
            let shade = shade(run.first().copied().unwrap_or(0));
            if shade != "s0" {
                let shape = shapes.entry(shade).or_default();
                shape.push_str(&format!("M{x} {y}h{width}v{height}h-{width}z"));
            }
        }
        for (shade, shape) in shapes {
            out.push_str(&format!("<path class=\"{shade}\" d=\"{shape}\"/>\n"));
        }
        for loss in losses {
            draw_loss(out, loss, &called, y, scale);
        }
        out.push_str("</g>\n");
    }

    fn draw_axis(
        &self,
        out: &mut String,
        start: Timestamp,
        (width, height): (u64, u64),
        scale: Scale,
    ) {
        let first = start.since(self.origin).as_ms();
        let all = scale.columns * scale.ms;
        let step = TICKS.into_iter().find(|step| all / 60_000 / step <= TICKS_MAX);
        let step = step.unwrap_or(365 * DAY);
        let mut at = first.div_ceil(step * 60_000) * step;
        while at * 60_000 <= first + all {
            let x = scale.x(at * 60_000 - first);
            let label = match (at / 60, at % 60) {
                (hours, 0) if step.is_multiple_of(DAY) => format!("{} d", hours / 24),
                (hours, 0) => format!("{hours} h"),
                (hours, minutes) => format!("{hours}:{minutes:02}"),
            };
            out.push_str(&format!(
                "<path class=\"line\" d=\"M{x} 0V{}\"/><text class=\"tick\" x=\"{x}\" \
                 y=\"{}\">{label}</text>\n",
                height + 4,
                height + 16
            ));
            at += step;
        }
        out.push_str(&format!(
            "<path class=\"axis\" d=\"M0 {height}H{width}\"/><text class=\"tick end\" x=\"{width}\" \
             y=\"{}\">{}</text>\n",
            height + 30,
            self.axis
        ));
    }
}

/// From milliseconds to pixels.
#[derive(Clone, Copy)]
struct Scale {
    /// How long a column is, at least 1.
    ms: u64,
    columns: u64,
}

impl Scale {
    fn x(self, ms: u64) -> u64 {
        ms * COLUMN / self.ms.max(1)
    }
}

fn draw_loss(out: &mut String, loss: &Loss, called: &str, y: u64, scale: Scale) {
    let (from, until) = (scale.x(loss.from_ms), scale.x(loss.until_ms));
    out.push_str(&format!(
        "<rect class=\"lost\" x=\"{from}\" y=\"{y}\" width=\"{}\" height=\"{}\"><title>{called}: {}% \
         of its capacity is left</title></rect>\n",
        (until - from).max(1),
        ROW - 1,
        loss.left_ppm / 10_000
    ));
}

/// The hour in which an instant lies.
fn hour_of(at: Timestamp) -> Timestamp {
    let into = u64::try_from(at.as_ms().rem_euclid(3_600_000)).unwrap_or(0);
    at.minus(Span::from_ms(into).unwrap_or_default())
}

/// A name that fits: parts of it that are too long lose their middle, as they differ at their ends.
fn short(name: &str) -> String {
    let part = |part: &str| {
        let letters = part.chars().count();
        if letters <= PART_MAX {
            return part.to_owned();
        }
        let tail = part.chars().skip(letters - PART_MAX / 2);
        part.chars().take(PART_MAX / 2 - 1).chain(['…']).chain(tail).collect()
    };
    name.split('/').map(part).collect::<Vec<String>>().join("/")
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// The class of a share; the last shade is for what is full.
fn shade(ppm: u64) -> String {
    if MILLION < ppm {
        return "over".into();
    }
    format!("s{}", ppm * SHADES / MILLION)
}

#[cfg(test)]
mod tests {
    use tidegate_core::lane::LaneName;
    use tidegate_policy::Interval;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms).unwrap()
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::new(Interval::new(at(0), at(24 * HOUR)).unwrap());
        let (full, nic) = (LaneName::new("links/a/forward"), LaneName::new("hosts/h/nics/n"));
        ledger.limit(at(0), [(&full, 100), (&nic, u64::MAX)].into_iter());
        for lane in [&full, &nic] {
            let lane = ledger.lane(lane, at(0));
            ledger.begin(lane, at(0), 50);
            ledger.begin(lane, at(6 * HOUR), 51);
            ledger.end(lane, at(12 * HOUR), 101);
        }
        ledger.limit(at(18 * HOUR), [(&full, 25)].into_iter());
        ledger.limit(at(21 * HOUR), [(&full, 100)].into_iter());
        ledger
    }

    #[test]
    fn a_lane_is_drawn_as_full_as_it_is() {
        let figure = Figure { title: "full", ledger: &ledger() };
        let drawn = svg(&[figure], Some(at(0)), |lane| lane.replace("/forward", " →"));
        let shapes: Vec<&str> = drawn
            .lines()
            .filter(|line| line.starts_with("<path class=\"s") || line.contains("\"over\" d"))
            .collect();
        assert_eq!(
            shapes,
            [
                "<path class=\"over\" d=\"M240 0h240v13h-240z\"/>",
                "<path class=\"s0\" d=\"M0 0h960v13H0z\"/>",
                "<path class=\"s10\" d=\"M0 0h240v13h-240z\"/>",
            ]
        );
        let lost = "<rect class=\"lost\" x=\"720\" y=\"0\" width=\"120\" height=\"13\"><title>links/a →: \
                    25% of its capacity is left<";
        assert!(drawn.contains(lost), "{drawn}");
        assert!(drawn.contains("full: 1 lane<") && !drawn.contains("nics"), "{drawn}");
        assert!(drawn.contains(">12 h<") && drawn.contains("links/a →: 37% on average"), "{drawn}");
        assert!(drawn.contains(">from second 0 of the requests<"), "{drawn}");
    }

    #[test]
    fn all_pictures_have_the_same_lanes_and_begin_at_a_full_hour() {
        let mut other = Ledger::new(Interval::new(at(HOUR / 2), at(24 * HOUR)).unwrap());
        let lane = LaneName::new("links/b/forward");
        other.limit(at(HOUR / 2), [(&lane, 100)].into_iter());
        let lane = other.lane(&lane, at(HOUR / 2));
        other.begin(lane, at(HOUR), 100);
        other.end(lane, at(2 * HOUR), 100);
        let first = ledger();
        let figures =
            [("a", &other), ("b", &first)].map(|(title, ledger)| Figure { title, ledger });
        let drawn = svg(&figures, None, str::to_owned);
        assert_eq!(drawn.matches("links/b/forward</text>").count(), 2, "{drawn}");
        assert_eq!(drawn.matches("2 lanes<").count(), 2, "{drawn}");
        assert!(drawn.contains(">from 1970-01-01T00:00:00Z<"), "{drawn}");
    }

    #[test]
    fn a_long_name_loses_the_middle_of_its_parts() {
        let long = format!("hosts/rack-{}-17/nics/eth0/ingress", "x".repeat(50));
        assert_eq!(
            short(&long),
            format!("hosts/rack-{}…{}-17/nics/eth0/ingress", "x".repeat(8), "x".repeat(11))
        );
        let fits = format!("hosts/{}/nics/eth0", "x".repeat(PART_MAX));
        assert_eq!(short(&fits), fits);
    }
}

//! A lane as a strip of cells, one for each bucket: how much of it is booked.

use std::collections::BTreeMap;

use maud::{Markup, html};
use tidegate_proto::v1;

use super::axis::Axis;
use super::series::{Series, Unit, series};
use super::{HEIGHT, push};
use crate::web::say;

/// How deep the colour of a cell is. Zero is its own shade, and so is a lane that is full: nobody
/// has to tell two shades apart to see those.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::web) enum Shade {
    Unknown,
    /// From 0 for nothing to 8 for nearly all.
    Part(u8),
    Full,
}

impl Shade {
    pub(in crate::web) fn of(bucket: &v1::UtilizationBucket) -> Self {
        if bucket.unknown {
            return Self::Unknown;
        }
        let (peak, capacity) = (bucket.peak_bps, bucket.capacity_bps);
        if peak <= 0 {
            // What maintenance takes whole is hatched, not full.
            return Self::Part(0);
        }
        match say::permille(peak, capacity) {
            1000.. => Self::Full,
            permille => Self::Part(u8::try_from(1 + permille / 125).unwrap_or(8)),
        }
    }

    fn class(self) -> Option<&'static str> {
        const CLASSES: [&str; 9] = ["q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8"];
        match self {
            Self::Unknown => None,
            Self::Part(part) => CLASSES.get(usize::from(part)).copied(),
            Self::Full => Some("full"),
        }
    }
}

/// Neighbours of one shade: where they begin, and how many they are.
fn runs(lane: &v1::LaneUtilization) -> Vec<(Shade, usize, usize)> {
    let mut runs: Vec<(Shade, usize, usize)> = Vec::new();
    for (index, bucket) in lane.buckets.iter().enumerate() {
        let shade = Shade::of(bucket);
        match runs.last_mut() {
            Some((last, _, length)) if *last == shade => *length += 1,
            _ => runs.push((shade, index, 1)),
        }
    }
    runs
}

/// One path for each shade: a rectangle for each run of cells.
fn paths(runs: &[(Shade, usize, usize)]) -> BTreeMap<&'static str, String> {
    let mut paths: BTreeMap<&'static str, String> = BTreeMap::new();
    for (shade, start, length) in runs {
        let Some(class) = shade.class() else { continue };
        let path = paths.entry(class).or_default();
        push(path, format_args!("M{start} 0h{length}v{HEIGHT}h-{length}z"));
    }
    paths
}

/// The strip of a lane. What it shows is said by `told`.
pub(in crate::web) fn strip(lane: &v1::LaneUtilization, axis: Axis, told: &str) -> Markup {
    let count = lane.buckets.len().max(1);
    let runs = runs(lane);
    let bounds = |start: usize, length: usize| {
        let begin = lane.buckets.get(start)?;
        let next = lane.buckets.get(start + length);
        let begin = say::ms_or_zero(begin.start_time.as_ref());
        let end = next.map_or(axis.end, |next| say::ms_or_zero(next.start_time.as_ref()));
        axis.span(begin, end)
    };
    html! {
        svg.strip width="100%" height="18" role="img" aria-label=(told) {
            svg x="0" y="0" width="100%" height="100%" viewBox={ "0 0 " (count) " " (HEIGHT) }
                preserveAspectRatio="none" {
                @for (class, path) in paths(&runs) { path class=(class) d=(path) {} }
                (cores(&runs))
            }
            @for (shade, start, length) in &runs {
                @if *shade == Shade::Unknown {
                    @if let Some((x, width)) = bounds(*start, *length) {
                        rect.unknown x=(x) y="0" width=(width) height="100%" fill="url(#unknown)" {}
                    }
                }
            }
            (outages(lane, axis))
            (axis.now_line())
        }
    }
}

/// A line through what is full: it is told from nearly full without seeing colours.
fn cores(runs: &[(Shade, usize, usize)]) -> Markup {
    let mut path = String::new();
    for (_, start, length) in runs.iter().filter(|(shade, ..)| *shade == Shade::Full) {
        push(&mut path, format_args!("M{start} 400h{length}v200h-{length}z"));
    }
    html! { @if !path.is_empty() { path.full-core d=(path) {} } }
}

/// Maintenance, hatched: from the top as much as it takes.
fn outages(lane: &v1::LaneUtilization, axis: Axis) -> Markup {
    html! {
        @for outage in &lane.outages {
            @let start = say::ms_or_zero(outage.start_time.as_ref());
            @let end = say::ms_or_zero(outage.end_time.as_ref());
            @if let Some((x, width)) = axis.span(start, end) {
                rect.outage x=(x) y="0" width=(width) height="100%" fill="url(#hatch)" {}
            }
        }
    }
}

/// What the card of a cell says: parts per thousand that are booked at most, and that were used.
pub(in crate::web) fn cells(lane: &v1::LaneUtilization, now: i64) -> String {
    let begun = |it: &v1::UtilizationBucket| say::ms_or_zero(it.start_time.as_ref()) <= now;
    let part = |it: &v1::UtilizationBucket, bps: i64| {
        (!it.unknown).then(|| say::permille(bps, it.capacity_bps))
    };
    let booked = lane.buckets.iter().map(|it| part(it, it.peak_bps));
    let used = lane.buckets.iter().map(|it| part(it, it.used_bps).filter(|_| begun(it)));
    let booked = Series::new("Booked at most", Unit::Permille, booked);
    series(&[booked, Series::new("Used", Unit::Permille, used)])
}

/// What the shades mean.
pub(in crate::web) fn legend() -> Markup {
    let part = |index: u8| Shade::Part(index).class().unwrap_or_default();
    let swatch = |class: &str, fill: Option<&str>| {
        html! {
            svg.swatch width="14" height="14" aria-hidden="true" {
                rect class=(class) width="14" height="14" fill=[fill] {}
            }
        }
    };
    html! {
        ul.legend aria-label="Legend" {
            li { (swatch(part(0), None)) "nothing booked" }
            li {
                svg.swatch width="96" height="14" aria-hidden="true" {
                    @for index in 1..9_u8 {
                        rect class=(part(index)) x=(u32::from(index - 1) * 12) width="12" height="14" {}
                    }
                }
                "a little to nearly all"
            }
            li {
                svg.swatch width="14" height="14" aria-hidden="true" {
                    rect.full width="14" height="14" {}
                    rect.full-core y="5" width="14" height="4" {}
                }
                "full"
            }
            li { (swatch("outage", Some("url(#hatch)"))) "maintenance" }
            li { (swatch("unknown", Some("url(#unknown)"))) "not known" }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidegate_proto::v1;

    use super::super::testing::{points, values};
    use super::*;

    fn lane(cells: &[Option<(i64, i64)>]) -> v1::LaneUtilization {
        let bucket = |(index, cell): (usize, &Option<(i64, i64)>)| {
            let seconds = i64::try_from(index).unwrap() * 60;
            let (peak, capacity) = cell.unwrap_or_default();
            v1::UtilizationBucket {
                start_time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
                peak_bps: peak,
                capacity_bps: capacity,
                unknown: cell.is_none(),
                ..Default::default()
            }
        };
        let buckets = cells.iter().enumerate().map(bucket).collect();
        v1::LaneUtilization { lane: "links/a/forward".into(), buckets, ..Default::default() }
    }

    fn axis(lane: &v1::LaneUtilization) -> Axis {
        Axis { start: 0, end: i64::try_from(lane.buckets.len()).unwrap() * 60_000, now: 0 }
    }

    #[test]
    fn shades_tell_nothing_from_little_and_nearly_all_from_full() {
        let shade = |peak, capacity| Shade::of(&lane(&[Some((peak, capacity))]).buckets[0]);
        assert_eq!(shade(0, 10), Shade::Part(0));
        assert_eq!(shade(1, 1_000_000), Shade::Part(1));
        assert_eq!(shade(999_999, 1_000_000), Shade::Part(8));
        assert_eq!(shade(10, 10), Shade::Full);
        assert_eq!(shade(0, 0), Shade::Part(0));
        assert_eq!(shade(1, 0), Shade::Full);
        assert_eq!(Shade::of(&lane(&[None]).buckets[0]), Shade::Unknown);
    }

    #[test]
    fn what_is_to_come_is_not_said_to_be_used() {
        let mut lane = lane(&[Some((5, 10)), None, Some((10, 10)), Some((0, 10))]);
        lane.buckets[0].used_bps = 1;
        assert_eq!(cells(&lane, 120_000), "Booked at most|%|500 - 1000 0;Used|%|100 - 0 -");
    }

    proptest! {
        #[test]
        fn every_cell_is_drawn_once_and_inside(
            cells in proptest::collection::vec(
                proptest::option::weighted(0.8, (0_i64..12, 0_i64..10)), 0..80),
        ) {
            let lane = lane(&cells);
            let drawn = strip(&lane, axis(&lane), "told").into_string();
            let mut seen = vec![0_u32; cells.len()];
            for path in values(&drawn, "d") {
                for rectangle in path.split_inclusive('z') {
                    let corners = points(rectangle);
                    let (left, top) = corners[0];
                    let (right, bottom) = corners[2];
                    if (top, bottom) == (400, 600) {
                        // The line through what is full, which is drawn already.
                        continue;
                    }
                    prop_assert_eq!((top, bottom), (0, HEIGHT));
                    for cell in left..right {
                        seen[usize::try_from(cell).unwrap()] += 1;
                    }
                }
            }
            // Percents of what is unknown, as they are written, cover exactly the rest.
            let unknown = drawn.matches("url(#unknown)").count();
            let mut runs = cells.chunk_by(|a, b| a.is_none() == b.is_none());
            prop_assert_eq!(unknown, runs.by_ref().filter(|run| run[0].is_none()).count());
            for (cell, seen) in cells.iter().zip(seen) {
                prop_assert_eq!(seen, u32::from(cell.is_some()));
            }
        }
    }
}

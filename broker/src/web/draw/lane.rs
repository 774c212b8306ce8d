//! One lane over time: who has it, under what it can carry, and what moved.

use maud::{Markup, html};
use tidegate_proto::v1;

use super::axis::Axis;
use super::series::{Series, Unit, series};
use super::{HEIGHT, Share, area, round_up, stairs};
use crate::web::say;

/// How many colours tell holders apart before they come again.
const COLOURS: usize = 8;

/// What one holder has of a lane, bucket by bucket.
#[derive(Clone, Debug)]
pub(in crate::web) struct Layer {
    /// What its title says.
    pub(in crate::web) told: String,
    /// Where its page is.
    pub(in crate::web) href: Option<String>,
    /// Its class in the style sheet.
    pub(in crate::web) class: &'static str,
    /// The mean that it books over each bucket, in bits per second.
    pub(in crate::web) amounts: Vec<i64>,
}

/// The colour of the holder at a place in the list.
pub(in crate::web) fn colour(index: usize) -> &'static str {
    const CLASSES: [&str; COLOURS] = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];
    CLASSES[index % COLOURS]
}

/// The highest that anything in the picture is, with some air.
fn ceiling(lane: &v1::LaneUtilization) -> i64 {
    let highest = |it: &v1::UtilizationBucket| {
        let observed = it.observed_bps.unwrap_or_default();
        [it.capacity_bps, it.booked_bps, it.used_bps, observed].into_iter().max().unwrap_or(0)
    };
    let highest = lane.buckets.iter().map(highest).max().unwrap_or(0).max(1);
    highest.saturating_add(highest / 12)
}

/// Round amounts below the top of a picture, with room for a label above each.
fn ticks(top: i64) -> impl Iterator<Item = i64> {
    let step = round_up(top / 5).max(1);
    let highest = top.saturating_sub(top / 10);
    (1..=5_i64).map(move |index| index.saturating_mul(step)).filter(move |tick| *tick < highest)
}

/// Lines at round amounts: below everything else.
pub(super) fn rules(top: i64) -> Markup {
    html! {
        @for tick in ticks(top) {
            @let y = Share::of(top.saturating_sub(tick), top);
            line.grid x1="0" x2="100%" y1=(y) y2=(y) {}
        }
    }
}

/// What the lines are: above everything else.
pub(super) fn amounts(top: i64, say: fn(i64) -> String) -> Markup {
    html! {
        @for tick in ticks(top) {
            @let y = Share::of(top.saturating_sub(tick), top);
            text.amount x="4" y=(y) dy="-4" aria-hidden="true" { (say(tick)) }
        }
    }
}

/// The picture: layers upon each other, the largest at the bottom.
pub(in crate::web) fn stack(lane: &v1::LaneUtilization, axis: Axis, layers: &[Layer]) -> Markup {
    let (top, count) = (ceiling(lane), lane.buckets.len());
    let known = |it: &v1::UtilizationBucket, bps: i64| (!it.unknown).then_some(bps);
    let line = |bps: fn(&v1::UtilizationBucket) -> Option<i64>| {
        stairs(lane.buckets.iter().map(|it| bps(it).and_then(|bps| known(it, bps))), top)
    };
    let past = |it: &v1::UtilizationBucket| say::ms_or_zero(it.start_time.as_ref()) < axis.now;
    let used = lane.buckets.iter().map(|it| known(it, it.used_bps).filter(|_| past(it)));
    html! {
        svg.chart width="100%" height="320" role="group" aria-labelledby="chart-title chart-desc" {
            title id="chart-title" { "What is booked on " (lane.lane) " over time" }
            desc id="chart-desc" {
                "Holders stacked upon each other, below the line of what the lane can carry; what \
                 sessions moved is a line over them. The table below has the same numbers."
            }
            (unknown(lane, axis))
            (axis.grid())
            (rules(top))
            svg width="100%" height="100%" viewBox={ "0 0 " (count.max(1)) " " (HEIGHT) }
                preserveAspectRatio="none" {
                (layered(layers, count, top))
                path.line.used d=(stairs(used, top)) {}
                path.line.observed d=(line(|it| it.observed_bps)) {}
                path.line.capacity d=(line(|it| Some(it.capacity_bps))) {}
            }
            (outages(lane, axis, top))
            (axis.now_line())
            (amounts(top, say::rate_text))
        }
    }
}

fn layered(layers: &[Layer], count: usize, top: i64) -> Markup {
    let mut floor = vec![0_i64; count];
    let mut drawn = Vec::new();
    for layer in layers {
        let amounts = layer.amounts.iter().copied().chain(std::iter::repeat(0));
        let bounds: Vec<(i64, i64)> = floor
            .iter()
            .zip(amounts)
            .map(|(low, amount)| (*low, low.saturating_add(amount.max(0))))
            .collect();
        floor = bounds.iter().map(|(_, high)| *high).collect();
        drawn.push((layer, area(&bounds, top)));
    }
    html! {
        @for (layer, path) in drawn {
            @match &layer.href {
                // The table links the same pages: one stop of the keyboard for each is enough.
                Some(href) => a href=(href) tabindex="-1" aria-label=(layer.told) {
                    path.layer.(layer.class) d=(path) { title { (layer.told) } }
                },
                None => path.layer.(layer.class) d=(path) { title { (layer.told) } },
            }
        }
    }
}

/// Where nothing is known of the past.
fn unknown(lane: &v1::LaneUtilization, axis: Axis) -> Markup {
    let runs = lane.buckets.chunk_by(|a, b| a.unknown == b.unknown);
    let mut at = 0_usize;
    let runs = runs.map(|run| {
        at += run.len();
        let start = run.first().map_or(0, |it| say::ms_or_zero(it.start_time.as_ref()));
        let end = lane.buckets.get(at);
        let end = end.map_or(axis.end, |it| say::ms_or_zero(it.start_time.as_ref()));
        (run.first().is_some_and(|it| it.unknown), start, end)
    });
    html! {
        @for (unknown, start, end) in runs {
            @if let Some((x, width)) = axis.span(start, end).filter(|_| unknown) {
                rect.unknown x=(x) y="0" width=(width) height="100%" fill="url(#unknown)" {
                    title { "Not known" }
                }
            }
        }
    }
}

/// What maintenance takes: hatched from what is left up to the highest that there is.
fn outages(lane: &v1::LaneUtilization, axis: Axis, top: i64) -> Markup {
    let highest = lane.buckets.iter().map(|it| it.capacity_bps).max().unwrap_or(0);
    html! {
        @for outage in &lane.outages {
            @let start = say::ms_or_zero(outage.start_time.as_ref());
            @let end = say::ms_or_zero(outage.end_time.as_ref());
            @let y = Share::of(top.saturating_sub(highest), top);
            @let floor = Share::of(top.saturating_sub(outage.left_bps), top);
            @if let Some((x, width)) = axis.span(start, end) {
                rect.outage x=(x) y=(y) width=(width) height=(y.to(floor)) fill="url(#hatch)" {
                    title {
                        "Maintenance until " (say::time_text(end, axis.now)) ": "
                        (say::rate_text(outage.left_bps)) " left"
                    }
                }
            }
        }
    }
}

/// The numbers for the card.
pub(in crate::web) fn numbers(lane: &v1::LaneUtilization, now: i64) -> String {
    let begun = |it: &v1::UtilizationBucket| say::ms_or_zero(it.start_time.as_ref()) <= now;
    let used = lane.buckets.iter().map(|it| (!it.unknown && begun(it)).then_some(it.used_bps));
    let rate = |label, bps: fn(&v1::UtilizationBucket) -> Option<i64>| {
        let values = lane.buckets.iter().map(move |it| bps(it).filter(|_| !it.unknown));
        Series::new(label, Unit::Rate, values)
    };
    let mut all = vec![
        rate("Capacity", |it| Some(it.capacity_bps)),
        rate("Booked", |it| Some(it.booked_bps)),
        rate("Booked at most", |it| Some(it.peak_bps)),
        rate("Free at least", |it| Some(it.headroom_bps)),
        Series::new("Used", Unit::Rate, used),
    ];
    if lane.buckets.iter().any(|it| it.observed_bps.is_some()) {
        all.push(rate("Observed", |it| it.observed_bps));
    }
    series(&all)
}

/// How high a level is drawn, for whoever tests it.
#[cfg(test)]
pub(super) fn drawn(amount: i64, lane: &v1::LaneUtilization) -> i64 {
    super::level(amount, ceiling(lane))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{is_well_formed, points, values};
    use super::*;

    fn bucket((index, booked): (usize, &i64)) -> v1::UtilizationBucket {
        v1::UtilizationBucket {
            start_time: Some(prost_types::Timestamp {
                seconds: i64::try_from(index).unwrap() * 60,
                nanos: 0,
            }),
            capacity_bps: 1000,
            booked_bps: *booked,
            used_bps: booked / 2,
            unknown: booked % 7 == 6,
            ..Default::default()
        }
    }

    proptest! {
        #[test]
        fn layers_lie_upon_each_other_and_inside(
            shares in proptest::collection::vec((0_i64..400, 0_i64..400, 0_i64..400), 1..40),
        ) {
            let booked: Vec<i64> = shares.iter().map(|(a, b, c)| a + b + c).collect();
            let lane = v1::LaneUtilization {
                lane: "<i>hostile".into(),
                buckets: booked.iter().enumerate().map(bucket).collect(),
                ..Default::default()
            };
            let layer = |index: usize, amount: fn(&(i64, i64, i64)) -> i64| Layer {
                told: "\"><script>".into(),
                href: Some("/reservations/1".into()),
                class: colour(index),
                amounts: shares.iter().map(amount).collect(),
            };
            let layers = [layer(0, |it| it.0), layer(1, |it| it.1), layer(9, |it| it.2)];
            let count = i64::try_from(shares.len()).unwrap();
            let axis = Axis { start: 0, end: count * 60_000, now: 30_000 };
            let shown = stack(&lane, axis, &layers).into_string();
            prop_assert_eq!(is_well_formed(&shown), Ok(()));
            prop_assert!(!shown.contains("<script>") && !shown.contains("<i>"));
            for path in values(&shown, "d") {
                for (x, y) in points(path) {
                    prop_assert!((0..=count).contains(&x) && (0..=HEIGHT).contains(&y));
                }
            }
            // The uppermost layer ends where the whole is.
            let first = drawn(booked[0], &lane);
            if 0 < shares[0].2 {
                let path = values(&shown, "d")[2];
                prop_assert_eq!(points(path)[0], (0, HEIGHT - first));
            }
        }
    }
}

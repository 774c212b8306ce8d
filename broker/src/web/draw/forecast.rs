//! The future of a lane: what is booked, what is likely, and within which band.

use maud::{Markup, html};
use tidegate_proto::v1;

use super::axis::Axis;
use super::lane::{amounts, rules};
use super::series::{Series, Unit, series};
use super::{HEIGHT, area, stairs};
use crate::web::say;

/// The picture of one lane; `id` tells it from the others of the page.
pub(in crate::web) fn forecast(lane: &v1::LaneForecast, axis: Axis, id: usize) -> Markup {
    let buckets = &lane.buckets;
    let highest = |it: &v1::ForecastBucket| it.capacity_bps.max(it.high_bps).max(it.booked_bps);
    let highest = buckets.iter().map(highest).max().unwrap_or(0).max(1);
    let top = highest.saturating_add(highest / 10);
    let between = |low: fn(&v1::ForecastBucket) -> i64, high: fn(&v1::ForecastBucket) -> i64| {
        let bounds: Vec<_> = buckets.iter().map(|it| (low(it), high(it))).collect();
        area(&bounds, top)
    };
    let line =
        |of: fn(&v1::ForecastBucket) -> i64| stairs(buckets.iter().map(|it| Some(of(it))), top);
    let full = lane.full_time.as_ref().map(|at| axis.share(say::ms(at)));
    html! {
        svg.chart width="100%" height="180" role="img"
            aria-labelledby={ "forecast-" (id) "-title forecast-" (id) "-desc" } {
            title id={ "forecast-" (id) "-title" } { "The future of " (lane.lane) }
            desc id={ "forecast-" (id) "-desc" } {
                "What is booked already as an area, what is likely as a line within its band, and \
                 what the lane can carry as a line above."
            }
            (axis.grid())
            (rules(top))
            svg width="100%" height="100%" viewBox={ "0 0 " (buckets.len().max(1)) " " (HEIGHT) }
                preserveAspectRatio="none" {
                path.band d=(between(|it| it.low_bps, |it| it.high_bps)) {}
                path.booked d=(between(|_| 0, |it| it.booked_bps)) {}
                path.line.expected d=(line(|it| it.expected_bps)) {}
                path.line.capacity d=(line(|it| it.capacity_bps)) {}
            }
            @if let Some(x) = full {
                line.full-mark x1=(x) x2=(x) y1="0" y2="100%" {}
            }
            (amounts(top, say::rate_text))
        }
    }
}

/// The numbers for the card.
pub(in crate::web) fn numbers(lane: &v1::LaneForecast) -> String {
    let rate = |label, bps: fn(&v1::ForecastBucket) -> i64| {
        Series::new(label, Unit::Rate, lane.buckets.iter().map(move |it| Some(bps(it))))
    };
    series(&[
        rate("Capacity", |it| it.capacity_bps),
        rate("At most", |it| it.high_bps),
        rate("Likely", |it| it.expected_bps),
        rate("At least", |it| it.low_bps),
        rate("Booked", |it| it.booked_bps),
    ])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{is_well_formed, points, values};
    use super::*;

    proptest! {
        #[test]
        fn whatever_is_likely_stays_inside(
            rates in proptest::collection::vec((0_i64..100, 0_i64..100, 0_i64..100), 0..50),
            full in proptest::option::of(-10_i64..100),
        ) {
            let bucket = |(booked, more, band): &(i64, i64, i64)| v1::ForecastBucket {
                start_time: None,
                capacity_bps: 100,
                booked_bps: *booked,
                expected_bps: booked + more,
                low_bps: *booked,
                high_bps: booked + more + band,
            };
            let at = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
            let lane = v1::LaneForecast {
                lane: "links/<b>/forward".into(),
                buckets: rates.iter().map(bucket).collect(),
                full_time: full.map(at),
                ..Default::default()
            };
            let shown = forecast(&lane, Axis { start: 0, end: 50_000, now: 0 }, 3).into_string();
            prop_assert_eq!(is_well_formed(&shown), Ok(()));
            prop_assert!(!shown.contains("<b>"));
            let count = i64::try_from(rates.len()).unwrap();
            for path in values(&shown, "d") {
                for (x, y) in points(path) {
                    prop_assert!((0..=count).contains(&x) && (0..=HEIGHT).contains(&y));
                }
            }
        }
    }
}

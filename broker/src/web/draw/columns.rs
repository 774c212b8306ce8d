//! What somebody had, period by period, as columns.

use maud::{Markup, html};
use tidegate_proto::v1;

use super::axis::Axis;
use super::lane::{amounts, rules};
use super::series::{Series, Unit, series};
use super::{HEIGHT, area};
use crate::web::say;

/// What of a promise was used, what was wasted, and of what nobody reports.
fn parts(it: &v1::Consumption) -> [i64; 3] {
    [it.used_bytes, it.wasted_bytes, it.unreported_bytes].map(|part| part.max(0))
}

/// The picture: used at the bottom, then wasted, then unreported.
pub(in crate::web) fn columns(periods: &[v1::StatementPeriod], axis: Axis) -> Markup {
    let had: Vec<[i64; 3]> =
        periods.iter().map(|it| it.consumption.as_ref().map(parts).unwrap_or_default()).collect();
    let whole = |it: &[i64; 3]| it.iter().fold(0_i64, |sum, part| sum.saturating_add(*part));
    let highest = had.iter().map(whole).max().unwrap_or(0).max(1);
    let top = highest.saturating_add(highest / 10);
    let layer = |index: usize| {
        let bounds: Vec<(i64, i64)> = had
            .iter()
            .map(|it| {
                let below = it.iter().take(index).fold(0_i64, |sum, it| sum.saturating_add(*it));
                (below, below.saturating_add(it.get(index).copied().unwrap_or_default()))
            })
            .collect();
        area(&bounds, top)
    };
    html! {
        svg.chart width="100%" height="200" role="img" aria-labelledby="chart-title chart-desc" {
            title id="chart-title" { "What was had, period by period" }
            desc id="chart-desc" {
                "Bytes that were used, wasted, and not reported, stacked upon each other. The table \
                 below has the same numbers."
            }
            (axis.grid())
            (rules(top))
            svg width="100%" height="100%" viewBox={ "0 0 " (periods.len().max(1)) " " (HEIGHT) }
                preserveAspectRatio="none" {
                @for (index, class) in ["used-part", "wasted-part", "unreported-part"].iter().enumerate() {
                    path.column.(class) d=(layer(index)) {}
                }
            }
            (amounts(top, say::bytes_text))
        }
    }
}

/// The numbers for the card.
pub(in crate::web) fn numbers(periods: &[v1::StatementPeriod]) -> String {
    let bytes = |label, of: fn(&v1::Consumption) -> i64| {
        let values = periods.iter().map(move |it| it.consumption.as_ref().map(of));
        Series::new(label, Unit::Bytes, values)
    };
    series(&[
        bytes("Promised", |it| it.promised_bytes),
        bytes("Used", |it| it.used_bytes),
        bytes("Wasted", |it| it.wasted_bytes),
        bytes("Not reported", |it| it.unreported_bytes),
    ])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{is_well_formed, points, values};
    use super::*;

    proptest! {
        #[test]
        fn columns_stay_inside(
            had in proptest::collection::vec((0_i64..i64::MAX, 0_i64..99, 0_i64..99), 0..50),
        ) {
            let period = |(used, wasted, unreported): &(i64, i64, i64)| v1::StatementPeriod {
                start_time: None,
                consumption: Some(v1::Consumption {
                    used_bytes: *used,
                    wasted_bytes: *wasted,
                    unreported_bytes: *unreported,
                    ..Default::default()
                }),
            };
            let periods: Vec<_> = had.iter().map(period).collect();
            let shown = columns(&periods, Axis { start: 0, end: 50, now: 0 }).into_string();
            prop_assert_eq!(is_well_formed(&shown), Ok(()));
            let count = i64::try_from(had.len()).unwrap();
            for path in values(&shown, "d") {
                for (x, y) in points(path) {
                    prop_assert!((0..=count).contains(&x) && (0..=HEIGHT).contains(&y));
                }
            }
        }
    }
}

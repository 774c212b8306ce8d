//! The plan of a reservation: which rate when, on which of its ways.

use std::collections::BTreeSet;

use maud::{Markup, html};
use tidegate_proto::v1;

use super::Share;
use super::axis::Axis;
use super::lane::{amounts, colour, rules};
use crate::web::say;

/// A rate on one way from one change of the plan to the next, above those of other ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Piece {
    way: i32,
    start: i64,
    end: i64,
    below: i64,
    rate: i64,
}

fn bounds(segment: &v1::Segment) -> (i64, i64) {
    let at = |it: &Option<prost_types::Timestamp>| say::ms_or_zero(it.as_ref());
    (at(&segment.start_time), at(&segment.end_time))
}

/// The plan, cut wherever any way changes, so that ways lie upon each other.
fn pieces(segments: &[v1::Segment]) -> Vec<Piece> {
    let cuts: BTreeSet<i64> = segments
        .iter()
        .flat_map(|it| {
            let (start, end) = bounds(it);
            [start, end]
        })
        .collect();
    let cuts: Vec<i64> = cuts.into_iter().collect();
    let mut pieces = Vec::new();
    for pair in cuts.windows(2) {
        let [start, end] = *pair else { continue };
        let mut below = 0_i64;
        for segment in segments {
            let (from, until) = bounds(segment);
            if from <= start && end <= until {
                let (way, rate) = (segment.way, segment.rate_bps);
                pieces.push(Piece { way, start, end, below, rate });
                below = below.saturating_add(rate);
            }
        }
    }
    pieces
}

/// The picture. `ends` are instants that matter: a deadline, or when a hold lapses, with their names.
pub(in crate::web) fn plan(
    segments: &[v1::Segment],
    axis: Axis,
    ends: &[(&'static str, i64)],
) -> Markup {
    let pieces = pieces(segments);
    let highest = pieces.iter().map(|it| it.below.saturating_add(it.rate)).max().unwrap_or(0);
    let top = highest.max(1).saturating_add(highest / 8);
    let height = |amount: i64| Share::of(top.saturating_sub(amount), top);
    html! {
        svg.chart width="100%" height="160" role="img" aria-labelledby="chart-title chart-desc" {
            title id="chart-title" { "Which rate it may send at when" }
            desc id="chart-desc" { "A bar for each piece of the plan, as high as its rate." }
            (axis.grid())
            (rules(top))
            @for piece in &pieces {
                @if let Some((x, width)) = axis.span(piece.start, piece.end) {
                    @let y = height(piece.below.saturating_add(piece.rate));
                    rect.layer.(colour(usize::try_from(piece.way).unwrap_or(0)))
                        x=(x) y=(y) width=(width) height=(y.to(height(piece.below))) {
                        title {
                            (say::rate_text(piece.rate)) " from "
                            (say::time_text(piece.start, axis.now)) " to "
                            (say::time_text(piece.end, axis.now))
                        }
                    }
                }
            }
            @for (told, at) in ends {
                @let x = axis.share(*at);
                line.full-mark x1=(x) x2=(x) y1="0" y2="100%" { title { (told) } }
            }
            (axis.now_line())
            (amounts(top, say::rate_text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::is_well_formed;
    use super::*;

    fn segment(way: i32, start: i64, end: i64, rate_bps: i64) -> v1::Segment {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        v1::Segment {
            way,
            rate_bps,
            start_time: at(start),
            end_time: at(end),
            ..Default::default()
        }
    }

    #[test]
    fn ways_at_the_same_time_lie_upon_each_other() {
        let segments = [segment(0, 0, 10, 5), segment(1, 4, 6, 3), segment(0, 20, 30, 2)];
        let piece = |way, start: i64, end: i64, below, rate| Piece {
            way,
            start: start * 1000,
            end: end * 1000,
            below,
            rate,
        };
        let wanted = [
            piece(0, 0, 4, 0, 5),
            piece(0, 4, 6, 0, 5),
            piece(1, 4, 6, 5, 3),
            piece(0, 6, 10, 0, 5),
            piece(0, 20, 30, 0, 2),
        ];
        assert_eq!(pieces(&segments), wanted);
        let axis = Axis { start: 0, end: 30_000, now: 5_000 };
        let shown = plan(&segments, axis, &[("deadline", 40_000)]).into_string();
        assert_eq!(is_well_formed(&shown), Ok(()));
        assert_eq!(shown.matches("<rect").count(), wanted.len());
        assert!(shown.contains(r#"x1="100%""#), "{shown}");
    }
}

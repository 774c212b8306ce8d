//! Time along the width of a picture.

use maud::{Markup, html};

use super::Share;
use crate::web::say;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// How far apart ticks may be: whole parts of a day or whole days.
const STEPS: [i64; 15] = [
    MINUTE_MS,
    5 * MINUTE_MS,
    15 * MINUTE_MS,
    30 * MINUTE_MS,
    HOUR_MS,
    3 * HOUR_MS,
    6 * HOUR_MS,
    12 * HOUR_MS,
    DAY_MS,
    2 * DAY_MS,
    7 * DAY_MS,
    14 * DAY_MS,
    30 * DAY_MS,
    90 * DAY_MS,
    365 * DAY_MS,
];
/// More labels than that do not fit on a telephone.
const TICKS_MAX: i64 = 8;

/// A range of time, from the left to the right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::web) struct Axis {
    /// The first instant, in milliseconds.
    pub(in crate::web) start: i64,
    /// The first instant past it.
    pub(in crate::web) end: i64,
    /// The broker's now, wherever it lies.
    pub(in crate::web) now: i64,
}

impl Axis {
    /// Where an instant is.
    pub(in crate::web) fn share(self, at_ms: i64) -> Share {
        Share::of(at_ms.saturating_sub(self.start), self.end.saturating_sub(self.start))
    }

    /// From where to where an interval goes; `None` where nothing of it is seen.
    pub(in crate::web) fn span(self, start: i64, end: i64) -> Option<(Share, Share)> {
        let (from, until) = (self.share(start), self.share(end));
        let width = from.to(until);
        width.is_seen().then_some((from, width))
    }

    /// Where now is, if it is in the range.
    pub(in crate::web) fn now(self) -> Option<Share> {
        (self.start < self.now && self.now < self.end).then(|| self.share(self.now))
    }

    /// Round instants, few enough to be labelled.
    fn ticks(self) -> Vec<i64> {
        let length = self.end.saturating_sub(self.start).max(1);
        let step = STEPS.into_iter().find(|step| length / step <= TICKS_MAX);
        let step = step.unwrap_or(STEPS[STEPS.len() - 1]);
        let most = usize::try_from(TICKS_MAX).unwrap_or(usize::MAX).saturating_add(1);
        let first = self.start.div_euclid(step).saturating_add(1).saturating_mul(step);
        let ticks = std::iter::successors(Some(first), |tick| tick.checked_add(step));
        ticks.take_while(|tick| *tick < self.end).take(most).collect()
    }

    /// A line at each tick, as high as the picture.
    pub(in crate::web) fn grid(self) -> Markup {
        html! {
            @for tick in self.ticks() {
                @let x = self.share(tick);
                line.grid x1=(x) x2=(x) y1="0" y2="100%" {}
            }
        }
    }

    /// A line where now is.
    pub(in crate::web) fn now_line(self) -> Markup {
        html! {
            @if let Some(x) = self.now() { line.now x1=(x) x2=(x) y1="0" y2="100%" {} }
        }
    }

    /// The labels of the ticks and of now: a picture of its own, above or below the others.
    pub(in crate::web) fn labels(self) -> Markup {
        let now = self.now();
        html! {
            svg.axis width="100%" height="20" aria-hidden="true" {
                @for tick in self.ticks() {
                    @let x = self.share(tick);
                    // At both ends a label would be cut, and beside now it would lie under it.
                    @if self.has_room(tick) {
                        text x=(x) y="14" text-anchor="middle" { (label(tick)) }
                    }
                }
                @if let Some(x) = now {
                    text.now-label x=(x) y="14" text-anchor=(self.anchor()) { "now" }
                }
            }
        }
    }

    /// At both ends the label of now lies on its inner side.
    fn anchor(self) -> &'static str {
        let twentieth = self.end.saturating_sub(self.start) / 20;
        if self.now.saturating_sub(self.start) < twentieth {
            "start"
        } else if self.end.saturating_sub(self.now) < twentieth {
            "end"
        } else {
            "middle"
        }
    }

    fn has_room(self, tick: i64) -> bool {
        let length = self.end.saturating_sub(self.start);
        let from = |at: i64| tick.saturating_sub(at).abs().saturating_mul(100);
        let near = length.saturating_mul(6);
        let beside_now = self.now().is_some() && from(self.now) < length.saturating_mul(12);
        near <= from(self.start) && near <= from(self.end) && !beside_now
    }
}

/// The day where it begins, else the hour.
fn label(tick: i64) -> String {
    if tick.rem_euclid(DAY_MS) == 0 { say::day(tick) } else { say::hour(tick) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let axis = Axis { start: 0, end: 2 * DAY_MS, now: DAY_MS + 1 };
        assert_eq!(axis.ticks(), [6, 12, 18, 24, 30, 36, 42].map(|hours| hours * HOUR_MS));
        assert_eq!(axis.now().unwrap().to_string(), "50%");
        let labels = axis.labels().into_string();
        assert!(labels.contains(">12:00<") && labels.contains(">now<"), "{labels}");
        assert!(!labels.contains(">2 Jan<"), "it would lie under now: {labels}");
    }

    proptest! {
        #[test]
        fn every_tick_is_inside_and_few_they_are(
            start in 0_i64..4_000_000_000_000, length in 1_i64..800 * DAY_MS,
        ) {
            let axis = Axis { start, end: start + length, now: start };
            let ticks = axis.ticks();
            prop_assert!(ticks.len() <= 9, "{}", ticks.len());
            prop_assert!(ticks.iter().all(|tick| start < *tick && *tick < start + length));
        }
    }
}

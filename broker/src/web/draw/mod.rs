//! Pictures: pure functions from answers to SVG.
//!
//! Every picture is as wide as its place. Whatever has a shape lies in an inner `svg` with a view box
//! of its own that is stretched to that width; texts, lines and hatches are placed by percents and
//! keep their form. Colours and strokes are classes of the style sheet, so a picture follows the
//! theme and the printer.

pub(super) mod axis;
pub(super) mod bars;
pub(super) mod columns;
pub(super) mod forecast;
pub(super) mod lane;
pub(super) mod plan;
pub(super) mod series;
pub(super) mod strip;
#[cfg(test)]
pub(super) mod testing;

use std::fmt::{self, Write as _};

use maud::{Markup, html};

/// How high the inside of a picture is, in units of its view box.
pub(super) const HEIGHT: i64 = 1000;

/// A part of the width of a picture, in hundredths of a percent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Share(i64);

impl Share {
    /// `part` of `whole`, never outside of the picture.
    pub(super) fn of(part: i64, whole: i64) -> Self {
        if whole <= 0 {
            return Self(0);
        }
        let share = i128::from(part) * 10_000 / i128::from(whole);
        Self(i64::try_from(share.clamp(0, 10_000)).unwrap_or(0))
    }

    /// From here to `end`.
    pub(super) fn to(self, end: Self) -> Self {
        Self(end.0.saturating_sub(self.0).max(0))
    }

    /// Whether anything of it can be seen.
    pub(super) fn is_seen(self) -> bool {
        0 < self.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 % 100 == 0 {
            return write!(f, "{}%", self.0 / 100);
        }
        write!(f, "{}.{:02}%", self.0 / 100, self.0 % 100)
    }
}

/// The height of an amount above the floor of a picture whose ceiling is `top`.
pub(super) fn level(amount: i64, top: i64) -> i64 {
    if top <= 0 {
        return 0;
    }
    let level = i128::from(amount) * i128::from(HEIGHT) / i128::from(top);
    i64::try_from(level.clamp(0, i128::from(HEIGHT))).unwrap_or(0)
}

/// The outline of steps: a line at each amount over its bucket, broken where there is none.
pub(super) fn stairs(amounts: impl Iterator<Item = Option<i64>>, top: i64) -> String {
    let mut path = String::new();
    let mut last: Option<i64> = None;
    for (index, amount) in amounts.enumerate() {
        let Some(amount) = amount else {
            last = None;
            continue;
        };
        let y = HEIGHT - level(amount, top);
        match last {
            None => push(&mut path, format_args!("M{index} {y}h1")),
            Some(before) if before == y => path.push_str("h1"),
            Some(_) => push(&mut path, format_args!("V{y}h1")),
        }
        last = Some(y);
    }
    path
}

/// The area between two series of steps: bottom and top of each bucket.
pub(super) fn area(bounds: &[(i64, i64)], top: i64) -> String {
    let mut path = String::new();
    let mut from = 0;
    // Where nothing lies between the two, nothing is drawn.
    while let Some(start) = bounds.iter().skip(from).position(|(low, high)| low < high) {
        let start = from + start;
        let length = bounds.iter().skip(start).take_while(|(low, high)| low < high).count();
        let run = bounds.get(start..start + length).unwrap_or_default();
        piece(&mut path, start, run, top);
        from = start + length;
    }
    path
}

fn piece(path: &mut String, start: usize, run: &[(i64, i64)], top: i64) {
    let mut last = None;
    for (_, high) in run {
        let y = HEIGHT - level(*high, top);
        match last {
            None => push(path, format_args!("M{start} {y}h1")),
            Some(before) if before == y => path.push_str("h1"),
            Some(_) => push(path, format_args!("V{y}h1")),
        }
        last = Some(y);
    }
    for (low, _) in run.iter().rev() {
        let y = HEIGHT - level(*low, top);
        if last != Some(y) {
            push(path, format_args!("V{y}"));
        }
        path.push_str("h-1");
        last = Some(y);
    }
    path.push('z');
}

/// Writing into a text cannot fail.
pub(super) fn push(text: &mut String, what: fmt::Arguments<'_>) {
    if text.write_fmt(what).is_err() {
        text.clear();
    }
}

/// Patterns that pictures of a page share: what is unknown, and what maintenance takes.
pub(super) fn patterns() -> Markup {
    html! {
        svg.patterns width="0" height="0" aria-hidden="true" focusable="false" {
            defs {
                pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse"
                    patternTransform="rotate(45)" {
                    rect.hatch-back width="6" height="6" {}
                    rect.hatch-line width="2" height="6" {}
                }
                pattern id="unknown" width="6" height="6" patternUnits="userSpaceOnUse" {
                    circle.unknown-dot cx="3" cy="3" r="1" {}
                }
            }
        }
    }
}

/// The least round number that is no less: 1, 2 or 5 and zeros.
pub(super) fn round_up(number: i64) -> i64 {
    let mut scale = 1_i64;
    loop {
        for step in [1, 2, 5] {
            let round = scale.saturating_mul(step);
            if number <= round {
                return round;
            }
        }
        scale = scale.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::points;
    use super::*;

    #[test]
    fn shares_are_percents_inside_of_the_picture() {
        assert_eq!(Share::of(1, 3).to_string(), "33.33%");
        assert_eq!(Share::of(5, 4).to_string(), "100%");
        assert_eq!(Share::of(-1, 4).to_string(), "0%");
        assert_eq!(Share::of(1, 0).to_string(), "0%");
        assert_eq!(round_up(11), 20);
        assert_eq!(round_up(i64::MAX), i64::MAX);
    }

    proptest! {
        #[test]
        fn nothing_is_drawn_outside_of_the_view_box(
            series in proptest::collection::vec((any::<i64>(), any::<i64>()), 0..60),
            top in any::<i64>(),
        ) {
            let most = i64::try_from(series.len()).unwrap();
            let lines = stairs(series.iter().map(|(low, high)| (low < high).then_some(*high)), top);
            for (x, y) in points(&lines).into_iter().chain(points(&area(&series, top))) {
                prop_assert!((0..=most).contains(&x) && (0..=HEIGHT).contains(&y), "{x} {y}");
            }
        }

        #[test]
        fn an_area_begins_and_ends_where_its_buckets_do(
            series in proptest::collection::vec((0_i64..50, 0_i64..100), 1..40),
        ) {
            let path = area(&series, 100);
            let closed = path.matches('z').count();
            prop_assert_eq!(path.matches('M').count(), closed);
            let forth = path.matches("h1").count();
            prop_assert_eq!(forth, series.iter().filter(|(low, high)| low < high).count());
            prop_assert_eq!(path.matches("h-1").count(), forth);
        }
    }
}

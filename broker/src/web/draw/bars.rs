//! Bars that lie: parts of a whole.

use maud::{Markup, html};

use super::Share;

/// A part of a bar.
#[derive(Clone, Copy, Debug)]
pub(in crate::web) struct Part {
    /// Its class in the style sheet.
    pub(in crate::web) class: &'static str,
    /// How much it is.
    pub(in crate::web) amount: i64,
}

/// Parts behind each other, on a track as wide as `whole`.
pub(in crate::web) fn bar(parts: &[Part], whole: i64, told: &str) -> Markup {
    let mut end = 0_i64;
    let placed: Vec<(Part, Share, Share)> = parts
        .iter()
        .map(|part| {
            let start = Share::of(end, whole);
            end = end.saturating_add(part.amount.max(0));
            (*part, start, start.to(Share::of(end, whole)))
        })
        .collect();
    html! {
        svg.bar width="100%" height="12" role="img" aria-label=(told) {
            rect.track width="100%" height="100%" rx="2" {}
            @for (part, x, width) in placed {
                @if width.is_seen() {
                    rect.(part.class) x=(x) width=(width) height="100%" {}
                }
            }
        }
    }
}

/// How much of a limit is used: the track is the limit, or what is used if that is more; then the limit
/// is a mark on it.
pub(in crate::web) fn quota(used: i64, allowed: i64, told: &str) -> Markup {
    let whole = used.max(allowed).max(1);
    let class = if allowed <= used { "over" } else { "used-part" };
    let mark = Share::of(allowed, whole);
    html! {
        svg.bar width="100%" height="12" role="img" aria-label=(told) {
            rect.track width="100%" height="100%" rx="2" {}
            @let width = Share::of(used, whole);
            @if width.is_seen() { rect.(class) width=(width) height="100%" rx="2" {} }
            @if allowed < used { line.limit x1=(mark) x2=(mark) y1="0" y2="100%" {} }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{is_well_formed, values};
    use super::*;

    fn percent(text: &str) -> i64 {
        let (whole, rest) = text.trim_end_matches('%').split_once('.').unwrap_or((text, ""));
        format!("{}{rest:0<2}", whole.trim_end_matches('%')).parse().unwrap()
    }

    proptest! {
        #[test]
        fn parts_never_leave_their_bar(
            amounts in proptest::collection::vec(any::<i64>(), 0..6), whole in any::<i64>(),
        ) {
            let parts: Vec<Part> =
                amounts.iter().map(|amount| Part { class: "used-part", amount: *amount }).collect();
            let shown = bar(&parts, whole, "\"><b>").into_string();
            prop_assert_eq!(is_well_formed(&shown), Ok(()));
            prop_assert!(!shown.contains("<b>"));
            let ends = values(&shown, "x").into_iter().zip(values(&shown, "width").into_iter().skip(2));
            let mut last = 0;
            for (x, width) in ends {
                prop_assert!(last <= percent(x));
                last = percent(x) + percent(width);
                prop_assert!(last <= 10_000);
            }
        }
    }
}

//! Numbers, times and names as people read them, each with the exact one beside it.
//!
//! What is shown is rounded to three digits; what it was rounded from stands in the title and, for
//! programs, in the `value` of the element.

use chrono::{DateTime, Datelike, Utc};
use maud::{Markup, html};
use prost_types::{Duration, Timestamp as Wire};

pub(super) use crate::convert::reply::ms;

const DECIMAL: [(&str, u64); 6] = [
    ("", 1),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
];
/// Between a number and its unit: they stay on one line.
const GAP: char = '\u{202f}';
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A number in three digits, with the largest prefix that leaves one before the point.
fn rounded(number: i64, unit: &str) -> String {
    let (sign, size) = (if number < 0 { "\u{2212}" } else { "" }, number.unsigned_abs());
    for (prefix, factor) in DECIMAL {
        let last = factor == DECIMAL[DECIMAL.len() - 1].1;
        // Thousandths of the unit, rounded to three digits.
        let exact = u128::from(size) * 1000 / u128::from(factor);
        let grain = match exact {
            100_000.. => 1000,
            10_000.. => 100,
            _ => 10,
        };
        let near = (u128::from(size) * 1000 + u128::from(factor) * grain / 2)
            / (u128::from(factor) * grain)
            * grain;
        if 1_000_000 <= near && !last {
            continue;
        }
        return format!("{sign}{}{GAP}{prefix}{unit}", thousandths(near));
    }
    String::new()
}

/// Thousandths as a decimal without zeros at its end.
fn thousandths(number: u128) -> String {
    let (whole, rest) = (number / 1000, number % 1000);
    if rest == 0 {
        return whole.to_string();
    }
    format!("{whole}.{}", format!("{rest:03}").trim_end_matches('0'))
}

/// A number with its digits in threes.
pub(super) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "\u{2212}" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index != 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn figure(number: i64, text: &str, exact: &str) -> Markup {
    html! { data value=(number) title=(exact) { (text) } }
}

/// A rate in words.
pub(super) fn rate_text(bps: i64) -> String {
    rounded(bps, "bit/s")
}

/// A rate.
pub(super) fn rate(bps: i64) -> Markup {
    figure(bps, &rate_text(bps), &format!("{} bit/s", grouped(bps)))
}

/// A rate that says in which direction it changes.
pub(super) fn change(bps: i64) -> Markup {
    let sign = if 0 < bps { "+" } else { "" };
    figure(bps, &format!("{sign}{}", rate_text(bps)), &format!("{} bit/s", grouped(bps)))
}

/// A size in words.
pub(super) fn bytes_text(bytes: i64) -> String {
    rounded(bytes, "B")
}

/// A size.
pub(super) fn bytes(bytes: i64) -> Markup {
    figure(bytes, &bytes_text(bytes), &format!("{} bytes", grouped(bytes)))
}

/// A number of things.
pub(super) fn count(number: i64) -> Markup {
    html! { data value=(number) { (grouped(number)) } }
}

/// A number of things and their word, in one of its two forms.
pub(super) fn counted(number: i64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// Parts per thousand of a whole, rounded down; all of nothing is nothing.
pub(super) fn permille(part: i64, whole: i64) -> i64 {
    if whole <= 0 {
        return if 0 < part { 1000 } else { 0 };
    }
    i64::try_from(i128::from(part) * 1000 / i128::from(whole)).unwrap_or(i64::MAX)
}

/// A part of a whole in words. It never rounds up to all of it, nor down to nothing.
pub(super) fn part_text(part: i64, whole: i64) -> String {
    match permille(part, whole) {
        0 if 0 < part => format!("<{GAP}0.1{GAP}%"),
        permille @ (1..10 | 990..1000) => {
            format!("{}.{}{GAP}%", permille / 10, permille % 10)
        }
        permille => format!("{}{GAP}%", permille / 10),
    }
}

/// A part of a whole, with both rates in its title.
pub(super) fn part_of_rate(part: i64, whole: i64) -> Markup {
    let exact = format!("{} of {} bit/s", grouped(part), grouped(whole));
    html! { data value=(part) title=(exact) { (part_text(part, whole)) } }
}

/// An instant in milliseconds, or 0 where none is told.
pub(super) fn ms_or_zero(at: Option<&Wire>) -> i64 {
    at.map_or(0, ms)
}

/// A length of time in milliseconds.
pub(super) fn span_ms(span: Option<&Duration>) -> i64 {
    span.map_or(0, |it| {
        it.seconds.saturating_mul(1000).saturating_add(i64::from(it.nanos) / 1_000_000)
    })
}

fn utc(at_ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(at_ms).unwrap_or_default()
}

/// An instant as RFC 3339.
pub(super) fn rfc3339(at_ms: i64) -> String {
    utc(at_ms).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// An instant in words: the time alone if it is today's, else with its day.
pub(super) fn time_text(at_ms: i64, now_ms: i64) -> String {
    let (at, now) = (utc(at_ms), utc(now_ms));
    let days = at_ms.div_euclid(DAY_MS) - now_ms.div_euclid(DAY_MS);
    let clock = at.format("%H:%M");
    match days {
        0 => clock.to_string(),
        -6..7 => format!("{} {clock}", at.format("%a %-d %b")),
        _ if at.year() == now.year() => format!("{} {clock}", at.format("%-d %b")),
        _ => format!("{} {clock}", at.format("%-d %b %Y")),
    }
}

/// An instant.
pub(super) fn time(at: Option<&Wire>, now_ms: i64) -> Markup {
    match at {
        Some(at) => time_ms(ms(at), now_ms),
        None => html! { span.none { "\u{2013}" } },
    }
}

/// An instant in milliseconds.
pub(super) fn time_ms(at_ms: i64, now_ms: i64) -> Markup {
    let exact = rfc3339(at_ms);
    html! { time datetime=(exact) title=(exact) { (time_text(at_ms, now_ms)) } }
}

/// An instant to the second, for what just happened.
pub(super) fn clock_time(at_ms: i64) -> Markup {
    let exact = rfc3339(at_ms);
    html! { time datetime=(exact) title=(exact) { (utc(at_ms).format("%H:%M:%S")) } }
}

/// The day of an instant.
pub(super) fn day(at_ms: i64) -> String {
    utc(at_ms).format("%-d %b").to_string()
}

/// The hour of an instant.
pub(super) fn hour(at_ms: i64) -> String {
    utc(at_ms).format("%H:%M").to_string()
}

/// A length of time, in its two largest units.
pub(super) fn span_text(ms: i64) -> String {
    let units = [("d", DAY_MS), ("h", HOUR_MS), ("min", MINUTE_MS), ("s", 1000)];
    let Some(first) = units.iter().position(|(_, size)| *size <= ms) else {
        return if ms <= 0 { format!("0{GAP}s") } else { format!("{ms}{GAP}ms") };
    };
    let (unit, size) = units[first];
    let mut text = format!("{}{GAP}{unit}", ms / size);
    if let Some((unit, smaller)) = units.get(first + 1)
        && *smaller <= ms % size
    {
        text.push_str(&format!(" {}{GAP}{unit}", ms % size / smaller));
    }
    text
}

/// How far an instant is from now, in words.
pub(super) fn from_now(at_ms: i64, now_ms: i64) -> String {
    if at_ms <= now_ms {
        format!("{} ago", span_text(now_ms.saturating_sub(at_ms)))
    } else {
        format!("in {}", span_text(at_ms.saturating_sub(now_ms)))
    }
}

/// A text as a part of a path or a query: everything but what is plain there is escaped.
pub(super) fn escaped(text: &str, slashes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if plain || (slashes && byte == b'/') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Where the page of a lane, a project or a reservation is.
pub(super) fn href(name: &str) -> Option<String> {
    if let Some((_, id)) = name.split_once("/reservations/") {
        return Some(format!("/reservations/{}", escaped(id, false)));
    }
    let (kind, rest) = name.split_once('/')?;
    match kind {
        "projects" => {
            let project = rest.split('/').next()?;
            Some(format!("/projects/{}", escaped(project, false)))
        }
        "hosts" | "links" | "storage" if rest.contains('/') => {
            Some(format!("/lanes/{}", escaped(name, true)))
        }
        _ => None,
    }
}

/// A name, as a link to its page if it has one.
pub(super) fn name(name: &str) -> Markup {
    html! {
        @match href(name) {
            Some(href) => a.name href=(href) { (broken(name)) },
            None => span.name { (broken(name)) },
        }
    }
}

/// A name that may be broken behind its slashes.
pub(super) fn broken(name: &str) -> Markup {
    html! {
        @for (index, part) in name.split('/').enumerate() {
            @if index != 0 { "/" wbr; }
            (part)
        }
    }
}

/// The last part of a name.
pub(super) fn short(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// A word of an enumeration as people read it: `REASON_NO_HEADROOM` is `no headroom`.
pub(super) fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase().replace('_', " ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_are_rounded_to_three_digits_and_keep_their_exact_form() {
        let cases = [
            (0, "0 bit/s"),
            (999, "999 bit/s"),
            (1_000, "1 kbit/s"),
            (999_499, "999 kbit/s"),
            (999_500, "1 Mbit/s"),
            (9_412_345_678, "9.41 Gbit/s"),
            (94_123_456_789, "94.1 Gbit/s"),
            (10_000_000_000, "10 Gbit/s"),
            (1_000_000_000_000_000, "1 Pbit/s"),
            (-2_500_000_000, "\u{2212}2.5 Gbit/s"),
        ];
        for (bps, text) in cases {
            assert_eq!(rate_text(bps).replace(GAP, " "), text, "{bps}");
        }
        let shown = rate(9_412_345_678).into_string();
        assert!(shown.contains(r#"value="9412345678""#), "{shown}");
        assert!(shown.contains(r#"title="9,412,345,678 bit/s""#), "{shown}");
    }

    #[test]
    fn a_part_is_never_rounded_to_all_or_to_nothing() {
        let part = |part, whole| part_text(part, whole).replace(GAP, "");
        assert_eq!(part(0, 10), "0%");
        assert_eq!(part(1, 1_000_000), "<0.1%");
        assert_eq!(part(999_999, 1_000_000), "99.9%");
        assert_eq!(part(10, 10), "100%");
        assert_eq!(part(12, 10), "120%");
        assert_eq!(part(1, 0), "100%");
        assert_eq!(part(455, 1000), "45%");
    }

    #[test]
    fn times_say_as_much_as_is_needed() {
        let now = 1_764_451_200_000; // 2025-11-29T21:20:00Z
        assert_eq!(time_text(now, now), "21:20");
        assert_eq!(time_text(now + 3 * HOUR_MS, now), "Sun 30 Nov 00:20");
        assert_eq!(time_text(now - 20 * DAY_MS, now), "9 Nov 21:20");
        assert_eq!(time_text(now + 60 * DAY_MS, now), "28 Jan 2026 21:20");
        assert_eq!(span_text(90 * MINUTE_MS).replace(GAP, ""), "1h 30min");
        assert_eq!(span_text(2 * DAY_MS).replace(GAP, ""), "2d");
        assert_eq!(from_now(now - 500, now).replace(GAP, ""), "500ms ago");
    }

    #[test]
    fn names_lead_to_their_pages() {
        let of = |name| href(name).unwrap_or_default();
        assert_eq!(of("links/spine-1/forward"), "/lanes/links/spine-1/forward");
        assert_eq!(of("projects/a/reservations/7"), "/reservations/7");
        assert_eq!(of("projects/a/on/links/x/forward"), "/projects/a");
        assert_eq!(of("rules/night"), "");
        assert_eq!(of("projects/\"><script>"), "/projects/%22%3E%3Cscript%3E");
    }

    proptest! {
        #[test]
        fn no_name_leaves_its_attribute_or_its_text(text in ".{0,60}") {
            let shown = name(&format!("projects/{text}")).into_string();
            prop_assert_eq!(shown.matches('<').count(), shown.matches("<a ").count()
                + shown.matches("</a>").count() + shown.matches("<wbr>").count());
            prop_assert_eq!(shown.matches('"').count(), 4);
        }

        #[test]
        fn three_digits_are_within_half_a_percent(bps in 0_i64..=1_000_000_000_000_000) {
            let text = rate_text(bps).replace(GAP, " ");
            let (number, unit) = text.split_once(' ').unwrap();
            let prefix = unit.trim_end_matches("bit/s");
            let factor = DECIMAL.iter().find(|(name, _)| *name == prefix).unwrap().1;
            let (whole, rest) = number.split_once('.').unwrap_or((number, ""));
            let shown: i128 = format!("{whole}{rest:0<3}").parse().unwrap();
            let (shown, exact) = (shown * i128::from(factor), i128::from(bps) * 1000);
            prop_assert!((shown - exact).abs() * 200 <= exact, "{text} for {bps}");
            prop_assert!(number.chars().filter(char::is_ascii_digit).count() <= 4);
        }
    }
}

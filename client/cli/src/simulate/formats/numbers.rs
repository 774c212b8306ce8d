//! Numbers of a file, each with its bounds in the message.

use serde_json::Number;
use tidegate_policy::{BitRate, ByteCount, Span, Timestamp};

use super::line::When;
use super::zero;
use crate::simulate::numbers::{float, round};

/// The largest volume of a request, in bytes: an exabyte.
const VOLUME_MAX: u64 = 1_000_000_000_000_000_000;
/// Fractions below this are whole numbers as they stand.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A number that has to be there.
pub(super) fn given<'a, T>(field: &str, value: Option<&'a T>) -> Result<&'a T, String> {
    value.ok_or_else(|| format!("{field} is missing"))
}

/// A whole number from `least` to `most`.
pub(super) fn whole(field: &str, value: &Number, least: u64, most: u64) -> Result<u64, String> {
    let wrong = || format!("{field} is {value}; write a whole number from {least} to {most}");
    let fraction = || {
        let value = value.as_f64().filter(|it| (0.0..EXACT).contains(it) && it.fract() == 0.0);
        value.map(round)
    };
    let read = value.as_u64().or_else(fraction).ok_or_else(wrong)?;
    if (least..=most).contains(&read) { Ok(read) } else { Err(wrong()) }
}

/// A rate in bits per second; `least` is 0 where none at all is meant too.
pub(super) fn rate(field: &str, value: &Number, least: u64) -> Result<BitRate, String> {
    let bps = whole(field, value, least, BitRate::MAX.bps())?;
    Ok(BitRate::from_bps(bps).unwrap_or(BitRate::MAX))
}

/// A volume in bytes.
pub(super) fn volume(field: &str, value: &Number) -> Result<ByteCount, String> {
    whole(field, value, 1, VOLUME_MAX).map(ByteCount::new)
}

/// Which way an instant between two milliseconds goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounds {
    Down,
    Up,
}

/// Seconds as whole milliseconds; `None` if it is negative or past the horizon.
fn millis(seconds: f64, rounds: Rounds) -> Option<u64> {
    if !(0.0..=float(Span::MAX.as_ms()) / 1000.0).contains(&seconds) {
        return None;
    }
    // What is closer than a microsecond to a millisecond was meant to be one.
    let micros = round(seconds * 1e6);
    Some(match rounds {
        Rounds::Down => micros / 1000,
        Rounds::Up => micros.div_ceil(1000),
    })
}

const SPAN_WHY: &str = "write seconds, more than 0 and at most 400 days of them";

/// A length of time in seconds, never empty.
pub(super) fn span(field: &str, value: &Number) -> Result<Span, String> {
    let ms = value.as_f64().and_then(|seconds| millis(seconds, Rounds::Up));
    let span = ms.and_then(Span::from_ms).filter(|span| *span != Span::ZERO);
    span.ok_or_else(|| format!("{field} is {value}; {SPAN_WHY}"))
}

/// So many milliseconds in seconds, as a whole number where they are one.
pub(crate) fn seconds(ms: u64) -> Number {
    let fraction = || Number::from_f64(float(ms) / 1000.0);
    let fraction = if ms.is_multiple_of(1000) { None } else { fraction() };
    fraction.unwrap_or_else(|| Number::from(ms / 1000))
}

/// An instant: seconds from the beginning of the file, or RFC 3339.
pub(super) fn instant(field: &str, value: &When, rounds: Rounds) -> Result<Timestamp, String> {
    match value {
        When::Seconds(number) => {
            let ms = number.as_f64().and_then(|seconds| millis(seconds, rounds));
            let span = ms.and_then(Span::from_ms);
            span.map(|span| zero().plus(span)).ok_or_else(|| {
                format!("{field} is {number}; write seconds from 0 to those of 400 days")
            })
        }
        When::At(text) => text.parse().map_err(|error| format!("{field}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn numbers_are_exact_or_refused() {
        let read = |text| whole("n", &number(text), 1, 10).ok();
        assert_eq!([read("1"), read("1e1"), read("10.0")], [Some(1), Some(10), Some(10)]);
        for bad in ["0", "-1", "11", "1.5", "1e300", "-1e300"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert!(volume("v", &number("1e17")).is_err(), "no fraction is that exact");
    }

    #[test]
    fn starts_round_down_and_ends_up_but_not_by_the_form_of_the_number() {
        let at = |text, rounds| {
            let instant = instant("t", &When::Seconds(number(text)), rounds).unwrap();
            instant.since(zero()).as_ms()
        };
        assert_eq!([at("0.1", Rounds::Down), at("0.1", Rounds::Up)], [100, 100]);
        assert_eq!([at("0.0015", Rounds::Down), at("0.0015", Rounds::Up)], [1, 2]);
        for bad in ["-0.5", "1e300", "34560001"] {
            instant("t", &When::Seconds(number(bad)), Rounds::Down).unwrap_err();
        }
        assert!(span("d", &number("0")).is_err());
    }
}

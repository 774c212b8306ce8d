//! Time without a clock: instants, spans and half-open intervals in whole milliseconds.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::error::ParseError;

/// An instant: milliseconds since the Unix epoch, from the epoch to the end of the year 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(i64);

/// A length of time in milliseconds, from nothing to 400 days: the horizon of every promise.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u64);

/// A half-open interval `[start, end)`, never empty: touching intervals do not conflict.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Interval {
    start: Timestamp,
    end: Timestamp,
}

/// A time as a person writes it: an instant, or one relative to now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeText {
    /// `2026-11-23T18:00:00Z`.
    At(Timestamp),
    /// `now` or `+2h`.
    FromNow(Span),
    /// `-24h`.
    BeforeNow(Span),
}

// === impl Timestamp ===

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// The last instant, at the end of the year 9999.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// The instant `ms` milliseconds after the Unix epoch, or `None` outside of [0, year 9999].
    #[must_use]
    pub const fn from_ms(ms: i64) -> Option<Self> {
        if 0 <= ms && ms <= Self::MAX.0 { Some(Self(ms)) } else { None }
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// This instant and `span` more; the last instant where that would lie beyond it.
    #[must_use]
    pub fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add_unsigned(span.0).min(Self::MAX.0))
    }

    /// This instant less `span`; the epoch where that would lie before it.
    #[must_use]
    pub fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub_unsigned(span.0).max(0))
    }

    /// The time from `earlier` until this instant: nothing if it is later, 400 days at most.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        let ms = self.0.saturating_sub(earlier.0);
        Span(u64::try_from(ms).unwrap_or(0).min(Span::MAX.0))
    }
}

/// RFC 3339 in UTC, with milliseconds only where there are any.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::<Utc>::from_timestamp_millis(self.0).unwrap_or_default();
        f.pad(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

const TIME_HINT: &str = "write 2026-11-23T18:00:00Z, +2h or now";

impl FromStr for Timestamp {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fault = |why: String| ParseError::new("time", text, why, TIME_HINT);
        let time = DateTime::parse_from_rfc3339(text.trim())
            .map_err(|error| fault(format!("RFC 3339 says: {error}")))?;
        Self::from_ms(time.timestamp_millis())
            .ok_or_else(|| fault("it is outside of the years 1970 to 9999".into()))
    }
}

// === impl Span ===

/// A day, in milliseconds.
const DAY_MS: u64 = 86_400_000;

/// Words that other programs read as months or years.
const NOT_FIXED: [&str; 7] = ["M", "month", "months", "y", "yr", "year", "years"];

const SPAN_HINT: &str = "write 90s, 15m, 2h or 1h30m, at most 400days";

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest span, 400 days.
    pub const MAX: Self = Self(400 * 24 * 3600 * 1000);

    /// A span of `ms` milliseconds, or `None` above 400 days.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Option<Self> {
        if ms <= Self::MAX.0 { Some(Self(ms)) } else { None }
    }

    /// A span of `secs` seconds, at most 400 days.
    #[must_use]
    pub const fn from_secs(secs: u32) -> Self {
        let ms = secs as u64 * 1000;
        if ms <= Self::MAX.0 { Self(ms) } else { Self::MAX }
    }

    /// The length in milliseconds.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// Both spans together, at most 400 days.
    #[must_use]
    pub const fn plus(self, more: Self) -> Self {
        let sum = self.0.saturating_add(more.0);
        if sum <= Self::MAX.0 { Self(sum) } else { Self::MAX }
    }

    /// The same length for the standard library.
    #[must_use]
    pub const fn to_duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

/// `1h30m`, `250ms`: what [`FromStr`] reads back.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Days are the longest unit: a month or a year of a fixed length is nobody's.
        let (days, rest) = (self.0 / DAY_MS, self.0 % DAY_MS);
        let rest = humantime::format_duration(std::time::Duration::from_millis(rest)).to_string();
        let text = match (days, rest.as_str()) {
            (0, rest) => rest.to_owned(),
            (1, "0s") => "1day".to_owned(),
            (1, rest) => format!("1day {rest}"),
            (days, "0s") => format!("{days}days"),
            (days, rest) => format!("{days}days {rest}"),
        };
        f.pad(&text.replace(' ', ""))
    }
}

impl FromStr for Span {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fault = |why: String| ParseError::new("duration", text, why, SPAN_HINT);
        let mut words = text.split(|c: char| !c.is_ascii_alphabetic());
        if let Some(word) = words.find(|word| NOT_FIXED.contains(word)) {
            return Err(fault(format!("{word} is no fixed length, and minutes are a small m")));
        }
        let duration = humantime::parse_duration(text.trim()).map_err(|e| fault(e.to_string()))?;
        if duration.subsec_nanos() % 1_000_000 != 0 {
            return Err(fault("it is not a whole number of milliseconds".into()));
        }
        let ms = u64::try_from(duration.as_millis()).ok();
        ms.and_then(Self::from_ms).ok_or_else(|| fault("it is longer than 400 days".into()))
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl TryFrom<String> for Span {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

// === impl Interval ===

impl Interval {
    /// All instants but the last.
    pub const ALL: Self = Self { start: Timestamp::EPOCH, end: Timestamp::MAX };

    /// The interval `[start, end)`, or `None` where it would be empty or inverted.
    #[must_use]
    pub fn new(start: Timestamp, end: Timestamp) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// The first instant inside.
    #[must_use]
    pub const fn start(self) -> Timestamp {
        self.start
    }

    /// The first instant past it.
    #[must_use]
    pub const fn end(self) -> Timestamp {
        self.end
    }

    /// How long it is.
    #[must_use]
    pub fn span(self) -> Span {
        self.end.since(self.start)
    }

    /// Whether the two share an instant.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The part of it that lies inside of `other`.
    #[must_use]
    pub fn within(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }

    /// From the first start to the last end of both.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// What is left of it from `now` on.
    #[must_use]
    pub fn from(self, now: Timestamp) -> Option<Self> {
        Self::new(self.start.max(now), self.end)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

// === impl TimeText ===

impl TimeText {
    /// The instant meant, at `now`.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::FromNow(span) => now.plus(span),
            Self::BeforeNow(span) => now.minus(span),
        }
    }
}

impl FromStr for TimeText {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let trimmed = text.trim();
        if trimmed == "now" {
            return Ok(Self::FromNow(Span::ZERO));
        }
        let ahead = trimmed.strip_prefix('+').map(|span| span.parse().map(Self::FromNow));
        let behind = trimmed.strip_prefix('-').map(|span| span.parse().map(Self::BeforeNow));
        ahead.or(behind).unwrap_or_else(|| trimmed.parse().map(Self::At))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms).unwrap()
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        let now = at(1_000);
        let read = |text: &str| text.parse::<TimeText>().map(|time| time.at(now).as_ms()).ok();
        let table = [
            ("now", Some(1_000)),
            ("+2h", Some(7_201_000)),
            ("+1h30m", Some(5_401_000)),
            ("-250ms", Some(750)),
            ("-2h", Some(0)),
            ("-+1h", None),
            ("- ", None),
            ("1970-01-01T00:00:02Z", Some(2_000)),
            ("1970-01-01T02:00:02+02:00", Some(2_000)),
            ("1970-01-01T00:00:02.5Z", Some(2_500)),
            ("1969-12-31T23:59:59Z", None),
            ("18:00", None),
            ("+2", None),
            ("+401days", None),
            ("+10M", None),
            ("+2months", None),
            ("+1y", None),
            ("+1us", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn intervals_are_half_open_and_never_empty() {
        assert_eq!(Interval::new(at(5), at(5)), None);
        assert_eq!(Interval::new(at(6), at(5)), None);
        let first = Interval::new(at(0), at(5)).unwrap();
        assert!(!first.overlaps(Interval::new(at(5), at(9)).unwrap()));
        assert!(first.overlaps(Interval::new(at(4), at(9)).unwrap()));
        assert_eq!(first.from(at(5)), None);
        let apart = Interval::new(at(7), at(9)).unwrap();
        assert_eq!(apart.hull(first), Interval::new(at(0), at(9)).unwrap());
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(ms in 0..=Timestamp::MAX.as_ms(), len in 0..=Span::MAX.as_ms()) {
            prop_assert_eq!(at(ms).to_string().parse::<Timestamp>().unwrap(), at(ms));
            let span = Span::from_ms(len).unwrap();
            prop_assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
        }

        #[test]
        fn arithmetic_stays_inside(ms in 0..=Timestamp::MAX.as_ms(), len in 0..=Span::MAX.as_ms()) {
            let (time, span) = (at(ms), Span::from_ms(len).unwrap());
            prop_assert!(time.plus(span) <= Timestamp::MAX);
            prop_assert!(Timestamp::EPOCH <= time.minus(span));
            if time.plus(span) < Timestamp::MAX {
                prop_assert_eq!(time.plus(span).since(time), span);
            }
        }
    }
}

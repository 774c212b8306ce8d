//! Days, weeks and months of a zone's calendar, as intervals that tile time.

use std::fmt;
use std::iter;
use std::str::FromStr;

use chrono::{Datelike, Days, Months, NaiveDate};
use serde::{Deserialize, Serialize};

use crate::calendar::zone::{Zone, interval};
use crate::error::ParseError;
use crate::time::{Interval, Timestamp};

/// A period of the calendar.
///
/// Each begins at the first instant of its first day and ends where the next begins, so there is
/// neither gap nor overlap. A day may have 23 or 25 hours; where the clocks skip midnight it begins
/// right after the gap, where midnight happens twice at the first; one that a zone skipped is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday, as in ISO 8601.
    Week,
    /// From the first to the last of a month.
    Month,
}

const NAMES: [(&str, Period); 3] =
    [("day", Period::Day), ("week", Period::Week), ("month", Period::Month)];

impl Period {
    /// The period that has the instant in it. The first and the last are cut where time is; the last
    /// instant of all belongs to the period that ends with it.
    #[must_use]
    pub fn containing(self, zone: &Zone, instant: Timestamp) -> Interval {
        let mut first = self.first_date(zone.date_at(instant.as_ms()));
        let mut start = zone.start_of(first);
        // The calendar on the wall may show a date again that was over already, if clocks are set
        // back over midnight: the later period has begun then. It does so once at most.
        for _ in 0..2 {
            let next = self.next_date(first);
            let end = zone.start_of(next);
            if instant.as_ms() < end {
                break;
            }
            (first, start) = (next, end);
        }
        let end = zone.start_of(self.next_date(first));
        // It has an instant in it, or ends with the last: it is never empty.
        interval(start, end).unwrap_or(Interval::ALL)
    }

    /// Every period that the interval touches, whole and in order; of an interval longer than 400 days,
    /// those of its first 400 days.
    pub fn over(self, zone: &Zone, over: Interval) -> impl Iterator<Item = Interval> {
        let end = super::bounded(over).end();
        let first = self.containing(zone, over.start());
        iter::successors(Some(first), move |last| {
            (last.end() < end).then(|| self.containing(zone, last.end()))
        })
    }

    /// The first date of the period that a date is in.
    fn first_date(self, date: NaiveDate) -> NaiveDate {
        let past = match self {
            Self::Day => 0,
            Self::Week => date.weekday().num_days_from_monday(),
            Self::Month => date.day0(),
        };
        date.checked_sub_days(Days::new(u64::from(past))).unwrap_or(date)
    }

    /// The first date of the next period. Dates reach far past the year 9999.
    fn next_date(self, first: NaiveDate) -> NaiveDate {
        let next = match self {
            Self::Day => first.checked_add_days(Days::new(1)),
            Self::Week => first.checked_add_days(Days::new(7)),
            Self::Month => first.checked_add_months(Months::new(1)),
        };
        next.unwrap_or(NaiveDate::MAX)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        })
    }
}

impl FromStr for Period {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let found = NAMES.iter().find(|(name, _)| *name == text.trim());
        let fault = || ParseError::new("period", text, "no period has that name", PERIOD_HINT);
        found.map(|(_, period)| *period).ok_or_else(fault)
    }
}

const PERIOD_HINT: &str = "write day, week or month";

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl TryFrom<String> for Period {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

#[cfg(test)]
#[path = "period_tests.rs"]
mod tests;

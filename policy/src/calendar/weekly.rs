//! Hours of the week, such as `mon-fri 08:00-18:00`, in the local time of a zone.

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, Days, NaiveDate};
use serde::{Deserialize, Serialize};

use crate::calendar::zone::{Zone, interval, local_midnight};
use crate::error::ParseError;
use crate::time::Interval;

/// A time of the day on the wall, in minutes, from 00:00 to 24:00.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TimeOfDay(u16);

/// Some days of the week, one at least.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Weekdays(u8);

/// The same hours on some days of every week; past midnight where they end before they begin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Weekly {
    days: Weekdays,
    from: TimeOfDay,
    to: TimeOfDay,
}

/// Names of the days, Monday first.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

const MINUTE_MS: i64 = 60_000;

const WEEKLY_HINT: &str = "write mon-fri 08:00-18:00, sat,sun 00:00-24:00 or mon 22:00-06:00";

// === impl TimeOfDay ===

impl TimeOfDay {
    /// 00:00.
    pub const MIDNIGHT: Self = Self(0);
    /// 24:00, the midnight that ends a day.
    pub const END: Self = Self(24 * 60);

    /// So many minutes past midnight, or `None` past 24:00.
    #[must_use]
    pub const fn from_minutes(minutes: u16) -> Option<Self> {
        if minutes <= Self::END.0 { Some(Self(minutes)) } else { None }
    }

    /// Minutes past midnight.
    #[must_use]
    pub const fn minutes(self) -> u16 {
        self.0
    }

    /// This time of a date, as a local time.
    fn of(self, date: NaiveDate) -> i64 {
        local_midnight(date).saturating_add(i64::from(self.0).saturating_mul(MINUTE_MS))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:02}:{:02}", self.0 / 60, self.0 % 60))
    }
}

impl FromStr for TimeOfDay {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let two = |digits: &str| -> Option<u16> {
            let good = digits.len() == 2 && digits.bytes().all(|it| it.is_ascii_digit());
            good.then(|| digits.parse().ok())?
        };
        let minutes = text.trim().split_once(':').and_then(|(hours, minutes)| {
            let minutes = two(minutes).filter(|it| *it < 60)?;
            two(hours)?.checked_mul(60)?.checked_add(minutes)
        });
        let why = "it is not two digits of hours and two of minutes, up to 24:00";
        let fault = || ParseError::new("time of day", text, why, "write 08:00 or 22:30");
        minutes.and_then(Self::from_minutes).ok_or_else(fault)
    }
}

// === impl Weekdays ===

impl Weekdays {
    /// All seven.
    pub const ALL: Self = Self(0b111_1111);

    fn contains(self, date: NaiveDate) -> bool {
        u32::from(self.0) >> date.weekday().num_days_from_monday() & 1 == 1
    }

    fn has(self, index: usize) -> bool {
        index < DAYS.len() && self.0 >> index & 1 == 1
    }
}

/// `mon-fri`, `sat,sun`, `mon,wed-fri`: from Monday on, three days or more in a row as a range.
impl fmt::Display for Weekdays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = Vec::new();
        let mut index = 0;
        while index < DAYS.len() {
            let run = (index..DAYS.len()).take_while(|day| self.has(*day)).count();
            match run {
                0 => index += 1,
                1 | 2 => words.extend(DAYS[index..index + run].iter().map(|it| (*it).to_owned())),
                _ => words.push(format!("{}-{}", DAYS[index], DAYS[index + run - 1])),
            }
            index += run;
        }
        f.pad(&words.join(","))
    }
}

impl FromStr for Weekdays {
    type Err = ParseError;

    /// Reads days and ranges with commas between them, in either case; `fri-mon` goes over Sunday.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fault = |why: String| {
            ParseError::new("set of weekdays", text, why, "write mon-fri, sat,sun or mon-sun")
        };
        let day = |name: &str| {
            let found = DAYS.iter().position(|it| it.eq_ignore_ascii_case(name));
            found.ok_or_else(|| fault(format!("{name:?} is not one of {}", DAYS.join(", "))))
        };
        let mut bits = 0_u8;
        for word in text.trim().split(',') {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            let (first, last) = (day(first)?, day(last)?);
            let in_a_row = (last + DAYS.len() - first) % DAYS.len();
            bits = (first..=first + in_a_row).fold(bits, |bits, it| bits | 1 << (it % DAYS.len()));
        }
        Ok(Self(bits))
    }
}

// === impl Weekly ===

impl Weekly {
    /// The hours from `from` to `to` on some days. They end on the next day where `to` is not past
    /// `from`.
    ///
    /// # Errors
    /// [`ParseError`] where both are the same, as that is either nothing or all of the day, and where
    /// it would begin at 24:00.
    pub fn new(days: Weekdays, from: TimeOfDay, to: TimeOfDay) -> Result<Self, ParseError> {
        let it = Self { days, from, to };
        let why = if from == to {
            "it ends when it begins; for a whole day write 00:00-24:00"
        } else if from == TimeOfDay::END {
            "24:00 is where a day ends; begin at 00:00 of the next"
        } else {
            return Ok(it);
        };
        Err(ParseError::new("time of the week", &it.to_string(), why, WEEKLY_HINT))
    }

    /// The days that it begins on.
    #[must_use]
    pub const fn days(self) -> Weekdays {
        self.days
    }

    /// When it begins.
    #[must_use]
    pub const fn from(self) -> TimeOfDay {
        self.from
    }

    /// When it ends: on the next day, if that is not past [`Self::from`].
    #[must_use]
    pub const fn to(self) -> TimeOfDay {
        self.to
    }

    /// Every occurrence that shares an instant with the interval, whole, by start; of an interval longer
    /// than 400 days, those of its first 400 days.
    ///
    /// A local time that clocks skip is the first instant after the gap; one that they show twice is
    /// the first for a start and the second for an end. So an occurrence inside of a gap is none, and
    /// two that touch at a time that is shown twice overlap.
    pub fn occurrences(self, zone: &Zone, over: Interval) -> impl Iterator<Item = Interval> {
        let over = super::bounded(over);
        // What began two dates earlier may last, if it goes past midnight and clocks are set back.
        let first = zone.date_at(over.start().as_ms()).checked_sub_days(Days::new(2));
        let last = zone.date_at(over.end().as_ms()).succ_opt();
        let dates = first.into_iter().flat_map(|first| first.iter_days());
        dates
            .take_while(move |date| last.is_none_or(|last| *date <= last))
            .filter(move |date| self.days.contains(*date))
            .filter_map(move |date| self.of(zone, date))
            .filter(move |it| it.overlaps(over))
    }

    /// The occurrence that begins on a date; `None` where the clocks skip all of it.
    fn of(self, zone: &Zone, date: NaiveDate) -> Option<Interval> {
        let ends = if self.to <= self.from { date.succ_opt()? } else { date };
        interval(zone.first_at(self.from.of(date)), zone.last_at(self.to.of(ends)))
    }
}

impl fmt::Display for Weekly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} {}-{}", self.days, self.from, self.to))
    }
}

impl FromStr for Weekly {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fault = |why: String| ParseError::new("time of the week", text, why, WEEKLY_HINT);
        let mut words = text.split_whitespace();
        let (Some(days), Some(hours), None) = (words.next(), words.next(), words.next()) else {
            return Err(fault("it is not days, one space and hours".into()));
        };
        let Some((from, to)) = hours.split_once('-') else {
            return Err(fault(format!("{hours:?} is not two times with a - between them")));
        };
        let days = days.parse().map_err(|error: ParseError| fault(error.why))?;
        let time = |text: &str| {
            text.parse::<TimeOfDay>().map_err(|error| fault(format!("{text:?}: {}", error.why)))
        };
        Self::new(days, time(from)?, time(to)?)
    }
}

impl From<Weekly> for String {
    fn from(weekly: Weekly) -> Self {
        weekly.to_string()
    }
}

impl TryFrom<String> for Weekly {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

#[cfg(test)]
#[path = "weekly_tests.rs"]
pub(super) mod tests;

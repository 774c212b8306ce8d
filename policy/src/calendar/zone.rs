//! A time zone, and how its calendar maps onto instants.
//!
//! Local times are milliseconds as well, counted as if they were UTC. Instants and local times are
//! plain numbers here, so that a day may begin before the epoch or end after the year 9999.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::iter;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use crate::error::ParseError;
use crate::time::{Interval, Timestamp};

/// An IANA time zone by its name, such as `Europe/Berlin` or `UTC`. Its rules are built in: files and
/// variables of the machine have no say in them. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(TimeZone);

const ZONE_HINT: &str = "write an IANA name as in Europe/Berlin, or UTC";

/// More than any zone is ever away from UTC, in milliseconds.
const OFFSET_MAX_MS: i64 = 26 * 3_600_000;

/// Most changes of an offset that are looked at around one local time: there are 52 hours of them,
/// and no zone has had three changes in as much.
const CHANGES_MAX: usize = 16;

/// A time during which a zone's offset stays the same: `[start, end)`, in milliseconds.
struct Stretch {
    start: i64,
    end: i64,
    offset_ms: i64,
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// Its IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The names of all zones there are, in no order that is promised.
    pub fn names() -> impl Iterator<Item = String> {
        let names: Vec<String> =
            TimeZoneDatabase::bundled().available().map(|it| it.to_string()).collect();
        names.into_iter()
    }

    /// The date that a calendar on the wall shows.
    pub(super) fn date_at(&self, ms: i64) -> NaiveDate {
        let local = ms.saturating_add(self.offset_ms(ms));
        DateTime::<Utc>::from_timestamp_millis(local).unwrap_or_default().date_naive()
    }

    /// The first instant at which a clock on the wall shows the local time or a later one: where the
    /// time does not exist, the first one after the gap; where it happens twice, the first.
    pub(super) fn first_at(&self, local: i64) -> i64 {
        let found = self.stretches(local).find_map(|it| {
            let at = local.saturating_sub(it.offset_ms);
            (at < it.end).then_some(at.max(it.start))
        });
        found.unwrap_or(local)
    }

    /// The last instant at which a clock on the wall shows the local time; where the time does not
    /// exist, the first one after the gap.
    pub(super) fn last_at(&self, local: i64) -> i64 {
        let found = self.stretches(local).filter_map(|it| {
            let at = local.saturating_sub(it.offset_ms);
            (it.start <= at).then_some(at.min(it.end))
        });
        found.last().unwrap_or(local)
    }

    /// The first instant of a date: of the next one that exists, should it not.
    pub(super) fn start_of(&self, date: NaiveDate) -> i64 {
        self.first_at(local_midnight(date))
    }

    /// All that may show a local time, in order.
    fn stretches(&self, local: i64) -> impl Iterator<Item = Stretch> {
        let last = local.saturating_add(OFFSET_MAX_MS);
        let mut next = Some(local.saturating_sub(OFFSET_MAX_MS));
        let stretches = iter::from_fn(move || {
            let start = next.filter(|start| *start <= last)?;
            next =
                self.0.following(instant(start)).next().map(|it| it.timestamp().as_millisecond());
            // A change that does not lie ahead of `start` would never end: there is none.
            next = next.filter(|it| start < *it);
            let end = next.unwrap_or(i64::MAX);
            Some(Stretch { start, end, offset_ms: self.offset_ms(start) })
        });
        stretches.take(CHANGES_MAX)
    }

    fn offset_ms(&self, ms: i64) -> i64 {
        i64::from(self.0.to_offset(instant(ms)).seconds()).saturating_mul(1000)
    }
}

/// The instant for the zone's rules, which end with the year 9999 less a day and keep their last offset.
fn instant(ms: i64) -> jiff::Timestamp {
    let last = jiff::Timestamp::MAX;
    jiff::Timestamp::from_millisecond(ms.min(last.as_millisecond())).unwrap_or(last)
}

/// Midnight at which a date begins, as a local time.
pub(super) fn local_midnight(date: NaiveDate) -> i64 {
    date.and_time(NaiveTime::MIN).and_utc().timestamp_millis()
}

/// What lies between two instants and inside of time; `None` if that is nothing.
pub(super) fn interval(start: i64, end: i64) -> Option<Interval> {
    let inside = |ms: i64| Timestamp::from_ms(ms.clamp(0, Timestamp::MAX.as_ms()));
    Interval::new(inside(start)?, inside(end)?)
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name())
    }
}

impl FromStr for Zone {
    type Err = ParseError;

    /// Reads a name in either case; what is printed has the database's own spelling.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let zone = TimeZoneDatabase::bundled().get(text.trim()).ok();
        // The database also answers to `Etc/Unknown`, which is no zone and has no name.
        let zone = zone.filter(|zone| zone.iana_name().is_some());
        let why = "the time-zone database does not have it";
        zone.map(Self).ok_or_else(|| ParseError::new("time zone", text, why, ZONE_HINT))
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name().to_owned()
    }
}

impl TryFrom<String> for Zone {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl PartialOrd for Zone {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Zone {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name().cmp(other.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::naive;
    use proptest::prelude::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_ms()
    }

    #[test]
    fn zones_are_read_by_name() {
        let read = |text: &str| text.parse::<Zone>().map(|zone| zone.to_string());
        assert_eq!(read("Europe/Berlin").unwrap(), "Europe/Berlin");
        assert_eq!(read(" europe/berlin").unwrap(), "Europe/Berlin");
        assert_eq!(read("utc").unwrap(), "UTC");
        assert_eq!(read("US/Pacific").unwrap(), "US/Pacific");
        for text in ["", "Europe/Atlantis", "+02:00", "Etc/Unknown", "CET-1CEST", "Berlin"] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("write an IANA name"), "{error}");
        }
        assert_eq!("UTC".parse::<Zone>().unwrap(), Zone::UTC);
        assert_eq!(Zone::UTC.name(), "UTC");
    }

    #[test]
    fn all_names_read_back() {
        let names: Vec<String> = Zone::names().collect();
        assert!(500 < names.len());
        for name in names {
            assert_eq!(name.parse::<Zone>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn a_gap_moves_on_and_a_time_that_happens_twice_is_told_apart() {
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        let local = ms("2026-03-29T02:30:00Z");
        let after_gap = ms("2026-03-29T01:00:00Z");
        assert_eq!((berlin.first_at(local), berlin.last_at(local)), (after_gap, after_gap));
        let local = ms("2026-10-25T02:00:00Z");
        let first = ms("2026-10-25T00:00:00Z");
        let second = ms("2026-10-25T01:00:00Z");
        assert_eq!((berlin.first_at(local), berlin.last_at(local)), (first, second));
        let local = ms("2026-10-25T03:00:00Z");
        let once = ms("2026-10-25T02:00:00Z");
        assert_eq!((berlin.first_at(local), berlin.last_at(local)), (once, once));
        let local = ms("2026-03-29T02:00:00Z");
        assert_eq!((berlin.first_at(local), berlin.last_at(local)), (after_gap, after_gap));
    }

    proptest! {
        #[test]
        fn local_times_are_found_as_a_clock_shows_them(
            (zone, near) in naive::zone_and_change(),
            minutes in -1800_i64..1800,
        ) {
            let local = (near / 60_000 + minutes) * 60_000;
            prop_assume!(naive::in_minutes(&zone, local));
            prop_assert_eq!(zone.first_at(local), naive::first_at(&zone, local));
            prop_assert_eq!(zone.last_at(local), naive::last_at(&zone, local));
        }
    }
}

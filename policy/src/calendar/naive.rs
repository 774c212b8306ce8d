//! Local times found by looking at a clock minute after minute, and zones where clocks are set.

use jiff::tz::TimeZoneDatabase;
use proptest::prelude::*;

use super::Zone;

/// The year 2400, in milliseconds.
const LAST: i64 = 13_569_465_600_000;

fn clock(zone: &Zone, local: i64) -> impl Iterator<Item = (i64, i64)> {
    let zone = TimeZoneDatabase::bundled().get(zone.name()).unwrap();
    (-26 * 60..=26 * 60).map(move |step| {
        let ms = local + step * 60_000;
        let instant = jiff::Timestamp::from_millisecond(ms).unwrap();
        (ms, ms + i64::from(zone.to_offset(instant).seconds()) * 1000)
    })
}

/// Whether the zone is whole minutes away from UTC around a local time: only Liberia was not, to 1972.
pub(crate) fn in_minutes(zone: &Zone, local: i64) -> bool {
    clock(zone, local).all(|(ms, shown)| (shown - ms) % 60_000 == 0)
}

/// The first instant at which a clock shows a local time or a later one; both in whole minutes.
pub(crate) fn first_at(zone: &Zone, local: i64) -> i64 {
    clock(zone, local).find(|(_, shown)| local <= *shown).unwrap().0
}

/// The last instant at which a clock shows a local time, or the first after the gap that it is in.
pub(crate) fn last_at(zone: &Zone, local: i64) -> i64 {
    let shown = clock(zone, local).filter(|(_, shown)| *shown == local).last();
    shown.map_or_else(|| first_at(zone, local), |(ms, _)| ms)
}

/// Any zone at any time from 1970 to 2400.
pub(crate) fn zone_and_instant() -> impl Strategy<Value = (Zone, i64)> {
    let names: Vec<String> = Zone::names().collect();
    (prop::sample::select(names).prop_map(|name| name.parse().unwrap()), 0..LAST)
}

/// Any zone at an instant at which its offset changes; any instant where it never does.
pub(crate) fn zone_and_change() -> impl Strategy<Value = (Zone, i64)> {
    zone_and_instant().prop_map(|(zone, instant)| {
        let found = TimeZoneDatabase::bundled().get(zone.name()).unwrap();
        // Most changes of laws lie before 2050: of half of all instants, one there is meant.
        let instant = if instant % 2 == 0 { instant % (LAST / 5) } else { instant };
        let from = jiff::Timestamp::from_millisecond(instant).unwrap();
        let change = found.following(from).next().map(|it| it.timestamp().as_millisecond());
        (zone, change.filter(|it| *it < LAST).unwrap_or(instant))
    })
}

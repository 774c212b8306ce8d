use super::*;
use crate::calendar::naive;
use crate::time::Timestamp;
use proptest::prelude::*;

fn between(start: &str, end: &str) -> Interval {
    Interval::new(start.parse().unwrap(), end.parse().unwrap()).unwrap()
}

fn occurrences(weekly: &str, zone: &str, start: &str, end: &str) -> Vec<String> {
    let weekly: Weekly = weekly.parse().unwrap();
    let zone: Zone = zone.parse().unwrap();
    let found = weekly.occurrences(&zone, between(start, end));
    found.map(|it| it.to_string()).collect()
}

#[test]
fn hours_of_the_week_are_read_and_printed() {
    let table = [
        ("mon-fri 08:00-18:00", Ok("mon-fri 08:00-18:00")),
        ("sat,sun 00:00-24:00", Ok("sat,sun 00:00-24:00")),
        ("  Mon  22:00-06:00 ", Ok("mon 22:00-06:00")),
        ("sat-sun 00:00-24:00", Ok("sat,sun 00:00-24:00")),
        ("fri-mon 00:00-00:01", Ok("mon,fri-sun 00:00-00:01")),
        ("sun,mon,tue,wed 23:59-00:00", Ok("mon-wed,sun 23:59-00:00")),
        ("mon-sun 12:00-11:59", Ok("mon-sun 12:00-11:59")),
        ("mon", Err("days, one space and hours")),
        ("mon 08:00", Err("two times")),
        ("mon 08:00-18:00 tue", Err("days, one space and hours")),
        ("monday 08:00-18:00", Err("\"monday\" is not one of mon, tue")),
        ("mon, 08:00-18:00", Err("\"\" is not one of mon")),
        ("mon-wed-fri 08:00-18:00", Err("\"wed-fri\" is not one of")),
        ("mon 8:00-18:00", Err("two digits")),
        ("mon 08:60-18:00", Err("two digits")),
        ("mon 08:00-24:01", Err("up to 24:00")),
        ("mon +8:00-18:00", Err("two digits")),
        ("mon 08:00-08:00", Err("for a whole day write 00:00-24:00")),
        ("mon 24:00-08:00", Err("begin at 00:00 of the next")),
        ("", Err("days, one space and hours")),
    ];
    for (text, expected) in table {
        match (text.parse::<Weekly>(), expected) {
            (Ok(weekly), Ok(shown)) => assert_eq!(weekly.to_string(), shown, "{text}"),
            (Err(error), Err(why)) => assert!(error.to_string().contains(why), "{text}: {error}"),
            (got, expected) => panic!("{text}: {got:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn office_hours_follow_summer_time() {
    // The clocks were set forward in the night to March 29.
    let found = occurrences(
        "mon-fri 08:00-18:00",
        "Europe/Berlin",
        "2026-03-27T12:00:00Z",
        "2026-03-30T06:00:00.001Z",
    );
    let friday = "[2026-03-27T07:00:00Z, 2026-03-27T17:00:00Z)";
    let monday = "[2026-03-30T06:00:00Z, 2026-03-30T16:00:00Z)";
    assert_eq!(found, [friday, monday], "whole, though they only touch the interval");
}

#[test]
fn a_night_begins_on_its_day_and_ends_on_the_next() {
    let found =
        occurrences("sat 22:00-06:00", "UTC", "2026-11-29T05:00:00Z", "2026-12-05T22:00:00Z");
    assert_eq!(found, ["[2026-11-28T22:00:00Z, 2026-11-29T06:00:00Z)"]);
    let found =
        occurrences("sat 22:00-24:00", "UTC", "2026-11-28T00:00:00Z", "2026-12-01T00:00:00Z");
    assert_eq!(found, ["[2026-11-28T22:00:00Z, 2026-11-29T00:00:00Z)"]);
}

#[test]
fn a_gap_moves_on_and_what_happens_twice_is_held_from_first_to_second() {
    let berlin = |weekly: &str, date: &str| {
        let zone = "Europe/Berlin";
        occurrences(weekly, zone, &format!("{date}T00:00:00Z"), &format!("{date}T23:00:00Z"))
    };
    let (spring, autumn) = ("2026-03-29", "2026-10-25");
    assert!(berlin("sun 02:10-02:50", spring).is_empty(), "all of it is skipped");
    let found = berlin("sun 02:30-04:00", spring);
    assert_eq!(found, ["[2026-03-29T01:00:00Z, 2026-03-29T02:00:00Z)"]);
    let found = berlin("sun 01:00-02:30", spring);
    assert_eq!(found, ["[2026-03-29T00:00:00Z, 2026-03-29T01:00:00Z)"]);
    let found = berlin("sun 02:10-02:50", autumn);
    assert_eq!(found, ["[2026-10-25T00:10:00Z, 2026-10-25T01:50:00Z)"]);
    let found = berlin("sun 00:00-24:00", autumn);
    assert_eq!(found, ["[2026-10-24T22:00:00Z, 2026-10-25T23:00:00Z)"]);
}

#[test]
fn a_skipped_day_has_no_hours() {
    let found = occurrences(
        "fri 08:00-18:00",
        "Pacific/Apia",
        "2011-12-28T00:00:00Z",
        "2012-01-03T00:00:00Z",
    );
    assert!(found.is_empty(), "{found:?}");
    let found = occurrences(
        "thu 22:00-06:00",
        "Pacific/Apia",
        "2011-12-28T00:00:00Z",
        "2012-01-03T00:00:00Z",
    );
    assert_eq!(found, ["[2011-12-30T08:00:00Z, 2011-12-30T10:00:00Z)"]);
}

#[test]
fn occurrences_are_bounded_and_stay_inside_of_time() {
    let weekly: Weekly = "mon-sun 12:00-11:59".parse().unwrap();
    let count = weekly.occurrences(&Zone::UTC, Interval::ALL).count();
    assert_eq!(count, 401, "the first began before time did");
    let last = Interval::new("9999-12-31T00:00:00Z".parse().unwrap(), Timestamp::MAX).unwrap();
    for name in ["UTC", "Pacific/Kiritimati", "Pacific/Niue"] {
        let zone: Zone = name.parse().unwrap();
        assert!(weekly.occurrences(&zone, last).last().unwrap().end() == Timestamp::MAX, "{name}");
    }
}

/// Any hours of the week.
pub(in crate::calendar) fn any_weekly() -> impl Strategy<Value = Weekly> {
    let times = (0_u16..1440, 0_u16..=1440);
    (1_u8..128, times.prop_filter("not the same", |(from, to)| from != to)).prop_map(
        |(days, (from, to))| Weekly::new(Weekdays(days), TimeOfDay(from), TimeOfDay(to)).unwrap(),
    )
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(weekly in any_weekly()) {
        prop_assert_eq!(weekly.to_string().parse::<Weekly>().unwrap(), weekly);
    }

    #[test]
    fn no_text_panics(text in "[a-z0-9:, -]{0,30}") {
        drop(text.parse::<Weekly>());
    }

    #[test]
    fn occurrences_are_as_clocks_show_them(
        weekly in any_weekly(),
        (zone, near) in naive::zone_and_change(),
        hours in 1_i64..80,
    ) {
        let near = near.max(10 * 86_400_000);
        prop_assume!(naive::in_minutes(&zone, near));
        let at = |ms: i64| Timestamp::from_ms(ms).unwrap();
        let over = Interval::new(at(near - hours * 3_600_000), at(near + 50 * 3_600_000)).unwrap();
        let found: Vec<Interval> = weekly.occurrences(&zone, over).collect();
        let middle = zone.date_at(near);
        let expected: Vec<Interval> = (-7..=7_i64)
            .map(|days| middle + chrono::TimeDelta::days(days))
            .filter(|date| weekly.days.contains(*date))
            .filter_map(|date| {
                let next = if weekly.to <= weekly.from { date.succ_opt().unwrap() } else { date };
                let start = naive::first_at(&zone, weekly.from.of(date));
                let end = naive::last_at(&zone, weekly.to.of(next));
                Interval::new(at(start), at(end)).filter(|it| it.overlaps(over))
            })
            .collect();
        prop_assert_eq!(found, expected);
    }
}

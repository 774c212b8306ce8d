use super::*;
use crate::calendar::naive;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn zone(name: &str) -> Zone {
    name.parse().unwrap()
}

fn ms(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms).unwrap()
}

/// Start and hours of the day with an instant in it; minutes, where there are some.
fn day(name: &str, instant: &str) -> (String, u64, u64) {
    let day = Period::Day.containing(&zone(name), at(instant));
    let minutes = day.span().as_ms() / 60_000;
    (day.start().to_string(), minutes / 60, minutes % 60)
}

#[test]
fn days_are_as_long_as_the_zone_says() {
    let table = [
        ("UTC", "2026-03-29T12:00:00Z", "2026-03-29T00:00:00Z", 24, 0),
        ("Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", 23, 0),
        ("Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", 25, 0),
        ("Australia/Lord_Howe", "2026-04-05T00:00:00Z", "2026-04-04T13:00:00Z", 24, 30),
        ("Australia/Lord_Howe", "2026-10-04T00:00:00Z", "2026-10-03T13:30:00Z", 23, 30),
        // Midnight does not exist: the clocks go from 23:59:59 to 01:00.
        ("America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z", 23, 0),
        ("Africa/Cairo", "2026-04-24T12:00:00Z", "2026-04-23T22:00:00Z", 23, 0),
        ("Asia/Beirut", "2026-03-29T12:00:00Z", "2026-03-28T22:00:00Z", 23, 0),
        // From 24:00 back to 23:00: the day that ends has 25 hours.
        ("America/Sao_Paulo", "2018-02-17T12:00:00Z", "2018-02-17T02:00:00Z", 25, 0),
        // From 01:00 back to 00:00: midnight happens twice, and the day begins at the first.
        ("America/Havana", "2024-11-03T12:00:00Z", "2024-11-03T04:00:00Z", 25, 0),
        // From 00:01 back to 23:01 of the day before.
        ("America/St_Johns", "2006-10-29T02:31:00Z", "2006-10-29T02:30:00Z", 25, 0),
        ("America/St_Johns", "2006-10-29T02:29:00Z", "2006-10-28T02:30:00Z", 24, 0),
    ];
    for (name, instant, start, hours, minutes) in table {
        assert_eq!(day(name, instant), (start.into(), hours, minutes), "{name} {instant}");
    }
}

#[test]
fn a_day_that_was_skipped_is_none() {
    // Samoa went from the end of December 29 to December 31 in 2011.
    let apia = zone("Pacific/Apia");
    let over = Interval::new(at("2011-12-29T12:00:00Z"), at("2011-12-31T12:00:00Z")).unwrap();
    let days: Vec<Interval> = Period::Day.over(&apia, over).collect();
    let starts: Vec<String> = days.iter().map(|it| it.start().to_string()).collect();
    assert_eq!(starts, ["2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"]);
    assert_eq!(Period::Week.containing(&apia, at("2011-12-29T12:00:00Z")).span().as_ms(), {
        6 * 24 * 3_600_000
    });
}

#[test]
fn weeks_begin_on_monday_and_months_on_the_first() {
    let berlin = zone("Europe/Berlin");
    let text = |it: Interval| it.to_string();
    let week = Period::Week.containing(&berlin, at("2026-11-22T22:59:59.999Z"));
    assert_eq!(text(week), "[2026-11-15T23:00:00Z, 2026-11-22T23:00:00Z)");
    let month = Period::Month.containing(&berlin, at("2026-10-31T23:00:00Z"));
    assert_eq!(text(month), "[2026-10-31T23:00:00Z, 2026-11-30T23:00:00Z)");
    let month = Period::Month.containing(&Zone::UTC, at("2028-02-29T12:00:00Z"));
    assert_eq!(text(month), "[2028-02-01T00:00:00Z, 2028-03-01T00:00:00Z)");
}

#[test]
fn time_has_a_first_and_a_last_period() {
    for name in ["UTC", "Pacific/Kiritimati", "Pacific/Niue", "America/New_York"] {
        for period in [Period::Day, Period::Week, Period::Month] {
            let first = period.containing(&zone(name), Timestamp::EPOCH);
            assert_eq!(first.start(), Timestamp::EPOCH, "{name}");
            let last = period.containing(&zone(name), Timestamp::MAX);
            assert_eq!(last.end(), Timestamp::MAX, "{name}");
            assert_eq!(last, period.containing(&zone(name), last.start()), "{name}");
        }
    }
}

#[test]
fn summer_time_goes_on_beyond_what_is_tabled() {
    assert_eq!(day("Europe/Berlin", "2300-07-01T12:00:00Z").0, "2300-06-30T22:00:00Z");
}

#[test]
fn an_interval_is_bounded() {
    assert!(Period::Day.over(&Zone::UTC, Interval::ALL).count() <= 402);
    for (name, period) in NAMES {
        assert_eq!(name.parse::<Period>(), Ok(period));
        assert_eq!(period.to_string(), name);
    }
    assert!("year".parse::<Period>().unwrap_err().to_string().contains("day, week or month"));
}

fn periods() -> impl Strategy<Value = Period> {
    prop::sample::select(vec![Period::Day, Period::Week, Period::Month])
}

fn tiles(period: Period, zone: &Zone, instant: Timestamp) -> Result<(), TestCaseError> {
    let it = period.containing(zone, instant);
    prop_assert!(it.start() <= instant && instant < it.end(), "{it} {instant}");
    for inside in [it.start(), ms(it.start().as_ms().midpoint(it.end().as_ms()))] {
        prop_assert_eq!(period.containing(zone, inside), it);
    }
    prop_assert_eq!(period.containing(zone, ms(it.end().as_ms() - 1)), it);
    prop_assert_eq!(period.containing(zone, it.end()).start(), it.end());
    if Timestamp::EPOCH < it.start() {
        prop_assert_eq!(period.containing(zone, ms(it.start().as_ms() - 1)).end(), it.start());
    }
    Ok(())
}

proptest! {
    #[test]
    fn periods_tile_time((zone, instant) in naive::zone_and_instant(), period in periods()) {
        tiles(period, &zone, ms(instant))?;
    }

    #[test]
    fn periods_tile_time_where_clocks_are_set(
        (zone, near) in naive::zone_and_change(),
        minutes in -3000_i64..3000,
        period in periods(),
    ) {
        tiles(period, &zone, ms((near + minutes * 60_000).max(0)))?;
    }

    #[test]
    fn a_period_begins_with_the_first_instant_of_its_date(
        (zone, near) in naive::zone_and_change(),
        minutes in -3000_i64..3000,
    ) {
        let day = Period::Day.containing(&zone, ms((near + minutes * 60_000).max(2 * 86_400_000)));
        let (start, end) = (day.start().as_ms(), day.end().as_ms());
        // No clock showed a time of that day before, and all of them did of earlier days.
        let date = zone.date_at(start);
        for step in 1..3120 {
            prop_assert!(zone.date_at(start - step * 60_000) < date);
            prop_assert!(zone.date_at((start + step * 60_000).min(end - 1)) <= date);
        }
    }

    #[test]
    fn what_an_interval_touches_follows_without_a_gap(
        (zone, instant) in naive::zone_and_instant(),
        len in 1_i64..400 * 86_400_000,
        period in periods(),
    ) {
        let over = Interval::new(ms(instant), ms(instant + len)).unwrap();
        let all: Vec<Interval> = period.over(&zone, over).collect();
        prop_assert!(all.len() <= 402);
        prop_assert!(all.iter().all(|it| it.overlaps(over)));
        prop_assert!(all.windows(2).all(|pair| pair[0].end() == pair[1].start()));
        prop_assert!(all[0].start() <= over.start());
        prop_assert!(over.end() <= all[all.len() - 1].end());
    }
}

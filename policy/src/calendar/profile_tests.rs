use super::*;
use crate::calendar::naive;
use crate::calendar::weekly::tests::any_weekly;
use proptest::prelude::*;

fn rate(bps: u64) -> BitRate {
    BitRate::from_bps(bps).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn between(start: &str, end: &str) -> Interval {
    Interval::new(at(start), at(end)).unwrap()
}

fn shown(profile: &Profile, over: Interval) -> Vec<String> {
    let limit = |it: Option<BitRate>| it.map_or("unlimited".to_owned(), |it| it.to_string());
    let steps = profile.steps(over).into_iter();
    steps.map(|(it, rate)| format!("{} {}", it.start(), limit(rate))).collect()
}

fn office() -> Profile {
    Profile {
        base: Some(rate(10_000_000_000)),
        weekly: vec![
            ("mon-fri 08:00-18:00".parse().unwrap(), rate(2_000_000_000)),
            ("mon 17:00-20:00".parse().unwrap(), rate(1_000_000_000)),
        ],
        overrides: vec![
            (between("2026-11-23T12:00:00Z", "2026-11-23T17:00:00Z"), rate(5_000_000_000)),
            (between("2026-11-23T12:30:00Z", "2026-11-23T13:00:00Z"), rate(0)),
        ],
        zone: "Europe/Berlin".parse().unwrap(),
    }
}

#[test]
fn overrides_win_over_hours_and_hours_over_the_base() {
    let steps = shown(&office(), between("2026-11-22T12:00:00Z", "2026-11-24T12:00:00Z"));
    let expected = [
        "2026-11-22T12:00:00Z 10Gbit/s",
        "2026-11-23T07:00:00Z 2Gbit/s",
        "2026-11-23T12:00:00Z 5Gbit/s",
        "2026-11-23T12:30:00Z 0bit/s",
        "2026-11-23T13:00:00Z 5Gbit/s",
        "2026-11-23T17:00:00Z 1Gbit/s",
        "2026-11-23T19:00:00Z 10Gbit/s",
        "2026-11-24T07:00:00Z 2Gbit/s",
    ];
    assert_eq!(steps, expected);
}

#[test]
fn the_highest_and_the_lowest_are_of_what_the_interval_touches() {
    let all = between("2026-11-22T12:00:00Z", "2026-11-24T12:00:00Z");
    assert_eq!(office().highest(all), Some(rate(10_000_000_000)));
    assert_eq!(office().lowest(all), Some(rate(0)));
    let morning = between("2026-11-23T07:00:00Z", "2026-11-23T12:00:00Z");
    assert_eq!(office().highest(morning), Some(rate(2_000_000_000)));
    assert_eq!(office().lowest(morning), Some(rate(2_000_000_000)));
    let open = Profile { base: None, ..office() };
    assert_eq!(open.highest(all), None, "unlimited is more than any rate");
    assert_eq!(open.lowest(all), Some(rate(0)));
    assert_eq!(open.highest(morning), Some(rate(2_000_000_000)));
    assert_eq!(Profile::constant(None).lowest(all), None);
    assert_eq!(Profile::constant(None).steps(all), [(all, None)]);
}

#[test]
fn lists_are_bounded() {
    let mut profile = office();
    assert_eq!(profile.faults(), []);
    profile.weekly = vec![profile.weekly[0]; WEEKLY_MAX];
    profile.overrides = vec![profile.overrides[0]; OVERRIDES_MAX];
    assert_eq!(profile.faults(), []);
    profile.weekly.push(profile.weekly[0]);
    profile.overrides.push(profile.overrides[0]);
    let faults: Vec<String> =
        profile.faults().iter().map(|it| format!("{}: {}", it.field, it.why)).collect();
    assert_eq!(
        faults,
        [
            "weekly: there are 33; 32 is the most: join or leave out some",
            "overrides: there are 65; 64 is the most: join or leave out some",
        ]
    );
}

/// The limit at one instant, read off the lists.
fn naive_limit(profile: &Profile, instant: Timestamp) -> Option<BitRate> {
    let has = |it: &Interval| it.start() <= instant && instant < it.end();
    if let Some((_, rate)) = profile.overrides.iter().rev().find(|(it, _)| has(it)) {
        return Some(*rate);
    }
    let end = Timestamp::from_ms(instant.as_ms() + 1).unwrap();
    let moment = Interval::new(instant, end).unwrap();
    let running = profile
        .weekly
        .iter()
        .filter(|(weekly, _)| weekly.occurrences(&profile.zone, moment).any(|it| has(&it)));
    running.map(|(_, rate)| *rate).min().or(profile.base)
}

fn any_profile() -> impl Strategy<Value = (Profile, Interval)> {
    let rates = || (0_u64..5).prop_map(rate);
    let weekly = prop::collection::vec((any_weekly(), rates()), 0..6);
    let dated = prop::collection::vec((-200_i64..200, 1_i64..100, rates()), 0..6);
    let parts = (prop::option::of(rates()), weekly, dated, naive::zone_and_change());
    (parts, 1_i64..150, 1_i64..400).prop_map(
        |((base, weekly, dated, (zone, near)), before, len)| {
            let near = near.max(20 * 86_400_000);
            let hours = |from: i64, len: i64| {
                let ms = |hours: i64| Timestamp::from_ms(near + hours * 3_600_000).unwrap();
                Interval::new(ms(from), ms(from + len)).unwrap()
            };
            let overrides = dated.into_iter().map(|(from, len, rate)| (hours(from, len), rate));
            let overrides = overrides.collect();
            (Profile { base, weekly, overrides, zone }, hours(-before, len))
        },
    )
}

proptest! {
    #[test]
    fn steps_say_what_holds_at_each_instant(
        (profile, over) in any_profile(),
        picks in prop::collection::vec(0_i64..1000, 40),
    ) {
        let steps = profile.steps(over);
        prop_assert_eq!(steps[0].0.start(), over.start());
        prop_assert_eq!(steps[steps.len() - 1].0.end(), over.end());
        for pair in steps.windows(2) {
            prop_assert_eq!(pair[0].0.end(), pair[1].0.start());
            prop_assert_ne!(pair[0].1, pair[1].1);
        }
        for (step, limit) in &steps {
            let last = Timestamp::from_ms(step.end().as_ms() - 1).unwrap();
            prop_assert_eq!(naive_limit(&profile, step.start()), *limit);
            prop_assert_eq!(naive_limit(&profile, last), *limit);
        }
        for pick in picks {
            let len = over.end().as_ms() - over.start().as_ms();
            let ms = over.start().as_ms() + len * pick / 1000;
            let instant = Timestamp::from_ms(ms).unwrap();
            let here = steps.iter().find(|(it, _)| instant < it.end()).unwrap();
            prop_assert_eq!(naive_limit(&profile, instant), here.1);
        }
        let limits: Vec<_> = steps.iter().map(|(_, limit)| *limit).collect();
        let highest = if limits.contains(&None) { None } else { limits.iter().copied().max().unwrap() };
        prop_assert_eq!(profile.highest(over), highest);
        prop_assert_eq!(profile.lowest(over), limits.iter().copied().flatten().min());
    }
}

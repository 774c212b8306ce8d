//! What holds of every forecast, and what is exact where the past is. How good forecasts are is measured
//! in `tests/measured.rs`.

mod lanes;
mod measured;

use super::fit::{DAY, WEEK};
use super::{Basis, Bucket, BucketLength, Forecast, HOUR_MS, LanePast, forecast};
use lanes::Dice;
use proptest::prelude::*;

const G: u64 = 1_000_000_000;
/// A Tuesday, at 10 o'clock.
const END_MS: i64 = 1_795_514_400_000;
const FREE: u64 = 100 * G;

/// The forecast of an hour each for as many hours as are booked, with the same capacity in all of them.
fn hours(history: &[Option<u64>], booked: &[u64], capacity: u64) -> Forecast {
    let capacity = vec![capacity; booked.len()];
    let lane = LanePast { history, end_ms: END_MS, booked, capacity: &capacity };
    forecast(lane, BucketLength::Hour)
}

fn rates(of: &Forecast, rate: fn(&Bucket) -> u64) -> Vec<u64> {
    of.buckets.iter().map(rate).collect()
}

/// A pattern of the week without any noise, in hours before `END_MS` or, from zero on, after it.
fn pattern(at: i64) -> u64 {
    let hour = u64::try_from((END_MS / HOUR_MS + at).rem_euclid(168)).unwrap();
    G + hour * hour % 31 * 100_000_000
}

fn past(len: usize, rate: impl Fn(i64) -> u64) -> Vec<Option<u64>> {
    let len = i64::try_from(len).unwrap();
    (-len..0).map(|at| Some(rate(at))).collect()
}

fn future(len: usize, rate: impl Fn(i64) -> u64) -> Vec<u64> {
    (0..i64::try_from(len).unwrap()).map(rate).collect()
}

fn later(hours: i64) -> Option<i64> {
    Some(END_MS + hours * HOUR_MS)
}

#[test]
fn without_history_what_is_booked_is_all_there_is() {
    let booked = [3 * G, 0, 5 * G, 7 * G];
    for history in [vec![], vec![None; 90 * DAY], past(3 * DAY - 1, pattern)] {
        let forecast = hours(&history, &booked, 5 * G);
        assert_eq!(forecast.basis, Basis::Bookings);
        assert_eq!(forecast.trend_bps, 0);
        assert_eq!(forecast.known_hours, history.iter().flatten().count());
        for (bucket, rate) in forecast.buckets.iter().zip(booked) {
            let Bucket { booked, low, expected, high, .. } = *bucket;
            assert_eq!([booked, low, expected, high], [rate; 4]);
        }
        assert_eq!(forecast.booked_full_ms, later(2));
        assert_eq!((forecast.expected_full_ms, forecast.high_full_ms), (later(2), later(2)));
    }
}

#[test]
fn what_has_always_been_the_same_goes_on() {
    for (days, basis) in [(3, Basis::Daily), (14, Basis::Weekly), (90, Basis::Weekly)] {
        for rate in [0, 5 * G] {
            let forecast = hours(&past(days * DAY, |_| rate), &[0; 90 * DAY], FREE);
            assert_eq!((forecast.basis, forecast.trend_bps), (basis, 0));
            for bucket in &forecast.buckets {
                assert_eq!([bucket.low, bucket.expected, bucket.high], [rate; 3], "{bucket:?}");
            }
            assert_eq!(forecast.high_full_ms, None);
        }
    }
}

#[test]
fn linear_growth_runs_full_in_the_very_hour() {
    for (days, basis) in [(5, Basis::Daily), (20, Basis::Weekly), (90, Basis::Weekly)] {
        let rate = |at: i64| u64::try_from(20_000_000_000 + at * 7_654_321).unwrap();
        for full in [0, 1, 13, 200, 1999] {
            let forecast = hours(&past(days * DAY, rate), &[0; 2160], rate(full));
            assert_eq!((forecast.basis, forecast.trend_bps), (basis, 24 * 7_654_321));
            assert_eq!(forecast.expected_full_ms, later(full), "{days} days, {full} hours");
            assert_eq!(forecast.high_full_ms, later(full), "it was never off");
            assert_eq!(forecast.booked_full_ms, None);
        }
        let forecast = hours(&past(days * DAY, rate), &[0; 2160], FREE);
        assert_eq!(rates(&forecast, |it| it.expected), future(2160, rate));
    }
}

#[test]
fn what_shrinks_ends_at_nothing() {
    let rate = |at: i64| u64::try_from((50 - at).max(0)).unwrap() * 1_000_000;
    let forecast = hours(&past(30 * DAY, rate), &[0; 100], FREE);
    assert_eq!(rates(&forecast, |it| it.expected), future(100, rate));
    assert_eq!(forecast.trend_bps, -24_000_000);
}

#[test]
fn the_hours_of_the_week_come_again_whatever_the_length_of_the_past() {
    for len in [15 * DAY, 21 * DAY + 5, 50 * DAY + 23, 90 * DAY, 100 * DAY] {
        let forecast = hours(&past(len, pattern), &[0; 30 * DAY], FREE);
        assert_eq!(forecast.basis, Basis::Weekly);
        assert_eq!(rates(&forecast, |it| it.expected), future(30 * DAY, pattern), "{len}");
        assert_eq!(forecast.known_hours, len.min(90 * DAY), "older ones are not looked at");
    }
}

#[test]
fn neither_outliers_nor_gaps_move_what_is_expected() {
    let mut history = past(90 * DAY, pattern);
    let mut dice = Dice(5);
    for hour in &mut history {
        if dice.chance(0.01) {
            *hour = Some(1_000_000 * G);
        } else if dice.chance(0.3) {
            *hour = None;
        }
    }
    // The broker was away for three days, just before now.
    history[87 * DAY..].fill(None);
    let forecast = hours(&history, &[0; 14 * DAY], FREE);
    assert_eq!(forecast.basis, Basis::Weekly);
    assert_eq!(rates(&forecast, |it| it.expected), future(14 * DAY, pattern));
}

#[test]
fn a_new_level_is_believed_within_a_week() {
    for rate in [|it: u64| it / 2, |it| 3 * it, |it| it + 4 * G] {
        let now = |at: i64| rate(pattern(at));
        let rate = |at: i64| if at < -5 * 24 { pattern(at) } else { now(at) };
        let forecast = hours(&past(90 * DAY, rate), &[0; WEEK], FREE);
        for (bucket, truth) in forecast.buckets.iter().zip(future(WEEK, now)) {
            let off = bucket.expected.abs_diff(truth);
            assert!(off <= truth / 50, "{bucket:?} is to be {truth}");
        }
    }
}

#[test]
fn bookings_are_a_floor_and_capacity_is_a_roof() {
    let mut booked = vec![0; 10];
    (booked[3], booked[8]) = (9 * G, 12 * G);
    let capacity = [10 * G, 10 * G, 10 * G, 10 * G, 4 * G, 0, 10 * G, 10 * G, 10 * G, 5 * G];
    let history = past(30 * DAY, |_| 5 * G);
    let lane = LanePast { history: &history, end_ms: END_MS, booked: &booked, capacity: &capacity };
    let it = forecast(lane, BucketLength::Hour);
    let expected = [5, 5, 5, 9, 4, 0, 5, 5, 12, 5].map(|it| it * G);
    assert_eq!(rates(&it, |it| it.expected), expected);
    assert_eq!(rates(&it, |it| it.high), expected, "it was never off");
    assert_eq!(it.expected_full_ms, later(4), "out of service is not full");
    assert_eq!(it.booked_full_ms, later(8), "even if that is more than there is");
    let without = LanePast { capacity: &[], ..lane };
    let it = forecast(without, BucketLength::Hour);
    assert_eq!(rates(&it, |it| it.expected), booked);
    assert_eq!(it.expected_full_ms, None);
}

#[test]
fn days_are_those_of_utc_and_full_is_still_told_by_the_hour() {
    let mut booked = vec![0; 3 * DAY];
    booked[20] = 9 * G;
    let history = past(30 * DAY, |_| 2 * G);
    let capacity = vec![9 * G; 3 * DAY];
    let lane = LanePast { history: &history, end_ms: END_MS, booked: &booked, capacity: &capacity };
    let it = forecast(lane, BucketLength::Day);
    let starts: Vec<_> = it.buckets.iter().map(|it| (it.start_ms - END_MS) / HOUR_MS).collect();
    assert_eq!(starts, [0, 14, 38, 62], "14 hours are left of today, and 10 of the last day");
    assert_eq!(rates(&it, |it| it.booked), [0, 375_000_000, 0, 0]);
    // What is booked in one hour is not booked in another: 23 hours of 2, and one of 9.
    assert_eq!(rates(&it, |it| it.expected), [2 * G, 2_291_666_667, 2 * G, 2 * G]);
    assert_eq!(it.booked_full_ms, later(20));
}

fn rate() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..20 * G, Just(10 * G), any::<u64>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_numbers_are_the_ends_are_in_order(
        history in prop::collection::vec(prop::option::of(rate()), 0..700),
        ahead in prop::collection::vec((rate(), rate()), 0..200),
        end_ms in any::<i64>(),
        days in any::<bool>(),
    ) {
        let (booked, capacity): (Vec<_>, Vec<_>) = ahead.into_iter().unzip();
        let lane = LanePast { history: &history, end_ms, booked: &booked, capacity: &capacity };
        let length = if days { BucketLength::Day } else { BucketLength::Hour };
        let it = forecast(lane, length);
        for bucket in &it.buckets {
            prop_assert!(bucket.booked <= bucket.low, "{bucket:?}");
            prop_assert!(bucket.low <= bucket.expected, "{bucket:?}");
            prop_assert!(bucket.expected <= bucket.high, "{bucket:?}");
            prop_assert!(bucket.high <= bucket.capacity.max(bucket.booked), "{bucket:?}");
        }
        let order = |sooner: Option<i64>, later: Option<i64>| {
            later.is_none() || sooner.is_some_and(|sooner| Some(sooner) <= later)
        };
        prop_assert!(order(it.expected_full_ms, it.booked_full_ms), "{it:?}");
        prop_assert!(order(it.high_full_ms, it.expected_full_ms), "{it:?}");
        prop_assert_eq!(&forecast(lane, length), &it, "the same again");
    }
}

//! What may be sent never exceeds the plan, at any instant, whatever the clocks and the round trips.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use proptest::prelude::*;
use tidegate_policy::Timestamp;

use super::*;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn bps(bps: u64) -> BitRate {
    BitRate::from_bps(bps).unwrap()
}

/// A piece of a plan by the broker's clock: its way, its rate in bit/s, start and end in ms.
type Piece = (usize, u64, u64, u64);

/// What the broker tells at `now` of what is left of a plan, as it is read from a question that was
/// sent `up` ms before and an answer that came `down` ms later. `zero` is this machine's clock at the
/// broker's 0.
fn read(plan: &[Piece], zero: BootTime, now: u64, (up, down): (u64, u64)) -> Vec<Segment> {
    let (sent, received) = (zero.plus(ms(now)).minus(ms(up)), zero.plus(ms(now + down)));
    let left = plan.iter().filter(|(.., end)| now < *end);
    let instant = |at: u64| Timestamp::from_ms(i64::try_from(at).unwrap()).unwrap();
    let segment = |(way, rate, start, end): &Piece| Segment {
        way: *way,
        rate: bps(*rate),
        start: instant(*start),
        end: instant(*end),
        starts_at: received.plus(ms(start.saturating_sub(now))),
        ends_at: sent.plus(ms(end - now)),
    };
    left.map(segment).collect()
}

/// What a plan has for a way at an instant of the broker.
fn planned(plan: &[Piece], way: usize, at: u64) -> u64 {
    let on = plan.iter().filter(|(its, _, start, end)| *its == way && (*start..*end).contains(&at));
    on.map(|(_, rate, ..)| rate).sum()
}

/// Plans on two ways whose segments often join.
fn plans() -> impl Strategy<Value = Vec<Piece>> {
    let steps = prop::collection::vec((0_usize..2, 1_u64..1000, 0_u64..3, 1_u64..400), 1..12);
    steps.prop_map(|steps| {
        let mut free = [0_u64; 2];
        let place = |(way, rate, gap, length): (usize, u64, u64, u64)| {
            let start = free[way] + gap * 150;
            free[way] = start + length;
            (way, rate, start, free[way])
        };
        steps.into_iter().map(place).collect()
    })
}

proptest! {
    #[test]
    fn a_client_never_exceeds_its_plan(
        plan in plans(),
        offset in 0_u64..1_000_000,
        beats in prop::collection::vec((0_u64..1500, 0_u64..200, 0_u64..200), 1..6),
    ) {
        let zero = BootTime::now().plus(ms(offset));
        let mut course = Course::default();
        let mut beats = beats;
        beats.sort_unstable();
        for (index, (now, up, down)) in beats.iter().copied().enumerate() {
            let heard = Course::new(&read(&plan, zero, now, (up, down)));
            course = if index == 0 { heard } else { heard.refined(&course) };
            // From the receipt on until the next one is heard.
            for at in (now + down..2600).step_by(7) {
                let here = zero.plus(ms(at));
                let ways = [0, 1].map(|way| course.rate_on(way, here).bps());
                for (way, rate) in ways.into_iter().enumerate() {
                    let allowed = planned(&plan, way, at);
                    prop_assert!(rate <= allowed, "{rate} of {allowed} on {way} at {at}");
                }
                prop_assert_eq!(course.rate(here).bps(), ways[0] + ways[1]);
                prop_assert_eq!(course.rate_but(&[0], here).bps(), ways[1]);
            }
        }
    }

    #[test]
    fn without_delay_a_client_sends_all_of_its_plan(plan in plans(), offset in 0_u64..1_000_000) {
        let zero = BootTime::now().plus(ms(offset));
        let course = Course::new(&read(&plan, zero, 0, (0, 0)));
        for at in (0..2600).step_by(7) {
            let sum = planned(&plan, 0, at) + planned(&plan, 1, at);
            prop_assert_eq!(course.rate(zero.plus(ms(at))).bps(), sum);
        }
    }

    #[test]
    fn the_rate_holds_until_the_turn_and_does_not_fall_before_the_fall(
        plan in plans(),
        round_trip in (0_u64..200, 0_u64..200),
        at in 0_u64..2600,
    ) {
        let zero = BootTime::now().plus(ms(1000));
        let course = Course::new(&read(&plan, zero, 0, round_trip));
        let now = zero.plus(ms(at));
        // The end of all is no turn: the limiter keeps it.
        let turn = course.turn(now).into_iter().chain(course.end()).min().unwrap();
        let fall = course.fall_but(&[], now);
        for later in at..2600 {
            let then = zero.plus(ms(later));
            if then < turn {
                prop_assert_eq!(course.rate(then), course.rate(now));
            }
            if fall.is_none_or(|fall| then < fall) {
                prop_assert!(course.rate(now) <= course.rate(then));
            }
        }
        if let Some(fall) = fall {
            prop_assert!(course.rate(fall) < course.rate(now));
        }
    }
}

#[test]
fn where_segments_join_the_lower_rate_holds_over_the_round_trip() {
    let zero = BootTime::now().plus(ms(1000));
    let plan = [(0, 300, 0, 1000), (0, 200, 1000, 2000), (0, 100, 2100, 3000)];
    let course = Course::new(&read(&plan, zero, 0, (40, 60)));
    let rates = [0, 59, 60, 959, 960, 1059, 1060, 1959, 1960, 2159, 2160, 2959, 2960];
    let rates = rates.map(|at| course.rate(zero.plus(ms(at))).bps());
    assert_eq!(rates, [0, 0, 300, 300, 200, 200, 200, 200, 0, 0, 100, 100, 0]);
}

#[test]
fn a_segment_shorter_than_the_round_trip_is_left_out() {
    let zero = BootTime::now().plus(ms(1000));
    let course = Course::new(&read(&[(0, 300, 100, 150)], zero, 0, (40, 60)));
    assert!((0..300).all(|at| course.rate(zero.plus(ms(at))) == BitRate::ZERO));
}

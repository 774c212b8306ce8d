//! Lanes against brute force: instant by instant from the list of what is booked and taken away.

use super::*;
use proptest::prelude::*;
use tidegate_policy::BitRate;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms).unwrap()
}

fn over(start: i64, end: i64) -> Interval {
    Interval::new(at(start), at(end)).unwrap()
}

fn def(capacity: u64) -> LaneDef {
    LaneDef { nominal: capacity, capacity, overhead_ppm: 0, spread: None, firm: false, twin: None }
}

fn terms() -> impl Strategy<Value = Terms> {
    (any::<bool>(), 1..6_u16).prop_map(|(shared, streams)| Terms { shared, streams })
}

fn need() -> impl Strategy<Value = LaneNeed> {
    let spread = (977..=1_000_000_u32, 1..6_u16);
    let spread = prop::option::of(
        spread.prop_map(|(share_ppm, streams_min)| Spread { share_ppm, streams_min }),
    );
    (0..=1_000_000_u32, 1..4_u32, any::<bool>(), spread).prop_map(
        |(overhead_ppm, times, firm, spread)| {
            let lane = LaneName::new("l");
            LaneNeed { lane, overhead_ppm, times, firm, spread }
        },
    )
}

proptest! {
    /// The highest rate that is said to fit does, and one bit more does not.
    #[test]
    fn rate_within_is_the_exact_inverse_of_amount(
        free in 0..=BitRate::MAX.bps(), need in need(), terms in terms(),
    ) {
        let rate = need.rate_within(free, terms);
        prop_assert!(need.amount(rate, terms) <= free);
        if need.applies(terms) {
            if let Some(more) = BitRate::from_bps(rate.bps() + 1) {
                prop_assert!(free < need.amount(more, terms));
            }
        } else {
            prop_assert_eq!((rate, need.amount(rate, terms)), (BitRate::MAX, 0));
        }
    }

    /// A share books as much of one link as that share of the rate, at least, and never more than
    /// one bit past it each time.
    #[test]
    fn a_share_is_the_rate_times_the_share_rounded_up(
        rate in 0..=BitRate::MAX.bps(), need in need(), terms in terms(),
    ) {
        let spread = need.spread.filter(|spread| spread.streams_min <= terms.streams);
        let share = spread.map_or(1_000_000, |spread| spread.share_ppm);
        let exact = u128::from(rate) * u128::from(share) * u128::from(1_000_000 + need.overhead_ppm);
        let times = u128::from(need.times);
        let amount = u128::from(need.amount(BitRate::from_bps(rate).unwrap(), terms));
        if need.applies(terms) {
            let trillion = 1_000_000_000_000;
            prop_assert!(exact * times <= amount * trillion);
            prop_assert!(amount * trillion < (exact + trillion) * times);
        }
    }

    /// Every answer equals one computed instant by instant from the list of what is booked and
    /// what is taken away, in whatever order the two came.
    #[test]
    fn equals_the_lists_of_bookings_and_cuts(
        bookings in prop::collection::vec((0..40_i64, 1..20_i64, 1..5_u64, any::<bool>()), 0..16),
        cuts in prop::collection::vec((0..40_i64, 1..20_i64, 1..9_u64), 0..4),
        (start, length, amount) in (0..50_i64, 1..20_i64, 0..14_u64),
        (capacity, drained, early) in (0..16_u64, prop::bool::weighted(0.1), 0..17_usize),
    ) {
        let mut lane = Lane { def: Some(def(capacity)), ..Lane::default() };
        lane.set_drained(drained);
        // Of overlapping cuts the strongest counts; together they are a timeline again.
        let cut = |ms: i64| -> u64 {
            let inside = cuts.iter().filter(|(from, length, _)| (*from..from + length).contains(&ms));
            inside.map(|(_, _, depth)| (*depth).min(capacity)).max().unwrap_or(0)
        };
        let mut taken = Timeline::default();
        for ms in 0..60 {
            taken.book(over(ms, ms + 1), cut(ms)).unwrap();
        }
        let mut list = Vec::new();
        for (index, (from, length, amount, kept)) in bookings.into_iter().enumerate() {
            if index == early {
                lane.set_cuts(taken.clone()).unwrap();
            }
            lane.book(over(from, from + length), amount).unwrap();
            if kept {
                list.push((from..from + length, amount));
            } else {
                lane.unbook(over(from, from + length), amount).unwrap();
            }
        }
        lane.set_cuts(taken).unwrap();
        let booked = |ms: i64| -> u64 {
            list.iter().filter(|(over, _)| over.contains(&ms)).map(|(_, amount)| amount).sum()
        };
        let free = |ms: i64| {
            let limit = if drained { 0 } else { capacity - cut(ms) };
            limit.saturating_sub(booked(ms))
        };
        let asked = over(start, start + length);
        prop_assert_eq!(lane.free(asked), (start..start + length).map(free).min().unwrap());
        let fits = |from: &i64| (*from..from + length).all(|ms| amount <= free(ms));
        let span = Span::from_ms(length.try_into().unwrap()).unwrap();
        prop_assert_eq!(
            lane.earliest(at(start), at(90), span, amount),
            (start..=90).find(fits).map(at)
        );
        let mut steps: Vec<(Timestamp, u64)> = Vec::new();
        for ms in start..start + length {
            if steps.last().map(|step| step.1) != Some(free(ms)) {
                steps.push((at(ms), free(ms)));
            }
        }
        prop_assert_eq!(lane.steps(asked).collect::<Vec<_>>(), steps);
        for ms in start..start + length {
            prop_assert_eq!(lane.limit_at(at(ms)), capacity - cut(ms));
            prop_assert_eq!(lane.timeline.level_at(at(ms)), booked(ms));
        }
    }
}

#[test]
fn without_cuts_nothing_is_kept_twice() {
    let mut lane = Lane { def: Some(def(10)), ..Lane::default() };
    lane.book(over(0, 10), 4).unwrap();
    let before = lane.clone();
    let mut cuts = Timeline::default();
    cuts.book(over(5, 15), 10).unwrap();
    lane.set_cuts(cuts).unwrap();
    assert!(lane.load.is_some());
    lane.set_cuts(Timeline::default()).unwrap();
    assert_eq!(lane, before);
}

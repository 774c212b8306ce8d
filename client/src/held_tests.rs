//! What a grant stands on, as it is told, heard and moved.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use tidegate_policy::BitRate;

use super::*;
use crate::ask::Transfer;
use crate::plan::Promise;

fn bps(bps: u64) -> BitRate {
    BitRate::from_bps(bps).unwrap()
}

/// A minute at this rate from `at` on, under this version of the plan.
fn told(at: BootTime, rate: u64, version: i64) -> Reservation {
    let second = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let wire = v1::Reservation {
        name: "projects/default/reservations/019aa7e0-8000-7000-8000-000000000001".into(),
        state: v1::reservation::State::Confirmed.into(),
        phase: v1::reservation::Phase::Active.into(),
        assurance: v1::Assurance::Firm.into(),
        rate_bps: i64::try_from(rate).unwrap(),
        start_time: second(0),
        end_time: second(60),
        create_time: second(0),
        starts_in: Some(prost_types::Duration::default()),
        ends_in: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        plan_version: version,
        ..v1::Reservation::default()
    };
    Reservation::from_wire(wire, Timing { sent: at, received: at }).unwrap()
}

fn rate(held: &Held, at: BootTime) -> BitRate {
    match held.order(at) {
        Order::Run { rate, .. } => rate,
        Order::GiveUp | Order::Stop(_) => BitRate::ZERO,
    }
}

#[test]
fn what_became_of_a_change_stays_unknown_until_something_tells_it() {
    let zero = BootTime::now();
    let mut held = Held::granted(told(zero, 100, 1), OnUnreachable::Fail, None);
    let unanswered = Err(ClientError::Deadline { after: Duration::from_secs(5) });
    let wrong = Err(ClientError::Invalid { why: "no".into(), violations: Vec::new() });
    let over = Err(ClientError::FailedPrecondition { why: "it is closed".into() });
    held.narrow(&Change::new().rate(bps(30)));
    held.answered(&unanswered);
    held.asked();
    assert_eq!(rate(&held, zero), bps(30), "it may have been cut to that");
    held.narrow(&Change::new().rate(bps(20)));
    assert_eq!(rate(&held, zero), bps(20));
    held.answered(&wrong);
    held.asked();
    assert_eq!(rate(&held, zero), bps(30), "nothing was said of the first");
    held.narrow(&Change::new().rate(bps(10)));
    held.answered(&over);
    held.asked();
    assert_eq!(rate(&held, zero), bps(10), "without beats nobody tells when it was closed");
    held.narrow(&Change::new().rate(bps(70)));
    held.answered(&Ok(Outcome::Granted(told(zero, 70, 3))));
    held.asked();
    assert_eq!((rate(&held, zero), held.is_narrowed()), (bps(70), false), "it tells all");
}

#[test]
fn nobody_gives_a_word_on_a_plan_of_a_volume_that_is_not_known_yet() {
    let zero = BootTime::now();
    let volume = Transfer::new("1GB".parse().unwrap(), Timestamp::MAX);
    let session = "019aa7e0-8000-7000-8000-000000000002".parse().unwrap();
    let mut change = Change::new();
    change.rate = Some(bps(30));
    for session in [Some(session), None] {
        let plain = Reservation { session, ..told(zero, 100, 1) };
        let held = Held::granted(plain.clone(), OnUnreachable::Fail, None);
        assert_eq!(held.word(), session.map(|session| (session, 1)));
        let promise = Some(Promise::Transfer(volume));
        let promised = Reservation { promise, ..plain };
        let mut held = Held::granted(promised, OnUnreachable::Fail, None);
        assert_eq!(held.word(), None);
        held.narrow(&change);
        let paused = session.is_none();
        assert_eq!(rate(&held, zero), if paused { BitRate::ZERO } else { bps(30) });
    }
}

#[test]
fn an_answer_that_it_is_closed_stops_it_before_the_close_is_obeyed() {
    let zero = BootTime::now();
    let mut held = Held::granted(told(zero, 100, 1), OnUnreachable::Fail, None);
    let why = CloseReason::Released;
    held.narrow(&Change::new().rate(bps(30)));
    let closed = Reservation { state: State::Closed { why }, ..told(zero, 100, 2) };
    held.answered(&Ok(Outcome::Granted(closed)));
    held.asked();
    assert_eq!((held.order(zero), held.obeyed()), (Order::Stop(why), 1));
}

/// A plan of a movable reservation by the broker's clock, from an instant of it on: rate, start and
/// end of each segment, in bit/s and ms.
type Laid = Vec<(u64, u64, u64)>;

/// How long a beat keeps everything as it is, and the floor beyond it, in ms.
const LEASE: u64 = 1000;
const GRACE: u64 = 2000;

fn span(ms: u64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration::try_from(Duration::from_millis(ms)).unwrap())
}

fn instant(ms: u64) -> Option<prost_types::Timestamp> {
    let span = span(ms).unwrap();
    Some(prost_types::Timestamp { seconds: span.seconds, nanos: span.nanos })
}

/// What the broker says at `now` of a plan.
fn status(plan: &Laid, version: usize, now: u64) -> v1::GrantStatus {
    let segment = |(rate, start, end): &(u64, u64, u64)| v1::Segment {
        way: 0,
        rate_bps: i64::try_from(*rate).unwrap(),
        start_time: instant(*start),
        end_time: instant(*end),
        starts_in: span(start.saturating_sub(now)),
        ends_in: span(end - now),
    };
    let left = plan.iter().filter(|(.., end)| now < *end);
    v1::GrantStatus {
        state: v1::reservation::State::Confirmed.into(),
        plan_version: i64::try_from(version).unwrap(),
        segments: left.map(segment).collect(),
        ways: vec![v1::PlanWay::default()],
        movable: true,
        rate_bps: 1000,
        starts_in: span(0),
        ends_in: span(plan.last().map_or(0, |(.., end)| end.saturating_sub(now))),
        ..v1::GrantStatus::default()
    }
}

fn planned(plan: &Laid, at: u64) -> u64 {
    plan.iter().find(|(_, start, end)| (*start..*end).contains(&at)).map_or(0, |(rate, ..)| *rate)
}

/// Segments one after the other from `from` on: a gap before each, its length and its rate.
fn laid(from: u64, steps: &[(u64, u64, u64)]) -> Laid {
    let mut free = from;
    let mut lay = |(gap, length, rate): &(u64, u64, u64)| {
        let start = free + gap;
        free = start + length;
        (*rate, start, free)
    };
    steps.iter().map(&mut lay).collect()
}

/// The plan after a move at `now`: what lies before the freeze stays, what lies behind it is new.
fn moved_at(plan: &Laid, now: u64, steps: &[(u64, u64, u64)]) -> Laid {
    let freeze = now + LEASE + 1000;
    let kept = plan.iter().filter(|(_, start, _)| *start < freeze);
    let kept = kept.map(|(rate, start, end)| (*rate, *start, (*end).min(freeze)));
    kept.chain(laid(freeze, steps)).collect()
}

fn steps() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    prop::collection::vec((prop_oneof![Just(0_u64), 1..300_u64], 50_u64..900, 1_u64..1000), 4..10)
}

proptest! {
    /// Whatever is moved, delayed and lost: no client sends at any instant what the plan that stands
    /// at the broker then has not.
    #[test]
    fn a_plan_that_moves_is_never_exceeded(
        first in steps(),
        moves in prop::collection::vec((0_u64..5000, steps()), 0..4),
        // The pause before each beat, how long it and its answer take, and whether either is lost.
        beats in prop::collection::vec((50_u64..900, 0_u64..400, 0_u64..400, 0_u8..3), 1..14),
        offset in 0_u64..1_000_000,
    ) {
        let zero = BootTime::now().plus(Duration::from_millis(offset));
        let here = |ms: u64| zero.plus(Duration::from_millis(ms));
        // The plans that stand, each from an instant on.
        let mut plans = vec![(0, laid(0, &first))];
        let mut moves = moves;
        moves.sort_by_key(|(now, _)| *now);
        for (now, steps) in &moves {
            let plan = moved_at(&plans.last().unwrap().1, *now, steps);
            plans.push((*now, plan));
        }
        let standing = |at: u64| {
            let version = plans.iter().rposition(|(from, _)| *from <= at).unwrap();
            (version + 1, &plans[version].1)
        };
        // Answers in the order in which they are heard; one of an earlier beat is dropped then.
        let mut answers = Vec::new();
        let mut sent = 0;
        for (pause, up, down, fate) in &beats {
            sent += pause;
            if *fate != 0 {
                answers.push((sent + up + down, sent, sent + up));
            }
        }
        answers.sort_unstable();
        let granted = {
            let wire = status(&plans[0].1, 1, 0);
            let told = told(here(0), 1000, 1);
            let timing = Timing { sent: here(0), received: here(0) };
            let segments = plan::segments(&wire.segments, 1, timing).unwrap();
            Reservation { segments, movable: true, ..told }
        };
        let lease = |sent: u64, received: u64| Lease {
            beat: Timing { sent: here(sent), received: here(received) },
            beat_every: Duration::from_millis(100),
            lease: Duration::from_millis(LEASE),
            grace: Duration::from_millis(GRACE),
        };
        let window = Some(lease(0, 0).window());
        let mut held = Held::granted(granted, OnUnreachable::Fail, window);
        let (mut from, mut last) = (0, 0);
        let ends = answers.iter().map(|answer| answer.0).skip(1).chain([9000]);
        let first_heard = answers.first().map_or(9000, |answer| answer.0);
        let turns = std::iter::once((None, first_heard))
            .chain(answers.iter().map(Some).zip(ends));
        for (answer, until) in turns {
            if let Some((received, sent, told)) = answer.filter(|(_, sent, _)| last <= *sent) {
                let (version, plan) = standing(*told);
                let status = status(plan, version, *told);
                let heard = Heard::from_wire(&status, lease(*sent, *received)).unwrap();
                let Heard::GoesOn(news) = heard else { panic!("{heard:?}") };
                held.hear(&news);
                (from, last) = (*received, *sent);
            }
            for at in (from..until).step_by(11) {
                let Order::Run { rate, expires_at, .. } = held.order(here(at)) else { continue };
                if here(at) < expires_at {
                    let (version, plan) = standing(at);
                    let (rate, allowed) = (rate.bps(), planned(plan, at));
                    prop_assert!(rate <= allowed, "{rate} of {allowed} at {at}, plan {version}");
                }
                if last + LEASE <= at {
                    let silent = rate == BitRate::ZERO;
                    prop_assert!(silent || expires_at <= here(at), "behind its lease, at {at}");
                }
            }
            from = until;
        }
    }
}

//! What others leave beyond the promise: told, followed, and over with the lease.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

fn bps(bps: u64) -> BitRate {
    BitRate::from_bps(bps).unwrap()
}

/// An hour of a rate of which a quarter is promised, bound to a session, as it was told at `zero`.
fn granted(zero: BootTime) -> Held {
    let second = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let wire = v1::Reservation {
        name: "projects/default/reservations/019aa7e0-8000-7000-8000-000000000001".into(),
        state: v1::reservation::State::Confirmed.into(),
        phase: v1::reservation::Phase::Active.into(),
        assurance: v1::Assurance::Firm.into(),
        rate_bps: 100,
        ceiling_bps: Some(400),
        start_time: second(0),
        end_time: second(3600),
        create_time: second(0),
        starts_in: Some(prost_types::Duration::default()),
        ends_in: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
        plan_version: 1,
        session: "sessions/019aa7e0-8000-7000-8000-000000000002".into(),
        ..v1::Reservation::default()
    };
    let told = Reservation::from_wire(wire, Timing { sent: zero, received: zero }).unwrap();
    Held::granted(told, OnUnreachable::Fail, Some(lease(zero).window()))
}

/// A lease of 30 s and a grace of 60 s from then on.
fn lease(at: BootTime) -> Lease {
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let (beat_every, lease, grace) = (seconds(5), seconds(30), seconds(60));
    let session = v1::Session { beat_every, lease, grace, ..v1::Session::default() };
    Lease::from_wire(&session, Timing { sent: at, received: at }).unwrap()
}

/// The answer to a beat that was sent at `at`: the promised rate, the live rate, and its version.
fn hear(held: &mut Held, at: BootTime, (plan, rate): (i64, i64), live: (i64, i64)) {
    let status = v1::GrantStatus {
        state: v1::reservation::State::Confirmed.into(),
        rate_bps: rate,
        plan_version: plan,
        starts_in: Some(prost_types::Duration::default()),
        ends_in: Some(prost_types::Duration { seconds: 3500, nanos: 0 }),
        live_bps: live.0,
        live_version: live.1,
        ..v1::GrantStatus::default()
    };
    match Heard::from_wire(&status, lease(at)).unwrap() {
        Heard::GoesOn(news) => held.hear(&news),
        Heard::Over { .. } => panic!("it goes on"),
    }
}

/// What the limiter is to admit.
fn rate(held: &Held, at: BootTime) -> u64 {
    match held.order(at) {
        Order::Run { rate, .. } => rate.bps(),
        Order::GiveUp | Order::Stop(_) => 0,
    }
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn it_holds_for_the_lease_of_the_beat_that_told_it() {
    let zero = BootTime::now();
    let mut held = granted(zero);
    assert_eq!((rate(&held, zero), held.live_obeyed()), (100, (1, BitRate::ZERO)));
    hear(&mut held, zero, (1, 100), (300, 2));
    assert_eq!(held.live_obeyed(), (1, BitRate::ZERO), "the limiter does not follow yet");
    held.obey();
    assert_eq!(held.live_obeyed(), (2, bps(300)));
    assert_eq!(rate(&held, zero.plus(s(29))), 300);
    // Nobody has to be awake for the fall.
    assert_eq!(held.falls_at(zero.plus(s(1))), Some(zero.plus(s(30))));
    assert_eq!(rate(&held, zero.plus(s(30))), 100, "behind it the promise holds");
    assert_eq!(rate(&held, zero.plus(s(89))), 100);
    // The next answer brings it back.
    hear(&mut held, zero.plus(s(40)), (1, 100), (250, 3));
    assert_eq!(rate(&held, zero.plus(s(69))), 250);
}

#[test]
fn what_is_told_with_an_earlier_plan_or_version_is_left_aside() {
    let zero = BootTime::now();
    let mut held = granted(zero);
    hear(&mut held, zero, (1, 100), (300, 5));
    hear(&mut held, zero, (1, 100), (400, 4));
    assert_eq!(rate(&held, zero), 300, "a later one is known");
    hear(&mut held, zero, (2, 50), (200, 6));
    assert_eq!(rate(&held, zero), 200);
    hear(&mut held, zero, (1, 100), (400, 7));
    assert_eq!(rate(&held, zero), 200, "of a plan that is not followed any more");
    hear(&mut held, zero, (3, 50), (0, 0));
    assert_eq!(rate(&held, zero), 50, "with another plan there is another live rate");
    assert_eq!(held.reservation().ceiling, Some(bps(200)));
}

#[test]
fn while_a_change_is_asked_for_only_promises_count() {
    let zero = BootTime::now();
    let mut held = granted(zero);
    hear(&mut held, zero, (1, 100), (300, 2));
    held.narrow(&Change::new().rate(bps(200)));
    // Of 200 at most, 50 are promised; of which one bit may be rounding.
    assert!((49..=50).contains(&rate(&held, zero)), "{}", rate(&held, zero));
    held.narrow(&Change::new().rate(bps(4000)));
    assert_eq!(rate(&held, zero), 100);
    held.answered(&Err(ClientError::Invalid { why: "no".into(), violations: Vec::new() }));
    assert_eq!(rate(&held, zero), 300);
}

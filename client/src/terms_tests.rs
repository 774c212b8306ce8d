use tidegate_policy::Timestamp;

use super::*;
use crate::course::Course;

const RATE: BitRate = match BitRate::from_bps(1_000_000) {
    Some(rate) => rate,
    None => BitRate::ZERO,
};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Starts 10 s after `zero`, ends 1000 s after it; its beat was sent at `zero`: 90 s of window.
fn terms(zero: BootTime, policy: OnUnreachable) -> Terms {
    Terms {
        course: course(zero, &[(0, RATE, 10, 1000)]),
        confirmed: true,
        movable: false,
        volume: false,
        window: Some(Window::of(Timing { sent: zero, received: zero }, secs(30), secs(60))),
        policy,
    }
}

fn instant(secs: u64) -> Timestamp {
    Timestamp::from_ms(i64::try_from(secs * 1000).unwrap()).unwrap()
}

/// Pieces of a plan, each a way, a rate, a start and an end in seconds after `zero`.
fn course(zero: BootTime, pieces: &[(usize, BitRate, u64, u64)]) -> Course {
    Course::new(&segments(zero, pieces))
}

fn segments(zero: BootTime, pieces: &[(usize, BitRate, u64, u64)]) -> Vec<Segment> {
    let segment = |(way, rate, from, until): &(usize, BitRate, u64, u64)| Segment {
        way: *way,
        rate: *rate,
        start: instant(*from),
        end: instant(*until),
        starts_at: zero.plus(secs(*from)),
        ends_at: zero.plus(secs(*until)),
    };
    pieces.iter().map(segment).collect()
}

/// The terms with one piece that ends then.
fn ending(zero: BootTime, end: u64) -> Terms {
    let course = course(zero, &[(0, RATE, 10, end)]);
    Terms { course, ..terms(zero, OnUnreachable::Fail) }
}

fn rate_at(terms: &Terms, time: BootTime) -> Option<(BitRate, bool)> {
    match terms.order(time) {
        Order::Run { rate, promised, .. } => Some((rate, promised)),
        Order::GiveUp | Order::Stop(_) => None,
    }
}

#[test]
fn the_table_of_the_documentation() {
    let zero = BootTime::now();
    let slow = BitRate::from_bps(1000).unwrap();
    let (granted, paused, unpromised) =
        (Some((RATE, true)), Some((BitRate::ZERO, true)), Some((slow, false)));
    let wait = OnUnreachable::Wait { up_to: secs(100) };
    let best = OnUnreachable::BestEffort(slow);
    let table = [
        (OnUnreachable::Fail, 9, paused),
        (OnUnreachable::Fail, 10, granted),
        (OnUnreachable::Fail, 89, granted),
        (OnUnreachable::Fail, 90, None),
        (wait, 89, granted),
        (wait, 90, paused),
        (wait, 189, paused),
        (wait, 190, None),
        (best, 89, granted),
        (best, 90, unpromised),
        (best, 900, unpromised),
    ];
    for (policy, at, expected) in table {
        let got = rate_at(&terms(zero, policy), zero.plus(secs(at)));
        assert_eq!(got, expected, "{policy:?} at {at} s");
    }
}

#[test]
fn a_plan_that_changes_changes_the_table() {
    let zero = BootTime::now();
    let (half, more) = (BitRate::from_bps(500_000).unwrap(), BitRate::from_bps(2_000_000).unwrap());
    let at = |seconds| zero.plus(secs(seconds));
    let plan = |version, rate, start: Option<u64>, end| Plan {
        version,
        rate,
        starts_at: start.map(at),
        ends_at: at(end),
        segments: Vec::new(),
        begun: false,
        movable: false,
    };
    // Known is version 5, that starts at 10 s and ends at 80 s, inside of its window of 90 s.
    // What is heard, then the version that is followed, from when on it sends, and how fast.
    let table = [
        (plan(5, RATE, Some(10), 80), 5, 10, RATE),
        // An older one changes nothing.
        (plan(4, more, Some(0), 80), 5, 10, RATE),
        (plan(6, half, Some(10), 80), 6, 10, half),
        (plan(6, more, Some(10), 80), 6, 10, more),
        (plan(6, RATE, Some(40), 80), 6, 40, RATE),
        (plan(6, RATE, Some(2), 80), 6, 2, RATE),
        // A start that is not said stays.
        (plan(6, half, None, 80), 6, 10, half),
        // Each reading of one start is late by its round trip, so the earliest stays.
        (plan(5, RATE, Some(12), 80), 5, 10, RATE),
    ];
    for (heard, followed, start, rate) in table {
        let mut terms = ending(zero, 80);
        assert_eq!(terms.follow(5, &heard), followed, "{heard:?}");
        assert_eq!(rate_at(&terms, at(start - 1)), Some((BitRate::ZERO, true)), "{heard:?}");
        for time in [start, 79] {
            assert_eq!(rate_at(&terms, at(time)), Some((rate, true)), "{heard:?}");
        }
    }
    // The end is the limiter's to keep, and the window's where that comes first.
    for (end, expires) in [(60, 60), (85, 85), (500, 90)] {
        let mut terms = terms(zero, OnUnreachable::Fail);
        terms.follow(5, &plan(6, RATE, None, end));
        let order = terms.order(at(20));
        let Order::Run { expires_at, .. } = order else { panic!("{order:?}") };
        assert_eq!(expires_at, at(expires), "end at {end} s");
    }
}

#[test]
fn narrowed_terms_keep_to_both() {
    let zero = BootTime::now();
    let at = |seconds| zero.plus(secs(seconds));
    let half = BitRate::from_bps(500_000).unwrap();
    let terms = terms(zero, OnUnreachable::Fail);
    let slower = Narrowed { rate: Some(half), ..Narrowed::default() };
    let later = Narrowed { starts_at: Some(at(40)), ..Narrowed::default() };
    let shorter = Narrowed { ends_at: Some(at(60)), ..Narrowed::default() };
    let wider =
        Narrowed { rate: Some(BitRate::MAX), starts_at: Some(zero), ends_at: Some(at(9000)) };
    assert_eq!(terms.within(&wider), terms);
    assert_eq!(rate_at(&terms.within(&slower), at(20)), Some((half, true)));
    assert_eq!(rate_at(&terms.within(&later), at(39)), Some((BitRate::ZERO, true)));
    assert_eq!(terms.within(&shorter).course.end(), Some(at(60)));
    let all = slower.and(later).and(shorter).and(wider);
    let within = terms.within(&all);
    assert_eq!((within.course.start(), within.course.end()), (Some(at(40)), Some(at(60))));
    assert_eq!(within.course.rate(at(50)), half);
}

#[test]
fn the_limiter_itself_ends_with_the_window_while_the_granted_rate_runs() {
    let zero = BootTime::now();
    for policy in [OnUnreachable::Fail, OnUnreachable::Wait { up_to: secs(100) }] {
        let order = terms(zero, policy).order(zero.plus(secs(50)));
        let Order::Run { expires_at, review, .. } = order else { panic!("{order:?}") };
        assert_eq!(expires_at, zero.plus(secs(90)));
        assert!(review < Some(expires_at), "the review comes first");
    }
}

#[test]
fn an_end_inside_the_window_needs_no_broker() {
    let zero = BootTime::now();
    let ends_at = zero.plus(secs(90));
    let terms = ending(zero, 90);
    let order = terms.order(zero.plus(secs(89)));
    let expected = Order::Run { rate: RATE, expires_at: ends_at, review: None, promised: true };
    assert_eq!(order, expected);
}

#[test]
fn a_hold_admits_nothing() {
    let zero = BootTime::now();
    let mut terms = terms(zero, OnUnreachable::Fail);
    terms.confirmed = false;
    assert_eq!(rate_at(&terms, zero.plus(secs(50))), Some((BitRate::ZERO, true)));
}

#[test]
fn best_effort_never_raises_the_rate() {
    let zero = BootTime::now();
    let terms = terms(zero, OnUnreachable::BestEffort(BitRate::MAX));
    assert_eq!(rate_at(&terms, zero.plus(secs(95))), Some((RATE, false)));
}

#[test]
fn a_plan_that_may_move_holds_for_the_lease_alone() {
    let zero = BootTime::now();
    let slow = BitRate::from_bps(1000).unwrap();
    let (granted, paused) = (Some((RATE, true)), Some((BitRate::ZERO, true)));
    let wait = OnUnreachable::Wait { up_to: secs(100) };
    let best = OnUnreachable::BestEffort(slow);
    let table = [
        (OnUnreachable::Fail, 9, paused),
        (OnUnreachable::Fail, 29, granted),
        (OnUnreachable::Fail, 30, paused),
        (OnUnreachable::Fail, 89, paused),
        (OnUnreachable::Fail, 90, None),
        (wait, 29, granted),
        (wait, 30, paused),
        (wait, 189, paused),
        (wait, 190, None),
        (best, 29, granted),
        (best, 30, paused),
        (best, 89, paused),
        (best, 90, Some((slow, false))),
    ];
    for (policy, at, expected) in table {
        let terms = Terms { movable: true, ..terms(zero, policy) };
        assert_eq!(rate_at(&terms, zero.plus(secs(at))), expected, "{policy:?} at {at} s");
        // Nobody has to be awake when the lease ends: the limiter itself does.
        let Order::Run { expires_at, review, .. } = terms.order(zero.plus(secs(at))) else {
            continue;
        };
        if expected == granted {
            assert_eq!(expires_at, zero.plus(secs(30)), "{policy:?} at {at} s");
            assert!(review < Some(expires_at), "the review comes first");
        }
    }
    // An end inside the lease needs no answer.
    let terms = Terms { movable: true, ..ending(zero, 30) };
    assert_eq!(rate_at(&terms, zero.plus(secs(29))), granted);
}

#[test]
fn the_rate_is_that_of_the_segment_that_is_on() {
    let zero = BootTime::now();
    let at = |seconds| zero.plus(secs(seconds));
    let half = BitRate::from_bps(500_000).unwrap();
    let both = BitRate::from_bps(1_500_000).unwrap();
    let pieces = [(0, RATE, 10, 20), (0, half, 20, 30), (0, RATE, 40, 60), (1, half, 50, 70)];
    let terms = Terms { course: course(zero, &pieces), ..terms(zero, OnUnreachable::Fail) };
    // When, how fast in all and on each way, and when to look again.
    let zero_rate = BitRate::ZERO;
    let table = [
        (0, zero_rate, zero_rate, zero_rate, Some(10)),
        (10, RATE, RATE, zero_rate, Some(20)),
        (20, half, half, zero_rate, Some(30)),
        (30, zero_rate, zero_rate, zero_rate, Some(40)),
        (45, RATE, RATE, zero_rate, Some(50)),
        (50, both, RATE, half, Some(60)),
        (65, half, zero_rate, half, None),
    ];
    for (when, all, one, other, turn) in table {
        assert_eq!(rate_at(&terms, at(when)), Some((all, true)), "at {when} s");
        let course = &terms.course;
        assert_eq!((course.rate_on(0, at(when)), course.rate_on(1, at(when))), (one, other));
        assert_eq!(course.rate_but(&[0], at(when)), other, "at {when} s");
        let Order::Run { review, expires_at, .. } = terms.order(at(when)) else { panic!() };
        assert_eq!(review, turn.map(at), "at {when} s");
        assert_eq!(expires_at, at(70));
    }
}

#[test]
fn a_plan_is_followed_by_its_version_segment_by_segment() {
    let zero = BootTime::now();
    let at = |seconds| zero.plus(secs(seconds));
    let half = BitRate::from_bps(500_000).unwrap();
    let plan = |version, segments, movable| Plan {
        version,
        rate: RATE,
        starts_at: Some(at(10)),
        ends_at: at(80),
        segments,
        begun: true,
        movable,
    };
    let moved = segments(zero, &[(0, half, 30, 40), (0, RATE, 40, 80)]);
    // An older one changes nothing, a later one all of it.
    let mut terms = ending(zero, 80);
    assert_eq!(terms.follow(5, &plan(4, moved.clone(), true)), 5);
    assert_eq!(terms, ending(zero, 80));
    assert_eq!(terms.follow(5, &plan(6, moved.clone(), true)), 6);
    let rates = [20, 35, 40].map(|when| terms.course.rate(at(when)));
    assert_eq!((rates, terms.movable), ([BitRate::ZERO, half, RATE], true));
    // A later reading of the same plan that starts later does not make it late.
    let late = |it: &Segment| Segment { starts_at: it.starts_at.plus(secs(3)), ..*it };
    let late: Vec<Segment> = moved.iter().map(late).collect();
    assert_eq!(terms.follow(6, &plan(6, late, true)), 6);
    assert_eq!(terms.course.rate(at(31)), half);
    // A plan that moves and is not told allows nothing; one that cannot move is its rate and end.
    let mut untold = terms.clone();
    untold.follow(6, &plan(7, Vec::new(), true));
    assert_eq!(untold.course.rate(at(35)), BitRate::ZERO);
    let mut known = terms.clone();
    known.follow(6, &plan(6, Vec::new(), true));
    assert_eq!(known.course.rate(at(35)), half, "the same one is known already");
    terms.follow(6, &plan(7, Vec::new(), false));
    assert_eq!(terms.course.rate(at(35)), RATE);
}

#[test]
fn a_volume_waits_for_more_behind_its_plan() {
    let zero = BootTime::now();
    let at = |seconds| zero.plus(secs(seconds));
    let beat = Timing { sent: zero, received: at(2) };
    let window = Some(Window::of(beat, secs(30), secs(60)));
    for (end, movable) in [(20, true), (20, false), (85, false)] {
        let terms = Terms { volume: true, movable, window, ..ending(zero, end) };
        let Order::Run { rate, expires_at, review, .. } = terms.order(at(end - 1)) else {
            panic!("it runs to its end");
        };
        assert_eq!((rate, expires_at, review), (RATE, at(end + 30), Some(at(end + 2))));
        assert_eq!(terms.course.fall_but(&[], at(end - 1)), Some(at(end)), "nobody has to wake up");
        assert_eq!(rate_at(&terms, at(end)), Some((BitRate::ZERO, true)), "it pauses, for more");
        assert_eq!(terms.reports_at(), Some(at(end + 2)), "over by the broker's clock as well");
    }
}

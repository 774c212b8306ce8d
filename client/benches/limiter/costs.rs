//! What a poll costs.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use governor::{Quota, RateLimiter};
use tidegate_client::clock::BootTime;
use tidegate_client::limiter::Stream;
use tidegate_client::{Burst, Limiter};
use tidegate_policy::BitRate;

use crate::Outcome;
use crate::figures::report::{Report, Subject};
use crate::host::watch;

/// Calls in a slice: short enough that some of them are not disturbed.
const SLICE: u32 = 10_000;

pub(crate) fn run(report: &mut Report, quick: bool) -> Outcome {
    let slices = if quick { 100 } else { 400 };
    let subject = Subject { bench: "costs", contender: "tidegate", rate: 0 };
    let watch = watch();
    let mut tell =
        |metric, value, goal| report.at_most(subject, (metric, value), goal, watch.quiet());
    tell("leased poll and charge, ns", leased(slices), 3.0);
    tell("shared operation, ns", shared(&unbounded(), slices), 60.0);
    let ending = unbounded();
    ending.expires_at(BootTime::now().plus(Duration::from_secs(3600)));
    tell("shared operation under an end, ns", shared(&ending, slices), 100.0);
    let (together, usual) = two_threads(slices, |_| ());
    tell("shared operation, two threads, ns", together, 150.0);
    let ends = |limiter: &Limiter| {
        limiter.expires_at(BootTime::now().plus(Duration::from_secs(3600)));
    };
    let (ending, _) = two_threads(slices, ends);
    tell("the same under an end, two threads, ns", ending, 200.0);
    report.tell(subject, "shared operation, two threads, median, ns", usual);

    let other = Subject { contender: "governor-1B", ..subject };
    let quota = Quota::per_second(std::num::NonZeroU32::MAX);
    let governor = RateLimiter::direct(quota);
    let check = least(slices, || {
        let _ = black_box(governor.check().is_ok());
    });
    report.tell(other, "one check, ns", check);
    Ok(())
}

/// A limiter that is never in the way.
fn unbounded() -> Limiter {
    Limiter::new(BitRate::MAX, Burst::default())
}

fn spend(stream: &mut Stream, cx: &mut Context<'_>, want: usize) {
    if let Poll::Ready(Ok(bytes)) = stream.poll_lease(cx, black_box(want)) {
        stream.charge(bytes);
    }
}

fn leased(slices: u32) -> f64 {
    let mut stream = unbounded().stream();
    let mut cx = Context::from_waker(Waker::noop());
    least(slices, || spend(&mut stream, &mut cx, 1))
}

/// Leases and spends whole quanta, so that each call goes to the bucket.
fn shared(limiter: &Limiter, slices: u32) -> f64 {
    let mut stream = limiter.stream();
    let mut cx = Context::from_waker(Waker::noop());
    least(slices, || spend(&mut stream, &mut cx, 256 * 1024))
}

/// Nanoseconds per call in the best slice: what is above it is somebody else's work.
fn least(slices: u32, mut call: impl FnMut()) -> f64 {
    (0..slices).map(|_| slice(&mut call)).fold(f64::MAX, f64::min)
}

fn slice(call: &mut impl FnMut()) -> f64 {
    let begin = Instant::now();
    for _ in 0..SLICE {
        call();
    }
    begin.elapsed().as_secs_f64() * 1e9 / f64::from(SLICE)
}

/// Nanoseconds per call of two threads that both call all the time, of the stretches in which the
/// other thread made at least a quarter of the calls that this one made: where it does not run,
/// nothing is contended. One in ten is as fast as the first figure, half are as fast as the second.
fn two_threads(slices: u32, prepare: impl Fn(&Limiter)) -> (f64, f64) {
    let limiter = unbounded();
    prepare(&limiter);
    let progress = [Progress::default(), Progress::default()];
    let work = |own: &Progress, other: &Progress| {
        let mut stream = limiter.stream();
        let mut cx = Context::from_waker(Waker::noop());
        let mut times = Vec::new();
        for done in 0..u64::from(slices) * 50 {
            let (begin, before) = (Instant::now(), other.0.load(Ordering::Relaxed));
            for call in 0..STRETCH {
                spend(&mut stream, &mut cx, 256 * 1024);
                if call % 50 == 49 {
                    own.0.store(done * STRETCH + call, Ordering::Relaxed);
                }
            }
            let others = other.0.load(Ordering::Relaxed) - before;
            if others >= STRETCH / 4 {
                let calls = (STRETCH + others) as f64 / 2.0;
                times.push(begin.elapsed().as_secs_f64() * 1e9 / calls);
            }
        }
        times
    };
    let [left, right] = &progress;
    let mut times = std::thread::scope(|scope| {
        let other = scope.spawn(|| work(right, left));
        let mut times = work(left, right);
        times.extend(other.join().unwrap_or_default());
        times
    });
    times.sort_by(f64::total_cmp);
    let part = |part| times.get(times.len() / part).copied().unwrap_or(f64::NAN);
    (part(10), part(2))
}

/// How many calls a thread made, on a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Progress(AtomicU64);

/// Calls in a stretch.
const STRETCH: u64 = 1_000;

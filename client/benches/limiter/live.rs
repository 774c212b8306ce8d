//! Changes and revocations while bytes move.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidegate_client::{Burst, Limiter, Revoked};

use crate::contenders::{Kind, Pool};
use crate::figures::report::{Report, Subject};
use crate::host::watch;
use crate::{Outcome, rate, runtime};

const FAST: u64 = 1_000_000_000;
const SLOW: u64 = 100_000_000;
const STREAMS: usize = 4;
/// Of the fast rate, in bytes.
const QUANTUM: f64 = 12_500.0;

/// What was moved when, by all streams.
type Log = Arc<Mutex<Vec<(Instant, usize)>>>;

/// 1 Gbit/s, 100 Mbit/s, 1 Gbit/s; times count from the return of the call. A task that others kept
/// from running for 3 ms breaks a window, so the median of many rounds counts, and the best is told.
pub(crate) fn change(report: &mut Report, quick: bool) -> Outcome {
    let rounds = if quick { 5 } else { 15 };
    for kind in [Kind::Tidegate, Kind::Speed] {
        let watch = watch();
        let (mut excesses, mut downs, mut ups) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (log, cut, rise, end) = runtime()?.block_on(changes(kind))?;
            let log = log.lock().unwrap_or_else(PoisonError::into_inner);
            excesses.push(excess(&log, cut, rise, SLOW));
            downs.push(settled(&log, (cut, rise), SLOW));
            ups.push(settled(&log, (rise, end), FAST));
        }
        let quiet = watch.quiet();
        let subject = |rate| Subject { bench: "change", contender: kind.name(), rate };
        let burst = Burst::default().at(rate(SLOW)?).bytes() as f64;
        let most = burst + STREAMS as f64 * QUANTUM;
        let excess = excesses.into_iter().fold(0.0, f64::max);
        report.at_most(subject(SLOW), ("most excess after a cut, bytes", excess), most, quiet);
        for (rate, name, mut times) in [(SLOW, "cut", downs), (FAST, "rise", ups)] {
            times.sort_by(f64::total_cmp);
            let (best, median) = (times[0], times[times.len() / 2]);
            let metric = format!("settled after a {name}, median, ms");
            report.at_most(subject(rate), (&metric, median), 5.0, quiet);
            report.tell(subject(rate), format!("settled after a {name}, best, ms"), best);
        }
    }
    Ok(())
}

async fn changes(
    kind: Kind,
) -> Result<(Log, Instant, Instant, Instant), Box<dyn std::error::Error>> {
    let pool = Pool::new(kind, FAST)?;
    let log = Log::default();
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let (mut mover, log) = (pool.mover(16 * 1024)?, Arc::clone(&log));
        streams.push(tokio::spawn(async move {
            while let Ok(moved) = mover.step().await {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.push((Instant::now(), moved));
            }
        }));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    pool.set_rate(SLOW)?;
    let cut = Instant::now();
    tokio::time::sleep(Duration::from_millis(150)).await;
    pool.set_rate(FAST)?;
    let rise = Instant::now();
    tokio::time::sleep(Duration::from_millis(150)).await;
    let end = Instant::now();
    for stream in streams {
        stream.abort();
    }
    Ok((log, cut, rise, end))
}

/// The most that was moved from `from` on beyond what the rate carries, in bytes.
fn excess(log: &[(Instant, usize)], from: Instant, to: Instant, bps: u64) -> f64 {
    let (mut sum, mut most) = (0, 0.0_f64);
    for (time, bytes) in log.iter().filter(|(time, _)| (from..to).contains(time)) {
        sum += bytes;
        let carried = (*time - from).as_secs_f64() * bps as f64 / 8.0;
        most = most.max(sum as f64 - carried);
    }
    most
}

/// From when on every window of 20 ms is within 15 % of the rate, in ms; as long as it was looked
/// at if that never comes.
fn settled(log: &[(Instant, usize)], (from, to): (Instant, Instant), bps: u64) -> f64 {
    const WINDOW: usize = 20;
    let length = usize::try_from((to - from).as_millis()).unwrap_or(0);
    let mut millis = vec![0; length];
    for (time, bytes) in log.iter().filter(|(time, _)| (from..to).contains(time)) {
        let place = usize::try_from((*time - from).as_millis()).unwrap_or(usize::MAX);
        if let Some(millisecond) = millis.get_mut(place) {
            *millisecond += bytes;
        }
    }
    let carried = bps as f64 / 8000.0 * WINDOW as f64;
    let near = |sum: usize| (sum as f64 / carried - 1.0).abs() <= 0.15;
    let last = millis.windows(WINDOW).rposition(|window| !near(window.iter().sum()));
    last.map_or(0, |place| place + 1) as f64
}

/// Eight streams on two threads, and the grant is taken away.
pub(crate) fn revoke(report: &mut Report, quick: bool) -> Outcome {
    let rounds = if quick { 5 } else { 40 };
    let watch = watch();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let (mut late, mut after) = (0.0_f64, 0);
    for _ in 0..rounds {
        let limiter = Limiter::new(rate(FAST)?, Burst::default());
        let streams: Vec<_> = (0..8)
            .map(|_| {
                let mut stream = limiter.stream();
                runtime.spawn(async move {
                    while let Ok(leased) = stream.lease(64 * 1024).await {
                        stream.charge(leased);
                    }
                    (Instant::now(), stream)
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(30));
        limiter.revoke(Revoked::Preempted);
        let (returned, admitted) = (Instant::now(), limiter.admitted().bytes());
        for stream in streams {
            let (failed, _) = runtime.block_on(stream)?;
            let passed = failed.saturating_duration_since(returned);
            late = late.max(passed.as_secs_f64() * 1e3);
        }
        after += limiter.admitted().bytes().saturating_sub(admitted);
    }
    let quiet = watch.quiet();
    let subject = Subject { bench: "revoke", contender: "tidegate", rate: FAST };
    report.at_most(subject, ("admitted after the return, bytes", after as f64), 0.0, quiet);
    report.at_most(subject, ("the last waiter failed after, ms", late), 5.0, quiet);
    Ok(())
}

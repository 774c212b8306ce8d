//! Many streams under one limiter and several limiters on one host, in paused time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_client::{Burst, LimitError, Limiter, Revoked};
use tidegate_policy::BitRate;
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep, sleep_until, timeout};

const GIGA: u64 = 1_000_000_000;

fn bps(bps: u64) -> BitRate {
    BitRate::from_bps(bps).unwrap()
}

fn limiter(rate: u64) -> Limiter {
    Limiter::new(bps(rate), Burst::default())
}

#[allow(clippy::disallowed_methods, reason = "paused time")]
fn now() -> Instant {
    Instant::now()
}

/// A stream that always wants more, and what it moved so far.
struct Hungry {
    moved: Arc<AtomicU64>,
    task: JoinHandle<(LimitError, Instant)>,
}

impl Hungry {
    fn start(limiter: &Limiter) -> Self {
        let moved = Arc::<AtomicU64>::default();
        let (count, mut stream) = (Arc::clone(&moved), limiter.stream());
        let task = tokio::spawn(async move {
            loop {
                match stream.lease(64 * 1024).await {
                    Ok(leased) => {
                        stream.charge(leased);
                        let leased = u64::try_from(leased).unwrap();
                        count.fetch_add(leased, Ordering::Relaxed);
                    }
                    Err(error) => return (error, now()),
                }
            }
        });
        Self { moved, task }
    }

    fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }
}

fn hungry(limiter: &Limiter, count: usize) -> Vec<Hungry> {
    (0..count).map(|_| Hungry::start(limiter)).collect()
}

fn all(streams: &[Hungry]) -> u64 {
    streams.iter().map(Hungry::moved).sum()
}

/// What each moves in `length`.
async fn shares(streams: &[Hungry], length: Duration) -> Vec<u64> {
    let before: Vec<_> = streams.iter().map(Hungry::moved).collect();
    sleep(length).await;
    streams.iter().zip(before).map(|(stream, before)| stream.moved() - before).collect()
}

/// Jain's index in millionths: the squared sum over the count times the sum of squares.
fn jain(shares: &[u64]) -> u128 {
    let sum: u128 = shares.iter().map(|share| u128::from(*share)).sum();
    let squares: u128 = shares.iter().map(|share| u128::from(*share).pow(2)).sum();
    sum * sum * 1_000_000 / (u128::try_from(shares.len()).unwrap() * squares)
}

fn near(bytes: u64, ideal: u64, percent: u64) -> bool {
    bytes.abs_diff(ideal) <= ideal * percent / 100
}

#[tokio::test(start_paused = true)]
async fn two_hundred_and_fifty_six_streams_share_alike() {
    for rate in [100_000_000, GIGA, 10 * GIGA, 40 * GIGA] {
        let limiter = limiter(rate);
        let streams = hungry(&limiter, 256);
        sleep(Duration::from_millis(500)).await;
        let length = Duration::from_secs(4);
        let shares = shares(&streams, length).await;
        assert!(jain(&shares) >= 999_000, "{rate}: {}", jain(&shares));
        let sum = shares.iter().sum();
        assert!(near(sum, rate / 8 * length.as_secs(), 1), "{rate}: {sum}");
    }
}

/// All sleep through their turns, as on a machine that is busy with something else: what accrued is
/// for all of them, and not for the first that runs.
#[tokio::test(start_paused = true)]
async fn streams_that_overslept_share_what_accrued() {
    for count in [2, 8, 64, 256] {
        let limiter = limiter(GIGA);
        let streams = hungry(&limiter, count);
        sleep(Duration::from_millis(100)).await;
        let before: Vec<_> = streams.iter().map(Hungry::moved).collect();
        for _ in 0..200 {
            advance(Duration::from_millis(9)).await;
            // Until all of them wait again: the shortest turn is a millisecond away.
            sleep(Duration::ZERO).await;
        }
        let shares: Vec<_> =
            streams.iter().zip(before).map(|(stream, before)| stream.moved() - before).collect();
        assert!(jain(&shares) >= 999_000, "{count}: {}", jain(&shares));
    }
}

#[tokio::test(start_paused = true)]
async fn limiters_of_one_host_do_not_disturb_each_other() {
    let limiters: Vec<_> = [64_000, 100_000_000, GIGA, 5_500_000_001].map(limiter).into();
    let streams: Vec<_> = limiters.iter().map(|limiter| hungry(limiter, 4)).collect();
    sleep(Duration::from_secs(1)).await;
    let before: Vec<_> = streams.iter().map(|streams| all(streams)).collect();
    // One stops and another is taken away; the others get what they had.
    limiters[1].set_rate(BitRate::ZERO);
    limiters[2].revoke(Revoked::Preempted);
    sleep(Duration::from_secs(10)).await;
    let moved: Vec<_> =
        streams.iter().zip(before).map(|(streams, before)| all(streams) - before).collect();
    assert!(near(moved[0], 80_000, 3), "{}", moved[0]);
    assert_eq!(moved[1..3], [0, 0]);
    assert!(near(moved[3], 5_500_000_001 / 8 * 10, 1), "{}", moved[3]);
}

#[tokio::test(start_paused = true)]
async fn a_share_that_nobody_uses_is_used_by_the_others_within_a_burst() {
    let limiter = limiter(GIGA);
    let streams = hungry(&limiter, 8);
    sleep(Duration::from_millis(500)).await;
    for stream in &streams[2..] {
        stream.task.abort();
    }
    // The burst is 10 ms.
    sleep(Duration::from_millis(10)).await;
    let shares = shares(&streams[..2], Duration::from_secs(1)).await;
    assert!(near(shares.iter().sum(), GIGA / 8, 1), "{shares:?}");
    assert!(jain(&shares) >= 999_000, "{shares:?}");
    // One that comes gets its part at once.
    let third = Hungry::start(&limiter);
    sleep(Duration::from_millis(10)).await;
    let began = third.moved();
    sleep(Duration::from_secs(1)).await;
    assert!(near(third.moved() - began, GIGA / 24, 1), "{}", third.moved());
}

/// A stream whose peer hangs holds its lease and no more; a slow one gets what it asks for.
#[tokio::test(start_paused = true)]
async fn a_slow_stream_neither_starves_nor_holds_up_the_others() {
    let limiter = limiter(GIGA);
    let mut stuck = limiter.stream();
    let held = stuck.lease(1 << 20).await.unwrap();
    let streams = hungry(&limiter, 7);
    let slow = limiter.clone();
    let slow = tokio::spawn(async move {
        let (mut stream, mut late) = (slow.stream(), Duration::ZERO);
        // 10 Mbit/s where 125 would be its part.
        for _ in 0..1000 {
            let due = now();
            let mut left = 1250;
            while left > 0 {
                let leased = stream.lease(left).await.unwrap();
                stream.charge(leased);
                left -= leased;
            }
            late = late.max(now() - due);
            sleep_until(due + Duration::from_millis(1)).await;
        }
        late
    });
    sleep(Duration::from_millis(500)).await;
    let shares = shares(&streams, Duration::from_secs(1)).await;
    assert!(near(shares.iter().sum(), (GIGA - 10_000_000) / 8, 1), "{shares:?}");
    assert!(jain(&shares) >= 999_000, "{shares:?}");
    let late = slow.await.unwrap();
    // A turn of everyone's quantum, and a tick of the timer.
    assert!(late <= Duration::from_millis(3), "{late:?}");
    assert_eq!(timeout(Duration::ZERO, stuck.lease(held)).await.unwrap().unwrap(), held);
}

/// 1 Gbit/s, 100 Mbit/s and back: followed at once, with no more than a new burst beyond.
#[tokio::test(start_paused = true)]
async fn all_streams_follow_a_change_at_once() {
    for count in [1, 4, 64] {
        let limiter = limiter(GIGA);
        let streams = hungry(&limiter, count);
        sleep(Duration::from_millis(500)).await;
        limiter.set_rate(bps(100_000_000));
        let (begin, before) = (now(), all(&streams));
        let burst = limiter.burst().bytes();
        for _ in 0..200 {
            sleep(Duration::from_millis(1)).await;
            let carried = u64::try_from((now() - begin).as_nanos()).unwrap() / 80;
            let moved = all(&streams) - before;
            // Half a segment of each stream may be left over from what it leased.
            let quanta = 1448 * u64::try_from(count).unwrap();
            assert!(moved <= carried + burst + quanta, "{count}: {moved} for {carried}");
            assert!(moved + quanta + 12_500 * 2 >= carried, "{count}: {moved} for {carried}");
        }
        limiter.set_rate(bps(GIGA));
        let before = all(&streams);
        sleep(Duration::from_millis(5)).await;
        // Within 5 ms, of which a tick of the timer may be missing.
        let moved = all(&streams) - before;
        assert!(moved >= 125_000 * 5 - 2 * 125_000, "{count}: {moved} in 5 ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_stops_hundreds_at_once() {
    let limiter = limiter(GIGA);
    let streams = hungry(&limiter, 256);
    sleep(Duration::from_millis(333)).await;
    limiter.revoke(Revoked::CapacityLost);
    let (admitted, revoked) = (limiter.admitted(), now());
    for stream in streams {
        let (error, when) = stream.task.await.unwrap();
        assert_eq!(error, LimitError::Revoked(Revoked::CapacityLost));
        assert_eq!(when, revoked, "nobody slept on");
    }
    assert!(limiter.admitted() <= admitted, "something was admitted after the return");
    assert_eq!(limiter.admitted(), limiter.moved(), "and what was not moved went back");
}

/// The timers of all streams stand still in a suspend and the boot clock does not: the first thing
/// that is asked afterwards fails, whatever is left of a lease.
#[tokio::test(start_paused = true)]
async fn a_grant_that_was_slept_through_is_over() {
    use tidegate_client::clock::BootTime;
    let limiter = limiter(64_000);
    let end = BootTime::now().plus(Duration::from_millis(20));
    limiter.expires_at(end);
    let mut leased = limiter.stream();
    let held = leased.lease(1448).await;
    let waiting = tokio::spawn({
        let limiter = limiter.clone();
        async move {
            let mut stream = limiter.stream();
            loop {
                match stream.lease(1448).await {
                    Ok(leased) => stream.charge(leased),
                    Err(error) => return (error, limiter.moved()),
                }
            }
        }
    });
    tokio::task::yield_now().await;
    let (slept_at, before) = (now(), limiter.moved());
    // Paused time is what a suspend is to the limiter's timers: this thread alone sleeps.
    while BootTime::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(now(), slept_at);
    if held.is_ok() {
        // Back from waiting for its peer, as every wrapper says.
        std::future::poll_fn(|cx| {
            leased.park(cx);
            std::task::Poll::Ready(())
        })
        .await;
    }
    assert_eq!(leased.check(), Err(LimitError::Expired));
    assert_eq!(leased.lease(1).await, Err(LimitError::Expired));
    assert_eq!(waiting.await.unwrap(), (LimitError::Expired, before));
}

//! Streams of one limiter in paused time: order, fairness, wake-ups, refunds and the count.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use tidegate_client::bucket::Burst;
use tidegate_client::clock::BootTime;
use tidegate_client::limiter::{LimitError, Limiter, Revoked, Stream};
use tidegate_policy::{BitRate, ByteCount};
use tokio::time::{Instant, advance, sleep, timeout};

const SLOW: u64 = 64_000;
/// What 64 kbit/s takes for a quantum of 1448 bytes.
const QUANTUM: Duration = Duration::from_millis(181);

fn bps(bps: u64) -> BitRate {
    BitRate::from_bps(bps).unwrap()
}

/// A limiter whose first burst is spent.
async fn drained(rate: u64) -> Limiter {
    let limiter = Limiter::new(bps(rate), Burst::default());
    let mut left = limiter.burst().bytes();
    let mut stream = limiter.stream();
    while left > 0 {
        let bytes = stream.lease(usize::try_from(left).unwrap()).await.unwrap();
        stream.charge(bytes);
        left -= u64::try_from(bytes).unwrap();
    }
    limiter
}

async fn move_bytes(stream: &mut Stream, mut bytes: usize) -> Result<(), LimitError> {
    while bytes > 0 {
        let leased = stream.lease(bytes).await?;
        stream.charge(leased);
        bytes -= leased;
    }
    Ok(())
}

/// Lets every other task run until it waits.
async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

#[allow(clippy::disallowed_methods, reason = "paused time")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(start_paused = true)]
async fn streams_are_served_in_the_order_in_which_they_came() {
    let limiter = drained(SLOW).await;
    let begin = now();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for who in 0..4_u32 {
        let (limiter, order) = (limiter.clone(), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let mut stream = limiter.stream();
            let leased = limiter.lease(&mut stream, 1448).await.unwrap();
            stream.charge(leased);
            order.lock().unwrap().push((who, now() - begin));
            stream
        }));
        settle().await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    let order = order.lock().unwrap().clone();
    let in_turn: Vec<_> = (0..4).map(|who| (who, QUANTUM * (who + 1))).collect();
    assert_eq!(order, in_turn);
}

/// Jain's index in millionths: the squared sum over the count times the sum of squares.
fn jain(shares: &[u64]) -> u128 {
    let sum: u128 = shares.iter().map(|share| u128::from(*share)).sum();
    let squares: u128 = shares.iter().map(|share| u128::from(*share).pow(2)).sum();
    let count = u128::try_from(shares.len()).unwrap();
    sum * sum * 1_000_000 / (count * squares)
}

#[tokio::test(start_paused = true)]
async fn streams_share_alike_and_together_get_the_rate() {
    for (rate, streams) in [
        (10_000_000, 8),
        (100_000_000, 2),
        (100_000_000, 8),
        (1_000_000_000, 8),
        (1_000_000_000, 64),
        (5_500_000_001, 3),
        (40_000_000_000, 8),
        (100_000_000_000, 5),
    ] {
        let limiter = drained(rate).await;
        let begin = limiter.moved();
        let mut tasks = Vec::new();
        for _ in 0..streams {
            let limiter = limiter.clone();
            tasks.push(tokio::spawn(async move {
                let mut moved = 0;
                let mut stream = limiter.stream();
                let work = async {
                    loop {
                        let leased = stream.lease(65_536).await.unwrap();
                        stream.charge(leased);
                        moved += u64::try_from(leased).unwrap();
                    }
                };
                assert!(timeout(Duration::from_secs(4), work).await.is_err());
                moved
            }));
        }
        let mut shares = Vec::new();
        for task in tasks {
            shares.push(task.await.unwrap());
        }
        let sum: u64 = shares.iter().sum();
        assert_eq!(limiter.moved().bytes() - begin.bytes(), sum);
        let ideal = rate / 8 * 4;
        assert!(sum.abs_diff(ideal) <= ideal / 100, "{rate} {streams}: {sum} for {ideal}");
        assert!(jain(&shares) >= 999_000, "{rate}: {shares:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_rate_wakes_the_sleeper_and_keeps_its_debt() {
    let limiter = drained(SLOW).await;
    let begin = now();
    let task = tokio::spawn({
        let limiter = limiter.clone();
        async move { move_bytes(&mut limiter.stream(), 1448).await.map(|()| now()) }
    });
    sleep(Duration::from_millis(1)).await;
    // 8 bytes are earned; the other 1440 take 115.2 ms at 100 kbit/s.
    limiter.set_rate(bps(100_000));
    let end = task.await.unwrap().unwrap();
    assert_eq!(end - begin, Duration::from_millis(117));
    assert_eq!(limiter.rate(), bps(100_000));
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_everyone_and_fails_nobody() {
    let limiter = drained(1_000_000_000).await;
    limiter.set_rate(BitRate::ZERO);
    let mut stream = limiter.stream();
    let waiting = async { stream.lease(1).await.unwrap() };
    assert!(timeout(Duration::from_secs(3600), waiting).await.is_err());
    let task = tokio::spawn({
        let limiter = limiter.clone();
        async move { move_bytes(&mut limiter.stream(), 1_000).await.map(|()| now()) }
    });
    sleep(Duration::from_secs(3600)).await;
    assert!(!task.is_finished());
    assert_eq!(limiter.check(), Ok(()));
    limiter.set_rate(bps(1_000_000_000));
    let resumed = now();
    assert!(task.await.unwrap().unwrap() - resumed <= Duration::from_millis(2));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_was_set_ahead_needs_nobody_to_begin() {
    let limiter = Limiter::new(bps(1_000_000_000), Burst::default());
    let mut stream = limiter.stream();
    // One to come changes nothing yet.
    limiter.pauses_at(Some(BootTime::now().plus(Duration::from_secs(3600))));
    move_bytes(&mut stream, 10_000).await.unwrap();
    // It has begun, although the rate still stands: what is leased already is all that moves.
    limiter.pauses_at(Some(BootTime::now()));
    let mut moved = 0;
    while let Ok(leased) = timeout(Duration::from_secs(60), stream.lease(1_000_000)).await {
        let leased = leased.unwrap();
        stream.charge(leased);
        moved += leased;
        assert!(moved <= 1_250_000, "the pause never begins");
    }
    assert!(moved <= 125_000, "{moved} bytes are more than one lease");
    assert_eq!(limiter.check(), Ok(()), "a pause is no error");
    // Whoever changes the rate ends it, and wakes those who wait.
    let waiting = tokio::spawn(async move { move_bytes(&mut stream, 10_000).await });
    settle().await;
    assert!(!waiting.is_finished());
    limiter.pauses_at(None);
    waiting.await.unwrap().unwrap();
    // The end of all comes in a pause too.
    limiter.pauses_at(Some(BootTime::now()));
    limiter.expires_at(BootTime::now());
    assert_eq!(limiter.stream().lease(1).await, Err(LimitError::Expired));
}

#[tokio::test(start_paused = true)]
async fn a_revocation_wakes_everyone_and_the_first_reason_stays() {
    let limiter = drained(SLOW).await;
    let begin = now();
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let limiter = limiter.clone();
            tokio::spawn(async move { limiter.stream().lease(1).await })
        })
        .collect();
    let mut holder = limiter.stream();
    settle().await;
    limiter.revoke(Revoked::Preempted);
    limiter.revoke(Revoked::Released);
    let gone = Err(LimitError::Revoked(Revoked::Preempted));
    for task in tasks {
        assert_eq!(task.await.unwrap(), gone);
    }
    assert_eq!(now(), begin, "nobody slept on");
    assert_eq!(holder.lease(1).await, gone);
    assert_eq!(limiter.check(), Err(LimitError::Revoked(Revoked::Preempted)));
    limiter.set_rate(bps(1_000_000));
    limiter.expires_at(BootTime::now().plus(Duration::from_secs(3600)));
    assert_eq!(holder.lease(1).await, gone);
    assert_eq!(holder.lease(0).await, Ok(0), "nothing is asked for");
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_void_once_it_is_revoked() {
    let limiter = Limiter::new(bps(10_000_000_000), Burst::default());
    let mut stream = limiter.stream();
    assert_eq!(stream.lease(1).await, Ok(1));
    stream.charge(1);
    limiter.revoke(Revoked::CapacityLost);
    let gone = Err(LimitError::Revoked(Revoked::CapacityLost));
    assert_eq!(stream.lease(1).await, gone);
    assert_eq!(limiter.moved(), ByteCount::new(1));
}

#[tokio::test(start_paused = true)]
async fn an_end_wakes_everyone_and_can_be_moved() {
    let limiter = drained(SLOW).await;
    let task = tokio::spawn({
        let limiter = limiter.clone();
        async move { limiter.stream().lease(1).await }
    });
    settle().await;
    limiter.expires_at(BootTime::now());
    assert_eq!(task.await.unwrap(), Err(LimitError::Expired));
    let mut stream = limiter.stream();
    assert_eq!(stream.lease(1).await, Err(LimitError::Expired));
    assert_eq!(limiter.check(), Err(LimitError::Expired));

    limiter.expires_at(BootTime::now().plus(Duration::from_secs(24 * 3600)));
    assert_eq!(stream.lease(1).await, Ok(1));
}

/// Virtual time flies while the boot clock hardly moves, so the sleep until the end is real: the
/// test waits for it however long it takes and decides nothing by it.
#[tokio::test(start_paused = true)]
async fn who_waits_in_a_pause_fails_when_the_end_comes() {
    let limiter = drained(SLOW).await;
    limiter.set_rate(BitRate::ZERO);
    limiter.expires_at(BootTime::now().plus(Duration::from_millis(5)));
    assert_eq!(limiter.stream().lease(1).await, Err(LimitError::Expired));
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_stream_leased_goes_back() {
    let limiter = Limiter::new(bps(SLOW), Burst::default());
    let begin = now();
    let mut holders = [limiter.stream(), limiter.stream()];
    for holder in &mut holders {
        assert_eq!(holder.lease(5000).await, Ok(1448));
        holder.charge(448);
    }
    assert_eq!(limiter.moved(), ByteCount::new(896));
    drop(holders);
    assert_eq!(limiter.moved(), ByteCount::new(896));
    move_bytes(&mut limiter.stream(), 1448).await.unwrap();
    assert_eq!(now(), begin, "2000 bytes came back");
    assert_eq!(limiter.moved(), ByteCount::new(896 + 1448));
}

#[tokio::test(start_paused = true)]
async fn who_stands_behind_a_dropped_waiter_moves_up() {
    let limiter = drained(SLOW).await;
    let begin = now();
    let mut first = limiter.stream();
    let mut early = Box::pin(first.lease(1));
    assert!(poll_fn(|cx| Poll::Ready(early.as_mut().poll(cx))).await.is_pending());
    let behind = tokio::spawn({
        let limiter = limiter.clone();
        async move { limiter.stream().lease(1).await.map(|_| now()) }
    });
    sleep(Duration::from_millis(10)).await;
    drop(early);
    assert_eq!(behind.await.unwrap().unwrap() - begin, QUANTUM);
}

#[tokio::test(start_paused = true)]
async fn a_poll_keeps_its_place_and_its_lease() {
    let limiter = drained(SLOW).await;
    let mut stream = limiter.stream();
    assert!(poll_fn(|cx| Poll::Ready(stream.poll_lease(cx, 9000))).await.is_pending());
    advance(QUANTUM).await;
    // Someone who comes later is not served before it, though it was not polled meanwhile.
    let mut late = pin!(async { limiter.stream().lease(1).await });
    assert!(poll_fn(|cx| Poll::Ready(late.as_mut().poll(cx))).await.is_pending());
    let leased = poll_fn(|cx| Poll::Ready(stream.poll_lease(cx, 9000))).await;
    assert_eq!(leased, Poll::Ready(Ok(1448)));
}

#[tokio::test(start_paused = true)]
async fn a_cut_is_felt_by_the_next_byte() {
    let limiter = Limiter::new(bps(10_000_000_000), Burst::default());
    let mut streams: Vec<_> = (0..8).map(|_| limiter.stream()).collect();
    for stream in &mut streams {
        assert_eq!(stream.lease(125_000).await, Ok(125_000));
    }
    limiter.set_rate(bps(SLOW));
    let mut after = 0;
    for stream in &mut streams {
        while let Poll::Ready(leased) =
            poll_fn(|cx| Poll::Ready(stream.poll_lease(cx, 125_000))).await
        {
            stream.charge(leased.unwrap());
            after += leased.unwrap();
        }
    }
    assert_eq!(after, 2896, "the new burst and nothing of the old leases");
}

#[tokio::test(start_paused = true)]
async fn what_is_charged_beyond_the_lease_is_paid_later() {
    let limiter = drained(SLOW).await;
    let begin = now();
    let mut stream = limiter.stream();
    stream.lease(1).await.unwrap();
    stream.charge(1448 * 5);
    assert_eq!(limiter.moved(), ByteCount::new(2896 + 1448 * 5));
    stream.lease(1).await.unwrap();
    // Five quanta are charged and a sixth is leased.
    assert_eq!(now() - begin, QUANTUM * 6);
}

/// The gaps between the wake-ups of a stream that always wants more, for so long.
async fn gaps(stream: &mut Stream, length: Duration) -> Vec<Duration> {
    let begin = now();
    let mut wakes = vec![begin];
    while now() - begin < length {
        let leased = stream.lease(1 << 20).await.unwrap();
        stream.charge(leased);
        if wakes.last() != Some(&now()) {
            wakes.push(now());
        }
    }
    wakes.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn a_fast_stream_rests_unless_its_timer_is_late() {
    let (tick, rest) = (Duration::from_millis(1), Duration::from_millis(2));
    for (rate, usual) in [(1_000_000_000, tick), (10_000_000_000, rest)] {
        let limiter = drained(rate).await;
        let mut stream = limiter.stream();
        // In step with the ticks of the timer.
        gaps(&mut stream, Duration::from_millis(10)).await;
        let half = Duration::from_millis(500);
        assert!(gaps(&mut stream, half).await.iter().all(|gap| *gap == usual), "{rate}");
        while let Poll::Ready(leased) =
            poll_fn(|cx| Poll::Ready(stream.poll_lease(cx, 1 << 20))).await
        {
            stream.charge(leased.unwrap());
        }
        advance(Duration::from_millis(8)).await;
        gaps(&mut stream, Duration::from_millis(4)).await;
        assert!(gaps(&mut stream, half).await.iter().all(|gap| *gap == tick), "{rate}");
        sleep(half).await;
        gaps(&mut stream, Duration::from_millis(10)).await;
        assert!(gaps(&mut stream, half).await.iter().all(|gap| *gap == usual), "{rate}");
    }
}

/// The law at the bytes themselves: what streams hold adds to what the bucket admits, and both
/// are bounded. Streams come and go, rest, and the rate changes under them.
#[tokio::test(start_paused = true)]
async fn bytes_in_any_window_keep_the_law() {
    const RATES: [u64; 5] = [100_000_000, 64_000, 0, 999_999_937, 10_000_000_000];
    let limiter = Limiter::new(bps(100_000_000), Burst::default());
    let log = Arc::new(Mutex::new(Vec::new()));
    for who in 0..8_u32 {
        let (limiter, log) = (limiter.clone(), Arc::clone(&log));
        tokio::spawn(async move {
            loop {
                let mut stream = limiter.stream();
                for round in 0..50_usize {
                    let leased = stream.lease(round * 997 + 1).await.unwrap();
                    stream.charge(leased);
                    log.lock().unwrap().push((now(), leased));
                    if round % 10 == 0 {
                        sleep(Duration::from_millis(u64::from(who))).await;
                    }
                }
            }
        });
    }
    // Bits per second times nanoseconds, from the beginning, at each change.
    let mut changes = vec![(now(), 100_000_000_u64)];
    for step in 1..60 {
        sleep(Duration::from_millis(37)).await;
        let rate = RATES[step % RATES.len()];
        limiter.set_rate(bps(rate));
        changes.push((now(), rate));
    }
    let log = log.lock().unwrap().clone();
    assert!(log.len() > 1000);
    let burst_at = |rate: u64| i128::from(Burst::default().at(bps(rate)).bytes()) * 8_000_000_000;
    let (mut ahead, mut bound) = (0_i128, i128::MAX);
    let mut at = changes[0];
    let mut next = 1;
    for (time, bytes) in log {
        loop {
            let until = changes.get(next).map_or(time, |change| change.0.min(time));
            let passed = i128::try_from((until - at.0).as_nanos()).unwrap();
            ahead -= passed * i128::from(at.1);
            at.0 = until;
            // What eight streams hold: half a burst or a segment each, and half a segment.
            let held = (burst_at(at.1) / 2).max(8 * 1448 * 8_000_000_000);
            let held = held + 8 * 724 * 8_000_000_000;
            bound = bound.min(ahead + burst_at(at.1) + held);
            match changes.get(next) {
                Some(change) if change.0 <= time => {
                    at = *change;
                    next += 1;
                }
                _ => break,
            }
        }
        ahead += i128::try_from(bytes).unwrap() * 8_000_000_000;
        assert!(ahead <= bound, "at {time:?}: {} bytes over", (ahead - bound) / 8_000_000_000);
    }
}

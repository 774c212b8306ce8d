//! The bucket, step by step.

use super::*;

const MS: u64 = 1_000_000;

fn bps(bps: u64) -> BitRate {
    BitRate::from_bps(bps).unwrap()
}

fn served(bucket: &mut Bucket, now: u64) -> Vec<(usize, u64)> {
    let mut list = Vec::new();
    bucket.serve(now, u64::MAX, |who, bytes| list.push((who, bytes)));
    list
}

#[test]
fn quantum_chunk_and_burst_follow_the_rate() {
    // rate, burst, quantum alone, quantum of eight, chunk
    let table = [
        (0, 2896, 1448, 1448, 1448),
        (64_000, 2896, 1448, 1448, 1448),
        (100_000_000, 125_000, 1448, 1448, 12_500),
        (1_000_000_000, 1_250_000, 12_500, 12_500, 125_000),
        (10_000_000_000, 12_500_000, 125_000, 125_000, 262_144),
        (100_000_000_000, 125_000_000, 262_144, 262_144, 262_144),
    ];
    for (rate, burst, alone, eight, chunk) in table {
        let bucket = Bucket::new(bps(rate), Burst::default(), 0);
        assert_eq!(bucket.burst().bytes(), burst, "{rate}");
        assert_eq!(bucket.quantum(1), alone, "{rate}");
        assert_eq!(bucket.quantum(8), eight, "{rate}");
        assert_eq!(bucket.chunk(), chunk, "{rate}");
    }
    let many = Bucket::new(bps(10_000_000_000), Burst::default(), 0);
    assert_eq!(many.quantum(1000), 6250);
    let small = Burst::Bytes(ByteCount::new(1));
    let bucket = Bucket::new(bps(10_000_000_000), small, 0);
    assert_eq!((bucket.burst().bytes(), bucket.quantum(1)), (2896, 1448));
}

#[test]
fn an_ugly_rate_accrues_exactly() {
    // 5.5 Gbit/s counted nanosecond by nanosecond is the same as in one step.
    let rate = bps(5_500_000_001);
    let mut steps = Bucket::new(rate, Burst::default(), 0);
    let mut leap = steps.clone();
    for bucket in [&mut steps, &mut leap] {
        assert!(bucket.take(0, bucket.burst().bytes()));
    }
    for now in 0..100_000 {
        steps.refund(now, 0);
    }
    leap.refund(99_999, 0);
    assert_eq!(steps.credit, leap.credit);
    assert_eq!(leap.credit, 99_999 * 5_500_000_001);
}

#[test]
fn the_queue_is_served_in_order_and_nobody_overtakes() {
    let mut bucket = Bucket::new(bps(8_000_000), Burst::Bytes(ByteCount::new(3000)), 0);
    assert!(bucket.take(0, 3000));
    let first = bucket.join(7, 1000);
    let second = bucket.join(8, 500);
    assert_eq!((bucket.due(first), bucket.due(second)), (Some(MS), Some(MS * 3 / 2)));
    assert_eq!(served(&mut bucket, MS - 1), []);
    assert!(!bucket.take(MS - 1, 1));
    assert_eq!(served(&mut bucket, MS), [(7, 1000)]);
    assert_eq!(bucket.due(first), None);
    assert!(!bucket.take(MS * 5 / 4, 1), "somebody waits");
    assert_eq!(served(&mut bucket, MS * 3 / 2), [(8, 500)]);
    assert!(!bucket.take(MS * 3 / 2, 1));
}

#[test]
fn those_who_oversleep_share_what_accrued() {
    let mut bucket = Bucket::new(bps(80_000_000), Burst::default(), 0);
    assert!(bucket.take(0, 100_000));
    for who in 0..4 {
        bucket.join(who, 1000);
    }
    // Served 0.6 ms after the last due time: 6000 bytes more, 1500 for each.
    let all: Vec<_> = (0..4).map(|who| (who, 2500)).collect();
    assert_eq!(served(&mut bucket, MS), all);
}

#[test]
fn who_leaves_moves_up_only_those_behind() {
    let mut bucket = Bucket::new(bps(8_000_000), Burst::default(), 0);
    assert!(bucket.take(0, 10_000));
    let tickets: Vec<_> = (0..3).map(|who| bucket.join(who, 1000)).collect();
    assert_eq!(bucket.leave(tickets[1]), 1000);
    assert_eq!(bucket.leave(tickets[1]), 0);
    assert_eq!(bucket.due(tickets[0]), Some(MS));
    assert_eq!(bucket.due(tickets[1]), None);
    assert_eq!(bucket.due(tickets[2]), Some(2 * MS));
    assert_eq!(bucket.waiting(), 2);
}

#[test]
fn debt_is_bytes_and_credit_is_cut() {
    let mut bucket = Bucket::new(bps(8_000_000), Burst::default(), 0);
    assert!(bucket.take(0, 10_000));
    let ticket = bucket.join(0, 1000);
    bucket.set_rate(MS / 2, bps(800_000));
    // Half is earned; the other 500 bytes take 5 ms at a tenth of the rate.
    assert_eq!(bucket.due(ticket), Some(MS / 2 + 5 * MS));
    bucket.set_rate(MS / 2, BitRate::ZERO);
    assert_eq!(bucket.due(ticket), None);
    assert_eq!(served(&mut bucket, 1000 * MS), []);
    bucket.set_rate(1000 * MS, bps(8_000_000));
    assert_eq!(bucket.due(ticket), Some(1000 * MS + MS / 2));

    let mut full = Bucket::new(bps(8_000_000_000), Burst::default(), 0);
    full.set_rate(0, bps(8_000_000));
    assert!(full.take(0, 10_000));
    assert!(!full.take(0, 1), "ten milliseconds of the new rate, not of the old");
}

#[test]
fn a_cut_never_strands_a_large_waiter() {
    let mut bucket = Bucket::new(bps(10_000_000_000), Burst::default(), 0);
    assert!(bucket.take(0, 12_500_000));
    let ticket = bucket.join(0, 125_000);
    bucket.set_rate(0, bps(64_000));
    let due = bucket.due(ticket).unwrap();
    assert_eq!(due, 181 * MS);
    assert_eq!(served(&mut bucket, due), [(0, 1448)]);
}

/// A bucket of 10 ms at 8 Mbit/s, spent, with 20 ms of late credit.
fn late() -> Bucket {
    let mut bucket = Bucket::new(bps(8_000_000), Burst::default(), 0);
    bucket.set_late_credit(0, Duration::from_millis(20));
    assert_eq!(bucket.late_credit().bytes(), 20_000);
    assert!(bucket.take(0, 10_000));
    bucket
}

#[test]
fn who_wakes_late_loses_nothing_within_the_late_credit() {
    // Late by how many ms, and what is there then, in bytes, the waiter's 1000 included.
    for (now, expected) in [(10, 10_000), (25, 25_000), (30, 30_000), (1000, 30_000)] {
        let mut bucket = late();
        bucket.join(0, 1000);
        let mut got = 0;
        bucket.serve(now * MS, 1448, |_, bytes| got += bytes);
        assert_eq!(got, 1448);
        let rest = expected - got;
        assert!(bucket.take(now * MS, rest), "{now} ms: {got} and {rest}");
        assert!(!bucket.take(now * MS, 1), "{now} ms");
    }
}

#[test]
fn late_credit_is_for_those_who_wait() {
    let mut idle = late();
    assert!(idle.take(1000 * MS, 10_000));
    assert!(!idle.take(1000 * MS, 1), "a pause earns a burst and no more");

    // What is left when nobody waits does not grow, and lapses.
    let mut left = late();
    let ticket = left.join(0, 1000);
    let mut in_time = left.clone();
    for bucket in [&mut left, &mut in_time] {
        bucket.serve(30 * MS, 1000, |_, _| ());
    }
    assert!(in_time.take(49 * MS, 29_000));
    assert!(!in_time.take(49 * MS, 1));
    assert!(left.take(50 * MS, 10_000));
    assert!(!left.take(50 * MS, 1), "it lapsed");
    assert!(!left.waits(ticket));

    // Nor does it outlast the waiter who gave up.
    let mut gone = late();
    let ticket = gone.join(0, 1000);
    assert!(!gone.take(30 * MS, 1));
    gone.leave(ticket);
    assert!(gone.take(31 * MS, 10_000));
    assert!(!gone.take(31 * MS, 1));
}

#[test]
fn late_credit_follows_the_rate_and_can_be_taken_back() {
    let mut bucket = late();
    bucket.join(0, 1000);
    bucket.set_rate(30 * MS, bps(800_000));
    assert_eq!(bucket.late_credit().bytes(), 2000);
    bucket.serve(30 * MS, 1000, |_, _| ());
    assert!(bucket.take(30 * MS, 2896 + 2000 - 1000));
    assert!(!bucket.take(30 * MS, 1));
    bucket.set_late_credit(30 * MS, Duration::from_secs(3600));
    assert_eq!(bucket.late_credit().bytes(), 10_000, "100 ms at most");
    bucket.set_late_credit(30 * MS, Duration::ZERO);
    assert_eq!(bucket.late_credit().bytes(), 0);
}

#[test]
fn fast_waiters_rest_but_no_longer_than_the_burst_allows() {
    let table = [
        (0, Burst::default(), 0),
        (1_000_000_000, Burst::default(), 0),
        (4_999_999_999, Burst::default(), 0),
        (5_000_000_000, Burst::default(), 2 * MS),
        (100_000_000_000, Burst::default(), 2 * MS),
        (10_000_000_000, Burst::Span(Duration::from_millis(1)), MS / 5),
    ];
    for (rate, burst, rest) in table {
        assert_eq!(Bucket::new(bps(rate), burst, 0).rest(), rest, "{rate}");
    }
}

#[test]
fn a_cut_keeps_debt_in_bytes_and_the_bucket_as_full_as_it_was() {
    let mut bucket = Bucket::new(bps(1_000_000_000), Burst::default(), 0);
    assert!(bucket.take(0, 1_250_000));
    let ticket = bucket.join(0, 1000);
    // A tick of the timer: 125 kB, of which 1000 bytes are waited for.
    bucket.set_rate(MS, bps(100_000_000));
    bucket.serve(MS, 1000, |_, bytes| assert_eq!(bytes, 1000));
    assert!(!bucket.waits(ticket));
    assert!(!bucket.take(MS, 12_401));
    assert!(bucket.take(MS, 12_400));
    // In a pause the bucket is two segments deep, of 125 kB before.
    let ticket = bucket.join(0, 1000);
    bucket.set_rate(2 * MS, BitRate::ZERO);
    bucket.set_rate(3 * MS, bps(100_000_000));
    assert_eq!(bucket.due(ticket), Some(3 * MS));
    bucket.serve(3 * MS, 1000, |_, _| ());
    assert!(!bucket.take(3 * MS, 11_500 * 2896 / 125_000 + 1));
    assert!(bucket.take(3 * MS, 11_500 * 2896 / 125_000));
    // A rise takes nothing and gives nothing.
    let mut full = Bucket::new(bps(8_000_000), Burst::default(), 0);
    full.set_rate(0, bps(8_000_000_000));
    assert!(full.take(0, 10_000));
    assert!(!full.take(0, 1));
    // The largest of bursts does not overflow.
    let mut large = Bucket::new(BitRate::MAX, Burst::Bytes(ByteCount::new(u64::MAX)), 0);
    large.set_rate(0, bps(1_000));
    assert!(large.take(0, u64::MAX / 2));
}

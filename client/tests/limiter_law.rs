//! The law of the bucket under random rates, bursts, wants, refunds, pauses and late wake-ups,
//! in virtual time: no clock is read, and a failing seed reproduces itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::time::Duration;

use tidegate_client::bucket::{Bucket, Burst, Ticket};
use tidegate_policy::{BitRate, ByteCount};

/// Billionths of a bit in a byte.
const BYTE: i128 = 8_000_000_000;

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// 64 kbit/s to 100 Gbit/s, all magnitudes alike, mostly ugly.
    fn rate(&mut self) -> BitRate {
        let tidy = [64_000, 600_000_000, 3_000_000_000, 5_500_000_000, 100_000_000_000];
        let ugly = (64_000_u64 << self.below(21)) + self.below(64_000);
        let tidy_or_ugly =
            if self.one_in(4) { tidy[usize::try_from(self.below(5)).unwrap()] } else { ugly };
        BitRate::from_bps(tidy_or_ugly.min(100_000_000_000)).unwrap()
    }

    fn burst(&mut self) -> Burst {
        match self.below(3) {
            0 => Burst::default(),
            1 => Burst::Span(Duration::from_micros(self.below(50_000))),
            _ => Burst::Bytes(ByteCount::new(self.below(2_000_000))),
        }
    }
}

/// Checks `rate * w + burst` in every window that ends now, without remembering the windows:
/// `ahead` is what was admitted less the integral of the rate, and `bound` the least that it
/// ever was just before an admission, plus the burst of that moment.
struct Law {
    now: u64,
    ahead: i128,
    bound: i128,
    /// The most that it ever was.
    peak: i128,
}

impl Law {
    fn new(now: u64) -> Self {
        Self { now, ahead: 0, bound: i128::MAX, peak: 0 }
    }

    fn pass(&mut self, bucket: &Bucket, now: u64) {
        self.ahead -= i128::from(now - self.now) * i128::from(bucket.rate().bps());
        self.now = now;
        self.settle(bucket);
    }

    /// A window may begin here.
    fn settle(&mut self, bucket: &Bucket) {
        let burst = i128::from(bucket.burst().bytes()) * BYTE;
        self.bound = self.bound.min(self.ahead + burst);
    }

    fn admit(&mut self, bytes: u64) {
        self.ahead += i128::from(bytes) * BYTE;
        self.peak = self.peak.max(self.ahead);
    }

    fn holds(&self) -> bool {
        self.ahead <= self.bound
    }
}

struct World {
    random: Random,
    bucket: Bucket,
    law: Law,
    now: u64,
    /// Who waits, in the order in which they came.
    queue: VecDeque<(usize, Ticket)>,
    leased: Vec<u64>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let now = random.below(1 << 40);
        let bucket = Bucket::new(random.rate(), random.burst(), now);
        let streams = usize::try_from(1 + random.below(12)).unwrap();
        let leased = vec![0; streams];
        Self { random, bucket, law: Law::new(now), now, queue: VecDeque::new(), leased }
    }

    fn waits(&self, who: usize) -> bool {
        self.queue.iter().any(|(other, _)| *other == who)
    }

    /// Goes on by nothing, a little, a timer tick, an hour, or to somebody's turn: in time or late.
    fn pass_time(&mut self) {
        let due = self.queue.front().and_then(|(_, ticket)| self.bucket.due(*ticket));
        let step = match self.random.below(64) {
            0 => self.random.below(3_600_000_000_000),
            1..8 => 0,
            8..24 => self.random.below(2_000),
            24..40 => self.random.below(3_000_000),
            40..44 => self.random.below(60_000_000),
            _ => due.map_or(1_000, |due| due.saturating_sub(self.now)),
        };
        self.now += step.min(1 << 50);
        self.law.pass(&self.bucket, self.now);
    }

    fn serve(&mut self) {
        let ripe = self.queue.front().and_then(|(_, ticket)| self.bucket.due(*ticket));
        let expected = ripe.is_some_and(|due| due <= self.now);
        let (queue, law, leased) = (&mut self.queue, &mut self.law, &mut self.leased);
        let mut any = false;
        let hold_max = self.bucket.hold_max(leased.len());
        self.bucket.serve(self.now, hold_max, |who, bytes| {
            assert_eq!(queue.pop_front().unwrap().0, who, "overtaken");
            law.admit(bytes);
            leased[who] += bytes;
            any = true;
        });
        assert_eq!(any, expected, "served when due, and only then");
    }

    fn ask(&mut self) {
        let who = usize::try_from(self.random.next()).unwrap() % self.leased.len();
        let most = self.bucket.quantum(self.leased.len());
        let want = if self.random.one_in(3) { 1 + self.random.below(most) } else { most };
        if self.waits(who) {
            return;
        }
        if self.bucket.take(self.now, want) {
            assert!(self.queue.is_empty(), "overtaken");
            assert_ne!(self.bucket.rate(), BitRate::ZERO, "admitted in a pause");
            self.law.admit(want);
            self.leased[who] += want;
        } else {
            self.queue.push_back((who, self.bucket.join(who, want)));
        }
    }

    /// Moves all of a lease or gives some of it back.
    fn use_lease(&mut self) {
        let who = usize::try_from(self.random.next()).unwrap() % self.leased.len();
        let unused =
            if self.random.one_in(3) { self.random.below(self.leased[who] + 1) } else { 0 };
        self.leased[who] = 0;
        self.bucket.refund(self.now, unused);
        self.law.ahead -= i128::from(unused) * BYTE;
    }

    fn give_up(&mut self) {
        if !self.queue.is_empty() {
            let place = usize::try_from(self.random.next()).unwrap() % self.queue.len();
            let (_, ticket) = self.queue.remove(place).unwrap();
            self.bucket.leave(ticket);
        }
    }

    fn step(&mut self) {
        self.pass_time();
        self.serve();
        match self.random.below(100) {
            0 => self.bucket.set_rate(self.now, BitRate::ZERO),
            1..4 => self.bucket.set_rate(self.now, self.random.rate()),
            4 if self.bucket.rate() == BitRate::ZERO => {
                self.bucket.set_rate(self.now, self.random.rate());
            }
            4..8 => self.give_up(),
            8..30 => self.use_lease(),
            _ => self.ask(),
        }
        assert!(self.law.holds(), "more than rate * w + burst");
        self.law.settle(&self.bucket);
    }
}

#[test]
fn no_window_admits_more_than_its_rate_and_a_burst() {
    for seed in 0..500 {
        let mut world = World::new(seed);
        for step in 0..6_000 {
            let run = std::panic::AssertUnwindSafe(|| world.step());
            if std::panic::catch_unwind(run).is_err() {
                panic!("seed {seed}, step {step}, at {:?}", world.bucket);
            }
        }
    }
}

/// Streams that always want more get the whole rate, to the quantum, in every window, as long as
/// they are late by less than the burst; also where the rate rises.
#[test]
fn nothing_is_lost_while_streams_wait() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let burst = Burst::Span(Duration::from_millis(10 + random.below(20)));
        let mut bucket = Bucket::new(random.rate(), burst, 0);
        let streams = usize::try_from(1 + random.below(12)).unwrap();
        let mut law = Law::new(0);
        let mut queue: VecDeque<_> =
            (0..streams).map(|who| bucket.join(who, bucket.quantum(streams))).collect();
        for step in 0..4_000 {
            let now = law.now;
            let mut served = Vec::new();
            bucket.serve(now, bucket.hold_max(streams), |who, bytes| {
                law.admit(bytes);
                served.push(who);
            });
            let want = bucket.quantum(streams);
            for who in served {
                queue.pop_front();
                while bucket.take(now, want) {
                    law.admit(want);
                }
                queue.push_back(bucket.join(who, want));
            }
            let behind = (law.peak - law.ahead) / BYTE;
            let most = i128::from(bucket.quantum(1));
            assert!(behind <= most, "seed {seed}, step {step}: {behind} bytes behind");

            if random.one_in(200) {
                // A cut takes credit away by design, so here the rate only rises.
                bucket.set_rate(now, random.rate().max(bucket.rate()));
            }
            let slack = bucket.burst().bytes() > 4 * bucket.quantum(1);
            let late = if slack && random.one_in(2) { random.below(5_000_000) } else { 0 };
            let turn = bucket.due(*queue.front().unwrap()).unwrap();
            law.pass(&bucket, turn.max(now) + late);
        }
    }
}

//! The bucket under random rates, bursts, wants, refunds, pauses, late wake-ups and clocks that
//! jump.

use std::collections::VecDeque;
use std::time::Duration;

use tidegate_client::bucket::{Bucket, Burst, Ticket};
use tidegate_policy::BitRate;

use super::law::Law;
use super::random::Random;
use super::{Tally, steps};

const STEPS_PER_SEED: u64 = 6_000;

struct World {
    random: Random,
    bucket: Bucket,
    law: Law,
    /// Who waits, in the order in which they came.
    queue: VecDeque<(usize, Ticket)>,
    leased: Vec<u64>,
    tally: Tally,
}

fn at_once(bucket: &Bucket) -> u64 {
    bucket.burst().bytes() + bucket.late_credit().bytes()
}

impl World {
    fn new(seed: u64, tally: Tally) -> Self {
        let mut random = Random(seed);
        let now = random.below(1 << 40);
        let mut bucket = Bucket::new(random.rate(), random.burst(), now);
        bucket.set_late_credit(now, random.late_credit());
        let leased = vec![0; 1 + random.index(12)];
        let mut law = Law::new(now);
        law.settle(at_once(&bucket));
        Self { random, bucket, law, queue: VecDeque::new(), leased, tally }
    }

    fn waits(&self, who: usize) -> bool {
        self.queue.iter().any(|(other, _)| *other == who)
    }

    /// Goes on by nothing, a little, a timer tick, an hour, or to somebody's turn: in time or late.
    fn pass_time(&mut self) {
        let now = self.law.now;
        let due = self.queue.front().and_then(|(_, ticket)| self.bucket.due(*ticket));
        let step = match self.random.below(64) {
            0 => self.random.below(3_600_000_000_000),
            1..8 => 0,
            8..24 => self.random.below(2_000),
            24..40 => self.random.below(3_000_000),
            40..44 => self.random.below(60_000_000),
            _ => due.map_or(1_000, |due| due.saturating_sub(now)),
        };
        self.law.pass(self.bucket.rate(), now + step.min(1 << 50));
        self.law.settle(at_once(&self.bucket));
    }

    /// What a clock says that now and then goes back.
    fn clock(&mut self) -> u64 {
        if self.random.one_in(32) {
            self.tally.count("clock back");
            self.law.now.saturating_sub(self.random.below(10_000_000_000))
        } else {
            self.law.now
        }
    }

    fn serve(&mut self) {
        let ripe = self.queue.front().and_then(|(_, ticket)| self.bucket.due(*ticket));
        let expected = ripe.is_some_and(|due| due <= self.law.now);
        let hold_max = self.bucket.hold_max(self.leased.len());
        let (queue, law, leased) = (&mut self.queue, &mut self.law, &mut self.leased);
        let mut any = false;
        self.bucket.serve(law.now, hold_max, |who, bytes| {
            assert_eq!(queue.pop_front().unwrap().0, who, "overtaken");
            law.admit(bytes);
            leased[who] += bytes;
            any = true;
        });
        assert_eq!(any, expected, "served when due, and only then");
    }

    fn ask(&mut self) {
        let who = self.random.index(self.leased.len());
        let most = self.bucket.quantum(self.leased.len());
        let want = if self.random.one_in(3) { 1 + self.random.below(most) } else { most };
        if self.waits(who) {
            return;
        }
        let clock = self.clock();
        if self.bucket.take(clock, want) {
            assert!(self.queue.is_empty(), "overtaken");
            assert_ne!(self.bucket.rate(), BitRate::ZERO, "admitted in a pause");
            self.law.admit(want);
            self.leased[who] += want;
            self.tally.count("taken");
        } else {
            self.queue.push_back((who, self.bucket.join(who, want)));
            self.tally.count("queued");
        }
    }

    /// Moves all of a lease or gives some of it back.
    fn use_lease(&mut self) {
        let who = self.random.index(self.leased.len());
        let unused =
            if self.random.one_in(3) { self.random.below(self.leased[who] + 1) } else { 0 };
        self.leased[who] = 0;
        let clock = self.clock();
        self.bucket.refund(clock, unused);
        self.law.give_back(unused);
        self.tally.count(if unused > 0 { "refund" } else { "moved" });
    }

    fn give_up(&mut self) {
        if !self.queue.is_empty() {
            let place = self.random.index(self.queue.len());
            let (_, ticket) = self.queue.remove(place).unwrap();
            assert!(self.bucket.leave(ticket) > 0);
            self.tally.count("given up");
        }
    }

    fn set_rate(&mut self, rate: BitRate) {
        let clock = self.clock();
        let before: Vec<_> = self.queue.iter().map(|(_, ticket)| *ticket).collect();
        self.bucket.set_rate(clock, rate);
        assert!(before.iter().all(|ticket| self.bucket.waits(*ticket)), "debt was forgiven");
        self.tally.count(if rate == BitRate::ZERO { "pause" } else { "rate" });
    }

    fn step(&mut self) {
        self.pass_time();
        self.serve();
        match self.random.below(200) {
            0..2 => self.set_rate(BitRate::ZERO),
            2..8 => {
                let rate = self.random.rate();
                self.set_rate(rate);
            }
            8 => {
                let (clock, span) = (self.clock(), self.random.late_credit());
                self.bucket.set_late_credit(clock, span);
                self.tally.count("late credit");
            }
            9..11 if self.bucket.rate() == BitRate::ZERO => {
                let rate = self.random.rate();
                self.set_rate(rate);
            }
            11..16 => self.give_up(),
            16..60 => self.use_lease(),
            _ => self.ask(),
        }
        assert!(self.law.holds(), "more than rate * w + burst + late credit");
        self.law.settle(at_once(&self.bucket));
    }
}

#[test]
fn no_window_admits_more_than_its_rate_and_a_burst() {
    let seeds = steps(3_000_000).div_ceil(STEPS_PER_SEED);
    let mut tally = Tally::default();
    for seed in 0..seeds {
        let mut world = World::new(seed, tally);
        for step in 0..STEPS_PER_SEED {
            let run = std::panic::AssertUnwindSafe(|| world.step());
            if std::panic::catch_unwind(run).is_err() {
                panic!("seed {seed}, step {step}, at {:?}", world.bucket);
            }
        }
        tally = world.tally;
    }
    tally.tell("the bucket's upper bound", seeds * STEPS_PER_SEED);
}

/// Streams that always want more get the whole rate, to the quantum, in every window, as long as
/// they are late by less than the burst, or by less than burst and late credit; also where the rate
/// rises.
#[test]
fn nothing_is_lost_while_streams_wait() {
    const STEPS_PER_SEED: u64 = 4_000;
    let seeds = steps(800_000).div_ceil(STEPS_PER_SEED);
    let mut tally = Tally::default();
    for seed in 0..seeds {
        let mut random = Random(seed);
        let short = random.one_in(2);
        let burst = if short { 2 } else { 10 + random.below(20) };
        let mut bucket = Bucket::new(random.rate(), Burst::Span(Duration::from_millis(burst)), 0);
        if short {
            bucket.set_late_credit(0, Duration::from_millis(8));
        }
        let streams = 1 + random.index(12);
        let mut law = Law::new(0);
        let mut queue: VecDeque<_> =
            (0..streams).map(|who| bucket.join(who, bucket.quantum(streams))).collect();
        for step in 0..STEPS_PER_SEED {
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
            let most = i128::from(bucket.quantum(1));
            let behind = law.behind();
            assert!(behind <= most, "seed {seed}, step {step}: {behind} bytes behind");

            if random.one_in(200) {
                // A cut takes credit away by design, so here the rate only rises.
                bucket.set_rate(now, random.rate().max(bucket.rate()));
                tally.count("rise");
            }
            let slack = at_once(&bucket) > 4 * bucket.quantum(1);
            let late = if slack && random.one_in(2) { random.below(5_000_000) } else { 0 };
            tally.count(if late > 0 { "late" } else { "in time" });
            let turn = bucket.due(*queue.front().unwrap()).unwrap();
            law.pass(bucket.rate(), turn.max(now) + late);
        }
    }
    tally.tell("the bucket's lower bound", seeds * STEPS_PER_SEED);
}

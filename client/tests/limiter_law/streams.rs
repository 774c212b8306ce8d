//! Streams of a limiter in paused time: leases, short reads, drops, changes that call leases back,
//! ends and revocations, with the law checked on what the limiter says that it admitted.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tidegate_client::bucket::Burst;
use tidegate_client::clock::BootTime;
use tidegate_client::limiter::{LimitError, Limiter, Revoked, Stream};
use tidegate_policy::BitRate;
use tokio::time::{Instant, advance};

use super::law::Law;
use super::random::Random;
use super::{Tally, steps};

const STEPS_PER_SEED: u64 = 6_000;

struct World {
    at: (u64, u64),
    random: Random,
    limiter: Limiter,
    streams: Vec<Stream>,
    law: Law,
    rate: BitRate,
    begin: Instant,
    /// As the law knows it, and as counted by hand, in bytes.
    admitted: u64,
    moved: u64,
    tally: Tally,
}

#[allow(clippy::disallowed_methods, reason = "paused time")]
fn now() -> Instant {
    Instant::now()
}

fn poll(stream: &mut Stream, want: usize) -> Poll<Result<usize, LimitError>> {
    stream.poll_lease(&mut Context::from_waker(Waker::noop()), want)
}

impl World {
    fn new(seed: u64, tally: Tally) -> Self {
        let mut random = Random(!seed);
        let rate = random.rate();
        let begin = now();
        let limiter = Limiter::new(rate, random.burst());
        limiter.set_late_credit(random.late_credit());
        let streams = (0..=random.below(12)).map(|_| limiter.stream()).collect();
        let law = Law::new(0);
        let at = (seed, 0);
        let (admitted, moved) = (0, 0);
        let mut world =
            Self { at, random, limiter, streams, law, rate, begin, admitted, moved, tally };
        world.settle();
        world
    }

    fn settle(&mut self) {
        let late = self.limiter.late_credit().bytes();
        self.law.settle(self.limiter.burst().bytes() + late);
    }

    async fn pass_time(&mut self) {
        let step = match self.random.below(64) {
            0 => self.random.below(3_600_000_000_000),
            1..24 => self.random.below(20_000),
            24..56 => self.random.below(2_000_000),
            _ => self.random.below(60_000_000),
        };
        advance(Duration::from_nanos(step)).await;
        let now = u64::try_from((now() - self.begin).as_nanos()).unwrap();
        self.law.pass(self.rate, now);
        self.settle();
    }

    /// Reads as much as it may, or less, or not at all.
    fn read(&mut self) {
        let who = self.random.index(self.streams.len());
        let want = match self.random.below(4) {
            0 => 1 + self.random.index(100),
            1 => 1 + self.random.index(20_000),
            _ => 256 * 1024,
        };
        match poll(&mut self.streams[who], want) {
            Poll::Ready(leased) => {
                let leased = leased.unwrap();
                assert!((1..=want).contains(&leased), "{:?}: {leased} of {want}", self.at);
                let moved =
                    if self.random.one_in(4) { self.random.index(leased + 1) } else { leased };
                self.streams[who].charge(moved);
                self.moved += u64::try_from(moved).unwrap();
                self.tally.count(if moved < leased { "short read" } else { "read" });
            }
            Poll::Pending => self.tally.count("wait"),
        }
    }

    fn replace(&mut self) {
        let who = self.random.index(self.streams.len());
        let gone = self.streams.swap_remove(who);
        drop(gone);
        if self.streams.is_empty() || self.random.one_in(2) {
            self.streams.push(self.limiter.stream());
        }
        if self.streams.len() < 16 && self.random.one_in(2) {
            self.streams.push(self.limiter.stream());
        }
        self.tally.count("drop");
    }

    fn set_rate(&mut self) {
        let before = self.rate;
        self.rate = if self.random.one_in(4) { BitRate::ZERO } else { self.random.rate() };
        self.limiter.set_rate(self.rate);
        self.tally.count(if self.rate == BitRate::ZERO { "pause" } else { "rate" });
        if self.rate < before {
            // It holds for the next byte: nothing is on lease any longer.
            assert_eq!(self.limiter.admitted().bytes(), self.moved, "{:?}", self.at);
        }
    }

    /// Nobody gets anything until the end is moved.
    fn expire(&mut self) {
        self.limiter.expires_at(BootTime::now());
        self.nobody(LimitError::Expired);
        self.limiter.expires_at(BootTime::now().plus(Duration::from_secs(1_000_000)));
        self.tally.count("end");
    }

    fn nobody(&mut self, why: LimitError) {
        for stream in &mut self.streams {
            assert_eq!(poll(stream, 1), Poll::Ready(Err(why)), "{:?}", self.at);
        }
        assert_eq!(self.limiter.moved().bytes(), self.moved, "{:?}", self.at);
        // All of it went back.
        assert_eq!(self.limiter.admitted().bytes(), self.moved, "{:?}", self.at);
    }

    fn check(&mut self) {
        let admitted = self.limiter.admitted().bytes();
        match admitted.checked_sub(self.admitted) {
            Some(more) => self.law.admit(more),
            None => self.law.give_back(self.admitted - admitted),
        }
        self.admitted = admitted;
        assert!(self.moved <= admitted, "{:?}: moved and never admitted", self.at);
        assert!(self.law.holds(), "{:?}: more than rate * w + burst + late credit", self.at);
        self.settle();
    }

    async fn step(&mut self) {
        match self.random.below(400) {
            0..100 => self.pass_time().await,
            100..102 => self.set_rate(),
            102 if self.rate == BitRate::ZERO => self.set_rate(),
            103 => {
                let span = self.random.late_credit();
                self.limiter.set_late_credit(span);
                self.tally.count("late credit");
            }
            104..112 => self.replace(),
            112 => self.expire(),
            _ => self.read(),
        }
        self.check();
        self.at.1 += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn no_stream_moves_what_the_law_does_not_admit() {
    let seeds = steps(600_000).div_ceil(STEPS_PER_SEED);
    let mut tally = Tally::default();
    for seed in 0..seeds {
        let mut world = World::new(seed, tally);
        for _ in 0..STEPS_PER_SEED {
            world.step().await;
        }
        world.limiter.revoke(Revoked::Preempted);
        world.limiter.set_rate(BitRate::MAX);
        world.nobody(LimitError::Revoked(Revoked::Preempted));
        world.tally.count("revocation");
        tally = world.tally;
    }
    tally.tell("the streams' upper bound", seeds * STEPS_PER_SEED);
}

/// Streams that are always hungry get all of the rate, but for a quantum and what each has left of
/// a lease, if they come back within the burst and the late credit.
#[tokio::test(start_paused = true)]
async fn hungry_streams_get_all_of_the_rate() {
    const STEPS_PER_SEED: u64 = 100_000;
    let seeds = steps(4_000_000).div_ceil(STEPS_PER_SEED);
    let mut tally = Tally::default();
    for seed in 0..seeds {
        let mut random = Random(seed);
        let mut rate = random.rate();
        let limiter = Limiter::new(rate, Burst::Span(Duration::from_millis(6)));
        limiter.set_late_credit(Duration::from_millis(6));
        let mut streams: Vec<_> = (0..=random.below(12)).map(|_| limiter.stream()).collect();
        let (begin, mut law, mut admitted) = (now(), Law::new(0), 0);
        let mut step = 0;
        while step < STEPS_PER_SEED {
            // Who had its part lets the others go first, and wakes up again.
            let mut moved = true;
            while std::mem::take(&mut moved) {
                for turn in 0..streams.len() {
                    let who = (turn + usize::try_from(step).unwrap()) % streams.len();
                    while let Poll::Ready(leased) = poll(&mut streams[who], 1 << 20) {
                        streams[who].charge(leased.unwrap());
                        moved = true;
                        step += 1;
                    }
                    step += 1;
                }
            }
            let total = limiter.admitted().bytes();
            assert!(total >= admitted);
            law.admit(total - admitted);
            admitted = total;
            // One quantum is being earned.
            let most = (rate.bps() / 80_000).clamp(1448, 256 * 1024);
            let behind = law.behind();
            assert!(behind <= i128::from(most), "seed {seed}, step {step}: {behind} behind");
            if random.one_in(100) {
                rate = rate.max(random.rate());
                limiter.set_rate(rate);
                tally.count("rise");
            }
            advance(Duration::from_nanos(random.below(5_000_000))).await;
            law.pass(rate, u64::try_from((now() - begin).as_nanos()).unwrap());
            tally.count("wake");
        }
    }
    tally.tell("the streams' lower bound", seeds * STEPS_PER_SEED);
}

//! An exact token bucket with a queue: integers only, time passed in, nothing to wait on.
//!
//! The credit is counted in billionths of a bit, because a rate in bit/s times a time in
//! nanoseconds is a whole number of them: nothing is ever rounded while it accrues, at 64 kbit/s
//! as at 100 Gbit/s and at rates that divide nothing evenly.
//!
//! # The law
//!
//! Bytes are admitted before they are moved and given back if they were not. In any window `w`
//! the bytes admitted, less those given back, never exceed `rate * w + burst` (with `rate * w`
//! the integral of the rate where it changed, and `burst` the one in force when the window
//! begins). That is one quantum stricter than what is promised: `rate * w + burst + quantum`.
//! The proof is short: the credit never passes the burst and never falls below zero, and
//! what is admitted is taken from the credit.
//!
//! # Late credit
//!
//! A timer that wakes a waiter later than the burst is long loses the difference: the credit is
//! full. With [`Bucket::set_late_credit`] it may grow beyond the burst, but only while somebody
//! waits, and what is left of that when nobody does lapses as soon again. The price is in the law:
//! `rate * w + burst + late credit + quantum`. It is zero unless asked for.
//!
//! # The queue
//!
//! Whoever finds too little credit joins the queue with a number of bytes and gets a ticket, for
//! which [`Bucket::due`] names the instant when its turn comes. The queue is the debt of the
//! bucket, and it is counted in bytes: a change of the rate moves every due time and forgives
//! nothing. Nobody overtakes: while someone waits, [`Bucket::take`] takes nothing.
//!
//! # Where it comes from
//!
//! The bucket is the classic one of Turner (leaky bucket as a meter, 1986) as in RFC 2697, and
//! the same machine as the ATM Forum's virtual scheduling (GCRA) except that it keeps the
//! tokens and not a theoretical arrival time: a time in nanoseconds silently forgives debt when
//! the rate falls, tokens do not. Sleepers that oversleep are served together and share what
//! accrued meanwhile in equal parts, so a coarse timer costs neither rate nor fairness as long
//! as it is less late than the burst is long.

use std::collections::VecDeque;
use std::time::Duration;

use tidegate_policy::{BitRate, ByteCount};

/// Payload of one TCP segment in an Ethernet frame of 1500 bytes, with timestamps. Less than
/// this is not worth a system call.
pub(crate) const MSS: u64 = 1448;

/// The most that one read or write moves and the most in a quantum, in bytes.
const CHUNK_MAX: u64 = 256 * 1024;

/// Billionths of a bit in a byte.
const BYTE: u128 = 8_000_000_000;

const QUANTUM_NS: u128 = 100_000;
const CHUNK_NS: u128 = 1_000_000;
const LATE_MAX_NS: u128 = 100_000_000;

/// From this rate on a wake-up in each millisecond is felt beside the copying itself.
const REST_FROM_BPS: u64 = 5_000_000_000;
const REST_NS: u64 = 2_000_000;

/// How much may pass at once after a pause: the depth of the bucket.
///
/// Whatever is asked, it is at least two segments (2896 bytes). A timer that is later than the
/// burst is long loses the difference; less than 5 ms of the rate costs throughput on a busy
/// machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Burst {
    /// What the rate moves in this time; it follows the rate.
    Span(Duration),
    /// This many bytes at every rate.
    Bytes(ByteCount),
}

/// 10 ms of the rate.
impl Default for Burst {
    fn default() -> Self {
        Self::Span(Duration::from_millis(10))
    }
}

impl Burst {
    /// The burst at `rate`, rounded down to whole bytes, at least 2896 bytes.
    #[must_use]
    pub fn at(self, rate: BitRate) -> ByteCount {
        let bytes = match self {
            Self::Span(span) => bytes_in(rate, span.as_nanos()),
            Self::Bytes(bytes) => bytes.bytes(),
        };
        ByteCount::new(bytes.max(2 * MSS))
    }
}

/// A place in the queue of one bucket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(u64);

/// An exact token bucket. All times are nanoseconds of one monotonic clock, all sizes bytes.
///
/// A time before one already seen counts as that one. At a rate of zero nothing is admitted and
/// whoever waits keeps the place.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// In billionths of a bit, never above the burst and the late credit.
    credit: u128,
    /// The time up to which the credit is counted.
    counted_to: u64,
    rate: BitRate,
    depth: Burst,
    /// Derived from the rate and the depth, in bytes.
    burst: u64,
    /// How late a waiter may be and lose nothing, in nanoseconds.
    late_ns: u128,
    /// Derived from the rate and that, in bytes.
    late: u64,
    /// What was earned beyond the burst is to be used before this time, once nobody waits.
    lapses_at: u64,
    queue: VecDeque<Waiter>,
    next_ticket: u64,
    /// Bytes that left the head of the queue since the beginning; the ends of waiters are
    /// counted from the same beginning.
    served: u128,
}

#[derive(Clone, Debug)]
struct Waiter {
    ticket: Ticket,
    who: usize,
    bytes: u64,
    /// Bytes queued up to this waiter and with it.
    end: u128,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(rate: BitRate, burst: Burst, now: u64) -> Self {
        let bytes = burst.at(rate).bytes();
        Self {
            credit: u128::from(bytes) * BYTE,
            counted_to: now,
            rate,
            depth: burst,
            burst: bytes,
            late_ns: 0,
            late: 0,
            lapses_at: 0,
            queue: VecDeque::new(),
            next_ticket: 0,
            served: 0,
        }
    }

    /// The rate in force.
    #[must_use]
    pub const fn rate(&self) -> BitRate {
        self.rate
    }

    /// The burst at the rate in force.
    #[must_use]
    pub const fn burst(&self) -> ByteCount {
        ByteCount::new(self.burst)
    }

    /// The late credit at the rate in force.
    #[must_use]
    pub const fn late_credit(&self) -> ByteCount {
        ByteCount::new(self.late)
    }

    /// Lets the credit grow beyond the burst by what the rate carries in `span`, of which at most
    /// 100 ms count, while somebody waits. Zero takes it back.
    pub fn set_late_credit(&mut self, now: u64, span: Duration) {
        self.accrue(now);
        self.late_ns = span.as_nanos().min(LATE_MAX_NS);
        self.late = bytes_in(self.rate, self.late_ns);
        self.spill();
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// What one of `streams` streams should ask for at once, in bytes: 100 us of the rate within
    /// 1448 B and 256 KiB, but so little that all of them together hold half the burst at most
    /// (except that it is never less than a segment). Never more than half the burst.
    #[must_use]
    pub fn quantum(&self, streams: usize) -> u64 {
        bytes_in(self.rate, QUANTUM_NS).min(CHUNK_MAX).min(self.share(streams)).max(MSS)
    }

    /// The most that one of `streams` streams should hold unused, in bytes: 1 ms of the rate,
    /// but so little that all of them together hold half the burst at most (or a segment each).
    #[must_use]
    pub fn hold_max(&self, streams: usize) -> u64 {
        bytes_in(self.rate, CHUNK_NS).min(self.share(streams)).max(MSS)
    }

    fn share(&self, streams: usize) -> u64 {
        let streams = u64::try_from(streams).unwrap_or(u64::MAX).max(1);
        self.burst / streams.saturating_mul(2)
    }

    /// The most that one read or write should move, in bytes: 1 ms of the rate within 1448 B and
    /// 256 KiB.
    #[must_use]
    pub fn chunk(&self) -> u64 {
        bytes_in(self.rate, CHUNK_NS).clamp(MSS, CHUNK_MAX)
    }

    /// Admits `bytes` now, or nothing: if the credit does not hold all of them, if somebody
    /// waits, or at a rate of zero.
    #[must_use]
    pub fn take(&mut self, now: u64, bytes: u64) -> bool {
        self.accrue(now);
        let cost = u128::from(bytes) * BYTE;
        let free = self.queue.is_empty() && self.rate != BitRate::ZERO && self.credit >= cost;
        if free {
            self.credit -= cost;
        }
        free
    }

    /// Joins the queue for `bytes`, of which no more count than a lone stream's quantum: more
    /// than the burst would never be served. `who` is handed back by [`Self::serve`].
    pub fn join(&mut self, who: usize, bytes: u64) -> Ticket {
        let bytes = bytes.clamp(1, self.quantum(1));
        let before = self.queue.back().map_or(self.served, |last| last.end);
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.queue.push_back(Waiter { ticket, who, bytes, end: before + u128::from(bytes) });
        ticket
    }

    /// Whether `ticket` still waits: it was neither served nor given up.
    #[must_use]
    pub fn waits(&self, ticket: Ticket) -> bool {
        self.queue.binary_search_by_key(&ticket, |waiter| waiter.ticket).is_ok()
    }

    /// Gives up a place and says how many bytes stood there, zero if it was served already.
    /// Those behind it move up, those before it keep their time.
    pub fn leave(&mut self, ticket: Ticket) -> u64 {
        let place = self.queue.binary_search_by_key(&ticket, |waiter| waiter.ticket);
        let Some(gone) = place.ok().and_then(|place| self.queue.remove(place)) else { return 0 };
        for waiter in self.queue.iter_mut().filter(|waiter| waiter.ticket > ticket) {
            waiter.end -= u128::from(gone.bytes);
        }
        gone.bytes
    }

    /// Admits everyone whose turn has come, in order, and tells `grant` who and how many bytes.
    ///
    /// Where the credit holds more than all of them asked for, because they overslept, they share
    /// the rest equally, each up to `hold_max` bytes in all: otherwise the first to wake would
    /// take it all, and it would always be the same one.
    pub fn serve(&mut self, now: u64, hold_max: u64, mut grant: impl FnMut(usize, u64)) {
        self.accrue(now);
        if self.queue.is_empty() || self.rate == BitRate::ZERO {
            return;
        }
        let (served, credit) = (self.served, self.credit);
        let ripe = self.queue.partition_point(|waiter| (waiter.end - served) * BYTE <= credit);
        let extra = if ripe == self.queue.len() { self.spare(ripe) } else { 0 };
        for waiter in self.queue.drain(..ripe) {
            let bytes = (waiter.bytes + extra).min(hold_max).max(waiter.bytes);
            self.credit -= u128::from(bytes) * BYTE;
            self.served = waiter.end;
            grant(waiter.who, bytes);
        }
        let late = u64::try_from(self.late_ns).unwrap_or(u64::MAX);
        self.lapses_at = now.saturating_add(late);
    }

    /// An equal part for each of `streams` of the credit that the queue does not ask for.
    fn spare(&self, streams: usize) -> u64 {
        let owed = self.queue.back().map_or(0, |last| (last.end - self.served) * BYTE);
        let streams = u128::try_from(streams).unwrap_or(u128::MAX);
        to_bytes((self.credit - owed) / BYTE / streams)
    }

    /// When the turn of `ticket` comes if nobody gives anything back: an instant that may be
    /// past, `None` at a rate of zero or if it was served or left.
    #[must_use]
    pub fn due(&self, ticket: Ticket) -> Option<u64> {
        let place = self.queue.binary_search_by_key(&ticket, |waiter| waiter.ticket).ok()?;
        if self.rate == BitRate::ZERO {
            return None;
        }
        let need = (self.queue.get(place)?.end - self.served) * BYTE;
        let missing = need.saturating_sub(self.credit);
        let wait = missing.div_ceil(u128::from(self.rate.bps()));
        Some(self.counted_to.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    /// Gives back `bytes` that were admitted and not moved. What the bucket cannot hold is lost.
    pub fn refund(&mut self, now: u64, bytes: u64) {
        self.accrue(now);
        let ceiling = self.ceiling();
        self.credit = (self.credit + u128::from(bytes) * BYTE).min(ceiling);
    }

    /// Changes the rate from `now` on. Those who wait keep their order and their bytes, cut to the new
    /// quantum, because more than the burst would never be served. What accrued counts at the old
    /// rate, and a rise leaves it as it is. At a cut, what is owed to those who wait stays in bytes, and
    /// of the rest so much that the bucket is as full as it was: else the millisecond between two
    /// ticks of a timer at 1 Gbit/s would be ten at 100 Mbit/s.
    pub fn set_rate(&mut self, now: u64, rate: BitRate) {
        self.accrue(now);
        let before = std::mem::replace(&mut self.rate, rate);
        let depth = std::mem::replace(&mut self.burst, self.depth.at(rate).bytes());
        self.late = bytes_in(rate, self.late_ns);
        let quantum = self.quantum(1);
        let mut end = self.served;
        for waiter in &mut self.queue {
            waiter.bytes = waiter.bytes.min(quantum);
            end += u128::from(waiter.bytes);
            waiter.end = end;
        }
        if rate < before {
            let owed = self.credit.min((end - self.served) * BYTE);
            self.credit = owed + scaled(self.credit - owed, self.burst, depth);
        }
        self.spill();
    }

    /// How long a waiter should sleep at least, in nanoseconds, even if its turn comes before: waking
    /// up costs a processor about as much as copying 300 kB. That is nothing below 5 Gbit/s, and
    /// else 2 ms or a fifth of the burst, so that a timer may still be late by most of it. Where
    /// timers are late, nobody should rest: what a full bucket cannot hold is lost.
    pub(crate) fn rest(&self) -> u64 {
        let fifth = self.span_of(self.burst).unwrap_or(0) / 5;
        if self.rate.bps() < REST_FROM_BPS { 0 } else { fifth.min(REST_NS) }
    }

    /// Whether those who wait were late by so much that half a burst lies there.
    pub(crate) fn is_overslept(&mut self, now: u64) -> bool {
        self.accrue(now);
        !self.queue.is_empty() && self.credit > u128::from(self.burst) * BYTE / 2
    }

    /// How long the rate takes for `bytes`, in nanoseconds, rounded down; `None` at zero.
    pub(crate) fn span_of(&self, bytes: u64) -> Option<u64> {
        let ns = (u128::from(bytes) * BYTE).checked_div(u128::from(self.rate.bps()))?;
        Some(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    fn accrue(&mut self, now: u64) {
        let elapsed = now.saturating_sub(self.counted_to);
        if elapsed == 0 {
            return;
        }
        self.counted_to += elapsed;
        let ceiling = self.ceiling();
        // The largest rate over the whole range of the clock is below 2^115: no overflow.
        self.credit += u128::from(elapsed) * u128::from(self.rate.bps());
        self.credit = self.credit.min(ceiling);
    }

    fn spill(&mut self) {
        self.credit = self.credit.min(self.ceiling());
    }

    /// The most that the credit may be now, in billionths of a bit. Beyond the burst it grows only
    /// while somebody waits, and stays only until it lapses.
    fn ceiling(&self) -> u128 {
        let burst = u128::from(self.burst) * BYTE;
        let most = burst + u128::from(self.late) * BYTE;
        if !self.queue.is_empty() {
            most
        } else if self.counted_to < self.lapses_at {
            self.credit.clamp(burst, most)
        } else {
            burst
        }
    }
}

/// Whole bytes that `rate` moves in `ns` nanoseconds.
fn bytes_in(rate: BitRate, ns: u128) -> u64 {
    to_bytes(u128::from(rate.bps()).saturating_mul(ns) / BYTE)
}

/// `value` times `to` over `from`, rounded down, and by a little more where that would overflow.
fn scaled(value: u128, to: u64, from: u64) -> u128 {
    let (to, from) = (u128::from(to), u128::from(from).max(1));
    value.checked_mul(to).map_or_else(|| value / from * to, |product| product / from)
}

fn to_bytes(bytes: u128) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "bucket_tests.rs"]
mod tests;

//! The limiter of a grant: one exact bucket that all its streams share.
//!
//! A [`Limiter`] holds the rate, [`Stream`]s move bytes under it. A stream leases a quantum from
//! the shared [`Bucket`] and spends it locally, so that a poll costs one comparison with a shared
//! counter and one subtraction; the lock is taken once per quantum. Leases are admitted before
//! the bytes move and what is left of one is given back, which makes the law of the bucket a law
//! about real bytes: in any window `w`, over all streams, at most `rate * w + burst` are leased.
//! [`Limiter::set_late_credit`] adds to that where it is asked for, and only where somebody waited.
//! A stream that stalls keeps its lease, so the bytes themselves can pass once more what all
//! streams hold: half the burst together, or a segment each where that is more, and the half
//! segment that a stream has left over when it asks anew.
//!
//! Streams are served strictly in order. Each sleeps on a timer of its own until its due time,
//! and a change of the rate, of the end or of the permission wakes all of them. A cut of the
//! rate takes all leases back as well, so that it is felt by the next byte and not by the next
//! quantum. Where all overslept, there is much credit at once: a stream that had its part then
//! joins the queue and lets those run first who have theirs to fetch. Nobody spins: whoever may not
//! move bytes sleeps, from 5 Gbit/s on for 2 ms at least, because waking up is dear there, unless timers are late.
//!
//! A rate of zero is a pause: streams wait, nobody fails. One can be set for a time to come, where a
//! rate is known to fall then. An end is counted on `CLOCK_BOOTTIME`, which goes on in a suspend,
//! and looked at whenever a stream takes a lease or comes back from waiting for its peer; it can
//! be moved, and an error [`LimitError::Expired`] goes away when it is. A revocation stays, and holds
//! for leases as well. What a stream may still move after an end is what was left of one lease, and
//! only if it neither waited nor asked for more meanwhile: at most 1 ms of the rate, or a segment. A
//! grant looks at the clock each second besides, and what is left is void then.
//!
//! Waiting needs a tokio runtime with its timer on, or a thread of its own
//! ([`Stream::lease_blocking`]).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tidegate_policy::{BitRate, ByteCount};

use crate::bucket::{Bucket, Burst};
use crate::clock::{BootTime, Pace};
use crate::limited::Limited;

mod error;
mod park;
mod stream;
mod waits;

pub use error::{LimitError, Revoked};
pub use stream::Stream;
use waits::Waits;

/// Holds all its streams together to one rate. Clones are handles on the same limiter.
///
/// A grant has one of its own ([`Grant::limiter`](crate::grant::Grant::limiter)); it also works by
/// itself.
///
/// ```
/// use tidegate_client::{Burst, LimitError, Limiter, Revoked};
/// use tokio::io::AsyncReadExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limiter = Limiter::new("800Mbit".parse()?, Burst::default());
/// let mut read = Vec::new();
/// // 2 MB at 800 Mbit/s: 20 ms, of which the burst saves 10.
/// limiter.reader(tokio::io::repeat(7).take(2_000_000)).read_to_end(&mut read).await?;
/// assert_eq!(limiter.moved().bytes(), 2_000_000);
///
/// // A change holds for the next byte, a revocation for good.
/// limiter.set_rate("1Gbit".parse()?);
/// limiter.revoke(Revoked::Released);
/// let error = limiter.reader(&read[..]).read_u8().await.unwrap_err();
/// assert_eq!(LimitError::of(&error), Some(LimitError::Revoked(Revoked::Released)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Limiter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Counts changes of what is allowed: a lease of an older epoch
    /// has to be looked at again.
    epoch: Apart<AtomicU64>,
    pace: Pace,
    state: Apart<Mutex<State>>,
}

/// On cache lines of its own (a pair, because they are fetched in pairs): what every poll reads
/// must not lie beside what every lease writes.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

/// In the order in which it is laid out: the credit lies beside the lock that guards it, so that
/// one cache line goes from thread to thread and not several.
#[derive(Debug)]
#[repr(C)]
struct State {
    bucket: Bucket,
    /// What a stream leases, holds and moves at once, in bytes; kept because they take divisions
    /// to work out.
    quantum: u64,
    hold_max: u64,
    chunk: u64,
    /// How long a waiter sleeps at least, in nanoseconds.
    rest: u64,
    /// Until when nobody rests, because somebody overslept.
    hurries_until: u64,
    revoked: Option<Revoked>,
    end: Option<BootTime>,
    /// From when on it is as if the rate were zero, whoever is late to set it.
    pause: Option<BootTime>,
    /// By the number that streams are known by in the bucket's queue.
    seats: Vec<Option<Seated>>,
    streams: usize,
    /// Streams that were served and did not pick it up yet.
    unclaimed: usize,
    /// Bytes moved by streams that are gone.
    retired: u64,
    waits: Waits,
}

/// A stream as the others see it.
#[derive(Debug)]
struct Seated {
    seat: Arc<Seat>,
    /// Served from the queue and not picked up yet, in bytes.
    granted: u64,
}

/// What a stream shares outside of the lock.
#[derive(Debug, Default)]
struct Seat {
    waker: AtomicWaker,
    own: Apart<Account>,
}

/// The books of a stream. Only what it writes itself lies beside it.
#[derive(Debug, Default)]
struct Account {
    /// Bytes moved; written by its stream alone.
    moved: AtomicU64,
    /// All that was ever leased to it less what came back, in bytes; written under the lock. What
    /// it moved is taken from this: the rest is its lease, and what is missing it owes.
    leased: AtomicU64,
}

// === impl Limiter ===

impl Limiter {
    /// A limiter with a full bucket.
    #[must_use]
    pub fn new(rate: BitRate, burst: Burst) -> Self {
        let pace = Pace::start();
        let bucket = Bucket::new(rate, burst, pace.now());
        let state = State {
            quantum: bucket.quantum(1),
            hold_max: bucket.hold_max(1),
            chunk: bucket.chunk(),
            rest: bucket.rest(),
            hurries_until: 0,
            bucket,
            revoked: None,
            end: None,
            pause: None,
            seats: Vec::new(),
            streams: 0,
            unclaimed: 0,
            retired: 0,
            waits: Waits::default(),
        };
        let shared = Shared { epoch: Apart::default(), pace, state: Apart(Mutex::new(state)) };
        Self { shared: Arc::new(shared) }
    }

    /// The rate in force; zero is a pause.
    #[must_use]
    pub fn rate(&self) -> BitRate {
        self.shared.lock().bucket.rate()
    }

    /// The burst at the rate in force.
    #[must_use]
    pub fn burst(&self) -> ByteCount {
        self.shared.lock().bucket.burst()
    }

    /// Changes the rate from now on. A cut holds for every byte that moves after the return: unused
    /// leases go back to the bucket, which stays as full as it was of the new burst, and what was
    /// waited for stays in bytes. What was leased before a rise stays, as the bucket might not hold
    /// all of it. Sleepers are woken. Zero pauses.
    pub fn set_rate(&self, rate: BitRate) {
        self.shared.change(|state, now| {
            let before = state.bucket.rate();
            if rate < before {
                let unused = state.recall();
                state.bucket.refund(now, unused);
            }
            if rate != before {
                state.bucket.set_rate(now, rate);
                state.requantize();
            }
            rate != before
        });
    }

    /// Lets waiters that their timers wake late lose nothing by it, up to what the rate carries in
    /// `span`, of which at most 100 ms count. Zero, the default, takes it back.
    ///
    /// This buys the exact rate on a busy machine with a small burst, and costs smoothness: what was
    /// missed passes at once on top of the burst. In any window `w` it is at most `rate * w + burst +
    /// late credit + quantum`, and the late credit is there only where somebody waited for it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_client::{Burst, Limiter};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // 2 ms at once when idle, and timers may be 20 ms late.
    /// let limiter = Limiter::new("1Gbit".parse()?, Burst::Span(Duration::from_millis(2)));
    /// limiter.set_late_credit(Duration::from_millis(20));
    /// assert_eq!(limiter.late_credit().bytes(), 2_500_000);
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_late_credit(&self, span: Duration) {
        self.shared.change(|state, now| {
            let before = state.bucket.late_credit();
            state.bucket.set_late_credit(now, span);
            before != state.bucket.late_credit()
        });
    }

    /// The late credit at the rate in force, in bytes.
    #[must_use]
    pub fn late_credit(&self) -> ByteCount {
        self.shared.lock().bucket.late_credit()
    }

    /// Ends the grant for good: nothing is admitted after the return, and whoever waits or polls
    /// gets [`LimitError::Revoked`]. Only the first reason counts.
    pub fn revoke(&self, why: Revoked) {
        self.shared.change(|state, _| {
            let first = state.revoked.is_none();
            state.revoked.get_or_insert(why);
            first
        });
    }

    /// Sets the end, at which streams begin to fail with [`LimitError::Expired`]; a later call
    /// moves it either way.
    pub fn expires_at(&self, end: BootTime) {
        self.shared.change(|state, _| state.end.replace(end) != Some(end));
    }

    /// Sets when a pause begins, at which nothing is admitted any longer until this is called anew:
    /// it holds even if whoever is to change the rate then is late. `None` takes it back.
    pub fn pauses_at(&self, pause: Option<BootTime>) {
        self.shared.change(|state, _| std::mem::replace(&mut state.pause, pause) != pause);
    }

    /// Whether the grant holds.
    ///
    /// # Errors
    ///
    /// The reason why nothing is admitted any longer. A pause is no error.
    pub fn check(&self) -> Result<(), LimitError> {
        self.shared.lock().holds(BootTime::now).map(drop)
    }

    /// The bytes that all streams have moved so far, those that are gone included. What is
    /// leased and not moved does not count.
    #[must_use]
    pub fn moved(&self) -> ByteCount {
        let state = self.shared.lock();
        let seats = state.seats.iter().flatten();
        let live = seats.map(|seated| seated.seat.moved());
        ByteCount::new(live.fold(state.retired, u64::saturating_add))
    }

    /// The bytes that were admitted so far, less those given back: what was moved, and what streams
    /// hold on lease. The law is about this count.
    #[must_use]
    pub fn admitted(&self) -> ByteCount {
        let state = self.shared.lock();
        let live = state.seats.iter().flatten();
        let live = live.map(|seated| seated.seat.leased().saturating_add(seated.granted));
        ByteCount::new(live.fold(state.retired, u64::saturating_add))
    }

    /// A new stream: one connection, file or task that moves bytes under this limiter.
    #[must_use]
    pub fn stream(&self) -> Stream {
        let seat = Arc::<Seat>::default();
        let mut state = self.shared.lock();
        let who = state.seat(Arc::clone(&seat));
        let known = (self.shared.epoch.0.load(Ordering::Relaxed), state.is_timed());
        drop(state);
        Stream::new(Arc::clone(&self.shared), seat, who, known)
    }

    /// Waits until `stream`, one of this limiter, may move bytes; see [`Stream::lease`].
    ///
    /// # Errors
    ///
    /// The reason why nothing is admitted any longer.
    pub async fn lease(&self, stream: &mut Stream, want: usize) -> Result<usize, LimitError> {
        debug_assert!(stream.is_of(&self.shared), "a stream of another limiter");
        stream.lease(want).await
    }

    /// Limits what is read from `inner`.
    #[must_use]
    pub fn reader<R>(&self, inner: R) -> Limited<R> {
        Limited::new(inner, self.stream())
    }

    /// Limits what is written to `inner`.
    #[must_use]
    pub fn writer<W>(&self, inner: W) -> Limited<W> {
        Limited::new(inner, self.stream())
    }
}

// === impl Seat ===

impl Seat {
    fn moved(&self) -> u64 {
        self.own.0.moved.load(Ordering::Relaxed)
    }

    fn leased(&self) -> u64 {
        self.own.0.leased.load(Ordering::Relaxed)
    }

    /// Under the lock alone.
    fn lease(&self, leased: u64) {
        self.own.0.leased.store(leased, Ordering::Relaxed);
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic leaves the state half changed, so a poisoned lock is sound.
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is allowed; if it did, has all leases looked at again and wakes everyone.
    fn change(&self, change: impl FnOnce(&mut State, u64) -> bool) {
        let now = self.pace.now();
        let mut state = self.lock();
        if change(&mut state, now) {
            self.epoch.0.fetch_add(1, Ordering::Release);
            let seats = state.seats();
            drop(state);
            wake(&seats);
        }
    }
}

/// Outside of the lock: the drop of a waker may drop a task, and with it a stream, which locks.
fn wake(seats: &[Arc<Seat>]) {
    for seat in seats {
        seat.waker.wake();
    }
}

// === impl State ===

impl State {
    /// Whether the grant holds, and for how many nanoseconds more if it has an end. `now` reads the
    /// clock, and only where there is an end.
    fn holds(&self, now: impl FnOnce() -> BootTime) -> Result<Option<u64>, LimitError> {
        if let Some(why) = self.revoked {
            return Err(LimitError::Revoked(why));
        }
        let Some(end) = self.end else { return Ok(None) };
        let left = end.since(now());
        if left.is_zero() {
            return Err(LimitError::Expired);
        }
        Ok(u64::try_from(left.as_nanos()).ok())
    }

    /// Whether a pause has begun; `now` as for [`Self::holds`].
    fn pauses(&self, now: impl FnOnce() -> BootTime) -> bool {
        self.pause.is_some_and(|pause| pause <= now())
    }

    /// Whether time alone may end what is allowed.
    fn is_timed(&self) -> bool {
        self.end.is_some() || self.pause.is_some()
    }

    fn seat(&mut self, seat: Arc<Seat>) -> usize {
        let seated = Some(Seated { seat, granted: 0 });
        self.streams += 1;
        self.requantize();
        let free = self.seats.iter().position(Option::is_none);
        match free.and_then(|who| Some((who, self.seats.get_mut(who)?))) {
            Some((who, place)) => {
                *place = seated;
                who
            }
            None => {
                self.seats.push(seated);
                self.seats.len() - 1
            }
        }
    }

    fn unseat(&mut self, who: usize, moved: u64) {
        if let Some(place) = self.seats.get_mut(who) {
            *place = None;
        }
        self.retired = self.retired.saturating_add(moved);
        self.streams -= 1;
        self.requantize();
    }

    fn requantize(&mut self) {
        self.quantum = self.bucket.quantum(self.streams);
        self.hold_max = self.bucket.hold_max(self.streams);
        self.chunk = self.bucket.chunk();
        self.rest = self.bucket.rest();
    }

    /// Until when a sleep that begins now should last at least.
    fn rests_until(&self, now: u64) -> u64 {
        if now < self.hurries_until { now } else { now.saturating_add(self.rest) }
    }

    fn seats(&self) -> Vec<Arc<Seat>> {
        self.seats.iter().flatten().map(|seated| Arc::clone(&seated.seat)).collect()
    }

    fn serve(&mut self, now: u64) {
        const HURRY_NS: u64 = 1_000_000_000;
        if self.rest > 0 && self.bucket.is_overslept(now) {
            self.hurries_until = now.saturating_add(HURRY_NS);
        }
        let (seats, unclaimed) = (&mut self.seats, &mut self.unclaimed);
        self.bucket.serve(now, self.hold_max, |who, bytes| {
            if let Some(Some(seated)) = seats.get_mut(who) {
                seated.granted = bytes;
                *unclaimed += 1;
            }
        });
    }

    /// Takes all leases back, those not picked up included, and says how many bytes they are. A
    /// stream that moves bytes at this very moment finds them missing when it looks, and owes
    /// them.
    fn recall(&mut self) -> u64 {
        let mut unused = 0;
        for seated in self.seats.iter_mut().flatten() {
            let leased = seated.seat.leased();
            let held = leased.saturating_sub(seated.seat.moved());
            seated.seat.lease(leased - held);
            unused += held + std::mem::take(&mut seated.granted);
        }
        self.unclaimed = 0;
        unused
    }

    fn seated(&mut self, who: usize) -> Option<&mut Seated> {
        self.seats.get_mut(who)?.as_mut()
    }

    /// Whom to wake because `bytes` came back: those who wait, if it brings their turn forward
    /// by more than timers can tell apart.
    fn hastened(&self, bytes: u64) -> Vec<Arc<Seat>> {
        const TIMER_NS: u64 = 1_000_000;
        let felt = self.bucket.span_of(bytes).is_some_and(|ns| ns >= TIMER_NS);
        if felt && self.bucket.waiting() > 0 { self.seats() } else { Vec::new() }
    }
}

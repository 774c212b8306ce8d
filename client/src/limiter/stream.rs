//! A stream of a limiter: its lease, its place in the queue and its timer.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use tokio::time::{Sleep, sleep_until};

use super::park::Parker;
use super::{LimitError, Seat, Shared, State, wake};
use crate::bucket::{MSS, Ticket};
use crate::clock::BootTime;

/// An epoch that never comes: what is leased has to be looked at again in any case.
const OUTDATED: u64 = u64::MAX;

/// One stream of bytes under a [`Limiter`](super::Limiter), with what it has leased.
///
/// Ask with [`Self::lease`] or [`Self::poll_lease`] before bytes are moved, then tell with
/// [`Self::charge`] how many were. A drop gives the unused lease and the place in the queue back.
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    seat: Arc<Seat>,
    lease: Lease,
    moved: u64,
    /// Made by the first wait, so that a stream can be made outside of a runtime.
    sleep: Option<Pin<Box<Sleep>>>,
    /// Wakes the thread that waited last.
    parker: Option<Parker>,
}

#[derive(Debug)]
struct Lease {
    who: usize,
    epoch: u64,
    left: u64,
    /// Bytes charged beyond the lease, to be paid by the next ones.
    owed: u64,
    chunk: u64,
    /// Bytes leased since it last waited for its turn or let others go first.
    streak: u64,
    /// Whether there was an end or a pause to come when it was looked at last.
    timed: bool,
    ticket: Option<Ticket>,
    /// When a sleep for the turn of the ticket should end at the earliest.
    rests_until: u64,
}

/// What a stream that asks for more is to do.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// Move bytes.
    Now,
    /// Let the others run first, and ask again.
    After,
    /// Wait until then; for a wake-up alone if there is no such time.
    Wait(Option<u64>),
}

/// Gives up the place of a [`Stream::lease`] that is dropped.
struct Waiting<'a>(&'a mut Stream);

// === impl Stream ===

impl Stream {
    pub(super) fn new(
        shared: Arc<Shared>,
        seat: Arc<Seat>,
        who: usize,
        (epoch, timed): (u64, bool),
    ) -> Self {
        let lease = Lease {
            who,
            epoch,
            left: 0,
            owed: 0,
            chunk: 0,
            streak: 0,
            timed,
            ticket: None,
            rests_until: 0,
        };
        Self { shared, seat, lease, moved: 0, sleep: None, parker: None }
    }

    pub(super) fn is_of(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.shared, shared)
    }

    /// Waits until bytes may be moved and says how many of `want` it is: at least one, at most a
    /// millisecond of the rate or 256 KiB. Zero wants are granted at once.
    ///
    /// Dropping the future gives up the place in the queue. A loop that drops it often, as in
    /// `select!`, should use [`Self::poll_lease`], which keeps the place.
    ///
    /// # Errors
    ///
    /// The reason why nothing is admitted any longer.
    ///
    /// # Panics
    ///
    /// Where it has to wait outside of a tokio runtime with a timer.
    pub async fn lease(&mut self, want: usize) -> Result<usize, LimitError> {
        let waiting = Waiting(self);
        poll_fn(|cx| waiting.0.poll_lease(cx, want)).await
    }

    /// As [`Self::lease`]; the place in the queue and the lease outlast the call.
    ///
    /// # Errors
    ///
    /// The reason why nothing is admitted any longer.
    ///
    /// # Panics
    ///
    /// Where it has to wait outside of a tokio runtime with a timer.
    #[inline]
    pub fn poll_lease(
        &mut self,
        cx: &mut Context<'_>,
        want: usize,
    ) -> Poll<Result<usize, LimitError>> {
        let bytes = u64::try_from(want).unwrap_or(u64::MAX);
        let current = self.lease.epoch == self.shared.epoch.0.load(Ordering::Relaxed);
        if !(current && self.lease.suffices(bytes)) {
            if want == 0 {
                return Poll::Ready(Ok(0));
            }
            ready!(self.poll_refill(cx, bytes))?;
        }
        let share = bytes.min(self.lease.left).min(self.lease.chunk);
        Poll::Ready(Ok(usize::try_from(share).unwrap_or(usize::MAX)))
    }

    /// Charges `bytes` that were moved. More than was leased is owed: the next leases pay it.
    #[inline]
    pub fn charge(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.moved = self.moved.saturating_add(bytes);
        self.seat.own.0.moved.store(self.moved, Ordering::Relaxed);
        if let Some(left) = self.lease.left.checked_sub(bytes) {
            self.lease.left = left;
        } else {
            let beyond = bytes - std::mem::take(&mut self.lease.left);
            self.lease.owed = self.lease.owed.saturating_add(beyond);
        }
    }

    /// Says that the peer makes the stream wait: the task of `cx` is woken when the grant is
    /// revoked or changed meanwhile, and the next poll looks at the end again before it uses
    /// what is leased.
    pub fn park(&mut self, cx: &Context<'_>) {
        self.seat.waker.register(cx.waker());
        let known = std::mem::replace(&mut self.lease.epoch, OUTDATED);
        if known != OUTDATED && known != self.shared.epoch.0.load(Ordering::Acquire) {
            cx.waker().wake_by_ref();
        }
    }

    /// As [`Self::lease`], for a thread that may wait: it sleeps, and needs no runtime. Not for an
    /// async task, whose runtime would stand still meanwhile, and not where time is paused.
    ///
    /// ```
    /// use tidegate_client::{Burst, Limiter};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limiter = Limiter::new("1Gbit".parse()?, Burst::default());
    /// let mut stream = limiter.stream();
    /// let leased = stream.lease_blocking(4096)?;
    /// stream.charge(leased);
    /// assert_eq!(limiter.moved().bytes(), 4096);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The reason why nothing is admitted any longer.
    pub fn lease_blocking(&mut self, want: usize) -> Result<usize, LimitError> {
        let bytes = u64::try_from(want).unwrap_or(u64::MAX);
        let current = self.lease.epoch == self.shared.epoch.0.load(Ordering::Relaxed);
        if want > 0 && !(current && self.lease.suffices(bytes)) {
            self.wait(bytes).inspect_err(|_| self.parker = None)?;
        }
        let share = bytes.min(self.lease.left).min(self.lease.chunk);
        Ok(usize::try_from(share).unwrap_or(usize::MAX))
    }

    fn wait(&mut self, want: u64) -> Result<(), LimitError> {
        let mut registered = false;
        loop {
            match self.refill(want)? {
                Turn::Now => return Ok(()),
                Turn::After => std::thread::yield_now(),
                Turn::Wait(until) => {
                    let parker = Parker::of_this_thread(&mut self.parker);
                    if registered {
                        parker.sleep(until.map(|ns| self.shared.pace.until(ns)));
                    } else {
                        // As for a task: looks once more for what changed before it registered.
                        self.seat.waker.register(parker.waker());
                        registered = true;
                    }
                }
            }
        }
    }

    /// Whether the grant still holds. After [`Self::park`] the lease is looked at anew; else only
    /// what was set since the last look counts, which costs nothing.
    ///
    /// # Errors
    ///
    /// The reason why nothing is admitted any longer.
    #[inline]
    pub fn check(&mut self) -> Result<(), LimitError> {
        let current = self.lease.epoch == self.shared.epoch.0.load(Ordering::Relaxed);
        if current { Ok(()) } else { self.look() }
    }

    /// Has the end looked at before the rest of the lease is used: time may have passed.
    pub(crate) fn outdate(&mut self) {
        self.lease.epoch = OUTDATED;
    }

    #[inline(never)]
    fn look(&mut self) -> Result<(), LimitError> {
        let now = self.shared.pace.now();
        let mut state = self.shared.lock();
        let epoch = self.shared.epoch.0.load(Ordering::Relaxed);
        self.lease.epoch = epoch;
        self.lease.timed = state.is_timed();
        self.lease.look_again(&self.seat, self.moved);
        let holds = state.holds(BootTime::now).map(drop);
        let hastened = if holds.is_err() {
            self.lease.vacate(&mut state, &self.seat, now)
        } else {
            Vec::new()
        };
        state.note_waiting(now);
        drop(state);
        if holds.is_err() {
            self.lease.epoch = OUTDATED;
        }
        wake(&hastened);
        holds
    }

    #[inline(never)]
    fn poll_refill(&mut self, cx: &mut Context<'_>, want: u64) -> Poll<Result<(), LimitError>> {
        let mut registered = false;
        loop {
            match self.refill(want)? {
                Turn::Now => return Poll::Ready(Ok(())),
                Turn::After => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Turn::Wait(until) if registered => ready!(self.poll_sleep(cx, until)),
                Turn::Wait(_) => {
                    // Registered outside of the lock, because it may drop an older task; so look
                    // once more for what changed in between.
                    self.seat.waker.register(cx.waker());
                    registered = true;
                }
            }
        }
    }

    /// Leases more, or says what to do instead.
    fn refill(&mut self, want: u64) -> Result<Turn, LimitError> {
        let now = self.shared.pace.now();
        // Read before the lock, which others wait for; read once more under it where something
        // changed meanwhile, because an end may have been set that is later than this reading.
        let mut boot = self.lease.timed.then(BootTime::now);
        let mut state = self.shared.lock();
        let epoch = self.shared.epoch.0.load(Ordering::Relaxed);
        if self.lease.epoch != epoch {
            self.lease.epoch = epoch;
            self.lease.timed = state.is_timed();
            boot = None;
            self.lease.look_again(&self.seat, self.moved);
        }
        let boot = || boot.unwrap_or_else(BootTime::now);
        let outcome = self.lease.refill(&mut state, &self.seat, (now, &boot), want);
        let hastened = if outcome.is_err() {
            self.lease.vacate(&mut state, &self.seat, now)
        } else {
            Vec::new()
        };
        state.note_waiting(now);
        drop(state);
        wake(&hastened);
        outcome
    }

    fn poll_sleep(&mut self, cx: &mut Context<'_>, until: Option<u64>) -> Poll<()> {
        let Some(until) = until.and_then(|ns| self.shared.pace.at(ns)) else {
            return Poll::Pending;
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        sleep.as_mut().poll(cx)
    }

    fn vacate(&mut self, leave: impl FnOnce(&mut State)) {
        let now = self.shared.pace.now();
        let mut state = self.shared.lock();
        // A change may have taken the lease back already.
        self.lease.look_again(&self.seat, self.moved);
        let hastened = self.lease.vacate(&mut state, &self.seat, now);
        leave(&mut state);
        state.note_waiting(now);
        drop(state);
        wake(&hastened);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let (who, moved) = (self.lease.who, self.moved);
        self.vacate(|state| state.unseat(who, moved));
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.0.lease.ticket.is_some() {
            self.0.vacate(|_| ());
        }
    }
}

// === impl Lease ===

impl Lease {
    /// Whether it is worth moving bytes without asking for more: all that is wanted, or half a
    /// segment.
    fn suffices(&self, want: u64) -> bool {
        self.left >= want.min(MSS / 2)
    }

    fn refill(
        &mut self,
        state: &mut State,
        seat: &Seat,
        (now, boot): (u64, &dyn Fn() -> BootTime),
        want: u64,
    ) -> Result<Turn, LimitError> {
        let holds = state.holds(boot)?;
        self.chunk = state.chunk;
        if state.pauses(boot) {
            // Whoever ends the pause wakes everyone; the end of all comes without.
            return Ok(Turn::Wait(holds.map(|left| now.saturating_add(left))));
        }
        state.serve(now);
        loop {
            if self.ticket.is_some_and(|ticket| !state.bucket.waits(ticket)) {
                self.ticket = None;
                let granted = self.pick_up(state);
                self.streak = granted;
                self.earn(seat, granted);
            }
            if self.suffices(want) {
                return Ok(Turn::Now);
            } else if let Some(ticket) = self.ticket {
                let due = state.bucket.due(ticket).map(|due| due.max(self.rests_until));
                let end = holds.map(|left| now.saturating_add(left));
                return Ok(Turn::Wait(due.into_iter().chain(end).min()));
            } else if self.is_greedy(state) {
                self.streak = 0;
                self.ticket = Some(state.bucket.join(self.who, state.quantum));
                return Ok(Turn::After);
            } else if state.bucket.take(now, state.quantum) {
                self.streak = self.streak.saturating_add(state.quantum);
                self.earn(seat, state.quantum);
            } else if self.left > 0 {
                return Ok(Turn::Now);
            } else {
                self.ticket = Some(state.bucket.join(self.who, state.quantum));
                self.rests_until = state.rests_until(now);
            }
        }
    }

    /// Whether it had its part while others have theirs still to fetch. Where all overslept there is
    /// much credit at once, and the first to run would take all of it.
    fn is_greedy(&self, state: &State) -> bool {
        state.unclaimed > 0 && self.streak >= state.hold_max
    }

    fn pick_up(&self, state: &mut State) -> u64 {
        let granted =
            state.seated(self.who).map_or(0, |seated| std::mem::take(&mut seated.granted));
        state.unclaimed -= usize::from(granted > 0);
        granted
    }

    fn earn(&mut self, seat: &Seat, bytes: u64) {
        seat.lease(seat.leased() + bytes);
        let paid = bytes.min(self.owed);
        self.owed -= paid;
        self.left += bytes - paid;
    }

    /// What is left of the lease, or owed, by the books that a change of the rate may have
    /// rewritten.
    fn look_again(&mut self, seat: &Seat, moved: u64) {
        let leased = seat.leased();
        self.left = leased.saturating_sub(moved);
        self.owed = moved.saturating_sub(leased);
    }

    /// Gives everything back.
    fn vacate(&mut self, state: &mut State, seat: &Seat, now: u64) -> Vec<Arc<Seat>> {
        let left = std::mem::take(&mut self.left);
        seat.lease(seat.leased() - left);
        let bytes = left + self.pick_up(state);
        let place = self.ticket.take().map_or(0, |ticket| state.bucket.leave(ticket));
        state.bucket.refund(now, bytes);
        state.hastened(bytes + place)
    }
}

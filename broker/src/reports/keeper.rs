//! Keeps the reports: a thread of its own that follows what is published, accounts for each minute when it
//! is over, and writes to the database. Nobody waits for it but who asks for a report.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_policy::{ReservationId, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use super::book::Book;
use super::fact::{Fact, Lost, Reporter};
use super::grain::{Grain, HOUR_MS, MINUTE_MS, floor};
use super::look::Look;
use super::store::{ReportsError, Store};
use crate::clock::Clock;
use crate::config::ReportsConfig;
use crate::status::Failure;
use crate::view::View;

/// A minute is accounted for so long after its end: by then what happened in it has been published.
const LAG_MS: i64 = 5_000;
/// So long is waited for more.
const TOGETHER: Duration = Duration::from_millis(20);
/// How often what is new is written.
const WRITE_EVERY_MS: i64 = 10_000;
/// The most reservations that are walked over under one lock, so that publishing waits less than a
/// millisecond.
const STEP: usize = 256;
/// The most facts that are followed under one lock.
const FACTS: usize = 1024;
/// For whoever asks for a report, everything is accounted for up to now if so few reservations live: it
/// takes a few milliseconds.
const SOON_MAX: usize = 20_000;
/// But at most this often.
const SOON_EVERY_MS: i64 = 1_000;
/// How long whoever asks waits for it.
const SOON_WITHIN: Duration = Duration::from_secs(2);
/// So many reports are made at once: each may take a core for a while.
const AT_ONCE: usize = 4;
/// The most cells that wait for a database that cannot be written.
const PENDING_MAX: usize = 4 << 20;

/// The reports, for whoever asks.
#[derive(Clone, Debug)]
pub(crate) struct Reports {
    shared: Arc<Shared>,
    reporter: Reporter,
    lost: Arc<Lost>,
    turns: Arc<Semaphore>,
}

#[derive(Debug)]
struct Shared {
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    book: Book,
    /// `None` once the broker has stopped.
    store: Option<Store>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Open> {
        // A thread that panicked holding it left at worst a fact half added up.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread begins with.
#[derive(Debug)]
pub(crate) struct Begin {
    pub(crate) store: Store,
    pub(crate) book: Book,
    pub(crate) facts: Receiver<Fact>,
    pub(crate) reporter: Reporter,
    pub(crate) lost: Arc<Lost>,
}

impl Reports {
    /// Starts to keep reports of what is published.
    pub(crate) fn start(
        begin: Begin,
        view: Arc<View>,
        clock: Arc<Clock>,
        config: ReportsConfig,
    ) -> Result<Self, std::io::Error> {
        let Begin { store, book, facts, reporter, lost } = begin;
        let open = Mutex::new(Open { book, store: Some(store) });
        let shared = Arc::new(Shared { open });
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let reports =
            Self { shared: Arc::clone(&shared), reporter, lost: Arc::clone(&lost), turns };
        let keeper = Keeper { shared, view, clock, config, facts, lost, times: Times::default() };
        std::thread::Builder::new().name("reports".into()).spawn(move || keeper.run())?;
        Ok(reports)
    }

    /// Waits for a turn to make a report.
    ///
    /// # Errors
    /// [`Failure::Shed`] if there is none in time.
    pub(crate) async fn turn(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Failure> {
        let turn = tokio::time::timeout_at(deadline, Arc::clone(&self.turns).acquire_owned()).await;
        turn.map_err(|_| Failure::Shed)?.map_err(|_| Failure::Stopped)
    }

    /// Waits until everything before now is accounted for, where that does not take long.
    pub(crate) async fn soon(&self) {
        let (done, told) = oneshot::channel();
        if self.reporter.tell(Fact::Advance(done)) {
            drop(tokio::time::timeout(SOON_WITHIN, told).await);
        }
    }

    /// What is kept, as it stays while it is looked at.
    pub(crate) fn look(&self) -> Result<Look, ReportsError> {
        let mut open = self.shared.lock();
        let Open { book, store } = &mut *open;
        let pending = Arc::clone(book.settled());
        let stored = store.as_ref().ok_or(ReportsError::Ended)?.read()?;
        Ok(Look::new(stored, pending, Arc::clone(book.names()), book.range()))
    }

    /// Tells what somebody measured. Returns whether it found a place.
    pub(crate) fn tell(&self, fact: Fact) -> bool {
        self.reporter.tell(fact)
    }

    /// How many facts found no place since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.count()
    }

    /// Writes everything down and closes the database.
    pub(crate) async fn stop(&self) {
        let (done, told) = oneshot::channel();
        if self.reporter.tell(Fact::Stop(done)) {
            drop(tokio::time::timeout(SOON_WITHIN, told).await);
        }
        self.shared.lock().store = None;
    }
}

/// When what was done last, in milliseconds.
#[derive(Debug, Default)]
struct Times {
    advanced: i64,
    wrote: i64,
    pruned: i64,
    /// A write that failed was told of.
    complained: bool,
}

struct Keeper {
    shared: Arc<Shared>,
    view: Arc<View>,
    clock: Arc<Clock>,
    config: ReportsConfig,
    facts: Receiver<Fact>,
    lost: Arc<Lost>,
    times: Times,
}

impl Keeper {
    fn run(mut self) {
        self.reconcile();
        loop {
            let first = match self.facts.recv_timeout(self.wait()) {
                Ok(first @ (Fact::Advance(_) | Fact::Stop(_))) => Some(first),
                Ok(first) => {
                    // What is published one by one is followed together.
                    std::thread::sleep(TOGETHER);
                    Some(first)
                }
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let (waiting, stop) = self.follow(first);
            if self.lost.take() {
                self.reconcile();
            }
            let now = self.clock.now().as_ms();
            let due = floor(now.saturating_sub(LAG_MS), MINUTE_MS);
            let (_, until) = self.shared.lock().book.range();
            let few = self.view.read().machine.live_reservations() <= SOON_MAX;
            let soon = !waiting.is_empty()
                && few
                && SOON_EVERY_MS <= now.saturating_sub(self.times.advanced);
            if soon || stop.is_some() {
                self.advance(now);
            } else if until < due {
                self.advance(due);
            }
            for it in waiting {
                it.send(()).ok();
            }
            if WRITE_EVERY_MS <= now.saturating_sub(self.times.wrote) || stop.is_some() {
                self.write(now);
            }
            if let Some(stop) = stop {
                self.shared.lock().store = None;
                stop.send(()).ok();
                return;
            }
        }
    }

    /// How long until something is to be done.
    fn wait(&self) -> Duration {
        let now = self.clock.now().as_ms();
        let next = floor(now.saturating_sub(LAG_MS), MINUTE_MS) + MINUTE_MS + LAG_MS;
        let next = next.min(self.times.wrote.saturating_add(WRITE_EVERY_MS)).saturating_sub(now);
        Duration::from_millis(u64::try_from(next).unwrap_or(0).clamp(10, MINUTE_MS.unsigned_abs()))
    }

    /// Follows what waits. Returns who wants to hear when everything is accounted for, and who stops.
    fn follow(
        &mut self,
        first: Option<Fact>,
    ) -> (Vec<oneshot::Sender<()>>, Option<oneshot::Sender<()>>) {
        let (mut waiting, mut stop) = (Vec::new(), None);
        let mut next = first;
        while let Some(fact) = next.take().or_else(|| self.facts.try_recv().ok()) {
            let published = self.view.read();
            let mut open = self.shared.lock();
            let mut fact = Some(fact);
            for _ in 0..FACTS {
                match fact {
                    Some(Fact::Advance(done)) => waiting.push(done),
                    Some(Fact::Stop(done)) => stop = Some(done),
                    Some(fact) => open.book.follow(&published.machine, &fact),
                    None => break,
                }
                fact = self.facts.try_recv().ok();
            }
            next = fact;
        }
        (waiting, stop)
    }

    /// Accounts for everything before an instant.
    fn advance(&mut self, to: i64) {
        let Some(to) = Timestamp::from_ms(to) else { return };
        self.times.advanced = to.as_ms();
        let mut done = false;
        let mut begun = false;
        while !done {
            let published = self.view.read();
            let mut open = self.shared.lock();
            // What is told of was published before: what the walk sees has been followed.
            for fact in self.facts.try_iter() {
                match fact {
                    Fact::Advance(done) => done.send(()).unwrap_or_default(),
                    fact => open.book.follow(&published.machine, &fact),
                }
            }
            if !begun {
                open.book.begin(&published.machine, to);
                begun = true;
            }
            done = open.book.step(&published.machine, STEP);
        }
    }

    /// Makes good what was not heard of.
    fn reconcile(&mut self) {
        let now = self.clock.now();
        let mut last: Option<ReservationId> = None;
        loop {
            let published = self.view.read();
            let mut open = self.shared.lock();
            last = open.book.reconcile(&published.machine, (last, STEP), now);
            if last.is_none() {
                open.book.forget_unknown(&published.machine);
                return;
            }
        }
    }

    fn write(&mut self, now: i64) {
        self.times.wrote = now;
        let prune = HOUR_MS <= now.saturating_sub(self.times.pruned);
        let mut open = self.shared.lock();
        let Open { book, store } = &mut *open;
        let Some(store) = store else { return };
        let (range, pending) = (book.range(), Arc::clone(book.settled()));
        let written = store.write(&pending, range);
        let too_many = PENDING_MAX < pending.cells.len();
        drop(pending);
        match &written {
            Ok(()) => book.written(),
            Err(error) if !self.times.complained => {
                tracing::error!(%error, "reports cannot be written; it is tried again");
            }
            Err(_) => {}
        }
        self.times.complained = written.is_err();
        if written.is_err() && too_many {
            tracing::error!("reports of a while are dropped, because they cannot be written");
            book.written();
        }
        if prune && written.is_ok() {
            self.times.pruned = now;
            let before = Grain::ALL.map(|grain| grain.kept_from(&self.config, now));
            let kept = self.config.reservations_kept.as_ms();
            let closed = now.saturating_sub(i64::try_from(kept).unwrap_or(i64::MAX));
            if let Err(error) = store.prune(before, closed) {
                tracing::error!(%error, "what is old of the reports cannot be dropped");
            }
        }
    }
}

//! Snapshots while the broker serves, and dropping the batches that they replace.
//!
//! A thread of its own makes them, and it takes nothing from those who serve: not the writer's
//! state, not the published one, no lock. It reads what is on disk, the snapshot before and the
//! batches since, follows them as a restart would, and writes down where that leads. Admissions
//! share the disk and the processors with it, and it gives way on both.
//!
//! Batches are dropped up to the snapshot before the newest, which is the one that the newest was
//! just made from: nothing is dropped before what replaces it was read back and built upon. The
//! recorder drops them, few at a time between its appends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use thiserror::Error;
use tidegate_core::Limits;
use tokio::sync::{mpsc, oneshot};

use crate::config::SnapshotConfig;
use crate::durable;
use crate::journal::{JournalError, Readers, Seq, Truncation};
use crate::meters::Meters;
use crate::recorder::Decided;
use crate::replay::{self, ReplayError, Replayed, Stop};

/// Why a snapshot was not made. Nothing is lost by it: the older ones and all batches are there.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// The journal does not lead to a state.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The journal cannot be read, or the snapshot not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Nobody makes any.
    #[error("no snapshot is made: the broker is stopping")]
    Stopped,
}

impl SnapshotError {
    /// Whether it was only broken off, because the broker stops.
    pub(crate) fn is_a_stop(&self) -> bool {
        matches!(self, Self::Stopped | Self::Replay(ReplayError::Stopped))
    }
}

/// A snapshot that was made.
#[derive(Debug, Clone, Copy)]
pub struct Made {
    /// The last batch in it.
    pub seq: Seq,
    /// Its size.
    pub bytes: u64,
    /// What may be dropped now; nothing while there is no snapshot before it.
    pub truncation: Option<Truncation>,
}

/// Makes a snapshot of what is durable now.
///
/// # Errors
/// [`SnapshotError`]: what is in the way.
pub fn make(readers: &Readers, limits: &Limits, stop: Stop<'_>) -> Result<Made, SnapshotError> {
    let journal = readers.open()?;
    let replayed = replay::replay(&*journal, limits, stop)?;
    let Replayed { machine, snapshot, snapshot_bytes, head, batches, .. } = replayed;
    if snapshot.is_some() && batches == 0 {
        return Ok(Made { seq: head, bytes: snapshot_bytes, truncation: None });
    }
    let bytes = durable::image::encode(&machine.into_image());
    journal.prepare_snapshot()?.write(&bytes)?;
    let truncation = snapshot.map(|before| journal.permit_truncation(before)).transpose()?;
    let bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Ok(Made { seq: head, bytes, truncation })
}

/// Where the answer to an order goes.
type Done = oneshot::Sender<Result<Made, SnapshotError>>;

#[derive(Debug)]
enum Order {
    Make(Option<Done>),
    Stop,
}

/// Asks for snapshots out of turn.
#[derive(Debug, Clone)]
pub(crate) struct Orders(SyncSender<Order>);

impl Orders {
    /// Asks for one and waits for it.
    pub(crate) async fn make(&self) -> Result<Made, SnapshotError> {
        let (done, made) = oneshot::channel();
        // The queue has one place; whoever finds it taken waits on a thread that may block.
        let orders = self.0.clone();
        let sent = tokio::task::spawn_blocking(move || orders.send(Order::Make(Some(done))));
        match sent.await {
            Ok(Ok(())) => made.await.unwrap_or(Err(SnapshotError::Stopped)),
            Ok(Err(_)) | Err(_) => Err(SnapshotError::Stopped),
        }
    }
}

/// Decides when a snapshot is due, and keeps the thread that makes them.
#[derive(Debug)]
pub(crate) struct Snapshots {
    config: SnapshotConfig,
    orders: SyncSender<Order>,
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
    /// What was appended since the last one was ordered.
    batches: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    /// The size of the last snapshot.
    last_bytes: AtomicU64,
}

/// What the thread works with.
#[derive(Debug)]
struct Worker {
    readers: Readers,
    limits: Limits,
    shared: Arc<Shared>,
    orders: Receiver<Order>,
    /// Where truncations go. Weak, so that the recorder ends with the writer.
    recorder: mpsc::WeakSender<Decided>,
    meters: Arc<Meters>,
}

impl Snapshots {
    /// Starts the thread; `replayed` says how long ago the last snapshot was.
    pub(crate) fn start(
        config: SnapshotConfig,
        (readers, limits): (Readers, Limits),
        replayed: &Replayed,
        recorder: mpsc::WeakSender<Decided>,
        meters: Arc<Meters>,
    ) -> Result<Self, std::io::Error> {
        let (orders, taken) = sync_channel(1);
        let last_bytes = AtomicU64::new(replayed.snapshot_bytes);
        let shared = Arc::new(Shared { stop: AtomicBool::new(false), last_bytes });
        meters.snapshot_stands(replayed.snapshot_bytes);
        let of_all = Arc::clone(&shared);
        let worker = Worker { readers, limits, shared: of_all, orders: taken, recorder, meters };
        let thread = thread::Builder::new().name("snapshots".into()).spawn(|| worker.run())?;
        let (batches, bytes) = (replayed.batches, replayed.batch_bytes);
        Ok(Self { config, orders, thread, shared, batches, bytes })
    }

    pub(crate) fn orders(&self) -> Orders {
        Orders(self.orders.clone())
    }

    /// Counts a batch that was appended, and orders a snapshot if that makes one due.
    pub(crate) fn appended(&mut self, bytes: usize) {
        self.batches = self.batches.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if !self.due() {
            return;
        }
        match self.orders.try_send(Order::Make(None)) {
            Ok(()) => (self.batches, self.bytes) = (0, 0),
            // One is being made and another waits: the next batch asks again.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    fn due(&self) -> bool {
        // A large state is not written again for a little that was appended to it.
        let last = self.shared.last_bytes.load(Ordering::Relaxed);
        let enough = self.config.after_bytes.bytes().max(last / 2);
        self.config.after_batches <= self.batches || enough <= self.bytes
    }

    /// Breaks off what is being made and waits for the thread to end.
    pub(crate) fn stop(self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if self.orders.send(Order::Stop).is_err() {
            tracing::debug!("the thread that makes snapshots has ended already");
        }
        if self.thread.join().is_err() {
            tracing::error!("the thread that makes snapshots panicked; report it");
        }
    }
}

/// How far the thread gives way to everybody else, as `nice` counts it.
const NICE: i32 = 15;

impl Worker {
    fn run(self) {
        // On Linux this is a thread's own; where it is refused, snapshots are only less polite.
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!(%error, "snapshots are made at the usual priority");
        }
        while let Ok(Order::Make(done)) = self.orders.recv() {
            let made = self.make();
            self.meters.snapshot(&made);
            match (made, done) {
                (made, Some(done)) => drop(done.send(made)),
                (Ok(_), None) => {}
                (Err(SnapshotError::Replay(ReplayError::Stopped)), None) => {}
                (Err(error), None) => tracing::warn!(%error, "no snapshot was made"),
            }
        }
    }

    fn make(&self) -> Result<Made, SnapshotError> {
        let stop = || self.shared.stop.load(Ordering::Relaxed);
        let made = make(&self.readers, &self.limits, &stop)?;
        self.shared.last_bytes.store(made.bytes, Ordering::Relaxed);
        tracing::info!(batches = %made.seq, bytes = made.bytes, "snapshot made");
        if let (Some(truncation), Some(recorder)) = (made.truncation, self.recorder.upgrade())
            && recorder.blocking_send(Decided::truncation(truncation)).is_err()
        {
            return Err(SnapshotError::Stopped);
        }
        Ok(made)
    }
}

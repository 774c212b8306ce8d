//! The recorder: makes decided batches durable, publishes them, and only then answers.
//!
//! It runs on a thread of its own, because a sync blocks. Whatever the writer decided during the
//! last sync goes into the next one together: under load, hundreds of changes share one.

use std::sync::Arc;
use std::thread;

use thiserror::Error;
use tidegate_core::{Change, Corrupt, Event, Note, Plan, Route};
use tokio::sync::{mpsc, oneshot};

use crate::durable;
use crate::journal::{Journal, JournalError, MAX_BATCH_BYTES, Seq, Truncation};
use crate::snapshots::Snapshots;
use crate::view::View;

/// What the writer decided at one reading of the clock.
#[derive(Default)]
pub(crate) struct Decided {
    pub(crate) events: Vec<Event>,
    pub(crate) notes: Vec<Note>,
    answers: Vec<Box<dyn FnOnce() + Send>>,
    /// How many bookings the events carry, which is what makes them large.
    bookings: usize,
    truncation: Option<Truncation>,
}

impl std::fmt::Debug for Decided {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Decided({} events, {} answers)", self.events.len(), self.answers.len())
    }
}

impl Decided {
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.notes.is_empty() && self.answers.is_empty()
    }

    /// Adds what happened.
    pub(crate) fn happened(&mut self, events: Vec<Event>) {
        self.bookings += events.iter().map(bookings).sum::<usize>();
        self.events.extend(events);
    }

    /// No decision: batches to drop when there is time.
    pub(crate) fn truncation(permit: Truncation) -> Self {
        Self { truncation: Some(permit), ..Self::default() }
    }

    /// Answers once all of this is durable.
    pub(crate) fn answer(&mut self, answer: impl FnOnce() + Send + 'static) {
        self.answers.push(Box::new(answer));
    }

    /// Makes a piece of what was decided so far, if much more might not fit into one append.
    pub(crate) fn break_off(&mut self, pieces: &mut Vec<Self>) {
        let whole_topology =
            self.events.iter().any(|event| matches!(event.change, Change::TopologyApplied { .. }));
        let full = EVENTS_MAX <= self.events.len() || BOOKINGS_MAX <= self.bookings;
        if full || whole_topology {
            pieces.push(std::mem::take(self));
        }
    }

    fn merge(&mut self, later: Self) {
        self.happened(later.events);
        self.notes.extend(later.notes);
        self.answers.extend(later.answers);
        self.truncation = later.truncation.or(self.truncation);
    }
}

/// Why the recorder stopped. What was not answered is unknown to its askers until they ask again.
#[derive(Debug, Error)]
pub enum RecorderError {
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The published state could not follow: a fault of this program.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// The thread panicked: a fault of this program.
    #[error("the recorder panicked; this is a fault of the broker, restart it and report it")]
    Panicked,
}

/// The most decided batches that wait for a sync; the writer waits past that.
pub(crate) const WAITING_MAX: usize = 64;

/// The most bytes of plans that one decision makes: with a piece before it, half of an append.
pub(crate) const DECISION_MAX: usize = 8 << 20;

/// Whether what one decision brings about fits into one append.
pub(crate) fn fits(events: &[Event]) -> bool {
    events.iter().map(plan_bytes).fold(0, usize::saturating_add) <= DECISION_MAX
}

/// What the plan of an event takes in the journal, at most.
fn plan_bytes(event: &Event) -> usize {
    /// Around each segment, lane and relay, and around each way.
    const FRAME: usize = 32;
    const WAY: usize = 512;
    let plan = match &event.change {
        Change::Reserved(reserved) => &reserved.plan,
        Change::Moved(moved) => &moved.plan,
        _ => return 0,
    };
    let ways = plan.ways.iter().map(|way| {
        let lanes = way.lanes.iter().map(|lane| lane.as_str().len().saturating_add(FRAME));
        let named = match &way.route {
            Route::Between { via, steers, .. } => {
                via.len().saturating_add(steers.len().saturating_mul(8)).saturating_mul(2 * FRAME)
            }
            Route::Lanes(lanes) => {
                lanes.iter().map(|lane| lane.as_str().len().saturating_add(FRAME)).sum()
            }
        };
        lanes.fold(WAY.saturating_add(named), usize::saturating_add)
    });
    /// The longest that a number is.
    const NUMBER: usize = 10;
    let segments = plan.segments.iter().map(|segment| {
        segment.amounts.len().saturating_add(4).saturating_mul(NUMBER).saturating_add(FRAME)
    });
    ways.chain(segments).fold(0, usize::saturating_add)
}

/// The most events, and the most bookings of them together, of a piece before the decision that
/// passes it: so many and those of one decision more fit into one append.
const EVENTS_MAX: usize = 1024;
const BOOKINGS_MAX: usize = 16 << 10;

fn bookings(event: &Event) -> usize {
    match &event.change {
        Change::Reserved(reserved) => pieces(&reserved.plan),
        Change::Moved(moved) => pieces(&moved.plan),
        Change::Modified(modified) => modified.booked.len() + modified.kept.len(),
        _ => 0,
    }
}

/// A segment and its amounts take no more room than a lane's name for each.
fn pieces(plan: &Plan) -> usize {
    let segments = plan.segments.iter().map(|segment| segment.amounts.len().saturating_add(1));
    segments.fold(plan.lanes().count(), usize::saturating_add)
}

/// The most batches that are dropped between two appends: it takes about as long as one of them.
const TRUNCATE_MAX: u64 = 1024;

/// Starts the recorder. The receiver yields when it ends: at once when the writer is gone, or with
/// the error that stopped it.
pub(crate) fn start(
    mut journal: Box<dyn Journal>,
    view: Arc<View>,
    mut snapshots: Snapshots,
    decided: mpsc::Receiver<Decided>,
) -> Result<oneshot::Receiver<Result<(), RecorderError>>, std::io::Error> {
    let (ended, end) = oneshot::channel();
    thread::Builder::new().name("recorder".into()).spawn(move || {
        let result = record(&mut *journal, &view, &mut snapshots, decided);
        snapshots.stop();
        // The directory is free again before anybody hears that the broker has ended.
        drop(journal);
        drop(ended.send(result));
    })?;
    Ok(end)
}

fn record(
    journal: &mut dyn Journal,
    view: &View,
    snapshots: &mut Snapshots,
    mut decided: mpsc::Receiver<Decided>,
) -> Result<(), RecorderError> {
    let mut carried: Option<Encoded> = None;
    let mut truncation: Option<Truncation> = None;
    loop {
        // While there is something to drop, nobody is waited for.
        let next = match carried.take() {
            Some(carried) => Some(carried),
            None if truncation.is_some() => decided.try_recv().ok().map(Encoded::new),
            None => match decided.blocking_recv() {
                Some(first) => Some(Encoded::new(first)),
                None => return Ok(()),
            },
        };
        if let Some(first) = next {
            let (Encoded { decided: batch, bytes }, left) = gather(first, &mut decided);
            carried = left;
            if !batch.events.is_empty() {
                let next = journal.head().next();
                journal.append(journal.epoch(), next, &bytes)?;
                snapshots.appended(bytes.len());
            }
            let Seq(head) = journal.head();
            view.publish(&batch.events, &batch.notes, head)?;
            for answer in batch.answers {
                answer();
            }
            truncation = batch.truncation.or(truncation);
        }
        if let Some(permit) = truncation
            && !journal.truncate_some(&permit, TRUNCATE_MAX)?
        {
            truncation = None;
        }
    }
}

/// What was decided, and the bytes of its events.
struct Encoded {
    decided: Decided,
    bytes: Vec<u8>,
}

impl Encoded {
    fn new(decided: Decided) -> Self {
        let bytes = durable::encode(&decided.events);
        Self { decided, bytes }
    }
}

/// Whatever waits goes along as far as it fits, and what does not is left for the next append:
/// encoded batches one behind the other are the encoded batch of all their events.
fn gather(mut first: Encoded, waiting: &mut mpsc::Receiver<Decided>) -> (Encoded, Option<Encoded>) {
    while let Ok(later) = waiting.try_recv().map(Encoded::new) {
        if MAX_BATCH_BYTES < first.bytes.len().saturating_add(later.bytes.len()) {
            return (first, Some(later));
        }
        first.bytes.extend(later.bytes);
        first.decided.merge(later.decided);
    }
    (first, None)
}

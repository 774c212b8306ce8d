//! The recorder: makes decided batches durable, publishes them, and only then answers.
//!
//! It runs on a thread of its own, because a sync blocks. Whatever the writer decided during the
//! last sync goes into the next one together: under load, hundreds of changes share one.

use std::sync::Arc;
use std::thread;

use thiserror::Error;
use tidegate_core::{Change, Corrupt, Event, Note};
use tokio::sync::{mpsc, oneshot};

use crate::durable;
use crate::journal::{Journal, JournalError, MAX_BATCH_BYTES, Seq};
use crate::view::View;

/// What the writer decided at one reading of the clock.
#[derive(Default)]
pub(crate) struct Decided {
    pub(crate) events: Vec<Event>,
    pub(crate) notes: Vec<Note>,
    answers: Vec<Box<dyn FnOnce() + Send>>,
    /// How many bookings the events carry, which is what makes them large.
    bookings: usize,
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

/// The most events, and the most bookings of them together, of a piece before the decision that
/// passes it: so many and those of one decision more fit into one append.
const EVENTS_MAX: usize = 1024;
const BOOKINGS_MAX: usize = 16 << 10;

fn bookings(event: &Event) -> usize {
    match &event.change {
        Change::Reserved(reserved) => reserved.booked.len(),
        Change::Modified(modified) => modified.booked.len() + modified.kept.len(),
        _ => 0,
    }
}

/// Starts the recorder. The receiver yields when it ends: at once when the writer is gone, or with
/// the error that stopped it.
pub(crate) fn start(
    mut journal: Box<dyn Journal>,
    view: Arc<View>,
    decided: mpsc::Receiver<Decided>,
) -> Result<oneshot::Receiver<Result<(), RecorderError>>, std::io::Error> {
    let (ended, end) = oneshot::channel();
    thread::Builder::new().name("recorder".into()).spawn(move || {
        let result = record(&mut *journal, &view, decided);
        // The directory is free again before anybody hears that the broker has ended.
        drop(journal);
        drop(ended.send(result));
    })?;
    Ok(end)
}

fn record(
    journal: &mut dyn Journal,
    view: &View,
    mut decided: mpsc::Receiver<Decided>,
) -> Result<(), RecorderError> {
    let encoded = |piece: Decided| {
        let bytes = durable::encode(&piece.events);
        (piece, bytes)
    };
    let mut carried: Option<(Decided, Vec<u8>)> = None;
    while let Some((mut batch, mut bytes)) =
        carried.take().or_else(|| decided.blocking_recv().map(encoded))
    {
        // Whatever waits goes along as far as it fits: encoded batches one behind the other are
        // the encoded batch of all their events.
        while let Ok((later, more)) = decided.try_recv().map(encoded) {
            if MAX_BATCH_BYTES < bytes.len().saturating_add(more.len()) {
                carried = Some((later, more));
                break;
            }
            bytes.extend(more);
            batch.merge(later);
        }
        if !batch.events.is_empty() {
            let next = journal.head().next();
            journal.append(journal.epoch(), next, &bytes)?;
        }
        let Seq(head) = journal.head();
        view.publish(&batch.events, &batch.notes, head)?;
        for answer in batch.answers {
            answer();
        }
    }
    Ok(())
}

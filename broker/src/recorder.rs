//! The recorder: makes decided batches durable, publishes them, and only then answers.
//!
//! It runs on a thread of its own, because a sync blocks. Whatever the writer decided during the
//! last sync goes into the next one together: under load, hundreds of changes share one.

use std::sync::Arc;
use std::thread;

use thiserror::Error;
use tidegate_core::lane::LaneName;
use tidegate_core::{Change, Command, Corrupt, Event, Note, Plan, Route, Ways};
use tokio::sync::{mpsc, oneshot};
use tracing::Span;

use crate::clock;
use crate::durable;
use crate::journal::{Journal, JournalError, MAX_BATCH_BYTES, Seq, Truncation};
use crate::meters::Meters;
use crate::reports::refused::Refused;
use crate::snapshots::Snapshots;
use crate::trace::append::{self, Append};
use crate::view::View;

/// What the writer decided at one reading of the clock.
#[derive(Default)]
pub(crate) struct Decided {
    pub(crate) events: Vec<Event>,
    pub(crate) notes: Vec<Note>,
    /// What was refused, as reports have it.
    pub(crate) refused: Vec<Refused>,
    answers: Vec<(Span, Box<dyn FnOnce() + Send>)>,
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

    /// Makes a piece of what was decided so far, if what is asked next may fill an append by itself.
    pub(crate) fn break_off_before(&mut self, command: &Command, pieces: &mut Vec<Self>) {
        let large = matches!(command, Command::ApplyTopology { .. } | Command::ApplyPolicy(_));
        if large && !self.is_empty() {
            pieces.push(std::mem::take(self));
        }
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

    /// Answers once all of this is durable whoever asked in this span.
    pub(crate) fn answer(&mut self, request: Span, answer: impl FnOnce() + Send + 'static) {
        self.answers.push((request, Box::new(answer)));
    }

    /// Makes a piece of what was decided so far, if much more might not fit into one append.
    pub(crate) fn break_off(&mut self, pieces: &mut Vec<Self>) {
        let large = self.events.iter().any(is_large);
        let full = EVENTS_MAX <= self.events.len() || BOOKINGS_MAX <= self.bookings;
        if full || large {
            pieces.push(std::mem::take(self));
        }
    }

    fn merge(&mut self, later: Self) {
        self.happened(later.events);
        self.notes.extend(later.notes);
        self.refused.extend(later.refused);
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

/// Whether what one decision brings about fits into one append. Topologies are bounded where they are
/// taken.
pub(crate) fn fits(events: &[Event]) -> bool {
    let bytes = events.iter().map(|event| plan_bytes(event).saturating_add(policy_bytes(event)));
    bytes.fold(0, usize::saturating_add) <= DECISION_MAX
}

/// Whether it may be nearly as large as an append.
fn is_large(event: &Event) -> bool {
    matches!(event.change, Change::TopologyApplied { .. } | Change::PolicyApplied { .. })
}

/// What a change of projects takes in the journal: in a batch as in a snapshot, where it stands once more
/// as an answer.
fn policy_bytes(event: &Event) -> usize {
    match &event.change {
        Change::PolicyApplied { .. } => durable::encode(std::slice::from_ref(event)).len(),
        _ => 0,
    }
}

/// What an event with a plan takes in the journal, at most.
fn plan_bytes(event: &Event) -> usize {
    /// Around each name, with room for a short one.
    const NAMED: usize = 80;
    /// The longest that a number is, behind its tag.
    const NUMBER: usize = 12;
    /// Around each segment, way and event.
    const FRAME: usize = 64;
    let lanes = |lanes: &[LaneName]| {
        let each = lanes.iter().map(|lane| lane.as_str().len().saturating_add(NUMBER));
        each.fold(0, usize::saturating_add)
    };
    let (plan, promise, labels) = match &event.change {
        Change::Reserved(reserved) => {
            let labels = reserved.owner.labels.iter();
            let each = labels.map(|(key, value)| key.len().saturating_add(value.len()));
            let bytes = each.map(|bytes| bytes.saturating_add(NUMBER));
            let bytes = bytes.fold(0, usize::saturating_add);
            (&reserved.plan, reserved.promise.as_deref(), bytes)
        }
        Change::Moved(moved) => (&moved.plan, None, 0),
        _ => return 0,
    };
    let ways = plan.ways.iter().map(|way| {
        let named = match &way.route {
            Route::Between { via, steers, .. } => {
                let names = steers.len().saturating_mul(4).saturating_add(via.len());
                names.saturating_add(2).saturating_mul(2 * NAMED)
            }
            Route::Lanes(named) => lanes(named),
        };
        lanes(&way.lanes).saturating_add(named).saturating_add(FRAME)
    });
    let segments = plan.segments.iter().map(|segment| {
        segment.amounts.len().saturating_add(4).saturating_mul(NUMBER).saturating_add(FRAME)
    });
    let promised = promise.map(|promise| match &promise.ways {
        Ways::Between { sources, via, .. } => {
            sources.len().saturating_add(via.len()).saturating_add(2).saturating_mul(2 * NAMED)
        }
        Ways::Lanes(named) => lanes(named),
    });
    let parts = ways.chain(segments).chain(promised).chain([10 * NAMED, labels]);
    parts.fold(FRAME, usize::saturating_add)
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
    meters: Arc<Meters>,
) -> Result<oneshot::Receiver<Result<(), RecorderError>>, std::io::Error> {
    let (ended, end) = oneshot::channel();
    thread::Builder::new().name("recorder".into()).spawn(move || {
        let result = record(&mut *journal, &view, &mut snapshots, decided, &meters);
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
    meters: &Meters,
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
            let appended = !batch.events.is_empty();
            if appended {
                let next = journal.head().next();
                let begun = clock::uptime();
                let requests = batch.answers.iter().map(|(request, _)| request);
                let append = Append::begin(next, (batch.events.len(), bytes.len()), requests);
                journal.append(journal.epoch(), next, &bytes)?;
                append.end();
                meters.appended(clock::uptime().saturating_sub(begun), &batch.events, bytes.len());
                snapshots.appended(bytes.len());
            }
            let Seq(head) = journal.head();
            view.publish(&batch.events, &batch.notes, batch.refused, head)?;
            for (request, answer) in batch.answers {
                if appended {
                    append::answers(&request, Seq(head));
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::event::{MoveWhy, Moved};
    use tidegate_core::{PlanWay, Segment};
    use tidegate_policy::{BitRate, Interval, ReservationId, Timestamp};

    /// A move of a plan with numbers and names as long as they get.
    fn moved(ways: usize, lanes: usize, segments: usize) -> Event {
        let lane = LaneName::new(&"l".repeat(200));
        let from = Timestamp::from_ms(Timestamp::MAX.as_ms() - 1).unwrap();
        let route = Route::Between {
            source: format!("storage/{}", "s".repeat(63)).parse().unwrap(),
            destination: format!("hosts/{}", "h".repeat(63)).parse().unwrap(),
            via: vec!["r".repeat(63).parse().unwrap(); 8],
            path: Some(3),
            steers: Vec::new(),
        };
        let way = PlanWay { route, lanes: vec![lane; lanes] };
        let segment = Segment {
            way: ways - 1,
            over: Interval::new(from, Timestamp::MAX).unwrap(),
            rate: BitRate::MAX,
            amounts: vec![u64::MAX; lanes],
        };
        let plan = Plan { ways: vec![way; ways], segments: vec![segment; segments] };
        let id = ReservationId::from_u128(u128::MAX);
        let change = Change::Moved(Moved::new(id, from, plan, MoveWhy::Preempted).into());
        Event { at: from, request: None, change }
    }

    #[test]
    fn no_event_takes_more_than_it_is_taken_for() {
        for (ways, lanes, segments) in [(1, 0, 1), (1, 1, 1), (64, 20, 64), (1, 256, 1024)] {
            let event = moved(ways, lanes, segments);
            let bytes = durable::encode(std::slice::from_ref(&event)).len();
            let taken_for = plan_bytes(&event);
            assert!(bytes <= taken_for, "{bytes} bytes, {taken_for} at most");
            assert!(taken_for <= 8 * bytes.max(256), "{bytes} bytes, {taken_for} at most");
        }
    }

    #[test]
    fn what_fits_goes_into_an_append_with_a_piece_before_it() {
        let moves = vec![moved(4, 10, 16); 400];
        assert!(fits(&moves) && durable::encode(&moves).len() <= DECISION_MAX);
        assert!(!fits(&vec![moved(64, 20, 64); 100]));
        let before = vec![moved(1, 200, 1); BOOKINGS_MAX / 401];
        let full = durable::encode(&before).len() + DECISION_MAX;
        assert!(full <= MAX_BATCH_BYTES, "{full}");
    }
}

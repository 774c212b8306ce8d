//! What this process counts and measures since it began. Whoever wants to know what stands asks the
//! ledger: [`crate::web::metrics`].

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tidegate_core::event::CloseWhy;
use tidegate_core::{Answer, Change, Event, Reason};
use tidegate_proto::v1;

use crate::convert::reply;
use crate::snapshots::{Made, SnapshotError};
use crate::status::{self, Failure};
use crate::writer::Answered;

type Label = (&'static str, &'static str);

/// Counters and histograms. A label of one takes its values from a list that the code knows.
#[derive(Debug)]
pub(crate) struct Meters {
    decided: Family<[Label; 2], Counter>,
    admission: Histogram,
    shed: Counter,
    append: Histogram,
    batch: Histogram,
    appended: Counter,
    closed: Family<[Label; 1], Counter>,
    sessions: Family<[Label; 1], Counter>,
    snapshots: Family<[Label; 1], Counter>,
    snapshot_bytes: Gauge,
}

const REASONS: [Reason; 11] = [
    Reason::RuleDenied,
    Reason::ClassNotAllowed,
    Reason::AboveQuota,
    Reason::QuotaExhausted,
    Reason::NoTier,
    Reason::NoPath,
    Reason::RateAboveCapacity,
    Reason::Drained,
    Reason::NoHeadroom,
    Reason::OthersRefused,
    Reason::OtherTaken,
];
const CLOSES: [CloseWhy; 7] = [
    CloseWhy::Completed,
    CloseWhy::Released,
    CloseWhy::Expired,
    CloseWhy::SessionLost,
    CloseWhy::CapacityLost,
    CloseWhy::NoShow,
    CloseWhy::Preempted,
];

impl Default for Meters {
    fn default() -> Self {
        let meters = Self {
            decided: Family::default(),
            // From half a millisecond to 16 s.
            admission: Histogram::new(exponential_buckets(0.0005, 2.0, 16)),
            shed: Counter::default(),
            // From a tenth of a millisecond to 3.3 s.
            append: Histogram::new(exponential_buckets(0.0001, 2.0, 16)),
            batch: Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            appended: Counter::default(),
            closed: Family::default(),
            sessions: Family::default(),
            snapshots: Family::default(),
            snapshot_bytes: Gauge::default(),
        };
        // What has not happened yet is zero, not absent: a rate begins with the first of its kind.
        drop(meters.decided.get_or_create(&granted()));
        REASONS.iter().for_each(|why| drop(meters.decided.get_or_create(&refused(*why))));
        CLOSES.iter().for_each(|why| drop(meters.closed.get_or_create(&closed(*why))));
        for lost in [true, false] {
            drop(meters.sessions.get_or_create(&session_ended(lost)));
        }
        for outcome in [MADE, FAILED] {
            drop(meters.snapshots.get_or_create(&outcome));
        }
        meters
    }
}

const MADE: [Label; 1] = [("outcome", "made")];
const FAILED: [Label; 1] = [("outcome", "failed")];

fn granted() -> [Label; 2] {
    [("outcome", "granted"), ("reason", "")]
}

fn refused(why: Reason) -> [Label; 2] {
    let name = reply::reason(why).as_str_name();
    [("outcome", "refused"), ("reason", name.strip_prefix("REASON_").unwrap_or(name))]
}

fn failed(failure: &Failure) -> [Label; 2] {
    [("outcome", "failed"), ("reason", status::reason(failure))]
}

fn closed(why: CloseWhy) -> [Label; 1] {
    let name = v1::CloseReason::as_str_name(&reply::why_closed(why));
    [("reason", name.strip_prefix("CLOSE_REASON_").unwrap_or(name))]
}

fn session_ended(lost: bool) -> [Label; 1] {
    [("reason", if lost { "LOST" } else { "CLOSED" })]
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl Meters {
    /// A mutation was answered, so long after it was asked. Of a batch each entry counts; what was
    /// only tried out does not.
    pub(crate) fn answered(&self, after: Duration, result: &Result<Answered, Failure>) {
        self.admission.observe(after.as_secs_f64());
        match result {
            Ok(answered) if answered.mutation.validate_only => {}
            Ok(answered) => self.decided(&answered.answer),
            Err(failure) => drop(self.decided.get_or_create(&failed(failure)).inc()),
        }
    }

    fn decided(&self, answer: &Answer) {
        match answer {
            Answer::Batch(entries) => entries.iter().for_each(|entry| self.decided(entry)),
            Answer::Refusal(no) => drop(self.decided.get_or_create(&refused(no.reason)).inc()),
            Answer::Reservation(_)
            | Answer::Session(_)
            | Answer::Topology { .. }
            | Answer::Maintenance { .. }
            | Answer::Drained(_)
            | Answer::Undrained(_)
            | Answer::Policy { .. } => drop(self.decided.get_or_create(&granted()).inc()),
        }
    }

    /// A request found no place in the queue.
    pub(crate) fn not_taken(&self, failure: &Failure) {
        if matches!(failure, Failure::Shed) {
            self.shed.inc();
        }
    }

    /// A batch became durable.
    pub(crate) fn appended(&self, took: Duration, events: &[Event], bytes: usize) {
        self.append.observe(took.as_secs_f64());
        self.batch.observe(f64::from(u32::try_from(events.len()).unwrap_or(u32::MAX)));
        self.appended.inc_by(number(bytes));
        for event in events {
            match &event.change {
                Change::Closed { why, .. } => {
                    self.closed.get_or_create(&closed(*why)).inc();
                }
                Change::SessionEnded { lost, .. } => {
                    self.sessions.get_or_create(&session_ended(*lost)).inc();
                }
                _ => {}
            }
        }
    }

    /// The size of the snapshot that the process began with.
    pub(crate) fn snapshot_stands(&self, bytes: u64) {
        self.snapshot_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// A snapshot was made, or not.
    pub(crate) fn snapshot(&self, made: &Result<Made, SnapshotError>) {
        match made {
            Ok(made) => {
                self.snapshot_stands(made.bytes);
                self.snapshots.get_or_create(&MADE).inc();
            }
            Err(error) if error.is_a_stop() => {}
            Err(_) => {
                self.snapshots.get_or_create(&FAILED).inc();
            }
        }
    }

    /// Lets a scrape tell of all this.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "requests_decided",
            "Requests decided and durable, entries of batches each, by outcome and by the reason of a \
             refusal or failure",
            self.decided.clone(),
        );
        registry.register_with_unit(
            "admission",
            "Time from the hand-in of a request to its durable answer",
            Unit::Seconds,
            self.admission.clone(),
        );
        registry.register(
            "requests_shed",
            "Requests that found the queue full and were told to ask again",
            self.shed.clone(),
        );
        registry.register_with_unit(
            "journal_append",
            "Time that one append to the journal took, its sync included",
            Unit::Seconds,
            self.append.clone(),
        );
        registry.register(
            "journal_batch_events",
            "Events that one append to the journal made durable together",
            self.batch.clone(),
        );
        registry.register_with_unit(
            "journal_appended",
            "Bytes appended to the journal",
            Unit::Bytes,
            self.appended.clone(),
        );
        registry.register(
            "reservations_closed",
            "Reservations that ended, by reason",
            self.closed.clone(),
        );
        registry.register(
            "sessions_ended",
            "Sessions that ended, closed by their agents or lost by silence",
            self.sessions.clone(),
        );
        registry.register(
            "snapshots",
            "Snapshots of the state that were made, or could not be",
            self.snapshots.clone(),
        );
        registry.register_with_unit(
            "snapshot",
            "Size of the last snapshot of the state",
            Unit::Bytes,
            self.snapshot_bytes.clone(),
        );
    }
}

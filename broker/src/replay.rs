//! From a journal to the state that it leads to: the newest whole snapshot, and the batches since.
//!
//! The start of a broker, the making of a snapshot, an audit and a restore all come this way, so
//! that what one of them accepts the others do too.

use thiserror::Error;
use tidegate_core::{Corrupt, Limits, Machine};

use crate::durable::{self, Unreadable};
use crate::journal::{JournalError, Reader, Seq};

/// Why a journal does not lead to a state.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A batch is not one of ours.
    #[error("batch {seq} of the journal cannot be replayed: {why}")]
    Unreadable {
        /// Which batch.
        seq: Seq,
        /// Why.
        why: Unreadable,
    },
    /// An event does not follow.
    #[error("batch {seq} of the journal cannot be replayed: {why}")]
    Corrupt {
        /// Which batch.
        seq: Seq,
        /// Why.
        why: Corrupt,
    },
    /// A snapshot that is whole does not hold a state.
    #[error(
        "the snapshot after batch {seq} is whole but holds no state: {why}; if this build should \
         know it, move it away, which falls back to the one before, and report it"
    )]
    NoState {
        /// After which batch.
        seq: Seq,
        /// Why.
        why: String,
    },
    /// Batches are gone that no snapshot covers.
    #[error(
        "the batches before {first} were dropped, and no whole snapshot covers them; restore from \
         a backup"
    )]
    Uncovered {
        /// The oldest batch that is left.
        first: Seq,
    },
    /// Whoever asked for it does not want it any more.
    #[error("the replay was broken off: the broker is stopping")]
    Stopped,
}

/// Where a replay led.
#[derive(Debug)]
pub struct Replayed {
    /// The state; sessions have not been heard of ([`Machine::resume`]).
    pub machine: Machine,
    /// The snapshot it began from.
    pub snapshot: Option<Seq>,
    /// The size of that.
    pub snapshot_bytes: u64,
    /// The last batch that it followed.
    pub head: Seq,
    /// The batches since the snapshot.
    pub batches: u64,
    /// The size of those.
    pub batch_bytes: u64,
}

impl Replayed {
    fn nothing(limits: &Limits) -> Self {
        Self {
            machine: Machine::new(limits.clone()),
            snapshot: None,
            snapshot_bytes: 0,
            head: Seq::ZERO,
            batches: 0,
            batch_bytes: 0,
        }
    }

    /// The state after a snapshot.
    fn after(limits: &Limits, (seq, bytes): (Seq, Vec<u8>)) -> Result<Self, ReplayError> {
        let no_state = |why: String| ReplayError::NoState { seq, why };
        let image = durable::image::decode(&bytes).map_err(|why| no_state(why.to_string()))?;
        let machine = Machine::from_image(limits.clone(), image);
        let machine = machine.map_err(|corrupt| no_state(corrupt.what))?;
        let snapshot_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let snapshot = Some(seq);
        Ok(Self { machine, snapshot, snapshot_bytes, head: seq, ..Self::nothing(limits) })
    }

    /// Follows the batches after the head.
    fn follow(mut self, journal: &dyn Reader, stop: Stop<'_>) -> Result<Self, ReplayError> {
        if self.head.next() < journal.first() {
            return Err(ReplayError::Uncovered { first: journal.first() });
        }
        for batch in journal.read_from(self.head.next())? {
            if stop() {
                return Err(ReplayError::Stopped);
            }
            let (seq, bytes) = batch?;
            self.batch(seq, &bytes)?;
        }
        Ok(self)
    }

    /// Follows one batch.
    pub(crate) fn batch(&mut self, seq: Seq, bytes: &[u8]) -> Result<(), ReplayError> {
        let events = durable::decode(bytes).map_err(|why| ReplayError::Unreadable { seq, why })?;
        for event in &events {
            self.machine.apply(event).map_err(|why| ReplayError::Corrupt { seq, why })?;
        }
        self.head = seq;
        self.batches = self.batches.saturating_add(1);
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.batch_bytes = self.batch_bytes.saturating_add(size);
        Ok(())
    }
}

/// Says whether to break off.
pub type Stop<'a> = &'a dyn Fn() -> bool;

/// The state that a journal leads to, by the newest snapshot that is whole.
///
/// # Errors
/// [`ReplayError`]: what is in the way.
pub fn replay(
    journal: &dyn Reader,
    limits: &Limits,
    stop: Stop<'_>,
) -> Result<Replayed, ReplayError> {
    begin(limits, journal.latest_snapshot()?)?.follow(journal, stop)
}

/// The state that a journal leads to from a snapshot's bytes, or from its first batch.
///
/// # Errors
/// [`ReplayError`]: what is in the way.
pub fn replay_from(
    journal: &dyn Reader,
    limits: &Limits,
    snapshot: Option<(Seq, Vec<u8>)>,
) -> Result<Replayed, ReplayError> {
    begin(limits, snapshot)?.follow(journal, &|| false)
}

/// The state after a snapshot, or before everything.
pub(crate) fn begin(
    limits: &Limits,
    snapshot: Option<(Seq, Vec<u8>)>,
) -> Result<Replayed, ReplayError> {
    match snapshot {
        Some(snapshot) => Replayed::after(limits, snapshot),
        None => Ok(Replayed::nothing(limits)),
    }
}

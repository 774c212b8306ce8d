//! The journal: the durable order of everything the broker ever acknowledged.
//!
//! A journal is a chain of opaque byte batches, numbered from one without a gap, beside snapshots
//! of the state that those batches lead to. It knows nothing of events: what a batch means is
//! the business of whoever wrote it, so a journal can be checked, copied and truncated without
//! the code that replays it.
//!
//! Three promises hold for every implementation:
//!
//! * **All or nothing.** A batch is one value with one checksum. After a crash it is there whole
//!   or not at all, and every batch whose [`Journal::append`] returned is there.
//! * **Nothing damaged is returned as good.** Each batch carries its own CRC and is linked to its
//!   predecessor by a SHA-256 chain, because the storage below does not verify what it reads. A
//!   reader gets the exact bytes or an error that names the batch.
//! * **One writer.** Every append names the epoch it was given at start and the number it expects
//!   to fill. A writer that was replaced, or has lost count, is refused and nothing is written.
//!
//! What is not here: batching (the writer gathers what queued during the last sync), the meaning
//! of a batch, and time.

use std::fmt;
use std::io;
use std::path::PathBuf;

mod database;
pub mod embedded;
pub mod frame;
pub mod memory;
pub mod reader;
mod restoring;
pub mod snapshot;
mod witness;

pub use embedded::EmbeddedJournal;
pub use frame::ChainHash;
pub use memory::MemoryJournal;
pub use reader::{Reader, Readers, Truncation};
pub(crate) use restoring::Restoring;
pub use snapshot::SnapshotSlot;

/// The largest batch a journal takes, in bytes.
///
/// One change of the network may end or cut many reservations at once and has room here; what is
/// larger than this is a mistake of the writer, better refused before it is durable.
pub const MAX_BATCH_BYTES: usize = 16 << 20;

/// The largest snapshot a journal takes, in bytes: a bound for what a start may have to load.
pub const MAX_SNAPSHOT_BYTES: usize = 2 << 30;

/// The number of a batch. The first is 1; [`Seq::ZERO`] is the head of an empty journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// The head of a journal nothing was ever appended to.
    pub const ZERO: Self = Self(0);

    /// The number after this one.
    ///
    /// It stops at the end of `u64`, which a million batches a second reach in half a million
    /// years; an append there finds its place taken and is refused.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a writer's reign. A later writer has a higher one, and only the highest may append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Before the first writer.
    pub const ZERO: Self = Self(0);
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The batches of a [`Journal::read_from`], in order. The first error ends it.
pub type Batches<'a> = Box<dyn Iterator<Item = Result<(Seq, Vec<u8>), JournalError>> + 'a>;

/// The durable order of batches, and the snapshots beside it.
///
/// Every call may block on a disk or a network: it is made from one dedicated thread, never from
/// an asynchronous task.
pub trait Journal: Send {
    /// Makes `batch` durable as number `seq`, which must be `head + 1`, on behalf of the writer of
    /// `epoch`. When it returns `Ok`, the batch survives any crash.
    ///
    /// # Errors
    ///
    /// [`JournalError::StaleEpoch`], [`JournalError::WrongSeq`], [`JournalError::EmptyBatch`] and
    /// [`JournalError::BatchTooLarge`] are refusals: nothing was written. After any other error
    /// it is unknown whether the batch is durable, and the journal is poisoned: every later write
    /// fails with [`JournalError::Poisoned`], because a sync that failed once may report success
    /// the second time without having written anything. Only a new start can tell what is there.
    fn append(&mut self, epoch: Epoch, seq: Seq, batch: &[u8]) -> Result<(), JournalError>;

    /// Reads the batches from `seq` to the head, verifying checksum, chain and numbers on the way.
    ///
    /// `seq` lies between [`Journal::first`] and `head + 1`; the latter reads nothing. The
    /// iterator yields one error and then nothing more when a batch is damaged or missing, so a
    /// replay that saw no error saw everything.
    ///
    /// # Errors
    ///
    /// [`JournalError::OutOfReach`] when `seq` was dropped by a truncation or lies past the head;
    /// [`JournalError::Corrupt`] when the batch before `seq`, to which `seq` is linked, is damaged.
    fn read_from(&self, seq: Seq) -> Result<Batches<'_>, JournalError>;

    /// The number of the newest durable batch, [`Seq::ZERO`] when there never was one.
    fn head(&self) -> Seq;

    /// The oldest number that can still be read; `head + 1` when no batch is left.
    fn first(&self) -> Seq;

    /// The epoch that may append now.
    fn epoch(&self) -> Epoch;

    /// Prepares to store the state after `seq`. The result can be sent to another thread and
    /// written there while this journal takes appends: a snapshot is large.
    ///
    /// # Errors
    ///
    /// [`JournalError::SnapshotOutOfRange`] when `seq` lies past the head, or before what
    /// truncation has dropped.
    fn prepare_snapshot(&self, seq: Seq) -> Result<SnapshotSlot, JournalError>;

    /// Stores the state after `seq`, durably, and removes snapshots older than the newest two.
    ///
    /// # Errors
    ///
    /// As [`Journal::prepare_snapshot`] and [`SnapshotSlot::write`]. A failed snapshot harms
    /// nothing: the older ones and all batches are still there.
    fn put_snapshot(&mut self, seq: Seq, bytes: &[u8]) -> Result<(), JournalError> {
        self.prepare_snapshot(seq)?.write(bytes)
    }

    /// The newest snapshot that is whole. Damaged ones are skipped with a warning in the log.
    ///
    /// # Errors
    ///
    /// When the snapshots cannot be read at all, or one has a format this build does not know.
    fn latest_snapshot(&self) -> Result<Option<(Seq, Vec<u8>)>, JournalError>;

    /// Drops the batches up to and including `up_to`. Dropping what is already gone is no error.
    ///
    /// Whoever wants to survive the loss of the newest snapshot truncates only up to the one
    /// before it: two are kept for that.
    ///
    /// # Errors
    ///
    /// [`JournalError::NoSnapshot`] unless a whole snapshot at or past `up_to` can be read back
    /// this moment, [`JournalError::OutOfReach`] past the head, [`JournalError::Corrupt`] when the
    /// last batch to drop, whose hash the chain continues from, is damaged. Nothing is dropped then.
    fn truncate(&mut self, up_to: Seq) -> Result<(), JournalError>;

    /// Drops at most `most` batches that a reader permitted to drop, so that appends come in
    /// between; whether there are more. What a snapshot takes to verify was spent by the reader.
    ///
    /// # Errors
    ///
    /// As [`Journal::append`], and [`JournalError::Corrupt`] as [`Journal::truncate`].
    fn truncate_some(&mut self, permit: &Truncation, most: u64) -> Result<bool, JournalError>;

    /// Readers of this journal, for other threads.
    fn readers(&self) -> Readers;
}

/// Why a journal refused or failed: what happened, why, and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// An append without a byte.
    #[error("an empty batch was refused: it would be a number that stands for nothing")]
    EmptyBatch,
    /// An append above [`MAX_BATCH_BYTES`].
    #[error("a batch of {bytes} bytes was refused, the most is {max}: split it")]
    BatchTooLarge {
        /// What was offered.
        bytes: usize,
        /// What is allowed.
        max: usize,
    },
    /// A snapshot above [`MAX_SNAPSHOT_BYTES`].
    #[error("a snapshot of {bytes} bytes was refused, the most is {max}")]
    SnapshotTooLarge {
        /// What was offered.
        bytes: usize,
        /// What is allowed.
        max: usize,
    },
    /// The writer is not, or no longer, the one that may append.
    #[error(
        "append refused: the journal is in epoch {expected}, the writer in epoch {found}; another \
         writer has taken over, so stop and start again from the journal"
    )]
    StaleEpoch {
        /// The epoch of the journal.
        expected: Epoch,
        /// The epoch the writer named.
        found: Epoch,
    },
    /// The writer has lost count.
    #[error(
        "append refused: the next batch is number {expected}, the writer offered {found}; its \
         state is not the journal's, so stop and replay"
    )]
    WrongSeq {
        /// The number after the head.
        expected: Seq,
        /// The number the writer named.
        found: Seq,
    },
    /// An earlier write failed in a way that leaves open what is durable.
    #[error(
        "the journal takes no more writes since one failed ({why}); restart the broker, which \
         replays what is durable"
    )]
    Poisoned {
        /// The failure that poisoned it.
        why: String,
    },
    /// A batch is damaged, or missing between its neighbours.
    #[error(
        "batch {seq} of the journal is damaged: {why}; the disk returned other bytes than were \
         written, so restore from a backup"
    )]
    Corrupt {
        /// The batch.
        seq: Seq,
        /// What is wrong with it.
        why: String,
    },
    /// A file of the journal is damaged as a whole.
    #[error("{path} is damaged: {why}; restore it from a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Batches that were acknowledged are gone.
    #[error(
        "batches were lost from {path}: it ends at {head}, but {witness} says that {witnessed} was \
         acknowledged; restore from a backup, or accept the loss by moving {witness} away"
    )]
    LostTail {
        /// The database that lost them.
        path: PathBuf,
        /// Where it ends now.
        head: Seq,
        /// What is known to have been acknowledged.
        witnessed: Seq,
        /// The file that knows.
        witness: PathBuf,
    },
    /// The number asked for is not, or no longer, in the journal.
    #[error("batch {seq} cannot be had: the journal holds {first} to {head}")]
    OutOfReach {
        /// The number asked for.
        seq: Seq,
        /// The oldest that is left.
        first: Seq,
        /// The newest.
        head: Seq,
    },
    /// A truncation without a snapshot that covers it.
    #[error(
        "batches up to {up_to} were kept: no whole snapshot at or past {up_to} exists; take one \
         first"
    )]
    NoSnapshot {
        /// The last batch that was to be dropped.
        up_to: Seq,
    },
    /// A snapshot of a state the journal does not lead to.
    #[error("a snapshot at {seq} was refused: the journal covers {oldest} to {head}")]
    SnapshotOutOfRange {
        /// The number of the snapshot.
        seq: Seq,
        /// The oldest number a snapshot may have.
        oldest: Seq,
        /// The newest.
        head: Seq,
    },
    /// Something was written by a version of this program that this one does not know.
    #[error(
        "{what} has format {found}, this build knows {known}; start it with the build that wrote \
         it, or a later one"
    )]
    UnknownFormat {
        /// The file or batch.
        what: String,
        /// The version it states.
        found: u32,
        /// The version this build reads and writes.
        known: u32,
    },
    /// A file that is no journal stands where one should be.
    #[error(
        "{path} is not a journal of this program ({why}); point the broker at an empty directory or \
         at its own"
    )]
    NotAJournal {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
    /// The directory is in use.
    #[error(
        "the journal directory {dir} is in use by another broker (or opened twice in this one); \
         stop that one first, or give this one a directory of its own"
    )]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// A file operation failed.
    #[error("could not {action} {path}: {cause}; check the disk, its space and the permissions")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system answered.
        cause: io::Error,
    },
    /// The database below failed.
    #[error("could not {action} the journal database: {cause}; check the disk and its space")]
    Storage {
        /// What was tried, as a verb.
        action: &'static str,
        /// What the database answered.
        cause: Box<redb::Error>,
    },
    /// The journal was closed while somebody read it.
    #[error("the journal is closed: the broker is stopping; ask again when it runs")]
    Closed,
    /// A failure made on purpose by a test.
    #[error("the write failed because a test asked for it")]
    Injected,
}

/// One end of a chain: a number, and the hash that the next batch is linked to.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    pub(crate) seq: Seq,
    pub(crate) hash: ChainHash,
}

/// Where a journal stands. Both implementations refuse by these rules, so they refuse alike.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    pub(crate) epoch: Epoch,
    /// The last batch that was dropped.
    pub(crate) base: Link,
    pub(crate) head: Link,
}

impl Position {
    pub(crate) const START: Self = {
        let link = Link { seq: Seq::ZERO, hash: ChainHash::START };
        Self { epoch: Epoch::ZERO, base: link, head: link }
    };

    pub(crate) fn first(&self) -> Seq {
        self.base.seq.next()
    }

    pub(crate) fn check_append(
        &self,
        epoch: Epoch,
        seq: Seq,
        batch: &[u8],
    ) -> Result<(), JournalError> {
        // The epoch first: a writer that was replaced has no business with the other answers.
        if epoch != self.epoch {
            return Err(JournalError::StaleEpoch { expected: self.epoch, found: epoch });
        }
        let expected = self.head.seq.next();
        if seq != expected {
            return Err(JournalError::WrongSeq { expected, found: seq });
        }
        if batch.is_empty() {
            return Err(JournalError::EmptyBatch);
        }
        if batch.len() > MAX_BATCH_BYTES {
            return Err(JournalError::BatchTooLarge { bytes: batch.len(), max: MAX_BATCH_BYTES });
        }
        Ok(())
    }

    pub(crate) fn check_read(&self, seq: Seq) -> Result<(), JournalError> {
        if seq < self.first() || seq > self.head.seq.next() {
            return Err(self.out_of_reach(seq));
        }
        Ok(())
    }

    pub(crate) fn check_snapshot(&self, seq: Seq) -> Result<(), JournalError> {
        if seq < self.base.seq || seq > self.head.seq {
            return Err(JournalError::SnapshotOutOfRange {
                seq,
                oldest: self.base.seq,
                head: self.head.seq,
            });
        }
        Ok(())
    }

    pub(crate) fn out_of_reach(&self, seq: Seq) -> JournalError {
        JournalError::OutOfReach { seq, first: self.first(), head: self.head.seq }
    }

    /// The epoch for the next writer.
    pub(crate) fn raised(&self, path: &std::path::Path) -> Result<Epoch, JournalError> {
        self.epoch.0.checked_add(1).map(Epoch).ok_or_else(|| JournalError::Damaged {
            path: path.to_path_buf(),
            why: "its epoch cannot be raised any further".to_owned(),
        })
    }
}

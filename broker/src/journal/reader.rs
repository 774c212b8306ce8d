//! A look at a journal as it stands at one moment, beside its writer.
//!
//! Snapshots and backups read much and for long; the writer must not wait for them, nor they see
//! it half way. A reader therefore sees what was durable when it was opened and nothing since.

use std::fmt;
use std::sync::Arc;

use super::frame::Chain;
use super::snapshot::SnapshotSlot;
use super::{Batches, ChainHash, Epoch, JournalError, Link, Position, Seq};

/// Frames as they are stored, in order, each with the number that it is stored under.
pub type Frames<'a> = Box<dyn Iterator<Item = Result<(Seq, Vec<u8>), JournalError>> + 'a>;

/// A journal at one moment. It may outlive the writer; reading fails then.
pub trait Reader: Send {
    /// The newest batch.
    fn head(&self) -> Seq {
        self.position().head.seq
    }

    /// The oldest batch that is left; `head + 1` when none is.
    fn first(&self) -> Seq {
        self.position().first()
    }

    /// The epoch of the writer.
    fn epoch(&self) -> Epoch {
        self.position().epoch
    }

    /// As [`super::Journal::read_from`].
    ///
    /// # Errors
    ///
    /// As [`super::Journal::read_from`].
    fn read_from(&self, seq: Seq) -> Result<Batches<'_>, JournalError> {
        let chain = self.chain_from(seq)?;
        Ok(chain.read(self.frames_from(seq)?, self.head()))
    }

    /// The chain at `seq`: the hash that it is linked to, the epoch before it, and what is known
    /// of those that may follow.
    ///
    /// # Errors
    ///
    /// As [`super::Journal::read_from`].
    fn chain_from(&self, seq: Seq) -> Result<Chain, JournalError> {
        let position = self.position();
        position.check_read(seq)?;
        // Past the start by the check above.
        let before = Seq(seq.0 - 1);
        if before == position.base.seq {
            return Ok(Chain::after(position.base, Epoch::ZERO, position.epoch));
        }
        let (link, epoch) = self.stored_link(before)?;
        Ok(Chain::after(link, epoch, position.epoch))
    }

    /// The hash of a batch that is left, or of the last one dropped; nothing for any other.
    ///
    /// # Errors
    ///
    /// [`JournalError::Corrupt`] if it is damaged.
    fn hash_at(&self, seq: Seq) -> Result<Option<ChainHash>, JournalError> {
        let Position { base, head, .. } = *self.position();
        if let Some(link) = [base, head].into_iter().find(|link| link.seq == seq) {
            return Ok(Some(link.hash));
        }
        if seq < base.seq || head.seq < seq {
            return Ok(None);
        }
        self.stored_link(seq).map(|(link, _)| Some(link.hash))
    }

    /// The frames from `seq` on, as they are stored: nothing is verified.
    ///
    /// # Errors
    ///
    /// The failure of the disk.
    fn frames_from(&self, seq: Seq) -> Result<Frames<'_>, JournalError>;

    /// The numbers of the snapshots there are, newest first, whole or not.
    ///
    /// # Errors
    ///
    /// The failure of the disk.
    fn snapshots(&self) -> Result<Vec<Seq>, JournalError>;

    /// What a snapshot holds, or why it cannot be used: it is damaged, or of another journal.
    ///
    /// # Errors
    ///
    /// The failure of the disk, or [`JournalError::UnknownFormat`].
    fn snapshot(&self, seq: Seq) -> Result<Result<Vec<u8>, String>, JournalError>;

    /// The newest snapshot that can be used. Others are skipped with a warning in the log.
    ///
    /// # Errors
    ///
    /// As [`Reader::snapshot`].
    fn latest_snapshot(&self) -> Result<Option<(Seq, Vec<u8>)>, JournalError> {
        for seq in self.snapshots()? {
            match self.snapshot(seq)? {
                Ok(bytes) => return Ok(Some((seq, bytes))),
                Err(why) => {
                    tracing::warn!(snapshot = %seq, why, "snapshot skipped, an older one serves");
                }
            }
        }
        Ok(None)
    }

    /// Prepares to store the state after the head.
    ///
    /// # Errors
    ///
    /// The failure of the disk.
    fn prepare_snapshot(&self) -> Result<SnapshotSlot, JournalError>;

    /// The right to drop the batches up to and including `up_to`: given if a whole snapshot at or
    /// past it was read back this moment.
    ///
    /// # Errors
    ///
    /// As [`super::Journal::truncate`].
    fn permit_truncation(&self, up_to: Seq) -> Result<Truncation, JournalError> {
        let position = self.position();
        if up_to > position.head.seq {
            return Err(position.out_of_reach(up_to));
        }
        match self.latest_snapshot()? {
            Some((seq, _)) if seq >= up_to => Ok(Truncation { up_to }),
            _ => Err(JournalError::NoSnapshot { up_to }),
        }
    }

    /// Where it stands.
    #[doc(hidden)]
    fn position(&self) -> &Position;

    /// The link that a stored batch makes, and the epoch it was appended in.
    #[doc(hidden)]
    fn stored_link(&self, seq: Seq) -> Result<(Link, Epoch), JournalError>;
}

/// The right to drop batches, see [`Reader::permit_truncation`]. It does not expire: snapshots are
/// only ever removed for newer ones.
#[derive(Debug, Clone, Copy)]
pub struct Truncation {
    up_to: Seq,
}

impl Truncation {
    /// The last batch that may be dropped.
    #[must_use]
    pub fn up_to(&self) -> Seq {
        self.up_to
    }

    /// Where the next step ends that drops at most `most` batches; nothing if all are gone.
    pub(super) fn step(&self, base: Seq, most: u64) -> Option<Seq> {
        (base < self.up_to).then(|| self.up_to.min(Seq(base.0.saturating_add(most))))
    }
}

type Open = dyn Fn() -> Result<Box<dyn Reader>, JournalError> + Send + Sync;

/// Opens readers of one journal, from any thread, for as long as the journal is open.
#[derive(Clone)]
pub struct Readers(Arc<Open>);

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readers")
    }
}

impl Readers {
    pub(super) fn new(
        open: impl Fn() -> Result<Box<dyn Reader>, JournalError> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(open))
    }

    /// The journal as it stands now.
    ///
    /// # Errors
    ///
    /// [`JournalError::Closed`] when it is not open any more, or the failure of the disk.
    pub fn open(&self) -> Result<Box<dyn Reader>, JournalError> {
        (self.0)()
    }
}

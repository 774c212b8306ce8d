//! Writes a journal that existed before, as it was: the same chain, the same numbers.

use std::path::Path;

use redb::Database;

use super::database::{BATCHES, DATABASE, builder, put_state, refused, storage};
use super::snapshot::{SnapshotFiles, sync_dir};
use super::{Epoch, JournalError, Link, Position, Seq};

/// After how many bytes what was put is made durable.
const FLUSH_AT: usize = 16 << 20;

/// A journal that is being put back into an empty directory.
#[derive(Debug)]
pub(crate) struct Restoring {
    database: Database,
    snapshots: SnapshotFiles,
    base: Link,
    waiting: Vec<(Seq, Vec<u8>)>,
    waiting_bytes: usize,
}

impl Restoring {
    /// Begins one whose batches continue from `base`.
    pub(crate) fn begin(dir: &Path, epoch: Epoch, base: Link) -> Result<Self, JournalError> {
        let path = dir.join(DATABASE);
        let database = builder().create(&path).map_err(|error| refused(dir, &path, error))?;
        let position = Position { epoch, base, head: base };
        let begin = || -> Result<(), redb::Error> {
            let transaction = database.begin_write()?;
            put_state(&transaction, &position)?;
            transaction.open_table(BATCHES)?;
            transaction.commit()?;
            Ok(())
        };
        begin().map_err(storage("begin"))?;
        let snapshots = SnapshotFiles::open(dir)?;
        Ok(Self { database, snapshots, base, waiting: Vec::new(), waiting_bytes: 0 })
    }

    /// Stores the state after the base.
    pub(crate) fn put_snapshot(&self, bytes: &[u8]) -> Result<(), JournalError> {
        self.snapshots.write(self.base, bytes)
    }

    /// Stores the next batch, framed; the caller has verified it.
    pub(crate) fn put(&mut self, seq: Seq, frame: Vec<u8>) -> Result<(), JournalError> {
        self.waiting_bytes = self.waiting_bytes.saturating_add(frame.len());
        self.waiting.push((seq, frame));
        if FLUSH_AT <= self.waiting_bytes { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        let frames = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let write = || -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            {
                let mut table = transaction.open_table(BATCHES)?;
                for (seq, frame) in &frames {
                    table.insert(seq.0, frame.as_slice())?;
                }
            }
            transaction.commit()?;
            Ok(())
        };
        write().map_err(storage("restore"))
    }

    /// Makes all of it durable.
    pub(crate) fn finish(mut self, dir: &Path) -> Result<(), JournalError> {
        self.flush()?;
        self.database.close().map_err(|error| refused(dir, &dir.join(DATABASE), error))?;
        sync_dir(dir)
    }
}

//! The journal of a single broker: a redb database in a directory, snapshots beside it.
//!
//! | file | what |
//! |------|------|
//! | `journal.redb` | table `batches`: number to frame; table `meta`: format, epoch, what was dropped |
//! | `snapshot-*.bin` | the state after a batch, see [`super::snapshot`] |
//! | `witness` | how far the log was acknowledged, to notice a tail that vanished |
//!
//! The database is opened for life and its lock is the lock of the whole directory, so it is taken
//! before anything else is touched. It must lie on a local file system: where files cannot be
//! locked, nothing keeps a second broker out.
//!
//! **What is noticed.** Every page is verified against the checksums of the database at open, every
//! batch against its own checksum and the chain when it is read. A log that ends before its
//! witness or before its newest snapshot has lost acknowledged batches, and the start is refused.
//! Not noticed is the loss of the very last batches when the witness is lost or set back with
//! them: after a power cut, if the disk also drops what it had reported as synced; or if somebody
//! replaces the whole directory by an older copy.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{
    Database, Durability, ReadTransaction, ReadableDatabase, StorageBackend, WriteTransaction,
};

use super::database::{
    self, BATCHES, COMPACTION, Compaction, begin, builder, put_state, refused, storage,
};
use super::frame;
use super::reader::{Frames, Reader, Readers, Truncation};
use super::snapshot::{SnapshotFiles, io_error, sync_dir};
use super::witness::{Testimony, Witness};
use super::{Batches, Epoch, Journal, JournalError, Link, Position, Seq, SnapshotSlot};

pub use super::database::{DATABASE, JOURNAL_FORMAT};

/// The journal of one broker in one directory.
#[derive(Debug)]
pub struct EmbeddedJournal {
    database: Arc<Database>,
    path: PathBuf,
    snapshots: SnapshotFiles,
    /// Gone once it could not be written: an old testimony is still true, only less useful.
    witness: Option<Witness>,
    position: Position,
    poisoned: Option<String>,
}

impl EmbeddedJournal {
    /// Opens the journal in `dir`, or begins one where there is none, and raises the epoch. The
    /// directory is made if it does not exist, readable by its owner only.
    ///
    /// All pages are read and verified, which takes as long as the recovery after a crash would.
    ///
    /// # Errors
    ///
    /// [`JournalError::Locked`] when another broker has it, [`JournalError::UnknownFormat`],
    /// [`JournalError::NotAJournal`], [`JournalError::Damaged`], [`JournalError::Corrupt`] or
    /// [`JournalError::LostTail`] when it must not be used, or the failure of the disk.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        Self::open_file(dir, COMPACTION)
    }

    fn open_file(dir: &Path, compaction: Compaction) -> Result<Self, JournalError> {
        if !dir.is_dir() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .map_err(io_error("make the directory", dir))?;
            // A new name is durable once the directory it stands in is.
            let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
            sync_dir(parent.unwrap_or(Path::new(".")))?;
        }
        let path = dir.join(DATABASE);
        if !path.exists() {
            begin(dir, &path)?;
        }
        let database = builder().open(&path).map_err(|error| refused(dir, &path, error))?;
        let size = fs::metadata(&path).map_err(io_error("examine", &path))?.len();
        Self::start(dir, database, size, compaction)
    }

    /// As [`EmbeddedJournal::open`], with the database on a storage of the caller's making; the
    /// other files stay in `dir`. This is how a test cuts the power.
    ///
    /// # Errors
    ///
    /// As [`EmbeddedJournal::open`].
    pub fn open_on(dir: &Path, storage: impl StorageBackend) -> Result<Self, JournalError> {
        let path = dir.join(DATABASE);
        let size = storage.len().map_err(io_error("examine", &path))?;
        let database =
            builder().create_with_backend(storage).map_err(|error| refused(dir, &path, error))?;
        Self::start(dir, database, size, COMPACTION)
    }

    fn start(
        dir: &Path,
        mut database: Database,
        size: u64,
        compaction: Compaction,
    ) -> Result<Self, JournalError> {
        let path = dir.join(DATABASE);
        let snapshots = SnapshotFiles::open(dir)?;
        let read = database.begin_read().map_err(storage("read"))?;
        let stored = database::load(&read, &path)?;
        read.close().map_err(storage("read"))?;
        let (witness, testimony) = Witness::open(dir)?;
        if stored.is_some() {
            database::compact(&mut database, size, compaction).map_err(storage("compact"))?;
        }
        let mut journal = Self {
            database: Arc::new(database),
            path,
            snapshots,
            witness: Some(witness),
            position: stored.unwrap_or(Position::START),
            poisoned: None,
        };
        journal.check_tail(testimony)?;
        // The witness may know a higher epoch than a database that fell back to an older root.
        let known = testimony.map_or(Epoch::ZERO, |testimony| testimony.epoch);
        journal.position.epoch = journal.position.epoch.max(known);
        journal.position.epoch = journal.position.raised(&journal.path)?;
        journal.write_state().map_err(storage("raise the epoch of"))?;
        journal.note(true);
        Ok(journal)
    }

    /// Refuses a log that ends before what is known to have been acknowledged.
    fn check_tail(&self, testimony: Option<Testimony>) -> Result<(), JournalError> {
        let head = self.position.head.seq;
        let lost = |witnessed, witness: &Path| JournalError::LostTail {
            path: self.path.clone(),
            head,
            witnessed,
            witness: witness.to_path_buf(),
        };
        if let (Some(testimony), Some(witness)) = (testimony, &self.witness) {
            let witnessed = testimony.head;
            if witnessed.seq > head {
                return Err(lost(witnessed.seq, witness.path()));
            }
            if let Some(own) = self.look()?.hash_at(witnessed.seq)?
                && own != witnessed.hash
            {
                let why = format!("batch {} is not the one that was acknowledged", witnessed.seq);
                return Err(JournalError::Damaged { path: self.path.clone(), why });
            }
        }
        match self.snapshots.newest_whole_from(head.next())? {
            Some(seq) => Err(lost(seq, &self.snapshots.path_of(seq))),
            None => Ok(()),
        }
    }

    /// The journal as it stands now.
    fn look(&self) -> Result<EmbeddedReader, JournalError> {
        let transaction = self.database.begin_read().map_err(storage("read"))?;
        let (position, snapshots) = (self.position, self.snapshots.clone());
        Ok(EmbeddedReader { transaction, position, snapshots })
    }

    fn write_state(&self) -> Result<(), redb::Error> {
        self.write(|transaction| {
            put_state(transaction, &self.position)?;
            // Made here, so that a journal without a batch reads like any other.
            transaction.open_table(BATCHES)?;
            Ok(())
        })
    }

    /// One durable change of the database, all of `work` or nothing.
    fn write(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        // One sync per change: the second phase, and the recovery in no time that needs it, would
        // halve what a slow disk can take, and the chain verifies what the phase would protect.
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_two_phase_commit(false);
        transaction.set_quick_repair(false);
        work(&transaction)?;
        transaction.commit()?;
        Ok(())
    }

    fn usable(&self) -> Result<(), JournalError> {
        self.poisoned.clone().map_or(Ok(()), |why| Err(JournalError::Poisoned { why }))
    }

    /// After a failed write it is unknown what is durable, and asking the system to sync again
    /// proves nothing: it may have dropped the pages it could not write.
    fn poison(&mut self, error: JournalError) -> JournalError {
        self.poisoned = Some(error.to_string());
        error
    }

    fn note(&mut self, durably: bool) {
        let Some(witness) = &mut self.witness else { return };
        let noted = witness.note(&self.position);
        let noted = if durably { noted.and_then(|()| witness.sync()) } else { noted };
        if let Err(error) = noted {
            tracing::warn!(%error, "the journal goes on without a witness");
            self.witness = None;
        }
    }
}

impl Drop for EmbeddedJournal {
    fn drop(&mut self) {
        if self.poisoned.is_none() {
            self.note(true);
        }
    }
}

impl Journal for EmbeddedJournal {
    fn append(&mut self, epoch: Epoch, seq: Seq, batch: &[u8]) -> Result<(), JournalError> {
        self.usable()?;
        self.position.check_append(epoch, seq, batch)?;
        let (bytes, hash) = frame::encode(&self.position.head.hash, epoch, seq, batch)?;
        let written = self.write(|transaction| {
            let mut table = transaction.open_table(BATCHES)?;
            if table.insert(seq.0, bytes.as_slice())?.is_some() {
                return Err(redb::Error::Corrupted(format!("batch {seq} is already there")));
            }
            Ok(())
        });
        written.map_err(|error| self.poison(storage("append to")(error)))?;
        self.position.head = Link { seq, hash };
        self.note(false);
        Ok(())
    }

    fn read_from(&self, seq: Seq) -> Result<Batches<'_>, JournalError> {
        let look = self.look()?;
        let chain = look.chain_from(seq)?;
        Ok(chain.read(look.stored_from(seq)?, self.position.head.seq))
    }

    fn head(&self) -> Seq {
        self.position.head.seq
    }

    fn first(&self) -> Seq {
        self.position.first()
    }

    fn epoch(&self) -> Epoch {
        self.position.epoch
    }

    fn prepare_snapshot(&self, seq: Seq) -> Result<SnapshotSlot, JournalError> {
        self.usable()?;
        self.position.check_snapshot(seq)?;
        let Some(hash) = self.look()?.hash_at(seq)? else {
            return Err(self.position.out_of_reach(seq));
        };
        let (files, link) = (self.snapshots.clone(), Link { seq, hash });
        Ok(SnapshotSlot::new(seq, move |bytes| files.write(link, bytes)))
    }

    fn latest_snapshot(&self) -> Result<Option<(Seq, Vec<u8>)>, JournalError> {
        self.look()?.latest_snapshot()
    }

    fn truncate(&mut self, up_to: Seq) -> Result<(), JournalError> {
        self.usable()?;
        if up_to <= self.position.base.seq {
            return Ok(());
        }
        let permit = self.look()?.permit_truncation(up_to)?;
        self.truncate_some(&permit, u64::MAX).map(|_| ())
    }

    fn truncate_some(&mut self, permit: &Truncation, most: u64) -> Result<bool, JournalError> {
        self.usable()?;
        let Some(up_to) = permit.step(self.position.base.seq, most) else { return Ok(false) };
        let (base, _) = self.look()?.stored_link(up_to)?;
        let position = Position { base, ..self.position };
        let written = self.write(|transaction| {
            transaction.open_table(BATCHES)?.retain_in(..=up_to.0, |_, _| false)?;
            put_state(transaction, &position)
        });
        written.map_err(|error| self.poison(storage("truncate")(error)))?;
        self.position = position;
        let more = up_to < permit.up_to();
        if !more {
            self.note(true);
        }
        Ok(more)
    }

    fn readers(&self) -> Readers {
        // Not a share in the database: it is closed when its journal goes, whoever still reads.
        let database = Arc::downgrade(&self.database);
        let (path, snapshots) = (self.path.clone(), self.snapshots.clone());
        Readers::new(move || {
            let database = database.upgrade().ok_or(JournalError::Closed)?;
            let transaction = database.begin_read().map_err(storage("read"))?;
            drop(database);
            let position = database::load(&transaction, &path)?.unwrap_or(Position::START);
            let snapshots = snapshots.clone();
            Ok(Box::new(EmbeddedReader { transaction, position, snapshots }))
        })
    }
}

/// The journal of a directory at one moment.
struct EmbeddedReader {
    transaction: ReadTransaction,
    position: Position,
    snapshots: SnapshotFiles,
}

impl EmbeddedReader {
    fn stored_from(&self, seq: Seq) -> Result<Frames<'static>, JournalError> {
        let table = self.transaction.open_table(BATCHES).map_err(storage("read"))?;
        let range = table.range(seq.0..).map_err(storage("read"))?;
        Ok(Box::new(range.map(|entry| {
            let (seq, bytes) = entry.map_err(storage("read"))?;
            Ok((Seq(seq.value()), bytes.value().to_vec()))
        })))
    }
}

impl Reader for EmbeddedReader {
    fn frames_from(&self, seq: Seq) -> Result<Frames<'_>, JournalError> {
        self.stored_from(seq)
    }

    fn snapshots(&self) -> Result<Vec<Seq>, JournalError> {
        // One that was written since this look belongs to a later one.
        let mut found = self.snapshots.newest_first()?;
        found.retain(|seq| *seq <= self.position.head.seq);
        Ok(found)
    }

    fn snapshot(&self, seq: Seq) -> Result<Result<Vec<u8>, String>, JournalError> {
        // Before what was dropped there is no hash to compare with, and nothing to replay either.
        self.snapshots.usable(seq, |found| {
            let own = self.hash_at(found.seq)?;
            Ok(own.map_or(found.seq < self.position.base.seq, |own| own == found.hash))
        })
    }

    fn prepare_snapshot(&self) -> Result<SnapshotSlot, JournalError> {
        let (files, link) = (self.snapshots.clone(), self.position.head);
        Ok(SnapshotSlot::new(link.seq, move |bytes| files.write(link, bytes)))
    }

    fn position(&self) -> &Position {
        &self.position
    }

    fn stored_link(&self, seq: Seq) -> Result<(Link, Epoch), JournalError> {
        let read =
            || -> Result<_, redb::Error> { Ok(self.transaction.open_table(BATCHES)?.get(seq.0)?) };
        match read().map_err(storage("read"))? {
            Some(bytes) => frame::link_of(seq, bytes.value()),
            None => Err(JournalError::Corrupt { seq, why: "it is missing".to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::database::{FORMAT_KEY, KIND, META};
    use super::*;

    #[test]
    fn a_start_after_a_truncation_gives_the_space_back() {
        let dir = tempfile::tempdir().unwrap();
        let small = Compaction { file_bytes_min: 1 << 20, kept_bytes_max: 64 << 20 };
        let mut journal = EmbeddedJournal::open_file(dir.path(), small).unwrap();
        let size = || fs::metadata(dir.path().join(DATABASE)).unwrap().len();
        for seq in 1..=40 {
            journal.append(Epoch(1), Seq(seq), &vec![7; 200_000]).unwrap();
        }
        journal.put_snapshot(Seq(39), b"state").unwrap();
        journal.truncate(Seq(39)).unwrap();
        drop(journal);
        let before = size();
        let journal = EmbeddedJournal::open_file(dir.path(), small).unwrap();
        let rest: Vec<_> = journal.read_from(Seq(40)).unwrap().map(Result::unwrap).collect();
        assert_eq!(rest, [(Seq(40), vec![7; 200_000])]);
        drop(journal);
        assert!(size() < before / 4, "{before} bytes before, {} after", size());
    }

    #[test]
    fn a_later_format_and_a_foreign_database_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(EmbeddedJournal::open(dir.path()).unwrap());
        let path = dir.path().join(DATABASE);
        let write = |key: &str, value: &[u8]| {
            let database = Database::open(&path).unwrap();
            let transaction = database.begin_write().unwrap();
            transaction.open_table(META).unwrap().insert(key, value).unwrap();
            transaction.commit().unwrap();
        };
        write(FORMAT_KEY, &frame::mark(KIND, 2));
        let error = EmbeddedJournal::open(dir.path()).unwrap_err();
        assert!(matches!(error, JournalError::UnknownFormat { found: 2, known: 1, .. }), "{error}");
        write(FORMAT_KEY, b"damaged");
        let error = EmbeddedJournal::open(dir.path()).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { .. }), "{error}");

        let other = tempfile::tempdir().unwrap();
        let database = Database::create(other.path().join(DATABASE)).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(BATCHES).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let error = EmbeddedJournal::open(other.path()).unwrap_err();
        assert!(matches!(error, JournalError::NotAJournal { .. }), "{error}");
    }
}

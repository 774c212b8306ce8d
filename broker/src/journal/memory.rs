//! A journal in memory: for tests, and for trying the broker out without a disk.
//!
//! It frames, refuses and verifies exactly as the durable ones do and loses everything with the
//! process. Handles cloned from one journal share it, so a test can hold a deposed writer and its
//! successor at the same time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::frame;
use super::reader::{Frames, Reader, Readers, Truncation};
use super::snapshot::SNAPSHOTS_KEPT;
use super::{Batches, Epoch, Journal, JournalError, Link, Position, Seq, SnapshotSlot};

#[derive(Debug)]
struct Inner {
    position: Position,
    frames: BTreeMap<Seq, Arc<[u8]>>,
    snapshots: BTreeMap<Seq, Arc<[u8]>>,
    poisoned: Option<String>,
    fail_next: bool,
    /// A batch whose append failed, which the next writer will find.
    unacknowledged: Option<(Link, Vec<u8>)>,
}

/// A journal that lives as long as its last handle.
#[derive(Debug, Clone)]
pub struct MemoryJournal {
    inner: Arc<Mutex<Inner>>,
}

impl MemoryJournal {
    /// An empty journal, in its first epoch.
    #[must_use]
    pub fn new() -> Self {
        let inner = Inner {
            position: Position { epoch: Epoch(1), ..Position::START },
            frames: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            poisoned: None,
            fail_next: false,
            unacknowledged: None,
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Another handle on the same batches for the next writer: what a restart is to a journal on
    /// disk. The epoch rises, so whoever still writes in the old one is refused from now on.
    ///
    /// # Errors
    ///
    /// When the epoch cannot be raised any further.
    pub fn reopen(&self) -> Result<Self, JournalError> {
        let mut inner = self.lock();
        inner.position.epoch = inner.position.raised(Path::new("memory"))?;
        inner.poisoned = None;
        if let Some((link, bytes)) = inner.unacknowledged.take() {
            inner.frames.insert(link.seq, bytes.into());
            inner.position.head = link;
        }
        drop(inner);
        Ok(self.clone())
    }

    /// Makes the next append fail as a failed sync would: the journal is poisoned, and the batch
    /// turns out to be there at the next reopen, which a writer must be prepared for.
    pub fn fail_next_append(&self) {
        self.lock().fail_next = true;
    }

    /// The journal as it stands now.
    fn look(&self) -> MemoryReader {
        let inner = self.lock();
        MemoryReader {
            journal: self.clone(),
            position: inner.position,
            frames: inner.frames.clone(),
            snapshots: inner.snapshots.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing here leaves the state half changed, so a panic elsewhere does not taint it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new()
    }
}

impl Inner {
    fn usable(&self) -> Result<(), JournalError> {
        self.poisoned.clone().map_or(Ok(()), |why| Err(JournalError::Poisoned { why }))
    }

    fn stored_link(&self, seq: Seq) -> Result<(Link, Epoch), JournalError> {
        stored_link(&self.frames, seq)
    }
}

impl Journal for MemoryJournal {
    fn append(&mut self, epoch: Epoch, seq: Seq, batch: &[u8]) -> Result<(), JournalError> {
        let mut inner = self.lock();
        inner.usable()?;
        inner.position.check_append(epoch, seq, batch)?;
        let (bytes, hash) = frame::encode(&inner.position.head.hash, epoch, seq, batch)?;
        let link = Link { seq, hash };
        if std::mem::take(&mut inner.fail_next) {
            inner.poisoned = Some(JournalError::Injected.to_string());
            inner.unacknowledged = Some((link, bytes));
            return Err(JournalError::Injected);
        }
        inner.frames.insert(seq, bytes.into());
        inner.position.head = link;
        Ok(())
    }

    fn read_from(&self, seq: Seq) -> Result<Batches<'_>, JournalError> {
        let look = self.look();
        let chain = look.chain_from(seq)?;
        let frames: Vec<_> = look.frames_from(seq)?.collect();
        Ok(chain.read(frames.into_iter(), look.head()))
    }

    fn head(&self) -> Seq {
        self.lock().position.head.seq
    }

    fn first(&self) -> Seq {
        self.lock().position.first()
    }

    fn epoch(&self) -> Epoch {
        self.lock().position.epoch
    }

    fn prepare_snapshot(&self, seq: Seq) -> Result<SnapshotSlot, JournalError> {
        let inner = self.lock();
        inner.usable()?;
        inner.position.check_snapshot(seq)?;
        let journal = self.clone();
        Ok(SnapshotSlot::new(seq, move |bytes| {
            let mut inner = journal.lock();
            inner.snapshots.insert(seq, bytes.into());
            while inner.snapshots.len() > SNAPSHOTS_KEPT {
                inner.snapshots.pop_first();
            }
            Ok(())
        }))
    }

    fn latest_snapshot(&self) -> Result<Option<(Seq, Vec<u8>)>, JournalError> {
        self.look().latest_snapshot()
    }

    fn truncate(&mut self, up_to: Seq) -> Result<(), JournalError> {
        self.lock().usable()?;
        if up_to <= self.lock().position.base.seq {
            return Ok(());
        }
        let permit = self.look().permit_truncation(up_to)?;
        self.truncate_some(&permit, u64::MAX).map(|_| ())
    }

    fn truncate_some(&mut self, permit: &Truncation, most: u64) -> Result<bool, JournalError> {
        let mut inner = self.lock();
        inner.usable()?;
        let Some(up_to) = permit.step(inner.position.base.seq, most) else { return Ok(false) };
        inner.position.base = inner.stored_link(up_to)?.0;
        inner.frames = inner.frames.split_off(&up_to.next());
        Ok(up_to < permit.up_to())
    }

    fn readers(&self) -> Readers {
        let journal = self.clone();
        Readers::new(move || Ok(Box::new(journal.look())))
    }
}

/// The journal at one moment; the bytes are shared with it.
struct MemoryReader {
    journal: MemoryJournal,
    position: Position,
    frames: BTreeMap<Seq, Arc<[u8]>>,
    snapshots: BTreeMap<Seq, Arc<[u8]>>,
}

impl Reader for MemoryReader {
    fn frames_from(&self, seq: Seq) -> Result<Frames<'_>, JournalError> {
        Ok(Box::new(self.frames.range(seq..).map(|(&seq, bytes)| Ok((seq, bytes.to_vec())))))
    }

    fn snapshots(&self) -> Result<Vec<Seq>, JournalError> {
        Ok(self.snapshots.keys().rev().copied().collect())
    }

    fn snapshot(&self, seq: Seq) -> Result<Result<Vec<u8>, String>, JournalError> {
        let found = self.snapshots.get(&seq).map(|bytes| bytes.to_vec());
        Ok(found.ok_or_else(|| "it is not there".to_owned()))
    }

    fn prepare_snapshot(&self) -> Result<SnapshotSlot, JournalError> {
        self.journal.prepare_snapshot(self.position.head.seq)
    }

    fn position(&self) -> &Position {
        &self.position
    }

    fn stored_link(&self, seq: Seq) -> Result<(Link, Epoch), JournalError> {
        stored_link(&self.frames, seq)
    }
}

fn stored_link(frames: &BTreeMap<Seq, Arc<[u8]>>, seq: Seq) -> Result<(Link, Epoch), JournalError> {
    match frames.get(&seq) {
        Some(bytes) => frame::link_of(seq, bytes),
        None => Err(JournalError::Corrupt { seq, why: "it is missing".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> MemoryJournal {
        let mut journal = MemoryJournal::new();
        for seq in 1..=4 {
            journal.append(Epoch(1), Seq(seq), format!("batch {seq}").as_bytes()).unwrap();
        }
        journal
    }

    fn first_fault(journal: &MemoryJournal) -> String {
        let error = journal.read_from(Seq(1)).unwrap().find_map(Result::err);
        error.map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_batch_in_the_wrong_place_is_found_though_its_checksum_holds() {
        let journal = filled();
        let third = journal.lock().frames[&Seq(3)].clone();
        journal.lock().frames.insert(Seq(2), third);
        assert!(first_fault(&journal).contains("batch 2 of the journal is damaged: it is batch 3"));
    }

    #[test]
    fn a_history_that_was_exchanged_is_found_though_each_checksum_holds() {
        let journal = filled();
        let (forged, _) =
            frame::encode(&super::super::ChainHash::START, Epoch(1), Seq(3), b"batch 3").unwrap();
        journal.lock().frames.insert(Seq(3), forged.into());
        assert!(first_fault(&journal).contains("batch 3 of the journal is damaged: its hash"));
    }

    #[test]
    fn a_missing_batch_is_found_in_the_middle_and_at_the_end() {
        for missing in [1, 3, 4] {
            let journal = filled();
            journal.lock().frames.remove(&Seq(missing));
            let fault = first_fault(&journal);
            assert!(
                fault.contains(&format!("batch {missing} of the journal is damaged")),
                "{fault}"
            );
        }
    }

    #[test]
    fn a_reader_stops_at_the_first_fault() {
        let journal = filled();
        journal.lock().frames.remove(&Seq(2));
        let read: Vec<bool> =
            journal.read_from(Seq(1)).unwrap().map(|batch| batch.is_ok()).collect();
        assert_eq!(read, [true, false]);
    }

    #[test]
    fn a_failed_write_poisons_until_the_next_start() {
        let mut journal = filled();
        journal.fail_next_append();
        assert!(matches!(journal.append(Epoch(1), Seq(5), b"x"), Err(JournalError::Injected)));
        let again = journal.append(Epoch(1), Seq(5), b"x");
        assert!(matches!(again, Err(JournalError::Poisoned { .. })), "{again:?}");
        assert_eq!(journal.head(), Seq(4));
        let mut successor = journal.reopen().unwrap();
        assert_eq!(successor.head(), Seq(5));
        successor.append(Epoch(2), successor.head().next(), b"y").unwrap();
    }

    #[test]
    fn a_deposed_writer_is_refused() {
        let mut old = filled();
        let mut new = old.reopen().unwrap();
        let refused = old.append(Epoch(1), Seq(5), b"too late");
        let (expected, found) = (Epoch(2), Epoch(1));
        assert!(matches!(refused, Err(JournalError::StaleEpoch { expected: e, found: f })
                if e == expected && f == found));
        new.append(Epoch(2), Seq(5), b"mine").unwrap();
        assert_eq!(new.read_from(Seq(5)).unwrap().next().unwrap().unwrap().1, b"mine");
    }
}

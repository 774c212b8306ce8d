//! A journal on a disk that answers when the test says so.

use std::sync::{Arc, Condvar, Mutex};

use tidegate_broker::journal::{
    Batches, Epoch, Journal, JournalError, MemoryJournal, Readers, Seq, SnapshotSlot, Truncation,
};

/// Whether appends pass, and how many wait to.
#[derive(Debug, Default)]
struct Passage {
    is_shut: bool,
    waiting: usize,
}

/// Stops the appends of a journal, and lets them go on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<Passage>, Condvar)>);

impl Gate {
    pub(crate) fn shut(&self) {
        self.0.0.lock().unwrap().is_shut = true;
    }

    pub(crate) fn open(&self) {
        self.0.0.lock().unwrap().is_shut = false;
        self.0.1.notify_all();
    }

    /// Whether an append waits.
    pub(crate) fn is_waited_at(&self) -> bool {
        self.0.0.lock().unwrap().waiting != 0
    }

    fn pass(&self) {
        let mut passage = self.0.0.lock().unwrap();
        passage.waiting += 1;
        let mut passage = self.0.1.wait_while(passage, |it| it.is_shut).unwrap();
        passage.waiting -= 1;
    }
}

/// A journal in memory behind a gate.
#[derive(Debug)]
pub(crate) struct Gated {
    pub(crate) journal: MemoryJournal,
    pub(crate) gate: Gate,
}

impl Journal for Gated {
    fn append(&mut self, epoch: Epoch, seq: Seq, batch: &[u8]) -> Result<(), JournalError> {
        self.gate.pass();
        self.journal.append(epoch, seq, batch)
    }

    fn read_from(&self, seq: Seq) -> Result<Batches<'_>, JournalError> {
        self.journal.read_from(seq)
    }

    fn head(&self) -> Seq {
        self.journal.head()
    }

    fn first(&self) -> Seq {
        self.journal.first()
    }

    fn epoch(&self) -> Epoch {
        self.journal.epoch()
    }

    fn prepare_snapshot(&self, seq: Seq) -> Result<SnapshotSlot, JournalError> {
        self.journal.prepare_snapshot(seq)
    }

    fn latest_snapshot(&self) -> Result<Option<(Seq, Vec<u8>)>, JournalError> {
        self.journal.latest_snapshot()
    }

    fn truncate(&mut self, up_to: Seq) -> Result<(), JournalError> {
        self.journal.truncate(up_to)
    }

    fn truncate_some(&mut self, permit: &Truncation, most: u64) -> Result<bool, JournalError> {
        self.journal.truncate_some(permit, most)
    }

    fn readers(&self) -> Readers {
        self.journal.readers()
    }
}

//! What a journal does when the disk under it misbehaves: power cuts, damage, failing syncs.
//!
//! The claim is the same throughout: a batch that was acknowledged is there, or the journal
//! refuses to start; a batch is whole or absent; damage is never returned as data.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};

use redb::StorageBackend;
use tempfile::TempDir;
use tidegate_broker::journal::{EmbeddedJournal, Epoch, Journal, JournalError, Seq};

/// What a disk keeps whole when the power fails in the middle of a write.
const SECTOR: usize = 512;

#[derive(Debug, Clone)]
enum Operation {
    Write(usize, Vec<u8>),
    SetLength(usize),
    Sync,
}

/// Which operations fail, and how.
type Fault = (fn(&Operation) -> bool, io::ErrorKind);

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    log: Vec<Operation>,
    failing: Option<Fault>,
}

/// A disk in memory that remembers the order of writes and syncs.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<Mutex<State>>);

impl Disk {
    fn holding(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State { bytes, ..State::default() })))
    }

    fn operations(&self) -> usize {
        self.0.lock().unwrap().log.len()
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().bytes.clone()
    }

    fn fail(&self, which: Option<Fault>) {
        self.0.lock().unwrap().failing = which;
    }

    fn perform(&self, operation: Operation) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if let Some((fails, kind)) = state.failing
            && fails(&operation)
        {
            return Err(kind.into());
        }
        apply(&mut state.bytes, &operation);
        state.log.push(operation);
        Ok(())
    }
}

fn apply(bytes: &mut Vec<u8>, operation: &Operation) {
    match operation {
        Operation::Write(at, data) => {
            let end = at + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*at..end].copy_from_slice(data);
        }
        Operation::SetLength(length) => bytes.resize(*length, 0),
        Operation::Sync => {}
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.0.lock().unwrap().bytes.len()).unwrap())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.lock().unwrap();
        let at = usize::try_from(offset).unwrap();
        let found = state.bytes.get(at..).and_then(|rest| rest.get(..out.len()));
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.perform(Operation::SetLength(usize::try_from(length).unwrap()))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.perform(Operation::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.perform(Operation::Write(usize::try_from(offset).unwrap(), data.to_vec()))
    }
}

/// A directory in memory where there is one: thousands of starts would else wait for a real disk,
/// whose syncs prove nothing here.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A small generator of its own, so that a failure names the seed that repeats it.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// What is left of `pending` writes after a power cut: each is lost, whole or torn, by the seed.
/// The first two seeds are the extremes: all lost, as after a cut; all there, as after a kill.
fn cut(synced: &[u8], pending: &[Operation], seed: u64, point: usize) -> Vec<u8> {
    let mut dice = Dice(seed.wrapping_mul(1_000_003) ^ u64::try_from(point).unwrap());
    let mut bytes = synced.to_vec();
    for operation in pending {
        let fate = if seed < 2 { seed } else { dice.below(3) };
        match (fate, operation) {
            (0, _) => {}
            (2, Operation::Write(at, data)) => {
                for (number, sector) in data.chunks(SECTOR).enumerate() {
                    if dice.below(2) == 0 {
                        let part = Operation::Write(at + number * SECTOR, sector.to_vec());
                        apply(&mut bytes, &part);
                    }
                }
            }
            _ => apply(&mut bytes, operation),
        }
    }
    bytes
}

fn batch(seq: u64) -> Vec<u8> {
    let length = usize::try_from(seq * seq * 40 % 9000 + 1).unwrap();
    format!("{seq};").into_bytes().into_iter().cycle().take(length).collect()
}

/// The files of a directory, to put it back as it was.
fn files_of(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .map(|it| (it.file_name().into_string().unwrap(), fs::read(it.path()).unwrap()))
        .collect()
}

fn restore(dir: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for name in files_of(dir).keys() {
        fs::remove_file(dir.join(name)).unwrap();
    }
    for (name, bytes) in files {
        fs::write(dir.join(name), bytes).unwrap();
    }
}

/// What the outside had been told when the disk had seen so many operations.
#[derive(Debug, Clone)]
struct Moment {
    operations: usize,
    /// The last batch that was offered to the journal.
    offered: u64,
    acknowledged: u64,
    epoch: Epoch,
    files: BTreeMap<String, Vec<u8>>,
}

/// A life of a journal on a simulated disk, with every moment at which something was promised.
struct Life {
    disk: Disk,
    dir: TempDir,
    moments: Vec<Moment>,
}

impl Life {
    fn new() -> Self {
        Self { disk: Disk::default(), dir: scratch(), moments: Vec::new() }
    }

    fn open(&mut self) -> EmbeddedJournal {
        let journal = EmbeddedJournal::open_on(self.dir.path(), self.disk.clone()).unwrap();
        self.remember(&journal, journal.head().0);
        journal
    }

    fn remember(&mut self, journal: &EmbeddedJournal, offered: u64) {
        self.moments.push(Moment {
            operations: self.disk.operations(),
            offered,
            acknowledged: journal.head().0,
            epoch: journal.epoch(),
            files: files_of(self.dir.path()),
        });
    }

    fn append(&mut self, journal: &mut EmbeddedJournal, count: u64) {
        for _ in 0..count {
            let seq = journal.head().next();
            self.remember(journal, seq.0);
            journal.append(journal.epoch(), seq, &batch(seq.0)).unwrap();
            self.remember(journal, seq.0);
        }
    }

    /// Two starts, a snapshot and a truncation; the end comes without warning.
    fn whole() -> Self {
        let mut life = Self::new();
        let mut journal = life.open();
        life.append(&mut journal, 12);
        journal.put_snapshot(Seq(8), b"the state after eight").unwrap();
        life.remember(&journal, 12);
        journal.truncate(Seq(5)).unwrap();
        life.remember(&journal, 12);
        life.append(&mut journal, 6);
        drop(journal);
        let mut journal = life.open();
        life.append(&mut journal, 6);
        std::mem::forget(journal);
        life
    }
}

/// Reads everything and compares it with what was written.
fn verify(journal: &EmbeddedJournal) -> Result<u64, JournalError> {
    let (first, head) = (journal.first(), journal.head());
    let mut last = Seq(first.0 - 1);
    for read in journal.read_from(first)? {
        let (seq, bytes) = read?;
        assert_eq!(seq, last.next());
        assert!(bytes == batch(seq.0), "batch {seq} is not what was appended");
        last = seq;
    }
    assert_eq!(last, head, "the reader ended early without an error");
    Ok(head.0)
}

#[test]
fn a_power_cut_anywhere_loses_nothing_acknowledged() {
    let life = Life::whole();
    let log = life.disk.0.lock().unwrap().log.clone();
    let (mut synced, mut pending): (Vec<u8>, Vec<Operation>) = (Vec::new(), Vec::new());
    let (mut cuts, mut beyond) = (0, 0);
    for point in 0..=log.len() {
        if point > 0 {
            pending.push(log[point - 1].clone());
            if matches!(log[point - 1], Operation::Sync) {
                pending.iter().for_each(|operation| apply(&mut synced, operation));
                pending.clear();
            }
        }
        let told = life.moments.iter().rev().find(|moment| moment.operations <= point);
        for seed in 0..4 {
            // The witness is not synced with every batch: it may survive or not.
            for witness in [true, false] {
                let dir = scratch();
                if let Some(told) = told {
                    restore(dir.path(), &told.files);
                }
                if !witness && told.is_some() {
                    fs::remove_file(dir.path().join("witness")).unwrap();
                }
                let disk = Disk::holding(cut(&synced, &pending, seed, point));
                let head = match after_the_cut(dir.path(), &disk, told) {
                    Ok(head) => head,
                    // Half a database from before the first start was done, with nothing in it.
                    // (In a directory it is made under another name, which this disk has not.)
                    Err(JournalError::NotAJournal { .. }) if told.is_none() => continue,
                    Err(error) => panic!("cut at {point}, seed {seed}: {error}"),
                };
                beyond += u32::from(told.is_some_and(|told| head > told.acknowledged));
                cuts += 1;
            }
        }
    }
    assert!(cuts > 1000, "only {cuts} cuts were made");
    // Otherwise nothing was ever cut between the last write and the acknowledgement.
    assert!(beyond > 0, "no cut left a batch that was written and not yet acknowledged");
}

/// Starts after a cut, checks what is there, goes on writing and starts once more.
fn after_the_cut(dir: &Path, disk: &Disk, told: Option<&Moment>) -> Result<u64, JournalError> {
    let mut journal = EmbeddedJournal::open_on(dir, disk.clone())?;
    let head = verify(&journal)?;
    if let Some(told) = told {
        assert!(head >= told.acknowledged, "{head} is left of {}", told.acknowledged);
        assert!(head <= told.offered, "{head} was never offered");
        assert!(journal.epoch() > told.epoch, "an epoch was given out twice");
    }
    let next = journal.head().next();
    journal.append(journal.epoch(), next, &batch(next.0))?;
    drop(journal);
    assert_eq!(verify(&EmbeddedJournal::open_on(dir, disk.clone())?)?, next.0);
    Ok(head)
}

/// What came of opening a damaged database.
#[derive(Debug, Default)]
struct Outcomes {
    exact: u32,
    refused: u32,
    lost_tail: u32,
    panicked: Vec<usize>,
}

/// Damages one byte after the other and opens what is left.
fn damage_everywhere(image: &[u8], files: &BTreeMap<String, Vec<u8>>, head: u64) -> Outcomes {
    let dir = scratch();
    let mut outcomes = Outcomes::default();
    // Every byte of the header; the rest thinly, and free space more thinly still.
    let every = |at: usize| if image[at] == 0 { 1021 } else { 17 };
    let sampled = |at: usize| at < 320 || at.is_multiple_of(every(at));
    for at in (0..image.len()).filter(|&at| sampled(at)) {
        let mut damaged = image.to_vec();
        damaged[at] ^= 1 << (at % 8);
        restore(dir.path(), files);
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let journal = EmbeddedJournal::open_on(dir.path(), Disk::holding(damaged))?;
            assert!(journal.epoch() > Epoch(1), "byte {at}: an epoch was given out twice");
            verify(&journal)
        }));
        match opened {
            Ok(Ok(found)) => {
                assert_eq!(found, head, "byte {at}: the tail vanished without a word");
                outcomes.exact += 1;
            }
            Ok(Err(JournalError::LostTail { .. })) => outcomes.lost_tail += 1,
            Ok(Err(_)) => outcomes.refused += 1,
            Err(_) => outcomes.panicked.push(at),
        }
    }
    outcomes
}

#[test]
fn damage_is_never_returned_as_data() {
    let mut life = Life::new();
    let mut journal = life.open();
    life.append(&mut journal, 10);
    let killed = life.disk.bytes();
    let files = files_of(life.dir.path());
    drop(journal);
    let closed = life.disk.bytes();

    let after_close = damage_everywhere(&closed, &files, 10);
    assert_eq!(after_close.panicked, [0_usize; 0], "{after_close:?}");
    assert!(after_close.refused > 100 && after_close.exact > 0, "{after_close:?}");
    let after_kill = damage_everywhere(&killed, &files, 10);
    assert_eq!(after_kill.panicked, [0_usize; 0], "{after_kill:?}");
    assert!(after_kill.refused > 100 && after_kill.exact > 0, "{after_kill:?}");
    // The database falls back to the root before; only the witness knows that this lost a batch.
    assert!(after_kill.lost_tail > 10, "{after_kill:?}");
}

#[test]
fn a_failed_write_poisons_the_journal_and_loses_nothing() {
    let faults: [Fault; 2] = [
        (|operation| matches!(operation, Operation::Sync), io::ErrorKind::Other),
        (|operation| matches!(operation, Operation::Write(..)), io::ErrorKind::StorageFull),
    ];
    for fault in faults {
        let mut life = Life::new();
        let mut journal = life.open();
        life.append(&mut journal, 6);
        journal.put_snapshot(Seq(4), b"the state after four").unwrap();
        life.disk.fail(Some(fault));
        let error = journal.append(Epoch(1), Seq(7), &batch(7)).unwrap_err();
        assert!(matches!(error, JournalError::Storage { .. }), "{error}");
        // The disk recovers; what it holds is unknown all the same.
        life.disk.fail(None);
        let poisoned = |outcome: Result<(), JournalError>| {
            assert!(matches!(outcome, Err(JournalError::Poisoned { .. })), "{outcome:?}");
        };
        for _ in 0..2 {
            poisoned(journal.append(Epoch(1), Seq(7), &batch(7)));
        }
        poisoned(journal.truncate(Seq(4)));
        poisoned(journal.put_snapshot(Seq(5), b"the state after five"));
        assert_eq!(journal.head(), Seq(6));
        drop(journal);
        let mut journal = life.open();
        let head = verify(&journal).unwrap();
        assert!(head == 6 || head == 7, "{head} batches are left of six or seven");
        journal.append(Epoch(2), Seq(head + 1), &batch(head + 1)).unwrap();
    }
}

/// A journal in a real directory, closed, with `count` batches.
fn directory(count: u64) -> TempDir {
    let dir = scratch();
    let mut journal = EmbeddedJournal::open(dir.path()).unwrap();
    for seq in 1..=count {
        journal.append(Epoch(1), Seq(seq), &batch(seq)).unwrap();
    }
    dir
}

fn lost_tail(dir: &Path) -> (u64, u64) {
    match EmbeddedJournal::open(dir) {
        Err(JournalError::LostTail { head, witnessed, .. }) => (head.0, witnessed.0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_database_that_was_deleted_or_set_back_is_noticed() {
    let dir = directory(3);
    let database = dir.path().join("journal.redb");
    let older = fs::read(&database).unwrap();
    drop(EmbeddedJournal::open(dir.path()).unwrap());
    // With no batch lost, the start may go on, but not in an epoch that was given out before.
    fs::write(&database, &older).unwrap();
    let mut journal = EmbeddedJournal::open(dir.path()).unwrap();
    assert_eq!(journal.epoch(), Epoch(3));
    journal.append(Epoch(3), Seq(4), &batch(4)).unwrap();
    drop(journal);
    let newer = fs::read(&database).unwrap();
    fs::write(&database, older).unwrap();
    assert_eq!(lost_tail(dir.path()), (3, 4));
    fs::remove_file(&database).unwrap();
    assert_eq!(lost_tail(dir.path()), (0, 4));
    fs::write(&database, newer).unwrap();
    assert_eq!(verify(&EmbeddedJournal::open(dir.path()).unwrap()).unwrap(), 4);
}

#[test]
fn a_log_that_ends_before_its_snapshot_is_noticed_without_the_witness() {
    let dir = directory(3);
    let older = fs::read(dir.path().join("journal.redb")).unwrap();
    let mut journal = EmbeddedJournal::open(dir.path()).unwrap();
    journal.append(Epoch(2), Seq(4), &batch(4)).unwrap();
    journal.put_snapshot(Seq(4), b"the state after four").unwrap();
    drop(journal);
    fs::write(dir.path().join("journal.redb"), older).unwrap();
    fs::remove_file(dir.path().join("witness")).unwrap();
    assert_eq!(lost_tail(dir.path()), (3, 4));
}

#[test]
fn another_history_is_not_taken_for_this_one() {
    let (dir, other) = (directory(3), scratch());
    let mut journal = EmbeddedJournal::open(other.path()).unwrap();
    for seq in 1..=3 {
        journal.append(Epoch(1), Seq(seq), b"of another broker").unwrap();
    }
    journal.put_snapshot(Seq(2), b"of another broker").unwrap();
    drop(journal);

    let snapshot = "snapshot-00000000000000000002.bin";
    fs::copy(other.path().join(snapshot), dir.path().join(snapshot)).unwrap();
    let mut journal = EmbeddedJournal::open(dir.path()).unwrap();
    assert_eq!(journal.latest_snapshot().unwrap(), None);
    let refused = journal.truncate(Seq(2));
    assert!(matches!(refused, Err(JournalError::NoSnapshot { .. })), "{refused:?}");
    drop(journal);

    let database = "journal.redb";
    fs::copy(other.path().join(database), dir.path().join(database)).unwrap();
    let error = EmbeddedJournal::open(dir.path()).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
}

#[test]
fn a_torn_snapshot_falls_back_to_the_one_before() {
    let dir = directory(6);
    let mut journal = EmbeddedJournal::open(dir.path()).unwrap();
    journal.put_snapshot(Seq(3), b"the state after three").unwrap();
    journal.put_snapshot(Seq(5), b"the state after five").unwrap();
    let newest = dir.path().join("snapshot-00000000000000000005.bin");
    let whole = fs::read(&newest).unwrap();
    fs::write(&newest, &whole[..whole.len() - 7]).unwrap();
    let found = journal.latest_snapshot().unwrap();
    assert_eq!(found, Some((Seq(3), b"the state after three".to_vec())));
    // Nor does a torn one count as permission to drop batches.
    let refused = journal.truncate(Seq(5));
    assert!(matches!(refused, Err(JournalError::NoSnapshot { up_to: Seq(5) })), "{refused:?}");
    journal.truncate(Seq(3)).unwrap();
}

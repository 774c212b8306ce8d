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
use tidegate_broker::journal::{EmbeddedJournal, Epoch, Journal, JournalError, Seq};

/// What a disk keeps whole when the power fails in the middle of a write.
const SECTOR: usize = 512;

#[derive(Debug, Clone)]
enum Operation {
    Write(usize, Vec<u8>),
    SetLength(usize),
    Sync,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    log: Vec<Operation>,
    /// Which operation fails from now on, and how.
    failing: Option<(fn(&Operation) -> bool, io::ErrorKind)>,
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

    fn fail(&self, which: Option<(fn(&Operation) -> bool, io::ErrorKind)>) {
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
    dir: tempfile::TempDir,
    moments: Vec<Moment>,
}

impl Life {
    fn new() -> Self {
        Self { disk: Disk::default(), dir: tempfile::tempdir().unwrap(), moments: Vec::new() }
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
        for seed in 0..5 {
            // The witness is not synced with every batch: it may survive or not.
            for witness in [true, false] {
                let dir = tempfile::tempdir().unwrap();
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
    let dir = tempfile::tempdir().unwrap();
    let mut outcomes = Outcomes::default();
    // Every byte of the header; elsewhere every byte of sense thinly, free space more thinly.
    let sampled = |at: usize| at < 512 || at % if image[at] == 0 { 1021 } else { 13 } == 0;
    for at in (0..image.len()).filter(|&at| sampled(at)) {
        let mut damaged = image.to_vec();
        damaged[at] ^= 1 << (at % 8);
        restore(dir.path(), files);
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let journal = EmbeddedJournal::open_on(dir.path(), Disk::holding(damaged))?;
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
    println!("closed: {after_close:?} of {} bytes", closed.len());
    let after_kill = damage_everywhere(&killed, &files, 10);
    println!("killed: {after_kill:?} of {} bytes", killed.len());
}

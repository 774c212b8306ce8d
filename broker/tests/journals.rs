//! One suite for every journal: what a writer may rely on, whichever keeps its batches.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;
use tidegate_broker::journal::{
    ChainHash, EmbeddedJournal, Epoch, Journal, JournalError, MAX_BATCH_BYTES, MemoryJournal, Seq,
    frame,
};

/// A journal under test, and how to start it again.
trait Subject {
    fn begin() -> Self;
    fn journal(&mut self) -> &mut dyn Journal;
    /// What a restart of the broker does.
    fn restart(&mut self);
}

struct Memory(MemoryJournal);

impl Subject for Memory {
    fn begin() -> Self {
        Self(MemoryJournal::new())
    }

    fn journal(&mut self) -> &mut dyn Journal {
        &mut self.0
    }

    fn restart(&mut self) {
        self.0 = self.0.reopen().unwrap();
    }
}

struct Embedded {
    journal: Option<EmbeddedJournal>,
    dir: TempDir,
}

impl Subject for Embedded {
    fn begin() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { journal: Some(EmbeddedJournal::open(dir.path()).unwrap()), dir }
    }

    fn journal(&mut self) -> &mut dyn Journal {
        self.journal.as_mut().unwrap()
    }

    fn restart(&mut self) {
        // Closed first: the directory is locked while it is open.
        self.journal = None;
        self.journal = Some(EmbeddedJournal::open(self.dir.path()).unwrap());
    }
}

fn batch(seq: u64) -> Vec<u8> {
    format!("batch {seq} ").repeat(usize::try_from(seq).unwrap()).into_bytes()
}

fn append(journal: &mut dyn Journal, seqs: std::ops::RangeInclusive<u64>) {
    let epoch = journal.epoch();
    for seq in seqs {
        journal.append(epoch, Seq(seq), &batch(seq)).unwrap();
    }
}

fn read(journal: &dyn Journal, from: u64) -> Vec<(u64, Vec<u8>)> {
    let batches = journal.read_from(Seq(from)).unwrap();
    batches.map(|batch| batch.map(|(seq, bytes)| (seq.0, bytes)).unwrap()).collect()
}

fn expected(seqs: std::ops::RangeInclusive<u64>) -> Vec<(u64, Vec<u8>)> {
    seqs.map(|seq| (seq, batch(seq))).collect()
}

fn an_empty_journal_reads_nothing<S: Subject>() {
    let mut subject = S::begin();
    for _ in 0..2 {
        let journal = subject.journal();
        assert_eq!((journal.head(), journal.first()), (Seq::ZERO, Seq(1)));
        assert_eq!(read(journal, 1), []);
        assert_eq!(journal.latest_snapshot().unwrap(), None);
        subject.restart();
    }
}

fn what_was_appended_is_read_back<S: Subject>() {
    let mut subject = S::begin();
    append(subject.journal(), 1..=20);
    assert_eq!(read(subject.journal(), 1), expected(1..=20));
    assert_eq!(read(subject.journal(), 13), expected(13..=20));
    assert_eq!(read(subject.journal(), 20), expected(20..=20));
    assert_eq!(read(subject.journal(), 21), []);
    subject.restart();
    assert_eq!(subject.journal().head(), Seq(20));
    append(subject.journal(), 21..=25);
    subject.restart();
    assert_eq!(read(subject.journal(), 1), expected(1..=25));
}

fn what_is_out_of_reach_is_an_error<S: Subject>() {
    let mut subject = S::begin();
    append(subject.journal(), 1..=3);
    for seq in [0, 5, u64::MAX] {
        let error = subject.journal().read_from(Seq(seq)).err().unwrap();
        assert!(
            matches!(
                error,
                JournalError::OutOfReach { seq: Seq(at), first: Seq(1), head: Seq(3) } if at == seq
            ),
            "{error}"
        );
    }
}

fn a_wrong_number_is_refused<S: Subject>() {
    let mut subject = S::begin();
    append(subject.journal(), 1..=3);
    let epoch = subject.journal().epoch();
    for seq in [0, 1, 3, 5, u64::MAX] {
        let error = subject.journal().append(epoch, Seq(seq), b"lost count").unwrap_err();
        assert!(
            matches!(
                error,
                JournalError::WrongSeq { expected: Seq(4), found: Seq(at) } if at == seq
            ),
            "{error}"
        );
    }
    assert_eq!(read(subject.journal(), 1), expected(1..=3));
    append(subject.journal(), 4..=4);
}

fn a_wrong_epoch_is_refused<S: Subject>() {
    let mut subject = S::begin();
    append(subject.journal(), 1..=3);
    let deposed = subject.journal().epoch();
    subject.restart();
    let present = subject.journal().epoch();
    assert!(present > deposed);
    for epoch in [Epoch::ZERO, deposed, Epoch(present.0 + 1)] {
        let error = subject.journal().append(epoch, Seq(4), b"deposed").unwrap_err();
        assert!(
            matches!(
                error,
                JournalError::StaleEpoch { expected, found } if expected == present && found == epoch
            ),
            "{error}"
        );
    }
    assert_eq!(read(subject.journal(), 1), expected(1..=3));
}

fn an_empty_or_giant_batch_is_refused<S: Subject>() {
    let mut subject = S::begin();
    let journal = subject.journal();
    let epoch = journal.epoch();
    let error = journal.append(epoch, Seq(1), b"").unwrap_err();
    assert!(matches!(error, JournalError::EmptyBatch), "{error}");
    let mut giant = vec![9; MAX_BATCH_BYTES + 1];
    let error = journal.append(epoch, Seq(1), &giant).unwrap_err();
    assert!(matches!(error, JournalError::BatchTooLarge { .. }), "{error}");
    assert_eq!(journal.head(), Seq::ZERO);
    giant.pop();
    journal.append(epoch, Seq(1), &giant).unwrap();
    assert!(read(journal, 1) == [(1, giant)]);
}

fn a_truncation_needs_a_snapshot<S: Subject>() {
    let mut subject = S::begin();
    append(subject.journal(), 1..=10);
    let journal = subject.journal();
    let refused = journal.truncate(Seq(4));
    assert!(matches!(refused, Err(JournalError::NoSnapshot { up_to: Seq(4) })), "{refused:?}");
    journal.put_snapshot(Seq(6), b"the state after six").unwrap();
    let refused = journal.truncate(Seq(7));
    assert!(matches!(refused, Err(JournalError::NoSnapshot { up_to: Seq(7) })), "{refused:?}");
    assert!(matches!(journal.truncate(Seq(11)), Err(JournalError::OutOfReach { .. })));
    assert_eq!(read(journal, 1), expected(1..=10));

    journal.truncate(Seq(4)).unwrap();
    for _ in 0..2 {
        let journal = subject.journal();
        assert_eq!((journal.first(), journal.head()), (Seq(5), Seq(10)));
        assert_eq!(read(journal, 5), expected(5..=10));
        assert!(matches!(journal.read_from(Seq(4)), Err(JournalError::OutOfReach { .. })));
        let snapshot = journal.latest_snapshot().unwrap();
        assert_eq!(snapshot, Some((Seq(6), b"the state after six".to_vec())));
        // Again, and less than before: nothing to do, no error.
        journal.truncate(Seq(4)).unwrap();
        journal.truncate(Seq(2)).unwrap();
        subject.restart();
    }
}

fn a_truncation_to_the_head_keeps_the_head<S: Subject>() {
    let mut subject = S::begin();
    append(subject.journal(), 1..=7);
    subject.journal().put_snapshot(Seq(7), b"all").unwrap();
    subject.journal().truncate(Seq(7)).unwrap();
    for _ in 0..2 {
        let journal = subject.journal();
        assert_eq!((journal.head(), journal.first()), (Seq(7), Seq(8)));
        assert_eq!(read(journal, 8), []);
        subject.restart();
    }
    append(subject.journal(), 8..=9);
    subject.restart();
    assert_eq!(read(subject.journal(), 8), expected(8..=9));
}

fn the_newest_snapshot_wins<S: Subject>() {
    let mut subject = S::begin();
    append(subject.journal(), 1..=9);
    for seq in [3, 5, 9] {
        subject.journal().put_snapshot(Seq(seq), &batch(seq)).unwrap();
    }
    subject.restart();
    let journal = subject.journal();
    assert_eq!(journal.latest_snapshot().unwrap(), Some((Seq(9), batch(9))));
    // An empty state has an empty encoding.
    journal.put_snapshot(Seq(9), b"").unwrap();
    assert_eq!(journal.latest_snapshot().unwrap(), Some((Seq(9), Vec::new())));
    let error = journal.put_snapshot(Seq(10), b"of the future").unwrap_err();
    assert!(matches!(error, JournalError::SnapshotOutOfRange { seq: Seq(10), .. }), "{error}");
    journal.truncate(Seq(9)).unwrap();
    let error = journal.put_snapshot(Seq(8), b"of the past").unwrap_err();
    assert!(matches!(error, JournalError::SnapshotOutOfRange { oldest: Seq(9), .. }), "{error}");
}

fn a_snapshot_is_written_beside_appends<S: Subject>() {
    let mut subject = S::begin();
    append(subject.journal(), 1..=5);
    let slot = subject.journal().prepare_snapshot(Seq(5)).unwrap();
    assert_eq!(slot.seq(), Seq(5));
    let writing = std::thread::spawn(move || slot.write(b"the state after five"));
    append(subject.journal(), 6..=12);
    writing.join().unwrap().unwrap();
    subject.journal().truncate(Seq(5)).unwrap();
    subject.restart();
    let snapshot = subject.journal().latest_snapshot().unwrap();
    assert_eq!(snapshot, Some((Seq(5), b"the state after five".to_vec())));
    assert_eq!(read(subject.journal(), 6), expected(6..=12));
}

macro_rules! suite {
    ($journal:ident: $subject:ident; $($test:ident),+ $(,)?) => {
        mod $journal {
            $(
                #[test]
                fn $test() {
                    super::$test::<super::$subject>();
                }
            )+
        }
    };
}

macro_rules! every_journal {
    ($($journal:ident: $subject:ident),+ $(,)?) => {
        $(
            suite! { $journal: $subject;
                an_empty_journal_reads_nothing,
                what_was_appended_is_read_back,
                what_is_out_of_reach_is_an_error,
                a_wrong_number_is_refused,
                a_wrong_epoch_is_refused,
                an_empty_or_giant_batch_is_refused,
                a_truncation_needs_a_snapshot,
                a_truncation_to_the_head_keeps_the_head,
                the_newest_snapshot_wins,
                a_snapshot_is_written_beside_appends,
            }
        )+
    };
}

every_journal! { memory: Memory, embedded: Embedded }

#[test]
fn a_directory_is_opened_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = EmbeddedJournal::open(dir.path()).unwrap();
    let error = EmbeddedJournal::open(dir.path()).unwrap_err();
    assert!(matches!(&error, JournalError::Locked { dir: locked } if locked == dir.path()));
    let text = error.to_string();
    assert!(text.contains(&dir.path().display().to_string()), "{text}");
    assert!(text.contains("stop that one first"), "{text}");
    // The refused one has not disturbed the one that has the directory.
    let epoch = first.epoch();
    first.append(epoch, Seq(1), b"mine").unwrap();
    drop(first);
    EmbeddedJournal::open(dir.path()).unwrap();
}

#[test]
fn a_file_that_is_no_journal_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.redb");
    let letter = b"Dear reader, this is not a database.".repeat(100);
    fs::write(&path, &letter).unwrap();
    let error = EmbeddedJournal::open(dir.path()).unwrap_err();
    assert!(matches!(error, JournalError::NotAJournal { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), letter);
}

#[test]
fn a_beginning_that_was_interrupted_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let unfinished = dir.path().join("journal.redb.tmp");
    fs::write(&unfinished, [0; 4096]).unwrap();
    let nested = dir.path().join("a/b");
    EmbeddedJournal::open(&nested).unwrap();
    EmbeddedJournal::open(dir.path()).unwrap();
    assert!(!unfinished.exists());
}

#[test]
fn a_batch_has_the_same_bytes_for_ever() {
    let (first, hash) = frame::encode(&ChainHash::START, Epoch(3), Seq(41), b"tidegate").unwrap();
    let (second, _) = frame::encode(&hash, Epoch(0x0102_0304), Seq(42), b"\x00").unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&first), GOLDEN_FIRST);
    assert_eq!(hex(&second), GOLDEN_SECOND);
    let read = frame::decode(&first).unwrap();
    assert_eq!((read.epoch, read.seq, read.payload), (Epoch(3), Seq(41), &b"tidegate"[..]));
    assert_eq!(read.hash, hash);
}

// Format, epoch, number, length; hash of the chain; payload and checksum. Computed by another program
// from the description of the frame: a change that breaks these makes existing journals unreadable.
const GOLDEN_FIRST: &str = concat!(
    "01",
    "0300000000000000",
    "2900000000000000",
    "08000000",
    "dd4b75ebbe76d6de7a8a0f61d9b2b898d90bddb76af34737ad5565fef21c7ebd",
    "746964656761746570120879",
);
const GOLDEN_SECOND: &str = concat!(
    "01",
    "0403020100000000",
    "2a00000000000000",
    "01000000",
    "8c59c3366f1c8de49116734963fd4dcee6fdd84c7f31326f620294c15285d054",
    "00de71fe3b",
);

/// What a random walk does to a journal.
#[derive(Debug, Clone)]
enum Step {
    Append { epoch_off: u64, seq_off: u64, length: usize },
    Snapshot { back: u64 },
    Truncate { back: u64 },
    Restart,
}

fn steps() -> impl Strategy<Value = Step> {
    // Mostly what is right, sometimes what is not.
    let off = || prop_oneof![9 => Just(1u64), 1 => 0..3u64];
    prop_oneof![
        8 => (off(), off(), 0..600usize)
            .prop_map(|(epoch_off, seq_off, length)| Step::Append { epoch_off, seq_off, length }),
        2 => (0..6u64).prop_map(|back| Step::Snapshot { back }),
        2 => (0..8u64).prop_map(|back| Step::Truncate { back }),
        1 => Just(Step::Restart),
    ]
}

/// One step, and everything that can be seen afterwards.
fn take(subject: &mut impl Subject, step: &Step) -> String {
    let journal = subject.journal();
    let (head, epoch) = (journal.head().0, journal.epoch().0);
    let outcome = match *step {
        Step::Append { epoch_off, seq_off, length } => {
            let epoch = Epoch((epoch + epoch_off).saturating_sub(1));
            let bytes = batch(7).into_iter().cycle().take(length).collect::<Vec<_>>();
            journal.append(epoch, Seq(head + seq_off), &bytes)
        }
        Step::Snapshot { back } => {
            journal.put_snapshot(Seq((head + 1).saturating_sub(back)), &batch(head % 5))
        }
        Step::Truncate { back } => journal.truncate(Seq((head + 1).saturating_sub(back))),
        Step::Restart => {
            subject.restart();
            Ok(())
        }
    };
    let journal = subject.journal();
    let batches: Vec<_> =
        journal.read_from(journal.first()).unwrap().map(|it| it.unwrap()).collect();
    let outcome = outcome.map_err(|error| error.to_string());
    let stands = (journal.epoch(), journal.first(), journal.head());
    format!("{outcome:?} {stands:?} {:?} {batches:?}", journal.latest_snapshot().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn all_journals_behave_alike(walk in prop::collection::vec(steps(), 1..40)) {
        let (mut memory, mut embedded) = (Memory::begin(), Embedded::begin());
        for step in &walk {
            prop_assert_eq!(take(&mut memory, step), take(&mut embedded, step));
        }
    }
}

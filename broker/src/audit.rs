//! Checks a journal directory from end to end, with no broker running in it: every checksum, the
//! chain, every snapshot, every way that leads to the state, and every invariant of that.

use std::fmt;
use std::path::{Path, PathBuf};

use tidegate_core::{Limits, Machine, audit};
use tidegate_policy::{ByteCount, Timestamp};

use crate::clock;
use crate::durable;
use crate::journal::embedded::DATABASE;
use crate::journal::{EmbeddedJournal, Epoch, Journal, JournalError, Reader, Seq};
use crate::replay::{self, ReplayError};

/// What stands after a batch, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// After which batch.
    pub head: Seq,
    /// What tells this state from every other: SHA-256 of its durable form.
    pub digest: [u8; 32],
    /// The time of the last event.
    pub clock: Timestamp,
    /// Reservations held or confirmed.
    pub live: usize,
    /// All reservations that are remembered.
    pub reservations: usize,
    /// Sessions that are open.
    pub open: usize,
    /// All sessions that are remembered.
    pub sessions: usize,
    /// How many topologies were applied so far.
    pub topology_version: u64,
    /// Lanes that can be booked.
    pub lanes: usize,
}

impl Standing {
    /// What stands after `head`.
    #[must_use]
    pub fn of(head: Seq, machine: Machine) -> Self {
        let (live, open) = (machine.live_reservations(), machine.open_sessions());
        let (clock, lanes) = (machine.clock(), machine.lanes(None).count());
        let image = machine.into_image();
        Self {
            head,
            digest: durable::image::digest(&durable::image::encode(&image)),
            clock,
            live,
            reservations: image.reservations.len(),
            open,
            sessions: image.sessions.len(),
            topology_version: image.topology_version,
            lanes,
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest: String = self.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(f, "state      after batch {}, of {}", self.head, self.clock)?;
        writeln!(f, "           sha256 {digest}")?;
        writeln!(f, "           {} of {} reservations live", self.live, self.reservations)?;
        writeln!(f, "           {} of {} sessions open", self.open, self.sessions)?;
        writeln!(f, "           topology {}, {} lanes", self.topology_version, self.lanes)
    }
}

/// What an audit found.
#[derive(Debug)]
pub struct Report {
    dir: PathBuf,
    epoch: Epoch,
    first: Seq,
    head: Seq,
    snapshots: Vec<(Seq, Result<ByteCount, String>)>,
    standing: Standing,
    /// What does not hold, one sentence each; empty if all is well.
    pub faults: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, head) = (self.first, self.head);
        writeln!(f, "journal    {}, epoch {}", self.dir.display(), self.epoch)?;
        if head < first {
            writeln!(f, "batches    none after {head}")?;
        } else {
            writeln!(f, "batches    {first} to {head}, whole and in one chain")?;
        }
        for (seq, snapshot) in &self.snapshots {
            match snapshot {
                Ok(size) => writeln!(f, "snapshot   after batch {seq}, {} bytes", size.bytes())?,
                Err(why) => writeln!(f, "snapshot   after batch {seq}, UNUSABLE: {why}")?,
            }
        }
        self.standing.fmt(f)?;
        let from_scratch = first == Seq(1);
        let whole = self.snapshots.iter().filter(|(_, snapshot)| snapshot.is_ok()).count();
        let ways = whole.saturating_add(usize::from(from_scratch));
        let all = if from_scratch { ", the whole history among them" } else { "" };
        let ways = if ways == 1 { "one way".into() } else { format!("{ways} ways") };
        writeln!(f, "replayed   in {ways}{all}")?;
        for fault in &self.faults {
            writeln!(f, "FAULT      {fault}")?;
        }
        let sound = if self.faults.is_empty() { "sound" } else { "NOT sound" };
        writeln!(f, "the journal is {sound}")
    }
}

/// Audits the journal in `dir`, which no broker may have open. As after every start, the epoch is
/// one higher then.
///
/// # Errors
/// [`ReplayError`] if it cannot be read as far as that.
pub fn run(dir: &Path) -> Result<Report, ReplayError> {
    if !dir.join(DATABASE).is_file() {
        let why = format!("there is no {DATABASE} in it");
        return Err(JournalError::NotAJournal { path: dir.into(), why }.into());
    }
    let journal = EmbeddedJournal::open(dir)?;
    let look = journal.readers().open()?;
    let limits = Limits::default();
    let main = replay::replay(&*look, &limits, &|| false)?;
    let now = clock::wall().max(main.machine.clock());
    let mut faults = audit::audit(&main.machine, now);
    chain(&*look)?;
    let mut snapshots = Vec::new();
    for seq in look.snapshots()? {
        let found = look.snapshot(seq)?;
        match &found {
            // The newest is what the state above came from.
            Ok(bytes) if main.snapshot != Some(seq) => {
                let way = format!("the snapshot after batch {seq}");
                compare(&*look, (&main.machine, &way), Some((seq, bytes.clone())), &mut faults);
            }
            Ok(_) => {}
            Err(why) => faults.push(format!("the snapshot after batch {seq}: {why}")),
        }
        let size = |bytes: Vec<u8>| ByteCount::new(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        snapshots.push((seq, found.map(size)));
    }
    if look.first() == Seq(1) && main.snapshot.is_some() {
        compare(&*look, (&main.machine, "the whole history"), None, &mut faults);
    }
    Ok(Report {
        dir: dir.into(),
        epoch: look.epoch(),
        first: look.first(),
        head: look.head(),
        snapshots,
        standing: Standing::of(main.head, main.machine),
        faults,
    })
}

/// Verifies every batch that is left: a replay begins only after the newest snapshot.
fn chain(journal: &dyn Reader) -> Result<(), JournalError> {
    journal.read_from(journal.first())?.try_for_each(|batch| batch.map(|_| ()))
}

/// Replays another way and says if it leads elsewhere.
fn compare(
    journal: &dyn Reader,
    (expected, way): (&Machine, &str),
    snapshot: Option<(Seq, Vec<u8>)>,
    faults: &mut Vec<String>,
) {
    match replay::replay_from(journal, expected.limits(), snapshot) {
        Ok(other) if other.machine.same_ledger(expected) => {}
        Ok(_) => faults.push(format!("{way} and the batches since lead to another state")),
        Err(error) => faults.push(format!("{way} leads to no state: {error}")),
    }
}

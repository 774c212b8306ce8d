//! The witness: a small file that remembers how far the log was acknowledged.
//!
//! The database keeps two roots and, after a crash, falls back to the older one when the newer one
//! does not verify. That is right for a write that never finished. It is wrong when the newer one
//! had finished and was damaged later: the last batch, acknowledged to somebody, would be gone
//! without a word. From inside the database the two cases look alike, so a second file tells them
//! apart. It is written after a batch is durable and therefore never claims too much; a log that
//! ends before it has lost something, and the start is refused.
//!
//! It is not synced with every batch, which would double the price of an append. A killed process
//! leaves it exact; a power cut may set it back to what the system had written, which costs the
//! ability to notice a loss among the batches since, nothing else. It also catches a database
//! that was deleted, or replaced by an older copy.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::frame::{self, ChainHash, MARK_BYTES, MarkFault};
use super::snapshot::{io_error, sync_dir};
use super::{Epoch, JournalError, Link, Position, Seq};

const NAME: &str = "witness";
const KIND: [u8; 8] = *b"TGWITNES";
const FORMAT: u32 = 1;

/// Two copies, written in turn and each in a sector of its own: whatever is torn, one is whole.
const SLOT_AT: [u64; 2] = [0, 512];
const SLOT_BYTES: usize = MARK_BYTES + 8 + 8 + 32 + 4;

/// What was known to be durable when the file was last written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Testimony {
    pub(super) epoch: Epoch,
    pub(super) head: Link,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
    path: PathBuf,
    /// The slot to write next, which is not the one that holds the newest testimony.
    next: usize,
}

impl Witness {
    /// Opens the file in `dir`, whose lock the caller holds, and reads what it remembers.
    pub(super) fn open(dir: &Path) -> Result<(Self, Option<Testimony>), JournalError> {
        let path = dir.join(NAME);
        let existed = path.exists();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io_error("open", &path))?;
        if !existed {
            sync_dir(dir)?;
        }
        let mut newest: Option<(usize, Testimony)> = None;
        for (slot, at) in SLOT_AT.into_iter().enumerate() {
            let Some(found) = read_slot(&file, at, &path)? else { continue };
            let age = |it: &Testimony| (it.epoch, it.head.seq);
            if newest.is_none_or(|(_, best)| age(&found) > age(&best)) {
                newest = Some((slot, found));
            }
        }
        if existed && newest.is_none() {
            tracing::warn!(path = %path.display(), "the witness is damaged; a new one is begun");
        }
        let next = newest.map_or(0, |(slot, _)| 1 - slot);
        Ok((Self { file, path, next }, newest.map(|(_, testimony)| testimony)))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Remembers where the log stands. Only ever called with what is durable.
    pub(super) fn note(&mut self, position: &Position) -> Result<(), JournalError> {
        let mut bytes = frame::mark(KIND, FORMAT);
        bytes.extend_from_slice(&position.epoch.0.to_le_bytes());
        bytes.extend_from_slice(&position.head.seq.0.to_le_bytes());
        bytes.extend_from_slice(&position.head.hash.0);
        frame::seal(&mut bytes);
        let written = self.file.write_all_at(&bytes, SLOT_AT[self.next]);
        written.map_err(io_error("write", &self.path))?;
        self.next = 1 - self.next;
        Ok(())
    }

    /// Makes what was noted survive a power cut.
    pub(super) fn sync(&self) -> Result<(), JournalError> {
        self.file.sync_data().map_err(io_error("sync", &self.path))
    }
}

fn read_slot(file: &File, at: u64, path: &Path) -> Result<Option<Testimony>, JournalError> {
    let mut bytes = [0; SLOT_BYTES];
    let mut filled = 0;
    while filled < SLOT_BYTES {
        let offset = at + u64::try_from(filled).unwrap_or(u64::MAX);
        match file.read_at(&mut bytes[filled..], offset).map_err(io_error("read", path))? {
            0 => return Ok(None),
            count => filled += count,
        }
    }
    let body = match frame::after_mark(&bytes, KIND, FORMAT) {
        Err(MarkFault::Unreadable) => return Ok(None),
        Err(MarkFault::Version(found)) => {
            let what = path.display().to_string();
            return Err(JournalError::UnknownFormat { what, found, known: FORMAT });
        }
        Ok(_) => match frame::unseal(&bytes) {
            Err(_) => return Ok(None),
            Ok(sealed) => &sealed[MARK_BYTES..],
        },
    };
    let number = |at| frame::array_at(body, at).map(u64::from_le_bytes);
    let (Some(epoch), Some(seq), Some(hash)) = (number(0), number(8), frame::array_at(body, 16))
    else {
        return Ok(None);
    };
    let head = Link { seq: Seq(seq), hash: ChainHash(hash) };
    Ok(Some(Testimony { epoch: Epoch(epoch), head }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64) -> Position {
        let mut position = Position::START;
        position.head.seq = Seq(seq);
        position
    }

    #[test]
    fn any_one_damaged_byte_costs_at_most_the_newest_of_two() {
        let dir = tempfile::tempdir().unwrap();
        let (mut witness, none) = Witness::open(dir.path()).unwrap();
        assert!(none.is_none());
        for seq in 1..=5 {
            witness.note(&at(seq)).unwrap();
        }
        let path = dir.path().join(NAME);
        let whole = std::fs::read(&path).unwrap();
        let remembered = || Witness::open(dir.path()).unwrap().1.unwrap().head.seq;
        assert_eq!(remembered(), Seq(5));
        for byte in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[byte] ^= 1;
            std::fs::write(&path, damaged).unwrap();
            assert!(matches!(remembered(), Seq(4 | 5)), "byte {byte}");
        }
    }

    #[test]
    fn the_newest_is_never_overwritten_first() {
        let dir = tempfile::tempdir().unwrap();
        for seq in 1..=4 {
            let (mut witness, before) = Witness::open(dir.path()).unwrap();
            assert_eq!(before.map_or(0, |it| it.head.seq.0), seq - 1);
            witness.note(&at(seq)).unwrap();
            let (other, _) = Witness::open(dir.path()).unwrap();
            assert_eq!(other.next, witness.next);
        }
    }
}

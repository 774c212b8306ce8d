//! A copy of everything that is durable in one file: taken from a broker that serves, put back
//! where there is none.
//!
//! The file, all numbers little-endian: the mark (16), a header, the snapshot, the batches since,
//! each behind its length (4) and framed as in the journal, and SHA-256 of all that (32). The
//! header: the epoch (8), whether there is a snapshot (1), its length (8), the number (8) and hash
//! (32) of the last batch in it, those of the last batch of all (8, 32), CRC-32 of the header (4).
//!
//! The batches stay framed, so a journal that was put back continues the same chain, and what a
//! backup holds is verified as the journal itself is.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::journal::frame::{self, ChainHash, MARK_BYTES, MarkFault};
use crate::journal::{Epoch, JournalError, Link, Reader, Seq};
use crate::replay::ReplayError;

pub mod restore;
pub mod save;

const KIND: [u8; 8] = *b"TGBACKUP";
/// The format of the backups this build writes and reads.
pub const BACKUP_FORMAT: u32 = 1;
const SUM_BYTES: usize = 32;
const HEADER_BYTES: usize = 8 + 1 + 8 + (8 + 32) + (8 + 32) + 4;

/// Why there is no backup, or nothing was put back.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What it holds does not lead to a state.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The state that it leads to breaks an invariant.
    #[error("the state in {path} is not sound, so nothing was put in place: {}", .faults.join("; "))]
    Unsound {
        /// The backup.
        path: PathBuf,
        /// What does not hold.
        faults: Vec<String>,
    },
    /// A file operation failed.
    #[error("could not {action} {path}: {cause}; check the disk, its space and the permissions")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system answered.
        cause: io::Error,
    },
    /// The file is no backup, or not the whole of one.
    #[error("{path} is not a whole backup: {why}; nothing was put in place, use another")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file is of a later version.
    #[error(
        "{path} has format {found}, this build knows {BACKUP_FORMAT}; use the build that wrote it"
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// The version it states.
        found: u32,
    },
    /// Something stands where the result would.
    #[error("{path} {what}; name another place, or move it away first")]
    Taken {
        /// What stands there.
        path: PathBuf,
        /// What is the matter with it.
        what: &'static str,
    },
    /// The broker cannot be reached.
    #[error("cannot reach a broker at {broker}: {why}; is it running, and listening there?")]
    Unreachable {
        /// Where it was looked for.
        broker: String,
        /// What the transport says.
        why: String,
    },
    /// The broker broke off.
    #[error("the broker gave no whole backup: {0}")]
    BrokenOff(String),
    /// Nobody takes what is sent any more.
    #[error("the backup was broken off by whoever asked for it")]
    Gone,
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_path_buf();
    move |cause| BackupError::Io { action, path, cause }
}

/// What a backup says of itself.
#[derive(Debug, Clone, Copy)]
struct Header {
    epoch: Epoch,
    /// The size of the snapshot, if there is one.
    snapshot: Option<u64>,
    /// The batch that the log continues from.
    base: Link,
    head: Link,
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&self.epoch.0.to_le_bytes());
        bytes.push(u8::from(self.snapshot.is_some()));
        bytes.extend_from_slice(&self.snapshot.unwrap_or(0).to_le_bytes());
        for link in [self.base, self.head] {
            bytes.extend_from_slice(&link.seq.0.to_le_bytes());
            bytes.extend_from_slice(&link.hash.0);
        }
        frame::seal(&mut bytes);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let body = frame::unseal(bytes).map_err(|fault| format!("its header: {fault}"))?;
        let number = |at| frame::array_at(body, at).map(u64::from_le_bytes);
        let link = |at| {
            let hash = frame::array_at(body, at + 8)?;
            Some(Link { seq: Seq(number(at)?), hash: ChainHash(hash) })
        };
        let read = || {
            let snapshot = match body.get(8)? {
                0 => None,
                _ => Some(number(9)?),
            };
            let (base, head) = (link(17)?, link(57)?);
            Some(Self { epoch: Epoch(number(0)?), snapshot, base, head })
        };
        let header = read().ok_or("its header is too short")?;
        let whole = header.snapshot.is_some() || header.base.seq == Seq::ZERO;
        if !whole || header.head.seq < header.base.seq {
            return Err("its header contradicts itself".to_owned());
        }
        Ok(header)
    }
}

/// Checks the mark that a backup begins with.
fn check_mark(bytes: &[u8], path: &Path) -> Result<(), BackupError> {
    let path = || path.to_path_buf();
    match frame::after_mark(bytes, KIND, BACKUP_FORMAT) {
        Ok(_) => Ok(()),
        Err(MarkFault::Version(found)) => Err(BackupError::UnknownFormat { path: path(), found }),
        Err(MarkFault::Unreadable) => {
            Err(BackupError::Damaged { path: path(), why: "it does not begin like one".to_owned() })
        }
    }
}

/// Where the bytes of a backup go.
type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), BackupError>;

/// Hands a backup of `journal` to `sink`, without the checksum of the whole, which it returns.
/// Every batch is verified on the way.
pub(crate) fn write(journal: &dyn Reader, sink: Sink<'_>) -> Result<[u8; 32], BackupError> {
    let mut hasher = Sha256::new();
    let mut put = |bytes: &[u8]| {
        hasher.update(bytes);
        sink(bytes)
    };
    let snapshot = journal.latest_snapshot()?;
    let after = snapshot.as_ref().map_or(Seq::ZERO, |(seq, _)| *seq);
    let uncovered = || ReplayError::Uncovered { first: journal.first() };
    let hash = journal.hash_at(after)?.ok_or_else(uncovered)?;
    let size = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let header = Header {
        epoch: journal.epoch(),
        snapshot: snapshot.as_ref().map(|(_, bytes)| size(bytes)),
        base: Link { seq: after, hash },
        head: journal.position().head,
    };
    put(&frame::mark(KIND, BACKUP_FORMAT))?;
    put(&header.encode())?;
    if let Some((_, bytes)) = snapshot {
        put(&bytes)?;
    }
    let mut chain = journal.chain_from(after.next())?;
    for stored in journal.frames_from(after.next())? {
        let (seq, bytes) = stored?;
        chain.accept(seq, &bytes)?;
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        put(&length.to_le_bytes())?;
        put(&bytes)?;
    }
    if chain.seq() != header.head.seq {
        let why = "it is missing".to_owned();
        return Err(JournalError::Corrupt { seq: chain.seq().next(), why }.into());
    }
    Ok(hasher.finalize().into())
}

/// The mark and the header together.
const BEGIN_BYTES: usize = MARK_BYTES + HEADER_BYTES;

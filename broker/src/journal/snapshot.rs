//! Snapshots: one file each, beside the log.
//!
//! A snapshot is large and read once per start, a batch is small and written all the time, so
//! they do not share a database: a file of its own can be written beside admissions, copied with
//! ordinary tools, and removed without leaving a hole.
//!
//! A file becomes a snapshot by being renamed after its bytes are on disk, so a crash leaves the
//! old ones and at most a temporary file that the next start removes. A file that is damaged all
//! the same is skipped: with the one before it and the batches since, nothing is lost.
//!
//! The bytes, all numbers little-endian: the mark of the file (16), the number of the last batch
//! in it (8), the chain hash of that batch (32), the payload, CRC-32 of everything before it (4).
//! The hash ties a snapshot to its log: one that was copied from another broker is not accepted.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::frame::{self, ChainHash, MARK_BYTES, MarkFault};
use super::{JournalError, Link, MAX_SNAPSHOT_BYTES, Seq};

const KIND: [u8; 8] = *b"TGSNAPSH";
/// The format of the snapshot files this build writes and reads.
pub const SNAPSHOT_FORMAT: u32 = 1;

/// How many whole snapshots are kept: the newest, and one to fall back to.
pub const SNAPSHOTS_KEPT: usize = 2;

const HEADER_BYTES: usize = MARK_BYTES + 8 + 32;
const CRC_BYTES: usize = 4;
/// After how many bytes what was written is synced. Appends that are synced meanwhile wait for
/// what the disk was given before them, so it is given little at once.
const SYNC_EVERY: usize = 1 << 20;
const PREFIX: &str = "snapshot-";
const SUFFIX: &str = ".bin";
const TEMPORARY: &str = ".tmp";

type WriteOnce = Box<dyn FnOnce(&[u8]) -> Result<(), JournalError> + Send>;

/// The right to store one snapshot, detached from the journal it belongs to.
pub struct SnapshotSlot {
    seq: Seq,
    write: WriteOnce,
}

impl fmt::Debug for SnapshotSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotSlot").field("seq", &self.seq).finish_non_exhaustive()
    }
}

impl SnapshotSlot {
    pub(crate) fn new(
        seq: Seq,
        write: impl FnOnce(&[u8]) -> Result<(), JournalError> + Send + 'static,
    ) -> Self {
        Self { seq, write: Box::new(write) }
    }

    /// The number of the last batch whose effect the snapshot must contain.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Stores the snapshot durably, then removes those older than the newest two.
    ///
    /// # Errors
    ///
    /// [`JournalError::SnapshotTooLarge`], or the failure of the disk. The snapshots that were
    /// there before are untouched then.
    pub fn write(self, bytes: &[u8]) -> Result<(), JournalError> {
        if bytes.len() > MAX_SNAPSHOT_BYTES {
            let (bytes, max) = (bytes.len(), MAX_SNAPSHOT_BYTES);
            return Err(JournalError::SnapshotTooLarge { bytes, max });
        }
        (self.write)(bytes)
    }
}

/// What is in a snapshot file.
#[derive(Debug)]
enum Content {
    Whole(Link, Vec<u8>),
    Damaged(String),
}

/// The snapshots of one directory.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotFiles {
    dir: PathBuf,
}

impl SnapshotFiles {
    /// Looks after the snapshots in `dir`, whose lock the caller holds, and clears away what
    /// writers that did not finish have left.
    pub(crate) fn open(dir: &Path) -> Result<Self, JournalError> {
        let files = Self { dir: dir.to_path_buf() };
        for name in files.names()? {
            if name.starts_with(PREFIX) && name.ends_with(TEMPORARY) {
                let path = dir.join(name);
                fs::remove_file(&path).map_err(io_error("remove the unfinished", &path))?;
            }
        }
        Ok(files)
    }

    pub(crate) fn path_of(&self, seq: Seq) -> PathBuf {
        self.dir.join(format!("{PREFIX}{:020}{SUFFIX}", seq.0))
    }

    /// Stores the state after `link`.
    pub(crate) fn write(&self, link: Link, bytes: &[u8]) -> Result<(), JournalError> {
        let path = self.path_of(link.seq);
        let temporary = path.with_extension("bin.tmp");
        let mut header = frame::mark(KIND, SNAPSHOT_FORMAT);
        header.extend_from_slice(&link.seq.0.to_le_bytes());
        header.extend_from_slice(&link.hash.0);
        let mut crc = crc32fast::Hasher::new();
        crc.update(&header);
        crc.update(bytes);
        let write = || -> io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(&header)?;
            for piece in bytes.chunks(SYNC_EVERY) {
                file.write_all(piece)?;
                file.sync_data()?;
            }
            file.write_all(&crc.finalize().to_le_bytes())?;
            // Before the rename: a name must never point at bytes that are not there yet.
            file.sync_all()
        };
        write().map_err(io_error("write", &temporary))?;
        fs::rename(&temporary, &path).map_err(io_error("rename the finished", &temporary))?;
        sync_dir(&self.dir)?;
        self.remove_superseded();
        Ok(())
    }

    /// What a snapshot holds, or why it cannot be used, which `belongs` says of whole ones.
    pub(crate) fn usable(
        &self,
        seq: Seq,
        belongs: impl Fn(Link) -> Result<bool, JournalError>,
    ) -> Result<Result<Vec<u8>, String>, JournalError> {
        Ok(match self.read(seq)? {
            Content::Whole(link, bytes) if belongs(link)? => Ok(bytes),
            Content::Whole(..) => Err("it is the snapshot of another journal".to_owned()),
            Content::Damaged(why) => Err(why),
        })
    }

    /// The number of the newest whole snapshot past `seq`, or at it.
    pub(crate) fn newest_whole_from(&self, seq: Seq) -> Result<Option<Seq>, JournalError> {
        for found in self.newest_first()?.into_iter().take_while(|&found| found >= seq) {
            match self.read(found)? {
                Content::Whole(..) => return Ok(Some(found)),
                Content::Damaged(why) => self.skip(found, &why),
            }
        }
        Ok(None)
    }

    fn skip(&self, seq: Seq, why: &str) {
        let path = self.path_of(seq);
        tracing::warn!(path = %path.display(), why, "snapshot skipped, an older one serves");
    }

    /// Removes every snapshot older than the newest two whole ones. A damaged one among those
    /// stays for inspection until it is older than both; it never counts as one of the two.
    fn remove_superseded(&self) {
        let removed = || -> Result<(), JournalError> {
            let mut whole = 0;
            for seq in self.newest_first()? {
                if whole >= SNAPSHOTS_KEPT {
                    let path = self.path_of(seq);
                    fs::remove_file(&path).map_err(io_error("remove the superseded", &path))?;
                } else if let Content::Whole(..) = self.read(seq)? {
                    whole += 1;
                }
            }
            Ok(())
        };
        // The new snapshot is durable, which is what was asked for; space is a lesser worry.
        if let Err(error) = removed() {
            tracing::warn!(%error, "superseded snapshots were left behind");
        }
    }

    pub(crate) fn newest_first(&self) -> Result<Vec<Seq>, JournalError> {
        let number = |name: &str| {
            let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
            digits.parse().ok().map(Seq)
        };
        let mut found: Vec<Seq> = self.names()?.iter().filter_map(|name| number(name)).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found)
    }

    fn names(&self) -> Result<Vec<String>, JournalError> {
        let list = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(&self.dir)? {
                // A name that is no text is none of ours.
                names.extend(entry?.file_name().into_string());
            }
            Ok(names)
        };
        list().map_err(io_error("list", &self.dir))
    }

    fn read(&self, seq: Seq) -> Result<Content, JournalError> {
        let path = self.path_of(seq);
        let most = u64::try_from(HEADER_BYTES + MAX_SNAPSHOT_BYTES + CRC_BYTES).unwrap_or(u64::MAX);
        let load = || -> io::Result<Option<Vec<u8>>> {
            let mut file = File::open(&path)?;
            let length = file.metadata()?.len();
            if length > most {
                return Ok(None);
            }
            let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
            file.read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        };
        let Some(mut bytes) = load().map_err(io_error("read", &path))? else {
            return Ok(Content::Damaged("it is larger than any snapshot".to_owned()));
        };
        match frame::after_mark(&bytes, KIND, SNAPSHOT_FORMAT) {
            Ok(_) => {}
            Err(MarkFault::Unreadable) => {
                return Ok(Content::Damaged("it does not begin like a snapshot".to_owned()));
            }
            // Not skipped: falling back to an older one would silently undo an upgrade.
            Err(MarkFault::Version(found)) => {
                return Err(JournalError::UnknownFormat {
                    what: path.display().to_string(),
                    found,
                    known: SNAPSHOT_FORMAT,
                });
            }
        }
        if let Err(fault) = frame::unseal(&bytes) {
            return Ok(Content::Damaged(fault.to_string()));
        }
        let stated = frame::array_at(&bytes, MARK_BYTES).map(u64::from_le_bytes);
        let hash = frame::array_at(&bytes, MARK_BYTES + 8);
        let (Some(hash), true) = (hash, bytes.len() >= HEADER_BYTES + CRC_BYTES) else {
            return Ok(Content::Damaged("it is too short".to_owned()));
        };
        if stated != Some(seq.0) {
            return Ok(Content::Damaged("it is named after another number".to_owned()));
        }
        bytes.truncate(bytes.len() - CRC_BYTES);
        bytes.drain(..HEADER_BYTES);
        Ok(Content::Whole(Link { seq, hash: ChainHash(hash) }, bytes))
    }
}

/// Makes the names in `dir` durable: a synced file in an unsynced directory can vanish.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), JournalError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("sync the directory", dir))
}

/// Names what was tried on which file when the operating system said no.
pub(crate) fn io_error(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_path_buf();
    move |cause| JournalError::Io { action, path, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(seq: u64) -> Link {
        Link { seq: Seq(seq), hash: ChainHash([7; 32]) }
    }

    /// The newest that can be used, where all but `not` belong.
    fn latest_but(files: &SnapshotFiles, not: u64) -> Result<Option<(Seq, Vec<u8>)>, JournalError> {
        for seq in files.newest_first()? {
            if let Ok(bytes) = files.usable(seq, |link| Ok(link.seq != Seq(not)))? {
                return Ok(Some((seq, bytes)));
            }
        }
        Ok(None)
    }

    fn latest(files: &SnapshotFiles) -> Option<(Seq, Vec<u8>)> {
        latest_but(files, 0).unwrap()
    }

    #[test]
    fn the_newest_whole_one_wins_however_the_newer_one_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let files = SnapshotFiles::open(dir.path()).unwrap();
        files.write(link(3), b"the older state").unwrap();
        files.write(link(8), b"the newer state").unwrap();
        let path = files.path_of(Seq(8));
        let whole = fs::read(&path).unwrap();
        let older = Some((Seq(3), b"the older state".to_vec()));
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&path, &damaged).unwrap();
            assert_eq!(latest(&files), older, "byte {at} flipped");
            fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(latest(&files), older, "cut to {at} bytes");
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(latest(&files), Some((Seq(8), b"the newer state".to_vec())));
        assert_eq!(latest_but(&files, 8).unwrap(), older);
    }

    #[test]
    fn two_whole_ones_are_kept_and_a_damaged_one_is_not_counted() {
        let dir = tempfile::tempdir().unwrap();
        let files = SnapshotFiles::open(dir.path()).unwrap();
        for seq in [2, 4, 6] {
            files.write(link(seq), b"state").unwrap();
        }
        assert_eq!(files.newest_first().unwrap(), [Seq(6), Seq(4)]);
        fs::write(files.path_of(Seq(6)), b"torn").unwrap();
        files.write(link(8), b"state").unwrap();
        assert_eq!(files.newest_first().unwrap(), [Seq(8), Seq(6), Seq(4)]);
        files.write(link(10), b"state").unwrap();
        assert_eq!(files.newest_first().unwrap(), [Seq(10), Seq(8)]);
    }

    #[test]
    fn what_an_interrupted_writer_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join("snapshot-00000000000000000009.bin.tmp");
        fs::write(&left, b"half").unwrap();
        fs::write(dir.path().join("notes.tmp"), b"not ours").unwrap();
        let files = SnapshotFiles::open(dir.path()).unwrap();
        assert_eq!(latest(&files), None);
        assert!(!left.exists());
        assert!(dir.path().join("notes.tmp").exists());
    }

    #[test]
    fn a_later_format_is_refused_not_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let files = SnapshotFiles::open(dir.path()).unwrap();
        files.write(link(3), b"the older state").unwrap();
        let mut later = frame::mark(KIND, 2);
        later.extend_from_slice(b"who knows");
        fs::write(files.path_of(Seq(5)), later).unwrap();
        let error = latest_but(&files, 0).unwrap_err();
        assert!(matches!(error, JournalError::UnknownFormat { found: 2, known: 1, .. }), "{error}");
    }
}

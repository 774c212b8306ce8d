//! Puts a backup back, all of it or nothing.
//!
//! Everything is verified and written beside the place where it is to stand: the checksum of the
//! file, the chain of its batches, the state that they lead to. One rename then puts it in place.

use std::fs::{self, DirBuilder, File};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tidegate_core::{Limits, audit};

use super::{BEGIN_BYTES, BackupError, Header, MARK_BYTES, SUM_BYTES, check_mark, io_error};
use crate::audit::Standing;
use crate::clock;
use crate::journal::frame::Chain;
use crate::journal::snapshot::sync_dir;
use crate::journal::{Epoch, MAX_BATCH_BYTES, MAX_SNAPSHOT_BYTES, Restoring, Seq};
use crate::replay::{self, Replayed};

/// The most that a frame adds to its batch, and more.
const FRAME_MAX: usize = MAX_BATCH_BYTES + 1024;
/// How much is read at once while the checksum is computed.
const PIECE: usize = 1 << 20;

/// Puts the backup `file` in place as the journal directory `dir`, which must be missing or empty.
///
/// # Errors
/// [`BackupError`]; `dir` is as it was then.
pub fn restore(file: &Path, dir: &Path) -> Result<Standing, BackupError> {
    let taken = |what| BackupError::Taken { path: dir.into(), what };
    match fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
        Ok(true) => return Err(taken("is not empty")),
        Err(_) if dir.exists() => return Err(taken("is not a directory")),
        Ok(false) | Err(_) => {}
    }
    let mut backup = Backup::open(file)?;
    let unfinished = beside(dir, ".restoring");
    let made = DirBuilder::new().mode(0o700).create(&unfinished);
    made.map_err(|cause| match cause.kind() {
        std::io::ErrorKind::AlreadyExists => BackupError::Taken {
            path: unfinished.clone(),
            what: "was left by a restore that was interrupted, or one is running",
        },
        _ => BackupError::Io { action: "make", path: unfinished.clone(), cause },
    })?;
    let restored = backup.unpack(&unfinished).and_then(|standing| {
        fs::rename(&unfinished, dir).map_err(io_error("put in place", &unfinished))?;
        sync_dir(dir.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
        Ok(standing)
    });
    if restored.is_err() && unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(io_error("remove the unfinished", &unfinished))?;
    }
    restored
}

/// A name beside a directory's own.
fn beside(dir: &Path, suffix: &str) -> PathBuf {
    let mut name: std::ffi::OsString = dir.components().collect::<PathBuf>().into();
    name.push(suffix);
    name.into()
}

/// A backup whose checksum holds, being read.
struct Backup {
    path: PathBuf,
    file: BufReader<File>,
    /// What is left before the checksum.
    left: u64,
}

impl Backup {
    fn open(path: &Path) -> Result<Self, BackupError> {
        let file = File::open(path).map_err(io_error("open", path))?;
        let length = file.metadata().map_err(io_error("examine", path))?.len();
        let mut file = BufReader::new(file);
        let sum_at = length.saturating_sub(u64::try_from(SUM_BYTES).unwrap_or(0));
        let mut backup = Self { path: path.into(), file, left: sum_at };
        let mark = backup.take(MARK_BYTES.min(usize::try_from(sum_at).unwrap_or(usize::MAX)))?;
        check_mark(&mark, path)?;
        let mut hasher = Sha256::new();
        hasher.update(&mark);
        while 0 < backup.left {
            let piece = backup.left.min(u64::try_from(PIECE).unwrap_or(u64::MAX));
            hasher.update(backup.take(usize::try_from(piece).unwrap_or(PIECE))?);
        }
        file = backup.file;
        let mut stated = [0; SUM_BYTES];
        file.read_exact(&mut stated).map_err(io_error("read", path))?;
        let computed: [u8; SUM_BYTES] = hasher.finalize().into();
        if stated != computed {
            let why = "its checksum is that of other bytes".to_owned();
            return Err(BackupError::Damaged { path: path.into(), why });
        }
        file.seek(SeekFrom::Start(0)).map_err(io_error("read", path))?;
        Ok(Self { path: path.into(), file, left: sum_at })
    }

    fn damaged(&self, why: impl Into<String>) -> BackupError {
        BackupError::Damaged { path: self.path.clone(), why: why.into() }
    }

    /// The next bytes.
    fn take(&mut self, count: usize) -> Result<Vec<u8>, BackupError> {
        let wanted = u64::try_from(count).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(wanted).ok_or_else(|| self.damaged("it is too short"))?;
        let mut bytes = vec![0; count];
        self.file.read_exact(&mut bytes).map_err(io_error("read", &self.path))?;
        Ok(bytes)
    }

    /// Verifies everything and writes it as a journal in `dir`.
    fn unpack(&mut self, dir: &Path) -> Result<Standing, BackupError> {
        let begin = self.take(BEGIN_BYTES)?;
        let header = Header::decode(&begin[MARK_BYTES..]).map_err(|why| self.damaged(why))?;
        let snapshot = match header.snapshot {
            None => None,
            Some(bytes) => match usize::try_from(bytes) {
                Ok(bytes) if bytes <= MAX_SNAPSHOT_BYTES => Some(self.take(bytes)?),
                _ => return Err(self.damaged("its snapshot is larger than any")),
            },
        };
        let mut restoring = Restoring::begin(dir, header.epoch, header.base)?;
        if let Some(bytes) = &snapshot {
            restoring.put_snapshot(bytes)?;
        }
        let limits = Limits::default();
        let mut replayed = replay::begin(&limits, snapshot.map(|bytes| (header.base.seq, bytes)))?;
        self.batches(&header, &mut replayed, &mut restoring)?;
        restoring.finish(dir)?;
        let now = clock::wall().max(replayed.machine.clock());
        let faults = audit::audit(&replayed.machine, now);
        if !faults.is_empty() {
            return Err(BackupError::Unsound { path: self.path.clone(), faults });
        }
        Ok(Standing::of(replayed.head, replayed.machine))
    }

    fn batches(
        &mut self,
        header: &Header,
        replayed: &mut Replayed,
        restoring: &mut Restoring,
    ) -> Result<(), BackupError> {
        let mut chain = Chain::after(header.base, Epoch::ZERO, header.epoch);
        while 0 < self.left {
            let length = self.take(4)?;
            let length = length.try_into().map_or(0, u32::from_le_bytes);
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if FRAME_MAX < length {
                return Err(self.damaged("a batch is larger than any"));
            }
            let frame = self.take(length)?;
            let seq: Seq = chain.seq().next();
            let payload = chain.accept(seq, &frame)?;
            replayed.batch(seq, payload)?;
            restoring.put(seq, frame)?;
        }
        if (chain.seq(), chain.hash()) != (header.head.seq, header.head.hash) {
            return Err(self.damaged(format!(
                "it ends at batch {}, and should at {}",
                chain.seq(),
                header.head.seq
            )));
        }
        Ok(())
    }
}

//! A file that is not complete yet, and what is known of it, so that a later try goes on from there.

use std::ffi::OsString;
use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::FallocateFlags;
use serde::{Deserialize, Serialize};
use tokio::sync::RwLock;

use super::blocks::Blocks;
use super::error::DownloadError;

/// How often, and after which pause, a part is asked for that somebody else has: a download that was
/// dropped a moment ago keeps it until a disk has taken its last step.
const BUSY_TRIES: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(25);

/// What is known of a file that is not complete yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// Where its bytes came from.
    pub(super) source: String,
    /// What told that content from others.
    pub(super) tag: Option<String>,
    /// How long it will be.
    pub(super) size: Option<u64>,
    /// Which bytes of it are there, durably.
    pub(super) blocks: Blocks,
}

/// The part beside a destination: `.NAME.part`, with its checkpoint `.NAME.part.json`. Nobody else
/// has it while it is open. Dropped, it stays if there is a checkpoint, and else goes.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) path: PathBuf,
    notes: PathBuf,
    /// Locked as long as it is open, also by a thread that still works for a download that is gone.
    file: Arc<std::fs::File>,
    /// Shared by every thread that writes: whoever needs it still waits for all of them.
    writing: Arc<RwLock<()>>,
    /// How many bytes the last checkpoint holds: no older one replaces it, and none at all is written
    /// for a part that is gone.
    noted: Arc<Mutex<u64>>,
    /// There is a checkpoint that a later try can use.
    saved: Arc<AtomicBool>,
}

impl Part {
    /// Opens the part of a destination, with what is known of it.
    pub(crate) async fn open(destination: &Path) -> Result<(Self, Checkpoint), DownloadError> {
        let name = destination.file_name().ok_or_else(|| {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "it names no file");
            DownloadError::file(destination, error)
        })?;
        let beside = |end: &str| {
            let mut hidden = OsString::from(".");
            hidden.push(name);
            hidden.push(end);
            destination.with_file_name(hidden)
        };
        let (path, notes) = (beside(".part"), beside(".part.json"));
        let destination = destination.to_owned();
        let open = || {
            let (destination, path, notes) = (destination.clone(), path.clone(), notes.clone());
            blocking(move || Self::open_now(&destination, path, notes))
        };
        for _ in 0..BUSY_TRIES {
            match open().await {
                Err(DownloadError::Busy { .. }) => tokio::time::sleep(BUSY_PAUSE).await,
                opened => return opened,
            }
        }
        open().await
    }

    fn open_now(
        destination: &Path,
        path: PathBuf,
        notes: PathBuf,
    ) -> Result<(Self, Checkpoint), DownloadError> {
        let fault = |error| DownloadError::file(&path, error);
        loop {
            let mut options = std::fs::File::options();
            let options = options.read(true).write(true).create(true).truncate(false);
            let file = options.open(&path).map_err(fault)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(DownloadError::Busy { path: destination.to_owned() });
                }
                Err(TryLockError::Error(error)) => return Err(fault(error)),
            }
            // Whoever had it may have given it its final name just now.
            let own = file.metadata().map_err(fault)?;
            let same = std::fs::metadata(&path).is_ok_and(|it| it.ino() == own.ino());
            if same {
                let known = read(&notes).filter(|it| it.blocks.is_sound(Some(own.len())));
                if known.is_none() {
                    // What it does not fit must not be taken for what is written now.
                    gone(&notes).map_err(|error| DownloadError::file(&notes, error))?;
                }
                let saved = Arc::new(AtomicBool::new(known.is_some()));
                let file = Arc::new(file);
                let (writing, noted) = (Arc::default(), Arc::default());
                let part = Self { path: path.clone(), notes, file, writing, noted, saved };
                return Ok((part, known.unwrap_or_default()));
            }
        }
    }

    /// Writes the first `count` bytes of a buffer, and gives the buffer back.
    pub(crate) async fn write(
        &self,
        (buffer, count): (Vec<u8>, usize),
        at: u64,
    ) -> Result<Vec<u8>, DownloadError> {
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        let writing = Arc::clone(&self.writing).read_owned().await;
        blocking(move || {
            let written = file.write_all_at(buffer.get(..count).unwrap_or_default(), at);
            drop(writing);
            written.map(|()| buffer).map_err(|error| DownloadError::file(&path, error))
        })
        .await
    }

    /// Another handle on it, at its first byte; as long as it is open, so is the part for others.
    pub(crate) fn handle(&self) -> Result<std::fs::File, DownloadError> {
        self.file.try_clone().map_err(|error| DownloadError::file(&self.path, error))
    }

    /// A handle to read with.
    pub(crate) fn reader(&self) -> Result<std::fs::File, DownloadError> {
        std::fs::File::open(&self.path).map_err(|error| DownloadError::file(&self.path, error))
    }

    /// Takes the room that it will need, so that a full disk is known before it is full.
    pub(crate) async fn reserve(&self, size: u64) -> Result<(), DownloadError> {
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        blocking(move || {
            match rustix::fs::fallocate(&*file, FallocateFlags::empty(), 0, size.max(1)) {
                // Not every file system can say so beforehand.
                Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
                Err(error) => Err(DownloadError::file(&path, error.into())),
            }
        })
        .await
    }

    /// Makes what has been written durable, then says so in its checkpoint.
    pub(crate) async fn save(&self, known: &Checkpoint) -> Result<(), DownloadError> {
        let (file, noted) = (Arc::clone(&self.file), Arc::clone(&self.noted));
        let (path, notes, known) = (self.path.clone(), self.notes.clone(), known.clone());
        let writing = Arc::clone(&self.writing).read_owned().await;
        let saved = Arc::clone(&self.saved);
        blocking(move || {
            let synced = file.sync_data().map_err(|error| DownloadError::file(&path, error));
            let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
            let count = known.blocks.len();
            let noting = synced.and_then(|()| match *noted <= count {
                true => write(&notes, &known)
                    .map(|()| saved.store(true, Ordering::Relaxed))
                    .map_err(|error| DownloadError::file(&notes, error)),
                false => Ok(()),
            });
            *noted = count.max(*noted);
            drop(writing);
            noting
        })
        .await
    }

    /// What is there is of no use: the next byte is the first.
    pub(crate) async fn discard(&self) -> Result<(), DownloadError> {
        // What a thread still writes for a stream that was given up must not come behind this.
        let _all = self.writing.write().await;
        self.saved.store(false, Ordering::Relaxed);
        *self.noted.lock().unwrap_or_else(PoisonError::into_inner) = 0;
        gone(&self.notes).map_err(|error| DownloadError::file(&self.notes, error))?;
        self.file.set_len(0).map_err(|error| DownloadError::file(&self.path, error))
    }

    /// Gives it its final name and length, durably.
    pub(crate) async fn keep(self, destination: &Path, size: u64) -> Result<(), DownloadError> {
        let destination = destination.to_owned();
        drop(self.writing.write().await);
        blocking(move || {
            let fault = |error| DownloadError::file(&destination, error);
            self.file.set_len(size).map_err(fault)?;
            self.file.sync_all().map_err(fault)?;
            std::fs::rename(&self.path, &destination).map_err(fault)?;
            // What is at its old place from now on is somebody else's.
            self.saved.store(true, Ordering::Relaxed);
            // The name is durable once its directory is.
            let parent = destination.parent().filter(|path| !path.as_os_str().is_empty());
            let directory = std::fs::File::open(parent.unwrap_or(Path::new("."))).map_err(fault)?;
            directory.sync_all().map_err(fault)?;
            // Only now: without it a crash in between would begin anew.
            if let Err(error) = gone(&self.notes) {
                tracing::warn!(path = %self.notes.display(), %error, "a checkpoint is left behind");
            }
            Ok(())
        })
        .await
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // A thread may be about to write a checkpoint for a download that is gone.
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if self.saved.load(Ordering::Relaxed) {
            return;
        }
        *noted = u64::MAX;
        for path in [&self.notes, &self.path] {
            if let Err(error) = gone(path) {
                tracing::warn!(path = %path.display(), %error, "a part is left behind");
            }
        }
    }
}

/// Removes a file, if it is there.
fn gone(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A checkpoint that cannot be read is none.
fn read(notes: &Path) -> Option<Checkpoint> {
    serde_json::from_slice(&std::fs::read(notes).ok()?).ok()
}

/// Never half of one: it is written beside, then renamed.
fn write(notes: &Path, known: &Checkpoint) -> io::Result<()> {
    let beside = notes.with_extension("json.new");
    std::fs::write(&beside, serde_json::to_vec(known)?)?;
    std::fs::rename(&beside, notes)
}

/// File calls wait for disks, and a disk may take its time.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DownloadError> + Send + 'static,
) -> Result<T, DownloadError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that shuts down cancels it.
            Err(error) => Err(DownloadError::file(Path::new(""), io::Error::other(error))),
        },
    }
}

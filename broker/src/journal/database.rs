//! The redb database under the embedded journal: its tables, its beginning, how it is opened.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use redb::{
    Builder, Database, DatabaseError, ReadTransaction, ReadableTable, StorageError,
    TableDefinition, TableError, WriteTransaction,
};

use super::frame::{self, ChainHash, MarkFault};
use super::snapshot::{io_error, sync_dir};
use super::{Epoch, JournalError, Link, Position, Seq};

/// The name of the database in its directory.
pub const DATABASE: &str = "journal.redb";
/// The format of the database this build writes and reads.
pub const JOURNAL_FORMAT: u32 = 1;

pub(super) const KIND: [u8; 8] = *b"TGJOURNL";
// The name and types of `meta` and its key `format` never change: by them any build can tell a
// journal that is too new for it.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
pub(super) const BATCHES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("batches");
pub(super) const FORMAT_KEY: &str = "format";
const STATE_KEY: &str = "state";

/// What the database may keep in memory. Batches are written once and read once per start, so a
/// cache serves only the upper pages of the tree; the library's default of 1 GiB would be waste.
const CACHE_BYTES: usize = 64 << 20;

/// When a start shrinks the file.
///
/// The file never shrinks by itself: after a truncation its pages wait to be used again. That is
/// fine up to a point, beyond which the space is worth a copy. Copying costs in proportion to
/// what is kept, so much of that is left alone: a start must not take minutes for tidiness, and
/// the next truncation will make the copy cheap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compaction {
    pub(super) file_bytes_min: u64,
    pub(super) kept_bytes_max: u64,
}

pub(super) const COMPACTION: Compaction =
    Compaction { file_bytes_min: 64 << 20, kept_bytes_max: 256 << 20 };

pub(super) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    // A plain open trusts a file that was closed in order and may panic where it was damaged since.
    // The check costs what a recovery costs, and the log is short: truncation keeps it so.
    builder.set_check_integrity_on_open(true);
    builder
}

/// Makes the database under another name and gives it its own when it is whole. A power cut in
/// between would else leave a file that no later start can tell from a damaged one.
pub(super) fn begin(dir: &Path, path: &Path) -> Result<(), JournalError> {
    // There is no database yet to lock, so for this moment the directory itself is.
    let lock = File::open(dir).map_err(io_error("open", dir))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(JournalError::Locked { dir: dir.to_path_buf() });
        }
        Err(TryLockError::Error(error)) => return Err(io_error("lock", dir)(error)),
    }
    if path.exists() {
        return Ok(());
    }
    let unfinished = path.with_extension("redb.tmp");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("remove the unfinished", &unfinished)(error));
        }
        _ => {}
    }
    let made = builder().create(&unfinished).and_then(Database::close);
    made.map_err(|error| refused(dir, &unfinished, error))?;
    fs::rename(&unfinished, path).map_err(io_error("rename the finished", &unfinished))?;
    sync_dir(dir)
}

/// Reads where the log stands; nothing when the database was never used.
pub(super) fn load(read: &ReadTransaction, path: &Path) -> Result<Option<Position>, JournalError> {
    let foreign =
        |why: &str| JournalError::NotAJournal { path: path.to_path_buf(), why: why.to_owned() };
    let damaged =
        |why: &str| JournalError::Damaged { path: path.to_path_buf(), why: why.to_owned() };
    let meta = match read.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => {
            let mut tables = read.list_tables().map_err(storage("read"))?;
            return match tables.next() {
                Some(_) => Err(foreign("it is the database of another program")),
                None => Ok(None),
            };
        }
        Err(TableError::Storage(error)) => return Err(storage("read")(error)),
        Err(error) => return Err(foreign(&error.to_string())),
    };
    let format = meta.get(FORMAT_KEY).map_err(storage("read"))?;
    match format.map(|bytes| frame::after_mark(bytes.value(), KIND, JOURNAL_FORMAT).map(|_| ())) {
        Some(Ok(())) => {}
        Some(Err(MarkFault::Version(found))) => {
            let what = path.display().to_string();
            return Err(JournalError::UnknownFormat { what, found, known: JOURNAL_FORMAT });
        }
        Some(Err(MarkFault::Unreadable)) => return Err(damaged("its format cannot be read")),
        None => return Err(foreign("it states no format")),
    }
    let state = meta.get(STATE_KEY).map_err(storage("read"))?;
    let Some((epoch, base)) = state.and_then(|bytes| read_state(bytes.value())) else {
        return Err(damaged("its state cannot be read"));
    };
    let batches = read.open_table(BATCHES).map_err(storage("read"))?;
    let (first, last) =
        (batches.first().map_err(storage("read"))?, batches.last().map_err(storage("read"))?);
    let mut head = base;
    if let (Some((first, _)), Some((last, bytes))) = (first, last) {
        if first.value() != base.seq.next().0 {
            let why = "the log begins later than it should".to_owned();
            return Err(JournalError::Corrupt { seq: base.seq.next(), why });
        }
        let (link, written) = frame::link_of(Seq(last.value()), bytes.value())?;
        if written > epoch {
            return Err(damaged("its last batch is of an epoch that has not begun"));
        }
        head = link;
    }
    Ok(Some(Position { epoch, base, head }))
}

pub(super) fn put_state(
    transaction: &WriteTransaction,
    position: &Position,
) -> Result<(), redb::Error> {
    let mut state = Vec::new();
    state.extend_from_slice(&position.epoch.0.to_le_bytes());
    state.extend_from_slice(&position.base.seq.0.to_le_bytes());
    state.extend_from_slice(&position.base.hash.0);
    frame::seal(&mut state);
    let mut meta = transaction.open_table(META)?;
    meta.insert(FORMAT_KEY, frame::mark(KIND, JOURNAL_FORMAT).as_slice())?;
    meta.insert(STATE_KEY, state.as_slice())?;
    Ok(())
}

fn read_state(bytes: &[u8]) -> Option<(Epoch, Link)> {
    let state = frame::unseal(bytes).ok()?;
    let number = |at| frame::array_at(state, at).map(u64::from_le_bytes);
    let hash = ChainHash(frame::array_at(state, 16)?);
    Some((Epoch(number(0)?), Link { seq: Seq(number(8)?), hash }))
}

pub(super) fn compact(
    database: &mut Database,
    size: u64,
    when: Compaction,
) -> Result<(), redb::Error> {
    if size < when.file_bytes_min {
        return Ok(());
    }
    let transaction = database.begin_write()?;
    let stats = transaction.stats()?;
    transaction.abort()?;
    let page = u64::try_from(stats.page_size()).unwrap_or(u64::MAX);
    let kept = stats.allocated_pages().saturating_mul(page);
    if kept <= when.kept_bytes_max && kept <= size / 2 {
        database.compact()?;
        tracing::info!(size, kept, "the journal file was compacted");
    }
    Ok(())
}

/// Says in the words of a journal why the database did not open.
pub(super) fn refused(dir: &Path, path: &Path, error: DatabaseError) -> JournalError {
    let path = path.to_path_buf();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            JournalError::Locked { dir: dir.to_path_buf() }
        }
        DatabaseError::UpgradeRequired(found) => JournalError::UnknownFormat {
            what: format!("the database file {}", path.display()),
            found: u32::from(found),
            known: 3,
        },
        DatabaseError::Storage(StorageError::Corrupted(why)) => JournalError::Damaged { path, why },
        DatabaseError::Storage(StorageError::Io(cause)) => {
            if cause.kind() == io::ErrorKind::InvalidData {
                return JournalError::NotAJournal { path, why: cause.to_string() };
            }
            JournalError::Io { action: "open", path, cause }
        }
        other => storage("open")(other),
    }
}

pub(super) fn storage<E: Into<redb::Error>>(
    action: &'static str,
) -> impl FnOnce(E) -> JournalError {
    move |cause| match cause.into() {
        redb::Error::DatabaseClosed => JournalError::Closed,
        cause => JournalError::Storage { action, cause: Box::new(cause) },
    }
}

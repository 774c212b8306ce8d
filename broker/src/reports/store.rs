//! The database of reports, beside the journal and never in it: what is kept, and how it gets there.
//!
//! | table | what |
//! |-------|------|
//! | `meta` | the format, since when and until when everything is accounted for |
//! | `names` | name to short number, see [`super::names`] |
//! | `cells` | (grain, block, name) to the cells of the block, see [`super::cell`] |
//! | `limits` | (name of a lane, instant) to what it can carry from then on |
//! | `counted` | reservation to the bytes of it that are in the cells |
//! | `refusals` | (grain, bucket) to what was refused alike in it |
//! | `closed` | (instant, reservation) to a reservation as it was when it was closed |
//! | `coarse` | since and until when there are no minutes, because the broker was away |
//! | `findings` | lane, observer and kind to what was last found wrong |
//!
//! Nothing decides anything by it, so a file that is damaged is put aside and another begun: what is lost
//! is history.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message;
use redb::backends::InMemoryBackend;
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError,
    WriteTransaction,
};
use thiserror::Error;
use tidegate_proto::v1;

use super::cell::Cell;
use super::grain::Grain;
use super::names::{NameId, Names};
use super::refused::Groups;
use super::varint::Reader;

/// The name of the database in its directory.
pub(crate) const FILE: &str = "reports.redb";
/// The format that this build writes and reads.
const FORMAT: u64 = 1;
/// What the database may keep in memory.
const CACHE_BYTES: usize = 64 << 20;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const NAMES: TableDefinition<'_, &str, NameId> = TableDefinition::new("names");
const CELLS: TableDefinition<'_, (u8, i64, NameId), &[u8]> = TableDefinition::new("cells");
const LIMITS: TableDefinition<'_, (NameId, i64), u64> = TableDefinition::new("limits");
const COUNTED: TableDefinition<'_, u128, u64> = TableDefinition::new("counted");
const REFUSALS: TableDefinition<'_, (u8, i64), &[u8]> = TableDefinition::new("refusals");
const CLOSED: TableDefinition<'_, (i64, u128), &[u8]> = TableDefinition::new("closed");
const COARSE: TableDefinition<'_, i64, i64> = TableDefinition::new("coarse");
const FINDINGS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("findings");

/// Why reports cannot be kept or read.
#[derive(Debug, Error)]
pub enum ReportsError {
    /// The file is of a later build.
    #[error(
        "{}: its format is {found}, this build knows {FORMAT}; run the build that wrote it, or move \
         the file away to begin its history anew", .path.display()
    )]
    UnknownFormat {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The file cannot be used.
    #[error("cannot use the database of reports: {0}")]
    Database(String),
    /// The thread that keeps them ended.
    #[error("the reports are not kept any more; restart the broker and report it")]
    Ended,
}

fn failed(error: impl Into<redb::Error>) -> ReportsError {
    ReportsError::Database(error.into().to_string())
}

/// A reservation as it was when it was closed, and its place: that instant and its identifier.
pub(crate) type Archived = ((i64, u128), v1::Reservation);
/// The cells of a block by their places in it.
type Block = BTreeMap<u8, Cell>;

/// What is to be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending {
    pub(crate) names: Vec<(String, NameId)>,
    pub(crate) cells: BTreeMap<(Grain, i64, NameId), Block>,
    pub(crate) limits: BTreeMap<(NameId, i64), u64>,
    /// `None` is forgotten.
    pub(crate) counted: BTreeMap<u128, Option<u64>>,
    pub(crate) refusals: BTreeMap<(Grain, i64), Groups>,
    pub(crate) closed: BTreeMap<(i64, u128), v1::Reservation>,
    pub(crate) coarse: BTreeMap<i64, i64>,
    /// `None` is mended.
    pub(crate) findings: BTreeMap<String, Option<v1::Finding>>,
}

impl Pending {
    /// Adds to a cell.
    pub(crate) fn add(&mut self, grain: Grain, bucket: i64, name: NameId, cell: &Cell) {
        let (block, index) = grain.place(bucket);
        self.cells.entry((grain, block, name)).or_default().entry(index).or_default().merge(cell);
    }
}

/// The database.
#[derive(Debug)]
pub(crate) struct Store {
    database: Database,
}

/// What a start finds.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) names: Names,
    pub(crate) counted: BTreeMap<u128, u64>,
    pub(crate) limits: BTreeMap<NameId, u64>,
    /// Since when and until when everything is accounted for; `None` of a new one.
    pub(crate) since: Option<i64>,
    pub(crate) until: Option<i64>,
}

impl Store {
    /// Opens the database in a directory, or one in memory.
    pub(crate) fn open(dir: Option<&Path>) -> Result<Self, ReportsError> {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
        let database = match dir {
            None => builder.create_with_backend(InMemoryBackend::new()).map_err(failed)?,
            Some(dir) => {
                let path = dir.join(FILE);
                match builder.create(&path) {
                    Ok(database) => database,
                    Err(error) => {
                        let aside = put_aside(&path).map_err(|why| {
                            ReportsError::Database(format!("{}: {error}; {why}", path.display()))
                        })?;
                        tracing::error!(
                            %error, aside = %aside.display(),
                            "the database of reports cannot be read; its history begins anew"
                        );
                        builder.create(&path).map_err(failed)?
                    }
                }
            }
        };
        let store = Self { database };
        store.begin(dir)?;
        Ok(store)
    }

    /// Makes the tables, if they are not there.
    fn begin(&self, dir: Option<&Path>) -> Result<(), ReportsError> {
        let write = self.database.begin_write().map_err(failed)?;
        {
            let mut meta = write.open_table(META).map_err(failed)?;
            let found = meta.get("format").map_err(failed)?.map(|found| found.value());
            if let Some(found) = found
                && found != FORMAT
            {
                let path = dir.unwrap_or(Path::new("")).join(FILE);
                return Err(ReportsError::UnknownFormat { path, found });
            }
            meta.insert("format", FORMAT).map_err(failed)?;
            write.open_table(NAMES).map_err(failed)?;
            write.open_table(CELLS).map_err(failed)?;
            write.open_table(LIMITS).map_err(failed)?;
            write.open_table(COUNTED).map_err(failed)?;
            write.open_table(REFUSALS).map_err(failed)?;
            write.open_table(CLOSED).map_err(failed)?;
            write.open_table(FINDINGS).map_err(failed)?;
            write.open_table(COARSE).map_err(failed)?;
        }
        write.commit().map_err(failed)
    }

    /// What a start goes on from.
    pub(crate) fn kept(&self) -> Result<Kept, ReportsError> {
        let read = self.database.begin_read().map_err(failed)?;
        let mut kept = Kept::default();
        for entry in read.open_table(NAMES).map_err(failed)?.iter().map_err(failed)? {
            let (name, id) = entry.map_err(failed)?;
            kept.names.restore(name.value(), id.value());
        }
        for entry in read.open_table(COUNTED).map_err(failed)?.iter().map_err(failed)? {
            let (id, bytes) = entry.map_err(failed)?;
            kept.counted.insert(id.value(), bytes.value());
        }
        for entry in read.open_table(LIMITS).map_err(failed)?.iter().map_err(failed)? {
            let (key, limit) = entry.map_err(failed)?;
            kept.limits.insert(key.value().0, limit.value());
        }
        let meta = read.open_table(META).map_err(failed)?;
        let instant = |key: &str| {
            let found = meta.get(key).map_err(failed)?;
            Ok::<_, ReportsError>(found.and_then(|found| i64::try_from(found.value()).ok()))
        };
        (kept.since, kept.until) = (instant("since")?, instant("until")?);
        Ok(kept)
    }

    /// Writes everything that is pending, all or nothing.
    pub(crate) fn write(
        &self,
        pending: &Pending,
        (since, until): (i64, i64),
    ) -> Result<(), ReportsError> {
        let write = self.database.begin_write().map_err(failed)?;
        write_in(&write, pending).map_err(failed)?;
        {
            let mut meta = write.open_table(META).map_err(failed)?;
            for (key, at) in [("since", since), ("until", until)] {
                meta.insert(key, u64::try_from(at).unwrap_or(0)).map_err(failed)?;
            }
        }
        write.commit().map_err(failed)
    }

    /// Drops what is older than it is kept: buckets by grain, and reservations.
    pub(crate) fn prune(&self, before: [i64; 3], closed_before: i64) -> Result<(), ReportsError> {
        let write = self.database.begin_write().map_err(failed)?;
        {
            let mut cells = write.open_table(CELLS).map_err(failed)?;
            let mut refusals = write.open_table(REFUSALS).map_err(failed)?;
            for (grain, before) in Grain::ALL.into_iter().zip(before) {
                // Whole blocks only: what is a little older than it has to be harms nobody.
                let (block, _) = grain.place(grain.floor(before));
                let range = (grain.number(), i64::MIN, 0)..(grain.number(), block, 0);
                cells.retain_in(range, |_, _| false).map_err(failed)?;
                let range = (grain.number(), i64::MIN)..(grain.number(), before);
                refusals.retain_in(range, |_, _| false).map_err(failed)?;
            }
            let mut coarse = write.open_table(COARSE).map_err(failed)?;
            let [minutes, ..] = before;
            coarse.retain(|_, until| minutes < until).map_err(failed)?;
            let mut closed = write.open_table(CLOSED).map_err(failed)?;
            closed.retain_in((i64::MIN, 0)..(closed_before, 0), |_, _| false).map_err(failed)?;
        }
        write.commit().map_err(failed)
    }

    /// A state of the database that stays as it is while it is read.
    pub(crate) fn read(&self) -> Result<Stored, ReportsError> {
        let read = self.database.begin_read().map_err(failed)?;
        Ok(Stored { read: Arc::new(read) })
    }
}

fn put_aside(path: &Path) -> Result<PathBuf, std::io::Error> {
    let mut aside = path.with_extension("redb.damaged");
    let mut nth = 1_u32;
    while aside.exists() {
        aside = path.with_extension(format!("redb.damaged-{nth}"));
        nth = nth.saturating_add(1);
    }
    std::fs::rename(path, &aside)?;
    Ok(aside)
}

fn write_in(write: &WriteTransaction, pending: &Pending) -> Result<(), redb::Error> {
    let mut names = write.open_table(NAMES)?;
    for (name, id) in &pending.names {
        names.insert(name.as_str(), id)?;
    }
    let mut cells = write.open_table(CELLS)?;
    for ((grain, block, name), more) in &pending.cells {
        let key = (grain.number(), *block, *name);
        let mut all = cells.get(key)?.map(|bytes| unpacked(bytes.value())).unwrap_or_default();
        for (index, cell) in more {
            all.entry(*index).or_default().merge(cell);
        }
        cells.insert(key, packed(&all).as_slice())?;
    }
    let mut limits = write.open_table(LIMITS)?;
    for (key, limit) in &pending.limits {
        limits.insert(key, limit)?;
    }
    let mut counted = write.open_table(COUNTED)?;
    for (id, bytes) in &pending.counted {
        match bytes {
            Some(bytes) => drop(counted.insert(id, bytes)?),
            None => drop(counted.remove(id)?),
        }
    }
    let mut refusals = write.open_table(REFUSALS)?;
    for ((grain, bucket), more) in &pending.refusals {
        let key = (grain.number(), *bucket);
        let mut all = refusals.get(key)?.map(|it| Groups::read(it.value())).unwrap_or_default();
        all.merge(more);
        refusals.insert(key, all.bytes().as_slice())?;
    }
    let mut closed = write.open_table(CLOSED)?;
    for (key, reservation) in &pending.closed {
        closed.insert(key, reservation.encode_to_vec().as_slice())?;
    }
    let mut coarse = write.open_table(COARSE)?;
    for (since, until) in &pending.coarse {
        coarse.insert(since, until)?;
    }
    let mut findings = write.open_table(FINDINGS)?;
    for (key, finding) in &pending.findings {
        match finding {
            Some(finding) => {
                drop(findings.insert(key.as_str(), finding.encode_to_vec().as_slice())?);
            }
            None => drop(findings.remove(key.as_str())?),
        }
    }
    Ok(())
}

fn packed(cells: &Block) -> Vec<u8> {
    let mut bytes = Vec::new();
    cells
        .iter()
        .filter(|(_, cell)| !cell.is_empty())
        .for_each(|(at, it)| it.write(*at, &mut bytes));
    bytes
}

fn unpacked(bytes: &[u8]) -> Block {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(|| Cell::read(&mut reader)).collect()
}

/// A state of the database.
#[derive(Clone)]
pub(crate) struct Stored {
    read: Arc<ReadTransaction>,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stored")
    }
}

impl Stored {
    /// The blocks of one name whose start lies in a range, both ends included.
    pub(crate) fn blocks(
        &self,
        grain: Grain,
        (first, last): (i64, i64),
        name: NameId,
    ) -> Result<Vec<(i64, Block)>, ReportsError> {
        let cells = self.read.open_table(CELLS).map_err(failed)?;
        let mut found = Vec::new();
        let mut block = first;
        while block <= last {
            if let Some(bytes) = cells.get((grain.number(), block, name)).map_err(failed)? {
                found.push((block, unpacked(bytes.value())));
            }
            block = block.saturating_add(grain.block_ms());
        }
        Ok(found)
    }

    /// What a lane could carry: the step that holds at the start, and those within.
    pub(crate) fn limits(
        &self,
        name: NameId,
        (start, end): (i64, i64),
    ) -> Result<Vec<(i64, u64)>, ReportsError> {
        let limits = self.read.open_table(LIMITS).map_err(failed)?;
        let mut before = limits.range((name, i64::MIN)..=(name, start)).map_err(failed)?;
        let first = before.next_back().transpose().map_err(failed)?;
        let mut steps: Vec<_> =
            first.map(|(key, limit)| (key.value().1, limit.value())).into_iter().collect();
        let within = (name, start.saturating_add(1))..(name, end);
        for entry in limits.range(within).map_err(failed)? {
            let (key, limit) = entry.map_err(failed)?;
            steps.push((key.value().1, limit.value()));
        }
        Ok(steps)
    }

    /// What was refused, bucket by bucket.
    pub(crate) fn refusals(
        &self,
        grain: Grain,
        (start, end): (i64, i64),
        mut each: impl FnMut(Groups),
    ) -> Result<(), ReportsError> {
        let refusals = self.read.open_table(REFUSALS).map_err(failed)?;
        let range = (grain.number(), start)..(grain.number(), end);
        for entry in refusals.range(range).map_err(failed)? {
            let (_, bytes) = entry.map_err(failed)?;
            each(Groups::read(bytes.value()));
        }
        Ok(())
    }

    /// At most so many reservations that were closed behind a place, in order, each with its place.
    pub(crate) fn closed(
        &self,
        behind: (i64, u128),
        most: usize,
    ) -> Result<Vec<Archived>, ReportsError> {
        use std::ops::Bound::{Excluded, Unbounded};
        let closed = self.read.open_table(CLOSED).map_err(failed)?;
        let range = closed.range::<(i64, u128)>((Excluded(behind), Unbounded)).map_err(failed)?;
        let mut found = Vec::new();
        for entry in range.take(most) {
            let (key, bytes) = entry.map_err(failed)?;
            if let Ok(reservation) = v1::Reservation::decode(bytes.value()) {
                found.push((key.value(), reservation));
            }
        }
        Ok(found)
    }

    /// Since and until when there are no minutes.
    pub(crate) fn coarse(&self) -> Result<Vec<(i64, i64)>, ReportsError> {
        let coarse = self.read.open_table(COARSE).map_err(failed)?;
        let all = coarse.iter().map_err(failed)?.map(|entry| {
            entry.map(|(since, until)| (since.value(), until.value())).map_err(failed)
        });
        all.collect()
    }

    /// What was found wrong: the key and the finding.
    pub(crate) fn findings(&self) -> Result<Vec<(String, v1::Finding)>, ReportsError> {
        let findings = match self.read.open_table(FINDINGS) {
            Ok(findings) => findings,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut found = Vec::new();
        for entry in findings.iter().map_err(failed)? {
            let (key, bytes) = entry.map_err(failed)?;
            if let Ok(finding) = v1::Finding::decode(bytes.value()) {
                found.push((key.value().to_owned(), finding));
            }
        }
        Ok(found)
    }
}

//! The handlers, one screen each: check, hand over, form the reply.

mod admin;
mod admit;
mod list;
mod policy;
mod report;
mod reservation;
mod session;
mod topology;
mod watch;

use std::sync::Arc;

use tidegate_policy::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::history::History;
use crate::journal::Readers;
use crate::meters::Meters;
use crate::reports::keeper::Reports;
use crate::view::View;
use crate::watch::Watching;
use crate::writer::Queue;

/// What every handler works with.
#[derive(Clone, Debug)]
pub(crate) struct Rpc {
    pub(crate) queue: Queue,
    pub(crate) view: Arc<View>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) config: Arc<Config>,
    pub(crate) started: Timestamp,
    pub(crate) watching: Watching,
    pub(crate) readers: Readers,
    /// What was asked lately.
    pub(crate) history: Arc<History>,
    /// What was promised, used and refused.
    pub(crate) reports: Reports,
    /// One rehearsal at a time.
    pub(crate) rehearsals: Arc<Semaphore>,
    /// One backup at a time.
    pub(crate) backups: Arc<Semaphore>,
    pub(crate) meters: Arc<Meters>,
    /// One scrape at a time.
    pub(crate) scrapes: Arc<Semaphore>,
    /// Cancelled when the broker is told to stop.
    pub(crate) stop: CancellationToken,
}

//! Opens the journal, replays it, and joins writer, recorder, view and listener.

use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;
use tidegate_core::{Corrupt, audit};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::changes::Changes;
use crate::clock::{self, Clock};
use crate::config::{Config, ConfigError, JournalPlace, Listen};
use crate::effort::Effort;
use crate::history::History;
use crate::journal::{EmbeddedJournal, Journal, JournalError, MemoryJournal, Seq};
use crate::meters::Meters;
use crate::recorder::{self, RecorderError};
use crate::replay::{self, ReplayError, Replayed};
use crate::reports::fact::Reporter;
use crate::reports::keeper::{Begin, Reports};
use crate::reports::{self, ReportsError};
use crate::rpc::Rpc;
use crate::serve::{self, Listener};
use crate::service::Pulse;
use crate::snapshots::{Made, Orders, SnapshotError, Snapshots};
use crate::view::View;
use crate::watch::Watching;
use crate::writer::{Queue, Writer};

/// Why a broker does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal does not lead to a state.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The state that the journal leads to breaks an invariant.
    #[error("the replayed state is not sound, so nothing is served from it: {}", .0.join("; "))]
    Unsound(Vec<String>),
    /// The address cannot be listened on.
    #[error("cannot listen on {listen}: {why}; is another broker running there?")]
    Listen {
        /// Which.
        listen: String,
        /// What the system says.
        why: std::io::Error,
    },
    /// Reports cannot be kept.
    #[error(transparent)]
    Reports(#[from] ReportsError),
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why a broker ended that was not told to.
#[derive(Debug, Error)]
pub enum RunError {
    /// What was promised could not be made durable.
    #[error("the journal stopped the broker: {0}")]
    Recorder(#[from] RecorderError),
    /// An event of its own did not follow from its state: a fault of this program.
    #[error("the broker stopped: {0}; this is a fault of the broker, restart it and report it")]
    Corrupt(#[from] Corrupt),
    /// The listener failed.
    #[error("the listener failed: {0}")]
    Serve(#[from] tonic::transport::Error),
    /// A task panicked: a fault of this program.
    #[error("a task of the broker panicked: {0}; restart it and report it")]
    Panicked(#[from] tokio::task::JoinError),
}

/// A broker that serves.
#[derive(Debug)]
pub struct Broker {
    listen: Listen,
    stop: CancellationToken,
    snapshots: Orders,
    queue: Queue,
    done: JoinHandle<Result<(), RunError>>,
}

impl Broker {
    /// Opens the journal, replays it and serves. When this returns, requests are answered.
    ///
    /// # Errors
    /// [`StartError`]: what is in the way, and what to do about it.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        config.check()?;
        let journal = open(&config.journal)?;
        Self::start_on(journal, config).await
    }

    /// As [`Self::start`], on a journal that is open already, whatever it is kept in; what the
    /// configuration says of its place is not looked at.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_on(journal: Box<dyn Journal>, config: Config) -> Result<Self, StartError> {
        config.check()?;
        let started = clock::wall();
        let (mut replayed, clock) = replay(&config, &*journal)?;
        let Seq(head) = journal.head();
        // The random half of an id: no other process has it.
        let (_, life) = Uuid::now_v7().as_u64_pair();
        let changes = Changes::new(life, config.limits.changes, head);
        let (view, begin) = publish(&config, &mut replayed, &clock, changes)?;
        let (listener, listen) = bind(&config.listen).await?;
        tracing::info!(
            %listen, batches = head, replayed = replayed.batches,
            live = replayed.machine.live_reservations(),
            sessions = replayed.machine.open_sessions(), "serving"
        );
        let meters = Arc::<Meters>::default();
        let (queue, waiting) = Queue::bounded(config.limits.queue, Arc::clone(&meters));
        let history = Arc::new(History::default());
        let (decided, to_record) = mpsc::channel(recorder::WAITING_MAX);
        let readers = journal.readers();
        let works = (readers.clone(), config.core_limits());
        let snapshots = Snapshots::start(
            config.snapshots,
            works,
            &replayed,
            decided.downgrade(),
            Arc::clone(&meters),
        )?;
        let machine = replayed.machine;
        let orders = snapshots.orders();
        let recorder =
            recorder::start(journal, Arc::clone(&view), snapshots, to_record, Arc::clone(&meters))?;
        let writer = Writer {
            machine,
            clock: Arc::clone(&clock),
            queue: waiting,
            recorder: decided,
            effort: Effort::starting(clock::uptime()),
            history: Arc::clone(&history),
            waiting: Vec::new(),
            pokes: view.pokes().clone(),
            meters: Arc::clone(&meters),
        };
        let reports =
            Reports::start(begin, Arc::clone(&view), Arc::clone(&clock), config.reports.clone())?;
        let (stop, own_queue) = (CancellationToken::new(), queue.clone());
        let watching = Watching::start(config.limits.watchers, Arc::clone(&view), stop.clone());
        let config = Arc::new(config);
        let [backups, rehearsals, scrapes] = [(); 3].map(|()| Arc::new(Semaphore::new(1)));
        let rpc = Rpc {
            queue,
            view,
            clock,
            config,
            started,
            watching,
            readers,
            backups,
            history,
            rehearsals,
            reports: reports.clone(),
            meters,
            scrapes,
            stop: stop.clone(),
        };
        let parts = Parts { writer, recorder, listener, rpc, reports };
        let done = tokio::spawn(run(parts, stop.clone()));
        Ok(Self { listen, stop, snapshots: orders, queue: own_queue, done })
    }

    /// Where it listens, as a client is told it.
    #[must_use]
    pub fn address(&self) -> String {
        self.listen.to_string()
    }

    /// Tells it to stop when cancelled: calls under way are answered, then [`Self::wait`] returns.
    #[must_use]
    pub fn stopper(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Tells whether it is alive, for as long as it runs and after.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        Pulse { queue: self.queue.clone() }
    }

    /// Writes the state down now, beside everything else, and waits for it.
    ///
    /// # Errors
    /// [`SnapshotError`]; the broker goes on without it.
    pub async fn snapshot(&self) -> Result<Made, SnapshotError> {
        self.snapshots.make().await
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// [`RunError`] if it was not told to.
    pub async fn wait(self) -> Result<(), RunError> {
        self.done.await?
    }
}

pub(crate) fn open(place: &JournalPlace) -> Result<Box<dyn Journal>, JournalError> {
    Ok(match place {
        JournalPlace::Memory => Box::new(MemoryJournal::new()),
        JournalPlace::Directory(path) => Box::new(EmbeddedJournal::open(path)?),
    })
}

/// The state that the journal leads to, and a clock that does not lie before it.
fn replay(config: &Config, journal: &dyn Journal) -> Result<(Replayed, Arc<Clock>), StartError> {
    let look = journal.readers().open()?;
    let mut replayed = replay::replay(&*look, &config.core_limits(), &|| false)?;
    let clock = Clock::starting_at(replayed.machine.clock());
    let now = clock.now();
    let faults = audit::audit(&replayed.machine, now);
    if !faults.is_empty() {
        return Err(StartError::Unsound(faults));
    }
    replayed.machine.resume(now);
    Ok((replayed, Arc::new(clock)))
}

/// What readers see of a state, and what keeps the reports of what they see.
fn publish(
    config: &Config,
    replayed: &mut Replayed,
    clock: &Clock,
    changes: Changes,
) -> Result<(Arc<View>, Begin), StartError> {
    let (reporter, facts, lost) = Reporter::new();
    let (store, book) = reports::open(config, &mut replayed.machine, clock.now())?;
    let Seq(head) = replayed.head;
    let view = View::new(replayed.machine.clone(), head, changes, reporter.clone());
    Ok((Arc::new(view), Begin { store, book, facts, reporter, lost }))
}

async fn bind(listen: &Listen) -> Result<(Listener, Listen), StartError> {
    let failed = |why| StartError::Listen { listen: listen.to_string(), why };
    match listen {
        Listen::Tcp(address) => {
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let bound = Listen::Tcp(listener.local_addr().map_err(failed)?);
            Ok((Listener::Tcp(listener), bound))
        }
        Listen::Unix(path) => {
            if is_left_behind(path).await {
                std::fs::remove_file(path).map_err(failed)?;
            }
            let listener = UnixListener::bind(path).map_err(failed)?;
            Ok((Listener::Unix(listener), listen.clone()))
        }
    }
}

/// Whether a broker that was killed left its socket there: it is one, and nobody accepts on it.
/// Anything else in its place is somebody's file, or a broker that is alive.
async fn is_left_behind(path: &Path) -> bool {
    let kind = std::fs::symlink_metadata(path).map(|found| found.file_type());
    let refused = |error: std::io::Error| error.kind() == ErrorKind::ConnectionRefused;
    kind.is_ok_and(|kind| kind.is_socket()) && UnixStream::connect(path).await.is_err_and(refused)
}

struct Parts {
    writer: Writer,
    recorder: oneshot::Receiver<Result<(), RecorderError>>,
    listener: Listener,
    rpc: Rpc,
    reports: Reports,
}

/// Runs until it is told to stop, or until one part fails; then the others end too.
async fn run(parts: Parts, stop: CancellationToken) -> Result<(), RunError> {
    // The writer outlives the listener, so that calls under way are still answered.
    let writer_stop = CancellationToken::new();
    let writer = tokio::spawn(parts.writer.run(writer_stop.clone()));
    let writer = async { writer.await?.map_err(RunError::from) };
    let served = tokio::spawn(serve::serve(parts.listener, parts.rpc, stop.clone()));
    let served = async { served.await?.map_err(RunError::from) };
    let (mut writer, mut served) = (std::pin::pin!(writer), std::pin::pin!(served));
    let result = tokio::select! {
        ended = &mut served => {
            writer_stop.cancel();
            ended.and(writer.await)
        }
        // Its queue is open as long as somebody serves: it has failed, or the recorder has.
        ended = &mut writer => {
            stop.cancel();
            ended.and(served.await)
        }
    };
    let recorded = parts.recorder.await.unwrap_or(Err(RecorderError::Panicked));
    // What is published will not change any more.
    parts.reports.stop().await;
    // What stopped the recorder is the cause; what the others say then is only its consequence.
    recorded.map_err(RunError::from).and(result)
}

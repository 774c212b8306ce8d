//! Carries out what is queued: a few fetches at once, each under a grant of its own.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_client::ask::{Ask, Between};
use tidegate_client::fetch::{Fetch, FetchError, Fetched};
use tidegate_client::{
    Client, Download, Grant, OnExpiry, OnUnreachable, Schemes, Session, SessionPhase, clock,
};
use tidegate_policy::{ByteCount, Endpoint};
use tokio::sync::Notify;

use crate::grants::{pieces, spoken};
use crate::journal::Journal;
use crate::protocol::Event;
use crate::queue::{Job, Queue};

/// How long a broker that cannot be reached is waited for.
const PATIENCE: Duration = Duration::from_secs(600);

/// Between two tries to open a session.
const PAUSE: Duration = Duration::from_millis(500);

/// Progress is told at most so often.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// What an agent is made of.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) client: Client,
    pub(crate) host: Endpoint,
    pub(crate) schemes: Schemes,
    queue: Mutex<Queue>,
    journal: Mutex<Journal>,
    /// There is something to do.
    pub(crate) news: Notify,
    session: tokio::sync::Mutex<Option<Arc<Session>>>,
}

impl Agent {
    pub(crate) fn new(
        (client, host, schemes): (Client, Endpoint, Schemes),
        (journal, jobs): (Journal, Vec<Job>),
    ) -> Arc<Self> {
        let mut queue = Queue::default();
        for job in jobs {
            queue.add(job);
        }
        let (queue, journal) = (Mutex::new(queue), Mutex::new(journal));
        let (news, session) = (Notify::new(), tokio::sync::Mutex::default());
        Arc::new(Self { client, host, schemes, queue, journal, news, session })
    }

    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session of this agent: a new one where the last is over, as soon as there is a broker.
    pub(crate) async fn session(&self) -> Arc<Session> {
        let mut session = self.session.lock().await;
        if let Some(open) = session.as_ref()
            && !matches!(open.phase(), SessionPhase::Lost | SessionPhase::Closed)
        {
            return Arc::clone(open);
        }
        loop {
            match self.client.open_session(&name()).await {
                Ok(opened) => return Arc::clone(session.insert(Arc::new(opened))),
                Err(error) => println!("no session yet: {error}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Fetches what is due first, then the next, for ever.
    pub(crate) async fn work(self: Arc<Self>) {
        loop {
            let next = self.queue().begin();
            match next {
                Some(job) => self.carry_out(job).await,
                None => self.news.notified().await,
            }
        }
    }

    async fn carry_out(&self, job: Job) {
        let fetched = self.fetch(&job).await;
        let shared = self.queue().sharers(job.number);
        match fetched {
            Ok(fetched) => {
                self.over(job.number, done(job.number, &fetched));
                for sharer in shared {
                    let event = match copied(&job.to, &sharer.to).await {
                        Ok(()) => done(sharer.number, &fetched),
                        Err(error) => failed(sharer.number, &error.to_string()),
                    };
                    self.over(sharer.number, event);
                }
            }
            Err(error) => {
                let offers = match &error {
                    FetchError::Refused(refusal) => {
                        refusal.offers.iter().map(ToString::to_string).collect()
                    }
                    _ => Vec::new(),
                };
                let (number, why) = (job.number, spoken(&error));
                self.queue().alone(number);
                self.over(number, Event::Failed { job: number, why, offers });
                self.news.notify_waiters();
            }
        }
    }

    fn over(&self, number: u64, event: Event) {
        // What is not noted as over is fetched again after a restart, and found to be there.
        if let Err(error) = self.journal().over(number) {
            println!("fetch {number} is over, which could not be written down: {error}");
        }
        self.queue().over(number, event);
    }

    async fn fetch(&self, job: &Job) -> Result<Fetched, FetchError> {
        let session = self.session().await;
        let mut sources = job.sources().into_iter();
        let Some(first) = sources.next() else { return Err(FetchError::UnknownSize) };
        let between = sources.fold(Between::new(first, self.host.clone()), Between::or_from);
        // As soon as possible, and moved for others as long as it is in time.
        let mut ask = Ask::transfer(between, ByteCount::ZERO, job.by).movable();
        ask.priority = job.priority;
        let mut download = Download::new(&job.url, &job.to).schemes(self.schemes.clone());
        for url in &job.or {
            download = download.or_from(url);
        }
        if let Some(digest) = job.digest {
            download = download.digest(digest);
        }
        let fetch = Fetch::new(ask, download)
            .on_unreachable(OnUnreachable::Wait { up_to: PATIENCE })
            .on_expiry(OnExpiry::AskAgain)
            .sized()
            .await?;
        let granted = |grant: &Grant| self.tell_granted(job.number, grant);
        let mut told = clock::BootTime::now();
        let progress = |it: tidegate_client::download::Progress| {
            let now = clock::BootTime::now();
            if told.plus(TELL_EVERY) <= now || Some(it.moved) == it.total {
                told = now;
                let (moved_bytes, total_bytes) = (it.moved.bytes(), it.total.map(ByteCount::bytes));
                let job = job.number;
                self.tell(job, Event::Progress { job, moved_bytes, total_bytes });
            }
        };
        Box::pin(fetch.run(&session, granted, progress)).await
    }

    fn tell_granted(&self, number: u64, grant: &Grant) {
        let Some(granted) = grant.reservation() else { return };
        let reservation = granted.name.id.to_string();
        self.tell(number, Event::Granted { reservation, plan: pieces(&granted) });
    }

    /// Tells those who follow a fetch, and those who share its transfer.
    fn tell(&self, number: u64, event: Event) {
        let queue = self.queue();
        for sharer in queue.sharers(number) {
            queue.tell(sharer.number, event.clone());
        }
        queue.tell(number, event);
    }
}

fn done(job: u64, fetched: &Fetched) -> Event {
    let report = &fetched.report;
    let elapsed_ms = u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX);
    let (bytes, resumed_bytes) = (report.bytes.bytes(), report.resumed.bytes());
    Event::Done { job, bytes, digest: report.digest.to_string(), elapsed_ms, resumed_bytes }
}

fn failed(job: u64, why: &str) -> Event {
    Event::Failed { job, why: why.to_owned(), offers: Vec::new() }
}

/// A copy of what was fetched for somebody else, whole under its name or not there; where the file
/// system can, without moving a byte.
async fn copied(from: &Path, to: &Path) -> std::io::Result<()> {
    let (from, to) = (from.to_owned(), to.to_owned());
    let copy = move || {
        let mut beside = to.clone().into_os_string();
        beside.push(".copy");
        let beside = PathBuf::from(beside);
        std::fs::copy(&from, &beside)?;
        std::fs::File::open(&beside)?.sync_all()?;
        std::fs::rename(&beside, &to)
    };
    tokio::task::spawn_blocking(copy)
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// What the session is called at the broker: this machine, as far as it has a name.
fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    format!("agent-{}", if host.is_empty() { "host" } else { &host })
}

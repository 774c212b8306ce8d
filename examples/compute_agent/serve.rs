//! The socket: a connection is a task that reads lines, and another that writes what is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;
use tidegate_client::{Client, Schemes, clock};
use tidegate_policy::Endpoint;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, broadcast, mpsc};

use crate::grants::Grants;
use crate::journal::Journal;
use crate::protocol::{Event, LINE_MAX, Request, Wanted, line, read};
use crate::queue::{Job, State};
use crate::work::Agent;

/// Connections at once.
const CONNECTIONS_MAX: usize = 256;

/// Lines that wait for a reader who is slow.
const LINES_MAX: usize = 256;

/// So long a line may take to be read.
const WRITE_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The socket that agents speak to
    #[arg(long, default_value = "/run/tidegate-agent.sock", value_name = "PATH")]
    socket: PathBuf,
    /// Where accepted fetches are kept over a restart
    #[arg(long, default_value = "/var/lib/tidegate-agent", value_name = "DIR")]
    state: PathBuf,
    /// This host
    #[arg(long, value_name = "ENDPOINT")]
    to: Endpoint,
    /// Where the bytes come from if a request does not say, best first
    #[arg(long, value_name = "ENDPOINT")]
    from: Vec<Endpoint>,
    /// A directory below which file:// may read; may be repeated
    #[arg(long = "mount", value_name = "DIR")]
    mounts: Vec<PathBuf>,
    /// How many fetches run at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    at_once: u16,
}

pub(crate) async fn run(broker: &str, arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { socket, state, to, from, mounts, at_once } = arguments;
    let client = Client::connect(broker)?;
    let schemes = Schemes::default();
    let schemes = if mounts.is_empty() { schemes } else { schemes.mounts(mounts) };
    let listener = bind(&socket)?;
    let journal = Journal::open(&state)?;
    let before = journal.1.len();
    let agent = Agent::new((client, to, schemes), journal);
    for _ in 0..at_once {
        tokio::spawn(Arc::clone(&agent).work());
    }
    println!("compute_agent listens on {}; {before} fetches go on", socket.display());
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let from: Arc<[Endpoint]> = from.into();
    loop {
        let (mut stream, _) = listener.accept().await?;
        let Ok(seat) = Arc::clone(&room).try_acquire_owned() else {
            let why = format!("{CONNECTIONS_MAX} connections are open; close some");
            let text = line(None, &Event::Error { why });
            // It may be gone already: then nobody needs to be told.
            drop(tokio::time::timeout(WRITE_MAX, stream.write_all(text.as_bytes())).await);
            continue;
        };
        let (agent, from) = (Arc::clone(&agent), Arc::clone(&from));
        tokio::spawn(async move {
            let _seat = seat;
            if let Err(error) = converse(&agent, &from, stream).await {
                println!("a connection ended: {error:#}");
            }
        });
    }
}

/// A socket that a killed agent left behind is nobody's; one that answers is somebody's.
fn bind(socket: &Path) -> anyhow::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(socket).is_ok() {
        bail!("another agent listens on {}", socket.display());
    }
    if socket.exists() {
        std::fs::remove_file(socket)?;
    }
    UnixListener::bind(socket).with_context(|| format!("the socket {}", socket.display()))
}

/// An answer, and what it repeats.
type Said = (Option<Value>, Event);

async fn converse(
    agent: &Arc<Agent>,
    from: &Arc<[Endpoint]>,
    stream: UnixStream,
) -> anyhow::Result<()> {
    let (input, output) = stream.into_split();
    let (say, said) = mpsc::channel(LINES_MAX);
    let writing = tokio::spawn(write(output, said));
    let grants = Arc::new(Grants::default());
    let mut input = BufReader::new(input);
    loop {
        let mut text = String::new();
        let limit = u64::try_from(LINE_MAX).unwrap_or(u64::MAX);
        let count = (&mut input).take(limit).read_line(&mut text).await?;
        if count == 0 || !text.ends_with('\n') && count == LINE_MAX {
            break;
        }
        if text.trim().is_empty() {
            continue;
        }
        let (id, request) = read(&text);
        let conversation = Conversation {
            agent: Arc::clone(agent),
            from: Arc::clone(from),
            grants: Arc::clone(&grants),
            say: say.clone(),
            id,
        };
        match request {
            Ok(request) => conversation.answer(request).await,
            Err(why) => conversation.tell(Event::Error { why }).await,
        }
        if writing.is_finished() {
            break;
        }
    }
    drop((say, grants));
    writing.await?
}

async fn write(mut output: OwnedWriteHalf, mut said: mpsc::Receiver<Said>) -> anyhow::Result<()> {
    while let Some((id, event)) = said.recv().await {
        let text = line(id.as_ref(), &event);
        tokio::time::timeout(WRITE_MAX, output.write_all(text.as_bytes()))
            .await
            .context("it reads too slowly")??;
    }
    Ok(())
}

/// One request of a connection.
struct Conversation {
    agent: Arc<Agent>,
    from: Arc<[Endpoint]>,
    grants: Arc<Grants>,
    say: mpsc::Sender<Said>,
    id: Option<Value>,
}

impl Conversation {
    async fn tell(&self, event: Event) {
        // A connection that is gone needs no answer.
        self.say.send((self.id.clone(), event)).await.unwrap_or_default();
    }

    async fn answer(self, request: Request) {
        match request {
            Request::Fetch(wanted) => match self.queue(wanted) {
                Ok((event, events)) => {
                    self.tell(event).await;
                    tokio::spawn(self.follow(events));
                }
                Err(error) => self.tell(Event::Error { why: format!("{error:#}") }).await,
            },
            Request::Follow { job } => {
                let found = self.agent.queue().follow(job);
                match found {
                    Some((_, Some(over))) => self.tell(over).await,
                    Some((events, None)) => drop(tokio::spawn(self.follow(events))),
                    None => {
                        let why = format!("there is no fetch {job}; ask for the list");
                        self.tell(Event::Error { why }).await;
                    }
                }
            }
            Request::List {} => {
                let known: Vec<Event> = self.agent.queue().all().map(told).collect();
                for event in known {
                    self.tell(event).await;
                }
            }
            Request::Reserve(wanted) => {
                let (tell, mut told) = mpsc::channel(LINES_MAX);
                match self.grants.reserve(&self.agent, wanted, tell).await {
                    Ok(event) => {
                        self.tell(event).await;
                        let Self { say, id, .. } = self;
                        tokio::spawn(async move {
                            while let Some(event) = told.recv().await {
                                say.send((id.clone(), event)).await.unwrap_or_default();
                            }
                        });
                    }
                    Err(error) => self.tell(Event::Error { why: format!("{error:#}") }).await,
                }
            }
            Request::Release { reservation } => {
                let event = match self.grants.release(&reservation).await {
                    Ok(event) => event,
                    Err(error) => Event::Error { why: format!("{error:#}") },
                };
                self.tell(event).await;
            }
        }
    }

    /// Takes a fetch in: it is kept on disk before it is said to be.
    fn queue(&self, wanted: Wanted) -> anyhow::Result<(Event, broadcast::Receiver<Event>)> {
        let Wanted { url, or, to, by, digest, from, priority } = wanted;
        if !to.is_absolute() {
            bail!("{} is no absolute path; the agent has a directory of its own", to.display());
        }
        if 9 < priority {
            bail!("the priority is {priority}; write 0 to 9");
        }
        // What makes no sense is told now and not when it is due.
        for url in std::iter::once(&url).chain(&or) {
            self.agent.schemes.source(url)?;
        }
        let from = if from.is_empty() { self.from.to_vec() } else { from };
        if from.is_empty() {
            bail!("it does not say where the bytes come from; name endpoints in \"from\"");
        }
        let from = from.iter().map(ToString::to_string).collect();
        let by = by.at(clock::wall());
        let mut queue = self.agent.queue();
        let number = queue.next_number().context("too many fetches wait; try again later")?;
        let job = Job { number, url, or, to, by, digest, from, priority };
        self.agent.journal().queued(&job).context("it cannot be written down")?;
        let (ahead, shares) = queue.add(job);
        let (events, _) = queue.follow(number).context("it is gone")?;
        drop(queue);
        self.agent.news.notify_one();
        Ok((Event::Queued { job: number, ahead, shares }, events))
    }

    async fn follow(self, mut events: broadcast::Receiver<Event>) {
        loop {
            match events.recv().await {
                Ok(event) => {
                    let last = matches!(event, Event::Done { .. } | Event::Failed { .. });
                    self.tell(event).await;
                    if last {
                        return;
                    }
                }
                // Somebody slow misses some of the progress.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }
}

fn told((job, state): (&Job, &State)) -> Event {
    let state = match state {
        State::Waiting => "waiting".to_owned(),
        State::Running => "running".to_owned(),
        State::Shares(other) => format!("shares {other}"),
        State::Over(Event::Done { .. }) => "done".to_owned(),
        State::Over(_) => "failed".to_owned(),
    };
    let (url, to, by) = (job.url.clone(), job.to.clone(), job.by.to_string());
    Event::Job { job: job.number, url, to, by, state }
}

//! The whole road in one command: a broker, three agents, one storage backend that is too small
//! for all of them at once, real bytes over real HTTP.
//!
//! `cargo run` starts a broker in this process on a port of its own and a temporary directory,
//! declares a small data centre, and serves a file of 256 MiB. Three agents want it at 400 Mbit/s
//! each from a backend that reads 600. The first is granted, the second takes a counter-offer and
//! waits for its turn, the third is refused with reasons. What each achieved is measured from the
//! bytes and held against its grant; the demo fails if a grant or a lane was exceeded.
#![allow(clippy::print_stdout, reason = "a demo talks")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tidegate_broker::Broker;
use tidegate_broker::config::{Config, JournalPlace, SessionConfig};
use tidegate_client::clock::BootTime;
use tidegate_client::download::Progress;
use tidegate_client::fetch::{Fetch, FetchError};
use tidegate_client::refusal::OfferKind;
use tidegate_client::topology::Lane;
use tidegate_client::topology_file;
use tidegate_client::{Ask, Burst, Client, Digest, Download, End, Limiter, Refusal};
use tidegate_policy::{BitRate, ByteCount, Endpoint, Span};
use tokio::sync::mpsc;
use tokio_util::io::ReaderStream;

/// Runs the demo; it needs nothing and ends by itself
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    /// Set where other work shares the machine: a rate below the grant is then told, not failed
    #[arg(long, env = "CI", value_name = "ANYTHING")]
    ci: Option<String>,
}

/// What there is to reserve: three compute hosts, two storage backends, links of usual sizes. The
/// east backend is a small pool of spinning disks, the west one is smaller still.
const TOPOLOGY: &str = r#"
switch = [{ name = "tor-1" }, { name = "tor-2" }, { name = "spine" }]

[[host]]
name = "compute-1"
nic = [{ name = "eth0", switch = "tor-1", capacity = "25Gbit" }]
[[host]]
name = "compute-2"
nic = [{ name = "eth0", switch = "tor-1", capacity = "25Gbit" }]
[[host]]
name = "compute-3"
nic = [{ name = "eth0", switch = "tor-2", capacity = "10Gbit" }]

[[link]]
name = "tor-1--spine"
from = "tor-1"
to = "spine"
capacity = "100Gbit"
[[link]]
name = "tor-2--spine"
from = "tor-2"
to = "spine"
capacity = "40Gbit"

[[storage]]
name = "swift-east"
switch = "spine"
read = "600Mbit"
write = "300Mbit"
[[storage]]
name = "swift-west"
switch = "spine"
read = "300Mbit"
write = "150Mbit"
"#;

/// The size of the image that everybody wants.
const IMAGE: usize = 256 << 20;
/// The rate at which everybody wants it, in bits per second.
const WANTED_BPS: u64 = 400_000_000;
/// How long each agent asks for: the image takes 5.4 s at that rate.
const ASKED: Span = Span::from_secs(7);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
    let journal = JournalPlace::Directory(directory.path().join("journal"));
    // Beats come faster than in service, so that the table shows what moves right now.
    let beat_every = Span::from_ms(500).unwrap_or_default();
    let session = SessionConfig { beat_every, ..SessionConfig::default() };
    let broker = Broker::start(Config { session, ..Config::ephemeral(journal) }).await?;
    println!("broker     {}, journal in {}", broker.address(), directory.path().display());
    let (address, stopper) = (broker.address(), broker.stopper());
    let told = Box::pin(story(&address, directory.path(), arguments.ci.is_none())).await;
    stopper.cancel();
    broker.wait().await?;
    told
}

async fn story(broker: &str, directory: &Path, strict: bool) -> anyhow::Result<()> {
    let client = Client::connect(broker)?;
    let applied = client.apply_topology(topology_file::parse(TOPOLOGY)?, false).await?;
    println!("topology   3 hosts, 2 links, 2 storage backends: {} lanes", applied.changes.len());
    let image = Image::serve(directory).await?;
    let size = ByteCount::new(u64::try_from(IMAGE)?);
    println!("image      {size} at {}, {}", image.url, image.digest);
    let bars = MultiProgress::new();
    let world = World { client, image, directory: directory.into(), bars };
    let unlimited = world.unlimited().await?;
    println!("unlimited  {} on this machine\n", short(unlimited));

    let (meters, moving) = mpsc::channel(8);
    let watch = tokio::spawn(watch(moving));
    let agents = async {
        // The others ask while the first is under way.
        let first = world.agent("compute-1", Choice::AsAsked, meters.clone());
        let second = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            world.agent("compute-2", Choice::LaterOffer, meters.clone()).await
        };
        let third = async {
            tokio::time::sleep(Duration::from_millis(1000)).await;
            world.agent("compute-3", Choice::NowOrNever, meters.clone()).await
        };
        tokio::try_join!(first, second, third)
    };
    let table = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        world.client.list_lanes(None).await
    };
    let (agents, lanes) = tokio::join!(agents, table);
    let (first, second, third) = agents?;
    drop(meters);
    let excess = watch.await?;
    let (agents, lanes) = ([first, second, third], lanes?);
    println!("\nwhat each achieved, measured from its bytes");
    println!("{}", achieved_table(&agents));
    println!("\nlanes in use four seconds in: payload used, headers booked with it");
    println!("{}", lane_table(&lanes));
    check_bounds(&agents, &lanes, excess)?;
    check_achieved(&agents, unlimited, strict)?;
    println!("\nno grant and no lane was exceeded");
    Ok(())
}

// === the agents ===

/// What an agent makes of a refusal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// It does not expect one.
    AsAsked,
    /// It takes the same rate later.
    LaterOffer,
    /// It gives up.
    NowOrNever,
}

/// What became of an agent.
struct Told {
    agent: &'static str,
    outcome: &'static str,
    granted: Option<BitRate>,
    achieved: Option<BitRate>,
}

struct World {
    client: Client,
    image: Image,
    directory: PathBuf,
    bars: MultiProgress,
}

impl World {
    /// The image without any limit: what this machine could do.
    async fn unlimited(&self) -> anyhow::Result<BitRate> {
        let limiter = Limiter::new(BitRate::MAX, Burst::default());
        let mut clock = Stopwatch::default();
        self.download("unlimited").run(&limiter, |progress| clock.note(progress)).await?;
        clock.rate().context("the unlimited copy was too short to tell")
    }

    fn download(&self, name: &str) -> Download {
        let path = self.directory.join(format!("{name}.img"));
        Download::new(self.image.url.clone(), path).digest(self.image.digest)
    }

    async fn agent(
        &self,
        host: &'static str,
        choice: Choice,
        meters: mpsc::Sender<Meter>,
    ) -> anyhow::Result<Told> {
        let session = self.client.open_session(host).await?;
        let mut fetch = Fetch::new(self.ask(host)?, self.download(host));
        let mut outcome = "granted";
        let mut clock = Stopwatch::default();
        let fetched = loop {
            let bar = self.bar(host);
            let run = fetch.run(
                &session,
                |grant| {
                    let Some(granted) = grant.reservation() else { return };
                    self.say(&format!(
                        "{host}: granted {} from {} to {}",
                        granted.rate, granted.start, granted.end
                    ));
                    let meter = Meter::new(grant.limiter().clone(), granted.rate);
                    if meters.try_send(meter).is_err() {
                        self.say(&format!("{host}: nobody watches its bytes"));
                    }
                },
                |progress| {
                    clock.note(progress);
                    bar.set_position(progress.moved.bytes());
                },
            );
            let result = Box::pin(run).await;
            bar.finish_and_clear();
            match result {
                Ok(fetched) => break fetched,
                Err(FetchError::Refused(refusal)) => {
                    self.say(&format!("{host}: {}", indented(&refusal)));
                    let Some(ask) = take_offer(&refusal, &fetch.ask, choice) else {
                        session.close().await?;
                        let outcome = "refused";
                        return Ok(Told { agent: host, outcome, granted: None, achieved: None });
                    };
                    self.say(&format!("{host}: takes the same rate later"));
                    outcome = "granted later";
                    fetch.ask = ask;
                }
                Err(error) => bail!("{host}: {error}"),
            }
        };
        session.close().await?;
        let granted = fetched.reservation.map(|reservation| reservation.rate);
        Ok(Told { agent: host, outcome, granted, achieved: clock.rate() })
    }

    fn ask(&self, host: &str) -> anyhow::Result<Ask> {
        let rate = BitRate::from_bps(WANTED_BPS).context("the rate is no rate")?;
        let east: Endpoint = "storage/swift-east".parse()?;
        let ask = Ask::new(east, format!("hosts/{host}").parse()?, rate, End::After(ASKED));
        Ok(ask.or_from("storage/swift-west".parse()?))
    }

    fn bar(&self, host: &'static str) -> ProgressBar {
        let template = "{prefix} {bar:40} {decimal_bytes}/{decimal_total_bytes} {eta}";
        let style = ProgressStyle::with_template(template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(u64::try_from(IMAGE).unwrap_or(0));
        self.bars.add(bar.with_style(style).with_prefix(host))
    }

    fn say(&self, text: &str) {
        self.bars.suspend(|| println!("{text}"));
    }
}

fn take_offer(refusal: &Refusal, ask: &Ask, choice: Choice) -> Option<Ask> {
    if choice != Choice::LaterOffer {
        return None;
    }
    let later = refusal.offers.iter().find(|offer| offer.kind == OfferKind::SameRateLater);
    later.map(|offer| offer.ask(ask))
}

fn indented(refusal: &Refusal) -> String {
    refusal.to_string().replace('\n', "\n  ")
}

/// The time from the first to the last byte, and the bytes in between.
#[derive(Default)]
struct Stopwatch {
    first: Option<(BootTime, u64)>,
    last: Option<(BootTime, u64)>,
}

impl Stopwatch {
    fn note(&mut self, progress: Progress) {
        let now = (BootTime::now(), progress.moved.bytes());
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    fn rate(&self) -> Option<BitRate> {
        let ((begun, before), (ended, after)) = (self.first?, self.last?);
        let ms = u64::try_from(ended.since(begun).as_millis()).ok()?;
        BitRate::mean(ByteCount::new(after.saturating_sub(before)), Span::from_ms(ms)?)
    }
}

// === the watch over their bytes ===

/// An agent's limiter, watched from outside.
struct Meter {
    limiter: Limiter,
    rate: BitRate,
    begun: BootTime,
    /// The least so far of the bytes moved less what the rate had carried by then.
    floor: i128,
    /// The most that was moved in any window beyond what the rate carries in it, in bytes.
    excess: i128,
}

impl Meter {
    fn new(limiter: Limiter, rate: BitRate) -> Self {
        Self { limiter, rate, begun: BootTime::now(), floor: 0, excess: 0 }
    }

    /// One look: a window ends now, and another one begins.
    fn look(&mut self) {
        let before = BootTime::now();
        let moved = i128::from(self.limiter.moved().bytes());
        let after = BootTime::now();
        let carried = |at: BootTime| {
            let ns = i128::try_from(at.since(self.begun).as_nanos()).unwrap_or(i128::MAX);
            ns.saturating_mul(self.rate.bps().into()) / 8_000_000_000
        };
        // What was seen moved after `before` may have moved up to `after`.
        self.excess = self.excess.max(moved - carried(after) - self.floor);
        self.floor = self.floor.min(moved - carried(before));
    }

    /// A burst, and what one call may have moved since it was admitted.
    fn allowed(&self) -> i128 {
        i128::from(Burst::default().at(self.rate).bytes()) + (256 << 10)
    }
}

/// Looks at every agent's bytes until the last has ended, and returns how far any of them came
/// beyond rate, burst and one step, in bytes; negative if none did.
async fn watch(mut moving: mpsc::Receiver<Meter>) -> i128 {
    let mut meters: Vec<Meter> = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    loop {
        tokio::select! {
            meter = moving.recv() => match meter {
                Some(meter) => meters.push(meter),
                None => break,
            },
            _ = ticks.tick() => meters.iter_mut().for_each(Meter::look),
        }
    }
    meters.iter_mut().for_each(Meter::look);
    meters.iter().map(|meter| meter.excess - meter.allowed()).max().unwrap_or(0)
}

// === what is shown and checked ===

fn achieved_table(agents: &[Told]) -> Table {
    let dash = || "-".to_owned();
    let rows = agents.iter().map(|told| {
        let share = told.achieved.zip(told.granted).map(|(achieved, granted)| {
            let permille = u128::from(achieved.bps()) * 1000 / u128::from(granted.bps().max(1));
            format!("{}.{} %", permille / 10, permille % 10)
        });
        vec![
            told.agent.to_owned(),
            told.outcome.to_owned(),
            told.granted.map_or_else(dash, |rate| rate.to_string()),
            told.achieved.map_or_else(dash, short),
            share.unwrap_or_else(dash),
        ]
    });
    table(&["agent", "outcome", "granted", "achieved", "share"], rows.collect())
}

fn lane_table(lanes: &[Lane]) -> Table {
    let busy = lanes.iter().filter(|lane| lane.booked != BitRate::ZERO);
    let rows = busy.map(|lane| {
        vec![lane.name.clone(), short(lane.capacity), short(lane.booked), short(lane.used)]
    });
    table(&["lane", "capacity", "booked", "used"], rows.collect())
}

fn table(header: &[&str], rows: Vec<Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header).add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A rate to three digits, for people.
fn short(rate: BitRate) -> String {
    let bps = rate.bps();
    let (unit, name) = [(1_000_000_000, "Gbit/s"), (1_000_000, "Mbit/s"), (1_000, "kbit/s")]
        .into_iter()
        .find(|(unit, _)| *unit <= bps)
        .unwrap_or((1, "bit/s"));
    let (whole, hundredths) = (bps / unit, bps % unit * 100 / unit);
    if whole < 10 { format!("{whole}.{hundredths:02} {name}") } else { format!("{whole} {name}") }
}

/// Whatever the machine does: nothing above a grant, and no lane over.
fn check_bounds(agents: &[Told], lanes: &[Lane], excess: i128) -> anyhow::Result<()> {
    ensure!(excess <= 0, "an agent moved {excess} bytes more than its rate, burst and one step");
    for lane in lanes {
        let Lane { name, capacity, booked, used, .. } = lane;
        ensure!(booked <= capacity, "{name} is overbooked: {booked} of {capacity}");
        ensure!(used <= capacity, "{name} is overused: {used} of {capacity}");
    }
    let outcomes: Vec<&str> = agents.iter().map(|told| told.outcome).collect();
    ensure!(
        outcomes == ["granted", "granted later", "refused"],
        "the story went another way: {outcomes:?}"
    );
    Ok(())
}

/// A grant that is not reached is told where the machine could not have done better, and a
/// failure where it could: where an unlimited copy carried four times the grants together.
fn check_achieved(agents: &[Told], unlimited: BitRate, strict: bool) -> anyhow::Result<()> {
    let granted: u64 = agents.iter().filter_map(|told| told.granted).map(BitRate::bps).sum();
    for told in agents {
        let Some((achieved, granted_bps)) = told.achieved.zip(told.granted) else { continue };
        if u128::from(granted_bps.bps()) * 98 <= u128::from(achieved.bps()) * 100 {
            continue;
        }
        let text = format!("{} achieved {achieved} of {granted_bps}", told.agent);
        ensure!(!strict || unlimited.bps() < granted.saturating_mul(4), "{text}");
        println!("note: {text}; this machine is busy");
    }
    Ok(())
}

// === the image ===

/// A file that is served over http on a port of its own.
struct Image {
    url: String,
    digest: Digest,
}

impl Image {
    async fn serve(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join("image.raw");
        let content = noise(IMAGE);
        let digest = Digest::of(&content);
        tokio::fs::write(&path, content).await.context("no room for the image")?;
        let router = Router::new().route("/image.raw", get(send)).with_state(path);
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}/image.raw", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, digest })
    }
}

/// Bytes that look like an image: a fixed sequence that does not compress.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        // Xorshift (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

async fn send(State(path): State<PathBuf>) -> Result<impl IntoResponse, StatusCode> {
    let gone = |_| StatusCode::NOT_FOUND;
    let file = tokio::fs::File::open(path).await.map_err(gone)?;
    let length = file.metadata().await.map_err(gone)?.len();
    let body = Body::from_stream(ReaderStream::with_capacity(file, 256 << 10));
    Ok(([(header::CONTENT_LENGTH, length)], body))
}

//! The same three downloads in four worlds, each for some seconds.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use tidegate_broker::Broker;
use tidegate_broker::config::{Config, JournalPlace, Listen};
use tidegate_client::{Client, topology_file};
use tidegate_lab::figures::machine::Quiet;
use tidegate_lab::net::Running;
use tidegate_lab::sample::{Counting, Way};
use tidegate_lab::trace::Trace;
use tidegate_lab::{machine, pause, scratch};

use crate::agent::MOVING;
use crate::fabric::{self, Fabric};

/// What the first of the three is granted, in bit/s.
pub(crate) const GRANT: u64 = 100_000_000;

/// How often counters are read.
const EVERY: Duration = Duration::from_millis(10);

/// How long an agent may take until its bytes move.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who asks for a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The broker grants it.
    Granted,
    /// It keeps to it, and nobody knows.
    Unasked,
    /// It takes what it gets.
    Unpaced,
}

/// One download.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    from: &'static str,
    to: &'static str,
    streams: u16,
    bps: u64,
    told: Told,
}

/// One world.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Whose figures have goals are called `tidegate`.
    pub(crate) contender: &'static str,
    /// Kept back on every link.
    reserved: &'static str,
    /// The one that is looked at comes last: the others are there before.
    senders: &'static [Sender],
}

const fn sender(
    from: &'static str,
    to: &'static str,
    streams: u16,
    mbit: u64,
    told: Told,
) -> Sender {
    Sender { from, to, streams, bps: mbit * 1_000_000, told }
}

pub(crate) const CASES: [Case; 4] = [
    Case {
        name: "grants",
        title: "all three under grants",
        contender: "tidegate",
        reserved: "3%",
        senders: &[
            sender("h2", "h5", 4, 38, Told::Granted),
            sender("h3", "h5", 4, 38, Told::Granted),
            sender("h1", "h4", 1, 100, Told::Granted),
        ],
    },
    Case {
        name: "free",
        title: "the same without reservations",
        contender: "unreserved",
        reserved: "3%",
        senders: &[
            sender("h2", "h5", 4, 38, Told::Unpaced),
            sender("h3", "h5", 4, 38, Told::Unpaced),
            sender("h1", "h4", 1, 100, Told::Unpaced),
        ],
    },
    Case {
        name: "intruder",
        title: "all three under grants, and one that nobody paces",
        contender: "intruded",
        reserved: "3%",
        senders: &[
            sender("h2", "h5", 4, 38, Told::Granted),
            sender("h3", "h5", 4, 38, Told::Granted),
            sender("h3", "h6", 4, 0, Told::Unpaced),
            sender("h1", "h4", 1, 100, Told::Granted),
        ],
    },
    Case {
        name: "reserved",
        title: "a quarter is reserved, and unmanaged traffic stays within it",
        contender: "tidegate",
        reserved: "25%",
        senders: &[
            sender("h2", "h5", 4, 18, Told::Granted),
            sender("h3", "h5", 4, 18, Told::Granted),
            sender("h3", "h6", 1, 30, Told::Unasked),
            sender("h1", "h4", 1, 100, Told::Granted),
        ],
    },
];

/// The first of the three with nobody beside it and without a limit.
pub(crate) const ALONE: Case = Case {
    name: "alone",
    title: "the first alone, unlimited",
    contender: "unlimited",
    reserved: "3%",
    senders: &[sender("h1", "h4", 1, 100, Told::Unpaced)],
};

/// What came to the hosts of the right.
pub(crate) struct Ran {
    /// What is looked at, from its first byte on.
    pub(crate) first: Trace,
    /// Everything that came to each host: to the first, the other two, and whoever else sends.
    pub(crate) hosts: [Trace; 3],
    pub(crate) quiet: Quiet,
}

/// Runs a world for `span` from the first byte of its last sender on.
pub(crate) async fn run(fabric: &Fabric, case: &Case, span: Duration) -> anyhow::Result<Ran> {
    let socket = fabric.directory.path().join(format!("{}.socket", case.name));
    let address = format!("unix:{}", socket.display());
    let journal = fabric.directory.path().join(format!("{}.journal", case.name));
    let config = Config::ephemeral(JournalPlace::Directory(journal));
    let broker = Broker::start(Config { listen: Listen::Unix(socket), ..config }).await?;
    let stopper = broker.stopper();
    let ran = Box::pin(within(fabric, case, (&address, span))).await;
    stopper.cancel();
    broker.wait().await?;
    ran
}

async fn within(
    fabric: &Fabric,
    case: &Case,
    (broker, span): (&str, Duration),
) -> anyhow::Result<Ran> {
    let topology = topology_file::parse(&fabric::topology(case.reserved))?;
    Client::connect(broker)?.apply_topology(topology, false).await?;
    let counting =
        ["h4", "h5", "h6"].map(|host| Counting::start(&fabric.net, (host, "eth0"), Way::In, EVERY));
    let [first, others, more] = counting;
    let counting = [first?, others?, more?];
    let watch = machine::watch();
    let mut running = Vec::new();
    for (place, sender) in case.senders.iter().enumerate() {
        if place != 0 && place + 1 == case.senders.len() {
            pause(Duration::from_secs(1)).await;
        }
        running.push(start(fabric, (place, sender), (broker, span)).await?);
    }
    // The last one still has to connect.
    pause(span.saturating_add(Duration::from_millis(500))).await;
    let quiet = watch.quiet();
    for agent in &mut running {
        agent.check().with_context(|| format!("{}: an agent failed", case.name))?;
    }
    let [first, others, more] = counting.map(Counting::finish);
    let hosts = [first?, others?, more?];
    for mut agent in running {
        agent.end(Duration::from_secs(5)).await;
    }
    scratch::empty(&fabric.fetched())?;
    let first = hosts[0].content(span);
    // Whoever has no grant may be starved: that is what these cases show.
    let promised = case.contender == "tidegate";
    let enough = first.span() + Duration::from_secs(1) >= span;
    ensure!(enough || !promised, "{}: too little came", case.name);
    Ok(Ran { first, hosts, quiet })
}

/// Starts one download; its bytes may move once this returns.
async fn start(
    fabric: &Fabric,
    (place, sender): (usize, &Sender),
    (broker, span): (&str, Duration),
) -> anyhow::Result<Running> {
    let Sender { from, to, streams, bps, told } = *sender;
    // None comes to its end meanwhile, whatever it gets of a link.
    let fastest = if told == Told::Unpaced { 200_000_000 } else { bps };
    let seconds = span.as_secs().saturating_add(10);
    let url = Fabric::url(from, fastest / 8 * seconds);
    let mut command = fabric.net.role(to, "agent")?;
    command.args(["--url", &url, "--streams", &streams.to_string(), "--to"]);
    command.arg(fabric.fetched().join(place.to_string()));
    if told != Told::Unpaced {
        command.args(["--rate", &format!("{bps}bit")]);
    }
    if told == Told::Granted {
        let source = format!("hosts/{from}");
        command.args(["--broker", broker, "--from", &source, "--host", to]);
        command.args(["--lasting", &format!("{}s", seconds.saturating_add(20))]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = Running::start(&mut command)?;
    let out = running.child().stdout.take().context("it has no output")?;
    let line = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).map(|_| line)
    });
    let line =
        tokio::time::timeout(PATIENCE, line).await.context("an agent does not begin")???;
    ensure!(line.trim() == MOVING, "an agent of {to} got no grant; it says why above");
    Ok(running)
}

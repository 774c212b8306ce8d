//! A day on a research backbone, and every report on it: who was promised what, who moved how much of it,
//! what was refused and why, which links are full, and when.
//!
//! `cargo run --bin capacity_report` lives through a day of heavy-tailed image pulls on the Abilene network
//! in virtual time, into the store of a broker, by the same code as a broker runs. Then it starts a broker
//! there, asks it for every report through the client library, and checks that what the agents reported, the
//! reports and the exported files agree to the byte. With `--serve` it goes on, for the dashboard; with
//! `--scale` it makes a network of 5000 lanes and a million reservations instead.
#![allow(clippy::print_stdout, reason = "an example talks")]

mod agree;
mod backups;
mod chance;
mod day;
mod habits;
mod ledger;
mod live;
mod network;
mod reports;
mod scale;
#[cfg(test)]
mod tests;
mod words;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Parser;
use tidegate_broker::Broker;
use tidegate_broker::config::{Config, JournalPlace, SessionConfig};
use tidegate_broker::past::Past;
use tidegate_client::Client;
use tidegate_client::clock::{BootTime, wall};
use tidegate_policy::Span;

use crate::day::{Day, MINUTE};
use crate::words::bytes;

/// Lives through a day in virtual time, and shows every report on it
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    /// How many days of the past there are to be
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=30))]
    days: u32,
    /// Where chance begins: the same seed leads to the same days
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the store in this directory, which must be empty or not there; else it is removed at the end
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Go on serving until Ctrl-C, to look at the dashboard
    #[arg(long)]
    serve: bool,
    /// A network of about 5000 lanes with many reservations instead, to see how all of it is at that size
    #[arg(long, conflicts_with = "days")]
    scale: bool,
    /// How many reservations, with --scale
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000, requires = "scale")]
    reservations: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let temporary = tempfile::tempdir().context("cannot make a temporary directory")?;
    let directory = arguments.dir.as_deref().unwrap_or(temporary.path());
    let config = prepare(directory, &arguments)?;
    let begun = BootTime::now();
    let mut lived = if arguments.scale {
        scale::live(&config, arguments.reservations, arguments.seed)?;
        None
    } else {
        let past = Past::begin(&config, wall().minus(days(arguments.days)))?;
        Some(live(past, days(arguments.days), arguments.seed)?)
    };
    println!(
        "           in {:.1} s of this machine's time",
        BootTime::now().since(begun).as_secs_f64()
    );

    let begun = BootTime::now();
    let broker = Broker::start(config).await?;
    let (address, stopper) = (broker.address(), broker.stopper());
    let took = BootTime::now().since(begun).as_secs_f64();
    println!("broker     {address}, on that past after {took:.1} s");
    let told = Box::pin(story(&address, lived.as_mut(), arguments.serve)).await;
    stopper.cancel();
    broker.wait().await?;
    told
}

fn days(count: u32) -> Span {
    Span::from_secs(count.saturating_mul(86_400))
}

/// A broker in a directory of its own, whose agents report once a minute.
fn prepare(directory: &Path, arguments: &Arguments) -> anyhow::Result<Config> {
    std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    let is_empty = std::fs::read_dir(directory)?.next().is_none();
    let shown = directory.display();
    ensure!(is_empty, "{shown} is not empty\nhint: name a directory that is not there yet");
    let mut config = config(directory.join("journal"));
    if arguments.scale {
        let most = usize::try_from(arguments.reservations)?;
        config.limits.reservations = most.saturating_mul(2).max(config.limits.reservations);
    }
    if arguments.dir.is_some() {
        let file = directory.join("tidegated.toml");
        std::fs::write(&file, config.to_string())?;
        println!("store      {shown}, for `tidegated serve --config {}`", file.display());
    }
    Ok(config)
}

fn config(journal: PathBuf) -> Config {
    let session = SessionConfig { beat_every: MINUTE, lease: MINUTE.plus(MINUTE), grace: MINUTE };
    Config { session, ..Config::ephemeral(JournalPlace::Directory(journal)) }
}

fn live(past: Past, span: Span, seed: u64) -> anyhow::Result<Lived> {
    let mut day = Day::begin(past, span, seed)?;
    day.live()?;
    let Day { past, ledger, start, end, .. } = day;
    past.end()?;
    let decided = ledger.all_decided();
    println!("past       {start} to {end}, seed {seed}");
    println!(
        "           {} granted, {} refused, {} lost; {} moved",
        decided.granted,
        decided.refused,
        ledger.lost,
        bytes(ledger.total())
    );
    Ok(Lived { ledger, start, end })
}

/// What was lived through.
struct Lived {
    ledger: ledger::Ledger,
    start: tidegate_policy::Timestamp,
    end: tidegate_policy::Timestamp,
}

async fn story(broker: &str, lived: Option<&mut Lived>, serve: bool) -> anyhow::Result<()> {
    let client = Client::connect(broker)?;
    println!("dashboard  {broker}/");
    println!("commands   with `--broker {broker}`, or TIDEGATE_BROKER={broker}");
    match lived {
        Some(Lived { ledger, start, end }) => {
            reports::tell(&client, *start, "research").await?;
            live::pull(&client, broker, ledger).await?;
            agree::check(&client, ledger, (*start, *end)).await?;
        }
        None => scale::tell(&client).await?,
    }
    if serve {
        println!(
            "\nserving at {broker} until Ctrl-C; the agents of the past are gone, so what they had"
        );
        println!("under way is given back when their sessions are lost, in three minutes");
        tokio::signal::ctrl_c().await?;
    }
    Ok(())
}

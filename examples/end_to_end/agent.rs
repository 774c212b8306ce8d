//! The role of an agent on a host: it fetches under a grant of the broker, or without one.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tidegate_client::fetch::Fetch;
use tidegate_client::{Ask, Burst, Client, Download, End, Grant, Limiter};
use tidegate_lab::abandoned;
use tidegate_policy::{BitRate, Endpoint, Span};

/// What an agent says once its bytes move.
pub(crate) const MOVING: &str = "moving";

/// Four links while their queues are empty.
const ROUND_TRIP: Duration = Duration::from_millis(1);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to fetch
    #[arg(long)]
    url: String,
    /// The file that it becomes
    #[arg(long)]
    to: PathBuf,
    /// Over so many connections
    #[arg(long, default_value_t = 1)]
    streams: u16,
    /// At this rate; without one, as fast as it goes
    #[arg(long)]
    rate: Option<BitRate>,
    /// The broker that is asked for the rate; without one, nobody knows of it
    #[arg(long, requires_all = ["rate", "from", "host"])]
    broker: Option<String>,
    /// Where the bytes come from
    #[arg(long)]
    from: Option<Endpoint>,
    /// The host of this agent
    #[arg(long)]
    host: Option<String>,
    /// How long to ask for
    #[arg(long, default_value = "60s")]
    lasting: Span,
}

/// Fetches until it is done, or whoever started it goes away; then it gives its grant back.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { url, to, streams, rate, broker, from, host, lasting } = arguments;
    let download = Download::new(url, to).streams(streams).round_trip(ROUND_TRIP);
    let (Some(broker), Some(rate), Some(from), Some(host)) = (broker, rate, from, host) else {
        let limiter = Limiter::new(rate.unwrap_or(BitRate::MAX), Burst::default());
        say(MOVING);
        return tokio::select! {
            done = Box::pin(download.run(&limiter, |_| {})) => Ok(done.map(drop)?),
            () = abandoned() => Ok(()),
        };
    };
    let session = Client::connect(&broker)?.open_session(&host).await?;
    let destination = format!("hosts/{host}").parse()?;
    let fetch = Fetch::new(Ask::new(from, destination, rate, End::After(lasting)), download);
    let done = tokio::select! {
        done = Box::pin(fetch.run(&session, granted, |_| {})) => done.map(drop),
        () = abandoned() => Ok(()),
    };
    session.close().await?;
    done.map_err(Into::into)
}

fn granted(_: &Grant) {
    say(MOVING);
}

#[allow(clippy::print_stdout, reason = "whoever started it waits for this")]
fn say(word: &str) {
    println!("{word}");
}

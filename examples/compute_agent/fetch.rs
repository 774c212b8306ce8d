//! One image: ask, take an offer if the answer is no, fetch, give back.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use tidegate_client::fetch::{Fetch, FetchError};
use tidegate_client::{Ask, Client, Digest, Download, End, OnUnreachable, Refusal, clock};
use tidegate_policy::{BitRate, Endpoint, Span, Timestamp};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The image: an http, https, s3 or glance URL
    url: String,
    /// The file that it becomes
    destination: PathBuf,
    /// Where the bytes come from, best first
    #[arg(long, required = true, value_name = "ENDPOINT")]
    from: Vec<Endpoint>,
    /// This host
    #[arg(long, value_name = "ENDPOINT")]
    to: Endpoint,
    /// The payload rate
    #[arg(long)]
    rate: BitRate,
    /// The SHA-256 that the image must have
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// How late an offer may end to be taken
    #[arg(long, default_value = "10m", value_name = "DURATION")]
    patience: Span,
}

pub(crate) async fn run(broker: &str, arguments: Arguments) -> anyhow::Result<()> {
    let client = Client::connect(broker)?;
    let mut download = Download::new(&arguments.url, &arguments.destination);
    if let Some(hex) = &arguments.sha256 {
        download = download.digest(Digest::sha256(hex)?);
    }
    let (first, others) = arguments.from.split_first().context("name a source with --from")?;
    let ask = Ask::new(first.clone(), arguments.to, arguments.rate, End::After(Span::ZERO));
    let ask = others.iter().cloned().fold(ask, Ask::or_from);
    // A broker that restarts is waited for; one that stays away for a minute is an error.
    let patient = OnUnreachable::Wait { up_to: Duration::from_secs(60) };
    let mut fetch = Fetch::new(ask, download).on_unreachable(patient).sized().await?;
    let latest = clock::wall().plus(arguments.patience);

    let session = client.open_session("compute-agent").await?;
    let fetched = loop {
        let announce = |grant: &tidegate_client::Grant| {
            if let Some(granted) = grant.reservation() {
                let from = granted.source().map_or_else(String::new, |it| format!(" from {it}"));
                println!("granted {}{from} at {}", granted.rate, granted.start);
            }
        };
        match Box::pin(fetch.run(&session, announce, |_| {})).await {
            Ok(fetched) => break Ok(fetched),
            Err(FetchError::Refused(refusal)) => {
                match acceptable(&refusal, &fetch.ask, arguments.rate, latest) {
                    Some(ask) => fetch.ask = ask,
                    None => break Err(anyhow!("{refusal}")),
                }
            }
            Err(error) => break Err(error.into()),
        }
    };
    // Whatever became of it: nobody should wait for this agent.
    let closed = session.close().await;
    let fetched = fetched?;
    closed?;
    let rate = fetched.report.mean_rate.map_or_else(String::new, |rate| format!(" = {rate}"));
    println!(
        "fetched {} in {:.2?}{rate}, {}",
        fetched.report.bytes, fetched.report.elapsed, fetched.report.digest
    );
    Ok(())
}

/// The first offer at the rate asked for that ends in time.
fn acceptable(refusal: &Refusal, ask: &Ask, rate: BitRate, latest: Timestamp) -> Option<Ask> {
    let in_time = refusal.offers.iter().find(|offer| offer.rate == rate && offer.end <= latest);
    in_time.map(|offer| {
        println!("refused now; taking {offer}");
        offer.ask(ask)
    })
}

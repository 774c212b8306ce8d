//! The role of our own contender: downloads as the library ships them, under one limiter.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use tidegate_client::{Burst, Download, Limiter};
use tidegate_lab::pause;
use tidegate_policy::BitRate;
use tokio::task::JoinSet;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to fetch
    #[arg(long)]
    url: String,
    /// The file that it becomes; with several downloads each has its number behind it
    #[arg(long)]
    to: PathBuf,
    /// At which rate, all of them together; without, as fast as it goes
    #[arg(long)]
    rate: Option<BitRate>,
    /// How many downloads share the rate
    #[arg(long, default_value_t = 1)]
    downloads: usize,
    /// How long to count what each of several gets
    #[arg(long, default_value_t = 1000, value_name = "MILLISECONDS")]
    count_ms: u64,
}

/// One wire, and who is at its ends; a download does not find that out by itself.
const ROUND_TRIP: Duration = Duration::from_millis(1);

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { url, to, rate, downloads, count_ms } = arguments;
    let limiter = Limiter::new(rate.unwrap_or(BitRate::MAX), Burst::default());
    if downloads == 1 {
        let download = Download::new(url, to).round_trip(ROUND_TRIP);
        Box::pin(download.run(&limiter, |_| {})).await?;
        return Ok(());
    }
    let mut running = JoinSet::new();
    let mut moved = Vec::new();
    for number in 0..downloads {
        let (limiter, counter) = (limiter.clone(), Arc::new(AtomicU64::new(0)));
        let download = Download::new(&url, to.with_extension(number.to_string()));
        let download = download.round_trip(ROUND_TRIP);
        moved.push(Arc::clone(&counter));
        running.spawn(async move {
            let count = move |it: tidegate_client::download::Progress| {
                counter.store(it.moved.bytes(), Ordering::Relaxed);
            };
            Box::pin(download.run(&limiter, count)).await
        });
    }
    // From when all are under way.
    let read = || -> Vec<u64> { moved.iter().map(|it| it.load(Ordering::Relaxed)).collect() };
    while read().contains(&0) {
        if let Some(ended) = running.try_join_next() {
            ended??;
        }
        pause(Duration::from_millis(10)).await;
    }
    let before = read();
    pause(Duration::from_millis(count_ms)).await;
    tell(&before, &read());
    Ok(())
}

#[allow(clippy::print_stdout, reason = "whoever started it reads this")]
fn tell(before: &[u64], after: &[u64]) {
    for (before, after) in before.iter().zip(after) {
        println!("{}", after.saturating_sub(*before));
    }
}

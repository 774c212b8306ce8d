//! Several downloads under one limiter: whether each gets its part.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use tidegate_lab::figures::report::{Report, Subject};
use tidegate_lab::machine;
use tidegate_lab::net::Running;

use crate::runs::{CLIENT, Lab};

const BPS: u64 = 1_000_000_000;

/// How many, and how near to one Jain's index is to be.
const SHARES: [(usize, f64); 2] = [(8, 0.999), (256, 0.99)];

pub(crate) async fn run(lab: &Lab, report: &mut Report, quick: bool) -> anyhow::Result<()> {
    let (free, _) = lab.unlimited().await?;
    report.tell(
        Subject { bench: "shares", contender: "unlimited", rate: BPS },
        "best 200 ms, Gbit/s",
        free / 1e9,
    );
    let span = if quick { Duration::from_secs(2) } else { Duration::from_secs(5) };
    for (count, goal) in SHARES {
        let subject = Subject { bench: "shares", contender: "tidegate", rate: BPS };
        let counting = lab.count()?;
        let watch = machine::watch();
        let moved = moved(lab, count, span).await?;
        let quiet = watch.quiet().and_capable(free, BPS);
        let trace = counting.finish()?.content(span);
        lab.clear()?;
        report.at_least(subject, (&format!("Jain, {count} downloads"), jain(&moved)), goal, quiet);
        let total = moved.iter().sum::<u64>() as f64 * 8.0 / span.as_secs_f64() / BPS as f64;
        report.tell(subject, format!("admitted to {count}, part of the rate"), total);
        let wire = trace.rate() / BPS as f64;
        report.tell(subject, format!("the wire under {count}, part of the rate"), wire);
    }
    Ok(())
}

/// What each of so many downloads got within `span`, in bytes.
async fn moved(lab: &Lab, count: usize, span: Duration) -> anyhow::Result<Vec<u64>> {
    // None comes to its end meanwhile.
    let all = BPS / 8000 * u64::try_from(span.as_millis())?.saturating_add(3000);
    let size = all.saturating_mul(2) / u64::try_from(count)?.max(1);
    let mut command = lab.net.role(CLIENT, "fetch")?;
    command.args(["--url", &Lab::url(size), "--rate", &format!("{BPS}bit"), "--to"]);
    command.arg(lab.file()).args(["--downloads", &count.to_string()]);
    command.args(["--count-ms", &span.as_millis().to_string()]).stdout(Stdio::piped());
    let mut running = Running::start(&mut command)?;
    let mut out = running.child().stdout.take().context("it has no output")?;
    let text = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });
    let limit = span.saturating_add(Duration::from_secs(60));
    let text =
        tokio::time::timeout(limit, text).await.context("the downloads did not begin")???;
    running.check()?;
    let moved: Vec<u64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    ensure!(moved.len() == count, "{} of {count} downloads told what they got", moved.len());
    Ok(moved)
}

/// 1 where all are alike, 1/n where one has all (Jain 1984).
fn jain(shares: &[u64]) -> f64 {
    let sum: f64 = shares.iter().map(|it| *it as f64).sum();
    let squares: f64 = shares.iter().map(|it| (*it as f64).powi(2)).sum();
    sum * sum / (squares * shares.len().max(1) as f64).max(f64::MIN_POSITIVE)
}

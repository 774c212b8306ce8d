//! How exactly downloads keep a rate on a wire, with what others limit downloads with beside them.
//!
//! `cargo run --release -p tidegate-examples --bin wire_bench`, as root: it builds a server and a
//! client in namespaces of their own with one wire between them, has each contender fetch the same
//! from the same server in turns, and reads the counters of the wire every millisecond. A table as it
//! goes, one line of JSON per figure at the end; `--quick` takes one short round. A contender that is
//! not installed is absent. `docs/benchmarks.md` says what each row means.
//!
//! The contender `tidegate` is a [`Download`](tidegate_client::Download) as it is shipped, under a
//! limiter with the default burst; it alone also verifies what it fetched, which costs processor time.
#![allow(clippy::cast_precision_loss, reason = "figures are for people")]

mod accuracy;
mod contenders;
mod fetching;
mod runs;
mod shares;
mod slow;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use tidegate_client::Digest;
use tidegate_lab::figures::report::{Report, Subject};
use tidegate_lab::{machine, sample, serve, until_stopped};

/// How exactly downloads keep a rate on a wire
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    /// One short round, for CI
    #[arg(long)]
    quick: bool,
    /// Only these parts
    #[arg(long, value_enum, value_name = "PART")]
    part: Vec<Part>,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// 100 Mbit/s and 1 Gbit/s, beside others
    Accuracy,
    /// 1 Mbit/s
    Slow,
    /// 8 and 256 downloads under one limiter
    Shares,
}

/// What this program is when it runs within its own network.
#[derive(Debug, Subcommand)]
enum Role {
    /// Counts what passes a device
    #[command(hide = true)]
    Sample(sample::Arguments),
    /// Serves
    #[command(hide = true)]
    Serve(serve::Arguments),
    /// Fetches under a limiter
    #[command(hide = true)]
    Fetch(fetching::Arguments),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Arguments { quick, part, role } = Arguments::parse();
    match role {
        Some(Role::Sample(arguments)) => sample::run(&arguments)?,
        Some(Role::Serve(arguments)) => serve::run(&arguments).await?,
        Some(Role::Fetch(arguments)) => fetching::run(arguments).await?,
        None => {
            let story = Box::pin(story(quick, &part));
            return until_stopped("wire_bench", &["ip", "tc", "ss"], story).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn story(quick: bool, parts: &[Part]) -> anyhow::Result<()> {
    let has = |part| parts.is_empty() || parts.contains(&part);
    let lab = runs::Lab::new()?;
    let mut report = Report::default();
    machine::calibrate(&mut report).await;
    digest(&mut report)?;
    if has(Part::Accuracy) {
        accuracy::run(&lab, &mut report, quick).await?;
    }
    if has(Part::Slow) {
        slow::run(&lab, &mut report, quick).await?;
    }
    if has(Part::Shares) {
        shares::run(&lab, &mut report, quick).await?;
    }
    machine::calibrate(&mut report).await;
    report.finish();
    Ok(())
}

/// What verifying costs, which is part of every download of ours and of no other: so much of its
/// processor time is not for keeping a rate.
fn digest(report: &mut Report) -> anyhow::Result<()> {
    const BYTES: usize = 64 << 20;
    let content = vec![7; BYTES];
    let spent = || machine::cpu_of(std::process::id()).context("no processor time of its own");
    let before = spent()?;
    std::hint::black_box(Digest::of(&content));
    let spent = spent()?.saturating_sub(before).as_secs_f64();
    let subject = Subject { bench: "host", contender: "sha256", rate: 0 };
    report.tell(subject, "CPU, s per GB", spent * 1e9 / BYTES as f64);
    Ok(())
}

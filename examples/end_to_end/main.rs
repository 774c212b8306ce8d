//! What a grant is worth on a network: three agents, one link that all of them need.
//!
//! `cargo run --release -p tidegate-examples --bin end_to_end`, as root: it builds a leaf-spine network
//! of six hosts in namespaces of their own, with 200 Mbit/s on every link (HTB is the wire), a broker,
//! and an agent for each download as a process on its host. The first agent is to have what it was
//! granted while the others send; beside it the same without reservations, with an intruder that nobody
//! paces, and with unmanaged traffic within what the topology says is `reserved`. A table as it goes, a
//! plot as SVG, one line of JSON per figure at the end; `--quick` is shorter. `docs/benchmarks.md` says
//! what each row means, and what a guarantee needs.
#![allow(clippy::cast_precision_loss, reason = "figures are for people")]

mod agent;
mod cases;
mod fabric;
mod plot;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use cases::{ALONE, CASES, Case, GRANT, Ran};
use clap::{Parser, Subcommand};
use tidegate_lab::figures::report::{Report, Subject};
use tidegate_lab::{machine, sample, serve, until_stopped};

/// What a grant is worth on a network
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    /// Shorter, for CI
    #[arg(long)]
    quick: bool,
    /// Where the plot goes
    #[arg(long, default_value = "end_to_end.svg", value_name = "FILE")]
    plot: PathBuf,
    #[command(subcommand)]
    role: Option<Role>,
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
    /// Fetches, under a grant or without
    #[command(hide = true)]
    Agent(agent::Arguments),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Arguments { quick, plot, role } = Arguments::parse();
    match role {
        Some(Role::Sample(arguments)) => sample::run(&arguments)?,
        Some(Role::Serve(arguments)) => serve::run(&arguments).await?,
        Some(Role::Agent(arguments)) => agent::run(arguments).await?,
        None => {
            let story = Box::pin(story(quick, &plot));
            return until_stopped("end_to_end", &["ip", "tc"], story).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[allow(clippy::print_stdout, reason = "where the plot is")]
async fn story(quick: bool, plot: &std::path::Path) -> anyhow::Result<()> {
    let fabric = fabric::Fabric::new()?;
    let mut report = Report::default();
    machine::calibrate(&mut report).await;
    let alone = Box::pin(cases::run(&fabric, &ALONE, Duration::from_secs(4))).await?;
    let free = alone.first.windows(Duration::from_secs(1)).map_or(0.0, |(_, most)| most);
    report.tell(subject(&ALONE), "best second, Mbit/s", free / 1e6);
    let span = Duration::from_secs(if quick { 6 } else { 20 });
    let mut panels = Vec::new();
    for case in &CASES {
        let ran = Box::pin(cases::run(&fabric, case, span)).await?;
        tell(&mut report, case, &ran, free);
        panels.push(plot::Panel::of(case.title, &ran, span));
    }
    machine::calibrate(&mut report).await;
    let picture = plot::svg(&panels, GRANT as f64);
    std::fs::write(plot, picture).with_context(|| format!("cannot write {}", plot.display()))?;
    println!("\nthe plot is in {}", plot.display());
    report.finish();
    Ok(())
}

fn subject(case: &Case) -> Subject {
    Subject { bench: case.name, contender: case.contender, rate: GRANT }
}

/// What the first agent got after its first second, as a part of its grant; and the others.
fn tell(report: &mut Report, case: &Case, ran: &Ran, free: f64) {
    let grant = GRANT as f64;
    let begin = ran.first.begin();
    let settled = ran.first.from(begin.saturating_add(1_000_000_000));
    let least = settled.windows(Duration::from_secs(1)).map_or(0.0, |(least, _)| least / grant);
    let mean = settled.rate() / grant;
    let subject = subject(case);
    let (first, second) = ("least second, part of the grant", "mean, part of the grant");
    if case.contender == "tidegate" {
        let quiet = ran.quiet.and_capable(free, GRANT);
        report.at_least(subject, (first, least), 0.95, quiet);
        report.at_least(subject, (second, mean), 0.98, quiet);
    } else {
        report.tell(subject, first, least);
        report.tell(subject, second, mean);
    }
    let [_, others, more] = &ran.hosts;
    let until = begin.saturating_add(u64::try_from(ran.first.span().as_nanos()).unwrap_or(0));
    let during = |trace: &tidegate_lab::trace::Trace| trace.from(begin).until(until).rate() / 1e6;
    report.tell(subject, "the other two, Mbit/s", during(others));
    report.tell(subject, "whoever else, Mbit/s", during(more));
}

//! All contenders at the rates of links, in turns.

use std::time::Duration;

use tidegate_lab::figures::machine::Quiet;
use tidegate_lab::figures::report::{Report, Subject};

use crate::contenders::Contender;
use crate::runs::{Lab, Ran, burst, median};

const RATES: [u64; 2] = [100_000_000, 1_000_000_000];

/// Where processor time is compared.
const COSTLY: u64 = 1_000_000_000;

/// All runs of one contender at one rate.
pub(crate) struct Runs {
    pub(crate) contender: Contender,
    pub(crate) runs: Vec<Ran>,
}

/// What is said of how exactly a rate is kept; the less the better but for the first, which is to be 1.
#[derive(Clone, Copy)]
struct Columns {
    all: f64,
    worst_100_ms: f64,
    /// Where a run is long enough to have a second.
    worst_second: f64,
    sigma_ms: f64,
}

impl Runs {
    fn columns(&self, bps: u64) -> Columns {
        let rate = bps as f64;
        let over = |of: &dyn Fn(&Ran) -> f64| median(self.runs.iter().map(of));
        let most =
            |ran: &Ran, span| ran.trace.windows(span).map_or(f64::NAN, |(_, most)| most / rate);
        Columns {
            all: over(&|ran| ran.trace.rate() / rate),
            worst_100_ms: over(&|ran| most(ran, Duration::from_millis(100))),
            worst_second: over(&|ran| most(ran, Duration::from_secs(1))),
            sigma_ms: over(&|ran| ran.trace.sigma(bps) * 1e3),
        }
    }

    fn cpu(&self) -> f64 {
        median(self.runs.iter().filter_map(|ran| ran.cpu_per_gigabyte))
    }

    /// How long all of its receive buffers take at the rate, in milliseconds.
    fn buffers_ms(&self, bps: u64) -> f64 {
        median(self.runs.iter().map(|ran| ran.buffers as f64 * 8e3 / bps as f64))
    }

    pub(crate) fn quiet(&self, free: f64, bps: u64) -> Option<Quiet> {
        let all = self.runs.iter().map(|ran| ran.quiet).reduce(Quiet::and);
        all.map(|quiet| quiet.and_capable(free, bps))
    }
}

pub(crate) async fn run(lab: &Lab, report: &mut Report, quick: bool) -> anyhow::Result<()> {
    let (rounds, span) =
        if quick { (1, Duration::from_secs(2)) } else { (3, Duration::from_secs(4)) };
    for bps in RATES {
        let (all, free) = turns(lab, report, (&Contender::LIMITED, bps), (rounds, span)).await?;
        tell(report, &all, (bps, free));
    }
    Ok(())
}

/// Each contender that is installed so many times, nobody always behind the same one; and what passes
/// without a limit, in bit/s.
pub(crate) async fn turns(
    lab: &Lab,
    report: &mut Report,
    (contenders, bps): (&[Contender], u64),
    (rounds, span): (usize, Duration),
) -> anyhow::Result<(Vec<Runs>, f64)> {
    let mut all: Vec<Runs> = Vec::new();
    for contender in contenders.iter().copied() {
        if contender.is_installed() {
            all.push(Runs { contender, runs: Vec::new() });
        } else {
            let absent = Subject { bench: "wire", contender: contender.name(), rate: bps };
            report.tell(absent, "absent: it is not installed", f64::NAN);
        }
    }
    let mut free = Vec::new();
    for round in 0..rounds {
        free.push(lab.unlimited().await?);
        let mut turns: Vec<&mut Runs> = all.iter_mut().collect();
        let places = turns.len().max(1);
        turns.rotate_left(round % places);
        for turn in turns {
            turn.runs.push(lab.run(turn.contender, bps, span).await?);
        }
    }
    let unlimited = Subject { bench: "wire", contender: "unlimited", rate: bps };
    let most = median(free.iter().map(|(most, _)| *most));
    report.tell(unlimited, "best 200 ms, Gbit/s", most / 1e9);
    report.tell(unlimited, "CPU, s per GB", median(free.iter().filter_map(|(_, cpu)| *cpu)));
    Ok((all, most))
}

fn tell(report: &mut Report, all: &[Runs], (bps, free): (u64, f64)) {
    let mut others: Vec<(&Runs, Columns)> = Vec::new();
    let mut ours = None;
    for runs in all {
        let subject = Subject { bench: "wire", contender: runs.contender.name(), rate: bps };
        let columns = runs.columns(bps);
        let Columns { all, worst_100_ms, worst_second, sigma_ms } = columns;
        let buffers = runs.buffers_ms(bps);
        let (first, second) = ("all, part of the rate", "worst 100 ms, part of the rate");
        let (third, fourth) = ("sigma, ms of the rate", "worst second, part of the rate");
        match runs.quiet(free, bps) {
            Some(quiet) if runs.contender == Contender::Tidegate => {
                report.near_one(subject, (first, all), 0.01, quiet);
                report.at_most(subject, (second, worst_100_ms), 1.2, quiet);
                let goal = burst(bps) * 1e3 + buffers + 10.0;
                report.at_most(subject, (third, sigma_ms), goal, quiet);
                ours = Some((runs, columns, quiet));
            }
            _ => {
                report.tell(subject, first, all);
                report.tell(subject, second, worst_100_ms);
                report.tell(subject, third, sigma_ms);
                others.push((runs, columns));
            }
        }
        report.tell(subject, fourth, worst_second);
        report.tell(subject, "receive buffers, ms of the rate", buffers);
        report.tell(subject, "CPU, s per GB", runs.cpu());
    }
    if let Some((runs, columns, quiet)) = ours {
        compare(report, (runs, columns, quiet), &others, bps);
    }
}

/// The less, the better.
type Column = fn(&Columns) -> f64;

/// Ours beside the best of the others, column by column.
fn compare(
    report: &mut Report,
    (runs, ours, quiet): (&Runs, Columns, Quiet),
    others: &[(&Runs, Columns)],
    bps: u64,
) {
    let subject = Subject { bench: "beside", contender: "tidegate", rate: bps };
    let columns: [(&str, Column); 4] = [
        ("all, off by", |it| (it.all - 1.0).abs()),
        ("worst 100 ms", |it| it.worst_100_ms),
        ("worst second", |it| it.worst_second),
        ("sigma, ms", |it| it.sigma_ms),
    ];
    for (name, column) in columns {
        let best = others.iter().map(|(runs, columns)| (column(columns), runs.contender.name()));
        let Some((best, whose)) = best.min_by(|a, b| a.0.total_cmp(&b.0)) else { continue };
        report.at_most(
            subject,
            (&format!("{name}; the best other: {whose}"), column(&ours)),
            best,
            quiet,
        );
    }
    let rclone = others.iter().find(|(runs, _)| runs.contender == Contender::Rclone);
    if let Some((rclone, _)) = rclone.filter(|_| bps == COSTLY) {
        report.at_most(subject, ("CPU, s per GB; rclone", runs.cpu()), rclone.cpu(), quiet);
    }
}

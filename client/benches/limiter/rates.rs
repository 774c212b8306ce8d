//! How exactly a lone stream gets its rate, and what that costs.

use std::time::Duration;

use tidegate_client::Burst;

use crate::contenders::{COLD, HOT, Kind, LATE, Pool};
use crate::figures::machine::Quiet;
use crate::figures::report::{Report, Subject};
use crate::host::watch;
use crate::recording::{Recording, record};
use crate::{Outcome, rate, runtime};

const CHUNK: usize = 64 * 1024;
const SECOND: usize = 1000;

/// What one contender moves, alone, from so many bytes in chunks of so many.
async fn once(
    kind: Kind,
    bps: u64,
    (span, chunk): (usize, usize),
    length: Duration,
) -> Result<(Recording, Quiet), Box<dyn std::error::Error>> {
    // Whoever used a processor for long is served worse for a while, and that was another one.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let watch = watch();
    let mut mover = Pool::new(kind, bps)?.mover_from(span, chunk)?;
    let recording = record(&mut mover, length).await?;
    Ok((recording, watch.quiet()))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// 100 us of the rate within a segment and 256 KiB, in bytes.
fn quantum(bps: u64) -> f64 {
    (bps as f64 / 80_000.0).clamp(1448.0, 262_144.0)
}

/// Every window of a second, and of 100 ms; from a cache, so that the limiter is what is measured.
pub(crate) fn windows(report: &mut Report, quick: bool) -> Outcome {
    let rates: &[u64] = if quick {
        &[1_000_000, 600_000_000, 1_000_000_000, 5_500_000_000, 40_000_000_000]
    } else {
        &[
            1_000_000,
            10_000_000,
            100_000_000,
            600_000_000,
            1_000_000_000,
            3_000_000_000,
            5_500_000_000,
            10_000_000_000,
            40_000_000_000,
        ]
    };
    let (rounds, length) =
        if quick { (1, Duration::from_millis(1300)) } else { (3, Duration::from_secs(2)) };
    let runtime = runtime()?;
    for &bps in rates {
        let mut runs: [Vec<(Recording, Quiet)>; 7] = Default::default();
        for round in 0..rounds {
            let mut turns: Vec<_> = Kind::ALL.into_iter().zip(&mut runs).collect();
            // Nobody always comes after the same one.
            turns.rotate_left(round);
            if round % 2 == 1 {
                turns.reverse();
            }
            for (kind, runs) in turns {
                if let Ok(run) = runtime.block_on(once(kind, bps, (HOT, CHUNK), length)) {
                    runs.push(run);
                }
            }
        }
        let free = median(runs[0].iter().map(|(run, _)| run.bits_per_second()));
        for (kind, runs) in Kind::ALL.into_iter().zip(&runs) {
            report_windows(report, (kind, bps), runs, free)?;
        }
    }
    Ok(())
}

fn report_windows(
    report: &mut Report,
    (kind, bps): (Kind, u64),
    runs: &[(Recording, Quiet)],
    free: f64,
) -> Outcome {
    let subject = Subject { bench: "windows", contender: kind.name(), rate: bps };
    if kind == Kind::Unlimited {
        report.tell(subject, "mean, Gbit/s", free / 1e9);
        report.tell(
            subject,
            "CPU, s per GB",
            median(runs.iter().map(|(run, _)| run.cpu_per_gigabyte())),
        );
        return Ok(());
    }
    let second = bps as f64 / 8.0;
    let all = runs.iter().map(|(_, quiet)| *quiet).reduce(Quiet::and);
    let Some(quiet) = all.map(|quiet| quiet.and_capable(free, bps)) else { return Ok(()) };
    let windows = |millis| runs.iter().map(move |(run, _)| run.windows(millis));
    let least = windows(SECOND).map(|(least, _)| least).min().unwrap_or(0) as f64 / second;
    let most = windows(SECOND).map(|(_, most)| most).max().unwrap_or(0) as f64 / second;
    let burst = Burst::default().at(rate(bps)?).bytes() as f64;
    let late = if kind == Kind::TidegateLate { second * LATE.as_secs_f64() } else { 0.0 };
    let slack = quantum(bps) / second + 0.005;
    report.at_least(subject, ("least second, part of the grant", least), 1.0 - slack, quiet);
    report.at_most(
        subject,
        ("most in a second, part of the grant", most),
        1.0 + slack + (burst + late) / second,
        quiet,
    );
    report.tell(
        subject,
        "mean, part of the grant",
        median(runs.iter().map(|(run, _)| run.of(bps))),
    );
    let tenth = windows(SECOND / 10).map(|(_, most)| most).max().unwrap_or(0) as f64;
    report.tell(subject, "most in 100 ms, part of the grant", tenth * 10.0 / second);
    report.tell(
        subject,
        "CPU, s per GB",
        median(runs.iter().map(|(run, _)| run.cpu_per_gigabyte())),
    );
    Ok(())
}

/// The mean at 100 Gbit/s, which is more than memory gives: from a cache.
pub(crate) fn hundred(report: &mut Report, quick: bool) -> Outcome {
    const BPS: u64 = 100_000_000_000;
    let length = Duration::from_secs(if quick { 1 } else { 3 });
    let runtime = runtime()?;
    let (free, _) = runtime.block_on(once(Kind::Unlimited, BPS, (HOT, CHUNK), length))?;
    let subject = |contender| Subject { bench: "hundred", contender, rate: BPS };
    report.tell(subject("unlimited"), "mean, Gbit/s", free.bits_per_second() / 1e9);
    for kind in Kind::LIMITED {
        // A cell per byte is more than its count holds.
        let Ok((run, quiet)) = runtime.block_on(once(kind, BPS, (HOT, CHUNK), length)) else {
            continue;
        };
        let quiet = quiet.and_capable(free.bits_per_second() * 1.3, BPS);
        report.near_one(
            subject(kind.name()),
            ("mean, part of the grant", run.of(BPS)),
            0.001,
            quiet,
        );
    }
    Ok(())
}

/// Reads of all sizes.
pub(crate) fn reads(report: &mut Report, quick: bool) -> Outcome {
    const BPS: u64 = 100_000_000;
    let sizes: &[(usize, &str)] = if quick {
        &[(1, "1 B"), (1448, "1448 B"), (256 * 1024, "256 KiB")]
    } else {
        &[
            (1, "1 B"),
            (64, "64 B"),
            (1448, "1448 B"),
            (16 * 1024, "16 KiB"),
            (256 * 1024, "256 KiB"),
        ]
    };
    let length = Duration::from_millis(if quick { 1000 } else { 3000 });
    let runtime = runtime()?;
    for (size, name) in sizes {
        for kind in Kind::LIMITED {
            let (run, quiet) = runtime.block_on(once(kind, BPS, (COLD, *size), length))?;
            let subject = Subject { bench: "reads", contender: kind.name(), rate: BPS };
            let metric = format!("reads of {name}, part of the grant");
            report.near_one(subject, (&metric, run.of(BPS)), 0.005, quiet);
        }
    }
    Ok(())
}

/// CPU beside an unlimited copy in the same chunks, turn by turn.
pub(crate) fn cpu(report: &mut Report, quick: bool) -> Outcome {
    let rounds = if quick { 3 } else { 7 };
    let runtime = runtime()?;
    for bps in [10_000_000_000, 40_000_000_000] {
        let kinds = [Kind::Unlimited, Kind::Tidegate, Kind::GovernorTuned, Kind::Speed];
        let mut costs: [Vec<f64>; 4] = Default::default();
        let watch = watch();
        for _ in 0..rounds {
            for (kind, costs) in kinds.into_iter().zip(&mut costs) {
                let length = Duration::from_millis(400);
                let (run, _) = runtime.block_on(once(kind, bps, (COLD, CHUNK), length))?;
                costs.push(run.cpu_per_gigabyte());
            }
        }
        let quiet = watch.quiet();
        let free = median(costs[0].iter().copied());
        for (kind, costs) in kinds.into_iter().zip(&costs) {
            let subject = Subject { bench: "cpu", contender: kind.name(), rate: bps };
            let cost = median(costs.iter().copied());
            report.tell(subject, "CPU, s per GB", cost);
            if kind != Kind::Unlimited {
                report.at_most(subject, ("CPU, times an unlimited copy", cost / free), 1.05, quiet);
            }
        }
    }
    Ok(())
}

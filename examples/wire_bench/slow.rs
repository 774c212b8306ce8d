//! 1 Mbit/s, at which one buffer of a connection is seconds of the grant.

use std::time::Duration;

use tidegate_lab::figures::report::{Report, Subject};

use crate::accuracy::turns;
use crate::contenders::Contender;
use crate::runs::{Lab, burst, median};

const BPS: u64 = 1_000_000;
const FIRST: Duration = Duration::from_secs(6);

pub(crate) async fn run(lab: &Lab, report: &mut Report, quick: bool) -> anyhow::Result<()> {
    let contenders: &[Contender] =
        if quick { &[Contender::Tidegate, Contender::Curl] } else { &Contender::LIMITED };
    let (all, free) = turns(lab, report, (contenders, BPS), (1, FIRST)).await?;
    for runs in &all {
        let subject = Subject { bench: "slow", contender: runs.contender.name(), rate: BPS };
        let metric = "the first 6 s, part of the rate";
        let value = median(runs.runs.iter().map(|ran| ran.trace.rate() / BPS as f64));
        let sigma = median(runs.runs.iter().map(|ran| ran.trace.sigma(BPS) * 1e3));
        let buffers = median(runs.runs.iter().map(|ran| ran.buffers as f64 * 8e3 / BPS as f64));
        match runs.quiet(free, BPS) {
            Some(quiet) if runs.contender == Contender::Tidegate => {
                report.at_most(subject, (metric, value), 1.15, quiet);
                let goal = burst(BPS) * 1e3 + buffers + 10.0;
                report.at_most(subject, ("sigma, ms of the rate", sigma), goal, quiet);
            }
            _ => {
                report.tell(subject, metric, value);
                report.tell(subject, "sigma, ms of the rate", sigma);
            }
        }
        report.tell(subject, "receive buffers, ms of the rate", buffers);
    }
    if !quick {
        minute(lab, report, free).await?;
    }
    Ok(())
}

/// What a receive buffer pulled at once is no error of the rate: it is left out.
async fn minute(lab: &Lab, report: &mut Report, free: f64) -> anyhow::Result<()> {
    let subject = Subject { bench: "slow", contender: "tidegate", rate: BPS };
    let ran = lab.run(Contender::Tidegate, BPS, Duration::from_secs(60)).await?;
    let bits = ran.trace.bytes().saturating_sub(ran.buffers) as f64 * 8.0;
    let value = bits / ran.trace.span().as_secs_f64().max(f64::MIN_POSITIVE) / BPS as f64;
    let quiet = ran.quiet.and_capable(free, BPS);
    report.tell(subject, "a minute, part of the rate", ran.trace.rate() / BPS as f64);
    report.near_one(subject, ("a minute less one receive buffer", value), 0.01, quiet);
    Ok(())
}

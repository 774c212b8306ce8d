//! A minute at 64 kbit/s, all at once: nobody needs a processor for that.

use std::time::Duration;

use crate::contenders::{Kind, Pool};
use crate::figures::report::{Report, Subject};
use crate::host::watch;
use crate::recording::record;
use crate::{Outcome, runtime};

const BPS: u64 = 64_000;

pub(crate) fn run(report: &mut Report, quick: bool) -> Outcome {
    if quick {
        return Ok(());
    }
    let watch = watch();
    let runs = runtime()?.block_on(async {
        let mut runs = Vec::new();
        for kind in Kind::LIMITED {
            let mut mover = Pool::new(kind, BPS)?.mover(1448)?;
            let run = async move { record(&mut mover, Duration::from_secs(60)).await };
            runs.push((kind, tokio::spawn(run)));
        }
        let mut done = Vec::new();
        for (kind, run) in runs {
            done.push((kind, run.await??));
        }
        Ok::<_, Box<dyn std::error::Error>>(done)
    })?;
    let quiet = watch.quiet();
    for (kind, run) in runs {
        let subject = Subject { bench: "slow", contender: kind.name(), rate: BPS };
        report.near_one(subject, ("a minute, part of the grant", run.of(BPS)), 0.01, quiet);
    }
    Ok(())
}

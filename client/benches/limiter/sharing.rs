//! How alike streams share one limiter.

use std::time::{Duration, Instant};

use crate::contenders::{Kind, Pool};
use crate::figures::report::{Report, Subject};
use crate::host::watch;
use crate::{Outcome, runtime};

const BPS: u64 = 1_000_000_000;

pub(crate) fn run(report: &mut Report, quick: bool) -> Outcome {
    let length = Duration::from_secs(if quick { 1 } else { 3 });
    for (count, goal) in [(8, 0.999), (256, 0.99)] {
        for kind in Kind::LIMITED {
            let watch = watch();
            let shares = runtime()?.block_on(share(kind, count, length))?;
            let quiet = watch.quiet();
            let subject = Subject { bench: "sharing", contender: kind.name(), rate: BPS };
            let sum: f64 = shares.iter().sum();
            let squares: f64 = shares.iter().map(|share| share * share).sum();
            let jain = sum * sum / (shares.len() as f64 * squares.max(1.0));
            let metric = format!("Jain index of {count} streams");
            report.at_least(subject, (&metric, jain), goal, quiet);
            let total = sum * 8.0 / (BPS as f64 * length.as_secs_f64());
            report.tell(subject, format!("all {count}, part of the grant"), total);
        }
    }
    Ok(())
}

/// Bytes of each stream, after all have spent the burst together.
async fn share(
    kind: Kind,
    count: usize,
    length: Duration,
) -> Result<Vec<f64>, Box<dyn std::error::Error>> {
    let pool = Pool::new(kind, BPS)?;
    let begin = Instant::now() + Duration::from_millis(300);
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut mover = pool.mover(64 * 1024)?;
        streams.push(tokio::spawn(async move {
            let mut bytes = 0;
            loop {
                let moved = mover.step().await?;
                match Instant::now().checked_duration_since(begin) {
                    Some(passed) if passed >= length => return Ok::<_, std::io::Error>(bytes),
                    Some(_) => bytes += moved,
                    None => {}
                }
            }
        }));
    }
    let mut shares = Vec::new();
    for stream in streams {
        shares.push(stream.await?? as f64);
    }
    Ok(shares)
}

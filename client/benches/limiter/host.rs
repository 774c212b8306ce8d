//! What the machine can do, and what else it was doing.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::contenders::{Kind, Pool};
use crate::figures::machine::{Own, Watch};
use crate::figures::report::{Report, Subject, Verdict};
use crate::{Outcome, recording, runtime};

/// This process: the network is none of it.
const OWN: Own = Own { cpu: own_cpu, interrupts: false };

/// Looks at what others do from now on.
pub(crate) fn watch() -> Watch {
    Watch::start(OWN)
}

pub(crate) fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::from_secs(secs) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Says how busy the machine is and what it does where nothing limits it.
pub(crate) fn describe(report: &mut Report) -> Outcome {
    let watch = watch();
    let host = |contender| Subject { bench: "host", contender, rate: 0 };
    let (late, free) = runtime()?.block_on(async {
        let mut late = Vec::new();
        for _ in 0..100 {
            let due = Instant::now() + Duration::from_millis(1);
            tokio::time::sleep_until(due.into()).await;
            late.push(due.elapsed().as_secs_f64() * 1e6);
        }
        late.sort_by(f64::total_cmp);
        let mut copy = Pool::new(Kind::Unlimited, 0)?.mover(64 * 1024)?;
        let free = recording::record(&mut copy, Duration::from_millis(200)).await?;
        Ok::<_, Box<dyn std::error::Error>>((late, free))
    })?;
    report.tell(host("timer"), "lateness, median, us", late.get(50).copied().unwrap_or(0.0));
    report.tell(host("timer"), "lateness, 99 of 100, us", late.get(98).copied().unwrap_or(0.0));
    report.tell(host("unlimited"), "copy, Gbit/s", free.bits_per_second() / 1e9);
    report.tell(host("unlimited"), "CPU, s per GB", free.cpu_per_gigabyte());
    let begin = Instant::now();
    for _ in 0..1_000_000 {
        black_box(Instant::now());
    }
    report.tell(host("clock"), "one reading, ns", begin.elapsed().as_secs_f64() * 1e3);
    let quiet = watch.quiet().verdict(false) == Verdict::Missed;
    report.tell(host("others"), "quiet", f64::from(u8::from(quiet)));
    Ok(())
}

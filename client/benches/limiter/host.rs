//! What the machine can do, and what else it was doing.

use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::contenders::{Kind, Pool};
use crate::report::{Report, Subject, Verdict};
use crate::{Outcome, recording, runtime};

/// The part of a core that others may take while a figure is measured.
const OTHERS_MAX: f64 = 0.1;

/// Whether a miss would be the limiter's.
#[derive(Clone, Copy)]
pub(crate) struct Quiet(bool);

impl Quiet {
    pub(crate) fn verdict(self, met: bool) -> Verdict {
        match (met, self.0) {
            (true, _) => Verdict::Met,
            (false, true) => Verdict::Missed,
            (false, false) => Verdict::Inconclusive,
        }
    }

    /// Only where the machine copies faster than what is asked of it, by half.
    pub(crate) fn and_capable(self, free: f64, rate: u64) -> Self {
        Self(self.0 && free > rate as f64 * 1.5)
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 && other.0)
    }
}

/// Looks at what others do from its making until it is asked.
pub(crate) struct Watch {
    begin: Instant,
    busy: Duration,
    own: Duration,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self { begin: Instant::now(), busy: busy().unwrap_or_default(), own: own_cpu() }
    }

    pub(crate) fn quiet(&self) -> Quiet {
        let Ok(busy) = busy() else { return Quiet(false) };
        let own = own_cpu().saturating_sub(self.own);
        let others = busy.saturating_sub(self.busy).saturating_sub(own);
        Quiet(others.as_secs_f64() <= self.begin.elapsed().as_secs_f64() * OTHERS_MAX + 0.02)
    }
}

/// What all cores did so far that was not idling; the kernel counts in hundredths of a second.
fn busy() -> io::Result<Duration> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let ticks = text.split_whitespace().skip(1).take(8).map(|word| word.parse().unwrap_or(0_u64));
    // The fourth and fifth are idle and waiting for a disk.
    let busy = ticks.enumerate().filter(|(place, _)| !(3..5).contains(place)).map(|(_, it)| it);
    Ok(Duration::from_millis(busy.sum::<u64>() * 10))
}

pub(crate) fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::from_secs(secs) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}

pub(crate) fn load() -> io::Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    text.split(' ').next().unwrap_or("0").parse().map_err(io::Error::other)
}

/// Says how busy the machine is and what it does where nothing limits it.
pub(crate) fn describe(report: &mut Report) -> Outcome {
    let watch = Watch::start();
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

//! What processes cost, and how the machine did meanwhile.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::getpgrp;

use crate::figures::machine::{Own, Watch};
use crate::figures::report::{Report, Subject};
use crate::pause;

/// All processes of this run, and the interrupts of their network.
const OWN: Own = Own { cpu: group_cpu, interrupts: true };

/// Looks from now on at what others do.
#[must_use]
pub fn watch() -> Watch {
    Watch::start(OWN)
}

/// The processor time so far of this process group, those that have ended included. The kernel counts
/// in hundredths of a second.
fn group_cpu() -> Duration {
    let group = getpgrp().as_raw_nonzero().get().to_string();
    let Ok(processes) = fs::read_dir("/proc") else { return Duration::ZERO };
    let ticks = processes.flatten().filter_map(|process| {
        let text = fs::read_to_string(process.path().join("stat")).ok()?;
        // The name before it may hold anything.
        let words: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        if words.get(2) != Some(&group.as_str()) {
            return None;
        }
        // In user mode and in the kernel, its own and that of its children that have ended.
        let times = words.get(11..15)?;
        Some(times.iter().filter_map(|it| it.parse::<u64>().ok()).sum::<u64>())
    });
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// The processor time that all threads of a process had so far; `None` once it has ended.
#[must_use]
pub fn cpu_of(pid: u32) -> Option<Duration> {
    let threads = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task")).ok()?;
    let spent = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    // One that has ended and is not waited for yet has none any more.
    Some(Duration::from_nanos(spent.sum())).filter(|spent| !spent.is_zero())
}

/// How late timers are and what others take of the machine while nothing is measured.
pub async fn calibrate(report: &mut Report) {
    let host = |contender| Subject { bench: "host", contender, rate: 0 };
    let watch = watch();
    let mut late = Vec::new();
    for _ in 0..200 {
        let due = std::time::Instant::now() + Duration::from_millis(1);
        pause(Duration::from_millis(1)).await;
        late.push(due.elapsed().as_secs_f64() * 1e6);
    }
    late.sort_by(f64::total_cmp);
    report.tell(host("timer"), "lateness, median, us", late.get(100).copied().unwrap_or(0.0));
    report.tell(host("timer"), "lateness, 99 of 100, us", late.get(197).copied().unwrap_or(0.0));
    report.tell(host("others"), "part of a core", watch.others());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    report.tell(host("machine"), "cores", cores as f64);
    report.tell(host("machine"), "load", crate::figures::machine::load().unwrap_or(f64::NAN));
}

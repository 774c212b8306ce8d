//! What one contender moved, millisecond by millisecond.

use std::io;
use std::time::{Duration, Instant};

use crate::contenders::Mover;
use crate::host::own_cpu;

/// Long enough to spend the first burst and to come into step.
const WARM_UP: Duration = Duration::from_millis(200);

/// Bytes by the millisecond in which they were moved.
pub(crate) struct Recording {
    pub(crate) bytes: u64,
    elapsed: Duration,
    cpu: Duration,
    millis: Vec<u64>,
}

impl Recording {
    pub(crate) fn bits_per_second(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn cpu_per_gigabyte(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e9 / self.bytes.max(1) as f64
    }

    /// Achieved, as a part of `bps`.
    pub(crate) fn of(&self, bps: u64) -> f64 {
        self.bits_per_second() / bps as f64
    }

    /// The least and the most of all windows of so many milliseconds, in bytes.
    pub(crate) fn windows(&self, millis: usize) -> (u64, u64) {
        // The last millisecond is not over.
        let whole = self.millis.split_last().map_or(&[][..], |(_, whole)| whole);
        let sums = whole.windows(millis).map(|window| window.iter().sum());
        sums.fold((u64::MAX, 0), |(least, most), sum: u64| (least.min(sum), most.max(sum)))
    }
}

/// Counts from the end of one step to the end of another, so that it does not end in a sleep.
pub(crate) async fn record(mover: &mut Mover, length: Duration) -> io::Result<Recording> {
    let batch = mover.batch();
    let begin = Instant::now();
    while begin.elapsed() < WARM_UP {
        for _ in 0..batch {
            mover.step().await?;
        }
    }
    let (begin, before) = (Instant::now(), own_cpu());
    let mut millis = vec![0; usize::try_from(length.as_millis()).unwrap_or(0) + 1];
    let mut bytes = 0;
    loop {
        let mut moved = 0;
        for _ in 0..batch {
            moved += u64::try_from(mover.step().await?).unwrap_or(0);
        }
        let elapsed = begin.elapsed();
        let place = usize::try_from(elapsed.as_millis()).unwrap_or(usize::MAX);
        if let Some(millisecond) = millis.get_mut(place) {
            *millisecond += moved;
        }
        bytes += moved;
        if elapsed >= length {
            let cpu = own_cpu().saturating_sub(before);
            return Ok(Recording { bytes, elapsed, cpu, millis });
        }
    }
}

//! What else the machine did while a figure was taken.

use std::io;
use std::time::{Duration, Instant};

use super::report::Verdict;

/// The part of a core that others may take while a figure is measured.
const OTHERS_MAX: f64 = 0.1;

/// Whether a miss would be that of what is measured.
#[derive(Clone, Copy, Debug)]
pub struct Quiet(bool);

impl Quiet {
    /// What a figure that met its goal, or did not, comes to.
    #[must_use]
    pub fn verdict(self, met: bool) -> Verdict {
        match (met, self.0) {
            (true, _) => Verdict::Met,
            (false, true) => Verdict::Missed,
            (false, false) => Verdict::Inconclusive,
        }
    }

    /// Only where the machine moves more bits per second than what is asked of it, by half.
    #[must_use]
    pub fn and_capable(self, free: f64, rate: u64) -> Self {
        Self(self.0 && free > rate as f64 * 1.5)
    }

    /// Only where it was quiet then, too.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 && other.0)
    }
}

/// Who belongs to what is measured.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// The processor time of all of it so far.
    pub cpu: fn() -> Duration,
    /// Whether interrupts are its doing: they are those of a network of its own.
    pub interrupts: bool,
}

/// Looks at what others do from its making until it is asked.
#[derive(Debug)]
pub struct Watch {
    begin: Instant,
    own: Own,
    busy: Duration,
    spent: Duration,
}

impl Watch {
    /// Begins to look.
    #[must_use]
    pub fn start(own: Own) -> Self {
        let busy = busy(own).unwrap_or_default();
        Self { begin: Instant::now(), own, busy, spent: (own.cpu)() }
    }

    /// The part of a core that others took so far; all of it where the system does not tell.
    #[must_use]
    pub fn others(&self) -> f64 {
        let elapsed = self.begin.elapsed().as_secs_f64().max(f64::EPSILON);
        let Ok(busy) = busy(self.own) else { return 1.0 };
        let own = (self.own.cpu)().saturating_sub(self.spent);
        busy.saturating_sub(self.busy).saturating_sub(own).as_secs_f64() / elapsed
    }

    /// Whether others took little so far; two ticks of the kernel's count are forgiven.
    #[must_use]
    pub fn quiet(&self) -> Quiet {
        let forgiven = 0.02 / self.begin.elapsed().as_secs_f64().max(f64::EPSILON);
        Quiet(self.others() <= OTHERS_MAX + forgiven)
    }
}

/// What all cores did so far that was not idling; the kernel counts in hundredths of a second.
fn busy(own: Own) -> io::Result<Duration> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let ticks = text.split_whitespace().skip(1).take(8).map(|word| word.parse().unwrap_or(0_u64));
    let counts = |place: usize| match place {
        // Idle, and waiting for a disk.
        3 | 4 => false,
        // Interrupts, and what they left for later.
        5 | 6 => !own.interrupts,
        _ => true,
    };
    let busy = ticks.enumerate().filter(|(place, _)| counts(*place)).map(|(_, ticks)| ticks);
    Ok(Duration::from_millis(busy.sum::<u64>() * 10))
}

/// The load average of the last minute.
///
/// # Errors
/// The system does not tell.
pub fn load() -> io::Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    text.split(' ').next().unwrap_or("0").parse().map_err(io::Error::other)
}

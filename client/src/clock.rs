//! The only room of this crate that reads a clock.
//!
//! Leases and ends of grants are counted on `CLOCK_BOOTTIME`: unlike the monotonic clock it goes
//! on while the machine sleeps, so a grant cannot outlive its end by a suspend; unlike the wall
//! clock nobody can set it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tidegate_policy::Timestamp;

/// A reading of `CLOCK_BOOTTIME`: time since boot, suspends included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct BootTime(Duration);

impl BootTime {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self(read(ClockId::Boottime))
    }

    /// This reading and `span` more; the farthest reading where that would overflow.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// This reading less `span`; the first one where that would be before it.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span))
    }

    /// The time from `earlier` until this reading, nothing if it is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Nanoseconds of tokio's monotonic clock since this was made, for what is slept on.
///
/// It stands still while the machine sleeps and stops with a paused runtime, so it paces and
/// never decides how long a grant holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    origin: tokio::time::Instant,
}

impl Pace {
    #[allow(clippy::disallowed_methods, reason = "this is the room that reads the clock")]
    pub(crate) fn start() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }

    /// Nanoseconds since the start.
    #[allow(clippy::disallowed_methods, reason = "this is the room that reads the clock")]
    pub(crate) fn now(self) -> u64 {
        let elapsed = tokio::time::Instant::now().saturating_duration_since(self.origin);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The time from now until `ns` nanoseconds after the start.
    pub(crate) fn until(self, ns: u64) -> Duration {
        Duration::from_nanos(ns.saturating_sub(self.now()))
    }

    /// The instant `ns` nanoseconds after the start, `None` where the clock cannot tell it.
    pub(crate) fn at(self, ns: u64) -> Option<tokio::time::Instant> {
        self.origin.checked_add(Duration::from_nanos(ns))
    }
}

/// The wall clock, for what people read and type; nothing is enforced by it.
#[must_use]
pub fn wall() -> Timestamp {
    let ms = i64::try_from(read(ClockId::Realtime).as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_ms(ms).unwrap_or(Timestamp::MAX)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(secs, nanos)
}

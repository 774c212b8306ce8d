//! The only room of the broker that reads a clock.
//!
//! The broker's time is the machine's uptime, suspends included, plus what the wall clock was ahead
//! of it when the broker started. When somebody sets the wall clock, the broker keeps to its own
//! time until it is restarted: agents count leases, starts and ends by their uptime, so an instant
//! that was promised must not come sooner or later than it was told.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tidegate_policy::Timestamp;

/// A difference to the wall clock below this is no news, in milliseconds.
const STEP_MS: i64 = 1000;

/// A time that never goes back and never jumps.
#[derive(Debug)]
pub(crate) struct Clock {
    state: Mutex<Steady>,
}

/// The arithmetic of the clock, on readings in milliseconds.
#[derive(Debug)]
pub struct Steady {
    /// The last reading of the uptime, and the time then.
    uptime: i64,
    now: i64,
    warned: bool,
}

impl Clock {
    /// A clock that starts at the wall clock, or at `not_before` if that is later.
    pub(crate) fn starting_at(not_before: Timestamp) -> Self {
        let (uptime, wall) = (read(ClockId::Boottime), read(ClockId::Realtime));
        Self { state: Mutex::new(Steady::starting(uptime, wall, not_before)) }
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = state.advance(read(ClockId::Boottime), read(ClockId::Realtime));
        Timestamp::from_ms(now).unwrap_or(Timestamp::MAX)
    }
}

impl Steady {
    /// The time of a clock that starts at these readings, or at `not_before` if that is later.
    #[must_use]
    pub fn starting(uptime: i64, wall: i64, not_before: Timestamp) -> Self {
        Self { uptime, now: wall.max(not_before.as_ms()), warned: false }
    }

    /// The time at these readings.
    pub fn advance(&mut self, uptime: i64, wall: i64) -> i64 {
        let passed = uptime.saturating_sub(self.uptime).max(0);
        self.uptime = self.uptime.max(uptime);
        self.now = self.now.saturating_add(passed);
        let off = wall.saturating_sub(self.now);
        let stepped = STEP_MS < off.abs();
        if stepped && !self.warned {
            tracing::warn!(
                off_ms = off,
                "the wall clock was set; what is promised keeps to the time of before, until a \
                 restart of the broker, best when little is promised"
            );
        }
        self.warned = stepped;
        self.now
    }
}

/// The wall clock, for what people read: nothing is decided by it.
pub(crate) fn wall() -> Timestamp {
    Timestamp::from_ms(read(ClockId::Realtime)).unwrap_or(Timestamp::MAX)
}

/// How long the machine has been up, to measure what takes how long.
pub(crate) fn uptime() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanos)
}

/// The instant this long from now, for deadlines of the runtime.
#[allow(clippy::disallowed_methods, reason = "this is the one room that reads clocks")]
pub(crate) fn deadline_in(span: Duration) -> tokio::time::Instant {
    tokio::time::Instant::now() + span
}

/// Whether a deadline has passed.
pub(crate) fn has_passed(deadline: tokio::time::Instant) -> bool {
    deadline <= deadline_in(Duration::ZERO)
}

/// How long it is until a deadline.
pub(crate) fn left(deadline: tokio::time::Instant) -> Duration {
    deadline.saturating_duration_since(deadline_in(Duration::ZERO))
}

fn read(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady() -> Steady {
        Steady { uptime: 0, now: 1_000_000, warned: false }
    }

    #[test]
    fn time_passes_as_the_uptime_does() {
        let mut clock = steady();
        assert_eq!(clock.advance(1, 1_000_001), 1_000_001);
        assert_eq!(clock.advance(90_000, 1_090_000), 1_090_000);
    }

    #[test]
    fn an_hour_more_or_less_on_the_wall_moves_nothing() {
        let mut clock = steady();
        let hour = 3_600_000;
        assert_eq!(clock.advance(90_000, 1_090_000 + hour), 1_090_000);
        assert_eq!(clock.advance(90_001, 1_090_001 - hour), 1_090_001);
        assert_eq!(clock.advance(200 * hour, 0), 1_000_000 + 200 * hour);
    }

    #[test]
    fn time_never_goes_back() {
        let mut clock = steady();
        clock.advance(1000, 0);
        assert_eq!(clock.advance(900, 0), 1_001_000);
        assert_eq!(clock.advance(1000, 0), 1_001_000);
        assert_eq!(clock.advance(1001, 0), 1_001_001);
    }

    #[test]
    fn a_start_follows_the_wall_and_never_goes_behind_what_happened() {
        let at = |ms| Timestamp::from_ms(ms).unwrap();
        let mut clock = Steady::starting(50, 2000, at(1000));
        assert_eq!(clock.advance(60, 2010), 2010);
        let mut clock = Steady::starting(50, 2000, at(9000));
        assert_eq!(clock.advance(60, 2010), 9010);
    }
}

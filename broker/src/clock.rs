//! The only room of the broker that reads a clock.
//!
//! The broker's time is the machine's uptime, suspends included, plus an offset to the wall clock.
//! When somebody sets the wall clock, the offset follows at 0.5 % of the time that passes, so that
//! a lease of seconds keeps its length whatever happens to the date; a restart follows at once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tidegate_policy::Timestamp;

/// How fast the broker's time follows a wall clock that was set: one part in this many.
///
/// A client counts lease and grace by its own clock and the broker adds a second; at 0.5 % the
/// broker's count of the usual 90 s differs by less than half of that second.
const SLEW_DIVISOR: i64 = 200;
/// A difference to the wall clock below this is followed silently, in milliseconds.
const STEP_MS: i64 = 1000;

/// A time that never goes back and never jumps.
#[derive(Debug)]
pub(crate) struct Clock {
    state: Mutex<Steady>,
}

/// The arithmetic of [`Clock`], on readings in milliseconds.
#[derive(Debug)]
struct Steady {
    uptime: i64,
    now: i64,
    warned: bool,
}

impl Clock {
    /// A clock that starts at the wall clock, or at `not_before` if that is later.
    pub(crate) fn starting_at(not_before: Timestamp) -> Self {
        let now = read(ClockId::Realtime).max(not_before.as_ms());
        let state = Steady { uptime: read(ClockId::Boottime), now, warned: false };
        Self { state: Mutex::new(state) }
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = state.advance(read(ClockId::Boottime), read(ClockId::Realtime));
        Timestamp::from_ms(now).unwrap_or(Timestamp::MAX)
    }
}

impl Steady {
    fn advance(&mut self, uptime: i64, wall: i64) -> i64 {
        let passed = uptime.saturating_sub(self.uptime).max(0);
        let expected = self.now.saturating_add(passed);
        let off = wall.saturating_sub(expected);
        let stepped = STEP_MS < off.abs();
        if stepped && !self.warned {
            tracing::warn!(
                off_ms = off,
                "the wall clock was set; following it at 0.5 %, or at once after a restart"
            );
        }
        self.warned = stepped;
        let most = passed / SLEW_DIVISOR;
        if most == 0 {
            // Too little time has passed to correct anything: it counts at the next reading.
            return expected;
        }
        self.uptime = uptime;
        self.now = expected.saturating_add(off.clamp(-most, most));
        self.now
    }
}

/// The wall clock, for what people read: nothing is decided by it.
pub(crate) fn wall() -> Timestamp {
    Timestamp::from_ms(read(ClockId::Realtime)).unwrap_or(Timestamp::MAX)
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
    fn an_hour_forward_is_followed_slowly() {
        let mut clock = steady();
        let hour = 3_600_000;
        assert_eq!(clock.advance(90_000, 1_090_000 + hour), 1_090_450, "90 s are 90.45 s");
        let later = clock.advance(90_000 + 200 * hour, 1_090_000 + 201 * hour);
        assert_eq!(later, 1_090_000 + 201 * hour, "and is reached in the end");
    }

    #[test]
    fn time_never_goes_back() {
        let mut clock = steady();
        let mut last = 0;
        for uptime in (0..100_000).step_by(37) {
            let now = clock.advance(uptime, 0);
            assert!(last <= now, "{now} after {last}");
            last = now;
        }
        assert!(last <= 1_000_000 + 100_000 && 1_000_000 + 99_000 < last);
    }

    #[test]
    fn many_quick_readings_follow_no_faster_than_one() {
        let mut often = steady();
        for uptime in 1..=10_000 {
            often.advance(uptime, 2_000_000);
        }
        assert!(often.advance(10_000, 2_000_000) <= 1_010_050);
    }
}

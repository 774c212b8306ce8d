//! How much of the writer's time may go into making room: a tenth.
//!
//! Looking for room among plans that may move takes milliseconds where a decision takes
//! microseconds. Under overload nearly every request would have it looked for, and all others would
//! wait. So that time is a budget: it grows by a tenth of the time that passes, up to a second, and
//! while it is spent a request that does not fit as it is is refused without a search.

use std::time::Duration;

/// This part of all time.
const SHARE: u32 = 10;
/// So much can be saved up.
const MOST: Duration = Duration::from_secs(1);

/// What is left for making room.
#[derive(Debug)]
pub(crate) struct Effort {
    left: Duration,
    /// What was spent beyond what there was.
    owed: Duration,
    /// When it was looked at last, on a clock that never goes back.
    at: Duration,
}

impl Effort {
    pub(crate) fn starting(at: Duration) -> Self {
        Self { left: MOST, owed: Duration::ZERO, at }
    }

    /// Whether there is something left at `now`.
    pub(crate) fn allows(&mut self, now: Duration) -> bool {
        let earned = now.saturating_sub(self.at) / SHARE;
        self.at = self.at.max(now);
        let pays = earned.min(self.owed);
        self.owed -= pays;
        self.left = (self.left + (earned - pays)).min(MOST);
        self.left > Duration::ZERO
    }

    /// So much was spent.
    pub(crate) fn spend(&mut self, spent: Duration) {
        let from_left = spent.min(self.left);
        self.left -= from_left;
        self.owed += spent - from_left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_time_a_tenth_is_spent_however_long_each_takes() {
        for each in [1, 20, 700, 5000] {
            let each = Duration::from_millis(each);
            let (mut now, mut spent) = (Duration::ZERO, Duration::ZERO);
            let mut effort = Effort::starting(now);
            while now < Duration::from_secs(1000) {
                if effort.allows(now) {
                    effort.spend(each);
                    (now, spent) = (now + each, spent + each);
                } else {
                    now += Duration::from_millis(1);
                }
            }
            let fair = now / SHARE;
            assert!(fair <= spent && spent <= fair + MOST + each, "{each:?}: {spent:?}");
        }
    }
}

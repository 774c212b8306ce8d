//! What a grant may send at an instant: a function of its terms and the time, and nothing else.

use std::time::Duration;

use tidegate_policy::BitRate;

use crate::clock::BootTime;
use crate::reservation::CloseReason;

/// What to do where the broker cannot be reached: when asking, and in mid-transfer.
///
/// A grant that is bound to a session may send until `send_until`: one lease and one grace after
/// the last answered beat was sent. The table says what its limiter does from when on:
///
/// | policy            | nothing answers the request       | until `send_until` | after it                  | the session answers again |
/// |-------------------|-----------------------------------|--------------------|---------------------------|---------------------------|
/// | `Fail`            | error after the usual tries       | the granted rate   | revoked                   | stays revoked             |
/// | `Wait { up_to }`  | asks again for `up_to`, then error| the granted rate   | paused for `up_to`, then revoked | the granted rate   |
/// | `BestEffort(rate)`| goes on unpromised at `rate`      | the granted rate   | unpromised, at most `rate`| the granted rate          |
///
/// In every row nothing moves before the start, everything stops at the end
/// ([`LimitError::Expired`](crate::limiter::LimitError::Expired)), and the broker's word that the
/// grant or its session is over revokes it. A grant without a session needs no broker once it is
/// granted: it may send to its end.
///
/// The end of the granted rate is also set as the end of the limiter itself, so that it holds even
/// if this process is stopped or the machine sleeps: then streams fail with `Expired` instead of
/// pausing or falling, because nobody was awake in time to arrange for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnUnreachable {
    /// Waits for the broker, so long at most.
    Wait {
        /// How long a request is repeated, and how long a transfer pauses past `send_until`.
        up_to: Duration,
    },
    /// Fails at once.
    #[default]
    Fail,
    /// Goes on without a promise at this rate: bytes then compete with everybody else's.
    BestEffort(BitRate),
}

/// How long a session's answers carry its grants.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When the granted rate must have ended.
    pub(crate) until: BootTime,
    /// How long before that a grant stops using it. The limiter's own end stands at `until`; a
    /// pause or a fall has to come before it, or streams fail instead.
    pub(crate) margin: Duration,
}

impl Window {
    /// The window of a beat that was sent at `sent`.
    pub(crate) fn of(sent: BootTime, lease: Duration, grace: Duration) -> Self {
        let length = lease.saturating_add(grace);
        Self { until: sent.plus(length), margin: (length / 8).min(Duration::from_millis(250)) }
    }

    fn left(&self, now: BootTime) -> Duration {
        self.until.since(now).saturating_sub(self.margin)
    }
}

/// What a grant stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) rate: BitRate,
    /// A hold may not be used.
    pub(crate) confirmed: bool,
    pub(crate) starts_at: BootTime,
    pub(crate) ends_at: BootTime,
    /// Absent without a session.
    pub(crate) window: Option<Window>,
    pub(crate) policy: OnUnreachable,
}

/// What may be sent, as one version of the plan says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) version: u64,
    pub(crate) rate: BitRate,
    /// Absent where the start was not said: it stays.
    pub(crate) starts_at: Option<BootTime>,
    pub(crate) ends_at: BootTime,
}

/// What a change that is under way leaves of the terms: the old ones and the new ones have to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Narrowed {
    pub(crate) rate: Option<BitRate>,
    pub(crate) starts_at: Option<BootTime>,
    pub(crate) ends_at: Option<BootTime>,
}

/// What its limiter is to do.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// To admit bytes.
    Run {
        /// At this rate; zero is a pause.
        rate: BitRate,
        /// Until then at most.
        expires_at: BootTime,
        /// When to look again, if nothing changes before.
        review: Option<BootTime>,
        /// Whether the broker stands behind the bytes.
        promised: bool,
    },
    /// The broker was silent for too long.
    GiveUp,
    /// To stop: the broker closed it, as the answer to a call told.
    Stop(CloseReason),
}

impl Narrowed {
    /// What keeps to both.
    pub(crate) fn and(self, other: Self) -> Self {
        let least = |one: Option<BitRate>, two| one.into_iter().chain(two).min();
        Self {
            rate: least(self.rate, other.rate),
            starts_at: self.starts_at.into_iter().chain(other.starts_at).max(),
            ends_at: earliest(self.ends_at, other.ends_at),
        }
    }
}

impl Terms {
    /// Follows a plan, unless a later one is followed already. `known` is the version that is
    /// followed; returns the one that is from now on.
    pub(crate) fn follow(&mut self, known: u64, plan: Plan) -> u64 {
        if plan.version < known {
            return known;
        }
        self.rate = plan.rate;
        self.ends_at = plan.ends_at;
        if let Some(starts_at) = plan.starts_at {
            // Each reading of one start is late by its own round trip: the earliest is the best.
            self.starts_at = match plan.version == known {
                true => self.starts_at.min(starts_at),
                false => starts_at,
            };
        }
        plan.version
    }

    /// The terms that keep to both the present ones and those that are asked for.
    pub(crate) fn within(&self, narrowed: &Narrowed) -> Self {
        Self {
            rate: narrowed.rate.map_or(self.rate, |rate| rate.min(self.rate)),
            starts_at: narrowed.starts_at.map_or(self.starts_at, |at| at.max(self.starts_at)),
            ends_at: narrowed.ends_at.map_or(self.ends_at, |at| at.min(self.ends_at)),
            ..*self
        }
    }

    pub(crate) fn order(&self, now: BootTime) -> Order {
        let order = self.once_started(now);
        let waits = self.starts_at.since(now);
        match order {
            Order::Run { expires_at, review, promised, .. }
                if !self.confirmed || !waits.is_zero() =>
            {
                let start = self.confirmed.then_some(self.starts_at);
                let review = earliest(start, review);
                Order::Run { rate: BitRate::ZERO, expires_at, review, promised }
            }
            order => order,
        }
    }

    fn once_started(&self, now: BootTime) -> Order {
        let granted =
            |expires_at, review| Order::Run { rate: self.rate, expires_at, review, promised: true };
        // An end that comes before the window closes needs no answer of the broker any more.
        let Some(window) = self.window.filter(|window| window.until < self.ends_at) else {
            return granted(self.ends_at, None);
        };
        let left = window.left(now);
        if !left.is_zero() {
            return granted(window.until, Some(now.plus(left)));
        }
        match self.policy {
            OnUnreachable::Fail => Order::GiveUp,
            OnUnreachable::BestEffort(rate) => Order::Run {
                rate: rate.min(self.rate),
                expires_at: self.ends_at,
                review: None,
                promised: false,
            },
            OnUnreachable::Wait { up_to } => {
                let limit = window.until.plus(up_to);
                if limit <= now {
                    return Order::GiveUp;
                }
                // Nothing passes a pause, so the limiter's end may move out behind it.
                Order::Run {
                    rate: BitRate::ZERO,
                    expires_at: self.ends_at,
                    review: Some(limit),
                    promised: true,
                }
            }
        }
    }
}

fn earliest(one: Option<BootTime>, other: Option<BootTime>) -> Option<BootTime> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: BitRate = match BitRate::from_bps(1_000_000) {
        Some(rate) => rate,
        None => BitRate::ZERO,
    };

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// Starts 10 s after `zero`, ends 1000 s after it; its beat was sent at `zero`: 90 s of window.
    fn terms(zero: BootTime, policy: OnUnreachable) -> Terms {
        Terms {
            rate: RATE,
            confirmed: true,
            starts_at: zero.plus(secs(10)),
            ends_at: zero.plus(secs(1000)),
            window: Some(Window::of(zero, secs(30), secs(60))),
            policy,
        }
    }

    fn rate_at(terms: &Terms, time: BootTime) -> Option<(BitRate, bool)> {
        match terms.order(time) {
            Order::Run { rate, promised, .. } => Some((rate, promised)),
            Order::GiveUp | Order::Stop(_) => None,
        }
    }

    #[test]
    fn the_table_of_the_documentation() {
        let zero = BootTime::now();
        let slow = BitRate::from_bps(1000).unwrap();
        let (granted, paused, unpromised) =
            (Some((RATE, true)), Some((BitRate::ZERO, true)), Some((slow, false)));
        let wait = OnUnreachable::Wait { up_to: secs(100) };
        let best = OnUnreachable::BestEffort(slow);
        let table = [
            (OnUnreachable::Fail, 9, paused),
            (OnUnreachable::Fail, 10, granted),
            (OnUnreachable::Fail, 89, granted),
            (OnUnreachable::Fail, 90, None),
            (wait, 89, granted),
            (wait, 90, paused),
            (wait, 189, paused),
            (wait, 190, None),
            (best, 89, granted),
            (best, 90, unpromised),
            (best, 900, unpromised),
        ];
        for (policy, at, expected) in table {
            let got = rate_at(&terms(zero, policy), zero.plus(secs(at)));
            assert_eq!(got, expected, "{policy:?} at {at} s");
        }
    }

    #[test]
    fn a_plan_that_changes_changes_the_table() {
        let zero = BootTime::now();
        let (half, more) =
            (BitRate::from_bps(500_000).unwrap(), BitRate::from_bps(2_000_000).unwrap());
        let at = |seconds| zero.plus(secs(seconds));
        let plan = |version, rate, start: Option<u64>, end| Plan {
            version,
            rate,
            starts_at: start.map(at),
            ends_at: at(end),
        };
        // Known is version 5, that starts at 10 s and ends at 80 s, inside of its window of 90 s.
        // What is heard, then the version that is followed, from when on it sends, and how fast.
        let table = [
            (plan(5, RATE, Some(10), 80), 5, 10, RATE),
            // An older one changes nothing.
            (plan(4, more, Some(0), 80), 5, 10, RATE),
            (plan(6, half, Some(10), 80), 6, 10, half),
            (plan(6, more, Some(10), 80), 6, 10, more),
            (plan(6, RATE, Some(40), 80), 6, 40, RATE),
            (plan(6, RATE, Some(2), 80), 6, 2, RATE),
            // A start that is not said stays.
            (plan(6, half, None, 80), 6, 10, half),
            // Each reading of one start is late by its round trip, so the earliest stays.
            (plan(5, RATE, Some(12), 80), 5, 10, RATE),
        ];
        for (heard, followed, start, rate) in table {
            let mut terms = terms(zero, OnUnreachable::Fail);
            terms.ends_at = at(80);
            assert_eq!(terms.follow(5, heard), followed, "{heard:?}");
            assert_eq!(rate_at(&terms, at(start - 1)), Some((BitRate::ZERO, true)), "{heard:?}");
            for time in [start, 79] {
                assert_eq!(rate_at(&terms, at(time)), Some((rate, true)), "{heard:?}");
            }
        }
        // The end is the limiter's to keep, and the window's where that comes first.
        for (end, expires) in [(60, 60), (85, 85), (500, 90)] {
            let mut terms = terms(zero, OnUnreachable::Fail);
            terms.follow(5, plan(6, RATE, None, end));
            let order = terms.order(at(20));
            let Order::Run { expires_at, .. } = order else { panic!("{order:?}") };
            assert_eq!(expires_at, at(expires), "end at {end} s");
        }
    }

    #[test]
    fn narrowed_terms_keep_to_both() {
        let zero = BootTime::now();
        let at = |seconds| zero.plus(secs(seconds));
        let half = BitRate::from_bps(500_000).unwrap();
        let terms = terms(zero, OnUnreachable::Fail);
        let slower = Narrowed { rate: Some(half), ..Narrowed::default() };
        let later = Narrowed { starts_at: Some(at(40)), ..Narrowed::default() };
        let shorter = Narrowed { ends_at: Some(at(60)), ..Narrowed::default() };
        let wider =
            Narrowed { rate: Some(BitRate::MAX), starts_at: Some(zero), ends_at: Some(at(9000)) };
        assert_eq!(terms.within(&wider), terms);
        assert_eq!(rate_at(&terms.within(&slower), at(20)), Some((half, true)));
        assert_eq!(rate_at(&terms.within(&later), at(39)), Some((BitRate::ZERO, true)));
        assert_eq!(terms.within(&shorter).ends_at, at(60));
        let all = slower.and(later).and(shorter).and(wider);
        let within = terms.within(&all);
        assert_eq!((within.rate, within.starts_at, within.ends_at), (half, at(40), at(60)));
    }

    #[test]
    fn the_limiter_itself_ends_with_the_window_while_the_granted_rate_runs() {
        let zero = BootTime::now();
        for policy in [OnUnreachable::Fail, OnUnreachable::Wait { up_to: secs(100) }] {
            let order = terms(zero, policy).order(zero.plus(secs(50)));
            let Order::Run { expires_at, review, .. } = order else { panic!("{order:?}") };
            assert_eq!(expires_at, zero.plus(secs(90)));
            assert!(review < Some(expires_at), "the review comes first");
        }
    }

    #[test]
    fn an_end_inside_the_window_needs_no_broker() {
        let zero = BootTime::now();
        let mut terms = terms(zero, OnUnreachable::Fail);
        terms.ends_at = zero.plus(secs(90));
        let order = terms.order(zero.plus(secs(89)));
        let expected =
            Order::Run { rate: RATE, expires_at: terms.ends_at, review: None, promised: true };
        assert_eq!(order, expected);
    }

    #[test]
    fn a_hold_admits_nothing() {
        let zero = BootTime::now();
        let mut terms = terms(zero, OnUnreachable::Fail);
        terms.confirmed = false;
        assert_eq!(rate_at(&terms, zero.plus(secs(50))), Some((BitRate::ZERO, true)));
    }

    #[test]
    fn best_effort_never_raises_the_rate() {
        let zero = BootTime::now();
        let terms = terms(zero, OnUnreachable::BestEffort(BitRate::MAX));
        assert_eq!(rate_at(&terms, zero.plus(secs(95))), Some((RATE, false)));
    }
}

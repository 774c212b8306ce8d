//! What a grant may send at an instant: a function of its terms and the time, and nothing else.

use std::time::Duration;

use tidegate_policy::BitRate;

use crate::clock::BootTime;
use crate::course::Course;
use crate::plan::Segment;
use crate::reservation::{CloseReason, Timing};

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
/// Of a plan that may be moved, what was heard holds for the lease alone: from its end until
/// `send_until` nothing is sent, whatever the policy, and an answer in between brings the plan back.
///
/// The granted rate is that of the segment that is on, and zero between two of them.
///
/// A volume may be planned anew if it has not moved by the end of its plan: there it pauses until the
/// broker has said so, a lease long at most.
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
    /// When that of a plan which may be moved must have.
    live: BootTime,
    /// How long the broker waits for a last word behind the end of a transfer's plan.
    lease: Duration,
    /// How far apart the two ends may count an instant.
    apart: Duration,
    /// How long before that a grant stops using it. The limiter's own end stands at `until`; a
    /// pause or a fall has to come before it, or streams fail instead.
    pub(crate) margin: Duration,
}

impl Window {
    /// The window of a beat that was answered then.
    pub(crate) fn of(beat: Timing, lease: Duration, grace: Duration) -> Self {
        let length = lease.saturating_add(grace);
        Self {
            until: beat.sent.plus(length),
            live: beat.sent.plus(lease),
            lease,
            apart: beat.received.since(beat.sent),
            margin: (lease / 8).min(length / 8).min(Duration::from_millis(250)),
        }
    }

    /// What is left at `now` until this end of it, less the margin.
    fn left(&self, end: BootTime, now: BootTime) -> Duration {
        end.since(now).saturating_sub(self.margin)
    }
}

/// What a grant stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) course: Course,
    /// A hold may not be used.
    pub(crate) confirmed: bool,
    /// Behind the lease nothing is sent: the plan may have been moved.
    pub(crate) movable: bool,
    /// A volume is promised: where it has not moved by the end of its plan, more of a plan may come.
    pub(crate) volume: bool,
    /// Absent without a session.
    pub(crate) window: Option<Window>,
    pub(crate) policy: OnUnreachable,
}

/// What may be sent, as one version of the plan says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) version: u64,
    pub(crate) rate: BitRate,
    /// Absent where the start was not said: it stays.
    pub(crate) starts_at: Option<BootTime>,
    pub(crate) ends_at: BootTime,
    /// Empty from a broker that tells no segments: then `rate`, start and end are all of it.
    pub(crate) segments: Vec<Segment>,
    /// Its start has passed: segments before those that are told may be over.
    pub(crate) begun: bool,
    pub(crate) movable: bool,
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
    pub(crate) fn follow(&mut self, known: u64, plan: &Plan) -> u64 {
        if plan.version < known {
            return known;
        }
        let same = plan.version == known;
        // Of a plan that moves, rate and end alone say nothing that could be obeyed.
        let untold = plan.segments.is_empty() && plan.movable;
        if untold && !same {
            self.course = Course::default();
        } else if !untold && plan.segments.is_empty() {
            self.course = self.course.told_whole(plan, same);
        } else if !untold {
            let course = Course::new(&plan.segments);
            self.course = if same { course.refined(&self.course) } else { course };
        }
        self.movable = plan.movable;
        plan.version
    }

    /// The terms that keep to both the present ones and those that are asked for.
    pub(crate) fn within(&self, narrowed: &Narrowed) -> Self {
        Self { course: self.course.within(narrowed), ..self.clone() }
    }

    pub(crate) fn order(&self, now: BootTime) -> Order {
        let Some((starts_at, ends_at)) = self.course.start().zip(self.course.end()) else {
            // Nothing is left of its plan, or of what is known of it.
            return self.within_window(now, now);
        };
        let order = self.within_window(now, ends_at);
        let waits = starts_at.since(now);
        match order {
            Order::Run { expires_at, review, promised, .. }
                if !self.confirmed || !waits.is_zero() =>
            {
                let start = self.confirmed.then_some(starts_at);
                let review = earliest(start, review);
                Order::Run { rate: BitRate::ZERO, expires_at, review, promised }
            }
            order => order,
        }
    }

    /// When the broker is told what is left of a volume: its plan is over, by its own clock as well.
    /// It may answer with more of a plan.
    pub(crate) fn reports_at(&self) -> Option<BootTime> {
        let window = self.window.filter(|_| self.volume)?;
        self.course.end().map(|end| end.plus(window.apart))
    }

    fn within_window(&self, now: BootTime, over_at: BootTime) -> Order {
        let waits = self.window.filter(|_| self.volume).map(|window| window.lease);
        // Behind its plan nothing passes, so the limiter's end may move out behind the last word.
        let ends_at = over_at.plus(waits.unwrap_or_default());
        let reports_at = self.reports_at().filter(|at| now < *at);
        let granted = |expires_at, review| Order::Run {
            rate: self.course.rate(now),
            expires_at,
            review: earliest(earliest(self.course.turn(now), reports_at), review),
            promised: true,
        };
        let paused = |review| Order::Run {
            rate: BitRate::ZERO,
            // Nothing passes a pause, so the limiter's end may move out behind it.
            expires_at: ends_at,
            review: Some(review),
            promised: true,
        };
        let Some(window) = self.window else { return granted(ends_at, None) };
        let granted_until = if self.movable { window.live } else { window.until };
        // An end that comes before the window closes needs no answer of the broker any more.
        if over_at <= granted_until {
            return granted(ends_at, None);
        }
        let left = window.left(granted_until, now);
        if !left.is_zero() {
            return granted(granted_until, Some(now.plus(left)));
        }
        // Its session is not lost yet, and an answer brings the plan back.
        let left = window.left(window.until, now);
        if !left.is_zero() {
            return paused(now.plus(left));
        }
        match self.policy {
            OnUnreachable::Fail => Order::GiveUp,
            OnUnreachable::BestEffort(rate) => Order::Run {
                rate: rate.min(self.course.peak()),
                expires_at: over_at,
                review: None,
                promised: false,
            },
            OnUnreachable::Wait { up_to } => {
                let limit = window.until.plus(up_to);
                if limit <= now { Order::GiveUp } else { paused(limit) }
            }
        }
    }
}

fn earliest(one: Option<BootTime>, other: Option<BootTime>) -> Option<BootTime> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
#[path = "terms_tests.rs"]
mod tests;

//! One reservation and its three states.

use tidegate_policy::{
    BitRate, ByteCount, Interval, RequestId, ReservationId, SessionId, Span, Timestamp,
};

use crate::command::{Ask, Shape};
use crate::event::{CloseWhy, Kept, MoveWhy, Moved, Reserved};
use crate::lane::{LaneName, Terms};
use crate::owner::Owner;
use crate::plan::Plan;
use crate::promise::{Promise, Promised, Standing};
use crate::refusal::Reason;

/// What was asked and what is promised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reservation {
    /// Its identifier.
    pub id: ReservationId,
    /// Whose it is.
    pub owner: Owner,
    /// How its bytes are to move.
    pub plan: Plan,
    /// What any other plan has to keep to; `None` if just this one is promised.
    pub promise: Option<Box<Promise>>,
    /// How it stands to others.
    pub standing: Standing,
    /// What the bookings of a rate depend on besides the lanes.
    pub terms: Terms,
    /// From the first instant of its plan to the last, as it was told.
    pub interval: Interval,
    /// Since when the present terms are booked: the start, or when they were changed after it.
    pub from: Timestamp,
    /// The session it is bound to.
    pub session: Option<SessionId>,
    /// It was granted what others lend: they may have it again.
    pub borrowed: bool,
    /// Why it would have been refused, had the broker not only observed: it books nothing, and no quota
    /// counts it.
    pub despite: Option<Reason>,
    /// What earlier terms leave booked beyond that.
    pub kept: Vec<Kept>,
    /// Its end was brought forward because capacity is lost from then on.
    pub curtailed: bool,
    /// How its plan was replaced last, if it ever was.
    pub last_move: Option<LastMove>,
    /// Counts the changes that somebody asked for, from 1: what an etag stands for.
    pub revision: u64,
    /// Counts what may be sent, from 1: rate, interval and way, and the close.
    pub plan_version: u64,
    /// Bytes that its session reported, as far as they are journaled.
    pub metered: ByteCount,
    /// When it was granted.
    pub created: Timestamp,
    /// The request that made it.
    pub created_by: Option<RequestId>,
    /// Where it stands.
    pub state: State,
}

/// How a plan was replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LastMove {
    /// From when on.
    pub from: Timestamp,
    /// Why.
    pub why: MoveWhy,
    /// How many bytes will be missing at the deadline, as it stood then.
    pub short: ByteCount,
    /// The version of the plan since.
    pub plan_version: u64,
    /// Bytes that had been reported by then, where that is why.
    pub used: ByteCount,
}

/// Where a reservation stands. Whether it is scheduled, active or over is computed, never stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Booked until then, unless it is confirmed.
    Held {
        /// When it lapses.
        until: Timestamp,
    },
    /// Promised.
    Confirmed,
    /// Over.
    Closed {
        /// Why.
        why: CloseWhy,
        /// When.
        at: Timestamp,
        /// From when its lanes are free: later than `at` where its holder may still be sending.
        free_from: Timestamp,
        /// Bytes reported as moved.
        used: ByteCount,
    },
}

/// Where now stands in a reservation's interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Its start is to come.
    Scheduled,
    /// Now is inside its interval.
    Active,
    /// Its end has passed, or it was closed.
    Ended,
}

impl Reservation {
    /// Held or confirmed.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match self.state {
            State::Held { .. } | State::Confirmed => true,
            State::Closed { .. } => false,
        }
    }

    /// Held or confirmed, and one that quotas count.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.is_live() && self.despite.is_none()
    }

    /// Where `now` stands in its interval.
    #[must_use]
    pub fn phase(&self, now: Timestamp) -> Phase {
        if !self.is_live() || self.interval.end() <= now {
            Phase::Ended
        } else if now < self.interval.start() {
            Phase::Scheduled
        } else {
            Phase::Active
        }
    }

    /// When its state ends by itself, while it lives. What a transfer has moved is known once its
    /// holder has reported behind the end of its plan, which is waited for a lease long.
    pub(crate) fn ends(&self, lease: Span) -> (Timestamp, ReservationId) {
        let over = self.interval.end();
        let when = match (self.state, self.reported_until()) {
            (State::Held { until }, _) => until,
            (_, Some(deadline)) => over.plus(lease).min(deadline).max(over),
            (State::Confirmed | State::Closed { .. }, None) => over,
        };
        (when, self.id)
    }

    /// Whether its holder, who reports at `now`, says with that what is left of its volume.
    pub(crate) fn is_last_word(&self, now: Timestamp) -> bool {
        self.reported_until().is_some_and(|_| self.interval.end() <= now)
    }

    /// The deadline of a transfer whose holder may report what it has moved.
    fn reported_until(&self) -> Option<Timestamp> {
        let whole = self.state == State::Confirmed && self.session.is_some() && !self.curtailed;
        match self.promise.as_ref().filter(|_| whole)?.what {
            Promised::Volume { window, .. } => Some(window.end()),
            Promised::Span { .. } => None,
        }
    }

    /// When its present terms are booked: to their end while it lives; once it is closed, the part
    /// before its lanes are free, if the close left any.
    #[must_use]
    pub fn booked_over(&self) -> Option<Interval> {
        match self.state {
            State::Held { .. } | State::Confirmed => Interval::new(self.from, self.interval.end()),
            State::Closed { at, free_from, .. } => {
                let end = self.interval.end().min(free_from);
                (at < end).then(|| Interval::new(self.from, end)).flatten()
            }
        }
    }

    /// Everything that it books: the present terms, and what earlier ones leave.
    pub fn bookings(&self) -> impl Iterator<Item = (&LaneName, Interval, u64)> {
        let over = self.booked_over();
        let present = self.plan.bookings().filter_map(move |(lane, when, amount)| {
            over.and_then(|over| when.within(over)).map(|when| (lane, when, amount))
        });
        present.chain(self.kept.iter().map(|kept| (&kept.lane, kept.over, kept.amount)))
    }

    /// From when on it books nothing that could still be sent under: never before its close.
    #[must_use]
    pub(crate) fn over_from(&self) -> Option<Timestamp> {
        let State::Closed { at, free_from, .. } = self.state else { return None };
        let kept = self.kept.iter().map(|kept| kept.over.end());
        kept.chain([at, free_from]).max()
    }

    /// What of it is left to be asked for, as its holder would ask anew without a session.
    pub(crate) fn ask_again(&self, now: Timestamp) -> Option<Ask> {
        let (rest, ratio) = (self.interval.from(now)?, self.standing.ratio);
        let (ways, shape) = match self.promise.as_deref() {
            None => (self.plan.route()?.ways(), Shape::exactly(ratio.ceiling(self.rate()), rest)),
            Some(Promise { what: Promised::Span { min, max, window, .. }, ways, .. }) => {
                let (min, max) = (ratio.ceiling(*min), ratio.ceiling(*max));
                let span = rest.span();
                let (start, end) = (Some(window.start().max(now)), window.end());
                (ways.clone(), Shape::Flexible { min, max, span, start, end })
            }
            Some(Promise {
                what: Promised::Volume { volume, min, max, window, split },
                ways,
                ..
            }) => {
                let State::Closed { used, .. } = self.state else { return None };
                let left = volume.bytes().saturating_sub(used.bytes());
                let (start, deadline) = (Some(window.start().max(now)), window.end());
                let (volume, min, max, split) = (ByteCount::new(left), *min, *max, *split);
                (ways.clone(), Shape::Transfer { volume, min, max, start, deadline, split })
            }
        };
        Some(Ask {
            owner: self.owner.clone(),
            ways,
            shape,
            terms: self.terms,
            hold_for: None,
            session: None,
            hold_best_offer: false,
            movable: false,
            standing: self.standing,
        })
    }

    /// When it must be confirmed at the latest, as its plan is: a volume before any of it should
    /// have moved, a rate before it ends.
    pub(crate) fn held_at_most(&self) -> Timestamp {
        let volume = self.promise.as_ref().and_then(|promise| promise.what.volume());
        if volume.is_some() { self.interval.start() } else { self.interval.end() }
    }

    /// The reservation in another state.
    pub(crate) fn stepped(mut self, state: State) -> Self {
        self.state = state;
        if let (State::Held { until }, Some(promise)) = (state, &mut self.promise)
            && promise.what.volume().is_some()
        {
            // No plan for it may begin before it has to be confirmed.
            promise.what = promise.what.narrowed(until, Timestamp::MAX);
        }
        self.revision = self.revision.saturating_add(1);
        if !self.is_live() {
            self.plan_version = self.plan_version.saturating_add(1);
        }
        self
    }

    /// The reservation with its end brought forward; its lanes stay booked until they are free from
    /// what its holder may still be sending.
    pub(crate) fn curtailed(mut self, end: Timestamp, free_from: Timestamp) -> Option<Self> {
        let interval = Interval::new(self.interval.start(), end)?;
        let tail = Interval::new(end, free_from.min(self.interval.end()));
        self.kept.extend(self.plan.bookings().filter_map(|(lane, over, amount)| {
            let over = over.within(tail?)?;
            Some(Kept { lane: lane.clone(), over, amount })
        }));
        if let State::Held { until } = &mut self.state {
            *until = end.min(*until);
        }
        self.plan = self.plan.within(interval);
        // Nothing is left in a gap of the plan.
        let last = self.plan.interval().map_or(end, Interval::end);
        self.interval = Interval::new(interval.start(), last).unwrap_or(interval);
        self.curtailed = true;
        self.plan_version = self.plan_version.saturating_add(1);
        self.plan.is_sound().then_some(self)
    }

    /// The reservation with another plan from some instant on.
    pub(crate) fn moved(mut self, moved: Moved) -> Option<Self> {
        let Moved { id: _, from, plan: later, kept, promise, short, used, why } = moved;
        if why == MoveWhy::Asked {
            // What is still sent under all earlier terms was looked at anew.
            self.kept.clear();
            self.curtailed = false;
        }
        self.kept.extend(kept);
        if let (Some(promise), Some(what)) = (&mut self.promise, promise) {
            promise.what = what;
            self.revision = self.revision.saturating_add(1);
        }
        let before = Interval::new(self.interval.start(), from.min(self.interval.end()));
        self.plan = match before {
            Some(before) => self.plan.within(before).then(later),
            None => later,
        };
        let interval = self.plan.interval().filter(|_| self.plan.is_sound())?;
        // What it was told to begin with stays its start, once that has begun.
        let start =
            if self.interval.start() < from { self.interval.start() } else { interval.start() };
        self.from = if self.interval.start() < from { self.from } else { start };
        self.interval = Interval::new(start, interval.end())?;
        self.plan_version = self.plan_version.saturating_add(1);
        self.metered = self.metered.max(used);
        let plan_version = self.plan_version;
        // What is missing already is still missing at another time or on another way.
        let missing = self.last_move.map_or(ByteCount::ZERO, |last| last.short);
        let short = match why {
            MoveWhy::Asked | MoveWhy::Lagging => short,
            MoveWhy::Room | MoveWhy::CapacityLost | MoveWhy::Preempted => missing.max(short),
        };
        self.last_move = Some(LastMove { from, why, short, plan_version, used });
        Some(self)
    }

    /// The highest payload rate of its plan at one instant.
    #[must_use]
    pub fn rate(&self) -> BitRate {
        self.plan.peak()
    }

    /// Whether its plan may be moved while it lives.
    #[must_use]
    pub fn may_move(&self) -> bool {
        self.promise.as_ref().is_some_and(|promise| promise.movable)
    }

    /// Whether its plan may be moved.
    #[must_use]
    pub fn is_movable(&self) -> bool {
        self.is_live() && self.may_move()
    }

    /// A granted request as a reservation.
    ///
    /// `None` if its plan is none.
    pub(crate) fn granted(
        reserved: Reserved,
        created: Timestamp,
        created_by: Option<RequestId>,
    ) -> Option<Self> {
        let Reserved {
            id,
            owner,
            plan,
            promise,
            standing,
            terms,
            hold_until,
            session,
            despite,
            borrowed,
        } = reserved;
        let interval = plan.interval().filter(|_| plan.is_sound())?;
        let state = match hold_until {
            Some(until) => State::Held { until },
            None => State::Confirmed,
        };
        Some(Self {
            id,
            owner,
            plan,
            promise,
            standing,
            terms,
            interval,
            from: interval.start(),
            session,
            despite,
            borrowed,
            kept: Vec::new(),
            curtailed: false,
            last_move: None,
            revision: 1,
            plan_version: 1,
            metered: ByteCount::ZERO,
            created,
            created_by,
            state,
        })
    }
}

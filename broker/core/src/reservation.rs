//! One reservation and its three states.

use tidegate_policy::{
    BitRate, ByteCount, Endpoint, Interval, Name, ProjectId, RequestId, ReservationId, SessionId,
    Timestamp,
};

use crate::event::{Booked, CloseWhy};

/// What was asked and what is promised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reservation {
    /// Its identifier.
    pub id: ReservationId,
    /// Who it belongs to.
    pub project: ProjectId,
    /// Where the bytes come from.
    pub source: Endpoint,
    /// Where they go.
    pub destination: Endpoint,
    /// The relays on the way, in order.
    pub via: Vec<Name>,
    /// The payload rate.
    pub rate: BitRate,
    /// When.
    pub interval: Interval,
    /// The session it is bound to.
    pub session: Option<SessionId>,
    /// What is booked on each lane, in path order. The truth, whatever a formula says today.
    pub booked: Vec<Booked>,
    /// Its end was brought forward because capacity is lost from then on; its lanes stay booked
    /// until this, by when its holder must have heard of it. `None` if it ends as it was asked.
    pub curtailed: Option<Timestamp>,
    /// When it was granted.
    pub created: Timestamp,
    /// The request that made it.
    pub created_by: Option<RequestId>,
    /// Where it stands.
    pub state: State,
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

    /// When its lanes are booked: all of its interval while it lives; once it is closed, the part
    /// before they are free, if the close left any.
    #[must_use]
    pub fn booked_over(&self) -> Option<Interval> {
        let end = self.curtailed.map_or(self.interval.end(), |kept| kept.max(self.interval.end()));
        match self.state {
            State::Held { .. } | State::Confirmed => Interval::new(self.interval.start(), end),
            State::Closed { at, free_from, .. } => {
                let end = end.min(free_from);
                (at < end).then(|| Interval::new(self.interval.start(), end)).flatten()
            }
        }
    }
}

//! What happened: the durable form of every change.
//!
//! Events carry amounts and instants, never formulas: replay depends on no policy, no setting and
//! no topology of today. Variants are added, never changed.

use std::fmt;

use tidegate_policy::{
    BitRate, ByteCount, Endpoint, Interval, MaintenanceId, Name, RequestId, ReservationId,
    Resource, SessionId, Timestamp,
};

use crate::command::Ways;
use crate::ids;
use crate::lane::{LaneName, Terms};
use crate::losses::Losses;
use crate::maintenance::Maintenance;
use crate::owner::Owner;
use crate::plan::Plan;
use crate::policy::{Overuse, PolicyChanges};
use crate::promise::{Promise, Promised, Standing};
use crate::refusal::Reason;
use crate::topology::{Steer, TopologySpec};

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// The mutation that asked for it; `None` for what time brought about.
    pub request: Option<RequestMark>,
    /// What.
    pub change: Change,
}

/// A mutation as its asker knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestMark {
    /// Its identifier.
    pub id: RequestId,
    /// A digest of its body: another body under the same identifier is told apart by it.
    pub fingerprint: [u8; 32],
}

impl RequestMark {
    /// The mark of one entry of a batch, out of that of all of it.
    #[must_use]
    pub fn entry(&self, index: usize) -> Self {
        let id = RequestId::from_u128(ids::entry(self.id.as_u128(), index));
        let mut fingerprint = self.fingerprint;
        // Told apart from the same id without a batch, and from its other entries.
        let number = index.saturating_add(1).to_be_bytes();
        for (byte, number) in fingerprint.iter_mut().zip(number) {
            *byte ^= number;
        }
        Self { id, fingerprint }
    }
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// The topology was replaced.
    TopologyApplied {
        /// The whole of it.
        spec: Box<TopologySpec>,
        /// How many were applied so far, this one included.
        version: u64,
        /// What its asker was told about the promises that it broke.
        losses: Losses,
    },
    /// Lanes were booked.
    Reserved(Box<Reserved>),
    /// Rate, interval or bookings of a reservation were replaced.
    Modified(Box<Modified>),
    /// The plan of a reservation was replaced from some instant on.
    Moved(Box<Moved>),
    /// What a reservation's earlier terms left booked is free.
    Settled {
        /// Which.
        id: ReservationId,
    },
    /// Sessions reported bytes moved in all.
    Metered {
        /// Under which reservations, and how many.
        used: Vec<(ReservationId, ByteCount)>,
    },
    /// A hold became a promise.
    Confirmed {
        /// Which.
        id: ReservationId,
    },
    /// A hold's end was moved.
    HoldExtended {
        /// Which.
        id: ReservationId,
        /// When it lapses now.
        until: Timestamp,
    },
    /// A reservation ended.
    Closed {
        /// Which.
        id: ReservationId,
        /// Why.
        why: CloseWhy,
        /// From when its lanes are free.
        free_from: Timestamp,
        /// Bytes reported as moved.
        used: ByteCount,
    },
    /// The end of a reservation was brought forward, because capacity is lost from then on.
    Curtailed {
        /// Which.
        id: ReservationId,
        /// Its end now.
        end: Timestamp,
        /// From when its lanes are free: later than its end where its holder may not have heard
        /// of it by then.
        free_from: Timestamp,
    },
    /// A session began.
    SessionOpened {
        /// Which.
        id: SessionId,
        /// What the agent calls itself.
        agent: Name,
    },
    /// A session ended.
    SessionEnded {
        /// Which.
        id: SessionId,
        /// Whether it was lost rather than closed.
        lost: bool,
    },
    /// A resource was taken out of use for everything new.
    Drained {
        /// Which.
        resource: Resource,
    },
    /// It was put back into use.
    Undrained {
        /// Which.
        resource: Resource,
    },
    /// Capacity was taken away for a time.
    MaintenanceCreated {
        /// From what, when and how much.
        maintenance: Box<Maintenance>,
        /// What its asker was told about the promises that it broke.
        losses: Losses,
    },
    /// A maintenance window was over, or called off.
    MaintenanceEnded {
        /// Which.
        id: MaintenanceId,
    },
    /// Projects and quotas were changed.
    PolicyApplied {
        /// How often that has happened so far, this time included.
        version: u64,
        /// What differs.
        changes: PolicyChanges,
        /// The quotas that its asker was told to be below what is used.
        overuses: Vec<Overuse>,
    },
    /// Closed things were dropped from memory.
    Forgotten {
        /// These reservations, and the answers that made them.
        reservations: Vec<ReservationId>,
        /// These sessions.
        sessions: Vec<SessionId>,
        /// These answers.
        requests: Vec<RequestId>,
        /// These maintenance windows.
        maintenances: Vec<MaintenanceId>,
    },
}

/// A granted request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reserved {
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
    /// When the hold lapses; `None` if confirmed at once.
    pub hold_until: Option<Timestamp>,
    /// The session it is bound to.
    pub session: Option<SessionId>,
    /// It has more than its project's own at some instant: what others lend.
    pub borrowed: bool,
    /// Why it would have been refused, had the broker not only observed: it books nothing.
    pub despite: Option<Reason>,
}

/// A reservation whose plan was replaced from some instant on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Moved {
    /// Which.
    pub id: ReservationId,
    /// From when on.
    pub from: Timestamp,
    /// What follows from then on.
    pub plan: Plan,
    /// What its holder may still send under what was there before: booked beside it.
    pub kept: Vec<Kept>,
    /// What is promised from now on, if somebody asked for other terms.
    pub promise: Option<Promised>,
    /// How many bytes will be missing at the deadline, as it stands.
    pub short: ByteCount,
    /// How many bytes had been reported as moved, where that is why.
    pub used: ByteCount,
    /// Why.
    pub why: MoveWhy,
}

impl Moved {
    /// Another plan for the same promise, nothing of it short.
    #[must_use]
    pub fn new(id: ReservationId, from: Timestamp, plan: Plan, why: MoveWhy) -> Self {
        let (kept, promise, none) = (Vec::new(), None, ByteCount::ZERO);
        Self { id, from, plan, kept, promise, short: none, used: none, why }
    }
}

/// Why a plan was moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MoveWhy {
    /// To make room for others.
    Room,
    /// A lane that it was on cannot carry it any more.
    CapacityLost,
    /// What it had to move by now has not moved.
    Lagging,
    /// A higher priority took its lanes.
    Preempted,
    /// Somebody asked for other terms.
    Asked,
}

/// A reservation whose terms were replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Modified {
    /// Which.
    pub id: ReservationId,
    /// The payload rate.
    pub rate: BitRate,
    /// When.
    pub interval: Interval,
    /// From when on these terms are booked.
    pub from: Timestamp,
    /// What is booked on each lane, in path order.
    pub booked: Vec<Booked>,
    /// What earlier terms leave booked beyond that.
    pub kept: Vec<Kept>,
    /// Why it would have been refused, had the broker not only observed: nothing is booked for it.
    pub despite: Option<Reason>,
}

/// The way that a reservation takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Route {
    /// Between two endpoints.
    Between {
        /// Where the bytes come from, of the sources asked for.
        source: Endpoint,
        /// Where they go.
        destination: Endpoint,
        /// The relays on the way, in order.
        via: Vec<Name>,
        /// Which of the paths that steering allows; `None` where there is no choice.
        path: Option<u8>,
        /// How its bytes get onto that path.
        steers: Vec<Steer>,
    },
    /// Over the lanes that its asker named, as often as they were named.
    Lanes(Vec<LaneName>),
}

impl Route {
    /// The way as somebody would ask for just it.
    #[must_use]
    pub fn ways(&self) -> Ways {
        match self {
            Self::Between { source, destination, via, path, .. } => Ways::Between {
                sources: vec![source.clone()],
                destination: destination.clone(),
                via: via.clone(),
                path: *path,
            },
            Self::Lanes(lanes) => Ways::Lanes(lanes.clone()),
        }
    }

    /// Where the bytes come from; `None` if only lanes were named.
    #[must_use]
    pub fn source(&self) -> Option<&Endpoint> {
        match self {
            Self::Between { source, .. } => Some(source),
            Self::Lanes(_) => None,
        }
    }

    /// Where the bytes go; `None` if only lanes were named.
    #[must_use]
    pub fn destination(&self) -> Option<&Endpoint> {
        match self {
            Self::Between { destination, .. } => Some(destination),
            Self::Lanes(_) => None,
        }
    }

    /// Whether it leads along the same relays and bytes are put onto it with the same marks: the
    /// number of a path is its rank in the topology of the day, and may be another one tomorrow.
    #[must_use]
    pub fn is_along(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Lanes(lanes), Self::Lanes(others)) => lanes == others,
            (Self::Between { .. }, Self::Between { .. }) => {
                (self.source(), self.destination()) == (other.source(), other.destination())
                    && (self.via(), self.steers()) == (other.via(), other.steers())
            }
            (Self::Lanes(_), Self::Between { .. }) | (Self::Between { .. }, Self::Lanes(_)) => {
                false
            }
        }
    }

    /// Which of the paths that steering allows; `None` where there is no choice.
    #[must_use]
    pub fn path(&self) -> Option<u8> {
        match self {
            Self::Between { path, .. } => *path,
            Self::Lanes(_) => None,
        }
    }

    /// How its bytes get onto its path.
    #[must_use]
    pub fn steers(&self) -> &[Steer] {
        match self {
            Self::Between { steers, .. } => steers,
            Self::Lanes(_) => &[],
        }
    }

    /// The relays on the way.
    #[must_use]
    pub fn via(&self) -> &[Name] {
        match self {
            Self::Between { via, .. } => via,
            Self::Lanes(_) => &[],
        }
    }
}

/// What earlier terms of a reservation leave booked on a lane, because its holder may still be
/// sending under them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// The lane.
    pub lane: LaneName,
    /// When.
    pub over: Interval,
    /// Bits per second of that lane, beyond what the present terms book.
    pub amount: u64,
}

/// An amount on a lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Booked {
    /// The lane.
    pub lane: LaneName,
    /// Bits per second of that lane.
    pub amount: u64,
}

/// Why a reservation was closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseWhy {
    /// Its end passed.
    Completed,
    /// It was given back.
    Released,
    /// It was held and not confirmed in time.
    Expired,
    /// Its session was lost.
    SessionLost,
    /// A lane that it needs cannot carry it any more.
    CapacityLost,
    /// Nothing moved under it for too long.
    NoShow,
    /// A higher priority took its lanes.
    Preempted,
}

impl fmt::Display for CloseWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Completed => "completed",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::SessionLost => "session lost",
            Self::CapacityLost => "capacity lost",
            Self::NoShow => "no show",
            Self::Preempted => "preempted",
        })
    }
}

/// An event that does not follow from the state: the journal is not this machine's. The process
/// stops and says so; it never guesses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Corrupt {
    /// What does not follow.
    pub what: String,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the event does not follow from the state: {}", self.what)
    }
}

impl std::error::Error for Corrupt {}

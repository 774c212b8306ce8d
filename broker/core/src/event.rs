//! What happened: the durable form of every change.
//!
//! Events carry amounts and instants, never formulas: replay depends on no policy, no setting and
//! no topology of today. Variants are added, never changed.

use std::fmt;

use tidegate_policy::{
    BitRate, ByteCount, Endpoint, Interval, MaintenanceId, Name, ProjectId, RequestId,
    ReservationId, Resource, SessionId, Timestamp,
};

use crate::lane::LaneName;
use crate::losses::Losses;
use crate::maintenance::Maintenance;
use crate::topology::TopologySpec;

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
    /// Who it belongs to.
    pub project: ProjectId,
    /// Where the bytes come from, of the sources asked for.
    pub source: Endpoint,
    /// Where they go.
    pub destination: Endpoint,
    /// The relays on the way, in order.
    pub via: Vec<Name>,
    /// The payload rate.
    pub rate: BitRate,
    /// When.
    pub interval: Interval,
    /// When the hold lapses; `None` if confirmed at once.
    pub hold_until: Option<Timestamp>,
    /// The session it is bound to.
    pub session: Option<SessionId>,
    /// What is booked on each lane, in path order.
    pub booked: Vec<Booked>,
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
}

impl fmt::Display for CloseWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Completed => "completed",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::SessionLost => "session lost",
            Self::CapacityLost => "capacity lost",
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

//! What may be asked, fully checked for form: after this no unchecked number exists.

use tidegate_policy::{
    BitRate, ByteCount, Endpoint, Interval, MaintenanceId, Name, ProjectId, ReservationId,
    Resource, SessionId, Span, Timestamp,
};

use crate::event::RequestMark;
use crate::lane::{LaneName, Terms};
use crate::maintenance::MaintenanceAsk;
use crate::owner::Owner;
use crate::policy::PolicyAsk;
use crate::promise::Standing;
use crate::topology::TopologySpec;

/// A mutation that somebody asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// How its asker knows it.
    pub mark: RequestMark,
    /// What is asked.
    pub command: Command,
}

/// What may be asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Book a path.
    Reserve(Box<Ask>),
    /// Book several, each seeing what those before it have booked.
    ReserveAll(Box<Batch>),
    /// Turn a hold into a promise.
    Confirm(Target),
    /// Move the end of a hold to this long from now.
    ExtendHold(Target, Span),
    /// Change rate, start or end of a reservation.
    Modify(Box<Modify>),
    /// Give a reservation back.
    Release(Release),
    /// Open a session for this agent.
    OpenSession(Name),
    /// End a session and release what is bound to it.
    CloseSession(SessionId),
    /// Replace the topology.
    ApplyTopology {
        /// The whole of it.
        spec: Box<TopologySpec>,
        /// Takes capacity away even where it is promised.
        accept_losses: bool,
    },
    /// Take a resource out of use for everything new.
    Drain(Resource),
    /// Put it back into use.
    Undrain(Resource),
    /// Take capacity away for a time.
    CreateMaintenance(Box<MaintenanceAsk>),
    /// Call a maintenance window off, or end it.
    DeleteMaintenance(MaintenanceId),
    /// Change projects and their quotas.
    ApplyPolicy(Box<PolicyAsk>),
}

impl Command {
    /// The reservations that it asks for.
    #[must_use]
    pub fn asks(&self) -> &[Ask] {
        match self {
            Self::Reserve(ask) => std::slice::from_ref(&**ask),
            Self::ReserveAll(batch) => &batch.asks,
            Self::Confirm(_)
            | Self::ExtendHold(..)
            | Self::Modify(_)
            | Self::Release(_)
            | Self::OpenSession(_)
            | Self::CloseSession(_)
            | Self::ApplyTopology { .. }
            | Self::Drain(_)
            | Self::Undrain(_)
            | Self::CreateMaintenance(_)
            | Self::DeleteMaintenance(_)
            | Self::ApplyPolicy(_) => &[],
        }
    }
}

/// A reservation that is to change, as its asker knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Which.
    pub id: ReservationId,
    /// The project that it must be of; `None` takes any.
    pub project: Option<ProjectId>,
    /// The revision that it must have; `None` takes any.
    pub revision: Option<u64>,
}

impl From<ReservationId> for Target {
    fn from(id: ReservationId) -> Self {
        Self { id, project: None, revision: None }
    }
}

/// A request for a rate on all lanes of a way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ask {
    /// Whose it is.
    pub owner: Owner,
    /// Which ways it may take.
    pub ways: Ways,
    /// What is asked.
    pub shape: Shape,
    /// What the bookings of a rate depend on besides the lanes.
    pub terms: Terms,
    /// How long to hold it unconfirmed; `None` means confirmed at once.
    pub hold_for: Option<Span>,
    /// The session to bind it to.
    pub session: Option<SessionId>,
    /// Hold the best counter-offer if it is refused.
    pub hold_best_offer: bool,
    /// What of its plan lies behind the freeze may be moved to make room for others; only with a
    /// session, and only if there is more than one plan that would do.
    pub movable: bool,
    /// How it stands to others.
    pub standing: Standing,
}

/// The ways that a request may take.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Ways {
    /// From any of several sources to one destination.
    Between {
        /// Where the bytes may come from, best first; the first that fits is taken.
        sources: Vec<Endpoint>,
        /// Where they go.
        destination: Endpoint,
        /// Relays that they pass through, in order; empty means the ones that storage declares.
        via: Vec<Name>,
        /// Only this one of the paths that steering allows; `None` means any.
        path: Option<u8>,
    },
    /// Exactly these lanes; one that is named twice carries the bytes twice.
    Lanes(Vec<LaneName>),
}

impl Ways {
    /// The same on whichever path steering allows.
    pub(crate) fn on_any_path(&self) -> Self {
        match self.clone() {
            Self::Between { sources, destination, via, path: _ } => {
                Self::Between { sources, destination, via, path: None }
            }
            lanes @ Self::Lanes(_) => lanes,
        }
    }
}

/// Several requests, decided in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The requests.
    pub asks: Vec<Ask>,
    /// How those of one instance hang together.
    pub relation: Relation,
    /// How many make an instance; each instance is answered for itself.
    pub instance: usize,
}

/// How several requests hang together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relation {
    /// Each for itself.
    Each,
    /// All of them or none.
    AllOf,
    /// The first that fits; those behind it are not looked at.
    AnyOf,
    /// All of them or none, each not before the end of the one before it.
    InOrder {
        /// Each starts exactly where the one before it ends.
        gapless: bool,
    },
}

/// The most requests of a batch.
pub const BATCH_MAX: usize = 100;
/// The most lanes that a request names, counted as often as they are named.
pub const LANES_MAX: usize = 256;

/// The most sources that a request names.
pub const SOURCES_MAX: usize = 16;
/// The most relays that a request names.
pub const VIA_MAX: usize = 8;

/// What is asked of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// A fixed rate over a fixed interval.
    Rigid {
        /// The payload rate, at least 1 bit/s.
        rate: BitRate,
        /// The first instant; `None` means now.
        start: Option<Timestamp>,
        /// When it ends.
        until: Until,
    },
    /// A rate within bounds, for a fixed time, somewhere in a window: the earliest start at which
    /// the lowest rate fits, and there the highest rate that does.
    Flexible {
        /// The lowest payload rate that helps, at least 1 bit/s.
        min: BitRate,
        /// The highest payload rate that is of use.
        max: BitRate,
        /// How long it lasts.
        span: Span,
        /// The earliest start; `None` means now.
        start: Option<Timestamp>,
        /// The latest end.
        end: Timestamp,
    },
    /// A volume by a deadline, at whatever rates, as soon as possible.
    Transfer {
        /// The payload bytes, at least one.
        volume: ByteCount,
        /// The lowest payload rate that helps while anything moves; zero: any does.
        min: BitRate,
        /// The highest payload rate at one instant that is of use, at least 1 bit/s.
        max: BitRate,
        /// The earliest start; `None` means now.
        start: Option<Timestamp>,
        /// When all of it must have arrived.
        deadline: Timestamp,
        /// It may take several ways at once.
        split: bool,
    },
    /// What was offered, as its token says it.
    Offered {
        /// The payload rate, at least 1 bit/s.
        rate: BitRate,
        /// When.
        over: Interval,
    },
}

impl Shape {
    /// Exactly this rate at exactly this time.
    #[must_use]
    pub fn exactly(rate: BitRate, over: Interval) -> Self {
        Self::Rigid { rate, start: Some(over.start()), until: Until::At(over.end()) }
    }
}

/// When a rigid request ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Then.
    At(Timestamp),
    /// This long after its start.
    After(Span),
}

/// Gives a reservation back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Release {
    /// Which.
    pub target: Target,
    /// The session it is bound to, if its holder asks: the word that nothing is sent any more.
    pub holder: Option<SessionId>,
    /// Bytes moved in all, as far as the asker knows.
    pub used: ByteCount,
}

/// Changes a reservation in one step. What is `None` stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Modify {
    /// Which.
    pub target: Target,
    /// The session it is bound to, if its holder asks: the word that nothing is sent any more
    /// under the terms before.
    pub holder: Option<SessionId>,
    /// The version of the plan that its holder obeys: its word is about this one and those before,
    /// because it may hear of a later one, and follow it, while its question is under way.
    pub obeyed: u64,
    /// The payload rate; of a transfer, the highest at one instant.
    pub rate: Option<BitRate>,
    /// The first instant; of a transfer, the earliest start.
    pub start: Option<Timestamp>,
    /// The first instant past it; of a transfer, its deadline.
    pub end: Option<Timestamp>,
    /// The payload bytes of a transfer.
    pub volume: Option<ByteCount>,
}

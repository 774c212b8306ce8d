//! What may be asked, fully checked for form: after this no unchecked number exists.

use tidegate_policy::{
    BitRate, ByteCount, Endpoint, MaintenanceId, Name, ProjectId, ReservationId, Resource,
    SessionId, Span, Timestamp,
};

use crate::event::RequestMark;
use crate::maintenance::MaintenanceAsk;
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
    /// Turn a hold into a promise.
    Confirm(ReservationId),
    /// Move the end of a hold to this long from now.
    ExtendHold(ReservationId, Span),
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
}

/// A request for a rate between two endpoints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ask {
    /// Who it belongs to.
    pub project: ProjectId,
    /// Where the bytes may come from, best first; the first that fits is taken.
    pub sources: Vec<Endpoint>,
    /// Where they go.
    pub destination: Endpoint,
    /// Relays that they pass through, in order; empty means the ones that the storage declares.
    pub via: Vec<Name>,
    /// What is asked.
    pub shape: Shape,
    /// How long to hold it unconfirmed; `None` means confirmed at once.
    pub hold_for: Option<Span>,
    /// The session to bind it to.
    pub session: Option<SessionId>,
}

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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Release {
    /// Which.
    pub id: ReservationId,
    /// The session it is bound to, if its holder asks: the word that nothing is sent any more.
    pub holder: Option<SessionId>,
    /// Bytes moved in all, as far as the asker knows.
    pub used: ByteCount,
}

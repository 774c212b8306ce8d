//! What is asked and what is answered, in checked types.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tidegate_policy::{
    BitRate, ByteCount, Endpoint, Name, ParseError, ProjectId, RequestId, ReservationId, SessionId,
    Span, Timestamp,
};
use tidegate_proto::v1;

use crate::clock::BootTime;
use crate::error::ClientError;
use crate::refusal::Refusal;
use crate::wire;

/// When a reservation is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At this instant.
    At(Timestamp),
    /// This long after its start.
    After(Span),
}

/// A request for a rate between two endpoints.
///
/// It carries its request id from the moment it is made: asking twice with the same `Ask` reserves
/// once. Clone and call [`Ask::anew`] to ask for the same once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Where the bytes may come from, best first, 1 to 16; the first that fits is taken.
    pub sources: Vec<Endpoint>,
    /// Where the bytes go.
    pub destination: Endpoint,
    /// Hosts that the bytes pass through, in order; empty means those that the storage declares.
    pub via: Vec<Name>,
    /// The payload rate.
    pub rate: BitRate,
    /// The first instant; `None` means now.
    pub start: Option<Timestamp>,
    /// When it ends.
    pub until: End,
    /// Makes a hold that lapses after this long, at most 15 minutes; `None` confirms at once.
    pub hold_for: Option<Span>,
    /// The session to bind it to; without one it lives to its end by itself.
    pub session: Option<SessionId>,
    /// Who it belongs to.
    pub project: ProjectId,
    /// Asks what the answer would be, and books nothing.
    pub validate_only: bool,
    /// What makes asking twice the same as asking once.
    pub request_id: RequestId,
}

impl Ask {
    /// A request for `rate` from `source` to `destination`, from now until `until`, for the
    /// default project, confirmed at once, bound to no session.
    #[must_use]
    pub fn new(source: Endpoint, destination: Endpoint, rate: BitRate, until: End) -> Self {
        Self {
            sources: vec![source],
            destination,
            via: Vec::new(),
            rate,
            start: None,
            until,
            hold_for: None,
            session: None,
            project: ProjectId::default_project(),
            validate_only: false,
            request_id: wire::new_request_id(),
        }
    }

    /// The same request as a new one: it may be granted a second time.
    #[must_use]
    pub fn anew(mut self) -> Self {
        self.request_id = wire::new_request_id();
        self
    }

    /// One more source, taken where none before it fits.
    #[must_use]
    pub fn or_from(mut self, source: Endpoint) -> Self {
        self.sources.push(source);
        self
    }

    /// One more relay that the bytes pass through, after those named before.
    #[must_use]
    pub fn via(mut self, host: Name) -> Self {
        self.via.push(host);
        self
    }

    /// Starts at `start` instead of now.
    #[must_use]
    pub fn starting(mut self, start: Timestamp) -> Self {
        self.start = Some(start);
        self
    }

    /// Asks for a hold of this length, to be confirmed.
    #[must_use]
    pub fn held_for(mut self, span: Span) -> Self {
        self.hold_for = Some(span);
        self
    }

    /// Asks for `project`.
    #[must_use]
    pub fn project(mut self, project: ProjectId) -> Self {
        self.project = project;
        self
    }

    pub(crate) fn to_wire(&self) -> v1::CreateReservationRequest {
        let until = match self.until {
            End::At(time) => v1::rigid::Until::EndTime(wire::to_timestamp(time)),
            End::After(span) => v1::rigid::Until::Duration(wire::to_duration(span)),
        };
        let rigid = v1::Rigid {
            rate_bps: wire::to_rate(self.rate),
            start_time: self.start.map(wire::to_timestamp),
            until: Some(until),
        };
        v1::CreateReservationRequest {
            parent: format!("projects/{}", self.project),
            request_id: self.request_id.to_string(),
            validate_only: self.validate_only,
            sources: self.sources.iter().map(Endpoint::to_string).collect(),
            destination: self.destination.to_string(),
            via: self.via.iter().map(|host| format!("hosts/{host}")).collect(),
            hold_for: self.hold_for.map(wire::to_duration),
            session: wire::to_session(self.session),
            shape: Some(v1::create_reservation_request::Shape::Rigid(rigid)),
            ..Default::default()
        }
    }
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a refusal is an answer too"]
pub enum Outcome {
    /// Yes: granted, or held.
    Granted(Reservation),
    /// No: nothing is booked.
    Refused(Refusal),
}

impl Outcome {
    pub(crate) fn from_wire(
        answer: v1::CreateReservationResponse,
        timing: Timing,
    ) -> Result<Self, ClientError> {
        use v1::create_reservation_response::Outcome as Wire;
        match answer.outcome {
            Some(Wire::Reservation(wire)) => {
                Reservation::from_wire(wire, timing).map(Self::Granted)
            }
            Some(Wire::Refusal(wire)) => Refusal::from_wire(wire).map(Self::Refused),
            None => Err(ClientError::bad("outcome", "it is neither yes nor no")),
        }
    }
}

/// `projects/{project}/reservations/{id}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReservationName {
    /// Whose it is.
    pub project: ProjectId,
    /// Which one.
    pub id: ReservationId,
}

impl fmt::Display for ReservationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("projects/{}/reservations/{}", self.project, self.id))
    }
}

impl FromStr for ReservationName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fault = |why: String| {
            ParseError::new("reservation", text, why, "write projects/PROJECT/reservations/ID")
        };
        let mut parts = text.split('/');
        let mut next = || parts.next().unwrap_or_default();
        let (projects, project, reservations, id) = (next(), next(), next(), next());
        if projects != "projects" || reservations != "reservations" || parts.next().is_some() {
            return Err(fault("its collections are others".into()));
        }
        let project = project.parse().map_err(|e: ParseError| fault(e.why))?;
        let id = id.parse().map_err(|e: ParseError| fault(e.why))?;
        Ok(Self { project: ProjectId(project), id })
    }
}

/// What is done about a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Booked, but gone at `until` unless it is confirmed.
    Held {
        /// When the hold lapses.
        until: Timestamp,
    },
    /// Promised.
    Confirmed,
    /// Over.
    Closed {
        /// Why.
        why: CloseReason,
    },
}

/// Why a reservation was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
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
    /// The broker does not know it, or has a reason that this client does not know.
    Unknown(i32),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Completed => "its end passed",
            Self::Released => "it was given back",
            Self::Expired => "it was held and not confirmed in time",
            Self::SessionLost => "its session was lost",
            Self::CapacityLost => "a lane that it needs cannot carry it any more",
            Self::Unknown(0) => "the broker does not know it",
            Self::Unknown(_) => "the broker has a reason that this client does not know",
        })
    }
}

impl CloseReason {
    pub(crate) fn from_wire(number: i32) -> Self {
        match v1::CloseReason::try_from(number) {
            Ok(v1::CloseReason::Completed) => Self::Completed,
            Ok(v1::CloseReason::Released) => Self::Released,
            Ok(v1::CloseReason::Expired) => Self::Expired,
            Ok(v1::CloseReason::SessionLost) => Self::SessionLost,
            Ok(v1::CloseReason::CapacityLost) => Self::CapacityLost,
            Ok(v1::CloseReason::Unspecified) | Err(_) => Self::Unknown(number),
        }
    }
}

/// Where now stood in the interval of a reservation when the broker answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its start was to come.
    Scheduled,
    /// Now was inside its interval.
    Active,
    /// Its end had passed, or it was closed.
    Ended,
}

/// What a reservation books on one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booking {
    /// The lane, such as `links/spine-1/forward`.
    pub lane: String,
    /// What is booked there, headers included.
    pub booked: BitRate,
}

/// What was asked and what is promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Its name.
    pub name: ReservationName,
    /// What is done about it.
    pub state: State,
    /// Where now stood in its interval.
    pub phase: Phase,
    /// Where the bytes come from, of the sources asked for.
    pub source: Endpoint,
    /// Where the bytes go.
    pub destination: Endpoint,
    /// The relays on the way, in order.
    pub via: Vec<Name>,
    /// The payload rate.
    pub rate: BitRate,
    /// The first instant of the promise.
    pub start: Timestamp,
    /// The first instant past it.
    pub end: Timestamp,
    /// The session it is bound to.
    pub session: Option<SessionId>,
    /// What it books on each lane of its path, in order.
    pub bookings: Vec<Booking>,
    /// When it was granted.
    pub created: Timestamp,
    /// When it was closed.
    pub closed: Option<Timestamp>,
    /// Bytes that its session reported as moved.
    pub used: ByteCount,
    /// The first instant, on the clock of this machine, at which bytes may surely move: counted
    /// from when the answer was received, so late by up to one round trip.
    pub starts_at: BootTime,
    /// The instant, on the clock of this machine, at which bytes must have stopped: counted from
    /// when the request was first sent, so early by up to one round trip.
    pub ends_at: BootTime,
}

/// When a request was first sent and when its answer was received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) sent: BootTime,
    pub(crate) received: BootTime,
}

impl Reservation {
    pub(crate) fn from_wire(wire: v1::Reservation, timing: Timing) -> Result<Self, ClientError> {
        let state = state(&wire)?;
        let start = wire::instant_required("start_time", wire.start_time)?;
        let end = wire::instant_required("end_time", wire.end_time)?;
        if end < start {
            return Err(ClientError::bad("end_time", "it lies before the start"));
        }
        let starts_in = remaining("starts_in", wire.starts_in, &state)?;
        let ends_in = remaining("ends_in", wire.ends_in, &state)?;
        Ok(Self {
            name: wire.name.parse().map_err(ClientError::unparsed("name"))?,
            state,
            phase: phase(wire.phase)?,
            source: wire.source.parse().map_err(ClientError::unparsed("source"))?,
            destination: wire.destination.parse().map_err(ClientError::unparsed("destination"))?,
            via: relays(&wire.via)?,
            rate: wire::rate("rate_bps", wire.rate_bps)?,
            start,
            end,
            session: wire::session("session", &wire.session)?,
            bookings: wire.bookings.into_iter().map(booking).collect::<Result<_, _>>()?,
            created: wire::instant_required("create_time", wire.create_time)?,
            closed: wire::instant("close_time", wire.close_time)?,
            used: wire::bytes("used_bytes", wire.used_bytes)?,
            starts_at: timing.received.plus(starts_in),
            ends_at: timing.sent.plus(ends_in),
        })
    }
}

fn state(wire: &v1::Reservation) -> Result<State, ClientError> {
    use v1::reservation::State as Wire;
    match Wire::try_from(wire.state) {
        Ok(Wire::Held) => {
            let until = wire::instant_required("hold_until_time", wire.hold_until_time)?;
            Ok(State::Held { until })
        }
        Ok(Wire::Confirmed) => Ok(State::Confirmed),
        Ok(Wire::Closed) => Ok(State::Closed { why: CloseReason::from_wire(wire.close_reason) }),
        Ok(Wire::Unspecified) | Err(_) => {
            Err(ClientError::bad("state", format!("{} is not known", wire.state)))
        }
    }
}

fn phase(number: i32) -> Result<Phase, ClientError> {
    use v1::reservation::Phase as Wire;
    match Wire::try_from(number) {
        Ok(Wire::Scheduled) => Ok(Phase::Scheduled),
        Ok(Wire::Active) => Ok(Phase::Active),
        Ok(Wire::Ended) => Ok(Phase::Ended),
        Ok(Wire::Unspecified) | Err(_) => {
            Err(ClientError::bad("phase", format!("{number} is not known")))
        }
    }
}

/// What is left until an end of the interval; of a closed reservation nothing is.
fn remaining(
    field: &'static str,
    span: Option<prost_types::Duration>,
    state: &State,
) -> Result<Duration, ClientError> {
    match (span, state) {
        (None, State::Closed { .. }) => Ok(Duration::ZERO),
        (span, _) => wire::length(field, span),
    }
}

pub(crate) fn relays(via: &[String]) -> Result<Vec<Name>, ClientError> {
    let host = |text: &String| match text.parse().map_err(ClientError::unparsed("via"))? {
        Endpoint::Host(name) => Ok(name),
        Endpoint::Storage(_) => Err(ClientError::bad("via", format!("{text:?} is no host"))),
    };
    via.iter().map(host).collect()
}

fn booking(wire: v1::Booking) -> Result<Booking, ClientError> {
    Ok(Booking { lane: wire.lane, booked: wire::lane_rate("booked_bps", wire.booked_bps)? })
}

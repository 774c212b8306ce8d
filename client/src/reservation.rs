//! What is answered, in checked types.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tidegate_policy::{
    BitRate, ByteCount, ClassId, Endpoint, Name, ParseError, Principal, ProjectId, ReservationId,
    SessionId, Timestamp,
};
use tidegate_proto::v1;

pub use crate::ask::{Ask, Assurance, Between, End};
use crate::clock::BootTime;
use crate::error::ClientError;
use crate::plan::{self, PlanWay, Promise, Segment};
use crate::policy::class::class_id;
use crate::refusal::{Refusal, RefusalReason};
use crate::steer::Steer;
use crate::wire;

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a refusal is an answer too"]
#[allow(clippy::large_enum_variant, reason = "yes is the usual answer; a box would be in its way")]
pub enum Outcome {
    /// Yes: granted, held or changed.
    Granted(Reservation),
    /// No: nothing is booked, or everything stays as it was.
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
            Some(Wire::Refusal(wire)) => Refusal::from_wire(wire, timing).map(Self::Refused),
            None => Err(ClientError::bad("outcome", "it is neither yes nor no")),
        }
    }

    pub(crate) fn from_update(
        answer: v1::UpdateReservationResponse,
        timing: Timing,
    ) -> Result<Self, ClientError> {
        use v1::create_reservation_response::Outcome as Wire;
        use v1::update_reservation_response::Outcome as Update;
        let outcome = answer.outcome.map(|outcome| match outcome {
            Update::Reservation(wire) => Wire::Reservation(wire),
            Update::Refusal(wire) => Wire::Refusal(wire),
        });
        Self::from_wire(v1::CreateReservationResponse { outcome }, timing)
    }
}

/// `projects/{project}/reservations/{id}`, or `-` for a project that is not said.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReservationName {
    /// Whose it is; `None` where that is not said, which names the same reservation.
    pub project: Option<ProjectId>,
    /// Which one.
    pub id: ReservationId,
}

impl fmt::Display for ReservationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let project = self.project.as_ref().map_or("-", |project| project.0.as_str());
        f.pad(&format!("projects/{project}/reservations/{}", self.id))
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
        let project = match project {
            "-" => None,
            name => Some(ProjectId(name.parse().map_err(|e: ParseError| fault(e.why))?)),
        };
        let id = id.parse().map_err(|e: ParseError| fault(e.why))?;
        Ok(Self { project, id })
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
    /// Nothing moved under it for too long.
    NoShow,
    /// A higher priority took its lanes.
    Preempted,
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
            Self::NoShow => "nothing moved under it for too long",
            Self::Preempted => "a higher priority took its lanes",
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
            Ok(v1::CloseReason::NoShow) => Self::NoShow,
            Ok(v1::CloseReason::Preempted) => Self::Preempted,
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

/// What the request covered; it changes with every change that somebody asks for.
///
/// Naming the one that was seen last makes a step depend on nobody having changed it since: if
/// somebody has, the answer is [`ClientError::Stale`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Etag(pub String);

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The way that a reservation between endpoints takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Where the bytes come from, of the sources asked for.
    pub source: Endpoint,
    /// Where the bytes go.
    pub destination: Endpoint,
    /// The relays on the way, in order.
    pub via: Vec<Name>,
    /// Which of the paths that steering allows it takes, 0 for the cheapest.
    pub path: u32,
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
    /// The way it takes; `None` if its lanes were named one by one: `bookings` has them.
    pub way: Option<Way>,
    /// How its bytes get onto that way, where the network offers several.
    pub steers: Vec<Steer>,
    /// Whether it may count on what is physically there.
    pub assurance: Assurance,
    /// The payload rate, in bits per second; where its plan has several, the highest at one instant.
    pub rate: BitRate,
    /// The first instant of its plan.
    pub start: Timestamp,
    /// The first instant past it.
    pub end: Timestamp,
    /// Its end was brought forward because capacity is lost from then on.
    pub curtailed: bool,
    /// When it may send at which rate, on which of its ways, in the order of their starts; as heard by
    /// a session, what is left of it. Empty from a broker that tells none: then it sends at `rate` from
    /// `start` to `end`.
    pub segments: Vec<Segment>,
    /// The ways that its segments take.
    pub ways: Vec<PlanWay>,
    /// What is promised whatever the plan is changed to; `None` if the plan is the promise.
    pub promise: Option<Promise>,
    /// What of its plan lies behind the freeze may be moved to make room for others.
    pub movable: bool,
    /// Higher ones may take from lower ones that can be preempted: 0 to 9.
    pub priority: u8,
    /// It may be shifted, shrunk and at last closed for a higher priority.
    pub preemptible: bool,
    /// Its class of service.
    pub class: Option<ClassId>,
    /// Who asked, as far as that was said.
    pub principal: Option<Principal>,
    /// What its asker said of it.
    pub labels: BTreeMap<String, String>,
    /// The payload rate that may be had at most while others leave it: what was asked for, of which
    /// `rate` is promised. `None` where all of it is.
    pub ceiling: Option<BitRate>,
    /// It was granted what others lend: they may have it again.
    pub borrowed: bool,
    /// Why it would have been refused, had the broker not only observed: it books nothing.
    pub observed: Option<RefusalReason>,
    /// Covers what was asked.
    pub etag: Etag,
    /// Counts what may be sent: it rises whenever rate, interval or path change, and at the close.
    pub plan_version: u64,
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
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// On the first try.
    pub sent: BootTime,
    /// On the last one.
    pub received: BootTime,
}

impl Reservation {
    /// An answer in checked types.
    ///
    /// # Errors
    /// [`ClientError::BadAnswer`] if it is not one of ours.
    #[doc(hidden)]
    pub fn from_wire(wire: v1::Reservation, timing: Timing) -> Result<Self, ClientError> {
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
            way: way(&wire)?,
            steers: wire.steers.into_iter().map(Steer::from_wire).collect::<Result<_, _>>()?,
            assurance: Assurance::from_wire(wire.assurance)?,
            segments: plan::segments(&wire.segments, wire.ways.len(), timing)?,
            ways: plan::ways(wire.ways)?,
            promise: wire.promise.as_ref().map(Promise::from_wire).transpose()?,
            movable: wire.movable,
            priority: u8::try_from(wire.priority)
                .map_err(|_| ClientError::bad("priority", format!("{}", wire.priority)))?,
            preemptible: wire.preemptible,
            class: match wire.class.as_str() {
                "" => None,
                name => Some(class_id("class", name)?),
            },
            principal: match wire.principal.as_str() {
                "" => None,
                name => Some(name.parse().map_err(ClientError::unparsed("principal"))?),
            },
            labels: wire.labels,
            borrowed: wire.borrowed,
            observed: Some(wire.observed_reason)
                .filter(|reason| *reason != 0)
                .map(RefusalReason::from_wire),
            ceiling: wire.ceiling_bps.map(|bps| wire::rate("ceiling_bps", bps)).transpose()?,
            curtailed: wire.curtailed,
            etag: Etag(wire.etag),
            plan_version: wire::count("plan_version", wire.plan_version)?,
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

    /// Where the bytes come from; `None` if its lanes were named one by one.
    #[must_use]
    pub fn source(&self) -> Option<&Endpoint> {
        self.way.as_ref().map(|way| &way.source)
    }

    /// The volume that is promised and what of it is still to be moved, by the bytes that were reported;
    /// `None` where a rate is promised.
    #[must_use]
    pub fn volume(&self) -> Option<(ByteCount, ByteCount)> {
        let volume = self.promise.as_ref()?.volume()?;
        Some((volume, ByteCount::new(volume.bytes().saturating_sub(self.used.bytes()))))
    }

    /// Where the bytes go; `None` if its lanes were named one by one.
    #[must_use]
    pub fn destination(&self) -> Option<&Endpoint> {
        self.way.as_ref().map(|way| &way.destination)
    }
}

/// From where to where: `storage/a to hosts/b via hosts/c`.
impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.source, self.destination)?;
        for (index, host) in self.via.iter().enumerate() {
            write!(f, "{}hosts/{host}", if index == 0 { " via " } else { ", " })?;
        }
        Ok(())
    }
}

/// Both ends, or neither where lanes were named.
fn way(wire: &v1::Reservation) -> Result<Option<Way>, ClientError> {
    if wire.source.is_empty() && wire.destination.is_empty() {
        return Ok(None);
    }
    Ok(Some(Way {
        source: wire.source.parse().map_err(ClientError::unparsed("source"))?,
        destination: wire.destination.parse().map_err(ClientError::unparsed("destination"))?,
        via: relays(&wire.via)?,
        path: wire::index("path", wire.path)?,
    }))
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

//! Events in their durable form: protobuf with numbers that are never reused.
//!
//! Reading is strict: what this build does not know, or what is not well-formed, is an error, and
//! the broker refuses to start on it. Nothing is guessed.

use prost::Message;
use thiserror::Error;
use tidegate_core::event::{Booked, RequestMark};
use tidegate_core::lane::LaneName;
use tidegate_core::{Change, CloseWhy, Event, Reserved, TopologySpec};
use tidegate_policy::{
    BitRate, ByteCount, Interval, Name, ParseError, ProjectId, RequestId, ReservationId, SessionId,
    Timestamp,
};
use tidegate_proto::journal::v1 as wire;
use tidegate_proto::v1::{self, CloseReason};

use crate::convert::{self, reply};
use crate::fields::Fields;

pub mod image;

/// A batch that is not one of ours.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// It is no protobuf message of this form.
    #[error("it is not a batch of events: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// A field has a value that no broker wrote.
    #[error("the field {field} is not what a broker writes: {why}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A snapshot of a form that this build does not know.
    #[error("it has the form {found}, this build knows {known}; start the version that wrote it")]
    Form {
        /// The version it states.
        found: u32,
        /// The version this build reads and writes.
        known: u32,
    },
    /// An event of a kind that this build does not know.
    #[error("it holds an event of a later version; start the version that wrote it")]
    Unknown,
}

fn bad(field: &'static str, why: impl Into<String>) -> Unreadable {
    Unreadable::Field { field, why: why.into() }
}

/// The events of one append.
#[must_use]
pub fn encode(events: &[Event]) -> Vec<u8> {
    wire::Batch { events: events.iter().map(event_to_wire).collect() }.encode_to_vec()
}

/// The events of one append, as they were.
///
/// # Errors
/// [`Unreadable`] where a broker of this version did not write them.
pub fn decode(batch: &[u8]) -> Result<Vec<Event>, Unreadable> {
    wire::Batch::decode(batch)?.events.iter().map(event).collect()
}

// === to the journal ===

fn id(bits: u128) -> Vec<u8> {
    bits.to_be_bytes().to_vec()
}

fn mark_to_wire(mark: RequestMark) -> wire::RequestMark {
    wire::RequestMark { id: id(mark.id.as_u128()), fingerprint: mark.fingerprint.to_vec() }
}

fn event_to_wire(event: &Event) -> wire::Event {
    let request = event.request.map(mark_to_wire);
    let change = Some(change_to_wire(&event.change));
    wire::Event { at_ms: event.at.as_ms(), request, change }
}

fn change_to_wire(change: &Change) -> wire::event::Change {
    use wire::event::Change as To;
    match change {
        Change::TopologyApplied { spec, version } => {
            let topology = Some(convert::topology::to_wire(spec, *version));
            To::TopologyApplied(wire::TopologyApplied { topology })
        }
        Change::Reserved(reserved) => To::Reserved(reserved_to_wire(reserved)),
        Change::Confirmed { id: it } => To::Confirmed(wire::Confirmed { id: id(it.as_u128()) }),
        Change::HoldExtended { id: it, until } => To::HoldExtended(wire::HoldExtended {
            id: id(it.as_u128()),
            hold_until_ms: until.as_ms(),
        }),
        Change::Closed { id: it, why, free_from, used } => To::Closed(wire::Closed {
            id: id(it.as_u128()),
            why: why_to_wire(*why),
            free_from_ms: free_from.as_ms(),
            used_bytes: used.bytes(),
        }),
        Change::SessionOpened { id: it, agent } => To::SessionOpened(wire::SessionOpened {
            id: id(it.as_u128()),
            agent: agent.to_string(),
        }),
        Change::SessionEnded { id: it, lost } => {
            To::SessionEnded(wire::SessionEnded { id: id(it.as_u128()), lost: *lost })
        }
        Change::Forgotten { reservations, sessions, requests } => To::Forgotten(wire::Forgotten {
            reservations: reservations.iter().map(|it| id(it.as_u128())).collect(),
            sessions: sessions.iter().map(|it| id(it.as_u128())).collect(),
            requests: requests.iter().map(|it| id(it.as_u128())).collect(),
        }),
    }
}

fn why_to_wire(why: CloseWhy) -> u32 {
    u32::try_from(i32::from(reply::why_closed(why))).unwrap_or(0)
}

fn reserved_to_wire(reserved: &Reserved) -> wire::Reserved {
    let booked = reserved
        .booked
        .iter()
        .map(|booked| wire::Booked { lane: booked.lane.to_string(), amount_bps: booked.amount });
    wire::Reserved {
        id: id(reserved.id.as_u128()),
        project: reserved.project.to_string(),
        source: reserved.source.to_string(),
        destination: reserved.destination.to_string(),
        via: reserved.via.iter().map(ToString::to_string).collect(),
        rate_bps: reserved.rate.bps(),
        start_ms: reserved.interval.start().as_ms(),
        end_ms: reserved.interval.end().as_ms(),
        hold_until_ms: reserved.hold_until.map(Timestamp::as_ms),
        session: reserved.session.map(|it| id(it.as_u128())).unwrap_or_default(),
        booked: booked.collect(),
    }
}

// === from the journal ===

fn bits(field: &'static str, bytes: &[u8]) -> Result<u128, Unreadable> {
    let bytes = bytes.try_into().map_err(|_| bad(field, "it is not 16 bytes"))?;
    Ok(u128::from_be_bytes(bytes))
}

fn instant(field: &'static str, ms: i64) -> Result<Timestamp, Unreadable> {
    Timestamp::from_ms(ms).ok_or_else(|| bad(field, format!("{ms} is no instant")))
}

fn word<T: std::str::FromStr<Err = ParseError>>(
    field: &'static str,
    text: &str,
) -> Result<T, Unreadable> {
    text.parse().map_err(|error: ParseError| bad(field, error.to_string()))
}

fn reservation_id(bytes: &[u8]) -> Result<ReservationId, Unreadable> {
    bits("id", bytes).map(ReservationId::from_u128)
}

fn session_id(bytes: &[u8]) -> Result<SessionId, Unreadable> {
    bits("session", bytes).map(SessionId::from_u128)
}

fn mark(from: &wire::RequestMark) -> Result<RequestMark, Unreadable> {
    let fingerprint = from.fingerprint.as_slice().try_into();
    Ok(RequestMark {
        id: RequestId::from_u128(bits("request.id", &from.id)?),
        fingerprint: fingerprint.map_err(|_| bad("request.fingerprint", "it is not 32 bytes"))?,
    })
}

fn event(from: &wire::Event) -> Result<Event, Unreadable> {
    let request = from.request.as_ref().map(mark).transpose()?;
    let change = change(from.change.as_ref().ok_or(Unreadable::Unknown)?)?;
    Ok(Event { at: instant("at_ms", from.at_ms)?, request, change })
}

fn change(from: &wire::event::Change) -> Result<Change, Unreadable> {
    use wire::event::Change as From;
    Ok(match from {
        From::TopologyApplied(applied) => topology_applied(applied)?,
        From::Reserved(from) => Change::Reserved(Box::new(reserved(from)?)),
        From::Confirmed(from) => Change::Confirmed { id: reservation_id(&from.id)? },
        From::HoldExtended(from) => Change::HoldExtended {
            id: reservation_id(&from.id)?,
            until: instant("hold_until_ms", from.hold_until_ms)?,
        },
        From::Closed(from) => Change::Closed {
            id: reservation_id(&from.id)?,
            why: why(from.why)?,
            free_from: instant("free_from_ms", from.free_from_ms)?,
            used: ByteCount::new(from.used_bytes),
        },
        From::SessionOpened(from) => {
            Change::SessionOpened { id: session_id(&from.id)?, agent: word("agent", &from.agent)? }
        }
        From::SessionEnded(from) => {
            Change::SessionEnded { id: session_id(&from.id)?, lost: from.lost }
        }
        From::Forgotten(from) => Change::Forgotten {
            reservations: each(&from.reservations, reservation_id)?,
            sessions: each(&from.sessions, session_id)?,
            requests: each(&from.requests, |it| bits("requests", it).map(RequestId::from_u128))?,
        },
    })
}

fn each<T>(
    list: &[Vec<u8>],
    read: impl Fn(&[u8]) -> Result<T, Unreadable>,
) -> Result<Vec<T>, Unreadable> {
    list.iter().map(|entry| read(entry)).collect()
}

fn topology_applied(applied: &wire::TopologyApplied) -> Result<Change, Unreadable> {
    let (spec, version) = topology(applied.topology.as_ref())?;
    Ok(Change::TopologyApplied { spec: Box::new(spec), version })
}

fn topology(from: Option<&v1::Topology>) -> Result<(TopologySpec, u64), Unreadable> {
    let from = from.ok_or_else(|| bad("topology", "it is missing"))?;
    let mut fields = Fields::default();
    let spec: Option<TopologySpec> = convert::topology::from_wire(&mut fields, from);
    let faulty = |faults: Vec<tidegate_core::FieldFault>| {
        let first = faults.first().map_or(String::new(), |it| format!("{}: {}", it.field, it.why));
        bad("topology", first)
    };
    let spec = fields.finish(spec).map_err(faulty)?;
    let version = u64::try_from(from.version).map_err(|_| bad("version", "it is negative"))?;
    Ok((spec, version))
}

fn reserved(from: &wire::Reserved) -> Result<Reserved, Unreadable> {
    let interval =
        Interval::new(instant("start_ms", from.start_ms)?, instant("end_ms", from.end_ms)?);
    let booked = from
        .booked
        .iter()
        .map(|booked| Booked { lane: LaneName::new(&booked.lane), amount: booked.amount_bps });
    let via: Result<Vec<Name>, Unreadable> =
        from.via.iter().map(|host| word("via", host)).collect();
    let hold_until = from.hold_until_ms.map(|ms| instant("hold_until_ms", ms)).transpose()?;
    let session = match from.session.as_slice() {
        [] => None,
        bytes => Some(session_id(bytes)?),
    };
    Ok(Reserved {
        id: reservation_id(&from.id)?,
        project: ProjectId(word("project", &from.project)?),
        source: word("source", &from.source)?,
        destination: word("destination", &from.destination)?,
        via: via?,
        rate: BitRate::from_bps(from.rate_bps).ok_or_else(|| bad("rate_bps", "it is too high"))?,
        interval: interval.ok_or_else(|| bad("end_ms", "it is not after start_ms"))?,
        hold_until,
        session,
        booked: booked.collect(),
    })
}

fn why(number: u32) -> Result<CloseWhy, Unreadable> {
    let reason = i32::try_from(number).ok().and_then(|it| CloseReason::try_from(it).ok());
    match reason {
        Some(CloseReason::Completed) => Ok(CloseWhy::Completed),
        Some(CloseReason::Released) => Ok(CloseWhy::Released),
        Some(CloseReason::Expired) => Ok(CloseWhy::Expired),
        Some(CloseReason::SessionLost) => Ok(CloseWhy::SessionLost),
        Some(CloseReason::CapacityLost) => Ok(CloseWhy::CapacityLost),
        Some(CloseReason::Unspecified) | None => Err(Unreadable::Unknown),
    }
}

#[cfg(test)]
#[path = "durable_tests.rs"]
mod tests;

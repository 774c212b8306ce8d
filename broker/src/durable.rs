//! Events in their durable form: protobuf with numbers that are never reused.
//!
//! Reading is strict: what this build does not know, or what is not well-formed, is an error, and
//! the broker refuses to start on it. Nothing is guessed.

use prost::Message;
use thiserror::Error;
use tidegate_core as core;
use tidegate_core::event::{Booked, RequestMark};
use tidegate_core::lane::LaneName;
use tidegate_core::{
    Change, CloseWhy, Event, Kept, Modified, Plan, Reason, Reserved, Route, Standing, Terms,
};
use tidegate_policy::{
    BitRate, ByteCount, Interval, Mark, MarkKind, ParseError, RequestId, ReservationId, SessionId,
    Timestamp,
};
use tidegate_proto::journal::v1 as wire;
use tidegate_proto::v1::{CloseReason, Steer, mark, steer};

use crate::convert::{self, reply};
use crate::fields::Fields;

pub mod image;
mod network;
mod plan;
mod policy;

use plan::Told;

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
        Change::TopologyApplied { spec, version, losses } => {
            let topology = Some(convert::topology::to_wire(spec, *version));
            let losses = network::losses_to_wire(losses);
            To::TopologyApplied(wire::TopologyApplied { topology, losses })
        }
        Change::Reserved(reserved) => {
            To::Reserved(reserved_to_wire(reserved, Told::of(&reserved.plan)))
        }
        Change::Modified(modified) => To::Modified(modified_to_wire(modified)),
        Change::Moved(moved) => To::Moved(plan::moved_to_wire(moved)),
        Change::Settled { id: it } => To::Settled(wire::Settled { id: id(it.as_u128()) }),
        Change::Metered { used } => {
            let used = used
                .iter()
                .map(|(it, bytes)| wire::Used { id: id(it.as_u128()), bytes: bytes.bytes() });
            To::Metered(wire::Metered { used: used.collect() })
        }
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
        Change::Curtailed { id: it, end, free_from } => To::Curtailed(wire::Curtailed {
            id: id(it.as_u128()),
            end_ms: end.as_ms(),
            free_from_ms: free_from.as_ms(),
        }),
        Change::Drained { resource } => {
            To::Drained(wire::Drained { resource: resource.to_string() })
        }
        Change::Undrained { resource } => {
            To::Undrained(wire::Undrained { resource: resource.to_string() })
        }
        Change::MaintenanceCreated { maintenance, losses } => {
            To::MaintenanceCreated(network::maintenance_to_wire(maintenance, losses))
        }
        Change::PolicyApplied { version, changes, overuses } => {
            To::PolicyApplied(policy::applied_to_wire(*version, changes, overuses))
        }
        Change::MaintenanceEnded { id: it } => {
            To::MaintenanceEnded(wire::MaintenanceEnded { id: id(it.as_u128()) })
        }
        Change::SessionOpened { id: it, agent } => To::SessionOpened(wire::SessionOpened {
            id: id(it.as_u128()),
            agent: agent.to_string(),
        }),
        Change::SessionEnded { id: it, lost } => {
            To::SessionEnded(wire::SessionEnded { id: id(it.as_u128()), lost: *lost })
        }
        Change::Forgotten { reservations, sessions, requests, maintenances } => {
            To::Forgotten(wire::Forgotten {
                reservations: reservations.iter().map(|it| id(it.as_u128())).collect(),
                sessions: sessions.iter().map(|it| id(it.as_u128())).collect(),
                requests: requests.iter().map(|it| id(it.as_u128())).collect(),
                maintenances: maintenances.iter().map(|it| id(it.as_u128())).collect(),
            })
        }
    }
}

fn why_to_wire(why: CloseWhy) -> u32 {
    u32::try_from(i32::from(reply::why_closed(why))).unwrap_or(0)
}

fn reserved_to_wire(reserved: &Reserved, told: Option<Told>) -> wire::Reserved {
    let common = wire::Reserved {
        id: id(reserved.id.as_u128()),
        project: reserved.owner.project.to_string(),
        start_ms: told.map(|told| told.over.start().as_ms()).unwrap_or_default(),
        end_ms: told.map(|told| told.over.end().as_ms()).unwrap_or_default(),
        hold_until_ms: reserved.hold_until.map(Timestamp::as_ms),
        session: reserved.session.map(|it| id(it.as_u128())).unwrap_or_default(),
        shared: reserved.terms.shared,
        streams: if reserved.terms.streams == 1 { 0 } else { reserved.terms.streams.into() },
        ..wire::Reserved::default()
    };
    let Some((way, only)) = told.and_then(|told| plan::only(reserved, told)) else {
        return wire::Reserved {
            ways: plan::ways_to_wire(&reserved.plan),
            segments: plan::segments_to_wire(&reserved.plan),
            promise: reserved.promise.as_deref().map(plan::promise_to_wire),
            ..plan::stands_to_wire(reserved, common)
        };
    };
    let route = &way.route;
    let booked = way.lanes.iter().zip(&only.amounts);
    wire::Reserved {
        source: route.source().map(ToString::to_string).unwrap_or_default(),
        destination: route.destination().map(ToString::to_string).unwrap_or_default(),
        via: route.via().iter().map(ToString::to_string).collect(),
        rate_bps: only.rate.bps(),
        booked: booked
            .map(|(lane, amount)| wire::Booked { lane: lane.to_string(), amount_bps: *amount })
            .collect(),
        lanes: plan::named(route),
        path: route.path().map(u32::from),
        steers: route.steers().iter().map(reply::steer).collect(),
        ..common
    }
}

fn booked_to_wire(booked: &Booked) -> wire::Booked {
    wire::Booked { lane: booked.lane.to_string(), amount_bps: booked.amount }
}

fn modified_to_wire(modified: &Modified) -> wire::Modified {
    wire::Modified {
        id: id(modified.id.as_u128()),
        rate_bps: modified.rate.bps(),
        start_ms: modified.interval.start().as_ms(),
        end_ms: modified.interval.end().as_ms(),
        from_ms: modified.from.as_ms(),
        booked: modified.booked.iter().map(booked_to_wire).collect(),
        kept: modified.kept.iter().map(kept_to_wire).collect(),
        despite: modified.despite.map_or(0, |why| reply::reason(why).into()),
    }
}

fn kept_to_wire(kept: &Kept) -> wire::Kept {
    wire::Kept {
        lane: kept.lane.to_string(),
        amount_bps: kept.amount,
        start_ms: kept.over.start().as_ms(),
        end_ms: kept.over.end().as_ms(),
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

fn request_mark(from: &wire::RequestMark) -> Result<RequestMark, Unreadable> {
    let fingerprint = from.fingerprint.as_slice().try_into();
    Ok(RequestMark {
        id: RequestId::from_u128(bits("request.id", &from.id)?),
        fingerprint: fingerprint.map_err(|_| bad("request.fingerprint", "it is not 32 bytes"))?,
    })
}

fn event(from: &wire::Event) -> Result<Event, Unreadable> {
    let request = from.request.as_ref().map(request_mark).transpose()?;
    let change = change(from.change.as_ref().ok_or(Unreadable::Unknown)?, from.at_ms)?;
    Ok(Event { at: instant("at_ms", from.at_ms)?, request, change })
}

fn change(from: &wire::event::Change, at_ms: i64) -> Result<Change, Unreadable> {
    use wire::event::Change as From;
    Ok(match from {
        From::TopologyApplied(applied) => network::topology_applied(applied)?,
        From::Reserved(from) => Change::Reserved(Box::new(reserved(from)?)),
        From::Modified(from) => Change::Modified(Box::new(modified(from)?)),
        From::Moved(from) => Change::Moved(Box::new(plan::moved(from)?)),
        From::Settled(from) => Change::Settled { id: reservation_id(&from.id)? },
        From::Metered(from) => {
            let used = from.used.iter();
            let used = used.map(|used| Ok((reservation_id(&used.id)?, ByteCount::new(used.bytes))));
            Change::Metered { used: used.collect::<Result<_, Unreadable>>()? }
        }
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
        From::Curtailed(from) => Change::Curtailed {
            id: reservation_id(&from.id)?,
            end: instant("end_ms", from.end_ms)?,
            free_from: instant("free_from_ms", from.free_from_ms)?,
        },
        From::Drained(from) => Change::Drained { resource: word("resource", &from.resource)? },
        From::Undrained(from) => Change::Undrained { resource: word("resource", &from.resource)? },
        From::MaintenanceCreated(from) => network::maintenance_created(from, at_ms)?,
        From::PolicyApplied(from) => policy::policy_applied(from)?,
        From::MaintenanceEnded(from) => {
            Change::MaintenanceEnded { id: network::maintenance_id(&from.id)? }
        }
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
            maintenances: each(&from.maintenances, network::maintenance_id)?,
        },
    })
}

fn each<T>(
    list: &[Vec<u8>],
    read: impl Fn(&[u8]) -> Result<T, Unreadable>,
) -> Result<Vec<T>, Unreadable> {
    list.iter().map(|entry| read(entry)).collect()
}

fn interval(start_ms: i64, end_ms: i64) -> Result<Interval, Unreadable> {
    let over = Interval::new(instant("start_ms", start_ms)?, instant("end_ms", end_ms)?);
    over.ok_or_else(|| bad("end_ms", "it is not after start_ms"))
}

fn rate(bps: u64) -> Result<BitRate, Unreadable> {
    BitRate::from_bps(bps).ok_or_else(|| bad("rate_bps", "it is too high"))
}

fn booked(from: &wire::Booked) -> Booked {
    Booked { lane: LaneName::new(&from.lane), amount: from.amount_bps }
}

/// A grant as it happened: its present terms are those from its start.
fn reserved(from: &wire::Reserved) -> Result<Reserved, Unreadable> {
    let told = told(from, from.start_ms)?;
    let reserved = reserved_as(from, told)?;
    if reserved.plan.interval() != Some(told.over) {
        return Err(bad("segments", "they do not fill the time that it is told to be"));
    }
    Ok(reserved)
}

/// From when to when it is, and since when its present terms are booked.
fn told(from: &wire::Reserved, from_ms: i64) -> Result<Told, Unreadable> {
    let over = interval(from.start_ms, from.end_ms)?;
    Ok(Told { over, from: instant("from_ms", from_ms)? })
}

fn reserved_as(from: &wire::Reserved, told: Told) -> Result<Reserved, Unreadable> {
    let hold_until = from.hold_until_ms.map(|ms| instant("hold_until_ms", ms)).transpose()?;
    let session = match from.session.as_slice() {
        [] => None,
        bytes => Some(session_id(bytes)?),
    };
    let streams = u16::try_from(from.streams.max(1));
    let streams = streams.map_err(|_| bad("streams", "there are too many"))?;
    let (plan, promise, standing) = if from.segments.is_empty() {
        if from.promise.is_some() || !from.ways.is_empty() || plan::is_told_apart(from) {
            return Err(bad("segments", "there are none"));
        }
        let booked = from.booked.iter().map(booked).collect();
        let plan = Plan::single(route(from)?, told.booked(), rate(from.rate_bps)?, booked);
        (plan, None, Standing::default())
    } else {
        if !from.source.is_empty() || !from.lanes.is_empty() || !from.booked.is_empty() {
            return Err(bad("segments", "there is another plan beside them"));
        }
        let promise = from.promise.as_ref().map(plan::promise).transpose()?;
        let plan = plan::plan(&from.ways, &from.segments)?;
        (plan, promise.map(Box::new), plan::standing(from)?)
    };
    Ok(Reserved {
        id: reservation_id(&from.id)?,
        owner: plan::owner(from)?,
        plan,
        promise,
        standing,
        borrowed: from.borrowed,
        despite: despite(from.despite)?,
        terms: Terms { shared: from.shared, streams },
        hold_until,
        session,
    })
}

fn despite(number: i32) -> Result<Option<Reason>, Unreadable> {
    match number {
        0 => Ok(None),
        number => reply::reason_of(number).map(Some).ok_or(Unreadable::Unknown),
    }
}

fn route(from: &wire::Reserved) -> Result<Route, Unreadable> {
    if !from.lanes.is_empty() {
        return Ok(Route::Lanes(plan::lane_names(&from.lanes)));
    }
    let steers: Result<Vec<_>, Unreadable> = from.steers.iter().map(steer).collect();
    Ok(Route::Between {
        source: word("source", &from.source)?,
        destination: word("destination", &from.destination)?,
        via: plan::names(&from.via)?,
        path: plan::path(from.path)?,
        steers: steers?,
    })
}

fn steer(from: &Steer) -> Result<core::topology::Steer, Unreadable> {
    let how = match from.how.as_ref().ok_or(Unreadable::Unknown)? {
        steer::How::Mark(from) => {
            let kind = match mark::Kind::try_from(from.kind) {
                Ok(mark::Kind::SourceAddress) => MarkKind::SourceAddress,
                Ok(mark::Kind::Dscp) => MarkKind::Dscp,
                Ok(mark::Kind::Vlan) => MarkKind::Vlan,
                Ok(mark::Kind::Unspecified) | Err(_) => return Err(Unreadable::Unknown),
            };
            let mark = Mark::new(kind, &from.value);
            core::topology::How::Mark(mark.map_err(|error| bad("mark.value", error.to_string()))?)
        }
        steer::How::Controller(name) => core::topology::How::Controller(word("controller", name)?),
    };
    Ok(core::topology::Steer { from: place("from", &from.from)?, to: place("to", &from.to)?, how })
}

fn place(field: &'static str, text: &str) -> Result<core::topology::spec::Node, Unreadable> {
    let mut fields = Fields::default();
    convert::topology::node(&mut fields, field, text).ok_or_else(|| bad(field, "it is no place"))
}

fn modified(from: &wire::Modified) -> Result<Modified, Unreadable> {
    let kept: Result<Vec<Kept>, Unreadable> = from.kept.iter().map(kept).collect();
    Ok(Modified {
        id: reservation_id(&from.id)?,
        rate: rate(from.rate_bps)?,
        interval: interval(from.start_ms, from.end_ms)?,
        from: instant("from_ms", from.from_ms)?,
        booked: from.booked.iter().map(booked).collect(),
        kept: kept?,
        despite: despite(from.despite)?,
    })
}

fn kept(from: &wire::Kept) -> Result<Kept, Unreadable> {
    let over = interval(from.start_ms, from.end_ms)?;
    Ok(Kept { lane: LaneName::new(&from.lane), over, amount: from.amount_bps })
}

fn why(number: u32) -> Result<CloseWhy, Unreadable> {
    let reason = i32::try_from(number).ok().and_then(|it| CloseReason::try_from(it).ok());
    match reason {
        Some(CloseReason::Completed) => Ok(CloseWhy::Completed),
        Some(CloseReason::Released) => Ok(CloseWhy::Released),
        Some(CloseReason::Expired) => Ok(CloseWhy::Expired),
        Some(CloseReason::SessionLost) => Ok(CloseWhy::SessionLost),
        Some(CloseReason::CapacityLost) => Ok(CloseWhy::CapacityLost),
        Some(CloseReason::NoShow) => Ok(CloseWhy::NoShow),
        Some(CloseReason::Preempted) => Ok(CloseWhy::Preempted),
        Some(CloseReason::Unspecified) | None => Err(Unreadable::Unknown),
    }
}

#[cfg(test)]
#[path = "durable_tests.rs"]
mod tests;

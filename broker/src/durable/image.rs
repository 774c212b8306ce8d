//! The state in its durable form: what a snapshot holds.
//!
//! Pieces one behind the other, each behind its length, so that a large state is written and read
//! piece by piece and no message grows with it. Equal states have equal bytes, which makes the
//! digest of a snapshot the digest of the state.

use prost::Message;
use prost::bytes::Buf;
use sha2::{Digest, Sha256};
use tidegate_core::event::{RequestMark, Reserved};
use tidegate_core::image::Answered;
use tidegate_core::lane::LaneName;
use tidegate_core::machine::LaneChange;
use tidegate_core::{
    Image, Losses, Maintenance, Outcome, Reservation, Session, SessionState, State,
};
use tidegate_policy::{ByteCount, RequestId};
use tidegate_proto::journal::v1 as wire;
use wire::kept_answer::Outcome as WireOutcome;
use wire::piece::Piece as Kind;

use super::{
    Told, Unreadable, bad, bits, id, instant, kept_to_wire, mark_to_wire, network, policy,
    request_mark, reservation_id, reserved_to_wire, session_id, why, why_to_wire, word,
};
use crate::convert;
use crate::journal::MAX_BATCH_BYTES;

/// The version of the form this build writes and reads.
pub const IMAGE_FORM: u32 = 1;

/// What tells one state from every other: equal for equal states, whatever led to them.
#[must_use]
pub fn digest(encoded: &[u8]) -> [u8; 32] {
    Sha256::digest(encoded).into()
}

/// The bytes of a snapshot.
#[must_use]
pub fn encode(image: &Image) -> Vec<u8> {
    // Field by field, so that a new one cannot be forgotten.
    let Image {
        clock,
        topology,
        topology_version,
        reservations,
        sessions,
        answers,
        maintenances,
        drained,
        projects,
        classes,
        rules,
        policy_version,
        spent,
    } = image;
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let ledger = wire::Ledger {
        format: IMAGE_FORM,
        clock_ms: clock.as_ms(),
        topology: Some(convert::topology::to_wire(topology, *topology_version)),
        reservation_count: count(reservations.len()),
        session_count: count(sessions.len()),
        answer_count: count(answers.len()),
        maintenance_count: count(maintenances.len()),
        drained: drained.iter().map(ToString::to_string).collect(),
        project_count: count(projects.len()),
        policy_version: *policy_version,
        classes: policy::classes_to_wire(classes),
        rules: rules.iter().map(policy::rule_to_wire).collect(),
        spent: spent.iter().map(policy::spent_to_wire).collect(),
    };
    let mut bytes = Vec::new();
    let mut put = |piece: Kind| {
        bytes.extend(wire::Piece { piece: Some(piece) }.encode_length_delimited_to_vec());
    };
    put(Kind::Ledger(ledger));
    for session in sessions {
        put(Kind::Session(session_to_wire(session)));
    }
    for reservation in reservations {
        put(Kind::Reservation(reservation_to_wire(reservation)));
    }
    for answer in answers {
        put(Kind::Answer(answer_to_wire(answer)));
    }
    for maintenance in maintenances {
        put(Kind::Maintenance(maintenance_to_wire(maintenance)));
    }
    for project in projects {
        put(Kind::Project(convert::policy::to_wire(project)));
    }
    bytes
}

/// The state that a snapshot holds.
///
/// # Errors
/// [`Unreadable`] where a broker of this version did not write it.
pub fn decode(mut bytes: &[u8]) -> Result<Image, Unreadable> {
    let Kind::Ledger(ledger) = next(&mut bytes)? else {
        return Err(bad("ledger", "it does not stand first"));
    };
    if ledger.format != IMAGE_FORM {
        return Err(Unreadable::Form { found: ledger.format, known: IMAGE_FORM });
    }
    let (topology, topology_version) = network::topology(ledger.topology.as_ref())?;
    let (mut reservations, mut sessions) = (Vec::new(), Vec::new());
    let (mut answers, mut maintenances) = (Vec::new(), Vec::new());
    let mut projects = Vec::new();
    while !bytes.is_empty() {
        match next(&mut bytes)? {
            Kind::Ledger(_) => return Err(bad("ledger", "it stands there twice")),
            Kind::Reservation(from) => reservations.push(reservation(&from)?),
            Kind::Session(from) => sessions.push(session(&from)?),
            Kind::Answer(from) => answers.push(answer(from)?),
            Kind::Maintenance(from) => maintenances.push(maintenance(&from)?),
            Kind::Project(from) => projects.push(policy::project(&from)?),
        }
    }
    for (field, found, stated) in [
        ("reservation_count", reservations.len(), ledger.reservation_count),
        ("session_count", sessions.len(), ledger.session_count),
        ("answer_count", answers.len(), ledger.answer_count),
        ("maintenance_count", maintenances.len(), ledger.maintenance_count),
        ("project_count", projects.len(), ledger.project_count),
    ] {
        if u64::try_from(found) != Ok(stated) {
            return Err(bad(field, format!("{found} are there, {stated} were written")));
        }
    }
    let clock = instant("clock_ms", ledger.clock_ms)?;
    let drained: Result<Vec<_>, Unreadable> =
        ledger.drained.iter().map(|resource| word("drained", resource)).collect();
    let drained = drained?;
    let classes = policy::classes(ledger.classes.as_ref())?;
    let rules: Result<Vec<_>, Unreadable> = ledger.rules.iter().map(policy::rule).collect();
    let spent: Result<Vec<_>, Unreadable> = ledger.spent.iter().map(policy::spent).collect();
    Ok(Image {
        clock,
        topology,
        topology_version,
        reservations,
        sessions,
        answers,
        maintenances,
        drained,
        projects,
        classes,
        rules: rules?,
        policy_version: ledger.policy_version,
        spent: spent?,
    })
}

/// The next piece; none is larger than an append.
fn next(bytes: &mut &[u8]) -> Result<Kind, Unreadable> {
    let length = prost::decode_length_delimiter(&mut *bytes)?;
    if MAX_BATCH_BYTES < length || bytes.len() < length {
        return Err(bad("piece", format!("{length} bytes are more than it can have")));
    }
    let piece = wire::Piece::decode(&bytes[..length])?.piece;
    bytes.advance(length);
    piece.ok_or(Unreadable::Unknown)
}

fn session_to_wire(session: &Session) -> wire::KeptSession {
    let Session { id: it, agent, created, state } = session;
    let (ended, lost) = match state {
        SessionState::Open => (None, false),
        SessionState::Closed { at } => (Some(*at), false),
        SessionState::Lost { at } => (Some(*at), true),
    };
    wire::KeptSession {
        id: id(it.as_u128()),
        agent: agent.to_string(),
        created_ms: created.as_ms(),
        ended_ms: ended.map(|at| at.as_ms()),
        lost,
    }
}

fn session(from: &wire::KeptSession) -> Result<Session, Unreadable> {
    let ended = from.ended_ms.map(|ms| instant("ended_ms", ms)).transpose()?;
    let state = match (ended, from.lost) {
        (None, false) => SessionState::Open,
        (Some(at), false) => SessionState::Closed { at },
        (Some(at), true) => SessionState::Lost { at },
        (None, true) => return Err(bad("lost", "the session has not ended")),
    };
    Ok(Session {
        id: session_id(&from.id)?,
        agent: word("agent", &from.agent)?,
        created: instant("created_ms", from.created_ms)?,
        state,
    })
}

pub(super) fn reservation_to_wire(reservation: &Reservation) -> wire::KeptReservation {
    let Reservation {
        id: it,
        owner,
        plan,
        promise,
        standing,
        borrowed,
        despite,
        terms,
        interval,
        from,
        session,
        kept,
        curtailed,
        last_move,
        revision,
        plan_version,
        metered,
        created,
        created_by,
        state,
    } = reservation.clone();
    let (hold_until, closed) = match state {
        State::Held { until } => (Some(until), None),
        State::Confirmed => (None, None),
        State::Closed { why, at, free_from, used } => {
            let closed = wire::KeptClose {
                why: why_to_wire(why),
                at_ms: at.as_ms(),
                free_from_ms: free_from.as_ms(),
                used_bytes: used.bytes(),
            };
            (None, Some(closed))
        }
    };
    let granted = Reserved {
        id: it,
        owner,
        plan,
        promise,
        standing,
        borrowed,
        despite,
        terms,
        hold_until,
        session,
    };
    wire::KeptReservation {
        granted: Some(reserved_to_wire(&granted, Some(Told { over: interval, from }))),
        created_ms: created.as_ms(),
        created_by: created_by.map(|it| id(it.as_u128())).unwrap_or_default(),
        closed,
        from_ms: from.as_ms(),
        kept: kept.iter().map(kept_to_wire).collect(),
        curtailed,
        revision,
        plan_version,
        metered_bytes: metered.bytes(),
        last_move: last_move.as_ref().map(super::plan::last_move_to_wire),
    }
}

pub(super) fn reservation(from: &wire::KeptReservation) -> Result<Reservation, Unreadable> {
    let granted = from.granted.as_ref().ok_or_else(|| bad("granted", "it is missing"))?;
    let told = super::told(granted, from.from_ms)?;
    let Reserved {
        id,
        owner,
        plan,
        promise,
        standing,
        borrowed,
        despite,
        terms,
        hold_until,
        session,
    } = super::reserved_as(granted, told)?;
    let state = match (&from.closed, hold_until) {
        (None, None) => State::Confirmed,
        (None, Some(until)) => State::Held { until },
        (Some(closed), None) => State::Closed {
            why: why(closed.why)?,
            at: instant("closed.at_ms", closed.at_ms)?,
            free_from: instant("closed.free_from_ms", closed.free_from_ms)?,
            used: ByteCount::new(closed.used_bytes),
        },
        (Some(_), Some(_)) => return Err(bad("hold_until_ms", "the reservation is closed")),
    };
    let created_by = match from.created_by.as_slice() {
        [] => None,
        bytes => Some(RequestId::from_u128(bits("created_by", bytes)?)),
    };
    let created = instant("created_ms", from.created_ms)?;
    let kept: Result<Vec<_>, Unreadable> = from.kept.iter().map(super::kept).collect();
    Ok(Reservation {
        id,
        owner,
        plan,
        promise,
        standing,
        borrowed,
        despite,
        terms,
        interval: told.over,
        from: told.from,
        session,
        kept: kept?,
        curtailed: from.curtailed,
        last_move: from.last_move.as_ref().map(super::plan::last_move).transpose()?,
        revision: from.revision,
        plan_version: from.plan_version,
        metered: ByteCount::new(from.metered_bytes),
        created,
        created_by,
        state,
    })
}

fn maintenance_to_wire(maintenance: &Maintenance) -> wire::KeptMaintenance {
    wire::KeptMaintenance {
        made: Some(network::maintenance_to_wire(maintenance, &Losses::default())),
        created_ms: maintenance.created.as_ms(),
        ended_ms: maintenance.ended.map(|at| at.as_ms()),
    }
}

fn maintenance(from: &wire::KeptMaintenance) -> Result<Maintenance, Unreadable> {
    let made = from.made.as_ref().ok_or_else(|| bad("made", "it is missing"))?;
    let made = network::maintenance(made, from.created_ms)?;
    let ended = from.ended_ms.map(|ms| instant("ended_ms", ms)).transpose()?;
    Ok(Maintenance { ended, ..made })
}

fn answer_to_wire(answer: &Answered) -> wire::KeptAnswer {
    let Answered { id: request, fingerprint, outcome, at } = answer;
    let outcome = match outcome {
        Outcome::Reservation(it) => WireOutcome::Reservation(id(it.as_u128())),
        Outcome::Session(it) => WireOutcome::Session(id(it.as_u128())),
        Outcome::Topology { version, changes, losses } => {
            let change = |it: &LaneChange| wire::KeptLaneChange {
                lane: it.lane.to_string(),
                before_bps: it.before,
                after_bps: it.after,
            };
            let changes = changes.iter().map(change).collect();
            let losses = network::losses_to_wire(losses);
            WireOutcome::Topology(wire::KeptTopologyAnswer { version: *version, changes, losses })
        }
        Outcome::Maintenance(it, losses) => {
            let (id, losses) = (id(it.as_u128()), network::losses_to_wire(losses));
            WireOutcome::Maintenance(wire::KeptMaintenanceAnswer { id, losses })
        }
        Outcome::Drain(resource) => WireOutcome::Drain(resource.to_string()),
        Outcome::Undrain(resource) => WireOutcome::Undrain(resource.to_string()),
        Outcome::Policy { version, changes, overuses } => {
            WireOutcome::Policy(policy::applied_to_wire(*version, changes, overuses))
        }
    };
    let request = RequestMark { id: *request, fingerprint: *fingerprint };
    wire::KeptAnswer {
        request: Some(mark_to_wire(request)),
        at_ms: at.as_ms(),
        outcome: Some(outcome),
    }
}

fn answer(from: wire::KeptAnswer) -> Result<Answered, Unreadable> {
    let request = from.request.as_ref().ok_or_else(|| bad("request", "it is missing"))?;
    let RequestMark { id, fingerprint } = request_mark(request)?;
    let outcome = match from.outcome.ok_or(Unreadable::Unknown)? {
        WireOutcome::Reservation(it) => Outcome::Reservation(reservation_id(&it)?),
        WireOutcome::Session(it) => Outcome::Session(session_id(&it)?),
        WireOutcome::Topology(it) => {
            let change = |it: wire::KeptLaneChange| LaneChange {
                lane: LaneName::new(&it.lane),
                before: it.before_bps,
                after: it.after_bps,
            };
            let changes = it.changes.into_iter().map(change).collect();
            let losses = network::losses(it.losses.as_ref())?;
            Outcome::Topology { version: it.version, changes, losses }
        }
        WireOutcome::Maintenance(it) => {
            let losses = network::losses(it.losses.as_ref())?;
            Outcome::Maintenance(network::maintenance_id(&it.id)?, losses)
        }
        WireOutcome::Drain(resource) => Outcome::Drain(word("drain", &resource)?),
        WireOutcome::Undrain(resource) => Outcome::Undrain(word("undrain", &resource)?),
        WireOutcome::Policy(it) => {
            let (version, changes, overuses) = policy::applied(&it)?;
            Outcome::Policy { version, changes, overuses }
        }
    };
    Ok(Answered { id, fingerprint, outcome, at: instant("at_ms", from.at_ms)? })
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;

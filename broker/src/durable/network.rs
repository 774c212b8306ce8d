//! The durable form of what operators did to the network.

use tidegate_core::lane::LaneName;
use tidegate_core::{Change, Losses, Maintenance, Move, TopologySpec, Victim};
use tidegate_policy::{MaintenanceId, SessionId};
use tidegate_proto::journal::v1 as wire;
use tidegate_proto::v1;

use super::{Unreadable, bad, bits, id, instant, interval, reservation_id, session_id, word};
use crate::convert;
use crate::fields::Fields;

pub(super) fn losses_to_wire(losses: &Losses) -> Option<wire::Losses> {
    if (losses.count, losses.move_count) == (0, 0) {
        return None;
    }
    let session =
        |session: Option<SessionId>| session.map(|it| id(it.as_u128())).unwrap_or_default();
    let victim = |victim: &Victim| wire::Victim {
        reservation: id(victim.reservation.as_u128()),
        session: session(victim.session),
        lane: victim.lane.to_string(),
        lost_ms: victim.lost.as_ms(),
        end_ms: victim.end.as_ms(),
    };
    let moved = |moved: &Move| wire::Move {
        reservation: id(moved.reservation.as_u128()),
        session: session(moved.session),
        from_ms: moved.from.as_ms(),
        end_ms: moved.end.as_ms(),
        old_end_ms: moved.old_end.as_ms(),
    };
    Some(wire::Losses {
        victims: losses.victims.iter().map(victim).collect(),
        count: losses.count,
        moves: losses.moves.iter().map(moved).collect(),
        move_count: losses.move_count,
    })
}

pub(super) fn losses(from: Option<&wire::Losses>) -> Result<Losses, Unreadable> {
    let Some(from) = from else { return Ok(Losses::default()) };
    let session = |bytes: &[u8]| match bytes {
        [] => Ok(None),
        bytes => session_id(bytes).map(Some),
    };
    let victim = |from: &wire::Victim| {
        Ok(Victim {
            reservation: reservation_id(&from.reservation)?,
            session: session(&from.session)?,
            lane: LaneName::new(&from.lane),
            lost: instant("lost_ms", from.lost_ms)?,
            end: instant("end_ms", from.end_ms)?,
        })
    };
    let victims: Result<Vec<Victim>, Unreadable> = from.victims.iter().map(victim).collect();
    let moved = |from: &wire::Move| {
        Ok(Move {
            reservation: reservation_id(&from.reservation)?,
            session: session(&from.session)?,
            from: instant("from_ms", from.from_ms)?,
            end: instant("end_ms", from.end_ms)?,
            old_end: instant("old_end_ms", from.old_end_ms)?,
        })
    };
    let moves: Result<Vec<Move>, Unreadable> = from.moves.iter().map(moved).collect();
    let (victims, moves) = (victims?, moves?);
    Ok(Losses { victims, count: from.count, moves, move_count: from.move_count })
}

pub(super) fn maintenance_to_wire(made: &Maintenance, losses: &Losses) -> wire::MaintenanceCreated {
    wire::MaintenanceCreated {
        id: id(made.id.as_u128()),
        resource: made.resource.to_string(),
        start_ms: made.over.start().as_ms(),
        end_ms: made.over.end().as_ms(),
        left_ppm: made.left_ppm,
        comment: made.comment.clone(),
        losses: losses_to_wire(losses),
    }
}

pub(super) fn maintenance_id(bytes: &[u8]) -> Result<MaintenanceId, Unreadable> {
    bits("maintenance", bytes).map(MaintenanceId::from_u128)
}

/// A window that was made at `at_ms`, and who lost what was promised by it.
pub(super) fn maintenance_created(
    from: &wire::MaintenanceCreated,
    at_ms: i64,
) -> Result<Change, Unreadable> {
    let maintenance = Box::new(maintenance(from, at_ms)?);
    Ok(Change::MaintenanceCreated { maintenance, losses: losses(from.losses.as_ref())? })
}

/// A window that was made at `at_ms`.
pub(super) fn maintenance(
    from: &wire::MaintenanceCreated,
    at_ms: i64,
) -> Result<Maintenance, Unreadable> {
    Ok(Maintenance {
        id: maintenance_id(&from.id)?,
        resource: word("resource", &from.resource)?,
        over: interval(from.start_ms, from.end_ms)?,
        left_ppm: from.left_ppm,
        comment: from.comment.clone(),
        created: instant("at_ms", at_ms)?,
        ended: None,
    })
}

pub(super) fn topology_applied(applied: &wire::TopologyApplied) -> Result<Change, Unreadable> {
    let (spec, version) = topology(applied.topology.as_ref())?;
    let losses = losses(applied.losses.as_ref())?;
    Ok(Change::TopologyApplied { spec: Box::new(spec), version, losses })
}

/// A topology and its version.
pub(super) fn topology(from: Option<&v1::Topology>) -> Result<(TopologySpec, u64), Unreadable> {
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

#[cfg(test)]
#[path = "network_tests.rs"]
pub(super) mod tests;

//! The durable form of what operators did to the network.

use tidegate_core::lane::LaneName;
use tidegate_core::{Change, Losses, Maintenance, TopologySpec, Victim};
use tidegate_policy::{Interval, MaintenanceId};
use tidegate_proto::journal::v1 as wire;

use super::{Unreadable, bad, bits, id, instant, reservation_id, session_id, word};
use crate::convert::topology;
use crate::fields::Fields;

pub(super) fn losses_to_wire(losses: &Losses) -> Option<wire::Losses> {
    if losses.count == 0 {
        return None;
    }
    let victim = |victim: &Victim| wire::Victim {
        reservation: id(victim.reservation.as_u128()),
        session: victim.session.map(|it| id(it.as_u128())).unwrap_or_default(),
        lane: victim.lane.to_string(),
        lost_ms: victim.lost.as_ms(),
        end_ms: victim.end.as_ms(),
    };
    Some(wire::Losses { victims: losses.victims.iter().map(victim).collect(), count: losses.count })
}

pub(super) fn losses(from: Option<&wire::Losses>) -> Result<Losses, Unreadable> {
    let Some(from) = from else { return Ok(Losses::default()) };
    let victim = |from: &wire::Victim| {
        Ok(Victim {
            reservation: reservation_id(&from.reservation)?,
            session: match from.session.as_slice() {
                [] => None,
                bytes => Some(session_id(bytes)?),
            },
            lane: LaneName::new(&from.lane),
            lost: instant("lost_ms", from.lost_ms)?,
            end: instant("end_ms", from.end_ms)?,
        })
    };
    let victims: Result<Vec<Victim>, Unreadable> = from.victims.iter().map(victim).collect();
    Ok(Losses { victims: victims?, count: from.count })
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

/// A window that was made at `at_ms`.
pub(super) fn maintenance_created(
    from: &wire::MaintenanceCreated,
    at_ms: i64,
) -> Result<Change, Unreadable> {
    let over = Interval::new(instant("start_ms", from.start_ms)?, instant("end_ms", from.end_ms)?);
    let maintenance = Box::new(Maintenance {
        id: maintenance_id(&from.id)?,
        resource: word("resource", &from.resource)?,
        over: over.ok_or_else(|| bad("end_ms", "it is not after start_ms"))?,
        left_ppm: from.left_ppm,
        comment: from.comment.clone(),
        created: instant("at_ms", at_ms)?,
        ended: None,
    });
    Ok(Change::MaintenanceCreated { maintenance, losses: losses(from.losses.as_ref())? })
}

pub(super) fn topology_applied(applied: &wire::TopologyApplied) -> Result<Change, Unreadable> {
    let from = applied.topology.as_ref().ok_or_else(|| bad("topology", "it is missing"))?;
    let mut fields = Fields::default();
    let spec: Option<TopologySpec> = topology::from_wire(&mut fields, from);
    let faulty = |faults: Vec<tidegate_core::FieldFault>| {
        let first = faults.first().map_or(String::new(), |it| format!("{}: {}", it.field, it.why));
        bad("topology", first)
    };
    let spec = Box::new(fields.finish(spec).map_err(faulty)?);
    let version = u64::try_from(from.version).map_err(|_| bad("version", "it is negative"))?;
    Ok(Change::TopologyApplied { spec, version, losses: losses(applied.losses.as_ref())? })
}

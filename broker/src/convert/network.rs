//! What operators ask of the network over time, from the wire and back: topologies, drains,
//! maintenance windows, lanes and paths.

use tidegate_core::lane::{Lane, LaneName};
use tidegate_core::machine::{COMMENT_MAX, Drained, LaneChange};
use tidegate_core::topology::{How, Path, Steer};
use tidegate_core::{Command, Losses, Machine, Maintenance, MaintenanceAsk, Move, Victim};
use tidegate_policy::{Endpoint, Interval, MaintenanceId, Name, Resource, Span, Timestamp};
use tidegate_proto::v1;

use super::ask::hosts;
use super::request::{Mutation, Page, mutation, page_size};
use super::{Checked, reply, topology};
use crate::fields::Fields;

pub(crate) fn apply_topology(message: &v1::ApplyTopologyRequest) -> Checked<Mutation> {
    mutation(message, |fields| {
        let topology = fields.required("topology", message.topology.as_ref())?;
        let spec = Box::new(topology::from_wire(fields, topology)?);
        let accept_losses = message.accept_losses || message.validate_only;
        Some(Command::ApplyTopology { spec, accept_losses })
    })
}

pub(crate) fn drain(message: &v1::DrainResourceRequest) -> Checked<Mutation> {
    mutation(message, |fields| fields.word("resource", &message.resource).map(Command::Drain))
}

pub(crate) fn undrain(message: &v1::UndrainResourceRequest) -> Checked<Mutation> {
    mutation(message, |fields| fields.word("resource", &message.resource).map(Command::Undrain))
}

/// The most that maintenance leaves of a capacity, in parts per million: less than all.
const LEFT_MAX: u32 = 999_999;

pub(crate) fn create_maintenance(message: &v1::CreateMaintenanceRequest) -> Checked<Mutation> {
    mutation(message, |fields| {
        let asked = fields.required("maintenance", message.maintenance.as_ref())?;
        let resource = fields.word::<Resource>("maintenance.resource", &asked.resource);
        let start = asked.start_time.map(|time| fields.start("maintenance.start_time", time));
        let end = fields.required("maintenance.end_time", asked.end_time);
        let end = end.and_then(|time| fields.end("maintenance.end_time", time));
        let left_ppm = fields.number("maintenance.left_ppm", asked.left_ppm, LEFT_MAX);
        let comment = comment(fields, "maintenance.comment", &asked.comment);
        Some(Command::CreateMaintenance(Box::new(MaintenanceAsk {
            resource: resource?,
            start: start.map_or(Some(None), |checked| checked.map(Some))?,
            end: end?,
            left_ppm: left_ppm?,
            comment: comment?,
            accept_losses: message.accept_losses || message.validate_only,
        })))
    })
}

fn comment(fields: &mut Fields, field: &str, text: &str) -> Option<String> {
    let length = text.chars().count();
    if COMMENT_MAX < length {
        fields.fault(field, format!("it has {length} characters; write at most {COMMENT_MAX}"));
        return None;
    }
    if text.chars().any(char::is_control) {
        fields.fault(field, "it has control characters; leave them out");
        return None;
    }
    Some(text.into())
}

pub(crate) fn delete_maintenance(message: &v1::DeleteMaintenanceRequest) -> Checked<Mutation> {
    mutation(message, |fields| {
        fields.named("name", "maintenances", &message.name).map(Command::DeleteMaintenance)
    })
}

/// Maintenance windows that somebody wants to see.
pub(crate) fn list_maintenances(
    message: &v1::ListMaintenancesRequest,
) -> Checked<Page<MaintenanceId>> {
    let mut fields = Fields::default();
    let size = page_size(&mut fields, message.page_size);
    let after = fields.optional("page_token", "maintenances", &message.page_token);
    fields.finish(size.map(|size| Page { size, after }))
}

/// Lanes that somebody wants to see, and when.
#[derive(Clone, Debug)]
pub(crate) struct ListResources {
    pub(crate) page: Page<LaneName>,
    pub(crate) over: Interval,
}

pub(crate) fn list_resources(
    message: &v1::ListResourcesRequest,
    now: Timestamp,
) -> Checked<ListResources> {
    let mut fields = Fields::default();
    let size = page_size(&mut fields, message.page_size);
    let start = message.start_time.map(|time| fields.start("start_time", time));
    let start = start.unwrap_or(Some(now));
    let end = message.end_time.map(|time| fields.end("end_time", time));
    let instant = Span::from_ms(1).unwrap_or_default();
    let end = end.unwrap_or_else(|| start.map(|start| start.plus(instant)));
    let over = start.zip(end).and_then(|(start, end)| {
        let over = Interval::new(start, end);
        if over.is_none() {
            fields.fault("end_time", format!("it is {end}, not after the start at {start}"));
        }
        over
    });
    let after = message.page_token.strip_prefix("lanes/").map(LaneName::new);
    if after.is_none() && !message.page_token.is_empty() {
        fields.fault("page_token", "it is not of this list; begin again without it");
    }
    let page = size.map(|size| Page { size, after });
    fields.finish(page.zip(over).map(|(page, over)| ListResources { page, over }))
}

/// Two endpoints between which somebody wants to see the lanes.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    pub(crate) source: Endpoint,
    pub(crate) via: Vec<Name>,
    pub(crate) destination: Endpoint,
}

pub(crate) fn resolve_path(message: &v1::ResolvePathRequest) -> Checked<Ends> {
    let mut fields = Fields::default();
    let source = fields.word::<Endpoint>("source", &message.source);
    let destination = fields.word::<Endpoint>("destination", &message.destination);
    let via = hosts(&mut fields, &message.via);
    if matches!(destination, Some(Endpoint::Host(_))) && source == destination {
        fields.fault("destination", "it is the source; name storage on it to see a local copy");
    }
    let ends = source.zip(destination).zip(via);
    fields.finish(ends.map(|((source, destination), via)| Ends { source, via, destination }))
}

// === to the wire ===

pub(crate) fn maintenance_name(id: MaintenanceId) -> String {
    format!("maintenances/{id}")
}

pub(crate) fn maintenance(window: &Maintenance) -> v1::Maintenance {
    v1::Maintenance {
        name: maintenance_name(window.id),
        resource: window.resource.to_string(),
        start_time: Some(reply::time(window.over.start())),
        end_time: Some(reply::time(window.over.end())),
        left_ppm: i32::try_from(window.left_ppm).unwrap_or(i32::MAX),
        comment: window.comment.clone(),
    }
}

pub(crate) fn victims(losses: &Losses, machine: &Machine) -> Vec<v1::Victim> {
    let victim = |victim: &Victim| v1::Victim {
        reservation: reply::name_in(machine, victim.reservation),
        session: victim.session.map(reply::session_name).unwrap_or_default(),
        lane: victim.lane.to_string(),
        lost_time: Some(reply::time(victim.lost)),
        end_time: Some(reply::time(victim.end)),
    };
    losses.victims.iter().map(victim).collect()
}

pub(crate) fn moves(losses: &Losses, machine: &Machine) -> Vec<v1::Move> {
    let moved = |moved: &Move| v1::Move {
        reservation: reply::name_in(machine, moved.reservation),
        session: moved.session.map(reply::session_name).unwrap_or_default(),
        from_time: Some(reply::time(moved.from)),
        end_time: Some(reply::time(moved.end)),
        old_end_time: Some(reply::time(moved.old_end)),
    };
    losses.moves.iter().map(moved).collect()
}

pub(crate) fn drained(drained: &Drained, machine: &Machine) -> v1::DrainResourceResponse {
    v1::DrainResourceResponse {
        lanes: lanes(&drained.lanes),
        reservations: drained.reservations.iter().map(|id| reply::name_in(machine, *id)).collect(),
        reservation_count: reply::int(drained.count),
        empty_time: drained.empty.map(reply::time),
    }
}

pub(crate) fn lanes(lanes: &[LaneName]) -> Vec<String> {
    lanes.iter().map(ToString::to_string).collect()
}

pub(crate) fn lane_change(change: &LaneChange) -> v1::LaneChange {
    let kind = match (change.before, change.after) {
        (None, _) => v1::lane_change::Kind::Added,
        (Some(_), None) => v1::lane_change::Kind::Removed,
        (before, after) if before == after => v1::lane_change::Kind::Reshaped,
        (Some(_), Some(_)) => v1::lane_change::Kind::Resized,
    };
    v1::LaneChange {
        kind: kind.into(),
        lane: change.lane.to_string(),
        old_bps: reply::int(change.before.unwrap_or(0)),
        new_bps: reply::int(change.after.unwrap_or(0)),
    }
}

/// A lane over a time, with what is used of it now.
pub(crate) fn lane(name: &LaneName, lane: &Lane, over: Interval, used: u64) -> v1::Lane {
    v1::Lane {
        name: name.to_string(),
        nominal_bps: reply::int(lane.def.as_ref().map_or(0, |def| def.nominal)),
        capacity_bps: reply::int(lane.capacity()),
        booked_bps: reply::int(lane.timeline.peak(over)),
        used_bps: reply::int(used),
        drained: lane.is_drained(),
        left_bps: reply::int(lane.capacity().saturating_sub(lane.cuts().peak(over))),
    }
}

/// How bytes get onto a path.
pub(crate) fn steer(steer: &Steer) -> v1::Steer {
    let how = match &steer.how {
        How::Mark(mark) => v1::steer::How::Mark(v1::Mark {
            kind: topology::mark_kind(mark.kind()).into(),
            value: mark.value().to_owned(),
        }),
        How::Controller(name) => v1::steer::How::Controller(name.to_string()),
    };
    v1::Steer { from: steer.from.to_string(), to: steer.to.to_string(), how: Some(how) }
}

pub(crate) fn path(path: &Path) -> v1::ResolvedPath {
    let lanes = path.needs.iter().map(|need| v1::ResolvedLane {
        lane: need.lane.to_string(),
        times: i32::try_from(need.times).unwrap_or(i32::MAX),
        overhead_ppm: i32::try_from(need.overhead_ppm).unwrap_or(i32::MAX),
    });
    v1::ResolvedPath {
        via: reply::hosts(&path.via),
        path: path.path.map(i32::from),
        steers: path.steers.iter().map(steer).collect(),
        lanes: lanes.collect(),
    }
}

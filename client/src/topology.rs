//! What the broker says about itself and its lanes, in checked types.

use std::time::Duration;

use tidegate_policy::{BitRate, Timestamp};
use tidegate_proto::v1;

use crate::error::ClientError;
use crate::operator::Losses;
use crate::wire;

/// One capacity over time: a resource in one direction, or `total` where both share a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Such as `hosts/compute-1/nics/eth0/ingress` or `storage/swift/read`.
    pub name: String,
    /// What it carries by declaration.
    pub nominal: BitRate,
    /// What can be booked on it: nominal less what is reserved.
    pub capacity: BitRate,
    /// The most that is booked at one instant of the interval.
    pub booked: BitRate,
    /// What sessions last reported to move across it, in payload.
    pub used: BitRate,
    /// It is drained: it takes nothing new.
    pub drained: bool,
    /// The least that maintenance leaves of its capacity at one instant of the interval.
    pub left: BitRate,
}

/// What an apply changed, or would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The version of the topology that stands now.
    pub version: u64,
    /// The differences, lane by lane.
    pub changes: Vec<LaneChange>,
    /// Who loses what was promised.
    pub losses: Losses,
}

/// One lane that came, went or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneChange {
    /// What happened to it.
    pub kind: ChangeKind,
    /// The lane.
    pub lane: String,
    /// What it could carry before.
    pub old: BitRate,
    /// What it can carry now.
    pub new: BitRate,
}

/// What happened to a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It can carry another rate than before.
    Resized,
    /// What it books for a rate, or how paths use it, has changed.
    Reshaped,
    /// Something that this client does not know, by its number.
    Unknown(i32),
}

/// What runs at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// The version of the broker, such as `0.1.0`.
    pub version: String,
    /// The versions of the API that it speaks.
    pub api_versions: Vec<String>,
    /// The broker's now.
    pub now: Timestamp,
    /// When its process began to serve.
    pub started: Timestamp,
    /// Where promises are kept: `redb` or `memory`.
    pub journal: String,
    /// The last batch of the journal that is durable.
    pub journal_sequence: u64,
    /// The version of the topology.
    pub topology_version: u64,
    /// Lanes that can be booked.
    pub lanes: u64,
    /// Reservations held or confirmed.
    pub live_reservations: u64,
    /// Sessions that are open.
    pub open_sessions: u64,
    /// How often a session is to send a beat.
    pub beat_every: Duration,
    /// How long a beat keeps everything as it is.
    pub lease: Duration,
    /// How long after the lease each grant may still send.
    pub grace: Duration,
    /// How long nothing may move under a grant whose session reports what it moves, before the
    /// grant is taken back.
    pub no_show_grace: Duration,
    /// Plans that were moved to make room since it started.
    pub moved: u64,
    /// Reservations that were taken back since it started because nothing moved under them.
    pub no_shows: u64,
    /// Those of them under which bytes were reported later.
    pub false_no_shows: u64,
    /// Reservations that were closed for a higher priority since it started.
    pub preempted: u64,
    /// Requests since it started for which no room was looked for among plans that may move,
    /// because that had taken its share of the time.
    pub room_not_sought: u64,
}

fn count(field: &'static str, number: i64) -> Result<u64, ClientError> {
    u64::try_from(number).map_err(|_| ClientError::bad(field, "it is negative"))
}

impl Lane {
    pub(crate) fn from_wire(wire: v1::Lane) -> Result<Self, ClientError> {
        Ok(Self {
            name: wire.name,
            nominal: wire::lane_rate("nominal_bps", wire.nominal_bps)?,
            capacity: wire::lane_rate("capacity_bps", wire.capacity_bps)?,
            booked: wire::lane_rate("booked_bps", wire.booked_bps)?,
            used: wire::lane_rate("used_bps", wire.used_bps)?,
            drained: wire.drained,
            left: wire::lane_rate("left_bps", wire.left_bps)?,
        })
    }
}

impl Applied {
    pub(crate) fn from_wire(wire: v1::ApplyTopologyResponse) -> Result<Self, ClientError> {
        let changes = wire.changes.into_iter().map(LaneChange::from_wire);
        Ok(Self {
            version: count("version", wire.version)?,
            changes: changes.collect::<Result<_, _>>()?,
            losses: Losses::from_wire(
                (wire.victims, wire.victim_count),
                (wire.moves, wire.move_count),
            )?,
        })
    }
}

impl LaneChange {
    fn from_wire(wire: v1::LaneChange) -> Result<Self, ClientError> {
        use v1::lane_change::Kind;
        let kind = match Kind::try_from(wire.kind) {
            Ok(Kind::Added) => ChangeKind::Added,
            Ok(Kind::Removed) => ChangeKind::Removed,
            Ok(Kind::Resized) => ChangeKind::Resized,
            Ok(Kind::Reshaped) => ChangeKind::Reshaped,
            Ok(Kind::Unspecified) | Err(_) => ChangeKind::Unknown(wire.kind),
        };
        Ok(Self {
            kind,
            lane: wire.lane,
            old: wire::lane_rate("old_bps", wire.old_bps)?,
            new: wire::lane_rate("new_bps", wire.new_bps)?,
        })
    }
}

impl ServerInfo {
    pub(crate) fn from_wire(wire: v1::ServerInfo) -> Result<Self, ClientError> {
        Ok(Self {
            now: wire::instant_required("now", wire.now)?,
            started: wire::instant_required("start_time", wire.start_time)?,
            journal_sequence: count("journal_sequence", wire.journal_sequence)?,
            topology_version: count("topology_version", wire.topology_version)?,
            lanes: count("lane_count", wire.lane_count)?,
            live_reservations: count("live_reservation_count", wire.live_reservation_count)?,
            open_sessions: count("open_session_count", wire.open_session_count)?,
            beat_every: wire::length("beat_every", wire.beat_every)?,
            lease: wire::length("lease", wire.lease)?,
            grace: wire::length("grace", wire.grace)?,
            no_show_grace: wire::length("no_show_grace", wire.no_show_grace)?,
            moved: count("moved_count", wire.moved_count)?,
            no_shows: count("no_show_count", wire.no_show_count)?,
            false_no_shows: count("false_no_show_count", wire.false_no_show_count)?,
            preempted: count("preempted_count", wire.preempted_count)?,
            room_not_sought: count("room_not_sought_count", wire.room_not_sought_count)?,
            version: wire.version,
            api_versions: wire.api_versions,
            journal: wire.journal,
        })
    }
}

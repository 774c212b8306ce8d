//! What operators do to the network over time: drains, maintenance, and who loses by it.

use tidegate_policy::{Endpoint, Interval, MaintenanceId, Name, Resource, SessionId, Timestamp};
use tidegate_proto::v1;
use v1::topology_service_client::TopologyServiceClient;

use crate::connect::{Client, Page};
use crate::error::ClientError;
use crate::reservation::{ReservationName, relays};
use crate::steer::Steer;
use crate::topology::Applied;
use crate::wire;

/// A reservation that does not fit any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    /// Which.
    pub reservation: ReservationName,
    /// The session that it is bound to.
    pub session: Option<SessionId>,
    /// The lane on which it does not fit.
    pub lane: String,
    /// When it is over: now, or when the capacity is gone.
    pub lost: Timestamp,
    /// When it was to end.
    pub end: Timestamp,
}

/// The reservations that do not fit any more, and those that make that fewer.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Losses {
    /// The first of them, at most 1000.
    pub victims: Vec<Victim>,
    /// How many there are in all.
    pub count: u64,
    /// The first of those whose promises are kept by other plans, at most 1000.
    pub moves: Vec<Move>,
    /// How many of them there are in all.
    pub move_count: u64,
}

/// A reservation whose promise is kept by another plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Which.
    pub reservation: ReservationName,
    /// The session that it is bound to.
    pub session: Option<SessionId>,
    /// From when on its plan is another.
    pub from: Timestamp,
    /// When that ends.
    pub end: Timestamp,
    /// When it was to end before.
    pub old_end: Timestamp,
}

/// How a change is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Care {
    /// Says what would happen, and changes nothing.
    pub validate_only: bool,
    /// Takes capacity away even where it is promised.
    pub accept_losses: bool,
}

/// What is drained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drained {
    /// The lanes that take nothing new.
    pub lanes: Vec<String>,
    /// The reservations that are still on them, at most 1000.
    pub reservations: Vec<ReservationName>,
    /// How many there are in all.
    pub count: u64,
    /// When the last of them ends.
    pub empty: Option<Timestamp>,
}

/// A time in which a resource can carry less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// Which.
    pub id: MaintenanceId,
    /// Of what.
    pub resource: Resource,
    /// When.
    pub interval: Interval,
    /// What is left meanwhile, in parts per million.
    pub left_ppm: u32,
    /// Why.
    pub comment: String,
}

/// A request for a maintenance window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenanceAsk {
    /// Of what.
    pub resource: Resource,
    /// The first instant; `None` means now.
    pub start: Option<Timestamp>,
    /// The first instant past it.
    pub end: Timestamp,
    /// What is left meanwhile, in parts per million: 0 (nothing) to 999999.
    pub left_ppm: u32,
    /// Why, in at most 200 characters.
    pub comment: String,
}

/// One path between two endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedPath {
    /// The relays on the way.
    pub via: Vec<Name>,
    /// Which of the paths that steering allows; `None` where there is no choice.
    pub path: Option<u32>,
    /// How bytes get onto it.
    pub steers: Vec<Steer>,
    /// Its lanes, in order.
    pub lanes: Vec<ResolvedLane>,
}

/// A lane of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedLane {
    /// Its name.
    pub lane: String,
    /// How often the path crosses it.
    pub times: u32,
    /// Headers on top of the payload, in parts per million of it.
    pub overhead_ppm: u32,
}

impl Client {
    /// Replaces the whole topology. Asked with care, it says what would change and who would lose
    /// by it.
    pub async fn apply_topology_with(
        &self,
        topology: v1::Topology,
        care: Care,
    ) -> Result<Applied, ClientError> {
        let request = v1::ApplyTopologyRequest {
            topology: Some(topology),
            request_id: wire::new_request_id().to_string(),
            validate_only: care.validate_only,
            accept_losses: care.accept_losses,
        };
        let send = |channel, request| async move {
            TopologyServiceClient::new(channel).apply_topology(request).await
        };
        Applied::from_wire(self.call(request, send).await?.message)
    }

    /// Takes a resource out of use for everything new; what is booked on it stays. Repeated:
    /// unchanged.
    pub async fn drain(
        &self,
        resource: &Resource,
        validate_only: bool,
    ) -> Result<Drained, ClientError> {
        let request = v1::DrainResourceRequest {
            resource: resource.to_string(),
            request_id: wire::new_request_id().to_string(),
            validate_only,
        };
        let send = |channel, request| async move {
            TopologyServiceClient::new(channel).drain_resource(request).await
        };
        Drained::from_wire(self.call(request, send).await?.message)
    }

    /// Puts a drained resource back into use; says which lanes take new bookings again.
    pub async fn undrain(
        &self,
        resource: &Resource,
        validate_only: bool,
    ) -> Result<Vec<String>, ClientError> {
        let request = v1::UndrainResourceRequest {
            resource: resource.to_string(),
            request_id: wire::new_request_id().to_string(),
            validate_only,
        };
        let send = |channel, request| async move {
            TopologyServiceClient::new(channel).undrain_resource(request).await
        };
        Ok(self.call(request, send).await?.message.lanes)
    }

    /// Takes capacity away for a time; says who loses by it.
    pub async fn create_maintenance(
        &self,
        ask: &MaintenanceAsk,
        care: Care,
    ) -> Result<(Maintenance, Losses), ClientError> {
        let request = v1::CreateMaintenanceRequest {
            maintenance: Some(v1::Maintenance {
                name: String::new(),
                resource: ask.resource.to_string(),
                start_time: ask.start.map(wire::to_timestamp),
                end_time: Some(wire::to_timestamp(ask.end)),
                left_ppm: i32::try_from(ask.left_ppm).unwrap_or(i32::MAX),
                comment: ask.comment.clone(),
            }),
            request_id: wire::new_request_id().to_string(),
            validate_only: care.validate_only,
            accept_losses: care.accept_losses,
        };
        let send = |channel, request| async move {
            TopologyServiceClient::new(channel).create_maintenance(request).await
        };
        let made = self.call(request, send).await?.message;
        let window =
            made.maintenance.ok_or_else(|| ClientError::bad("maintenance", "it is missing"));
        Ok((
            Maintenance::from_wire(window?)?,
            Losses::from_wire((made.victims, made.victim_count), (made.moves, made.move_count))?,
        ))
    }

    /// One page of the maintenance windows that are not over, in the order in which they were
    /// made. `page_size` is 1 to 1000; 0 means 100.
    pub async fn list_maintenances(
        &self,
        page_size: u16,
        page_token: &str,
    ) -> Result<Page<Maintenance>, ClientError> {
        let request = v1::ListMaintenancesRequest {
            page_size: i32::from(page_size),
            page_token: page_token.to_owned(),
        };
        let send = |channel, request| async move {
            TopologyServiceClient::new(channel).list_maintenances(request).await
        };
        let page = self.call(request, send).await?.message;
        let items = page.maintenances.into_iter().map(Maintenance::from_wire);
        Ok(Page { items: items.collect::<Result<_, _>>()?, next_page_token: page.next_page_token })
    }

    /// Calls a maintenance window off, or ends it. Repeated: unchanged.
    pub async fn delete_maintenance(
        &self,
        id: MaintenanceId,
        validate_only: bool,
    ) -> Result<Maintenance, ClientError> {
        let request = v1::DeleteMaintenanceRequest {
            name: format!("maintenances/{id}"),
            request_id: wire::new_request_id().to_string(),
            validate_only,
        };
        let send = |channel, request| async move {
            TopologyServiceClient::new(channel).delete_maintenance(request).await
        };
        Maintenance::from_wire(self.call(request, send).await?.message)
    }

    /// Every path that a request between two endpoints could take, best first.
    pub async fn resolve_path(
        &self,
        source: &Endpoint,
        via: &[Name],
        destination: &Endpoint,
    ) -> Result<Vec<ResolvedPath>, ClientError> {
        let request = v1::ResolvePathRequest {
            source: source.to_string(),
            destination: destination.to_string(),
            via: via.iter().map(|host| format!("hosts/{host}")).collect(),
        };
        let send = |channel, request| async move {
            TopologyServiceClient::new(channel).resolve_path(request).await
        };
        let paths = self.call(request, send).await?.message.paths;
        paths.into_iter().map(ResolvedPath::from_wire).collect()
    }
}

impl ResolvedPath {
    fn from_wire(wire: v1::ResolvedPath) -> Result<Self, ClientError> {
        let lane = |lane: v1::ResolvedLane| {
            Ok(ResolvedLane {
                lane: lane.lane,
                times: wire::index("lanes.times", lane.times)?,
                overhead_ppm: wire::index("lanes.overhead_ppm", lane.overhead_ppm)?,
            })
        };
        Ok(Self {
            via: relays(&wire.via)?,
            path: wire.path.map(|path| wire::index("paths.path", path)).transpose()?,
            steers: wire.steers.into_iter().map(Steer::from_wire).collect::<Result<_, _>>()?,
            lanes: wire.lanes.into_iter().map(lane).collect::<Result<_, ClientError>>()?,
        })
    }
}

impl Losses {
    pub(crate) fn from_wire(
        (victims, count): (Vec<v1::Victim>, i64),
        (moves, move_count): (Vec<v1::Move>, i64),
    ) -> Result<Self, ClientError> {
        let victims = victims.into_iter().map(|victim| {
            let reservation = victim.reservation.parse();
            Ok(Victim {
                reservation: reservation.map_err(ClientError::unparsed("reservation"))?,
                session: wire::session("session", &victim.session)?,
                lane: victim.lane,
                lost: wire::instant_required("lost_time", victim.lost_time)?,
                end: wire::instant_required("end_time", victim.end_time)?,
            })
        });
        let moves = moves.into_iter().map(|moved| {
            let reservation = moved.reservation.parse();
            Ok(Move {
                reservation: reservation.map_err(ClientError::unparsed("reservation"))?,
                session: wire::session("session", &moved.session)?,
                from: wire::instant_required("from_time", moved.from_time)?,
                end: wire::instant_required("end_time", moved.end_time)?,
                old_end: wire::instant_required("old_end_time", moved.old_end_time)?,
            })
        });
        let counted = |field: &'static str, count: i64| {
            u64::try_from(count).map_err(|_| ClientError::bad(field, "it is negative"))
        };
        Ok(Self {
            victims: victims.collect::<Result<_, ClientError>>()?,
            count: counted("victim_count", count)?,
            moves: moves.collect::<Result<_, ClientError>>()?,
            move_count: counted("move_count", move_count)?,
        })
    }
}

impl Drained {
    fn from_wire(wire: v1::DrainResourceResponse) -> Result<Self, ClientError> {
        let names = wire.reservations.iter().map(|name| name.parse::<ReservationName>());
        let count = u64::try_from(wire.reservation_count);
        Ok(Self {
            lanes: wire.lanes,
            reservations: names
                .collect::<Result<_, _>>()
                .map_err(ClientError::unparsed("reservations"))?,
            count: count.map_err(|_| ClientError::bad("reservation_count", "it is negative"))?,
            empty: wire
                .empty_time
                .map(|time| wire::instant_required("empty_time", Some(time)))
                .transpose()?,
        })
    }
}

impl Maintenance {
    fn from_wire(wire: v1::Maintenance) -> Result<Self, ClientError> {
        let start = wire::instant_required("start_time", wire.start_time)?;
        let end = wire::instant_required("end_time", wire.end_time)?;
        let interval = Interval::new(start, end);
        let id = wire.name.strip_prefix("maintenances/").unwrap_or_default().parse();
        let left_ppm = u32::try_from(wire.left_ppm);
        Ok(Self {
            id: id.map_err(ClientError::unparsed("name"))?,
            resource: wire.resource.parse().map_err(ClientError::unparsed("resource"))?,
            interval: interval
                .ok_or_else(|| ClientError::bad("end_time", "it is not after the start"))?,
            left_ppm: left_ppm.map_err(|_| ClientError::bad("left_ppm", "it is negative"))?,
            comment: wire.comment,
        })
    }
}

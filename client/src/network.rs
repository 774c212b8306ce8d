//! What operators ask of the network: drains, maintenance windows, paths, changes with losses.

use tidegate_policy::{Endpoint, MaintenanceId, Name, Resource, SessionId, Timestamp};
use tidegate_proto::v1;
use v1::topology_service_client::TopologyServiceClient;

use crate::connect::Client;
use crate::error::ClientError;
use crate::reservation::{ReservationName, relays};
use crate::steer::Steer;
use crate::topology::Applied;
use crate::wire;

/// How far a change of capacity may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Consent {
    /// Answers what would change and who would lose by it, and changes nothing.
    pub validate_only: bool,
    /// Takes capacity away even where it is promised: the reservations that do not fit any more
    /// are closed, the newest first.
    pub accept_losses: bool,
}

/// Who loses by a change.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Losses {
    /// The reservations, at most 1000 of them.
    pub victims: Vec<Victim>,
    /// How many there are in all.
    pub count: u64,
}

/// A reservation that does not fit any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    /// Which one.
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

/// What is drained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drained {
    /// The lanes that take nothing new now.
    pub lanes: Vec<String>,
    /// The reservations that are still on them, at most 1000.
    pub reservations: Vec<ReservationName>,
    /// How many there are in all.
    pub count: u64,
    /// When the last of them ends; `None` if there is none.
    pub empty: Option<Timestamp>,
}

/// A time in which a resource is to carry less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenancePlan {
    /// What.
    pub resource: Resource,
    /// The first instant; `None` means now.
    pub start: Option<Timestamp>,
    /// The first instant past it.
    pub end: Timestamp,
    /// What is left of the capacity meanwhile, in parts per million: 0 (nothing) to 999999.
    pub left_ppm: u32,
    /// Why, in at most 200 characters.
    pub comment: String,
}

/// A maintenance window as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// Its id.
    pub id: MaintenanceId,
    /// What.
    pub resource: Resource,
    /// The first instant.
    pub start: Timestamp,
    /// The first instant past it.
    pub end: Timestamp,
    /// What is left of the capacity meanwhile, in parts per million.
    pub left_ppm: u32,
    /// Why.
    pub comment: String,
}

/// A way between two endpoints.
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

/// A lane of a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedLane {
    /// Its name.
    pub lane: String,
    /// How often the way crosses it.
    pub times: u32,
    /// Headers on top of the payload, in parts per million of it.
    pub overhead_ppm: u32,
}

/// The network.
///
/// # Errors
/// Those of every call: a [`ClientError`] that says what happened, why, and what to do next; and
/// [`ClientError::LanesInUse`] where a change would take away what is promised and that was not
/// accepted.
impl Client {
    /// Replaces the whole topology, as far as `consent` goes.
    pub async fn change_topology(
        &self,
        topology: v1::Topology,
        consent: Consent,
    ) -> Result<(Applied, Losses), ClientError> {
        let request = v1::ApplyTopologyRequest {
            topology: Some(topology),
            request_id: wire::new_request_id().to_string(),
            validate_only: consent.validate_only,
            accept_losses: consent.accept_losses,
        };
        let send = |channel, request| async move {
            TopologyServiceClient::new(channel).apply_topology(request).await
        };
        let mut message = self.call(request, send).await?.message;
        let losses = Losses::from_wire(std::mem::take(&mut message.victims), message.victim_count)?;
        Ok((Applied::from_wire(message)?, losses))
    }

    /// Takes a resource out of use for everything new; what is booked on it stays.
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

    /// Puts a drained resource back into use: the lanes that take new bookings again.
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

    /// Takes capacity away for a time, as far as `consent` goes.
    pub async fn create_maintenance(
        &self,
        plan: &MaintenancePlan,
        consent: Consent,
    ) -> Result<(Maintenance, Losses), ClientError> {
        let request = v1::CreateMaintenanceRequest {
            maintenance: Some(plan.to_wire()),
            request_id: wire::new_request_id().to_string(),
            validate_only: consent.validate_only,
            accept_losses: consent.accept_losses,
        };
        let send = |channel, request| async move {
            TopologyServiceClient::new(channel).create_maintenance(request).await
        };
        let message = self.call(request, send).await?.message;
        let made = message.maintenance.unwrap_or_default();
        let losses = Losses::from_wire(message.victims, message.victim_count)?;
        Ok((Maintenance::from_wire(made)?, losses))
    }

    /// All maintenance windows that are not over, in the order in which they were made.
    pub async fn list_maintenances(&self) -> Result<Vec<Maintenance>, ClientError> {
        let mut found: Vec<Maintenance> = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListMaintenancesRequest { page_size: 1000, page_token };
            let send = |channel, request| async move {
                TopologyServiceClient::new(channel).list_maintenances(request).await
            };
            let page = self.call(request, send).await?.message;
            // A page that brings nothing and promises more would keep this loop alive forever.
            if page.maintenances.is_empty() && !page.next_page_token.is_empty() {
                return Err(ClientError::bad("next_page_token", "it follows an empty page"));
            }
            for one in page.maintenances {
                found.push(Maintenance::from_wire(one)?);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(found);
            }
        }
    }

    /// Calls a maintenance window off, or ends it. Repeated: unchanged.
    pub async fn delete_maintenance(
        &self,
        id: MaintenanceId,
        validate_only: bool,
    ) -> Result<Maintenance, ClientError> {
        let request = v1::DeleteMaintenanceRequest {
            name: format!("{MAINTENANCES}{id}"),
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

/// What the name of a maintenance window begins with.
const MAINTENANCES: &str = "maintenances/";

impl Losses {
    fn from_wire(victims: Vec<v1::Victim>, count: i64) -> Result<Self, ClientError> {
        let victims = victims.into_iter().map(Victim::from_wire);
        Ok(Self {
            victims: victims.collect::<Result<_, _>>()?,
            count: wire::count("victim_count", count)?,
        })
    }
}

impl Victim {
    fn from_wire(wire: v1::Victim) -> Result<Self, ClientError> {
        let reservation = wire.reservation.parse();
        Ok(Self {
            reservation: reservation.map_err(ClientError::unparsed("victims.reservation"))?,
            session: wire::session("victims.session", &wire.session)?,
            lane: wire.lane,
            lost: wire::instant_required("victims.lost_time", wire.lost_time)?,
            end: wire::instant_required("victims.end_time", wire.end_time)?,
        })
    }
}

impl Drained {
    fn from_wire(wire: v1::DrainResourceResponse) -> Result<Self, ClientError> {
        let name = |name: String| name.parse().map_err(ClientError::unparsed("reservations"));
        Ok(Self {
            lanes: wire.lanes,
            reservations: wire.reservations.into_iter().map(name).collect::<Result<_, _>>()?,
            count: wire::count("reservation_count", wire.reservation_count)?,
            empty: wire::instant("empty_time", wire.empty_time)?,
        })
    }
}

impl MaintenancePlan {
    fn to_wire(&self) -> v1::Maintenance {
        v1::Maintenance {
            name: String::new(),
            resource: self.resource.to_string(),
            start_time: self.start.map(wire::to_timestamp),
            end_time: Some(wire::to_timestamp(self.end)),
            left_ppm: i32::try_from(self.left_ppm).unwrap_or(i32::MAX),
            comment: self.comment.clone(),
        }
    }
}

impl Maintenance {
    fn from_wire(wire: v1::Maintenance) -> Result<Self, ClientError> {
        let id = wire.name.strip_prefix(MAINTENANCES).unwrap_or_default();
        Ok(Self {
            id: id.parse().map_err(ClientError::unparsed("maintenance.name"))?,
            resource: wire.resource.parse().map_err(ClientError::unparsed("resource"))?,
            start: wire::instant_required("maintenance.start_time", wire.start_time)?,
            end: wire::instant_required("maintenance.end_time", wire.end_time)?,
            left_ppm: wire::index("maintenance.left_ppm", wire.left_ppm)?,
            comment: wire.comment,
        })
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

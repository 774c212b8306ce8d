//! `TopologyService`.

use tidegate_core::{Answer, Fault};
use tidegate_proto::v1;
use tidegate_proto::v1::topology_service_server::TopologyService;
use tonic::{Request, Response, Status};

use super::Rpc;
use crate::convert::{Checked, network, observed, reply, request, topology};
use crate::deadline;
use crate::reports::fact::Fact;
use crate::status::Failure;

impl Rpc {
    /// Carries out what an operator asks of the network, or an administrator of the policy.
    pub(super) async fn operate<M>(
        &self,
        request: Request<M>,
        check: fn(&M) -> Checked<request::Mutation>,
    ) -> Result<Answer, Status> {
        let deadline = deadline::of(&request);
        let mutation = check(request.get_ref()).map_err(Failure::from)?;
        Ok(self.queue.mutate(mutation, deadline).await?.answer)
    }
}

#[tonic::async_trait]
impl TopologyService for Rpc {
    async fn apply_topology(
        &self,
        request: Request<v1::ApplyTopologyRequest>,
    ) -> Result<Response<v1::ApplyTopologyResponse>, Status> {
        match self.operate(request, network::apply_topology).await? {
            Answer::Topology { version, changes, losses } => {
                Ok(Response::new(v1::ApplyTopologyResponse {
                    version: reply::int(version),
                    changes: changes.iter().map(network::lane_change).collect(),
                    victims: network::victims(&losses, &self.view.read().machine),
                    victim_count: reply::int(losses.count),
                    moves: network::moves(&losses, &self.view.read().machine),
                    move_count: reply::int(losses.move_count),
                }))
            }
            _ => Err(Failure::Stopped.into()),
        }
    }

    async fn export_topology(
        &self,
        _: Request<v1::ExportTopologyRequest>,
    ) -> Result<Response<v1::Topology>, Status> {
        let published = self.view.read();
        let machine = &published.machine;
        let version = machine.topology_version();
        Ok(Response::new(topology::to_wire(&machine.topology().spec, version)))
    }

    async fn list_resources(
        &self,
        request: Request<v1::ListResourcesRequest>,
    ) -> Result<Response<v1::ListResourcesResponse>, Status> {
        let published = self.view.read();
        let list = network::list_resources(request.get_ref(), self.clock.now());
        let list = list.map_err(Failure::from)?;
        let machine = &published.machine;
        let used = machine.used_rates();
        let mut rest = machine.lanes(list.page.after.as_ref());
        let shown: Vec<_> = rest.by_ref().take(list.page.size).collect();
        let more = rest.next().is_some();
        let last = shown.last().filter(|_| more).map(|(name, _)| format!("lanes/{name}"));
        let lanes = shown.iter().map(|(name, lane)| {
            network::lane(name, lane, list.over, used.get(name).copied().unwrap_or(0))
        });
        let lanes = lanes.collect();
        let next_page_token = last.unwrap_or_default();
        Ok(Response::new(v1::ListResourcesResponse { lanes, next_page_token }))
    }

    async fn resolve_path(
        &self,
        request: Request<v1::ResolvePathRequest>,
    ) -> Result<Response<v1::ResolvePathResponse>, Status> {
        let ends = network::resolve_path(request.get_ref()).map_err(Failure::from)?;
        let published = self.view.read();
        let paths = published.machine.topology().paths(&ends.source, &ends.via, &ends.destination);
        let paths = paths.map_err(|fault| Failure::from(Fault::from(fault)))?;
        let paths = paths.iter().map(network::path).collect();
        Ok(Response::new(v1::ResolvePathResponse { paths }))
    }

    async fn drain_resource(
        &self,
        request: Request<v1::DrainResourceRequest>,
    ) -> Result<Response<v1::DrainResourceResponse>, Status> {
        match self.operate(request, network::drain).await? {
            Answer::Drained(drained) => {
                Ok(Response::new(network::drained(&drained, &self.view.read().machine)))
            }
            _ => Err(Failure::Stopped.into()),
        }
    }

    async fn undrain_resource(
        &self,
        request: Request<v1::UndrainResourceRequest>,
    ) -> Result<Response<v1::UndrainResourceResponse>, Status> {
        match self.operate(request, network::undrain).await? {
            Answer::Undrained(lanes) => {
                let lanes = network::lanes(&lanes);
                Ok(Response::new(v1::UndrainResourceResponse { lanes }))
            }
            _ => Err(Failure::Stopped.into()),
        }
    }

    async fn create_maintenance(
        &self,
        request: Request<v1::CreateMaintenanceRequest>,
    ) -> Result<Response<v1::CreateMaintenanceResponse>, Status> {
        match self.operate(request, network::create_maintenance).await? {
            Answer::Maintenance { maintenance, losses } => {
                Ok(Response::new(v1::CreateMaintenanceResponse {
                    maintenance: Some(network::maintenance(&maintenance)),
                    victims: network::victims(&losses, &self.view.read().machine),
                    victim_count: reply::int(losses.count),
                    moves: network::moves(&losses, &self.view.read().machine),
                    move_count: reply::int(losses.move_count),
                }))
            }
            _ => Err(Failure::Stopped.into()),
        }
    }

    async fn list_maintenances(
        &self,
        request: Request<v1::ListMaintenancesRequest>,
    ) -> Result<Response<v1::ListMaintenancesResponse>, Status> {
        let page = network::list_maintenances(request.get_ref()).map_err(Failure::from)?;
        let published = self.view.read();
        let mut rest = published.machine.maintenances(page.after);
        let shown: Vec<_> = rest.by_ref().take(page.size).collect();
        let more = rest.next().is_some();
        let last = shown.last().filter(|_| more).map(|last| network::maintenance_name(last.id));
        let maintenances = shown.into_iter().map(network::maintenance).collect();
        let next_page_token = last.unwrap_or_default();
        Ok(Response::new(v1::ListMaintenancesResponse { maintenances, next_page_token }))
    }

    async fn delete_maintenance(
        &self,
        request: Request<v1::DeleteMaintenanceRequest>,
    ) -> Result<Response<v1::Maintenance>, Status> {
        match self.operate(request, network::delete_maintenance).await? {
            Answer::Maintenance { maintenance, .. } => {
                Ok(Response::new(network::maintenance(&maintenance)))
            }
            _ => Err(Failure::Stopped.into()),
        }
    }

    async fn report_observations(
        &self,
        request: Request<v1::ReportObservationsRequest>,
    ) -> Result<Response<v1::ReportObservationsResponse>, Status> {
        let now = self.clock.now();
        let observed = observed::observed(request.get_ref(), now).map_err(Failure::from)?;
        for measured in &observed.measured {
            if self.view.read().machine.lane_named(&measured.lane).is_none() {
                let what = measured.lane.to_string();
                return Err(Failure::from(Fault::NotFound { what }).into());
            }
        }
        let observation_count = reply::count(observed.measured.len());
        if !self.reports.tell(Fact::Observed(observed.into())) {
            return Err(Failure::Shed.into());
        }
        Ok(Response::new(v1::ReportObservationsResponse { observation_count }))
    }
}

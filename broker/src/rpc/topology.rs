//! `TopologyService`.

use tidegate_core::Answer;
use tidegate_proto::v1;
use tidegate_proto::v1::topology_service_server::TopologyService;
use tonic::{Request, Response, Status};

use super::Rpc;
use crate::convert::{reply, request, topology};
use crate::deadline;
use crate::status::Failure;

#[tonic::async_trait]
impl TopologyService for Rpc {
    async fn apply_topology(
        &self,
        request: Request<v1::ApplyTopologyRequest>,
    ) -> Result<Response<v1::ApplyTopologyResponse>, Status> {
        let deadline = deadline::of(&request);
        let mutation = request::apply_topology(request.get_ref()).map_err(Failure::from)?;
        match self.queue.mutate(mutation, deadline).await?.answer {
            Answer::Topology { version, changes } => {
                let changes = changes.iter().map(reply::lane_change).collect();
                let version = reply::int(version);
                Ok(Response::new(v1::ApplyTopologyResponse {
                    version,
                    changes,
                    ..Default::default()
                }))
            }
            Answer::Reservation(_) | Answer::Refusal(_) | Answer::Batch(_) | Answer::Session(_) => {
                Err(Failure::Stopped.into())
            }
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
        let list = request::list_resources(request.get_ref(), self.clock.now());
        let list = list.map_err(Failure::from)?;
        let machine = &published.machine;
        let used = machine.used_rates();
        let mut rest = machine.lanes(list.page.after.as_ref());
        let shown: Vec<_> = rest.by_ref().take(list.page.size).collect();
        let more = rest.next().is_some();
        let last = shown.last().filter(|_| more).map(|(name, _)| format!("lanes/{name}"));
        let lanes = shown.iter().map(|(name, lane)| {
            let booked = lane.timeline.peak(list.over);
            reply::lane(name, lane, booked, used.get(name).copied().unwrap_or(0))
        });
        let lanes = lanes.collect();
        let next_page_token = last.unwrap_or_default();
        Ok(Response::new(v1::ListResourcesResponse { lanes, next_page_token }))
    }
}

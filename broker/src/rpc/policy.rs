//! `PolicyService`.

use tidegate_core::{Answer, Fault};
use tidegate_policy::ProjectId;
use tidegate_proto::v1;
use tidegate_proto::v1::policy_service_server::PolicyService;
use tonic::{Request, Response, Status};

use super::Rpc;
use crate::convert::policy;
use crate::status::Failure;

/// What is said of a project that there is not.
fn missing(id: &ProjectId) -> Status {
    Failure::from(Fault::NotFound { what: policy::name(id) }).into()
}

#[tonic::async_trait]
impl PolicyService for Rpc {
    async fn apply_policy(
        &self,
        request: Request<v1::ApplyPolicyRequest>,
    ) -> Result<Response<v1::ApplyPolicyResponse>, Status> {
        match self.operate(request, policy::apply_policy).await? {
            Answer::Policy { version, changes, overuses } => {
                Ok(Response::new(v1::ApplyPolicyResponse {
                    etag: version.to_string(),
                    changes: changes.iter().map(policy::change).collect(),
                    overuses: overuses.iter().map(policy::overuse).collect(),
                }))
            }
            _ => Err(Failure::Stopped.into()),
        }
    }

    async fn get_project(
        &self,
        request: Request<v1::GetProjectRequest>,
    ) -> Result<Response<v1::Project>, Status> {
        let id = policy::get_project(request.get_ref()).map_err(Failure::from)?;
        let published = self.view.read();
        let machine = &published.machine;
        let found = machine.projects().get(&id).ok_or_else(|| missing(&id))?;
        Ok(Response::new(policy::standing(found, machine)))
    }

    async fn list_projects(
        &self,
        request: Request<v1::ListProjectsRequest>,
    ) -> Result<Response<v1::ListProjectsResponse>, Status> {
        let page = policy::list_projects(request.get_ref()).map_err(Failure::from)?;
        let published = self.view.read();
        let machine = &published.machine;
        let mut rest = machine.projects().after(page.after.as_ref());
        let shown: Vec<_> = rest.by_ref().take(page.size).collect();
        let more = rest.next().is_some();
        let last = shown.last().filter(|_| more).map(|last| policy::name(&last.id));
        Ok(Response::new(v1::ListProjectsResponse {
            projects: shown.into_iter().map(|it| policy::standing(it, machine)).collect(),
            next_page_token: last.unwrap_or_default(),
            etag: machine.policy_version().to_string(),
        }))
    }

    async fn get_effective_policy(
        &self,
        request: Request<v1::GetEffectivePolicyRequest>,
    ) -> Result<Response<v1::EffectivePolicy>, Status> {
        let id = policy::effective(request.get_ref()).map_err(Failure::from)?;
        let published = self.view.read();
        let found = policy::effective_policy(&published.machine, &id, self.clock.now());
        Ok(Response::new(found.ok_or_else(|| missing(&id))?))
    }
}

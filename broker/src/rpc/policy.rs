//! `PolicyService`.

use std::time::Duration;
use tidegate_core::{Answer, Fault};
use tidegate_proto::v1;
use tidegate_proto::v1::policy_service_server::PolicyService;

use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::Rpc;
use crate::convert::{class, effective, limits, policy, rehearsal, rule};
use crate::deadline;
use crate::status::Failure;

/// Whether it is time to answer: what was rehearsed has to be told yet.
fn is_near(deadline: Instant) -> bool {
    crate::clock::left(deadline) < Duration::from_millis(500)
}

/// What is said of a project or class that there is not.
fn missing(what: String) -> Status {
    Failure::from(Fault::NotFound { what }).into()
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
                    changes: changes.projects.iter().map(policy::change).collect(),
                    overuses: overuses.iter().map(limits::overuse).collect(),
                    class_changes: changes.classes.iter().map(class::change).collect(),
                    rule_changes: changes.rules.iter().map(rule::change).collect(),
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
        let found = machine.projects().get(&id).ok_or_else(|| missing(policy::name(&id)))?;
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

    async fn get_class(
        &self,
        request: Request<v1::GetClassRequest>,
    ) -> Result<Response<v1::Class>, Status> {
        let id = class::get_class(request.get_ref()).map_err(Failure::from)?;
        let published = self.view.read();
        let found = published.machine.classes().get(&id);
        Ok(Response::new(class::to_wire(found.ok_or_else(|| missing(class::name(&id)))?)))
    }

    async fn list_classes(
        &self,
        request: Request<v1::ListClassesRequest>,
    ) -> Result<Response<v1::ListClassesResponse>, Status> {
        let page = class::list_classes(request.get_ref()).map_err(Failure::from)?;
        let published = self.view.read();
        let machine = &published.machine;
        let is_behind = |id| page.after.as_ref().is_none_or(|after| after < id);
        let mut rest = machine.classes().iter().filter(|class| is_behind(&class.id));
        let shown: Vec<_> = rest.by_ref().take(page.size).collect();
        let more = rest.next().is_some();
        let last = shown.last().filter(|_| more).map(|last| class::name(&last.id));
        Ok(Response::new(v1::ListClassesResponse {
            classes: shown.into_iter().map(class::to_wire).collect(),
            next_page_token: last.unwrap_or_default(),
            etag: machine.policy_version().to_string(),
        }))
    }

    async fn get_rule(
        &self,
        request: Request<v1::GetRuleRequest>,
    ) -> Result<Response<v1::Rule>, Status> {
        let id = rule::get_rule(request.get_ref()).map_err(Failure::from)?;
        let published = self.view.read();
        let machine = &published.machine;
        let found = machine.rules().find(|rule| rule.id == id);
        let found = found.ok_or_else(|| missing(rule::name(&id)))?;
        Ok(Response::new(rule::standing(found, machine)))
    }

    async fn list_rules(
        &self,
        request: Request<v1::ListRulesRequest>,
    ) -> Result<Response<v1::ListRulesResponse>, Status> {
        let page = rule::list_rules(request.get_ref()).map_err(Failure::from)?;
        let published = self.view.read();
        let machine = &published.machine;
        let is_behind = |id| page.after.as_ref().is_none_or(|after| after < id);
        let mut rest = machine.rules().filter(|rule| is_behind(&rule.id));
        let shown: Vec<_> = rest.by_ref().take(page.size).collect();
        let more = rest.next().is_some();
        let last = shown.last().filter(|_| more).map(|last| rule::name(&last.id));
        Ok(Response::new(v1::ListRulesResponse {
            rules: shown.into_iter().map(|it| rule::standing(it, machine)).collect(),
            next_page_token: last.unwrap_or_default(),
            etag: machine.policy_version().to_string(),
        }))
    }

    async fn simulate_policy(
        &self,
        request: Request<v1::SimulatePolicyRequest>,
    ) -> Result<Response<v1::SimulatePolicyResponse>, Status> {
        let deadline = deadline::of(&request);
        let (change, last) = rehearsal::simulate(request.get_ref()).map_err(Failure::from)?;
        // Those that wait hold no copy of anything yet.
        let turn = self.rehearsals.clone().acquire_owned();
        let turn = tokio::time::timeout_at(deadline, turn).await.map_err(|_| Failure::Shed)?;
        let permit = turn.map_err(|_| Failure::Stopped)?;
        let (view, history, clock) = (self.view.clone(), self.history.clone(), self.clock.clone());
        let rehearsed = tokio::task::spawn_blocking(move || {
            let (asked, now) = (history.last(last), clock.now());
            // A copy, so that nothing waits for a rehearsal.
            let machine = view.read().machine.clone();
            let told = machine.rehearse(now, (&asked, &change), || !is_near(deadline));
            drop(permit);
            told.map(|told| rehearsal::told(&told, now))
        });
        let told = rehearsed.await.map_err(|_| Failure::Stopped)?;
        Ok(Response::new(told.map_err(|fault| Failure::from(fault.fields_within("change")))?))
    }

    async fn get_effective_policy(
        &self,
        request: Request<v1::GetEffectivePolicyRequest>,
    ) -> Result<Response<v1::EffectivePolicy>, Status> {
        let id = policy::effective(request.get_ref()).map_err(Failure::from)?;
        let published = self.view.read();
        let found = effective::effective_policy(&published.machine, &id, self.clock.now());
        Ok(Response::new(found.ok_or_else(|| missing(policy::name(&id)))?))
    }
}

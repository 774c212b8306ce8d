//! Projects, quotas, classes and rules: who reservations belong to, what they may have, and how firm it is.

use tidegate_policy::{BitRate, Class, ClassId, Project, ProjectId, Quota, Rule, RuleId, Span};
use tidegate_proto::v1;
use tonic::transport::Channel;
use v1::policy_service_client::PolicyServiceClient;

use crate::connect::{Client, Page};
use crate::error::ClientError;
use crate::wire;

pub(crate) mod class;
mod limits;
mod quota;
mod rehearsal;
mod rule;

pub use class::ClassChange;
pub use limits::{Amount, EffectiveLimit, Overuse, QuotaBlocker, Whose};
pub use rehearsal::{Decided, Differing, Rehearsal, Verdict};
pub use rule::{RuleBlocker, RuleChange, RuleInfo};

/// The largest answer, in bytes: what a policy of many projects changed is as long as they are.
const ANSWER_MAX: usize = 64 << 20;

/// A change of the policy: all of it or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PolicyChange {
    /// Projects to put in, or to replace as they are.
    pub put: Vec<Project>,
    /// Projects to delete.
    pub delete: Vec<ProjectId>,
    /// What is put in is all that there is to be; every other project goes, but for `default`.
    pub replace_all: bool,
    /// Classes of service to put in, or to replace as they are.
    pub classes: Vec<Class>,
    /// Classes to delete.
    pub delete_classes: Vec<ClassId>,
    /// The classes that are put in are all that there are to be; every other one goes.
    pub replace_classes: bool,
    /// Admission rules to put in, or to replace as they are.
    pub rules: Vec<Rule>,
    /// Rules to delete.
    pub delete_rules: Vec<RuleId>,
    /// The rules that are put in are all that there are to be; every other one goes.
    pub replace_rules: bool,
    /// The etag that the policy must have; `None` takes any.
    pub etag: Option<String>,
    /// Takes quotas below what is used: nobody loses anything by it, and nothing more is granted
    /// until enough has ended.
    pub ignore_safety_checks: bool,
    /// Says what would change, and changes nothing.
    pub validate_only: bool,
}

/// The policy that stands after a change, or would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyApplied {
    /// The etag of it.
    pub etag: String,
    /// The projects that differ, in the order of names.
    pub changes: Vec<ProjectChange>,
    /// The classes that differ, in the order of names.
    pub class_changes: Vec<ClassChange>,
    /// The rules that differ, in the order of names.
    pub rule_changes: Vec<RuleChange>,
    /// The quotas that are below what is used, at most 1000.
    pub overuses: Vec<Overuse>,
}

/// A project that came, went or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectChange {
    /// As it was; `None` if it was not there.
    pub before: Option<Project>,
    /// As it is; `None` if it is gone.
    pub after: Option<Project>,
}

/// A project as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectInfo {
    /// As it was declared.
    pub project: Project,
    /// How many reservations of it, and of those below it, are held or confirmed.
    pub live: u64,
}

/// What binds a project now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectivePolicy {
    /// The project and those above it, from itself upwards.
    pub lineage: Vec<ProjectId>,
    /// Every limit along its lineage, by kind and then from the project upwards.
    pub limits: Vec<EffectiveLimit>,
    /// The classes of service that it may use.
    pub classes: Vec<ClassId>,
    /// Who borrows from whom now in its tree.
    pub loans: Vec<Loan>,
}

/// Rates that are borrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loan {
    /// Who has them.
    pub borrower: ProjectId,
    /// Whose they are: a project beside it, or one above it whose pool they are of.
    pub lender: ProjectId,
    /// How much payload.
    pub amount: BitRate,
}

impl Client {
    /// Changes projects, quotas and classes.
    ///
    /// # Errors
    /// [`ClientError::Stale`] if the policy has another etag, [`ClientError::ProjectInUse`] and
    /// [`ClientError::ClassInUse`] if one that is to go has live reservations,
    /// [`ClientError::QuotasInUse`] if a quota would be below
    /// what is used.
    pub async fn apply_policy(&self, change: &PolicyChange) -> Result<PolicyApplied, ClientError> {
        let request = change_to_wire(change);
        let send = |channel, request| async move { service(channel).apply_policy(request).await };
        let applied = self.call(request, send).await?.message;
        let changes = applied.changes.into_iter().map(ProjectChange::from_wire);
        let classes = applied.class_changes.into_iter().map(ClassChange::from_wire);
        let rules = applied.rule_changes.into_iter().map(RuleChange::from_wire);
        let overuses = applied.overuses.into_iter().map(Overuse::from_wire);
        Ok(PolicyApplied {
            etag: applied.etag,
            changes: changes.collect::<Result<_, _>>()?,
            class_changes: classes.collect::<Result<_, _>>()?,
            rule_changes: rules.collect::<Result<_, _>>()?,
            overuses: overuses.collect::<Result<_, _>>()?,
        })
    }

    /// One project.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] if there is none.
    pub async fn project(&self, id: &ProjectId) -> Result<ProjectInfo, ClientError> {
        let request = v1::GetProjectRequest { name: format!("projects/{id}") };
        let send = |channel, request| async move { service(channel).get_project(request).await };
        ProjectInfo::from_wire(self.call(request, send).await?.message)
    }

    /// One page of the projects, in the order of their names, and the etag of the policy.
    /// `page_size` is 1 to 1000; 0 means 100.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn list_projects(
        &self,
        page_size: u16,
        page_token: &str,
    ) -> Result<(Page<ProjectInfo>, String), ClientError> {
        let request = v1::ListProjectsRequest {
            page_size: i32::from(page_size),
            page_token: page_token.to_owned(),
        };
        let send = |channel, request| async move { service(channel).list_projects(request).await };
        let page = self.call(request, send).await?.message;
        let items = page.projects.into_iter().map(ProjectInfo::from_wire);
        let items = items.collect::<Result<_, _>>()?;
        Ok((Page { items, next_page_token: page.next_page_token }, page.etag))
    }

    /// What binds a project now, and whence.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] if there is none.
    pub async fn effective_policy(&self, id: &ProjectId) -> Result<EffectivePolicy, ClientError> {
        let request = v1::GetEffectivePolicyRequest { name: format!("projects/{id}") };
        let send =
            |channel, request| async move { service(channel).get_effective_policy(request).await };
        let found = self.call(request, send).await?.message;
        let lineage = found.lineage.iter().map(|name| project_id("lineage", name));
        let limits = found.limits.into_iter().map(EffectiveLimit::from_wire);
        let classes = found.classes.iter().map(|name| class::class_id("classes", name));
        let loans = found.loans.into_iter().map(Loan::from_wire);
        Ok(EffectivePolicy {
            lineage: lineage.collect::<Result<_, _>>()?,
            limits: limits.collect::<Result<_, _>>()?,
            classes: classes.collect::<Result<_, _>>()?,
            loans: loans.collect::<Result<_, _>>()?,
        })
    }
}

pub(crate) fn project_id(field: &'static str, name: &str) -> Result<ProjectId, ClientError> {
    let id = name.strip_prefix("projects/");
    let id =
        id.ok_or_else(|| ClientError::bad(field, format!("{name:?} is not projects/PROJECT")))?;
    id.parse().map(ProjectId).map_err(ClientError::unparsed(field))
}

fn change_to_wire(change: &PolicyChange) -> v1::ApplyPolicyRequest {
    v1::ApplyPolicyRequest {
        projects: change.put.iter().map(to_wire).collect(),
        delete: change.delete.iter().map(|id| format!("projects/{id}")).collect(),
        replace_all: change.replace_all,
        etag: change.etag.clone().unwrap_or_default(),
        ignore_safety_checks: change.ignore_safety_checks,
        request_id: wire::new_request_id().to_string(),
        validate_only: change.validate_only,
        classes: change.classes.iter().map(class::to_wire).collect(),
        delete_classes: change.delete_classes.iter().map(class::name).collect(),
        replace_classes: change.replace_classes,
        rules: change.rules.iter().map(rule::to_wire).collect(),
        delete_rules: change.delete_rules.iter().map(rule::name).collect(),
        replace_rules: change.replace_rules,
    }
}

impl Loan {
    fn from_wire(wire: v1::Loan) -> Result<Self, ClientError> {
        Ok(Self {
            borrower: project_id("loans.borrower", &wire.borrower)?,
            lender: project_id("loans.lender", &wire.lender)?,
            amount: wire::rate("loans.amount_bps", wire.amount_bps)?,
        })
    }
}

fn to_wire(project: &Project) -> v1::Project {
    let Project { id, parent, labels, quota } = project;
    v1::Project {
        name: format!("projects/{id}"),
        parent: parent.as_ref().map(|id| format!("projects/{id}")).unwrap_or_default(),
        labels: labels.clone(),
        quota: (*quota != Quota::default()).then(|| quota::to_wire(quota)),
        live_reservation_count: 0,
    }
}

fn span(field: &'static str, span: prost_types::Duration) -> Result<Span, ClientError> {
    let length = wire::length(field, Some(span))?;
    let ms = u64::try_from(length.as_millis()).ok().and_then(Span::from_ms);
    ms.ok_or_else(|| ClientError::bad(field, "it is longer than 400 days"))
}

impl ProjectInfo {
    fn from_wire(wire: v1::Project) -> Result<Self, ClientError> {
        let live = wire::count("live_reservation_count", wire.live_reservation_count)?;
        Ok(Self { project: project(wire)?, live })
    }
}

fn project(wire: v1::Project) -> Result<Project, ClientError> {
    let quota = quota::from_wire(wire.quota.unwrap_or_default())?;
    let parent = match wire.parent.as_str() {
        "" => None,
        parent => Some(project_id("parent", parent)?),
    };
    Ok(Project { id: project_id("name", &wire.name)?, parent, labels: wire.labels, quota })
}

impl ProjectChange {
    fn from_wire(wire: v1::ProjectChange) -> Result<Self, ClientError> {
        let read = |it: Option<v1::Project>| it.map(project).transpose();
        Ok(Self { before: read(wire.before)?, after: read(wire.after)? })
    }
}

fn service(channel: Channel) -> PolicyServiceClient<Channel> {
    PolicyServiceClient::new(channel).max_decoding_message_size(ANSWER_MAX)
}

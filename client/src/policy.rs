//! Projects and quotas: who reservations belong to, and what they may have.

use std::fmt;

use tidegate_policy::{BitRate, Limit, Project, ProjectId, Quota, Span, Timestamp};
use tidegate_proto::v1;
use tonic::transport::Channel;
use v1::amount::Of;
use v1::policy_service_client::PolicyServiceClient;

use crate::connect::{Client, Page};
use crate::error::ClientError;
use crate::wire;

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
    /// What differs, in the order of names.
    pub changes: Vec<ProjectChange>,
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

/// So much of what there is a limit of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Payload.
    Rate(BitRate),
    /// Reservations.
    Count(u64),
    /// A length of time.
    Time(Span),
}

/// A quota that is below what is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overuse {
    /// Whose.
    pub project: ProjectId,
    /// Of what.
    pub what: Limit,
    /// What it allows.
    pub allowed: Amount,
    /// The most that is used at one instant from now on.
    pub used: Amount,
    /// From when on it is kept again, as things stand.
    pub until: Timestamp,
}

/// A limit of a quota that is in the way of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaBlocker {
    /// Whose quota: the project's own, or that of one above it.
    pub project: ProjectId,
    /// Of what.
    pub what: Limit,
    /// What it allows.
    pub allowed: Amount,
    /// What is used of it.
    pub used: Amount,
    /// What the request needs.
    pub asked: Amount,
}

/// A limit that binds a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveLimit {
    /// Of what.
    pub what: Limit,
    /// What it allows.
    pub allowed: Amount,
    /// Whose it is: the project's own, or that of one above it.
    pub project: ProjectId,
    /// What is used of it now; `None` where it is of one reservation.
    pub used: Option<Amount>,
}

/// What binds a project now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectivePolicy {
    /// The project and those above it, from itself upwards.
    pub lineage: Vec<ProjectId>,
    /// Every limit along its lineage, by kind and then from the project upwards.
    pub limits: Vec<EffectiveLimit>,
}

impl Client {
    /// Changes projects and quotas.
    ///
    /// # Errors
    /// [`ClientError::Stale`] if the policy has another etag, [`ClientError::ProjectInUse`] if one
    /// that is to go has live reservations, [`ClientError::QuotasInUse`] if a quota would be below
    /// what is used.
    pub async fn apply_policy(&self, change: &PolicyChange) -> Result<PolicyApplied, ClientError> {
        let request = v1::ApplyPolicyRequest {
            projects: change.put.iter().map(to_wire).collect(),
            delete: change.delete.iter().map(|id| format!("projects/{id}")).collect(),
            replace_all: change.replace_all,
            etag: change.etag.clone().unwrap_or_default(),
            ignore_safety_checks: change.ignore_safety_checks,
            request_id: wire::new_request_id().to_string(),
            validate_only: change.validate_only,
        };
        let send = |channel, request| async move { service(channel).apply_policy(request).await };
        let applied = self.call(request, send).await?.message;
        let changes = applied.changes.into_iter().map(ProjectChange::from_wire);
        let overuses = applied.overuses.into_iter().map(Overuse::from_wire);
        Ok(PolicyApplied {
            etag: applied.etag,
            changes: changes.collect::<Result<_, _>>()?,
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
        Ok(EffectivePolicy {
            lineage: lineage.collect::<Result<_, _>>()?,
            limits: limits.collect::<Result<_, _>>()?,
        })
    }
}

fn project_id(field: &'static str, name: &str) -> Result<ProjectId, ClientError> {
    let id = name.strip_prefix("projects/");
    let id =
        id.ok_or_else(|| ClientError::bad(field, format!("{name:?} is not projects/PROJECT")))?;
    id.parse().map(ProjectId).map_err(ClientError::unparsed(field))
}

fn to_wire(project: &Project) -> v1::Project {
    let Project { id, parent, labels, quota } = project;
    v1::Project {
        name: format!("projects/{id}"),
        parent: parent.as_ref().map(|id| format!("projects/{id}")).unwrap_or_default(),
        labels: labels.clone(),
        quota: Some(v1::Quota {
            rate_bps: quota.rate.map(wire::to_rate),
            reservation_count: quota.reservations.map(i64::from),
            rate_each_bps: quota.rate_each.map(wire::to_rate),
            duration_each: quota.duration_each.map(wire::to_duration),
            horizon: quota.horizon.map(wire::to_duration),
        }),
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
    let quota = wire.quota.unwrap_or_default();
    let count = quota.reservation_count.map(u32::try_from).transpose();
    let quota = Quota {
        rate: quota.rate_bps.map(|bps| wire::rate("quota.rate_bps", bps)).transpose()?,
        reservations: count
            .map_err(|_| ClientError::bad("quota.reservation_count", "it is no count"))?,
        rate_each: quota
            .rate_each_bps
            .map(|bps| wire::rate("quota.rate_each_bps", bps))
            .transpose()?,
        duration_each: quota
            .duration_each
            .map(|length| span("quota.duration_each", length))
            .transpose()?,
        horizon: quota.horizon.map(|length| span("quota.horizon", length)).transpose()?,
    };
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

fn limit(number: i32) -> Result<Limit, ClientError> {
    match v1::Limit::try_from(number) {
        Ok(v1::Limit::Rate) => Ok(Limit::Rate),
        Ok(v1::Limit::Reservations) => Ok(Limit::Reservations),
        Ok(v1::Limit::RateEach) => Ok(Limit::RateEach),
        Ok(v1::Limit::DurationEach) => Ok(Limit::DurationEach),
        Ok(v1::Limit::Horizon) => Ok(Limit::Horizon),
        Ok(v1::Limit::Unspecified) | Err(_) => {
            let why = format!("{number} is a limit that this client does not know");
            Err(ClientError::bad("limit", why))
        }
    }
}

impl Amount {
    fn from_wire(field: &'static str, wire: Option<v1::Amount>) -> Result<Self, ClientError> {
        match wire.and_then(|wire| wire.of) {
            Some(Of::RateBps(bps)) => wire::lane_rate(field, bps).map(Self::Rate),
            Some(Of::ReservationCount(count)) => wire::count(field, count).map(Self::Count),
            Some(Of::Duration(length)) => span(field, length).map(Self::Time),
            None => Err(ClientError::bad(field, "it is missing")),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(rate) => f.pad(&rate.to_string()),
            Self::Count(count) => f.pad(&count.to_string()),
            Self::Time(span) => f.pad(&span.to_string()),
        }
    }
}

impl Overuse {
    fn from_wire(wire: v1::Overuse) -> Result<Self, ClientError> {
        Ok(Self {
            project: project_id("overuses.project", &wire.project)?,
            what: limit(wire.limit)?,
            allowed: Amount::from_wire("overuses.allowed", wire.allowed)?,
            used: Amount::from_wire("overuses.used", wire.used)?,
            until: wire::instant_required("overuses.until_time", wire.until_time)?,
        })
    }
}

impl QuotaBlocker {
    pub(crate) fn from_wire(wire: v1::QuotaBlocker) -> Result<Self, ClientError> {
        Ok(Self {
            project: project_id("quotas.project", &wire.project)?,
            what: limit(wire.limit)?,
            allowed: Amount::from_wire("quotas.allowed", wire.allowed)?,
            used: Amount::from_wire("quotas.used", wire.used)?,
            asked: Amount::from_wire("quotas.asked", wire.asked)?,
        })
    }
}

fn service(channel: Channel) -> PolicyServiceClient<Channel> {
    PolicyServiceClient::new(channel).max_decoding_message_size(ANSWER_MAX)
}

impl EffectiveLimit {
    fn from_wire(wire: v1::EffectiveLimit) -> Result<Self, ClientError> {
        let used = wire.used.map(|used| Amount::from_wire("limits.used", Some(used)));
        Ok(Self {
            what: limit(wire.limit)?,
            allowed: Amount::from_wire("limits.allowed", wire.allowed)?,
            project: project_id("limits.project", &wire.project)?,
            used: used.transpose()?,
        })
    }
}

impl fmt::Display for Overuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { project, what, allowed, used, until } = self;
        write!(f, "projects/{project} has {used} of {allowed} ({what}) until {until}")
    }
}

impl fmt::Display for QuotaBlocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { project, what, allowed, used, asked } = self;
        match what {
            Limit::Rate | Limit::Reservations => write!(
                f,
                "projects/{project} has used {used} of the {allowed} that it may have ({what})"
            ),
            Limit::RateEach | Limit::DurationEach | Limit::Horizon => {
                write!(f, "projects/{project} allows {allowed}, {asked} are asked for ({what})")
            }
        }
    }
}

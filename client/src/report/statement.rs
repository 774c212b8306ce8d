//! What one project was promised, used and wasted, what it was refused, and what is left of its quotas.

use tidegate_policy::{ProjectId, Timestamp};
use tidegate_proto::v1;

use super::{Consumer, Consumption, RefusalGroup, range, service, time};
use crate::connect::Client;
use crate::error::ClientError;
use crate::policy::{EffectiveLimit, project_id};
use crate::wire;

/// Of which project, from when until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementAsk {
    /// The project.
    pub project: ProjectId,
    /// The first instant; `None` means 30 days before the broker's now.
    pub start: Option<Timestamp>,
    /// The first instant past it, at most the broker's now; `None` means now.
    pub end: Option<Timestamp>,
    /// Leaves out the projects below it.
    pub own_only: bool,
}

/// What one project had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The project.
    pub project: ProjectId,
    /// The first instant.
    pub start: Timestamp,
    /// The first instant past it.
    pub end: Timestamp,
    /// What it had in all, projects below it included unless they were left out.
    pub total: Consumption,
    /// What it and each project below it had, in the order of their names.
    pub projects: Vec<Consumer>,
    /// Day by day of UTC, or hour by hour if the range has at most three days.
    pub periods: Vec<StatementPeriod>,
    /// What it was refused, the most first; at most 100.
    pub refusals: Vec<RefusalGroup>,
    /// What limits it now, and how much of that is used.
    pub limits: Vec<EffectiveLimit>,
}

/// What a project had for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementPeriod {
    /// The first instant.
    pub start: Timestamp,
    /// What it had.
    pub consumption: Consumption,
}

impl StatementAsk {
    /// All of a project, with those below it, over the last 30 days.
    #[must_use]
    pub const fn new(project: ProjectId) -> Self {
        Self { project, start: None, end: None, own_only: false }
    }
}

impl Client {
    /// What one project was promised, used and wasted, what it was refused, and what is left of its
    /// quotas.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] if there is no such project, [`ClientError::Invalid`] if the range is
    /// none or ends after now, [`ClientError::BadAnswer`] if its periods are out of order.
    pub async fn usage_statement(&self, ask: &StatementAsk) -> Result<Statement, ClientError> {
        let request = v1::GetUsageStatementRequest {
            name: format!("projects/{}", ask.project),
            start_time: time(ask.start),
            end_time: time(ask.end),
            own_only: ask.own_only,
        };
        let send =
            |channel, request| async move { service(channel).get_usage_statement(request).await };
        Statement::from_wire(self.call(request, send).await?.message)
    }
}

impl Statement {
    fn from_wire(wire: v1::UsageStatement) -> Result<Self, ClientError> {
        let (start, end) = range(wire.start_time, wire.end_time)?;
        let periods = wire.periods.into_iter().map(StatementPeriod::from_wire);
        let periods = periods.collect::<Result<Vec<_>, _>>()?;
        if !periods.is_sorted_by(|one, next| one.start < next.start) {
            return Err(ClientError::bad("periods", "they are not in the order of time"));
        }
        let limits = wire.limits.into_iter().map(EffectiveLimit::from_wire);
        let refusals = wire.refusals.into_iter().map(RefusalGroup::from_wire);
        Ok(Self {
            project: project_id("name", &wire.name)?,
            start,
            end,
            total: Consumption::from_wire(wire.total)?,
            projects: wire
                .projects
                .into_iter()
                .map(Consumer::from_wire)
                .collect::<Result<_, _>>()?,
            periods,
            refusals: refusals.collect::<Result<_, _>>()?,
            limits: limits.collect::<Result<_, _>>()?,
        })
    }
}

impl StatementPeriod {
    fn from_wire(wire: v1::StatementPeriod) -> Result<Self, ClientError> {
        Ok(Self {
            start: wire::instant_required("periods.start_time", wire.start_time)?,
            consumption: Consumption::from_wire(wire.consumption)?,
        })
    }
}

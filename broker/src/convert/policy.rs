//! Projects and quotas, from the wire and back.

use std::collections::BTreeMap;

use tidegate_core::{Command, Machine, Overuse, PolicyAsk, ProjectChange, QuotaBlocker};
use tidegate_policy::project::PROJECTS_MAX;
use tidegate_policy::{BitRate, Limit, Name, Project, ProjectId, Quota, Span, Timestamp};
use tidegate_proto::v1;
use tidegate_proto::v1::amount::Of;

use super::request::{Mutation, Page, mutation, page_size};
use super::{Checked, reply};
use crate::fields::Fields;

pub(crate) fn apply_policy(message: &v1::ApplyPolicyRequest) -> Checked<Mutation> {
    mutation(message, |fields| {
        for (field, count) in
            [("projects", message.projects.len()), ("delete", message.delete.len())]
        {
            if PROJECTS_MAX < count {
                fields.fault(field, format!("there are {count}; name at most {PROJECTS_MAX}"));
                return None;
            }
        }
        let put = each(fields, "projects", &message.projects, |fields, at, it| {
            fields.within(at, |fields| project(fields, it))
        });
        let gone = each(fields, "delete", &message.delete, |fields, at, name| id(fields, at, name));
        let version = etag(fields, &message.etag);
        Some(Command::ApplyPolicy(Box::new(PolicyAsk {
            put: put?,
            gone: gone?,
            whole: message.replace_all,
            version: version?,
            accept_overuse: message.ignore_safety_checks || message.validate_only,
        })))
    })
}

/// Reads every entry of a list, which is named `list[n]`.
fn each<M, T>(
    fields: &mut Fields,
    list: &str,
    entries: &[M],
    read: impl Fn(&mut Fields, &str, &M) -> Option<T>,
) -> Option<Vec<T>> {
    let entries = entries.iter().enumerate();
    let all: Vec<Option<T>> =
        entries.map(|(index, entry)| read(fields, &format!("{list}[{index}]"), entry)).collect();
    all.into_iter().collect()
}

/// A project by its name.
pub(crate) fn id(fields: &mut Fields, field: &str, name: &str) -> Option<ProjectId> {
    fields.named::<Name>(field, "projects", name).map(ProjectId)
}

fn etag(fields: &mut Fields, text: &str) -> Option<Option<u64>> {
    if text.is_empty() {
        return Some(None);
    }
    let version = text.parse().ok().filter(|version: &u64| version.to_string() == text);
    if version.is_none() {
        fields.fault("etag", "it is not one of a policy; read the policy and repeat its etag");
    }
    version.map(Some)
}

/// A project as it is asked for; [`crate::durable`] reads its own in the same way.
pub(crate) fn project(fields: &mut Fields, message: &v1::Project) -> Option<Project> {
    let id = id(fields, "name", &message.name);
    let parent = match message.parent.as_str() {
        "" => Some(None),
        parent => fields.named::<Name>("parent", "projects", parent).map(|it| Some(ProjectId(it))),
    };
    let labels: BTreeMap<String, String> =
        message.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let quota = match &message.quota {
        None => Some(Quota::default()),
        Some(quota) => fields.within("quota", |fields| self::quota(fields, quota)),
    };
    Some(Project { id: id?, parent: parent?, labels, quota: quota? })
}

fn quota(fields: &mut Fields, message: &v1::Quota) -> Option<Quota> {
    let mut rate = |field, bps: Option<i64>| match bps {
        None => Some(None),
        Some(bps) => fields.rate(field, bps).map(Some),
    };
    let (all, each) =
        (rate("rate_bps", message.rate_bps), rate("rate_each_bps", message.rate_each_bps));
    let count = match message.reservation_count {
        None => Some(None),
        Some(count) => match u32::try_from(count) {
            Ok(count) => Some(Some(count)),
            Err(_) => {
                let why = format!("it is {count}; write 0 to {}", u32::MAX);
                fields.fault("reservation_count", why);
                None
            }
        },
    };
    let mut span = |field, span: Option<prost_types::Duration>| match span {
        None => Some(None),
        Some(span) => fields.span(field, span).map(Some),
    };
    let duration = span("duration_each", message.duration_each);
    let horizon = span("horizon", message.horizon);
    Some(Quota {
        rate: all?,
        reservations: count?,
        rate_each: each?,
        duration_each: duration?,
        horizon: horizon?,
    })
}

pub(crate) fn get_project(message: &v1::GetProjectRequest) -> Checked<ProjectId> {
    let mut fields = Fields::default();
    let id = id(&mut fields, "name", &message.name);
    fields.finish(id)
}

pub(crate) fn effective(message: &v1::GetEffectivePolicyRequest) -> Checked<ProjectId> {
    let mut fields = Fields::default();
    let id = id(&mut fields, "name", &message.name);
    fields.finish(id)
}

pub(crate) fn list_projects(message: &v1::ListProjectsRequest) -> Checked<Page<ProjectId>> {
    let mut fields = Fields::default();
    let size = page_size(&mut fields, message.page_size);
    let after = fields.optional::<Name>("page_token", "projects", &message.page_token);
    let after = after.map(ProjectId);
    fields.finish(size.map(|size| Page { size, after }))
}

// === to the wire ===

pub(crate) fn name(id: &ProjectId) -> String {
    format!("projects/{id}")
}

/// A project by itself, without what is counted of it.
pub(crate) fn to_wire(project: &Project) -> v1::Project {
    let Project { id, parent, labels, quota } = project;
    let bps = |rate: Option<BitRate>| rate.map(|rate| reply::int(rate.bps()));
    let set = v1::Quota {
        rate_bps: bps(quota.rate),
        reservation_count: quota.reservations.map(i64::from),
        rate_each_bps: bps(quota.rate_each),
        duration_each: quota.duration_each.map(reply::duration),
        horizon: quota.horizon.map(reply::duration),
    };
    v1::Project {
        name: name(id),
        parent: parent.as_ref().map(name).unwrap_or_default(),
        labels: labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        quota: (*quota != Quota::default()).then_some(set),
        live_reservation_count: 0,
    }
}

/// A project as it stands.
pub(crate) fn standing(project: &Project, machine: &Machine) -> v1::Project {
    let live = u64::try_from(machine.live_of(&project.id)).unwrap_or(u64::MAX);
    v1::Project { live_reservation_count: reply::int(live), ..to_wire(project) }
}

pub(crate) fn change(change: &ProjectChange) -> v1::ProjectChange {
    v1::ProjectChange {
        before: change.before.as_ref().map(to_wire),
        after: change.after.as_ref().map(to_wire),
    }
}

pub(crate) fn overuse(overuse: &Overuse) -> v1::Overuse {
    let Overuse { project, what, limit, used, until } = overuse;
    v1::Overuse {
        project: name(project),
        limit: self::limit(*what).into(),
        allowed: Some(amount(*what, *limit)),
        used: Some(amount(*what, *used)),
        until_time: Some(reply::time(*until)),
    }
}

pub(crate) fn blocker(blocker: &QuotaBlocker) -> v1::QuotaBlocker {
    let QuotaBlocker { project, what, limit, used, asked } = blocker;
    v1::QuotaBlocker {
        project: name(project),
        limit: self::limit(*what).into(),
        allowed: Some(amount(*what, *limit)),
        used: Some(amount(*what, *used)),
        asked: Some(amount(*what, *asked)),
    }
}

fn limit(what: Limit) -> v1::Limit {
    match what {
        Limit::Rate => v1::Limit::Rate,
        Limit::Reservations => v1::Limit::Reservations,
        Limit::RateEach => v1::Limit::RateEach,
        Limit::DurationEach => v1::Limit::DurationEach,
        Limit::Horizon => v1::Limit::Horizon,
    }
}

/// What there is a limit of; `None` for what no broker of this version says.
pub(crate) fn limited(number: i32) -> Option<Limit> {
    match v1::Limit::try_from(number) {
        Ok(v1::Limit::Rate) => Some(Limit::Rate),
        Ok(v1::Limit::Reservations) => Some(Limit::Reservations),
        Ok(v1::Limit::RateEach) => Some(Limit::RateEach),
        Ok(v1::Limit::DurationEach) => Some(Limit::DurationEach),
        Ok(v1::Limit::Horizon) => Some(Limit::Horizon),
        Ok(v1::Limit::Unspecified) | Err(_) => None,
    }
}

fn amount(what: Limit, amount: u64) -> v1::Amount {
    let of = match what {
        Limit::Rate | Limit::RateEach => Of::RateBps(reply::int(amount)),
        Limit::Reservations => Of::ReservationCount(reply::int(amount)),
        Limit::DurationEach | Limit::Horizon => {
            // What was asked for may be longer than anything that can be granted.
            Of::Duration(reply::duration(Span::from_ms(amount).unwrap_or(Span::MAX)))
        }
    };
    v1::Amount { of: Some(of) }
}

/// How much of it there is: what [`amount`] says.
pub(crate) fn so_much(amount: Option<&v1::Amount>) -> Option<u64> {
    match amount?.of.as_ref()? {
        Of::RateBps(number) | Of::ReservationCount(number) => u64::try_from(*number).ok(),
        Of::Duration(span) => {
            let mut fields = Fields::default();
            fields.span("duration", *span).map(Span::as_ms)
        }
    }
}

/// What binds a project at `now`; `None` if there is none.
pub(crate) fn effective_policy(
    machine: &Machine,
    id: &ProjectId,
    now: Timestamp,
) -> Option<v1::EffectivePolicy> {
    let projects = machine.projects();
    projects.get(id)?;
    let instant = tidegate_policy::Interval::new(now, now.plus(Span::from_ms(1)?))?;
    let live = |project: &ProjectId| u64::try_from(machine.live_of(project)).unwrap_or(u64::MAX);
    let booked =
        |project: &ProjectId| machine.peak(&tidegate_core::lane::LaneName::quota(project), instant);
    let set = |what: Limit, quota: &Quota| match what {
        Limit::Rate => quota.rate.map(BitRate::bps),
        Limit::Reservations => quota.reservations.map(u64::from),
        Limit::RateEach => quota.rate_each.map(BitRate::bps),
        Limit::DurationEach => quota.duration_each.map(Span::as_ms),
        Limit::Horizon => quota.horizon.map(Span::as_ms),
    };
    let used = |what: Limit, project: &ProjectId| match what {
        Limit::Rate => Some(booked(project)),
        Limit::Reservations => Some(live(project)),
        Limit::RateEach | Limit::DurationEach | Limit::Horizon => None,
    };
    let kinds =
        [Limit::Rate, Limit::Reservations, Limit::RateEach, Limit::DurationEach, Limit::Horizon];
    let limits = kinds.into_iter().flat_map(|what| {
        projects.lineage(id).filter_map(move |project| {
            Some(v1::EffectiveLimit {
                limit: limit(what).into(),
                allowed: Some(amount(what, set(what, &project.quota)?)),
                project: name(&project.id),
                used: used(what, &project.id).map(|used| amount(what, used)),
            })
        })
    });
    Some(v1::EffectivePolicy {
        name: name(id),
        lineage: projects.lineage(id).map(|project| name(&project.id)).collect(),
        limits: limits.collect(),
    })
}

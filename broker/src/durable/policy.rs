//! The durable form of what administrators decided.

use tidegate_core::{Change, Overuse, ProjectChange};
use tidegate_policy::{Project, ProjectId};
use tidegate_proto::journal::v1 as wire;
use tidegate_proto::v1;

use super::{Unreadable, bad, word};
use crate::convert::policy;
use crate::fields::Fields;

pub(super) fn applied_to_wire(
    version: u64,
    changes: &[ProjectChange],
    overuses: &[Overuse],
) -> wire::PolicyApplied {
    wire::PolicyApplied {
        version,
        changes: changes.iter().map(policy::change).collect(),
        overuses: overuses.iter().map(policy::overuse).collect(),
    }
}

/// The version, what changed and what was told to be over its quota.
pub(super) type Applied = (u64, Vec<ProjectChange>, Vec<Overuse>);

pub(super) fn applied(from: &wire::PolicyApplied) -> Result<Applied, Unreadable> {
    let changes: Result<Vec<_>, Unreadable> = from.changes.iter().map(change).collect();
    let overuses: Result<Vec<_>, Unreadable> = from.overuses.iter().map(overuse).collect();
    Ok((from.version, changes?, overuses?))
}

pub(super) fn policy_applied(from: &wire::PolicyApplied) -> Result<Change, Unreadable> {
    let (version, changes, overuses) = applied(from)?;
    Ok(Change::PolicyApplied { version, changes, overuses })
}

fn change(from: &v1::ProjectChange) -> Result<ProjectChange, Unreadable> {
    let read = |it: &Option<v1::Project>| it.as_ref().map(project).transpose();
    let change = ProjectChange { before: read(&from.before)?, after: read(&from.after)? };
    match change.id() {
        Some(_) => Ok(change),
        None => Err(bad("changes", "nothing came of nothing")),
    }
}

pub(super) fn project(from: &v1::Project) -> Result<Project, Unreadable> {
    let mut fields = Fields::default();
    let read = policy::project(&mut fields, from);
    let faulty = |faults: Vec<tidegate_core::FieldFault>| {
        let first = faults.first().map_or(String::new(), |it| format!("{}: {}", it.field, it.why));
        bad("project", first)
    };
    fields.finish(read).map_err(faulty)
}

fn overuse(from: &v1::Overuse) -> Result<Overuse, Unreadable> {
    let id = from.project.strip_prefix("projects/").unwrap_or(&from.project);
    let amount = |field, it: &Option<v1::Amount>| {
        policy::so_much(it.as_ref()).ok_or_else(|| bad(field, "it is no amount"))
    };
    let mut fields = Fields::default();
    let until = from.until_time.and_then(|time| fields.start("until_time", time));
    Ok(Overuse {
        project: ProjectId(word("project", id)?),
        what: policy::limited(from.limit).ok_or(Unreadable::Unknown)?,
        limit: amount("allowed", &from.allowed)?,
        used: amount("used", &from.used)?,
        until: until.ok_or_else(|| bad("until_time", "it is no instant"))?,
    })
}

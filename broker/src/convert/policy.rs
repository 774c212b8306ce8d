//! Projects, from the wire and back.

use std::collections::BTreeMap;

use tidegate_core::{Changed, Command, Edit, Machine, PolicyAsk};
use tidegate_policy::project::PROJECTS_MAX;
use tidegate_policy::{Name, Part, Project, ProjectId, Quota};
use tidegate_proto::v1;

use super::request::{Mutation, Page, mutation, page_size};
use super::{Checked, class, quota, reply, rule};
use crate::fields::Fields;

pub(crate) fn apply_policy(message: &v1::ApplyPolicyRequest) -> Checked<Mutation> {
    mutation(message, |fields| Some(Command::ApplyPolicy(ask(fields, message)?.into())))
}

/// What is to be changed.
pub(super) fn ask(fields: &mut Fields, message: &v1::ApplyPolicyRequest) -> Option<PolicyAsk> {
    let put = few(fields, "projects", &message.projects, PROJECTS_MAX, |fields, at, it| {
        fields.within(at, |fields| project(fields, it))
    });
    let gone = few(fields, "delete", &message.delete, PROJECTS_MAX, |fields, at, name| {
        id(fields, at, name)
    });
    let classes = class::edit(fields, message);
    let rules = rule::edit(fields, message);
    let version = etag(fields, &message.etag);
    let (put, gone) = (put?, gone?);
    let ((classes, no_classes), (rules, no_rules)) = (classes?, rules?);
    Some(PolicyAsk {
        projects: Edit { put, gone, whole: message.replace_all },
        classes: Edit { put: classes, gone: no_classes, whole: message.replace_classes },
        rules: Edit { put: rules, gone: no_rules, whole: message.replace_rules },
        version: version?,
        accept_overuse: message.ignore_safety_checks || message.validate_only,
    })
}

/// Reads every entry of a list, which is named `list[n]`. One that is too long is one fault.
pub(super) fn few<M, T>(
    fields: &mut Fields,
    list: &str,
    entries: &[M],
    most: usize,
    read: impl Fn(&mut Fields, &str, &M) -> Option<T>,
) -> Option<Vec<T>> {
    if most < entries.len() {
        fields.fault(list, format!("there are {}; name at most {most}", entries.len()));
        return None;
    }
    let entries = entries.iter().enumerate();
    let all: Vec<Option<T>> =
        entries.map(|(index, entry)| read(fields, &format!("{list}[{index}]"), entry)).collect();
    all.into_iter().collect()
}

/// A part of something.
pub(super) fn part(fields: &mut Fields, field: &str, ppm: i32) -> Option<Part> {
    fields.number(field, ppm, Part::ALL.ppm()).and_then(Part::from_ppm)
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
        Some(quota) => fields.within("quota", |fields| quota::quota(fields, quota)),
    };
    Some(Project { id: id?, parent: parent?, labels, quota: quota? })
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
    v1::Project {
        name: name(id),
        parent: parent.as_ref().map(name).unwrap_or_default(),
        labels: labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        quota: (*quota != Quota::default()).then(|| quota::to_wire(quota)),
        live_reservation_count: 0,
    }
}

/// A project as it stands.
pub(crate) fn standing(project: &Project, machine: &Machine) -> v1::Project {
    let live = u64::try_from(machine.live_of(&project.id)).unwrap_or(u64::MAX);
    v1::Project { live_reservation_count: reply::int(live), ..to_wire(project) }
}

pub(crate) fn change(change: &Changed<Project>) -> v1::ProjectChange {
    v1::ProjectChange {
        before: change.before.as_ref().map(to_wire),
        after: change.after.as_ref().map(to_wire),
    }
}

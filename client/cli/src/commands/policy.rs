//! Projects and quotas: what stands, what binds, and what a change comes to.

use std::path::Path;

use tidegate_client::connect::Client;
use tidegate_client::error::ClientError;
use tidegate_client::policy::{PolicyApplied, PolicyChange, ProjectInfo};
use tidegate_client::policy_file;
use tidegate_policy::{Name, Project, ProjectId};

use super::Desk;
use super::batch::text;
use crate::arguments::{Cut, SetProject};
use crate::exit::{Exit, Mistake};
use crate::output::{Sheet, hint, print, say};
use crate::things::policy::{Binding, applied_words, overuse_words};

/// How often the policy is read anew, because it changed while it was read.
const READS_MAX: u32 = 10;

/// Every project, and the etag of the policy.
async fn all(client: &Client) -> anyhow::Result<(Vec<ProjectInfo>, String)> {
    for _ in 0..READS_MAX {
        if let Some(read) = all_at_once(client).await? {
            return Ok(read);
        }
    }
    anyhow::bail!("the policy changed during each of {READS_MAX} tries to read it; try again later")
}

/// Every project, or `None` if the policy was changed between two pages.
async fn all_at_once(client: &Client) -> Result<Option<(Vec<ProjectInfo>, String)>, ClientError> {
    let (first, etag) = client.list_projects(1000, "").await?;
    let (mut found, mut token) = (first.items, first.next_page_token);
    while !token.is_empty() {
        let (page, seen) = client.list_projects(1000, &token).await?;
        if seen != etag {
            return Ok(None);
        }
        found.extend(page.items);
        // A page that asks for itself would keep this loop alive forever.
        let asked = std::mem::replace(&mut token, page.next_page_token);
        if asked == token {
            break;
        }
    }
    Ok(Some((found, etag)))
}

pub(super) async fn ls(desk: &Desk) -> anyhow::Result<Exit> {
    let sheet: Sheet<ProjectInfo> = desk.printer.sheet()?;
    let (found, _) = all(&desk.client).await?;
    sheet.list(&found)?;
    Ok(Exit::Done)
}

pub(super) async fn show(desk: &Desk, project: Name) -> anyhow::Result<Exit> {
    let sheet: Sheet<Binding> = desk.printer.sheet()?;
    let found = desk.client.effective_policy(&ProjectId(project)).await?;
    let limits: Vec<Binding> = found.limits.into_iter().map(Binding).collect();
    if limits.is_empty() && desk.printer.for_people() {
        let lineage: Vec<String> = found.lineage.iter().map(ToString::to_string).collect();
        say(&format!("nothing limits {}", lineage.join(" in ")));
        return Ok(Exit::Done);
    }
    sheet.list(&limits)?;
    Ok(Exit::Done)
}

pub(super) async fn set(desk: &Desk, typed: SetProject) -> anyhow::Result<Exit> {
    let (found, etag) = all(&desk.client).await?;
    let id = ProjectId(typed.project.clone());
    let known = found.into_iter().map(|it| it.project).find(|project| project.id == id);
    let care = typed.care;
    let project = changed(known.unwrap_or(Project::new(id)), typed);
    let change = PolicyChange { put: vec![project], etag: Some(etag), ..PolicyChange::default() };
    carry_out(desk, change, care).await
}

/// A project with what was typed of it.
fn changed(mut project: Project, typed: SetProject) -> Project {
    if let Some(parent) = typed.parent {
        project.parent = parent.limit().map(ProjectId);
    }
    let quota = &mut project.quota;
    quota.rate = typed.rate.map_or(quota.rate, |it| it.limit());
    quota.reservations = typed.reservations.map_or(quota.reservations, |it| it.limit());
    quota.rate_each = typed.rate_each.map_or(quota.rate_each, |it| it.limit());
    quota.duration_each = typed.duration_each.map_or(quota.duration_each, |it| it.limit());
    quota.horizon = typed.horizon.map_or(quota.horizon, |it| it.limit());
    for (key, value) in typed.labels {
        match value.as_str() {
            "" => project.labels.remove(&key),
            _ => project.labels.insert(key, value),
        };
    }
    project
}

pub(super) async fn rm(desk: &Desk, project: Name, dry_run: bool) -> anyhow::Result<Exit> {
    let delete = vec![ProjectId(project)];
    let change = PolicyChange { delete, ..PolicyChange::default() };
    carry_out(desk, change, Cut { dry_run, ignore_safety_checks: false }).await
}

pub(super) async fn apply(desk: &Desk, file: &Path, care: Cut) -> anyhow::Result<Exit> {
    let read = policy_file::read(&text(file)?);
    let put = read.map_err(|error| {
        Mistake::new(format!("{}: {error}", file.display())).hint("nothing was changed")
    })?;
    let change = PolicyChange { put, replace_all: true, ..PolicyChange::default() };
    carry_out(desk, change, care).await
}

pub(super) async fn export(desk: &Desk) -> anyhow::Result<Exit> {
    let (found, _) = all(&desk.client).await?;
    let projects: Vec<Project> = found.into_iter().map(|it| it.project).collect();
    print(policy_file::write(&projects).trim_end())?;
    Ok(Exit::Done)
}

async fn carry_out(desk: &Desk, change: PolicyChange, care: Cut) -> anyhow::Result<Exit> {
    let sheet: Sheet<PolicyApplied> = desk.printer.sheet()?;
    let change = PolicyChange {
        validate_only: care.dry_run,
        ignore_safety_checks: care.ignore_safety_checks,
        ..change
    };
    match desk.client.apply_policy(&change).await {
        Ok(applied) => {
            sheet.one_as(&applied, |style| applied_words(&applied, care.dry_run, style))?;
            // A rehearsal of what would not be carried out ends as that would.
            if applied.overuses.is_empty() || care.ignore_safety_checks {
                return Ok(Exit::Done);
            }
            hint("--ignore-safety-checks cuts them all the same; else nothing is changed");
            Ok(Exit::Conflict)
        }
        Err(error @ ClientError::QuotasInUse { .. }) => {
            let look = PolicyChange { validate_only: true, ..change };
            let applied = desk.client.apply_policy(&look).await?;
            if desk.printer.for_people() {
                say(&overuse_words(&applied.overuses));
            }
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}

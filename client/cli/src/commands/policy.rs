//! Projects, quotas and classes: what stands, what binds, and what a change comes to.

use std::path::Path;

use tidegate_client::connect::Client;
use tidegate_client::error::ClientError;
use tidegate_client::policy::{PolicyApplied, PolicyChange, ProjectInfo, Rehearsal, RuleInfo};
use tidegate_client::policy_file::{self, PolicyFile};
use tidegate_policy::{
    Budget, Class, Effect, Part, Project, ProjectId, Quota, Rule, Selector, Share,
};

use super::Desk;
use super::batch::text;
use crate::arguments::{
    Cut, Delete, Describe, Get, Limited, Set, SetClass, SetProject, SetRule, Spent,
};
use crate::exit::{Exit, Mistake};
use crate::output::{Sheet, hint, print, say};
use crate::things::policy::{Binding, Described, applied_words, overuse_words};
use crate::things::rehearsal_words;

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

/// Every class, and the etag of the policy.
async fn all_classes(client: &Client) -> Result<(Vec<Class>, String), ClientError> {
    // There are fewer of them than a page has room for.
    let (page, etag) = client.list_classes(1000, "").await?;
    Ok((page.items, etag))
}

/// Every rule, and the etag of the policy.
async fn all_rules(client: &Client) -> Result<(Vec<RuleInfo>, String), ClientError> {
    // No more of them than a page has room for.
    let (page, etag) = client.list_rules(1000, "").await?;
    Ok((page.items, etag))
}

pub(super) async fn get(desk: &Desk, typed: Get) -> anyhow::Result<Exit> {
    match typed {
        Get::Project { project: None } => {
            let sheet: Sheet<ProjectInfo> = desk.printer.sheet()?;
            sheet.list(&all(&desk.client).await?.0)?;
        }
        Get::Project { project: Some(project) } => {
            let sheet: Sheet<ProjectInfo> = desk.printer.sheet()?;
            sheet.one(&desk.client.project(&project).await?)?;
        }
        Get::Quota { project: None } => quotas(desk).await?,
        Get::Quota { project: Some(project) } => quota(desk, &project).await?,
        Get::Class { class: None } => {
            let sheet: Sheet<Class> = desk.printer.sheet()?;
            sheet.list(&all_classes(&desk.client).await?.0)?;
        }
        Get::Class { class: Some(class) } => {
            let sheet: Sheet<Class> = desk.printer.sheet()?;
            sheet.one(&desk.client.class(&class).await?)?;
        }
        Get::Rule { rule: None } => {
            let sheet: Sheet<RuleInfo> = desk.printer.sheet()?;
            sheet.list(&all_rules(&desk.client).await?.0)?;
        }
        Get::Rule { rule: Some(rule) } => {
            let sheet: Sheet<RuleInfo> = desk.printer.sheet()?;
            sheet.one(&desk.client.rule(&rule).await?)?;
        }
    }
    Ok(Exit::Done)
}

/// What binds a project.
async fn quota(desk: &Desk, project: &ProjectId) -> anyhow::Result<()> {
    let sheet: Sheet<Binding> = desk.printer.sheet()?;
    let found = desk.client.effective_policy(project).await?;
    let limits: Vec<Binding> = found.limits.into_iter().map(Binding).collect();
    if desk.printer.for_people() { bound(&sheet, &limits, project) } else { sheet.list(&limits) }
}

/// What binds a project, for people.
fn bound(sheet: &Sheet<Binding>, limits: &[Binding], project: &ProjectId) -> anyhow::Result<()> {
    if limits.is_empty() {
        say(&format!("nothing limits {project}"));
        return Ok(());
    }
    sheet.list(limits)
}

/// What is set of each project itself.
async fn quotas(desk: &Desk) -> anyhow::Result<()> {
    let sheet: Sheet<Binding> = desk.printer.sheet()?;
    let mut limits = Vec::new();
    let (found, _) = all(&desk.client).await?;
    for info in found.iter().filter(|it| it.project.quota != Quota::default()) {
        let id = &info.project.id;
        match desk.client.effective_policy(id).await {
            Ok(policy) => {
                limits
                    .extend(policy.limits.into_iter().filter(|it| it.project == *id).map(Binding));
            }
            // It was deleted meanwhile.
            Err(ClientError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    sheet.list(&limits)
}

pub(super) async fn describe(desk: &Desk, typed: Describe) -> anyhow::Result<Exit> {
    match typed {
        Describe::Project { project } => {
            let sheet: Sheet<Described> = desk.printer.sheet()?;
            let info = desk.client.project(&project).await?;
            let policy = desk.client.effective_policy(&project).await?;
            let limits: Vec<Binding> = policy.limits.iter().cloned().map(Binding).collect();
            sheet.one(&Described { info, policy })?;
            if desk.printer.for_people() && !desk.printer.is_choosy() {
                print("")?;
                bound(&desk.printer.sheet_of_all(), &limits, &project)?;
            }
        }
        Describe::Class { class } => {
            let sheet: Sheet<Class> = desk.printer.sheet()?;
            sheet.one(&desk.client.class(&class).await?)?;
        }
        Describe::Rule { rule } => {
            let sheet: Sheet<RuleInfo> = desk.printer.sheet()?;
            sheet.one(&desk.client.rule(&rule).await?)?;
        }
    }
    Ok(Exit::Done)
}

pub(super) async fn set(desk: &Desk, typed: Set) -> anyhow::Result<Exit> {
    match typed {
        Set::Project(typed) => {
            let (found, etag) = all(&desk.client).await?;
            let id = &typed.project;
            let known = found.into_iter().map(|it| it.project).find(|project| project.id == *id);
            let (care, project) = (typed.care, known.unwrap_or_else(|| Project::new(id.clone())));
            let put = vec![changed(project, *typed)];
            let change = PolicyChange { put, etag: Some(etag), ..PolicyChange::default() };
            carry_out(desk, change, care).await
        }
        Set::Class(typed) => {
            let (found, etag) = all_classes(&desk.client).await?;
            let id = &typed.class;
            let known = found.into_iter().find(|class| class.id == *id);
            let (care, class) = (typed.care, known.unwrap_or_else(|| Class::new(id.clone())));
            let classes = vec![changed_class(class, *typed)];
            let change = PolicyChange { classes, etag: Some(etag), ..PolicyChange::default() };
            carry_out(desk, change, care).await
        }
        Set::Rule(typed) => {
            let care = Cut { dry_run: typed.dry_run, ignore_safety_checks: false };
            let rules = vec![ruled(*typed)?];
            carry_out(desk, PolicyChange { rules, ..PolicyChange::default() }, care).await
        }
    }
}

/// A rule as it was typed.
fn ruled(typed: SetRule) -> anyhow::Result<Rule> {
    let SetRule { rule: id, when, deny, cap, class, priority, shadow, comment, .. } = typed;
    let deny = deny.map(|message| Effect::Deny { message });
    let cap = cap.map(|rate| Effect::Cap { rate });
    let then = deny.or(cap).or(class.map(Effect::Class)).or(priority.map(Effect::Priority));
    let then =
        then.ok_or_else(|| Mistake::new("say what it does: --deny, --cap, --class or --priority"))?;
    Ok(Rule { id, when, then, shadow, comment })
}

/// A project with what was typed of it.
fn changed(mut project: Project, typed: SetProject) -> Project {
    if let Some(parent) = typed.parent {
        project.parent = parent.limit().map(ProjectId);
    }
    let quota = &mut project.quota;
    change(&mut quota.rate, typed.rate);
    change(&mut quota.reservations, typed.reservations);
    change(&mut quota.rate_each, typed.rate_each);
    change(&mut quota.duration_each, typed.duration_each);
    change(&mut quota.horizon, typed.horizon);
    change(&mut quota.principals, typed.principals);
    change(&mut quota.lend, typed.lend);
    change(&mut quota.borrow, typed.borrow);
    change(&mut quota.pool, typed.pool);
    change(&mut quota.each.rate, typed.principal_rate);
    change(&mut quota.each.reservations, typed.principal_reservations);
    let shares = |shares: &mut Vec<Share>, typed: Vec<(Selector, Limited<Part>)>| {
        for (of, part) in typed {
            let part = part.limit().map(|part| Share { of: of.clone(), part });
            put(shares, part, |it| it.of == of);
        }
    };
    shares(&mut quota.shares, typed.shares);
    shares(&mut quota.each.shares, typed.principal_shares);
    let budgets = |budgets: &mut Vec<Budget>, typed: Vec<Spent>| {
        for Spent { budget, unlimited } in typed {
            put(budgets, (!unlimited).then_some(budget), |it| it.period == budget.period);
        }
    };
    budgets(&mut quota.budgets, typed.budgets);
    budgets(&mut quota.each.budgets, typed.principal_budgets);
    for (hours, rate) in typed.weekly {
        put(&mut quota.weekly, rate.limit().map(|rate| (hours, rate)), |it| it.0 == hours);
    }
    for (over, rate) in typed.overrides {
        put(&mut quota.overrides, rate.limit().map(|rate| (over, rate)), |it| it.0 == over);
    }
    quota.zone = typed.time_zone.unwrap_or_else(|| quota.zone.clone());
    for (key, value) in typed.labels {
        match value.as_str() {
            "" => project.labels.remove(&key),
            _ => project.labels.insert(key, value),
        };
    }
    project
}

/// A limit as it is typed, if it is.
fn change<T>(limit: &mut Option<T>, typed: Option<Limited<T>>) {
    if let Some(typed) = typed {
        *limit = typed.limit();
    }
}

/// Puts something in the place of what is of the same, or takes that away.
fn put<T>(list: &mut Vec<T>, new: Option<T>, same: impl Fn(&T) -> bool) {
    match (list.iter().position(same), new) {
        (Some(at), Some(new)) => list[at] = new,
        (Some(at), None) => {
            list.remove(at);
        }
        (None, new) => list.extend(new),
    }
}

/// A class with what was typed of it.
fn changed_class(mut class: Class, typed: SetClass) -> Class {
    class.ratio = typed.ratio.unwrap_or(class.ratio);
    class.weight = typed.weight.unwrap_or(class.weight);
    class.priority = typed.priority.unwrap_or(class.priority);
    class.preemptible = typed.preemptible.unwrap_or(class.preemptible);
    change(&mut class.lane_share, typed.lane_share);
    change(&mut class.headroom, typed.headroom);
    change(&mut class.no_show_grace, typed.no_show_grace);
    change(&mut class.hold_for, typed.hold);
    if !typed.projects.is_empty() {
        let projects = typed.projects.into_iter().filter_map(Limited::limit);
        class.projects = projects.map(ProjectId).collect();
    }
    if !typed.tiers.is_empty() {
        class.tiers = typed.tiers.into_iter().filter_map(Limited::limit).collect();
    }
    class
}

pub(super) async fn delete(desk: &Desk, typed: Delete) -> anyhow::Result<Exit> {
    let (change, dry_run) = match typed {
        Delete::Project { project, dry_run } => {
            (PolicyChange { delete: vec![project], ..PolicyChange::default() }, dry_run)
        }
        Delete::Class { class, dry_run } => {
            (PolicyChange { delete_classes: vec![class], ..PolicyChange::default() }, dry_run)
        }
        Delete::Rule { rule, dry_run } => {
            (PolicyChange { delete_rules: vec![rule], ..PolicyChange::default() }, dry_run)
        }
    };
    carry_out(desk, change, Cut { dry_run, ignore_safety_checks: false }).await
}

pub(super) async fn apply(desk: &Desk, file: &Path, care: Cut) -> anyhow::Result<Exit> {
    carry_out(desk, written(file)?, care).await
}

/// What a file would change, and what it would have decided otherwise.
pub(super) async fn rehearse(desk: &Desk, file: &Path, last: u16) -> anyhow::Result<Exit> {
    let (sheet, change): (Sheet<Rehearsal>, _) = (desk.printer.sheet()?, written(file)?);
    if desk.printer.for_people() {
        let care = Cut { dry_run: true, ignore_safety_checks: true };
        carry_out(desk, change.clone(), care).await?;
    }
    let told = desk.client.simulate_policy(&change, last).await?;
    sheet.one_as(&told, |_| rehearsal_words(&told))?;
    Ok(Exit::Done)
}

/// The whole policy that a file says.
fn written(file: &Path) -> anyhow::Result<PolicyChange> {
    let read = policy_file::read(&text(file)?);
    let PolicyFile { projects, classes, rules } = read.map_err(|error| {
        Mistake::new(format!("{}: {error}", file.display())).hint("nothing was changed")
    })?;
    Ok(PolicyChange {
        put: projects,
        replace_all: true,
        replace_classes: classes.is_some(),
        classes: classes.unwrap_or_default(),
        replace_rules: rules.is_some(),
        rules: rules.unwrap_or_default(),
        ..PolicyChange::default()
    })
}

pub(super) async fn export(desk: &Desk) -> anyhow::Result<Exit> {
    let (found, etag) = all(&desk.client).await?;
    let (classes, seen) = all_classes(&desk.client).await?;
    if etag != seen {
        anyhow::bail!("the policy changed while it was read; try again");
    }
    let (rules, last) = all_rules(&desk.client).await?;
    if etag != last {
        anyhow::bail!("the policy changed while it was read; try again");
    }
    let projects: Vec<Project> = found.into_iter().map(|it| it.project).collect();
    let rules: Vec<Rule> = rules.into_iter().map(|it| it.rule).collect();
    let rules = Some(rules).filter(|rules| !rules.is_empty());
    let file = PolicyFile { projects, classes: Some(classes), rules };
    print(policy_file::write(&file).trim_end())?;
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

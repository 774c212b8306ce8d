//! The durable form of what administrators decided.

use tidegate_core::lane::LaneName;
use tidegate_core::{Change, Changed, Overuse, PolicyChanges, Whose};
use tidegate_policy::{Class, Classes, Interval, Period, Project, ProjectId, Rule};
use tidegate_proto::journal::v1 as wire;
use tidegate_proto::v1;

use super::{Unreadable, bad, instant, word};
use crate::convert::{class, limits, policy, quota, rule};
use crate::fields::Fields;

pub(super) fn applied_to_wire(
    version: u64,
    changes: &PolicyChanges,
    overuses: &[Overuse],
) -> wire::PolicyApplied {
    wire::PolicyApplied {
        version,
        changes: changes.projects.iter().map(policy::change).collect(),
        overuses: overuses.iter().map(limits::overuse).collect(),
        class_changes: changes.classes.iter().map(class::change).collect(),
        rule_changes: changes.rules.iter().map(rule::change).collect(),
    }
}

/// The version, what changed and what was told to be over its quota.
pub(super) type Applied = (u64, PolicyChanges, Vec<Overuse>);

pub(super) fn applied(from: &wire::PolicyApplied) -> Result<Applied, Unreadable> {
    let projects = from.changes.iter().map(|it| changed((&it.before, &it.after), project));
    let classes = from.class_changes.iter().map(|it| changed((&it.before, &it.after), class));
    let rules = from.rule_changes.iter().map(|it| changed((&it.before, &it.after), rule));
    let changes = PolicyChanges {
        projects: projects.collect::<Result<_, Unreadable>>()?,
        classes: classes.collect::<Result<_, Unreadable>>()?,
        rules: rules.collect::<Result<_, Unreadable>>()?,
    };
    let overuses: Result<Vec<_>, Unreadable> = from.overuses.iter().map(overuse).collect();
    Ok((from.version, changes, overuses?))
}

pub(super) fn policy_applied(from: &wire::PolicyApplied) -> Result<Change, Unreadable> {
    let (version, changes, overuses) = applied(from)?;
    Ok(Change::PolicyApplied { version, changes, overuses })
}

fn changed<M, T>(
    (before, after): (&Option<M>, &Option<M>),
    read: impl Fn(&M) -> Result<T, Unreadable>,
) -> Result<Changed<T>, Unreadable> {
    let read = |it: &Option<M>| it.as_ref().map(&read).transpose();
    let change = Changed { before: read(before)?, after: read(after)? };
    match change.latest() {
        Some(_) => Ok(change),
        None => Err(bad("changes", "nothing came of nothing")),
    }
}

pub(super) fn project(from: &v1::Project) -> Result<Project, Unreadable> {
    written("project", |fields| policy::project(fields, from))
}

pub(super) fn class(from: &v1::Class) -> Result<Class, Unreadable> {
    written("class", |fields| class::class(fields, from))
}

pub(super) fn rule_to_wire(rule: &Rule) -> v1::Rule {
    rule::to_wire(rule)
}

pub(super) fn rule(from: &v1::Rule) -> Result<Rule, Unreadable> {
    written("rule", |fields| rule::rule(fields, from))
}

/// What is read as it is from the wire, of a journal that never has anything wrong in it.
fn written<T>(
    field: &'static str,
    read: impl FnOnce(&mut Fields) -> Option<T>,
) -> Result<T, Unreadable> {
    let mut fields = Fields::default();
    let read = read(&mut fields);
    fields.finish(read).map_err(|faults| {
        let first = faults.first().map_or(String::new(), |it| format!("{}: {}", it.field, it.why));
        bad(field, first)
    })
}

fn overuse(from: &v1::Overuse) -> Result<Overuse, Unreadable> {
    let amount = |field, it: &Option<v1::Amount>| {
        limits::so_much(it.as_ref()).ok_or_else(|| bad(field, "it is no amount"))
    };
    let mut fields = Fields::default();
    let until = from.until_time.and_then(|time| fields.start("until_time", time));
    Ok(Overuse {
        whose: written("overuses", |fields| limits::whose(fields, from))?,
        what: limits::limited(from.limit).ok_or(Unreadable::Unknown)?,
        of: (!from.lane.is_empty()).then(|| LaneName::new(&from.lane)),
        limit: amount("allowed", &from.allowed)?,
        used: amount("used", &from.used)?,
        until: until.ok_or_else(|| bad("until_time", "it is no instant"))?,
    })
}

/// The classes of a state; absent where they are those that a broker begins with, as in every state of
/// before there were any.
pub(super) fn classes_to_wire(classes: &[Class]) -> Option<wire::KeptClasses> {
    let changed = !Classes::default().iter().eq(classes);
    let classes = classes.iter().map(class::to_wire);
    changed.then(|| wire::KeptClasses { classes: classes.collect() })
}

pub(super) fn classes(from: Option<&wire::KeptClasses>) -> Result<Vec<Class>, Unreadable> {
    match from {
        Some(from) => from.classes.iter().map(class).collect(),
        None => Ok(Classes::default().iter().cloned().collect()),
    }
}

/// What was promised of a budget: whose and in which period, and how much.
type Spent = ((Whose, Period, Interval), u128);

pub(super) fn spent_to_wire(((whose, period, over), volume): &Spent) -> wire::KeptSpent {
    let (project, principal) = match whose {
        Whose::Project(project) => (project.to_string(), String::new()),
        Whose::Principal(project, principal) => (project.to_string(), principal.to_string()),
        // Classes have no budgets.
        Whose::Class(_) => Default::default(),
    };
    wire::KeptSpent {
        project,
        principal,
        period: quota::period_to_wire(*period).into(),
        start_ms: over.start().as_ms(),
        end_ms: over.end().as_ms(),
        volume_high: u64::try_from(volume >> 64).unwrap_or(u64::MAX),
        volume_low: u64::try_from(volume & u128::from(u64::MAX)).unwrap_or(u64::MAX),
    }
}

pub(super) fn spent(from: &wire::KeptSpent) -> Result<Spent, Unreadable> {
    let project = ProjectId(word("project", &from.project)?);
    let whose = match from.principal.as_str() {
        "" => Whose::Project(project),
        principal => Whose::Principal(project, word("principal", principal)?),
    };
    let period = quota::period(from.period).ok_or(Unreadable::Unknown)?;
    let (start, end) = (instant("start_ms", from.start_ms)?, instant("end_ms", from.end_ms)?);
    let volume = u128::from(from.volume_high) << 64 | u128::from(from.volume_low);
    let over = Interval::new(start, end).ok_or(Unreadable::Unknown)?;
    Ok(((whose, period, over), volume))
}

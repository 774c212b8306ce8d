//! Admission rules, from the wire and back.

use tidegate_core::{Changed, Machine, RuleBlocker};
use tidegate_policy::rule::{PRIORITY_MAX, RULES_MAX};
use tidegate_policy::{Effect, Name, Rule, RuleId};
use tidegate_proto::v1;
use v1::rule::Then;

use super::policy::few;
use super::request::{Page, page_size};
use super::{Checked, class, reply};
use crate::fields::Fields;

/// Rules to put in and names of those to delete.
pub(super) type Edited = (Vec<Rule>, Vec<RuleId>);

/// What of a change of the policy is about rules.
pub(super) fn edit(fields: &mut Fields, message: &v1::ApplyPolicyRequest) -> Option<Edited> {
    let put = few(fields, "rules", &message.rules, RULES_MAX, |fields, at, it| {
        fields.within(at, |fields| rule(fields, it))
    });
    let gone = few(fields, "delete_rules", &message.delete_rules, RULES_MAX, |fields, at, name| {
        id(fields, at, name)
    });
    Some((put?, gone?))
}

fn id(fields: &mut Fields, field: &str, name: &str) -> Option<RuleId> {
    fields.named::<Name>(field, "rules", name).map(RuleId)
}

/// A rule as it is asked for; [`crate::durable`] reads its own in the same way.
pub(crate) fn rule(fields: &mut Fields, message: &v1::Rule) -> Option<Rule> {
    let id = id(fields, "name", &message.name);
    let then = match &message.then {
        None => {
            fields.fault("then", "it is missing; say deny, cap_bps, class or priority");
            None
        }
        Some(Then::Deny(message)) => Some(Effect::Deny { message: message.clone() }),
        Some(Then::CapBps(bps)) => fields.rate("cap_bps", *bps).map(|rate| Effect::Cap { rate }),
        Some(Then::Class(name)) => class::id(fields, "class", name).map(Effect::Class),
        Some(Then::Priority(priority)) => {
            let priority = fields.number("priority", *priority, PRIORITY_MAX.into());
            priority.and_then(|it| u8::try_from(it).ok()).map(Effect::Priority)
        }
    };
    let (when, comment) = (message.when.clone(), message.comment.clone());
    Some(Rule { id: id?, when, then: then?, shadow: message.shadow, comment })
}

pub(crate) fn list_rules(message: &v1::ListRulesRequest) -> Checked<Page<RuleId>> {
    let mut fields = Fields::default();
    let size = page_size(&mut fields, message.page_size);
    let after = fields.optional::<Name>("page_token", "rules", &message.page_token).map(RuleId);
    fields.finish(size.map(|size| Page { size, after }))
}

pub(crate) fn get_rule(message: &v1::GetRuleRequest) -> Checked<RuleId> {
    let mut fields = Fields::default();
    let id = id(&mut fields, "name", &message.name);
    fields.finish(id)
}

// === to the wire ===

pub(crate) fn name(id: &RuleId) -> String {
    format!("rules/{id}")
}

/// A rule by itself, without what is counted of it.
pub(crate) fn to_wire(rule: &Rule) -> v1::Rule {
    let Rule { id, when, then, shadow, comment } = rule;
    let then = match then {
        Effect::Deny { message } => Then::Deny(message.clone()),
        Effect::Cap { rate } => Then::CapBps(reply::int(rate.bps())),
        Effect::Class(class) => Then::Class(class::name(class)),
        Effect::Priority(priority) => Then::Priority((*priority).into()),
    };
    v1::Rule {
        name: name(id),
        when: when.clone(),
        then: Some(then),
        shadow: *shadow,
        comment: comment.clone(),
        applied_count: 0,
        shadow_count: 0,
    }
}

/// A rule as it stands.
pub(crate) fn standing(rule: &Rule, machine: &Machine) -> v1::Rule {
    let count = machine.rule_counts().get(&rule.id).copied().unwrap_or_default();
    let (applied_count, shadow_count) = (reply::int(count.applied), reply::int(count.shadow));
    v1::Rule { applied_count, shadow_count, ..to_wire(rule) }
}

pub(crate) fn change(change: &Changed<Rule>) -> v1::RuleChange {
    v1::RuleChange {
        before: change.before.as_ref().map(to_wire),
        after: change.after.as_ref().map(to_wire),
    }
}

pub(crate) fn blocker(blocker: &RuleBlocker) -> v1::RuleBlocker {
    v1::RuleBlocker { rule: name(&blocker.rule), message: blocker.why.clone() }
}

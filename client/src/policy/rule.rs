//! Admission rules, to the wire and from it.

use tidegate_policy::{Effect, Rule, RuleId};
use tidegate_proto::v1;
use v1::rule::Then;

use super::{class, service};
use crate::connect::{Client, Page};
use crate::error::ClientError;
use crate::wire;

/// A rule that came, went or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleChange {
    /// As it was; `None` if it was not there.
    pub before: Option<Rule>,
    /// As it is; `None` if it is gone.
    pub after: Option<Rule>,
}

/// A rule as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// As it was put in.
    pub rule: Rule,
    /// How many requests it applied to since the broker started.
    pub applied: u64,
    /// How many it would have applied to, had it not only been counted.
    pub shadow: u64,
}

/// A rule that denies a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleBlocker {
    /// Which.
    pub rule: RuleId,
    /// What it says.
    pub message: String,
}

impl Client {
    /// One admission rule.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] if there is none.
    pub async fn rule(&self, id: &RuleId) -> Result<RuleInfo, ClientError> {
        let request = v1::GetRuleRequest { name: name(id) };
        let send = |channel, request| async move { service(channel).get_rule(request).await };
        RuleInfo::from_wire(self.call(request, send).await?.message)
    }

    /// One page of the admission rules, in the order of their names, and the etag of the policy.
    /// `page_size` is 1 to 1000; 0 means 100.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn list_rules(
        &self,
        page_size: u16,
        page_token: &str,
    ) -> Result<(Page<RuleInfo>, String), ClientError> {
        let request = v1::ListRulesRequest {
            page_size: i32::from(page_size),
            page_token: page_token.to_owned(),
        };
        let send = |channel, request| async move { service(channel).list_rules(request).await };
        let page = self.call(request, send).await?.message;
        let items = page.rules.into_iter().map(RuleInfo::from_wire).collect::<Result<_, _>>()?;
        Ok((Page { items, next_page_token: page.next_page_token }, page.etag))
    }
}

/// As the wire names it.
pub(super) fn name(id: &RuleId) -> String {
    format!("rules/{id}")
}

fn rule_id(field: &'static str, name: &str) -> Result<RuleId, ClientError> {
    let id = name.strip_prefix("rules/");
    let id = id.ok_or_else(|| ClientError::bad(field, format!("{name:?} is not rules/RULE")))?;
    id.parse().map(RuleId).map_err(ClientError::unparsed(field))
}

pub(super) fn to_wire(rule: &Rule) -> v1::Rule {
    let Rule { id, when, then, shadow, comment } = rule;
    let then = match then {
        Effect::Deny { message } => Then::Deny(message.clone()),
        Effect::Cap { rate } => Then::CapBps(wire::to_rate(*rate)),
        Effect::Class(id) => Then::Class(class::name(id)),
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

fn from_wire(rule: v1::Rule) -> Result<Rule, ClientError> {
    let then = match rule.then {
        None => return Err(ClientError::bad("then", "it is missing")),
        Some(Then::Deny(message)) => Effect::Deny { message },
        Some(Then::CapBps(bps)) => Effect::Cap { rate: wire::rate("cap_bps", bps)? },
        Some(Then::Class(name)) => Effect::Class(class::class_id("class", &name)?),
        Some(Then::Priority(priority)) => Effect::Priority(
            u8::try_from(priority)
                .map_err(|_| ClientError::bad("priority", priority.to_string()))?,
        ),
    };
    let id = rule_id("name", &rule.name)?;
    Ok(Rule { id, when: rule.when, then, shadow: rule.shadow, comment: rule.comment })
}

impl RuleInfo {
    fn from_wire(wire: v1::Rule) -> Result<Self, ClientError> {
        let applied = wire::count("applied_count", wire.applied_count)?;
        let shadow = wire::count("shadow_count", wire.shadow_count)?;
        Ok(Self { rule: from_wire(wire)?, applied, shadow })
    }
}

impl RuleChange {
    pub(super) fn from_wire(wire: v1::RuleChange) -> Result<Self, ClientError> {
        let read = |it: Option<v1::Rule>| it.map(from_wire).transpose();
        Ok(Self { before: read(wire.before)?, after: read(wire.after)? })
    }
}

impl RuleBlocker {
    pub(crate) fn from_wire(wire: v1::RuleBlocker) -> Result<Self, ClientError> {
        Ok(Self { rule: rule_id("rules.rule", &wire.rule)?, message: wire.message })
    }
}

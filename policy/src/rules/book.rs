//! All rules together: read once, asked for every request.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::condition::{self, Condition, Failure};
use super::facts::{ENTRIES_MAX, Facts, SCHEMA, View};
use super::lead::Lead;
use crate::ids::{ClassId, RuleId};
use crate::rule::{Effect, RULES_MAX, Rule, RuleFault};
use crate::units::BitRate;

/// The most faults that are told at once.
pub const FAULTS_MAX: usize = 100;
/// The most denials that a verdict tells of.
pub const DENIALS_MAX: usize = 16;

/// The most characters of all conditions together. Reading one takes far longer than asking it.
const CHARACTERS_MAX: usize = 256 << 10;
/// What all conditions together may cost for one request, in nodes of their expressions.
const COST_MAX: usize = 20_000;

/// Rules that were read and checked. A copy shares them.
#[derive(Clone, Debug, Default)]
pub struct Rulebook(Arc<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    rule: Rule,
    /// Or what is wrong with it, if a version of before took what this one does not.
    condition: Result<(Lead, Condition), Failure>,
}

impl Entry {
    fn of(rule: &Rule, condition: Result<Condition, Failure>) -> Self {
        let condition = condition.map(|condition| (Lead::of(&condition), condition));
        Self { rule: rule.clone(), condition }
    }
}

/// What all rules together say about a request. Where several say something, all of it is here.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// Who refuses it and why, in the order of the rules: at most [`DENIALS_MAX`]. Whatever else is
    /// said, it is refused if there is one.
    pub deny: Vec<Denial>,
    /// The least payload rate that a rule caps it at, and the first rule that does.
    pub cap: Option<(BitRate, RuleId)>,
    /// Its class, and the rule that says so.
    pub class: Option<(ClassId, RuleId)>,
    /// Its priority, and the rule that says so.
    pub priority: Option<(u8, RuleId)>,
    /// The rules that are only counted and would have applied.
    pub shadow: Vec<RuleId>,
    /// The rules that applied.
    pub hits: Vec<RuleId>,
}

/// A rule that refuses a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denial {
    /// Which.
    pub rule: RuleId,
    /// What the asker is told.
    pub message: String,
}

impl Rulebook {
    /// Reads rules, in whatever order they come.
    ///
    /// # Errors
    /// Everything that is wrong with them, but at most [`FAULTS_MAX`] faults.
    pub fn compile(rules: &[Rule]) -> Result<Self, Vec<RuleFault>> {
        if let Some(beyond) = rules.get(RULES_MAX) {
            let why = format!("there are {} rules; {RULES_MAX} is the most", rules.len());
            return Err(vec![RuleFault::new(&beyond.id, "", why)]);
        }
        let mut faults = Vec::new();
        let mut entries = BTreeMap::new();
        let (mut characters, mut cost) = (0_usize, 0_usize);
        for rule in rules {
            let own = rule.faults();
            let readable = own.iter().all(|it| it.field != "when");
            faults.extend(own);
            if entries.contains_key(&rule.id) {
                faults.push(RuleFault::new(
                    &rule.id,
                    "",
                    "it is named twice; give it another name",
                ));
            }
            if readable {
                characters = characters.saturating_add(rule.when.chars().count());
                if CHARACTERS_MAX < characters {
                    let why = format!(
                        "up to here all conditions have more than {CHARACTERS_MAX} characters \
                         together; write fewer or shorter ones"
                    );
                    faults.push(RuleFault::new(&rule.id, "when", why));
                    break;
                }
                match Condition::parse(&rule.when, &SCHEMA) {
                    Ok(condition) => {
                        cost = cost.saturating_add(condition.cost().of(ENTRIES_MAX));
                        entries.insert(rule.id.clone(), Entry::of(rule, Ok(condition)));
                    }
                    Err(why) => faults.push(RuleFault::new(&rule.id, "when", why)),
                }
            }
            if FAULTS_MAX <= faults.len() {
                break;
            }
        }
        faults.extend(rivals(rules));
        if let (true, Some(last)) = (COST_MAX < cost, rules.last()) {
            let why = format!(
                "all conditions together take up to {cost} steps for one request; {COST_MAX} is \
                 the most: write fewer or shorter ones"
            );
            faults.push(RuleFault::new(&last.id, "", why));
        }
        faults.truncate(FAULTS_MAX);
        if faults.is_empty() {
            Ok(Self(Arc::new(entries.into_values().collect())))
        } else {
            Err(faults)
        }
    }

    /// Reads rules that were checked when they were put in, by this version or by one of before. What this
    /// one cannot read fails whenever it is asked: nobody passes by it, and nothing stops for it.
    #[must_use]
    pub fn of_standing(rules: &[Rule]) -> Self {
        let entries = rules.iter().map(|rule| {
            let condition = Condition::parse(&rule.when, &SCHEMA).map_err(Failure::Unread);
            (rule.id.clone(), Entry::of(rule, condition))
        });
        let entries: BTreeMap<RuleId, Entry> = entries.collect();
        Self(Arc::new(entries.into_values().collect()))
    }

    /// The rules, in the order of their names.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter().map(|it| &it.rule)
    }

    /// What all rules say about a request. The same facts always come to the same verdict.
    #[must_use]
    pub fn judge(&self, facts: &Facts<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        let view = View::new(facts);
        let context = LazyCell::new(|| condition::context(&view));
        for Entry { rule, condition } in self.0.iter() {
            let holds = match condition {
                Ok((lead, condition)) => {
                    lead.holds(&view).map_or_else(|| condition.holds_in(&context), Ok)
                }
                Err(failure) => Err(failure.clone()),
            };
            match holds {
                Ok(false) => {}
                Ok(true) | Err(_) if rule.shadow => verdict.shadow.push(rule.id.clone()),
                Ok(true) => verdict.apply(rule),
                Err(failure) => verdict.fail(rule, &failure),
            }
        }
        verdict
    }
}

impl Verdict {
    /// Whether the request is refused.
    #[must_use]
    pub fn denies(&self) -> bool {
        !self.deny.is_empty()
    }

    fn apply(&mut self, rule: &Rule) {
        self.hits.push(rule.id.clone());
        match &rule.then {
            Effect::Deny { message } => self.deny(rule, message.clone()),
            Effect::Cap { rate } => {
                if self.cap.as_ref().is_none_or(|(least, _)| rate < least) {
                    self.cap = Some((*rate, rule.id.clone()));
                }
            }
            Effect::Class(class) => self.class = Some((class.clone(), rule.id.clone())),
            Effect::Priority(priority) => self.priority = Some((*priority, rule.id.clone())),
        }
    }

    /// Whoever cannot tell whether a rule holds must not pass by it.
    fn fail(&mut self, rule: &Rule, failure: &Failure) {
        self.hits.push(rule.id.clone());
        self.deny(rule, format!("the condition of this rule failed: {failure}"));
    }

    fn deny(&mut self, rule: &Rule, message: String) {
        if self.deny.len() < DENIALS_MAX {
            self.deny.push(Denial { rule: rule.id.clone(), message });
        }
    }
}

/// Rules that would have to agree on one thing and need not.
fn rivals(rules: &[Rule]) -> Vec<RuleFault> {
    let mut faults = Vec::new();
    for field in ["class", "priority"] {
        let mut such = rules.iter().filter(|it| !it.shadow && sets(&it.then) == Some(field));
        let Some(first) = such.next() else { continue };
        // The same one twice is told as such.
        let others = such.filter(|it| it.id != first.id);
        faults.extend(others.take(FAULTS_MAX).map(|it| {
            let why = format!(
                "both `{}` and `{}` set a {field}; let one of them do it, or only count",
                first.id, it.id
            );
            RuleFault::new(&it.id, field, why)
        }));
    }
    faults
}

/// What only one rule sets.
fn sets(effect: &Effect) -> Option<&'static str> {
    match effect {
        Effect::Class(_) => Some("class"),
        Effect::Priority(_) => Some("priority"),
        Effect::Deny { .. } | Effect::Cap { .. } => None,
    }
}

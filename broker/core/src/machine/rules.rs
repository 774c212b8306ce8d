//! What admission rules make of a request, before its class and its quotas are looked at.
//!
//! All rules run. Whatever denies wins; of caps the least holds; a class and a priority are what a rule
//! says, whatever was asked.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::rules::{Denial, Facts, Rulebook, ShapeKind, Verdict};
use tidegate_policy::{
    BitRate, ByteCount, Classes, Effect, Principal, Rule, RuleFault, RuleId, Span, Timestamp,
};

use super::Machine;
use super::policy::{field, position};
use crate::command::{Ask, Modify, Shape, Until, Ways};
use crate::fault::{Fault, FieldFault};
use crate::policy::{Changed, Edit};
use crate::refusal::{Reason, Refusal, RuleBlocker};
use crate::reservation::Reservation;

/// What became of requests by a rule since the process started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RuleCount {
    /// So many it applied to.
    pub applied: u64,
    /// So many it would have applied to, had it not only been counted.
    pub shadow: u64,
}

/// Which rules apply to a request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hits {
    /// Those that do something.
    pub applied: Vec<RuleId>,
    /// Those that are only counted.
    pub shadow: Vec<RuleId>,
}

/// A request as rules and its class make it.
pub(super) struct Ruled<'a> {
    pub(super) ask: Cow<'a, Ask>,
    /// It may not be had.
    pub(super) refusal: Option<Refusal>,
    pub(super) hits: Hits,
}

impl Hits {
    pub(super) fn add(&mut self, more: Self) {
        self.applied.extend(more.applied);
        self.shadow.extend(more.shadow);
    }

    /// Whether no rule applies.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.applied.is_empty() && self.shadow.is_empty()
    }
}

impl Machine {
    /// Every rule, in the order of their names.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.state.rules.values()
    }

    /// What became of requests by each rule since the process started.
    #[must_use]
    pub fn rule_counts(&self) -> &BTreeMap<RuleId, RuleCount> {
        self.recent.rule_counts()
    }

    /// A request as rules and its class make it.
    ///
    /// # Errors
    /// [`Fault::NotFound`] if there is no such project or class.
    pub(super) fn ruled<'a>(&self, now: Timestamp, ask: &'a Ask) -> Result<Ruled<'a>, Fault> {
        self.known_project(&ask.owner.project)?;
        let verdict = self.verdict(now, ask);
        let hits = Hits { applied: verdict.hits.clone(), shadow: verdict.shadow.clone() };
        if verdict.denies() {
            let rules = verdict.deny.into_iter();
            let rules = rules.map(|it| RuleBlocker { rule: it.rule, why: it.message });
            return Ok(Ruled::refused(ask, rules.collect(), hits));
        }
        let mut ruled = Cow::Borrowed(ask);
        if let Some((class, _)) = verdict.class {
            ruled.to_mut().owner.class = Some(class);
        }
        if let Some((cap, rule)) = verdict.cap {
            match capped(ask.shape, cap) {
                Some(shape) if shape == ask.shape => {}
                Some(shape) => ruled.to_mut().shape = shape,
                None => {
                    let why = format!("it caps the rate at {cap}; ask for no more");
                    return Ok(Ruled::refused(ask, vec![RuleBlocker { rule, why }], hits));
                }
            }
        }
        let mut ask = match self.in_class(ruled)? {
            Ok(ask) => ask,
            Err(refusal) => {
                let (ask, refusal) = (Cow::Borrowed(ask), Some(refusal));
                return Ok(Ruled { ask, refusal, hits });
            }
        };
        if let Some((priority, _)) = verdict.priority {
            ask.to_mut().standing.priority = priority;
        }
        Ok(Ruled { ask, refusal: None, hits })
    }

    /// Whether rules allow what a reservation is to be changed to, as a request for that; who asks for no
    /// more than it has may have it, whatever they say since.
    ///
    /// # Errors
    /// The refusal, if not.
    pub(super) fn rules_allow(
        &self,
        now: Timestamp,
        found: &Reservation,
        modify: &Modify,
    ) -> Result<(), Refusal> {
        let Some(ask) = found.ask_again(now).filter(|_| !self.state.rules.is_empty()) else {
            return Ok(());
        };
        let shape = changed(ask.shape, modify);
        if shape == ask.shape {
            return Ok(());
        }
        let asked = Ask { shape, session: found.session, movable: found.may_move(), ..ask.clone() };
        let (before, verdict) = (self.verdict(now, &ask), self.verdict(now, &asked));
        let refused = |it: &Denial| !before.deny.contains(it);
        let rules = verdict.deny.into_iter().filter(refused);
        let mut rules: Vec<RuleBlocker> =
            rules.map(|it| RuleBlocker { rule: it.rule, why: it.message }).collect();
        if let Some((cap, rule)) = verdict.cap
            && capped(shape, cap).is_none_or(|capped| capped != shape)
            && capped(ask.shape, cap) == Some(ask.shape)
        {
            rules.push(RuleBlocker {
                rule,
                why: format!("it caps the rate at {cap}; ask for no more"),
            });
        }
        match rules.is_empty() {
            true => Ok(()),
            false => Err(Refusal { rules, ..Refusal::bare(Reason::RuleDenied) }),
        }
    }

    /// What all rules say about a request.
    pub(super) fn verdict(&self, now: Timestamp, ask: &Ask) -> Verdict {
        if self.state.rules.is_empty() {
            return Verdict::default();
        }
        let (none, owner) = ([], &ask.owner);
        let (sources, destination) = match &ask.ways {
            Ways::Between { sources, destination, .. } => (sources.as_slice(), Some(destination)),
            Ways::Lanes(_) => (&none[..], None),
        };
        let Asked { shape, rate, min, volume, start, end, duration } = Asked::of(now, ask.shape);
        self.rulebook.judge(&Facts {
            now,
            projects: &self.state.projects,
            project: &owner.project,
            principal: owner.principal.as_ref().map_or("", Principal::as_str),
            class: owner.class.as_ref(),
            shape,
            rate,
            min,
            volume,
            duration,
            start,
            end,
            priority: ask.standing.priority,
            labels: &owner.labels,
            sources,
            destination,
            streams: ask.terms.streams.into(),
            held: ask.hold_for.is_some(),
            movable: ask.movable,
            session: ask.session.is_some(),
        })
    }

    /// Reads all rules that stand anew. They were checked before they were put in.
    pub(crate) fn read_again(&mut self) {
        self.rulebook = Rulebook::of_standing(&self.rules().cloned().collect::<Vec<_>>());
    }

    /// Reads rules.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn read(rules: &BTreeMap<RuleId, Rule>) -> Result<Rulebook, Vec<RuleFault>> {
        Rulebook::compile(&rules.values().cloned().collect::<Vec<_>>())
    }
}

impl Machine {
    /// The rules that there would be, under these classes.
    ///
    /// # Errors
    /// [`Fault::Invalid`] with everything that is wrong with them.
    pub(super) fn edited_rules(
        &self,
        edit: &Edit<Rule, RuleId>,
        classes: &Classes,
    ) -> Result<BTreeMap<RuleId, Rule>, Fault> {
        let Edit { put, gone, whole } = edit;
        let mut after = if *whole { BTreeMap::new() } else { self.state.rules.clone() };
        let mut faults = Vec::new();
        for id in gone {
            if self.state.rules.contains_key(id) {
                after.remove(id);
            } else {
                faults.push(RuleFault::new(id, "", "there is no such rule"));
            }
        }
        let mut seen = BTreeSet::new();
        for rule in put {
            if !seen.insert(&rule.id) || gone.contains(&rule.id) {
                faults.push(RuleFault::new(&rule.id, "", "it is named twice"));
            }
            after.insert(rule.id.clone(), rule.clone());
        }
        for rule in after.values() {
            if let Effect::Class(class) = &rule.then
                && classes.get(class).is_none()
            {
                let why = format!("there is no classes/{class}; put it in, or delete the rule");
                faults.push(RuleFault::new(&rule.id, "class", why));
            }
        }
        if after != self.state.rules {
            faults.extend(Self::read(&after).err().unwrap_or_default());
        }
        if faults.is_empty() {
            return Ok(after);
        }
        let told = faults.into_iter().map(|fault| {
            let (at, from) = (position(put, |it| it.id == fault.rule), &fault.rule);
            let places = (at, position(gone, |id| id == from), !gone.is_empty());
            let why = format!("rules/{}: {}", fault.rule, fault.why);
            FieldFault::new(field(("rules", "delete_rules"), places, fault.field), why)
        });
        Err(Fault::Invalid(told.collect()))
    }
}

/// The rules that differ, in the order of their names.
pub(super) fn differences<'a>(
    before: &'a BTreeMap<RuleId, Rule>,
    after: &'a BTreeMap<RuleId, Rule>,
) -> impl Iterator<Item = Changed<Rule>> {
    let ids: BTreeSet<&RuleId> = before.keys().chain(after.keys()).collect();
    let both = ids.into_iter().map(|id| (before.get(id), after.get(id)));
    both.filter(|(before, after)| before != after).map(Changed::of)
}

impl<'a> Ruled<'a> {
    fn refused(ask: &'a Ask, rules: Vec<RuleBlocker>, hits: Hits) -> Self {
        let refusal = Refusal { rules, ..Refusal::bare(Reason::RuleDenied) };
        Self { ask: Cow::Borrowed(ask), refusal: Some(refusal), hits }
    }
}

/// The same at no more than a rate; `None` if it does not do with so little.
fn capped(shape: Shape, cap: BitRate) -> Option<Shape> {
    match shape {
        Shape::Rigid { rate, .. } | Shape::Offered { rate, .. } => (rate <= cap).then_some(shape),
        Shape::Flexible { min, max, span, start, end } => {
            let max = max.min(cap);
            (min <= cap).then_some(Shape::Flexible { min, max, span, start, end })
        }
        Shape::Transfer { volume, min, max, start, deadline, split } => {
            let max = max.min(cap);
            (min <= cap).then_some(Shape::Transfer { volume, min, max, start, deadline, split })
        }
    }
}

/// A shape with what is to be changed of it.
fn changed(shape: Shape, modify: &Modify) -> Shape {
    let Modify { rate: new, start: from, end: to, volume: bytes, .. } = *modify;
    match shape {
        Shape::Rigid { rate, start, until } => {
            let until = to.map_or(until, Until::At);
            Shape::Rigid { rate: new.unwrap_or(rate), start: from.or(start), until }
        }
        Shape::Flexible { min, max, span, start, end } => {
            let (min, max) = new.map_or((min, max), |rate| (rate, rate));
            let (start, end) = (from.or(start), to.unwrap_or(end));
            Shape::Flexible { min, max, span, start, end }
        }
        Shape::Transfer { volume, min, max, start, deadline, split } => Shape::Transfer {
            volume: bytes.unwrap_or(volume),
            min,
            max: new.unwrap_or(max),
            start: from.or(start),
            deadline: to.unwrap_or(deadline),
            split,
        },
        Shape::Offered { .. } => shape,
    }
}

/// What rules see of a shape.
struct Asked {
    shape: ShapeKind,
    rate: BitRate,
    min: BitRate,
    volume: ByteCount,
    start: Timestamp,
    end: Timestamp,
    duration: Span,
}

impl Asked {
    fn of(now: Timestamp, shape: Shape) -> Self {
        let none = ByteCount::ZERO;
        match shape {
            Shape::Rigid { rate, start, until } => {
                let start = start.unwrap_or(now);
                let end = match until {
                    Until::At(end) => end,
                    Until::After(span) => start.plus(span),
                };
                let (shape, duration) = (ShapeKind::Rigid, end.since(start));
                Self { shape, rate, min: rate, volume: none, start, end, duration }
            }
            Shape::Flexible { min, max, span, start, end } => {
                let (shape, start) = (ShapeKind::Flexible, start.unwrap_or(now));
                Self { shape, rate: max, min, volume: none, start, end, duration: span }
            }
            Shape::Transfer { volume, min, max, start, deadline, .. } => {
                let (shape, start) = (ShapeKind::Transfer, start.unwrap_or(now));
                let duration = deadline.since(start);
                Self { shape, rate: max, min, volume, start, end: deadline, duration }
            }
            Shape::Offered { rate, over } => {
                let (shape, start, end) = (ShapeKind::Offer, over.start(), over.end());
                Self { shape, rate, min: rate, volume: none, start, end, duration: over.span() }
            }
        }
    }
}

//! Admission rules as an administrator writes them: a condition, and what happens where it holds.
//!
//! What a condition may say is the affair of the module `rules`, behind the feature of that name.

use crate::ids::{ClassId, RuleId};
use crate::units::BitRate;

/// The most rules.
pub const RULES_MAX: usize = 1000;
/// The longest condition, in characters.
pub const CHARACTERS_MAX: usize = 2048;
/// The longest message or comment, in characters.
pub const TEXT_MAX: usize = 256;
/// The highest priority that a rule gives.
pub const PRIORITY_MAX: u8 = 9;

/// What happens to requests for which a condition holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Its name. Rules are asked in the order of their names.
    pub id: RuleId,
    /// The condition, in CEL.
    pub when: String,
    /// What happens where it holds.
    pub then: Effect,
    /// Only counted: nothing happens where it holds.
    pub shadow: bool,
    /// What people want to know of it.
    pub comment: String,
}

/// What a rule does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The request is refused.
    Deny {
        /// What its asker is told.
        message: String,
    },
    /// No more than this payload rate is granted.
    Cap {
        /// The highest payload rate, at least 1 bit/s.
        rate: BitRate,
    },
    /// It is of this class, whatever was asked.
    Class(ClassId),
    /// It has this priority, 0 to 9, whatever was asked.
    Priority(u8),
}

/// Why some rules are no rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleFault {
    /// Which of them.
    pub rule: RuleId,
    /// The part of it that is wrong, such as `when` or `message`; nothing for all of it.
    pub field: &'static str,
    /// What is wrong, and what would be right.
    pub why: String,
}

impl Rule {
    /// What is wrong with it besides what its condition says, which is not read here.
    #[must_use]
    pub fn faults(&self) -> Vec<RuleFault> {
        let mut faults = Vec::new();
        let mut fault = |field, why: Option<String>| {
            faults.extend(why.map(|why| RuleFault::new(&self.id, field, why)));
        };
        let length = self.when.chars().count();
        let long = CHARACTERS_MAX < length;
        fault(
            "when",
            long.then(|| {
                format!(
                    "it has {length} characters; write at most {CHARACTERS_MAX}, or several rules"
                )
            }),
        );
        match &self.then {
            Effect::Deny { message } if message.trim().is_empty() => {
                let why = "it is empty; write what the asker may do instead";
                fault("deny", Some(why.into()));
            }
            Effect::Deny { message } => fault("deny", no_text(message)),
            Effect::Cap { rate } if *rate == BitRate::ZERO => {
                fault("cap_bps", Some("nothing has a rate of zero; deny it instead".into()));
            }
            Effect::Priority(priority) if PRIORITY_MAX < *priority => {
                fault("priority", Some(format!("{priority} is too high; write 0 to 9")));
            }
            Effect::Cap { .. } | Effect::Class(_) | Effect::Priority(_) => {}
        }
        fault("comment", no_text(&self.comment));
        faults
    }
}

impl RuleFault {
    /// A fault of this part of a rule.
    #[must_use]
    pub fn new(rule: &RuleId, field: &'static str, why: impl Into<String>) -> Self {
        Self { rule: rule.clone(), field, why: why.into() }
    }
}

/// Why this is no text that is shown to people.
fn no_text(text: &str) -> Option<String> {
    let length = text.chars().count();
    if TEXT_MAX < length {
        return Some(format!("it has {length} characters; write at most {TEXT_MAX}"));
    }
    let control = text.chars().any(char::is_control);
    control.then(|| "it has a control character; write it in one line of plain text".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(then: Effect, comment: &str) -> Vec<(&'static str, String)> {
        let id = RuleId("a".parse().unwrap());
        let rule =
            Rule { id, when: "true".into(), then, shadow: false, comment: comment.to_owned() };
        rule.faults().into_iter().map(|it| (it.field, it.why)).collect()
    }

    #[test]
    fn what_a_rule_does_has_bounds() {
        let deny = |message: &str| Effect::Deny { message: message.into() };
        let class = Effect::Class(ClassId("gold".parse().unwrap()));
        for good in [
            deny("ask on Monday"),
            deny(&"ä".repeat(TEXT_MAX)),
            Effect::Cap { rate: BitRate::MAX },
            Effect::Priority(PRIORITY_MAX),
            class,
        ] {
            assert_eq!(faults(good, &"c".repeat(TEXT_MAX)), []);
        }
        let table = [
            (deny(" "), "deny", "what the asker may do"),
            (deny(&"a".repeat(TEXT_MAX + 1)), "deny", "257 characters; write at most 256"),
            (deny("a\nb"), "deny", "control character"),
            (Effect::Cap { rate: BitRate::ZERO }, "cap_bps", "deny it instead"),
            (Effect::Priority(10), "priority", "write 0 to 9"),
        ];
        for (then, field, why) in table {
            let found = faults(then, "");
            assert!(found.len() == 1 && found[0].0 == field, "{found:?}");
            assert!(found[0].1.contains(why), "{found:?}");
        }
        let both = faults(deny(""), "\u{7}");
        assert_eq!(both.iter().map(|it| it.0).collect::<Vec<_>>(), ["deny", "comment"]);
    }
}

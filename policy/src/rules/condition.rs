//! Conditions: a bounded part of CEL over the fields of a schema.
//!
//! The parser and the evaluation are the crate `cel`'s. What is checked here, before anything is
//! evaluated, is what that crate leaves open: that every name is a field, that the two sides of a
//! comparison are of one kind, and that no expression costs more than its length says.

use std::sync::{Arc, LazyLock};

use cel::common::ast::{Expr, IdedExpr};
use cel::common::types::CelBool;
use cel::context::VariableResolver;
use cel::{Context, Env, ExecutionError, Program, Value};
use thiserror::Error;

use super::check;
use super::schema::Schema;
use crate::rule::CHARACTERS_MAX;

/// The most tokens that nest: parentheses, operators and the like. The parser and the evaluation
/// take stack for each.
const MARKS_MAX: usize = 256;
/// The longest explanation, in characters.
const WHY_MAX: usize = 600;

/// The functions there are. Made once: it is the same for every condition.
pub(super) static ENV: LazyLock<Arc<Env>> =
    LazyLock::new(|| Arc::new(Env::stdlib().with_optional_support(false)));

/// An expression that holds or does not.
#[derive(Debug)]
pub struct Condition {
    program: Program,
    cost: Cost,
}

/// What one evaluation costs at most, in nodes of the expression.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cost {
    /// Once.
    pub plain: usize,
    /// For each entry of a list.
    pub each: usize,
    /// For each pair of entries of lists.
    pub pairs: usize,
}

/// Why a condition neither holds nor does not.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Failure {
    /// A number is divided by zero.
    #[error("it divides by zero")]
    Zero,
    /// A number, an instant or a length of time is out of range.
    #[error("a number or a time gets out of range")]
    Overflow,
    /// There is no such label.
    #[error("there is no label {0:?}; ask for it with `in` or has() first")]
    NoLabel(String),
    /// A field has a value beyond what a condition can hold.
    #[error("a number of `{0}` is past 9223372036854775807")]
    TooLarge(String),
    /// A version of before could read it.
    #[error("this version cannot read it: {0}; write it anew")]
    Unread(String),
    /// What no condition that was checked comes to.
    #[error("it cannot be evaluated: {0}")]
    Other(String),
}

impl Cost {
    /// What it costs where lists have this many entries.
    #[must_use]
    pub fn of(self, entries: usize) -> usize {
        let each = self.each.saturating_mul(entries);
        let pairs = self.pairs.saturating_mul(entries).saturating_mul(entries);
        self.plain.saturating_add(each).saturating_add(pairs)
    }
}

impl Condition {
    /// Reads and checks a condition over the fields of `schema`.
    ///
    /// # Errors
    /// What is wrong, where, and what would be right, in at most 600 characters.
    pub fn parse(text: &str, schema: &Schema) -> Result<Self, String> {
        let length = text.chars().count();
        if CHARACTERS_MAX < length {
            return Err(format!("it has {length} characters; write at most {CHARACTERS_MAX}"));
        }
        let marks = marks(text)?;
        if MARKS_MAX < marks {
            return Err(format!(
                "it has {marks} operators and brackets; write at most {MARKS_MAX}, such as with \
                 `in [..]`"
            ));
        }
        let program = ENV.compile(text).map_err(|errors| syntax(&errors))?;
        let cost = check::check(&program, schema)
            .map_err(|why| why.chars().take(WHY_MAX).collect::<String>())?;
        Ok(Self { program, cost })
    }

    /// Whether it holds where the fields of its schema are these.
    ///
    /// # Errors
    /// Why neither can be said.
    pub fn holds(&self, fields: &dyn VariableResolver) -> Result<bool, Failure> {
        self.holds_in(&context(fields))
    }

    /// Whether it holds in a context that several conditions share.
    pub(super) fn holds_in(&self, context: &Context<'_, '_>) -> Result<bool, Failure> {
        let value = Value::resolve_val(self.expression(), context)?;
        let holds = value.downcast_ref::<CelBool>().map(|it| *it.inner());
        holds.ok_or_else(|| Failure::Other("it is neither true nor false".into()))
    }

    pub(super) fn expression(&self) -> &IdedExpr {
        self.program.expression()
    }

    /// What evaluating it costs at most.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }
}

/// Where conditions are evaluated over these fields.
pub(super) fn context(fields: &dyn VariableResolver) -> Context<'_, '_> {
    let mut context = Context::with_env(Arc::clone(&ENV));
    context.set_variable_resolver(fields);
    context
}

impl From<ExecutionError> for Failure {
    fn from(error: ExecutionError) -> Self {
        match error {
            ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => Self::Zero,
            ExecutionError::Overflow(..) => Self::Overflow,
            ExecutionError::NoSuchKey(key) => Self::NoLabel(shortened(&key)),
            // Every name was checked: what has it knows it, and could not say it.
            ExecutionError::UndeclaredReference(name) => Self::TooLarge(shortened(&name)),
            other => Self::Other(shortened(&other.to_string())),
        }
    }
}

/// What somebody wrote, fit for an explanation.
pub(super) fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// Characters outside of texts that are neither of words nor space.
///
/// A text is passed over only where any reader takes it for one: between two quotation marks of a
/// kind, on one line, without a backslash. What else looks like a text is counted with all that is
/// in it, because the parser may see operators there.
fn marks(text: &str) -> Result<usize, String> {
    let (mut count, mut rest) = (0_usize, text);
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("\"\"\"") || rest.starts_with("'''") {
            return Err("a text has one quotation mark at each end; write \"..\" or '..'".into());
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '"' | '\'' => match rest.find([c, '\\', '\n', '\r']) {
                Some(end) if rest[end..].starts_with(c) => rest = &rest[end..][c.len_utf8()..],
                _ => count = count.saturating_add(1),
            },
            _ if c.is_alphanumeric() || c.is_whitespace() || c == '_' || c == ',' => {}
            _ => count = count.saturating_add(1),
        }
    }
    Ok(count)
}

/// The first thing that the parser says.
fn syntax(errors: &cel::ParseErrors) -> String {
    let Some(first) = errors.errors.first() else { return "it is no expression".into() };
    let (line, column) = first.pos;
    let said: String = first.msg.chars().filter(|c| !c.is_control()).take(160).collect();
    let place = if line <= 1 {
        format!("at character {column}")
    } else {
        format!("at character {column} of line {line}")
    };
    format!("{place}: {said}")
}

/// The expression within, for whoever walks it.
pub(super) fn inner(expression: &IdedExpr) -> &Expr {
    &expression.expr
}

//! Filters of lists and watches: a bounded part of CEL over the fields of a reservation.
//!
//! The parser and the evaluation are the crate `cel`'s. What is checked here, before anything is
//! evaluated, is what that crate leaves open: that every name is a field, that the two sides of a
//! comparison are of one kind, and that no expression costs more than its length says.

mod check;
mod fields;

use std::sync::{Arc, LazyLock};

use cel::common::ast::{Expr, IdedExpr};
use cel::{Context, Env, Program, Value};
use tidegate_proto::v1;

use fields::Shown;

/// The longest filter, in characters.
const CHARACTERS_MAX: usize = 2048;
/// The most tokens that nest: parentheses, operators and the like. The parser and the evaluation
/// take stack for each.
const MARKS_MAX: usize = 256;

/// The functions there are. Made once: it is the same for every filter.
static ENV: LazyLock<Arc<Env>> =
    LazyLock::new(|| Arc::new(Env::stdlib().with_optional_support(false)));

/// An expression that holds for a reservation or does not.
#[derive(Debug)]
pub(crate) struct Filter {
    program: Program,
    cost: Cost,
}

/// What one evaluation costs at most, in nodes of the expression.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Cost {
    /// Once.
    plain: usize,
    /// For each entry of the list that `exists` or `all` goes through.
    each: usize,
}

/// Who filters: a list sees reservations as they are now, a watch is told of changes only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Use {
    List,
    Watch,
}

impl Filter {
    /// Reads and checks a filter.
    ///
    /// # Errors
    /// What is wrong, where, and what would be right.
    pub(crate) fn parse(text: &str, by: Use) -> Result<Self, String> {
        let length = text.chars().count();
        if CHARACTERS_MAX < length {
            return Err(format!("it has {length} characters; write at most {CHARACTERS_MAX}"));
        }
        let marks = marks(text);
        if MARKS_MAX < marks {
            return Err(format!(
                "it has {marks} operators and brackets; write at most {MARKS_MAX}, such as with \
                 `in [..]`"
            ));
        }
        let program = ENV.compile(text).map_err(|errors| syntax(&errors))?;
        let cost = check::check(&program, by)?;
        Ok(Self { program, cost })
    }

    /// Whether it holds. Where its arithmetic overflows it does not.
    pub(crate) fn holds(&self, reservation: &v1::Reservation) -> bool {
        let shown = Shown(reservation);
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.set_variable_resolver(&shown);
        matches!(Value::resolve(self.program.expression(), &context), Ok(Value::Bool(true)))
    }

    /// What [`Self::holds`] costs at most for this one, in nodes of the expression.
    pub(crate) fn cost(&self, reservation: &v1::Reservation) -> usize {
        let entries = reservation.bookings.len().max(reservation.via.len());
        self.cost.plain.saturating_add(self.cost.each.saturating_mul(entries))
    }
}

/// Characters outside of texts that are neither of words nor space.
fn marks(text: &str) -> usize {
    let (mut count, mut quote, mut escaped) = (0_usize, None, false);
    for c in text.chars() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(end) if c == end => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_alphanumeric() || c.is_whitespace() || c == '_' || c == ',' => {}
            None => count = count.saturating_add(1),
        }
    }
    count
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
fn inner(expression: &IdedExpr) -> &Expr {
    &expression.expr
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

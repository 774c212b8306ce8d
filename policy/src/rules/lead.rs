//! What a condition asks first, where that is a field compared with something written out.
//!
//! Most rules that do not apply to a request are about another project, another destination, another
//! class or a longer time, and say so first. That much is decided here, on the facts themselves; the
//! evaluation of CEL is for the rest. It gives the same answer: `&&` goes from left to right there as
//! well, what stands behind something false is not asked, and nothing here can fail.

use chrono::{DateTime, Duration, FixedOffset};

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::{Context, Value};

use super::check::names;
use super::condition::{Condition, ENV, inner};
use super::constant;
use super::facts::{Fact, Look, View, look};

/// The tests that a condition begins with.
#[derive(Debug, Default)]
pub(super) struct Lead {
    tests: Vec<Test>,
    /// There is more in the condition than they.
    more: bool,
}

/// A field, and what is asked of it.
#[derive(Debug)]
struct Test {
    look: Look,
    asked: Asked,
    /// Whether that has to be so, or not so.
    wanted: bool,
}

#[derive(Debug)]
enum Asked {
    /// It is true.
    Holds,
    /// It is one of these texts.
    Among(Vec<String>),
    /// It is a list that has this entry, or labels that have this key.
    Has(String),
    /// It is such a number, instant or length of time.
    Compares(Order, i128),
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Same,
    Less,
    LessOrSame,
}

impl Lead {
    /// What a condition begins with.
    pub(super) fn of(condition: &Condition) -> Self {
        let mut lead = Self::default();
        lead.read(condition.expression());
        lead
    }

    /// Takes a part behind those that were read, unless one of them was too much.
    fn read(&mut self, part: &IdedExpr) {
        if self.more {
            return;
        }
        if let Some([left, right]) = called(part, operators::LOGICAL_AND) {
            self.read(left);
            self.read(right);
            return;
        }
        match Test::of(part) {
            Some(test) => self.tests.push(test),
            None => self.more = true,
        }
    }

    /// Whether the condition holds; `None` if its evaluation has to say so.
    pub(super) fn holds(&self, view: &View<'_>) -> Option<bool> {
        for test in &self.tests {
            if !test.holds(view)? {
                return Some(false);
            }
        }
        (!self.more).then_some(true)
    }
}

impl Test {
    fn of(part: &IdedExpr) -> Option<Self> {
        if let Some([only]) = called(part, operators::LOGICAL_NOT) {
            let test = Self::of(only)?;
            return Some(Self { wanted: !test.wanted, ..test });
        }
        match inner(part) {
            Expr::Call(call) => Self::compared(call),
            Expr::Comprehension(loop_) => Self::exists(loop_),
            _ => Some(Self { look: field(part)?, asked: Asked::Holds, wanted: true }),
        }
    }

    fn compared(CallExpr { func_name, target, args }: &CallExpr) -> Option<Self> {
        let ([left, right], None) = (args.as_slice(), target) else { return None };
        let made = |look, asked, wanted| Some(Self { look, asked, wanted });
        if func_name == operators::IN {
            return match inner(right) {
                Expr::List(list) => {
                    let texts = list.elements.iter().map(text).collect::<Option<_>>()?;
                    made(field(left)?, Asked::Among(texts), true)
                }
                _ => made(field(right)?, Asked::Has(text(left)?), true),
            };
        }
        let (look, constant, turned) = match (field(left), field(right)) {
            (Some(look), None) => (look, right, false),
            (None, Some(look)) => (look, left, true),
            _ => return None,
        };
        // `5 < x` is `!(x <= 5)`.
        let (order, wanted) = match (func_name.as_str(), turned) {
            (operators::EQUALS, _) => (Order::Same, true),
            (operators::NOT_EQUALS, _) => (Order::Same, false),
            (operators::LESS, false) => (Order::Less, true),
            (operators::LESS, true) => (Order::LessOrSame, false),
            (operators::LESS_EQUALS, false) => (Order::LessOrSame, true),
            (operators::LESS_EQUALS, true) => (Order::Less, false),
            (operators::GREATER, false) => (Order::LessOrSame, false),
            (operators::GREATER, true) => (Order::Less, true),
            (operators::GREATER_EQUALS, false) => (Order::Less, false),
            (operators::GREATER_EQUALS, true) => (Order::LessOrSame, true),
            _ => return None,
        };
        match (text(constant), order) {
            (Some(text), Order::Same) => made(look, Asked::Among(vec![text]), wanted),
            (Some(_), _) => None,
            (None, order) => made(look, Asked::Compares(order, number(constant)?), wanted),
        }
    }

    /// `list.exists(it, it == "a")`.
    fn exists(loop_: &ComprehensionExpr) -> Option<Self> {
        let look = field(&loop_.iter_range)?;
        let [_, body] = called(&loop_.loop_step, operators::LOGICAL_OR)? else { return None };
        let [left, right] = called(body, operators::EQUALS)? else { return None };
        let is_entry = |part| matches!(inner(part), Expr::Ident(name) if *name == loop_.iter_var);
        let constant = match (is_entry(left), is_entry(right)) {
            (true, false) => right,
            (false, true) => left,
            _ => return None,
        };
        Some(Self { look, asked: Asked::Has(text(constant)?), wanted: true })
    }

    fn holds(&self, view: &View<'_>) -> Option<bool> {
        let is_so = match (&self.asked, (self.look)(view)) {
            (Asked::Holds, Fact::Flag(flag)) => flag,
            (Asked::Among(texts), Fact::Text(text)) => texts.iter().any(|it| it == text),
            (Asked::Has(text), Fact::Texts(texts)) => texts.iter().any(|it| it == text),
            (Asked::Has(key), Fact::Labels(labels)) => labels.contains_key(key),
            (Asked::Compares(order, than), fact) => {
                let number = counted(fact)?;
                match order {
                    Order::Same => number == *than,
                    Order::Less => number < *than,
                    Order::LessOrSame => number <= *than,
                }
            }
            _ => return None,
        };
        Some(is_so == self.wanted)
    }
}

/// The arguments of a call of this operator.
fn called<'a>(part: &'a IdedExpr, operator: &str) -> Option<&'a [IdedExpr]> {
    match inner(part) {
        Expr::Call(call) if call.func_name == operator && call.target.is_none() => Some(&call.args),
        _ => None,
    }
}

fn field(part: &IdedExpr) -> Option<Look> {
    let (names, _) = names(part)?;
    look(&names.join("."))
}

fn text(part: &IdedExpr) -> Option<String> {
    constant::said(part).map(str::to_owned)
}

/// The whole number, the instant or the length of time that is written out here.
fn number(part: &IdedExpr) -> Option<i128> {
    match inner(part) {
        Expr::Literal(LiteralValue::Int(number)) => Some((*number.inner()).into()),
        Expr::Call(call) if ["timestamp", "duration"].contains(&call.func_name.as_str()) => {
            match Value::resolve(part, &Context::with_env(ENV.clone())).ok()? {
                Value::Timestamp(time) => Some(since_epoch(time)),
                Value::Duration(span) => Some(nanoseconds(span)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A fact as a number; `None` if no condition can hold it.
fn counted(fact: Fact<'_>) -> Option<i128> {
    match fact {
        Fact::Number(number) => i64::try_from(number).ok().map(i128::from),
        Fact::Time(time) => time.map(since_epoch),
        Fact::Span(span) => span.map(nanoseconds),
        Fact::Flag(_) | Fact::Text(_) | Fact::Texts(_) | Fact::Labels(_) => None,
    }
}

fn since_epoch(time: DateTime<FixedOffset>) -> i128 {
    let nanoseconds = i128::from(time.timestamp_subsec_nanos());
    i128::from(time.timestamp()).saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

fn nanoseconds(span: Duration) -> i128 {
    let part = i128::from(span.subsec_nanos());
    i128::from(span.num_seconds()).saturating_mul(1_000_000_000).saturating_add(part)
}

//! Walks an expression against the fields there are, before any of it is evaluated.

use cel::Program;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::{Context, Value};

use super::fields::{FIELDS, Kind, SILENT};
use super::{Cost, Use, inner};

/// How deep an expression may nest: each level takes stack when it is evaluated.
const DEPTH_MAX: usize = 64;

/// What is wrong with a part of an expression.
struct Wrong {
    part: u64,
    why: String,
}

type Checked = Result<Kind, Wrong>;

struct Checker<'a> {
    by: Use,
    cost: Cost,
    /// The name that `exists` or `all` gives to the entries of its list, inside of it.
    entry: Option<&'a str>,
    depth: usize,
}

/// What evaluating it costs, if it is an expression over the fields that is true or false.
pub(super) fn check(program: &Program, by: Use) -> Result<Cost, String> {
    let mut checker = Checker { by, cost: Cost::default(), entry: None, depth: 0 };
    let whole = program.expression();
    let kind = checker.kind(whole).and_then(|kind| match kind {
        Kind::Bool => Ok(checker.cost),
        other => Err(wrong(whole, format!("it is {}; write a condition", other.name()))),
    });
    kind.map_err(|Wrong { part, why }| match program.source_info().offset_for(part) {
        Some((start, _)) => format!("at character {}: {why}", start.saturating_add(1)),
        None => why,
    })
}

fn wrong(part: &IdedExpr, why: impl Into<String>) -> Wrong {
    Wrong { part: part.id, why: why.into() }
}

impl<'a> Checker<'a> {
    fn kind(&mut self, part: &'a IdedExpr) -> Checked {
        self.depth = self.depth.saturating_add(1);
        if DEPTH_MAX < self.depth {
            return Err(wrong(part, format!("it nests more than {DEPTH_MAX} deep")));
        }
        let cost = if self.entry.is_some() { &mut self.cost.each } else { &mut self.cost.plain };
        *cost = cost.saturating_add(1);
        let kind = match inner(part) {
            Expr::Literal(literal) => constant(part, literal),
            Expr::Ident(name) => self.name(part, name),
            Expr::Call(call) => self.call(part, call),
            Expr::Comprehension(loop_) => self.entries(part, loop_),
            Expr::List(_) => Err(wrong(part, "write a list only behind `in`")),
            Expr::Select(select) if select.test => {
                Err(wrong(part, "every field is always there, so has() is not known"))
            }
            Expr::Select(select) => {
                let why = format!("no field has a field `{}`; {}", select.field, known());
                Err(wrong(part, why))
            }
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                Err(wrong(part, "no field is of such a kind"))
            }
        };
        self.depth = self.depth.saturating_sub(1);
        kind
    }

    fn name(&self, part: &IdedExpr, name: &str) -> Checked {
        if self.entry == Some(name) {
            return Ok(Kind::Text);
        }
        if self.by == Use::Watch && SILENT.contains(&name) {
            return Err(wrong(
                part,
                format!(
                    "`{name}` changes without a change that a watch is told of; compare times or \
                     states instead"
                ),
            ));
        }
        let found = FIELDS.iter().find(|(field, _)| *field == name);
        let found = found.map(|(_, kind)| *kind);
        found.ok_or_else(|| wrong(part, format!("there is no field `{name}`; {}", known())))
    }

    fn call(&mut self, part: &'a IdedExpr, call: &'a CallExpr) -> Checked {
        let name = call.func_name.as_str();
        match (name, call.target.as_deref(), call.args.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, None, [left, right]) => {
                self.wants(left, Kind::Bool)?;
                self.wants(right, Kind::Bool)
            }
            (operators::LOGICAL_NOT, None, [only]) => self.wants(only, Kind::Bool),
            (operators::EQUALS | operators::NOT_EQUALS, None, [left, right]) => {
                self.same(left, right)
            }
            (
                operators::LESS
                | operators::LESS_EQUALS
                | operators::GREATER
                | operators::GREATER_EQUALS,
                None,
                [left, right],
            ) => self.ordered(part, left, right),
            (operators::IN, None, [left, right]) => self.contained(left, right),
            (operators::ADD | operators::SUBSTRACT | operators::MULTIPLY, None, [left, right]) => {
                self.sum(part, name, (left, right))
            }
            (operators::NEGATE, None, [only]) => match self.kind(only)? {
                kind @ (Kind::Int | Kind::Double) => Ok(kind),
                other => Err(wrong(only, format!("it is {}; write a number", other.name()))),
            },
            ("startsWith" | "endsWith" | "contains", Some(target), [only]) => {
                self.wants(target, Kind::Text)?;
                self.wants(only, Kind::Text)?;
                Ok(Kind::Bool)
            }
            ("size", Some(only), []) | ("size", None, [only]) => match self.kind(only)? {
                Kind::Text | Kind::Texts => Ok(Kind::Int),
                other => Err(wrong(only, format!("it is {}, which has no size", other.name()))),
            },
            ("timestamp", None, [only]) => written(part, only, Kind::Time),
            ("duration", None, [only]) => written(part, only, Kind::Span),
            _ => Err(wrong(part, unknown(name))),
        }
    }

    /// `list.exists(entry, ..)` and `list.all(entry, ..)`, which go through a field once.
    fn entries(&mut self, part: &'a IdedExpr, loop_: &'a ComprehensionExpr) -> Checked {
        if self.entry.is_some() {
            return Err(wrong(part, "one exists() or all() inside another is not known"));
        }
        let Expr::Call(step) = inner(&loop_.loop_step) else {
            return Err(wrong(part, unknown("")));
        };
        let joins =
            matches!(step.func_name.as_str(), operators::LOGICAL_AND | operators::LOGICAL_OR);
        let result = matches!(inner(&loop_.result), Expr::Ident(name) if *name == loop_.accu_var);
        let ([_, body], true, true) = (step.args.as_slice(), joins, result) else {
            return Err(wrong(part, unknown("")));
        };
        match inner(&loop_.iter_range) {
            Expr::Ident(_) => self.wants(&loop_.iter_range, Kind::Texts)?,
            _ => return Err(wrong(part, "exists() and all() go through `via` or `lanes` only")),
        };
        self.entry = Some(loop_.iter_var.as_str());
        let body = self.wants(body, Kind::Bool);
        self.entry = None;
        // What the loop itself does around each of them.
        self.cost.each = self.cost.each.saturating_add(4);
        body
    }

    fn wants(&mut self, part: &'a IdedExpr, wanted: Kind) -> Checked {
        let kind = self.kind(part)?;
        if kind == wanted {
            return Ok(kind);
        }
        Err(wrong(part, format!("it is {}, not {}", kind.name(), wanted.name())))
    }

    fn same(&mut self, left: &'a IdedExpr, right: &'a IdedExpr) -> Checked {
        let (one, other) = (self.kind(left)?, self.kind(right)?);
        match (one, other) {
            (Kind::Choice(words), Kind::Text) => one_of(right, words),
            (Kind::Text, Kind::Choice(words)) => one_of(left, words),
            (Kind::Int | Kind::Double, Kind::Int | Kind::Double) => Ok(Kind::Bool),
            (Kind::Texts, _) | (_, Kind::Texts) => {
                Err(wrong(right, "compare a list with `in`, exists() or all()"))
            }
            _ if one == other => Ok(Kind::Bool),
            _ => Err(differ(right, one, other)),
        }
    }

    fn ordered(&mut self, part: &IdedExpr, left: &'a IdedExpr, right: &'a IdedExpr) -> Checked {
        match (self.kind(left)?, self.kind(right)?) {
            (Kind::Int | Kind::Double, Kind::Int | Kind::Double)
            | (Kind::Time, Kind::Time)
            | (Kind::Span, Kind::Span)
            | (Kind::Text, Kind::Text) => Ok(Kind::Bool),
            (one @ (Kind::Bool | Kind::Choice(_) | Kind::Texts), _) => {
                Err(wrong(part, format!("{} has no order", one.name())))
            }
            (one, other) => Err(differ(right, one, other)),
        }
    }

    /// `word in ["a", "b"]` and `"a" in lanes`.
    fn contained(&mut self, left: &'a IdedExpr, right: &'a IdedExpr) -> Checked {
        let Expr::List(list) = inner(right) else {
            self.wants(left, Kind::Text)?;
            self.wants(right, Kind::Texts)?;
            // A look at each entry.
            self.cost.each = self.cost.each.saturating_add(1);
            return Ok(Kind::Bool);
        };
        if list.elements.is_empty() {
            return Err(wrong(right, "the list is empty"));
        }
        for element in &list.elements {
            self.same(left, element)?;
        }
        Ok(Kind::Bool)
    }

    fn sum(
        &mut self,
        part: &IdedExpr,
        operator: &str,
        (left, right): (&'a IdedExpr, &'a IdedExpr),
    ) -> Checked {
        match (self.kind(left)?, operator, self.kind(right)?) {
            (Kind::Int, _, Kind::Int) => Ok(Kind::Int),
            (Kind::Time, operators::SUBSTRACT, Kind::Time) => Ok(Kind::Span),
            (Kind::Time, operators::ADD | operators::SUBSTRACT, Kind::Span)
            | (Kind::Span, operators::ADD, Kind::Time) => Ok(Kind::Time),
            (Kind::Span, operators::ADD | operators::SUBSTRACT, Kind::Span) => Ok(Kind::Span),
            (one, _, other) => {
                let why = format!("this is not known of {} and {}", one.name(), other.name());
                Err(wrong(part, why))
            }
        }
    }
}

fn constant(part: &IdedExpr, literal: &LiteralValue) -> Checked {
    match literal {
        LiteralValue::Boolean(_) => Ok(Kind::Bool),
        LiteralValue::Int(_) => Ok(Kind::Int),
        LiteralValue::Double(_) => Ok(Kind::Double),
        LiteralValue::String(_) => Ok(Kind::Text),
        LiteralValue::UInt(_) => Err(wrong(part, "write a number without `u`")),
        LiteralValue::Bytes(_) | LiteralValue::Null => {
            Err(wrong(part, "no field is of such a kind"))
        }
    }
}

/// `timestamp("..")` or `duration("..")`, which is evaluated here once to see whether it is one.
fn written(part: &IdedExpr, text: &IdedExpr, kind: Kind) -> Checked {
    let example = if kind == Kind::Time { "\"2026-11-25T18:00:00Z\"" } else { "\"90m\"" };
    let is_text = matches!(inner(text), Expr::Literal(LiteralValue::String(_)));
    if is_text && Value::resolve(part, &Context::with_env(super::ENV.clone())).is_ok() {
        return Ok(kind);
    }
    Err(wrong(text, format!("it is not {}; write such as {example}", kind.name())))
}

fn one_of(part: &IdedExpr, words: &[&str]) -> Checked {
    match inner(part) {
        Expr::Literal(LiteralValue::String(said)) if words.contains(&said.inner()) => {
            Ok(Kind::Bool)
        }
        _ => {
            let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
            Err(wrong(part, format!("write one of {}", words.join(", "))))
        }
    }
}

fn differ(part: &IdedExpr, one: Kind, other: Kind) -> Wrong {
    wrong(part, format!("it is {}, compared with {}", other.name(), one.name()))
}

fn known() -> String {
    let names: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
    format!("there are {}", names.join(", "))
}

fn unknown(name: &str) -> String {
    let name =
        if name.chars().any(char::is_alphabetic) { format!("{name}()") } else { "this".into() };
    format!(
        "{name} is not known; there are && || ! == != < <= > >= in + - *, startsWith, endsWith, \
         contains, size, timestamp, duration, exists and all"
    )
}

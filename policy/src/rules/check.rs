//! Walks an expression against the fields there are, before any of it is evaluated.

use cel::Program;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, SelectExpr, operators};

use super::condition::{Cost, inner, shortened};
use super::constant;
use super::schema::{Extra, Kind, Schema};

/// How deep an expression may nest: each level takes stack when it is evaluated.
const DEPTH_MAX: usize = 64;

/// What a loop costs for each entry besides what is evaluated for it.
const STEP_COST: usize = 4;

/// What is wrong with a part of an expression.
pub(super) struct Wrong {
    part: u64,
    why: String,
}

pub(super) type Checked = Result<Kind, Wrong>;

struct Checker<'a> {
    schema: &'a Schema,
    cost: Cost,
    /// The name that `exists` or `all` gives to the entries of its list, inside of it.
    entry: Option<&'a str>,
    depth: usize,
}

/// What evaluating it costs, if it is an expression over the fields that is true or false.
pub(super) fn check(program: &Program, schema: &Schema) -> Result<Cost, String> {
    let mut checker = Checker { schema, cost: Cost::default(), entry: None, depth: 0 };
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

pub(super) fn wrong(part: &IdedExpr, why: impl Into<String>) -> Wrong {
    Wrong { part: part.id, why: why.into() }
}

impl<'a> Checker<'a> {
    fn kind(&mut self, part: &'a IdedExpr) -> Checked {
        self.depth = self.depth.saturating_add(1);
        if DEPTH_MAX < self.depth {
            return Err(wrong(part, format!("it nests more than {DEPTH_MAX} deep")));
        }
        self.node();
        let kind = match inner(part) {
            Expr::Literal(literal) => constant::kind(part, literal),
            Expr::Ident(_) => self.name(part),
            Expr::Call(call) => self.call(part, call),
            Expr::Comprehension(loop_) => self.entries(part, loop_),
            Expr::List(_) => Err(wrong(part, "write a list only behind `in`")),
            Expr::Select(select) if select.test => self.presence(part, select),
            Expr::Select(_) => self.name(part),
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                Err(wrong(part, "no field is of such a kind"))
            }
        };
        self.depth = self.depth.saturating_sub(1);
        kind
    }

    fn node(&mut self) {
        let cost = if self.entry.is_some() { &mut self.cost.each } else { &mut self.cost.plain };
        *cost = cost.saturating_add(1);
    }

    /// `has(labels.team)`.
    fn presence(&mut self, part: &'a IdedExpr, select: &'a SelectExpr) -> Checked {
        let mut whole = names(&select.operand).map(|(names, _)| names).unwrap_or_default();
        whole.push(&select.field);
        let is_field = self.schema.kind(&whole.join(".")).is_some();
        if !is_field && self.kind(&select.operand)? == Kind::Labels {
            return Ok(Kind::Bool);
        }
        Err(wrong(part, "every field is always there, so has() is not known of it"))
    }

    /// A field, a label of one, or the entry that `exists` or `all` looks at.
    fn name(&self, part: &IdedExpr) -> Checked {
        let no_field = |part: &IdedExpr, field: &str, root: &str| {
            let field = shortened(field);
            let known = self.schema.known(root);
            Err(wrong(part, format!("no field has a field `{field}`; {known}")))
        };
        let Some((names, part)) = names(part) else {
            let Expr::Select(select) = inner(part) else { return no_field(part, "", "") };
            return no_field(part, &select.field, "");
        };
        let Some((root, below)) = names.split_first() else { return no_field(part, "", "") };
        if self.entry == Some(root) {
            return below.first().map_or(Ok(Kind::Text), |field| no_field(part, field, ""));
        }
        let whole = names.join(".");
        if let Some((name, why)) = self.schema.withheld.iter().find(|(name, _)| *name == whole) {
            return Err(wrong(part, format!("`{name}` {why}")));
        }
        if let Some(kind) = self.schema.kind(&whole) {
            return Ok(kind);
        }
        // The evaluation takes the longest name that there is, and selects from that.
        for length in (1..names.len()).rev() {
            let (name, rest) = names.split_at(length);
            match (self.schema.kind(&name.join(".")), rest) {
                (None, _) => {}
                (Some(Kind::Labels), [_]) => return Ok(Kind::Text),
                (Some(_), rest) => return no_field(part, &rest.join("."), root),
            }
        }
        let (whole, known) = (shortened(&whole), self.schema.known(root));
        Err(wrong(part, format!("there is no field `{whole}`; {known}")))
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
            (operators::INDEX, None, [labels, key]) => self.label(part, labels, key),
            (operators::ADD | operators::SUBSTRACT | operators::MULTIPLY, None, [left, right]) => {
                self.sum(part, name, (left, right))
            }
            (operators::DIVIDE | operators::MODULO, None, [left, right])
                if self.schema.has(Extra::Division) =>
            {
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
                Kind::Text | Kind::Texts | Kind::Labels => Ok(Kind::Int),
                other => Err(wrong(only, format!("it is {}, which has no size", other.name()))),
            },
            ("timestamp", None, [only]) => constant::written(part, only, Kind::Time),
            ("duration", None, [only]) => constant::written(part, only, Kind::Span),
            (_, Some(target), zone)
                if self.schema.has(Extra::Calendar) && constant::CALENDAR.contains(&name) =>
            {
                let kind = self.kind(target)?;
                constant::calendar(part, name, (target, kind), zone)
            }
            _ => Err(self.unknown(part, name)),
        }
    }

    /// `list.exists(entry, ..)` and `list.all(entry, ..)`, which go through a field once.
    fn entries(&mut self, part: &'a IdedExpr, loop_: &'a ComprehensionExpr) -> Checked {
        if self.entry.is_some() {
            return Err(wrong(part, "one exists() or all() inside another is not known"));
        }
        let Expr::Call(step) = inner(&loop_.loop_step) else {
            return Err(self.unknown(part, ""));
        };
        let joins =
            matches!(step.func_name.as_str(), operators::LOGICAL_AND | operators::LOGICAL_OR);
        let result = matches!(inner(&loop_.result), Expr::Ident(name) if *name == loop_.accu_var);
        let ([_, body], true, true) = (step.args.as_slice(), joins, result) else {
            return Err(self.unknown(part, ""));
        };
        match inner(&loop_.iter_range) {
            Expr::Ident(_) | Expr::Select(_) => self.wants(&loop_.iter_range, Kind::Texts)?,
            _ => {
                let lists = self.schema.lists();
                return Err(wrong(part, format!("exists() and all() go through {lists} only")));
            }
        };
        self.entry = Some(loop_.iter_var.as_str());
        let body = self.wants(body, Kind::Bool);
        self.entry = None;
        self.cost.each = self.cost.each.saturating_add(STEP_COST);
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
            (Kind::Choice(words), Kind::Text) => constant::one_of(right, words),
            (Kind::Text, Kind::Choice(words)) => constant::one_of(left, words),
            (Kind::Int | Kind::Double, Kind::Int | Kind::Double) => Ok(Kind::Bool),
            (Kind::Texts, _) | (_, Kind::Texts) => {
                Err(wrong(right, "compare a list with `in`, exists() or all()"))
            }
            (Kind::Labels, _) | (_, Kind::Labels) => {
                Err(wrong(right, "compare one of the labels, as in `..labels[\"team\"] == \"a\"`"))
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
            (one @ (Kind::Bool | Kind::Choice(_) | Kind::Texts | Kind::Labels), _) => {
                Err(wrong(part, format!("{} has no order", one.name())))
            }
            (one, other) => Err(differ(right, one, other)),
        }
    }

    /// `word in ["a", "b"]`, `"a" in lanes` and `"team" in labels`.
    fn contained(&mut self, left: &'a IdedExpr, right: &'a IdedExpr) -> Checked {
        let Expr::List(list) = inner(right) else {
            self.wants(left, Kind::Text)?;
            return match self.kind(right)? {
                Kind::Labels => Ok(Kind::Bool),
                Kind::Texts => {
                    // A look at each entry.
                    let inside = self.entry.is_some();
                    let cost = if inside { &mut self.cost.pairs } else { &mut self.cost.each };
                    *cost = cost.saturating_add(1);
                    Ok(Kind::Bool)
                }
                other => {
                    let (other, list) = (other.name(), Kind::Texts.name());
                    Err(wrong(right, format!("it is {other}, not {list}")))
                }
            };
        };
        if list.elements.is_empty() {
            return Err(wrong(right, "the list is empty"));
        }
        for element in &list.elements {
            self.same(left, element)?;
        }
        Ok(Kind::Bool)
    }

    /// `labels["team"]`.
    fn label(&mut self, part: &IdedExpr, labels: &'a IdedExpr, key: &'a IdedExpr) -> Checked {
        if self.kind(labels)? != Kind::Labels {
            return Err(self.unknown(part, ""));
        }
        self.wants(key, Kind::Text)
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

    fn unknown(&self, part: &IdedExpr, name: &str) -> Wrong {
        let named = name.chars().any(char::is_alphabetic);
        let name = if named { format!("{}()", shortened(name)) } else { "this".into() };
        let division = if self.schema.has(Extra::Division) { " / %" } else { "" };
        let calendar = if self.schema.has(Extra::Calendar) {
            format!(", {}", constant::CALENDAR.join(", "))
        } else {
            String::new()
        };
        let why = format!(
            "{name} is not known; there are && || ! == != < <= > >= in + - *{division}, \
             startsWith, endsWith, contains, size, timestamp, duration{calendar}, exists and all"
        );
        wrong(part, why)
    }
}

/// The names that `a.b.c` consists of, and the first as a part; none of another expression. Not
/// recursive: a name may be long.
pub(super) fn names(part: &IdedExpr) -> Option<(Vec<&str>, &IdedExpr)> {
    let (mut names, mut part) = (Vec::new(), part);
    loop {
        match inner(part) {
            Expr::Ident(name) => {
                names.push(name.as_str());
                names.reverse();
                return Some((names, part));
            }
            Expr::Select(select) if !select.test => {
                names.push(select.field.as_str());
                part = &select.operand;
            }
            _ => return None,
        }
    }
}

fn differ(part: &IdedExpr, one: Kind, other: Kind) -> Wrong {
    wrong(part, format!("it is {}, compared with {}", other.name(), one.name()))
}

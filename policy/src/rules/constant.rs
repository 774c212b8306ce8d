//! What is written out in an expression: numbers, texts, instants, lengths of time, time zones.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};
use cel::{Context, Value};

use super::check::{Checked, wrong};
use super::condition::{ENV, inner, shortened};
use super::schema::Kind;

/// What can be asked of an instant; the first four also of a length of time.
pub(super) const CALENDAR: [&str; 9] = [
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
    "getDayOfWeek",
    "getDate",
    "getDayOfYear",
    "getMonth",
    "getFullYear",
];
const OF_SPANS: usize = 4;

/// Units of a length of time, those first that another begins.
const UNITS: [&str; 6] = ["ms", "us", "ns", "h", "m", "s"];

pub(super) fn kind(part: &IdedExpr, literal: &LiteralValue) -> Checked {
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
pub(super) fn written(part: &IdedExpr, text: &IdedExpr, kind: Kind) -> Checked {
    let example = if kind == Kind::Time { "\"2026-11-25T18:00:00Z\"" } else { "\"90m\"" };
    let good = said(text).is_some_and(|text| kind == Kind::Time || is_span(text));
    if good && evaluates(part) {
        return Ok(kind);
    }
    Err(wrong(text, format!("it is not {}; write such as {example}", kind.name())))
}

/// `now.getHours()` or `now.getHours("Europe/Zurich")`.
pub(super) fn calendar(
    part: &IdedExpr,
    name: &str,
    (target, kind): (&IdedExpr, Kind),
    zone: &[IdedExpr],
) -> Checked {
    let of_spans = CALENDAR.iter().take(OF_SPANS).any(|it| *it == name);
    match (kind, zone) {
        (Kind::Time, []) => Ok(Kind::Int),
        (Kind::Span, []) if of_spans => Ok(Kind::Int),
        (Kind::Time, [zone]) if said(zone).is_some() => {
            let at_epoch = call(name, Some(call("timestamp", None, number(0))), zone.clone());
            if evaluates(&at_epoch) {
                return Ok(Kind::Int);
            }
            let said = shortened(said(zone).unwrap_or_default());
            let why = format!("{said:?} is no time zone; write such as \"Europe/Zurich\"");
            Err(wrong(zone, why))
        }
        (Kind::Time, _) => {
            Err(wrong(part, format!("{name}() takes nothing or a time zone, such as \"UTC\"")))
        }
        (other, _) => Err(wrong(target, format!("{name}() is not known of {}", other.name()))),
    }
}

/// Whether this is one of these words, written out.
pub(super) fn one_of(part: &IdedExpr, words: &[&str]) -> Checked {
    if said(part).is_some_and(|said| words.contains(&said)) {
        return Ok(Kind::Bool);
    }
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    Err(wrong(part, format!("write one of {}", words.join(", "))))
}

/// The text that is written out here.
pub(super) fn said(part: &IdedExpr) -> Option<&str> {
    match inner(part) {
        Expr::Literal(LiteralValue::String(said)) => Some(said.inner()),
        _ => None,
    }
}

fn evaluates(part: &IdedExpr) -> bool {
    Value::resolve(part, &Context::with_env(ENV.clone())).is_ok()
}

/// Whether all of this is a length of time: the evaluation reads what it understands and forgets
/// the rest, so that `"1h30"` would be an hour.
fn is_span(text: &str) -> bool {
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    if rest == "0" {
        return true;
    }
    while !rest.is_empty() {
        let number = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let digits = rest.strip_suffix(number).unwrap_or_default();
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let unit = UNITS.iter().find_map(|unit| number.strip_prefix(unit));
        match unit {
            Some(after) if !whole.is_empty() && !part.is_empty() && !part.contains('.') => {
                rest = after;
            }
            _ => return false,
        }
    }
    !text.is_empty() && text != "-"
}

fn call(name: &str, target: Option<IdedExpr>, argument: IdedExpr) -> IdedExpr {
    let call =
        CallExpr { func_name: name.into(), target: target.map(Box::new), args: vec![argument] };
    IdedExpr { id: 0, expr: Expr::Call(call) }
}

fn number(value: i64) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::Int(value.into())) }
}

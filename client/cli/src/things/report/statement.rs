//! What one project had.

use tidegate_client::report::{Consumer, RefusalGroup, Statement, StatementPeriod};
use tidegate_policy::Timestamp;

use super::bar;
use super::consumers::{fields, record, sum};
use super::refusals;
use crate::output::{Column, Printer, Record, Style, Thing, Tone, Value, block, painted};
use crate::things::policy::{Binding, binding};

impl Thing for Statement {
    const ONE: &'static str = "statement";
    const MANY: &'static str = "statements";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("project", "project", |it| Value::text(&it.project)),
        Column::new("start", "start_time", |it| Value::Time(it.start)),
        Column::new("end", "end_time", |it| Value::Time(it.end)),
        Column::new("total", "total", |it| Value::Record(Record(fields(&it.total)))),
        Column::new("projects", "projects", |it| {
            Value::Records(it.projects.iter().map(record).collect())
        }),
        Column::new("periods", "periods", |it| {
            Value::Records(it.periods.iter().map(period).collect())
        }),
        Column::new("refusals", "refusals", |it| Value::Records(refusals::all(&it.refusals))),
        Column::new("limits", "limits", |it| {
            Value::Records(it.limits.iter().map(binding).collect())
        }),
    ];
}

fn period(it: &StatementPeriod) -> Record {
    let mut all = vec![("start_time", Value::Time(it.start))];
    all.extend(fields(&it.consumption));
    Record(all)
}

/// So many periods are shown at most: the last.
const PERIODS_MAX: usize = 31;

/// All of it on a page: the sum, whose it is, day by day, what was refused, and what is left.
pub(crate) fn words(it: &Statement, own: bool, printer: &Printer) -> String {
    let below = if own { " without those below it" } else { "" };
    let head = format!("statement of {}{below}, {} to {}", it.project, it.start, it.end);
    let mut parts = vec![format!("{head}\n{}", sum(&it.total))];
    if 1 < it.projects.len() {
        let columns = ["consumer", "promised", "used", "use", "wasted", "waste", "refused"];
        parts.push(printer.table::<Consumer>(&it.projects, &columns));
    }
    parts.extend(periods(&it.periods, printer.style));
    if !it.refusals.is_empty() {
        let columns = ["refused", "why", "by", "missing", "last"];
        parts.push(printer.table::<RefusalGroup>(&it.refusals, &columns));
    }
    let limits: Vec<Binding> = it.limits.iter().cloned().map(Binding).collect();
    parts.push(match limits.as_slice() {
        [] => "no quota limits it".to_owned(),
        limits => printer.table(limits, &["limit", "allowed", "used", "of", "by", "on", "until"]),
    });
    parts.join("\n\n")
}

/// Period by period, with what was promised as a bar; those without anything are left out.
fn periods(periods: &[StatementPeriod], style: Style) -> Option<String> {
    let any = |it: &&StatementPeriod| it.consumption != Default::default();
    let all: Vec<&StatementPeriod> = periods.iter().filter(any).collect();
    let most = all.iter().map(|it| it.consumption.promised.bytes()).max()?;
    let shown = all.get(all.len().saturating_sub(PERIODS_MAX)..).unwrap_or_default();
    let row = |it: &&StatementPeriod| {
        let had = &it.consumption;
        Record(vec![
            ("from", Value::Text(brief_start(it.start))),
            ("promised", Value::sum(had.promised)),
            ("", Value::Text(bar(had.promised.bytes(), most))),
            ("used", Value::sum(had.used)),
            ("wasted", Value::sum(had.wasted)),
            ("granted", Value::Count(had.granted)),
            ("refused", Value::Count(had.refused)),
        ])
    };
    let mut lines = block(&shown.iter().map(row).collect::<Vec<_>>(), style);
    let more = all.len() - shown.len();
    if 0 < more {
        let words = format!("and {more} before; -o yaml has all");
        lines.push(painted(&words, Tone::Faint, style));
    }
    Some(lines.join("\n"))
}

/// A day, or an hour of it.
fn brief_start(start: Timestamp) -> String {
    let text = Value::Time(start).brief();
    text.trim_end_matches("T00:00:00Z").replace(":00:00Z", ":00Z")
}

//! Tables for people: a header and no borders, easy to read and easy to cut.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};

use crate::output::column::{Column, Thing};
use crate::output::value::{Record, Tone, Value};

/// Whether there is colour. It only repeats what the words say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Coloured,
}

/// Rows and columns before they are drawn.
pub(super) struct Grid {
    header: Vec<String>,
    rows: Vec<Vec<Drawn>>,
}

/// A cell: what it says, its colour, and whether it stands at the right.
struct Drawn {
    text: String,
    tone: Tone,
    number: bool,
}

/// The gap between two columns, in characters.
const GAP: usize = 2;

/// So many columns are kept however narrow the terminal is.
const KEPT: usize = 3;

pub(super) fn grid<T>(columns: &[&Column<T>], things: &[T], exact: bool) -> Grid {
    let header = columns.iter().map(|column| column.title()).collect();
    let row = |thing: &T| columns.iter().map(|it| drawn(&(it.read)(thing), exact)).collect();
    Grid { header, rows: things.iter().map(row).collect() }
}

fn drawn(value: &Value, exact: bool) -> Drawn {
    let text = if exact { value.exact() } else { value.brief() };
    Drawn { text, tone: value.tone(), number: value.is_number() }
}

impl Grid {
    /// Leaves out columns from the right until the rest fits; tells which.
    pub(super) fn fit(&mut self, width: Option<u16>) -> Vec<String> {
        let Some(width) = width else { return Vec::new() };
        let mut hidden = Vec::new();
        while KEPT < self.header.len() && usize::from(width) < self.width() {
            hidden.extend(self.header.pop());
            for row in &mut self.rows {
                row.pop();
            }
        }
        hidden.reverse();
        hidden
    }

    fn width(&self) -> usize {
        let widest = |index: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(index));
            let cells = cells.map(|cell| cell.text.chars().count());
            cells.chain(self.header.get(index).map(|head| head.chars().count())).max().unwrap_or(0)
        };
        let columns = self.header.len();
        (0..columns).map(widest).sum::<usize>() + GAP * columns.saturating_sub(1)
    }

    pub(super) fn render(&self, style: Style) -> String {
        self.lines(style, true).join("\n")
    }

    /// The same without heads.
    pub(super) fn body(&self, style: Style) -> String {
        self.lines(style, false).join("\n")
    }

    fn lines(&self, style: Style, with_header: bool) -> Vec<String> {
        let mut table = Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        match style {
            Style::Plain => table.force_no_tty(),
            Style::Coloured => table.enforce_styling(),
        };
        let right = |index: usize| self.rows.iter().any(|row| row[index].number);
        if with_header {
            let heads = self.header.iter().map(|title| {
                let head = Cell::new(title.to_uppercase());
                if style == Style::Coloured { head.add_attribute(Attribute::Bold) } else { head }
            });
            table.set_header(heads);
        }
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| coloured(cell, style)));
        }
        let last = self.header.len().saturating_sub(1);
        for (index, column) in table.column_iter_mut().enumerate() {
            let gap = if index == last { 0 } else { GAP };
            column.set_padding((0, u16::try_from(gap).unwrap_or(0)));
            if right(index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

fn coloured(cell: &Drawn, style: Style) -> Cell {
    let drawn = Cell::new(&cell.text);
    match (style, cell.tone) {
        (Style::Plain, _) | (_, Tone::Plain) => drawn,
        (_, Tone::Good) => drawn.fg(Color::DarkGreen),
        (_, Tone::Warning) => drawn.fg(Color::DarkYellow),
        (_, Tone::Bad) => drawn.fg(Color::DarkRed),
        (_, Tone::Faint) => drawn.add_attribute(Attribute::Dim),
    }
}

/// A text in the colour of `tone`.
pub(crate) fn painted(text: &str, tone: Tone, style: Style) -> String {
    let code = match (style, tone) {
        (Style::Plain, _) | (_, Tone::Plain) => return text.to_owned(),
        (_, Tone::Good) => 32,
        (_, Tone::Warning) => 33,
        (_, Tone::Bad) => 31,
        (_, Tone::Faint) => 2,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// How wide the terminal is; `None` if there is none.
pub(super) fn terminal_width() -> Option<u16> {
    Table::new().width()
}

/// One thing: its kind and its first column, then a line for each other column, and a block for
/// what has several parts.
pub(super) fn details<T: Thing>(columns: &[&Column<T>], thing: &T, style: Style) -> String {
    let values = columns.iter().map(|column| (column.title(), (column.read)(thing)));
    let mut values = values.filter(|(_, value)| !value.is_nothing());
    let mut lines = Vec::new();
    if let Some((_, first)) = values.next() {
        lines.push(format!("{} {}", T::ONE, first.exact()));
    }
    let values: Vec<(String, Value)> = values.collect();
    let flat = values.iter().filter(|(_, value)| !matches!(value, Value::Records(_)));
    let widest = flat.map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    for (label, value) in &values {
        if let Value::Records(records) = value {
            lines.push(format!("  {label}"));
            lines.extend(block(records, style).iter().map(|line| format!("    {line}")));
            continue;
        }
        let text = painted(&value.exact(), value.tone(), style);
        lines.push(format!("  {label:widest$}  {text}"));
    }
    lines.join("\n")
}

/// So many fields need no heads to be understood.
const OBVIOUS: usize = 2;

/// Records as a table of their own.
pub(crate) fn block(records: &[Record], style: Style) -> Vec<String> {
    let Some(Record(first)) = records.first() else { return Vec::new() };
    // The unit of a key is for programs: people see it in the value.
    let head = |key: &str| {
        let plain = key.trim_end_matches("_bps").trim_end_matches("_time");
        plain.trim_end_matches("_percent").trim_end_matches("_ppm").replace('_', " ")
    };
    let header: Vec<String> = first.iter().map(|(key, _)| head(key)).collect();
    let row = |Record(fields): &Record| fields.iter().map(|(_, it)| drawn(it, true)).collect();
    let grid = Grid { rows: records.iter().map(row).collect(), header };
    grid.lines(style, OBVIOUS < first.len())
}

//! Everything that is printed on standard output: one mechanism for every list and every single
//! thing, in every format. A kind of thing says its columns ([`Thing`]); nothing here knows one.

mod column;
mod data;
pub(crate) mod round;
mod spark;
mod table;
mod value;

use std::io::{IsTerminal, Write};

use column::Seen;
pub(crate) use column::{Column, Thing};
pub(crate) use spark::{HEIGHTS, height, sparkline};
pub(crate) use table::{Style, block, painted};
pub(crate) use value::{Fields, Record, Tone, Value};

use crate::arguments::{Format, General};
use crate::exit::Mistake;

/// How this run of the program prints.
#[derive(Clone, Debug)]
pub(crate) struct Printer {
    pub(crate) format: Format,
    columns: Vec<String>,
    pub(crate) style: Style,
    terminal: bool,
}

/// How it prints one kind of thing: the columns are known to exist.
pub(crate) struct Sheet<T: 'static> {
    printer: Printer,
    /// Those that were asked for; empty means those that the format shows by itself.
    chosen: Vec<&'static Column<T>>,
}

impl Printer {
    pub(crate) fn new(general: &General) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let unwanted = general.no_color.as_deref().is_some_and(|said| !said.is_empty());
        let colour = terminal && !unwanted && general.term.as_deref() != Some("dumb");
        Self {
            format: general.output,
            columns: general.columns.clone(),
            style: if colour { Style::Coloured } else { Style::Plain },
            terminal,
        }
    }

    /// Whether a person reads along.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether somebody said which columns to print.
    pub(crate) fn is_choosy(&self) -> bool {
        !self.columns.is_empty()
    }

    /// Whether the answer is for people.
    pub(crate) fn for_people(&self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    /// A table of the columns with these names, inside something larger.
    pub(crate) fn table<T: Thing>(&self, things: &[T], names: &[&str]) -> String {
        if things.is_empty() {
            return format!("no {}", T::MANY);
        }
        let find = |name: &&str| T::COLUMNS.iter().find(|column| column.name == *name);
        let columns: Vec<&Column<T>> = names.iter().filter_map(find).collect();
        let mut grid = table::grid(&columns, things, false);
        if self.terminal {
            grid.fit(table::terminal_width());
        }
        grid.render(self.style)
    }

    /// For an answer that is not what was asked for: its columns are not a matter of choice.
    pub(crate) fn sheet_of_all<T: Thing>(&self) -> Sheet<T> {
        Sheet { printer: self.clone(), chosen: Vec::new() }
    }

    /// To be asked for before anything is done: it finds columns that do not exist.
    pub(crate) fn sheet<T: Thing>(&self) -> Result<Sheet<T>, Mistake> {
        Ok(Sheet { printer: self.clone(), chosen: column::chosen::<T>(&self.columns)? })
    }
}

impl<T: Thing> Sheet<T> {
    /// Prints a list; `none` is told on standard error where a person would see nothing.
    pub(crate) fn list(&self, things: &[T]) -> anyhow::Result<()> {
        let columns = self.columns(Seen::Wide);
        match self.printer.format {
            Format::Table | Format::Wide if things.is_empty() => {
                say(&format!("there are no {}", T::MANY));
                Ok(())
            }
            Format::Table | Format::Wide => {
                let exact = self.printer.format == Format::Wide;
                let mut columns = columns;
                if !exact && self.chosen.is_empty() {
                    let told = |column: &&Column<T>| {
                        things.iter().any(|thing| !(column.read)(thing).is_nothing())
                    };
                    columns.retain(told);
                }
                let mut grid = table::grid(&columns, things, exact);
                let fits = self.printer.terminal && !exact && self.chosen.is_empty();
                let hidden = if fits { grid.fit(table::terminal_width()) } else { Vec::new() };
                print(&grid.render(self.printer.style))?;
                if !hidden.is_empty() {
                    let hidden = hidden.join(", ");
                    hint(&format!("{hidden} left out to fit the terminal; see all with -o wide"));
                }
                Ok(())
            }
            format => print(&data::list(format, &columns, things)?),
        }
    }

    /// Prints a list, for people with words above and below it, unless they chose the columns.
    pub(crate) fn list_within(
        &self,
        above: &str,
        things: &[T],
        below: &[String],
    ) -> anyhow::Result<()> {
        let told = self.printer.for_people() && self.chosen.is_empty();
        if told && !things.is_empty() {
            print(&format!("{above}\n"))?;
        }
        self.list(things)?;
        if told && !below.is_empty() {
            print(&format!("\n{}", below.join("\n")))?;
        }
        Ok(())
    }

    /// Prints things one by one, as they come.
    pub(crate) fn stream(&self) -> Lines<'_, T> {
        Lines { sheet: self, begun: false }
    }

    /// Prints a line for each thing, without heads, of the columns with these names; for programs a
    /// document for each.
    pub(crate) fn lines(&self, things: &[T], names: [&str; 2]) -> anyhow::Result<()> {
        let shown = |it: &&Column<T>| names.contains(&it.name);
        let columns: Vec<&Column<T>> = T::COLUMNS.iter().filter(shown).collect();
        match self.printer.format {
            _ if things.is_empty() => Ok(()),
            Format::Table | Format::Wide if self.chosen.is_empty() => {
                let grid = table::grid(&columns, things, true);
                print(&grid.body(self.printer.style))
            }
            Format::Json => things.iter().try_for_each(|thing| self.one(thing)),
            _ => self.list(things),
        }
    }

    /// Prints a list, for people each thing in words of its own.
    pub(crate) fn list_as(
        &self,
        things: &[T],
        words: fn(&T, Style) -> String,
    ) -> anyhow::Result<()> {
        if !self.printer.for_people() || !self.chosen.is_empty() {
            return self.list(things);
        }
        let parts: Vec<String> = things.iter().map(|it| words(it, self.printer.style)).collect();
        if parts.is_empty() { Ok(()) } else { print(&parts.join("\n\n")) }
    }

    /// Prints one thing: a line for each column.
    pub(crate) fn one(&self, thing: &T) -> anyhow::Result<()> {
        self.one_as(thing, |style| table::details(&self.columns(Seen::Alone), thing, style))
    }

    /// Prints one thing, for people in words of its own.
    pub(crate) fn one_as(
        &self,
        thing: &T,
        words: impl FnOnce(Style) -> String,
    ) -> anyhow::Result<()> {
        match self.printer.format {
            Format::Table | Format::Wide if !self.chosen.is_empty() => {
                let grid = table::grid(&self.chosen, std::slice::from_ref(thing), true);
                print(&grid.render(self.printer.style))
            }
            Format::Table | Format::Wide => print(&words(self.printer.style)),
            format => print(&data::one(format, &self.columns(Seen::Data), thing)?),
        }
    }

    /// The columns to print: those of a list, or those of one thing.
    fn columns(&self, of: Seen) -> Vec<&'static Column<T>> {
        if !self.chosen.is_empty() {
            return self.chosen.clone();
        }
        let seen = |column: &&Column<T>| match self.printer.format {
            Format::Table if of == Seen::Wide => matches!(column.seen, Seen::Table | Seen::People),
            Format::Wide if of == Seen::Wide => {
                matches!(column.seen, Seen::Table | Seen::People | Seen::Wide)
            }
            Format::Table | Format::Wide => !matches!(column.seen, Seen::Data | Seen::Drawn),
            Format::Json | Format::Jsonl | Format::Yaml | Format::Csv => column.is_data(),
        };
        T::COLUMNS.iter().filter(seen).collect()
    }
}

/// Things that are printed as they come: a line each, or a document each.
pub(crate) struct Lines<'a, T: 'static> {
    sheet: &'a Sheet<T>,
    begun: bool,
}

impl<T: Thing> Lines<'_, T> {
    /// Prints the next one; `words` are for people, who are not told of what has none.
    pub(crate) fn next(
        &mut self,
        thing: &T,
        words: fn(&T, Style) -> Option<String>,
    ) -> anyhow::Result<()> {
        let begun = std::mem::replace(&mut self.begun, true);
        let printer = &self.sheet.printer;
        let columns = self.sheet.columns(Seen::Alone);
        match printer.format {
            Format::Table | Format::Wide => match words(thing, printer.style) {
                None => Ok(()),
                Some(line) if self.sheet.chosen.is_empty() => print(&line),
                Some(_) => {
                    let cells = columns.iter().map(|column| (column.read)(thing).exact());
                    print(&cells.collect::<Vec<_>>().join("  "))
                }
            },
            Format::Json | Format::Jsonl => print(&data::one(Format::Jsonl, &columns, thing)?),
            Format::Yaml => print(&format!("---\n{}", data::one(Format::Yaml, &columns, thing)?)),
            Format::Csv => {
                let text = data::one(Format::Csv, &columns, thing)?;
                // The head stands on the first line, once.
                let rest = if begun { text.split_once('\n').map(|(_, rest)| rest) } else { None };
                print(rest.unwrap_or(&text))
            }
        }
    }
}

/// Things as values of something larger, with all that programs are told of them.
pub(crate) fn records<T: Thing>(things: &[T]) -> Vec<Record> {
    let columns: Vec<&Column<T>> = T::COLUMNS.iter().filter(|it| it.is_data()).collect();
    things.iter().map(|thing| data::record(&columns, thing)).collect()
}

/// Prints the bytes of a file as they are.
pub(crate) fn pass_on(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

/// Prints what was asked for.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.trim_end_matches('\n').as_bytes())?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Says something that is not what was asked for.
#[allow(clippy::print_stderr, reason = "everything but data goes to standard error")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// Says what to do next.
pub(crate) fn hint(text: &str) {
    say(&format!("hint: {text}"));
}

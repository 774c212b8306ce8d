//! What can be said of a kind of thing: one table of columns, from which every format is made.

use crate::exit::Mistake;
use crate::output::value::Value;

/// A kind of thing that is printed, alone or in a list.
pub(crate) trait Thing: Sized + 'static {
    /// What one is called.
    const ONE: &'static str;
    /// What several are called.
    const MANY: &'static str;
    /// What can be said of one, most important first.
    const COLUMNS: &'static [Column<Self>];
}

/// One thing that can be said.
pub(crate) struct Column<T: 'static> {
    /// What `--columns` calls it, and in capitals the head of a table.
    pub(crate) name: &'static str,
    /// What programs call it, with its unit.
    pub(crate) key: &'static str,
    /// Where it is seen without being asked for.
    pub(crate) seen: Seen,
    /// How to find it.
    pub(crate) read: fn(&T) -> Value,
}

/// Where a column is seen without being asked for. Programs see every column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// In every table.
    Table,
    /// In wide tables, and where one thing is shown.
    Wide,
    /// Where one thing is shown.
    Alone,
    /// By people only, in every table: a picture of what programs have as numbers.
    People,
    /// By programs only.
    Data,
    /// A picture of what another column says: where it is asked for.
    Drawn,
}

impl<T> Column<T> {
    /// A column of every table.
    pub(crate) const fn new(name: &'static str, key: &'static str, read: fn(&T) -> Value) -> Self {
        Self { name, key, seen: Seen::Table, read }
    }

    /// A column of wide tables, and of one thing.
    pub(crate) const fn wide(name: &'static str, key: &'static str, read: fn(&T) -> Value) -> Self {
        Self { name, key, seen: Seen::Wide, read }
    }

    /// A line where one thing is shown.
    pub(crate) const fn alone(
        name: &'static str,
        key: &'static str,
        read: fn(&T) -> Value,
    ) -> Self {
        Self { name, key, seen: Seen::Alone, read }
    }

    /// A picture in every table.
    pub(crate) const fn pictured(
        name: &'static str,
        key: &'static str,
        read: fn(&T) -> Value,
    ) -> Self {
        Self { name, key, seen: Seen::People, read }
    }

    /// A column for programs.
    pub(crate) const fn data(name: &'static str, key: &'static str, read: fn(&T) -> Value) -> Self {
        Self { name, key, seen: Seen::Data, read }
    }

    /// A picture.
    pub(crate) const fn drawn(
        name: &'static str,
        key: &'static str,
        read: fn(&T) -> Value,
    ) -> Self {
        Self { name, key, seen: Seen::Drawn, read }
    }

    /// Whether programs see it without asking for it.
    pub(crate) fn is_data(&self) -> bool {
        !matches!(self.seen, Seen::Drawn | Seen::People)
    }

    /// Its head in a table, its label where one thing is shown.
    pub(crate) fn title(&self) -> String {
        self.name.replace('-', " ")
    }
}

/// The columns that were asked for, in that order.
pub(crate) fn chosen<T: Thing>(names: &[String]) -> Result<Vec<&'static Column<T>>, Mistake> {
    let find = |name: &String| {
        // As in the head of a table, too: `HELD UNTIL` is `held-until`.
        let name = name.trim().to_lowercase().replace(' ', "-");
        let known = T::COLUMNS.iter().find(|it| it.name == name || it.key == name);
        known.ok_or_else(|| {
            let there: Vec<&str> = T::COLUMNS.iter().map(|column| column.name).collect();
            Mistake::new(format!("{} have no column {name:?}", T::MANY))
                .hint(format!("there are {}", there.join(", ")))
        })
    };
    names.iter().map(find).collect()
}

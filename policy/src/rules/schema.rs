//! What there is to ask for: names, what they are, and what may be done with them.

/// What an expression is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// True or false.
    Bool,
    /// A whole number of 64 bits with a sign.
    Int,
    /// A number with a point: only to compare whole ones with, as in `rate_bps > 10e9`.
    Double,
    /// A text.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An instant.
    Time,
    /// A length of time.
    Span,
    /// A list of texts.
    Texts,
    /// Texts by keys that are texts.
    Labels,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bool => "yes or no",
            Self::Int | Self::Double => "a number",
            Self::Text => "a text",
            Self::Choice(_) => "a fixed word",
            Self::Time => "an instant",
            Self::Span => "a length of time",
            Self::Texts => "a list of texts",
            Self::Labels => "a map of labels",
        }
    }
}

/// What not every schema lets conditions do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extra {
    /// `/` and `%`, which fail by zero.
    Division,
    /// `getHours()` and the like, of an instant or a length of time.
    Calendar,
}

/// The names that a condition may ask for. Whoever evaluates it has to know each of them.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Every name and what it is. A name may have one point in it, as `request.project` has: what
    /// stands before that is nothing by itself.
    pub fields: &'static [(&'static str, Kind)],
    /// Names that are there but not to be asked for here, and why.
    pub withheld: &'static [(&'static str, &'static str)],
    /// What conditions may do besides.
    pub extras: &'static [Extra],
}

impl Schema {
    pub(super) fn kind(&self, name: &str) -> Option<Kind> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, kind)| *kind)
    }

    pub(super) fn has(&self, extra: Extra) -> bool {
        self.extras.contains(&extra)
    }

    /// The names there are, of one message if `root` is one.
    pub(super) fn known(&self, root: &str) -> String {
        let within = |name: &str| name.split_once('.').is_some_and(|(before, _)| before == root);
        let names = || self.fields.iter().map(|(name, _)| *name);
        let of_root: Vec<&str> = names().filter(|name| within(name)).collect();
        let shown = if of_root.is_empty() { names().collect() } else { of_root };
        format!("there are {}", shown.join(", "))
    }

    /// The names of the lists there are.
    pub(super) fn lists(&self) -> String {
        let lists = self.fields.iter().filter(|(_, kind)| *kind == Kind::Texts);
        lists.map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
    }
}

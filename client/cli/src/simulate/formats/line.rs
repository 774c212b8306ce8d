//! One request as it stands in a file: read by a replay, written by `generate` and `export`.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;

/// An instant as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged, expecting = "an instant is a number of seconds, or RFC 3339 text")]
pub(crate) enum When {
    /// Seconds from the beginning of the file.
    Seconds(Number),
    /// RFC 3339.
    At(String),
}

/// What tells one request of a file from the others.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(untagged, expecting = "an id is a whole number or text")]
pub(crate) enum Id {
    Number(u64),
    Text(String),
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// What kind of request it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// This rate at this time.
    Rigid,
    /// This rate for this long, somewhere in a window.
    Flex,
    /// These bytes by then.
    Volume,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Rigid, Self::Flex, Self::Volume];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rigid => "rigid",
            Self::Flex => "flex",
            Self::Volume => "volume",
        }
    }
}

/// One line. Which fields belong to which kind, [`Line::strays`] says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Line {
    pub(crate) id: Option<Id>,
    pub(crate) arrive_s: Option<When>,
    #[serde(deserialize_with = "names")]
    pub(crate) src: Vec<String>,
    pub(crate) dst: String,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "names")]
    pub(crate) via: Vec<String>,
    pub(crate) kind: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prio: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate_bps: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start_s: Option<When>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end_s: Option<When>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) volume_bytes: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_bps: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min_bps: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ref_rate_bps: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ref_duration_s: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration_s: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start_min_s: Option<When>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end_max_s: Option<When>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deadline_s: Option<When>,
}

/// A list, also of one: the parser's own words for what else it finds say too little.
fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let found = serde_json::Value::deserialize(from)?;
    let wrong = |_| D::Error::custom("src and via are lists of names, such as [\"a\"]");
    serde_json::from_value(found).map_err(wrong)
}

impl Line {
    /// The instants that it says.
    pub(super) fn instants(&self) -> impl Iterator<Item = &When> {
        let (window, deadline) = ([&self.start_min_s, &self.end_max_s], &self.deadline_s);
        let fixed = [&self.arrive_s, &self.start_s, &self.end_s];
        fixed.into_iter().chain(window).chain([deadline]).flatten()
    }

    /// Fields that its kind does not have: they would be dropped without a word.
    pub(super) fn strays(&self, kind: Kind) -> impl Iterator<Item = &'static str> {
        use Kind::{Flex, Rigid, Volume};
        let fields: [(&'static str, bool, &[Kind]); 12] = [
            ("rate_bps", self.rate_bps.is_some(), &[Rigid, Flex]),
            ("start_s", self.start_s.is_some(), &[Rigid]),
            ("end_s", self.end_s.is_some(), &[Rigid]),
            ("duration_s", self.duration_s.is_some(), &[Flex]),
            ("start_min_s", self.start_min_s.is_some(), &[Flex, Volume]),
            ("end_max_s", self.end_max_s.is_some(), &[Flex]),
            ("volume_bytes", self.volume_bytes.is_some(), &[Volume]),
            ("max_bps", self.max_bps.is_some(), &[Volume]),
            ("min_bps", self.min_bps.is_some(), &[Volume]),
            ("ref_rate_bps", self.ref_rate_bps.is_some(), &[Volume]),
            ("ref_duration_s", self.ref_duration_s.is_some(), &[Volume]),
            ("deadline_s", self.deadline_s.is_some(), &[Volume]),
        ];
        let stray = move |(name, there, kinds): (&'static str, bool, &[Kind])| {
            (there && !kinds.contains(&kind)).then_some(name)
        };
        fields.into_iter().filter_map(stray)
    }
}

//! What a rule sees of a request, and under which names.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use cel::common::traits::{Container, Indexer, Sizer};
use cel::common::types::{CelInt, CelList, CelString, MAP_TYPE, Type};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{ExecutionError, Value};
use chrono::{DateTime, Duration, FixedOffset};

use super::schema::{Extra, Kind, Schema};
use crate::endpoint::Endpoint;
use crate::ids::{ClassId, ProjectId};
use crate::project::{DEPTH_MAX, Project, Projects};
use crate::time::{Span, Timestamp};
use crate::units::{BitRate, ByteCount};

/// The most sources that a request names.
pub const SOURCES_MAX: usize = 16;

/// The most entries of a list: the cost of a rule is counted with so many.
pub(super) const ENTRIES_MAX: usize = if DEPTH_MAX < SOURCES_MAX { SOURCES_MAX } else { DEPTH_MAX };

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShapeKind {
    /// A rate over an interval.
    Rigid,
    /// A rate within bounds, for a time somewhere in a window.
    Flexible,
    /// A volume by a deadline.
    Transfer,
    /// What was offered, exactly.
    Offer,
}

/// A request as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The instant at which it is decided.
    pub now: Timestamp,
    /// All projects.
    pub projects: &'a Projects,
    /// The project that asks.
    pub project: &'a ProjectId,
    /// Who asks; empty if nobody says.
    pub principal: &'a str,
    /// The class that is asked for.
    pub class: Option<&'a ClassId>,
    /// What is asked for.
    pub shape: ShapeKind,
    /// The highest payload rate that is of use.
    pub rate: BitRate,
    /// The lowest payload rate that helps.
    pub min: BitRate,
    /// The payload bytes of a transfer; otherwise nothing.
    pub volume: ByteCount,
    /// How long it lasts; of a transfer, from its earliest start to its deadline.
    pub duration: Span,
    /// The earliest start.
    pub start: Timestamp,
    /// The latest end, or the deadline.
    pub end: Timestamp,
    /// The priority that is asked for.
    pub priority: u8,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Where the bytes may come from, at most [`SOURCES_MAX`]; none if it names its lanes itself.
    pub sources: &'a [Endpoint],
    /// Where they go; none if it names its lanes itself.
    pub destination: Option<&'a Endpoint>,
    /// How many streams carry them.
    pub streams: u32,
    /// It is to be held, not confirmed.
    pub held: bool,
    /// Its plan may be moved.
    pub movable: bool,
    /// It is bound to a session.
    pub session: bool,
}

impl ShapeKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Rigid => "rigid",
            Self::Flexible => "flexible",
            Self::Transfer => "transfer",
            Self::Offer => "offer",
        }
    }
}

const SHAPES: &[&str] = &[
    ShapeKind::Rigid.name(),
    ShapeKind::Flexible.name(),
    ShapeKind::Transfer.name(),
    ShapeKind::Offer.name(),
];

/// A field of a request.
#[derive(Clone, Copy)]
pub(super) enum Fact<'v> {
    Flag(bool),
    /// No condition holds more than 2^63 - 1.
    Number(u64),
    Text(&'v str),
    Texts(&'v [Cow<'v, str>]),
    Labels(&'v BTreeMap<String, String>),
    /// Nothing where a calendar does not reach.
    Time(Option<DateTime<FixedOffset>>),
    Span(Option<Duration>),
}

/// Looks up a field.
pub(super) type Look = for<'v> fn(&'v View<'_>) -> Fact<'v>;

/// Every field: its name, what it is, and where it is.
const FIELDS: [(&str, Kind, Look); 22] = [
    ("now", Kind::Time, |it| instant(it.facts.now)),
    ("project.name", Kind::Text, |it| Fact::Text(it.facts.project.0.as_str())),
    ("project.lineage", Kind::Texts, |it| Fact::Texts(it.lineage())),
    ("project.labels", Kind::Labels, |it| {
        let project = it.facts.projects.get(it.facts.project);
        Fact::Labels(project.map_or(&NO_LABELS, |it| &it.labels))
    }),
    ("request.project", Kind::Text, |it| Fact::Text(it.facts.project.0.as_str())),
    ("request.principal", Kind::Text, |it| Fact::Text(it.facts.principal)),
    ("request.class", Kind::Text, |it| Fact::Text(it.facts.class.map_or("", |it| it.0.as_str()))),
    ("request.shape", Kind::Choice(SHAPES), |it| Fact::Text(it.facts.shape.name())),
    ("request.rate_bps", Kind::Int, |it| Fact::Number(it.facts.rate.bps())),
    ("request.min_bps", Kind::Int, |it| Fact::Number(it.facts.min.bps())),
    ("request.volume_bytes", Kind::Int, |it| Fact::Number(it.facts.volume.bytes())),
    ("request.duration", Kind::Span, |it| {
        let ms = i64::try_from(it.facts.duration.as_ms()).ok();
        Fact::Span(ms.and_then(Duration::try_milliseconds))
    }),
    ("request.start_time", Kind::Time, |it| instant(it.facts.start)),
    ("request.end_time", Kind::Time, |it| instant(it.facts.end)),
    ("request.priority", Kind::Int, |it| Fact::Number(it.facts.priority.into())),
    ("request.labels", Kind::Labels, |it| Fact::Labels(it.facts.labels)),
    ("request.sources", Kind::Texts, |it| Fact::Texts(it.sources())),
    ("request.destination", Kind::Text, |it| Fact::Text(it.destination())),
    ("request.streams", Kind::Int, |it| Fact::Number(it.facts.streams.into())),
    ("request.held", Kind::Bool, |it| Fact::Flag(it.facts.held)),
    ("request.movable", Kind::Bool, |it| Fact::Flag(it.facts.movable)),
    ("request.session", Kind::Bool, |it| Fact::Flag(it.facts.session)),
];

const NAMES: [(&str, Kind); FIELDS.len()] = {
    let mut names = [("", Kind::Bool); FIELDS.len()];
    let mut place = 0;
    while place < FIELDS.len() {
        names[place] = (FIELDS[place].0, FIELDS[place].1);
        place += 1;
    }
    names
};

/// What the condition of a rule may ask for, as `docs/rules.md` lists it.
pub const SCHEMA: Schema =
    Schema { fields: &NAMES, withheld: &[], extras: &[Extra::Division, Extra::Calendar] };

static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

/// Facts under the names that rules have for them. What takes work is made once, when it is asked
/// for first.
pub(super) struct View<'a> {
    facts: &'a Facts<'a>,
    lineage: OnceLock<Vec<Cow<'a, str>>>,
    sources: OnceLock<Vec<Cow<'a, str>>>,
    destination: OnceLock<String>,
}

impl<'a> View<'a> {
    pub(super) fn new(facts: &'a Facts<'a>) -> Self {
        let (lineage, sources) = (OnceLock::new(), OnceLock::new());
        Self { facts, lineage, sources, destination: OnceLock::new() }
    }

    fn lineage(&self) -> &[Cow<'a, str>] {
        self.lineage.get_or_init(|| {
            let lineage = self.facts.projects.lineage(self.facts.project);
            lineage.map(|it: &'a Project| it.id.0.as_str().into()).collect()
        })
    }

    fn sources(&self) -> &[Cow<'a, str>] {
        self.sources.get_or_init(|| {
            let sources = self.facts.sources.iter().take(SOURCES_MAX);
            sources.map(|it| it.to_string().into()).collect()
        })
    }

    fn destination(&self) -> &str {
        let destination = self.facts.destination;
        self.destination.get_or_init(|| destination.map(ToString::to_string).unwrap_or_default())
    }
}

impl VariableResolver for View<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        look(variable)?(self).into_value()
    }
}

/// The field of a name.
pub(super) fn look(name: &str) -> Option<Look> {
    FIELDS.iter().find(|(field, ..)| *field == name).map(|(.., look)| *look)
}

impl<'v> Fact<'v> {
    /// As conditions hold it; nothing if none can.
    fn into_value(self) -> Option<CowVal<'v, 'v>> {
        match self {
            Self::Flag(flag) => value(flag.into()),
            Self::Number(number) => Some(CowVal::owned(CelInt::from(i64::try_from(number).ok()?))),
            Self::Text(text) => Some(CowVal::owned(CelString::from(text))),
            Self::Texts(texts) => {
                let texts = texts.iter().map(|it| boxed(CelString::from(&**it)));
                Some(CowVal::owned(CelList::from(texts.collect::<Vec<_>>())))
            }
            Self::Labels(labels) => Some(as_value(labels)),
            Self::Time(time) => value(Value::Timestamp(time?)),
            Self::Span(span) => value(Value::Duration(span?)),
        }
    }
}

fn boxed<'a>(text: CelString<'a>) -> Box<dyn Val + 'a> {
    Box::new(text)
}

fn instant<'v>(time: Timestamp) -> Fact<'v> {
    Fact::Time(DateTime::from_timestamp_millis(time.as_ms()).map(|it| it.fixed_offset()))
}

fn value<'b>(value: Value) -> Option<CowVal<'b, 'b>> {
    let value: Box<dyn Val> = value.try_into().ok()?;
    Some(CowVal::Owned(value))
}

/// Labels as conditions hold them, for whoever evaluates one.
#[must_use]
pub fn as_value(labels: &BTreeMap<String, String>) -> CowVal<'_, '_> {
    CowVal::owned(Labels(labels))
}

/// Labels where they stand: no copy, and no order of hashes.
#[derive(Clone, Copy, Debug)]
struct Labels<'a>(&'a BTreeMap<String, String>);

impl Val for Labels<'_> {
    fn get_type(&self) -> &Type {
        <Self as Val>::cel_type()
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(*self)
    }
}

impl Container for Labels<'_> {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.0.contains_key(spelt(key)?))
    }
}

impl Indexer for Labels<'_> {
    fn get<'b, 'v>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let key = spelt(key)?;
        let value = self.0.get(key).ok_or_else(|| ExecutionError::no_such_key(key))?;
        Ok(CowVal::owned(CelString::from(value.as_str())))
    }

    fn steal<'v>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(key).map(CowVal::into_owned)
    }
}

impl Sizer for Labels<'_> {
    fn size(&self) -> CelInt {
        i64::try_from(self.0.len()).unwrap_or(i64::MAX).into()
    }
}

fn spelt(key: &dyn Val) -> Result<&str, ExecutionError> {
    let spelt = key.downcast_ref::<CelString<'_>>().map(CelString::inner);
    spelt.ok_or_else(|| ExecutionError::UnexpectedType {
        got: key.get_type().name().to_owned(),
        want: "a text".to_owned(),
    })
}

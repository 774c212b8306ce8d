//! What a rule sees of a request, and under which names.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use cel::common::traits::{Container, Indexer, Sizer};
use cel::common::types::{CelInt, CelList, CelString, MAP_TYPE, Type};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{ExecutionError, Value};
use chrono::DateTime;

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

const SHAPES: &[&str] = &["rigid", "flexible", "transfer", "offer"];

const FIELDS: [(&str, Kind); 22] = [
    ("now", Kind::Time),
    ("project.name", Kind::Text),
    ("project.lineage", Kind::Texts),
    ("project.labels", Kind::Labels),
    ("request.project", Kind::Text),
    ("request.principal", Kind::Text),
    ("request.class", Kind::Text),
    ("request.shape", Kind::Choice(SHAPES)),
    ("request.rate_bps", Kind::Int),
    ("request.min_bps", Kind::Int),
    ("request.volume_bytes", Kind::Int),
    ("request.duration", Kind::Span),
    ("request.start_time", Kind::Time),
    ("request.end_time", Kind::Time),
    ("request.priority", Kind::Int),
    ("request.labels", Kind::Labels),
    ("request.sources", Kind::Texts),
    ("request.destination", Kind::Text),
    ("request.streams", Kind::Int),
    ("request.held", Kind::Bool),
    ("request.movable", Kind::Bool),
    ("request.session", Kind::Bool),
];

/// What the condition of a rule may ask for, as `docs/rules.md` lists it.
pub const SCHEMA: Schema =
    Schema { fields: &FIELDS, withheld: &[], extras: &[Extra::Division, Extra::Calendar] };

static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

/// Facts under the names that rules have for them. What takes work is made once, when it is asked
/// for first.
pub(super) struct View<'a> {
    facts: &'a Facts<'a>,
    lineage: OnceLock<CelList<'a>>,
    sources: OnceLock<CelList<'a>>,
}

impl<'a> View<'a> {
    pub(super) fn new(facts: &'a Facts<'a>) -> Self {
        Self { facts, lineage: OnceLock::new(), sources: OnceLock::new() }
    }

    fn lineage(&self) -> CelList<'a> {
        let lineage = self.facts.projects.lineage(self.facts.project);
        let texts = lineage.map(|it: &'a Project| boxed(CelString::from(it.id.0.as_str())));
        texts.collect::<Vec<_>>().into()
    }

    fn sources(&self) -> CelList<'a> {
        let sources = self.facts.sources.iter().take(SOURCES_MAX);
        let texts = sources.map(|it| boxed(CelString::from(it.to_string())));
        texts.collect::<Vec<_>>().into()
    }
}

impl VariableResolver for View<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let it = self.facts;
        match variable {
            "now" => instant(it.now),
            "project.name" | "request.project" => text(it.project.0.as_str()),
            "project.lineage" => {
                Some(CowVal::Borrowed(self.lineage.get_or_init(|| self.lineage())))
            }
            "project.labels" => {
                let project = it.projects.get(it.project);
                labels(project.map_or(&NO_LABELS, |it| &it.labels))
            }
            "request.principal" => text(it.principal),
            "request.class" => text(it.class.map_or("", |it| it.0.as_str())),
            "request.shape" => text(match it.shape {
                ShapeKind::Rigid => "rigid",
                ShapeKind::Flexible => "flexible",
                ShapeKind::Transfer => "transfer",
                ShapeKind::Offer => "offer",
            }),
            "request.rate_bps" => number(it.rate.bps()),
            "request.min_bps" => number(it.min.bps()),
            "request.volume_bytes" => number(it.volume.bytes()),
            "request.duration" => {
                let ms = i64::try_from(it.duration.as_ms()).ok()?;
                value(Value::Duration(chrono::Duration::try_milliseconds(ms)?))
            }
            "request.start_time" => instant(it.start),
            "request.end_time" => instant(it.end),
            "request.priority" => number(it.priority.into()),
            "request.labels" => labels(it.labels),
            "request.sources" => {
                Some(CowVal::Borrowed(self.sources.get_or_init(|| self.sources())))
            }
            "request.destination" => match it.destination {
                None => text(""),
                Some(it) => Some(CowVal::owned(CelString::from(it.to_string()))),
            },
            "request.streams" => number(it.streams.into()),
            "request.held" => value(it.held.into()),
            "request.movable" => value(it.movable.into()),
            "request.session" => value(it.session.into()),
            _ => None,
        }
    }
}

fn boxed<'a>(text: CelString<'a>) -> Box<dyn Val + 'a> {
    Box::new(text)
}

fn text<'b>(text: &'b str) -> Option<CowVal<'b, 'b>> {
    Some(CowVal::owned(CelString::from(text)))
}

/// Nothing if no condition can hold it.
fn number<'b>(number: u64) -> Option<CowVal<'b, 'b>> {
    let number = i64::try_from(number).ok()?;
    Some(CowVal::owned(CelInt::from(number)))
}

fn instant<'b>(time: Timestamp) -> Option<CowVal<'b, 'b>> {
    let time = DateTime::from_timestamp_millis(time.as_ms())?;
    value(Value::Timestamp(time.fixed_offset()))
}

fn value<'b>(value: Value) -> Option<CowVal<'b, 'b>> {
    let value: Box<dyn Val> = value.try_into().ok()?;
    Some(CowVal::Owned(value))
}

fn labels<'b>(labels: &'b BTreeMap<String, String>) -> Option<CowVal<'b, 'b>> {
    Some(CowVal::owned(Labels(labels)))
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

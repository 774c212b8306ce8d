//! The words of the socket: a line of JSON for each request, and for each event.
//!
//! | request | what it does |
//! |---|---|
//! | `{"op":"fetch","url":U,"to":FILE,"by":TIME}` | fetches an image; also `digest`, `from`, `or`, `priority` |
//! | `{"op":"follow","job":N}` | tells what becomes of a fetch, also after a restart of the agent |
//! | `{"op":"list"}` | tells every fetch that is known |
//! | `{"op":"reserve","from":[E],"rate":R,"for":SPAN}` | reserves a rate from now on; or `volume` and `by` |
//! | `{"op":"release","reservation":ID}` | gives it back |
//!
//! A request may carry an `id` of any kind, which each of its events repeats. Events have a name in
//! `event`: `queued`, `granted`, `starts`, `moved`, `progress`, `done`, `failed`, `ended`, `released`,
//! `job`, `error`. Times are RFC 3339 or `+2h`, rates `2Gbit`, sizes `40GB`, digests `sha256:...`.
//! What is reserved on a connection is given back when it closes.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use tidegate_client::Digest;
use tidegate_policy::{BitRate, ByteCount, Endpoint, Span, TimeText};

/// The longest line that is read, in bytes.
pub(crate) const LINE_MAX: usize = 64 * 1024;

/// What is asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    Fetch(Wanted),
    Follow { job: u64 },
    List {},
    Reserve(Reserve),
    Release { reservation: String },
}

/// An image that is wanted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) url: String,
    /// The same content elsewhere.
    #[serde(default)]
    pub(crate) or: Vec<String>,
    pub(crate) to: PathBuf,
    #[serde(deserialize_with = "text")]
    pub(crate) by: TimeText,
    #[serde(default, deserialize_with = "maybe_text")]
    pub(crate) digest: Option<Digest>,
    /// Instead of the sources that the agent was started with.
    #[serde(default, deserialize_with = "texts")]
    pub(crate) from: Vec<Endpoint>,
    #[serde(default)]
    pub(crate) priority: u8,
}

/// A reservation whose bytes somebody else moves.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reserve {
    #[serde(default, deserialize_with = "texts")]
    pub(crate) from: Vec<Endpoint>,
    #[serde(default, deserialize_with = "maybe_text")]
    pub(crate) rate: Option<BitRate>,
    #[serde(default, rename = "for", deserialize_with = "maybe_text")]
    pub(crate) span: Option<Span>,
    #[serde(default, deserialize_with = "maybe_text")]
    pub(crate) volume: Option<ByteCount>,
    #[serde(default, deserialize_with = "maybe_text")]
    pub(crate) by: Option<TimeText>,
    #[serde(default)]
    pub(crate) priority: u8,
}

/// What became of something.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// It is accepted, and kept over a restart. `shares` is the fetch whose transfer it shares.
    Queued {
        job: u64,
        ahead: usize,
        shares: Option<u64>,
    },
    /// The broker said yes: what may be sent when.
    Granted {
        reservation: String,
        plan: Vec<Piece>,
    },
    /// Bytes may move from now on.
    Starts {
        reservation: String,
    },
    /// Its plan was changed, is lagging or shrunk; the text says which.
    Moved {
        reservation: String,
        what: String,
        plan: Vec<Piece>,
    },
    Progress {
        job: u64,
        moved_bytes: u64,
        total_bytes: Option<u64>,
    },
    Done {
        job: u64,
        bytes: u64,
        digest: String,
        elapsed_ms: u64,
        resumed_bytes: u64,
    },
    /// It came to nothing. `offers` can be had instead, in words.
    Failed {
        job: u64,
        why: String,
        offers: Vec<String>,
    },
    /// A reservation is over, and nothing may be sent any more.
    Ended {
        reservation: String,
        why: String,
    },
    Released {
        reservation: String,
        used_bytes: u64,
    },
    Job {
        job: u64,
        url: String,
        to: PathBuf,
        by: String,
        state: String,
    },
    /// The request makes no sense, or cannot be dealt with.
    Error {
        why: String,
    },
}

/// A piece of a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Piece {
    pub(crate) start: String,
    pub(crate) end: String,
    pub(crate) rate_bps: u64,
}

/// A line that was read: what is asked, and what its events repeat.
pub(crate) fn read(line: &str) -> (Option<Value>, Result<Request, String>) {
    let mut value: Value = match serde_json::from_str(line) {
        Ok(value) => value,
        Err(error) => return (None, Err(format!("it is not JSON: {error}"))),
    };
    let id = value.as_object_mut().and_then(|it| it.remove("id"));
    let request = serde_json::from_value(value).map_err(|error| {
        format!(
            "{error}; write {{\"op\":\"fetch\"|\"follow\"|\"list\"|\"reserve\"|\"release\",...}}"
        )
    });
    (id, request)
}

/// An event as a line, with what its request said to repeat.
pub(crate) fn line(id: Option<&Value>, event: &Event) -> String {
    let mut value = serde_json::to_value(event).unwrap_or(Value::Null);
    if let (Some(object), Some(id)) = (value.as_object_mut(), id) {
        object.insert("id".to_owned(), id.clone());
    }
    format!("{value}\n")
}

/// The text of something, in JSON.
pub(crate) fn as_text<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

pub(crate) fn text<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

pub(crate) fn maybe_text<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

fn texts<'de, T, D>(from: D) -> Result<Vec<T>, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
}

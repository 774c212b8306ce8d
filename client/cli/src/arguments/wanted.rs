//! What is wanted: the same words on the command line and in a file of requests.

use clap::Args;
use serde::Deserialize;
use tidegate_policy::{
    BitRate, ByteCount, ClassId, Endpoint, Name, Principal, ProjectId, SessionId, Span, TimeText,
};

use super::words::{self, Rates, optional};

/// Where bytes are to move, how fast and when.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Wanted {
    /// Where the bytes come from: storage/NAME or hosts/NAME; several times, best first
    #[arg(long = "from", value_name = "ENDPOINT", value_parser = words::endpoint)]
    #[serde(rename = "from", deserialize_with = "words::endpoints")]
    pub(crate) sources: Vec<Endpoint>,
    /// Where they go: hosts/NAME or storage/NAME
    #[arg(
        long = "to",
        env = "TIDEGATE_TO",
        hide_env_values = true,
        value_name = "ENDPOINT",
        value_parser = words::endpoint
    )]
    #[serde(rename = "to", deserialize_with = "optional::endpoint")]
    pub(crate) destination: Option<Endpoint>,
    /// A host that the bytes pass through; several times, in order
    #[arg(long, value_name = "HOST")]
    pub(crate) via: Vec<Name>,
    /// A lane to book, such as links/spine-1/forward, instead of endpoints; several times
    #[arg(long = "lane", value_name = "LANE", conflicts_with_all = ["sources", "via"])]
    #[serde(rename = "lane")]
    pub(crate) lanes: Vec<String>,
    /// Only this one of the paths that can be steered onto, 0 for the cheapest
    #[arg(long, value_name = "NUMBER")]
    pub(crate) path: Option<u16>,
    /// The payload rate, such as 2Gbit or 250MB/s; 1Gbit..4Gbit takes the most that fits, with --by
    #[arg(long, value_parser = words::rates)]
    #[serde(deserialize_with = "optional::rates")]
    pub(crate) rate: Option<Rates>,
    /// So many bytes instead of a rate, such as 40GB, all there --by then
    #[arg(
        long,
        value_name = "SIZE",
        value_parser = words::size,
        conflicts_with_all = ["rate", "span", "until"]
    )]
    #[serde(deserialize_with = "optional::size")]
    pub(crate) volume: Option<ByteCount>,
    /// The lowest rate that helps while a --volume moves; by default any does
    #[arg(long, value_name = "RATE", value_parser = words::rate, requires = "volume")]
    #[serde(rename = "min-rate", deserialize_with = "optional::rate")]
    pub(crate) min_rate: Option<BitRate>,
    /// The highest rate at which a --volume may move
    #[arg(long, value_name = "RATE", value_parser = words::rate, requires = "volume")]
    #[serde(rename = "max-rate", deserialize_with = "optional::rate")]
    pub(crate) max_rate: Option<BitRate>,
    /// A --volume may take several sources or paths at once
    #[arg(long, requires = "volume")]
    pub(crate) split: bool,
    /// When it starts, or may start at the earliest: now, +2h or 2026-11-23T18:00:00Z
    #[arg(long, value_name = "TIME", value_parser = words::time)]
    #[serde(deserialize_with = "optional::time")]
    pub(crate) start: Option<TimeText>,
    /// How long it lasts, such as 10m
    #[arg(long = "for", value_name = "DURATION", value_parser = words::span)]
    #[serde(rename = "for", deserialize_with = "optional::span")]
    pub(crate) span: Option<Span>,
    /// When it ends, instead of how long it lasts
    #[arg(
        long,
        value_name = "TIME",
        value_parser = words::time,
        conflicts_with_all = ["span", "by"]
    )]
    #[serde(deserialize_with = "optional::time")]
    pub(crate) until: Option<TimeText>,
    /// Takes the first time that fits and is over by then, such as +6h or 18:00Z
    #[arg(long, visible_alias = "within", value_name = "TIME", value_parser = words::latest)]
    #[serde(deserialize_with = "optional::latest")]
    pub(crate) by: Option<TimeText>,
    /// May share lanes with others where they are overbooked
    #[arg(long)]
    pub(crate) shared: bool,
    /// Over how many parallel streams the bytes are spread
    #[arg(long, value_name = "COUNT")]
    pub(crate) streams: Option<u16>,
    /// The session of an agent that it belongs to, and ends with
    #[arg(long, value_name = "SESSION", value_parser = words::session)]
    #[serde(deserialize_with = "optional::session")]
    pub(crate) session: Option<SessionId>,
    /// The project that it belongs to, whose quotas count
    #[arg(long, value_name = "PROJECT", value_parser = words::project)]
    #[serde(deserialize_with = "optional::project")]
    pub(crate) project: Option<ProjectId>,
    /// The class of service: it says how much of the rate is promised, and whom it stands before
    #[arg(long, value_name = "CLASS", value_parser = words::class)]
    #[serde(deserialize_with = "optional::class")]
    pub(crate) class: Option<ClassId>,
    /// Who asks, as the identity provider calls them; what each principal may have counts
    #[arg(long = "as", value_name = "PRINCIPAL", value_parser = words::principal)]
    #[serde(rename = "as", deserialize_with = "optional::principal")]
    pub(crate) principal: Option<Principal>,
    /// What people want to know of it; several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = words::label)]
    #[serde(rename = "label", deserialize_with = "words::labels")]
    pub(crate) labels: Vec<(String, String)>,
    /// Its plan may be moved to make room for others, as long as the promise is kept; with --session
    #[arg(long)]
    pub(crate) movable: bool,
    /// 0 to 9: higher ones may take from lower ones that can be preempted
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(0..=9))]
    pub(crate) priority: Option<u8>,
    /// A higher priority may shift it, shrink it, and at last close it
    #[arg(long)]
    pub(crate) preemptible: bool,
    /// Holds it unconfirmed for this long; on the command line that belongs to `reserve` alone.
    #[arg(skip)]
    #[serde(deserialize_with = "optional::span")]
    pub(crate) hold: Option<Span>,
}

//! What may be typed about reservations and sessions.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use tidegate_policy::{BitRate, Endpoint, Name, Span, TimeText};

use super::wanted::Wanted;
use super::words;

/// Where the help lists how the answer is taken.
const ANSWER: &str = "The answer";

/// Where the help lists what concerns several requests at once.
const SEVERAL: &str = "Several at once";

#[derive(Debug, Args)]
pub(crate) struct Reserve {
    #[command(flatten)]
    pub(crate) wanted: Wanted,
    /// Hold it unconfirmed for this long, at most 15m
    #[arg(long, value_name = "DURATION", value_parser = words::span, help_heading = ANSWER)]
    pub(crate) hold: Option<Span>,
    /// Say what the answer would be, and book nothing
    #[arg(long, help_heading = ANSWER)]
    pub(crate) dry_run: bool,
    /// If it is refused, take this one of the offers at once: 1 is the best
    #[arg(
        long,
        value_name = "NUMBER",
        num_args = 0..=1,
        default_missing_value = "1",
        help_heading = ANSWER,
        conflicts_with_all = ["dry_run", "file"]
    )]
    pub(crate) take: Option<usize>,
    /// If it is refused, hold the best offer, to be confirmed
    #[arg(long, help_heading = ANSWER, conflicts_with_all = ["take", "file", "dry_run"])]
    pub(crate) hold_best: bool,
    /// Exactly what was offered, by the token of an offer in JSON; - reads it from standard input
    #[arg(
        long,
        value_name = "TOKEN",
        help_heading = ANSWER,
        conflicts_with_all = ["Wanted", "take", "file"]
    )]
    pub(crate) offer: Option<String>,
    /// Ask for all requests of a file, in TOML or a JSON object a line; - reads standard input
    #[arg(
        short = 'f',
        long,
        value_name = "FILE",
        help_heading = SEVERAL,
        conflicts_with_all = ["Wanted", "hold"]
    )]
    pub(crate) file: Option<PathBuf>,
    /// All of them or none
    #[arg(long, help_heading = SEVERAL, requires = "file", conflicts_with = "relation")]
    pub(crate) all_or_nothing: bool,
    /// How they hang together, instead of what the file says
    #[arg(long, value_enum, value_name = "RELATION", help_heading = SEVERAL, requires = "file")]
    pub(crate) relation: Option<Together>,
    /// With in-order: each starts exactly where the one before it ends
    #[arg(long, help_heading = SEVERAL, requires = "file")]
    pub(crate) gapless: bool,
    /// Ask for all of it in so many weeks, this one included
    #[arg(long, value_name = "COUNT", help_heading = SEVERAL, requires = "file")]
    pub(crate) weeks: Option<u8>,
}

/// How several requests hang together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Together {
    /// Each for itself
    Each,
    /// All of them or none
    #[serde(alias = "all_of")]
    AllOf,
    /// The first that fits
    #[serde(alias = "any_of")]
    AnyOf,
    /// All or none, each after the end of the one before it
    #[serde(alias = "in_order")]
    InOrder,
}

#[derive(Debug, Args)]
pub(crate) struct Modify {
    /// Its id, or its full name
    #[arg(value_name = "RESERVATION")]
    pub(crate) reservation: String,
    /// The new payload rate, such as 2Gbit or 250MB/s
    #[arg(long, value_parser = words::rate)]
    pub(crate) rate: Option<BitRate>,
    /// The new start: now, +2h or 2026-11-23T18:00:00Z
    #[arg(long, value_name = "TIME", value_parser = words::time)]
    pub(crate) start: Option<TimeText>,
    /// The new end
    #[arg(long, value_name = "TIME", value_parser = words::time)]
    pub(crate) until: Option<TimeText>,
    /// The new length, counted from its start
    #[arg(
        long = "for",
        value_name = "DURATION",
        value_parser = words::span,
        conflicts_with = "until"
    )]
    pub(crate) span: Option<Span>,
    /// Only if it is still as it was when `show -o json` said this
    #[arg(long, value_name = "ETAG")]
    pub(crate) etag: Option<String>,
    /// Say what the answer would be, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Release {
    /// Their ids
    #[arg(required = true, value_name = "RESERVATION")]
    pub(crate) reservations: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Closed ones too
    #[arg(long)]
    pub(crate) closed: bool,
    /// Only those for which this CEL expression holds
    #[arg(long, value_name = "CEL")]
    pub(crate) filter: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 1000, value_name = "COUNT")]
    pub(crate) limit: usize,
    /// All of them, however many there are
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all_pages: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Only those for which this CEL expression holds
    #[arg(long, value_name = "CEL")]
    pub(crate) filter: Option<String>,
    /// Only changes, without what stands already
    #[arg(long)]
    pub(crate) changes: bool,
    /// Stop once all that stands was told
    #[arg(long, conflicts_with = "changes")]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct When {
    #[command(flatten)]
    pub(crate) wanted: Wanted,
    /// At most this many steps of what is free, for each way
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) steps: u16,
}

#[derive(Debug, Args)]
pub(crate) struct Sessions {
    /// Ended ones too
    #[arg(long)]
    pub(crate) ended: bool,
}

/// Where bytes come from, where they go and how fast.
#[derive(Debug, Args)]
pub(crate) struct Between {
    /// Where the bytes come from: storage/NAME or hosts/NAME; several times, best first
    #[arg(
        long = "from",
        required = true,
        value_name = "ENDPOINT",
        value_parser = words::endpoint
    )]
    pub(crate) sources: Vec<Endpoint>,
    /// Where they go: hosts/NAME or storage/NAME
    #[arg(
        long = "to",
        env = "TIDEGATE_TO",
        hide_env_values = true,
        value_name = "ENDPOINT",
        value_parser = words::endpoint
    )]
    pub(crate) destination: Endpoint,
    /// A host that the bytes pass through; several times, in order
    #[arg(long, value_name = "HOST")]
    pub(crate) via: Vec<Name>,
    /// The payload rate, such as 2Gbit or 250MB/s
    #[arg(long, value_parser = words::rate)]
    pub(crate) rate: Option<BitRate>,
}

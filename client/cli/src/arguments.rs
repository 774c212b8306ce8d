//! What may be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tidegate_policy::{BitRate, Endpoint, Name, Span, TimeText};

/// Where the help lists what every command takes.
const GENERAL: &str = "For every command";

const EXIT_CODES: &str = "\
Exit codes:
  0 done  1 failure  2 usage  3 refused  4 denied  5 not found  6 conflict  7 unreachable";

/// Reserve bandwidth end to end, and move bytes under the grant
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Where the broker listens: http://HOST:PORT or unix:/PATH
    #[arg(
        long,
        env = "TIDEGATE_BROKER",
        default_value = "http://127.0.0.1:7411",
        global = true,
        help_heading = GENERAL,
        value_name = "ADDRESS"
    )]
    pub(crate) broker: String,

    /// How to print
    #[arg(short, long, value_enum, default_value_t, global = true, help_heading = GENERAL)]
    pub(crate) output: Format,

    /// What to log to standard error, such as `info` or `tidegate_client=debug`
    #[arg(
        long,
        env = "TIDEGATE_LOG",
        global = true,
        help_heading = GENERAL,
        value_name = "FILTER"
    )]
    pub(crate) log: Option<String>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How to print what was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// For programs: one JSON document
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask for a rate between two endpoints over a time
    #[command(after_help = "\
Examples:
  tidegate reserve --from storage/swift-east --to hosts/compute-1 --rate 2Gbit --for 10m
  tidegate reserve --from storage/swift-east --from storage/swift-west --to hosts/compute-1 \\
    --rate 5Gbit --start +2h --for 1h --hold 5m")]
    Reserve(Reserve),
    /// Turn a held reservation into a promise
    Confirm(One),
    /// Let a hold last longer, up to 15 minutes in all
    Extend {
        #[command(flatten)]
        one: One,
        /// How long from now, such as 5m
        #[arg(long = "for", value_name = "DURATION")]
        span: Span,
    },
    /// Give reservations back
    Release {
        /// Their ids
        #[arg(required = true, value_name = "RESERVATION")]
        reservations: Vec<String>,
    },
    /// List reservations
    Ls {
        /// Closed ones too
        #[arg(long)]
        closed: bool,
        /// At most this many
        #[arg(long, default_value_t = 1000, value_name = "COUNT")]
        limit: usize,
    },
    /// Show one reservation with what it books on each lane
    Show(One),
    /// List lanes: what they can carry, what is booked, what is used
    Lanes {
        /// The first instant looked at, such as 2026-11-23T18:00:00Z or +2h
        #[arg(long, value_name = "TIME", default_value = "now")]
        start: TimeText,
        /// How long from there; the most that is booked at one instant is shown
        #[arg(long = "for", value_name = "DURATION", default_value = "1s")]
        span: Span,
    },
    /// Put a declaration in force
    #[command(subcommand)]
    Apply(Apply),
    /// Print a declaration that is in force
    #[command(subcommand)]
    Export(Export),
    /// Reserve, download under the grant, verify, release
    #[command(after_help = "\
Example:
  tidegate fetch http://10.0.0.5/images/debian.qcow2 ./debian.qcow2 \\
    --from storage/swift-east --to hosts/compute-1 --rate 2Gbit \\
    --sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    Fetch(Fetch),
    /// Say what runs at the other end
    Info,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Apply {
    /// Replace the topology by that of a TOML file
    Topology {
        /// The file; `-` reads standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Say what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Export {
    /// The topology, as a TOML file that can be applied
    Topology,
}

/// A reservation, by its id.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Its id, or its full name
    #[arg(value_name = "RESERVATION")]
    pub(crate) reservation: String,
}

/// Where bytes come from, where they go and how fast.
#[derive(Debug, Args)]
pub(crate) struct Between {
    /// Where the bytes come from: storage/NAME or hosts/NAME; several times, best first
    #[arg(long = "from", required = true, value_name = "ENDPOINT")]
    pub(crate) sources: Vec<Endpoint>,
    /// Where they go: hosts/NAME or storage/NAME
    #[arg(long = "to", env = "TIDEGATE_TO", value_name = "ENDPOINT")]
    pub(crate) destination: Endpoint,
    /// A host that the bytes pass through; several times, in order
    #[arg(long, value_name = "HOST")]
    pub(crate) via: Vec<Name>,
    /// The payload rate, such as 2Gbit or 250MB/s
    #[arg(long)]
    pub(crate) rate: BitRate,
}

#[derive(Debug, Args)]
pub(crate) struct Reserve {
    #[command(flatten)]
    pub(crate) between: Between,
    /// When it starts: now, +2h or 2026-11-23T18:00:00Z
    #[arg(long, value_name = "TIME", default_value = "now")]
    pub(crate) start: TimeText,
    /// How long it lasts, such as 10m
    #[arg(long = "for", value_name = "DURATION", required_unless_present = "until")]
    pub(crate) span: Option<Span>,
    /// When it ends, instead of how long it lasts
    #[arg(long, value_name = "TIME", conflicts_with = "span")]
    pub(crate) until: Option<TimeText>,
    /// Hold it unconfirmed for this long, at most 15m
    #[arg(long, value_name = "DURATION")]
    pub(crate) hold: Option<Span>,
    /// Say what the answer would be, and book nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Fetch {
    /// What to fetch: an http, https or file URL
    #[arg(value_name = "SRC")]
    pub(crate) url: String,
    /// The file that it becomes
    #[arg(value_name = "DST")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) between: Between,
    /// When to begin: now, +2h or 2026-11-23T18:00:00Z
    #[arg(long, value_name = "TIME", default_value = "now")]
    pub(crate) start: TimeText,
    /// How long to reserve; by default what the size takes at the rate, and 10 s more
    #[arg(long = "for", value_name = "DURATION")]
    pub(crate) span: Option<Span>,
    /// The SHA-256 that it must have, 64 hex digits
    #[arg(long, value_name = "HEX")]
    pub(crate) sha256: Option<String>,
    /// What to do without a broker: wait, fail, or best-effort=RATE
    #[arg(long, value_name = "CHOICE", default_value = "fail")]
    pub(crate) on_unreachable: Unreachable,
}

/// What to do while the broker cannot be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unreachable {
    Wait,
    Fail,
    BestEffort(BitRate),
}

impl std::str::FromStr for Unreachable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "wait" => Ok(Self::Wait),
            None if text == "fail" => Ok(Self::Fail),
            Some(("best-effort", rate)) => rate
                .parse()
                .map(Self::BestEffort)
                .map_err(|error: tidegate_policy::ParseError| error.to_string()),
            _ => Err("write wait, fail or best-effort=100Mbit".into()),
        }
    }
}

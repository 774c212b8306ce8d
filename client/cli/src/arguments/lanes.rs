//! What may be typed about lanes and the topology.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tidegate_policy::{Endpoint, Name, Span, TimeText};

use super::policy::Cut;
use super::{examples, words};

#[derive(Debug, Args)]
pub(crate) struct Lanes {
    /// The first instant looked at, such as 2026-11-23T18:00:00Z or +2h
    #[arg(long, value_name = "TIME", default_value = "now", value_parser = words::time)]
    pub(crate) start: TimeText,
    /// How long from there; the most that is booked at one instant is shown
    #[arg(long = "for", value_name = "DURATION", default_value = "1s", value_parser = words::span)]
    pub(crate) span: Span,
}

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// How often to look
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = words::span)]
    pub(crate) every: Span,
    /// Look once, as off a terminal
    #[arg(long)]
    pub(crate) once: bool,
    /// How many lanes and how many reservations to show
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    pub(crate) count: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Path {
    /// Where the bytes come from: storage/NAME or hosts/NAME
    #[arg(value_name = "FROM", value_parser = words::endpoint)]
    pub(crate) source: Endpoint,
    /// Where they go: hosts/NAME or storage/NAME
    #[arg(value_name = "TO", value_parser = words::endpoint)]
    pub(crate) destination: Endpoint,
    /// A host that the bytes pass through; several times, in order
    #[arg(long, value_name = "HOST")]
    pub(crate) via: Vec<Name>,
}

#[derive(Debug, Args)]
pub(crate) struct Resource {
    /// hosts/HOST, hosts/HOST/nics/NIC, switches/NAME, links/NAME or storage/NAME
    #[arg(value_name = "RESOURCE", value_parser = words::resource)]
    pub(crate) resource: tidegate_policy::Resource,
    /// Say what would happen, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Maintenance {
    /// Plan a time in which a resource carries less, or nothing
    #[command(after_help = examples::MAINTENANCE)]
    Add(AddMaintenance),
    /// List what is planned
    #[command(after_help = examples::MAINTENANCE_LS)]
    Ls,
    /// Call one off, or end it
    #[command(after_help = examples::MAINTENANCE_RM)]
    Rm {
        /// Its id, or its full name
        #[arg(value_name = "MAINTENANCE")]
        maintenance: String,
        /// Say what would happen, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AddMaintenance {
    /// hosts/HOST, hosts/HOST/nics/NIC, switches/NAME, links/NAME or storage/NAME
    #[arg(value_name = "RESOURCE", value_parser = words::resource)]
    pub(crate) resource: tidegate_policy::Resource,
    /// When it begins: now, +2h or 2026-11-23T18:00:00Z
    #[arg(long, value_name = "TIME", default_value = "now", value_parser = words::time)]
    pub(crate) start: TimeText,
    /// How long it takes
    #[arg(
        long = "for",
        value_name = "DURATION",
        value_parser = words::span,
        required_unless_present = "until"
    )]
    pub(crate) span: Option<Span>,
    /// When it is over, instead of how long it takes
    #[arg(long, value_name = "TIME", value_parser = words::time, conflicts_with = "span")]
    pub(crate) until: Option<TimeText>,
    /// What is left of the capacity meanwhile
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = words::share)]
    pub(crate) left: u32,
    /// Why, in at most 200 characters
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) comment: String,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// How far a change may go.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Change {
    /// Say what would change and whom it would hurt, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Take capacity away even where it is promised: what does not fit any more is closed
    #[arg(long)]
    pub(crate) accept_losses: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Apply {
    /// Replace the topology by that of a TOML file
    #[command(after_help = examples::APPLY)]
    Topology {
        /// The file; `-` reads standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        change: Change,
    },
    /// Replace all projects, quotas, classes and rules by those of a TOML file
    #[command(after_help = examples::APPLY_POLICY)]
    Policy {
        /// The file; `-` reads standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        care: Cut,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Diff {
    /// Compare the topology with that of a TOML file
    #[command(after_help = examples::DIFF)]
    Topology {
        /// The file; `-` reads standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Compare projects, quotas, classes and rules with those of a TOML file
    #[command(after_help = examples::DIFF_POLICY)]
    Policy {
        /// The file; `-` reads standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Also say which of the last requests, 1000 if no number is said, it would have decided otherwise
        #[arg(
            long,
            value_name = "COUNT",
            num_args = 0..=1,
            require_equals = true,
            default_missing_value = "1000",
            value_parser = clap::value_parser!(u16).range(1..=10_000)
        )]
        replay: Option<u16>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Export {
    /// The topology, as a TOML file that can be applied
    #[command(after_help = examples::EXPORT)]
    Topology,
    /// Projects, quotas, classes and rules, as a TOML file that can be applied
    #[command(after_help = examples::EXPORT_POLICY)]
    Policy,
    /// What was asked for and granted, as a file that `tidegate simulate` replays
    #[command(after_help = examples::EXPORT_RESERVATIONS)]
    Reservations(ExportReservations),
}

#[derive(Debug, Args)]
pub(crate) struct ExportReservations {
    /// Closed ones too, as they were asked for
    #[arg(long)]
    pub(crate) all: bool,
    /// Only those for which this CEL expression holds
    #[arg(long, value_name = "CEL")]
    pub(crate) filter: Option<String>,
}

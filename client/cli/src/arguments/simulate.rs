//! What may be typed about replays and the files that they replay.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use tidegate_policy::{BitRate, Span};

use super::generate::Generate;
use super::{examples, words};

/// A replay, or what makes the files of one.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Simulate {
    #[command(subcommand)]
    pub(crate) part: Option<SimulatePart>,
    #[command(flatten)]
    pub(crate) replay: Option<Replay>,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum SimulatePart {
    /// Write a file of requests as a network of this shape might see them
    #[command(after_help = examples::GENERATE)]
    Generate(Box<Generate>),
}

/// A replay of one file of requests.
#[derive(Clone, Debug, Args)]
pub(crate) struct Replay {
    /// The network: TOML as for `apply`, JSON of a study, or node-link JSON of topohub
    #[arg(long, value_name = "FILE")]
    pub(crate) topology: PathBuf,
    /// What a link carries where that file does not say it
    #[arg(long, value_name = "RATE", default_value = "40Gbit", value_parser = words::rate)]
    pub(crate) capacity: BitRate,
    /// The requests, a JSON object on each line; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) requests: PathBuf,
    /// Projects and quotas, in TOML as for `apply`; without it nothing limits anybody
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Links whose capacity changes meanwhile, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) faults: Option<PathBuf>,
    /// What agents really do, a JSON object on each line; the core only hears of their beats
    #[arg(long, value_name = "FILE")]
    pub(crate) truth: Option<PathBuf>,
    /// What the broker may do with a request; several are printed side by side
    #[arg(
        long = "plan",
        value_enum,
        value_name = "PLAN",
        value_delimiter = ',',
        default_value = "full"
    )]
    pub(crate) plans: Vec<PlanName>,
    /// Whether bytes moved are reported and what is done early is given back
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub(crate) reclaim: Reclaim,
    /// How much more than a volume its plans book
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = words::fraction)]
    pub(crate) margin: u32,
    /// Whether the priorities of the file count; those of priority 0 can be preempted then
    #[arg(long)]
    pub(crate) priorities: bool,
    /// Moves each arrival and each window off its grid by up to this much
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = words::span)]
    pub(crate) jitter: Span,
    /// Draws what each lane carries when, as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// What the jitter is drawn from
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
}

/// What the broker may do with a request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum)]
pub(crate) enum PlanName {
    /// Everything that it can: windows, volumes, several paths, and plans that change later
    Full,
    /// The same, but what was promised once stays where it is
    Pinned,
    /// Each request at one rate and one time, over any path from any source
    Rigid,
    /// The same over the first path from each source
    #[value(name = "rigid-1path")]
    RigidOnePath,
}

/// Whether the core hears what agents do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Reclaim {
    /// In `full` and `pinned`
    #[default]
    Auto,
    /// Always
    On,
    /// Never
    Off,
}

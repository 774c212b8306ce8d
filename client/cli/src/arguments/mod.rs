//! What may be typed.

mod examples;
mod fetch;
mod generate;
mod lanes;
mod policy;
mod report;
mod requests;
mod simulate;
mod wanted;
pub(crate) mod words;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tidegate_policy::Span;

pub(crate) use fetch::{Cp, Expiry, Fetch, Pipe, Terms};
pub(crate) use generate::Generate;
pub(crate) use lanes::{
    AddMaintenance, Apply, Change, Diff, Export, ExportReservations, Lanes, Maintenance, Path,
    Resource, Top,
};
pub(crate) use policy::{
    Cut, Delete, Describe, Get, Limited, Set, SetClass, SetProject, SetRule, Spent,
};
pub(crate) use report::{
    Observe, Past, Plot, RankBy, Report, ReportExport, ReportForecast, ReportRefusals,
    ReportStatement, ReportTop, ReportUtilization, is_now, is_relative,
};
pub(crate) use requests::{Ls, Modify, Release, Reserve, Sessions, Together, Watch, When};
pub(crate) use simulate::{PlanName, Reclaim, Replay, Simulate, SimulatePart};
pub(crate) use wanted::Wanted;

/// Where the help lists what every command takes.
const GENERAL: &str = "For every command";

const EXIT_CODES: &str = "\
Exit codes:
  0 done  1 failure  2 usage  3 refused  4 denied  5 not found  6 conflict  7 unreachable";

/// Reserve bandwidth end to end, and move bytes under the grant
#[derive(Debug, Parser)]
#[command(
    name = "tidegate",
    version,
    after_help = EXIT_CODES,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) general: General,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct General {
    /// Where the broker listens: http://HOST:PORT or unix:/PATH
    #[arg(
        long,
        env = "TIDEGATE_BROKER",
        hide_env_values = true,
        default_value = "http://127.0.0.1:7411",
        global = true,
        help_heading = GENERAL,
        value_name = "ADDRESS"
    )]
    pub(crate) broker: String,

    /// How to print: table and wide are for people, the others for programs
    #[arg(short, long, value_enum, default_value_t, global = true, help_heading = GENERAL)]
    pub(crate) output: Format,

    /// What to print, in this order: names of columns as in the head of a table, or keys
    #[arg(
        long,
        global = true,
        help_heading = GENERAL,
        value_delimiter = ',',
        value_name = "NAMES"
    )]
    pub(crate) columns: Vec<String>,

    /// What to log to standard error, such as `info` or `tidegate_client=debug`
    #[arg(
        long,
        env = "TIDEGATE_LOG",
        hide_env_values = true,
        global = true,
        help_heading = GENERAL,
        value_name = "FILTER"
    )]
    pub(crate) log: Option<String>,

    /// Print without colour, as off a terminal
    #[arg(
        long,
        env = "NO_COLOR",
        global = true,
        help_heading = GENERAL,
        num_args = 0..=1,
        default_missing_value = "1",
        require_equals = true,
        hide = true
    )]
    pub(crate) no_color: Option<String>,

    /// What kind of terminal it is: one that is dumb has no colour
    #[arg(long, env = "TERM", global = true, hide = true)]
    pub(crate) term: Option<String>,
}

/// How to print what was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Format {
    // No text here reaches the help: with one, the help of every command takes a page more.
    #[default]
    Table,
    Wide,
    Json,
    Jsonl,
    Yaml,
    Csv,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask for a rate over a time, or a volume by a deadline, between two endpoints
    #[command(after_help = examples::RESERVE, override_usage = examples::RESERVE_USAGE)]
    Reserve(Box<Reserve>),
    /// Turn a held reservation into a promise
    #[command(after_help = examples::CONFIRM)]
    Confirm(One),
    /// Let a hold last longer, up to 15 minutes in all
    #[command(after_help = examples::EXTEND)]
    Extend {
        #[command(flatten)]
        one: One,
        /// How long from now, such as 5m
        #[arg(long = "for", value_name = "DURATION", value_parser = words::span)]
        span: Span,
    },
    /// Change rate, start or end of a reservation, in one step or not at all
    #[command(after_help = examples::MODIFY, override_usage = examples::MODIFY_USAGE)]
    Modify(Modify),
    /// Give reservations back
    #[command(after_help = examples::RELEASE)]
    Release(Release),
    /// List reservations
    #[command(after_help = examples::LS)]
    Ls(Ls),
    /// Show one reservation with its plan, and what it books on each lane
    #[command(after_help = examples::SHOW)]
    Show(One),
    /// Say what a request would be answered and why, lane by lane
    #[command(after_help = examples::EXPLAIN, override_usage = examples::EXPLAIN_USAGE)]
    Explain(Box<Wanted>),
    /// Find when a rate fits, and how much is free when
    #[command(after_help = examples::WHEN, override_usage = examples::WHEN_USAGE)]
    When(Box<When>),
    /// Follow reservations as they are made, changed and closed
    #[command(after_help = examples::WATCH)]
    Watch(Watch),
    /// Show the fullest lanes and the largest reservations, live
    #[command(after_help = examples::TOP)]
    Top(Top),
    /// Reserve, download under the grant, verify, release
    #[command(after_help = examples::FETCH)]
    Fetch(Box<Fetch>),
    /// Reserve, copy from anywhere to anywhere under a grant for each direction, verify, release
    #[command(after_help = examples::CP)]
    Cp(Box<Cp>),
    /// Pass standard input to standard output at the rate of a grant, then give it back
    #[command(after_help = examples::PIPE)]
    Pipe(Pipe),
    /// List sessions: the agents that are alive
    #[command(after_help = examples::SESSIONS)]
    Sessions(Sessions),
    /// List lanes: what they can carry, what is booked, what is used
    #[command(after_help = examples::LANES)]
    Lanes(Lanes),
    /// Show the lanes between two endpoints, on every path that a request could take
    #[command(after_help = examples::PATH)]
    Path(Path),
    /// Take a resource out of use for everything new
    #[command(after_help = examples::DRAIN)]
    Drain(Resource),
    /// Put a drained resource back into use
    #[command(after_help = examples::UNDRAIN)]
    Undrain(Resource),
    /// Take capacity away for a time
    #[command(subcommand, after_help = examples::MAINTENANCE)]
    Maintenance(Maintenance),
    /// List projects, their quotas, or classes of service
    #[command(subcommand, after_help = examples::GET)]
    Get(Get),
    /// Say all about a project or a class of service
    #[command(subcommand, after_help = examples::DESCRIBE)]
    Describe(Describe),
    /// Make or change a project or a class of service
    #[command(subcommand, after_help = examples::SET)]
    Set(Set),
    /// Delete a project or a class of service
    #[command(subcommand, after_help = examples::DELETE)]
    Delete(Delete),
    /// Put a declaration in force
    #[command(subcommand)]
    Apply(Apply),
    /// Say what putting a declaration in force would change and whom it would hurt
    #[command(subcommand)]
    Diff(Diff),
    /// Print what is in force, as a file that can be read back
    #[command(subcommand)]
    Export(Export),
    /// Say what was booked, used, wasted and refused, and when lanes run full
    #[command(subcommand, after_help = examples::REPORT)]
    Report(Box<Report>),
    /// Tell the broker what was measured on a lane
    #[command(after_help = examples::OBSERVE)]
    Observe(Observe),
    /// Replay requests in virtual time, to see what would be granted and kept
    #[command(after_help = examples::SIMULATE)]
    Simulate(Box<Simulate>),
    /// Say what runs at the other end
    #[command(after_help = examples::INFO)]
    Info,
    /// Print what makes a shell complete these commands
    #[command(after_help = examples::COMPLETION)]
    Completion {
        /// The shell
        #[arg(value_enum, value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Write the manual pages of all commands into a directory
    #[command(after_help = examples::MAN)]
    Man {
        /// The directory; it is made if it does not exist
        #[arg(value_name = "DIR")]
        directory: std::path::PathBuf,
    },
}

/// A reservation, by its id.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Its id, or its full name
    #[arg(value_name = "RESERVATION")]
    pub(crate) reservation: String,
}

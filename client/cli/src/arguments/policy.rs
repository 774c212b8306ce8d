//! What may be typed about projects and quotas.

use clap::{Args, Subcommand};
use tidegate_policy::{BitRate, Name, Span};

use super::{examples, words};

#[derive(Debug, Subcommand)]
pub(crate) enum Project {
    /// List projects, what they may have and how many reservations they hold
    #[command(after_help = examples::PROJECT_LS)]
    Ls,
    /// Show what binds a project now, and whence
    #[command(after_help = examples::PROJECT_SHOW)]
    Show {
        /// Its name
        #[arg(value_name = "PROJECT")]
        project: Name,
    },
    /// Make a project, or change what it may have: what is not typed is as it was
    #[command(after_help = examples::PROJECT_SET)]
    Set(Box<SetProject>),
    /// Delete a project that holds nothing
    #[command(after_help = examples::PROJECT_RM)]
    Rm {
        /// Its name
        #[arg(value_name = "PROJECT")]
        project: Name,
        /// Say what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SetProject {
    /// Its name
    #[arg(value_name = "PROJECT")]
    pub(crate) project: Name,
    /// The project that it is a part of; none makes it one by itself
    #[arg(long, value_name = "PROJECT", value_parser = words::or_none::<Name>)]
    pub(crate) parent: Option<Limited<Name>>,
    /// The rate that may be booked at one instant, or none
    #[arg(long, value_name = "RATE", value_parser = words::or_none::<BitRate>)]
    pub(crate) rate: Option<Limited<BitRate>>,
    /// How many reservations it may hold at once, or none
    #[arg(long, value_name = "COUNT", value_parser = words::count_or_none)]
    pub(crate) reservations: Option<Limited<u32>>,
    /// The highest rate of one reservation, or none
    #[arg(long, value_name = "RATE", value_parser = words::or_none::<BitRate>)]
    pub(crate) rate_each: Option<Limited<BitRate>>,
    /// How long one reservation may last, or none
    #[arg(long, value_name = "DURATION", value_parser = words::or_none::<Span>)]
    pub(crate) duration_each: Option<Limited<Span>>,
    /// How far from now one reservation may end, or none
    #[arg(long, value_name = "DURATION", value_parser = words::or_none::<Span>)]
    pub(crate) horizon: Option<Limited<Span>>,
    /// What people want to know of it; several times, and with an empty value it is taken away
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = words::label)]
    pub(crate) labels: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) care: Cut,
}

/// A limit, or the word that there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Limited<T> {
    /// This.
    To(T),
    /// No limit.
    Unlimited,
}

impl<T> Limited<T> {
    pub(crate) fn limit(self) -> Option<T> {
        match self {
            Self::To(limit) => Some(limit),
            Self::Unlimited => None,
        }
    }
}

/// How far a change of quotas may go.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Cut {
    /// Say what would change and which quotas would be below what is used, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Cut quotas below what is used: nobody loses anything, nothing more is granted until then
    #[arg(long)]
    pub(crate) ignore_safety_checks: bool,
}

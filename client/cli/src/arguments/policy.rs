//! What may be typed about projects, quotas, classes and rules.

use clap::{ArgGroup, Args, Subcommand};
use tidegate_policy::{
    BitRate, Budget, ClassId, Headroom, Interval, Name, Overcommit, Part, ProjectId, RuleId,
    Selector, Span, Weekly, Zone,
};

use super::{examples, words};

#[derive(Debug, Subcommand)]
pub(crate) enum Get {
    /// List projects, what they may have and how many reservations they hold
    #[command(after_help = examples::GET_PROJECT, visible_alias = "projects")]
    Project {
        /// Only this one
        #[arg(value_name = "PROJECT", value_parser = words::project)]
        project: Option<ProjectId>,
    },
    /// List quotas and what is used of them; of one project all that bind it, and whence
    #[command(after_help = examples::GET_QUOTA, visible_alias = "quotas")]
    Quota {
        /// What binds this one
        #[arg(value_name = "PROJECT", value_parser = words::project)]
        project: Option<ProjectId>,
    },
    /// List classes of service
    #[command(after_help = examples::GET_CLASS, visible_alias = "classes")]
    Class {
        /// Only this one
        #[arg(value_name = "CLASS", value_parser = words::class)]
        class: Option<ClassId>,
    },
    /// List admission rules, and how often each of them applied
    #[command(after_help = examples::GET_RULE, visible_alias = "rules")]
    Rule {
        /// Only this one
        #[arg(value_name = "RULE", value_parser = words::rule)]
        rule: Option<RuleId>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Describe {
    /// All about a project: what it may have, what binds it and whence, and its classes
    #[command(after_help = examples::DESCRIBE_PROJECT)]
    Project {
        /// Its name
        #[arg(value_name = "PROJECT", value_parser = words::project)]
        project: ProjectId,
    },
    /// All about a class of service
    #[command(after_help = examples::DESCRIBE_CLASS)]
    Class {
        /// Its name
        #[arg(value_name = "CLASS", value_parser = words::class)]
        class: ClassId,
    },
    /// All about an admission rule
    #[command(after_help = examples::DESCRIBE_RULE)]
    Rule {
        /// Its name
        #[arg(value_name = "RULE", value_parser = words::rule)]
        rule: RuleId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Set {
    /// Make a project, or change what it may have: what is not typed is as it was
    #[command(after_help = examples::SET_PROJECT)]
    Project(Box<SetProject>),
    /// Make a class of service, or change it: what is not typed is as it was
    #[command(after_help = examples::SET_CLASS)]
    Class(Box<SetClass>),
    /// Make an admission rule, or replace it
    #[command(after_help = examples::SET_RULE)]
    Rule(Box<SetRule>),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Delete {
    /// Delete a project that holds nothing
    #[command(after_help = examples::DELETE_PROJECT)]
    Project {
        /// Its name
        #[arg(value_name = "PROJECT", value_parser = words::project)]
        project: ProjectId,
        /// Say what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete a class of service in which nothing is held
    #[command(after_help = examples::DELETE_CLASS)]
    Class {
        /// Its name
        #[arg(value_name = "CLASS", value_parser = words::class)]
        class: ClassId,
        /// Say what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete an admission rule
    #[command(after_help = examples::DELETE_RULE)]
    Rule {
        /// Its name
        #[arg(value_name = "RULE", value_parser = words::rule)]
        rule: RuleId,
        /// Say what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// Where the help lists what is about each principal.
const EACH: &str = "For each principal";

/// Where the help lists what is lent and borrowed.
const LENDING: &str = "Lending, to who can be preempted";

/// Where the help lists what follows the calendar.
const CALENDAR: &str = "By the calendar";

#[derive(Debug, Args)]
pub(crate) struct SetProject {
    /// Its name
    #[arg(value_name = "PROJECT", value_parser = words::project)]
    pub(crate) project: ProjectId,
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
    /// A share of lanes, such as network=50%, or network=none; several times
    #[arg(long = "share", value_name = "LANES=PART", value_parser = words::share_of)]
    pub(crate) shares: Vec<(Selector, Limited<Part>)>,
    /// How many principals may hold something at once, or none
    #[arg(long, value_name = "COUNT", value_parser = words::count_or_none)]
    pub(crate) principals: Option<Limited<u32>>,
    /// What people want to know of it; several times, and with an empty value it is taken away
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = words::label)]
    pub(crate) labels: Vec<(String, String)>,
    /// How much of its rate those beside it may have while it does not use it, or none
    #[arg(
        long,
        value_name = "RATE",
        value_parser = words::or_none::<BitRate>,
        help_heading = LENDING
    )]
    pub(crate) lend: Option<Limited<BitRate>>,
    /// How much beyond its rate it may have of what those beside it lend, or none
    #[arg(
        long,
        value_name = "RATE",
        value_parser = words::or_none::<BitRate>,
        help_heading = LENDING
    )]
    pub(crate) borrow: Option<Limited<BitRate>>,
    /// What those below it may borrow beside what they lend each other, or none
    #[arg(
        long,
        value_name = "RATE",
        value_parser = words::or_none::<BitRate>,
        help_heading = LENDING
    )]
    pub(crate) pool: Option<Limited<BitRate>>,
    /// The rate that each may book at one instant, or none
    #[arg(
        long,
        value_name = "RATE",
        value_parser = words::or_none::<BitRate>,
        help_heading = EACH
    )]
    pub(crate) principal_rate: Option<Limited<BitRate>>,
    /// How many reservations each may hold at once, or none
    #[arg(long, value_name = "COUNT", value_parser = words::count_or_none, help_heading = EACH)]
    pub(crate) principal_reservations: Option<Limited<u32>>,
    /// A share of lanes for each; several times
    #[arg(
        long = "principal-share",
        value_name = "LANES=PART",
        value_parser = words::share_of,
        help_heading = EACH
    )]
    pub(crate) principal_shares: Vec<(Selector, Limited<Part>)>,
    /// The bytes that may be promised to each in a period
    #[arg(
        long = "principal-budget",
        value_name = "PERIOD=SIZE",
        value_parser = words::budget,
        help_heading = EACH
    )]
    pub(crate) principal_budgets: Vec<Spent>,
    /// The bytes that may be promised in a day, week or month, such as month=2PB, or month=none
    #[arg(
        long = "budget",
        value_name = "PERIOD=SIZE",
        value_parser = words::budget,
        help_heading = CALENDAR
    )]
    pub(crate) budgets: Vec<Spent>,
    /// The rate instead at hours of the week, such as 'mon-fri 08:00-18:00=1Gbit', or =none
    #[arg(
        long = "hours",
        value_name = "HOURS=RATE",
        value_parser = words::hours,
        help_heading = CALENDAR
    )]
    pub(crate) weekly: Vec<(Weekly, Limited<BitRate>)>,
    /// The rate instead of both at a time, as START..END=RATE with instants or dates, or =none
    #[arg(
        long = "override",
        value_name = "TIMES=RATE",
        value_parser = words::dated,
        help_heading = CALENDAR
    )]
    pub(crate) overrides: Vec<(Interval, Limited<BitRate>)>,
    /// Whose days, weeks, months and hours these are, such as Europe/Berlin
    #[arg(
        long,
        value_name = "ZONE",
        value_parser = words::parsed::<Zone>,
        help_heading = CALENDAR
    )]
    pub(crate) time_zone: Option<Zone>,
    #[command(flatten)]
    pub(crate) care: Cut,
}

#[derive(Debug, Args)]
pub(crate) struct SetClass {
    /// Its name
    #[arg(value_name = "CLASS", value_parser = words::class)]
    pub(crate) class: ClassId,
    /// How much of a rate is promised: of 1:2 half of it
    #[arg(long, value_name = "RATIO", value_parser = words::parsed::<Overcommit>)]
    pub(crate) ratio: Option<Overcommit>,
    /// How much of what is left over one gets beside others: 1 to 1000
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) weight: Option<u32>,
    /// 0 to 9: higher ones may take from lower ones that can be preempted
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(0..=9))]
    pub(crate) priority: Option<u8>,
    /// Whether a higher priority may shift, shrink and at last close what is granted
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub(crate) preemptible: Option<bool>,
    /// The most of each lane that all of the class together may book, or none
    #[arg(long, value_name = "PART", value_parser = words::or_none::<Part>)]
    pub(crate) lane_share: Option<Limited<Part>>,
    /// The part of each lane that is left to what lasts no longer, such as 10%:10m, or none
    #[arg(long, value_name = "PART:DURATION", value_parser = words::headroom)]
    pub(crate) headroom: Option<Limited<Headroom>>,
    /// A grant under which nothing moves for so long is taken back, or none
    #[arg(long, value_name = "DURATION", value_parser = words::or_none::<Span>)]
    pub(crate) no_show_grace: Option<Limited<Span>>,
    /// How long it is held unconfirmed if nothing else is asked, or none
    #[arg(long, value_name = "DURATION", value_parser = words::or_none::<Span>)]
    pub(crate) hold: Option<Limited<Span>>,
    /// Who may use it, all of them; several times, or none for everybody
    #[arg(long = "only", value_name = "PROJECT", value_parser = words::or_none::<Name>)]
    pub(crate) projects: Vec<Limited<Name>>,
    /// The tiers of storage that will do, all of them; several times, or none for any
    #[arg(long = "tier", value_name = "TIER", value_parser = words::or_none::<Name>)]
    pub(crate) tiers: Vec<Limited<Name>>,
    #[command(flatten)]
    pub(crate) care: Cut,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("then").required(true))]
pub(crate) struct SetRule {
    /// Its name; rules are asked in the order of their names
    #[arg(value_name = "RULE", value_parser = words::rule)]
    pub(crate) rule: RuleId,
    /// The condition, in CEL over the fields that docs/rules.md lists
    #[arg(long, value_name = "CONDITION")]
    pub(crate) when: String,
    /// Refuse what it holds for, with this message
    #[arg(long, value_name = "MESSAGE", group = "then")]
    pub(crate) deny: Option<String>,
    /// Grant no more than this rate
    #[arg(long, value_name = "RATE", value_parser = words::parsed::<BitRate>, group = "then")]
    pub(crate) cap: Option<BitRate>,
    /// Put it into this class, whatever was asked
    #[arg(long, value_name = "CLASS", value_parser = words::class, group = "then")]
    pub(crate) class: Option<ClassId>,
    /// Give it this priority, whatever was asked
    #[arg(
        long,
        value_name = "NUMBER",
        value_parser = clap::value_parser!(u8).range(0..=9),
        group = "then"
    )]
    pub(crate) priority: Option<u8>,
    /// Only count what it holds for
    #[arg(long)]
    pub(crate) shadow: bool,
    /// What people want to know of it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) comment: String,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// So many bytes in a period, or no limit there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spent {
    /// The bytes count unless it is unlimited.
    pub(crate) budget: Budget,
    pub(crate) unlimited: bool,
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

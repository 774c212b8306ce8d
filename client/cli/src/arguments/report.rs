//! What may be typed about what was, and what is to come.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use tidegate_policy::{BitRate, ByteCount, ParseError, ProjectId, Selector, Span, TimeText};

use super::{examples, words};

#[derive(Debug, Subcommand)]
pub(crate) enum Report {
    /// What lanes could carry, what is booked of it and what was used, over time
    #[command(after_help = examples::REPORT_UTILIZATION)]
    Utilization(ReportUtilization),
    /// Who was promised most, who used most, who wasted most
    #[command(after_help = examples::REPORT_TOP)]
    Top(ReportTop),
    /// What was refused, why, by which lane, quota or rule, and what would have fit
    #[command(after_help = examples::REPORT_REFUSALS)]
    Refusals(ReportRefusals),
    /// How much of each lane is likely to be booked, and when it will be full
    #[command(after_help = examples::REPORT_FORECAST)]
    Forecast(ReportForecast),
    /// What a project was promised, used, wasted and refused, and what is left of its quotas
    #[command(after_help = examples::REPORT_STATEMENT)]
    Statement(ReportStatement),
    /// Print every reservation of a range, those that are over included
    #[command(after_help = examples::REPORT_EXPORT)]
    Export(ReportExport),
}

/// What is behind now.
#[derive(Debug, Args)]
pub(crate) struct Past {
    /// The first instant: -24h, 2026-11-23T18:00:00Z, or 18:00Z for the last time that it was
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = moment)]
    pub(crate) from: Option<TimeText>,
    /// The first instant past it; now, if it is not said
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = moment)]
    pub(crate) to: Option<TimeText>,
}

/// A picture of what is said.
#[derive(Debug, Args)]
pub(crate) struct Plot {
    /// Draw it into this file too, as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Write over the file if it is there
    #[arg(long, requires = "plot")]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReportUtilization {
    /// Which lanes: all, network, storage, a resource, a lane, or a name with * in it
    #[arg(value_name = "LANES", value_parser = selector)]
    pub(crate) selector: Option<Selector>,
    /// The first instant: -7days, 2026-11-23T18:00:00Z; 24 hours ago, if it is not said
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = moment)]
    pub(crate) from: Option<TimeText>,
    /// The first instant past it: now, +7days; in 24 hours, if it is not said
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = moment)]
    pub(crate) to: Option<TimeText>,
    /// How long each piece is: whole minutes that are a part of a day, or whole days
    #[arg(long, value_name = "DURATION", value_parser = words::span)]
    pub(crate) bucket: Option<Span>,
    /// The fullest lanes first, instead of by name
    #[arg(long)]
    pub(crate) fullest: bool,
    /// At most so many lanes
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = at_least_one)]
    pub(crate) count: usize,
    #[command(flatten)]
    pub(crate) plot: Plot,
}

#[derive(Debug, Args)]
pub(crate) struct ReportTop {
    /// Only what was promised and used on these lanes: network, storage, links/*, a lane
    #[arg(long, value_name = "LANES", value_parser = selector, conflicts_with = "class")]
    pub(crate) lane: Option<Selector>,
    #[command(flatten)]
    pub(crate) past: Past,
    /// What they are ranked by
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub(crate) by: RankBy,
    /// Classes of service instead of projects
    #[arg(long)]
    pub(crate) class: bool,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = at_least_one)]
    pub(crate) count: usize,
}

/// What consumers are ranked by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum RankBy {
    /// What they moved
    #[default]
    Used,
    /// What they were promised
    Promised,
    /// What they were promised and did not move
    Wasted,
}

#[derive(Debug, Args)]
pub(crate) struct ReportRefusals {
    /// Only what was refused to this project
    #[arg(long, value_name = "PROJECT", value_parser = words::project)]
    pub(crate) project: Option<ProjectId>,
    /// Only what this lane, quota or rule refused, as the report names it
    #[arg(long, value_name = "NAME")]
    pub(crate) bottleneck: Option<String>,
    #[command(flatten)]
    pub(crate) past: Past,
    /// At most so many kinds of refusals
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = at_least_one)]
    pub(crate) count: usize,
}

#[derive(Debug, Args)]
pub(crate) struct ReportForecast {
    /// Which lanes: all, network, storage, a resource, a lane, or a name with * in it
    #[arg(value_name = "LANES", value_parser = selector)]
    pub(crate) selector: Option<Selector>,
    /// Until when: +30days, 2026-12-23T18:00:00Z; 7 days ahead, if it is not said, 90 at most
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = moment)]
    pub(crate) to: Option<TimeText>,
    /// How long each piece is: 1h or 1day
    #[arg(long, value_name = "DURATION", value_parser = words::span)]
    pub(crate) bucket: Option<Span>,
    /// At most so many lanes: those that run full soonest, then those that get fullest
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = at_least_one)]
    pub(crate) count: usize,
    #[command(flatten)]
    pub(crate) plot: Plot,
}

#[derive(Debug, Args)]
pub(crate) struct ReportStatement {
    /// The project
    #[arg(value_name = "PROJECT", value_parser = words::project)]
    pub(crate) project: ProjectId,
    /// The first instant: -7days, 2026-11-01T00:00:00Z; 30 days ago, if it is not said
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = moment)]
    pub(crate) from: Option<TimeText>,
    /// The first instant past it; now, if it is not said
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = moment)]
    pub(crate) to: Option<TimeText>,
    /// Without the projects below it
    #[arg(long)]
    pub(crate) own: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReportExport {
    /// Comma-separated values, under a line of names
    #[arg(long, conflicts_with = "jsonl")]
    pub(crate) csv: bool,
    /// A JSON object on each line, which is so anyway
    #[arg(long)]
    pub(crate) jsonl: bool,
    /// Only those of this project
    #[arg(long, value_name = "PROJECT", value_parser = words::project)]
    pub(crate) project: Option<ProjectId>,
    /// Only those for which this CEL expression holds
    #[arg(long, value_name = "CEL")]
    pub(crate) filter: Option<String>,
    #[command(flatten)]
    pub(crate) past: Past,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("measured").required(true).multiple(true).args(["bytes", "able"]))]
pub(crate) struct Observe {
    /// The lane, such as links/tor-1--spine/forward
    #[arg(value_name = "LANE")]
    pub(crate) lane: String,
    /// What crossed it in all, as a counter of a port has it
    #[arg(long, value_name = "SIZE", value_parser = any_size)]
    pub(crate) bytes: Option<ByteCount>,
    /// The most that it was able to carry, as the speed of a port or a test has it
    #[arg(long, value_name = "RATE", value_parser = words::rate)]
    pub(crate) able: Option<BitRate>,
    /// When it was measured from: -5m, 2026-11-23T18:00:00Z; at most an hour ago
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = moment)]
    pub(crate) from: TimeText,
    /// And until when; now, if it is not said
    #[arg(
        long,
        value_name = "TIME",
        allow_hyphen_values = true,
        default_value = "now",
        value_parser = moment
    )]
    pub(crate) to: TimeText,
    /// Who measured: letters, digits, `.`, `_` or `-`
    #[arg(long, value_name = "NAME", default_value = "by-hand")]
    pub(crate) observer: String,
}

/// An instant, a time before or after now, or the last time that a clock showed this in UTC.
fn moment(text: &str) -> Result<TimeText, String> {
    let text = text.trim();
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    match words::time(text) {
        // The next one was found: reports are about the one before it.
        Ok(TimeText::At(next)) => Ok(TimeText::At(next.minus(DAY))),
        Ok(other) => Ok(other),
        Err(_) if text.parse::<Span>().is_ok() => {
            let hint = format!("write -{text} for before now, or +{text} for after it");
            Err(words::fault("it does not say which side of now", hint))
        }
        Err(why) => Err(why.replace("or +2h", "-2h or +2h")),
    }
}

const DAY: Span = Span::from_secs(24 * 3600);

/// Which lanes.
fn selector(text: &str) -> Result<Selector, String> {
    text.parse().map_err(|error: ParseError| {
        let bare = !text.is_empty() && !text.contains('/');
        match bare.then(|| format!("*/{text}").parse::<Selector>()) {
            Some(Ok(meant)) => words::fault(
                "it names no collection",
                format!("write links/{text}, hosts/{text} or storage/{text}, or '{meant}' for any"),
            ),
            _ => words::fault(&error.why, error.hint),
        }
    })
}

/// A size, which may be nothing: that nothing crossed a lane is worth to be told.
fn any_size(text: &str) -> Result<ByteCount, String> {
    text.parse().or_else(|_: ParseError| words::size(text))
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err(words::fault("that shows nothing", "write --count 10, or leave it out")),
        Ok(count) => Ok(count),
        Err(_) => Err(words::fault("it is no number", "write --count 10")),
    }
}

/// Whether it is now, which is the broker's to say.
pub(crate) fn is_now(text: TimeText) -> bool {
    matches!(text, TimeText::FromNow(Span::ZERO) | TimeText::BeforeNow(Span::ZERO))
}

/// Whether it has to be known first when now is.
pub(crate) fn is_relative(text: TimeText) -> bool {
    !matches!(text, TimeText::At(_))
}

#[cfg(test)]
mod tests {
    use tidegate_policy::Timestamp;

    use super::*;

    #[test]
    fn times_may_lie_behind_now() {
        let now: Timestamp = "2026-11-29T17:30:00Z".parse().unwrap();
        let table = [
            ("-24h", "2026-11-28T17:30:00Z"),
            ("+2h", "2026-11-29T19:30:00Z"),
            ("now", "2026-11-29T17:30:00Z"),
            ("-7days", "2026-11-22T17:30:00Z"),
            ("2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z"),
        ];
        for (text, expected) in table {
            assert_eq!(moment(text).unwrap().at(now).to_string(), expected, "{text}");
        }
        let last = moment("18:00Z").unwrap().at(now);
        assert!(last <= tidegate_client::clock::wall(), "{last}");
        let error = moment("24h").unwrap_err();
        assert!(error.contains("write -24h for before now"), "{error}");
        let error = moment("2026-11-01").unwrap_err();
        assert!(error.contains("write 2026-11-01T00:00:00Z"), "{error}");
        assert!(is_now(moment("now").unwrap()) && !is_now(moment("-1s").unwrap()));
    }

    #[test]
    fn a_name_without_its_collection_is_told_what_to_write() {
        let error = selector("tor-1--spine").unwrap_err();
        assert!(error.contains("write links/tor-1--spine, hosts/tor-1--spine"), "{error}");
        assert_eq!(selector("links/*/forward").unwrap().as_str(), "links/*/forward");
        assert!(selector("switches/tor").unwrap_err().contains("no collection of"));
        assert_eq!(any_size("0B").unwrap(), ByteCount::ZERO);
        assert!(any_size("7").unwrap_err().contains("no unit"));
        assert!(at_least_one("0").is_err() && at_least_one("x").is_err());
    }
}

//! Words as people type them, and what to type instead where they are not quite.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use tidegate_client::clock;
use tidegate_client::download::source::Mount;
use tidegate_policy::{
    BitRate, Budget, ByteCount, ClassId, Endpoint, Headroom, Interval, ParseError, Part, Principal,
    ProjectId, Resource, RuleId, Selector, SessionId, Span, TimeText, Timestamp, Weekly,
};

use super::policy::{Limited, Spent};

/// A payload rate, or the lowest that helps and the highest that is of use: `1Gbit..4Gbit`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rates {
    pub(crate) min: BitRate,
    pub(crate) max: BitRate,
}

impl Rates {
    pub(crate) fn is_range(self) -> bool {
        self.min != self.max
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_range() { write!(f, "{}..{}", self.min, self.max) } else { self.min.fmt(f) }
    }
}

/// What is wrong, and on a line of its own what would be right.
pub(crate) fn fault(why: impl fmt::Display, hint: impl fmt::Display) -> String {
    format!("{why}\nhint: {hint}")
}

fn plain(error: &ParseError) -> String {
    fault(&error.why, error.hint)
}

/// A rate with its unit.
pub(crate) fn rate(text: &str) -> Result<BitRate, String> {
    text.parse().map_err(|error: ParseError| {
        let text = text.trim();
        if let Ok(bytes) = format!("{text}/s").parse::<BitRate>()
            && text.parse::<ByteCount>().is_ok()
        {
            let bits = text.replace('B', "bit");
            return fault(
                "bytes are a size, not a rate",
                format!("{text}/s is {bytes}; for bits write {bits}"),
            );
        }
        let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let letter = text.get(number.len()..).and_then(|unit| unit.chars().next());
        match letter.filter(|letter| "kKmMgGtT".contains(*letter)) {
            Some(letter) if !number.is_empty() => {
                let letter = letter.to_ascii_uppercase();
                let hint =
                    format!("write {number}{letter}bit for bits or {number}{letter}B/s for bytes");
                fault(&error.why, hint)
            }
            _ => plain(&error),
        }
    })
}

/// A directory, or one of a storage.
pub(crate) fn mount(text: &str) -> Result<Mount, String> {
    text.parse().map_err(|error: ParseError| plain(&error))
}

/// A rate, or a range of rates.
pub(crate) fn rates(text: &str) -> Result<Rates, String> {
    let Some((min, max)) = text.split_once("..") else {
        return rate(text).map(|rate| Rates { min: rate, max: rate });
    };
    let (min, max) = (rate(min)?, rate(max)?);
    if max < min {
        let hint = format!("the lowest comes first: {max}..{min}");
        return Err(fault(format!("{max} is less than {min}"), hint));
    }
    Ok(Rates { min, max })
}

/// A size with its unit, of something.
pub(crate) fn size(text: &str) -> Result<ByteCount, String> {
    let size: ByteCount = text.parse().map_err(|error: ParseError| {
        let text = text.trim();
        if rate(text).is_ok() {
            return fault("it is a rate, not a size", "write bytes, as in 40GB or 40GiB");
        }
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if digits {
            return fault("it has no unit", format!("write {text}GB, {text}GiB or {text}B"));
        }
        plain(&error)
    })?;
    if size == ByteCount::ZERO {
        return Err(fault("it is nothing to move", "write how much it is, as in 40GB"));
    }
    Ok(size)
}

/// A session, as `tidegate sessions` shows it.
pub(crate) fn session(text: &str) -> Result<SessionId, String> {
    let id = text.trim();
    let id = id.strip_prefix("sessions/").unwrap_or(id);
    id.parse().map_err(|error: ParseError| {
        fault(&error.why, "`tidegate sessions` shows those that are open")
    })
}

/// A length of time with its unit.
pub(crate) fn span(text: &str) -> Result<Span, String> {
    text.trim().strip_prefix('+').unwrap_or(text).parse().map_err(|error: ParseError| plain(&error))
}

/// The next time that a clock shows this in UTC, as in `18:00Z`; `None` if it is no such time.
fn next(text: &str, now: Timestamp) -> Option<Timestamp> {
    let clock = text.trim().strip_suffix('Z')?;
    let seconds = if clock.len() == 5 { ":00" } else { "" };
    let today = now.to_string();
    let (day, _) = today.split_once('T')?;
    let time: Timestamp = format!("{day}T{clock}{seconds}Z").parse().ok()?;
    Some(if time <= now { time.plus(Span::from_secs(24 * 3600)) } else { time })
}

/// An instant, or a time from now.
pub(crate) fn time(text: &str) -> Result<TimeText, String> {
    if let Some(time) = next(text, clock::wall()) {
        return Ok(TimeText::At(time));
    }
    text.parse().map_err(|error: ParseError| {
        let text = text.trim();
        let whole = text.replacen(' ', "T", 1);
        // Every way of leaving the rest of a time out, and what completes it.
        let completed = ["", ":00"].iter().find_map(|seconds| {
            let local = format!("{whole}{seconds}");
            format!("{local}Z").parse::<Timestamp>().is_ok().then_some(local)
        });
        if let Some(local) = completed {
            return fault(
                "it names no time zone",
                format!("write {local}Z for UTC, {local}+01:00 for an hour ahead of it, or +2h"),
            );
        }
        if text.parse::<Span>().is_ok() {
            return fault("a time from now begins with +", format!("write +{text}"));
        }
        if format!("{whole}T00:00:00Z").parse::<Timestamp>().is_ok() {
            return fault("it names no time of day", format!("write {whole}T00:00:00Z"));
        }
        if next(&format!("{text}Z"), clock::wall()).is_some() {
            return fault(
                "it names no time zone",
                format!("write {text}Z for the next time that it is {text} in UTC, or +2h"),
            );
        }
        plain(&error)
    })
}

/// The latest end: a time, or how long from now.
pub(crate) fn latest(text: &str) -> Result<TimeText, String> {
    text.parse().map(TimeText::FromNow).or_else(|_: ParseError| time(text))
}

/// One end of a transfer.
pub(crate) fn endpoint(text: &str) -> Result<Endpoint, String> {
    text.parse().map_err(|error: ParseError| match text.trim() {
        bare if bare.parse::<tidegate_policy::Name>().is_ok() => fault(
            &error.why,
            format!("write hosts/{bare} or storage/{bare}; `tidegate lanes` shows what there is"),
        ),
        _ => plain(&error),
    })
}

/// Something with lanes.
pub(crate) fn resource(text: &str) -> Result<Resource, String> {
    text.parse().map_err(|error: ParseError| plain(&error))
}

/// A limit, or `none`.
pub(crate) fn or_none<T: FromStr<Err = ParseError>>(text: &str) -> Result<Limited<T>, String> {
    match text {
        "none" => Ok(Limited::Unlimited),
        text => text.parse().map(Limited::To).map_err(|error: ParseError| error.to_string()),
    }
}

/// A number, or `none`.
pub(crate) fn count_or_none(text: &str) -> Result<Limited<u32>, String> {
    match text {
        "none" => Ok(Limited::Unlimited),
        text => text.parse().map(Limited::To).map_err(|error| format!("{error}; or write none")),
    }
}

/// `KEY=VALUE`.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = parts.ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// A project.
pub(crate) fn project(text: &str) -> Result<ProjectId, String> {
    let name = text.strip_prefix("projects/").unwrap_or(text);
    name.parse().map(ProjectId).map_err(|error: ParseError| error.to_string())
}

/// A class of service.
pub(crate) fn class(text: &str) -> Result<ClassId, String> {
    let name = text.strip_prefix("classes/").unwrap_or(text);
    name.parse().map(ClassId).map_err(|error: ParseError| error.to_string())
}

/// An admission rule.
pub(crate) fn rule(text: &str) -> Result<RuleId, String> {
    let name = text.strip_prefix("rules/").unwrap_or(text);
    name.parse().map(RuleId).map_err(|error: ParseError| error.to_string())
}

/// Who asks.
pub(crate) fn principal(text: &str) -> Result<Principal, String> {
    text.parse().map_err(|error: ParseError| error.to_string())
}

/// A word as the broker reads it.
pub(crate) fn parsed<T: FromStr<Err = ParseError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: ParseError| error.to_string())
}

/// `WHAT=HOW-MUCH`, or `WHAT=none`; split at the last `=`.
fn limited<K, V: FromStr<Err = ParseError>>(
    text: &str,
    form: &str,
    key: impl FnOnce(&str) -> Result<K, String>,
) -> Result<(K, Limited<V>), String> {
    let (what, limit) = text.rsplit_once('=').ok_or_else(|| format!("write {form}"))?;
    Ok((key(what.trim())?, or_none(limit.trim())?))
}

/// `LANES=PART`.
pub(crate) fn share_of(text: &str) -> Result<(Selector, Limited<Part>), String> {
    limited(text, "LANES=PART, as in network=50%, or network=none", parsed)
}

/// `PERIOD=SIZE`.
pub(crate) fn budget(text: &str) -> Result<Spent, String> {
    let form = "PERIOD=SIZE, as in month=2PB, or month=none";
    let (period, bytes) = limited(text, form, parsed)?;
    let bytes: Option<ByteCount> = bytes.limit();
    let budget = Budget { period, bytes: bytes.unwrap_or(ByteCount::ZERO) };
    Ok(Spent { budget, unlimited: bytes.is_none() })
}

/// `HOURS=RATE`.
pub(crate) fn hours(text: &str) -> Result<(Weekly, Limited<BitRate>), String> {
    limited(text, "HOURS=RATE, as in 'mon-fri 08:00-18:00=1Gbit', or =none", parsed)
}

/// `START..END=RATE`.
pub(crate) fn dated(text: &str) -> Result<(Interval, Limited<BitRate>), String> {
    let form = "START..END=RATE, as in 2026-12-24..2026-12-27=10Gbit, or =none";
    let instant = |text: &str| -> Result<Timestamp, String> {
        // A date alone is its beginning in UTC.
        let midnight = format!("{}T00:00:00Z", text.trim()).parse();
        midnight.or_else(|_: ParseError| parsed(text.trim()))
    };
    limited(text, form, |times| {
        let (start, end) = times.split_once("..").ok_or_else(|| format!("write {form}"))?;
        let (start, end) = (instant(start)?, instant(end)?);
        Interval::new(start, end).ok_or_else(|| format!("{end} is not after {start}"))
    })
}

/// `PART:DURATION`, or `none`.
pub(crate) fn headroom(text: &str) -> Result<Limited<Headroom>, String> {
    if text == "none" {
        return Ok(Limited::Unlimited);
    }
    let parts = text.split_once(':').ok_or("write PART:DURATION, as in 10%:10m, or none")?;
    Ok(Limited::To(Headroom { part: parsed(parts.0)?, longest: parsed(parts.1)? }))
}

/// A share in percent, as `50%`, in parts per million.
pub(crate) fn share(text: &str) -> Result<u32, String> {
    let wrong = || fault("it is no share below all", "write 0%, 50% or 99.5%");
    let number = text.trim().strip_suffix('%').ok_or_else(wrong)?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || 4 < decimals.len() {
        return Err(wrong());
    }
    let ppm = format!("{whole}{decimals:0<4}").parse().map_err(|_| wrong())?;
    if ppm < 1_000_000 { Ok(ppm) } else { Err(wrong()) }
}

/// A share as `20%` or `0.2`, in parts per million.
pub(crate) fn fraction(text: &str) -> Result<u32, String> {
    let wrong = || fault("it is no share below all", "write 20% or 0.2");
    let text = text.trim();
    if text.ends_with('%') {
        return share(text);
    }
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = !decimals.is_empty() && decimals.bytes().all(|b| b.is_ascii_digit());
    if !matches!(whole, "0" | "") || !digits || 6 < decimals.len() {
        return Err(wrong());
    }
    format!("{decimals:0<6}").parse().map_err(|_| wrong())
}

/// What to do while the broker cannot be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unreachable {
    Wait,
    Fail,
    BestEffort(BitRate),
}

impl FromStr for Unreachable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "wait" => Ok(Self::Wait),
            None if text == "fail" => Ok(Self::Fail),
            Some(("best-effort", text)) => rate(text).map(Self::BestEffort),
            _ => Err(fault("it is none of the choices", "wait, fail or best-effort=100Mbit")),
        }
    }
}

// === the same words in a file ===

/// Reads a word of a file as one that was typed.
pub(crate) fn word<'a, D, T>(from: D, parse: fn(&str) -> Result<T, String>) -> Result<T, D::Error>
where
    D: Deserializer<'a>,
{
    let text = String::deserialize(from)?;
    parse(&text).map_err(|why| {
        let why = why.replace("\nhint: ", "; ");
        serde::de::Error::custom(format!("{text:?}: {why}"))
    })
}

/// Makes a reader of a field that may be absent.
macro_rules! optional {
    ($($name:ident: $type:ty,)*) => {
        /// Fields of a file that may be absent.
        pub(crate) mod optional {
            $(pub(crate) fn $name<'a, D: serde::Deserializer<'a>>(
                from: D,
            ) -> Result<Option<$type>, D::Error> {
                super::word(from, super::$name).map(Some)
            })*
        }
    };
}

optional! {
    rates: super::Rates,
    rate: tidegate_policy::BitRate,
    size: tidegate_policy::ByteCount,
    session: tidegate_policy::SessionId,
    span: tidegate_policy::Span,
    time: tidegate_policy::TimeText,
    latest: tidegate_policy::TimeText,
    endpoint: tidegate_policy::Endpoint,
    project: tidegate_policy::ProjectId,
    class: tidegate_policy::ClassId,
    principal: tidegate_policy::Principal,
}

/// A table of labels.
pub(crate) fn labels<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<(String, String)>, D::Error> {
    let labels = std::collections::BTreeMap::<String, String>::deserialize(from)?;
    Ok(labels.into_iter().collect())
}

/// One endpoint, or a list of them.
pub(crate) fn endpoints<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<Endpoint>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "write \"storage/NAME\", or a list of such")]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    let texts = match OneOrMany::deserialize(from)? {
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(texts) => texts,
    };
    let read = |text: &String| {
        let wrong = |why: String| format!("{text:?}: {}", why.replace("\nhint: ", "; "));
        endpoint(text).map_err(wrong).map_err(serde::de::Error::custom)
    };
    texts.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn hint<T: fmt::Debug>(read: Result<T, String>, expected: &str) {
        let error = read.unwrap_err();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn a_near_miss_is_answered_with_what_was_meant() {
        hint(rate("2GB"), "2GB/s is 16Gbit/s; for bits write 2Gbit");
        hint(rate("2G"), "write 2Gbit for bits or 2GB/s for bytes");
        hint(rate("4Gb"), "write 4Gbit for bits or 4GB/s for bytes");
        hint(rate("4"), "write bits as in 10Gbit");
        hint(rates("4Gbit..1Gbit"), "the lowest comes first: 1Gbit/s..4Gbit/s");
        hint(time("2026-11-25T18:00:00"), "write 2026-11-25T18:00:00Z for UTC");
        hint(time("2026-11-25 18:00"), "write 2026-11-25T18:00:00Z for UTC");
        hint(time("2026-11-25"), "write 2026-11-25T00:00:00Z");
        hint(time("18:00"), "write 18:00Z for the next time that it is 18:00 in UTC");
        hint(size("40"), "write 40GB, 40GiB or 40B");
        hint(size("40Gbit"), "it is a rate, not a size");
        hint(size("0GB"), "it is nothing to move");
        hint(session("agent-7"), "`tidegate sessions` shows");
        hint(time("2h"), "write +2h");
        hint(endpoint("images"), "write hosts/images or storage/images");
        hint(share("100%"), "it is no share below all");
    }

    #[test]
    fn limits_are_read_with_what_they_are_of() {
        let (of, part) = share_of("links/*=12.5%").unwrap();
        assert_eq!((of.as_str(), part.limit().unwrap().ppm()), ("links/*", 125_000));
        assert_eq!(share_of("network=none").unwrap().1, Limited::Unlimited);
        let spent = budget("month=2PB").unwrap();
        assert_eq!((spent.budget.bytes.to_string().as_str(), spent.unlimited), ("2PB", false));
        assert!(budget("day=none").unwrap().unlimited);
        let (hours, rate) = hours("mon-fri 08:00-18:00=1Gbit").unwrap();
        assert_eq!(format!("{hours} {}", rate.limit().unwrap()), "mon-fri 08:00-18:00 1Gbit/s");
        let (over, _) = dated("2026-12-24..2026-12-27T12:00:00Z=none").unwrap();
        let over = format!("{} {}", over.start(), over.end());
        assert_eq!(over, "2026-12-24T00:00:00Z 2026-12-27T12:00:00Z");
        let left = headroom("10%:10m").unwrap().limit().unwrap();
        assert_eq!(format!("{} {}", left.part, left.longest), "10% 10m");
        assert_eq!(headroom("none").unwrap(), Limited::Unlimited);
        hint(share_of("50%"), "LANES=PART");
        hint(budget("year=1TB"), "day, week or month");
        hint(dated("2026-12-27..2026-12-24=1Gbit"), "is not after");
        hint(headroom("10%"), "PART:DURATION");
        assert_eq!(class("classes/gold").unwrap(), class("gold").unwrap());
        hint(principal("a b"), "principals do not have");
    }

    #[test]
    fn words_are_read_as_typed() {
        let range = rates("1Gbit..4Gbit").unwrap();
        assert_eq!((range.min.bps(), range.max.bps()), (1_000_000_000, 4_000_000_000));
        assert_eq!(rates("2Gbit").unwrap().to_string(), "2Gbit/s");
        assert_eq!(size("40GB").unwrap().bytes(), 40_000_000_000);
        let now: Timestamp = "2026-11-29T17:30:00Z".parse().unwrap();
        let on = |text: &str| next(text, now).map(|time| time.to_string());
        assert_eq!(on("18:00Z").as_deref(), Some("2026-11-29T18:00:00Z"));
        assert_eq!(on("17:30:00Z").as_deref(), Some("2026-11-30T17:30:00Z"));
        assert_eq!([on("18:00"), on("25:00Z"), on("+2h")], [None, None, None]);
        assert_eq!(latest("6h").unwrap(), latest("+6h").unwrap());
        assert_eq!(span("+10m").unwrap(), span("10m").unwrap());
        assert_eq!([share("0%"), share("99.5%")], [Ok(0), Ok(995_000)]);
    }
}

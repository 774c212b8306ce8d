//! From what was typed to a request: what is missing, what contradicts itself, and what to type
//! instead. Whether it can be granted, the broker says.

use std::num::NonZeroU16;

use tidegate_client::ask::{Along, Ask, Assurance, Between, End};
use tidegate_client::clock;
use tidegate_policy::{BitRate, ByteCount, Interval, Span, TimeText, Timestamp};

use crate::arguments::Wanted;
use crate::arguments::words::Rates;
use crate::exit::Mistake;

/// How far ahead a window is looked for, if nobody says.
const AHEAD: Span = Span::from_secs(24 * 3600);

/// The most sources that one request names.
const SOURCES_MAX: usize = 16;

/// The highest priority.
const PRIORITY_MAX: u8 = 9;

impl Wanted {
    /// The request that it is.
    pub(crate) fn ask(&self) -> Result<Ask, Mistake> {
        let now = clock::wall();
        let along = self.along()?;
        let mut ask = match self.volume {
            Some(volume) => self.transfer(along, volume, now)?,
            None => self.at_a_rate(along, now)?,
        };
        if let Some(start) = self.start(now) {
            ask = ask.starting(start);
        }
        if self.shared {
            ask = ask.assurance(Assurance::Shared);
        }
        self.standing(&mut ask)?;
        if let Some(project) = &self.project {
            ask = ask.project(project.clone());
        }
        ask.class.clone_from(&self.class);
        ask.principal.clone_from(&self.principal);
        ask.labels = self.labels.iter().cloned().collect();
        Ok(match self.streams()? {
            Some(count) => ask.streams(count),
            None => ask,
        })
    }

    /// How it stands to others, and whose it is.
    fn standing(&self, ask: &mut Ask) -> Result<(), Mistake> {
        ask.session = self.session;
        ask.movable = self.movable;
        ask.preemptible = self.preemptible;
        ask.priority = self.priority.unwrap_or(0);
        if PRIORITY_MAX < ask.priority {
            let mistake = Mistake::new(format!("{} is no priority", ask.priority));
            return Err(mistake.hint("0 is the lowest and 9 the highest"));
        }
        if self.movable && self.session.is_none() {
            return Err(Mistake::new("nobody would hear that its plan is moved").hint(
                "say with --session whose it is; `tidegate fetch --by` has a session of its own",
            ));
        }
        if self.movable && self.volume.is_none() && self.by.is_none() {
            return Err(Mistake::new("a fixed time cannot be moved")
                .hint("leave --movable out, or ask for a --volume --by a time"));
        }
        Ok(())
    }

    fn transfer(&self, along: Along, volume: ByteCount, now: Timestamp) -> Result<Ask, Mistake> {
        if self.rate.is_some() || self.span.is_some() || self.until.is_some() {
            return Err(Mistake::new("a volume takes the rates and the time that it needs").hint(
                "bound them with --min-rate, --max-rate and --by, without rate, for or until",
            ));
        }
        if volume == ByteCount::ZERO {
            return Err(Mistake::new("0B is nothing to move").hint("write --volume 40GB"));
        }
        let by = self.by.ok_or_else(|| {
            Mistake::new("it does not say when all of it must be there")
                .hint("add --by +2h, or --by 18:00Z")
        })?;
        let ask = Ask::transfer(along, volume, deadline(self.start(now), by, now)?);
        let ask = bounded(ask, (self.min_rate, self.max_rate))?;
        Ok(if self.split { ask.split() } else { ask })
    }

    fn at_a_rate(&self, along: Along, now: Timestamp) -> Result<Ask, Mistake> {
        if self.min_rate.is_some() || self.max_rate.is_some() || self.split {
            return Err(Mistake::new("bounds and ways to split over belong to a volume")
                .hint("add --volume 40GB; a range of rates is written --rate 1Gbit..4Gbit"));
        }
        let rates = self.rates()?;
        Ok(match self.by {
            None => Ask::rigid(along, rates.min, self.end(rates, now)?),
            Some(by) => {
                let span = self.span.ok_or_else(no_length)?;
                Ask::flexible(along, rates.min..=rates.max, span, self.latest(by, now)?)
            }
        })
    }

    /// Where, as far as it says so.
    pub(crate) fn along(&self) -> Result<Along, Mistake> {
        if !self.lanes.is_empty() {
            if self.path.is_some() {
                let mistake = Mistake::new("--path belongs to a request between endpoints");
                return Err(mistake.hint("the lanes say the way already: leave --path out"));
            }
            return Ok(Along::lanes(&self.lanes));
        }
        if SOURCES_MAX < self.sources.len() {
            let count = self.sources.len();
            let mistake = Mistake::new(format!("{count} sources are too many"));
            return Err(mistake.hint(format!("name the best {SOURCES_MAX} of them")));
        }
        let mut sources = self.sources.iter().cloned();
        let source = sources.next().ok_or_else(|| {
            Mistake::new("it does not say where the bytes come from")
                .hint("add --from storage/NAME or --from hosts/NAME, or name lanes with --lane")
        })?;
        let destination = self.destination.clone().ok_or_else(|| {
            Mistake::new("it does not say where the bytes go")
                .hint("add --to hosts/NAME or --to storage/NAME, or set TIDEGATE_TO")
        })?;
        let between = sources.fold(Between::new(source, destination), Between::or_from);
        let mut between = self.via.iter().cloned().fold(between, Between::via);
        between.path = self.path.map(u32::from);
        Ok(Along::Between(between))
    }

    fn rates(&self) -> Result<Rates, Mistake> {
        self.rate.ok_or_else(|| {
            Mistake::new("it does not say how fast, or how much")
                .hint("add --rate 2Gbit or --rate 250MB/s, or --volume 40GB with --by")
        })
    }

    /// The lowest rate that helps.
    pub(crate) fn lowest(&self) -> Result<BitRate, Mistake> {
        self.rates().map(|rates| rates.min)
    }

    /// The start; now is the broker's to say, since this machine's clock may differ.
    pub(crate) fn start(&self, now: Timestamp) -> Option<Timestamp> {
        match self.start {
            None | Some(TimeText::FromNow(Span::ZERO)) => None,
            Some(later) => Some(later.at(now)),
        }
    }

    pub(crate) fn streams(&self) -> Result<Option<NonZeroU16>, Mistake> {
        let none = || Mistake::new("0 streams carry nothing").hint("leave --streams out for one");
        self.streams.map(|count| NonZeroU16::new(count).ok_or_else(none)).transpose()
    }

    fn end(&self, rates: Rates, now: Timestamp) -> Result<End, Mistake> {
        if rates.is_range() {
            return Err(Mistake::new("a range of rates needs a window to look in")
                .hint("say by when it is to be over with --by +6h, or give a single --rate"));
        }
        match (self.span, self.until) {
            (Some(Span::ZERO), _) => {
                Err(Mistake::new("it lasts for no time at all").hint("write --for 10m"))
            }
            (Some(span), _) => Ok(End::After(span)),
            (None, Some(until)) => {
                let (start, end) = (self.start(now).unwrap_or(now), until.at(now));
                ordered(start, end, "--until")?;
                Ok(End::At(end))
            }
            (None, None) => Err(no_length()),
        }
    }

    fn latest(&self, by: TimeText, now: Timestamp) -> Result<Timestamp, Mistake> {
        let (start, end) = (self.start(now).unwrap_or(now), by.at(now));
        ordered(start, end, "--by")?;
        Ok(end)
    }

    /// How long, and in which window: the next day, if nobody says.
    pub(crate) fn window(&self) -> Result<(Span, Option<Timestamp>, Timestamp), Mistake> {
        if self.volume.is_some() {
            return Err(Mistake::new("a volume has no one rate to find a time for")
                .hint("`tidegate explain --volume 40GB --by +2h ...` says what it would get"));
        }
        let now = clock::wall();
        let start = self.start(now);
        let end = self.by.or(self.until);
        let end = end.map_or(start.unwrap_or(now).plus(AHEAD), |end| end.at(now));
        ordered(start.unwrap_or(now), end, "--by")?;
        Ok((self.span.ok_or_else(no_length)?, start, end))
    }
}

/// The deadline of a transfer, which has to lie past its start.
pub(crate) fn deadline(
    start: Option<Timestamp>,
    by: TimeText,
    now: Timestamp,
) -> Result<Timestamp, Mistake> {
    let (start, by) = (start.unwrap_or(now), by.at(now));
    if start < by {
        return Ok(by);
    }
    Err(Mistake::new(format!("its deadline is {by}, before it starts at {start}"))
        .hint("--by is the time at which all of it must be there, past --start and past now"))
}

/// A transfer within these rates.
pub(crate) fn bounded(
    mut ask: Ask,
    (min, max): (Option<BitRate>, Option<BitRate>),
) -> Result<Ask, Mistake> {
    let min = min.unwrap_or(BitRate::ZERO);
    if let Some(max) = max {
        if max < min {
            return Err(Mistake::new(format!("--max-rate {max} is less than --min-rate {min}"))
                .hint("leave one of them out, or swap them"));
        }
        if max == BitRate::ZERO {
            return Err(Mistake::new("nothing moves at 0bit/s")
                .hint("leave --max-rate out for as fast as it goes"));
        }
        ask = ask.at_most(max);
    }
    Ok(ask.at_least(min))
}

/// Checks that an end lies after its start.
pub(crate) fn ordered(start: Timestamp, end: Timestamp, flag: &str) -> Result<Interval, Mistake> {
    Interval::new(start, end).ok_or_else(|| {
        let day = Span::from_secs(24 * 3600);
        let tomorrow = end.plus(day);
        let mistake = Mistake::new(format!("it ends at {end}, before it starts at {start}"));
        if start < tomorrow && start.as_ms() - end.as_ms() < 24 * 3600 * 1000 {
            return mistake.hint(format!(
                "for the day after write {flag} {tomorrow}; for a length, --for 1h"
            ));
        }
        mistake.hint(format!("{flag} is an instant past the start; for a length write --for 1h"))
    })
}

fn no_length() -> Mistake {
    Mistake::new("it does not say how long")
        .hint("add --for 10m, or --until with the time at which it ends")
}

#[cfg(test)]
#[path = "asking_tests.rs"]
mod tests;

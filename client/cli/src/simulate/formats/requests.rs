//! The requests of a replay, fully checked: after this no unchecked number exists.

use std::collections::BTreeMap;
use std::path::Path;

use tidegate_core::PRIORITY_MAX;
use tidegate_core::command::{SOURCES_MAX, VIA_MAX};
use tidegate_policy::{BitRate, ByteCount, Endpoint, Interval, Name, ProjectId, Span, Timestamp};

use super::line::{Id, Kind, Line, When};
use super::numbers::{Rounds, given, instant, rate, span, volume, whole};
use super::{called, json, lines};
use crate::exit::Mistake;
use crate::simulate::world::World;

/// The most requests of a file.
pub(in crate::simulate) const REQUESTS_MAX: usize = 200_000;

/// A file of requests.
#[derive(Clone, Debug)]
pub(in crate::simulate) struct Requests {
    /// In the order of their arrival.
    pub(in crate::simulate) all: Vec<Request>,
    /// The file counts seconds from its beginning, instead of saying instants.
    pub(in crate::simulate) relative: bool,
}

/// One request of a file.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::simulate) struct Request {
    pub(in crate::simulate) id: Id,
    /// When it is asked.
    pub(in crate::simulate) arrive: Timestamp,
    /// Best first.
    pub(in crate::simulate) sources: Vec<Endpoint>,
    pub(in crate::simulate) destination: Endpoint,
    pub(in crate::simulate) via: Vec<Name>,
    pub(in crate::simulate) project: ProjectId,
    /// 0 is the lowest.
    pub(in crate::simulate) priority: u8,
    pub(in crate::simulate) what: What,
}

/// What is wanted of the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::simulate) enum What {
    /// This rate at this time.
    Rigid { rate: BitRate, over: Interval },
    /// This rate for so long, somewhere in the window.
    Flex { rate: BitRate, span: Span, window: Interval },
    /// These bytes inside of the window, at rates within bounds.
    Volume { bytes: ByteCount, min: BitRate, max: BitRate, window: Interval, reference: Fixed },
}

/// A rate for a time: what somebody would ask for who cannot ask for a volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::simulate) struct Fixed {
    pub(in crate::simulate) rate: BitRate,
    pub(in crate::simulate) span: Span,
}

impl Request {
    pub(in crate::simulate) fn kind(&self) -> Kind {
        match self.what {
            What::Rigid { .. } => Kind::Rigid,
            What::Flex { .. } => Kind::Flex,
            What::Volume { .. } => Kind::Volume,
        }
    }

    /// What it wants moved, in bits times 1000: a rate over milliseconds is a whole number of
    /// these.
    pub(in crate::simulate) fn millibits(&self) -> u128 {
        let moved = |rate: BitRate, span: Span| u128::from(rate.bps()) * u128::from(span.as_ms());
        match self.what {
            What::Rigid { rate, over } => moved(rate, over.span()),
            What::Flex { rate, span, .. } => moved(rate, span),
            What::Volume { bytes, .. } => u128::from(bytes.bytes()) * 8000,
        }
    }

    /// The lowest and the highest rate that is of use while anything moves. A volume that is asked
    /// for at its reference rate moves at that.
    pub(in crate::simulate) fn rates(&self) -> (BitRate, BitRate) {
        match self.what {
            What::Rigid { rate, .. } | What::Flex { rate, .. } => (rate, rate),
            What::Volume { min, max, reference, .. } => {
                (min.min(reference.rate), max.max(reference.rate))
            }
        }
    }

    /// When it may move: from its first instant to its last.
    pub(in crate::simulate) fn window(&self) -> Interval {
        match self.what {
            What::Rigid { over, .. } => over,
            What::Flex { window, .. } | What::Volume { window, .. } => window,
        }
    }

    /// The same request at other times: asked at `arrive`, its window so much later.
    pub(in crate::simulate) fn moved(&self, arrive: Timestamp, later: Span) -> Self {
        let shift = |it: Interval| {
            // Past the last instant there is is nothing to be shifted to.
            Interval::new(it.start().plus(later), it.end().plus(later)).unwrap_or(it)
        };
        let what = match self.what {
            What::Rigid { rate, over } => What::Rigid { rate, over: shift(over) },
            What::Flex { rate, span, window } => What::Flex { rate, span, window: shift(window) },
            What::Volume { bytes, min, max, window, reference } => {
                What::Volume { bytes, min, max, window: shift(window), reference }
            }
        };
        Self { arrive, what, ..self.clone() }
    }
}

/// The requests of a file.
pub(in crate::simulate) fn read(file: &Path, world: &World) -> anyhow::Result<Requests> {
    let mut requests = Vec::new();
    let mut seen: BTreeMap<Id, usize> = BTreeMap::new();
    // Seconds count from the beginning of the file, which instants do not: both in one file cannot
    // be meant.
    let mut relative: Option<bool> = None;
    lines(file, |number, text| {
        if REQUESTS_MAX <= requests.len() {
            return Err(format!("there are more than {REQUESTS_MAX} requests"));
        }
        let line: Line = json(text)?;
        let request = request(&line, world)?;
        let mut seconds = line.instants().map(|it| matches!(it, When::Seconds(_)));
        if seconds.any(|mine| *relative.get_or_insert(mine) != mine) {
            return Err("some instants are seconds, others RFC 3339; write them one way".into());
        }
        if let Some(before) = seen.insert(request.id.clone(), number) {
            return Err(format!("id {} stands in line {before} already", request.id));
        }
        requests.push(request);
        Ok(())
    })?;
    if requests.is_empty() {
        let hint = "`tidegate simulate generate` writes such files";
        return Err(Mistake::new(format!("{} asks for nothing", called(file))).hint(hint).into());
    }
    requests.sort_by_key(|request| request.arrive);
    Ok(Requests { all: requests, relative: relative.unwrap_or(false) })
}

/// One line, all of its numbers within their bounds.
fn request(line: &Line, world: &World) -> Result<Request, String> {
    let kind = *given("kind", line.kind.as_ref())?;
    if let Some(stray) = line.strays(kind).next() {
        return Err(format!("a {} request has no {stray}", kind.name()));
    }
    let arrive = instant("arrive_s", given("arrive_s", line.arrive_s.as_ref())?, Rounds::Down)?;
    let what = match kind {
        Kind::Rigid => rigid(line)?,
        Kind::Flex => flex(line)?,
        Kind::Volume => bytes(line)?,
    };
    let request = Request {
        id: given("id", line.id.as_ref())?.clone(),
        arrive,
        sources: sources(line, world)?,
        destination: world.endpoint(&line.dst).map_err(|why| format!("dst: {why}"))?,
        via: via(line, world)?,
        project: project(line)?,
        priority: priority(line)?,
        what,
    };
    if request.sources.contains(&request.destination) {
        return Err(format!("dst: {} is one of the sources", line.dst));
    }
    let start = request.window().start();
    if start < arrive {
        return Err(format!("it starts {} before it arrives", arrive.since(start)));
    }
    Ok(request)
}

fn rigid(line: &Line) -> Result<What, String> {
    let start = instant("start_s", given("start_s", line.start_s.as_ref())?, Rounds::Down)?;
    let end = instant("end_s", given("end_s", line.end_s.as_ref())?, Rounds::Up)?;
    let rate = rate("rate_bps", given("rate_bps", line.rate_bps.as_ref())?, 1)?;
    Ok(What::Rigid { rate, over: interval(("start_s", start), ("end_s", end))? })
}

fn flex(line: &Line) -> Result<What, String> {
    let window = window(line, "end_max_s", line.end_max_s.as_ref())?;
    let rate = rate("rate_bps", given("rate_bps", line.rate_bps.as_ref())?, 1)?;
    let span = span("duration_s", given("duration_s", line.duration_s.as_ref())?)?;
    if window.span() < span {
        return Err(format!("its window of {} is shorter than its {span}", window.span()));
    }
    Ok(What::Flex { rate, span, window })
}

fn bytes(line: &Line) -> Result<What, String> {
    let window = window(line, "deadline_s", line.deadline_s.as_ref())?;
    let bytes = volume("volume_bytes", given("volume_bytes", line.volume_bytes.as_ref())?)?;
    let max = rate("max_bps", given("max_bps", line.max_bps.as_ref())?, 1)?;
    let min = line.min_bps.as_ref().map(|it| rate("min_bps", it, 0)).transpose()?;
    let min = min.unwrap_or(BitRate::ZERO);
    if max < min {
        return Err(format!("max_bps is below min_bps: {max} and {min}"));
    }
    let least = bytes.span_at(max).filter(|least| *least <= window.span());
    if least.is_none() {
        return Err(format!("{bytes} at {max} take longer than its window of {}", window.span()));
    }
    let reference = match (&line.ref_rate_bps, &line.ref_duration_s) {
        (None, None) => Fixed { rate: max, span: least.unwrap_or_default() },
        (Some(of), Some(over)) => {
            Fixed { rate: rate("ref_rate_bps", of, 1)?, span: span("ref_duration_s", over)? }
        }
        _ => return Err("ref_rate_bps and ref_duration_s go together".into()),
    };
    if reference.rate.bytes_in(reference.span) < bytes {
        let Fixed { rate, span } = reference;
        return Err(format!(
            "ref_rate_bps over ref_duration_s, {rate} for {span}, is less than {bytes}"
        ));
    }
    if window.span() < reference.span {
        return Err(format!("ref_duration_s is longer than its window of {}", window.span()));
    }
    Ok(What::Volume { bytes, min, max, window, reference })
}

fn window(line: &Line, called: &str, end: Option<&When>) -> Result<Interval, String> {
    let start = given("start_min_s", line.start_min_s.as_ref())?;
    let start = instant("start_min_s", start, Rounds::Down)?;
    let end = instant(called, given(called, end)?, Rounds::Up)?;
    interval(("start_min_s", start), (called, end))
}

fn interval(
    (from, start): (&str, Timestamp),
    (to, end): (&str, Timestamp),
) -> Result<Interval, String> {
    let whole = Interval::new(start, end).ok_or_else(|| format!("{to} is not after {from}"))?;
    // A longer one does not fit into a span.
    if end != start.plus(whole.span()) {
        return Err(format!("{to} is more than 400 days after {from}"));
    }
    Ok(whole)
}

fn sources(line: &Line, world: &World) -> Result<Vec<Endpoint>, String> {
    let count = line.src.len();
    if !(1..=SOURCES_MAX).contains(&count) {
        return Err(format!("src names {count} sources; name 1 to {SOURCES_MAX}"));
    }
    let read = |text: &String| world.endpoint(text).map_err(|why| format!("src: {why}"));
    line.src.iter().map(read).collect()
}

fn via(line: &Line, world: &World) -> Result<Vec<Name>, String> {
    if VIA_MAX < line.via.len() {
        return Err(format!("via names {} hosts; name at most {VIA_MAX}", line.via.len()));
    }
    let read = |text: &String| match world.endpoint(text).map_err(|why| format!("via: {why}"))? {
        Endpoint::Host(name) => Ok(name),
        Endpoint::Storage(_) => Err(format!("via: {text} is no host")),
    };
    line.via.iter().map(read).collect()
}

fn project(line: &Line) -> Result<ProjectId, String> {
    let Some(text) = &line.project else { return Ok(ProjectId::default_project()) };
    text.parse().map(ProjectId).map_err(|error| format!("project: {error}"))
}

fn priority(line: &Line) -> Result<u8, String> {
    let prio =
        line.prio.as_ref().map(|it| whole("prio", it, 0, PRIORITY_MAX.into())).transpose()?;
    Ok(prio.and_then(|prio| u8::try_from(prio).ok()).unwrap_or(0))
}

//! Plans and promises in their durable form.
//!
//! One rate on one way, with nothing promised beyond it and on equal terms with others, is written
//! as it was before there were plans, to the byte. Anything else is written in fields that a broker
//! of before does not know, and without those that it requires, so that it refuses to read it.

use tidegate_core::LastMove;
use tidegate_core::event::{MoveWhy, Moved, Reserved};
use tidegate_core::lane::LaneName;
use tidegate_core::{
    Owner, PRIORITY_MAX, Plan, PlanWay, Promise, Promised, Route, Segment, Standing, Ways,
};
use tidegate_policy::class::WEIGHT_MAX;
use tidegate_policy::project::label_fault;
use tidegate_policy::{ByteCount, ClassId, Interval, Name, Overcommit, ProjectId, Span, Timestamp};
use tidegate_proto::journal::v1 as wire;
use wire::moved::Why;
use wire::promise::What;

use super::{Unreadable, bad, id, instant, interval, rate, reservation_id, steer, word};
use crate::convert::reply;

/// What a reservation is told to be: from when to when, and since when its present terms are
/// booked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) over: Interval,
    pub(super) from: Timestamp,
}

impl Told {
    /// Of a plan that was just granted.
    pub(super) fn of(plan: &Plan) -> Option<Self> {
        plan.interval().map(|over| Self { over, from: over.start() })
    }

    /// What a plan of one segment covers.
    pub(super) fn booked(self) -> Interval {
        Interval::new(self.from, self.over.end()).unwrap_or(self.over)
    }
}

/// The only segment and its way, if that is all that there is to say.
pub(super) fn only(reserved: &Reserved, told: Told) -> Option<(&PlanWay, &Segment)> {
    let plain = reserved.promise.is_none()
        && reserved.standing == Standing::default()
        && reserved.owner == Owner::from(reserved.owner.project.clone())
        && !reserved.borrowed
        && reserved.despite.is_none();
    match (reserved.plan.ways.as_slice(), reserved.plan.segments.as_slice()) {
        ([way], [only]) if plain && only.over == told.booked() => Some((way, only)),
        _ => None,
    }
}

// === to the journal ===

/// Whose a reservation is and how it stands to others, beside the rest of it.
pub(super) fn stands_to_wire(reserved: &Reserved, rest: wire::Reserved) -> wire::Reserved {
    let Owner { project: _, principal, class, labels } = &reserved.owner;
    let Standing { priority, preemptible, ratio, weight } = reserved.standing;
    wire::Reserved {
        priority: priority.into(),
        preemptible,
        class: class.as_ref().map(ToString::to_string).unwrap_or_default(),
        principal: principal.as_ref().map(ToString::to_string).unwrap_or_default(),
        labels: labels.clone(),
        // What is as it always was is written as it always was.
        ratio_ppm: if ratio == Overcommit::NONE { 0 } else { ratio.ppm() },
        weight: if weight == 1 { 0 } else { weight },
        borrowed: reserved.borrowed,
        despite: reserved.despite.map_or(0, |why| reply::reason(why).into()),
        ..rest
    }
}

pub(super) fn ways_to_wire(plan: &Plan) -> Vec<wire::PlanWay> {
    plan.ways.iter().map(way_to_wire).collect()
}

fn way_to_wire(way: &PlanWay) -> wire::PlanWay {
    let PlanWay { route, lanes } = way;
    wire::PlanWay {
        source: route.source().map(ToString::to_string).unwrap_or_default(),
        destination: route.destination().map(ToString::to_string).unwrap_or_default(),
        via: route.via().iter().map(ToString::to_string).collect(),
        lanes: named(route),
        path: route.path().map(u32::from),
        steers: route.steers().iter().map(reply::steer).collect(),
        booked: lanes.iter().map(ToString::to_string).collect(),
    }
}

/// The lanes that a route names.
pub(super) fn named(route: &Route) -> Vec<String> {
    match route {
        Route::Between { .. } => Vec::new(),
        Route::Lanes(lanes) => lanes.iter().map(ToString::to_string).collect(),
    }
}

pub(super) fn segments_to_wire(plan: &Plan) -> Vec<wire::PlanSegment> {
    let segment = |segment: &Segment| wire::PlanSegment {
        way: u32::try_from(segment.way).unwrap_or(u32::MAX),
        rate_bps: segment.rate.bps(),
        start_ms: segment.over.start().as_ms(),
        end_ms: segment.over.end().as_ms(),
        amounts_bps: segment.amounts.clone(),
    };
    plan.segments.iter().map(segment).collect()
}

pub(super) fn promise_to_wire(promise: &Promise) -> wire::Promise {
    let Promise { what, ways, movable } = promise;
    let told = wire::Promise { movable: *movable, ..promised_to_wire(what) };
    match ways {
        Ways::Between { sources, destination, via, path } => wire::Promise {
            sources: sources.iter().map(ToString::to_string).collect(),
            destination: destination.to_string(),
            via: via.iter().map(ToString::to_string).collect(),
            path: path.map(u32::from),
            ..told
        },
        Ways::Lanes(lanes) => {
            wire::Promise { lanes: lanes.iter().map(ToString::to_string).collect(), ..told }
        }
    }
}

/// What is promised, without the ways.
fn promised_to_wire(what: &Promised) -> wire::Promise {
    let window = what.window();
    let what = match *what {
        Promised::Span { min, max, span, window: _ } => What::Span(wire::PromisedSpan {
            min_bps: min.bps(),
            max_bps: max.bps(),
            span_ms: span.as_ms(),
        }),
        Promised::Volume { volume, min, max, window: _, split } => {
            What::Volume(wire::PromisedVolume {
                volume_bytes: volume.bytes(),
                min_bps: min.bps(),
                max_bps: max.bps(),
                split,
            })
        }
    };
    wire::Promise {
        what: Some(what),
        start_ms: window.start().as_ms(),
        end_ms: window.end().as_ms(),
        ..wire::Promise::default()
    }
}

fn move_why_to_wire(why: MoveWhy) -> Why {
    match why {
        MoveWhy::Room => Why::Room,
        MoveWhy::CapacityLost => Why::CapacityLost,
        MoveWhy::Lagging => Why::Lagging,
        MoveWhy::Preempted => Why::Preempted,
        MoveWhy::Asked => Why::Asked,
    }
}

pub(super) fn last_move_to_wire(last: &LastMove) -> wire::LastMove {
    wire::LastMove {
        from_ms: last.from.as_ms(),
        why: move_why_to_wire(last.why).into(),
        short_bytes: last.short.bytes(),
        plan_version: last.plan_version,
        used_bytes: last.used.bytes(),
    }
}

pub(super) fn moved_to_wire(moved: &Moved) -> wire::Moved {
    wire::Moved {
        id: id(moved.id.as_u128()),
        from_ms: moved.from.as_ms(),
        ways: ways_to_wire(&moved.plan),
        segments: segments_to_wire(&moved.plan),
        why: move_why_to_wire(moved.why).into(),
        kept: moved.kept.iter().map(super::kept_to_wire).collect(),
        terms: moved.promise.as_ref().map(promised_to_wire),
        short_bytes: moved.short.bytes(),
        used_bytes: moved.used.bytes(),
    }
}

// === from the journal ===

/// A plan that is told segment by segment.
pub(super) fn plan(
    ways: &[wire::PlanWay],
    segments: &[wire::PlanSegment],
) -> Result<Plan, Unreadable> {
    let ways: Result<Vec<PlanWay>, Unreadable> = ways.iter().map(way).collect();
    let segments: Result<Vec<Segment>, Unreadable> = segments.iter().map(segment).collect();
    let plan = Plan { ways: ways?, segments: segments? };
    if plan.is_sound() {
        return Ok(plan);
    }
    Err(bad("segments", "they are none, are on no way of the plan, or overlap on one"))
}

fn way(from: &wire::PlanWay) -> Result<PlanWay, Unreadable> {
    let route = match from.lanes.as_slice() {
        [] => Route::Between {
            source: word("source", &from.source)?,
            destination: word("destination", &from.destination)?,
            via: names(&from.via)?,
            path: path(from.path)?,
            steers: from.steers.iter().map(steer).collect::<Result<_, Unreadable>>()?,
        },
        lanes => Route::Lanes(lane_names(lanes)),
    };
    Ok(PlanWay { route, lanes: lane_names(&from.booked) })
}

pub(super) fn names(hosts: &[String]) -> Result<Vec<Name>, Unreadable> {
    hosts.iter().map(|host| word("via", host)).collect()
}

pub(super) fn path(from: Option<u32>) -> Result<Option<u8>, Unreadable> {
    let path = from.map(u8::try_from).transpose();
    path.map_err(|_| bad("path", "it is too high"))
}

pub(super) fn lane_names(lanes: &[String]) -> Vec<LaneName> {
    lanes.iter().map(|lane| LaneName::new(lane)).collect()
}

fn segment(from: &wire::PlanSegment) -> Result<Segment, Unreadable> {
    Ok(Segment {
        way: usize::try_from(from.way).map_err(|_| bad("way", "it is too high"))?,
        over: interval(from.start_ms, from.end_ms)?,
        rate: rate(from.rate_bps)?,
        amounts: from.amounts_bps.clone(),
    })
}

/// What is promised, whatever the ways.
fn promised(from: &wire::Promise) -> Result<Promised, Unreadable> {
    let window = interval(from.start_ms, from.end_ms)?;
    let what = match from.what.as_ref().ok_or(Unreadable::Unknown)? {
        What::Span(said) => Promised::Span {
            min: rate(said.min_bps)?,
            max: rate(said.max_bps)?,
            span: span(said.span_ms, window)?,
            window,
        },
        What::Volume(said) => Promised::Volume {
            volume: volume(said.volume_bytes)?,
            min: rate(said.min_bps)?,
            max: rate(said.max_bps)?,
            window,
            split: said.split,
        },
    };
    let (Promised::Span { min, max, .. } | Promised::Volume { min, max, .. }) = what;
    if max < min || max.bps() == 0 {
        return Err(bad("max_bps", "it is zero, or below the lowest rate"));
    }
    Ok(what)
}

pub(super) fn promise(from: &wire::Promise) -> Result<Promise, Unreadable> {
    let what = promised(from)?;
    let ways = match from.lanes.as_slice() {
        [] => Ways::Between {
            sources: from
                .sources
                .iter()
                .map(|source| word("sources", source))
                .collect::<Result<_, Unreadable>>()?,
            destination: word("destination", &from.destination)?,
            via: names(&from.via)?,
            path: path(from.path)?,
        },
        lanes => Ways::Lanes(lane_names(lanes)),
    };
    Ok(Promise { what, ways, movable: from.movable })
}

fn span(ms: u64, window: Interval) -> Result<Span, Unreadable> {
    let span = Span::from_ms(ms).filter(|span| *span != Span::ZERO && *span <= window.span());
    span.ok_or_else(|| bad("span_ms", "it is zero, or longer than its window"))
}

fn volume(bytes: u64) -> Result<ByteCount, Unreadable> {
    if bytes == 0 {
        return Err(bad("volume_bytes", "it is zero"));
    }
    Ok(ByteCount::new(bytes))
}

pub(super) fn standing(from: &wire::Reserved) -> Result<Standing, Unreadable> {
    let priority = u8::try_from(from.priority).ok().filter(|it| *it <= PRIORITY_MAX);
    let priority = priority.ok_or_else(|| bad("priority", "it is too high"))?;
    let ratio = match from.ratio_ppm {
        0 => Overcommit::NONE,
        ppm => Overcommit::from_ppm(ppm).ok_or_else(|| bad("ratio_ppm", "it is no ratio"))?,
    };
    if WEIGHT_MAX < from.weight {
        return Err(bad("weight", "it is too high"));
    }
    Ok(Standing { priority, preemptible: from.preemptible, ratio, weight: from.weight.max(1) })
}

pub(super) fn owner(from: &wire::Reserved) -> Result<Owner, Unreadable> {
    let principal = match from.principal.as_str() {
        "" => None,
        principal => Some(word("principal", principal)?),
    };
    let class = match from.class.as_str() {
        "" => None,
        class => Some(ClassId(word("class", class)?)),
    };
    if let Some(why) = label_fault(&from.labels) {
        return Err(bad("labels", why));
    }
    let project = ProjectId(word("project", &from.project)?);
    Ok(Owner { project, principal, class, labels: from.labels.clone() })
}

/// Whether anything is said that a broker of before there were plans would not have looked at.
pub(super) fn is_told_apart(from: &wire::Reserved) -> bool {
    let named = !from.class.is_empty() || !from.principal.is_empty() || !from.labels.is_empty();
    named || from.ratio_ppm != 0 || from.weight != 0 || from.borrowed || from.despite != 0
}

fn move_why(number: i32) -> Result<MoveWhy, Unreadable> {
    match Why::try_from(number) {
        Ok(Why::Room) => Ok(MoveWhy::Room),
        Ok(Why::CapacityLost) => Ok(MoveWhy::CapacityLost),
        Ok(Why::Lagging) => Ok(MoveWhy::Lagging),
        Ok(Why::Preempted) => Ok(MoveWhy::Preempted),
        Ok(Why::Asked) => Ok(MoveWhy::Asked),
        Ok(Why::Unspecified) | Err(_) => Err(Unreadable::Unknown),
    }
}

pub(super) fn last_move(from: &wire::LastMove) -> Result<LastMove, Unreadable> {
    Ok(LastMove {
        from: instant("from_ms", from.from_ms)?,
        why: move_why(from.why)?,
        short: ByteCount::new(from.short_bytes),
        plan_version: from.plan_version,
        used: ByteCount::new(from.used_bytes),
    })
}

pub(super) fn moved(from: &wire::Moved) -> Result<Moved, Unreadable> {
    let why = move_why(from.why)?;
    let start = instant("from_ms", from.from_ms)?;
    let plan = plan(&from.ways, &from.segments)?;
    if plan.interval().is_none_or(|over| over.start() < start) {
        return Err(bad("segments", "they begin before the plan was moved"));
    }
    let kept: Result<Vec<_>, Unreadable> = from.kept.iter().map(super::kept).collect();
    Ok(Moved {
        kept: kept?,
        promise: from.terms.as_ref().map(promised).transpose()?,
        short: ByteCount::new(from.short_bytes),
        used: ByteCount::new(from.used_bytes),
        ..Moved::new(reservation_id(&from.id)?, start, plan, why)
    })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

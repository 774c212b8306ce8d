//! Promises, plans, moves and offers, in words.

use tidegate_core::event::{Change, Kept, MoveWhy, Moved};
use tidegate_core::{
    CloseWhy, CounterOffer, Event, OfferKind, Plan, Promise, Promised, Refusal, Reservation, Route,
    RuleBlocker, Standing,
};
use tidegate_policy::{BitRate, ByteCount, Overcommit};

use super::World;
use super::print::{instant, over, passing, rate, way};
use super::projects;

impl World {
    /// What is promised beyond the plan, the plan where it is more than one rate, how it was
    /// replaced last, and what earlier ones leave booked.
    pub(super) fn planned(&self, found: &Reservation) -> String {
        if !found.is_live() {
            return String::new();
        }
        let mut out = promised(found);
        if 1 < found.plan.segments.len() {
            out.push_str(&segments(&found.plan));
        }
        if let Some(last) = found.last_move {
            let (version, from) = (last.plan_version, instant(last.from));
            let why = reason(last.why);
            out.push_str(&format!("  plan {version} from {from} on: {why}{}\n", short(last.short)));
        }
        out
    }

    /// What earlier plans or terms leave booked.
    pub(super) fn kept(&self, kept: &[Kept]) -> String {
        let lines = kept.iter().filter(|kept| self.now < kept.over.end()).map(|kept| {
            let (lane, more, until) = (&kept.lane, rate(kept.amount), instant(kept.over.end()));
            let from = kept.over.start();
            let from =
                if self.now < from { format!("from {} ", instant(from)) } else { String::new() };
            format!("  {lane} {more} more {from}until {until}\n")
        });
        lines.collect()
    }

    /// Another plan: whose, from when on, why, who hears of it, and what it is.
    pub(super) fn moves(&self, event: &Event, moved: &Moved) -> String {
        let (at, from) = (instant(event.at), instant(moved.from));
        let name = self.called(&moved.id.to_string());
        let found = self.machine.reservation(moved.id);
        let session = found.and_then(|found| found.session);
        let told = session.map_or_else(String::new, |session| {
            format!(", {} is told", self.called(&session.to_string()))
        });
        let (why, short) = (reason(moved.why), short(moved.short));
        let plan = segments(&moved.plan);
        let kept = self.kept(&moved.kept);
        format!("{at} {name} moves from {from} on: {why}{short}{told}\n{plan}{kept}")
    }

    /// What the holder of one that was closed for others could have instead.
    pub(super) fn instead(&self, event: &Event) -> String {
        let offer = self.offered_instead(event);
        let line = |(_, offer)| format!("  offer 1, {}\n", offered(&offer));
        offer.map_or_else(String::new, line)
    }

    pub(super) fn offered_instead(
        &self,
        event: &Event,
    ) -> Option<(tidegate_core::Ask, CounterOffer)> {
        match event.change {
            Change::Closed { id, why: CloseWhy::Preempted, .. } => {
                self.machine.instead_of(self.now, id)
            }
            _ => None,
        }
    }
}

/// What is promised beyond the plan of the day, and how it stands to others.
fn promised(found: &Reservation) -> String {
    let Standing { priority, preemptible, ratio, .. } = found.standing;
    let mut said = Vec::new();
    if let Some(Promise { what, movable, .. }) = found.promise.as_deref() {
        said.push(match what {
            Promised::Span { min, max, span, window } => {
                format!("promises{} for {span} in {}", bounds(*min, *max), over(*window))
            }
            Promised::Volume { volume, min, max, window, .. } => {
                format!("promises {volume} in {}{}", over(*window), bounds(*min, *max))
            }
        });
        let split = matches!(what, Promised::Volume { split: true, .. });
        said.extend(split.then(|| "split".into()));
        said.extend(movable.then(|| "movable".into()));
    }
    said.extend((priority != 0).then(|| format!("priority {priority}")));
    said.extend(preemptible.then(|| "preemptible".into()));
    said.extend(found.borrowed.then(|| "borrowed".into()));
    said.extend((ratio != Overcommit::NONE).then(|| {
        let class = found.owner.class.as_ref().map_or(String::new(), |it| format!("{it}, "));
        format!("{class}up to {}", ratio.ceiling(found.rate()))
    }));
    if said.is_empty() { String::new() } else { format!("  {}\n", said.join(", ")) }
}

fn bounds(min: BitRate, max: BitRate) -> String {
    match (min, max) {
        (BitRate::ZERO, BitRate::MAX) => String::new(),
        (BitRate::ZERO, max) => format!(" up to {max}"),
        (min, BitRate::MAX) => format!(" {min} or more"),
        (min, max) if min == max => format!(" {max}"),
        (min, max) => format!(" {min}..{max}"),
    }
}

/// A line for each segment; of a plan that takes several ways, also which.
fn segments(plan: &Plan) -> String {
    let lines = plan.segments.iter().map(|segment| {
        let taken = plan.ways.get(segment.way).filter(|_| 1 < plan.ways.len());
        let taken = taken.map_or_else(String::new, |it| from(&it.route));
        format!("  {} {}{taken}\n", over(segment.over), segment.rate)
    });
    lines.collect()
}

/// The ways that a plan takes, in short.
pub(super) fn ways(plan: &Plan) -> String {
    match plan.ways.as_slice() {
        [only] => way(&only.route),
        ways => format!("{} ways", ways.len()),
    }
}

/// Where bytes come from, and which way they take from there.
fn from(route: &Route) -> String {
    match route {
        Route::Between { source, via, path, .. } => {
            let path = path.map_or_else(String::new, |path| format!(" path {path}"));
            format!(" from {source}{}{path}", passing(via))
        }
        Route::Lanes(_) => String::new(),
    }
}

fn reason(why: MoveWhy) -> &'static str {
    match why {
        MoveWhy::Room => "room for others",
        MoveWhy::CapacityLost => "capacity lost",
        MoveWhy::Lagging => "lagging",
        MoveWhy::Preempted => "preempted",
        MoveWhy::Asked => "asked for",
    }
}

fn short(bytes: ByteCount) -> String {
    if bytes == ByteCount::ZERO { String::new() } else { format!(", {bytes} short") }
}

pub(super) fn refused(refusal: &Refusal) -> String {
    let mut out = format!("refused: {}\n", refusal.reason);
    for blocker in &refusal.blockers {
        let first = blocker.first_free.map_or_else(|| "never".into(), instant);
        out.push_str(&format!(
            "  {}{}: {} needed, {} free of {}, {} missing, first free: {first}\n",
            blocker.source.as_ref().map_or_else(String::new, |source| format!("{source} needs ")),
            blocker.lane,
            rate(blocker.needed),
            rate(blocker.free),
            rate(blocker.limit),
            rate(blocker.missing()),
        ));
    }
    for RuleBlocker { rule, why } in &refusal.rules {
        out.push_str(&format!("  rules/{rule}: {why}\n"));
    }
    for blocker in &refusal.quotas {
        out.push_str(&projects::quota(blocker));
    }
    for (index, offer) in refusal.offers.iter().enumerate() {
        out.push_str(&format!("  offer {}, {}\n", index + 1, offered(offer)));
    }
    out
}

fn offered(offer: &CounterOffer) -> String {
    let (kind, when) = (kind(offer.kind), over(offer.interval));
    let source = match &offer.route {
        Route::Between { source, via, path, .. } => {
            let path = path.map_or_else(String::new, |path| format!(" path {path}"));
            format!("{source}{}{path} ", passing(via))
        }
        Route::Lanes(_) => String::new(),
    };
    match offer.volume {
        // All ways that were asked for may be taken; the route is but the first of them.
        Some(volume) if offer.kind == OfferKind::OtherSource => {
            format!("{kind}: {source}{volume} {when}")
        }
        Some(volume) => format!("{kind}: {volume} {when}"),
        None => format!("{kind}: {source}{} {when}", offer.rate),
    }
}

fn kind(kind: OfferKind) -> &'static str {
    match kind {
        OfferKind::SameRateLater => "same rate later",
        OfferKind::LowerRateNow => "lower rate now",
        OfferKind::LaterFinish => "later finish",
        OfferKind::LessInTime => "less in time",
        OfferKind::OtherSource => "other source",
    }
}

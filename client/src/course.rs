//! What a plan lets be sent at an instant of this machine's clock. Pure: times are arguments.
//!
//! The broker tells each edge of a plan as a time from its now, and its now lies somewhere between
//! the sending of the question and the receipt of the answer. So a segment has surely begun when it
//! has begun counted from the receipt, and is surely not over while it is not, counted from the
//! sending. Where one ends exactly as the next one of its way begins, there is a time in which either
//! may be on, and the lower rate of the two is allowed by both: a boundary costs no gap.

use tidegate_policy::{BitRate, Timestamp};

use crate::clock::BootTime;
use crate::plan::Segment;
use crate::terms::{Narrowed, Plan};

/// A plan by this machine's clock.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Course {
    /// By way, then by start.
    segments: Vec<Segment>,
}

impl Course {
    pub(crate) fn new(segments: &[Segment]) -> Self {
        let mut segments = segments.to_vec();
        segments.sort_by_key(|segment| (segment.way, segment.start));
        Self { segments }
    }

    /// The same plan as read before, by what is known of it now: each reading of one start is late by
    /// its own round trip, so the earliest is the best.
    pub(crate) fn refined(mut self, before: &Self) -> Self {
        for segment in &mut self.segments {
            let same = |old: &&Segment| {
                (old.way, old.start, old.end) == (segment.way, segment.start, segment.end)
            };
            if let Some(old) = before.segments.iter().find(same) {
                segment.starts_at = segment.starts_at.min(old.starts_at);
            }
        }
        self
    }

    /// What a broker says that tells no segments: a rate, an end, and maybe a start. `same` is whether
    /// it is the plan that was followed before.
    pub(crate) fn told_whole(&self, plan: &Plan, same: bool) -> Self {
        if same && 1 < self.segments.len() {
            return self.clone();
        }
        let known = self.segments.first().copied();
        let starts_at = match (plan.starts_at, self.start()) {
            (Some(told), Some(before)) if same => told.min(before),
            // A start that is not said stays.
            (Some(told), _) => told,
            (None, before) => before.unwrap_or(plan.ends_at),
        };
        Self::new(&[Segment {
            way: 0,
            rate: plan.rate,
            // Alone, it joins no other, and nothing else is read from these.
            start: known.map_or(Timestamp::MAX, |it| it.start),
            end: known.map_or(Timestamp::MAX, |it| it.end),
            starts_at,
            ends_at: plan.ends_at,
        }])
    }

    /// When anything may be sent first; `None` if nothing ever may.
    pub(crate) fn start(&self) -> Option<BootTime> {
        self.segments.iter().map(|segment| segment.starts_at).min()
    }

    /// When everything must have stopped; `None` if nothing may ever be sent.
    pub(crate) fn end(&self) -> Option<BootTime> {
        self.segments.iter().map(|segment| segment.ends_at).max()
    }

    /// The highest rate of all ways together at one instant.
    pub(crate) fn peak(&self) -> BitRate {
        let edges = self.segments.iter().map(|segment| segment.starts_at);
        edges.map(|at| self.rate(at)).max().unwrap_or(BitRate::ZERO)
    }

    /// What may be sent at `now`, on all ways together.
    pub(crate) fn rate(&self, now: BootTime) -> BitRate {
        self.rate_but(&[], now)
    }

    /// What may be sent at `now` on all ways but these.
    pub(crate) fn rate_but(&self, but: &[usize], now: BootTime) -> BitRate {
        let ways = self.ways().filter(|way| !but.contains(way));
        sum(ways.map(|way| self.rate_on(way, now)))
    }

    /// What may be sent at `now` on this way.
    pub(crate) fn rate_on(&self, way: usize, now: BootTime) -> BitRate {
        let segments = self.of(way);
        let begun = segments.iter().rposition(|segment| segment.starts_at <= now);
        let lasting = segments.iter().position(|segment| now < segment.ends_at);
        let (Some(begun), Some(lasting)) = (begun, lasting) else { return BitRate::ZERO };
        // All that may be on: if nothing lies between them, the lowest is allowed by each.
        let on = segments.get(begun.min(lasting)..=begun.max(lasting)).unwrap_or_default();
        let joined = |pair: &[Segment]| matches!(pair, [one, next] if one.end == next.start);
        match on.windows(2).all(joined) {
            true => on.iter().map(|segment| segment.rate).min().unwrap_or(BitRate::ZERO),
            false => BitRate::ZERO,
        }
    }

    /// When next after `now` something else may be sent than now; not the end of all, which is the
    /// limiter's to keep.
    pub(crate) fn turn(&self, now: BootTime) -> Option<BootTime> {
        self.edges(now).filter(|edge| Some(*edge) != self.end()).min()
    }

    /// When next after `now` less may be sent than now on all ways but these.
    pub(crate) fn fall_but(&self, but: &[usize], now: BootTime) -> Option<BootTime> {
        self.fall(now, |at| self.rate_but(but, at))
    }

    /// When next after `now` less may be sent than now on this way.
    pub(crate) fn fall_on(&self, way: usize, now: BootTime) -> Option<BootTime> {
        self.fall(now, |at| self.rate_on(way, at))
    }

    fn fall(&self, now: BootTime, rate: impl Fn(BootTime) -> BitRate) -> Option<BootTime> {
        let present = rate(now);
        if present == BitRate::ZERO {
            return None;
        }
        let mut edges: Vec<BootTime> = self.edges(now).collect();
        edges.sort_unstable();
        edges.into_iter().find(|edge| rate(*edge) < present)
    }

    fn edges(&self, now: BootTime) -> impl Iterator<Item = BootTime> {
        let edges = self.segments.iter().flat_map(|it| [it.starts_at, it.ends_at]);
        edges.filter(move |edge| now < *edge)
    }

    /// The same plan, of which `rate` may be sent until then: what others leave beyond the promise. A plan
    /// of several segments has no more than them.
    pub(crate) fn lifted(&self, rate: BitRate, until: BootTime) -> Self {
        let [only] = self.segments.as_slice() else { return self.clone() };
        if rate <= only.rate {
            return self.clone();
        }
        // They join, so the boundary costs no gap.
        let first = Segment { rate, ends_at: until.min(only.ends_at), ..*only };
        let rest = Segment { start: only.end, starts_at: until.max(only.starts_at), ..*only };
        Self { segments: vec![first, rest] }
    }

    /// What keeps to this and to what a change that is under way would leave.
    pub(crate) fn within(&self, narrowed: &Narrowed) -> Self {
        let ways = u64::try_from(self.ways().count()).unwrap_or(u64::MAX).max(1);
        // The new rate is for all ways together: an equal part for each passes it nowhere.
        let part = narrowed.rate.and_then(|rate| BitRate::from_bps(rate.bps() / ways));
        let narrow = |segment: &Segment| Segment {
            rate: part.map_or(segment.rate, |rate| rate.min(segment.rate)),
            starts_at: narrowed.starts_at.map_or(segment.starts_at, |at| at.max(segment.starts_at)),
            ends_at: narrowed.ends_at.map_or(segment.ends_at, |at| at.min(segment.ends_at)),
            ..*segment
        };
        Self { segments: self.segments.iter().map(narrow).collect() }
    }

    /// The ways that it takes, each once.
    fn ways(&self) -> impl Iterator<Item = usize> {
        let first = |(at, segment): &(usize, &Segment)| {
            at.checked_sub(1).and_then(|before| self.segments.get(before)).map(|it| it.way)
                != Some(segment.way)
        };
        self.segments.iter().enumerate().filter(first).map(|(_, segment)| segment.way)
    }

    fn of(&self, way: usize) -> &[Segment] {
        let from = self.segments.partition_point(|segment| segment.way < way);
        let until = self.segments.partition_point(|segment| segment.way <= way);
        self.segments.get(from..until).unwrap_or_default()
    }
}

/// At most the highest rate that there is.
fn sum(rates: impl Iterator<Item = BitRate>) -> BitRate {
    let bps = rates.map(BitRate::bps).fold(0, u64::saturating_add);
    BitRate::from_bps(bps).unwrap_or(BitRate::MAX)
}

#[cfg(test)]
#[path = "course_tests.rs"]
mod tests;

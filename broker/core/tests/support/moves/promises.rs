//! What each promise asks of any plan, and what has been promised so far.

use std::collections::BTreeMap;

use tidegate_core::plan::volume;
use tidegate_core::{Change, Event, Machine, MoveWhy, Plan, Promised, Reservation, State};
use tidegate_policy::{ByteCount, Interval, ReservationId, Timestamp};

use super::levels::{level_at, steps};

/// What a plan has to carry in all.
#[derive(Clone, Copy)]
struct Owed {
    /// In bits per second times milliseconds, without what was told to be missing.
    volume: u128,
    /// With it.
    asked: u128,
    /// Since when the present bounds of its rate hold.
    since: i64,
}

pub(super) struct Promises {
    margin_ppm: u32,
    owed: BTreeMap<ReservationId, Owed>,
}

impl Promises {
    pub(super) fn new(margin_ppm: u32) -> Self {
        Self { margin_ppm, owed: BTreeMap::new() }
    }

    fn with_margin(&self, bytes: ByteCount) -> u128 {
        (volume(bytes) * u128::from(1_000_000 + self.margin_ppm)).div_ceil(1_000_000)
    }

    /// What an event promises anew, of a reservation as it was before.
    pub(super) fn follow(&mut self, event: &Event, before: Option<&Reservation>) {
        match &event.change {
            Change::Reserved(made) => {
                let what = made.promise.as_ref().map(|promise| promise.what);
                if let Some(bytes) = what.and_then(|what| what.volume()) {
                    let volume = self.with_margin(bytes);
                    let owed = Owed { volume, asked: volume, since: i64::MIN };
                    self.owed.insert(made.id, owed);
                }
            }
            Change::Moved(moved) => {
                let done = Interval::new(Timestamp::EPOCH, moved.from);
                let done = done.zip(before).map_or(0, |(done, it)| it.plan.carries(done));
                let bytes = moved.promise.and_then(|what| what.volume());
                if let Some(bytes) = bytes {
                    // Whoever is behind its plan gets more than that has left.
                    let volume = self.with_margin(bytes).max(done + moved.plan.total());
                    let owed = Owed { volume, asked: volume, since: event.at.as_ms() };
                    self.owed.insert(moved.id, owed);
                }
                let promised = before.and_then(|found| found.promise.as_ref());
                let all = promised.and_then(|promise| promise.what.volume());
                if let (MoveWhy::Lagging, Some(all)) = (moved.why, all) {
                    let left = all.bytes() - moved.used.bytes();
                    let owing = |left| done + self.with_margin(ByteCount::new(left));
                    let (asked, volume) = (owing(left), owing(left - moved.short.bytes()));
                    let owed = |owed: &mut Owed| *owed = Owed { asked, volume, ..*owed };
                    self.owed.entry(moved.id).and_modify(owed);
                }
                if moved.why == MoveWhy::CapacityLost && moved.short != ByteCount::ZERO {
                    let last = before.and_then(|found| found.last_move);
                    let more = moved.short.bytes() - last.map_or(0, |last| last.short.bytes());
                    let told = self.with_margin(ByteCount::new(more));
                    let owed = self.owed.get_mut(&moved.id).unwrap();
                    let left = done + moved.plan.total();
                    // One that was curtailed before has been told that it ends early.
                    let had = before.map_or(0, |found| found.plan.total()).min(owed.volume);
                    assert!(had <= left + told, "more is missing than is told: {moved:?}");
                    owed.volume = owed.volume.min(left);
                }
            }
            _ => {}
        }
    }

    pub(super) fn forget(&mut self, machine: &Machine) {
        self.owed.retain(|id, _| machine.reservation(*id).is_some());
    }

    /// Whether the plan carries all that it has to.
    pub(super) fn is_whole(&self, found: &Reservation) -> bool {
        self.owed.get(&found.id).is_none_or(|owed| owed.volume <= found.plan.total())
    }

    /// Whether the plan carries all that was asked for, so that nothing is missing in the end.
    pub(super) fn is_all(&self, found: &Reservation) -> bool {
        self.owed.get(&found.id).is_none_or(|owed| owed.asked <= found.plan.total())
    }

    /// Whether the plan keeps what is promised.
    pub(super) fn kept(&self, found: &Reservation) -> Result<(), String> {
        let id = found.id.as_u128();
        let broken = |how: &str| Err(format!("the plan of r{id} {how}"));
        if !found.plan.is_sound() || found.plan.interval().is_none() {
            return broken("is none");
        }
        let Some(promise) = &found.promise else {
            return match found.plan.segments.as_slice() {
                [_] => Ok(()),
                _ => broken("has several pieces, and just one was granted"),
            };
        };
        let over = found.plan.interval().unwrap();
        let window = promise.what.window();
        if over.start() < window.start() || window.end() < over.end() {
            return broken("lies outside of its window");
        }
        let rates = rates(&found.plan);
        if let (Promised::Volume { .. }, State::Held { until }) = (promise.what, found.state)
            && over.start() < until
        {
            return broken("begins before it has to be confirmed");
        }
        match promise.what {
            Promised::Span { min, max, span, .. } => {
                let (from, to) = (over.start().as_ms(), over.end().as_ms());
                let mut inside =
                    rates.iter().filter(|(instant, _)| from <= *instant && *instant < to);
                let bounds = u128::from(min.bps())..=u128::from(max.bps());
                if !inside.all(|(_, rate)| bounds.contains(rate)) {
                    return broken("leaves the bounds of its rate");
                }
                if !found.curtailed && over.span() != span {
                    return broken("does not last as long as is promised");
                }
            }
            Promised::Volume { min, max, split, .. } => {
                let owed = self.owed[&found.id];
                if !found.curtailed && !self.is_whole(found) {
                    return broken(&format!("carries {} of {}", found.plan.total(), owed.volume));
                }
                let bounds = u128::from(min.bps())..=u128::from(max.bps());
                let since = rates.iter().filter(|(instant, _)| owed.since <= *instant);
                for (instant, rate) in since {
                    if *rate != 0 && !bounds.contains(rate) {
                        return broken(&format!("has {rate} bit/s at {instant}"));
                    }
                }
                if !split && several(&found.plan) {
                    return broken("takes several ways at once");
                }
            }
        }
        Ok(())
    }
}

fn rates(plan: &Plan) -> Vec<(i64, u128)> {
    let segments = plan.segments.iter();
    let taken: Vec<_> = segments
        .map(|it| (it.over.start().as_ms(), it.over.end().as_ms(), it.rate.bps()))
        .collect();
    steps(&taken)
}

fn several(plan: &Plan) -> bool {
    let segments = plan.segments.iter();
    let ones: Vec<_> =
        segments.map(|it| (it.over.start().as_ms(), it.over.end().as_ms(), 1)).collect();
    let steps = steps(&ones);
    steps.iter().any(|(instant, _)| 1 < level_at(&steps, *instant))
}

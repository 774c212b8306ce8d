//! What is asked at random.

use tidegate_core::{Ask, PolicyAsk, Shape, Standing, Terms, Ways};
use tidegate_policy::{
    BitRate, ByteCount, Endpoint, Interval, Project, ProjectId, Quota, ReservationId, Span,
};

use super::{World, at, exactly, name};

/// So many projects that come and go.
const PROJECTS: u64 = 40;

impl World {
    /// From one to another, both included.
    pub(super) fn between(&mut self, least: i64, most: i64) -> i64 {
        least + self.rng.ms(most - least + 1)
    }

    pub(super) fn drawn_rate(&mut self) -> BitRate {
        let bps = self.between(1, 12) * 10;
        BitRate::from_bps(u64::try_from(bps).unwrap()).unwrap()
    }

    fn drawn_over(&mut self) -> Interval {
        let start = self.now + self.between(0, 12) * 5000;
        Interval::new(at(start), at(start + self.between(1, 8) * 5000)).unwrap()
    }

    /// One that there is.
    fn drawn_project(&mut self) -> ProjectId {
        let place = self.rng.index(self.machine.projects().iter().count());
        self.machine.projects().iter().nth(place).unwrap().id.clone()
    }

    fn drawn_id(&mut self) -> ProjectId {
        ProjectId(name(&format!("p{}", self.rng.below(PROJECTS))))
    }

    pub(super) fn drawn_live(&mut self) -> Option<ReservationId> {
        let live: Vec<ReservationId> =
            self.machine.reservations(None).filter(|it| it.is_live()).map(|it| it.id).collect();
        (!live.is_empty()).then(|| self.rng.pick(&live))
    }

    pub(super) fn drawn_rigid(&mut self) -> (Ask, Interval, BitRate) {
        let (over, rate) = (self.drawn_over(), self.drawn_rate());
        (self.drawn(exactly(rate, over)), over, rate)
    }

    /// A rate within bounds or a volume, that may be moved.
    pub(super) fn drawn_shape(&mut self) -> Ask {
        let over = self.drawn_over();
        let (one, other) = (self.drawn_rate(), self.drawn_rate());
        let (min, max) = (one.min(other), one.max(other));
        let start = Some(over.start());
        let shape = if self.rng.chance(50) {
            let span = Span::from_ms(5000).unwrap();
            let end = at(over.end().as_ms() + self.between(0, 4) * 5000);
            Shape::Flexible { min, max, span, start, end }
        } else {
            let volume = ByteCount::new(u64::try_from(self.between(1, 300)).unwrap());
            Shape::Transfer {
                volume,
                min: BitRate::ZERO,
                max,
                start,
                deadline: over.end(),
                split: false,
            }
        };
        let ask = self.drawn(shape);
        Ask { session: Some(self.session), movable: true, ..ask }
    }

    fn drawn(&mut self, shape: Shape) -> Ask {
        Ask {
            owner: self.drawn_project().into(),
            ways: Ways::Between {
                sources: vec![Endpoint::Storage(name("p"))],
                destination: Endpoint::Host(name("h")),
                via: Vec::new(),
                path: None,
            },
            shape,
            terms: Terms::default(),
            hold_for: None,
            session: None,
            hold_best_offer: false,
            movable: false,
            standing: Standing::default(),
        }
    }

    /// Another quota, another parent, a new project, or one less.
    pub(super) fn drawn_policy(&mut self) -> PolicyAsk {
        let mut ask = PolicyAsk { accept_overuse: self.rng.below(3) == 0, ..PolicyAsk::default() };
        if self.rng.chance(16) {
            ask.projects.gone.push(self.drawn_project());
            return ask;
        }
        for _ in 0..=self.rng.below(3) {
            let id = if self.rng.below(2) == 0 { self.drawn_project() } else { self.drawn_id() };
            let parent = (self.rng.below(5) != 0).then(|| self.drawn_project());
            let known = self.machine.projects().get(&id).map(|it| it.parent.clone());
            // Most of them stay where they are.
            let parent = known.filter(|_| self.rng.below(3) != 0).unwrap_or(parent);
            if ask.projects.put.iter().all(|it| it.id != id) {
                ask.projects.put.push(Project {
                    parent,
                    quota: self.drawn_quota(),
                    ..Project::new(id)
                });
            }
        }
        ask
    }

    fn drawn_quota(&mut self) -> Quota {
        let mut some =
            |chance: u64, most: u64| (self.rng.below(chance) == 0).then(|| self.rng.below(most));
        Quota {
            rate: some(2, 61).and_then(|tens| BitRate::from_bps(tens * 10)),
            reservations: some(4, 13).and_then(|count| u32::try_from(count).ok()),
            rate_each: some(5, 13).and_then(|tens| BitRate::from_bps(tens * 10)),
            duration_each: some(6, 9).and_then(|fives| Span::from_ms(fives * 5000)),
            horizon: some(6, 21).and_then(|fives| Span::from_ms(fives * 5000)),
            ..Quota::default()
        }
    }
}

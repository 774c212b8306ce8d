//! What is asked at random.

use tidegate_core::{Ask, Modify, Owner, Shape, Standing, Terms, Until, Ways};
use tidegate_policy::{
    BitRate, ByteCount, ClassId, Endpoint, Interval, Name, ProjectId, ReservationId,
};

use super::{World, at, name};

/// Who asks.
const PRINCIPALS: [&str; 5] = ["ann", "bob@example.org", "cy", "di", "eve"];

/// The classes that there may be.
pub(super) const CLASSES: [&str; 5] = ["gold", "silver", "bronze", "c1", "c2"];

impl World {
    /// From one to another, both included.
    pub(super) fn between(&mut self, least: i64, most: i64) -> i64 {
        least + self.rng.ms(most - least + 1)
    }

    pub(super) fn drawn_rate(&mut self) -> BitRate {
        let tens = self.rng.below(12) + 1;
        // Sometimes one that does not divide well.
        let odd = if self.rng.chance(30) { self.rng.below(10) } else { 0 };
        BitRate::from_bps(tens * 10 + odd).unwrap()
    }

    /// A time soon: of whole units by the clock, or as it comes.
    pub(super) fn drawn_over(&mut self) -> Interval {
        let unit = self.setting.unit;
        let first =
            if self.rng.chance(60) { self.now - self.now.rem_euclid(unit) } else { self.now };
        let start = (first + self.between(0, 12) * unit).max(self.now);
        let odd = if self.rng.chance(20) { self.between(0, unit / 2) } else { 0 };
        Interval::new(at(start), at(start + self.between(1, 8) * unit + odd)).unwrap()
    }

    /// One that there is.
    pub(super) fn drawn_project(&mut self) -> ProjectId {
        let place = self.rng.index(self.machine.projects().iter().count());
        self.machine.projects().iter().nth(place).unwrap().id.clone()
    }

    pub(super) fn drawn_class(&mut self) -> Option<ClassId> {
        let classes: Vec<ClassId> =
            self.machine.classes().iter().map(|class| class.id.clone()).collect();
        if classes.is_empty() || self.rng.chance(45) {
            return None;
        }
        Some(classes[self.rng.index(classes.len())].clone())
    }

    fn drawn_owner(&mut self) -> Owner {
        let principal = self.rng.chance(60).then(|| self.rng.pick(&PRINCIPALS).parse().unwrap());
        let (project, class) = (self.drawn_project(), self.drawn_class());
        Owner { principal, class, ..project.into() }
    }

    pub(super) fn drawn_live(&mut self) -> Option<ReservationId> {
        let live: Vec<ReservationId> =
            self.machine.reservations(None).filter(|it| it.is_live()).map(|it| it.id).collect();
        (!live.is_empty()).then(|| self.rng.pick(&live))
    }

    pub(super) fn drawn_rigid(&mut self) -> Ask {
        let (over, rate) = (self.drawn_over(), self.drawn_rate());
        let mut ask = self.drawn(Shape::exactly(rate, over));
        if self.rng.chance(30) {
            ask.session = Some(self.drawn_session());
        }
        ask
    }

    /// A rate within bounds or a volume, that may be moved.
    pub(super) fn drawn_shape(&mut self) -> Ask {
        let unit = self.setting.unit;
        let over = self.drawn_over();
        let (one, other) = (self.drawn_rate(), self.drawn_rate());
        let (min, max) = (one.min(other), one.max(other));
        let start = Some(over.start());
        let shape = if self.rng.chance(50) {
            let span = self.setting.span(1 + self.rng.ms(3));
            let end = over.start().plus(span).as_ms() + self.between(0, 12) * unit;
            Shape::Flexible { min, max, span, start, end: at(end) }
        } else {
            let wide = self.between(0, 8) * unit;
            let over = Interval::new(over.start(), at(over.end().as_ms() + wide)).unwrap();
            let ms = u64::try_from(over.end().as_ms() - over.start().as_ms()).unwrap();
            let most = u128::from(max.bps()) * u128::from(ms) / 8000;
            let volume = 1 + self.rng.below(u64::try_from(most).unwrap().max(1));
            let min = if self.rng.chance(70) { BitRate::ZERO } else { min };
            let (volume, deadline) = (ByteCount::new(volume), over.end());
            Shape::Transfer { volume, min, max, start, deadline, split: self.rng.chance(30) }
        };
        let mut ask = self.drawn(shape);
        if self.rng.chance(85) {
            (ask.session, ask.movable) = (Some(self.drawn_session()), true);
        }
        ask
    }

    fn drawn(&mut self, shape: Shape) -> Ask {
        let sources = match self.rng.below(4) {
            0 | 1 => vec!["p"],
            2 => vec!["q"],
            _ => vec!["q", "p"],
        };
        let hold = if self.rng.chance(15) { Some(1 + self.rng.ms(2)) } else { None };
        Ask {
            owner: self.drawn_owner(),
            ways: Ways::Between {
                sources: sources.into_iter().map(|it| Endpoint::Storage(name(it))).collect(),
                destination: Endpoint::Host(name(if self.rng.chance(70) { "h" } else { "i" })),
                via: Vec::new(),
                path: None,
            },
            shape,
            terms: Terms::default(),
            hold_for: hold.map(|units| self.setting.span(units)),
            session: None,
            hold_best_offer: false,
            movable: false,
            standing: Standing::default(),
        }
    }

    /// Other terms of a reservation, asked for by its holder.
    pub(super) fn drawn_change(&mut self, id: ReservationId) -> Modify {
        let unit = self.setting.unit;
        let found = self.machine.reservation(id).unwrap().clone();
        let rate = self.rng.chance(70).then(|| self.drawn_rate());
        let last = found.interval.end().as_ms() + self.between(-2, 4) * unit;
        let first = found.interval.start().as_ms().max(self.now) + 1;
        let last = last.clamp(first, (self.now + 30 * unit).max(first));
        let end = (rate.is_none() || self.rng.chance(40)).then(|| at(last));
        let holder = found.session.filter(|_| self.rng.chance(60));
        Modify { target: id.into(), holder, obeyed: u64::MAX, rate, start: None, end, volume: None }
    }
}

/// Which storage, which host, when and how fast.
pub(super) fn asked(ask: &Ask) -> (Vec<Name>, Name, Interval, BitRate) {
    let Ways::Between { sources, destination, .. } = &ask.ways else { unreachable!() };
    let storage = sources.iter().map(|it| match it {
        Endpoint::Storage(name) => name.clone(),
        Endpoint::Host(_) => unreachable!("all bytes come from storage"),
    });
    let Endpoint::Host(host) = destination else { unreachable!("they go to a host") };
    let Shape::Rigid { rate, start: Some(start), until: Until::At(end) } = ask.shape else {
        unreachable!("it is a fixed rate at a fixed time")
    };
    (storage.collect(), host.clone(), Interval::new(start, end).unwrap(), rate)
}

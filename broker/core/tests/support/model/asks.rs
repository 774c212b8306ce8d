//! Random requests for a reservation: the ways, the shapes and the times that are asked for.

use tidegate_core::command::{Ask, Shape};
use tidegate_core::lane::LaneName;
use tidegate_core::{Standing, Terms, Until, Ways};
use tidegate_policy::{BitRate, Endpoint, Name, ProjectId, Timestamp};

use super::generate::{GRID_MS, Generator, name, span};
use super::load::at;
use super::net::{lane_name, lanes_by_name};
use super::oracle::{Oracle, ms};

impl Generator {
    pub(super) fn reserve(&mut self, now: i64, oracle: &Oracle) -> Ask {
        let hold_max = ms(oracle.limits.hold_max);
        let hold_for = match self.rng.below(100) {
            0..25 => Some(1000 * (1 + self.rng.ms(60))),
            25..35 => Some(hold_max),
            35 => Some(self.rng.pick(&[0, hold_max + 1])),
            _ => None,
        };
        let ways = self.ways();
        let mut shape = self.shape(now, oracle);
        let session = self.rng.chance(60).then(|| self.session(oracle));
        // One that could be told of a lower rate is shrunk where capacity is lost, to a plan of
        // several rates. A reservation is one rate here: those are what the moves test is about.
        if let (Shape::Flexible { min, max, .. }, Some(_)) = (&mut shape, session) {
            *max = (*max).min(*min);
        }
        Ask {
            owner: ProjectId::default_project().into(),
            ways,
            shape,
            terms: Terms::default(),
            hold_for: hold_for.map(span),
            session,
            hold_best_offer: self.rng.chance(15),
            movable: false,
            standing: Standing::default(),
        }
    }

    fn ways(&mut self) -> Ways {
        if self.rng.chance(88) {
            let (sources, destination) = (self.sources(), self.destination());
            return Ways::Between { sources, destination, via: self.via(), path: None };
        }
        let count = match self.rng.below(100) {
            0 => 0,
            1 => 257,
            _ => 1 + self.rng.below(4),
        };
        let known = lanes_by_name();
        let lanes = (0..count).map(|_| {
            let lane = lane_name(self.rng.pick(&known));
            let strange = self.rng.below(200) == 0;
            if strange { LaneName::new("links/ghost/forward") } else { lane }
        });
        Ways::Lanes(lanes.collect())
    }

    pub(super) fn shape(&mut self, now: i64, oracle: &Oracle) -> Shape {
        let (start, until) = self.times(now, oracle);
        let rate = BitRate::from_bps(self.rate()).unwrap();
        if self.rng.chance(65) {
            return Shape::Rigid { rate, start, until };
        }
        let from = start.map_or(now, Timestamp::as_ms).max(now);
        let length = match until {
            Until::After(span) => ms(span),
            Until::At(end) => (end.as_ms() - from).max(0),
        };
        let slack = match self.rng.below(100) {
            0..3 => -1,
            3..20 => 0,
            _ => GRID_MS * self.rng.ms(60),
        };
        let end = at((from + length + slack).max(0));
        let more = self.rng.pick(&[1, 1, 2, 4]);
        let most = rate.bps().saturating_mul(more).min(BitRate::MAX.bps());
        let most = if self.rng.chance(2) { most.saturating_sub(1) } else { most };
        let max = BitRate::from_bps(most).unwrap();
        Shape::Flexible { min: rate, max, span: span(length.min(86_400_000 * 400)), start, end }
    }

    pub(super) fn rate(&mut self) -> u64 {
        let most = BitRate::MAX.bps();
        let rate = match self.rng.below(100) {
            0..8 => 1 + self.rng.below(3),
            8..12 => most - self.rng.below(2),
            12..18 => (self.scale + 1).saturating_sub(self.rng.below(3)),
            18 => 0,
            _ => self.scale / 20 * (1 + self.rng.below(6)) + self.rng.below(3),
        };
        rate.min(most)
    }

    fn sources(&mut self) -> Vec<Endpoint> {
        let count = match self.rng.below(100) {
            0..60 => 1,
            60..85 => 2,
            85..97 => 3,
            97 => 16,
            98 => 17,
            _ => 0,
        };
        let likely = [
            "storage/p",
            "storage/p",
            "storage/q",
            "storage/q",
            "storage/d",
            "storage/d",
            "hosts/r",
        ];
        (0..count).map(|_| self.end(&likely)).collect()
    }

    fn destination(&mut self) -> Endpoint {
        if self.rng.chance(70) {
            self.end(&["hosts/a", "hosts/b", "hosts/b", "hosts/r", "hosts/r", "hosts/a", "hosts/x"])
        } else {
            self.end(&["storage/p", "storage/q", "storage/d", "hosts/a"])
        }
    }

    fn end(&mut self, likely: &[&str]) -> Endpoint {
        let unlikely = ["hosts/a", "hosts/ghost", "storage/ghost"];
        let text =
            if self.rng.chance(99) { self.rng.pick(likely) } else { self.rng.pick(&unlikely) };
        text.parse().unwrap()
    }

    fn via(&mut self) -> Vec<Name> {
        let count = match self.rng.below(100) {
            0..80 => 0,
            80..95 => 1,
            95..98 => 2,
            98 => 8,
            _ => 9,
        };
        let hosts = ["a", "b", "r", "r", "b", "r", "b", "a", "r", "b", "ghost"];
        (0..count).map(|_| name(self.rng.pick(&hosts))).collect()
    }

    pub(super) fn times(&mut self, now: i64, oracle: &Oracle) -> (Option<Timestamp>, Until) {
        let past = ms(oracle.limits.past_start);
        let start = match self.rng.below(100) {
            0..30 => None,
            30..33 => Some(now - past - self.rng.ms(2)),
            33..50 => self.edge(oracle).filter(|edge| now <= *edge),
            _ => Some((now / GRID_MS + self.rng.ms(40)) * GRID_MS),
        };
        let from = start.unwrap_or(now).max(now);
        let longest = if self.rng.chance(90) { 40 } else { 300 };
        let length = GRID_MS * (1 + self.rng.ms(longest));
        let horizon = ms(oracle.limits.horizon);
        let until = match self.rng.below(100) {
            0..40 => Until::After(span(length)),
            40..42 => Until::At(at(now + horizon + self.rng.ms(2))),
            42..44 => Until::At(at(from - self.rng.ms(2))),
            44 => Until::After(span(self.rng.ms(2))),
            45..60 => {
                let edge = self.edge(oracle).filter(|edge| from < *edge);
                Until::At(at(edge.unwrap_or(from + length)))
            }
            _ => Until::At(at(from + length)),
        };
        (start.map(at), until)
    }

    /// An instant at which a booking begins or ends.
    pub(super) fn edge(&mut self, oracle: &Oracle) -> Option<i64> {
        if oracle.booked.is_empty() {
            return None;
        }
        let booking = &oracle.booked[self.rng.index(oracle.booked.len())].1;
        Some(self.rng.pick(&[booking.from, booking.to]))
    }
}

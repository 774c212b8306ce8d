//! A case set up: the machine that is asked, and a list of what is taken of each lane beside it.

use std::collections::BTreeMap;

use tidegate_core::event::RequestMark;
use tidegate_core::lane::LaneName;
use tidegate_core::{
    Answer, Command, Fault, Limits, Machine, MaintenanceAsk, Request, Shape, Stamp, Ways,
};
use tidegate_policy::{Interval, RequestId, Span};

use super::case::{Case, NOW, ask, at, rate};

/// Past this, a plan is never too long.
const SEGMENTS_ANY: usize = 1_000_000;

/// A lane by itself.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) capacity: u64,
    pub(super) ppm: u32,
    /// From, to, how much.
    pub(super) taken: Vec<(i64, i64, u64)>,
    pub(super) drained: bool,
}

impl Lane {
    /// What a payload rate takes if it crosses the lane so often.
    pub(super) fn amount(&self, bps: u64, times: u32) -> u64 {
        let wire = (u128::from(bps) * u128::from(1_000_000 + self.ppm)).div_ceil(1_000_000);
        u64::try_from(wire).unwrap() * u64::from(times)
    }

    pub(super) fn free(&self, instant: i64) -> u64 {
        let on = self.taken.iter().filter(|(from, to, _)| *from <= instant && instant < *to);
        let taken: u64 = on.map(|(_, _, amount)| amount).sum();
        if self.drained { 0 } else { self.capacity.saturating_sub(taken) }
    }
}

pub(crate) struct World {
    /// Its plans may have as many segments as they take.
    pub(super) exact: Machine,
    /// The same with the usual limits.
    pub(super) usual: Machine,
    pub(super) lanes: BTreeMap<LaneName, Lane>,
    /// How often each way that may be taken crosses which lane.
    pub(super) ways: Vec<Vec<(LaneName, u32)>>,
    serial: u128,
}

pub(super) fn interval(from: i64, to: i64) -> Interval {
    Interval::new(at(from), at(to)).unwrap()
}

impl World {
    pub(crate) fn new(case: &Case) -> Self {
        let horizon = Span::from_ms(u64::try_from(case.horizon).unwrap()).unwrap();
        let limits = Limits { horizon, margin_ppm: case.margin_ppm, ..Limits::default() };
        let exact = Limits { segments_max: SEGMENTS_ANY, ..limits.clone() };
        let lanes = case.lanes().into_iter().map(|(name, capacity, ppm)| {
            (name, Lane { capacity, ppm, taken: Vec::new(), drained: false })
        });
        let mut world = Self {
            usual: Machine::new(limits.clone()),
            exact: Machine::new(exact),
            lanes: lanes.collect(),
            ways: Vec::new(),
            serial: 0,
        };
        let spec = case.spec().into();
        world.asked(Command::ApplyTopology { spec, accept_losses: false });
        for resource in &case.drained {
            world.asked(Command::Drain(resource.parse().unwrap()));
            world.each_of(resource, |lane| lane.drained = true);
        }
        for (resource, from, to, left_ppm) in &case.cuts {
            let cut = MaintenanceAsk {
                resource: resource.parse().unwrap(),
                start: Some(at(*from)),
                end: at(*to),
                left_ppm: *left_ppm,
                comment: String::new(),
                accept_losses: false,
            };
            world.asked(Command::CreateMaintenance(cut.into()));
            world.each_of(resource, |lane| {
                let left = u128::from(lane.capacity) * u128::from(*left_ppm) / 1_000_000;
                let gone = lane.capacity - u64::try_from(left).unwrap();
                lane.taken.push((*from, *to, gone));
            });
        }
        for booking in &case.bookings {
            world.book(booking);
        }
        world.usual = Machine::from_image(limits, world.exact.image()).unwrap();
        world.ways = world.ways_of(&case.ways);
        world
    }

    fn each_of(&mut self, resource: &str, change: impl Fn(&mut Lane)) {
        let inside = format!("{resource}/");
        let of = self.lanes.iter_mut().filter(|(name, _)| name.as_str().starts_with(&inside));
        of.for_each(|(_, lane)| change(lane));
    }

    /// Those that do not fit beside the ones before are no part of the case.
    fn book(&mut self, (names, from, to, bps): &(Vec<LaneName>, i64, i64, u64)) {
        let shape = Shape::exactly(rate(*bps), interval(*from, *to));
        let asked = ask(Ways::Lanes(names.clone()), shape);
        let Answer::Reservation(_) = self.asked(Command::Reserve(asked.into())) else { return };
        for (name, times) in counted(names.iter()) {
            let lane = self.lanes.get_mut(&name).unwrap();
            lane.taken.push((*from, *to, lane.amount(*bps, times)));
        }
    }

    pub(super) fn stamped(&mut self, later: i64, command: Command) -> (Stamp, Request) {
        self.serial += 1;
        let bits = u128::try_from(NOW + later).unwrap() << 80 | 7 << 76 | 2 << 62;
        let mark =
            RequestMark { id: RequestId::from_u128(bits | self.serial), fingerprint: [0; 32] };
        (Stamp { now: at(later), fresh: self.serial }, Request { mark, command })
    }

    fn asked(&mut self, command: Command) -> Answer {
        let (stamp, request) = self.stamped(0, command);
        let decision = self.exact.decide(stamp, &request).unwrap();
        for event in &decision.events {
            self.exact.apply(event).unwrap();
        }
        decision.answer
    }

    /// What a machine would answer, so much later.
    pub(super) fn would(
        &mut self,
        usual: bool,
        later: i64,
        command: Command,
    ) -> Result<Answer, Fault> {
        let (stamp, request) = self.stamped(later, command);
        let machine = if usual { &self.usual } else { &self.exact };
        machine.decide(stamp, &request).map(|decision| decision.answer)
    }

    /// The set of paths is that of the topology, which has tests of its own.
    fn ways_of(&self, ways: &Ways) -> Vec<Vec<(LaneName, u32)>> {
        let (sources, destination, via) = match ways {
            Ways::Between { sources, destination, via, .. } => (sources, destination, via),
            Ways::Lanes(names) => return vec![counted(names.iter())],
        };
        let topology = self.exact.topology();
        let paths =
            sources.iter().flat_map(|source| topology.paths(source, via, destination).unwrap());
        let crossed =
            paths.map(|path| path.needs.into_iter().map(|need| (need.lane, need.times)).collect());
        crossed.collect()
    }
}

fn counted<'a>(names: impl Iterator<Item = &'a LaneName>) -> Vec<(LaneName, u32)> {
    let mut counted: Vec<(LaneName, u32)> = Vec::new();
    for name in names {
        match counted.iter_mut().find(|(known, _)| known == name) {
            Some((_, times)) => *times += 1,
            None => counted.push((name.clone(), 1)),
        }
    }
    counted
}

//! Random days, lived through in virtual time: whatever is asked, changed, moved, closed and forgotten,
//! what is accounted for is what stood on the lanes and what was reported, to the bit and the byte.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tidegate_client::topology_file;
use tidegate_core::{Answer, Command, Machine, Modify, Release, Shape, Until};
use tidegate_policy::{
    BitRate, ByteCount, Interval, Name, ProjectId, ReservationId, SessionId, Span, Timestamp,
};

use super::cell::Cell;
use super::grain::{Grain, MINUTE_MS, floor, pieces};
use super::{consumers, names};
use crate::config::{Config, JournalPlace};
use crate::past::{Became, Past, Wish};

const TOPOLOGY: &str = r#"
switch = [{ name = "a" }, { name = "b" }]
link = [{ name = "a--b", from = "a", to = "b", capacity = "10Gbit" }]
storage = [{ name = "swift", switch = "a", read = "8Gbit", write = "4Gbit" }]

[[host]]
name = "one"
nic = [{ name = "eth0", switch = "b", capacity = "5Gbit" }]

[[host]]
name = "two"
nic = [{ name = "eth0", switch = "b", capacity = "5Gbit" }]
"#;
/// 2026-11-28 23:40 UTC: a midnight comes soon.
const BEGIN_MS: i64 = 1_795_909_200_000;

/// A small generator, so that a case is its seed.
struct Dice(u64);

impl Dice {
    /// A number below `most`.
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// What stood, minute by minute, added up from the state between one instant and the next.
#[derive(Default)]
struct Naive {
    booked: BTreeMap<(String, i64), u128>,
    promised: BTreeMap<(String, i64), u128>,
    used: BTreeMap<ReservationId, (ProjectId, u64)>,
    granted: u64,
    refused: u64,
}

impl Naive {
    fn stand(&mut self, machine: &Machine, over: Interval) {
        for (minute, part) in pieces(over, MINUTE_MS) {
            for (name, lane) in machine.lanes(None) {
                for (piece, level) in lane.timeline.pieces(part) {
                    let sum = u128::from(level) * u128::from(piece.span().as_ms());
                    *self.booked.entry((name.to_string(), minute)).or_default() += sum;
                }
            }
            for found in machine.reservations(None).filter(|found| found.is_live()) {
                let key = (found.owner.project.0.to_string(), minute);
                *self.promised.entry(key).or_default() += found.plan.carries(part);
            }
        }
    }

    fn bytes(&mut self, machine: &Machine) {
        for found in machine.reservations(None) {
            let used = machine.used(found.id).bytes();
            let entry = self.used.entry(found.id).or_insert((found.owner.project.clone(), 0));
            entry.1 = entry.1.max(used);
        }
    }
}

struct Day {
    past: Option<Past>,
    config: Config,
    dice: Dice,
    naive: Naive,
    sessions: Vec<SessionId>,
    ids: Vec<ReservationId>,
    /// Every byte that was ever said.
    said: BTreeMap<ReservationId, u64>,
}

impl Day {
    fn past(&mut self) -> &mut Past {
        self.past.as_mut().unwrap()
    }

    /// Lets time pass, and adds up what stood in it.
    fn pass(&mut self, ms: u64) {
        let to = self.past().now().plus(Span::from_ms(ms).unwrap());
        while self.past().now() < to {
            let now = self.past().now();
            let minute = Timestamp::from_ms(floor(now.as_ms(), MINUTE_MS) + MINUTE_MS).unwrap();
            let due = self.past().machine().next_due().filter(|due| now < *due);
            let next = due.into_iter().chain([minute, to]).min().unwrap();
            let past = self.past.as_mut().unwrap();
            self.naive.stand(past.machine(), Interval::new(now, next).unwrap());
            past.pass(next).unwrap();
            self.naive.bytes(self.past.as_ref().unwrap().machine());
        }
    }

    fn step(&mut self) {
        let ms = [0, 1, 999, 20_000, 61_000, 300_000][usize::try_from(self.dice.below(6)).unwrap()];
        let jitter = self.dice.below(1 + ms / 2);
        self.pass(ms + jitter);
        match self.dice.below(12) {
            0 => self.session(),
            1..=3 => self.reserve(),
            4 => self.rigid(),
            5 | 6 => self.modify(),
            7 => self.release(),
            8..=10 => self.beat(),
            _ => self.look_again(),
        }
        self.naive.bytes(self.past.as_ref().unwrap().machine());
    }

    fn session(&mut self) {
        let opened = self.past().open_session("agent".parse::<Name>().unwrap());
        self.sessions.extend(opened.ok());
    }

    fn wish(&mut self) -> Wish {
        let project = ["vision", "backup"][usize::try_from(self.dice.below(2)).unwrap()];
        let host = ["hosts/one", "hosts/two"][usize::try_from(self.dice.below(2)).unwrap()];
        Wish {
            project: ProjectId(project.parse().unwrap()),
            class: None,
            source: "storage/swift".parse().unwrap(),
            destination: host.parse().unwrap(),
            volume: ByteCount::new(1 + self.dice.below(200_000_000_000)),
            max: BitRate::from_bps(1 + self.dice.below(5_000_000_000)).unwrap(),
            within: Span::from_ms(1000 + self.dice.below(1_200_000)).unwrap(),
        }
    }

    fn reserve(&mut self) {
        let Some(session) = self.sessions.last().copied() else { return self.session() };
        let mut wish = self.wish();
        wish.project = ProjectId::default_project();
        match self.past().reserve(session, &wish) {
            Ok(Became::Granted(id, _)) => {
                self.ids.push(id);
                self.naive.granted += 1;
            }
            Ok(Became::Refused) => self.naive.refused += 1,
            Err(_) => {}
        }
    }

    fn rigid(&mut self) {
        let wish = self.wish();
        let shape = Shape::Rigid {
            rate: wish.max,
            start: None,
            until: Until::At(self.past().now().plus(wish.within)),
        };
        let ask = Past::asked(&wish, shape, None);
        let ask = tidegate_core::Ask { owner: ProjectId::default_project().into(), ..ask };
        match self.past().ask(Command::Reserve(ask.into())) {
            Ok(Answer::Reservation(made)) => {
                self.ids.push(made.id);
                self.naive.granted += 1;
            }
            Ok(Answer::Refusal(_)) => self.naive.refused += 1,
            _ => {}
        }
    }

    fn one(&mut self) -> Option<ReservationId> {
        let count = u64::try_from(self.ids.len()).unwrap();
        let recent = self.dice.below(count.clamp(1, 8));
        count.checked_sub(1 + recent).map(|at| self.ids[usize::try_from(at).unwrap()])
    }

    fn modify(&mut self) {
        let Some(id) = self.one() else { return };
        let rate = BitRate::from_bps(1 + self.dice.below(4_000_000_000)).unwrap();
        let end = self.past().now().plus(Span::from_ms(1 + self.dice.below(900_000)).unwrap());
        let end = (self.dice.below(2) == 0).then_some(end);
        let modify = Modify {
            target: id.into(),
            holder: None,
            obeyed: 0,
            rate: Some(rate),
            start: None,
            end,
            volume: None,
        };
        if let Ok(Answer::Refusal(_)) = self.past().ask(Command::Modify(modify.into())) {
            self.naive.refused += 1;
        }
    }

    fn release(&mut self) {
        let Some(id) = self.one() else { return };
        let used = ByteCount::new(self.said.get(&id).copied().unwrap_or(0));
        let release = Release { target: id.into(), holder: None, used };
        drop(self.past().ask(Command::Release(release)));
    }

    fn beat(&mut self) {
        let Some(session) = self.sessions.last().copied() else { return };
        let machine = self.past.as_ref().unwrap().machine();
        let held = machine.reservations(None).filter(|it| it.session == Some(session));
        let ids: Vec<_> = held.map(|it| it.id).collect();
        let mut moved = Vec::new();
        for id in ids {
            let said = self.said.entry(id).or_default();
            *said += self.dice.below(3_000_000_000);
            moved.push((id, ByteCount::new(*said)));
        }
        drop(self.past().beat(session, &moved));
    }

    /// Accounts for everything at an odd instant, or stops and goes on.
    fn look_again(&mut self) {
        let now = self.past().now();
        match self.dice.below(3) {
            0 => self.past().account(now),
            1 => self.past().write().unwrap(),
            _ => {
                self.past.take().unwrap().end().unwrap();
                self.past = Some(Past::begin(&self.config, now).unwrap());
            }
        }
    }

    fn check(&mut self) {
        let now = self.past().now();
        self.past().account(now);
        let look = self.past().look().unwrap();
        let range = (BEGIN_MS, now.as_ms() + MINUTE_MS);
        for ((lane, minute), booked) in &self.naive.booked {
            let id = look.names().get(&format!("lane {lane}")).unwrap();
            let cells = look.cells(Grain::Minute, range, id).unwrap();
            let kept = cells.get(minute).map_or(0, |cell| cell.booked);
            assert_eq!(kept, i128::try_from(*booked).unwrap(), "{lane} at {minute}");
        }
        for ((project, minute), promised) in &self.naive.promised {
            let id = look.names().get(&names::project(project)).unwrap();
            let cells = look.cells(Grain::Minute, range, id).unwrap();
            let kept = cells.get(minute).map_or(0, |cell| cell.booked);
            assert_eq!(kept, i128::try_from(*promised).unwrap(), "{project} at {minute}");
        }
        let mut by_project: BTreeMap<&ProjectId, u64> = BTreeMap::new();
        self.naive
            .used
            .values()
            .for_each(|(it, bytes)| *by_project.entry(it).or_default() += bytes);
        for grain in Grain::ALL {
            let range = (grain.floor(BEGIN_MS), range.1);
            let mut total = Cell::default();
            for (name, id) in look.names().projects() {
                let cell = look.sum(grain, range, id).unwrap();
                let project = ProjectId(name.parse().unwrap());
                let used = by_project.get(&project).copied().unwrap_or(0);
                assert_eq!(cell.used, used, "{name} in {grain:?}");
                total.merge(&cell);
            }
            assert_eq!((total.granted, total.refused), (self.naive.granted, self.naive.refused));
            let lanes =
                look.sum(grain, range, look.names().get("lane storage/swift/read").unwrap());
            assert_eq!(lanes.unwrap().used, total.used, "every byte is read there, in {grain:?}");
        }
        let hours = (Grain::Hour.floor(BEGIN_MS), range.1);
        let frame = super::frame::Frame::new(hours, Grain::Hour.ms());
        let there = "storage/swift/read".parse().unwrap();
        let on_lane = consumers::had(&look, (consumers::Group::Projects, Some(&there)), &frame);
        let booked =
            look.sum(Grain::Hour, hours, look.names().get("lane storage/swift/read").unwrap());
        let (shares, lane) = (on_lane.unwrap().1, booked.unwrap());
        assert_eq!((shares.booked, shares.used), (lane.booked, lane.used));
    }
}

fn live_through(seed: u64, steps: usize) {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::ephemeral(JournalPlace::Directory(dir.path().join("journal")));
    let begin = Timestamp::from_ms(BEGIN_MS).unwrap();
    let mut past = Past::begin(&config, begin).unwrap();
    past.apply_topology(&topology_file::parse(TOPOLOGY).unwrap()).unwrap();
    let mut day = Day {
        past: Some(past),
        config,
        dice: Dice(seed | 1),
        naive: Naive::default(),
        sessions: Vec::new(),
        ids: Vec::new(),
        said: BTreeMap::new(),
    };
    for _ in 0..steps {
        day.step();
    }
    day.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn random_days_are_accounted_for_exactly(seed in any::<u64>()) {
        live_through(seed, 150);
    }
}

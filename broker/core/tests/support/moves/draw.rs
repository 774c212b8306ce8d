//! Draws what happens next.

use tidegate_core::command::{Ask, Relation};
use tidegate_core::lane::LaneName;
use tidegate_core::{
    Batch, Command, Machine, MaintenanceAsk, Modify, Promised, Release, Reservation, Shape,
    Standing, Target, Terms, Until, Ways,
};
use tidegate_policy::{
    BitRate, ByteCount, Endpoint, MaintenanceId, Name, ProjectId, ReservationId, Resource,
    SessionId, Span, Timestamp,
};

use super::clients::{Client, Mood};
use super::net::{DECLARED, Net, name};
use super::rng::Rng;

/// Most times are multiples of this, so that they often touch.
const GRID: i64 = 5000;
/// Past so many live reservations, the next command gives one back.
const LIVE_MAX: usize = 22;
const SESSIONS_MAX: usize = 6;

/// What happens next.
pub(super) enum Next {
    Ask(Command),
    /// A new topology comes with the network that it means.
    Net(Net, bool),
    /// Somebody begins to behave in another way.
    Mood(SessionId, Mood),
    Restart,
}

/// What is drawn from, beside the dice.
pub(super) struct Seen<'a> {
    pub(super) now: i64,
    pub(super) machine: &'a Machine,
    pub(super) net: &'a Net,
    pub(super) clients: &'a [Client],
}

pub(super) struct Draw {
    pub(super) rng: Rng,
    scale: u64,
}

pub(super) fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms).unwrap()
}

fn span(ms: i64) -> Span {
    Span::from_ms(u64::try_from(ms).unwrap()).unwrap()
}

fn rate(bps: u64) -> BitRate {
    BitRate::from_bps(bps).unwrap()
}

impl Draw {
    pub(super) fn new(rng: Rng, scale: u64) -> Self {
        Self { rng, scale }
    }

    /// How much time passes before the next operation.
    pub(super) fn pause(&mut self) -> i64 {
        match self.rng.below(1000) {
            0..720 => 0,
            720..900 => 500 * self.rng.ms(10),
            900..985 => 500 * self.rng.ms(40),
            985..999 => 1000 * self.rng.ms(120),
            _ => 60_000 * self.rng.ms(12),
        }
    }

    pub(super) fn next(&mut self, seen: &Seen<'_>) -> Next {
        if LIVE_MAX < seen.machine.live_reservations() {
            return Next::Ask(Command::Release(self.release(seen)));
        }
        let ask = match self.rng.below(1000) {
            0..420 => Command::Reserve(self.ask(seen).into()),
            420..480 => Command::ReserveAll(self.batch(seen).into()),
            480..590 => Command::Modify(self.modify(seen).into()),
            590..640 => Command::Confirm(self.target(seen)),
            640..655 => Command::ExtendHold(self.target(seen), span(self.rng.ms(60_000))),
            655..750 => Command::Release(self.release(seen)),
            750..790 if seen.clients.len() < SESSIONS_MAX => Command::OpenSession(name("agent")),
            750..800 => match self.client(seen) {
                Some(client) => Command::CloseSession(client.session),
                None => Command::OpenSession(name("agent")),
            },
            800..850 => {
                let mood = self.mood();
                return match self.client(seen) {
                    Some(client) => Next::Mood(client.session, mood),
                    None => Next::Ask(Command::OpenSession(name("agent"))),
                };
            }
            850..890 => {
                let net = seen.net.changed(&mut self.rng, self.scale);
                return Next::Net(net, self.rng.chance(60));
            }
            890..930 => Command::CreateMaintenance(self.maintain(seen).into()),
            930..950 => match self.window(seen) {
                Some(id) => Command::DeleteMaintenance(id),
                None => Command::Drain(self.resource()),
            },
            950..962 => Command::Drain(self.resource()),
            962..995 => match seen.machine.drained().next() {
                Some(drained) => Command::Undrain(drained.clone()),
                None => Command::Undrain(self.resource()),
            },
            _ => return Next::Restart,
        };
        Next::Ask(ask)
    }

    pub(super) fn mood(&mut self) -> Mood {
        match self.rng.below(100) {
            0..40 => Mood::Prompt,
            40..50 => Mood::Quiet,
            50..60 => Mood::Idle,
            60..80 => Mood::Lagging(100 + self.rng.below(900)),
            80..92 => Mood::Flaky,
            _ => Mood::Gone,
        }
    }

    fn client<'a>(&mut self, seen: &Seen<'a>) -> Option<&'a Client> {
        (!seen.clients.is_empty()).then(|| &seen.clients[self.rng.index(seen.clients.len())])
    }

    fn window(&mut self, seen: &Seen<'_>) -> Option<MaintenanceId> {
        let open: Vec<MaintenanceId> = seen.machine.maintenances(None).map(|it| it.id).collect();
        (!open.is_empty()).then(|| self.rng.pick(&open))
    }

    fn resource(&mut self) -> Resource {
        self.rng.pick(&DECLARED).parse().unwrap()
    }

    fn rate(&mut self) -> u64 {
        let parts = self.rng.pick(&[1, 1, 2, 2, 3, 4, 5, 6, 8, 10]);
        (self.scale * parts / 20 + self.rng.below(2)).max(1)
    }

    fn time(&mut self, from: i64, steps: i64) -> i64 {
        let time = (from / GRID + 1 + self.rng.ms(steps)) * GRID;
        if self.rng.chance(10) { time + self.rng.ms(GRID) } else { time }
    }

    fn start(&mut self, now: i64) -> Option<i64> {
        match self.rng.below(100) {
            0..30 => None,
            30..60 => Some(self.time(now, 4)),
            _ => Some(self.time(now, 30)),
        }
    }

    fn ways(&mut self) -> Ways {
        let end = |text: &str| -> Endpoint { text.parse().unwrap() };
        let (sources, destination, via): (&[&str], &str, &[&str]) = match self.rng.below(100) {
            0..35 => (&["storage/p"], "hosts/b", &[]),
            35..50 => (&["storage/q", "storage/p"], "hosts/c", &[]),
            50..62 => (&["hosts/a"], "hosts/b", &[]),
            62..72 => (&["storage/p"], "storage/q", &[]),
            72..80 => (&["storage/q"], "hosts/a", &[]),
            80..88 => (&["hosts/c", "hosts/b"], "storage/p", &[]),
            88..94 => (&["storage/p"], "hosts/b", &["c"]),
            _ => {
                let lanes = ["storage/p/read", "links/l2/forward", "storage/p/read"];
                let lanes = &lanes[..1 + self.rng.index(3)];
                return Ways::Lanes(lanes.iter().map(|lane| LaneName::new(lane)).collect());
            }
        };
        Ways::Between {
            sources: sources.iter().map(|text| end(text)).collect(),
            destination: end(destination),
            via: via.iter().map(|host| name(host)).collect::<Vec<Name>>(),
            path: self.rng.chance(6).then_some(0),
        }
    }

    fn ask(&mut self, seen: &Seen<'_>) -> Ask {
        let now = seen.now;
        let alive: Vec<SessionId> =
            seen.clients.iter().filter(|it| it.mood != Mood::Gone).map(|it| it.session).collect();
        let bound = !alive.is_empty() && self.rng.chance(85);
        let session = bound.then(|| self.rng.pick(&alive));
        let hold_for = self.rng.chance(15).then(|| span(1000 + self.rng.ms(60_000)));
        let start = self.start(now);
        let from = start.unwrap_or(now);
        let shape = match self.rng.below(100) {
            0..30 => Shape::Rigid {
                rate: rate(self.rate()),
                start: start.map(at),
                until: Until::At(at(self.time(from, 12))),
            },
            30..60 => self.flexible(start, from),
            _ => self.transfer(start, from.max(now + 60_000 * i64::from(hold_for.is_some()))),
        };
        let rigid = matches!(shape, Shape::Rigid { .. });
        let movable = session.is_some() && !rigid && self.rng.chance(75);
        let priority = self.rng.pick(&[0, 0, 0, 1, 1, 2, 5, 9]);
        Ask {
            owner: ProjectId::default_project().into(),
            ways: self.ways(),
            shape,
            terms: Terms::default(),
            hold_for,
            session,
            hold_best_offer: self.rng.chance(5),
            movable,
            standing: Standing {
                priority,
                preemptible: self.rng.chance(45),
                ..Standing::default()
            },
        }
    }

    fn flexible(&mut self, start: Option<i64>, from: i64) -> Shape {
        let length = GRID * (1 + self.rng.ms(10));
        let end = self.time(from, 24).max(from + length + GRID * self.rng.ms(6));
        let (one, other) = (self.rate(), self.rate());
        let (min, max) = (rate(one.min(other)), rate(one.max(other)));
        Shape::Flexible { min, max, span: span(length), start: start.map(at), end: at(end) }
    }

    fn transfer(&mut self, start: Option<i64>, from: i64) -> Shape {
        let deadline = self.time(from, 40) + GRID;
        let max = self.rate() * 2;
        let part: u64 = self.rng.pick(&[5, 10, 20, 30, 50, 80, 100, 120]);
        let window = u64::try_from(deadline - from).unwrap();
        let bits = u128::from(max) * u128::from(window) / 1000 * u128::from(part) / 100;
        let volume = ByteCount::new(u64::try_from(bits / 8).unwrap().max(1));
        let min = if self.rng.chance(70) { 0 } else { (max / self.rng.pick(&[2, 5, 10])).max(1) };
        let (min, max, split) = (rate(min), rate(max), self.rng.chance(50));
        Shape::Transfer { volume, min, max, start: start.map(at), deadline: at(deadline), split }
    }

    fn batch(&mut self, seen: &Seen<'_>) -> Batch {
        let count = 2 + self.rng.index(4);
        let relation = match self.rng.below(6) {
            0 => Relation::Each,
            1 => Relation::AllOf,
            2 => Relation::AnyOf,
            3..5 => Relation::InOrder { gapless: false },
            _ => Relation::InOrder { gapless: true },
        };
        let asks = (0..count).map(|_| {
            let mut ask = Ask { hold_best_offer: false, ..self.ask(seen) };
            // A chain is of those that have a length, and that have room for each other.
            if relation == (Relation::InOrder { gapless: true }) && self.rng.chance(90) {
                let (low, ms) = (self.rate(), GRID * (1 + self.rng.ms(6)));
                let (min, max) = (rate(low), rate(low * self.rng.pick(&[1, 2])));
                let end = at(self.time(seen.now + 200_000, 20));
                ask.shape = Shape::Flexible { min, max, span: span(ms), start: None, end };
            }
            ask
        });
        let asks = asks.collect();
        Batch { asks, relation, instance: self.rng.pick(&[2, count]) }
    }

    /// A live reservation, if there is one.
    fn live<'a>(&mut self, seen: &Seen<'a>) -> Option<&'a Reservation> {
        let live: Vec<&Reservation> =
            seen.machine.reservations(None).filter(|found| found.is_live()).collect();
        (!live.is_empty()).then(|| live[self.rng.index(live.len())])
    }

    fn target(&mut self, seen: &Seen<'_>) -> Target {
        let held = seen.machine.reservations(None);
        let held = held.filter(|it| matches!(it.state, tidegate_core::State::Held { .. }));
        let held: Vec<ReservationId> = held.map(|found| found.id).collect();
        let any = self.live(seen).map(|found| found.id);
        let held = (!held.is_empty()).then(|| self.rng.pick(&held));
        held.or(any).unwrap_or(ReservationId::from_u128(u128::MAX)).into()
    }

    /// The holder of a reservation, where it is the one that asks, and the plan that it obeys.
    fn holder(&mut self, seen: &Seen<'_>, found: &Reservation) -> Option<(SessionId, u64)> {
        let session = found.session.filter(|_| self.rng.chance(50))?;
        let client = seen.clients.iter().find(|client| client.session == session)?;
        let known = client.known.get(&found.id)?;
        (client.mood != Mood::Gone).then_some((session, known.plan_version))
    }

    fn release(&mut self, seen: &Seen<'_>) -> Release {
        let found = self.live(seen);
        let id = found.map_or(ReservationId::from_u128(u128::MAX), |found| found.id);
        let holder = found.and_then(|found| self.holder(seen, found)).map(|(session, _)| session);
        Release { target: id.into(), holder, used: ByteCount::ZERO }
    }

    fn modify(&mut self, seen: &Seen<'_>) -> Modify {
        let none = ReservationId::from_u128(u128::MAX);
        let Some(found) = self.live(seen) else {
            let (rate, start, end, volume) = (None, None, None, None);
            return Modify {
                target: none.into(),
                holder: None,
                obeyed: 0,
                rate,
                start,
                end,
                volume,
            };
        };
        let (holder, obeyed) = match self.holder(seen, found) {
            Some((session, version)) => (Some(session), version),
            None => (None, 0),
        };
        let target = found.id.into();
        let by = |rng: &mut Rng, value: u64| {
            let percent = rng.pick(&[30, 60, 90, 110, 150, 250]);
            u64::try_from(u128::from(value) * percent / 100).unwrap().max(1)
        };
        let promised = found.promise.as_ref().map(|promise| promise.what);
        if let Some(Promised::Volume { volume, max, window, .. }) = promised {
            let volume = self.rng.chance(50).then(|| by(&mut self.rng, volume.bytes()));
            let max = self.rng.chance(30).then(|| rate(by(&mut self.rng, max.bps())));
            let end = window.end().as_ms() + GRID * (self.rng.ms(16) - 6);
            let end = self.rng.chance(50).then(|| at(end));
            let volume = volume.map(ByteCount::new);
            return Modify { target, holder, obeyed, rate: max, start: None, end, volume };
        }
        let rate = self.rng.chance(60).then(|| rate(by(&mut self.rng, found.rate().bps())));
        let start = found.interval.start().as_ms() + GRID * (self.rng.ms(9) - 4);
        let end = found.interval.end().as_ms() + GRID * (self.rng.ms(12) - 4);
        let start = self.rng.chance(30).then(|| at(start));
        let end = self.rng.chance(40).then(|| at(end));
        Modify { target, holder, obeyed, rate, start, end, volume: None }
    }

    fn maintain(&mut self, seen: &Seen<'_>) -> MaintenanceAsk {
        let start = self.start(seen.now);
        let from = start.unwrap_or(seen.now);
        MaintenanceAsk {
            resource: self.resource(),
            start: start.map(at),
            end: at(self.time(from, 14)),
            left_ppm: self.rng.pick(&[0, 1, 333_333, 500_000, 800_000]),
            comment: String::new(),
            accept_losses: self.rng.chance(60),
        }
    }
}

//! Random commands: likely ones and unlikely ones, at the edges of everything that has an edge.

use tidegate_core::command::{Ask, Relation};
use tidegate_core::event::RequestMark;
use tidegate_core::{
    Batch, Command, Limits, MaintenanceAsk, Modify, Note, Release, Request, Target, TopologySpec,
};
use tidegate_policy::{
    BitRate, ByteCount, MaintenanceId, Name, RequestId, ReservationId, Resource, SessionId, Span,
    Timestamp,
};

use super::load::at;
use super::net::Net;
use super::oracle::{Oracle, ms};
use super::rng::Rng;

/// Most times are multiples of this, so that they often touch.
pub(super) const GRID_MS: i64 = 5000;
/// How many earlier requests, reservations and sessions are kept to be named again.
const KEPT: usize = 48;
/// Past so many bookings, the next command gives one back.
const BOOKED_MAX: usize = 36;

/// What happens next.
pub(crate) enum Next {
    /// Somebody asks; with a new topology comes the network it means, unless it is a faulty one.
    Ask(Box<(Request, Option<Net>)>),
    /// A beat or a report.
    Note(Note),
    /// A holder says in a beat which plan of a reservation it obeys.
    Obey(SessionId, ReservationId, u64),
    /// The process is restarted.
    Restart,
}

pub(crate) struct Generator {
    pub(crate) rng: Rng,
    pub(super) scale: u64,
    serial: u64,
    asked: Vec<(Request, Option<Net>)>,
    reservations: Vec<ReservationId>,
    sessions: Vec<SessionId>,
    windows: Vec<MaintenanceId>,
}

fn keep<T>(list: &mut Vec<T>, item: T) {
    if KEPT <= list.len() {
        list.remove(0);
    }
    list.push(item);
}

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(super) fn span(ms: i64) -> Span {
    Span::from_ms(u64::try_from(ms).unwrap()).unwrap()
}

impl Generator {
    pub(crate) fn new(rng: Rng, scale: u64) -> Self {
        let (asked, reservations, sessions) = (Vec::new(), Vec::new(), Vec::new());
        let windows = Vec::new();
        Self { rng, scale, serial: 0, asked, reservations, sessions, windows }
    }

    /// How much time passes before the next command.
    pub(crate) fn pause(&mut self) -> i64 {
        match self.rng.below(10_000) {
            0..8000 => 0,
            8000..9500 => 500 * self.rng.ms(6),
            9500..9900 => 500 * self.rng.ms(20),
            9900..9996 => 1000 * self.rng.ms(120),
            _ => 60_000 * self.rng.ms(40),
        }
    }

    pub(crate) fn learn(&mut self, made: (Option<ReservationId>, Option<SessionId>)) {
        if let Some(id) = made.0 {
            keep(&mut self.reservations, id);
        }
        if let Some(id) = made.1 {
            keep(&mut self.sessions, id);
        }
    }

    pub(crate) fn learn_window(&mut self, id: MaintenanceId) {
        keep(&mut self.windows, id);
    }

    /// The first command: without a topology there is nothing to ask for.
    pub(crate) fn first(&mut self, now: i64, net: &Net) -> Next {
        let command = Command::ApplyTopology { spec: net.spec().into(), accept_losses: false };
        self.ask(now, command, Some(net.clone()))
    }

    pub(crate) fn next(&mut self, now: i64, oracle: &Oracle) -> Next {
        let live: Vec<ReservationId> = oracle.living().map(|found| found.id).collect();
        if BOOKED_MAX < live.len() {
            let id = self.rng.pick(&live);
            let release = Release { target: id.into(), holder: None, used: ByteCount::ZERO };
            return self.ask(now, Command::Release(release), None);
        }
        match self.rng.below(1000) {
            0..330 => {
                let ask = self.reserve(now, oracle);
                self.ask(now, Command::Reserve(ask.into()), None)
            }
            330..345 => {
                let batch = self.batch(now, oracle);
                self.ask(now, Command::ReserveAll(batch.into()), None)
            }
            345..435 => {
                let modify = self.modify(now, oracle);
                self.ask(now, Command::Modify(modify.into()), None)
            }
            435..450 => self.obey(oracle),
            450..525 => {
                let command = Command::Confirm(self.target(oracle));
                self.ask(now, command, None)
            }
            525..555 => {
                let by =
                    self.rng.pick(&[0, 1, 5000, 60_000, ms(oracle.limits.hold_max), 86_400_000]);
                let command = Command::ExtendHold(self.target(oracle), span(by));
                self.ask(now, command, None)
            }
            555..695 => {
                let release = self.release(oracle);
                self.ask(now, Command::Release(release), None)
            }
            695..805 => self.note(now, oracle),
            805..830 => self.ask(now, Command::OpenSession(name("agent")), None),
            830..842 => {
                let command = Command::CloseSession(self.session(oracle));
                self.ask(now, command, None)
            }
            842..886 => self.retopo(now, oracle),
            886..890 => {
                let command = Command::Drain(self.resource());
                self.ask(now, command, None)
            }
            890..908 => {
                let drained: Vec<&Resource> = oracle.drained.iter().collect();
                let any = self.rng.chance(20) || drained.is_empty();
                let resource = if any { self.resource() } else { self.rng.pick(&drained).clone() };
                self.ask(now, Command::Undrain(resource), None)
            }
            908..919 => self.maintain(now, oracle),
            919..928 => {
                let never = MaintenanceId::from_u128(u128::MAX);
                let known = self.rng.chance(90) && !self.windows.is_empty();
                let id = if known { self.rng.pick(&self.windows) } else { never };
                self.ask(now, Command::DeleteMaintenance(id), None)
            }
            928..999 => self.again(),
            _ => Next::Restart,
        }
    }

    fn ask(&mut self, now: i64, command: Command, net: Option<Net>) -> Next {
        self.serial += 1;
        let mut fingerprint = [0; 32];
        fingerprint[..8].copy_from_slice(&self.serial.to_be_bytes());
        let window = 600_000;
        let offset = match self.rng.below(100) {
            0..5 => {
                self.rng.pick(&[-window - 1, -window, 1 - window, window - 1, window, window + 1])
            }
            5..10 => self.rng.pick(&[-60_001, -60_000, -59_999, 59_999, 60_000, 60_001]),
            _ => 0,
        };
        let version = if self.rng.below(200) == 0 { 4 } else { 7 };
        let bits = u128::try_from(now + offset).unwrap() << 80 | version << 76 | 2 << 62;
        let id = RequestId::from_u128(bits | u128::from(self.serial) << 8);
        let request = Request { mark: RequestMark { id, fingerprint }, command };
        keep(&mut self.asked, (request.clone(), net.clone()));
        Next::Ask((request, net).into())
    }

    /// An earlier request, word for word or under another body's digest.
    fn again(&mut self) -> Next {
        let index = self.rng.index(self.asked.len());
        let (mut request, net) = self.asked[index].clone();
        if self.rng.chance(40) {
            request.mark.fingerprint[31] = 1;
        }
        Next::Ask((request, net).into())
    }

    fn retopo(&mut self, now: i64, oracle: &Oracle) -> Next {
        let net = oracle.net.changed(&mut self.rng, self.scale);
        let mut spec = net.spec();
        if self.rng.chance(10)
            && let Some(link) = spec.links.first_mut()
        {
            link.capacity.out = BitRate::ZERO;
            return self.apply(now, spec, None);
        }
        self.apply(now, spec, Some(net))
    }

    fn apply(&mut self, now: i64, spec: TopologySpec, net: Option<Net>) -> Next {
        let accept_losses = self.rng.chance(35);
        self.ask(now, Command::ApplyTopology { spec: spec.into(), accept_losses }, net)
    }

    fn resource(&mut self) -> Resource {
        let names = [
            "hosts/a",
            "hosts/b/nics/eth0",
            "hosts/r",
            "hosts/r/nics/eth0",
            "hosts/x",
            "switches/s1",
            "switches/s2",
            "links/l1",
            "links/l2",
            "storage/d",
            "storage/p",
            "storage/q",
            "links/ghost",
        ];
        self.rng.pick(&names).parse().unwrap()
    }

    fn maintain(&mut self, now: i64, oracle: &Oracle) -> Next {
        let start = match self.rng.below(100) {
            0..40 => None,
            40..50 => self.times(now, oracle).0,
            _ => Some(at((now / GRID_MS + self.rng.ms(12)) * GRID_MS)),
        };
        let from = start.map_or(now, Timestamp::as_ms).max(now);
        let ahead = ms(Span::MAX);
        let end = match self.rng.below(100) {
            0..4 => from - self.rng.ms(2),
            4..8 => now + ahead + self.rng.ms(2),
            8..30 => self.edge(oracle).filter(|edge| from < *edge).unwrap_or(from + GRID_MS),
            _ => from + GRID_MS * (1 + self.rng.ms(6)),
        };
        let left_ppm =
            self.rng.pick(&[0, 1, 333_333, 500_000, 700_000, 900_000, 999_999, 1_000_000]);
        let ask = MaintenanceAsk {
            resource: self.resource(),
            start,
            end: at(end),
            left_ppm,
            comment: String::new(),
            accept_losses: self.rng.chance(40),
        };
        self.ask(now, Command::CreateMaintenance(ask.into()), None)
    }

    fn note(&mut self, now: i64, oracle: &Oracle) -> Next {
        let (session, at) = (self.session(oracle), at(now));
        if self.rng.chance(70) {
            return Next::Note(Note::Heard { session, at });
        }
        let reservation = self.reservation(oracle);
        let bound = oracle.reservations.get(&reservation).and_then(|found| found.session);
        let session = bound.filter(|_| self.rng.chance(90)).unwrap_or(session);
        // Whoever reports nothing says that it reports.
        let bytes = if self.rng.chance(40) { 0 } else { self.rng.below(1 << 40) };
        let bytes = ByteCount::new(bytes);
        Next::Note(Note::Used { session, reservation, bytes, at })
    }

    fn release(&mut self, oracle: &Oracle) -> Release {
        let target = self.target(oracle);
        let bound = oracle.reservations.get(&target.id).and_then(|found| found.session);
        let holder = match self.rng.below(10) {
            0..2 => bound,
            2..4 => Some(self.session(oracle)),
            _ => None,
        };
        let used = self.rng.pick(&[0, 1, 1 << 39, u64::MAX]);
        Release { target, holder, used: ByteCount::new(used) }
    }

    /// A reservation, sometimes as somebody knows it: now, or before.
    fn target(&mut self, oracle: &Oracle) -> Target {
        let id = self.reservation(oracle);
        let present = oracle.reservations.get(&id).map_or(1, |found| found.revision);
        let revision = match self.rng.below(100) {
            0..20 => Some(present),
            20..25 => Some(present.saturating_sub(1)),
            25 => Some(present + 1),
            _ => None,
        };
        Target { id, project: None, revision }
    }

    fn batch(&mut self, now: i64, oracle: &Oracle) -> Batch {
        let count = match self.rng.below(100) {
            0 => 0,
            1 => 101,
            2..30 => 1,
            _ => 2 + self.rng.below(4),
        };
        let asks = (0..count).map(|_| {
            let ask = self.reserve(now, oracle);
            let likely = self.rng.chance(97);
            Ask { hold_best_offer: ask.hold_best_offer && !likely, ..ask }
        });
        let asks: Vec<Ask> = asks.collect();
        let relation = if self.rng.chance(60) { Relation::AllOf } else { Relation::Each };
        Batch { instance: asks.len(), asks, relation }
    }

    fn modify(&mut self, now: i64, oracle: &Oracle) -> Modify {
        let target = self.target(oracle);
        let found = oracle.reservations.get(&target.id);
        let bound = found.and_then(|found| found.session);
        let plan = found.map_or(0, |found| found.plan_version);
        let (holder, obeyed) = match self.rng.below(10) {
            0 => (bound, plan),
            // It has not heard of the last change.
            1 => (bound, plan.saturating_sub(1)),
            2 => (Some(self.session(oracle)), plan),
            _ => (None, 0),
        };
        let (from, to) = found.map_or((now, now), |found| {
            (found.interval.start().as_ms(), found.interval.end().as_ms())
        });
        let bps = found.map_or(1, |found| found.rate().bps());
        let rate = match self.rng.below(100) {
            0..30 => None,
            30..60 => Some(bps / 2),
            60..85 => Some(bps.saturating_mul(2).min(BitRate::MAX.bps())),
            _ => Some(self.rate()),
        };
        let near = |rng: &mut Rng, time: i64| match rng.below(100) {
            0..60 => None,
            60..80 => Some(time - GRID_MS * (1 + rng.ms(8))),
            80..98 => Some(time + GRID_MS * (1 + rng.ms(8))),
            _ => Some(time + 400 * 86_400_000),
        };
        let start = near(&mut self.rng, from).map(at);
        let end = near(&mut self.rng, to).map(at);
        let rate = rate.map(|bps| BitRate::from_bps(bps).unwrap());
        Modify { target, holder, obeyed, rate, start, end, volume: None }
    }

    fn obey(&mut self, oracle: &Oracle) -> Next {
        let id = self.reservation(oracle);
        let found = oracle.reservations.get(&id);
        let present = found.map_or(1, |found| found.plan_version);
        let bound = found.and_then(|found| found.session).filter(|_| self.rng.chance(90));
        let session = bound.unwrap_or_else(|| self.session(oracle));
        Next::Obey(session, id, present - self.rng.below(2).min(present))
    }

    /// One that is booked (often the latest), one that was, or one that never was.
    fn reservation(&mut self, oracle: &Oracle) -> ReservationId {
        let never = ReservationId::from_u128(u128::MAX);
        match self.rng.below(100) {
            0..20 if !oracle.booked.is_empty() => oracle.booked[oracle.booked.len() - 1].0,
            20..80 if !oracle.booked.is_empty() => {
                oracle.booked[self.rng.index(oracle.booked.len())].0
            }
            80..97 if !self.reservations.is_empty() => self.rng.pick(&self.reservations),
            _ => never,
        }
    }

    /// Mostly one that is open.
    pub(super) fn session(&mut self, oracle: &Oracle) -> SessionId {
        let open = oracle.open_sessions();
        match self.rng.below(100) {
            0..85 if !open.is_empty() => self.rng.pick(&open),
            85..97 if !self.sessions.is_empty() => self.rng.pick(&self.sessions),
            _ => SessionId::from_u128(u128::MAX),
        }
    }
}

/// Small windows, short memory and tight bounds: the edges that the defaults hide.
pub(crate) fn tight() -> Limits {
    Limits {
        lease: Span::from_secs(20),
        grace: Span::from_secs(10),
        retain: Span::ZERO,
        horizon: Span::from_secs(2000),
        past_start: Span::from_secs(2),
        hold_max: Span::from_secs(100),
        request_window: Span::from_secs(60),
        reservations_max: 38,
        sessions_max: 9,
        per_session_max: 5,
        maintenances_max: 4,
        no_show_grace: Span::from_secs(20),
        ..Limits::default()
    }
}

/// The limits of a broker, but for the counts, and for how long a grant may stay unused: here
/// time passes quickly.
pub(crate) fn usual() -> Limits {
    Limits {
        reservations_max: 400,
        sessions_max: 110,
        per_session_max: 6,
        maintenances_max: 12,
        no_show_grace: Span::from_secs(60),
        ..Limits::default()
    }
}

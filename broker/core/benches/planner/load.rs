//! Plans that live on the network, and requests that come in addition.

use tidegate_core::event::RequestMark;
use tidegate_core::{
    Answer, Ask, Change, Command, Decision, Limits, Machine, Request, Shape, Stamp, Standing,
    Terms, Until, Ways,
};
use tidegate_policy::{
    BitRate, ByteCount, Endpoint, ProjectId, RequestId, SessionId, Span, Timestamp,
};

use super::network::{LINK_BPS, Pair, network};
use super::rng::Rng;

const BEGIN_MS: i64 = 1_767_225_600_000;
const MINUTE_MS: i64 = 60_000;
/// All deadlines lie so far ahead at most.
const AHEAD_MS: i64 = 8 * 60 * MINUTE_MS;
/// Live plans of one session.
const PER_SESSION: usize = 500;
/// Of a whole load, what a transfer moves on average, in bytes.
const VOLUME: u64 = 60_000_000_000;
/// The plans of a whole load.
const WHOLE: u64 = 10_000;

pub(super) type Asked = (Stamp, Request);

pub(super) struct Load {
    machine: Machine,
    rng: Rng,
    pairs: Vec<Pair>,
    serial: u128,
    asked: usize,
}

/// What a request came to, and how many plans moved for it.
pub(super) enum Outcome {
    Granted(usize),
    Refused,
}

pub(super) fn outcome(decision: &Decision) -> Outcome {
    let moved = |event: &&tidegate_core::Event| matches!(event.change, Change::Moved(_));
    match &decision.answer {
        Answer::Reservation(_) => Outcome::Granted(decision.events.iter().filter(moved).count()),
        Answer::Refusal(_) => Outcome::Refused,
        other => panic!("a request is answered {other:?}"),
    }
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(BEGIN_MS + ms).unwrap()
}

fn rate(bps: u64) -> BitRate {
    BitRate::from_bps(bps).unwrap()
}

impl Load {
    /// So many movable transfers, on a network that is then about as busy whatever their number.
    pub(super) fn fill(live: usize) -> Self {
        let mut rng = Rng::new(7);
        let (spec, pairs) = network(&mut rng);
        let limits = Limits { moves_max: usize::MAX, ..Limits::default() };
        let machine = Machine::new(limits);
        let mut load = Self { machine, rng, pairs, serial: 0, asked: 0 };
        load.carry_out(Command::ApplyTopology { spec: spec.into(), accept_losses: false });
        let volume = VOLUME * WHOLE / u64::try_from(live).unwrap();
        let mut session = None;
        while load.live() < live {
            if load.live().is_multiple_of(PER_SESSION) {
                session = Some(load.open());
            }
            load.asked += 1;
            let bytes = volume / 2 + load.rng.below(volume);
            let shape = load.transfer(bytes);
            let ask = load.ask(shape, session);
            load.carry_out(Command::Reserve(ask.into()));
        }
        load
    }

    pub(super) fn live(&self) -> usize {
        self.machine.live_reservations()
    }

    /// How full the network is.
    pub(super) fn figures(&self) -> Vec<(&'static str, String)> {
        let steps: usize =
            self.machine.lanes(None).map(|(_, it)| it.timeline.steps().count()).sum();
        let lanes = self.machine.lanes(None).count();
        let segments =
            self.machine.reservations(None).map(|it| it.plan.segments.len()).sum::<usize>();
        let (mut booked, mut room) = (0_u128, 0_u128);
        let links = self.machine.lanes(None).filter(|(name, _)| name.as_str().starts_with("links"));
        for (_, lane) in links {
            let edges: Vec<(Timestamp, u64)> = lane.timeline.steps().collect();
            for pair in edges.windows(2) {
                let ms = pair[1].0.since(pair[0].0).as_ms();
                booked += u128::from(pair[0].1) * u128::from(ms);
            }
            room += u128::from(lane.capacity()) * u128::try_from(AHEAD_MS).unwrap();
        }
        vec![
            ("asked for", self.asked.to_string()),
            ("breakpoints of a lane, mean", (steps / lanes).to_string()),
            ("segments of ten plans, mean", (segments * 10 / self.live()).to_string()),
            ("links booked over all the time, %", (booked * 100 / room).to_string()),
        ]
    }

    fn stamped(&mut self, command: Command) -> Asked {
        self.serial += 128;
        let bits = u128::try_from(BEGIN_MS).unwrap() << 80 | 7 << 76 | 2 << 62;
        let id = RequestId::from_u128(bits | self.serial);
        let mark = RequestMark { id, fingerprint: [0; 32] };
        (Stamp { now: at(0), fresh: self.serial }, Request { mark, command })
    }

    pub(super) fn decide(&self, (stamp, request): &Asked) -> Decision {
        self.machine.decide(*stamp, request).unwrap()
    }

    fn carry_out(&mut self, command: Command) -> Answer {
        let asked = self.stamped(command);
        let decision = self.decide(&asked);
        for event in &decision.events {
            self.machine.apply(event).unwrap();
        }
        decision.answer
    }

    fn open(&mut self) -> SessionId {
        match self.carry_out(Command::OpenSession("agent".parse().unwrap())) {
            Answer::Session(made) => made.id,
            other => panic!("a session is answered {other:?}"),
        }
    }

    fn pair(&mut self) -> (Endpoint, Endpoint) {
        self.pairs[self.rng.index(self.pairs.len())].clone()
    }

    fn ask(&mut self, shape: Shape, session: Option<SessionId>) -> Ask {
        let (source, destination) = self.pair();
        let (sources, via, path) = (vec![source], Vec::new(), None);
        Ask {
            owner: ProjectId("lab".parse().unwrap()).into(),
            ways: Ways::Between { sources, destination, via, path },
            shape,
            terms: Terms::default(),
            hold_for: None,
            session,
            hold_best_offer: false,
            movable: session.is_some(),
            standing: Standing::default(),
        }
    }

    /// Some volume, somewhere in the time ahead.
    fn transfer(&mut self, bytes: u64) -> Shape {
        let start = self.rng.ms(AHEAD_MS - 60 * MINUTE_MS);
        let deadline = (start + (20 + self.rng.ms(160)) * MINUTE_MS).min(AHEAD_MS);
        Shape::Transfer {
            volume: ByteCount::new(bytes),
            min: BitRate::ZERO,
            max: rate(LINK_BPS / 10 * self.rng.pick(&[1, 2, 3, 4])),
            start: Some(at(start)),
            deadline: at(deadline),
            split: self.rng.chance(20),
        }
    }

    /// A small transfer that most likely fits.
    pub(super) fn easy(&mut self) -> Asked {
        let shape = self.transfer(VOLUME / 10);
        let ask = self.ask(shape, None);
        self.stamped(Command::Reserve(ask.into()))
    }

    /// A high rate for some minutes.
    pub(super) fn hard_rigid(&mut self) -> Asked {
        let start = self.rng.ms(AHEAD_MS - 60 * MINUTE_MS);
        let minutes = u32::try_from(5 + self.rng.below(20)).unwrap();
        let until = Until::After(Span::from_secs(60 * minutes));
        let rate = rate(LINK_BPS / 100 * (30 + self.rng.below(50)));
        let shape = Shape::Rigid { rate, start: Some(at(start)), until };
        let ask = self.ask(shape, None);
        self.stamped(Command::Reserve(ask.into()))
    }

    /// A large volume in a hurry.
    pub(super) fn hard_transfer(&mut self) -> Asked {
        let start = self.rng.ms(AHEAD_MS - 60 * MINUTE_MS);
        let minutes = 10 + self.rng.below(30);
        let part = 40 + self.rng.below(50);
        let bytes = LINK_BPS / 8 * 60 * minutes * part / 100;
        let deadline = start + i64::try_from(minutes).unwrap() * MINUTE_MS;
        let shape = Shape::Transfer {
            volume: ByteCount::new(bytes),
            min: BitRate::ZERO,
            max: rate(LINK_BPS),
            start: Some(at(start)),
            deadline: at(deadline),
            split: self.rng.chance(50),
        };
        let ask = self.ask(shape, None);
        self.stamped(Command::Reserve(ask.into()))
    }
}

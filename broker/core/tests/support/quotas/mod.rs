//! A machine of which only quotas refuse, and somebody who counts beside it.

mod draw;
mod naive;

use std::collections::BTreeMap;

use tidegate_core::audit::audit;
use tidegate_core::topology::spec::{Capacity, Framing, HostSpec, NicSpec, Node, StorageSpec};
use tidegate_core::{
    Answer, Ask, Command, Decision, Event, Fault, Limits, Machine, Modify, Note, PolicyAsk, Reason,
    Release, Request, Shape, Stamp, Until, event::RequestMark,
};
use tidegate_policy::{
    BitRate, ByteCount, Interval, Name, RequestId, ReservationId, SessionId, Span, Timestamp,
};

use super::rng::Rng;
use naive::Naive;

const BEGIN_MS: i64 = 1_767_225_600_000;

pub(crate) struct World {
    pub(crate) place: String,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(super) machine: Machine,
    replica: Machine,
    pub(super) rng: Rng,
    pub(super) now: i64,
    pub(super) session: SessionId,
    serial: u128,
}

pub(super) fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms).unwrap()
}

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn limits() -> Limits {
    // The past is forgotten at once, and volumes are booked as they are.
    Limits {
        retain: Span::ZERO,
        request_window: Span::from_secs(5),
        margin_ppm: 0,
        ..<_>::default()
    }
}

/// A backend and a host that carry whatever quotas allow.
fn endless() -> tidegate_core::TopologySpec {
    let rate = BitRate::MAX;
    let capacity = Capacity {
        out: rate,
        back: rate,
        total: None,
        reserved_ppm: Some(0),
        allocation_ratio_ppm: None,
    };
    let switch = name("s");
    let nic =
        NicSpec { name: name("eth0"), switch: switch.clone(), capacity, framing: Framing::none() };
    tidegate_core::TopologySpec {
        switches: vec![switch.clone()],
        hosts: vec![HostSpec { name: name("h"), nics: vec![nic] }],
        storage: vec![StorageSpec {
            name: name("p"),
            place: Node::Switch(switch),
            capacity,
            served_via: Vec::new(),
            mirrors: Vec::new(),
            tier: None,
        }],
        ..<_>::default()
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let machine = Machine::new(limits());
        let mut world = Self {
            place: "at the beginning".into(),
            counts: BTreeMap::new(),
            replica: machine.clone(),
            machine,
            rng: Rng::new(seed),
            now: BEGIN_MS,
            session: SessionId::from_u128(0),
            serial: 1,
        };
        let topology = Command::ApplyTopology { spec: endless().into(), accept_losses: false };
        world.ask(topology).unwrap();
        match world.ask(Command::OpenSession(name("agent"))).unwrap().answer {
            Answer::Session(session) => world.session = session.id,
            other => panic!("no session: {other:?}"),
        }
        world
    }

    pub(crate) fn step(&mut self) {
        match self.rng.below(100) {
            0..=34 => self.rigid(),
            35..=44 => self.shaped(),
            45..=49 => self.several(),
            50..=64 => self.release(),
            65..=71 => self.change(),
            72..=89 => self.policy(),
            90..=98 => self.pass(),
            _ => self.read_again(),
        }
    }

    /// Gives all back: nothing of it is counted any more.
    pub(crate) fn release_all(&mut self) {
        let ids: Vec<ReservationId> =
            self.machine.reservations(None).filter(|it| it.is_live()).map(|it| it.id).collect();
        for id in ids {
            self.give_back(id);
        }
        let left = Naive::of(&self.machine, self.now);
        assert!(left.is_empty(), "{}: something is left: {left:?}", self.place);
        for project in self.machine.projects().iter() {
            assert_eq!(self.machine.live_of(&project.id), 0, "{}", self.place);
        }
    }

    pub(super) fn fail(&self, why: &str) -> ! {
        panic!("{}: {why}", self.place)
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Decides, follows, and looks at what stands then.
    fn ask(&mut self, command: Command) -> Result<Decision, Fault> {
        self.serial += 128;
        let bits = u128::try_from(self.now).unwrap() << 80 | 7 << 76 | 2 << 62;
        let id = RequestId::from_u128(bits | self.serial);
        let mark = RequestMark { id, fingerprint: [0; 32] };
        let stamp = Stamp { now: at(self.now), fresh: self.serial };
        let decision = self.machine.decide(stamp, &Request { mark, command })?;
        self.follow(&decision.events);
        Ok(decision)
    }

    fn follow(&mut self, events: &[Event]) {
        let before = Naive::of(&self.machine, self.now);
        let policy = self.machine.policy_version();
        for event in events {
            self.machine.apply(event).unwrap();
            self.replica.apply(event).unwrap();
        }
        let after = Naive::of(&self.machine, self.now);
        if policy == self.machine.policy_version()
            && let Err(why) = after.keeps(self.machine.projects(), &before)
        {
            self.fail(&why);
        }
        let faults = audit(&self.machine, at(self.now));
        if !faults.is_empty() {
            self.fail(&faults.join("; "));
        }
        if let Err(why) = after.is_counted(&self.machine) {
            self.fail(&why);
        }
    }

    fn rigid(&mut self) {
        let (ask, over, rate) = self.drawn_rigid();
        let naive = Naive::of(&self.machine, self.now);
        let projects = self.machine.projects();
        let expected = naive.admits(projects, (&ask.owner.project, self.now), over, rate);
        let decision = self.ask(Command::Reserve(ask.clone().into())).unwrap();
        match (&decision.answer, expected) {
            (Answer::Reservation(_), None) if decision.events.len() == 1 => self.count("granted"),
            // Somebody moved away.
            (Answer::Reservation(_), Some(Reason::QuotaExhausted)) if 1 < decision.events.len() => {
                self.count("made room");
            }
            (Answer::Refusal(refusal), Some(reason)) if refusal.reason == reason => {
                self.count(if reason == Reason::AboveQuota {
                    "above quota"
                } else {
                    "quota exhausted"
                });
                self.take(&ask, refusal);
            }
            (answer, expected) => {
                self.fail(&format!("{expected:?} is expected: {ask:?} {answer:?}"))
            }
        }
    }

    /// An offer that is taken at once is granted.
    fn take(&mut self, ask: &Ask, refusal: &tidegate_core::Refusal) {
        let Some(offer) = refusal.offers.first() else { return };
        let taken = self.ask(Command::Reserve(offer.ask(ask).into())).unwrap();
        match taken.answer {
            Answer::Reservation(_) => self.count("offer taken"),
            other => self.fail(&format!("{offer:?} does not hold: {other:?}")),
        }
    }

    fn shaped(&mut self) {
        let ask = self.drawn_shape();
        let volume = matches!(ask.shape, Shape::Transfer { .. });
        let decision = self.ask(Command::Reserve(ask.into())).unwrap();
        match decision.answer {
            Answer::Reservation(_) if volume => self.count("volume granted"),
            Answer::Reservation(_) => self.count("flexible granted"),
            _ => self.count("shape refused"),
        }
    }

    fn several(&mut self) {
        let asks = (0..3).map(|_| self.drawn_rigid().0).collect();
        let relation = tidegate_core::command::Relation::Each;
        let batch = tidegate_core::Batch { asks, relation, instance: 3 };
        match self.ask(Command::ReserveAll(batch.into())).unwrap().answer {
            Answer::Batch(answers) => {
                let granted = |answer: &Answer| matches!(answer, Answer::Reservation(_));
                if 1 < answers.iter().filter(|it| granted(it)).count() {
                    self.count("several granted");
                }
            }
            other => self.fail(&format!("no batch: {other:?}")),
        }
    }

    fn release(&mut self) {
        let Some(id) = self.drawn_live() else { return };
        self.give_back(id);
        self.count("released");
    }

    fn give_back(&mut self, id: ReservationId) {
        let holder = self.machine.reservation(id).unwrap().session;
        let release = Release { target: id.into(), holder, used: ByteCount::ZERO };
        self.ask(Command::Release(release)).unwrap();
    }

    /// Another rate, of somebody who is bound to no session: nothing is kept of what it had.
    fn change(&mut self) {
        let Some(id) = self.drawn_live() else { return };
        let found = self.machine.reservation(id).unwrap().clone();
        if found.session.is_some() {
            return;
        }
        let rate = self.drawn_rate();
        let modify = Modify {
            target: id.into(),
            holder: None,
            obeyed: u64::MAX,
            rate: Some(rate),
            start: None,
            end: None,
            volume: None,
        };
        let over = Interval::new(at(self.now).max(found.interval.start()), found.interval.end());
        let naive = Naive::without(&self.machine, self.now, id);
        let projects = self.machine.projects();
        let expected =
            over.and_then(|over| naive.changes(projects, &found, (self.now, over), rate));
        match (self.ask(Command::Modify(modify.into())), expected) {
            (Ok(Decision { answer: Answer::Reservation(_), .. }), None) => self.count("changed"),
            (Ok(Decision { answer: Answer::Refusal(refusal), .. }), Some(reason))
                if refusal.reason == reason => {}
            (answer, expected) => self.fail(&format!("{expected:?} is expected: {answer:?}")),
        }
    }

    fn policy(&mut self) {
        let ask: PolicyAsk = self.drawn_policy();
        let after = self.machine.projects().changed(
            &ask.projects.put,
            &ask.projects.gone,
            ask.projects.whole,
        );
        let naive = Naive::of(&self.machine, self.now);
        let over = after.as_ref().is_ok_and(|after| naive.is_over(self.machine.projects(), after));
        let left = ask.projects.gone.iter().any(|id| naive.has(id));
        let accepted = ask.accept_overuse;
        match (self.ask(Command::ApplyPolicy(ask.into())), after) {
            (Err(Fault::Invalid(_)), Err(_)) => self.count("no tree"),
            (Err(Fault::ProjectInUse { .. }), Ok(_)) if left => self.count("project in use"),
            (Err(Fault::QuotasInUse(_)), Ok(_)) if over && !accepted => self.count("quotas in use"),
            (Ok(_), Ok(after)) if !left && (!over || accepted) => {
                assert_eq!(after, *self.machine.projects(), "{}", self.place);
                self.count(if over { "cut below use" } else { "policy changed" });
            }
            (answer, after) => {
                self.fail(&format!("over {over}, left {left}: {answer:?} {after:?}"))
            }
        }
    }

    /// Time passes; the session is heard all the while.
    fn pass(&mut self) {
        let target = self.now + self.between(1, 20_000);
        while let Some(due) = self.machine.next_due().filter(|due| due.as_ms() <= target) {
            self.now = self.now.max(due.as_ms());
            let events = self.machine.due(at(self.now));
            self.follow(&events);
        }
        self.now = target;
        self.machine.note(&Note::Heard { session: self.session, at: at(self.now) });
    }

    /// Both ways to the state: out of a snapshot, and by the events alone.
    fn read_again(&mut self) {
        if !self.machine.same_ledger(&self.replica) {
            self.fail("the events lead to another state");
        }
        let mut again = Machine::from_image(limits(), self.machine.image()).unwrap();
        if !again.same_ledger(&self.machine) {
            self.fail("a snapshot leads to another state");
        }
        again.resume(at(self.now));
        self.machine = again;
        self.count("read again");
    }
}

pub(super) fn exactly(rate: BitRate, over: Interval) -> Shape {
    Shape::Rigid { rate, start: Some(over.start()), until: Until::At(over.end()) }
}

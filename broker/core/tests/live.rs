//! Live rates in virtual time: agents that beat every 5 s and answer pokes, over a road of 20 ms. All
//! together never send more than the lane carries, and soon after somebody comes or goes they fill it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "how long it took is worth reading")]

use std::collections::BTreeMap;

use tidegate_core::event::RequestMark;
use tidegate_core::topology::spec::{Capacity, Framing, HostSpec, NicSpec};
use tidegate_core::{
    Answer, Ask, Command, Limits, LiveRate, Machine, Note, Obeyed, Owner, PolicyAsk, Release,
    Request, Shape, Stamp, Standing, Terms, TopologySpec, Until, Ways, lane::LaneName,
};
use tidegate_policy::{
    BitRate, ByteCount, Class, ClassId, Overcommit, ProjectId, RequestId, ReservationId, SessionId,
    Span, Timestamp,
};

const BEGIN_MS: i64 = 1_800_000_000_000;
const BEAT_MS: i64 = 5000;
const ROAD_MS: i64 = 20;
/// What the lane carries, in bits per second.
const LANE: u64 = 10_000_000_000;

enum Coming {
    Beat(usize),
    Answer(usize, Option<LiveRate>),
    /// In turn.
    Due(usize),
}

struct Agent {
    session: SessionId,
    grant: Option<ReservationId>,
    floor: u64,
    weight: u64,
    obeyed: Obeyed,
    /// When it was granted its floor at the latest.
    granted_at: i64,
}

struct World {
    machine: Machine,
    time: i64,
    serial: u64,
    coming: BTreeMap<(i64, u64), Coming>,
    agents: Vec<Agent>,
    /// What waits for others to give way.
    waiting: Option<(usize, Request)>,
}

fn lane() -> LaneName {
    LaneName::new("hosts/h/nics/eth0/ingress")
}

impl World {
    fn new(weights: &[u32]) -> Self {
        let rate = BitRate::from_bps(LANE).unwrap();
        let capacity = Capacity {
            out: rate,
            back: rate,
            total: None,
            reserved_ppm: Some(0),
            allocation_ratio_ppm: None,
        };
        let name = |text: &str| text.parse().unwrap();
        let framing = Framing::none();
        let nic = NicSpec { name: name("eth0"), switch: name("w"), capacity, framing };
        let spec = TopologySpec {
            hosts: vec![HostSpec { name: name("h"), nics: vec![nic] }],
            switches: vec![name("w")],
            ..TopologySpec::default()
        };
        let mut world = Self {
            machine: Machine::new(Limits::default()),
            time: 0,
            serial: 0,
            coming: BTreeMap::new(),
            agents: Vec::new(),
            waiting: None,
        };
        world.ask(Command::ApplyTopology { spec: spec.into(), accept_losses: false });
        let classes = weights.iter().enumerate().map(|(agent, weight)| Class {
            ratio: Overcommit::from_ppm(4_000_000).unwrap(),
            weight: *weight,
            ..Class::new(id(agent))
        });
        let mut policy = PolicyAsk::default();
        policy.classes.put.extend(classes);
        world.ask(Command::ApplyPolicy(policy.into()));
        for (agent, weight) in weights.iter().enumerate() {
            let Answer::Session(session) = world.ask(Command::OpenSession(name("agent"))) else {
                panic!("it is opened")
            };
            let (obeyed, weight) = (Obeyed { version: 1, rate: BitRate::ZERO }, (*weight).into());
            let (grant, floor) = (None, 0);
            let session = session.id;
            world.agents.push(Agent { session, grant, floor, weight, obeyed, granted_at: 0 });
            let phase = i64::try_from(agent).unwrap() * 1300;
            world.later(phase, Coming::Due(agent));
        }
        world
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ms(BEGIN_MS + self.time).unwrap()
    }

    fn later(&mut self, in_ms: i64, coming: Coming) {
        self.serial += 1;
        self.coming.insert((self.time + in_ms, self.serial), coming);
    }

    fn fresh(&mut self) -> u128 {
        self.serial += 1;
        let ms = u128::try_from(self.now().as_ms()).unwrap();
        (ms << 80) | (7 << 76) | (2 << 62) | u128::from(self.serial)
    }

    fn request(&mut self, command: Command) -> Request {
        let id = RequestId::from_u128(self.fresh());
        Request { mark: RequestMark { id, fingerprint: [0; 32] }, command }
    }

    fn ask(&mut self, command: Command) -> Answer {
        let request = self.request(command);
        self.decide(&request)
    }

    fn decide(&mut self, request: &Request) -> Answer {
        let stamp = Stamp { now: self.now(), fresh: self.fresh() };
        let decision = self.machine.decide(stamp, request).unwrap();
        for event in &decision.events {
            self.machine.apply(event).unwrap();
        }
        if let Answer::Refusal(refusal) = &decision.answer {
            assert!(self.machine.claim(self.now(), request, refusal), "{refusal:?}");
        }
        self.poke();
        decision.answer
    }

    fn poke(&mut self) {
        let news = self.machine.reshare(self.now());
        self.poked(&news);
    }

    fn poked(&mut self, news: &[SessionId]) {
        let poked: Vec<usize> = (0..self.agents.len())
            .filter(|agent| news.contains(&self.agents[*agent].session))
            .collect();
        poked.into_iter().for_each(|agent| self.later(2 * ROAD_MS, Coming::Beat(agent)));
    }

    fn reserve(&mut self, agent: usize) {
        let ask = Ask {
            owner: Owner { class: Some(id(agent)), ..ProjectId::default_project().into() },
            ways: Ways::Lanes(vec![lane()]),
            shape: Shape::Rigid {
                rate: BitRate::from_bps(LANE).unwrap(),
                start: None,
                until: Until::After(Span::from_secs(3600)),
            },
            terms: Terms::default(),
            hold_for: None,
            session: Some(self.agents[agent].session),
            hold_best_offer: false,
            movable: false,
            standing: Standing::default(),
        };
        let request = self.request(Command::Reserve(ask.into()));
        self.wait_for(agent, request);
    }

    fn wait_for(&mut self, agent: usize, request: Request) {
        match self.decide(&request) {
            Answer::Reservation(made) => {
                self.agents[agent].grant = Some(made.id);
                self.agents[agent].floor = made.rate().bps();
                self.agents[agent].granted_at = self.time;
                self.later(2 * ROAD_MS, Coming::Beat(agent));
            }
            _ => self.waiting = Some((agent, request)),
        }
    }

    fn release(&mut self, agent: usize) {
        let target = self.agents[agent].grant.take().unwrap().into();
        self.agents[agent].obeyed = Obeyed { version: 1, rate: BitRate::ZERO };
        let holder = Some(self.agents[agent].session);
        let release = Release { target, holder, used: ByteCount::ZERO };
        self.ask(Command::Release(release));
    }

    /// What an agent sends.
    fn sent(&self, agent: &Agent) -> u64 {
        let floor = agent.grant.map_or(0, |_| agent.floor);
        floor.max(agent.grant.map_or(0, |_| agent.obeyed.rate.bps()))
    }

    /// Lets time pass until the lane is full as it should be; returns how long that took.
    fn settles(&mut self) -> i64 {
        let begun = self.time;
        while !self.is_settled() {
            let ((time, _), coming) = self.coming.pop_first().unwrap();
            self.time = time;
            self.arrive(coming);
            let all: u64 = self.agents.iter().map(|agent| self.sent(agent)).sum();
            assert!(all <= LANE, "{all} bit/s are sent");
            assert!(self.time < begun + 60_000, "it never settles");
        }
        self.time - begun
    }

    fn is_settled(&self) -> bool {
        let on: Vec<&Agent> = self.agents.iter().filter(|agent| agent.grant.is_some()).collect();
        let all: u64 = on.iter().map(|agent| self.sent(agent)).sum();
        let beyond = on.iter().map(|agent| (self.sent(agent) - agent.floor) / agent.weight);
        let beyond: Vec<u64> = beyond.collect();
        let uneven = beyond.iter().max().unwrap() - beyond.iter().min().unwrap();
        self.waiting.is_none() && LANE * 97 <= all * 100 && uneven <= LANE / 1000
    }

    fn arrive(&mut self, coming: Coming) {
        match coming {
            Coming::Due(agent) => {
                self.later(ROAD_MS, Coming::Beat(agent));
                self.later(BEAT_MS, Coming::Due(agent));
            }
            Coming::Beat(agent) => {
                let (session, grant) = (self.agents[agent].session, self.agents[agent].grant);
                let now = self.now();
                self.machine.note(&Note::Heard { session, at: now });
                let Some(grant) = grant else { return };
                self.machine.live_heard(now, session, (grant, self.agents[agent].obeyed));
                let mut news = self.machine.reshare(now);
                news.retain(|other| *other != session);
                let told = self.machine.live_tell(now, session, grant);
                self.later(ROAD_MS, Coming::Answer(agent, told));
                self.poked(&news);
                if let Some((agent, request)) = self.waiting.take() {
                    self.wait_for(agent, request);
                }
            }
            Coming::Answer(agent, told) => {
                let Some(told) = told.filter(|_| self.agents[agent].grant.is_some()) else {
                    return;
                };
                let before = self.agents[agent].obeyed.rate;
                self.agents[agent].obeyed = Obeyed { version: told.version, rate: told.rate };
                if told.rate < before {
                    self.later(ROAD_MS, Coming::Beat(agent));
                }
            }
        }
    }
}

fn id(agent: usize) -> ClassId {
    ClassId(format!("class-{agent}").parse().unwrap())
}

/// Everybody who comes or goes is followed within two keep-alives, in fact within a few round trips.
#[test]
fn whoever_comes_or_goes_the_lane_is_full_again_within_two_beats() {
    let mut world = World::new(&[1, 1, 3]);
    let mut slowest = 0;
    for agent in [0, 1, 2] {
        world.reserve(agent);
        slowest = slowest.max(world.settles());
    }
    let sent: Vec<u64> = world.agents.iter().map(|agent| world.sent(agent)).collect();
    assert!(LANE * 97 / 100 <= sent.iter().sum(), "{sent:?}");
    for agent in [2, 0, 1, 1, 2, 0].into_iter().cycle().take(60) {
        match world.agents[agent].grant {
            Some(_) if world.agents.iter().filter(|it| it.grant.is_some()).count() == 1 => {}
            Some(_) => world.release(agent),
            None => world.reserve(agent),
        }
        slowest = slowest.max(world.settles());
    }
    println!("{sent:?} bit/s of {LANE}; settled within {slowest} ms");
    assert!(slowest <= 2 * BEAT_MS, "{slowest} ms");
}

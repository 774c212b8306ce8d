//! Time, the network, and what arrives when.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_broker::law::Beat;
use tidegate_client::law::Unanswered;
use tidegate_core::Answer;
use tidegate_policy::{ReservationId, SessionId, Timestamp};
use tidegate_proto::v1;

use crate::agent::{Agent, Call, Session, Told};
use crate::check::Watchman;
use crate::rng::Rng;
use crate::server::Server;
use crate::tally::Tally;

/// How long one try of a call waits, in milliseconds.
pub(crate) const PATIENCE: i64 = 5000;
/// Steps of one run, each an operation or a fault.
const STEPS: usize = 40;

pub(crate) struct World<'t> {
    pub(crate) time: i64,
    pub(crate) rng: Rng,
    pub(crate) broker: Server,
    pub(crate) agents: Vec<Agent>,
    pub(crate) watchman: Watchman,
    pub(crate) tally: &'t mut Tally,
    tells: bool,
    coming: BTreeMap<(i64, u64), Coming>,
    pub(crate) serial: u64,
    /// The streams that are open at the broker, and when their last message each way arrives.
    streams: BTreeMap<u64, Stream>,
    /// When the broker looks next at what is due.
    due: i64,
    looks: BTreeSet<i64>,
}

struct Stream {
    agent: usize,
    session: SessionId,
    last_up: i64,
    last_down: i64,
    /// Something on its way up was lost, and with it all that follows.
    is_cut: bool,
}

pub(crate) enum Coming {
    /// At the broker.
    Beat {
        stream: u64,
        beat: Beat,
    },
    Call {
        agent: usize,
        call: u64,
        sent: i64,
        body: Box<Call>,
    },
    /// At an agent.
    Heard {
        stream: u64,
        agent: usize,
        answer: Box<v1::KeepAliveResponse>,
    },
    Poked {
        stream: u64,
        agent: usize,
    },
    Broken {
        stream: u64,
        agent: usize,
    },
    Told {
        agent: usize,
        call: u64,
        tries: u64,
        told: Told,
    },
    /// Of an agent's own.
    BeatDue {
        stream: u64,
        agent: usize,
    },
    Reconnect {
        agent: usize,
        session: SessionId,
    },
    Review {
        agent: usize,
        id: ReservationId,
    },
    Impatient {
        agent: usize,
        call: u64,
        tries: u64,
    },
    /// Of the broker's own.
    Due,
    Restart,
    /// Something may end here.
    Look,
}

impl Coming {
    fn agent(&self) -> Option<usize> {
        match self {
            Self::Heard { agent, .. }
            | Self::Poked { agent, .. }
            | Self::Broken { agent, .. }
            | Self::Told { agent, .. }
            | Self::BeatDue { agent, .. }
            | Self::Reconnect { agent, .. }
            | Self::Review { agent, .. }
            | Self::Impatient { agent, .. } => Some(*agent),
            Self::Beat { .. } | Self::Call { .. } | Self::Due | Self::Restart | Self::Look => None,
        }
    }
}

impl<'t> World<'t> {
    pub(crate) fn new(seed: u64, tally: &'t mut Tally, tells: bool) -> Self {
        let mut rng = Rng::new(seed);
        let (beat, lease, grace) = rng.pick(&[(10, 30, 60), (4, 12, 6), (5, 10, 0)]);
        let agents = 1 + rng.index(3);
        let agents = (0..agents).map(|_| Agent::new(rng.below(1 << 40))).collect();
        Self {
            time: 0,
            rng,
            broker: Server::new(beat, lease, grace),
            agents,
            watchman: Watchman::default(),
            tally,
            tells,
            coming: BTreeMap::new(),
            serial: 0,
            streams: BTreeMap::new(),
            due: i64::MAX,
            looks: BTreeSet::new(),
        }
    }

    pub(crate) fn tell(&self, what: impl FnOnce() -> String) {
        if self.tells {
            println!("{:>9} {}", self.time, what());
        }
    }

    pub(crate) fn run(&mut self) {
        for agent in 0..self.agents.len() {
            self.open_session(agent);
        }
        for _ in 0..STEPS {
            let span = match self.rng.below(10) {
                0 => 0,
                1..=5 => self.rng.ms(1500),
                6..=8 => self.rng.ms(8000),
                _ => self.rng.ms(40_000),
            };
            self.pass(span);
            self.step();
            self.look();
        }
        self.pass(120_000);
    }

    /// Lets time pass, and everything arrive that arrives meanwhile.
    fn pass(&mut self, span: i64) {
        let end = self.time + span;
        while let Some(entry) = self.coming.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((time, serial), coming) = entry.remove_entry();
            self.time = time;
            if let Some(agent) = coming.agent()
                && time < self.agents[agent].paused_until
            {
                // It is asleep, and finds all of this when it wakes.
                self.coming.insert((self.agents[agent].paused_until, serial), coming);
                continue;
            }
            self.arrive(coming);
            self.look();
        }
        self.time = end;
        self.look();
    }

    pub(crate) fn later(&mut self, time: i64, coming: Coming) {
        self.serial += 1;
        self.coming.insert((time.max(self.time), self.serial), coming);
    }

    fn delay(&mut self) -> i64 {
        match self.rng.below(20) {
            0 => self.rng.ms(9000),
            1..=3 => self.rng.ms(500),
            _ => self.rng.ms(20),
        }
    }

    fn arrive(&mut self, coming: Coming) {
        match coming {
            Coming::Beat { stream, beat } => self.beat_arrives(stream, &beat),
            Coming::Call { agent, call, sent, body } => {
                self.call_arrives(agent, (call, sent), &body);
            }
            Coming::Heard { stream, agent, answer } => self.hear(stream, agent, &answer),
            Coming::Poked { stream, agent } => {
                if let Some(session) = self.on(stream, agent)
                    && session.unanswered.poked()
                {
                    self.send_beat(agent, true);
                }
            }
            Coming::Broken { stream, agent } => {
                if self.on(stream, agent).is_some() {
                    self.break_stream(agent);
                }
            }
            Coming::Told { agent, call, tries, told } => self.told(agent, (call, tries), told),
            Coming::BeatDue { stream, agent } => self.beat_due(stream, agent),
            Coming::Reconnect { agent, session } => {
                let own = self.agents[agent].session.as_ref();
                if own.is_some_and(|own| own.id == session && own.stream.is_none()) {
                    self.connect(agent);
                }
            }
            Coming::Review { agent, id } => self.review(agent, id),
            Coming::Impatient { agent, call, tries } => self.impatient(agent, call, tries),
            Coming::Due => self.happen_due(),
            Coming::Restart => {
                self.broker.restart(self.time);
                self.tell(|| "the broker is back".into());
                self.due = i64::MAX;
                self.plan_due();
                self.plan_looks();
            }
            Coming::Look => {}
        }
    }

    // === the agent's streams ===

    fn on(&mut self, stream: u64, agent: usize) -> Option<&mut Session> {
        self.agents[agent].session.as_mut().filter(|session| session.stream == Some(stream))
    }

    pub(crate) fn connect(&mut self, agent: usize) {
        self.serial += 1;
        let (number, time) = (self.serial, self.time);
        let Some(session) = &mut self.agents[agent].session else { return };
        session.stream = Some(number);
        session.unanswered = Unanswered::default();
        let (session, beat_ms) = (session.id, session.beat_ms);
        let stream =
            Stream { agent, session, last_up: time, last_down: time, is_cut: !self.broker.is_up };
        self.streams.insert(number, stream);
        self.send_beat(agent, false);
        self.later(time + beat_ms, Coming::BeatDue { stream: number, agent });
    }

    fn beat_due(&mut self, stream: u64, agent: usize) {
        let Some(session) = self.on(stream, agent) else { return };
        let beat_ms = session.beat_ms;
        let patience = u64::try_from(PATIENCE).unwrap().div_ceil(u64::try_from(beat_ms).unwrap());
        if patience <= u64::try_from(session.unanswered.owed()).unwrap() {
            self.break_stream(agent);
            return;
        }
        self.send_beat(agent, false);
        self.later(self.time + beat_ms, Coming::BeatDue { stream, agent });
    }

    fn break_stream(&mut self, agent: usize) {
        let Some(session) = &mut self.agents[agent].session else { return };
        let (Some(_), id) = (session.stream.take(), session.id) else { return };
        self.tally.count("streams broken");
        self.tell(|| format!("agent {agent}: its stream broke"));
        let pause = 100 + self.rng.ms(1500);
        self.later(self.time + pause, Coming::Reconnect { agent, session: id });
    }

    fn send_beat(&mut self, agent: usize, extra: bool) {
        let (time, usage) = (self.time, self.agents[agent].usage());
        let now = self.agents[agent].clock(time);
        let Some(session) = &mut self.agents[agent].session else { return };
        let Some(number) = session.stream else { return };
        let beat = Beat { session: session.id, sequence: session.unanswered.next(), usage };
        session.unanswered.sent(now, extra);
        let Some(arrival) = self.arrival(agent, true, Some(number)) else { return };
        self.later(arrival, Coming::Beat { stream: number, beat });
    }

    /// When something arrives that is sent now, if it does. What waits behind a cut comes when it
    /// ends; on a stream nothing overtakes, and nothing comes behind what is lost.
    pub(crate) fn arrival(&mut self, agent: usize, up: bool, stream: Option<u64>) -> Option<i64> {
        let link = self.agents[agent].link;
        let cut = if up { link.up_cut } else { link.down_cut };
        let lost = self.time < cut && self.rng.chance(50);
        let arrival = self.time.max(cut) + self.delay();
        let Some(number) = stream else {
            if !up || lost {
                return (!lost).then_some(arrival);
            }
            // Calls go up on one connection.
            let last = &mut self.agents[agent].link.last_call;
            *last = arrival.max(*last);
            return Some(*last);
        };
        let stream = self.streams.get_mut(&number)?;
        stream.is_cut |= lost;
        if stream.is_cut {
            return None;
        }
        let last = if up { &mut stream.last_up } else { &mut stream.last_down };
        *last = arrival.max(*last);
        Some(*last)
    }

    fn hear(&mut self, stream: u64, agent: usize, answer: &v1::KeepAliveResponse) {
        let Some(session) = self.on(stream, agent) else { return };
        let Some(sent) = session.unanswered.answered(answer.sequence) else { return };
        let received = self.agents[agent].clock(self.time);
        let Some((on, less)) = self.agents[agent].hear(answer, sent, received) else {
            self.tell(|| format!("agent {agent}: hears that its session is over"));
            self.tally.count("sessions lost");
            return;
        };
        self.tell(|| format!("agent {agent}: hears {}", on.len()));
        for id in on {
            self.review(agent, id);
        }
        if less {
            self.tally.count("live rates that fell");
        }
        let again = self.on(stream, agent).is_some_and(|it| {
            // Others wait to hear that less is sent.
            let told = less && it.unanswered.poked();
            told || it.unanswered.poked_again()
        });
        if again {
            self.send_beat(agent, true);
        }
    }

    pub(crate) fn review(&mut self, agent: usize, id: ReservationId) {
        if let Some(review) = self.agents[agent].review(id, self.time) {
            // Timers come late, never early.
            let late = self.rng.ms(30);
            self.later(review + late, Coming::Review { agent, id });
        } else if self.agents[agent].grants.get(&id).is_some_and(|grant| grant.is_over) {
            self.tally.count("stopped by its own law");
        }
    }

    // === at the broker ===

    fn beat_arrives(&mut self, number: u64, beat: &Beat) {
        let Some(stream) = self.streams.get(&number).filter(|_| self.broker.is_up) else { return };
        let agent = stream.agent;
        self.happen_due();
        let Some((answer, settled, news)) = self.broker.beat(self.time, beat) else { return };
        self.poke(&news);
        if settled {
            self.tally.count("what was kept, settled");
        }
        self.tell(|| format!("broker: a beat of agent {agent}: {:?}", beat.usage));
        if let Some(arrival) = self.arrival(agent, false, Some(number)) {
            let answer = Box::new(answer);
            self.later(arrival, Coming::Heard { stream: number, agent, answer });
        }
        self.plan_due();
    }

    fn call_arrives(&mut self, agent: usize, (call, sent): (u64, i64), body: &Call) {
        // What was under way when the broker ended is lost.
        if !self.broker.is_up || sent < self.broker.started {
            return;
        }
        if !self.agents[agent].calls.contains_key(&call) {
            self.tally.count("requests that nobody waited for");
        }
        self.tell(|| format!("broker: agent {agent} asks {:?}", body.request.command));
        let told = match self.decide(&body.request) {
            Ok((Answer::Reservation(found), now)) => {
                Told::Reservation(self.broker.told(&found, now).into())
            }
            Ok((Answer::Session(found), _)) => {
                let server = &self.broker;
                let told = tidegate_broker::law::session(&found, &server.machine, &server.session);
                Told::Session(told.into())
            }
            Ok((Answer::Refusal(_), _)) => Told::Refused,
            Ok(_) => Told::Nothing,
            Err(fault) => Told::Fault(fault.to_string()),
        };
        if let Some(arrival) = self.arrival(agent, false, None) {
            self.later(arrival, Coming::Told { agent, call, tries: body.tries, told });
        }
    }

    /// Lets the broker decide, and tells those whom it concerns.
    pub(crate) fn decide(
        &mut self,
        request: &tidegate_core::Request,
    ) -> Result<(Answer, Timestamp), tidegate_core::Fault> {
        self.happen_due();
        let mut concerned = Vec::new();
        let answer = self.broker.decide(self.time, request, &mut concerned);
        self.count_what_happened();
        self.tell(|| format!("broker: {}", crate::check::told(&answer)));
        self.poke(&concerned);
        self.plan_due();
        self.plan_looks();
        answer
    }

    fn count_what_happened(&mut self) {
        for (what, session) in std::mem::take(&mut self.broker.happened) {
            self.tally.count(what);
            let holds = |agent: &&Agent| {
                session.is_some() && agent.session.as_ref().map(|it| it.id) == session
            };
            let link = self.agents.iter().find(holds).map(|agent| agent.link);
            let is_cut = link.is_some_and(|it| self.time < it.up_cut.max(it.down_cut));
            if is_cut && what.starts_with("moved") {
                self.tally.count("moved while its holder was cut off");
            }
        }
    }

    fn poke(&mut self, concerned: &[SessionId]) {
        let open = self.streams.iter().filter(|(_, it)| concerned.contains(&it.session));
        let open: Vec<(u64, usize)> = open.map(|(number, it)| (*number, it.agent)).collect();
        for (stream, agent) in open {
            if let Some(arrival) = self.arrival(agent, false, Some(stream)) {
                self.later(arrival, Coming::Poked { stream, agent });
            }
        }
    }

    fn happen_due(&mut self) {
        if !self.broker.is_up {
            return;
        }
        let (concerned, events) = self.broker.due(self.time);
        self.count_what_happened();
        for event in &events {
            self.tell(|| format!("broker: due {:?}", event.change));
        }
        self.poke(&concerned);
        if self.due <= self.time {
            self.due = i64::MAX;
            self.plan_due();
        }
    }

    /// Arranges for a look at what is due when it is.
    fn plan_due(&mut self) {
        let now = self.broker.now(self.time);
        let Some(due) = self.broker.machine.next_due() else { return };
        let due = self.time + (due.as_ms() - now.as_ms()).max(1) + self.rng.ms(5);
        if due < self.due {
            self.due = due;
            self.later(due, Coming::Due);
        }
    }

    /// Arranges for looks at the instants at which something is booked no more.
    fn plan_looks(&mut self) {
        let now = self.broker.now(self.time);
        for edge in Watchman::edges(&self.broker.machine, now) {
            let time = self.time + (edge.as_ms() - now.as_ms());
            if self.looks.insert(time) {
                self.later(time, Coming::Look);
            }
        }
    }

    pub(crate) fn crash(&mut self) {
        self.broker.is_up = false;
        self.tally.count("restarts");
        let away = self.rng.pick(&[100, 2000, 8000, 40_000]);
        let away = 1 + self.rng.ms(away);
        self.tell(|| format!("the broker ends, and is away for {away} ms"));
        self.later(self.time + away, Coming::Restart);
        for (stream, Stream { agent, .. }) in std::mem::take(&mut self.streams) {
            if let Some(arrival) = self.arrival(agent, false, None) {
                self.later(arrival, Coming::Broken { stream, agent });
            }
        }
    }
}

//! Carries random operations out and looks at what stands after each.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::event::RequestMark;
use tidegate_core::{
    Answer, Command, Decision, Event, Fault, Limits, Machine, Note, Request, Stamp,
};
use tidegate_policy::{RequestId, ReservationId, SessionId};

use super::checks::{self, Before};
use super::clients::{Client, Mood};
use super::draw::{Draw, Next, Seen, at};
use super::net::Net;
use super::promises::Promises;
use super::rng::Rng;
use super::tell::Story;

/// When the operations begin.
const BEGIN_MS: i64 = 1_767_225_600_000;
/// After so many changes, the state is written down and read again.
const REREAD: u64 = 32;

/// What happened how often.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

/// What the operations are drawn from.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) seed: u64,
    /// The largest rate that a lane is declared with, in bits per second.
    pub(crate) scale: u64,
    /// Headers on top of the payload, in parts per million of it.
    pub(crate) headers: u32,
    pub(crate) limits: Limits,
}

pub(super) struct Driver {
    pub(super) setting: Setting,
    pub(super) machine: Machine,
    /// Sees the events and nothing else.
    pub(super) replica: Machine,
    pub(super) net: Net,
    pub(super) clients: Vec<Client>,
    pub(super) draw: Draw,
    pub(super) now: i64,
    fresh: u128,
    step: u64,
    changes: u64,
    pub(super) counts: Counts,
    pub(super) story: Story,
    pub(super) promises: Promises,
    pub(super) before: Before,
    /// Until then, those who have not heard of a loss of capacity may still send.
    pub(super) tolerated: i64,
    /// The sessions that have reported bytes, and what was reported of each reservation.
    pub(super) reporting: BTreeSet<SessionId>,
    pub(super) reported: BTreeMap<ReservationId, u64>,
}

/// Carries so many operations out; panics at the first that leaves something wrong.
pub(crate) fn run(setting: &Setting, operations: u64) -> Counts {
    let mut rng = Rng::new(setting.seed);
    let net = Net::random(&mut rng, setting.scale, setting.headers);
    let machine = Machine::new(setting.limits.clone());
    let mut driver = Driver {
        setting: setting.clone(),
        replica: machine.clone(),
        before: checks::stand(&machine, &net, BEGIN_MS),
        machine,
        net: net.clone(),
        clients: Vec::new(),
        draw: Draw::new(rng, setting.scale),
        now: BEGIN_MS,
        fresh: 0,
        step: 0,
        changes: 0,
        counts: Counts::new(),
        story: Story::new(BEGIN_MS),
        promises: Promises::new(setting.limits.margin_ppm),
        tolerated: i64::MIN,
        reporting: BTreeSet::new(),
        reported: BTreeMap::new(),
    };
    driver.retopo(net, false);
    while driver.step < operations {
        driver.step += 1;
        let pause = driver.draw.pause();
        driver.walk_to(driver.now + pause);
        driver.operation();
        driver.settle_due();
    }
    driver.reread();
    driver.counts
}

impl Driver {
    pub(super) fn fail(&self, what: &str) -> ! {
        let Setting { seed, scale, headers, .. } = &self.setting;
        let stand = self.machine.reservations(None).filter(|found| found.is_live());
        let stand: String =
            stand.map(|found| format!("  {}\n", self.story.reservation(found))).collect();
        panic!(
            "{}now stand\n{stand}seed {seed}, scale {scale}, headers {headers}, operation {}: {what}\nrun it again \
             with MOVES_SEED={seed} MOVES_OPERATIONS={} cargo test -p tidegate-core --test moves",
            self.story.told(),
            self.step,
            4 * self.step
        );
    }

    pub(super) fn must(&self, held: Result<(), String>) {
        if let Err(why) = held {
            self.fail(&why);
        }
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(super) fn lease(&self) -> i64 {
        i64::try_from(self.setting.limits.lease.as_ms()).unwrap()
    }

    pub(super) fn grace(&self) -> i64 {
        i64::try_from(self.setting.limits.grace.as_ms()).unwrap()
    }

    fn operation(&mut self) {
        let seen =
            Seen { now: self.now, machine: &self.machine, net: &self.net, clients: &self.clients };
        match self.draw.next(&seen) {
            Next::Ask(command) => self.ask(command),
            Next::Net(net, accepted) => self.retopo(net, accepted),
            Next::Mood(session, mood) => {
                let who = session.as_u128();
                self.story.line(self.now, &format!("session {who} becomes {mood:?}"));
                let mut clients = self.clients.iter_mut();
                let client = clients.find(|client| client.session == session).unwrap();
                // Whoever is gone does not come back.
                if client.mood != Mood::Gone {
                    client.becomes(mood);
                }
            }
            Next::Restart => self.restart(),
        }
    }

    /// A process that comes back from an image: it remembers no beats and no reports.
    fn restart(&mut self) {
        self.count("restart");
        self.story.line(self.now, "restart");
        self.machine = self.written_down();
        self.machine.resume(at(self.now));
        self.reporting.clear();
        for (id, bytes) in &mut self.reported {
            *bytes = self.machine.used(*id).bytes();
        }
    }

    fn written_down(&self) -> Machine {
        let limits = self.setting.limits.clone();
        Machine::from_image(limits, self.replica.image()).unwrap()
    }

    /// Written down and read again it is the same, and decides the same.
    fn reread(&mut self) {
        let (mut read, mut same) = (self.written_down(), self.replica.clone());
        if !read.same_ledger(&self.machine) {
            self.fail("written down and read again it is another state");
        }
        let seen =
            Seen { now: self.now, machine: &self.machine, net: &self.net, clients: &self.clients };
        let Next::Ask(command) = self.draw.next(&seen) else { return };
        self.count("read again");
        read.resume(at(self.now));
        same.resume(at(self.now));
        let (stamp, request) = self.stamped(command);
        let (read, same) = (read.decide(stamp, &request), same.decide(stamp, &request));
        if read != same {
            self.fail(&format!("{request:?}\nread again it decides {read:?}\nnot {same:?}"));
        }
    }

    pub(super) fn stamped(&mut self, command: Command) -> (Stamp, Request) {
        // The entries of a batch take the numbers in between.
        self.fresh += 128;
        let bits = u128::try_from(self.now).unwrap() << 80 | 7 << 76 | 2 << 62;
        let id = RequestId::from_u128(bits | self.fresh);
        let mark = RequestMark { id, fingerprint: [0; 32] };
        (Stamp { now: at(self.now), fresh: self.fresh }, Request { mark, command })
    }

    fn retopo(&mut self, net: Net, accepted: bool) {
        let command = Command::ApplyTopology { spec: net.spec().into(), accept_losses: accepted };
        let (stamp, request) = self.stamped(command);
        self.story.line(self.now, &self.story.command(&request.command));
        match self.machine.decide(stamp, &request) {
            Ok(decision) => {
                // What is decided about is still the old one.
                let news = (net, &decision.events);
                self.count("topology");
                self.carry_out(&request, &decision, Some(news.0));
            }
            Err(Fault::LanesInUse { .. }) => self.count("lanes in use"),
            Err(fault) => self.fail(&format!("a topology is a fault: {fault}")),
        }
    }

    fn ask(&mut self, command: Command) {
        let (stamp, request) = self.stamped(command);
        let decided = self.machine.decide(stamp, &request);
        let told = decided.clone().map(|decision| decision.answer);
        let text = self.story.command(&request.command);
        self.story.line(self.now, &format!("{text} -> {}", self.story.answer(&told)));
        match decided {
            Ok(decision) => {
                self.look_at(&request, &decision);
                self.carry_out(&request, &decision, None);
            }
            Err(fault) => self.count(match fault {
                Fault::Invalid(_) => "invalid",
                Fault::LanesInUse { .. } => "lanes in use",
                _ => "fault",
            }),
        }
    }

    fn carry_out(&mut self, request: &Request, decision: &Decision, net: Option<Net>) {
        let stood = takes_capacity(request).then(|| self.floors());
        self.happen(&decision.events, (Some(request), net));
        if let Some(stood) = stood {
            self.floors_exceed(&stood, &decision.answer);
            // Who is lost may still send, and so may those who were given up before.
            self.tolerated = self.now + self.lease() + self.grace() + 1000;
        }
        self.note_refusals(request, &decision.answer);
        self.tell(request, &decision.answer);
        self.must(self.stands(&decision.answer));
    }

    fn note_refusals(&mut self, request: &Request, answer: &Answer) {
        let at = at(self.now);
        match answer {
            Answer::Refusal(refusal) => {
                self.machine.note(&Note::Refused {
                    mark: request.mark,
                    refusal: refusal.clone(),
                    at,
                });
            }
            Answer::Batch(answers) => {
                for (index, answer) in answers.iter().enumerate() {
                    if let Answer::Refusal(refusal) = answer {
                        let (mark, refusal) = (request.mark.entry(index), refusal.clone());
                        self.machine.note(&Note::Refused { mark, refusal, at });
                    }
                }
            }
            _ => {}
        }
    }

    /// Whoever asks hears the answer.
    fn tell(&mut self, request: &Request, answer: &Answer) {
        let by_holder = match &request.command {
            Command::Modify(modify) => modify.holder.is_some(),
            Command::Release(release) => release.holder.is_some(),
            Command::Reserve(_) | Command::ReserveAll(_) | Command::Confirm(_) => true,
            _ => false,
        };
        match answer {
            Answer::Session(made) if made.is_open() => {
                let mood = self.draw.mood();
                let who = made.id.as_u128();
                self.story.line(self.now, &format!("session {who} is {mood:?}"));
                self.clients.push(Client::new(made.id, mood, self.now));
            }
            Answer::Reservation(found) => {
                for client in self.clients.iter_mut().filter(|it| it.mood != Mood::Gone) {
                    if by_holder {
                        client.learn(found);
                    } else {
                        client.faithful.insert(found.id, false);
                    }
                }
            }
            Answer::Refusal(refusal) => {
                if let Some(held) = &refusal.held {
                    self.clients.iter_mut().for_each(|client| client.learn(held));
                }
            }
            Answer::Batch(answers) => answers.iter().for_each(|answer| self.tell(request, answer)),
            _ => {}
        }
    }

    /// What was told is what then stands.
    fn stands(&self, answer: &Answer) -> Result<(), String> {
        let same = match answer {
            Answer::Reservation(told) => self.machine.reservation(told.id) == Some(told),
            Answer::Session(told) => self.machine.session(told.id) == Some(told),
            Answer::Refusal(refusal) => {
                let held = refusal.held.as_deref();
                held.is_none_or(|held| self.machine.reservation(held.id) == Some(held))
            }
            Answer::Batch(answers) => {
                return answers.iter().try_for_each(|answer| self.stands(answer));
            }
            _ => true,
        };
        if same { Ok(()) } else { Err(format!("the answer is not what stands: {answer:?}")) }
    }

    /// Follows events, and looks at what stands then.
    pub(super) fn happen(&mut self, events: &[Event], why: (Option<&Request>, Option<Net>)) {
        for event in events {
            self.story.line(self.now, &format!("  {}", self.story.event(event)));
            let before = checks::about(event).and_then(|id| self.machine.reservation(id).cloned());
            self.promises.follow(event, before.as_ref());
            let applied = self.machine.apply(event).and_then(|()| self.replica.apply(event));
            self.must(applied.map_err(|corrupt| corrupt.to_string()));
            self.follow(event, before.as_ref(), why.0);
        }
        if events.is_empty() {
            return;
        }
        let lost = why.0.is_some_and(takes_capacity);
        if let Some(net) = why.1 {
            self.net = net;
        }
        self.look(events, lost);
        self.changes += 1;
        if self.changes.is_multiple_of(REREAD) {
            self.reread();
        }
    }
}

fn takes_capacity(request: &Request) -> bool {
    matches!(request.command, Command::ApplyTopology { .. } | Command::CreateMaintenance(_))
}

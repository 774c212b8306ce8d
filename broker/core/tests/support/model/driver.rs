//! Puts the same commands to the machine and to the model and compares everything they say.

use std::collections::BTreeMap;

use tidegate_core::audit::audit;
use tidegate_core::event::{Change, RequestMark};
use tidegate_core::{
    Answer, CloseWhy, Command, CounterOffer, Decision, Event, Fault, Limits, Machine, Modify, Note,
    Refusal, Request, Stamp,
};
use tidegate_policy::{Interval, RequestId, ReservationId, SessionId, Timestamp};

use super::generate::{Generator, Next, tight, usual};
use super::labels::{fault_label, label, offer_label};
use super::load::at;
use super::net::{LANES, Net, lane_name, lanes_by_name};
use super::oracle::{Expected, Oracle};
use super::rng::Rng;
use super::steps::Passed;

/// When the commands begin.
const BEGIN_MS: i64 = 1_767_225_600_000;
/// After how many commands everything is compared.
const FULL_CHECK: u64 = 1000;

/// What happened how often.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

/// What the commands are drawn from.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) seed: u64,
    /// The largest rate that a lane is declared with, in bits per second.
    pub(crate) scale: u64,
    /// Short windows and small bounds instead of the usual ones.
    pub(crate) tight: bool,
    /// Writes a machine down and reads it again, as a restart from a snapshot does.
    pub(crate) reread: fn(&Machine) -> Machine,
}

struct Driver {
    setting: Setting,
    machine: Machine,
    /// Sees the events and nothing else.
    replica: Machine,
    oracle: Oracle,
    generator: Generator,
    now: i64,
    fresh: u128,
    step: u64,
    counts: Counts,
}

/// Puts so many commands to both; panics at the first difference.
pub(crate) fn run(setting: Setting, commands: u64) -> Counts {
    let mut rng = Rng::new(setting.seed);
    let limits: Limits = if setting.tight { tight() } else { usual() };
    let net = Net::random(&mut rng, setting.scale);
    let machine = Machine::new(limits.clone());
    let mut driver = Driver {
        setting,
        replica: machine.clone(),
        machine,
        oracle: Oracle::new(limits, net.clone()),
        generator: Generator::new(rng, setting.scale),
        now: BEGIN_MS,
        fresh: 0,
        step: 0,
        counts: Counts::new(),
    };
    while driver.oracle.version == 0 {
        let first = driver.generator.first(driver.now, &net);
        driver.carry_out(first);
    }
    while driver.step < commands {
        driver.step += 1;
        driver.advance();
        let next = driver.generator.next(driver.now, &driver.oracle);
        driver.carry_out(next);
        // A hold that was shortened to nothing is over at once.
        if driver.due() {
            driver.compare_due();
        }
        if driver.step.is_multiple_of(FULL_CHECK) {
            driver.compare_all();
        }
    }
    driver.compare_all();
    driver.counts
}

impl Driver {
    fn fail(&self, what: &str) -> ! {
        let Setting { seed, scale, tight, .. } = self.setting;
        panic!(
            "seed {seed}, scale {scale}, tight {tight}, command {}: {what}\nrun it again with \
             MODEL_SEED={seed} cargo test -p tidegate-core --test model",
            self.step
        );
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn stamp(&mut self) -> Stamp {
        // The entries of a batch take the numbers in between.
        self.fresh += 128;
        Stamp { now: at(self.now), fresh: self.fresh }
    }

    fn follow(&mut self, event: &Event) {
        for machine in [&mut self.machine, &mut self.replica] {
            if let Err(corrupt) = machine.apply(event) {
                panic!("seed {}: {corrupt}", self.setting.seed);
            }
        }
    }

    fn advance(&mut self) {
        let pause = self.generator.pause();
        if pause == 0 {
            return;
        }
        self.now += pause;
        self.compare_due();
    }

    fn due(&self) -> bool {
        self.machine.next_due().is_some_and(|due| due <= at(self.now))
    }

    /// What time brings about must be the same in both.
    fn compare_due(&mut self) {
        let now = at(self.now);
        let announced = self.due();
        let mut happened = Passed::default();
        loop {
            let events = self.machine.due(now);
            if events.is_empty() {
                break;
            }
            for event in &events {
                self.collect(event, &mut happened);
                self.follow(event);
            }
        }
        let expected = self.oracle.pass(self.now);
        happened.closed.sort();
        happened.lost.sort();
        happened.metered.sort();
        happened.windows.sort();
        happened.forgotten.reservations.sort();
        happened.forgotten.sessions.sort();
        happened.forgotten.requests.sort();
        happened.forgotten.windows.sort();
        if happened != expected {
            self.fail(&format!("time brought about\n{happened:?}, not\n{expected:?}"));
        }
        if announced != (happened != Passed::default()) {
            self.fail("what was due and what was said to be due differ");
        }
    }

    fn collect(&mut self, event: &Event, into: &mut Passed) {
        match &event.change {
            Change::Closed { id, why, free_from, .. } => {
                into.closed.push((*id, why.to_string(), *free_from));
                self.count(match why {
                    CloseWhy::Completed => "completed",
                    CloseWhy::Expired => "expired",
                    CloseWhy::CapacityLost => "capacity lost later",
                    CloseWhy::NoShow => "no show",
                    _ => "session lost",
                });
            }
            Change::MaintenanceEnded { id } => {
                into.windows.push(*id);
                self.count("window over");
            }
            Change::SessionEnded { id, lost: true } => into.lost.push(*id),
            Change::Metered { used } => {
                into.metered.extend(used.iter().map(|(id, bytes)| (*id, bytes.bytes())));
                self.count("metered");
            }
            Change::Forgotten { reservations, sessions, requests, maintenances } => {
                into.forgotten.reservations.extend(reservations);
                into.forgotten.sessions.extend(sessions);
                into.forgotten.requests.extend(requests);
                into.forgotten.windows.extend(maintenances);
                self.count("forgotten");
            }
            other => self.fail(&format!("time brought about {other:?}")),
        }
    }

    fn carry_out(&mut self, next: Next) {
        match next {
            Next::Note(note) => {
                self.machine.note(&note);
                self.oracle.note(&note);
            }
            Next::Restart => {
                self.count("restart");
                self.machine = (self.setting.reread)(&self.replica);
                self.machine.resume(at(self.now));
                self.oracle.restart(self.now);
            }
            Next::Obey(session, id, version) => self.obey(session, id, version),
            Next::Ask(asked) => self.ask(&asked.0, asked.1.as_ref()),
        }
    }

    /// A holder says in a beat which plan it obeys.
    fn obey(&mut self, session: SessionId, id: ReservationId, version: u64) {
        let event = self.machine.settle(at(self.now), session, (id, version));
        let expected = self.oracle.settle(self.now, session, (id, version));
        if event.is_some() != expected {
            self.fail(&format!("obeying plan {version} of {id} settles {event:?}"));
        }
        if let Some(event) = event {
            self.count("settled");
            self.follow(&event);
            if self.machine.reservation(id) != self.oracle.reservations.get(&id) {
                self.fail(&format!("{event:?} left something else than the model has"));
            }
        }
    }

    fn ask(&mut self, request: &Request, net: Option<&Net>) {
        let stamp = self.stamp();
        let repeated = self.oracle.remembers(request.mark.id);
        let expected = self.oracle.carry_out((self.now, stamp.fresh), request, net);
        let decided = self.machine.decide(stamp, request);
        let said = match &decided {
            Ok(decision) => Expected::Answer(decision.answer.clone()),
            Err(Fault::Invalid(fields)) => {
                Expected::Fields(fields.iter().map(|fault| fault.field.clone()).collect())
            }
            Err(fault) => Expected::Fault(fault.clone()),
        };
        if said != expected {
            let machine = &self.machine;
            let load = machine.lanes(None).map(|(name, lane)| format!("{name} {lane:?}\n"));
            let load: String = load.collect();
            self.fail(&format!("{request:?}\nsaid {said:?}\nnot {expected:?}\n{load}"));
        }
        match decided {
            Ok(decision) => {
                self.decided(request, &decision);
                match (&decision.answer, &request.command) {
                    _ if repeated => {}
                    // Whoever lets the best offer be held has taken it.
                    (Answer::Refusal(refusal), _) if refusal.held.is_some() => {}
                    (Answer::Refusal(refusal), Command::Reserve(ask)) => {
                        self.take_offers(refusal, |offer| Command::Reserve(offer.ask(ask).into()));
                    }
                    (Answer::Refusal(refusal), Command::Modify(modify)) => {
                        self.take_offers(refusal, |offer| {
                            let rate = Some(offer.rate);
                            Command::Modify(Modify { rate, ..(**modify).clone() }.into())
                        });
                    }
                    _ => {}
                }
            }
            Err(fault) => self.count(fault_label(&fault)),
        }
    }

    fn decided(&mut self, request: &Request, decision: &Decision) {
        for event in &decision.events {
            self.follow(event);
            match &event.change {
                Change::Curtailed { .. } => self.count("curtailed"),
                Change::Closed { why: CloseWhy::CapacityLost, .. } => self.count("capacity lost"),
                _ => {}
            }
        }
        let changed = !decision.events.is_empty();
        self.count(label(&decision.answer, changed));
        match &decision.answer {
            Answer::Reservation(made) if changed => {
                self.generator.learn((Some(made.id), None));
                self.never_over();
            }
            Answer::Topology { .. } | Answer::Maintenance { .. } if changed => {
                if let Answer::Maintenance { maintenance, .. } = &decision.answer {
                    self.generator.learn_window(maintenance.id);
                }
                self.never_over();
            }
            Answer::Session(made) if changed => self.generator.learn((None, Some(made.id))),
            Answer::Refusal(refusal) => {
                if changed && let Some(held) = &refusal.held {
                    self.generator.learn((Some(held.id), None));
                    self.never_over();
                }
                self.note_refusal(request.mark, refusal);
            }
            Answer::Batch(answers) => {
                for (index, answer) in answers.iter().enumerate() {
                    match answer {
                        Answer::Reservation(made) => self.generator.learn((Some(made.id), None)),
                        Answer::Refusal(refusal) => {
                            self.note_refusal(request.mark.entry(index), refusal);
                        }
                        other => self.fail(&format!("a batch is answered {other:?}")),
                    }
                }
                self.never_over();
            }
            _ => {}
        }
        self.compare_touched(decision);
    }

    fn note_refusal(&mut self, mark: RequestMark, refusal: &Refusal) {
        let (refusal, at) = (refusal.clone().into(), at(self.now));
        self.machine.note(&Note::Refused { mark, refusal, at });
    }

    /// No lane has promised more than it can carry, at any instant to come.
    fn never_over(&self) {
        let load = self.oracle.promises(self.now);
        for lane in 0..LANES {
            let capacity = u128::from(self.oracle.net.capacity(lane).unwrap_or(0));
            if capacity < load.peak_with_cuts(lane, self.now, i64::MAX) {
                self.fail(&format!("{} is overbooked", lane_name(lane)));
            }
        }
    }

    /// Every offer, asked for at once, is granted as it was offered.
    fn take_offers(&mut self, refusal: &Refusal, taken: impl Fn(&CounterOffer) -> Command) {
        for offer in &refusal.offers {
            let stamp = self.stamp();
            let bits = u128::try_from(self.now).unwrap() << 80 | 7 << 76 | 3 << 62 | stamp.fresh;
            let mark = RequestMark { id: RequestId::from_u128(bits), fingerprint: [1; 32] };
            let command = taken(offer);
            let decided = self.machine.decide(stamp, &Request { mark, command });
            let Ok(decision) = decided else {
                self.fail(&format!("{offer:?}: taken at once it is a fault: {decided:?}"))
            };
            if !granted_as_offered(&decision.answer, offer, at(self.now)) {
                self.fail(&format!("{offer:?}: taken at once: {:?}", decision.answer));
            }
            self.count(offer_label(offer.kind));
            if self.fresh.is_multiple_of(64 * 128) {
                self.carry_further(&decision);
            }
        }
    }

    /// What would stand if the offer were taken is sound too.
    fn carry_further(&self, decision: &Decision) {
        let mut aside = self.machine.clone();
        for event in &decision.events {
            aside.apply(event).unwrap();
        }
        let faults = audit(&aside, at(self.now));
        if !faults.is_empty() {
            self.fail(&format!("after an offer was taken: {faults:?}"));
        }
    }

    /// What the events touched stands as the model has it.
    fn compare_touched(&self, decision: &Decision) {
        for event in &decision.events {
            let same = match &event.change {
                Change::Closed { id, .. }
                | Change::Confirmed { id }
                | Change::Curtailed { id, .. }
                | Change::HoldExtended { id, .. } => {
                    self.machine.reservation(*id) == self.oracle.reservations.get(id)
                }
                Change::Modified(modified) => {
                    let id = modified.id;
                    self.machine.reservation(id) == self.oracle.reservations.get(&id)
                }
                Change::SessionEnded { id, .. } | Change::SessionOpened { id, .. } => {
                    self.machine.session(*id) == self.oracle.sessions.get(id)
                }
                _ => true,
            };
            if !same {
                self.fail(&format!("{event:?} left something else than the model has"));
            }
        }
    }

    fn compare_all(&mut self) {
        let now = at(self.now);
        let faults = audit(&self.machine, now);
        if !faults.is_empty() {
            self.fail(&faults.join("; "));
        }
        if !self.machine.same_ledger(&self.replica) {
            self.fail("the events lead to another state");
        }
        if !(self.setting.reread)(&self.machine).same_ledger(&self.replica) {
            self.fail("written down and read again it is another state");
        }
        if !self.machine.reservations(None).eq(self.oracle.reservations.values()) {
            self.fail("the reservations differ");
        }
        let open = self.oracle.windows.values().filter(|window| window.ended.is_none());
        if !self.machine.maintenances(None).eq(open) {
            self.fail("the maintenance windows differ");
        }
        if !self.machine.drained().eq(&self.oracle.drained) {
            self.fail("what is drained differs");
        }
        if self.machine.topology_version() != self.oracle.version {
            self.fail("the topologies differ");
        }
        let lanes = lanes_by_name().into_iter();
        let lanes: Vec<_> = lanes
            .filter_map(|lane| Some((lane_name(lane), self.oracle.net.capacity(lane)?)))
            .collect();
        let stand = self.machine.lanes(None).map(|(name, lane)| (name.clone(), lane.capacity()));
        if !stand.eq(lanes) {
            self.fail("the lanes differ");
        }
        self.compare_levels();
        self.never_over();
    }

    fn compare_levels(&self) {
        let load = self.oracle.load(self.now);
        let instants: Vec<i64> = (0..60).map(|index| self.now + 2500 * index).collect();
        for lane in lanes_by_name() {
            for instant in &instants {
                let over = Interval::new(at(*instant), at(instant + 1)).unwrap();
                let level = u128::from(self.machine.peak(&lane_name(lane), over));
                if level != load.peak(lane, *instant, instant + 1) {
                    self.fail(&format!("{}: {level} bit/s at {instant}", lane_name(lane)));
                }
            }
        }
    }
}

fn granted_as_offered(answer: &Answer, offer: &CounterOffer, now: Timestamp) -> bool {
    let Answer::Reservation(made) = answer else { return false };
    // Of one that has begun and is changed, what is left is offered.
    (made.rate(), made.from.max(now), made.interval.end())
        == (offer.rate, offer.interval.start(), offer.interval.end())
        && made.plan.route() == Some(&offer.route)
}

//! A replay: requests come, time passes, agents send, and the core decides, all in virtual time.
//!
//! The machine is the one that the broker runs, asked as the broker asks it: what is due is applied
//! before anything is decided, and events are applied as they are decided.

use std::collections::BTreeMap;

use anyhow::anyhow;
use tidegate_client::clock::BootTime;
use tidegate_core::TopologySpec;
use tidegate_core::event::{Change, Event, RequestMark};
use tidegate_core::{
    Answer, Ask, Command, Decision, Fault, Limits, Machine, Note, Refusal, Release, Request, Stamp,
};
use tidegate_core::{
    CloseWhy, CounterOffer, Edit, Moved, Plan, PolicyAsk, Reservation, Reserved, Standing,
};
use tidegate_policy::{Interval, Project, RequestId, ReservationId, SessionId, Span, Timestamp};

use super::agents::{Agents, Piece};
use super::formats::faults::LinkFault;
use super::formats::line::Id;
use super::formats::requests;
use super::formats::truth::Truth;
use super::ledger::Ledger;
use super::tally::{Counts, Fate, reason, used};
use super::world::with_fault;
use crate::arguments::PlanName;

/// After so long without a byte a grant is taken back: what the study of such requests gave them.
const GRACE: Span = Span::from_secs(1200);
/// Agents beat this often.
const BEAT: Span = Span::from_secs(30);

/// What is replayed, and how.
pub(super) struct Setup<'a> {
    pub(super) spec: &'a TopologySpec,
    /// Who may have how much, all projects that requests name included.
    pub(super) projects: &'a [Project],
    /// In the order of their arrival.
    pub(super) requests: &'a [requests::Request],
    /// In the order of their times.
    pub(super) faults: &'a [LinkFault],
    pub(super) truth: &'a BTreeMap<Id, Truth>,
    pub(super) plan: PlanName,
    /// Agents report what they moved, and give back what they do not need.
    pub(super) reclaim: bool,
    /// Whether the priorities of requests count.
    pub(super) priorities: bool,
    /// How much more than a volume its plans book, in parts per million.
    pub(super) margin_ppm: u32,
}

/// What came of it.
pub(super) struct Replayed {
    pub(super) fates: Vec<Fate>,
    pub(super) counts: Counts,
    /// Bits per second beyond what lanes can carry, times milliseconds.
    pub(super) overbooked: u128,
    /// What lanes carried.
    pub(super) ledger: Ledger,
}

struct Run<'a> {
    setup: &'a Setup<'a>,
    machine: Machine,
    session: SessionId,
    now: Timestamp,
    /// Until when everything is over, by what was asked.
    end: Timestamp,
    beat: Timestamp,
    spec: TopologySpec,
    agents: Agents,
    ledger: Ledger,
    fates: Vec<Fate>,
    /// Which request a live reservation is for.
    live: BTreeMap<ReservationId, usize>,
    counts: Counts,
    arrived: usize,
    failed: usize,
    made: u64,
}

/// Replays it all.
pub(super) fn replay(setup: &Setup<'_>) -> anyhow::Result<Replayed> {
    let mut run = Run::new(setup)?;
    while let Some(at) = run.next() {
        run.pass(at)?;
    }
    let overbooked = run.ledger.overbooked(run.now.max(run.end));
    for (agent, fate) in run.fates.iter_mut().enumerate() {
        fate.work = run.agents.work(agent);
    }
    Ok(Replayed { fates: run.fates, counts: run.counts, overbooked, ledger: run.ledger })
}

/// Bounds that are not in the way: what is replayed has bounds of its own.
fn limits(margin_ppm: u32) -> Limits {
    Limits {
        margin_ppm,
        reservations_max: usize::MAX,
        per_session_max: usize::MAX,
        horizon: Span::MAX,
        no_show_grace: GRACE,
        ..Limits::default()
    }
}

impl<'a> Run<'a> {
    fn new(setup: &'a Setup<'a>) -> anyhow::Result<Self> {
        let first = setup.requests.first().map_or(Timestamp::EPOCH, |request| request.arrive);
        let end = setup.requests.iter().map(|request| request.window().end()).max();
        let end = end.unwrap_or(first);
        let over =
            Interval::new(first, end).ok_or_else(|| anyhow!("there is nothing to replay"))?;
        let machine = Machine::new(limits(setup.margin_ppm));
        let ledger = Ledger::new(over);
        let truth = |id: &Id| setup.truth.get(id).copied().unwrap_or(Truth::AS_ASKED);
        let fates = setup.requests.iter().map(|request| Fate {
            request: request.clone(),
            truth: truth(&request.id),
            granted: false,
            closed: None,
            work: super::agents::Work::default(),
        });
        let mut run = Self {
            setup,
            machine,
            session: SessionId::from_u128(0),
            now: first,
            end,
            beat: first,
            spec: setup.spec.clone(),
            agents: Agents::new(setup.requests.len()),
            ledger,
            fates: fates.collect(),
            live: BTreeMap::new(),
            counts: Counts::default(),
            arrived: 0,
            failed: 0,
            made: 0,
        };
        run.put_in_force()?;
        let (put, whole) = (setup.projects.to_vec(), true);
        let projects = Edit { put, whole, gone: Vec::new() };
        let policy = PolicyAsk { projects, ..PolicyAsk::default() };
        run.ask(Command::ApplyPolicy(policy.into()))?;
        let agent = "simulate".parse().map_err(|error| anyhow!("{error}"))?;
        match run.ask(Command::OpenSession(agent))? {
            Answer::Session(session) => run.session = session.id,
            other => return Err(anyhow!("a session was answered with {other:?}")),
        }
        Ok(run)
    }

    /// When something happens next; `None` once all is over.
    fn next(&self) -> Option<Timestamp> {
        let arrival = self.setup.requests.get(self.arrived).map(|request| request.arrive);
        if arrival.is_none() && self.live.is_empty() {
            return None;
        }
        let fault = self.setup.faults.get(self.failed).map(|fault| fault.at);
        let beat = (!self.live.is_empty()).then_some(self.beat.plus(BEAT));
        let next = [arrival, fault, beat, self.agents.next(), self.machine.next_due()];
        next.into_iter().flatten().min().map(|at| at.max(self.now))
    }

    /// Lets time pass until then, and does what is to be done.
    fn pass(&mut self, at: Timestamp) -> anyhow::Result<()> {
        self.now = at;
        let done = self.agents.advance(at, &mut self.ledger);
        self.machine.note(&Note::Heard { session: self.session, at });
        let beats = self.beat.plus(BEAT) <= at;
        if beats {
            self.beat = at;
        }
        if self.setup.reclaim {
            // Whoever is done says so at once, whoever is not with the next beat.
            self.report(|agent| beats || done.contains(&agent));
        }
        self.settle()?;
        if self.setup.reclaim {
            self.give_back(&done)?;
        }
        while let Some(fault) = self.setup.faults.get(self.failed).filter(|it| it.at <= at) {
            self.failed += 1;
            self.spec = with_fault(std::mem::take(&mut self.spec), fault.link, fault.capacity);
            self.put_in_force()?;
        }
        while self.setup.requests.get(self.arrived).is_some_and(|it| it.arrive <= at) {
            self.arrived += 1;
            self.request(self.arrived - 1)?;
        }
        Ok(())
    }

    /// Applies whatever time has brought about.
    fn settle(&mut self) -> anyhow::Result<()> {
        loop {
            let due = self.machine.due(self.now);
            if due.is_empty() {
                return Ok(());
            }
            self.follow(&due)?;
        }
    }

    /// Reports of everybody who has sent anything: a no-show's agent is silent about it.
    fn report(&mut self, who: impl Fn(usize) -> bool) {
        for (reservation, agent) in self.live.iter().filter(|(_, agent)| who(**agent)) {
            let shows = self.fates.get(*agent).is_some_and(|fate| !fate.truth.no_show);
            let bytes = self.agents.count(*agent, self.now);
            if shows && bytes.bytes() != 0 {
                let (session, reservation, at) = (self.session, *reservation, self.now);
                self.machine.note(&Note::Used { session, reservation, bytes, at });
            }
        }
    }

    /// Those who have moved all that they need give the rest back.
    fn give_back(&mut self, done: &[usize]) -> anyhow::Result<()> {
        for agent in done {
            let mut live = self.live.iter().filter(|(_, of)| *of == agent);
            let Some(id) = live.next().map(|(id, _)| *id) else { continue };
            let used = self.agents.count(*agent, self.now);
            let holder = Some(self.session);
            self.ask(Command::Release(Release { target: id.into(), holder, used }))?;
        }
        Ok(())
    }

    fn put_in_force(&mut self) -> anyhow::Result<()> {
        let spec = Box::new(self.spec.clone());
        self.ask(Command::ApplyTopology { spec, accept_losses: true })?;
        let lanes = self.machine.topology().lanes.iter();
        self.ledger.limit(self.now, lanes.map(|(name, def)| (name, def.capacity)));
        Ok(())
    }

    /// Asks for one request, and takes the best offer of a refusal on trial.
    fn request(&mut self, agent: usize) -> anyhow::Result<()> {
        let Some(request) = self.setup.requests.get(agent) else { return Ok(()) };
        let standing = match self.setup.priorities {
            true => Standing {
                priority: request.priority,
                preemptible: request.priority == 0,
                ..Standing::default()
            },
            false => Standing::default(),
        };
        let ask = self.setup.plan.ask(request, self.session, standing);
        let (stamp, asked) = self.asked(Command::Reserve(Box::new(ask.clone())));
        let before = BootTime::now();
        let decided = self.machine.decide(stamp, &asked);
        let took = BootTime::now().since(before).as_nanos();
        self.counts.decisions_ns.push(u64::try_from(took).unwrap_or(u64::MAX));
        let Decision { events, answer, .. } =
            decided.map_err(|fault| anyhow!("request {}: {fault}", request.id))?;
        match answer {
            Answer::Reservation(granted) => {
                self.live.insert(granted.id, agent);
                let moved = |event: &Event| matches!(event.change, Change::Moved(_));
                self.counts.replans += u64::from(events.iter().any(moved));
                self.follow(&events)
            }
            Answer::Refusal(refusal) => {
                *self.counts.refusals.entry(reason(refusal.reason)).or_default() += 1;
                self.follow(&events)?;
                self.take_on_trial(&ask, &refusal);
                Ok(())
            }
            other => Err(anyhow!("request {} was answered with {other:?}", request.id)),
        }
    }

    /// Whether the best offer would be granted if it were asked for at once, just as it was
    /// offered. To decide changes nothing.
    fn take_on_trial(&mut self, ask: &Ask, refusal: &Refusal) {
        let Some(offer) = refusal.offers.first() else {
            self.counts.without_offer += 1;
            return;
        };
        self.counts.offers_tried += 1;
        let (stamp, asked) = self.asked(Command::Reserve(Box::new(offer.ask(ask))));
        let taken = self.machine.decide(stamp, &asked);
        if let Ok(Decision { answer: Answer::Reservation(held), .. }) = taken
            && is_as_offered(&held, offer)
        {
            self.counts.offers_held += 1;
        }
    }

    /// A command as it is asked: with the time, and names that nothing else has.
    fn asked(&mut self, command: Command) -> (Stamp, Request) {
        self.made += 1;
        // A UUIDv7: the time, its version and variant, a number.
        let ms = u128::try_from(self.now.as_ms()).unwrap_or(0);
        let fresh = ms << 80 | 7 << 76 | 2 << 62 | u128::from(self.made);
        let mark = RequestMark { id: RequestId::from_u128(fresh), fingerprint: [0; 32] };
        (Stamp { now: self.now, fresh }, Request { mark, command })
    }

    /// Asks for something that is no request of the file, and follows what is decided.
    fn ask(&mut self, command: Command) -> anyhow::Result<Answer> {
        let (stamp, asked) = self.asked(command);
        let decided = self.machine.decide(stamp, &asked);
        let Decision { events, answer, .. } = decided.map_err(|fault: Fault| anyhow!("{fault}"))?;
        self.follow(&events)?;
        Ok(answer)
    }

    fn follow(&mut self, events: &[Event]) -> anyhow::Result<()> {
        for event in events {
            self.machine.apply(event).map_err(|corrupt| anyhow!("{corrupt}"))?;
            match &event.change {
                Change::Reserved(reserved) => self.granted(reserved),
                Change::Closed { id, why, .. } => self.closed(*id, *why),
                Change::Curtailed { id, end, .. } => self.curtailed(*id, *end),
                Change::Moved(moved) => self.moved(moved),
                _ => {}
            }
        }
        Ok(())
    }

    fn granted(&mut self, reserved: &Reserved) {
        let Some(agent) = self.live.get(&reserved.id).copied() else { return };
        let Some(fate) = self.fates.get_mut(agent) else { return };
        fate.granted = true;
        let all = fate.request.millibits();
        let wants = (!fate.truth.no_show).then(|| used(all, fate.truth.used_ppm));
        let pieces = self.pieces(&reserved.plan);
        self.agents.start(agent, wants.filter(|_| self.setup.reclaim), pieces);
    }

    /// What a plan lets its agent do.
    fn pieces(&mut self, plan: &Plan) -> Vec<Piece> {
        let (ledger, now) = (&mut self.ledger, self.now);
        let piece = |segment: &tidegate_core::Segment| {
            let lanes = plan.ways.get(segment.way).map_or(&[][..], |way| &way.lanes);
            let amounts = lanes.iter().zip(&segment.amounts);
            let loads = amounts.map(|(lane, amount)| (ledger.lane(lane, now), *amount)).collect();
            Piece { over: segment.over, bps: segment.rate.bps(), loads }
        };
        plan.segments.iter().map(piece).collect()
    }

    fn moved(&mut self, moved: &Moved) {
        self.counts.moved += 1;
        let Some(agent) = self.live.get(&moved.id).copied() else { return };
        let pieces = self.pieces(&moved.plan);
        self.agents.replace(agent, (self.now, moved.from), pieces, &mut self.ledger);
    }

    fn closed(&mut self, id: ReservationId, why: CloseWhy) {
        let Some(agent) = self.live.remove(&id) else { return };
        self.agents.close(agent, self.now, &mut self.ledger);
        if let Some(fate) = self.fates.get_mut(agent) {
            fate.closed = Some((why, self.now));
        }
    }

    fn curtailed(&mut self, id: ReservationId, end: Timestamp) {
        let Some(agent) = self.live.get(&id).copied() else { return };
        self.agents.replace(agent, (self.now, end), Vec::new(), &mut self.ledger);
    }
}

/// Whether what was granted is what was offered. A volume is whatever its plan is: what counts is
/// that as much is promised by then.
fn is_as_offered(held: &Reservation, offer: &CounterOffer) -> bool {
    let Some(offered) = offer.volume else {
        let (rate, over) = (offer.rate, offer.interval);
        return (held.rate(), held.interval, held.plan.route()) == (rate, over, Some(&offer.route));
    };
    let promised = held.promise.as_ref().map(|promise| &promise.what);
    promised.is_some_and(|what| {
        (what.volume(), what.window().end()) == (Some(offered), offer.interval.end())
    })
}

//! The world of a story: a machine, a clock, names for identifiers, and a replica that only sees
//! the events.
//!
//! Topology, in a draft until `apply`: `switch A B`, `host H at S 10Gbit`, `link L S1 S2 1Gbit`,
//! `storage P at S read 1Gbit write 1Gbit`, `route FROM -> TO LINK,LINK`,
//! `steer FROM -> TO dscp|vlan|source|controller VALUE,VALUE paths N`, `remove KIND NAME`;
//! options `raw`, `cost N`, `total RATE`, `overhead PPM`, `reserved PPM`, `mtu N`, `via H,H`,
//! `ratio PPM`, `bundle N`, `share PPM`, `streams N`, `mirrors P,P`, `tier T`.
//! A second `host` line of the same name adds a NIC, unless the name stands in the topology.
//! `raw` lanes carry what they say: nothing is reserved, no headers are counted.
//!
//! Requests: `reserve SOURCES -> DESTINATION RATE START..END` (or `START+SPAN`; `now` as start),
//! or `RATE..RATE SPAN in START..END`, or `volume SIZE by T [start T] [min-rate R] [max-rate R]
//! [split]`; or `reserve lanes L,L` and one of these; several sources with commas, `P*N` is one
//! that is named so often. Options: `hold SPAN`, `session S`, `via H,H`, `path N`, `shared`,
//! `streams N`, `hold-best`, `movable`, `priority N`, `preemptible`.
//! A batch: `each`, `all-of`, `any-of`, `in-order` or `in-order gapless`, perhaps `weeks N`, then
//! requests with ` ; ` in between.
//! `confirm A`, `extend A SPAN`, `modify A [rate R] [start T] [end T]`, of a transfer
//! `[volume SIZE] [max-rate R] [deadline T]`, `release A [used SIZE]`, each with `by S` (as its
//! holder; a change also `obeying PLAN`) and `etag N`; `open S`, `close S`, `take N` (an offer of
//! the last refusal, or `take 1`: of what is offered to one that was preempted).
//! `made -11m REQUEST` gives it an id made then, `again` repeats the last request, and
//! `again REQUEST` asks something else under its id.
//!
//! The network over time: `apply accepting losses`, `drain RESOURCE`, `undrain RESOURCE`,
//! `maintain RESOURCE FROM..TO PPM [accepting losses]` (PPM is what is left), `cancel W`,
//! `windows`, `lane LANE FROM..TO` (what is free, step by step), `paths SOURCE -> DESTINATION
//! [via H,H]`.
//!
//! `policy` and projects with their quotas and classes (`projects.rs` has the words), `projects`, `classes`
//! and `rules` (all of them), `loans P` (who borrows from whom),
//! `rehearse policy ...` (what a change would have decided otherwise of all that was asked); a request is `for PROJECT`, or for `default`, perhaps `as PRINCIPAL`,
//! `class CLASS` and `label KEY=VALUE`.
//!
//! Live rates: `live S A` (a beat that says which live rate it obeys, and hears the next one), `live S A
//! deaf` (it does not hear the answer), `afloat LANE`.
//!
//! Bounds: `limit moves N`, `limit segments N`, before anything else; `observe` is a world in which
//! nothing is refused.
//!
//! Time and sight: `at T [beating S,S]` (they are heard every 10 s until then), `restart T` (a
//! process that was away until then replays and resumes), `beat S`, `obey S A VERSION`, `used S A
//! SIZE`, `free LANE T` or `T..T`, `show A`, `usage A`, `ls`, `sessions`, `moving`, `counts`,
//! `explain REQUEST`, `when` and the request (its windows).

mod draft;
mod live;
mod look;
mod names;
mod plan;
mod print;
mod projects;
mod request;
mod shape;

use std::collections::BTreeMap;

use tidegate_core::audit::audit;
use tidegate_core::lane::Lane;
use tidegate_core::rehearsal::Asked;
use tidegate_core::{
    Answer, Ask, Command, CounterOffer, Event, Limits, Machine, Note, Obeyed, Promised, Request,
    Reservation, SessionState, Stamp, State,
};
use tidegate_core::{TopologySpec, event::RequestMark};
use tidegate_policy::{MaintenanceId, RequestId, ReservationId, SessionId, Timestamp};

use print::instant;

/// When every story begins: the start of a year.
const BEGIN_MS: i64 = 1_767_225_600_000;

/// How often sessions are heard that beat.
const BEAT_MS: i64 = 10_000;

/// More events than any story brings about at once.
const EVENTS_MAX: usize = 10_000;

pub(crate) struct World {
    /// Where in which story this is, for failures.
    pub(crate) place: String,
    machine: Machine,
    /// Sees the events and nothing else.
    replica: Machine,
    log: Vec<Event>,
    now: Timestamp,
    draft: TopologySpec,
    reservations: BTreeMap<String, ReservationId>,
    sessions: BTreeMap<String, SessionId>,
    windows: BTreeMap<String, MaintenanceId>,
    /// What identifiers are called here.
    names: Vec<(String, String)>,
    last: Option<Request>,
    /// All that was asked.
    asked: Vec<Asked>,
    offers: Option<(Ask, Vec<CounterOffer>)>,
    serial: u32,
    /// The live rate that each holder obeys.
    obeyed: BTreeMap<ReservationId, Obeyed>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::within(Limits::default())
    }

    fn within(limits: Limits) -> Self {
        let machine = Machine::new(limits);
        Self {
            place: String::new(),
            replica: machine.clone(),
            machine,
            log: Vec::new(),
            now: Timestamp::from_ms(BEGIN_MS).unwrap(),
            draft: TopologySpec::default(),
            reservations: BTreeMap::new(),
            sessions: BTreeMap::new(),
            windows: BTreeMap::new(),
            // What an explanation calls what it would make.
            names: vec![(ReservationId::from_u128(0).to_string(), "it".into())],
            last: None,
            asked: Vec::new(),
            offers: None,
            serial: 0,
            obeyed: BTreeMap::new(),
        }
    }

    /// Carries one command out and returns what it answers.
    pub(crate) fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut out = match words.as_slice() {
            ["switch" | "host" | "link" | "storage" | "route" | "steer" | "remove", ..] => {
                draft::declare(&mut self.draft, &self.machine.topology().spec, &words);
                String::new()
            }
            ["apply"] => self.apply_draft(false),
            ["apply", "accepting", "losses"] => self.apply_draft(true),
            ["paths", source, "->", destination, rest @ ..] => {
                self.paths((source, destination), rest)
            }
            ["windows"] => self.machine.maintenances(None).map(|it| self.window(it)).collect(),
            ["lane", lane, over] => self.lane_steps(lane, over),
            ["observe"] => self.observing(),
            ["limit", what, most] => self.limit(what, most.parse().unwrap()),
            ["at", time] => self.walk_to(shape::time(time)),
            ["at", time, "beating", sessions] => self.walk_beating(shape::time(time), sessions),
            ["restart", time] => self.restart(shape::time(time)),
            ["beat", session] => {
                let note = Note::Heard { session: self.session(session), at: self.now };
                self.machine.note(&note);
                String::new()
            }
            ["used", session, id, bytes] => {
                let session = self.session(session);
                let (reservation, bytes) = (self.reservation(id), bytes.parse().unwrap());
                self.machine.note(&Note::Used { session, reservation, bytes, at: self.now });
                String::new()
            }
            ["obey", session, id, version] => self.obey(session, id, version.parse().unwrap()),
            ["live", session, id, rest @ ..] => self.live(session, id, rest == ["deaf"]),
            ["afloat", lane] => self.afloat(lane),
            ["usage", id] => {
                let id = self.reservation(id);
                format!("{}\n", self.machine.used(id))
            }
            ["explain", rest @ ..] => self.explain(rest),
            ["when", rest @ ..] => self.when(rest),
            ["free", lane, over] => self.free(lane, over),
            ["show", id] => {
                let known = self.reservation(id);
                match self.machine.reservation(known) {
                    Some(found) => self.full(found),
                    None => format!("{id} is not remembered\n"),
                }
            }
            ["ls"] => self.machine.reservations(None).map(|found| self.line(found)).collect(),
            ["sessions"] => self.sessions.values().map(|id| self.session_line(*id)).collect(),
            ["moving"] => self.moving(),
            ["counts"] => self.counts(),
            ["projects"] => self.projects(),
            ["classes"] => self.classes(),
            ["rules"] => self.rules(),
            ["rehearse", "policy", rest @ ..] => self.rehearse(rest),
            ["loans", project] => self.loans(project),
            _ => self.request(&words),
        };
        out.push_str(&self.pass());
        self.check();
        out
    }

    /// A beat of a session that says which plan of a reservation it obeys.
    fn obey(&mut self, session: &str, id: &str, version: u64) -> String {
        let session = self.session(session);
        let id = self.reservation(id);
        self.machine.note(&Note::Heard { session, at: self.now });
        let Some(event) = self.machine.settle(self.now, session, (id, version)) else {
            return String::new();
        };
        let line = self.event_line(&event);
        self.follow(&event);
        line
    }

    fn fail(&self, why: &str) -> ! {
        panic!("{}: {why}", self.place)
    }

    fn apply_draft(&mut self, accept_losses: bool) -> String {
        let spec = self.draft.clone();
        let out = self.submit(Command::ApplyTopology { spec: spec.into(), accept_losses }, None);
        self.draft = self.machine.topology().spec.clone();
        out
    }

    /// Moves the clock, stopping wherever something is due.
    fn walk_to(&mut self, target: Timestamp) -> String {
        assert!(self.now <= target, "{}: time does not go back", self.place);
        let mut out = String::new();
        while let Some(due) = self.machine.next_due().filter(|due| *due <= target) {
            self.now = self.now.max(due);
            let happened = self.pass();
            if happened.is_empty() {
                self.fail("something is said to be due, and nothing happens");
            }
            out.push_str(&happened);
        }
        self.now = target;
        out
    }

    /// The same, while some sessions are heard every now and then.
    fn walk_beating(&mut self, target: Timestamp, sessions: &str) -> String {
        let mut out = String::new();
        while self.now < target {
            let next = Timestamp::from_ms(self.now.as_ms() + BEAT_MS).unwrap();
            out.push_str(&self.walk_to(next.min(target)));
            for session in sessions.split(',') {
                let note = Note::Heard { session: self.session(session), at: self.now };
                self.machine.note(&note);
            }
        }
        out
    }

    /// A world in which nothing is refused.
    fn observing(&mut self) -> String {
        let limits = Limits { observe: true, ..self.machine.limits().clone() };
        let place = std::mem::take(&mut self.place);
        *self = Self { place, ..Self::within(limits) };
        String::new()
    }

    /// A world with another bound.
    fn limit(&mut self, what: &str, most: usize) -> String {
        assert!(self.log.is_empty(), "{}: limits come first", self.place);
        let mut limits = self.machine.limits().clone();
        match what {
            "moves" => limits.moves_max = most,
            "segments" => limits.segments_max = most,
            _ => self.fail("limit moves or segments"),
        }
        let place = std::mem::take(&mut self.place);
        *self = Self { place, ..Self::within(limits) };
        String::new()
    }

    /// Applies what is due now.
    fn pass(&mut self) -> String {
        let mut out = String::new();
        for _ in 0..EVENTS_MAX {
            let events = self.machine.due(self.now);
            if events.is_empty() {
                return out;
            }
            for event in &events {
                out.push_str(&self.event_line(event));
                self.follow(event);
            }
        }
        self.fail("the same things are due for ever")
    }

    fn follow(&mut self, event: &Event) {
        self.log.push(event.clone());
        for machine in [&mut self.machine, &mut self.replica] {
            if let Err(corrupt) = machine.apply(event) {
                panic!("{}: {corrupt}", self.place);
            }
        }
    }

    fn restart(&mut self, time: Timestamp) -> String {
        let mut fresh = Machine::new(self.machine.limits().clone());
        for event in &self.log {
            fresh.apply(event).unwrap();
        }
        if !fresh.same_ledger(&self.machine) {
            self.fail("a replay of the journal ends in another state");
        }
        fresh.resume(time);
        self.machine = fresh;
        self.now = time;
        format!("replayed {} events\n", self.log.len())
    }

    /// Decides a request at once and carries it out, under a given id or a new one made now.
    fn submit(&mut self, command: Command, id: Option<RequestId>) -> String {
        let fingerprint = request::fingerprint(&command);
        let id = id.unwrap_or_else(|| self.request_id(self.now));
        let request = Request { mark: RequestMark { id, fingerprint }, command };
        self.last = Some(request.clone());
        self.resubmit(&request)
    }

    fn resubmit(&mut self, request: &Request) -> String {
        self.serial += 1;
        // The entries of a batch take the numbers in between.
        let stamp = Stamp { now: self.now, fresh: u128::from(self.serial) << 8 };
        self.asked.push(Asked { stamp, request: request.clone() });
        let decision = match self.machine.decide(stamp, request) {
            Ok(decision) => decision,
            Err(fault) => return format!("fault: {}\n", self.tame(&fault.to_string())),
        };
        self.name(&decision.answer, &request.command);
        self.machine.note(&Note::Ruled(decision.hits.clone()));
        let mut out = String::new();
        for event in &decision.events {
            self.follow(event);
        }
        for event in decision.events.iter().rev().skip(1).rev() {
            out.push_str(&self.event_line(event));
        }
        self.check_answer(&decision.answer);
        self.note_refusals(&decision.answer, request);
        let instead = decision.events.iter().find_map(|event| self.offered_instead(event));
        self.offers = instead.map(|(ask, offer)| (ask, vec![offer])).or(self.offers.take());
        out.push_str(&self.answer(&decision.answer));
        if let Answer::Refusal(refusal) = &decision.answer
            && self.machine.claim(self.now, request, refusal)
        {
            out.push_str("live rates give way\n");
        }
        out.push_str(&self.news());
        out
    }

    /// Remembers refusals as a writer does, and the offers of the last one.
    fn note_refusals(&mut self, answer: &Answer, request: &Request) {
        let refused: Vec<(RequestMark, &Answer, Option<&Ask>)> = match (answer, &request.command) {
            (Answer::Batch(answers), Command::ReserveAll(batch)) => {
                let entries = answers.iter().zip(&batch.asks).enumerate();
                let entry = |(index, (answer, ask))| (request.mark.entry(index), answer, Some(ask));
                entries.map(entry).collect()
            }
            (answer, Command::Reserve(ask)) => vec![(request.mark, answer, Some(ask))],
            (answer, _) => vec![(request.mark, answer, None)],
        };
        for (mark, answer, ask) in refused {
            let Answer::Refusal(refusal) = answer else { continue };
            let (refusal, at) = (refusal.clone(), self.now);
            self.offers = ask.map(|ask| (ask.clone(), refusal.offers.clone()));
            self.machine.note(&Note::Refused { mark, refusal, at });
        }
    }

    /// What was told must be what then stands.
    fn check_answer(&self, answer: &Answer) {
        let stands = match answer {
            Answer::Reservation(told) => self.machine.reservation(told.id) == Some(told),
            Answer::Session(told) => self.machine.session(told.id) == Some(told),
            Answer::Refusal(refusal) => {
                let held = refusal.held.as_deref();
                held.is_none_or(|held| self.machine.reservation(held.id) == Some(held))
            }
            Answer::Batch(answers) => return answers.iter().for_each(|it| self.check_answer(it)),
            Answer::Topology { version, .. } => *version == self.machine.topology_version(),
            Answer::Maintenance { maintenance: told, .. } => {
                let mut open = self.machine.maintenances(None);
                open.any(|open| open == &**told) == told.ended.is_none()
            }
            Answer::Drained(told) => {
                let lanes = told.lanes.iter().map(|name| self.lane(name.as_str()));
                lanes.flatten().all(Lane::is_drained)
            }
            Answer::Policy { version, .. } => *version == self.machine.policy_version(),
            Answer::Undrained(told) => {
                let lanes = told.iter().map(|name| self.lane(name.as_str()));
                lanes.flatten().all(|lane| !lane.is_drained())
            }
        };
        if !stands {
            self.fail(&format!("the answer is not what stands: {answer:?}"));
        }
    }

    /// Every invariant holds, and the events alone lead to the same state.
    fn check(&self) {
        let faults = audit(&self.machine, self.now);
        if !faults.is_empty() {
            self.fail(&faults.join("; "));
        }
        if !self.machine.same_ledger(&self.replica) {
            self.fail("the events lead to another state");
        }
        for (name, id) in &self.reservations {
            let live = self.machine.reservation(*id).is_some_and(|found| match found.state {
                State::Held { until } => until <= self.now,
                State::Confirmed => self.over_at(found) <= self.now,
                State::Closed { .. } => false,
            });
            if live {
                self.fail(&format!("{name} should be over"));
            }
        }
    }

    /// When a confirmed one is over at the latest: of a volume, a lease after its plan, in which its
    /// holder may report, but not past its deadline.
    fn over_at(&self, found: &Reservation) -> Timestamp {
        let end = found.interval.end();
        match found.promise.as_deref().map(|promise| promise.what) {
            Some(Promised::Volume { window, .. }) if found.session.is_some() => {
                end.plus(self.machine.limits().lease).min(window.end()).max(end)
            }
            _ => end,
        }
    }

    fn session_line(&self, id: SessionId) -> String {
        let Some(found) = self.machine.session(id) else {
            return format!("{} is not remembered\n", self.called(&id.to_string()));
        };
        let state = match found.state {
            SessionState::Open => "open".into(),
            SessionState::Closed { at } => format!("closed at {}", instant(at)),
            SessionState::Lost { at } => format!("lost at {}", instant(at)),
        };
        format!("session {} {state}\n", found.agent)
    }
}

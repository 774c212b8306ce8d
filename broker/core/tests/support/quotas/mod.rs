//! A machine of which quotas, classes and a small network refuse, and somebody who counts beside it.

mod draw;
mod naive;
mod operations;
mod policies;
mod setting;
mod time;

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::audit::audit;
use tidegate_core::lane::LaneName;
use tidegate_core::{
    Answer, Change, Command, Decision, Event, Fault, Machine, MoveWhy, Promised, Release, Request,
    Stamp, event::RequestMark,
};
use tidegate_policy::{
    ByteCount, MaintenanceId, Name, RequestId, ReservationId, SessionId, Timestamp,
};

use super::rng::Rng;
use naive::{Budgets, Carried, Item, Naive, Network, Rules, Sight, Steps};
use setting::{Rates, Setting};

/// The backend that is of a tier.
pub(super) const TIERED: &str = "p";

/// So many units ahead lies all that is looked at.
const AHEAD: i64 = 64;
/// Past its lease, a holder may still be using what it was told for so long.
const MARGIN_MS: i64 = 1000;

/// One in so many times the whole of the ledger is audited.
const AUDITED: u64 = 6;

pub(crate) struct World {
    pub(crate) place: String,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    machine: Machine,
    /// Sees the events and nothing else.
    replica: Machine,
    rng: Rng,
    setting: Setting,
    now: i64,
    sessions: Vec<SessionId>,
    windows: Vec<MaintenanceId>,
    observes: bool,
    serial: u128,
    /// What is declared, and what is about to be.
    rates: Rates,
    network: Network,
    carried: Carried,
    budgets: Budgets,
    /// Those whose windows have become shorter since their quotas were chosen.
    narrowed: BTreeSet<ReservationId>,
    /// What stands.
    naive: Naive,
}

pub(super) fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms).unwrap()
}

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

impl World {
    pub(crate) fn new(seed: u64, projects: u64) -> Self {
        let mut rng = Rng::new(seed);
        let setting = Setting::drawn(&mut rng, projects);
        let rates = Rates::drawn(&mut rng);
        let machine = Machine::new(setting.limits(false));
        let budgets = Budgets::new(setting.margin_ppm);
        let mut world = Self {
            place: "at the beginning".into(),
            counts: BTreeMap::new(),
            replica: machine.clone(),
            machine,
            rng,
            now: setting.begin,
            setting,
            sessions: Vec::new(),
            windows: Vec::new(),
            observes: false,
            serial: 1,
            rates,
            network: Network::default(),
            carried: Carried::default(),
            budgets,
            narrowed: BTreeSet::new(),
            naive: Naive::default(),
        };
        let spec = rates.spec().into();
        world.ask(Command::ApplyTopology { spec, accept_losses: false }).unwrap();
        world.open_sessions();
        world
    }

    pub(crate) fn step(&mut self) {
        match self.rng.below(100) {
            0..=27 => self.rigid(),
            28..=45 => self.shaped(),
            46..=50 => self.several(),
            51..=57 => self.release(),
            58..=65 => self.change(),
            66..=68 => self.hold(),
            69..=81 => self.policy(),
            82..=83 => self.maintenance(),
            84 => self.topology(),
            85..=97 => self.pass(),
            98 => self.end_session(),
            _ => self.read_again(),
        }
    }

    /// Gives all back: nothing of it is counted any more, and nothing is booked once everybody must
    /// have heard.
    pub(crate) fn release_all(&mut self) {
        let ids: Vec<ReservationId> =
            self.machine.reservations(None).filter(|it| it.is_live()).map(|it| it.id).collect();
        for id in ids {
            self.give_back(id);
        }
        assert!(self.naive.is_empty(), "{}: something is left", self.place);
        self.pass_to(self.now + 2 * self.setting.unit);
        for (lane, it) in self.machine.lanes(None) {
            let later = it.timeline.steps().find(|(instant, _)| self.now <= instant.as_ms());
            let ahead = it.timeline.level_at(at(self.now)) != 0 || later.is_some();
            assert!(!ahead, "{}: something is left on {lane}", self.place);
        }
        self.read_again();
    }

    fn fail(&self, why: &str) -> ! {
        let Setting { unit, begin, .. } = self.setting;
        panic!("{} at {} (units of {unit} ms from {begin} on): {why}", self.place, self.now)
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// What somebody who counts beside the machine says.
    fn say<T>(&self, what: impl FnOnce(&Sight<'_>, &Naive) -> T) -> T {
        let limit = |lane: &LaneName| self.limit(lane);
        let sight = Sight {
            machine: &self.machine,
            network: &self.network,
            budgets: &self.budgets,
            limit: &limit,
            now: self.now,
        };
        what(&sight, &self.naive)
    }

    fn limit(&self, lane: &LaneName) -> Steps {
        let ahead = AHEAD * self.setting.unit;
        self.carried.limit(&self.machine, &self.network, (lane, self.now, ahead))
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
        if events.is_empty() {
            return;
        }
        let policy = self.machine.policy_version();
        let before = std::mem::take(&mut self.naive);
        for event in events {
            self.follow_one(event);
        }
        let after = Naive::of(&self.machine, &self.network, &self.narrowed);
        let same = policy == self.machine.policy_version();
        if let Err(why) = self.look(&before, &after, events.iter().any(is_forced), same) {
            self.fail(&format!("{why}: {events:?}"));
        }
        self.naive = after;
        // It looks all calendars up anew, which takes its time.
        if self.rng.below(AUDITED) == 0 {
            self.audit();
        }
    }

    fn audit(&self) {
        let faults = audit(&self.machine, at(self.now));
        if !faults.is_empty() {
            self.fail(&faults.join("; "));
        }
    }

    fn look(&self, before: &Naive, after: &Naive, forced: bool, same: bool) -> Result<(), String> {
        if same {
            after.keeps_lines(&|lane| self.limit(lane), before, self.now)?;
            after.keeps_counts(self.machine.projects(), before)?;
        }
        let strict = same && !forced;
        self.budgets.keeps(&self.machine, (before, after), (self.now, strict))?;
        after.counts_as(&self.machine)?;
        after.is_booked(&self.machine)
    }

    fn follow_one(&mut self, event: &Event) {
        match &event.change {
            Change::TopologyApplied { .. } => self.network = self.rates.network(),
            Change::HoldExtended { id, .. } => {
                let promise = self.machine.reservation(*id).and_then(|it| it.promise.as_ref());
                if let Some(Promised::Volume { .. }) = promise.map(|it| it.what) {
                    self.narrowed.insert(*id);
                }
            }
            _ => {}
        }
        let ids = changed(event);
        let before: Vec<Item> = ids.iter().filter_map(|id| self.item(*id)).collect();
        self.machine.apply(event).unwrap();
        self.replica.apply(event).unwrap();
        for before in before {
            let after = self.item(before.id);
            let (projects, now) = (self.machine.projects(), event.at.as_ms());
            self.budgets.forget(projects, &before, after.as_ref(), now);
        }
    }

    fn item(&self, id: ReservationId) -> Option<Item> {
        let found = self.machine.reservation(id)?;
        Some(Item::of(Rules::of(&self.machine), &self.network, found, &self.narrowed))
    }

    fn give_back(&mut self, id: ReservationId) {
        let holder = self.machine.reservation(id).unwrap().session;
        let release = Release { target: id.into(), holder, used: ByteCount::ZERO };
        self.ask(Command::Release(release)).unwrap();
    }

    /// Both ways to the state: out of a snapshot, and by the events alone. It may only observe then, or
    /// no more.
    fn read_again(&mut self) {
        self.audit();
        if !self.machine.same_ledger(&self.replica) {
            self.fail("the events lead to another state");
        }
        self.observes = self.rng.chance(15);
        let limits = self.setting.limits(self.observes);
        let mut again = Machine::from_image(limits.clone(), self.machine.image()).unwrap();
        if !again.same_ledger(&self.machine) {
            self.fail("a snapshot leads to another state");
        }
        again.resume(at(self.now));
        self.machine = again;
        // Until then whoever might have had more than its floor is taken to have it, which nobody
        // counts here.
        let afloat = i64::try_from(limits.lease.as_ms()).unwrap() + MARGIN_MS;
        self.pass_to(self.now + afloat + 1);
        self.open_sessions();
        self.count("read again");
    }

    fn open_sessions(&mut self) {
        let machine = &self.machine;
        self.sessions.retain(|id| machine.session(*id).is_some_and(|it| it.is_open()));
        while self.sessions.len() < 3 {
            match self.ask(Command::OpenSession(name("agent"))).unwrap().answer {
                Answer::Session(session) => self.sessions.push(session.id),
                other => panic!("no session: {other:?}"),
            }
        }
    }

    fn drawn_session(&mut self) -> SessionId {
        self.rng.pick(&self.sessions)
    }
}

/// Whether a promise was kept in another way than was meant, whatever budgets have left.
fn is_forced(event: &Event) -> bool {
    match &event.change {
        Change::Moved(moved) => matches!(moved.why, MoveWhy::CapacityLost | MoveWhy::Lagging),
        _ => false,
    }
}

/// The reservations that an event changes.
fn changed(event: &Event) -> Vec<ReservationId> {
    match &event.change {
        Change::Modified(modified) => vec![modified.id],
        Change::Moved(moved) => vec![moved.id],
        Change::Settled { id } | Change::Closed { id, .. } | Change::Curtailed { id, .. } => {
            vec![*id]
        }
        Change::Forgotten { reservations, .. } => reservations.clone(),
        _ => Vec::new(),
    }
}

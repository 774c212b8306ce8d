//! The machine: a state, a function that decides, and one that applies.
//!
//! - `decide` looks and changes nothing ([`Machine::decide`], in `decide`, `reserve`, `batch`,
//!   `transfer`, `room`, `preempt`, `remainder`, `offers`, `modify`, `retopo`, `maintenance`, `drain`, with the lanes as `sight` shows them; what a loss
//!   of capacity costs is in `capacity` and `salvage`, what projects may have in `policy`, `quotas` and
//!   `charges`, what rules and a class make of a request in `rules` and `class`);
//! - `apply` follows an event and cannot refuse (in `apply`);
//! - `due` says what time alone brings about (in `due`): no timer mutates anything;
//! - `recent` is what is remembered only while the process runs: beats, usage, refusals; so is what is
//!   afloat on lanes beyond what is booked (in `live`, `afloat` and `crowd`).

mod afloat;
mod answer;
pub(crate) mod apply;
mod batch;
pub(crate) mod budgets;
mod capacity;
mod charges;
mod class;
mod crowd;
mod decide;
mod drain;
pub(crate) mod due;
mod lending;
mod live;
mod look;
mod maintenance;
mod modify;
mod movables;
mod offers;
mod placing;
pub(crate) mod policy;
mod preempt;
mod quotas;
mod reads;
mod recent;
mod remainder;
mod reserve;
mod retopo;
mod room;
mod rules;
mod salvage;
mod shrink;
mod sight;
mod transfer;
mod twins;
mod uses;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::{
    ByteCount, Classes, Interval, MaintenanceId, Principal, ProjectId, Projects, RequestId,
    ReservationId, Resource, Rule, RuleId, SessionId, Span, Timestamp, rules::Rulebook,
};

use crate::lane::{Lane, LaneName, LaneNeed};
use crate::losses::Losses;
use crate::maintenance::Maintenance;
use crate::owner::Account;
use crate::plan::Segment;
use crate::policy::{Overuse, PolicyChanges};
use crate::refusal::Refusal;
use crate::reservation::Reservation;
use crate::session::Session;
use crate::topology::Topology;

pub use crate::topology::shape::LaneChange;
use budgets::Charged;

pub use answer::{Answer, Decision};
pub use drain::{Drained, LISTED_MAX};
pub use lending::Loan;
pub use live::{LiveRate, Obeyed};
pub use look::{Availability, Explanation, Holder, LaneCheck, Query, WayCheck, Window, Windows};
pub use maintenance::COMMENT_MAX;
pub use recent::Counts;
pub use rules::{Hits, RuleCount};

/// Every bound and every span that decisions depend on. Applying an event depends on none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// How long a beat keeps everything as it is.
    pub lease: Span,
    /// How long after the lease the floor of each grant may still be sent.
    pub grace: Span,
    /// How long closed reservations, ended sessions and their answers are remembered.
    pub retain: Span,
    /// How far ahead a reservation may end.
    pub horizon: Span,
    /// How far in the past a start may lie; it is moved to now.
    pub past_start: Span,
    /// How long a hold may last in all.
    pub hold_max: Span,
    /// How far from now a request id may be made.
    pub request_window: Span,
    /// The most reservations remembered, closed ones included.
    pub reservations_max: usize,
    /// The most sessions remembered, ended ones included.
    pub sessions_max: usize,
    /// The most live reservations bound to one session.
    pub per_session_max: usize,
    /// The most maintenance windows remembered, those that are over included.
    pub maintenances_max: usize,
    /// A session-bound grant under which nothing has moved for so long since its start is taken
    /// back, if its session reports what it moves.
    pub no_show_grace: Span,
    /// What plans of a volume book beyond it, in parts per million, so that an exact limiter still
    /// ends in time.
    pub margin_ppm: u32,
    /// The most segments of a plan.
    pub segments_max: usize,
    /// The most plans that move for one request.
    pub moves_max: usize,
    /// The most pieces of time that are looked at to make room for one request.
    pub replan_steps: u64,
    /// The most orders that are tried to make room for one request.
    pub replan_rounds: usize,
    /// Grants what would be refused, without booking anything for it.
    pub observe: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lease: Span::from_secs(30),
            grace: Span::from_secs(60),
            retain: Span::from_secs(3600),
            horizon: Span::MAX,
            past_start: Span::from_secs(5),
            hold_max: Span::from_secs(900),
            request_window: Span::from_secs(600),
            reservations_max: 1_000_000,
            sessions_max: 100_000,
            per_session_max: 1000,
            maintenances_max: 10_000,
            no_show_grace: Span::from_secs(120),
            margin_ppm: 10_000,
            segments_max: 64,
            moves_max: 512,
            replan_steps: 20_000_000,
            replan_rounds: 64,
            observe: false,
        }
    }
}

/// A client stops by its own count a while before the broker gives its lanes to others.
const SILENCE_MARGIN: Span = Span::from_secs(1);

/// What the writer adds to a command: the time, and an identifier in case one is needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Now; never before the now of an earlier decision.
    pub now: Timestamp,
    /// Never used before.
    pub fresh: u128,
}

/// What is remembered only while the process runs: it is not journaled, and not part of the state
/// that replay restores.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// A session gave a sign of life.
    Heard {
        /// Which.
        session: SessionId,
        /// When.
        at: Timestamp,
    },
    /// A session reported bytes moved in all under a reservation bound to it.
    Used {
        /// The session that says so.
        session: SessionId,
        /// The reservation.
        reservation: ReservationId,
        /// All bytes since its start.
        bytes: ByteCount,
        /// When.
        at: Timestamp,
    },
    /// A session reported for how long in all its limiter has held bytes of a reservation back.
    HeldBack {
        /// The session that says so.
        session: SessionId,
        /// The reservation.
        reservation: ReservationId,
        /// All of it since its start.
        total: Span,
    },
    /// Rules applied to a request.
    Ruled(Hits),
    /// Room for a request was not looked for, because that had taken its share of the time.
    RoomNotSought,
    /// A request was refused.
    Refused {
        /// The request.
        mark: crate::event::RequestMark,
        /// The answer that it got.
        refusal: Box<Refusal>,
        /// When.
        at: Timestamp,
    },
}

/// The state and the two functions over it.
#[derive(Clone, Debug)]
pub struct Machine {
    limits: Limits,
    state: LedgerState,
    recent: recent::Recent,
    movables: movables::Movables,
    live: live::Live,
    /// The rules as they were read.
    rulebook: Rulebook,
    /// The projects that lend each other rates.
    lending: lending::Trees,
    /// What accounts are charged to that have no shares.
    accounts: BTreeMap<Account, Vec<LaneNeed>>,
    /// Room is looked for among plans that may move.
    seeks_room: bool,
}

/// What replay restores.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LedgerState {
    pub(crate) topology: Topology,
    pub(crate) topology_version: u64,
    pub(crate) lanes: BTreeMap<LaneName, Lane>,
    pub(crate) reservations: BTreeMap<ReservationId, Reservation>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    /// The live reservations of each open session.
    pub(crate) bound: BTreeMap<SessionId, BTreeSet<ReservationId>>,
    pub(crate) requests: BTreeMap<RequestId, Remembered>,
    /// When each live reservation's state ends by itself.
    pub(crate) ends: BTreeSet<(Timestamp, ReservationId)>,
    /// Since when each thing of the past could be forgotten.
    pub(crate) past: BTreeSet<(Timestamp, due::Past)>,
    /// Maintenance windows, those that are over included while they are remembered.
    pub(crate) maintenances: BTreeMap<MaintenanceId, Maintenance>,
    /// When each window that is not over ends.
    pub(crate) maintenance_ends: BTreeSet<(Timestamp, MaintenanceId)>,
    /// What takes nothing new.
    pub(crate) drained: BTreeSet<Resource>,
    /// Who reservations may belong to, and what they may have.
    pub(crate) projects: Projects,
    /// Of what quality they may be.
    pub(crate) classes: Classes,
    /// What is done with requests before all else.
    pub(crate) rules: BTreeMap<RuleId, Rule>,
    pub(crate) policy_version: u64,
    /// Reservations held or confirmed.
    pub(crate) live: usize,
    /// The same of each project, those below it included.
    pub(crate) live_of: BTreeMap<ProjectId, usize>,
    /// The same of each principal of each project.
    pub(crate) live_by: BTreeMap<(ProjectId, Principal), usize>,
    /// What is promised of budgets by what is remembered.
    pub(crate) charged: Charged,
    /// What was promised of them in periods that are not over, and is forgotten or given up.
    pub(crate) spent: Charged,
    /// The time of the last event.
    pub(crate) clock: Timestamp,
}

/// What a request was answered, for whoever asks again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Remembered {
    pub(crate) fingerprint: [u8; 32],
    pub(crate) outcome: Outcome,
    pub(crate) at: Timestamp,
}

/// What a request came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// This reservation, as it is whenever somebody asks again.
    Reservation(ReservationId),
    /// This session.
    Session(SessionId),
    /// A topology.
    Topology {
        /// How many were applied so far.
        version: u64,
        /// The lanes that came, went or changed.
        changes: Vec<LaneChange>,
        /// Who lost what was promised.
        losses: Losses,
    },
    /// This maintenance window, and who lost what was promised by it.
    Maintenance(MaintenanceId, Losses),
    /// A resource that was drained.
    Drain(Resource),
    /// A resource that was put back into use.
    Undrain(Resource),
    /// A policy.
    Policy {
        /// How often it was changed so far.
        version: u64,
        /// What came, went or changed.
        changes: PolicyChanges,
        /// The quotas that were below what was used.
        overuses: Vec<Overuse>,
    },
}

impl Default for LedgerState {
    fn default() -> Self {
        Self {
            topology: Topology::default(),
            topology_version: 0,
            lanes: BTreeMap::new(),
            reservations: BTreeMap::new(),
            sessions: BTreeMap::new(),
            bound: BTreeMap::new(),
            requests: BTreeMap::new(),
            ends: BTreeSet::new(),
            past: BTreeSet::new(),
            maintenances: BTreeMap::new(),
            maintenance_ends: BTreeSet::new(),
            drained: BTreeSet::new(),
            projects: Projects::default(),
            classes: Classes::default(),
            rules: BTreeMap::new(),
            policy_version: 0,
            live: 0,
            live_of: BTreeMap::new(),
            live_by: BTreeMap::new(),
            charged: Charged::new(),
            spent: Charged::new(),
            clock: Timestamp::EPOCH,
        }
    }
}

impl Machine {
    /// An empty machine.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::with_ledger(limits, LedgerState::default())
    }

    /// Whether room for a request that does not fit is looked for among plans that may move: that
    /// takes time which there may not be.
    pub fn seek_room(&mut self, seek: bool) {
        self.seeks_room = seek;
    }

    /// The bounds it decides by.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The time of the last event: the next decision's now must not lie before it.
    #[must_use]
    pub fn clock(&self) -> Timestamp {
        self.state.clock
    }

    /// One reservation, closed ones included while they are remembered.
    #[must_use]
    pub fn reservation(&self, id: ReservationId) -> Option<&Reservation> {
        self.state.reservations.get(&id)
    }

    /// The reservations after `after`, in the order of their identifiers.
    pub fn reservations(&self, after: Option<ReservationId>) -> impl Iterator<Item = &Reservation> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.state.reservations.range((from, Unbounded)).map(|(_, reservation)| reservation)
    }

    /// One session, ended ones included while they are remembered.
    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.state.sessions.get(&id)
    }

    /// The topology that stands.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.state.topology
    }

    /// How many topologies were applied so far.
    #[must_use]
    pub fn topology_version(&self) -> u64 {
        self.state.topology_version
    }

    /// The lanes of the topology after `after`, in the order of their names.
    pub fn lanes(&self, after: Option<&LaneName>) -> impl Iterator<Item = (&LaneName, &Lane)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.state.lanes.range((from, Unbounded)).filter(|(_, lane)| lane.def.is_some())
    }

    /// One lane of the topology.
    #[must_use]
    pub fn lane_named(&self, name: &LaneName) -> Option<&Lane> {
        self.state.lanes.get(name).filter(|lane| lane.def.is_some())
    }

    /// The most that is booked on a lane at one instant of `over`, in bits per second.
    #[must_use]
    pub fn peak(&self, lane: &LaneName, over: Interval) -> u64 {
        self.state.lanes.get(lane).map_or(0, |lane| lane.timeline.peak(over))
    }

    /// How many reservations are held or confirmed.
    #[must_use]
    pub fn live_reservations(&self) -> usize {
        self.state.live
    }

    /// How many sessions are open.
    #[must_use]
    pub fn open_sessions(&self) -> usize {
        self.state.bound.len()
    }

    /// Bytes that a reservation's session reported last, or its close recorded.
    #[must_use]
    pub fn used(&self, id: ReservationId) -> ByteCount {
        use crate::reservation::State;
        let Some(found) = self.state.reservations.get(&id) else { return ByteCount::ZERO };
        match found.state {
            State::Closed { used, .. } => used,
            State::Held { .. } | State::Confirmed => self.recent.used(id).max(found.metered),
        }
    }

    /// What the sessions' last reports say is moving across each lane, in payload bits per second.
    #[must_use]
    pub fn used_rates(&self) -> BTreeMap<&LaneName, u64> {
        let mut rates = BTreeMap::new();
        for (id, bps) in self.recent.rates() {
            let live = self.state.reservations.get(&id).filter(|found| found.is_live());
            for (lane, share) in live.into_iter().flat_map(|found| self.shares(found, bps)) {
                let sum: &mut u64 = rates.entry(lane).or_default();
                *sum = sum.saturating_add(share);
            }
        }
        rates
    }

    /// What each lane carries of a rate: where a plan takes several ways at once, their shares.
    fn shares<'a>(
        &self,
        found: &'a Reservation,
        bps: u64,
    ) -> impl Iterator<Item = (&'a LaneName, u64)> {
        let now = self.state.clock;
        let segments = found.plan.segments.iter();
        let on = segments.filter(|it| it.over.start() <= now && now < it.over.end());
        let on: Vec<&Segment> = on.collect();
        let all: u128 = on.iter().map(|it| u128::from(it.rate.bps())).sum();
        on.into_iter().flat_map(move |segment| {
            let part = u128::from(bps).saturating_mul(segment.rate.bps().into());
            let share = u64::try_from(part.checked_div(all).unwrap_or(0)).unwrap_or(u64::MAX);
            let way = found.plan.ways.get(segment.way);
            way.into_iter().flat_map(|way| &way.lanes).map(move |lane| (lane, share))
        })
    }

    /// Whether what replay restores is the same in both: what only a running process remembers is
    /// left out.
    #[must_use]
    pub fn same_ledger(&self, other: &Self) -> bool {
        self.state == other.state
    }

    pub(crate) fn ledger(&self) -> &LedgerState {
        &self.state
    }

    pub(crate) fn into_ledger(self) -> LedgerState {
        self.state
    }

    pub(crate) fn with_ledger(limits: Limits, state: LedgerState) -> Self {
        let (recent, movables, live, rulebook, lending) = Default::default();
        let (seeks_room, accounts) = (true, BTreeMap::new());
        let mut machine =
            Self { limits, state, recent, movables, live, rulebook, lending, accounts, seeks_room };
        machine.lending = lending::trees(&machine.state.projects);
        machine.number_first();
        machine
    }
}

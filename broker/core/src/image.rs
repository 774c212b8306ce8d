//! The ledger as plain data: what a snapshot stores instead of the history that led to it.
//!
//! An image holds what replay restores and nothing that follows from it: timelines and indexes
//! are built again from the list of reservations, so that none of them can disagree with it.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::{
    Class, Classes, Interval, Period, Project, Projects, RequestId, Resource, Rule, Span, Timestamp,
};

use crate::event::Corrupt;
use crate::lane::Lane;
use crate::machine::due::Past;
use crate::machine::policy::rate_lanes;
use crate::machine::{LedgerState, Limits, Machine, Outcome, Remembered, apply};
use crate::maintenance::Maintenance;
use crate::policy::Whose;
use crate::reservation::{Reservation, State};
use crate::session::{Session, SessionState};
use crate::topology::{TopologySpec, compile};

/// All that replay restores. Equal ledgers have equal images.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image {
    /// The time of the last event.
    pub clock: Timestamp,
    /// The topology that stands, as it was declared.
    pub topology: TopologySpec,
    /// How many topologies were applied so far.
    pub topology_version: u64,
    /// Every reservation, closed ones included, in the order of their identifiers.
    pub reservations: Vec<Reservation>,
    /// Every session, ended ones included, in the order of their identifiers.
    pub sessions: Vec<Session>,
    /// What requests were answered, in the order of their identifiers.
    pub answers: Vec<Answered>,
    /// Every maintenance window, those that are over included, in the order of their identifiers.
    pub maintenances: Vec<Maintenance>,
    /// What takes nothing new.
    pub drained: Vec<Resource>,
    /// Every project that was declared, in the order of their names.
    pub projects: Vec<Project>,
    /// Every class, in the order of their names.
    pub classes: Vec<Class>,
    /// Every rule, in the order of their names.
    pub rules: Vec<Rule>,
    /// How often the policy was changed so far.
    pub policy_version: u64,
    /// What was promised of budgets in periods that are not over, and is shown by no reservation any
    /// more: whose, of which kind of period, the period, and how much in bits per second times
    /// milliseconds.
    pub spent: Vec<((Whose, Period, Interval), u128)>,
}

/// What a request was answered, for whoever asks again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered {
    /// The request.
    pub id: RequestId,
    /// A digest of its body.
    pub fingerprint: [u8; 32],
    /// What it came to.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
}

impl Machine {
    /// The ledger as plain data.
    #[must_use]
    pub fn image(&self) -> Image {
        self.clone().into_image()
    }

    /// The ledger as plain data, without a copy of it.
    #[must_use]
    pub fn into_image(self) -> Image {
        // Field by field, so that a new one is either stored or said to follow from the others.
        let LedgerState {
            topology,
            topology_version,
            lanes: _,
            reservations,
            sessions,
            bound: _,
            requests,
            ends: _,
            past: _,
            maintenances,
            maintenance_ends: _,
            drained,
            projects,
            classes,
            rules,
            policy_version,
            live: _,
            live_of: _,
            live_by: _,
            charged: _,
            spent,
            clock,
        } = self.into_ledger();
        let answer = |(id, remembered)| {
            let Remembered { fingerprint, outcome, at } = remembered;
            Answered { id, fingerprint, outcome, at }
        };
        Image {
            clock,
            topology: topology.spec,
            topology_version,
            reservations: reservations.into_values().collect(),
            sessions: sessions.into_values().collect(),
            answers: requests.into_iter().map(answer).collect(),
            maintenances: maintenances.into_values().collect(),
            drained: drained.into_iter().collect(),
            projects: projects.declared().cloned().collect(),
            classes: classes.iter().cloned().collect(),
            rules: rules.into_values().collect(),
            policy_version,
            spent: spent.into_iter().collect(),
        }
    }

    /// The machine whose ledger is this. As after a replay, sessions have not been heard of:
    /// [`Machine::resume`] follows.
    ///
    /// # Errors
    /// [`Corrupt`] where no ledger has such an image: the caller stops.
    pub fn from_image(limits: Limits, image: Image) -> Result<Self, Corrupt> {
        let Image {
            clock,
            topology,
            topology_version,
            reservations,
            sessions,
            answers,
            maintenances,
            drained,
            projects,
            classes,
            rules,
            policy_version,
            spent,
        } = image;
        let projects = Projects::default()
            .changed(&projects, &[], true)
            .map_err(|faults| corrupt(format!("its projects are faulty: {faults:?}")))?;
        let classes = Classes::of(classes)
            .map_err(|faults| corrupt(format!("its classes are faulty: {faults:?}")))?;
        let topology = compile::compile(&topology)
            .map_err(|faults| corrupt(format!("its topology is faulty: {faults:?}")))?;
        let lanes = topology.lanes.iter();
        let lanes = lanes.map(|(name, def)| (name.clone(), Lane::of(def.clone())));
        let quotas = rate_lanes(&projects).map(|name| (name, Lane::default()));
        let lanes = lanes.chain(quotas).collect();
        let mut state = LedgerState {
            topology,
            topology_version,
            lanes,
            reservations: BTreeMap::new(),
            sessions: BTreeMap::new(),
            bound: BTreeMap::new(),
            requests: BTreeMap::new(),
            ends: BTreeSet::new(),
            past: BTreeSet::new(),
            maintenances: BTreeMap::new(),
            maintenance_ends: BTreeSet::new(),
            drained: drained.into_iter().collect(),
            projects,
            classes,
            rules: rules.into_iter().map(|rule| (rule.id.clone(), rule)).collect(),
            policy_version,
            live: 0,
            live_of: BTreeMap::new(),
            live_by: BTreeMap::new(),
            charged: BTreeMap::new(),
            spent: spent.into_iter().collect(),
            clock,
        };
        for session in sessions {
            state.put_session(session)?;
        }
        for reservation in reservations {
            state.put_reservation(reservation, limits.lease)?;
        }
        for answer in answers {
            state.put_answer(answer)?;
        }
        for maintenance in maintenances {
            state.put_maintenance(maintenance)?;
        }
        (state.live_of, state.live_by) = state.count_live();
        let projects = state.projects.clone();
        state.resize_quotas(&projects.iter().map(|project| &project.id).collect())?;
        let mut machine = Self::with_ledger(limits, state);
        machine.refit(clock)?;
        machine.charge_all();
        machine.read_again();
        Ok(machine)
    }
}

impl LedgerState {
    fn put_session(&mut self, session: Session) -> Result<(), Corrupt> {
        let id = session.id;
        match session.state {
            SessionState::Open => {
                self.bound.insert(id, BTreeSet::new());
            }
            SessionState::Closed { at } | SessionState::Lost { at } => {
                self.past.insert((at, Past::Session(id)));
            }
        }
        match self.sessions.insert(id, session) {
            None => Ok(()),
            Some(_) => Err(corrupt(format!("session {id} stands there twice"))),
        }
    }

    fn put_reservation(
        &mut self,
        mut reservation: Reservation,
        lease: Span,
    ) -> Result<(), Corrupt> {
        let id = reservation.id;
        self.book(&mut reservation)?;
        match reservation.state {
            State::Held { .. } | State::Confirmed => {
                if let Some(session) = reservation.session {
                    let bound = self.bound.get_mut(&session);
                    let ended = || corrupt(format!("{id} lives, but session {session} does not"));
                    bound.ok_or_else(ended)?.insert(id);
                }
                self.ends.insert(reservation.ends(lease));
                self.live = self.live.saturating_add(1);
            }
            State::Closed { .. } => self.past.extend(apply::past(&reservation)),
        }
        match self.reservations.insert(id, reservation) {
            None => Ok(()),
            Some(_) => Err(corrupt(format!("reservation {id} stands there twice"))),
        }
    }

    /// Books what a reservation still keeps, on lanes that the topology may have lost since.
    fn book(&mut self, reservation: &mut Reservation) -> Result<(), Corrupt> {
        // One text for each lane, however many reservations name it.
        let booked = reservation.plan.ways.iter_mut().flat_map(|way| &mut way.lanes);
        for lane in booked.chain(reservation.kept.iter_mut().map(|kept| &mut kept.lane)) {
            if let Some((name, _)) = self.lanes.get_key_value(lane) {
                *lane = name.clone();
            }
        }
        for (name, over, amount) in reservation.bookings() {
            if !self.lanes.contains_key(name)
                && let Some(fresh) = self.fresh_quota(name)
            {
                self.lanes.insert(name.clone(), fresh);
            }
            let lane = self.lanes.entry(name.clone()).or_default();
            let imbalance = |_| corrupt(format!("{name} overflows"));
            lane.book(over, amount).map_err(imbalance)?;
        }
        Ok(())
    }

    fn put_maintenance(&mut self, maintenance: Maintenance) -> Result<(), Corrupt> {
        let id = maintenance.id;
        match maintenance.ended {
            None => self.maintenance_ends.insert((maintenance.over.end(), id)),
            Some(at) => self.past.insert((at, Past::Maintenance(id))),
        };
        match self.maintenances.insert(id, maintenance) {
            None => Ok(()),
            Some(_) => Err(corrupt(format!("maintenance {id} stands there twice"))),
        }
    }

    fn put_answer(&mut self, answer: Answered) -> Result<(), Corrupt> {
        let Answered { id, fingerprint, outcome, at } = answer;
        // The answer that made a reservation lives as long as that does; others are of the past.
        let made = match &outcome {
            Outcome::Reservation(made) => self.reservations.get(made),
            Outcome::Session(_)
            | Outcome::Topology { .. }
            | Outcome::Maintenance(..)
            | Outcome::Drain(_)
            | Outcome::Undrain(_)
            | Outcome::Policy { .. } => None,
        };
        if made.is_none_or(|made| made.created_by != Some(id)) {
            self.past.insert((at, Past::Request(id)));
        }
        match self.requests.insert(id, Remembered { fingerprint, outcome, at }) {
            None => Ok(()),
            Some(_) => Err(corrupt(format!("request {id} stands there twice"))),
        }
    }
}

fn corrupt(what: String) -> Corrupt {
    Corrupt { what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Route;
    use crate::plan::Plan;
    use crate::promise::Standing;
    use tidegate_policy::{Interval, ReservationId, SessionId};

    fn empty() -> Image {
        Machine::new(Limits::default()).into_image()
    }

    #[test]
    fn a_rule_that_only_a_version_of_before_can_read_stops_nothing() {
        let rule = tidegate_policy::Rule {
            id: tidegate_policy::RuleId("old".parse().unwrap()),
            when: "request.colour == 'red'".into(),
            then: tidegate_policy::Effect::Priority(3),
            shadow: false,
            comment: String::new(),
        };
        let image = Image { rules: vec![rule], ..empty() };
        let machine = Machine::from_image(Limits::default(), image.clone()).unwrap();
        assert_eq!(machine.into_image(), image);
    }

    #[test]
    fn what_no_ledger_looks_like_is_refused() {
        let session = Session {
            id: SessionId::from_u128(1),
            agent: "a".parse().unwrap(),
            created: Timestamp::EPOCH,
            state: SessionState::Closed { at: Timestamp::EPOCH },
        };
        let all = Interval::new(Timestamp::EPOCH, Timestamp::MAX).unwrap();
        let live = Reservation {
            id: ReservationId::from_u128(2),
            owner: tidegate_policy::ProjectId::default_project().into(),
            plan: Plan::single(Route::Lanes(Vec::new()), all, "1Gbit".parse().unwrap(), Vec::new()),
            promise: None,
            standing: Standing::default(),
            terms: crate::lane::Terms::default(),
            interval: all,
            from: Timestamp::EPOCH,
            session: Some(session.id),
            despite: None,
            borrowed: false,
            kept: Vec::new(),
            curtailed: false,
            last_move: None,
            revision: 1,
            plan_version: 1,
            metered: tidegate_policy::ByteCount::ZERO,
            created: Timestamp::EPOCH,
            created_by: None,
            state: State::Confirmed,
        };
        let unbound = Reservation { session: None, ..live.clone() };
        let answer = Answered {
            id: RequestId::from_u128(3),
            fingerprint: [0; 32],
            outcome: Outcome::Session(session.id),
            at: Timestamp::EPOCH,
        };
        let switches = vec!["s".parse().unwrap(); 2];
        let spec = TopologySpec { switches, ..TopologySpec::default() };
        let sessions = vec![session.clone()];
        let table = [
            (Image { topology: spec, ..empty() }, "topology is faulty"),
            (Image { sessions: vec![session.clone(), session], ..empty() }, "twice"),
            (Image { sessions, reservations: vec![live], ..empty() }, "does not"),
            (Image { reservations: vec![unbound.clone(), unbound], ..empty() }, "twice"),
            (Image { answers: vec![answer.clone(), answer], ..empty() }, "twice"),
        ];
        for (image, expected) in table {
            let refused = Machine::from_image(Limits::default(), image).unwrap_err();
            assert!(refused.what.contains(expected), "{refused}");
        }
        let read = Machine::from_image(Limits::default(), empty()).unwrap();
        assert!(read.same_ledger(&Machine::new(Limits::default())));
    }
}

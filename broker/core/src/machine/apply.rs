//! Follows an event. Nothing here refuses: what does not follow from the state is a journal that
//! is not this machine's, and the process stops.

use std::collections::BTreeMap;

use tidegate_policy::{ByteCount, RequestId, ReservationId, SessionId, Timestamp};

use super::due::Past;
use super::{Machine, Outcome, Remembered};
use crate::event::{Change, CloseWhy, Corrupt, Event, RequestMark, Reserved};
use crate::lane::{Lane, LaneName};
use crate::reservation::{Reservation, State};
use crate::session::{Session, SessionState};
use crate::topology::spec::TopologySpec;
use crate::topology::{Topology, compile};

/// One lane that came, went or changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaneChange {
    /// The lane.
    pub lane: LaneName,
    /// What it could carry before, in bits per second; `None` if it was not there.
    pub before: Option<u64>,
    /// What it can carry now; `None` if it is gone.
    pub after: Option<u64>,
}

/// What a new topology changes about the lanes.
pub(super) fn differences(
    lanes: &BTreeMap<LaneName, Lane>,
    topology: &Topology,
) -> Vec<LaneChange> {
    let mut changes = Vec::new();
    let old = |name: &LaneName| lanes.get(name).and_then(|lane| lane.def.as_ref());
    for (name, lane) in lanes {
        if lane.def.is_some() && !topology.lanes.contains_key(name) {
            let before = Some(lane.capacity());
            changes.push(LaneChange { lane: name.clone(), before, after: None });
        }
    }
    for (name, def) in &topology.lanes {
        let before = old(name).map(|def| def.capacity);
        let after = Some(def.capacity);
        if before != after {
            changes.push(LaneChange { lane: name.clone(), before, after });
        }
    }
    changes.sort_by(|a, b| a.lane.cmp(&b.lane));
    changes
}

impl Machine {
    /// Follows one event.
    ///
    /// # Errors
    /// [`Corrupt`] where it does not follow from the state: the caller stops.
    pub fn apply(&mut self, event: &Event) -> Result<(), Corrupt> {
        if event.at < self.state.clock {
            return Err(corrupt(format!("{} lies before {}", event.at, self.state.clock)));
        }
        self.state.clock = event.at;
        let mark = event.request;
        match &event.change {
            Change::TopologyApplied { spec, version } => {
                self.topology_applied(spec, *version, event)?
            }
            Change::Reserved(reserved) => self.reserved(reserved, event)?,
            Change::Confirmed { id } => {
                self.step(*id, State::Confirmed)?;
                self.remember(mark, Outcome::Reservation(*id), event.at);
            }
            Change::HoldExtended { id, until } => {
                self.step(*id, State::Held { until: *until })?;
                self.remember(mark, Outcome::Reservation(*id), event.at);
            }
            Change::Closed { id, why, free_from, used } => {
                self.closed(*id, event.at, (*why, *free_from, *used))?;
                self.remember(mark, Outcome::Reservation(*id), event.at);
            }
            Change::SessionOpened { id, agent } => {
                let state = SessionState::Open;
                let session = Session { id: *id, agent: agent.clone(), created: event.at, state };
                if self.state.sessions.insert(*id, session).is_some() {
                    return Err(corrupt(format!("session {id} exists")));
                }
                self.state.bound.insert(*id, Default::default());
                self.recent.hear(*id, event.at);
                self.remember(mark, Outcome::Session(*id), event.at);
            }
            Change::SessionEnded { id, lost } => {
                self.session_ended(*id, event.at, *lost)?;
                self.remember(mark, Outcome::Session(*id), event.at);
            }
            Change::Forgotten { reservations, sessions, requests } => {
                self.forgotten(reservations, sessions, requests)?;
            }
        }
        Ok(())
    }

    fn topology_applied(
        &mut self,
        spec: &TopologySpec,
        version: u64,
        event: &Event,
    ) -> Result<(), Corrupt> {
        let topology = compile::compile(spec)
            .map_err(|faults| corrupt(format!("topology {version} is faulty: {faults:?}")))?;
        let changes = differences(&self.state.lanes, &topology);
        for lane in self.state.lanes.values_mut() {
            lane.def = None;
        }
        for (name, def) in &topology.lanes {
            let lane = self
                .state
                .lanes
                .entry(name.clone())
                .or_insert_with(|| Lane { def: None, timeline: Default::default() });
            lane.def = Some(def.clone());
        }
        self.state.lanes.retain(|_, lane| lane.def.is_some() || !lane.timeline.is_empty());
        self.state.topology = topology;
        self.state.topology_version = version;
        self.remember(event.request, Outcome::Topology { version, changes }, event.at);
        Ok(())
    }

    fn reserved(&mut self, reserved: &Reserved, event: &Event) -> Result<(), Corrupt> {
        let id = reserved.id;
        if self.state.reservations.contains_key(&id) {
            return Err(corrupt(format!("reservation {id} exists")));
        }
        if let Some(session) = reserved.session {
            let bound = self.state.bound.get_mut(&session);
            bound.ok_or_else(|| corrupt(format!("session {session} is not open")))?.insert(id);
        }
        for booked in &reserved.booked {
            let lane = self.lane_mut(&booked.lane)?;
            let imbalance = |_| corrupt(format!("{} overflows", booked.lane));
            lane.timeline.book(reserved.interval, booked.amount).map_err(imbalance)?;
        }
        let created_by = event.request.map(|mark| mark.id);
        let reservation = Reservation::granted(reserved.clone(), event.at, created_by);
        self.state.ends.insert(ends(&reservation));
        self.state.reservations.insert(id, reservation);
        self.state.live = self.state.live.saturating_add(1);
        if let Some(mark) = event.request {
            let outcome = Outcome::Reservation(id);
            let RequestMark { id, fingerprint } = mark;
            // Not of the past: this answer lives as long as its reservation.
            self.state.requests.insert(id, Remembered { fingerprint, outcome, at: event.at });
        }
        Ok(())
    }

    /// Moves a live reservation to another state.
    fn step(&mut self, id: ReservationId, state: State) -> Result<(), Corrupt> {
        let found = self.state.reservations.get_mut(&id);
        let reservation = found.ok_or_else(|| corrupt(format!("no reservation {id}")))?;
        let legal = match (reservation.state, state) {
            (State::Held { .. }, _) => true,
            (State::Confirmed, State::Closed { .. }) => true,
            (State::Confirmed, State::Held { .. } | State::Confirmed)
            | (State::Closed { .. }, _) => false,
        };
        if !legal {
            let from = reservation.state;
            return Err(corrupt(format!("reservation {id} cannot go from {from:?} to {state:?}")));
        }
        self.state.ends.remove(&ends(reservation));
        reservation.state = state;
        if reservation.is_live() {
            self.state.ends.insert(ends(reservation));
        }
        Ok(())
    }

    fn closed(
        &mut self,
        id: ReservationId,
        at: Timestamp,
        (why, free_from, used): (CloseWhy, Timestamp, ByteCount),
    ) -> Result<(), Corrupt> {
        self.step(id, State::Closed { why, at, free_from, used })?;
        let closed = self.state.reservations.get(&id).cloned();
        let closed = closed.ok_or_else(|| corrupt(format!("no reservation {id}")))?;
        let remains = closed.booked_over();
        let freed = match remains {
            Some(remains) if remains.end() == closed.interval.end() => None,
            Some(remains) => tidegate_policy::Interval::new(remains.end(), closed.interval.end()),
            None => Some(closed.interval),
        };
        self.free(&closed, freed)?;
        if let Some(bound) = closed.session.and_then(|it| self.state.bound.get_mut(&it)) {
            bound.remove(&id);
        }
        self.recent.forget_meter(id);
        self.state.live = self.state.live.saturating_sub(1);
        self.state.past.insert((at.max(free_from), Past::Reservation(id)));
        Ok(())
    }

    fn free(
        &mut self,
        reservation: &Reservation,
        freed: Option<tidegate_policy::Interval>,
    ) -> Result<(), Corrupt> {
        let Some(freed) = freed else { return Ok(()) };
        for booked in &reservation.booked {
            let lane = self.lane_mut(&booked.lane)?;
            let imbalance = |_| corrupt(format!("{} is not booked that much", booked.lane));
            lane.timeline.free(freed, booked.amount).map_err(imbalance)?;
            if lane.def.is_none() && lane.timeline.is_empty() {
                self.state.lanes.remove(&booked.lane);
            }
        }
        Ok(())
    }

    fn session_ended(&mut self, id: SessionId, at: Timestamp, lost: bool) -> Result<(), Corrupt> {
        let bound = self.state.bound.remove(&id);
        let session = self.state.sessions.get_mut(&id);
        match (bound, session) {
            (Some(bound), Some(session)) if bound.is_empty() => {
                session.state =
                    if lost { SessionState::Lost { at } } else { SessionState::Closed { at } };
            }
            _ => return Err(corrupt(format!("session {id} is not open, or holds something"))),
        }
        self.recent.forget_session(id);
        self.state.past.insert((at, Past::Session(id)));
        Ok(())
    }

    fn forgotten(
        &mut self,
        reservations: &[ReservationId],
        sessions: &[SessionId],
        requests: &[RequestId],
    ) -> Result<(), Corrupt> {
        for id in reservations {
            let gone = self.state.reservations.remove(id);
            let gone = gone.ok_or_else(|| corrupt(format!("no reservation {id}")))?;
            let State::Closed { at, free_from, .. } = gone.state else {
                return Err(corrupt(format!("reservation {id} is not closed")));
            };
            self.state.past.remove(&(at.max(free_from), Past::Reservation(*id)));
            self.free(&gone, gone.booked_over())?;
            if let Some(request) = gone.created_by {
                self.state.requests.remove(&request);
            }
        }
        for id in sessions {
            let gone = self.state.sessions.remove(id).map(|session| session.state);
            let Some(SessionState::Closed { at } | SessionState::Lost { at }) = gone else {
                return Err(corrupt(format!("session {id} has not ended")));
            };
            self.state.past.remove(&(at, Past::Session(*id)));
        }
        for id in requests {
            let gone = self.state.requests.remove(id);
            let gone = gone.ok_or_else(|| corrupt(format!("no request {id}")))?;
            self.state.past.remove(&(gone.at, Past::Request(*id)));
        }
        Ok(())
    }

    fn remember(&mut self, mark: Option<RequestMark>, outcome: Outcome, at: Timestamp) {
        let Some(RequestMark { id, fingerprint }) = mark else { return };
        self.state.requests.insert(id, Remembered { fingerprint, outcome, at });
        self.state.past.insert((at, Past::Request(id)));
    }

    fn lane_mut(&mut self, name: &LaneName) -> Result<&mut Lane, Corrupt> {
        self.state.lanes.get_mut(name).ok_or_else(|| corrupt(format!("no lane {name}")))
    }
}

/// When a live reservation's state ends by itself.
pub(crate) fn ends(reservation: &Reservation) -> (Timestamp, ReservationId) {
    let when = match reservation.state {
        State::Held { until } => until,
        State::Confirmed | State::Closed { .. } => reservation.interval.end(),
    };
    (when, reservation.id)
}

fn corrupt(what: String) -> Corrupt {
    Corrupt { what }
}

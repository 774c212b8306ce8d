//! Follows an event. Nothing here refuses: what does not follow from the state is a journal that
//! is not this machine's, and the process stops.

use tidegate_policy::{ByteCount, Name, RequestId, ReservationId, SessionId, Timestamp};

use super::charges::day_of;
use super::due::Past;
use super::{Machine, Outcome, Remembered};
use crate::event::{Change, CloseWhy, Corrupt, Event, Modified, Moved, RequestMark, Reserved};
use crate::lane::{Lane, LaneName};
use crate::losses::Losses;
use crate::reservation::{Reservation, State};
use crate::session::{Session, SessionState};

impl Machine {
    /// Follows one event.
    ///
    /// # Errors
    /// [`Corrupt`] where it does not follow from the state: the caller stops.
    pub fn apply(&mut self, event: &Event) -> Result<(), Corrupt> {
        self.follow(event)?;
        self.live_after(event);
        Ok(())
    }

    fn follow(&mut self, event: &Event) -> Result<(), Corrupt> {
        self.pass_time(event.at)?;
        let mark = event.request;
        match &event.change {
            Change::TopologyApplied { spec, version, losses } => {
                self.topology_applied(spec, (*version, losses), event)?;
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
            Change::Modified(modified) => {
                self.modified(modified)?;
                self.remember(mark, Outcome::Reservation(modified.id), event.at);
            }
            Change::Moved(moved) => self.moved(moved, event.at)?,
            Change::Settled { id } => self.settled(*id, event.at)?,
            Change::Metered { used } => self.metered(used, event.at)?,
            Change::Closed { id, why, free_from, used } => {
                self.closed(*id, event.at, (*why, *free_from, *used))?;
                self.remember(mark, Outcome::Reservation(*id), event.at);
            }
            Change::Curtailed { id, end, free_from } => self.curtailed(*id, *end, *free_from)?,
            Change::SessionOpened { id, agent } => {
                self.session_opened(*id, agent, event.at)?;
                self.remember(mark, Outcome::Session(*id), event.at);
            }
            Change::SessionEnded { id, lost } => {
                self.session_ended(*id, event.at, *lost)?;
                self.remember(mark, Outcome::Session(*id), event.at);
            }
            Change::Drained { resource } => {
                self.drain_applied(resource);
                self.remember(mark, Outcome::Drain(resource.clone()), event.at);
            }
            Change::Undrained { resource } => {
                self.undrain_applied(resource);
                self.remember(mark, Outcome::Undrain(resource.clone()), event.at);
            }
            Change::MaintenanceCreated { maintenance, losses } => {
                self.maintenance_created(maintenance)?;
                let outcome = Outcome::Maintenance(maintenance.id, losses.clone());
                self.remember(mark, outcome, event.at);
            }
            Change::MaintenanceEnded { id } => {
                self.maintenance_ended(*id, event.at)?;
                let outcome = Outcome::Maintenance(*id, Losses::default());
                self.remember(mark, outcome, event.at);
            }
            Change::PolicyApplied { version, changes, overuses } => {
                self.policy_applied((*version, changes, overuses), event)?;
            }
            Change::Forgotten { reservations, sessions, requests, maintenances } => {
                self.forgotten(reservations, sessions, requests)?;
                for id in maintenances {
                    self.maintenance_forgotten(*id)?;
                }
            }
        }
        Ok(())
    }

    /// Quotas that follow the calendar are looked up anew each day.
    fn pass_time(&mut self, now: Timestamp) -> Result<(), Corrupt> {
        let before = self.state.clock;
        if now < before {
            return Err(corrupt(format!("{now} lies before {before}")));
        }
        self.state.clock = now;
        if day_of(before) == day_of(now) { Ok(()) } else { self.state.follow_calendar() }
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
        let created_by = event.request.map(|mark| mark.id);
        let reservation = Reservation::granted(reserved.clone(), event.at, created_by);
        let reservation =
            reservation.ok_or_else(|| corrupt(format!("reservation {id} has no plan")))?;
        self.book(&reservation)?;
        self.recharge(None, Some(&reservation));
        self.remember_account(&reservation);
        match reservation.despite {
            None => self.state.count_one(&reservation.owner, true),
            Some(_) => self.recent.count(|counts| &mut counts.observed),
        }
        self.state.ends.insert(reservation.ends(self.limits.lease));
        self.state.reservations.insert(id, reservation);
        self.number(id);
        self.watch_for_use(id, event.at);
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
        self.state.ends.remove(&reservation.ends(self.limits.lease));
        *reservation = reservation.clone().stepped(state);
        if reservation.is_live() {
            self.state.ends.insert(reservation.ends(self.limits.lease));
        }
        if let State::Held { .. } = state {
            // No plan of a volume may begin before the hold lapses now.
            self.number(id);
        }
        self.watch_for_use(id, self.state.clock);
        Ok(())
    }

    fn closed(
        &mut self,
        id: ReservationId,
        at: Timestamp,
        (why, free_from, used): (CloseWhy, Timestamp, ByteCount),
    ) -> Result<(), Corrupt> {
        let open = self.known(id)?.clone();
        self.step(id, State::Closed { why, at, free_from, used })?;
        let closed = self.known(id)?.clone();
        self.rebook(&open, &closed)?;
        if let Some(bound) = closed.session.and_then(|it| self.state.bound.get_mut(&it)) {
            bound.remove(&id);
        }
        self.recent.count_last(id, open.metered, used);
        self.recent.forget_meter(id);
        match why {
            CloseWhy::NoShow => self.recent.count(|counts| &mut counts.no_shows),
            CloseWhy::Preempted => self.recent.count(|counts| &mut counts.preempted),
            CloseWhy::Completed
            | CloseWhy::Released
            | CloseWhy::Expired
            | CloseWhy::SessionLost
            | CloseWhy::CapacityLost => {}
        }
        self.movables.forget(id);
        self.state.live = self.state.live.saturating_sub(1);
        if closed.despite.is_none() {
            self.state.count_one(&closed.owner, false);
        }
        self.state.past.extend(past(&closed));
        Ok(())
    }

    fn modified(&mut self, modified: &Modified) -> Result<(), Corrupt> {
        let before = self.known(modified.id)?.clone();
        if !before.is_live() {
            return Err(corrupt(format!("reservation {} is closed", before.id)));
        }
        let after = before.clone().modified(modified.clone());
        self.state.ends.remove(&before.ends(self.limits.lease));
        self.state.ends.insert(after.ends(self.limits.lease));
        self.rebook(&before, &after)?;
        match (before.despite, after.despite) {
            (None, Some(_)) => {
                self.state.count_one(&after.owner, false);
                self.recent.count(|counts| &mut counts.observed);
            }
            // Brokers of before did not say it of changes, and booked them.
            (Some(_), None) => self.state.count_one(&after.owner, true),
            (None, None) | (Some(_), Some(_)) => {}
        }
        self.state.reservations.insert(after.id, after);
        // Exactly these terms are promised now, and nothing moves any more.
        self.movables.forget(modified.id);
        self.watch_for_use(modified.id, self.state.clock);
        Ok(())
    }

    /// Brings the end of a live reservation forward; some of what is behind it may stay booked.
    fn curtailed(
        &mut self,
        id: ReservationId,
        end: Timestamp,
        free_from: Timestamp,
    ) -> Result<(), Corrupt> {
        let before = self.known(id)?.clone();
        let curtailable = before.is_live() && end < before.interval.end();
        let after = before.clone().curtailed(end, free_from).filter(|_| curtailable);
        let after =
            after.ok_or_else(|| corrupt(format!("reservation {id} cannot end at {end}")))?;
        self.state.ends.remove(&before.ends(self.limits.lease));
        self.state.ends.insert(after.ends(self.limits.lease));
        self.rebook(&before, &after)?;
        self.state.reservations.insert(id, after);
        self.number(id);
        Ok(())
    }

    /// Replaces the rest of a live reservation's plan.
    fn moved(&mut self, moved: &Moved, at: Timestamp) -> Result<(), Corrupt> {
        let before = self.known(moved.id)?.clone();
        let after = before.clone().moved(moved.clone());
        let after = after.filter(|_| before.is_live());
        let after =
            after.ok_or_else(|| corrupt(format!("reservation {} cannot move", moved.id)))?;
        self.state.ends.remove(&before.ends(self.limits.lease));
        self.state.ends.insert(after.ends(self.limits.lease));
        self.rebook(&before, &after)?;
        self.state.reservations.insert(after.id, after);
        self.number(moved.id);
        self.recent.count(|counts| &mut counts.moved);
        self.recent.no_last_word(moved.id);
        self.watch_for_use(moved.id, at);
        Ok(())
    }

    fn settled(&mut self, id: ReservationId, at: Timestamp) -> Result<(), Corrupt> {
        let before = self.known(id)?.clone();
        let mut after = Reservation { kept: Vec::new(), ..before.clone() };
        if let State::Closed { free_from, .. } = &mut after.state {
            *free_from = at.min(*free_from);
        }
        if let Some(entry) = past(&before) {
            self.state.past.remove(&entry);
        }
        self.state.past.extend(past(&after));
        self.rebook(&before, &after)?;
        self.state.reservations.insert(id, after);
        Ok(())
    }

    fn metered(
        &mut self,
        used: &[(ReservationId, ByteCount)],
        at: Timestamp,
    ) -> Result<(), Corrupt> {
        for (id, bytes) in used {
            let found = self.state.reservations.get_mut(id);
            let found = found.ok_or_else(|| corrupt(format!("no reservation {id}")))?;
            found.metered = *bytes;
            self.recent.metered(*id, at);
        }
        Ok(())
    }

    pub(super) fn known(&self, id: ReservationId) -> Result<&Reservation, Corrupt> {
        let found = self.state.reservations.get(&id);
        found.ok_or_else(|| corrupt(format!("no reservation {id}")))
    }

    /// Books on the lanes what a reservation books now instead of before.
    pub(super) fn rebook(
        &mut self,
        before: &Reservation,
        after: &Reservation,
    ) -> Result<(), Corrupt> {
        // Booked first, so that a lane which left the topology is not dropped in between.
        self.book(after)?;
        self.free(before)?;
        self.recharge(Some(before), Some(after));
        Ok(())
    }

    fn book(&mut self, reservation: &Reservation) -> Result<(), Corrupt> {
        for (name, over, amount) in reservation.bookings() {
            let imbalance = |_| corrupt(format!("{name} overflows"));
            self.lane_mut(name)?.book(over, amount).map_err(imbalance)?;
            self.live.touch(name);
        }
        Ok(())
    }

    fn free(&mut self, reservation: &Reservation) -> Result<(), Corrupt> {
        for (name, over, amount) in reservation.bookings() {
            let imbalance = |_| corrupt(format!("{name} is not booked that much"));
            self.live.touch(name);
            let lane = self.lane_mut(name)?;
            lane.unbook(over, amount).map_err(imbalance)?;
            if lane.timeline.is_empty() && (lane.def.is_none() || !name.lasts_empty()) {
                self.state.lanes.remove(name);
            }
        }
        Ok(())
    }

    fn session_opened(
        &mut self,
        id: SessionId,
        agent: &Name,
        at: Timestamp,
    ) -> Result<(), Corrupt> {
        let state = SessionState::Open;
        let session = Session { id, agent: agent.clone(), created: at, state };
        if self.state.sessions.insert(id, session).is_some() {
            return Err(corrupt(format!("session {id} exists")));
        }
        self.state.bound.insert(id, Default::default());
        self.recent.hear(id, at);
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
            self.recent.forget_reservation(*id);
            let gone = gone.ok_or_else(|| corrupt(format!("no reservation {id}")))?;
            let entry = past(&gone);
            let entry = entry.ok_or_else(|| corrupt(format!("reservation {id} is not closed")))?;
            self.state.past.remove(&entry);
            self.free(&gone)?;
            self.recharge(Some(&gone), None);
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

    pub(super) fn remember(&mut self, mark: Option<RequestMark>, outcome: Outcome, at: Timestamp) {
        let Some(RequestMark { id, fingerprint }) = mark else { return };
        self.state.requests.insert(id, Remembered { fingerprint, outcome, at });
        self.state.past.insert((at, Past::Request(id)));
    }

    pub(super) fn lane_mut(&mut self, name: &LaneName) -> Result<&mut Lane, Corrupt> {
        if !self.state.lanes.contains_key(name)
            && let Some(fresh) = self.state.fresh_quota(name)
        {
            self.state.lanes.insert(name.clone(), fresh);
        }
        self.state.lanes.get_mut(name).ok_or_else(|| corrupt(format!("no lane {name}")))
    }
}

/// Since when a closed reservation could be forgotten.
pub(crate) fn past(reservation: &Reservation) -> Option<(Timestamp, Past)> {
    reservation.over_from().map(|since| (since, Past::Reservation(reservation.id)))
}

fn corrupt(what: String) -> Corrupt {
    Corrupt { what }
}

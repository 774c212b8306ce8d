//! Decides everything but a new booking and a new topology: who asked, what stands, what follows.

use tidegate_policy::{ReservationId, SessionId, Span, Timestamp};

use super::{Answer, Decision, Machine, Outcome, Stamp};
use crate::command::{Command, Release, Request, Target};
use crate::event::{Change, CloseWhy, Event, RequestMark};
use crate::fault::Fault;
use crate::reservation::{Reservation, State};
use crate::session::{Session, SessionState};

impl Machine {
    /// What is to happen and what the asker hears; nothing changes. Whatever was due at the
    /// stamp's now must have been applied before.
    ///
    /// # Errors
    /// A [`Fault`] where the request itself is wrong or comes at the wrong time.
    pub fn decide(&self, stamp: Stamp, request: &Request) -> Result<Decision, Fault> {
        if let Command::ReserveAll(batch) = &request.command {
            return self.reserve_all(stamp, &request.mark, batch);
        }
        if let Some(answer) = self.answered(stamp, &request.mark)? {
            return Ok(Decision::new(Vec::new(), answer));
        }
        self.check_window(stamp, &request.mark)?;
        let mut decision = match &request.command {
            Command::Reserve(ask) => self.reserve(stamp, ask),
            // Every entry of a batch is a request of its own.
            Command::ReserveAll(batch) => self.reserve_all(stamp, &request.mark, batch),
            Command::Confirm(target) => self.confirm(stamp, target),
            Command::ExtendHold(target, span) => self.extend_hold(stamp, target, *span),
            Command::Modify(modify) => self.modify(stamp, modify),
            Command::Release(release) => self.release(stamp, release),
            Command::OpenSession(agent) => self.open_session(stamp, agent.clone()),
            Command::CloseSession(id) => self.close_session(stamp, *id),
            Command::ApplyTopology { spec, accept_losses } => {
                self.apply_topology(stamp, spec, *accept_losses)
            }
            Command::Drain(resource) => self.drain(stamp, resource),
            Command::Undrain(resource) => self.undrain(stamp, resource),
            Command::CreateMaintenance(ask) => self.create_maintenance(stamp, ask),
            Command::DeleteMaintenance(id) => self.delete_maintenance(stamp, *id),
            Command::ApplyPolicy(ask) => self.apply_policy(stamp, ask),
        }?;
        // The mark goes with the last event: with it, all of the decision has happened.
        if let Some(last) = decision.events.last_mut() {
            last.request = Some(request.mark);
            if matches!(last.change, Change::Reserved(_)) {
                decision.answer = decision.answer.made_by(request.mark.id);
            }
        }
        Ok(decision)
    }

    /// What the same request was answered before.
    pub(super) fn answered(
        &self,
        stamp: Stamp,
        mark: &RequestMark,
    ) -> Result<Option<Answer>, Fault> {
        let same = |fingerprint: &[u8; 32]| {
            if *fingerprint == mark.fingerprint {
                Ok(())
            } else {
                Err(Fault::RequestReused(mark.id))
            }
        };
        if let Some((refused, refusal)) = self.recent.refusal(mark.id) {
            same(&refused.fingerprint)?;
            let mut refusal = refusal.clone();
            // As it stands now, as for everything that is answered again.
            let held = refusal.held.take().map(|held| held.id);
            refusal.held =
                held.and_then(|id| self.state.reservations.get(&id).cloned().map(Box::new));
            return Ok(Some(Answer::Refusal(refusal)));
        }
        let Some(remembered) = self.state.requests.get(&mark.id) else { return Ok(None) };
        same(&remembered.fingerprint)?;
        Ok(match &remembered.outcome {
            Outcome::Reservation(id) => self.state.reservations.get(id).cloned().map(boxed),
            Outcome::Session(id) => {
                self.state.sessions.get(id).cloned().map(|found| Answer::Session(found.into()))
            }
            Outcome::Topology { version, changes, losses } => {
                let (changes, losses) = (changes.clone(), losses.clone());
                Some(Answer::Topology { version: *version, changes, losses })
            }
            Outcome::Maintenance(id, losses) => self.state.maintenances.get(id).map(|found| {
                let maintenance = Box::new(found.clone());
                Answer::Maintenance { maintenance, losses: losses.clone() }
            }),
            Outcome::Drain(resource) => Some(self.drained_answer(stamp.now, resource)),
            Outcome::Undrain(resource) => Some(self.undrained_answer(resource)),
            Outcome::Policy { version, changes, overuses } => {
                let (changes, overuses) = (changes.clone(), overuses.clone());
                Some(Answer::Policy { version: *version, changes, overuses })
            }
        })
    }

    /// An id that was not made lately may have been carried out and forgotten since.
    pub(super) fn check_window(&self, stamp: Stamp, mark: &RequestMark) -> Result<(), Fault> {
        let window = self.limits.request_window;
        let near = |made: &tidegate_policy::Timestamp| {
            // Open at its end: an answer is forgotten two windows after it was given, and by then
            // an id that was a window ahead of its time must not be accepted any more.
            *made <= stamp.now.plus(window) && stamp.now < made.plus(window)
        };
        match mark.id.made_at().filter(near) {
            Some(_) => Ok(()),
            None => Err(Fault::RequestOutOfWindow { id: mark.id, window }),
        }
    }

    pub(super) fn found(&self, id: ReservationId) -> Result<&Reservation, Fault> {
        let missing = || Fault::NotFound { what: format!("reservations/{id}") };
        self.state.reservations.get(&id).ok_or_else(missing)
    }

    /// The reservation that is meant, if it is as its asker last saw it.
    ///
    /// # Errors
    /// [`Fault::NotFound`] and [`Fault::Stale`].
    pub fn target(&self, target: &Target) -> Result<&Reservation, Fault> {
        let found = self.found(target.id)?;
        if let Some(project) = &target.project
            && *project != found.owner.project
        {
            let what = format!("projects/{project}/reservations/{}", target.id);
            return Err(Fault::NotFound { what });
        }
        match target.revision {
            Some(seen) if seen != found.revision => {
                Err(Fault::Stale { id: target.id, revision: found.revision })
            }
            _ => Ok(found),
        }
    }

    /// Whoever speaks as the holder of a reservation has to be it.
    pub(super) fn check_holder(
        &self,
        found: &Reservation,
        holder: Option<SessionId>,
    ) -> Result<(), Fault> {
        match holder {
            Some(session) if found.session != Some(session) => {
                Err(Fault::NotHolder { id: found.id, session })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn open(&self, id: SessionId) -> Result<&Session, Fault> {
        let missing = || Fault::NotFound { what: format!("sessions/{id}") };
        let session = self.state.sessions.get(&id).ok_or_else(missing)?;
        if session.is_open() { Ok(session) } else { Err(Fault::SessionEnded(id)) }
    }

    fn confirm(&self, stamp: Stamp, target: &Target) -> Result<Decision, Fault> {
        let found = self.target(target)?;
        let id = found.id;
        match found.state {
            State::Held { .. } => {
                let after = found.clone().stepped(State::Confirmed);
                Ok(happens(stamp, Change::Confirmed { id }, boxed(after)))
            }
            State::Confirmed => Ok(unchanged(boxed(found.clone()))),
            State::Closed { .. } => {
                Err(Fault::IllegalStep { id, step: "confirm", state: found.state })
            }
        }
    }

    fn extend_hold(&self, stamp: Stamp, target: &Target, span: Span) -> Result<Decision, Fault> {
        let found = self.target(target)?;
        let id = found.id;
        match found.state {
            State::Held { .. } => {
                let last = found.created.plus(self.limits.hold_max);
                let until = stamp.now.plus(span).min(last);
                let moved = self.held_until(stamp.now, found, until);
                let mut events = Vec::with_capacity(2);
                let (until, after) = match moved {
                    Some((moved, after)) => {
                        let change = Change::Moved(moved.into());
                        events.push(Event { at: stamp.now, request: None, change });
                        (until, after)
                    }
                    None => (until.min(found.held_at_most()), found.clone()),
                };
                let after = after.stepped(State::Held { until });
                let change = Change::HoldExtended { id, until };
                events.push(Event { at: stamp.now, request: None, change });
                Ok(Decision::new(events, boxed(after)))
            }
            State::Confirmed | State::Closed { .. } => {
                Err(Fault::IllegalStep { id, step: "extend the hold of", state: found.state })
            }
        }
    }

    fn release(&self, stamp: Stamp, release: &Release) -> Result<Decision, Fault> {
        let found = self.target(&release.target)?;
        let id = found.id;
        self.check_holder(found, release.holder)?;
        match found.state {
            State::Held { .. } | State::Confirmed => {
                // A holder's own word, a hold, and a grant that nobody is known to hold are free
                // at once; else the lanes wait until the holder must have stopped.
                let now = stamp.now;
                let stops = self.stops(now, found, release.holder);
                let free_from = stops.min(found.interval.end().max(now));
                let used = self.used(id).max(release.used);
                let why = CloseWhy::Released;
                let state = State::Closed { why, at: now, free_from, used };
                let mut after = found.clone().stepped(state);
                let mut events = Vec::new();
                if release.holder.is_some() {
                    events.extend(stopped(now, found));
                    after.kept.clear();
                }
                let change = Change::Closed { id, why, free_from, used };
                events.push(Event { at: now, request: None, change });
                Ok(Decision::new(events, boxed(after)))
            }
            State::Closed { why: CloseWhy::Released, .. } => Ok(unchanged(boxed(found.clone()))),
            State::Closed { .. } => {
                Err(Fault::IllegalStep { id, step: "release", state: found.state })
            }
        }
    }

    fn open_session(&self, stamp: Stamp, agent: tidegate_policy::Name) -> Result<Decision, Fault> {
        let limit = self.limits.sessions_max;
        if limit <= self.state.sessions.len() {
            return Err(Fault::Full { what: "sessions", limit });
        }
        let id = SessionId::from_u128(stamp.fresh);
        let state = SessionState::Open;
        let session = Session { id, agent: agent.clone(), created: stamp.now, state };
        Ok(happens(stamp, Change::SessionOpened { id, agent }, Answer::Session(session.into())))
    }

    fn close_session(&self, stamp: Stamp, id: SessionId) -> Result<Decision, Fault> {
        let missing = || Fault::NotFound { what: format!("sessions/{id}") };
        let found = self.state.sessions.get(&id).ok_or_else(missing)?;
        match found.state {
            SessionState::Open => {
                // Whoever closes its session says with it that it has stopped sending, under any
                // terms.
                let bound = self.state.bound.get(&id).into_iter().flatten();
                let mut events = Vec::new();
                for id in bound {
                    let found = self.state.reservations.get(id);
                    events.extend(found.and_then(|found| stopped(stamp.now, found)));
                    events.push(self.close(stamp.now, *id, CloseWhy::Released));
                }
                let change = Change::SessionEnded { id, lost: false };
                events.push(Event { at: stamp.now, request: None, change });
                let state = SessionState::Closed { at: stamp.now };
                let after = Session { state, ..found.clone() };
                Ok(Decision::new(events, Answer::Session(after.into())))
            }
            SessionState::Closed { .. } => Ok(unchanged(Answer::Session(found.clone().into()))),
            SessionState::Lost { .. } => Err(Fault::SessionEnded(id)),
        }
    }
}

/// What a holder says of the earlier terms of a reservation by giving it back: that it does not
/// send under them either.
fn stopped(now: Timestamp, found: &Reservation) -> Option<Event> {
    let change = Change::Settled { id: found.id };
    (!found.kept.is_empty()).then_some(Event { at: now, request: None, change })
}

pub(super) fn boxed(reservation: Reservation) -> Answer {
    Answer::Reservation(reservation.into())
}

pub(super) fn happens(stamp: Stamp, change: Change, answer: Answer) -> Decision {
    let event = Event { at: stamp.now, request: None, change };
    Decision::new(vec![event], answer)
}

pub(super) fn unchanged(answer: Answer) -> Decision {
    Decision::new(Vec::new(), answer)
}

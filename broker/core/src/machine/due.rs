//! What time alone brings about: ends, expiries, silence, forgetting.

use tidegate_policy::{MaintenanceId, RequestId, ReservationId, SessionId, Span, Timestamp};

use super::{Machine, SILENCE_MARGIN};
use crate::event::{Change, CloseWhy, Event};
use crate::reservation::State;

/// Something that is only remembered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Past {
    /// A closed reservation, and the answer that made it.
    Reservation(ReservationId),
    /// An ended session.
    Session(SessionId),
    /// An answer.
    Request(RequestId),
    /// A maintenance window that is over.
    Maintenance(MaintenanceId),
}

/// The most things that are forgotten or metered by one event.
const FORGET_MAX: usize = 256;

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Due {
    Silence(SessionId),
    End(ReservationId),
    LastWord(ReservationId),
    NoShow(ReservationId),
    Metering,
    Window(MaintenanceId),
    Forgetting,
}

impl Machine {
    /// The events that are due first, if any are due at `now`. Apply them and ask again.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<Event> {
        let first = self.next_of_each().min().filter(|(when, _)| *when <= now);
        match first {
            Some((_, Due::Silence(session))) => self.session_lost(now, session),
            Some((_, Due::End(id) | Due::LastWord(id))) => {
                self.end_of(now, id).into_iter().collect()
            }
            Some((_, Due::NoShow(id))) => self.no_show(now, id),
            Some((_, Due::Metering)) => vec![self.meter(now)],
            Some((_, Due::Window(id))) => {
                let change = Change::MaintenanceEnded { id };
                vec![Event { at: now, request: None, change }]
            }
            Some((_, Due::Forgetting)) => vec![self.forget(now)],
            None => Vec::new(),
        }
    }

    /// When something is due next.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.next_of_each().map(|(when, _)| when).min()
    }

    fn next_of_each(&self) -> impl Iterator<Item = (Timestamp, Due)> {
        let window = self.state.maintenance_ends.first();
        let window = window.map(|(when, id)| (*when, Due::Window(*id)));
        let metering = self.recent.to_meter().next().map(|(when, _)| (when, Due::Metering));
        let (silence, forgetting) = (self.next_silence(), self.next_forgetting());
        let last_word = self.recent.last_word().map(|(when, id)| (when, Due::LastWord(id)));
        let (end, idle) = (self.next_end(), self.next_idle());
        [silence, end, last_word, idle, metering, window, forgetting].into_iter().flatten()
    }

    /// Until when the holder of a session may be sending by its own count, and a second more.
    pub(super) fn silent_until(&self, session: SessionId) -> Option<Timestamp> {
        let heard = self.recent.heard(session)?;
        Some(heard.plus(self.limits.lease).plus(self.limits.grace).plus(SILENCE_MARGIN))
    }

    /// Until when a holder that hears nothing may be sending under a plan that may move, and a
    /// second more.
    pub(super) fn unheard_until(&self, session: SessionId) -> Option<Timestamp> {
        let heard = self.recent.heard(session)?;
        Some(heard.plus(self.limits.lease).plus(SILENCE_MARGIN))
    }

    fn next_silence(&self) -> Option<(Timestamp, Due)> {
        let (_, session) = self.recent.most_silent()?;
        self.silent_until(session).map(|when| (when, Due::Silence(session)))
    }

    fn next_end(&self) -> Option<(Timestamp, Due)> {
        self.state.ends.first().map(|(when, id)| (*when, Due::End(*id)))
    }

    /// The first grant that is taken for one that nobody uses, of those whose holders report what
    /// they move.
    fn next_idle(&self) -> Option<(Timestamp, Due)> {
        let (when, id) = self.recent.most_idle()?;
        Some((when, Due::NoShow(id)))
    }

    /// A grant under which nothing has moved is taken back: its holder may still be there, so its
    /// lanes are free once that must have stopped.
    fn no_show(&self, now: Timestamp, id: ReservationId) -> Vec<Event> {
        let Some(found) = self.state.reservations.get(&id) else { return Vec::new() };
        let free_from = self.stops(now, found, None).min(found.interval.end().max(now));
        let change = Change::Closed { id, why: CloseWhy::NoShow, free_from, used: self.used(id) };
        vec![Event { at: now, request: None, change }]
    }

    fn next_forgetting(&self) -> Option<(Timestamp, Due)> {
        self.state.past.first().map(|(since, _)| (since.plus(self.keep()), Due::Forgetting))
    }

    /// How long the past is remembered: an id is accepted from a window before to a window after
    /// now, so an answer that is kept for two windows outlives every retry.
    pub(super) fn keep(&self) -> Span {
        let window = self.limits.request_window;
        self.limits.retain.max(window.plus(window))
    }

    fn end_of(&self, now: Timestamp, id: ReservationId) -> Option<Event> {
        let found = self.state.reservations.get(&id)?;
        match (found.state, found.curtailed) {
            (State::Held { .. }, _) => Some(self.close(now, id, CloseWhy::Expired)),
            (State::Confirmed, false) => Some(match self.catch_up(now, id) {
                Some(moved) => {
                    Event { at: now, request: None, change: Change::Moved(moved.into()) }
                }
                None => self.close(now, id, CloseWhy::Completed),
            }),
            (State::Confirmed, true) => Some(self.close(now, id, CloseWhy::CapacityLost)),
            (State::Closed { .. }, _) => None,
        }
    }

    /// A close whose lanes are free at once.
    pub(super) fn close(&self, now: Timestamp, id: ReservationId, why: CloseWhy) -> Event {
        let used = self.used(id);
        Event { at: now, request: None, change: Change::Closed { id, why, free_from: now, used } }
    }

    fn session_lost(&self, now: Timestamp, session: SessionId) -> Vec<Event> {
        let bound = self.state.bound.get(&session).into_iter().flatten();
        let mut events: Vec<Event> =
            bound.map(|id| self.close(now, *id, CloseWhy::SessionLost)).collect();
        let change = Change::SessionEnded { id: session, lost: true };
        events.push(Event { at: now, request: None, change });
        events
    }

    /// What sessions reported since it was journaled last, where that is long enough ago.
    fn meter(&self, now: Timestamp) -> Event {
        let due = self.recent.to_meter().take_while(|(when, _)| *when <= now);
        let used = due.take(FORGET_MAX).map(|(_, id)| (id, self.used(id))).collect();
        Event { at: now, request: None, change: Change::Metered { used } }
    }

    /// Everything that need not be remembered at `now`, up to a bound.
    fn forget(&self, now: Timestamp) -> Event {
        let (mut reservations, mut sessions) = (Vec::new(), Vec::new());
        let (mut requests, mut maintenances) = (Vec::new(), Vec::new());
        let old = self.state.past.iter().take_while(|(since, _)| since.plus(self.keep()) <= now);
        for (_, past) in old.take(FORGET_MAX) {
            match past {
                Past::Reservation(id) => reservations.push(*id),
                Past::Session(id) => sessions.push(*id),
                Past::Request(id) => requests.push(*id),
                Past::Maintenance(id) => maintenances.push(*id),
            }
        }
        let change = Change::Forgotten { reservations, sessions, requests, maintenances };
        Event { at: now, request: None, change }
    }
}

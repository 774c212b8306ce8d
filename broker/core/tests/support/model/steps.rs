//! What should be answered: everything but a new booking, and what time alone brings about.

use std::collections::BTreeMap;

use tidegate_core::event::RequestMark;
use tidegate_core::{
    Answer, CloseWhy, Fault, Note, Release, Reservation, Session, SessionState, State, Target,
};
use tidegate_policy::{
    ByteCount, MaintenanceId, Name, RequestId, ReservationId, SessionId, Span, Timestamp,
};

use super::load::at;
use super::oracle::{About, Expected, Oracle, ms, reply};

/// A second between the instant at which a holder stops and the one at which others may start.
const MARGIN_MS: i64 = 1000;

/// What was dropped from memory.
#[derive(Default, PartialEq, Eq, Debug)]
pub(crate) struct Forgotten {
    pub(crate) reservations: Vec<ReservationId>,
    pub(crate) sessions: Vec<SessionId>,
    pub(crate) requests: Vec<RequestId>,
    pub(crate) windows: Vec<MaintenanceId>,
}

/// What time brought about.
#[derive(Default, PartialEq, Eq, Debug)]
pub(crate) struct Passed {
    /// Which, why, and from when their lanes are free.
    pub(crate) closed: Vec<(ReservationId, String, Timestamp)>,
    pub(crate) windows: Vec<MaintenanceId>,
    pub(crate) lost: Vec<SessionId>,
    pub(crate) metered: Vec<(ReservationId, u64)>,
    pub(crate) forgotten: Forgotten,
}

fn said(session: &Session) -> Expected {
    Expected::Answer(Answer::Session(session.clone().into()))
}

impl Oracle {
    pub(super) fn found(&self, id: ReservationId) -> Result<Reservation, Expected> {
        let what = format!("reservations/{id}");
        let found = self.reservations.get(&id).cloned();
        found.ok_or(Expected::Fault(Fault::NotFound { what }))
    }

    pub(super) fn confirm(&mut self, now: i64, target: &Target, mark: RequestMark) -> Expected {
        let mut found = match self.target(target) {
            Ok(found) => found,
            Err(fault) => return fault,
        };
        match found.state {
            State::Confirmed => reply(&found),
            State::Closed { .. } => illegal(&found, "confirm"),
            State::Held { .. } => {
                found.state = State::Confirmed;
                let answer = self.replace(now, found, mark);
                self.watch(now, target.id);
                answer
            }
        }
    }

    pub(super) fn extend(
        &mut self,
        now: i64,
        (target, span): (&Target, Span),
        mark: RequestMark,
    ) -> Expected {
        let mut found = match self.target(target) {
            Ok(found) => found,
            Err(fault) => return fault,
        };
        if !matches!(found.state, State::Held { .. }) {
            return illegal(&found, "extend the hold of");
        }
        let in_all = found.created.as_ms() + ms(self.limits.hold_max);
        let until = (now + ms(span)).min(in_all).min(found.interval.end().as_ms());
        found.state = State::Held { until: at(until) };
        self.replace(now, found, mark)
    }

    fn replace(&mut self, now: i64, mut found: Reservation, mark: RequestMark) -> Expected {
        found.revision += 1;
        let answer = reply(&found);
        self.remember(now, mark, About::Reservation(found.id));
        self.put(found);
        answer
    }

    pub(super) fn release(&mut self, now: i64, release: &Release, mark: RequestMark) -> Expected {
        let id = release.target.id;
        let found = match self.target(&release.target) {
            Ok(found) => found,
            Err(fault) => return fault,
        };
        if let Some(session) = release.holder
            && Some(session) != found.session
        {
            return Expected::Fault(Fault::NotHolder { id, session });
        }
        match found.state {
            State::Closed { why: CloseWhy::Released, .. } => return reply(&found),
            State::Closed { .. } => return illegal(&found, "release"),
            State::Held { .. } | State::Confirmed => {}
        }
        let stops = self.stops(now, &found, release.holder);
        let free_from = stops.min(found.interval.end().as_ms()).max(now);
        let used = release.used.bytes();
        if release.holder.is_some() {
            self.settled(now, id);
        }
        let closed = self.close(now, id, (CloseWhy::Released, free_from, used));
        self.remember(now, mark, About::Reservation(id));
        reply(&closed)
    }

    /// When a session's holder must have stopped, and a second more.
    pub(super) fn silence(&self, session: SessionId) -> i64 {
        self.heard[&session] + ms(self.limits.lease) + ms(self.limits.grace) + MARGIN_MS
    }

    pub(crate) fn open_sessions(&self) -> Vec<SessionId> {
        self.heard.keys().copied().collect()
    }

    pub(super) fn open(
        &mut self,
        now: i64,
        (fresh, agent): (u128, &Name),
        mark: RequestMark,
    ) -> Expected {
        let limit = self.limits.sessions_max;
        if limit <= self.sessions.len() {
            return Expected::Fault(Fault::Full { what: "sessions", limit });
        }
        let id = SessionId::from_u128(fresh);
        let (agent, created) = (agent.clone(), at(now));
        let session = Session { id, agent, created, state: SessionState::Open };
        let answer = said(&session);
        self.sessions.insert(id, session);
        self.heard.insert(id, now);
        self.remember(now, mark, About::Session(id));
        answer
    }

    pub(super) fn close_session(&mut self, now: i64, id: SessionId, mark: RequestMark) -> Expected {
        match self.sessions.get(&id).map(|session| session.state) {
            None => Expected::Fault(Fault::NotFound { what: format!("sessions/{id}") }),
            Some(SessionState::Lost { .. }) => Expected::Fault(Fault::SessionEnded(id)),
            Some(SessionState::Closed { .. }) => said(&self.sessions[&id]),
            Some(SessionState::Open) => {
                for bound in self.bound(id) {
                    self.settled(now, bound);
                    self.close(now, bound, (CloseWhy::Released, now, 0));
                }
                self.end(id, SessionState::Closed { at: at(now) });
                self.remember(now, mark, About::Session(id));
                said(&self.sessions[&id])
            }
        }
    }

    fn end(&mut self, id: SessionId, state: SessionState) {
        self.heard.remove(&id);
        self.reporting.remove(&id);
        self.sessions.get_mut(&id).unwrap().state = state;
    }

    /// What a note leaves behind.
    pub(crate) fn note(&mut self, note: &Note) {
        match note {
            Note::Ruled(_) | Note::RoomNotSought | Note::HeldBack { .. } => {}
            Note::Heard { session, at } => {
                if let Some(heard) = self.heard.get_mut(session) {
                    *heard = at.as_ms();
                }
            }
            Note::Used { session, reservation, bytes, at } => {
                if !self.bound(*session).contains(reservation) {
                    return;
                }
                if self.reporting.insert(*session) {
                    for id in self.bound(*session) {
                        self.watch(at.as_ms(), id);
                    }
                }
                if 0 < bytes.bytes() {
                    self.idle.remove(reservation);
                }
                let before = self.used.get(reservation).copied();
                let newer =
                    before.is_none_or(|(known, when)| known <= bytes.bytes() && when <= at.as_ms());
                if newer {
                    self.used.insert(*reservation, (bytes.bytes(), at.as_ms()));
                    self.schedule_meter(*reservation, bytes.bytes(), at.as_ms());
                }
            }
            // Noted when it was answered.
            Note::Refused { .. } => {}
        }
    }

    /// A process that comes back remembers no beats, no reports and no refusals.
    pub(crate) fn restart(&mut self, now: i64) {
        self.refusals.clear();
        self.used.clear();
        self.reporting.clear();
        self.idle.clear();
        self.metered.clear();
        self.to_meter.clear();
        for heard in self.heard.values_mut() {
            *heard = now;
        }
    }

    /// What is over at `now`: each reservation by what ends it first, its session's silence or
    /// its own end, and the silence where both come at once.
    pub(crate) fn pass(&mut self, now: i64) -> Passed {
        let mut passed = Passed { metered: self.meter(now), ..Passed::default() };
        for (id, (_, why)) in self.over(now) {
            let free_from = match why {
                // Its holder may still be there.
                CloseWhy::NoShow => {
                    let found = &self.reservations[&id];
                    self.stops(now, found, None).min(found.interval.end().as_ms().max(now))
                }
                _ => now,
            };
            passed.closed.push((id, why.to_string(), at(free_from)));
            self.close(now, id, (why, free_from, 0));
        }
        passed.windows = self.windows_over(now);
        let silent = self.heard.keys().copied().filter(|id| self.silence(*id) <= now);
        passed.lost = silent.collect();
        for id in &passed.lost {
            self.end(*id, SessionState::Lost { at: at(now) });
        }
        passed.forgotten = self.forget(now);
        passed.closed.sort();
        passed
    }

    /// What is over, since when, and why.
    fn over(&self, now: i64) -> BTreeMap<ReservationId, (i64, CloseWhy)> {
        let live = self.reservations.values();
        let ended = live.filter_map(|found| {
            let end = found.interval.end().as_ms();
            let (end, how) = match (found.state, found.curtailed) {
                (State::Held { until }, _) => (until.as_ms(), CloseWhy::Expired),
                (State::Confirmed, false) => (end, CloseWhy::Completed),
                (State::Confirmed, true) => (end, CloseWhy::CapacityLost),
                (State::Closed { .. }, _) => return None,
            };
            let silence = found.session.map_or(i64::MAX, |session| self.silence(session));
            let first = if silence <= end { (silence, CloseWhy::SessionLost) } else { (end, how) };
            let unused = self.idle.get(&found.id).filter(|unused| **unused < first.0);
            let first = unused.map_or(first, |unused| (*unused, CloseWhy::NoShow));
            (first.0 <= now).then_some((found.id, first))
        });
        ended.collect()
    }

    /// Something has to move under a grant whose holder reports what it moves.
    pub(super) fn watch(&mut self, now: i64, id: ReservationId) {
        let found = &self.reservations[&id];
        let reports = found.session.is_some_and(|session| self.reporting.contains(&session));
        let moved = self.used.get(&id).map_or(0, |(bytes, _)| *bytes).max(found.metered.bytes());
        if reports && moved == 0 && found.state == State::Confirmed {
            let since = found.interval.start().as_ms().max(now);
            self.idle.insert(id, since + ms(self.limits.no_show_grace));
        }
    }

    /// Reports are journaled a minute after they were last, while their reservation lives.
    fn schedule_meter(&mut self, id: ReservationId, bytes: u64, when: i64) {
        let journaled = self.reservations[&id].metered.bytes();
        if journaled < bytes && !self.to_meter.contains_key(&id) {
            let last = self.metered.get(&id).copied().unwrap_or(when);
            self.to_meter.insert(id, when.max(last + 60_000));
        }
    }

    fn meter(&mut self, now: i64) -> Vec<(ReservationId, u64)> {
        // The first report that is due takes all along that are due by now, if their reservations
        // have not ended before it.
        let over = self.over(now);
        let lives = |id: &ReservationId, when: i64| over.get(id).is_none_or(|(end, _)| when < *end);
        let due = self.to_meter.iter().filter(|(_, due)| **due <= now);
        let firsts = due.clone().filter(|(id, due)| lives(id, **due));
        let Some(first) = firsts.map(|(_, due)| *due).min() else { return Vec::new() };
        let due = due.filter(|(id, _)| lives(id, first));
        let due: Vec<ReservationId> = due.map(|(id, _)| *id).collect();
        let mut metered = Vec::new();
        for id in due {
            let bytes = self.used[&id].0;
            self.to_meter.remove(&id);
            self.metered.insert(id, now);
            let found = self.reservations.get_mut(&id).unwrap();
            found.metered = found.metered.max(ByteCount::new(bytes));
            metered.push((id, found.metered.bytes()));
        }
        metered
    }

    /// Closes a reservation; its lanes are free from then.
    pub(super) fn close(
        &mut self,
        now: i64,
        id: ReservationId,
        (why, free_from, used): (CloseWhy, i64, u64),
    ) -> Reservation {
        let reported = self.used.remove(&id).map_or(0, |(bytes, _)| bytes);
        self.to_meter.remove(&id);
        self.metered.remove(&id);
        self.idle.remove(&id);
        let mut found = self.reservations[&id].clone();
        let used = ByteCount::new(reported.max(used)).max(found.metered);
        found.state = State::Closed { why, at: at(now), free_from: at(free_from), used };
        found.revision += 1;
        found.plan_version += 1;
        self.put(found.clone());
        found
    }

    fn forget(&mut self, now: i64) -> Forgotten {
        let keep = ms(self.limits.retain).max(2 * ms(self.limits.request_window));
        let old = |since: i64| since + keep <= now;
        let reservations: Vec<ReservationId> = self
            .reservations
            .values()
            .filter(|found| match found.state {
                State::Closed { at, free_from, .. } => {
                    let kept = found.kept.iter().map(|kept| kept.over.end());
                    old(kept.chain([at, free_from]).max().unwrap().as_ms())
                }
                State::Held { .. } | State::Confirmed => false,
            })
            .map(|found| found.id)
            .collect();
        let sessions: Vec<SessionId> = self
            .sessions
            .values()
            .filter(|session| match session.state {
                SessionState::Open => false,
                SessionState::Closed { at } | SessionState::Lost { at } => old(at.as_ms()),
            })
            .map(|session| session.id)
            .collect();
        let lasting = |about: &About| matches!(about, About::Made(_));
        let answers = self.answers.iter();
        let answers = answers.filter(|(_, known)| !lasting(&known.about) && old(known.at));
        let requests: Vec<RequestId> = answers.map(|(id, _)| *id).collect();
        for id in &reservations {
            let gone = self.reservations.remove(id).unwrap();
            self.answers.remove(&gone.created_by.unwrap());
            self.booked.retain(|(booked, _)| booked != id);
        }
        self.sessions.retain(|id, _| !sessions.contains(id));
        self.answers.retain(|id, _| !requests.contains(id));
        let windows = self.windows.values();
        let windows = windows.filter(|window| window.ended.is_some_and(|at| old(at.as_ms())));
        let windows: Vec<MaintenanceId> = windows.map(|window| window.id).collect();
        self.windows.retain(|id, _| !windows.contains(id));
        Forgotten { reservations, sessions, requests, windows }
    }
}

pub(super) fn illegal(found: &Reservation, step: &'static str) -> Expected {
    Expected::Fault(Fault::IllegalStep { id: found.id, step, state: found.state })
}

//! What should be answered: the rules of reservations, holds, sessions and repeated requests over
//! plain lists.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::command::{Ask, Shape};
use tidegate_core::event::{Booked, RequestMark};
use tidegate_core::machine::LaneChange;
use tidegate_core::{
    Answer, CloseWhy, Command, Fault, Limits, Losses, Maintenance, Refusal, Request, Reservation,
    Session, SessionState, State, Until,
};
use tidegate_policy::{
    BitRate, ByteCount, Endpoint, Interval, MaintenanceId, RequestId, ReservationId, Resource,
    SessionId, Span, Timestamp,
};

use super::load::{Booking, Load, Wish, at};
use super::net::{Net, Unasked, Way, lane_name};

/// What the machine should say.
#[derive(PartialEq, Debug)]
pub(crate) enum Expected {
    /// This fault, word for word.
    Fault(Fault),
    /// A fault of these fields, in this order.
    Fields(Vec<String>),
    /// This answer.
    Answer(Answer),
}

pub(super) struct Known {
    pub(super) print: [u8; 32],
    pub(super) about: About,
    pub(super) at: i64,
}

pub(super) enum About {
    /// The reservation that it made: the answer lives as long.
    Made(ReservationId),
    Reservation(ReservationId),
    Session(SessionId),
    Topology(u64, Vec<LaneChange>, Losses),
    Drain(Resource, bool),
    Window(MaintenanceId, Losses),
}

pub(crate) struct Oracle {
    pub(crate) limits: Limits,
    pub(crate) net: Net,
    pub(crate) version: u64,
    pub(crate) reservations: BTreeMap<ReservationId, Reservation>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) windows: BTreeMap<MaintenanceId, Maintenance>,
    pub(crate) drained: BTreeSet<Resource>,
    /// The list that every question is answered from.
    pub(crate) booked: Vec<(ReservationId, Booking)>,
    pub(super) heard: BTreeMap<SessionId, i64>,
    pub(super) used: BTreeMap<ReservationId, (u64, i64)>,
    pub(super) answers: BTreeMap<RequestId, Known>,
    pub(super) refusals: BTreeMap<RequestId, ([u8; 32], Refusal, i64)>,
}

pub(super) fn ms(span: Span) -> i64 {
    i64::try_from(span.as_ms()).unwrap()
}

pub(super) fn reply(found: &Reservation) -> Expected {
    Expected::Answer(Answer::Reservation(found.clone().into()))
}

fn field(name: &str) -> Expected {
    Expected::Fields(vec![name.into()])
}

impl Oracle {
    pub(crate) fn new(limits: Limits, net: Net) -> Self {
        Self {
            limits,
            net,
            version: 0,
            reservations: BTreeMap::new(),
            sessions: BTreeMap::new(),
            windows: BTreeMap::new(),
            drained: BTreeSet::new(),
            booked: Vec::new(),
            heard: BTreeMap::new(),
            used: BTreeMap::new(),
            answers: BTreeMap::new(),
            refusals: BTreeMap::new(),
        }
    }

    /// What is booked from an instant on.
    pub(crate) fn load(&self, from: i64) -> Load {
        let network = (self.cuts(), self.drained_lanes());
        Load::new(self.booked.iter().map(|(_, booking)| booking), from, network)
    }

    /// What is promised from an instant on: what is closed and still booked is not.
    pub(crate) fn promises(&self, from: i64) -> Load {
        let live = self.booked.iter().filter_map(|(id, booking)| {
            let found = self.reservations[id].clone();
            let to = found.interval.end().as_ms();
            found.is_live().then(|| Booking { to, ..booking.clone() })
        });
        let live: Vec<Booking> = live.collect();
        Load::new(live.iter(), from, (self.cuts(), self.drained_lanes()))
    }

    /// Answers a request and carries it out. A new topology comes along as the network it means.
    pub(crate) fn carry_out(
        &mut self,
        (now, fresh): (i64, u128),
        request: &Request,
        net: Option<&Net>,
    ) -> Expected {
        if let Some(answered) = self.answered(now, &request.mark) {
            if let Expected::Answer(Answer::Refusal(refusal)) = &answered {
                self.note_refusal(now, request.mark, refusal);
            }
            return answered;
        }
        let window = ms(self.limits.request_window);
        let id = request.mark.id;
        let seventh = id.as_u128() >> 76 & 15 == 7;
        let made = i64::try_from(id.as_u128() >> 80).unwrap();
        if !seventh || now + window < made || made + window <= now {
            let window = self.limits.request_window;
            return Expected::Fault(Fault::RequestOutOfWindow { id, window });
        }
        let mark = request.mark;
        match &request.command {
            Command::Reserve(ask) => self.reserve((now, fresh), ask, mark),
            Command::Confirm(id) => self.confirm(now, *id, mark),
            Command::ExtendHold(id, span) => self.extend(now, (*id, *span), mark),
            Command::Release(release) => self.release(now, release, mark),
            Command::OpenSession(agent) => self.open(now, (fresh, agent), mark),
            Command::CloseSession(id) => self.close_session(now, *id, mark),
            Command::Drain(resource) => self.drain(now, (resource, true), mark),
            Command::Undrain(resource) => self.drain(now, (resource, false), mark),
            Command::CreateMaintenance(ask) => self.maintain((now, fresh), ask, mark),
            Command::DeleteMaintenance(id) => self.cancel(now, *id, mark),
            Command::ApplyTopology { accept_losses, .. } => match net {
                Some(net) => self.retopo(now, (net, *accept_losses), mark),
                None => field("topology.links[0].capacity.out_bps"),
            },
        }
    }

    /// Whether a request is answered from memory.
    pub(crate) fn remembers(&self, id: RequestId) -> bool {
        self.answers.contains_key(&id) || self.refusals.contains_key(&id)
    }

    fn answered(&self, now: i64, mark: &RequestMark) -> Option<Expected> {
        let reused = Expected::Fault(Fault::RequestReused(mark.id));
        if let Some((print, refusal, _)) = self.refusals.get(&mark.id) {
            let same = *print == mark.fingerprint;
            let answer = Answer::Refusal(refusal.clone().into());
            return Some(if same { Expected::Answer(answer) } else { reused });
        }
        let known = self.answers.get(&mark.id)?;
        if known.print != mark.fingerprint {
            return Some(reused);
        }
        match &known.about {
            About::Made(id) | About::Reservation(id) => self.reservations.get(id).map(reply),
            About::Session(id) => {
                let found = self.sessions.get(id)?.clone();
                Some(Expected::Answer(Answer::Session(found.into())))
            }
            About::Topology(version, changes, losses) => {
                let (version, changes, losses) = (*version, changes.clone(), losses.clone());
                Some(Expected::Answer(Answer::Topology { version, changes, losses }))
            }
            About::Drain(resource, drained) => Some(self.drained_answer(now, resource, *drained)),
            About::Window(id, losses) => self.window_answer(*id, losses),
        }
    }

    pub(super) fn remember(&mut self, now: i64, mark: RequestMark, about: About) {
        let known = Known { print: mark.fingerprint, about, at: now };
        self.answers.insert(mark.id, known);
    }

    fn reserve(&mut self, (now, fresh): (i64, u128), ask: &Ask, mark: RequestMark) -> Expected {
        let wish = match self.wish(now, ask) {
            Ok(wish) => wish,
            Err(fields) => return Expected::Fields(fields),
        };
        if let Err(unfit) = self.admissible(ask) {
            return unfit;
        }
        let ways = match self.net.ways(ask) {
            Ok(ways) => ways,
            Err(Unasked::Fault(fault)) => return Expected::Fault(fault),
            Err(Unasked::Field(name)) => return field(name),
        };
        let load = self.load(now);
        let Some(way) = ways.iter().find(|way| load.carries(&self.net, way, &wish)) else {
            let refusal = load.refusal(&self.net, &ways, &wish);
            self.note_refusal(now, mark, &refusal);
            return Expected::Answer(Answer::Refusal(refusal.into()));
        };
        let id = ReservationId::from_u128(fresh);
        let made = self.granted((now, id), ask, (&wish, way), mark);
        let lanes = way.lanes.iter().zip(&made.booked);
        let lanes = lanes.map(|((lane, _), booked)| (*lane, booked.amount)).collect();
        self.booked.push((id, Booking { from: wish.from, to: wish.to, lanes }));
        self.reservations.insert(id, made.clone());
        self.remember(now, mark, About::Made(id));
        reply(&made)
    }

    /// The times of a request, or the fields that are wrong about it.
    fn wish(&self, now: i64, ask: &Ask) -> Result<Wish, Vec<String>> {
        let Shape::Rigid { rate, start, until } = ask.shape;
        let mut wrong: Vec<String> = Vec::new();
        if rate == BitRate::ZERO {
            wrong.push("rigid.rate_bps".into());
        }
        if start.is_some_and(|start| start.as_ms() < now - ms(self.limits.past_start)) {
            wrong.push("rigid.start_time".into());
        }
        let from = start.map_or(now, Timestamp::as_ms).max(now);
        let (name, to) = match until {
            Until::At(end) => ("rigid.end_time", end.as_ms()),
            Until::After(span) => ("rigid.duration", from + ms(span)),
        };
        let horizon = now + ms(self.limits.horizon);
        for bad in [horizon < to, to <= from] {
            wrong.extend(bad.then(|| name.to_owned()));
        }
        let wish = Wish { rate: rate.bps(), from, to, horizon };
        if wrong.is_empty() { Ok(wish) } else { Err(wrong) }
    }

    fn admissible(&self, ask: &Ask) -> Result<(), Expected> {
        let hold_max = self.limits.hold_max;
        let hold_fits = |hold: Span| hold != Span::ZERO && hold <= hold_max;
        let onto_itself =
            matches!(ask.destination, Endpoint::Host(_)) && ask.sources.contains(&ask.destination);
        let wrong = [
            ("sources", !(1..=16).contains(&ask.sources.len())),
            ("via", 8 < ask.via.len()),
            ("hold_for", ask.hold_for.is_some_and(|hold| !hold_fits(hold))),
            ("destination", onto_itself),
        ];
        let wrong: Vec<String> =
            wrong.into_iter().filter(|(_, bad)| *bad).map(|(name, _)| name.into()).collect();
        if !wrong.is_empty() {
            return Err(Expected::Fields(wrong));
        }
        let full = |what, limit| Err(Expected::Fault(Fault::Full { what, limit }));
        let limit = self.limits.reservations_max;
        if limit <= self.reservations.len() {
            return full("reservations", limit);
        }
        let Some(id) = ask.session else { return Ok(()) };
        let found = self.sessions.get(&id).map(|session| session.state);
        match found {
            None => {
                let what = format!("sessions/{id}");
                return Err(Expected::Fault(Fault::NotFound { what }));
            }
            Some(SessionState::Open) => {}
            Some(_) => return Err(Expected::Fault(Fault::SessionEnded(id))),
        }
        let limit = self.limits.per_session_max;
        if limit <= self.bound(id).len() {
            return full("live reservations in one session", limit);
        }
        Ok(())
    }

    /// The live reservations of a session.
    pub(super) fn bound(&self, session: SessionId) -> Vec<ReservationId> {
        let live = self.booked.iter().filter_map(|(id, _)| self.reservations.get(id));
        let bound = live.filter(|found| found.is_live() && found.session == Some(session));
        let mut ids: Vec<ReservationId> = bound.map(|found| found.id).collect();
        ids.sort_unstable();
        ids
    }

    fn granted(
        &self,
        (now, id): (i64, ReservationId),
        ask: &Ask,
        (wish, way): (&Wish, &Way),
        mark: RequestMark,
    ) -> Reservation {
        let booked = way.lanes.iter().map(|need| Booked {
            lane: lane_name(need.0),
            amount: u64::try_from(self.net.amount(*need, wish.rate)).unwrap(),
        });
        let held = ask.hold_for.map(|hold| at((now + ms(hold)).min(wish.to)));
        Reservation {
            id,
            project: ask.project.clone(),
            source: way.source.clone(),
            destination: ask.destination.clone(),
            via: way.via.clone(),
            rate: BitRate::from_bps(wish.rate).unwrap(),
            interval: Interval::new(at(wish.from), at(wish.to)).unwrap(),
            session: ask.session,
            booked: booked.collect(),
            curtailed: None,
            created: at(now),
            created_by: Some(mark.id),
            state: held.map_or(State::Confirmed, |until| State::Held { until }),
        }
    }

    fn note_refusal(&mut self, now: i64, mark: RequestMark, refusal: &Refusal) {
        let keep = 2 * ms(self.limits.request_window);
        self.refusals.retain(|_, (_, _, noted)| now < *noted + keep);
        let noted = (mark.fingerprint, refusal.clone(), now);
        self.refusals.entry(mark.id).or_insert(noted);
    }

    /// Closes a reservation; its lanes are free from then.
    pub(super) fn close(
        &mut self,
        now: i64,
        id: ReservationId,
        (why, free_from, used): (CloseWhy, i64, u64),
    ) -> Reservation {
        let reported = self.used.remove(&id).map_or(0, |(bytes, _)| bytes);
        let used = ByteCount::new(reported.max(used));
        let found = self.reservations.get_mut(&id).unwrap();
        found.state = State::Closed { why, at: at(now), free_from: at(free_from), used };
        let kept = now < free_from;
        for (_, booking) in self.booked.iter_mut().filter(|(booked, _)| *booked == id) {
            booking.to = booking.to.min(free_from);
        }
        self.booked
            .retain(|(booked, booking)| *booked != id || (kept && booking.from < booking.to));
        found.clone()
    }
}

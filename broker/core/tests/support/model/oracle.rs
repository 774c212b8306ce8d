//! What should be answered: the rules of reservations, holds, sessions and repeated requests over
//! plain lists.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::command::{Ask, Batch, Relation};
use tidegate_core::event::{Booked, RequestMark};
use tidegate_core::lane::LaneName;
use tidegate_core::machine::LaneChange;
use tidegate_core::{
    Answer, Command, Fault, Limits, Losses, Maintenance, Plan, Promise, Promised, Reason, Refusal,
    Request, Reservation, Session, Shape, State,
};
use tidegate_policy::{
    BitRate, ByteCount, Interval, MaintenanceId, RequestId, ReservationId, Resource, SessionId,
    Span,
};

use super::load::{Booking, Load, Place, at};
use super::net::{LANES, Net, Unasked, lane_name};

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

#[derive(Clone)]
pub(super) struct Known {
    pub(super) print: [u8; 32],
    pub(super) about: About,
    pub(super) at: i64,
}

#[derive(Clone)]
pub(super) enum About {
    /// The reservation that it made: the answer lives as long.
    Made(ReservationId),
    Reservation(ReservationId),
    Session(SessionId),
    Topology(u64, Vec<LaneChange>, Losses),
    Drain(Resource, bool),
    Window(MaintenanceId, Losses),
}

#[derive(Clone)]
pub(crate) struct Oracle {
    pub(crate) limits: Limits,
    pub(crate) net: Net,
    pub(crate) version: u64,
    pub(crate) reservations: BTreeMap<ReservationId, Reservation>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) windows: BTreeMap<MaintenanceId, Maintenance>,
    pub(crate) drained: BTreeSet<Resource>,
    /// The list that every question is answered from; a reservation stands there once for what it
    /// books now, and once for each piece that its earlier terms left.
    pub(crate) booked: Vec<(ReservationId, Booking)>,
    pub(super) heard: BTreeMap<SessionId, i64>,
    pub(super) used: BTreeMap<ReservationId, (u64, i64)>,
    /// When reports were journaled last, and when they are next.
    pub(super) metered: BTreeMap<ReservationId, i64>,
    pub(super) to_meter: BTreeMap<ReservationId, i64>,
    /// The sessions that report what they move, and when each grant under which nothing has moved
    /// is taken back.
    pub(super) reporting: BTreeSet<SessionId>,
    pub(super) idle: BTreeMap<ReservationId, i64>,
    pub(super) answers: BTreeMap<RequestId, Known>,
    pub(super) refusals: BTreeMap<RequestId, ([u8; 32], Refusal, i64)>,
}

pub(super) fn ms(span: Span) -> i64 {
    i64::try_from(span.as_ms()).unwrap()
}

pub(super) fn reply(found: &Reservation) -> Expected {
    Expected::Answer(Answer::Reservation(found.clone().into()))
}

pub(super) fn field(name: &str) -> Expected {
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
            metered: BTreeMap::new(),
            to_meter: BTreeMap::new(),
            reporting: BTreeSet::new(),
            idle: BTreeMap::new(),
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
        let live = self.living().map(|found| Booking {
            from: found.from.as_ms(),
            to: found.interval.end().as_ms(),
            lanes: lanes_of(&found.plan),
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
        if let Command::ReserveAll(batch) = &request.command {
            return self.reserve_all((now, fresh), batch, request.mark);
        }
        if let Some(answered) = self.answered(now, &request.mark) {
            if let Expected::Answer(Answer::Refusal(refusal)) = &answered {
                self.note_refusal(now, request.mark, refusal);
            }
            return answered;
        }
        if let Some(outside) = self.out_of_window(now, request.mark.id) {
            return outside;
        }
        let mark = request.mark;
        match &request.command {
            Command::Reserve(ask) => self.reserve((now, fresh), ask, mark),
            Command::ReserveAll(batch) => self.reserve_all((now, fresh), batch, mark),
            Command::Confirm(target) => self.confirm(now, target, mark),
            Command::ExtendHold(target, span) => self.extend(now, (target, *span), mark),
            Command::Modify(modify) => self.modify(now, modify, mark),
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
            Command::ApplyPolicy(_) => panic!("quotas have a model of their own"),
        }
    }

    fn out_of_window(&self, now: i64, id: RequestId) -> Option<Expected> {
        let window = ms(self.limits.request_window);
        let seventh = id.as_u128() >> 76 & 15 == 7;
        let made = i64::try_from(id.as_u128() >> 80).unwrap();
        let outside = !seventh || now + window < made || made + window <= now;
        let window = self.limits.request_window;
        outside.then_some(Expected::Fault(Fault::RequestOutOfWindow { id, window }))
    }

    /// Whether a request is answered from memory.
    pub(crate) fn remembers(&self, id: RequestId) -> bool {
        self.answers.contains_key(&id) || self.refusals.contains_key(&id)
    }

    /// Answers several in order; what one of them books is seen by the next ones.
    fn reserve_all(
        &mut self,
        (now, fresh): (i64, u128),
        batch: &Batch,
        mark: RequestMark,
    ) -> Expected {
        if !(1..=100).contains(&batch.asks.len()) {
            return field("requests");
        }
        if let Some(wrong) = self.wrong_entries(now, batch, mark) {
            return wrong;
        }
        let mut after = self.clone();
        let (mut answers, mut made) = (Vec::new(), 0);
        for (index, ask) in batch.asks.iter().enumerate() {
            let mark = mark.entry(index);
            let answer = self.answered(now, &mark).unwrap_or_else(|| {
                let fresh = fresh + u128::try_from(index).unwrap();
                let answer = after.reserve((now, fresh), ask, mark);
                made += usize::from(granted(&answer));
                answer
            });
            match answer {
                Expected::Answer(answer) => answers.push(answer),
                Expected::Fault(fault) => {
                    let (part, fault) = (format!("requests[{index}]"), Box::new(fault));
                    return Expected::Fault(Fault::Within { part, fault });
                }
                Expected::Fields(fields) => {
                    let inside = |name: &String| format!("requests[{index}].{name}");
                    return Expected::Fields(fields.iter().map(inside).collect());
                }
            }
        }
        let refused = |answer: &Answer| matches!(answer, Answer::Refusal(_));
        if batch.relation == Relation::AllOf && 0 < made && answers.iter().any(refused) {
            for answer in answers.iter_mut().filter(|answer| !refused(answer)) {
                *answer = Answer::Refusal(bare(Reason::OthersRefused).into());
            }
        } else {
            *self = after;
        }
        for (index, answer) in answers.iter().enumerate() {
            if let Answer::Refusal(refusal) = answer {
                self.note_refusal(now, mark.entry(index), refusal);
            }
        }
        Expected::Answer(Answer::Batch(answers))
    }

    /// Everything that is wrong with any of several requests, each by itself.
    fn wrong_entries(&self, now: i64, batch: &Batch, mark: RequestMark) -> Option<Expected> {
        let mut wrong: Vec<String> = Vec::new();
        for (index, ask) in batch.asks.iter().enumerate() {
            let mark = mark.entry(index);
            match self.answered(now, &mark) {
                Some(Expected::Answer(_)) => continue,
                Some(reused) => return Some(reused),
                None => {}
            }
            if let Some(outside) = self.out_of_window(now, mark.id) {
                return Some(outside);
            }
            let held = ask.hold_best_offer.then(|| "hold_best_offer".to_owned());
            let fields = held.into_iter().chain(self.checked(now, ask).err().unwrap_or_default());
            wrong.extend(fields.map(|name| format!("requests[{index}].{name}")));
        }
        (!wrong.is_empty()).then_some(Expected::Fields(wrong))
    }

    fn answered(&self, now: i64, mark: &RequestMark) -> Option<Expected> {
        let reused = Expected::Fault(Fault::RequestReused(mark.id));
        if let Some((print, refusal, _)) = self.refusals.get(&mark.id) {
            let same = *print == mark.fingerprint;
            let mut refusal = refusal.clone();
            let held = refusal.held.take().and_then(|held| self.reservations.get(&held.id));
            refusal.held = held.cloned().map(Box::new);
            let answer = Answer::Refusal(refusal.into());
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
        let wish = match self.checked(now, ask) {
            Ok(wish) => wish,
            Err(fields) => return Expected::Fields(fields),
        };
        if let Err(full) = self.admissible(ask) {
            return full;
        }
        let ways = match self.net.ways(&ask.ways) {
            Ok(ways) => ways,
            Err(Unasked::Fault(fault)) => return Expected::Fault(fault),
            Err(Unasked::Field(name)) => return field(name),
        };
        let load = self.load(now);
        if let Some(place) = load.place(&self.net, &ways, &wish) {
            return reply(&self.grant((now, fresh), ask, place, mark));
        }
        let mut refusal = load.refusal(&self.net, &ways, &wish);
        if let Some(best) = refusal.offers.first().filter(|_| ask.hold_best_offer) {
            let over = (best.interval.start().as_ms(), best.interval.end().as_ms());
            let way = ways.iter().find(|way| way.route == best.route).unwrap();
            let hold_for = ask.hold_for.unwrap_or(Span::from_secs(60));
            let held = Ask { hold_for: Some(hold_for), ..best.ask(ask) };
            let held = self.grant((now, fresh), &held, (way, best.rate.bps(), over), mark);
            refusal.held = Some(held.into());
        }
        self.note_refusal(now, mark, &refusal);
        Expected::Answer(Answer::Refusal(refusal.into()))
    }

    /// The reservations that are held or confirmed.
    pub(crate) fn living(&self) -> impl Iterator<Item = &Reservation> {
        self.reservations.values().filter(|found| found.is_live())
    }

    /// The live reservations of a session.
    pub(super) fn bound(&self, session: SessionId) -> Vec<ReservationId> {
        let bound = self.living().filter(|found| found.session == Some(session));
        bound.map(|found| found.id).collect()
    }

    fn grant(
        &mut self,
        (now, fresh): (i64, u128),
        ask: &Ask,
        (way, rate, (from, to)): Place<'_>,
        mark: RequestMark,
    ) -> Reservation {
        let id = ReservationId::from_u128(fresh);
        let booked = way.lanes.iter().map(|need| Booked {
            lane: lane_name(need.0),
            amount: u64::try_from(self.net.amount(*need, rate)).unwrap(),
        });
        let booked = booked.collect();
        let over = Interval::new(at(from), at(to)).unwrap();
        let held = ask.hold_for.map(|hold| at((now + ms(hold)).min(to)));
        let made = Reservation {
            despite: None,
            borrowed: false,
            id,
            owner: ask.owner.clone(),
            plan: Plan::single(way.route.clone(), over, BitRate::from_bps(rate).unwrap(), booked),
            promise: self.promise(now, ask).map(Box::new),
            standing: ask.standing,
            terms: ask.terms,
            interval: over,
            from: at(from),
            session: ask.session,
            kept: Vec::new(),
            curtailed: false,
            last_move: None,
            revision: 1,
            plan_version: 1,
            metered: ByteCount::ZERO,
            created: at(now),
            created_by: Some(mark.id),
            state: held.map_or(State::Confirmed, |until| State::Held { until }),
        };
        self.remember(now, mark, About::Made(id));
        self.put(made.clone());
        self.watch(now, id);
        made
    }

    /// What is promised of a rate within bounds, whatever its place is.
    fn promise(&self, now: i64, ask: &Ask) -> Option<Promise> {
        let Shape::Flexible { min, max, span, .. } = ask.shape else { return None };
        let wish = self.wish(now, &ask.shape).unwrap();
        let window = Interval::new(at(wish.first), at(wish.latest + wish.span)).unwrap();
        let what = Promised::Span { min, max, span, window };
        Some(Promise { what, ways: ask.ways.clone(), movable: ask.movable })
    }

    /// Keeps a reservation as it is now, and what it books.
    pub(super) fn put(&mut self, found: Reservation) {
        let id = found.id;
        self.booked.retain(|(booked, _)| *booked != id);
        let end = found.interval.end().as_ms();
        let to = match found.state {
            State::Held { .. } | State::Confirmed => end,
            State::Closed { at, free_from, .. } if at < free_from => end.min(free_from.as_ms()),
            State::Closed { .. } => i64::MIN,
        };
        let present = Booking { from: found.from.as_ms(), to, lanes: lanes_of(&found.plan) };
        let kept = found.kept.iter().map(|kept| Booking {
            from: kept.over.start().as_ms(),
            to: kept.over.end().as_ms(),
            lanes: vec![(lane_of(&kept.lane), kept.amount)],
        });
        let bookings = [present].into_iter().chain(kept);
        self.booked.extend(bookings.filter(|it| it.from < it.to).map(|booking| (id, booking)));
        self.reservations.insert(id, found);
    }

    pub(super) fn note_refusal(&mut self, now: i64, mark: RequestMark, refusal: &Refusal) {
        let keep = 2 * ms(self.limits.request_window);
        self.refusals.retain(|_, (_, _, noted)| now < *noted + keep);
        let noted = (mark.fingerprint, refusal.clone(), now);
        self.refusals.entry(mark.id).or_insert(noted);
    }
}

fn lane_of(name: &LaneName) -> usize {
    (0..LANES).find(|lane| lane_name(*lane) == *name).unwrap()
}

/// What a plan books of which lanes: here it is one rate on one way.
fn lanes_of(plan: &Plan) -> Vec<(usize, u64)> {
    plan.booked().iter().map(|it| (lane_of(&it.lane), it.amount)).collect()
}

fn granted(answer: &Expected) -> bool {
    matches!(answer, Expected::Answer(Answer::Reservation(_)))
}

fn bare(reason: Reason) -> Refusal {
    let (blockers, rules, quotas, offers) = Default::default();
    Refusal { reason, blockers, rules, quotas, offers, held: None }
}

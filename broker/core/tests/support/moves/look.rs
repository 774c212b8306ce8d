//! What is looked at after each step, and what each event may do.

use std::collections::BTreeMap;

use tidegate_core::audit::audit;
use tidegate_core::command::Relation;
use tidegate_core::{
    Answer, Ask, Batch, Change, CloseWhy, Command, Decision, Event, Machine, MoveWhy, Plan,
    PlanWay, Promised, Request, Reservation, Route, Shape, State,
};
use tidegate_policy::{ByteCount, Interval, ReservationId};

use super::checks::{self, Limits};
use super::clients::Mood;
use super::draw::at;
use super::driver::Driver;
use super::levels::{Lanes, nothing, plan_into, steps};
use super::net::lane;

impl Driver {
    /// Everything that holds whatever happened.
    pub(super) fn look(&mut self, events: &[Event], lost: bool) {
        if events.iter().all(|event| matches!(event.change, Change::Metered { .. })) {
            self.before = checks::stand(&self.machine, &self.net, self.now);
            return;
        }
        let faults = audit(&self.machine, at(self.now));
        if !faults.is_empty() {
            self.fail(&faults.join("; "));
        }
        if !self.machine.same_ledger(&self.replica) {
            self.fail("the events lead to another state");
        }
        let limits = Limits::of(&self.net, &self.machine);
        self.must(checks::promised_fits(&self.machine, &limits, self.now));
        let after = checks::stand(&self.machine, &self.net, self.now);
        let both = (&self.before, &after);
        if !lost {
            self.must(checks::not_worse(both, &limits, self.now));
        }
        self.must(checks::drained_stays(both, self.now));
        self.must(checks::versions(both, events));
        for found in after.reservations.values().filter(|found| found.is_live()) {
            if self.before.reservations.get(&found.id) != Some(found) {
                self.must(self.promises.kept(found));
                self.must(checks::amounts((&self.machine, &self.net), found));
            }
        }
        for event in events {
            if let Some(until) = self.untouched_until(event)
                && let Some(id) = checks::about(event)
                && let Some(was) = self.before.reservations.get(&id)
            {
                self.must(checks::same_until((was, &after.reservations[&id]), (self.now, until)));
            }
        }
        self.before = after;
        self.promises.forget(&self.machine);
        self.reported.retain(|id, _| self.machine.reservation(*id).is_some());
    }

    /// Until when nothing may be taken from somebody for others.
    fn untouched_until(&self, event: &Event) -> Option<i64> {
        let frozen = self.now + self.lease() + 1000;
        let of = |id| {
            let found: &Reservation = &self.before.reservations[id];
            let heard = found.session.and_then(|session| self.machine.heard(session));
            let heard = heard.map_or(self.now, |heard| heard.as_ms());
            let held = matches!(found.state, State::Held { .. });
            match found.may_move() {
                true => frozen,
                false if held => self.now,
                false => heard + self.lease() + self.grace() + 1000,
            }
        };
        match &event.change {
            Change::Moved(moved) => match moved.why {
                MoveWhy::Room => Some(frozen),
                MoveWhy::Preempted => Some(of(&moved.id)),
                MoveWhy::CapacityLost | MoveWhy::Lagging | MoveWhy::Asked => None,
            },
            Change::Closed { id, why: CloseWhy::Preempted, .. } => Some(of(id)),
            _ => None,
        }
    }

    /// What one event may do, and how often it happened.
    pub(super) fn follow(
        &mut self,
        event: &Event,
        before: Option<&Reservation>,
        request: Option<&Request>,
    ) {
        match &event.change {
            Change::Moved(moved) => {
                let before = before.unwrap();
                let who = before.id.as_u128();
                let movable = before.is_movable();
                let right = match moved.why {
                    MoveWhy::Room => movable,
                    MoveWhy::CapacityLost => movable || shrinks(before, &moved.plan),
                    MoveWhy::Preempted => may_be_preempted(before, request),
                    MoveWhy::Lagging => self.lags(before, moved.used.bytes()),
                    MoveWhy::Asked => moved.promise.is_some(),
                };
                if !right {
                    self.fail(&format!("r{who} may not be moved: {:?}", moved.why));
                }
                self.count(match moved.why {
                    MoveWhy::Room => "moved for room",
                    MoveWhy::CapacityLost if shrinks(before, &moved.plan) => {
                        "shrunk by lost capacity"
                    }
                    MoveWhy::CapacityLost if moved.short == ByteCount::ZERO => {
                        "moved from lost capacity"
                    }
                    MoveWhy::CapacityLost => "moved in part from lost capacity",
                    MoveWhy::Preempted => "moved for a priority",
                    MoveWhy::Lagging if moved.short == ByteCount::ZERO => "caught up",
                    MoveWhy::Lagging => "caught up in part",
                    MoveWhy::Asked => "transfer changed",
                });
                if !moved.kept.is_empty() {
                    self.count("moved at once");
                }
                if moved.why == MoveWhy::Lagging {
                    // It begins before anybody hears of it.
                    let late =
                        self.clients.iter_mut().filter_map(|it| it.faithful.get_mut(&moved.id));
                    late.for_each(|faithful| *faithful = false);
                }
            }
            Change::Closed { id, why, used, .. } => {
                let before = before.unwrap();
                self.closed(before, *why, used.bytes(), request);
                if *why == CloseWhy::Preempted {
                    self.offered_instead(*id);
                }
            }
            Change::Curtailed { .. } => self.count("curtailed"),
            Change::Modified(_) => self.count("changed"),
            Change::Confirmed { .. } => self.count("confirmed"),
            Change::MaintenanceCreated { .. } => self.count("maintenance"),
            Change::Drained { .. } => self.count("drained"),
            Change::Undrained { .. } => self.count("undrained"),
            Change::SessionEnded { id, lost } => {
                self.clients.retain(|client| client.session != *id);
                self.count(if *lost { "session lost" } else { "session closed" });
            }
            _ => {}
        }
    }

    /// What everybody has, and of it every flexible one that can be told no more than its floor.
    pub(super) fn floors(&self) -> (BTreeMap<ReservationId, Reservation>, Lanes) {
        let stood = self.before.reservations.clone();
        let mut lanes = nothing();
        for found in stood.values().filter(|found| found.is_live()) {
            plan_into(&mut lanes, &at_its_floor(&self.machine, found), (self.now, i64::MAX));
        }
        (stood, lanes)
    }

    /// Nobody is lost where the floors of all fit: whoever is lost could not stay somewhere, even if
    /// every flexible one that can be told came down.
    pub(super) fn floors_exceed(
        &mut self,
        (stood, lanes): &(BTreeMap<ReservationId, Reservation>, Lanes),
        answer: &Answer,
    ) {
        let (Answer::Topology { losses, .. } | Answer::Maintenance { losses, .. }) = answer else {
            return;
        };
        let limits = Limits::of(&self.net, &self.machine);
        for victim in &losses.victims {
            let found = &stood[&victim.reservation];
            // Those that may move have to find a place among others that may.
            if found.may_move() {
                continue;
            }
            let place = lane(&victim.lane);
            let over = limits.over(place, &steps(&lanes[place]), self.now);
            if over.is_empty() {
                let who = found.id.as_u128();
                self.fail(&format!("r{who} is lost, and the floors of all fit on {}", victim.lane));
            }
            self.count("lost with floors that exceed");
        }
    }

    /// Whether the bytes of a transfer are behind, as its holder says.
    fn lags(&self, before: &Reservation, used: u64) -> bool {
        let volume = before.promise.as_ref().and_then(|promise| promise.what.volume());
        let reported = self.reported.get(&before.id).copied().unwrap_or(0);
        volume.is_some_and(|volume| used < volume.bytes()) && used <= reported && 0 < used
    }

    fn closed(
        &mut self,
        before: &Reservation,
        why: CloseWhy,
        used: u64,
        request: Option<&Request>,
    ) {
        let who = before.id.as_u128();
        let over = before.interval.end().as_ms() <= self.now;
        let right = match why {
            CloseWhy::Completed => over && !before.curtailed && self.promises.is_whole(before),
            CloseWhy::Released => request.is_some(),
            CloseWhy::Expired => matches!(before.state, State::Held { .. }),
            CloseWhy::SessionLost => before.session.is_some(),
            CloseWhy::CapacityLost if request.is_some() => true,
            CloseWhy::CapacityLost => over && before.curtailed,
            CloseWhy::NoShow => self.reported.get(&before.id).copied().unwrap_or(0) == 0,
            CloseWhy::Preempted => may_be_preempted(before, request),
        };
        if !right {
            self.fail(&format!("r{who} may not be closed: {why}"));
        }
        if why == CloseWhy::Completed {
            self.completed(before, used);
        }
        let transfer = before.promise.as_ref().is_some_and(|it| it.what.volume().is_some());
        if why == CloseWhy::CapacityLost
            && request.is_none()
            && transfer
            && self.promises.is_all(before)
        {
            self.fail(&format!("r{who} lost nothing in the end, and is closed for it"));
        }
        self.count(match why {
            CloseWhy::Completed => "completed",
            CloseWhy::Released => "released",
            CloseWhy::Expired => "expired",
            CloseWhy::SessionLost => "closed with its session",
            CloseWhy::CapacityLost => "closed for lost capacity",
            CloseWhy::NoShow => "no show",
            CloseWhy::Preempted => "closed for a priority",
        });
    }

    /// Whoever did all it should has moved all of its volume; whoever lags got what there was.
    fn completed(&mut self, before: &Reservation, used: u64) {
        let Some(promise) = &before.promise else { return };
        let Promised::Volume { volume, min, max, split, window } = promise.what else { return };
        let id = before.id;
        let client = self.clients.iter().find(|client| Some(client.session) == before.session);
        let faithful = client.is_some_and(|client| {
            client.mood == Mood::Prompt && client.faithful.get(&id) == Some(&true)
        });
        let sent = client.and_then(|client| client.sent.get(&id)).copied().unwrap_or(0);
        let short = before.last_move.map_or(0, |last| last.short.bytes());
        if faithful && sent < u128::from(volume.bytes() - short) * 8000 {
            self.fail(&format!("r{} did all it should and moved {sent} only", id.as_u128()));
        }
        if faithful {
            self.count("all moved");
        }
        let tried = before.last_move.filter(|last| last.why == MoveWhy::Lagging);
        let reports = before.session.is_some_and(|session| self.reporting.contains(&session));
        let behind = 0 < used
            && used < volume.bytes() - short
            && tried.is_none_or(|it| it.used.bytes() < used);
        if !reports || !behind || window.end() <= at(self.now) {
            return;
        }
        // It was behind and could have gone on: only if nothing at all is to be had.
        let shape = Shape::Transfer {
            volume: ByteCount::new(1),
            min,
            max,
            start: None,
            deadline: window.end(),
            split,
        };
        let ask = Ask {
            owner: before.owner.clone(),
            ways: promise.ways.clone(),
            shape,
            terms: before.terms,
            hold_for: None,
            session: None,
            hold_best_offer: false,
            movable: false,
            standing: before.standing,
        };
        let (stamp, request) = self.stamped(Command::Reserve(ask.into()));
        let decided = self.machine.decide(stamp, &request);
        if let Ok(Decision { answer: Answer::Reservation(_), events, .. }) = decided
            && events.len() == 1
        {
            self.fail(&format!("r{} lags and could have gone on", id.as_u128()));
        }
        self.count("lagging in vain");
    }

    /// What is offered to somebody who was closed for others can be had.
    fn offered_instead(&mut self, id: ReservationId) {
        let now = at(self.now);
        let Some((ask, offer)) = self.machine.instead_of(now, id) else { return };
        self.count("offered instead");
        let (stamp, request) = self.stamped(Command::Reserve(offer.ask(&ask).into()));
        let decided = self.machine.decide(stamp, &request);
        if !matches!(decided, Ok(Decision { answer: Answer::Reservation(_), .. })) {
            // Others may be granted by the same decision, and take it.
            self.count("offered instead, gone");
        }
    }

    /// What a decision says about itself.
    pub(super) fn look_at(&mut self, request: &Request, decision: &Decision) {
        let moved = |event: &&Event| matches!(&event.change, Change::Moved(moved) if moved.why == MoveWhy::Room);
        let moves = decision.events.iter().filter(moved).count();
        match (&request.command, &decision.answer) {
            (Command::Reserve(ask), Answer::Reservation(_)) => {
                self.count("granted");
                if 0 < moves {
                    self.count("granted with moves");
                }
                if let Shape::Transfer { .. } = ask.shape {
                    self.count("transfer granted");
                }
            }
            (Command::Reserve(ask), Answer::Refusal(refusal)) => {
                self.count("refused");
                let made = |event: &Event| matches!(event.change, Change::Reserved(_));
                if !decision.events.iter().all(made) {
                    let events = decision.events.iter().map(|event| self.story.event(event));
                    let events: Vec<String> = events.collect();
                    self.fail(&format!("a refusal changes others: {events:#?}\n{refusal:?}"));
                }
                if let Some(offer) = refusal.offers.first().filter(|_| refusal.held.is_none()) {
                    let (stamp, taken) = self.stamped(Command::Reserve(offer.ask(ask).into()));
                    let taken = self.machine.decide(stamp, &taken);
                    let granted = match &taken {
                        Ok(Decision { answer: Answer::Reservation(made), .. }) => {
                            made.interval.end() <= offer.interval.end()
                        }
                        _ => false,
                    };
                    if !granted {
                        self.fail(&format!("{offer:?}\ntaken at once: {taken:?}"));
                    }
                    self.count("offer taken");
                }
            }
            (Command::ReserveAll(batch), Answer::Batch(answers)) => self.batch(batch, answers),
            (Command::Modify(_), Answer::Refusal(_)) => self.count("change refused"),
            _ => {}
        }
        if self.setting.limits.moves_max < moves
            && !matches!(request.command, Command::ReserveAll(_))
        {
            self.fail(&format!("{moves} moves"));
        }
    }

    fn batch(&mut self, batch: &Batch, answers: &[Answer]) {
        for answers in answers.chunks(batch.instance) {
            let made = |answer: &Answer| match answer {
                Answer::Reservation(made) => {
                    let promise = made.promise.as_ref();
                    let may = promise.map_or(made.interval, |promise| promise.what.window());
                    Some((made.interval, may))
                }
                _ => None,
            };
            let made: Vec<_> = answers.iter().filter_map(made).collect();
            let (all, some) = (made.len() == answers.len(), !made.is_empty());
            let right = match batch.relation {
                Relation::Each => true,
                Relation::AllOf => all || !some,
                Relation::AnyOf => made.len() <= 1,
                Relation::InOrder { gapless } => {
                    // Wherever each may be moved to, they follow one another.
                    let follows = |pair: &[(Interval, Interval)]| {
                        let [(one, may), (next, next_may)] = pair else { return false };
                        let meets = one.end() == next.start();
                        may.end() <= next_may.start() && (meets || !gapless)
                    };
                    (all || !some) && made.windows(2).all(follows)
                }
            };
            if !right {
                self.fail(&format!("{:?} is answered {answers:?}", batch.relation));
            }
            if some {
                self.count(match batch.relation {
                    Relation::Each => "each granted",
                    Relation::AllOf => "all granted",
                    Relation::AnyOf => "any granted",
                    Relation::InOrder { gapless: false } => "order granted",
                    Relation::InOrder { gapless: true } => "gapless granted",
                });
            }
        }
    }
}

/// Only those below the priority of a request, which said that they can be, and whose holders can
/// be told.
fn may_be_preempted(before: &Reservation, request: Option<&Request>) -> bool {
    let asks: &[Ask] = match request.map(|request| &request.command) {
        Some(Command::Reserve(ask)) => std::slice::from_ref(ask),
        Some(Command::ReserveAll(batch)) => &batch.asks,
        _ => return false,
    };
    let highest = asks.iter().map(|ask| ask.standing.priority).max().unwrap_or(0);
    let standing = before.standing;
    standing.preemptible && standing.priority < highest && before.session.is_some()
}

/// Whether a plan is what a flexible request comes down to: lower, and where it is.
fn shrinks(before: &Reservation, plan: &Plan) -> bool {
    let floor = before.promise.as_ref().map(|promise| promise.what);
    let Some(Promised::Span { min, .. }) = floor else { return false };
    let (Some(over), [way]) = (plan.interval(), plan.ways.as_slice()) else { return false };
    let highest = |plan: &Plan| plan.within(over).segments.iter().map(|it| it.rate).max();
    before.session.is_some()
        && on(before, over).all(|before| before == way)
        && over.end() == before.interval.end()
        && before.interval.start() <= over.start()
        && plan.segments.iter().all(|segment| min <= segment.rate)
        && highest(plan) < highest(&before.plan)
}

/// The ways that a plan takes sometime in `over`.
fn on(found: &Reservation, over: Interval) -> impl Iterator<Item = &PlanWay> {
    let segments = found.plan.segments.iter().filter(move |it| it.over.overlaps(over));
    segments.map(|it| &found.plan.ways[it.way])
}

/// The plan of a flexible request that can be told, with no more than its lowest rate on a lane; any
/// other as it is.
fn at_its_floor(machine: &Machine, found: &Reservation) -> Plan {
    let mut plan = found.plan.clone();
    let what = found.promise.as_ref().map(|promise| promise.what);
    // Another topology may lead it elsewhere: then nobody knows what another rate would book.
    let what = what.filter(|_| {
        found.plan.ways.iter().all(|way| match &way.route {
            Route::Lanes(_) => true,
            Route::Between { source, destination, via, .. } => {
                let paths = machine.topology().paths(source, via, destination).unwrap_or_default();
                paths
                    .iter()
                    .any(|path| path.needs.iter().map(|need| &need.lane).eq(way.lanes.iter()))
            }
        })
    });
    if let (Some(Promised::Span { min, .. }), Some(_)) = (what, found.session) {
        // What comes before a move to another way stays as it is.
        let last = plan.segments.last().unwrap().way;
        for segment in plan.segments.iter_mut().rev().take_while(|it| it.way == last) {
            let rate = u128::from(segment.rate.bps());
            for amount in &mut segment.amounts {
                // Rounded up at least as far as a booking is: a claim about less proves too much.
                let floor = u128::from(*amount) * u128::from(min.bps());
                *amount =
                    u64::try_from(floor.div_ceil(rate)).unwrap().saturating_add(4).min(*amount);
            }
        }
    }
    plan
}

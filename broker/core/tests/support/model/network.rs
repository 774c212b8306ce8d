//! What should be answered: topologies, drains and maintenance windows, and who loses what.

use std::collections::BTreeSet;

use tidegate_core::event::{Kept, RequestMark};
use tidegate_core::fault::LaneInUse;
use tidegate_core::machine::{Drained, LaneChange};
use tidegate_core::{
    Answer, CloseWhy, Fault, Losses, Maintenance, MaintenanceAsk, Reservation, State, Victim,
};
use tidegate_policy::{Interval, MaintenanceId, ReservationId, Resource, Span};

use super::load::{Taken, at};
use super::net::{LANES, Net, lane_name, lanes_by_name};
use super::oracle::{About, Expected, Oracle, ms};

/// A window that is not there yet: of what, from, to and what is left in parts per million.
type More = (Resource, i64, i64, u32);

/// A lane's windows: from, to and what is left in parts per million.
type Windows = Vec<(i64, i64, u32)>;

/// A reservation that is given up.
struct Loss {
    id: ReservationId,
    lane: usize,
    at: i64,
}

fn said(maintenance: &Maintenance, losses: Losses) -> Expected {
    let maintenance = Box::new(maintenance.clone());
    Expected::Answer(Answer::Maintenance { maintenance, losses })
}

/// A network under the windows that lie over it.
struct Under<'a> {
    net: &'a Net,
    windows: Vec<Windows>,
}

impl<'a> Under<'a> {
    fn new(net: &'a Net, oracle: &Oracle, more: &[More]) -> Self {
        let open = oracle.windows.values().filter(|window| window.ended.is_none());
        let open = open.map(|window| {
            let (from, to) = (window.over.start().as_ms(), window.over.end().as_ms());
            (window.resource.clone(), from, to, window.left_ppm)
        });
        let mut windows = vec![Vec::new(); LANES];
        for (resource, from, to, left) in open.chain(more.iter().cloned()) {
            for lane in net.lanes_of(&resource).unwrap_or_default() {
                windows[lane].push((from, to, left));
            }
        }
        Self { net, windows }
    }

    /// What is left of a lane at an instant.
    fn left(&self, lane: usize, instant: i64) -> u64 {
        let capacity = self.net.capacity(lane).unwrap_or(0);
        let windows = self.windows[lane].iter();
        let open = windows.filter(|(from, to, _)| *from <= instant && instant < *to);
        let left = open.map(|window| window.2).min().unwrap_or(1_000_000);
        u64::try_from(u128::from(capacity) * u128::from(left) / 1_000_000).unwrap()
    }
}

impl Oracle {
    /// What maintenance takes away of each lane, piece by piece.
    pub(super) fn cuts(&self) -> Taken {
        let under = Under::new(&self.net, self, &[]);
        let of = |lane: usize| {
            let edges = under.windows[lane].iter().flat_map(|(from, to, _)| [*from, *to]);
            let edges: Vec<i64> = edges.collect::<BTreeSet<i64>>().into_iter().collect();
            let capacity = self.net.capacity(lane).unwrap_or(0);
            let pieces = edges.windows(2).map(|pair| {
                let left = under.left(lane, pair[0]);
                (pair[0], pair[1], u128::from(capacity - left))
            });
            pieces.collect()
        };
        (0..LANES).map(of).collect()
    }

    pub(super) fn drained_lanes(&self) -> Vec<bool> {
        let covers = |resource: &Resource, lane: &usize| {
            self.net.lanes_of(resource).is_some_and(|lanes| lanes.contains(lane))
        };
        (0..LANES).map(|lane| self.drained.iter().any(|it| covers(it, &lane))).collect()
    }

    /// What is promised on a lane at an instant; what is given up counts until then.
    pub(super) fn promised(
        &self,
        lane: usize,
        instant: i64,
        lost: &[(ReservationId, i64)],
    ) -> u128 {
        let on = self.living().filter(|found| {
            let gone = lost.iter().find(|(id, _)| *id == found.id).map_or(i64::MAX, |loss| loss.1);
            let end = found.interval.end().as_ms().min(gone);
            found.interval.start().as_ms() <= instant && instant < end
        });
        let name = lane_name(lane);
        let amounts = on.flat_map(|found| found.plan.booked()).filter(|booked| booked.lane == name);
        amounts.map(|booked| u128::from(booked.amount)).sum()
    }

    /// Every instant at which a lane could begin to carry too much.
    fn instants(&self, under: &Under<'_>, now: i64) -> BTreeSet<i64> {
        let starts = self.living().map(|found| found.interval.start().as_ms());
        let edges = under.windows.iter().flatten().flat_map(|(from, to, _)| [*from, *to]);
        starts.chain(edges).chain([now]).filter(|instant| now <= *instant).collect()
    }

    /// Who is given up if a network stands, with these windows as well.
    fn losses(&self, under: &Under<'_>, now: i64) -> Vec<Loss> {
        let mut losses: Vec<Loss> = Vec::new();
        let instants = self.instants(under, now);
        'again: loop {
            let lost: Vec<(ReservationId, i64)> =
                losses.iter().map(|loss| (loss.id, loss.at)).collect();
            for instant in &instants {
                for lane in lanes_by_name() {
                    let left = under.left(lane, *instant);
                    if self.promised(lane, *instant, &lost) <= u128::from(left) {
                        continue;
                    }
                    let name = lane_name(lane);
                    let on = self.living().filter(|found| {
                        let (from, to) = (found.interval.start(), found.interval.end());
                        let over = from <= at(*instant) && at(*instant) < to;
                        over && lost.iter().all(|(id, _)| *id != found.id)
                            && found.plan.lanes().any(|lane| *lane == name)
                    });
                    // Bound to a session first, of those the newest.
                    let first =
                        on.max_by_key(|found| (found.session.is_some(), found.created, found.id));
                    losses.push(Loss { id: first.unwrap().id, lane, at: *instant });
                    continue 'again;
                }
            }
            return losses;
        }
    }

    fn told(&self, now: i64, losses: &[Loss]) -> Losses {
        let victims = losses.iter().map(|loss| {
            let found = &self.reservations[&loss.id];
            Victim {
                reservation: loss.id,
                session: found.session,
                lane: lane_name(loss.lane),
                lost: at(if over_now(found, loss, now) { now } else { loss.at }),
                end: found.interval.end(),
            }
        });
        let victims: Vec<Victim> = victims.collect();
        Losses { count: u64::try_from(victims.len()).unwrap(), victims, ..Losses::default() }
    }

    /// The fault of a change that would lose these and may not.
    fn in_use(&self, under: &Under<'_>, now: i64, losses: &[Loss]) -> Expected {
        let mut lanes = Vec::new();
        for lane in lanes_by_name() {
            let mut worst: Option<(u128, u64)> = None;
            for instant in self.instants(under, now) {
                let (promised, left) =
                    (self.promised(lane, instant, &[]), under.left(lane, instant));
                let missing = promised.saturating_sub(left.into());
                let known =
                    worst.map_or(0, |(promised, left)| promised.saturating_sub(left.into()));
                if known < missing {
                    worst = Some((promised, left));
                }
            }
            let Some((promised, capacity)) = worst else { continue };
            let on = self.living().filter(|found| at(now) < found.interval.end());
            let name = lane_name(lane);
            let on = on.filter(|found| found.plan.lanes().any(|lane| *lane == name));
            let until = on.map(|found| found.interval.end()).max().unwrap();
            let promised = u64::try_from(promised).unwrap();
            lanes.push(LaneInUse { lane: name, capacity, promised, until });
        }
        Expected::Fault(Fault::LanesInUse { lanes, losses: self.told(now, losses) })
    }

    fn give_up(&mut self, now: i64, losses: &[Loss]) {
        for loss in losses {
            let found = self.reservations[&loss.id].clone();
            let booked = self.booked.iter().filter(|(id, _)| *id == found.id);
            let end = booked.map(|(_, booking)| booking).find(|it| it.from == found.from.as_ms());
            let end = end.map_or(now, |booking| booking.to);
            let free_from = self.stops(now, &found, None).min(end.max(now));
            if over_now(&found, loss, now) {
                self.close(now, loss.id, (CloseWhy::CapacityLost, free_from, 0));
                continue;
            }
            let free_from = free_from.max(loss.at);
            let mut found = found;
            let tail = Interval::new(at(loss.at), at(free_from).min(found.interval.end()));
            found.kept.extend(found.plan.booked().into_iter().filter_map(|booked| {
                let (lane, amount) = (booked.lane, booked.amount);
                tail.map(|over| Kept { lane, over, amount })
            }));
            found.interval = Interval::new(found.interval.start(), at(loss.at)).unwrap();
            found.plan = found.plan.within(found.interval);
            found.curtailed = true;
            found.plan_version += 1;
            if let State::Held { until } = &mut found.state {
                *until = (*until).min(at(loss.at));
            }
            self.put(found);
        }
    }

    pub(super) fn retopo(
        &mut self,
        now: i64,
        (net, accepted): (&Net, bool),
        mark: RequestMark,
    ) -> Expected {
        let version = self.version;
        if 0 < version && net.spec() == self.net.spec() {
            let (changes, losses) = (Vec::new(), Losses::default());
            return Expected::Answer(Answer::Topology { version, changes, losses });
        }
        let under = Under::new(net, self, &[]);
        let losses = self.losses(&under, now);
        if !losses.is_empty() && !accepted {
            return self.in_use(&under, now, &losses);
        }
        let told = self.told(now, &losses);
        let mut changes = Vec::new();
        for lane in lanes_by_name() {
            let before = self.net.capacity(lane).filter(|_| 0 < version);
            let after = net.capacity(lane);
            let reshaped = before.is_some() && self.net.shape(lane) != net.shape(lane);
            if before != after || reshaped {
                changes.push(LaneChange { lane: lane_name(lane), before, after });
            }
        }
        self.give_up(now, &losses);
        self.net = net.clone();
        self.version += 1;
        self.drained.retain(|resource| net.lanes_of(resource).is_some());
        for window in self.windows.values_mut().filter(|window| window.ended.is_none()) {
            if net.lanes_of(&window.resource).is_none() {
                window.ended = Some(at(now));
            }
        }
        let version = self.version;
        self.remember(now, mark, About::Topology(version, changes.clone(), told.clone()));
        Expected::Answer(Answer::Topology { version, changes, losses: told })
    }

    pub(super) fn drain(
        &mut self,
        now: i64,
        (resource, drained): (&Resource, bool),
        mark: RequestMark,
    ) -> Expected {
        if self.net.lanes_of(resource).is_none() {
            return Expected::Fault(Fault::NotFound { what: resource.to_string() });
        }
        let changed = if drained {
            self.drained.insert(resource.clone())
        } else {
            self.drained.remove(resource)
        };
        if changed {
            self.remember(now, mark, About::Drain(resource.clone(), drained));
        }
        self.drained_answer(now, resource, drained)
    }

    pub(super) fn drained_answer(&self, now: i64, resource: &Resource, drained: bool) -> Expected {
        let mut lanes = self.net.lanes_of(resource).unwrap_or_default();
        lanes.sort_by_key(|lane| lane_name(*lane));
        if !drained {
            let others = self.drained.iter().filter(|other| *other != resource);
            let still: Vec<usize> =
                others.filter_map(|it| self.net.lanes_of(it)).flatten().collect();
            lanes.retain(|lane| !still.contains(lane));
            return Expected::Answer(Answer::Undrained(lanes.into_iter().map(lane_name).collect()));
        }
        let names: Vec<_> = lanes.into_iter().map(lane_name).collect();
        let on = self.living().filter(|found| {
            at(now) < found.interval.end() && found.plan.lanes().any(|lane| names.contains(lane))
        });
        let on: Vec<&Reservation> = on.collect();
        let drained = Drained {
            reservations: on.iter().map(|found| found.id).collect(),
            count: u64::try_from(on.len()).unwrap(),
            empty: on.iter().map(|found| found.interval.end()).max(),
            lanes: names,
        };
        Expected::Answer(Answer::Drained(drained.into()))
    }

    pub(super) fn maintain(
        &mut self,
        (now, fresh): (i64, u128),
        ask: &MaintenanceAsk,
        mark: RequestMark,
    ) -> Expected {
        let start = ask.start.map_or(now, |start| start.as_ms());
        let (from, to) = (start.max(now), ask.end.as_ms());
        let wrong = [
            ("start_time", start < now - ms(self.limits.past_start)),
            ("end_time", now + ms(Span::MAX) < to),
            ("end_time", to <= from),
            ("left_ppm", 1_000_000 <= ask.left_ppm),
        ];
        let wrong = wrong.into_iter().filter(|(_, bad)| *bad);
        let wrong: Vec<String> = wrong.map(|(name, _)| format!("maintenance.{name}")).collect();
        if !wrong.is_empty() {
            return Expected::Fields(wrong);
        }
        if self.net.lanes_of(&ask.resource).is_none() {
            return Expected::Fault(Fault::NotFound { what: ask.resource.to_string() });
        }
        let limit = self.limits.maintenances_max;
        if limit <= self.windows.len() {
            return Expected::Fault(Fault::Full { what: "maintenance windows", limit });
        }
        let more = [(ask.resource.clone(), from, to, ask.left_ppm)];
        let under = Under::new(&self.net, self, &more);
        let losses = self.losses(&under, now);
        if !losses.is_empty() && !ask.accept_losses {
            return self.in_use(&under, now, &losses);
        }
        let told = self.told(now, &losses);
        self.give_up(now, &losses);
        let made = Maintenance {
            id: MaintenanceId::from_u128(fresh),
            resource: ask.resource.clone(),
            over: Interval::new(at(from), at(to)).unwrap(),
            left_ppm: ask.left_ppm,
            comment: ask.comment.clone(),
            created: at(now),
            ended: None,
        };
        self.windows.insert(made.id, made.clone());
        self.remember(now, mark, About::Window(made.id, told.clone()));
        said(&made, told)
    }

    pub(super) fn cancel(&mut self, now: i64, id: MaintenanceId, mark: RequestMark) -> Expected {
        let Some(found) = self.windows.get_mut(&id) else {
            return Expected::Fault(Fault::NotFound { what: format!("maintenances/{id}") });
        };
        let before = found.ended;
        found.ended = before.or(Some(at(now)));
        let answer = said(found, Losses::default());
        if before.is_none() {
            self.remember(now, mark, About::Window(id, Losses::default()));
        }
        answer
    }

    pub(super) fn window_answer(&self, id: MaintenanceId, losses: &Losses) -> Option<Expected> {
        self.windows.get(&id).map(|found| said(found, losses.clone()))
    }

    /// The windows that are over at `now`.
    pub(super) fn windows_over(&mut self, now: i64) -> Vec<MaintenanceId> {
        let open = self.windows.values_mut().filter(|window| window.ended.is_none());
        let mut over = Vec::new();
        for window in open.filter(|window| window.over.end() <= at(now)) {
            window.ended = Some(at(now));
            over.push(window.id);
        }
        over
    }
}

fn over_now(found: &Reservation, loss: &Loss, now: i64) -> bool {
    loss.at <= now.max(found.interval.start().as_ms())
}

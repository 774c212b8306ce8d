//! What should happen to a reservation that is changed: its own bookings are not in its way, and
//! what its holder may still be sending stays booked.

use tidegate_core::event::{Booked, Kept, RequestMark};
use tidegate_core::lane::LaneName;
use tidegate_core::{
    Answer, Fault, Modify, OfferKind, Plan, Reservation, Route, State, Target, Ways,
};
use tidegate_policy::{BitRate, Interval, ReservationId, SessionId, Timestamp};

use super::load::{Booking, Load, Place, Wish, at};
use super::net::{LANES, Way, lane_name};
use super::oracle::{About, Expected, Oracle, ms, reply};
use super::steps::illegal;

impl Oracle {
    /// The reservation that is meant, if it is as its asker last saw it.
    pub(super) fn target(&self, target: &Target) -> Result<Reservation, Expected> {
        let found = self.found(target.id)?;
        let (id, revision) = (found.id, found.revision);
        match target.revision {
            Some(seen) if seen != revision => Err(Expected::Fault(Fault::Stale { id, revision })),
            _ => Ok(found),
        }
    }

    pub(super) fn modify(&mut self, now: i64, modify: &Modify, mark: RequestMark) -> Expected {
        let found = match self.target(&modify.target) {
            Ok(found) => found,
            Err(fault) => return fault,
        };
        if let Some(session) = modify.holder
            && Some(session) != found.session
        {
            return Expected::Fault(Fault::NotHolder { id: found.id, session });
        }
        if !found.is_live() {
            return illegal(&found, "change");
        }
        let (wish, interval) = match self.changed(now, &found, modify) {
            Ok(changed) => changed,
            Err(fields) => return Expected::Fields(fields),
        };
        if wish.min == found.rate().bps() && interval == found.interval {
            return reply(&found);
        }
        let ways = self.ways_of(&found);
        let others = self.booked.iter().filter(|(id, _)| *id != found.id);
        let network = (self.cuts(), self.drained_lanes());
        let mut load = Load::new(others.map(|(_, booking)| booking), now, network);
        let own = self.booked.iter().filter(|(id, _)| *id == found.id).map(|(_, it)| it);
        load.leave_own(&self.net, &own.collect::<Vec<_>>(), now);
        let placed = self.of_its_own(&found, &ways, &wish);
        let placed = placed.or_else(|| load.place(&self.net, &ways, &wish));
        let Some((way, rate, (from, to))) = placed else {
            let mut refusal = load.refusal(&self.net, &ways, &wish);
            refusal.offers.retain(|offer| offer.kind == OfferKind::LowerRateNow);
            self.note_refusal(now, mark, &refusal);
            return Expected::Answer(Answer::Refusal(refusal.into()));
        };
        let booked = way.lanes.iter().map(|need| Booked {
            lane: lane_name(need.0),
            amount: u64::try_from(self.net.amount(*need, rate)).unwrap(),
        });
        let mut after = found.clone();
        let (booked, over) = (booked.collect(), Interval::new(at(from), at(to)).unwrap());
        let rate = BitRate::from_bps(rate).unwrap();
        after.promise = None;
        after.plan = Plan::single(found.plan.route().unwrap().clone(), over, rate, booked);
        (after.interval, after.from) = (interval, at(from));
        after.curtailed = found.curtailed && interval.end() == found.interval.end();
        after.revision += 1;
        after.plan_version += 1;
        if let State::Held { until } = after.state {
            after.state = State::Held { until: until.min(interval.end()) };
        }
        let word = if modify.obeyed < found.plan_version { None } else { modify.holder };
        let stops = self.stops(now, &found, word);
        let new = Booking { from, to, lanes: self.lanes(&after.plan.booked()) };
        after.kept = self.kept(found.id, &new, (now, stops));
        self.remember(now, mark, About::Reservation(found.id));
        self.put(after.clone());
        self.watch(now, after.id);
        reply(&after)
    }

    /// Who wants no more than it has needs no room for it.
    fn of_its_own<'w>(
        &self,
        found: &Reservation,
        ways: &'w [Way],
        wish: &Wish,
    ) -> Option<Place<'w>> {
        let over = (wish.first, wish.first + wish.span);
        let [segment] = found.plan.segments.as_slice() else { return None };
        let has = (segment.over.start().as_ms(), segment.over.end().as_ms());
        let own = self.lanes(&found.plan.booked());
        let enough = |need: &(usize, u32)| {
            let amount = self.net.amount(*need, wish.max);
            own.iter().any(|(lane, has)| *lane == need.0 && amount <= u128::from(*has))
        };
        let way = ways.iter().find(|way| way.lanes.iter().all(enough))?;
        (has.0 <= over.0 && over.1 <= has.1).then_some((way, wish.max, over))
    }

    fn changed(
        &self,
        now: i64,
        found: &Reservation,
        modify: &Modify,
    ) -> Result<(Wish, Interval), Vec<String>> {
        let rate = modify.rate.unwrap_or(found.rate());
        let start = modify.start.map(|start| start.as_ms().max(now));
        let start = start.unwrap_or(found.interval.start().as_ms());
        let end = modify.end.unwrap_or(found.interval.end()).as_ms();
        let horizon = now + ms(self.limits.horizon);
        let wrong = [
            ("reservation.rate_bps", rate == BitRate::ZERO),
            ("reservation.start_time", self.is_past(now, modify.start)),
            ("reservation.end_time", horizon < end),
            ("reservation.end_time", end <= start || end <= now),
        ];
        let wrong: Vec<String> =
            wrong.into_iter().filter(|(_, bad)| *bad).map(|(name, _)| name.into()).collect();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let first = start.max(now);
        let (min, max) = (rate.bps(), rate.bps());
        let wish = Wish { min, max, span: end - first, first, latest: first, horizon };
        Ok((wish, Interval::new(at(start), at(end)).unwrap()))
    }

    fn ways_of(&self, found: &Reservation) -> Vec<Way> {
        let ways = match found.plan.route().unwrap() {
            Route::Between { source, destination, via, path, .. } => Ways::Between {
                sources: vec![source.clone()],
                destination: destination.clone(),
                via: via.clone(),
                path: *path,
            },
            Route::Lanes(lanes) => Ways::Lanes(lanes.clone()),
        };
        let ways = self.net.ways(&ways).unwrap_or_default();
        ways.into_iter().filter(|way| Some(&way.route) == found.plan.route()).collect()
    }

    /// When a holder stops that does not speak for itself.
    pub(super) fn stops(&self, now: i64, found: &Reservation, holder: Option<SessionId>) -> i64 {
        match (found.state, found.session, holder) {
            (State::Confirmed, Some(session), None) => self.silence(session).max(now),
            _ => now,
        }
    }

    fn lanes(&self, booked: &[Booked]) -> Vec<(usize, u64)> {
        let lane = |name: &LaneName| (0..LANES).find(|lane| lane_name(*lane) == *name).unwrap();
        booked.iter().map(|booked| (lane(&booked.lane), booked.amount)).collect()
    }

    /// What a reservation books now beyond what it is to book, while its holder may be sending.
    fn kept(&self, id: ReservationId, new: &Booking, (now, stops): (i64, i64)) -> Vec<Kept> {
        let own: Vec<&Booking> =
            self.booked.iter().filter(|(known, _)| *known == id).map(|(_, it)| it).collect();
        let mut edges: Vec<i64> = own.iter().flat_map(|it| [it.from, it.to]).collect();
        edges.extend([now, stops, new.from, new.to]);
        edges.retain(|edge| now <= *edge && *edge <= stops);
        edges.sort_unstable();
        edges.dedup();
        let level = |booking: &Booking, lane: usize, instant: i64| {
            let on = booking.lanes.iter().filter(|(known, _)| *known == lane);
            let inside = booking.from <= instant && instant < booking.to;
            if inside { on.map(|(_, amount)| amount).sum() } else { 0_u64 }
        };
        let mut lanes: Vec<usize> = (0..LANES).collect();
        lanes.sort_by_key(|lane| lane_name(*lane));
        let mut kept: Vec<Kept> = Vec::new();
        for lane in lanes {
            for pair in edges.windows(2) {
                let before: u64 = own.iter().map(|it| level(it, lane, pair[0])).sum();
                let amount = before.saturating_sub(level(new, lane, pair[0]));
                if amount == 0 {
                    continue;
                }
                let (name, end) = (lane_name(lane), at(pair[1]));
                match kept.last_mut() {
                    Some(last)
                        if (&last.lane, last.amount) == (&name, amount)
                            && last.over.end() == at(pair[0]) =>
                    {
                        last.over = Interval::new(last.over.start(), end).unwrap();
                    }
                    _ => {
                        let over = Interval::new(at(pair[0]), end).unwrap();
                        kept.push(Kept { lane: name, over, amount });
                    }
                }
            }
        }
        kept
    }

    /// A holder obeys a plan: whether that leaves anything to be freed.
    pub(crate) fn settle(
        &mut self,
        now: i64,
        session: SessionId,
        (id, version): (ReservationId, u64),
    ) -> bool {
        let Some(found) = self.reservations.get(&id).cloned() else { return false };
        let waits = |until: Timestamp| now < until.as_ms();
        let closing = matches!(found.state, State::Closed { free_from, .. } if waits(free_from));
        let lingers = closing || found.kept.iter().any(|kept| waits(kept.over.end()));
        if found.session != Some(session) || version < found.plan_version || !lingers {
            return false;
        }
        self.settled(now, id);
        true
    }

    /// Its holder sends under no earlier terms of a reservation.
    pub(super) fn settled(&mut self, now: i64, id: ReservationId) -> Reservation {
        let mut found = self.reservations[&id].clone();
        found.kept.clear();
        if let State::Closed { free_from, .. } = &mut found.state {
            *free_from = at(free_from.as_ms().min(now));
        }
        self.put(found.clone());
        found
    }
}

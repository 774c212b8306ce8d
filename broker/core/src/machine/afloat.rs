//! Who is told which live rate, and what is afloat on lanes meanwhile (see [`super::live`]).

use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::{BitRate, Interval, ReservationId, SessionId, Span, Timestamp};

use super::live::{LiveRate, Obeyed, Sharing, Terms, Told};
use super::{Machine, SILENCE_MARGIN};
use crate::event::{Change, CloseWhy, Event};
use crate::lane::{Lane, LaneName};
use crate::planner::shares::{Draw, Sharer, shares};
use crate::reservation::{Reservation, State};
use crate::timeline::Timeline;

impl Machine {
    /// Follows an event as far as it is about what is afloat.
    pub(super) fn live_after(&mut self, event: &Event) {
        if self.live.is_empty() {
            return;
        }
        if let Some(mark) = event.request {
            self.live.drop_claim(mark.id);
        }
        match &event.change {
            Change::Modified(modified) => self.live_follow(modified.id, event.at),
            Change::Moved(moved) => self.live_follow(moved.id, event.at),
            Change::Closed { id, .. } | Change::Curtailed { id, .. } => {
                self.live_follow(*id, event.at);
            }
            Change::Settled { id } => {
                self.live_settled(*id);
                self.live_follow(*id, event.at);
            }
            Change::Forgotten { reservations, .. } => {
                reservations.iter().for_each(|id| self.live_follow(*id, event.at));
            }
            Change::TopologyApplied { .. } => {
                self.live.touch_all();
                let all: Vec<ReservationId> = self.live.grants.keys().copied().collect();
                all.into_iter().for_each(|id| self.live_follow(id, event.at));
            }
            Change::MaintenanceCreated { .. }
            | Change::MaintenanceEnded { .. }
            | Change::Drained { .. }
            | Change::Undrained { .. } => self.live.touch_all(),
            Change::Reserved(_)
            | Change::Metered { .. }
            | Change::Confirmed { .. }
            | Change::HoldExtended { .. }
            | Change::SessionOpened { .. }
            | Change::SessionEnded { .. }
            | Change::PolicyApplied { .. } => {}
        }
    }

    /// How long what is told now may be used without another word.
    fn usable_for(&self) -> Span {
        self.limits.lease.plus(SILENCE_MARGIN)
    }

    /// What a lane carries, whatever is booked beyond that: the firm twin of a lane that may be
    /// overbooked says so.
    fn carries(&self, lane: &Lane) -> u64 {
        let twin = lane.def.as_ref().and_then(|def| def.twin.as_ref());
        let twin = twin.and_then(|twin| self.state.lanes.get(twin));
        twin.unwrap_or(lane).capacity()
    }

    /// The least that a lane has left over what is booked, until what is told now is used no more.
    fn left_on(&self, name: &LaneName, now: Timestamp) -> u64 {
        let lane = self.state.lanes.get(name).filter(|lane| !lane.is_drained());
        let Some((lane, ahead)) = lane.zip(Interval::new(now, now.plus(self.usable_for()))) else {
            return 0;
        };
        let taken = lane.timeline.peak(ahead).saturating_add(lane.cuts().peak(ahead));
        let taken = taken.saturating_add(self.live.claimed(name));
        self.carries(lane).saturating_sub(taken)
    }

    /// What a grant could have beyond its floor beside all that others may be using; `own` is what it may
    /// be using itself.
    fn room_for(&self, terms: &Terms, own: &BTreeMap<LaneName, u64>, now: Timestamp) -> u64 {
        let rooms = terms.booked.iter().zip(terms.draws()).map(|((name, _), draw)| {
            let lane = self.state.lanes.get(name);
            let ahead = Interval::new(now, now.plus(self.usable_for()));
            let free = lane.zip(ahead).map_or(0, |(lane, ahead)| {
                self.carries(lane).saturating_sub(lane.load_peak(ahead))
            });
            draw.within(free.saturating_add(own.get(name).copied().unwrap_or(0)))
        });
        rooms.min().unwrap_or(u64::MAX)
    }

    /// Takes back what stands on lanes for a grant.
    fn land(&mut self, id: ReservationId) {
        let sharing = self.live.grants.get_mut(&id);
        let afloat = sharing.map(|sharing| std::mem::take(&mut sharing.afloat));
        for (name, over, amount) in afloat.into_iter().flatten() {
            // A lane that left the topology took it along.
            if let Some(lane) = self.state.lanes.get_mut(&name) {
                let _gone = lane.land(over, amount);
            }
        }
    }

    /// Lets stand on lanes what the holder of a grant may be using beyond what it books.
    fn float(&mut self, id: ReservationId, now: Timestamp) {
        self.land(id);
        let Some(sharing) = self.live.grants.get_mut(&id) else { return };
        sharing.forget(now);
        let found = self.state.reservations.get(&id);
        let mut afloat = sharing.beyond(found, now);
        // A firm twin is the same capacity.
        let twin = |(lane, over, amount): &(LaneName, Interval, u64)| {
            let twin = self.state.topology.lanes.get(lane)?.twin.clone()?;
            Some((twin, *over, *amount))
        };
        let twins: Vec<_> = afloat.iter().filter_map(twin).collect();
        afloat.extend(twins);
        afloat.retain(|(name, over, amount)| {
            let lane = self.state.lanes.get_mut(name);
            lane.is_some_and(|lane| lane.float(*over, *amount).is_ok())
        });
        if let Some(until) = sharing.told.iter().map(|told| told.until).min() {
            self.live.ends.insert((until, id));
        }
        let mut peaks: BTreeMap<LaneName, u64> = BTreeMap::new();
        for (name, _, amount) in &afloat {
            let peak = peaks.entry(name.clone()).or_default();
            *peak = (*amount).max(*peak);
        }
        let before = std::mem::replace(&mut sharing.peaks, peaks.clone());
        sharing.afloat = afloat;
        // What is free now may be what others wait for.
        for (name, before) in before {
            if peaks.get(&name).copied().unwrap_or(0) < before {
                self.live.touch(&name);
            }
        }
    }

    /// Follows what has happened to a reservation whose holder may have something afloat.
    pub(super) fn live_follow(&mut self, id: ReservationId, at: Timestamp) {
        let Some(sharing) = self.live.grants.get_mut(&id) else { return };
        match self.state.reservations.get(&id).map(|found| found.state) {
            // Its holder has said that it has stopped. At any other end it may not have heard of it.
            Some(State::Closed { why: CloseWhy::Released, free_from, .. }) if free_from <= at => {
                sharing.told.clear();
            }
            None => sharing.told.clear(),
            Some(_) => {}
        }
        self.float(id, at);
        self.refresh(id, at);
    }

    /// The holder of a reservation obeys a plan: what was told with those before it is used no more.
    pub(super) fn live_settled(&mut self, id: ReservationId) {
        let version = self.state.reservations.get(&id).map_or(0, |found| found.plan_version);
        if let Some(sharing) = self.live.grants.get_mut(&id) {
            sharing.told.retain(|told| version <= told.plan_version);
        }
    }

    /// Lets a grant share by the terms that stand, or no more.
    fn refresh(&mut self, id: ReservationId, now: Timestamp) {
        let found = self.state.reservations.get(&id);
        let terms = found.and_then(|found| Terms::of(found, now));
        let Some(sharing) = self.live.grants.get_mut(&id) else { return };
        match terms {
            Some(terms) if terms == sharing.terms => {}
            Some(terms) => {
                let before = std::mem::replace(&mut sharing.terms, terms.clone());
                self.live.leave(id, &before);
                self.live.enter(id, &terms);
            }
            None if sharing.told.is_empty() && !found.is_some_and(Reservation::is_live) => {
                let gone = self.live.grants.remove(&id);
                gone.iter().for_each(|gone| self.live.leave(id, &gone.terms));
            }
            None => {
                sharing.terms.ceiling = sharing.terms.floor;
                sharing.share = 0;
            }
        }
    }

    /// A holder says in a beat which live rate it obeys: it uses no more than what was told with that
    /// or since.
    pub fn live_heard(
        &mut self,
        now: Timestamp,
        session: SessionId,
        (id, obeyed): (ReservationId, Obeyed),
    ) {
        let Some(found) = self.state.reservations.get(&id) else { return };
        if found.session != Some(session) {
            return;
        }
        // Where refusals are only observed, nobody would wait for what is afloat.
        if obeyed.version == 0 || self.limits.observe {
            return self.live_stop(id, now);
        }
        let until = now.plus(self.usable_for());
        if !self.live.grants.contains_key(&id) {
            let Some(terms) = Terms::of(found, now) else { return };
            // Told by the process before this one, if it is more than the floor.
            let version = if terms.floor < obeyed.rate.bps() { 0 } else { obeyed.version };
            let last = Told::of(&terms, terms.ceiling, (version, until));
            let last = Told { rate: terms.floor, ..last };
            self.live.enter(id, &terms);
            self.live.grants.insert(id, Sharing::new(terms, last, Vec::new()));
        }
        let Some(sharing) = self.live.grants.get_mut(&id) else { return };
        let before = sharing.told.len();
        sharing.told.retain(|told| obeyed.version <= told.version);
        if sharing.last.version < obeyed.version {
            let mut last = Told::of(&sharing.terms, obeyed.rate.bps(), (obeyed.version, until));
            last.within(&sharing.last);
            sharing.told.insert(0, last.clone());
            sharing.last = last;
            self.float(id, now);
        } else if sharing.told.len() < before {
            self.float(id, now);
        }
        self.check_left(id, now);
    }

    /// Its holder follows no live rates.
    fn live_stop(&mut self, id: ReservationId, now: Timestamp) {
        let Some(sharing) = self.live.grants.get_mut(&id) else { return };
        sharing.told.clear();
        self.float(id, now);
        let gone = self.live.grants.remove(&id);
        gone.iter().for_each(|gone| self.live.leave(id, &gone.terms));
    }

    /// Notices where time has changed what the lanes of a grant have left.
    fn check_left(&mut self, id: ReservationId, now: Timestamp) {
        self.refresh(id, now);
        let Some(sharing) = self.live.grants.get(&id) else { return };
        let lanes = sharing.terms.booked.iter().map(|(lane, _)| lane);
        let changed =
            |lane: &&LaneName| self.live.left.get(*lane) != Some(&self.left_on(lane, now));
        let changed: Vec<LaneName> = lanes.filter(changed).cloned().collect();
        self.live.stale.extend(changed);
    }

    /// The live rate that a holder is told in the answer to a beat, of those that it said it obeys.
    /// From now on nobody else is given it, until it is obeyed no more.
    pub fn live_tell(
        &mut self,
        now: Timestamp,
        session: SessionId,
        id: ReservationId,
    ) -> Option<LiveRate> {
        let found = self.live.grants.get(&id).and(self.state.reservations.get(&id))?;
        if found.session != Some(session) || !found.is_live() {
            return None;
        }
        let plan_version = found.plan_version;
        let afloat_until = now.plus(self.usable_for());
        self.refresh(id, now);
        let shares = Terms::of(self.state.reservations.get(&id)?, now).is_some();
        self.land(id);
        let sharing = self.live.grants.get(&id)?;
        let terms = sharing.terms.clone();
        let more = match shares {
            true => sharing.share.min(self.room_for(&terms, &BTreeMap::new(), now)),
            false => 0,
        };
        // Whoever does not share has just its plan.
        let rate = if shares { terms.floor.saturating_add(more) } else { 0 };
        let sharing = self.live.grants.get_mut(&id)?;
        let same = (sharing.last.rate, sharing.last.plan_version) == (rate, plan_version);
        let version = sharing.last.version.saturating_add(u64::from(!same));
        let mut told = Told::of(&terms, rate, (version, afloat_until.min(terms.end)));
        told.plan_version = plan_version;
        if !shares {
            told.amounts.clear();
        }
        sharing.last = told.clone();
        sharing.told.retain(|it| it.version != version);
        sharing.told.push(told);
        self.float(id, now);
        Some(LiveRate { rate: BitRate::from_bps(rate)?, version })
    }

    /// What the holder of a reservation may be using of lanes beyond what is booked, from when it was told
    /// last to when it must have stopped, in bits per second.
    pub fn afloat(&self, id: ReservationId) -> impl Iterator<Item = (&LaneName, Interval, u64)> {
        self.live.afloat_of(id).map(|(lane, over, amount)| (lane, *over, *amount))
    }

    /// The live rate that a holder was told last.
    #[must_use]
    pub fn live_rate(&self, id: ReservationId) -> Option<LiveRate> {
        let last = &self.live.grants.get(&id)?.last;
        Some(LiveRate { rate: BitRate::from_bps(last.rate)?, version: last.version })
    }

    /// Computes anew what is fair where something has changed. Returns the sessions whose rates are to
    /// be told at once.
    pub fn reshare(&mut self, now: Timestamp) -> Vec<SessionId> {
        while let Some((until, id)) = self.live.ends.first().copied().filter(|it| it.0 <= now) {
            self.live.ends.remove(&(until, id));
            self.float(id, now);
            self.refresh(id, now);
        }
        self.live.expire_claims(now);
        if self.live.stale.is_empty() {
            return Vec::new();
        }
        for id in self.live.concerned().0 {
            self.refresh(id, now);
        }
        // Terms may have moved to other lanes.
        let (grants, lanes) = self.live.concerned();
        self.live.stale.clear();
        let numbers: BTreeMap<&LaneName, usize> = lanes.iter().zip(0..).collect();
        let left: Vec<u64> = lanes.iter().map(|name| self.left_on(name, now)).collect();
        let sharers = grants.iter().filter_map(|id| self.live.grants.get(id)).map(|sharing| {
            let terms = &sharing.terms;
            let draws = terms.booked.iter().zip(terms.draws());
            let draws = draws.filter_map(|((name, _), draw)| {
                Some(Draw { lane: numbers.get(name).copied()?, ..draw })
            });
            let most = terms.ceiling.saturating_sub(terms.floor);
            Sharer { weight: terms.weight, most, draws: draws.collect() }
        });
        let sharers: Vec<Sharer> = sharers.collect();
        let fair = shares(&left, &sharers);
        self.live.left.extend(lanes.iter().cloned().zip(left));
        let mut news = BTreeSet::new();
        for (id, share) in grants.iter().zip(fair) {
            let Some(sharing) = self.live.grants.get_mut(id) else { continue };
            sharing.share = share;
            let Some(sharing) = self.live.grants.get(id) else { continue };
            let session = self.state.reservations.get(id).filter(|found| found.is_live());
            if self.has_news(sharing, now) {
                news.extend(session.and_then(|found| found.session));
            }
        }
        news.into_iter().collect()
    }

    /// Whether a holder is to be told another rate than last: a lower one, or one that is higher by a
    /// good part of what it should have.
    fn has_news(&self, sharing: &Sharing, now: Timestamp) -> bool {
        let terms = &sharing.terms;
        let had = sharing.last.rate.saturating_sub(terms.floor);
        if sharing.share <= had {
            return sharing.share < had;
        }
        let could = self.room_for(terms, &sharing.peaks, now).min(sharing.share);
        let (gain, wanted) = (could.saturating_sub(had), sharing.share.saturating_sub(had));
        wanted <= gain.saturating_mul(4)
    }

    /// What is afloat on lanes and is not what its holders may be using, for audits.
    pub(crate) fn floating_faults(&self) -> Vec<String> {
        let mut afloat: BTreeMap<&LaneName, Timeline> = BTreeMap::new();
        for (name, over, amount) in self.live.grants.keys().flat_map(|id| self.live.afloat_of(*id))
        {
            let summed = afloat.entry(name).or_default().book(*over, *amount);
            debug_assert!(summed.is_ok(), "what stands on a lane does not overflow");
        }
        let lanes = self.state.lanes.iter();
        let wrong = lanes.filter(|(name, lane)| match afloat.get(name) {
            Some(afloat) => afloat != lane.afloat(),
            None => !lane.afloat().is_empty(),
        });
        wrong.map(|(name, _)| format!("{name}: what is afloat is not what may be used")).collect()
    }

    /// After a replay: whoever may have been told a live rate is taken to have been told the highest, under
    /// the terms that stand and under earlier ones, also if it was closed since.
    pub(super) fn live_resume(&mut self, now: Timestamp) {
        let until = now.plus(self.usable_for());
        let floats = self.state.reservations.values().filter_map(|found| {
            let terms = Terms::before(found, now)?;
            let ratio = found.standing.ratio;
            let highest = |booked: u64| {
                let booked = BitRate::from_bps(booked).unwrap_or(BitRate::MAX);
                ratio.ceiling(booked).bps().saturating_add(1)
            };
            let mut own: BTreeMap<LaneName, u64> = BTreeMap::new();
            let now_on = |over: &Interval| over.start() <= now && now < over.end();
            for (lane, _, amount) in found.bookings().filter(|(_, over, _)| now_on(over)) {
                let sum = own.entry(lane.clone()).or_default();
                *sum = sum.saturating_add(amount);
            }
            own.retain(|lane, _| !lane.is_quota());
            let last = Told::of(&terms, terms.ceiling, (0, until));
            let amounts = own.into_iter().map(|(lane, amount)| (lane, highest(amount)));
            Some((found.id, terms, Told { amounts: amounts.collect(), ..last }))
        });
        let floats: Vec<_> = floats.filter(|(_, _, told)| !told.amounts.is_empty()).collect();
        for (id, terms, last) in floats {
            self.live.enter(id, &terms);
            self.live.grants.insert(id, Sharing::new(terms, last.clone(), vec![last]));
            self.float(id, now);
        }
    }
}

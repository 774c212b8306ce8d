//! Live rates: what lanes have left over the floors, for those who may have more while it lasts.
//!
//! A share is afloat on its lanes for as long as its holder may use it without another word: a lease and a
//! second from the beat that told of it. While it is afloat nobody else is given it: new bookings find it on their
//! lanes (`Lane::float`), and other shares grow out of what is left beside it. It shrinks when its holder
//! says that it obeys a lower one, or when that time has passed. So whoever is cut off, what may be sent
//! on a lane is never above what it carries, and nobody who is granted a rate has to wait for it.
//!
//! None of this is journaled. After a restart whoever might have had more than its floor is taken
//! to have all that it may have, until it says what it has, or can have it no more.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::{BitRate, Interval, Overcommit, RequestId, ReservationId, Timestamp};

use crate::lane::LaneName;
use crate::plan::Plan;
use crate::planner::shares::Draw;
use crate::promise::Promised;
use crate::reservation::{Reservation, State};
use crate::timeline::Timeline;

/// So many rates may be told to one holder without a word of it: past that, the oldest are taken for one.
const TOLD_MAX: usize = 8;

/// Who has something afloat, and what is fair.
#[derive(Clone, Debug, Default)]
pub(super) struct Live {
    pub(super) grants: BTreeMap<ReservationId, Sharing>,
    /// Who shares in each lane, or has something of it.
    on: BTreeMap<LaneName, BTreeSet<ReservationId>>,
    /// What has changed since shares were computed.
    pub(super) stale: BTreeSet<LaneName>,
    /// What each lane had left when they were.
    pub(super) left: BTreeMap<LaneName, u64>,
    /// When something may be used no more.
    pub(super) ends: BTreeSet<(Timestamp, ReservationId)>,
    /// What live rates are to leave alone, because somebody was refused it.
    claims: BTreeMap<RequestId, Claim>,
}

/// What is to be left alone on lanes, in bits per second.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) lanes: BTreeMap<LaneName, u64>,
    pub(super) until: Timestamp,
}

/// A grant that may have more than its floor.
#[derive(Clone, Debug)]
pub(super) struct Sharing {
    pub(super) terms: Terms,
    /// What it should have beyond its floor, in bits per second of payload.
    pub(super) share: u64,
    /// What its holder was told last.
    pub(super) last: Told,
    /// What its holder may be using, the oldest first.
    pub(super) told: Vec<Told>,
    /// What stands on lanes for that.
    pub(super) afloat: Vec<(LaneName, Interval, u64)>,
    /// The most of it on each lane.
    pub(super) peaks: BTreeMap<LaneName, u64>,
}

/// What of a reservation says how it shares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Terms {
    pub(super) plan_version: u64,
    pub(super) floor: u64,
    pub(super) ceiling: u64,
    pub(super) weight: u32,
    /// What the floor books on each lane.
    pub(super) booked: Vec<(LaneName, u64)>,
    pub(super) end: Timestamp,
}

/// A rate that a holder was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Told {
    pub(super) version: u64,
    pub(super) plan_version: u64,
    pub(super) rate: u64,
    /// What the whole rate takes of each lane.
    pub(super) amounts: Vec<(LaneName, u64)>,
    pub(super) until: Timestamp,
}

/// A live rate as its holder is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LiveRate {
    /// The payload rate that it may send at until the lease of its last answered beat is over; zero where
    /// there is only its plan.
    pub rate: BitRate,
    /// Counts the rates that were told; the next beat says which one is obeyed.
    pub version: u64,
}

/// What a holder says in a beat of the live rate that it obeys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Obeyed {
    /// Its version; 0 of a holder that follows no live rates.
    pub version: u64,
    /// The rate, in bits per second of payload.
    pub rate: BitRate,
}

impl Live {
    pub(super) fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    /// What is booked on a lane has changed.
    pub(super) fn touch(&mut self, lane: &LaneName) {
        if self.on.contains_key(lane) {
            self.stale.insert(lane.clone());
        }
    }

    /// What lanes can carry has changed.
    pub(super) fn touch_all(&mut self) {
        self.stale.extend(self.on.keys().cloned());
    }

    /// What stands on lanes for the holder of a reservation beyond what it books.
    pub(super) fn afloat_of(
        &self,
        id: ReservationId,
    ) -> impl Iterator<Item = &(LaneName, Interval, u64)> {
        self.grants.get(&id).into_iter().flat_map(|sharing| &sharing.afloat)
    }

    /// What is claimed of a lane.
    pub(super) fn claimed(&self, lane: &LaneName) -> u64 {
        let amounts = self.claims.values().filter_map(|claim| claim.lanes.get(lane));
        amounts.fold(0, |sum, amount| sum.saturating_add(*amount))
    }

    /// Whoever claims again, while some have given way and others have not yet, claims as much as before.
    pub(super) fn claim(&mut self, id: RequestId, mut claim: Claim) {
        for (lane, amount) in self.claims.remove(&id).into_iter().flat_map(|before| before.lanes) {
            let most = claim.lanes.entry(lane).or_default();
            *most = amount.max(*most);
        }
        for lane in claim.lanes.keys() {
            self.touch(lane);
        }
        self.claims.insert(id, claim);
    }

    pub(super) fn claims(&self) -> usize {
        self.claims.len()
    }

    pub(super) fn drop_claim(&mut self, id: RequestId) {
        if let Some(claim) = self.claims.remove(&id) {
            claim.lanes.keys().for_each(|lane| self.touch(lane));
        }
    }

    /// Drops what is claimed no more at `now`.
    pub(super) fn expire_claims(&mut self, now: Timestamp) {
        let over = self.claims.iter().filter(|(_, claim)| claim.until <= now);
        let over: Vec<RequestId> = over.map(|(id, _)| *id).collect();
        over.into_iter().for_each(|id| self.drop_claim(id));
    }

    pub(super) fn enter(&mut self, id: ReservationId, terms: &Terms) {
        for (lane, _) in &terms.booked {
            self.on.entry(lane.clone()).or_default().insert(id);
            self.stale.insert(lane.clone());
        }
    }

    pub(super) fn leave(&mut self, id: ReservationId, terms: &Terms) {
        for (lane, _) in &terms.booked {
            self.touch(lane);
            if let Some(on) = self.on.get_mut(lane) {
                on.remove(&id);
                if on.is_empty() {
                    self.on.remove(lane);
                    self.stale.remove(lane);
                    self.left.remove(lane);
                }
            }
        }
    }

    /// Everybody who shares with those on the lanes that have changed, and the lanes of all of them.
    pub(super) fn concerned(&self) -> (BTreeSet<ReservationId>, BTreeSet<LaneName>) {
        let (mut grants, mut lanes) = (BTreeSet::new(), BTreeSet::new());
        let mut next: Vec<&LaneName> = self.stale.iter().collect();
        while let Some(lane) = next.pop() {
            if !lanes.insert(lane.clone()) {
                continue;
            }
            for id in self.on.get(lane).into_iter().flatten() {
                if grants.insert(*id)
                    && let Some(sharing) = self.grants.get(id)
                {
                    next.extend(sharing.terms.booked.iter().map(|(lane, _)| lane));
                }
            }
        }
        (grants, lanes)
    }
}

impl Terms {
    /// How a reservation shares at `now`; `None` if it has no more than its floor: a volume, a plan of
    /// several pieces, one that has not begun, one that nobody can be told of.
    pub(super) fn of(found: &Reservation, now: Timestamp) -> Option<Self> {
        let running = found.state == State::Confirmed
            && found.interval.start() <= now
            && now < found.interval.end();
        if !running || found.plan.segments.len() != 1 {
            return None;
        }
        Self::before(found, now).filter(|terms| terms.floor < terms.ceiling)
    }

    /// How a reservation that has begun may have shared, if it ever had more than its floor: by what its
    /// plan has at `now`, or had last.
    pub(super) fn before(found: &Reservation, now: Timestamp) -> Option<Self> {
        let volume =
            matches!(found.promise.as_deref().map(|it| it.what), Some(Promised::Volume { .. }));
        let tellable = found.session.is_some() && found.despite.is_none() && !volume;
        if found.standing.ratio == Overcommit::NONE || !tellable {
            return None;
        }
        let Plan { ways, segments } = &found.plan;
        let begun = segments.iter().rfind(|segment| segment.over.start() <= now);
        let segment = begun.or(segments.first())?;
        let way = ways.get(segment.way)?;
        let booked = way.lanes.iter().zip(&segment.amounts);
        let booked = booked.filter(|(lane, _)| !lane.is_quota());
        Some(Self {
            plan_version: found.plan_version,
            floor: segment.rate.bps(),
            ceiling: found.standing.ratio.ceiling(segment.rate).bps(),
            weight: found.standing.weight,
            booked: booked.map(|(lane, amount)| (lane.clone(), *amount)).collect(),
            end: found.interval.end(),
        })
    }

    /// What a rate beyond the floor takes of each lane, by the lane's place.
    pub(super) fn draws(&self) -> impl Iterator<Item = Draw> {
        let booked = self.booked.iter().enumerate();
        booked.map(|(lane, (_, booked))| Draw { lane, booked: *booked, payload: self.floor })
    }

    /// What a whole rate takes of each lane.
    fn amounts(&self, rate: u64) -> Vec<(LaneName, u64)> {
        let more = rate.saturating_sub(self.floor);
        let pairs = self.booked.iter().zip(self.draws());
        let amount = |booked: u64, draw: Draw| booked.saturating_add(draw.amount(more));
        pairs.map(|((lane, booked), draw)| (lane.clone(), amount(*booked, draw))).collect()
    }
}

impl Sharing {
    /// Somebody who shares from now on, and what it may be using already.
    pub(super) fn new(terms: Terms, last: Told, told: Vec<Told>) -> Self {
        Self { terms, share: 0, last, told, afloat: Vec::new(), peaks: BTreeMap::new() }
    }

    /// Forgets what its holder may use no more.
    pub(super) fn forget(&mut self, now: Timestamp) {
        self.told.retain(|told| now < told.until);
        while TOLD_MAX < self.told.len() {
            let first = self.told.remove(0);
            if let Some(next) = self.told.first_mut() {
                next.until = next.until.max(first.until);
                let known: BTreeMap<LaneName, u64> = first.amounts.into_iter().collect();
                let mut both: BTreeMap<LaneName, u64> = next.amounts.drain(..).collect();
                for (lane, amount) in known {
                    let most = both.entry(lane).or_default();
                    *most = amount.max(*most);
                }
                next.amounts = both.into_iter().collect();
                next.rate = next.rate.max(first.rate);
            }
        }
    }

    /// What may be used of each lane from `now` on, beyond what `own` books on it.
    pub(super) fn beyond(
        &self,
        own: Option<&Reservation>,
        now: Timestamp,
    ) -> Vec<(LaneName, Interval, u64)> {
        let lanes: BTreeSet<&LaneName> =
            self.told.iter().flat_map(|told| &told.amounts).map(|(lane, _)| lane).collect();
        let mut beyond = Vec::new();
        for lane in lanes {
            let on = |told: &Told| told.amounts.iter().find(|it| it.0 == *lane).map(|it| it.1);
            let steps = self.told.iter().filter_map(|told| Some((told.until, on(told)?)));
            let steps: Vec<(Timestamp, u64)> = steps.collect();
            let mut booked = Timeline::default();
            let own = own.into_iter().flat_map(Reservation::bookings);
            for (_, over, amount) in own.filter(|(name, ..)| *name == lane) {
                let summed = booked.book(over, amount);
                debug_assert!(summed.is_ok(), "what stands on a lane does not overflow");
            }
            let edges: BTreeSet<Timestamp> = steps.iter().map(|(until, _)| *until).collect();
            let mut from = now;
            for edge in edges {
                let lasting = steps.iter().filter(|(until, _)| edge <= *until);
                let most = lasting.map(|(_, amount)| *amount).max().unwrap_or(0);
                let over = Interval::new(from, edge);
                for (piece, booked) in over.into_iter().flat_map(|over| booked.pieces(over)) {
                    let more = most.saturating_sub(booked);
                    beyond.extend((0 < more).then(|| (lane.clone(), piece, more)));
                }
                from = edge.max(from);
            }
        }
        beyond
    }
}

impl Told {
    /// Bounds what a holder says that it has been told by what it can have been.
    pub(super) fn within(&mut self, most: &Self) {
        for (lane, amount) in &mut self.amounts {
            let bound = most.amounts.iter().find(|it| it.0 == *lane).map_or(0, |it| it.1);
            *amount = bound.min(*amount);
        }
    }

    pub(super) fn of(terms: &Terms, rate: u64, (version, until): (u64, Timestamp)) -> Self {
        let amounts = terms.amounts(rate);
        Self { version, plan_version: terms.plan_version, rate, amounts, until }
    }
}

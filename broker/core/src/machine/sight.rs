//! The lanes as one request sees them: those of the ledger, less what is its own, and with what
//! its batch has booked before it. Everything that is asked of lanes is asked here.

use std::collections::BTreeMap;
use std::iter::Peekable;

use tidegate_policy::{BitRate, Interval, ProjectId, ReservationId, Timestamp};

use super::lending::Trees;
use super::live::Live;
use super::wanted::Wanted;
use super::{LedgerState, Machine};
use crate::event::{Moved, Route};
use crate::lane::{Lane, LaneName, LaneNeed, Terms};
use crate::owner::Owner;
use crate::plan::Plan;
use crate::planner::board::Profile;
use crate::planner::place::leap_frog;
use crate::reservation::Reservation;
use crate::timeline::Timeline;

/// The lanes as one request sees them.
#[derive(Clone)]
pub(super) struct Sight<'a> {
    state: &'a LedgerState,
    live: &'a Live,
    /// Those that differ from the ledger's.
    changed: BTreeMap<LaneName, Lane>,
    /// Rates of projects that lend each other some, as who asks sees them.
    lent: BTreeMap<LaneName, Lane>,
    /// What who asks has of those itself, and since when that counts.
    own: BTreeMap<LaneName, Timeline>,
    since: Timestamp,
    trees: &'a Trees,
    /// The plans that its batch has moved before it.
    moved: BTreeMap<ReservationId, Plan>,
    /// What its batch was granted before it.
    granted: Vec<Reservation>,
    /// Others follow it, who see what it is granted: that costs a copy of every lane it books.
    pub(super) followed: bool,
}

/// A way that could carry a request.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) route: Route,
    pub(super) needs: Vec<LaneNeed>,
    pub(super) terms: Terms,
    /// It may have what others lend.
    pub(super) borrows: bool,
}

/// Where a request fits.
pub(super) struct Placed<'w> {
    pub(super) way: &'w Way,
    pub(super) rate: BitRate,
    pub(super) over: Interval,
}

impl<'a> Sight<'a> {
    pub(super) fn of(machine: &'a Machine) -> Self {
        Self {
            state: &machine.state,
            live: &machine.live,
            changed: BTreeMap::new(),
            lent: BTreeMap::new(),
            own: BTreeMap::new(),
            since: machine.state.clock,
            trees: &machine.lending,
            moved: BTreeMap::new(),
            granted: Vec::new(),
            followed: false,
        }
    }

    /// Sees that somebody was granted one more.
    pub(super) fn grant(&mut self, reservation: &Reservation) {
        self.granted.push(reservation.clone());
    }

    /// What it saw granted.
    pub(super) fn granted(&self) -> &[Reservation] {
        &self.granted
    }

    /// What it saw granted to a project and those below it.
    pub(super) fn granted_below<'s>(
        &'s self,
        machine: &'s Machine,
        project: &'s ProjectId,
    ) -> impl Iterator<Item = &'s Owner> {
        let owners = self.granted.iter().map(|granted| &granted.owner);
        owners.filter(|owner| {
            machine.projects().lineage(&owner.project).any(|above| above.id == *project)
        })
    }

    /// Sees the quotas that ways need and on which nobody has booked anything yet.
    pub(super) fn open(&mut self, ways: &[Way]) {
        for need in ways.iter().flat_map(|way| &way.needs).filter(|need| need.lane.is_quota()) {
            if self.lane(&need.lane).is_none()
                && let Some(fresh) = self.state.fresh_quota(&need.lane)
            {
                self.changed.insert(need.lane.clone(), fresh);
            }
        }
        if self.trees.is_empty() {
            return;
        }
        for way in ways {
            for need in way.needs.iter().filter(|need| self.trees.contains_key(&need.lane)) {
                if let Some(lane) = self.as_lent(&need.lane, way.borrows) {
                    self.lent.insert(need.lane.clone(), lane);
                }
            }
        }
    }

    /// The rate of a project that lends or borrows, as it is to one that may borrow or not.
    fn as_lent(&self, name: &LaneName, borrows: bool) -> Option<Lane> {
        let tree = self.trees.get(name)?;
        let lane = tree.lane(name, |name| self.raw(name), (self.since, borrows))?;
        let own = self.own.get(name);
        Some(own.map_or_else(|| lane.clone(), |own| lane.with_at_least(own, self.since)))
    }

    /// A lane as it is booked, whoever lends what to whom.
    pub(super) fn raw(&self, name: &LaneName) -> Option<&Lane> {
        self.changed.get(name).or_else(|| self.state.lanes.get(name))
    }

    /// The same as one that sees them.
    pub(super) fn opened(&self, ways: &[Way]) -> Self {
        let mut opened = self.clone();
        opened.open(ways);
        opened
    }

    pub(super) fn lane(&self, name: &LaneName) -> Option<&Lane> {
        self.lent.get(name).or_else(|| self.raw(name))
    }

    /// What is free on a lane, with everybody where it is; nobody is on a quota that is not there.
    pub(super) fn profile(&self, name: &LaneName, over: Interval) -> Option<Profile> {
        let profile = match self.lane(name) {
            Some(lane) => lane.profile(over),
            None => self.state.fresh_quota(name)?.profile(over),
        };
        Some(if name.is_quota() { profile.at_least_its_load() } else { profile })
    }

    /// What a lane can carry, whatever somebody has of it past that.
    pub(super) fn limit(&self, name: &LaneName) -> u64 {
        match self.lent.get(name).or_else(|| self.state.lanes.get(name)) {
            Some(lane) => lane.capacity(),
            None => self.changed.get(name).map_or(0, Lane::capacity),
        }
    }

    /// The same at its least during `over`, of a quota that is not the same at all times.
    pub(super) fn limit_over(&self, name: &LaneName, over: Interval) -> u64 {
        let cut = self.state.lanes.get(name).filter(|_| name.is_quota());
        self.limit(name).saturating_sub(cut.map_or(0, |lane| lane.cuts().peak(over)))
    }

    /// Sees `amount` more booked on a lane.
    pub(super) fn book(&mut self, name: &LaneName, over: Interval, amount: u64) {
        if let Some(lane) = self.lane_mut(name) {
            let booked = lane.book(over, amount);
            debug_assert!(booked.is_ok(), "what fits does not overflow");
        }
    }

    /// Sees `amount` less booked on a lane.
    pub(super) fn unbook(&mut self, name: &LaneName, over: Interval, amount: u64) {
        if let Some(lane) = self.lane_mut(name) {
            let freed = lane.unbook(over, amount);
            debug_assert!(freed.is_ok(), "what it books stands on the lane");
        }
    }

    /// The plan of a reservation, as those before it in the same batch have left it.
    pub(super) fn plan<'s>(&'s self, found: &'s Reservation) -> &'s Plan {
        self.moved.get(&found.id).unwrap_or(&found.plan)
    }

    /// The plan that a reservation has got in the same batch.
    pub(super) fn moved(&self, id: ReservationId) -> Option<&Plan> {
        self.moved.get(&id)
    }

    /// Those whose plans were replaced in the same batch.
    pub(super) fn moved_ids(&self) -> impl Iterator<Item = ReservationId> {
        self.moved.keys().copied()
    }

    /// Sees a plan replaced from some instant on.
    pub(super) fn shift(&mut self, found: &Reservation, moved: &Moved) {
        let before = self.plan(found).clone();
        let ahead = Interval::new(moved.from, Timestamp::MAX);
        let gone = ahead.map(|ahead| before.within(ahead));
        for (name, over, amount) in moved.plan.bookings() {
            self.book(name, over, amount);
        }
        for (name, over, amount) in gone.iter().flat_map(Plan::bookings) {
            let Some(lane) = self.lane_mut(name) else { continue };
            let freed = lane.unbook(over, amount);
            debug_assert!(freed.is_ok(), "what it books stands on the lane");
        }
        let stays = Interval::new(Timestamp::EPOCH, moved.from);
        let stays = stays.map(|stays| before.within(stays).then(moved.plan.clone()));
        self.moved.insert(found.id, stays.unwrap_or_else(|| moved.plan.clone()));
    }

    /// Sees a reservation closed, its lanes free from some instant on.
    pub(super) fn drop_from(&mut self, found: &Reservation, free_from: Timestamp) {
        let Some(ahead) = Interval::new(free_from, Timestamp::MAX) else { return };
        let stays = Interval::new(Timestamp::EPOCH, free_from);
        let before = self.plan(found).clone();
        for (name, over, amount) in before.within(ahead).bookings() {
            let Some(lane) = self.lane_mut(name) else { continue };
            let freed = lane.unbook(over, amount);
            debug_assert!(freed.is_ok(), "what it books stands on the lane");
        }
        let left = stays.map(|stays| before.within(stays));
        self.moved
            .insert(found.id, left.unwrap_or(Plan { ways: Vec::new(), segments: Vec::new() }));
    }

    /// Sees nothing of what a reservation books from `now` on, nor of what it has afloat:
    /// its holder has it already.
    pub(super) fn without(mut self, own: &Reservation, now: Timestamp) -> Self {
        for (name, over, amount) in self.live.afloat_of(own.id) {
            if let Some(lane) = self.lane_mut(name) {
                let taken = lane.land(*over, *amount);
                debug_assert!(taken.is_ok(), "what is afloat stands on the lane");
            }
        }
        let mut drained: BTreeMap<&LaneName, Timeline> = BTreeMap::new();
        // What is past a quota may stay, and shrink.
        let mut quotas: BTreeMap<&LaneName, Timeline> = BTreeMap::new();
        for (name, over, amount) in own.bookings() {
            let Some(ahead) = over.from(now) else { continue };
            let Some(lane) = self.lane_mut(name) else { continue };
            let freed = lane.unbook(ahead, amount);
            debug_assert!(freed.is_ok(), "what it books stands on the lane");
            let kept = if name.is_quota() { &mut quotas } else { &mut drained };
            if name.is_quota() || lane.is_drained() {
                let summed = kept.entry(name).or_default().book(ahead, amount);
                debug_assert!(summed.is_ok(), "what stands on a lane does not overflow");
            }
        }
        self.since = now;
        for (name, own) in quotas {
            if self.trees.contains_key(name) {
                self.own.insert(name.clone(), own);
                continue;
            }
            if let Some(lane) = self.lane_mut(name) {
                *lane = lane.with_at_least(&own, now);
            }
        }
        for (name, own) in drained {
            if let Some(lane) = self.lane_mut(name) {
                *lane = lane.with_only(&own, now);
            }
        }
        self
    }

    fn lane_mut(&mut self, name: &LaneName) -> Option<&mut Lane> {
        // What others may have of it is another matter now.
        self.lent.clear();
        if !self.changed.contains_key(name) {
            let known = self.state.lanes.get(name).cloned();
            let lane = known.or_else(|| self.state.fresh_quota(name))?;
            self.changed.insert(name.clone(), lane);
        }
        self.changed.get_mut(name)
    }

    /// The earliest place on any way within what is wanted, the first way's among equals.
    pub(super) fn place<'w>(&self, ways: &'w [Way], wanted: &Wanted) -> Option<Placed<'w>> {
        let mut best: Option<(Timestamp, &Way)> = None;
        for way in ways {
            // A later way has to be earlier than the best so far.
            let before_best = best.map(|(start, _)| start);
            if before_best == Some(wanted.first) {
                break;
            }
            if let Some(start) = self.earliest(way, wanted.min, wanted, wanted.latest)
                && before_best.is_none_or(|best| start < best)
            {
                best = Some((start, way));
            }
        }
        let (start, way) = best?;
        let over = wanted.starting(start)?;
        // What fits at its lowest rate has it; how much more there is, is asked where more helps.
        let rate = match wanted.min == wanted.max {
            true => wanted.max,
            false => self.highest(way, over).min(wanted.max),
        };
        Some(Placed { way, rate, over })
    }

    /// The earliest start from the first wanted one to `latest` at which every lane of a way
    /// carries `rate` for the whole span.
    pub(super) fn earliest(
        &self,
        way: &Way,
        rate: BitRate,
        wanted: &Wanted,
        latest: Timestamp,
    ) -> Option<Timestamp> {
        leap_frog(&way.needs, (wanted.first, latest), |need, candidate| {
            let (lane, amount) = (self.lane(&need.lane)?, need.amount(rate, way.terms));
            lane.earliest(candidate, latest, wanted.span, amount)
        })
    }

    /// The least that is free on a lane during `over`.
    pub(super) fn headroom(&self, need: &LaneNeed, over: Interval) -> u64 {
        self.lane(&need.lane).map_or(0, |lane| lane.free(over))
    }

    /// The highest payload rate that a way carries over `over`.
    pub(super) fn highest(&self, way: &Way, over: Interval) -> BitRate {
        let free = |need: &LaneNeed| need.rate_within(self.headroom(need, over), way.terms);
        let rates = way.needs.iter().map(free);
        rates.min().unwrap_or_default()
    }

    /// The highest payload rate that a way carries at each instant of `over`, as a step function:
    /// from each instant on, neighbours different. Lazy, for those who stop early.
    pub(super) fn steps<'s>(&'s self, way: &'s Way, over: Interval) -> Steps<'s> {
        let heads = way.needs.iter().map(|need| {
            let free = self.lane(&need.lane).map(|lane| lane.steps(over));
            let steps: Box<dyn Iterator<Item = (Timestamp, u64)>> = match free {
                Some(steps) => Box::new(steps),
                None => Box::new(std::iter::once((over.start(), 0))),
            };
            Head { need, steps: steps.peekable(), rate: BitRate::MAX }
        });
        Steps { heads: heads.collect(), terms: way.terms, last: None }
    }
}

/// See [`Sight::steps`].
pub(super) struct Steps<'s> {
    heads: Vec<Head<'s>>,
    terms: Terms,
    last: Option<BitRate>,
}

struct Head<'s> {
    need: &'s LaneNeed,
    steps: Peekable<Box<dyn Iterator<Item = (Timestamp, u64)> + 's>>,
    rate: BitRate,
}

impl Iterator for Steps<'_> {
    type Item = (Timestamp, BitRate);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let heads = self.heads.iter_mut();
            let next = heads.filter_map(|head| Some(head.steps.peek()?.0)).min()?;
            for head in &mut self.heads {
                if let Some((_, free)) = head.steps.next_if(|(instant, _)| *instant == next) {
                    head.rate = head.need.rate_within(free, self.terms);
                }
            }
            let rate = self.heads.iter().map(|head| head.rate).min().unwrap_or_default();
            if self.last.replace(rate) != Some(rate) {
                return Some((next, rate));
            }
        }
    }
}

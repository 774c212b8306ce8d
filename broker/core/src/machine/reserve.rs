//! Decides a new booking: every lane of one way, or a refusal that says why and what would fit.

use std::borrow::Cow;

use tidegate_policy::{BitRate, Endpoint, Interval, ProjectId, ReservationId, Span, Timestamp};

use super::batch::Pending;
use super::decide::unchanged;
use super::offers::rank;
use super::rules::Ruled;
use super::sight::{Sight, Way};
use super::wanted::Wish;
use super::{Answer, Decision, Machine, Stamp};
use crate::command::{Ask, LANES_MAX, SOURCES_MAX, Shape, VIA_MAX, Ways};
use crate::event::{Booked, Change, Event, Reserved, Route};
use crate::fault::{Fault, FieldFault};
use crate::lane::{LaneNeed, Terms};
use crate::owner::Account;
use crate::plan::Plan;
use crate::promise::{PRIORITY_MAX, Promise, Promised};
use crate::refusal::{CounterOffer, Refusal};
use crate::reservation::Reservation;
use crate::topology::Path;

/// How long the best offer is held where nothing else is said.
const OFFER_HOLD: Span = Span::from_secs(60);

impl Machine {
    pub(super) fn reserve(&self, stamp: Stamp, asked: &Ask) -> Result<Decision, Fault> {
        let Ruled { ask, refusal, hits } = self.ruled(stamp.now, asked)?;
        let wish = self.checked(stamp.now, &ask)?;
        self.check_room(&ask, &Pending::default())?;
        let decided = match refusal {
            Some(refusal) => self.refused(stamp, (&ask, &wish), refusal),
            None => self.reserve_in(&mut Sight::of(self), stamp, &ask, &wish),
        };
        decided.map(|decided| Decision { hits, ..decided })
    }

    /// Decides one among what `sight` sees, and lets it see what is granted.
    pub(super) fn reserve_in(
        &self,
        sight: &mut Sight<'_>,
        stamp: Stamp,
        ask: &Ask,
        wish: &Wish,
    ) -> Result<Decision, Fault> {
        let allowed = self.allows_one_more(sight, &ask.owner);
        let allowed = allowed.and_then(|()| self.allowed(stamp.now, ask, wish));
        let wish = &match allowed {
            Ok(wish) => wish,
            Err(refusal) => return self.refused(stamp, (ask, wish), refusal),
        };
        let account = self.account(ask, wish);
        let ways = match self.movables.known(&account, &ask.ways, ask.terms) {
            Some(known) => Cow::Borrowed(known),
            None => Cow::Owned(self.ways(&account, &ask.ways, ask.terms)?),
        };
        let ways: &[Way] = &ways;
        sight.open(ways);
        let (plan, changes) = match self.made(stamp, sight, ask, (ways, wish)) {
            Ok(made) => made,
            Err(refusal) if self.limits.observe => {
                return self.refused(stamp, (ask, wish), refusal);
            }
            Err(mut refusal) => {
                let offered = self.offered_wish(stamp.now, ask, wish);
                refusal.offers = self.ranked_offers(stamp, sight, ask, (ways, &offered));
                return self.hold_best(sight, stamp, ask, refusal);
            }
        };
        let mut events = Vec::with_capacity(changes.len().saturating_add(1));
        for change in changes {
            if sight.followed {
                self.see(sight, &change);
            }
            events.push(Event { at: stamp.now, request: None, change });
        }
        let borrowed = self.borrows(sight, &plan);
        if sight.followed {
            for (lane, over, amount) in plan.bookings() {
                sight.book(lane, over, amount);
            }
        }
        let reserved = Reserved { borrowed, ..grant(stamp, ask, wish, plan) };
        let after = Reservation::granted(reserved.clone(), stamp.now, None);
        let unsound =
            || Fault::Within { part: "plan".into(), fault: Fault::Invalid(Vec::new()).into() };
        let after = after.ok_or_else(unsound)?;
        if sight.followed {
            sight.grant(&after);
        }
        let answer = Answer::Reservation(after.into());
        let change = Change::Reserved(reserved.into());
        events.push(Event { at: stamp.now, request: None, change });
        Ok(Decision::new(events, answer))
    }

    /// What comes of a refusal without offers.
    pub(super) fn refused(
        &self,
        stamp: Stamp,
        asked: (&Ask, &Wish),
        refusal: Refusal,
    ) -> Result<Decision, Fault> {
        match self.limits.observe {
            true => self.observed(stamp, asked, refusal.reason),
            false => Ok(unchanged(Answer::Refusal(refusal.into()))),
        }
    }

    /// Lets `sight` see what happens to others.
    pub(super) fn see(&self, sight: &mut Sight<'_>, change: &Change) {
        let found = |id| self.state.reservations.get(id);
        if let Change::Moved(moved) = change
            && let Some(found) = found(&moved.id)
        {
            sight.shift(found, moved);
        }
        if let Change::Closed { id, free_from, .. } = change
            && let Some(found) = found(id)
        {
            sight.drop_from(found, *free_from);
        }
    }

    /// Everything that would be granted instead, best first.
    pub(super) fn ranked_offers(
        &self,
        stamp: Stamp,
        sight: &Sight<'_>,
        ask: &Ask,
        (ways, wish): (&[Way], &Wish),
    ) -> Vec<CounterOffer> {
        let mut offers = match wish {
            Wish::Steady(wanted) => sight.offers(ways, wanted),
            Wish::Volume(sought) => sight.volume_offers(ways, sought, self.limits.segments_max),
        };
        offers.extend(self.other_source(sight, ask, wish));
        // What takes longer may take longer than a quota allows, and than what its class calls short.
        let long = self.account(ask, wish).long;
        offers.retain(|offer| {
            let wish = self.wish(stamp.now, &offer.ask(ask)).ok();
            let as_long = |wish: &Wish| self.account(ask, wish).long == long;
            let allowed = wish.filter(as_long);
            let allowed = allowed.and_then(|wish| self.allowed(stamp.now, ask, &wish).ok());
            let allowed = allowed.filter(|_| self.is_in_budget(stamp, sight, ask, offer));
            match allowed {
                // A quota may cut the window of what was asked for, not that of what is offered.
                Some(Wish::Volume(sought)) => offer.interval.end() <= sought.window.end(),
                allowed => allowed.is_some(),
            }
        });
        rank(&mut offers, wish);
        offers
    }

    /// What offers are made for: a volume of which the best is to be held begins behind its hold.
    fn offered_wish(&self, now: Timestamp, ask: &Ask, wish: &Wish) -> Wish {
        let Wish::Volume(_) = wish else { return *wish };
        if !ask.hold_best_offer {
            return *wish;
        }
        let held = Ask { hold_for: Some(ask.held_for()), ..ask.clone() };
        let held = self.wish(now, &held).ok();
        let allowed = held.and_then(|held| self.allowed(now, ask, &held).ok());
        allowed.unwrap_or(*wish)
    }

    /// Holds the best offer of a refusal, if that was asked for and there is one.
    fn hold_best(
        &self,
        sight: &mut Sight<'_>,
        stamp: Stamp,
        ask: &Ask,
        mut refusal: Refusal,
    ) -> Result<Decision, Fault> {
        let best = refusal.offers.first().filter(|_| ask.hold_best_offer);
        let mut events = Vec::new();
        if let Some(best) = best {
            let hold_for = Some(ask.held_for());
            let taken = Ask { hold_for, ..best.ask(ask) };
            let wish = self.wish(stamp.now, &taken)?;
            let ways = self.ways(&self.account(&taken, &wish), &taken.ways, taken.terms)?;
            sight.open(&ways);
            // A volume that is held starts later than what was offered: it may not fit any more.
            if sight.plan_for(&ways, &wish, self.limits.segments_max).is_none() {
                return Ok(Decision::new(events, Answer::Refusal(refusal.into())));
            }
            let held = self.reserve_in(sight, stamp, &taken, &wish)?;
            if let Answer::Reservation(held_one) = held.answer {
                refusal.held = Some(held_one);
                events = held.events;
            }
        }
        Ok(Decision::new(events, Answer::Refusal(refusal.into())))
    }

    /// What is wanted, if nothing is wrong with what the request says.
    pub(super) fn checked(&self, now: Timestamp, ask: &Ask) -> Result<Wish, Fault> {
        let mut faults = self.way_faults(&ask.ways);
        if let Some(hold_for) = ask.hold_for
            && (hold_for == Span::ZERO || self.limits.hold_max < hold_for)
        {
            let why = format!("it is {hold_for}; hold for up to {}", self.limits.hold_max);
            faults.push(FieldFault::new("hold_for", why));
        }
        faults.extend(ask.movable_fault());
        faults.extend(ask.owner.label_fault());
        if PRIORITY_MAX < ask.standing.priority {
            let why = format!("it is {}; say 0 to {PRIORITY_MAX}", ask.standing.priority);
            faults.push(FieldFault::new("priority", why));
        }
        let wish = self.wishes(now, ask, &mut faults);
        wish.filter(|_| faults.is_empty()).ok_or(Fault::Invalid(faults))
    }

    /// Whether there is such a project.
    ///
    /// # Errors
    /// [`Fault::NotFound`] if not.
    pub fn known_project(&self, project: &ProjectId) -> Result<(), Fault> {
        let missing = || Fault::NotFound { what: format!("projects/{project}") };
        self.state.projects.get(project).map(|_| ()).ok_or_else(missing)
    }

    /// Whether there is room for one more.
    pub(super) fn check_room(&self, ask: &Ask, pending: &Pending) -> Result<(), Fault> {
        let limit = self.limits.reservations_max;
        if limit <= self.state.reservations.len().saturating_add(pending.made) {
            return Err(Fault::Full { what: "reservations", limit });
        }
        let Some(session) = ask.session else { return Ok(()) };
        self.open(session)?;
        let limit = self.limits.per_session_max;
        let bound = self.state.bound.get(&session).map_or(0, std::collections::BTreeSet::len);
        let pending = pending.bound.get(&session).copied().unwrap_or(0);
        if limit <= bound.saturating_add(pending) {
            return Err(Fault::Full { what: "live reservations in one session", limit });
        }
        Ok(())
    }

    /// What is wrong with the ways that a request may take, relays that serve none of its storage
    /// included.
    pub(super) fn way_faults(&self, ways: &Ways) -> Vec<FieldFault> {
        let mut faults = ways.faults();
        if let Ways::Between { sources, destination, via, .. } = ways {
            let ends = sources.iter().chain([destination]);
            let unserved = self.state.topology.unserved(ends, via).map(Fault::from);
            if let Some(Fault::Invalid(more)) = unserved {
                faults.extend(more);
            }
        }
        faults
    }

    /// The ways that an account may take of those that are asked for, best first.
    pub(super) fn ways(
        &self,
        account: &Account,
        asked: &Ways,
        terms: Terms,
    ) -> Result<Vec<Way>, Fault> {
        let mut ways = self.network_ways(asked, terms)?;
        let class = account.class.as_ref().and_then(|id| self.state.classes.get(id));
        if let Some(class) = class.filter(|class| !class.tiers.is_empty()) {
            let ends = |way: &Way| [way.route.source().cloned(), way.route.destination().cloned()];
            ways.retain(|way| ends(way).iter().flatten().all(|it| self.is_in_tier(class, it)));
        }
        for way in &mut ways {
            let charged = self.charged(account, &way.needs);
            way.needs.extend(charged);
            way.borrows = account.borrows;
        }
        Ok(ways)
    }

    /// The same without the quotas of whoever asks.
    fn network_ways(&self, asked: &Ways, terms: Terms) -> Result<Vec<Way>, Fault> {
        let topology = &self.state.topology;
        let (sources, destination, via, only) = match asked {
            Ways::Between { sources, destination, via, path } => (sources, destination, via, path),
            Ways::Lanes(lanes) => {
                let unknown = |lane| Fault::NotFound { what: format!("lanes/{lane}") };
                let needs = topology.lane_needs(lanes).map_err(unknown)?;
                let (route, borrows) = (Route::Lanes(lanes.clone()), false);
                return Ok(vec![Way { route, needs, terms, borrows }]);
            }
        };
        let mut ways = Vec::new();
        for source in sources {
            let paths = topology.paths(source, via, destination).map_err(Fault::from)?;
            // Where there is no choice, the only path is the first.
            let meant = |path: &Path| only.is_none_or(|only| path.path.unwrap_or(0) == only);
            for Path { via, path, steers, needs } in paths.into_iter().filter(meant) {
                let (source, destination) = (source.clone(), destination.clone());
                let route = Route::Between { source, destination, via, path, steers };
                ways.push(Way { route, needs, terms, borrows: false });
            }
        }
        Ok(ways)
    }
}

impl Ways {
    /// What can never be right about them, whatever the network is.
    fn faults(&self) -> Vec<FieldFault> {
        let mut faults = Vec::new();
        let mut bound = |field: &str, count: usize, least: usize, most: usize| {
            if count < least || most < count {
                let why = format!("there are {count}; name {least} to {most}");
                faults.push(FieldFault::new(field, why));
            }
        };
        match self {
            Self::Between { sources, destination, via, .. } => {
                bound("sources", sources.len(), 1, SOURCES_MAX);
                bound("via", via.len(), 0, VIA_MAX);
                if sources.contains(destination) && matches!(destination, Endpoint::Host(_)) {
                    let why =
                        "it is one of the sources; name storage on it to reserve a local copy";
                    faults.push(FieldFault::new("destination", why));
                }
            }
            Self::Lanes(lanes) => bound("lanes", lanes.len(), 1, LANES_MAX),
        }
        faults
    }
}

pub(super) fn grant(stamp: Stamp, ask: &Ask, wish: &Wish, plan: Plan) -> Reserved {
    let end = plan.interval().map_or(stamp.now, Interval::end);
    Reserved {
        id: ReservationId::from_u128(stamp.fresh),
        owner: ask.owner.clone(),
        plan,
        promise: ask.promise(wish).map(Box::new),
        standing: ask.standing,
        terms: ask.terms,
        hold_until: ask.hold_for.map(|span| stamp.now.plus(span).min(end)),
        session: ask.session,
        despite: None,
        borrowed: false,
    }
}

impl Ask {
    /// What any plan for it has to keep to; `None` where there is just one that would do.
    fn promise(&self, wish: &Wish) -> Option<Promise> {
        let what = match (self.shape, wish) {
            // No more than quotas allow, wherever it moves.
            (Shape::Transfer { volume, min, split, .. }, Wish::Volume(sought)) => {
                let (max, window) = (sought.volume.max, sought.window);
                Promised::Volume { volume, min, max, window, split }
            }
            (Shape::Flexible { span, .. }, Wish::Steady(wanted)) => {
                let (min, max) = (wanted.min, wanted.max);
                let window = Interval::new(wanted.first, wanted.latest.plus(span))?;
                Promised::Span { min, max, span, window }
            }
            _ => return None,
        };
        Some(Promise { what, ways: self.ways.clone(), movable: self.movable })
    }

    /// How long the best offer is held, if it is.
    fn held_for(&self) -> Span {
        self.hold_for.unwrap_or(OFFER_HOLD)
    }

    /// What is wrong with asking for a plan that may move.
    fn movable_fault(&self) -> Option<FieldFault> {
        let why = match self.shape {
            _ if !self.movable => return None,
            // An offer that is taken is what it is, whatever its original may have allowed.
            Shape::Offered { .. } => return None,
            Shape::Rigid { .. } => {
                "a rigid request has one plan only; ask for a flexible one or a transfer"
            }
            Shape::Flexible { .. } | Shape::Transfer { .. } if self.session.is_some() => {
                return None;
            }
            Shape::Flexible { .. } | Shape::Transfer { .. } => {
                "nobody could be told of a move; name the session that it is bound to"
            }
        };
        Some(FieldFault::new("movable", why))
    }
}

impl Way {
    /// What a rate books on each lane.
    pub(super) fn booked(&self, rate: BitRate) -> Vec<Booked> {
        let needs = self.needs.iter().filter(|need| need.applies(self.terms));
        let booked = |need: &LaneNeed| {
            let amount = need.amount(rate, self.terms);
            Booked { lane: need.lane.clone(), amount }
        };
        needs.map(booked).collect()
    }
}

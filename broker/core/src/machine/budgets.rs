//! Payload bytes that are promised in each day, week or month of a zone.
//!
//! What a reservation books in a period is charged to every budget of its lineage, and freed with what
//! it gives up. What lies behind stays charged whatever happens later: it is `spent` once no plan shows
//! it any more. So each byte is charged once, and freed once if it was never to move.

use std::collections::BTreeMap;

use tidegate_policy::{
    Budget, ByteCount, Interval, Limit, Period, Projects, Span, Timestamp, Zone,
};

use super::sight::{Sight, Way};
use super::wanted::{Wanted, Wish};
use super::{LedgerState, Machine};
use crate::event::Change;
use crate::lane::PPM;
use crate::owner::Owner;
use crate::plan::{self, Plan};
use crate::policy::{Overuse, Whose};
use crate::refusal::QuotaBlocker;
use crate::reservation::Reservation;

/// A budget in a period. That of another zone is another one if it begins or ends otherwise.
pub(crate) type Key = (Whose, Period, Interval);
/// What is charged to budgets, in bits per second times milliseconds.
pub(crate) type Charged = BTreeMap<Key, u128>;

/// So often a plan is tried around what a budget has no more of.
const TRIES_MAX: usize = 32;

/// A period of which a budget has not enough left.
pub(super) struct Short {
    pub(super) blocker: QuotaBlocker,
    /// The period.
    pub(super) over: Interval,
    /// What is left of it, in bits per second times milliseconds.
    left: u128,
}

/// A reservation as it was, if it was, and as it would be.
pub(super) type Changed<'a> = (Option<&'a Reservation>, &'a Reservation);

/// Every budget that an owner is charged to.
fn budgets<'a>(
    projects: &'a Projects,
    owner: &'a Owner,
) -> impl Iterator<Item = (Whose, &'a Zone, Budget)> {
    projects.lineage(&owner.project).flat_map(move |project| {
        let (id, quota) = (&project.id, &project.quota);
        let whole = quota.budgets.iter().map(move |it| (Whose::Project(id.clone()), *it));
        let own = owner.principal.iter().flat_map(move |whose| {
            let whose = Whose::Principal(id.clone(), whose.clone());
            quota.each.budgets.iter().map(move |it| (whose.clone(), *it))
        });
        whole.chain(own).map(move |(whose, budget)| (whose, &quota.zone, budget))
    })
}

/// Every period that an interval touches; one may come twice. A plan whose deadline was moved may be longer
/// than what is told of periods at once.
fn all_over(period: Period, zone: &Zone, over: Interval) -> impl Iterator<Item = Interval> {
    let rest = |it: &Interval| Interval::new(it.start().plus(Span::MAX), it.end());
    std::iter::successors(Some(over), rest).flat_map(move |part| period.over(zone, part))
}

fn any_budget(projects: &Projects) -> bool {
    let mut quotas = projects.iter().map(|project| &project.quota);
    quotas.any(|quota| !quota.budgets.is_empty() || !quota.each.budgets.is_empty())
}

impl LedgerState {
    fn budgets<'a>(&'a self, owner: &'a Owner) -> impl Iterator<Item = (Whose, &'a Zone, Budget)> {
        budgets(&self.projects, owner)
    }

    fn has_budgets(&self) -> bool {
        any_budget(&self.projects)
    }

    fn used_of(&self, key: &Key) -> u128 {
        let of = |charged: &Charged| charged.get(key).copied().unwrap_or(0);
        of(&self.charged).saturating_add(of(&self.spent))
    }
}

impl Machine {
    /// Whether any budget is set.
    pub(super) fn has_budgets(&self) -> bool {
        self.state.has_budgets()
    }

    /// What is used of a budget in the period of some instant, in payload bytes.
    #[must_use]
    pub fn budget_used(
        &self,
        whose: &Whose,
        period: Period,
        zone: &Zone,
        at: Timestamp,
    ) -> ByteCount {
        let over = period.containing(zone, at);
        plan::bytes(self.state.used_of(&(whose.clone(), period, over)))
    }

    /// What a reservation books of each budget within some time.
    fn charges_of(&self, found: &Reservation, within: Interval) -> Charged {
        self.charges_under(&self.state.projects, found, within)
    }

    /// The same under other quotas.
    fn charges_under(&self, projects: &Projects, found: &Reservation, within: Interval) -> Charged {
        // What books nothing is charged nothing.
        let booked = found.booked_over().filter(|_| found.despite.is_none());
        let booked = booked.and_then(|over| over.within(within));
        let pieces = found.plan.segments.iter();
        let pieces = pieces.filter_map(|it| Some((it.over.within(booked?)?, it.rate)));
        let pieces: Vec<_> = pieces.collect();
        let Some(hull) = pieces.iter().map(|(over, _)| *over).reduce(Interval::hull) else {
            return Charged::new();
        };
        // A volume is promised without what its plan books beyond it.
        let volume = found.promise.as_ref().is_some_and(|promise| promise.what.volume().is_some());
        let margin = if volume { u128::from(self.limits.margin_ppm) } else { 0 };
        let mut charged = Charged::new();
        for (whose, zone, budget) in budgets(projects, &found.owner) {
            for over in all_over(budget.period, zone, hull) {
                let parts = pieces.iter();
                let parts =
                    parts.filter_map(|(it, rate)| Some(plan::carried(*rate, it.within(over)?)));
                let booked = parts.fold(0, u128::saturating_add).saturating_mul(PPM);
                let promised = booked.checked_div(PPM.saturating_add(margin)).unwrap_or(0);
                if promised != 0 {
                    charged.insert((whose.clone(), budget.period, over), promised);
                }
            }
        }
        charged
    }

    /// Charges what a reservation books now instead of before.
    pub(super) fn recharge(&mut self, before: Option<&Reservation>, after: Option<&Reservation>) {
        if !self.state.has_budgets() {
            return;
        }
        let all = |found: &Reservation| self.charges_of(found, Interval::ALL);
        let (old, new) = (before.map(all).unwrap_or_default(), after.map(all).unwrap_or_default());
        let clock = self.state.clock;
        let gone = before.map(|before| self.gone(clock, before, after)).unwrap_or_default();
        add(&mut self.state.charged, new);
        for (key, volume) in old {
            let charged = self.state.charged.entry(key.clone()).or_default();
            *charged = charged.saturating_sub(volume);
            if *charged == 0 {
                self.state.charged.remove(&key);
            }
        }
        add(&mut self.state.spent, gone);
        self.state.spent.retain(|(.., over), _| clock < over.end());
    }

    /// What lies behind of what a reservation had, and is shown no more by what it has.
    fn gone(&self, now: Timestamp, before: &Reservation, after: Option<&Reservation>) -> Charged {
        let Some(past) = Interval::new(Timestamp::EPOCH, now) else {
            return Charged::new();
        };
        let mut gone = self.charges_of(before, past);
        for (key, volume) in after.map(|it| self.charges_of(it, past)).unwrap_or_default() {
            let rest = gone.entry(key).or_default();
            *rest = rest.saturating_sub(volume);
        }
        gone.retain(|_, volume| *volume != 0);
        gone
    }

    /// Charges all that is remembered anew.
    pub(crate) fn charge_all(&mut self) {
        self.state.charged = self.count_charged();
    }

    /// All that is charged, from scratch.
    pub(crate) fn count_charged(&self) -> Charged {
        self.charged_under(&self.state.projects)
    }

    fn charged_under(&self, projects: &Projects) -> Charged {
        let mut charged = Charged::new();
        if any_budget(projects) {
            for found in self.state.reservations.values() {
                add(&mut charged, self.charges_under(projects, found, Interval::ALL));
            }
        }
        charged
    }

    /// The budgets that would be further below what is charged to them than they are.
    pub(super) fn over_budgets(&self, now: Timestamp, after: &Projects) -> Vec<Overuse> {
        let limit = |projects: &Projects, (whose, period, over): &Key| {
            let (id, each) = match whose {
                Whose::Project(id) => (id, false),
                Whose::Principal(id, _) => (id, true),
                Whose::Class(_) => return None,
            };
            let quota = &projects.get(id)?.quota;
            let budgets = if each { &quota.each.budgets } else { &quota.budgets };
            let budget = budgets.iter().find(|budget| budget.period == *period)?;
            // What was spent in a period of another zone is of none of this.
            let there = period.containing(&quota.zone, over.start()) == *over;
            there.then(|| plan::volume(budget.bytes))
        };
        let mut charged = self.charged_under(after);
        for key in self.state.spent.keys() {
            charged.entry(key.clone()).or_default();
        }
        let over = charged.into_iter().filter_map(|(key, charged)| {
            let spent = self.state.spent.get(&key).copied().unwrap_or(0);
            let (allowed, until) = (limit(after, &key)?, key.2.end());
            let used = charged.saturating_add(spent);
            let before = limit(&self.state.projects, &key);
            let was = before.map_or(0, |limit| self.state.used_of(&key).saturating_sub(limit));
            let [limit, used_bytes] = [allowed, used].map(|volume| plan::bytes(volume).bytes());
            let what = Limit::Budget(key.1);
            let told = Overuse { whose: key.0, what, of: None, limit, used: used_bytes, until };
            (now < until && was < used.saturating_sub(allowed)).then_some(told)
        });
        over.collect()
    }

    /// The periods that have not enough left for what changes, all of it together. What takes no more of
    /// one than before is never in the way.
    pub(super) fn short(
        &self,
        now: Timestamp,
        sight: &Sight<'_>,
        changes: &[Changed<'_>],
    ) -> Vec<Short> {
        if !self.state.has_budgets() {
            return Vec::new();
        }
        let (mut more, mut less, mut granted) = (Charged::new(), Charged::new(), Charged::new());
        for (before, after) in changes {
            add(&mut more, self.charges_of(after, Interval::ALL));
            if let Some(before) = before {
                add(&mut more, self.gone(now, before, Some(after)));
                add(&mut less, self.charges_of(before, Interval::ALL));
            }
        }
        for found in sight.granted() {
            add(&mut granted, self.charges_of(found, Interval::ALL));
        }
        let mut left = Charged::new();
        let is_changed =
            |id| changes.iter().any(|(before, _)| before.is_some_and(|it| it.id == id));
        for id in sight.moved_ids().filter(|id| !is_changed(*id)) {
            let Some(found) = self.state.reservations.get(&id) else { continue };
            add(&mut left, self.charges_of(found, Interval::ALL));
            let moved = found.clone().planned(sight.plan(found).clone());
            add(&mut granted, self.charges_of(&moved, Interval::ALL));
        }
        let mut short: BTreeMap<Key, Short> = BTreeMap::new();
        for (whose, _, budget) in changes.iter().flat_map(|it| self.state.budgets(&it.1.owner)) {
            let of_it = |(key, _): &(&Key, &u128)| key.0 == whose && key.1 == budget.period;
            for (key, asked) in more.iter().filter(of_it) {
                let own = less.get(key).copied().unwrap_or(0);
                let before = granted.get(key).copied().unwrap_or(0);
                let used = self.state.used_of(key).saturating_sub(own).saturating_add(before);
                let limit = plan::volume(budget.bytes);
                if own < *asked && limit < used.saturating_add(*asked) {
                    let what = Limit::Budget(budget.period);
                    let [allowed, taken] = [limit, used].map(|volume| plan::bytes(volume).bytes());
                    // Rounded up, so that what is too much never looks as if it were not.
                    let asked = plan::bytes_up(*asked).bytes();
                    let whose = whose.clone();
                    let blocker = QuotaBlocker { whose, what, limit: allowed, used: taken, asked };
                    let left = limit.saturating_sub(used);
                    short.insert(key.clone(), Short { blocker, over: key.2, left });
                }
            }
        }
        short.into_values().collect()
    }

    /// Whether budgets have enough for what moves, and for what it moves for.
    pub(super) fn may_move(
        &self,
        now: Timestamp,
        sight: &Sight<'_>,
        (changes, for_it): (&[Change], Changed<'_>),
    ) -> bool {
        if !self.state.has_budgets() {
            return true;
        }
        let moved = changes.iter().filter_map(|change| {
            let Change::Moved(moved) = change else { return None };
            let found = self.state.reservations.get(&moved.id)?;
            Some((found, found.clone().moved((**moved).clone())?))
        });
        let moved: Vec<_> = moved.collect();
        let moves = moved.iter().map(|(before, after)| (Some(*before), after));
        let all: Vec<Changed<'_>> = moves.chain([for_it]).collect();
        self.short(now, sight, &all).is_empty()
    }

    /// Another plan for what is wanted, around what budgets have no more of: in a period that is short
    /// as much as is left of it, and the rest later. `made` says what a plan would be as a reservation.
    pub(super) fn around_budgets(
        &self,
        sight: &Sight<'_>,
        (ways, wish): (&[Way], &Wish),
        mut short: Vec<Short>,
        made: impl Fn(Plan) -> Option<Reservation>,
    ) -> Option<Plan> {
        let (mut blocked, mut wish) = (sight.clone(), *wish);
        let mut plan = blocked.plan_for(ways, &wish, self.limits.segments_max)?;
        for _ in 0..TRIES_MAX {
            let first = short.first()?;
            match &mut wish {
                Wish::Steady(wanted) => *wanted = wanted.with_less_before(first)?,
                Wish::Volume(_) => {
                    // Its plan books more than is promised.
                    let margin = PPM.saturating_add(self.limits.margin_ppm.into());
                    let left = first.left.saturating_mul(margin).checked_div(PPM)?;
                    let closed =
                        Interval::new(plan.carried_until(first.over, left)?, first.over.end())?;
                    for lane in ways.iter().filter_map(|way| Some(&way.needs.first()?.lane)) {
                        blocked.book(lane, closed, blocked.limit(lane));
                    }
                }
            }
            plan = blocked.plan_for(ways, &wish, self.limits.segments_max)?;
            let reservation = made(plan.clone())?;
            short = self.short(reservation.created, sight, &[(None, &reservation)]);
            if short.is_empty() {
                return Some(plan);
            }
        }
        None
    }
}

impl Reservation {
    /// The same with another plan, as far as budgets look at it.
    fn planned(mut self, plan: Plan) -> Self {
        if let Some(over) = plan.interval() {
            (self.interval, self.from) = (self.interval.hull(over), self.from.min(over.start()));
        }
        Self { plan, ..self }
    }
}

impl Wanted {
    /// The same with a first start from which no more than is left of a period lies in it.
    fn with_less_before(&self, short: &Short) -> Option<Self> {
        let end = short.over.end();
        let ms = short.left.checked_div(u128::from(self.min.bps()))?;
        let inside = Span::from_ms(u64::try_from(ms).ok()?).unwrap_or(self.span);
        let first = end.minus(inside.min(self.span)).max(self.first.plus(Span::from_ms(1)?));
        (first <= self.latest).then_some(Self { first, max: self.min, ..*self })
    }
}

impl Plan {
    /// The first instant within a period by which a plan has carried as much there as is left of it.
    fn carried_until(&self, over: Interval, left: u128) -> Option<Timestamp> {
        let mut carried = 0_u128;
        let rates = self.rates();
        for (piece, level) in rates.pieces(over) {
            let here = u128::from(level).saturating_mul(piece.span().as_ms().into());
            if left < carried.saturating_add(here) {
                let ms = left.saturating_sub(carried).checked_div(level.into())?;
                let ms = Span::from_ms(u64::try_from(ms).ok()?)?;
                return Some(piece.start().plus(ms));
            }
            carried = carried.saturating_add(here);
        }
        None
    }
}

fn add(to: &mut Charged, more: Charged) {
    for (key, volume) in more {
        let sum = to.entry(key).or_default();
        *sum = sum.saturating_add(volume);
    }
}

//! Finds a request its place: on what is free, around what budgets have no more of, among those who
//! may move, and at last among those who give way.

use tidegate_policy::{Interval, Timestamp};

use super::budgets::Short;
use super::reserve::grant;
use super::room::Room;
use super::sight::{Sight, Way};
use super::wanted::Wish;
use super::{Answer, Decision, Machine, Stamp};
use crate::command::Ask;
use crate::event::{Change, Event, Route};
use crate::fault::Fault;
use crate::plan::Plan;
use crate::promise::Standing;
use crate::refusal::{Reason, Refusal};
use crate::reservation::Reservation;

/// A plan for a request, and what happens to others for it.
pub(super) type Made = (Plan, Vec<Change>);

impl Machine {
    /// A plan for a request, or why there is none, without offers.
    pub(super) fn made(
        &self,
        stamp: Stamp,
        sight: &Sight<'_>,
        ask: &Ask,
        (ways, wish): (&[Way], &Wish),
    ) -> Result<Made, Refusal> {
        let as_one =
            |plan: Plan| Reservation::granted(grant(stamp, ask, wish, plan), stamp.now, None);
        let short_of = |plan: &Plan| {
            let made = as_one(plan.clone());
            made.map_or_else(Vec::new, |made| self.short(stamp.now, sight, &[(None, &made)]))
        };
        let window = wish.need().filter(|_| !wish.is_fixed()).map(|(_, window)| window);
        if let Some(plan) = sight.plan_for(ways, wish, self.limits.segments_max) {
            let short = short_of(&plan);
            if short.is_empty() {
                return Ok((plan, Vec::new()));
            }
            let refusal = out_of_budget(&short, window);
            let around = self.around_budgets(sight, (ways, wish), short, as_one);
            return around.map(|plan| (plan, Vec::new())).ok_or(refusal);
        }
        // Nobody moves or goes for what is only afloat.
        if let (Wish::Steady(wanted), false) = (wish, self.nothing_floats()) {
            let refusal = sight.refuse_steady(ways, wanted);
            if self.is_crowded(stamp.now, &refusal) {
                return Err(refusal);
            }
        }
        if let Some((plan, changes)) =
            self.room_or_preempt(stamp.now, sight, (ways, wish), ask.standing)
            && self.lends_enough(sight, &changes, &plan)
            && self.leaves_quotas(stamp.now, sight.clone(), (&plan, &changes), None)
        {
            let short = short_of(&plan);
            if !short.is_empty() {
                return Err(out_of_budget(&short, window));
            }
            let made = as_one(plan.clone());
            if made.is_some_and(|it| self.may_move(stamp.now, sight, (&changes, (None, &it)))) {
                return Ok((plan, changes));
            }
        }
        if let Some((plan, changes)) = self.reclaim(stamp, sight, ask, (ways, wish))
            && short_of(&plan).is_empty()
        {
            return Ok((plan, changes));
        }
        let mut refusal = sight.refuse(ways, wish);
        if ways.is_empty() && self.tier_is_missing(&self.account(ask, wish), &ask.ways) {
            refusal.reason = Reason::NoTier;
        }
        Err(refusal)
    }

    /// Room among those who may move; for a higher priority, also among those who can be preempted.
    fn room_or_preempt(
        &self,
        now: Timestamp,
        sight: &Sight<'_>,
        (ways, wish): (&[Way], &Wish),
        standing: Standing,
    ) -> Option<Made> {
        if let Some(Room { plan, moved }) = self.room(now, sight, (ways, wish), None) {
            let changes = moved.into_iter().map(|moved| Change::Moved(moved.into()));
            return Some((plan, changes.collect()));
        }
        self.preempt(now, sight, (ways, wish), standing.priority)
    }

    /// Whether budgets have enough for what is offered, as far as quotas allow it.
    pub(super) fn is_in_budget(
        &self,
        stamp: Stamp,
        sight: &Sight<'_>,
        (offered, wish): (&Ask, &Wish),
    ) -> bool {
        let fits = || {
            let ways = self.ways_asked(offered, wish).ok()?;
            let sight = sight.opened(&ways);
            let plan = sight.plan_for(&ways, wish, self.limits.segments_max)?;
            let made = Reservation::granted(grant(stamp, offered, wish, plan), stamp.now, None)?;
            Some(self.short(stamp.now, &sight, &[(None, &made)]).is_empty())
        };
        !self.has_budgets() || fits().unwrap_or(false)
    }

    /// What becomes of a request that would be refused where the broker only observes: it is granted as
    /// it was asked, and books nothing, so that others are decided as if it had been refused.
    ///
    /// # Errors
    /// [`Fault::Full`] if it has no time at all.
    pub(super) fn observed(
        &self,
        stamp: Stamp,
        (ask, wish): (&Ask, &Wish),
        reason: Reason,
    ) -> Result<Decision, Fault> {
        let wanted = wish.steady();
        let none = || Fault::NotFound { what: "a time for it".into() };
        let over = wanted.at_first().ok_or_else(none)?;
        let route = match self.ways_asked(ask, wish).unwrap_or_default().first() {
            Some(way) => way.route.clone(),
            None => Route::Lanes(Vec::new()),
        };
        let plan = Plan::single(route, over, wanted.min, Vec::new());
        let mut reserved = grant(stamp, ask, wish, plan);
        (reserved.promise, reserved.despite) = (None, Some(reason));
        let made = Reservation::granted(reserved.clone(), stamp.now, None).ok_or_else(none)?;
        let change = Change::Reserved(reserved.into());
        let events = vec![Event { at: stamp.now, request: None, change }];
        Ok(Decision::new(events, Answer::Reservation(made.into())))
    }
}

/// The refusal that says which budgets have not enough left for something that has to be in a window;
/// `None` if there is just one time for it.
pub(super) fn out_of_budget(short: &[Short], window: Option<Interval>) -> Refusal {
    let quotas: Vec<_> = short.iter().map(|short| short.blocker.clone()).collect();
    let all_in = |short: &Short| window.is_none_or(|it| it.within(short.over) == Some(it));
    let never = short.iter().any(|it| it.blocker.limit < it.blocker.asked && all_in(it));
    let reason = if never { Reason::AboveQuota } else { Reason::QuotaExhausted };
    Refusal { quotas, ..Refusal::bare(reason) }
}

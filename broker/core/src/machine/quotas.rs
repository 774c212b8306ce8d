//! What quotas say of one reservation: how many there may be, how fast, how long and how far ahead.
//!
//! What may be less than was asked for is cut to what the quota allows: the highest rate of a volume,
//! the end of a window. What would not do then is refused, with every limit that is in the way.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::{
    BitRate, Interval, Limit, Overcommit, Principal, ProjectId, Span, Timestamp,
};

use super::Machine;
use super::sight::Sight;
use super::wanted::{Sought, Wanted, Wish};
use crate::command::{Ask, Modify};
use crate::event::Change;
use crate::lane::LaneName;
use crate::owner::Owner;
use crate::plan::Plan;
use crate::policy::Whose;
use crate::promise::Promised;
use crate::refusal::{QuotaBlocker, Reason, Refusal};
use crate::reservation::Reservation;
use crate::timeline::Timeline;

/// What the quotas along the lineage of a project allow one reservation, and whose each is.
struct Allowed<'a> {
    rate: Option<(BitRate, &'a ProjectId)>,
    duration: Option<(Span, &'a ProjectId)>,
    horizon: Option<(Span, &'a ProjectId)>,
    /// How much of a rate is booked: limits count all of it.
    ratio: Overcommit,
}

impl Machine {
    /// What is wanted, as far as quotas of one reservation allow it.
    ///
    /// # Errors
    /// The refusal, if that would not do.
    pub(super) fn allowed(&self, now: Timestamp, ask: &Ask, wish: &Wish) -> Result<Wish, Refusal> {
        let (projects, project) = (&self.state.projects, &ask.owner.project);
        let allowed = Allowed {
            rate: projects.tightest(project, |quota| quota.rate_each),
            duration: projects.tightest(project, |quota| quota.duration_each),
            horizon: projects.tightest(project, |quota| quota.horizon),
            ratio: if matches!(wish, Wish::Steady(_)) {
                ask.standing.ratio
            } else {
                Overcommit::NONE
            },
        };
        let mut blockers = Vec::new();
        let wish = match wish {
            Wish::Steady(wanted) => allowed.steady(now, wanted, &mut blockers).map(Wish::Steady),
            Wish::Volume(sought) => allowed.volume(now, sought, &mut blockers).map(Wish::Volume),
        };
        match wish {
            Some(wish) if blockers.is_empty() => Ok(wish),
            _ => Err(Refusal { quotas: blockers, ..Refusal::bare(Reason::AboveQuota) }),
        }
    }

    /// Whether a reservation may have the terms that are asked for, as far as they are more than it has:
    /// what it has stays, whatever its quotas have been cut to since.
    ///
    /// # Errors
    /// The refusal, if not.
    pub(super) fn allows_change(
        &self,
        now: Timestamp,
        found: &Reservation,
        modify: &Modify,
    ) -> Result<(), Refusal> {
        let has = Terms::of(found);
        let asked = Terms {
            rate: modify.rate.unwrap_or(has.rate),
            start: modify.start.unwrap_or(has.start),
            end: modify.end.unwrap_or(has.end),
        };
        let projects = &self.state.projects;
        let mut quotas = Vec::new();
        let mut check = |what, limit: Option<(u64, _)>, has: u64, asked: u64| {
            if let Some((limit, whose)) = limit
                && limit.max(has) < asked
            {
                quotas.push(blocker(whose, what, limit, asked));
            }
        };
        let project = &found.owner.project;
        let rate = projects.tightest(project, |it| it.rate_each.map(BitRate::bps));
        check(Limit::RateEach, rate, has.rate.bps(), asked.rate.bps());
        let duration = projects.tightest(project, |it| it.duration_each.map(Span::as_ms));
        check(Limit::DurationEach, duration, has.lasts(), asked.lasts());
        let horizon = projects.tightest(project, |it| it.horizon.map(Span::as_ms));
        let until = |end: Timestamp| end.since(now).as_ms();
        check(Limit::Horizon, horizon, until(has.end), until(asked.end));
        match quotas.is_empty() {
            true => Ok(()),
            false => Err(Refusal { quotas, ..Refusal::bare(Reason::AboveQuota) }),
        }
    }

    /// Whether quotas have room for a plan once others have moved for it: what they had beyond a quota that
    /// was cut is nobody's then, but for what somebody had itself.
    pub(super) fn leaves_quotas(
        &self,
        now: Timestamp,
        mut sight: Sight<'_>,
        (plan, changes): (&Plan, &[Change]),
        own: Option<&Reservation>,
    ) -> bool {
        for change in changes {
            self.see(&mut sight, change);
        }
        let mut owned: BTreeMap<&LaneName, Timeline> = BTreeMap::new();
        for (name, over, amount) in own.into_iter().flat_map(Reservation::bookings) {
            let Some(ahead) = over.from(now).filter(|_| name.is_quota()) else { continue };
            sight.unbook(name, ahead, amount);
            let summed = owned.entry(name).or_default().book(ahead, amount);
            debug_assert!(summed.is_ok(), "what stands on a lane does not overflow");
        }
        let nothing = Timeline::default();
        plan.bookings().filter(|(name, ..)| name.is_quota()).all(|(name, over, amount)| {
            let own = owned.get(name).unwrap_or(&nothing);
            let free = |piece| sight.lane(name).map_or(0, |lane| lane.free(piece));
            let fits = own.pieces(over).all(|(piece, own)| amount <= free(piece).max(own));
            sight.book(name, over, amount);
            fits
        })
    }

    /// Whether a project, and all above it, may have one more reservation, and so may who asks.
    ///
    /// # Errors
    /// The refusal, if not.
    pub(super) fn allows_one_more(&self, sight: &Sight<'_>, owner: &Owner) -> Result<(), Refusal> {
        let mut quotas = Vec::new();
        for above in self.state.projects.lineage(&owner.project) {
            let (id, quota) = (&above.id, &above.quota);
            let mut check = |whose: Whose, what, limit: Option<u32>, used: usize| {
                let used = u64::try_from(used).unwrap_or(u64::MAX);
                if let Some(limit) = limit.map(u64::from)
                    && limit <= used
                {
                    quotas.push(QuotaBlocker { whose, what, limit, used, asked: 1 });
                }
            };
            let project = || Whose::Project(id.clone());
            let granted = sight.granted_below(self, id).count();
            let live = self.live_of(id).saturating_add(granted);
            check(project(), Limit::Reservations, quota.reservations, live);
            let Some(whose) = &owner.principal else { continue };
            let own =
                sight.granted_below(self, id).filter(|it| it.principal.as_ref() == Some(whose));
            let key = (id.clone(), whose.clone());
            let own =
                self.state.live_by.get(&key).copied().unwrap_or(0).saturating_add(own.count());
            let principal = Whose::Principal(id.clone(), whose.clone());
            check(principal, Limit::Reservations, quota.each.reservations, own);
            if own == 0 && quota.principals.is_some() {
                let granted = sight.granted_below(self, id).filter_map(|it| it.principal.as_ref());
                let others: BTreeSet<&Principal> =
                    self.live_by(id).map(|(whose, _)| whose).chain(granted).collect();
                check(project(), Limit::Principals, quota.principals, others.len());
            }
        }
        if quotas.is_empty() {
            return Ok(());
        }
        // None at all is no matter of time.
        let never = quotas.iter().any(|blocker| blocker.limit == 0);
        let reason = if never { Reason::AboveQuota } else { Reason::QuotaExhausted };
        Err(Refusal { quotas, ..Refusal::bare(reason) })
    }
}

impl Allowed<'_> {
    fn steady(
        &self,
        now: Timestamp,
        wanted: &Wanted,
        blockers: &mut Vec<QuotaBlocker>,
    ) -> Option<Wanted> {
        let max = self.highest(wanted.min, wanted.max, blockers);
        self.lasts(wanted.span, blockers);
        let horizon = self.ends(now, wanted.first.plus(wanted.span), blockers);
        let horizon = horizon.map_or(wanted.horizon, |limit| limit.min(wanted.horizon));
        let latest = wanted.latest.min(horizon.minus(wanted.span));
        (wanted.first <= latest).then_some(Wanted { max, latest, horizon, ..*wanted })
    }

    fn volume(
        &self,
        now: Timestamp,
        sought: &Sought,
        blockers: &mut Vec<QuotaBlocker>,
    ) -> Option<Sought> {
        let (mut volume, window) = (sought.volume, sought.window);
        volume.max = self.highest(volume.min, volume.max, blockers);
        let longest = self.duration.map(|(longest, _)| window.start().plus(longest));
        let moment = window.start().plus(Span::from_ms(1).unwrap_or_default());
        let horizon = self.ends(now, moment, blockers);
        let horizon = horizon.map_or(sought.horizon, |limit| limit.min(sought.horizon));
        let end = longest.map_or(window.end(), |end| end.min(window.end())).min(horizon);
        // A volume takes some time, however little.
        self.lasts(moment.since(window.start()), blockers);
        let window = Interval::new(window.start(), end);
        Some(Sought { volume, window: window?, horizon, ..*sought })
    }

    /// The highest rate that is of use and allowed.
    fn highest(&self, min: BitRate, max: BitRate, blockers: &mut Vec<QuotaBlocker>) -> BitRate {
        let Some((limit, whose)) = self.rate else { return max };
        let floor = self.ratio.floor(limit);
        if floor < min || limit == BitRate::ZERO {
            let asked = self.ratio.ceiling(min).bps().max(1);
            blockers.push(blocker(whose, Limit::RateEach, limit.bps(), asked));
        }
        max.min(floor)
    }

    fn lasts(&self, span: Span, blockers: &mut Vec<QuotaBlocker>) {
        if let Some((limit, whose)) = self.duration
            && limit < span
        {
            blockers.push(blocker(whose, Limit::DurationEach, limit.as_ms(), span.as_ms()));
        }
    }

    /// The latest end, if there is a limit for it; `end` is the first that would do.
    fn ends(
        &self,
        now: Timestamp,
        end: Timestamp,
        blockers: &mut Vec<QuotaBlocker>,
    ) -> Option<Timestamp> {
        let (limit, whose) = self.horizon?;
        let latest = now.plus(limit);
        if latest < end {
            let asked = end.since(now).as_ms();
            blockers.push(blocker(whose, Limit::Horizon, limit.as_ms(), asked));
        }
        Some(latest)
    }
}

/// What quotas look at of a reservation.
struct Terms {
    rate: BitRate,
    start: Timestamp,
    end: Timestamp,
}

impl Terms {
    fn of(found: &Reservation) -> Self {
        let (start, end) = (found.interval.start(), found.interval.end());
        match found.promise.as_ref().map(|promise| promise.what) {
            Some(Promised::Volume { max, window, .. }) => {
                Self { rate: max, start: window.start(), end: window.end() }
            }
            Some(Promised::Span { .. }) | None => {
                Self { rate: found.standing.ratio.ceiling(found.rate()), start, end }
            }
        }
    }

    fn lasts(&self) -> u64 {
        self.end.since(self.start).as_ms()
    }
}

fn blocker(project: &ProjectId, what: Limit, limit: u64, asked: u64) -> QuotaBlocker {
    QuotaBlocker { whose: Whose::Project(project.clone()), what, limit, used: 0, asked }
}

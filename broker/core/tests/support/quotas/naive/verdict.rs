//! What somebody who asks for a rate has to be answered.

use tidegate_core::lane::LaneName;
use tidegate_core::{Machine, Owner, Reason, Reservation};
use tidegate_policy::{Name, Overcommit, ReservationId};

use super::limits::capacity;
use super::lines::lines;
use super::{Booking, Budgets, Item, Naive, Network, Rules, Steps, asked_for};

/// The answer that there has to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Granted,
    Refused(Reason),
}

/// A rate that is asked for, from an instant to another.
pub(crate) struct Wanted<'a> {
    pub(crate) owner: &'a Owner,
    /// Which storage will do, and where the bytes go.
    pub(crate) sources: Vec<Name>,
    pub(crate) destination: Name,
    pub(crate) over: (i64, i64),
    /// In bits per second, as it was asked for.
    pub(crate) rate: u64,
}

/// Another rate or end of a reservation.
pub(crate) struct Change<'a> {
    pub(crate) found: &'a Reservation,
    pub(crate) rate: Option<u64>,
    pub(crate) end: Option<i64>,
}

/// All that an answer depends on beside what stands.
pub(crate) struct Sight<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) network: &'a Network,
    pub(crate) budgets: &'a Budgets,
    pub(crate) limit: &'a dyn Fn(&LaneName) -> Steps,
    pub(crate) now: i64,
}

/// A lane of a way, what would be booked on it, and what somebody has there already.
struct Need {
    lane: LaneName,
    amount: u64,
    own: Steps,
}

/// What is promised of a rate that is asked for: never nothing.
pub(crate) fn promised(rate: u64, ratio: Overcommit) -> u64 {
    let floor = u128::from(rate) * 1_000_000 / u128::from(ratio.ppm());
    u64::try_from(floor).unwrap().max(rate.min(1))
}

impl Sight<'_> {
    fn rules(&self) -> Rules<'_> {
        Rules::of(self.machine)
    }

    /// What a rate needs of the lanes of a way and of quotas.
    fn needs(
        &self,
        (owner, ratio): (&Owner, Overcommit),
        lanes: &[LaneName],
        (rate, long): (u64, bool),
    ) -> Vec<Need> {
        let names: Vec<&LaneName> = lanes.iter().collect();
        let quotas = self.rules().quotas(self.network, (owner, long), &names);
        let amount = |of: Option<usize>| if of.is_some() { rate } else { asked_for(rate, ratio) };
        let on = lanes.iter().map(|lane| (lane.clone(), rate));
        let on = on.chain(quotas.into_iter().map(|(lane, of)| (lane, amount(of))));
        on.map(|(lane, amount)| Need { lane, amount, own: Steps::default() }).collect()
    }

    /// Whether a lane has enough beside what is `taken` of it; of a quota at least what one has itself.
    fn has_room(&self, need: &Need, taken: &Steps, (from, to): (i64, i64)) -> bool {
        let limit = (self.limit)(&need.lane);
        let instants = taken.instants(from, to).chain(limit.instants(from, to));
        let mut instants = instants.chain(need.own.instants(from, to));
        instants.all(|instant| {
            let mut free = limit.at(instant).saturating_sub(taken.at(instant));
            if need.lane.is_quota() {
                free = free.max(need.own.at(instant));
            }
            need.amount <= free
        })
    }

    /// Why none of some ways carries a rate; nothing if one does.
    fn blocked(
        &self,
        ways: &[Vec<Need>],
        taken: &dyn Fn(&LaneName) -> Steps,
        over: (i64, i64),
    ) -> Option<Reason> {
        let full: Vec<Vec<&Need>> = ways
            .iter()
            .map(|way| {
                way.iter().filter(|need| !self.has_room(need, &taken(&need.lane), over)).collect()
            })
            .collect();
        if full.iter().any(Vec::is_empty) {
            return None;
        }
        let too_small =
            |need: &Need| capacity(self.rules(), self.network, &need.lane) < need.amount;
        let above = |need: &Need| need.lane.is_quota() && too_small(need);
        Some(if ways.iter().all(|way| way.iter().any(above)) {
            Reason::AboveQuota
        } else if full.iter().flatten().any(|need| need.lane.is_quota()) {
            Reason::QuotaExhausted
        } else if ways.iter().all(|way| way.iter().any(too_small)) {
            Reason::RateAboveCapacity
        } else {
            Reason::NoHeadroom
        })
    }

    /// The answer to a rate that is asked for.
    pub(crate) fn verdict(&self, naive: &Naive, wanted: &Wanted<'_>) -> Verdict {
        match self.refused(naive, wanted) {
            Some(reason) => Verdict::Refused(reason),
            None => Verdict::Granted,
        }
    }

    /// Why one more is refused before anything is looked at but who asks.
    pub(crate) fn turned_away(&self, naive: &Naive, owner: &Owner) -> Option<Reason> {
        let projects = self.rules().projects;
        let class = self.rules().class(owner);
        let allowed = class.is_none_or(|class| {
            let mut above = projects.lineage(&owner.project);
            class.projects.is_empty() || above.any(|it| class.projects.contains(&it.id))
        });
        if !allowed {
            return Some(Reason::ClassNotAllowed);
        }
        naive.one_more(projects, owner)
    }

    fn refused(&self, naive: &Naive, wanted: &Wanted<'_>) -> Option<Reason> {
        let Wanted { owner, over: (from, to), rate, .. } = *wanted;
        if let Some(reason) = self.turned_away(naive, owner) {
            return Some(reason);
        }
        let rules = self.rules();
        let class = rules.class(owner);
        let ratio = class.map_or(Overcommit::NONE, |it| it.ratio);
        let floor = promised(rate, ratio);
        let lasts = u64::try_from(to - from).unwrap();
        let ahead = u64::try_from(to - self.now).unwrap();
        for above in rules.projects.lineage(&owner.project) {
            let quota = &above.quota;
            let too_fast = |limit: u64| limit == 0 || promised(limit, ratio) < floor;
            if quota.rate_each.is_some_and(|it| too_fast(it.bps()))
                || quota.duration_each.is_some_and(|it| it.as_ms() < lasts)
                || quota.horizon.is_some_and(|it| it.as_ms() < ahead)
            {
                return Some(Reason::AboveQuota);
            }
        }
        let long = rules.is_long(owner, lasts);
        let fit = wanted.sources.iter().filter(|source| self.is_in_tier(owner, source));
        let ways = fit.map(|source| {
            let lanes = [
                format!("storage/{source}/read"),
                format!("hosts/{}/nics/eth0/ingress", wanted.destination),
            ];
            let lanes = lanes.map(|lane| LaneName::new(&lane));
            self.needs((owner, ratio), &lanes, (floor, long))
        });
        let ways: Vec<Vec<Need>> = ways.collect();
        if ways.is_empty() {
            return Some(Reason::NoTier);
        }
        let blocked = self.blocked(&ways, &|lane| naive.line(lane), (from, to));
        blocked.or_else(|| self.out_of_budget(naive, wanted))
    }

    /// Why budgets have not enough for a rate, wherever it finds its place.
    pub(crate) fn out_of_budget(&self, naive: &Naive, wanted: &Wanted<'_>) -> Option<Reason> {
        let (owner, rules, (from, to)) = (wanted.owner, self.rules(), wanted.over);
        let ratio = rules.class(owner).map_or(Overcommit::NONE, |it| it.ratio);
        let item = item(owner, (from, to, promised(wanted.rate, ratio)));
        self.budgets.short(rules.projects, naive, (None, &item), self.now)
    }

    fn is_in_tier(&self, owner: &Owner, source: &Name) -> bool {
        let Some(class) = self.rules().class(owner) else { return true };
        let tiered = source.as_str() == super::super::TIERED;
        class.tiers.is_empty() || (tiered && class.tiers.iter().any(|it| it.as_str() == "fast"))
    }

    /// The answer to somebody who asks for other terms.
    pub(crate) fn changes(&self, naive: &Naive, change: &Change<'_>) -> Verdict {
        match self.refused_change(naive, change) {
            Some(reason) => Verdict::Refused(reason),
            None => Verdict::Granted,
        }
    }

    fn refused_change(&self, naive: &Naive, change: &Change<'_>) -> Option<Reason> {
        let Change { found, rate, end } = *change;
        let (rules, owner, ratio) = (self.rules(), &found.owner, found.standing.ratio);
        let (start, old_end) = (found.interval.start().as_ms(), found.interval.end().as_ms());
        let end = end.unwrap_or(old_end);
        let floor = rate.map_or(found.rate().bps(), |rate| promised(rate, ratio));
        let span = |from: i64, to: i64| u64::try_from((to - from).max(0)).unwrap();
        // What it may have at most, as it was told.
        let has = u128::from(found.rate().bps()) * u128::from(ratio.ppm()) / 1_000_000;
        let has = u64::try_from(has).unwrap();
        for above in rules.projects.lineage(&owner.project) {
            let more = |limit: Option<u64>, has: u64, asked: u64| {
                limit.is_some_and(|limit| limit.max(has) < asked)
            };
            let quota = &above.quota;
            if more(quota.rate_each.map(|it| it.bps()), has, rate.unwrap_or(has))
                || more(
                    quota.duration_each.map(|it| it.as_ms()),
                    span(start, old_end),
                    span(start, end),
                )
                || more(
                    quota.horizon.map(|it| it.as_ms()),
                    span(self.now, old_end),
                    span(self.now, end),
                )
            {
                return Some(Reason::AboveQuota);
            }
        }
        if (floor, end) == (found.rate().bps(), old_end) {
            return None;
        }
        let route = found.plan.route().unwrap();
        let lanes = &found.plan.ways[found.plan.segments[0].way].lanes;
        let lanes: Vec<LaneName> = lanes.iter().filter(|it| !it.is_quota()).cloned().collect();
        let tidegate_policy::Endpoint::Storage(source) = route.source().unwrap() else {
            unreachable!("all bytes come from storage")
        };
        if !self.is_in_tier(owner, source) {
            return Some(Reason::NoPath);
        }
        let long = rules.is_long(owner, span(start, end));
        let mut needs = self.needs((owner, ratio), &lanes, (floor, long));
        for need in &mut needs {
            need.own = of_one(naive, found.id, &need.lane, true);
        }
        let over = (start.max(self.now), end);
        let others = |lane: &LaneName| of_one(naive, found.id, lane, false);
        // Who wants no more than its plan has needs no room, however full a lane is.
        if !is_less(found, &needs, over)
            && let Some(reason) = self.blocked(&[needs], &others, over)
        {
            return Some(reason);
        }
        let before = naive.items.iter().find(|it| it.id == found.id);
        let after = item(owner, (over.0, over.1, floor));
        self.budgets.short(rules.projects, naive, (before, &after), self.now)
    }
}

/// Whether a plan has all of this already.
fn is_less(found: &Reservation, needs: &[Need], (from, to): (i64, i64)) -> bool {
    let [segment] = found.plan.segments.as_slice() else { return false };
    let lanes = &found.plan.ways[segment.way].lanes;
    let had = |need: &Need| {
        let mut had = lanes.iter().zip(&segment.amounts);
        had.any(|(lane, has)| *lane == need.lane && need.amount <= *has)
    };
    let covers = segment.over.start().as_ms() <= from && to <= segment.over.end().as_ms();
    covers && needs.iter().all(had)
}

fn item(owner: &Owner, piece: (i64, i64, u64)) -> Item {
    Item {
        id: ReservationId::from_u128(0),
        owner: owner.clone(),
        live: true,
        counted: true,
        cut: false,
        volume: false,
        shown: vec![piece],
        bookings: Vec::new(),
    }
}

/// What just one has of a lane, or all the others.
fn of_one(naive: &Naive, id: ReservationId, lane: &LaneName, itself: bool) -> Steps {
    let items = naive.items.iter().filter(|it| (it.id == id) == itself);
    let is_meant = |booking: &Booking| booking.lane == *lane;
    lines(items, is_meant).remove(lane).unwrap_or_default()
}

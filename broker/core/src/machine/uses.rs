//! What is used of quotas, and which of them a change would take below that.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::{
    ClassId, Interval, Limit, Name, Principal, Project, ProjectId, Projects, Timestamp,
};

use super::charges::Quotas;
use super::policy::Reshaped;
use super::{LedgerState, Machine};
use crate::lane::{Factor, Holder, Lane, LaneName, QuotaLane};
use crate::owner::{Account, Owner};
use crate::policy::{OVERUSES_MAX, Overuse, PolicyChanges, Whose};
use crate::reservation::Reservation;
use crate::timeline::{Edges, Timeline};

/// How many reservations are live of each project, and of those below it.
type LiveOf = BTreeMap<ProjectId, usize>;
/// The same of each principal of each project.
type LiveBy = BTreeMap<(ProjectId, Principal), usize>;

/// What is used of quotas.
struct Uses<'a> {
    /// On each lane that a quota is.
    lanes: BTreeMap<LaneName, Cow<'a, Timeline>>,
    live_of: Cow<'a, LiveOf>,
    live_by: Cow<'a, LiveBy>,
}

/// What an account is charged to, and what it has itself.
#[derive(Default)]
struct Charged {
    rates: Vec<LaneName>,
    has_shares: bool,
    own: Edges,
}

/// Whose quotas are looked at.
struct Looked<'a> {
    projects: BTreeSet<&'a ProjectId>,
    classes: BTreeSet<&'a ClassId>,
}

impl Looked<'_> {
    /// What an account would be charged to; nothing if nobody looks at any of it.
    fn charged(&self, after: Quotas<'_>, account: &Account) -> Charged {
        let mut above = after.projects.lineage(&account.project);
        let is_seen = above.any(|it| self.projects.contains(&it.id))
            || account.class.as_ref().is_some_and(|class| self.classes.contains(class));
        if !is_seen {
            return Charged::default();
        }
        let rates = after.charges(account, &[]).into_iter().map(|charge| charge.lane).collect();
        Charged { rates, has_shares: after.has_shares(account), own: Edges::default() }
    }

    fn at(&self, quota: QuotaLane<'_>) -> bool {
        let project = |name: &str| self.projects.iter().any(|id| id.0.as_str() == name);
        let class = |name: &str| self.classes.iter().any(|id| id.0.as_str() == name);
        match quota.holder {
            Holder::Project(name) | Holder::Principal(name, _) => project(name),
            Holder::Class(name) | Holder::Long(name) => class(name),
        }
    }
}

impl Machine {
    /// How many reservations of a project, and of those below it, are held or confirmed.
    #[must_use]
    pub fn live_of(&self, project: &ProjectId) -> usize {
        self.state.live_of.get(project).copied().unwrap_or(0)
    }

    /// The principals that have something in a project or below it, and how many reservations.
    pub fn live_by<'a>(
        &'a self,
        project: &'a ProjectId,
    ) -> impl Iterator<Item = (&'a Principal, usize)> {
        by(&self.state.live_by, project)
    }

    /// The quotas that would be further below the most that is used from now on than they are; the
    /// first of them.
    pub(super) fn overuses(
        &self,
        now: Timestamp,
        after: Quotas<'_>,
        changes: &PolicyChanges,
    ) -> Vec<Overuse> {
        let projects = changes.projects.iter().filter_map(|it| Some(&it.latest()?.id));
        let classes = changes.classes.iter().filter_map(|it| Some(&it.latest()?.id));
        let mut looked = Looked { projects: projects.collect(), classes: classes.collect() };
        let reshaped = Reshaped::by(changes);
        let touched = reshaped.below(&self.state.projects, after.projects);
        // Whoever is below one that changed may have come from elsewhere: each of them is looked at
        // under all that is above it now.
        let below = after.projects.iter().filter(|project| touched.contains(&project.id));
        let above = below.flat_map(|project| after.projects.lineage(&project.id));
        looked.projects.extend(above.map(|project| &project.id));
        let same = touched.is_empty() && reshaped.classes.is_empty();
        let lanes = match same {
            true => self.used_now(&looked),
            false => self.used_under(now, after, &looked),
        };
        let (live_of, live_by) = if reshaped.moves {
            let live = self.state.reservations.values().filter(|found| found.is_counted());
            let (live_of, live_by) = counted(after.projects, live.map(|found| &found.owner));
            (Cow::Owned(live_of), Cow::Owned(live_by))
        } else {
            (Cow::Borrowed(&self.state.live_of), Cow::Borrowed(&self.state.live_by))
        };
        let uses = Uses { lanes, live_of, live_by };
        let lanes =
            uses.lanes.iter().filter_map(|(name, load)| self.over_lane(now, after, name, load));
        let counts = looked.projects.iter().filter_map(|id| after.projects.get(id));
        let counts = counts.flat_map(|project| self.over_counts(now, project, &uses));
        let budgets = self.over_budgets(now, after.projects);
        lanes.chain(counts).chain(budgets).take(OVERUSES_MAX).collect()
    }

    /// What is used of lanes that quotas are, as they stand.
    fn used_now(&self, looked: &Looked<'_>) -> BTreeMap<LaneName, Cow<'_, Timeline>> {
        let lanes = self.state.lanes.iter().filter(|(name, _)| {
            let quota = name.as_quota();
            quota.is_some_and(|quota| looked.at(quota))
        });
        lanes.map(|(name, lane)| (name.clone(), Cow::Borrowed(&lane.timeline))).collect()
    }

    /// What would be used of lanes that quotas are, as they would stand.
    fn used_under<'a>(
        &self,
        now: Timestamp,
        after: Quotas<'_>,
        looked: &Looked<'_>,
    ) -> BTreeMap<LaneName, Cow<'a, Timeline>> {
        // Of each account by itself first: there are far fewer of them than of reservations.
        let mut accounts: BTreeMap<Account, Charged> = BTreeMap::new();
        let mut shares: BTreeMap<LaneName, Edges> = BTreeMap::new();
        for found in self.state.reservations.values().filter(|found| found.is_counted()) {
            let account = after.account(found);
            let charged = match accounts.get_mut(&account) {
                Some(charged) => charged,
                None => {
                    let charged = looked.charged(after, &account);
                    accounts.entry(account.clone()).or_insert(charged)
                }
            };
            if charged.has_shares {
                book_shares(&mut shares, after, (found, &account), now);
            }
            if charged.rates.is_empty() {
                continue;
            }
            for segment in &found.plan.segments {
                if let Some(over) = segment.over.from(now) {
                    let asked = Factor::asked(account.ratio).amount(segment.rate);
                    charged.own.book(over, asked);
                }
            }
        }
        let mut lanes: BTreeMap<LaneName, Timeline> = BTreeMap::new();
        for Charged { rates, own, .. } in accounts.into_values() {
            let own = summed(own);
            for lane in rates {
                let added = lanes.entry(lane).or_default().add(&own);
                debug_assert!(added.is_ok(), "all rates together do not overflow");
            }
        }
        lanes.extend(shares.into_iter().map(|(lane, edges)| (lane, summed(edges))));
        lanes.retain(|name, _| name.as_quota().is_some_and(|quota| looked.at(quota)));
        lanes.into_iter().map(|(name, load)| (name, Cow::Owned(load))).collect()
    }

    /// Whether a lane would be further below its use than it is.
    fn over_lane(
        &self,
        now: Timestamp,
        after: Quotas<'_>,
        name: &LaneName,
        load: &Timeline,
    ) -> Option<Overuse> {
        let fresh = after.fresh(name, &self.state.lanes)?;
        let over = over_rate(name, &fresh, load, now)?;
        let was = self.state.lanes.get(name).filter(|lane| lane.def.is_some());
        let was = was.and_then(|lane| over_rate(name, lane, &lane.timeline, now));
        (was.map_or(0, |was| was.excess()) < over.excess()).then_some(over)
    }

    /// Which counts of a project would be further above their limits than they are.
    fn over_counts(&self, now: Timestamp, project: &Project, uses: &Uses<'_>) -> Vec<Overuse> {
        let (id, quota) = (&project.id, &project.quota);
        let before = self.state.projects.get(id).map(|it| &it.quota);
        let mut over = Vec::new();
        let mut check = |whose: Whose, what, limit: [Option<u32>; 2], used: [usize; 2]| {
            let [limit, old_limit] = limit.map(|limit| limit.map(u64::from));
            let [used, old_used] = used.map(|used| u64::try_from(used).unwrap_or(u64::MAX));
            let was = old_limit.map_or(0, |limit| old_used.saturating_sub(limit));
            if let Some(limit) = limit
                && was < used.saturating_sub(limit)
            {
                over.push(Overuse { whose, what, of: None, limit, used, until: now });
            }
        };
        let live = uses.live_of.get(id).copied().unwrap_or(0);
        let limits = [quota.reservations, before.and_then(|it| it.reservations)];
        check(Whose::Project(id.clone()), Limit::Reservations, limits, [live, self.live_of(id)]);
        let counts = [by(&uses.live_by, id).count(), self.live_by(id).count()];
        let limits = [quota.principals, before.and_then(|it| it.principals)];
        check(Whose::Project(id.clone()), Limit::Principals, limits, counts);
        let limits = [quota.each.reservations, before.and_then(|it| it.each.reservations)];
        if quota.each.reservations.is_some() {
            for (whose, live) in by(&uses.live_by, id) {
                let key = (id.clone(), whose.clone());
                let was = self.state.live_by.get(&key).copied().unwrap_or(0);
                let whose = Whose::Principal(id.clone(), whose.clone());
                check(whose, Limit::Reservations, limits, [live, was]);
            }
        }
        over
    }
}

impl LedgerState {
    /// How many reservations are live of each project, those below it included, and of each principal.
    pub(crate) fn count_live(&self) -> (LiveOf, LiveBy) {
        let live = self.reservations.values().filter(|found| found.is_counted());
        counted(&self.projects, live.map(|found| &found.owner))
    }

    /// Counts a reservation as live, or no more.
    pub(crate) fn count_one(&mut self, owner: &Owner, lives: bool) {
        let Self { projects, live_of, live_by, .. } = self;
        for project in projects.lineage(&owner.project) {
            step(live_of, project.id.clone(), lives);
            if let Some(whose) = &owner.principal {
                step(live_by, (project.id.clone(), whose.clone()), lives);
            }
        }
    }
}

fn step<K: Ord + Clone>(counts: &mut BTreeMap<K, usize>, key: K, lives: bool) {
    let count = counts.entry(key.clone()).or_default();
    *count = if lives { count.saturating_add(1) } else { count.saturating_sub(1) };
    if *count == 0 {
        counts.remove(&key);
    }
}

fn by<'a>(
    live: &'a LiveBy,
    project: &'a ProjectId,
) -> impl Iterator<Item = (&'a Principal, usize)> {
    let from = live.range((project.clone(), Principal::first())..);
    let of = from.take_while(move |((id, _), _)| id == project);
    of.map(|((_, whose), count)| (whose, *count))
}

fn counted<'a>(projects: &Projects, owners: impl Iterator<Item = &'a Owner>) -> (LiveOf, LiveBy) {
    let mut own: BTreeMap<(&ProjectId, Option<&Principal>), usize> = BTreeMap::new();
    for owner in owners {
        let count = own.entry((&owner.project, owner.principal.as_ref())).or_default();
        *count = count.saturating_add(1);
    }
    let (mut live_of, mut live_by) = (LiveOf::new(), LiveBy::new());
    for ((id, whose), live) in own {
        for project in projects.lineage(id) {
            let count = live_of.entry(project.id.clone()).or_default();
            *count = count.saturating_add(live);
            if let Some(whose) = whose {
                let count = live_by.entry((project.id.clone(), whose.clone())).or_default();
                *count = count.saturating_add(live);
            }
        }
    }
    (live_of, live_by)
}

/// Books what a reservation has of lanes on the shares of them that it is charged to.
fn book_shares(
    shares: &mut BTreeMap<LaneName, Edges>,
    after: Quotas<'_>,
    (found, account): (&Reservation, &Account),
    now: Timestamp,
) {
    for (index, way) in found.plan.ways.iter().enumerate() {
        let on: Vec<&LaneName> = way.lanes.iter().filter(|lane| !lane.is_quota()).collect();
        let charges = after.charges(account, &on);
        for segment in found.plan.segments.iter().filter(|segment| segment.way == index) {
            let Some(over) = segment.over.from(now) else { continue };
            for charge in &charges {
                let amount = charge.of.and_then(|place| segment.amounts.get(place));
                if let Some(amount) = amount {
                    let share = shares.entry(charge.lane.clone()).or_default();
                    share.book(over, *amount);
                }
            }
        }
    }
}

fn summed(edges: Edges) -> Timeline {
    let mut load = Timeline::default();
    let booked = load.change(edges);
    debug_assert!(booked.is_ok(), "all rates together do not overflow");
    load
}

/// The instant at which most is booked beyond what a lane carries then, if there is one.
fn over_rate(name: &LaneName, lane: &Lane, load: &Timeline, now: Timestamp) -> Option<Overuse> {
    let mut whole = load.clone();
    let added = whole.add(lane.cuts());
    debug_assert!(added.is_ok(), "what stands on a lane and is cut from it does not overflow");
    let (limit, ahead) = (lane.capacity(), Interval::new(now, Timestamp::MAX)?);
    if whole.peak(ahead) <= limit {
        return None;
    }
    // The first among equals.
    let steps = whole.steps_over(ahead);
    let (worst, level) = steps.max_by_key(|(at, level)| (*level, std::cmp::Reverse(*at)))?;
    let last = whole.steps().filter(|(_, level)| limit < *level).last().map(|(instant, _)| instant);
    let mut later = whole.steps().map(|(instant, _)| instant);
    let until = later.find(|instant| last.is_some_and(|last| last < *instant));
    let until = until.unwrap_or(Timestamp::MAX);
    let cut = lane.cuts().level_at(worst);
    let (limit, used) = (limit.saturating_sub(cut), level.saturating_sub(cut));
    let QuotaLane { holder, of } = name.as_quota()?;
    let project = |name: &str| Some(ProjectId(name.parse::<Name>().ok()?));
    let whose = match holder {
        Holder::Project(name) => Whose::Project(project(name)?),
        Holder::Principal(name, whose) => Whose::Principal(project(name)?, whose.parse().ok()?),
        Holder::Class(name) | Holder::Long(name) => Whose::Class(ClassId(name.parse().ok()?)),
    };
    let (what, of) = match of {
        Some(of) => (Limit::Share, Some(LaneName::new(of))),
        None => (Limit::Rate, None),
    };
    Some(Overuse { whose, what, of, limit, used, until })
}

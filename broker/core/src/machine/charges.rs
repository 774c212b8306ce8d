//! What a booking is charged to beside the lanes of its way: quotas, each of them a lane of its own.
//!
//! - a rate of a project, and of each above it: the payload that was asked for;
//! - a share of a lane, of a project, of each above it and of a class: what is booked on the lane;
//! - the same of one principal;
//! - what long reservations of a class may have of a lane.
//!
//! A quota of a rate is there as long as it is set, so that it can be looked at. All others are there
//! while something is booked on them: nobody could count the lanes of all principals there might be.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::{
    BitRate, ClassId, Classes, Interval, Name, Overcommit, Part, Project, ProjectId, Projects,
    Quota, Share, Span, Timestamp,
};

use super::lending::is_rate;
use super::{LedgerState, Machine};
use crate::event::Corrupt;
use crate::lane::{Factor, Holder, Lane, LaneDef, LaneName, LaneNeed, QuotaLane};
use crate::owner::{Account, Owner};
use crate::promise::Promised;
use crate::reservation::Reservation;
use crate::timeline::Timeline;
use crate::topology::Topology;

/// A lane that a booking takes as well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Charge {
    pub(super) lane: LaneName,
    /// The place, among the lanes of the way, of the one that it is a share of; `None` takes the payload
    /// that was asked for.
    pub(super) of: Option<usize>,
}

impl Charge {
    /// What a rate books on it, beside what it books on the lanes of the way.
    pub(super) fn amount(&self, rate: BitRate, lanes: &[u64], account: &Account) -> u64 {
        match self.of {
            Some(place) => lanes.get(place).copied().unwrap_or(0),
            None => Factor::asked(account.ratio).amount(rate),
        }
    }
}

/// All that says what bookings are charged to.
#[derive(Clone, Copy)]
pub(super) struct Quotas<'a> {
    pub(super) projects: &'a Projects,
    pub(super) classes: &'a Classes,
    pub(super) topology: &'a Topology,
    /// When the day begins from which on hours of the week are looked up.
    pub(super) today: Timestamp,
}

impl<'a> Quotas<'a> {
    /// What a booking on these lanes is charged to, from its project upwards, then its class.
    pub(super) fn charges(&self, account: &Account, lanes: &[&LaneName]) -> Vec<Charge> {
        let mut charges = Vec::new();
        // A firm twin is the same capacity as its lane.
        let whole = |lane: &LaneName| self.topology.lanes.get(lane).is_some_and(|def| !def.firm);
        let shared: Vec<(usize, &LaneName)> = {
            let numbered = lanes.iter().copied().enumerate();
            numbered.filter(|(_, lane)| whole(lane)).collect()
        };
        let mut shares = |of: &[Share], name: &dyn Fn(&LaneName) -> LaneName| {
            if of.is_empty() {
                return;
            }
            let taken = shared.iter().filter(|(_, lane)| Share::least(of, lane.as_str()).is_some());
            charges
                .extend(taken.map(|(place, lane)| Charge { lane: name(lane), of: Some(*place) }));
        };
        let mut rates = Vec::new();
        for project in self.projects.lineage(&account.project) {
            let (id, quota) = (&project.id, &project.quota);
            rates.extend(quota.limits_rate().then(|| LaneName::quota(id)));
            shares(&quota.shares, &|lane| LaneName::project_share(id, lane));
            if let Some(whose) = &account.principal {
                rates.extend(quota.each.rate.map(|_| LaneName::principal_rate(id, whose)));
                shares(&quota.each.shares, &|lane| LaneName::principal_share(id, whose, lane));
            }
        }
        if let Some(class) = account.class.as_ref().and_then(|id| self.classes.get(id)) {
            if class.lane_share.is_some() {
                charges.extend(shared.iter().map(|(place, lane)| Charge {
                    lane: LaneName::class_share(&class.id, lane),
                    of: Some(*place),
                }));
            }
            if account.long {
                charges.extend(shared.iter().map(|(place, lane)| Charge {
                    lane: LaneName::class_long(&class.id, lane),
                    of: Some(*place),
                }));
            }
        }
        let rates = rates.into_iter().map(|lane| Charge { lane, of: None });
        rates.chain(charges).collect()
    }

    /// Whether anything that an account is charged to is a share of a lane.
    pub(super) fn has_shares(&self, account: &Account) -> bool {
        let mut above = self.projects.lineage(&account.project).map(|it| &it.quota);
        let class = account.class.as_ref().and_then(|id| self.classes.get(id));
        above.any(|it| !it.shares.is_empty() || !it.each.shares.is_empty())
            || class.is_some_and(|class| class.lane_share.is_some() || account.long)
    }

    /// What a quota can carry; `None` if it is not set.
    pub(super) fn def(&self, name: &LaneName) -> Option<LaneDef> {
        let quota = name.as_quota()?;
        if let Some(of) = quota.of {
            return Some(self.topology.lanes.get(&LaneName::new(of))?.share(self.part(quota)?));
        }
        match quota.holder {
            Holder::Project(id) => {
                let quota = self.quota(id)?;
                quota.limits_rate().then(|| LaneDef::quota(self.highest(quota)))
            }
            Holder::Principal(id, _) => Some(LaneDef::quota(self.quota(id)?.each.rate?.bps())),
            Holder::Class(_) | Holder::Long(_) => None,
        }
    }

    /// How much a quota is of the lane that it is a share of; `None` if it is no share, or not set.
    pub(super) fn part(&self, QuotaLane { holder, of }: QuotaLane<'_>) -> Option<Part> {
        let of = of?;
        let class = |name: &str| self.classes.get(&ClassId(name.parse().ok()?));
        match holder {
            Holder::Project(id) => Share::least(&self.quota(id)?.shares, of),
            Holder::Principal(id, _) => Share::least(&self.quota(id)?.each.shares, of),
            Holder::Class(id) => class(id)?.lane_share,
            Holder::Long(id) => Some(class(id)?.headroom?.part.rest()),
        }
    }

    fn quota(&self, project: &str) -> Option<&'a Quota> {
        let id = ProjectId(project.parse::<Name>().ok()?);
        self.projects.get(&id).map(|project| &project.quota)
    }

    /// The highest rate that a quota allows at any time.
    fn highest(&self, quota: &Quota) -> u64 {
        let rates = quota.weekly.iter().map(|(_, rate)| rate);
        let rates = rates.chain(quota.overrides.iter().map(|(_, rate)| rate));
        // Outside of the hours and times that are said there is no limit, if none is said for all.
        let rates = rates.chain([quota.rate.as_ref().unwrap_or(&BitRate::MAX)]);
        let borrowed = quota.borrow.map_or(0, BitRate::bps);
        let most = rates.max().map_or(0, |rate| rate.bps()).saturating_add(borrowed);
        most.min(BitRate::MAX.bps())
    }

    /// What a quota takes away of its highest rate at hours and times, from a day on; nothing where it is
    /// the same at all times.
    fn cuts(&self, name: &LaneName) -> Option<Timeline> {
        let QuotaLane { holder: Holder::Project(id), of: None } = name.as_quota()? else {
            return None;
        };
        let quota = self.quota(id)?;
        let (profile, highest) = (quota.profile()?, self.highest(quota));
        let mut cuts = Timeline::default();
        let mut from = self.today;
        // As far ahead as anything is promised, and a month more, in which nothing may happen.
        let until = self.today.plus(Span::MAX).plus(MONTH);
        while let Some(ahead) = Interval::new(from, until.min(from.plus(Span::MAX))) {
            for (over, rate) in profile.steps(ahead) {
                let rate = rate.unwrap_or(BitRate::MAX).bps();
                let borrowed = quota.borrow.map_or(0, BitRate::bps);
                let taken = highest.saturating_sub(rate.saturating_add(borrowed));
                let cut = cuts.book(over, taken);
                debug_assert!(cut.is_ok(), "each step is cut once");
            }
            from = ahead.end();
        }
        Some(cuts)
    }

    /// A quota on which nothing is booked, as large as it is set; `None` if it is not.
    pub(super) fn fresh(&self, name: &LaneName, lanes: &BTreeMap<LaneName, Lane>) -> Option<Lane> {
        let mut lane = Lane::of(self.def(name)?);
        let of = name.as_quota().and_then(|quota| lanes.get(&LaneName::new(quota.of?)));
        let cut = match (of, self.cuts(name)) {
            (Some(of), _) => lane.follow_windows(of),
            (None, Some(cuts)) => lane.set_cuts(cuts),
            (None, None) => Ok(()),
        };
        debug_assert!(cut.is_ok(), "a cut is at most the capacity");
        Some(lane)
    }

    /// Whether something that lasts this long leaves the headroom of its class alone.
    pub(super) fn is_long(&self, owner: &Owner, lasts: Span) -> bool {
        let class = owner.class.as_ref().and_then(|id| self.classes.get(id));
        class.and_then(|class| class.headroom).is_some_and(|headroom| headroom.longest < lasts)
    }

    /// What the bookings of a reservation are charged to.
    pub(super) fn account(&self, found: &Reservation) -> Account {
        let (ratio, lasts) = match found.promise.as_ref().map(|promise| promise.what) {
            Some(Promised::Volume { window, .. }) => (Overcommit::NONE, window.span()),
            Some(Promised::Span { .. }) | None => (found.standing.ratio, found.interval.span()),
        };
        let account = found.owner.account(ratio, self.is_long(&found.owner, lasts));
        let borrows = found.standing.preemptible && found.session.is_some();
        Account { borrows, ..account }
    }
}

impl Owner {
    pub(super) fn account(&self, ratio: Overcommit, long: bool) -> Account {
        let Self { project, principal, class, labels: _ } = self;
        let (project, principal, class) = (project.clone(), principal.clone(), class.clone());
        Account { project, principal, class, ratio, long, borrows: false }
    }
}

impl LedgerState {
    pub(super) fn quotas(&self) -> Quotas<'_> {
        let (projects, classes, topology) = (&self.projects, &self.classes, &self.topology);
        Quotas { projects, classes, topology, today: day_of(self.clock) }
    }

    /// A quota on which nothing is booked; `None` if it is not set.
    pub(crate) fn fresh_quota(&self, name: &LaneName) -> Option<Lane> {
        self.quotas().fresh(name, &self.lanes)
    }

    /// Lets every share be as large as it is set, with the windows of its lane, and the rates of these
    /// projects: those of others are as they were. To look hours up for a year takes its time.
    pub(crate) fn resize_quotas(&mut self, changed: &BTreeSet<&ProjectId>) -> Result<(), Corrupt> {
        let changed: BTreeSet<LaneName> = changed.iter().map(|id| LaneName::quota(id)).collect();
        self.resize(|name| !is_rate(name) || changed.contains(name))
    }

    /// Lets those quotas be as large as they are set that are not the same at all times.
    pub(super) fn follow_calendar(&mut self) -> Result<(), Corrupt> {
        let changes = |project: &&Project| project.quota.profile().is_some();
        let changing = self.projects.iter().filter(changes);
        let changing: BTreeSet<LaneName> = changing.map(|it| LaneName::quota(&it.id)).collect();
        self.resize(|name| changing.contains(name))
    }

    fn resize(&mut self, is_meant: impl Fn(&LaneName) -> bool) -> Result<(), Corrupt> {
        let quotas = self.lanes.keys().filter(|name| name.is_quota() && is_meant(name));
        let names: Vec<LaneName> = quotas.cloned().collect();
        for name in names {
            let fresh = self.fresh_quota(&name).unwrap_or_default();
            let lane = self.lanes.entry(name.clone()).or_default();
            lane.resize(fresh).map_err(|_| Corrupt { what: format!("{name} overflows") })?;
        }
        Ok(())
    }
}

/// When the day of an instant begins, by UTC.
pub(super) fn day_of(instant: Timestamp) -> Timestamp {
    const DAY_MS: i64 = 86_400_000;
    let into = instant.as_ms().rem_euclid(DAY_MS);
    Timestamp::from_ms(instant.as_ms().saturating_sub(into)).unwrap_or(Timestamp::EPOCH)
}

/// So long before the last instant that is looked up quotas are looked up anew at the latest.
const MONTH: Span = Span::from_secs(31 * 24 * 3600);

impl LaneName {
    /// Whether it is there while nothing is booked on it.
    pub(crate) fn lasts_empty(&self) -> bool {
        !self.is_quota() || is_rate(self)
    }
}

/// So many accounts are remembered.
const ACCOUNTS_MAX: usize = 4096;

impl Machine {
    /// Remembers what an account is charged to, if that is the same on all ways.
    pub(super) fn remember_account(&mut self, found: &Reservation) {
        let account = self.state.quotas().account(found);
        if self.accounts.contains_key(&account) || self.state.quotas().has_shares(&account) {
            return;
        }
        let charged = self.charged(&account, &[]);
        if ACCOUNTS_MAX <= self.accounts.len() {
            self.accounts.clear();
        }
        self.accounts.insert(account, charged);
    }

    /// What a reservation needs of quotas, beside what it needs of the lanes of a way.
    pub(super) fn charged(&self, account: &Account, needs: &[LaneNeed]) -> Vec<LaneNeed> {
        if let Some(known) = self.accounts.get(account) {
            return known.clone();
        }
        let lanes: Vec<&LaneName> = needs.iter().map(|need| &need.lane).collect();
        let charges = self.state.quotas().charges(account, &lanes).into_iter();
        let needs = charges.filter_map(|Charge { lane, of }| match of {
            Some(place) => Some(LaneNeed { lane, ..needs.get(place)?.clone() }),
            None => Some(LaneNeed::payload(lane, account.ratio)),
        });
        needs.collect()
    }
}

//! Rates that projects lend each other: what one of them may have depends on what those beside it use.
//!
//! The projects below one without a parent are a tree of quotas as [`tidegate_policy::spill`] has it.
//! Those at its ends have their rates; what they lend, and the pools of those above them, may be borrowed
//! by who can be preempted, so that its owner can have it again. How much somebody may have is worked out
//! when it asks, from what is booked on the rates of all of them, as a step function of time: to whoever
//! looks it is a lane like any other.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::spill::{Node, Quotas as Pool};
use tidegate_policy::{Interval, Project, ProjectId, Projects, Timestamp};

use super::sight::{Sight, Way};
use super::wanted::Wish;
use super::{Machine, Stamp};
use crate::command::Ask;
use crate::event::{Change, CloseWhy};
use crate::lane::{Holder, Lane, LaneName, QuotaLane};
use crate::plan::Plan;
use crate::reservation::Reservation;
use crate::timeline::Timeline;

/// The most reservations that are taken back for one request.
const RECLAIMED_MAX: usize = 64;

/// Projects that lend each other rates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Tree {
    ids: Vec<ProjectId>,
    nodes: Vec<Node>,
    /// The lane of each project at an end; `None` of those that have others below them.
    lanes: Vec<Option<LaneName>>,
}

/// Rates that are borrowed at an instant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loan {
    /// Who has them.
    pub borrower: ProjectId,
    /// Whose they are: a project beside it, or one above it whose pool they are of.
    pub lender: ProjectId,
    /// How much, in bits per second of payload.
    pub amount: u64,
}

/// The trees in which something is lent, by the lanes of their ends.
pub(super) type Trees = BTreeMap<LaneName, std::sync::Arc<Tree>>;

/// Every tree in which something is lent.
pub(super) fn trees(projects: &Projects) -> Trees {
    let root = |id: &ProjectId| projects.lineage(id).last().map(|project| project.id.clone());
    let lending = projects.iter().filter(|project| project.quota.shares_out());
    let roots: BTreeSet<ProjectId> = lending.filter_map(|project| root(&project.id)).collect();
    let mut members: BTreeMap<&ProjectId, Vec<&Project>> = BTreeMap::new();
    for project in projects.iter().filter(|_| !roots.is_empty()) {
        if let Some(root) = root(&project.id).and_then(|root| roots.get(&root)) {
            members.entry(root).or_default().push(project);
        }
    }
    let mut trees = Trees::new();
    for members in members.into_values() {
        let tree = std::sync::Arc::new(Tree::of(&members));
        for lane in tree.lanes.iter().flatten() {
            trees.insert(lane.clone(), std::sync::Arc::clone(&tree));
        }
    }
    trees
}

impl Tree {
    fn of(members: &[&Project]) -> Self {
        let place = |id: &ProjectId| members.iter().position(|project| project.id == *id);
        let has_children = |id: &ProjectId| members.iter().any(|it| it.parent.as_ref() == Some(id));
        let bps = |rate: Option<tidegate_policy::BitRate>| rate.map_or(0, |rate| rate.bps());
        let nodes = members.iter().map(|project| {
            let quota = &project.quota;
            // What has no limit of its own takes nothing from anybody's.
            let nominal = if has_children(&project.id) { bps(quota.pool) } else { bps(quota.rate) };
            Node {
                parent: project.parent.as_ref().and_then(place),
                nominal,
                lend_max: Some(bps(quota.lend)),
                borrow_max: Some(bps(quota.borrow)),
            }
        });
        let lanes = members.iter().map(|project| {
            let ends = !has_children(&project.id) && project.quota.limits_rate();
            ends.then(|| LaneName::quota(&project.id))
        });
        let ids = members.iter().map(|project| project.id.clone()).collect();
        Self { ids, nodes: nodes.collect(), lanes: lanes.collect() }
    }

    fn place(&self, lane: &LaneName) -> Option<usize> {
        self.lanes.iter().position(|it| it.as_ref() == Some(lane))
    }

    /// The same at an instant: what ends may have for themselves follows the calendar.
    fn at<'s>(
        &self,
        lane: impl Fn(&LaneName) -> Option<&'s Lane>,
        instant: Timestamp,
    ) -> (Option<Pool>, Vec<u64>) {
        let mut nodes = self.nodes.clone();
        let mut own = Vec::with_capacity(nodes.len());
        for (node, name) in nodes.iter_mut().zip(&self.lanes) {
            let lane = name.as_ref().and_then(&lane);
            if let Some(lane) = lane {
                node.nominal = lane.limit_at(instant).saturating_sub(node.borrow_max.unwrap_or(0));
            }
            own.push(lane.map_or(0, |lane| lane.timeline.level_at(instant)));
        }
        (Pool::new(nodes).ok(), own)
    }

    /// The instants from `from` on at which anything about it changes.
    fn edges<'s>(
        &self,
        lane: impl Fn(&LaneName) -> Option<&'s Lane>,
        from: Timestamp,
    ) -> BTreeSet<Timestamp> {
        let mut edges = BTreeSet::from([from]);
        for lane in self.lanes.iter().flatten().filter_map(lane) {
            let steps = lane.timeline.steps().chain(lane.cuts().steps());
            edges.extend(steps.map(|(instant, _)| instant).filter(|instant| from < *instant));
        }
        edges
    }

    /// The lane that one of its ends is to somebody who asks from `from` on.
    pub(super) fn lane<'s>(
        &self,
        name: &LaneName,
        lane: impl Fn(&LaneName) -> Option<&'s Lane> + Copy,
        (from, borrows): (Timestamp, bool),
    ) -> Option<Lane> {
        let (place, raw) = (self.place(name)?, lane(name)?);
        let borrow = self.nodes.get(place)?.borrow_max.unwrap_or(0);
        let capacity = raw.capacity().saturating_sub(if borrows { 0 } else { borrow });
        let mut taken = Timeline::default();
        let edges: Vec<Timestamp> =
            self.edges(lane, from).into_iter().chain([Timestamp::MAX]).collect();
        for pair in edges.windows(2) {
            let [start, end] = pair else { continue };
            let Some(over) = Interval::new(*start, *end) else { continue };
            let (pool, own) = self.at(lane, *start);
            let free = pool.map_or(0, |pool| {
                let nominal = pool.nodes().get(place).map_or(0, |node| node.nominal);
                let left = nominal.saturating_sub(own.get(place).copied().unwrap_or(0));
                let free = pool.available(&pool.used(&own), place);
                if borrows { free } else { free.min(left) }
            });
            let booked = taken.book(over, capacity.saturating_sub(free));
            debug_assert!(booked.is_ok(), "each piece is taken once");
        }
        let mut seen = Lane::of(crate::lane::LaneDef { capacity, ..raw.def.clone()? });
        seen.timeline = taken;
        Some(seen)
    }
}

impl Machine {
    /// Who borrows from whom at an instant in the tree of a project.
    #[must_use]
    pub fn loans(&self, project: &ProjectId, at: Timestamp) -> Vec<Loan> {
        let lane = |name: &LaneName| self.state.lanes.get(name);
        let Some(tree) = self.lending.values().find(|tree| tree.ids.contains(project)) else {
            return Vec::new();
        };
        let (Some(pool), own) = tree.at(lane, at) else { return Vec::new() };
        let used = pool.used(&own);
        let loans = (0..tree.ids.len()).flat_map(|node| pool.lenders(&used, node));
        let named = loans.filter_map(|loan| {
            let (borrower, lender) = (tree.ids.get(loan.borrower)?, tree.ids.get(loan.lender)?);
            let (borrower, lender) = (borrower.clone(), lender.clone());
            Some(Loan { borrower, lender, amount: loan.amount })
        });
        named.collect()
    }

    /// Whether a plan has more than its project's own at some instant.
    pub(super) fn borrows(&self, sight: &Sight<'_>, plan: &Plan) -> bool {
        !self.lending.is_empty()
            && plan.bookings().any(|(name, over, amount)| {
                let Some(tree) = self.lending.get(name) else { return false };
                let borrow = tree.place(name).and_then(|place| tree.nodes.get(place)?.borrow_max);
                sight.raw(name).is_some_and(|lane| {
                    let free = lane.free(over);
                    free < amount.saturating_add(borrow.unwrap_or(0))
                })
            })
    }

    /// Whether everybody who has more after some changes may have it beside all others.
    pub(super) fn lends_enough(&self, sight: &Sight<'_>, changes: &[Change], plan: &Plan) -> bool {
        if self.lending.is_empty() || changes.is_empty() {
            return true;
        }
        let mut after = sight.clone();
        for change in changes {
            self.see(&mut after, change);
        }
        for (name, over, amount) in plan.bookings() {
            after.book(name, over, amount);
        }
        let (now, mut seen) = (self.state.clock, BTreeSet::new());
        self.lending.iter().filter(|(_, tree)| seen.insert(std::sync::Arc::as_ptr(tree))).all(
            |(_, tree)| {
                let lane = |name: &LaneName| after.raw(name);
                tree.edges(lane, now).into_iter().all(|instant| {
                    let (pool, own) = tree.at(lane, instant);
                    let Some(pool) = pool else { return false };
                    let used = pool.used(&own);
                    own.iter().zip(&tree.lanes).enumerate().all(|(place, (own, name))| {
                        let had = name.as_ref().and_then(|name| sight.raw(name));
                        let had = had.map_or(0, |lane| lane.timeline.level_at(instant));
                        let mut without = used.clone();
                        pool.remove(&mut without, place, *own);
                        *own <= had || *own <= pool.available(&without, place)
                    })
                })
            },
        )
    }

    /// Room for somebody within its own rate that others have borrowed: who borrowed is closed, the
    /// lowest and newest first, and no more of them than it takes.
    pub(super) fn reclaim(
        &self,
        stamp: Stamp,
        sight: &Sight<'_>,
        ask: &Ask,
        (ways, wish): (&[Way], &Wish),
    ) -> Option<(Plan, Vec<Change>)> {
        let lane = LaneName::quota(&ask.owner.project);
        let tree = self.lending.get(&lane)?;
        let (_, window) = wish.need()?;
        let own: Vec<Way> = ways.iter().map(|way| Way { borrows: false, ..way.clone() }).collect();
        let is_lent = |found: &&Reservation| {
            let from = LaneName::quota(&found.owner.project);
            found.borrowed
                && found.is_live()
                && found.session.is_some()
                && found.standing.preemptible
                && found.interval.overlaps(window)
                && from != lane
                && tree.place(&from).is_some()
        };
        let mut lent: Vec<&Reservation> =
            self.state.reservations.values().filter(is_lent).collect();
        lent.sort_by_key(|it| {
            let newest = std::cmp::Reverse((it.created, it.id));
            (it.standing.priority, newest)
        });
        lent.truncate(RECLAIMED_MAX);
        let fits = |gone: &[&Reservation]| {
            let mut after = sight.clone();
            for found in gone {
                after.drop_from(found, self.stops(stamp.now, found, None));
            }
            after.open(&own);
            after.plan_for(&own, wish, self.limits.segments_max)
        };
        let few = (1..=lent.len()).find(|few| lent.get(..*few).and_then(fits).is_some())?;
        let mut gone: Vec<&Reservation> = lent.get(..few)?.to_vec();
        // Whoever stands highest stays, if it fits without it.
        for place in (0..gone.len()).rev() {
            let mut less = gone.clone();
            less.remove(place);
            if fits(&less).is_some() {
                gone = less;
            }
        }
        let plan = fits(&gone)?;
        let closed = gone.into_iter().map(|found| {
            let stops = self.stops(stamp.now, found, None);
            let free_from = stops.min(found.interval.end().max(stamp.now));
            let (id, why, used) = (found.id, CloseWhy::Preempted, self.used(found.id));
            Change::Closed { id, why, free_from, used }
        });
        Some((plan, closed.collect()))
    }
}

/// Whether a lane is the rate of a whole project.
pub(super) fn is_rate(name: &LaneName) -> bool {
    matches!(name.as_quota(), Some(QuotaLane { holder: Holder::Project(_), of: None }))
}

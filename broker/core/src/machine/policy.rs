//! Decides and follows changes of projects and quotas.
//!
//! A quota of a rate is a lane that every booking of the project takes as well, so that it is looked
//! at wherever lanes are, plans that move included. It only refuses: where it is cut below what is
//! booked, that stays, and nothing more is granted until there is room again.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::{
    Interval, Limit, Project, ProjectFault, ProjectId, Projects, ReservationId, Timestamp,
};

use super::decide::{happens, unchanged};
use super::{Answer, Decision, LedgerState, Machine, Outcome, Stamp};
use crate::event::{Change, Corrupt, Event};
use crate::fault::{Fault, FieldFault};
use crate::lane::{Lane, LaneDef, LaneName};
use crate::policy::{OVERUSES_MAX, Overuse, PolicyAsk, ProjectChange};
use crate::reservation::Reservation;
use crate::timeline::Timeline;

impl Machine {
    /// Every project.
    #[must_use]
    pub fn projects(&self) -> &Projects {
        &self.state.projects
    }

    /// How often the policy was changed so far.
    #[must_use]
    pub fn policy_version(&self) -> u64 {
        self.state.policy_version
    }

    /// How many reservations of a project, and of those below it, are held or confirmed.
    #[must_use]
    pub fn live_of(&self, project: &ProjectId) -> usize {
        self.state.live_of.get(project).copied().unwrap_or(0)
    }

    pub(super) fn apply_policy(&self, stamp: Stamp, ask: &PolicyAsk) -> Result<Decision, Fault> {
        let version = self.state.policy_version;
        if ask.version.is_some_and(|seen| seen != version) {
            return Err(Fault::StalePolicy { version });
        }
        let before = &self.state.projects;
        let after = before.changed(&ask.put, &ask.gone, ask.whole);
        let after = after.map_err(|faults| Fault::Invalid(told(ask, faults)))?;
        let changes: Vec<ProjectChange> = before
            .differences(&after)
            .map(|(before, after)| ProjectChange { before: before.cloned(), after: after.cloned() })
            .collect();
        if changes.is_empty() {
            let overuses = Vec::new();
            return Ok(unchanged(Answer::Policy { version, changes, overuses }));
        }
        self.nobody_is_left(&changes)?;
        let overuses = self.overuses(stamp.now, &after);
        if !overuses.is_empty() && !ask.accept_overuse {
            return Err(Fault::QuotasInUse(overuses));
        }
        let version = version.saturating_add(1);
        let (told, over) = (changes.clone(), overuses.clone());
        let answer = Answer::Policy { version, changes: told, overuses: over };
        Ok(happens(stamp, Change::PolicyApplied { version, changes, overuses }, answer))
    }

    /// A project that somebody has something in cannot go.
    fn nobody_is_left(&self, changes: &[ProjectChange]) -> Result<(), Fault> {
        let gone = changes.iter().filter(|change| change.after.is_none());
        let gone: BTreeSet<&ProjectId> = gone.filter_map(ProjectChange::id).collect();
        let mut live: BTreeMap<&ProjectId, usize> = BTreeMap::new();
        if !gone.is_empty() {
            for found in self.state.reservations.values().filter(|found| found.is_live()) {
                if gone.contains(&found.project) {
                    let count = live.entry(&found.project).or_default();
                    *count = count.saturating_add(1);
                }
            }
        }
        match live.pop_first() {
            Some((project, live)) => Err(Fault::ProjectInUse { project: project.clone(), live }),
            None => Ok(()),
        }
    }

    /// The quotas that would be further below the most that is used from now on than they are; the first
    /// of them.
    fn overuses(&self, now: Timestamp, after: &Projects) -> Vec<Overuse> {
        let before = &self.state.projects;
        let differing: BTreeSet<&ProjectId> = before
            .differences(after)
            .filter_map(|(before, after)| before.or(after))
            .map(|project| &project.id)
            .collect();
        // Whoever is below one that changed may have come from elsewhere: each of them is looked at
        // under all that is above it now.
        let touched = |project: &&Project| {
            let mut above = after.lineage(&project.id);
            above.any(|it| differing.contains(&it.id))
        };
        let below = after.iter().filter(touched);
        let looked = below.flat_map(|project| after.lineage(&project.id)).map(|it| &it.id);
        let mut over = self.over(now, after, &looked.collect());
        let again: BTreeSet<&ProjectId> = over.iter().map(|it| &it.project).collect();
        let was: BTreeMap<_, u64> = match again.is_empty() {
            true => BTreeMap::new(),
            false => {
                let was = self.over(now, before, &again).into_iter();
                was.map(|it| ((it.project.clone(), it.what), it.excess())).collect()
            }
        };
        over.retain(|it| {
            was.get(&(it.project.clone(), it.what)).is_none_or(|was| *was < it.excess())
        });
        over.truncate(OVERUSES_MAX);
        over
    }

    /// The quotas of some projects that are below what is used from now on.
    fn over(
        &self,
        now: Timestamp,
        projects: &Projects,
        looked: &BTreeSet<&ProjectId>,
    ) -> Vec<Overuse> {
        let limits = |it: &&Project| it.quota.rate.is_some() || it.quota.reservations.is_some();
        let above = |id| projects.lineage(id).filter(limits).filter(|it| looked.contains(&it.id));
        // Of each project by itself first: there are far fewer of them than of reservations.
        let below = projects.iter().filter(|it| above(&it.id).next().is_some());
        let mut own: BTreeMap<&ProjectId, (Timeline, usize)> =
            below.map(|it| (&it.id, Default::default())).collect();
        for found in self.state.reservations.values().filter(|found| found.is_live()) {
            let Some((load, live)) = own.get_mut(&found.project) else { continue };
            *live = live.saturating_add(1);
            book_payload(load, found, now);
        }
        let mut used: BTreeMap<&ProjectId, (Timeline, usize)> = BTreeMap::new();
        for (id, (own, count)) in own {
            for project in above(id) {
                let (load, live) = used.entry(&project.id).or_default();
                *live = live.saturating_add(count);
                let added = load.add(&own);
                debug_assert!(added.is_ok(), "all rates together do not overflow");
            }
        }
        let over = used.into_iter().filter_map(|(id, (load, live))| {
            let quota = projects.get(id)?.quota;
            let rate = quota.rate.and_then(|rate| over_rate(id, rate.bps(), &load, now));
            let limit = quota.reservations.map(u64::from);
            let used = u64::try_from(live).unwrap_or(u64::MAX);
            let count = limit.filter(|limit| *limit < used).map(|limit| {
                let (what, until) = (Limit::Reservations, now);
                Overuse { project: id.clone(), what, limit, used, until }
            });
            Some([rate, count])
        });
        over.flatten().flatten().collect()
    }

    pub(super) fn policy_applied(
        &mut self,
        (version, changes, overuses): (u64, &[ProjectChange], &[Overuse]),
        event: &Event,
    ) -> Result<(), Corrupt> {
        let faulty = |why: String| Corrupt { what: format!("policy {version} is faulty: {why}") };
        let put: Vec<Project> = changes.iter().filter_map(|it| it.after.clone()).collect();
        let gone = changes.iter().filter(|it| it.after.is_none()).filter_map(ProjectChange::id);
        let gone: Vec<ProjectId> = gone.cloned().collect();
        let after = self.state.projects.changed(&put, &gone, false);
        self.state.projects = after.map_err(|faults| faulty(format!("{faults:?}")))?;
        self.state.policy_version = version;
        self.fit_quotas()?;
        self.renumber();
        let (changes, overuses) = (changes.to_vec(), overuses.to_vec());
        let outcome = Outcome::Policy { version, changes, overuses };
        self.remember(event.request, outcome, event.at);
        Ok(())
    }

    /// Books what stands on the quotas that there are now, and on no others.
    fn fit_quotas(&mut self) -> Result<(), Corrupt> {
        let defs = quota_lanes(&self.state.projects);
        for (name, lane) in &mut self.state.lanes {
            if name.is_quota() && !defs.contains_key(name) {
                lane.def = None;
            }
        }
        for (name, def) in defs {
            self.state.lanes.entry(name).or_default().def = Some(def);
        }
        let projects = self.state.projects.iter();
        let quotas = projects.map(|it| (it.id.clone(), self.state.quotas_of(&it.id)));
        let quotas: BTreeMap<ProjectId, Vec<LaneName>> = quotas.collect();
        let ids: Vec<ReservationId> = self.state.reservations.keys().copied().collect();
        for id in ids {
            let before = self.known(id)?;
            let quotas = quotas.get(&before.project).map_or(&[][..], Vec::as_slice);
            if before.plan.ways.iter().all(|way| way.lanes.ends_with(quotas))
                && before.plan.lanes().filter(|lane| lane.is_quota()).count()
                    == quotas.len().saturating_mul(before.plan.ways.len())
            {
                continue;
            }
            self.put_on(id, quotas)?;
        }
        let is_there = |lane: &Lane| lane.def.is_some() || !lane.timeline.is_empty();
        self.state.lanes.retain(|_, lane| is_there(lane));
        self.state.live_of = self.state.count_live();
        Ok(())
    }

    /// Lets a reservation book on exactly these quotas.
    fn put_on(&mut self, id: ReservationId, quotas: &[LaneName]) -> Result<(), Corrupt> {
        let imbalance = |lane: &LaneName| Corrupt { what: format!("{lane} is out of balance") };
        let on_quotas = |found: &Reservation| {
            let bookings = found.bookings().filter(|(lane, ..)| lane.is_quota());
            bookings.map(|(lane, over, amount)| (lane.clone(), over, amount)).collect::<Vec<_>>()
        };
        let found = self.state.reservations.get_mut(&id);
        let found = found.ok_or_else(|| Corrupt { what: format!("no reservation {id}") })?;
        let before = on_quotas(found);
        fit(found, quotas);
        for (lane, over, amount) in on_quotas(found) {
            let booked = self.state.lanes.entry(lane.clone()).or_default().book(over, amount);
            booked.map_err(|_| imbalance(&lane))?;
        }
        for (lane, over, amount) in before {
            let freed = self.state.lanes.entry(lane.clone()).or_default().unbook(over, amount);
            freed.map_err(|_| imbalance(&lane))?;
        }
        Ok(())
    }
}

impl LedgerState {
    /// The lanes that every booking of a project takes as well, from its own quota upwards.
    pub(crate) fn quotas_of(&self, project: &ProjectId) -> Vec<LaneName> {
        let lineage = self.projects.lineage(project);
        let limited = lineage.filter(|project| project.quota.rate.is_some());
        limited.map(|project| LaneName::quota(&project.id)).collect()
    }

    /// How many reservations of each project, and of those below it, are live.
    pub(crate) fn count_live(&self) -> BTreeMap<ProjectId, usize> {
        let mut own: BTreeMap<&ProjectId, usize> = BTreeMap::new();
        for found in self.reservations.values().filter(|found| found.is_live()) {
            let count = own.entry(&found.project).or_default();
            *count = count.saturating_add(1);
        }
        let mut counts = BTreeMap::new();
        for (id, live) in own {
            for project in self.projects.lineage(id) {
                let count: &mut usize = counts.entry(project.id.clone()).or_default();
                *count = count.saturating_add(live);
            }
        }
        counts
    }

    /// Counts a reservation of a project as live, or no more.
    pub(crate) fn count_one(&mut self, project: &ProjectId, lives: bool) {
        let Self { projects, live_of, .. } = self;
        for project in projects.lineage(project) {
            let count = live_of.entry(project.id.clone()).or_default();
            *count = if lives { count.saturating_add(1) } else { count.saturating_sub(1) };
            if *count == 0 {
                live_of.remove(&project.id);
            }
        }
    }
}

/// The lanes that quotas of rates are.
pub(crate) fn quota_lanes(projects: &Projects) -> BTreeMap<LaneName, LaneDef> {
    let lanes = projects.iter().filter_map(|project| {
        let rate = project.quota.rate?.bps();
        Some((LaneName::quota(&project.id), LaneDef::quota(rate)))
    });
    lanes.collect()
}

/// Puts a reservation on exactly these quotas: with the payload rate on each, which is what it books on
/// those that it is on already.
fn fit(reservation: &mut Reservation, quotas: &[LaneName]) {
    let plan = &mut reservation.plan;
    for (index, way) in plan.ways.iter_mut().enumerate() {
        let stays: Vec<bool> = way.lanes.iter().map(|lane| !lane.is_quota()).collect();
        for segment in plan.segments.iter_mut().filter(|segment| segment.way == index) {
            let amounts = segment.amounts.iter().zip(&stays).filter(|(_, stays)| **stays);
            let mut amounts: Vec<u64> = amounts.map(|(amount, _)| *amount).collect();
            amounts.extend(quotas.iter().map(|_| segment.rate.bps()));
            segment.amounts = amounts;
        }
        way.lanes.retain(|lane| !lane.is_quota());
        way.lanes.extend(quotas.iter().cloned());
    }
    // What is still sent under earlier terms counts where it did, for the seconds that it lasts.
    reservation.kept.retain(|part| !part.lane.is_quota() || quotas.contains(&part.lane));
}

/// Counts the payload of a reservation from `now` on.
fn book_payload(load: &mut Timeline, found: &Reservation, now: Timestamp) {
    for segment in &found.plan.segments {
        if let Some(over) = segment.over.from(now) {
            let booked = load.book(over, segment.rate.bps());
            debug_assert!(booked.is_ok(), "all rates together do not overflow");
        }
    }
}

fn over_rate(id: &ProjectId, limit: u64, load: &Timeline, now: Timestamp) -> Option<Overuse> {
    let used = load.peak(Interval::new(now, Timestamp::MAX)?);
    if used <= limit {
        return None;
    }
    let last = load.steps().filter(|(_, level)| limit < *level).last().map(|(instant, _)| instant);
    let mut later = load.steps().map(|(instant, _)| instant);
    let until = later.find(|instant| last.is_some_and(|last| last < *instant));
    let (project, what) = (id.clone(), Limit::Rate);
    Some(Overuse { project, what, limit, used, until: until.unwrap_or(Timestamp::MAX) })
}

/// What is wrong with projects, as what is wrong with fields of the request.
fn told(ask: &PolicyAsk, faults: Vec<ProjectFault>) -> Vec<FieldFault> {
    let field = |fault: &ProjectFault| {
        let put = ask.put.iter().position(|project| project.id == fault.project);
        let gone = ask.gone.iter().position(|id| *id == fault.project);
        let of = |place: Option<usize>, list: &str| place.map(|at| format!("{list}[{at}]"));
        match (of(put, "projects"), of(gone, "delete"), fault.field) {
            (Some(place), _, "") | (None, Some(place), _) => place,
            (Some(place), _, part) => format!("{place}.{part}"),
            // One that stands: its parent would go, or come below it.
            (None, None, _) if ask.gone.is_empty() => "projects".into(),
            (None, None, _) => "delete".into(),
        }
    };
    let told = |fault: ProjectFault| {
        let why = format!("projects/{}: {}", fault.project, fault.why);
        FieldFault::new(field(&fault), why)
    };
    faults.into_iter().map(told).collect()
}

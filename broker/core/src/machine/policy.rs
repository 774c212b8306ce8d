//! Decides and follows changes of what administrators say.
//!
//! A quota of a rate or of a lane is a lane that every booking takes as well, so that it is looked at
//! wherever lanes are, plans that move included. It only refuses: where it is cut below what is booked,
//! that stays, and nothing more is granted until there is room again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidegate_policy::{
    Class, ClassId, Classes, Interval, Project, ProjectId, Projects, Quota, ReservationId,
};

use super::charges::{Charge, Quotas, day_of};
use super::decide::{happens, unchanged};
use super::lending::trees;
use super::rules;
use super::{Answer, Decision, Machine, Outcome, Stamp};
use crate::event::{Change, Corrupt, Event};
use crate::fault::{Fault, FieldFault};
use crate::lane::{Lane, LaneName};
use crate::owner::Account;
use crate::plan::PlanWay;
use crate::policy::{Changed, Edit, Overuse, PolicyAsk, PolicyChanges};
use crate::reservation::Reservation;
use crate::timeline::Edges;

impl Machine {
    /// Every project.
    #[must_use]
    pub fn projects(&self) -> &Projects {
        &self.state.projects
    }

    /// Every class.
    #[must_use]
    pub fn classes(&self) -> &Classes {
        &self.state.classes
    }

    /// How often the policy was changed so far.
    #[must_use]
    pub fn policy_version(&self) -> u64 {
        self.state.policy_version
    }

    /// Whether who changes the policy has seen what stands.
    pub(crate) fn is_seen(&self, seen: Option<u64>) -> Result<(), Fault> {
        let version = self.state.policy_version;
        match seen {
            Some(seen) if seen != version => Err(Fault::StalePolicy { version }),
            Some(_) | None => Ok(()),
        }
    }

    pub(crate) fn apply_policy(&self, stamp: Stamp, ask: &PolicyAsk) -> Result<Decision, Fault> {
        self.is_seen(ask.version)?;
        let version = self.state.policy_version;
        let (projects, classes) = self.edited(ask)?;
        let rules = self.edited_rules(&ask.rules, &classes)?;
        let before = self.state.projects.differences(&projects);
        let changes = PolicyChanges {
            projects: before.map(Changed::of).collect(),
            classes: self.state.classes.differences(&classes).map(Changed::of).collect(),
            rules: rules::differences(&self.state.rules, &rules).collect(),
        };
        if changes.is_empty() {
            let overuses = Vec::new();
            return Ok(unchanged(Answer::Policy { version, changes, overuses }));
        }
        self.nobody_is_left(&changes)?;
        let topology = &self.state.topology;
        let today = day_of(stamp.now);
        let after = Quotas { projects: &projects, classes: &classes, topology, today };
        let overuses = self.overuses(stamp.now, after, &changes);
        if !overuses.is_empty() && !ask.accept_overuse {
            return Err(Fault::QuotasInUse(overuses));
        }
        let version = version.saturating_add(1);
        let (told, over) = (changes.clone(), overuses.clone());
        let answer = Answer::Policy { version, changes: told, overuses: over };
        Ok(happens(stamp, Change::PolicyApplied { version, changes, overuses }, answer))
    }

    /// The policy that stands, as a change from that of an empty machine.
    pub(crate) fn whole_policy(&self) -> Change {
        let (projects, classes) = (Projects::default(), Classes::default());
        let changes = PolicyChanges {
            projects: projects.differences(&self.state.projects).map(Changed::of).collect(),
            classes: classes.differences(&self.state.classes).map(Changed::of).collect(),
            rules: rules::differences(&BTreeMap::new(), &self.state.rules).collect(),
        };
        Change::PolicyApplied { version: 1, changes, overuses: Vec::new() }
    }

    /// The projects and classes that there would be.
    fn edited(&self, ask: &PolicyAsk) -> Result<(Projects, Classes), Fault> {
        let Edit { put, gone, whole } = &ask.projects;
        let projects = self.state.projects.changed(put, gone, *whole);
        let projects = projects.map_err(|faults| {
            let place = ("projects", "delete");
            let told = faults.into_iter().map(|fault| {
                let put = position(put, |it| it.id == fault.project);
                let at = position(gone, |id| *id == fault.project);
                let why = format!("projects/{}: {}", fault.project, fault.why);
                FieldFault::new(field(place, (put, at, !gone.is_empty()), fault.field), why)
            });
            Fault::Invalid(told.collect())
        })?;
        let Edit { put, gone, whole } = &ask.classes;
        let classes = self.state.classes.changed(put, gone, *whole);
        let classes = classes.map_err(|faults| {
            let place = ("classes", "delete_classes");
            let told = faults.into_iter().map(|fault| {
                let put = position(put, |it| it.id == fault.class);
                let at = position(gone, |id| *id == fault.class);
                let why = format!("classes/{}: {}", fault.class, fault.why);
                FieldFault::new(field(place, (put, at, !gone.is_empty()), fault.field), why)
            });
            Fault::Invalid(told.collect())
        })?;
        // Who may use a class has to be somebody.
        let mut unknown = Vec::new();
        for (place, class) in ask.classes.put.iter().enumerate() {
            for project in class.projects.iter().filter(|it| projects.get(it).is_none()) {
                let why = format!("classes/{}: there is no projects/{project}", class.id);
                unknown.push(FieldFault::new(format!("classes[{place}].projects"), why));
            }
        }
        if unknown.is_empty() { Ok((projects, classes)) } else { Err(Fault::Invalid(unknown)) }
    }

    /// What somebody has something in cannot go.
    fn nobody_is_left(&self, changes: &PolicyChanges) -> Result<(), Fault> {
        let gone = changes.projects.iter().filter(|change| change.after.is_none());
        let gone: BTreeSet<&ProjectId> = gone.filter_map(|it| Some(&it.latest()?.id)).collect();
        let classes = changes.classes.iter().filter(|change| change.after.is_none());
        let classes: BTreeSet<&ClassId> = classes.filter_map(|it| Some(&it.latest()?.id)).collect();
        if gone.is_empty() && classes.is_empty() {
            return Ok(());
        }
        let mut live: BTreeMap<&ProjectId, usize> = BTreeMap::new();
        let mut live_in: BTreeMap<&ClassId, usize> = BTreeMap::new();
        for found in self.state.reservations.values().filter(|found| found.is_live()) {
            if gone.contains(&found.owner.project) {
                let count = live.entry(&found.owner.project).or_default();
                *count = count.saturating_add(1);
            }
            if let Some(class) = found.owner.class.as_ref().filter(|it| classes.contains(it)) {
                let count = live_in.entry(class).or_default();
                *count = count.saturating_add(1);
            }
        }
        match (live.pop_first(), live_in.pop_first()) {
            (Some((project, live)), _) => {
                Err(Fault::ProjectInUse { project: project.clone(), live })
            }
            (None, Some((class, live))) => Err(Fault::ClassInUse { class: class.clone(), live }),
            (None, None) => Ok(()),
        }
    }

    pub(super) fn policy_applied(
        &mut self,
        (version, changes, overuses): (u64, &PolicyChanges, &[Overuse]),
        event: &Event,
    ) -> Result<(), Corrupt> {
        let faulty = |why: String| Corrupt { what: format!("policy {version} is faulty: {why}") };
        let (put, gone) = edit(&changes.projects, |it: &Project| it.id.clone());
        let projects = self.state.projects.changed(&put, &gone, false);
        let projects = projects.map_err(|faults| faulty(format!("{faults:?}")))?;
        let (put, gone) = edit(&changes.classes, |it: &Class| it.id.clone());
        let classes = self.state.classes.changed(&put, &gone, false);
        let classes = classes.map_err(|faults| faulty(format!("{faults:?}")))?;
        for change in &changes.rules {
            let id = change.latest().map(|rule| rule.id.clone());
            match (id, change.after.clone()) {
                (Some(id), Some(rule)) => self.state.rules.insert(id, rule),
                (Some(id), None) => self.state.rules.remove(&id),
                (None, _) => None,
            };
        }
        self.read_again();
        let rules = &self.state.rules;
        self.recent.forget_rules(|id| rules.contains_key(id));
        let reshaped = Reshaped::by(changes);
        let touched = reshaped.below(&self.state.projects, &projects);
        (self.state.projects, self.state.classes) = (projects, classes);
        self.lending = trees(&self.state.projects);
        self.accounts.clear();
        self.state.policy_version = version;
        let changed = changes.projects.iter().filter_map(|it| Some(&it.latest()?.id)).collect();
        self.fit_quotas(&changed, &reshaped, &touched)?;
        self.renumber();
        let outcome =
            Outcome::Policy { version, changes: changes.clone(), overuses: overuses.to_vec() };
        self.remember(event.request, outcome, event.at);
        Ok(())
    }

    /// Books what stands on the quotas that there are now, and on no others.
    fn fit_quotas(
        &mut self,
        changed: &BTreeSet<&ProjectId>,
        reshaped: &Reshaped<'_>,
        touched: &BTreeSet<ProjectId>,
    ) -> Result<(), Corrupt> {
        for name in rate_lanes(&self.state.projects) {
            self.state.lanes.entry(name).or_default();
        }
        self.state.resize_quotas(changed)?;
        if !touched.is_empty() || !reshaped.classes.is_empty() {
            // Out of the way while their lanes change.
            let mut reservations = std::mem::take(&mut self.state.reservations);
            let refitted = self.refit_all(reshaped, touched, &mut reservations);
            self.state.reservations = reservations;
            refitted?;
        }
        if reshaped.moves {
            (self.state.live_of, self.state.live_by) = self.state.count_live();
        }
        self.charge_all();
        let stays = |name: &LaneName, lane: &Lane| {
            !lane.timeline.is_empty() || (lane.def.is_some() && name.lasts_empty())
        };
        self.state.lanes.retain(|name, lane| stays(name, lane));
        Ok(())
    }

    /// Lets all that a change touches book on exactly the quotas that they are charged to.
    fn refit_all(
        &mut self,
        reshaped: &Reshaped<'_>,
        touched: &BTreeSet<ProjectId>,
        reservations: &mut BTreeMap<ReservationId, Reservation>,
    ) -> Result<(), Corrupt> {
        let mut known = KnownCharges::default();
        let mut moved: BTreeMap<LaneName, Edges> = BTreeMap::new();
        for found in reservations.values_mut() {
            let class = found.owner.class.as_ref();
            let below = touched.contains(&found.owner.project)
                || class.is_some_and(|class| reshaped.classes.contains(class));
            if below {
                refit(found, self.state.quotas(), &mut known, &mut moved);
            }
        }
        for (lane, edges) in moved {
            let changed = self.lane_mut(&lane)?.change(edges);
            changed.map_err(|_| Corrupt { what: format!("{lane} is out of balance") })?;
        }
        Ok(())
    }
}

/// Lets a reservation book on exactly the quotas that it is charged to, and says what that changes on
/// their lanes.
fn refit(
    found: &mut Reservation,
    quotas: Quotas<'_>,
    known: &mut KnownCharges,
    moved: &mut BTreeMap<LaneName, Edges>,
) {
    if found.despite.is_some() {
        // What is only observed books nothing, whatever quotas there are, but what it may still send under
        // the terms before.
        on_quotas(found, moved, Edges::free);
        found.kept.retain(|part| !part.lane.is_quota() || quotas.def(&part.lane).is_some());
        on_quotas(found, moved, Edges::book);
        return;
    }
    let account = quotas.account(found);
    let ways = found.plan.ways.iter();
    let charges: Vec<_> = ways.map(|way| known.on_way(quotas, &account, way)).collect();
    let on = |lane: &LaneName| charges.iter().any(|it| it.iter().any(|it| it.lane == *lane));
    let fits = found.plan.ways.iter().zip(&charges).all(|(way, charged)| {
        let on = way.lanes.iter().filter(|lane| lane.is_quota());
        on.eq(charged.iter().map(|charge| &charge.lane))
    });
    let stays = found.kept.iter().all(|part| !part.lane.is_quota() || on(&part.lane));
    if fits && stays {
        return;
    }
    on_quotas(found, moved, Edges::free);
    fit(found, &charges, &account);
    on_quotas(found, moved, Edges::book);
}

fn on_quotas(
    found: &Reservation,
    moved: &mut BTreeMap<LaneName, Edges>,
    step: fn(&mut Edges, Interval, u64),
) {
    for (lane, over, amount) in found.bookings().filter(|(lane, ..)| lane.is_quota()) {
        match moved.get_mut(lane) {
            Some(moved) => step(moved, over, amount),
            None => step(moved.entry(lane.clone()).or_default(), over, amount),
        }
    }
}

/// What accounts are charged to that have no shares: the same on all ways.
#[derive(Default)]
struct KnownCharges(BTreeMap<Account, Arc<[Charge]>>);

impl KnownCharges {
    fn on_way(&mut self, quotas: Quotas<'_>, account: &Account, way: &PlanWay) -> Arc<[Charge]> {
        if let Some(charged) = self.0.get(account) {
            return Arc::clone(charged);
        }
        let lanes: Vec<&LaneName> = way.lanes.iter().filter(|lane| !lane.is_quota()).collect();
        let charged: Arc<[Charge]> = quotas.charges(account, &lanes).into();
        if !quotas.has_shares(account) {
            self.0.insert(account.clone(), Arc::clone(&charged));
        }
        charged
    }
}

/// What of a change decides on which quotas bookings are, rather than how much they allow.
pub(super) struct Reshaped<'a> {
    pub(super) projects: BTreeSet<&'a ProjectId>,
    pub(super) classes: BTreeSet<&'a ClassId>,
    /// Some project comes below another one.
    pub(super) moves: bool,
}

impl<'a> Reshaped<'a> {
    pub(super) fn by(changes: &'a PolicyChanges) -> Self {
        let shape = |it: &'a Project| (&it.parent, limited(&it.quota));
        let projects = changes.projects.iter();
        let projects =
            projects.filter(|it| it.before.as_ref().map(shape) != it.after.as_ref().map(shape));
        let shape = |it: &Class| (it.lane_share.is_some(), it.headroom.map(|it| it.longest));
        let classes = changes.classes.iter();
        let classes =
            classes.filter(|it| it.before.as_ref().map(shape) != it.after.as_ref().map(shape));
        let parent = |it: &'a Option<Project>| it.as_ref().map(|it| &it.parent);
        let mut moved = changes.projects.iter();
        Self {
            projects: projects.filter_map(|it| Some(&it.latest()?.id)).collect(),
            classes: classes.filter_map(|it| Some(&it.latest()?.id)).collect(),
            moves: moved.any(|it| parent(&it.before) != parent(&it.after)),
        }
    }

    /// The projects that are below one of them, before or after.
    pub(super) fn below(&self, before: &Projects, after: &Projects) -> BTreeSet<ProjectId> {
        if self.projects.is_empty() {
            return BTreeSet::new();
        }
        let all = before.iter().chain(after.iter()).map(|project| &project.id);
        let is_below = |id: &&ProjectId| {
            let mut above = before.lineage(id).chain(after.lineage(id));
            above.any(|it| self.projects.contains(&it.id))
        };
        all.filter(is_below).cloned().collect()
    }
}

/// Which of its lanes a quota is: whether a rate is set, and of which lanes there are shares.
fn limited(quota: &Quota) -> (bool, Vec<&str>, bool, Vec<&str>) {
    let names = quota.shares.iter().map(|it| it.of.as_str()).collect();
    let each = quota.each.shares.iter().map(|it| it.of.as_str()).collect();
    (quota.limits_rate(), names, quota.each.rate.is_some(), each)
}

/// The lanes that quotas of rates are, of whole projects.
pub(crate) fn rate_lanes(projects: &Projects) -> impl Iterator<Item = LaneName> {
    let limited = projects.iter().filter(|project| project.quota.limits_rate());
    limited.map(|project| LaneName::quota(&project.id))
}

/// What an event says as an edit.
fn edit<T: Clone, I>(changes: &[Changed<T>], id: impl Fn(&T) -> I) -> (Vec<T>, Vec<I>) {
    let put = changes.iter().filter_map(|it| it.after.clone()).collect();
    let gone = changes.iter().filter(|it| it.after.is_none());
    (put, gone.filter_map(|it| it.before.as_ref().map(&id)).collect())
}

/// Puts a reservation on exactly these quotas: with the payload that was asked for on those of rates,
/// and with what it books on the lane on shares.
fn fit(reservation: &mut Reservation, charges: &[Arc<[Charge]>], account: &Account) {
    let plan = &mut reservation.plan;
    for (index, (way, charged)) in plan.ways.iter_mut().zip(charges).enumerate() {
        // The lanes of the network stand in front.
        let lanes = way.lanes.iter().filter(|lane| !lane.is_quota()).count();
        for segment in plan.segments.iter_mut().filter(|segment| segment.way == index) {
            let (rate, amounts) = (segment.rate, &mut segment.amounts);
            amounts.truncate(lanes);
            amounts.reserve_exact(charged.len());
            for charge in charged.iter() {
                let on = amounts.get(..lanes).unwrap_or_default();
                amounts.push(charge.amount(rate, on, account));
            }
        }
        way.lanes.truncate(lanes);
        way.lanes.reserve_exact(charged.len());
        way.lanes.extend(charged.iter().map(|charge| charge.lane.clone()));
    }
    // What is still sent under earlier terms counts where it did, for the seconds that it lasts.
    let on = |lane: &LaneName| charges.iter().any(|it| it.iter().any(|it| it.lane == *lane));
    reservation.kept.retain(|part| !part.lane.is_quota() || on(&part.lane));
}

pub(super) fn position<T>(list: &[T], is_it: impl Fn(&T) -> bool) -> Option<usize> {
    list.iter().position(is_it)
}

/// What is wrong with something, as what is wrong with fields of the request.
pub(super) fn field(
    (put_list, gone_list): (&str, &str),
    (put, gone, goes): (Option<usize>, Option<usize>, bool),
    part: &str,
) -> String {
    match (put, gone, part) {
        (Some(at), _, "") => format!("{put_list}[{at}]"),
        (None, Some(at), _) => format!("{gone_list}[{at}]"),
        (Some(at), _, part) => format!("{put_list}[{at}].{part}"),
        // One that stands: its parent would go, or come below it.
        (None, None, _) if goes => gone_list.into(),
        (None, None, _) => put_list.into(),
    }
}

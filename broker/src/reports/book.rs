//! The book-keeping: from what is published to what is kept of it, exactly.
//!
//! What is promised is added up by walking over the ledger from the instant up to which everything is
//! accounted for. A change replaces what stood before, so what is lost of the past by it is added when it
//! is heard of; and if the walk was here first, the difference is. Either way, what is accounted for is
//! what stood at each instant. Bytes are added when they are heard of.
//!
//! It knows no clock and no file: time and state are arguments.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tidegate_core::lane::LaneName;
use tidegate_core::{Machine, Reservation, Segment, State};
use tidegate_policy::{ClassId, Interval, ProjectId, ReservationId, Timestamp};

use super::fact::{Changed, Fact};
use super::grain::{Grain, HOUR_MS, MINUTE_MS, floor, interval};
use super::minutes::{Minutes, Of};
use super::names::{self, NameId, Names, OTHERS};
use super::refused::Refused;
use super::store::{Kept, Pending};
use crate::convert::reply;

/// What has been accounted for, and what of it is not written yet.
#[derive(Debug)]
pub(crate) struct Book {
    names: Arc<Names>,
    lanes: HashMap<LaneName, NameId>,
    projects: HashMap<ProjectId, NameId>,
    classes: HashMap<Option<ClassId>, NameId>,
    shares: HashMap<(NameId, NameId), NameId>,
    counted: BTreeMap<u128, u64>,
    /// What lanes can carry.
    limits: BTreeMap<NameId, u64>,
    since: i64,
    /// Everything before it is accounted for.
    until: i64,
    walk: Option<Walk>,
    minutes: Minutes,
    /// Until when somebody has measured what crosses a lane.
    observed: HashMap<NameId, Timestamp>,
    pending: Arc<Pending>,
}

/// What is longer than this is accounted for in hours: a broker that was away for a month must not look at
/// each minute of it.
const MINUTES_MAX_MS: i64 = 2 * HOUR_MS;

/// A walk over the ledger that is under way.
#[derive(Clone, Copy, Debug)]
struct Walk {
    to: i64,
    /// Those up to this one are accounted for up to `to`.
    cursor: Option<ReservationId>,
}

impl Book {
    /// Goes on from what was kept, or begins at `now`.
    pub(crate) fn new(kept: Kept, now: Timestamp) -> Self {
        let Kept { names, counted, limits, since, until } = kept;
        let now = now.as_ms();
        Self {
            names: Arc::new(names),
            lanes: HashMap::new(),
            projects: HashMap::new(),
            classes: HashMap::new(),
            shares: HashMap::new(),
            counted,
            limits,
            since: since.unwrap_or(now),
            until: until.unwrap_or(now).min(now),
            walk: None,
            minutes: Minutes::default(),
            observed: HashMap::new(),
            pending: Arc::default(),
        }
    }

    /// The bytes of each reservation that are accounted for.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (ReservationId, u64)> {
        self.counted.iter().map(|(id, bytes)| (ReservationId::from_u128(*id), *bytes))
    }

    /// Since when, and until when, everything is accounted for, in milliseconds since the epoch.
    pub(crate) fn range(&self) -> (i64, i64) {
        (self.since, self.until)
    }

    pub(crate) fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// What is accounted for and not written yet.
    pub(crate) fn settled(&mut self) -> &Arc<Pending> {
        let pending = Arc::make_mut(&mut self.pending);
        self.minutes.settle(self.until, pending);
        &self.pending
    }

    /// All of that has been written.
    pub(crate) fn written(&mut self) {
        self.pending = Arc::default();
    }

    /// Follows a fact, in the state that it led to.
    pub(crate) fn follow(&mut self, machine: &Machine, fact: &Fact) {
        match fact {
            Fact::Changed(changed) => self.change(changed),
            Fact::Used { id, at } => {
                if let Some(found) = machine.reservation(*id) {
                    self.count(found, machine.used(*id).bytes(), at.as_ms());
                }
            }
            Fact::Refused(refused) => self.refuse(refused),
            Fact::Observed(observed) => self.observe(machine, observed),
            Fact::Advance(_) | Fact::Stop(_) => {}
        }
    }

    fn change(&mut self, changed: &Changed) {
        let Changed { id, at, before, after } = changed;
        let (before, after) = (before.as_deref(), after.as_deref());
        let (known, at) = (self.known_until(*id), at.as_ms());
        if at < known {
            // The walk took it for what it was.
            let late = interval(at, known);
            late.into_iter().for_each(|late| self.differ((before, after), late));
        } else if replaces_the_past(before, after) {
            let past = interval(known, at);
            past.into_iter().for_each(|past| self.differ((after, before), past));
        }
        match (before, after) {
            (None, Some(made)) => self.grant(made, at),
            (Some(before), Some(after)) if before.is_live() && !after.is_live() => {
                self.close(after, at);
            }
            (_, None) => self.forget(*id),
            (Some(_), Some(_)) => {}
        }
    }

    fn grant(&mut self, made: &Reservation, at: i64) {
        for name in self.owners(made) {
            let cell = self.minutes.cell(floor(at, MINUTE_MS), name);
            cell.granted = cell.granted.saturating_add(1);
        }
    }

    /// Keeps a reservation as it was when it was closed, and the last bytes of it.
    fn close(&mut self, closed: &Reservation, at: i64) {
        let State::Closed { used, at: when, .. } = closed.state else { return };
        self.count(closed, used.bytes(), at);
        let key = (when.as_ms(), closed.id.as_u128());
        let shown = reply::reservation(closed, when, used);
        Arc::make_mut(&mut self.pending).closed.insert(key, shown);
    }

    fn forget(&mut self, id: ReservationId) {
        if self.counted.remove(&id.as_u128()).is_some() {
            Arc::make_mut(&mut self.pending).counted.insert(id.as_u128(), None);
        }
    }

    fn refuse(&mut self, refused: &Refused) {
        let Refused { at, group } = refused;
        let minute = floor(at.as_ms(), MINUTE_MS);
        let project = group.project.strip_prefix("projects/").unwrap_or(OTHERS);
        let class = group.class.strip_prefix("classes/").unwrap_or(OTHERS);
        for name in [names::project(project), names::class(class)] {
            let name = self.name(&name);
            let cell = self.minutes.cell(minute, name);
            cell.refused = cell.refused.saturating_add(1);
        }
        let pending = Arc::make_mut(&mut self.pending);
        for grain in Grain::ALL {
            let bucket = grain.floor(at.as_ms());
            pending.refusals.entry((grain, bucket)).or_default().add(group.clone());
        }
    }

    /// Counts what has moved under a reservation beyond what is counted.
    pub(crate) fn count(&mut self, of: &Reservation, bytes: u64, at: i64) {
        let counted = self.counted.get(&of.id.as_u128()).copied().unwrap_or(0);
        let more = bytes.saturating_sub(counted);
        if more == 0 {
            return;
        }
        self.counted.insert(of.id.as_u128(), bytes);
        Arc::make_mut(&mut self.pending).counted.insert(of.id.as_u128(), Some(bytes));
        let minute = floor(at, MINUTE_MS);
        let owners = self.owners(of);
        for name in owners {
            self.use_in(minute, name, more);
        }
        let [project, _] = owners;
        for (way, bytes) in shares(of, more, at) {
            for lane in of.plan.ways.get(way).into_iter().flat_map(|way| &way.lanes) {
                let id = self.lane(lane);
                let share = self.share((lane, id), project, of);
                self.use_in(minute, id, bytes);
                self.use_in(minute, share, bytes);
            }
        }
    }

    fn use_in(&mut self, minute: i64, name: NameId, bytes: u64) {
        let cell = self.minutes.cell(minute, name);
        cell.used = cell.used.saturating_add(bytes);
    }

    /// Until when a reservation is accounted for.
    fn known_until(&self, id: ReservationId) -> i64 {
        match self.walk {
            Some(Walk { to, cursor }) if cursor.is_some_and(|cursor| id <= cursor) => to,
            Some(_) | None => self.until,
        }
    }

    /// Takes the first away and adds the second.
    fn differ(
        &mut self,
        (less, more): (Option<&Reservation>, Option<&Reservation>),
        over: Interval,
    ) {
        for (it, sign) in [(less, -1), (more, 1)] {
            it.into_iter().for_each(|it| self.account(it, over, sign));
        }
    }

    /// Adds what a reservation books and promises over an interval, or takes it away.
    fn account(&mut self, of: &Reservation, over: Interval, sign: i128) {
        // Of most there is nothing in a minute.
        let elsewhere = of.kept.is_empty() && !of.interval.overlaps(over);
        if of.despite.is_some() || elsewhere {
            return;
        }
        let owners = self.owners(of);
        let [project, _] = owners;
        let reported = of.session.is_some();
        let coarse = MINUTES_MAX_MS < over.end().as_ms().saturating_sub(over.start().as_ms());
        let owned = Of { lane: false, reported, coarse };
        let on_lane = Of { lane: true, ..owned };
        for (lane, when, amount) in of.bookings() {
            let Some(when) = when.within(over) else { continue };
            let amount = i128::from(amount).saturating_mul(sign);
            let id = self.lane(lane);
            self.minutes.book((id, on_lane), when, amount);
            let share = self.share((lane, id), project, of);
            self.minutes.book((share, owned), when, amount);
        }
        let promised = match of.state {
            State::Closed { at, .. } => Interval::new(over.start(), over.end().min(at)),
            State::Held { .. } | State::Confirmed => Some(over),
        };
        let Some(promised) = promised else { return };
        for segment in &of.plan.segments {
            let Some(when) = segment.over.within(promised) else { continue };
            let amount = i128::from(segment.rate.bps()).saturating_mul(sign);
            owners.into_iter().for_each(|owner| self.minutes.book((owner, owned), when, amount));
        }
    }

    /// Begins to walk over the ledger, to account for everything before `to`.
    pub(crate) fn begin(&mut self, machine: &Machine, to: Timestamp) {
        let to = to.as_ms();
        if to <= self.until || self.walk.is_some() {
            return;
        }
        self.walk = Some(Walk { to, cursor: None });
        if MINUTES_MAX_MS < to.saturating_sub(self.until) {
            Arc::make_mut(&mut self.pending).coarse.insert(self.until, to);
        }
        self.note_limits(machine, (self.until, to));
    }

    /// Walks over some more reservations. Returns whether it has come to the end.
    pub(crate) fn step(&mut self, machine: &Machine, most: usize) -> bool {
        let Some(Walk { to, cursor }) = self.walk else { return true };
        let over = interval(self.until, to);
        let mut last = None;
        for found in machine.reservations(cursor).take(most) {
            over.into_iter().for_each(|over| self.account(found, over, 1));
            last = Some(found.id);
        }
        self.walk = last.map(|last| Walk { to, cursor: Some(last) });
        if self.walk.is_none() {
            self.until = to;
        }
        self.walk.is_none()
    }

    /// Makes good what was not heard of: bytes, and reservations that were closed meanwhile. Returns the
    /// last one that it looked at.
    pub(crate) fn reconcile(
        &mut self,
        machine: &Machine,
        (after, most): (Option<ReservationId>, usize),
        now: Timestamp,
    ) -> Option<ReservationId> {
        let mut last = None;
        for found in machine.reservations(after).take(most) {
            let used = machine.used(found.id).bytes();
            match found.state {
                State::Closed { at, .. } => self.close(found, at.as_ms()),
                State::Held { .. } | State::Confirmed => self.count(found, used, now.as_ms()),
            }
            last = Some(found.id);
        }
        last
    }

    /// Forgets what is counted of reservations that nobody knows any more.
    pub(crate) fn forget_unknown(&mut self, machine: &Machine) {
        let known = |id: &u128| machine.reservation(ReservationId::from_u128(*id)).is_some();
        let gone: Vec<_> = self.counted.keys().copied().filter(|id| !known(id)).collect();
        gone.into_iter().for_each(|id| self.forget(ReservationId::from_u128(id)));
    }

    fn note_limits(&mut self, machine: &Machine, (from, to): (i64, i64)) {
        let Some(over) = interval(from, to) else { return };
        let mut gone = std::mem::take(&mut self.limits);
        for (name, lane) in machine.lanes(None).filter(|(name, _)| !name.is_quota()) {
            let id = self.lane(name);
            let mut last = gone.remove(&id);
            for (at, cut) in lane.cuts().steps_over(over) {
                let limit = lane.capacity().saturating_sub(cut);
                if last.replace(limit) != Some(limit) {
                    Arc::make_mut(&mut self.pending).limits.insert((id, at.as_ms()), limit);
                }
            }
            self.limits.extend(last.map(|last| (id, last)));
        }
        for (id, last) in gone {
            if last != 0 {
                Arc::make_mut(&mut self.pending).limits.insert((id, from), 0);
            }
            self.limits.insert(id, 0);
        }
    }

    /// Until when somebody had measured what crosses a lane; now until `end`.
    pub(super) fn observed_until(&mut self, lane: NameId, end: Timestamp) -> Timestamp {
        let until = self.observed.entry(lane).or_insert(Timestamp::EPOCH);
        std::mem::replace(until, end.max(*until))
    }

    pub(super) fn parts(&mut self) -> (&mut Minutes, &mut Pending) {
        (&mut self.minutes, Arc::make_mut(&mut self.pending))
    }

    fn name(&mut self, name: &str) -> NameId {
        if let Some(id) = self.names.get(name) {
            return id;
        }
        let (id, _) = Arc::make_mut(&mut self.names).number(name);
        Arc::make_mut(&mut self.pending).names.push((name.to_owned(), id));
        id
    }

    pub(super) fn lane(&mut self, lane: &LaneName) -> NameId {
        if let Some(id) = self.lanes.get(lane) {
            return *id;
        }
        let id = self.name(&names::lane(lane));
        self.lanes.insert(lane.clone(), id);
        id
    }

    /// The project and the class of a reservation.
    fn owners(&mut self, of: &Reservation) -> [NameId; 2] {
        let project = self.projects.get(&of.owner.project).copied();
        let project = project.unwrap_or_else(|| {
            let id = self.name(&names::project(of.owner.project.0.as_str()));
            self.projects.insert(of.owner.project.clone(), id);
            id
        });
        let class = self.classes.get(&of.owner.class).copied();
        let class = class.unwrap_or_else(|| {
            let id = self.name(&names::class(
                of.owner.class.as_ref().map_or(OTHERS, |class| class.0.as_str()),
            ));
            self.classes.insert(of.owner.class.clone(), id);
            id
        });
        [project, class]
    }

    /// A project on a lane.
    fn share(
        &mut self,
        (lane, id): (&LaneName, NameId),
        project: NameId,
        of: &Reservation,
    ) -> NameId {
        if let Some(share) = self.shares.get(&(id, project)) {
            return *share;
        }
        let apart = names::share(lane, of.owner.project.0.as_str());
        let known = self.names.get(&apart).is_some() || self.names.has_room();
        let share = if known { self.name(&apart) } else { self.name(&names::share(lane, OTHERS)) };
        self.shares.insert((id, project), share);
        share
    }
}

/// Whether a change takes from what stood before something that lies in the past.
fn replaces_the_past(before: Option<&Reservation>, after: Option<&Reservation>) -> bool {
    match (before, after) {
        (None, _) => false,
        (Some(_), None) => true,
        // Whatever may be sent under another plan, or is over, is another version.
        (Some(before), Some(after)) => before.plan_version != after.plan_version,
    }
}

/// How bytes that were reported at an instant are shared by the ways that were open to them: by the rates
/// then, or last before it, and all of them.
fn shares(of: &Reservation, bytes: u64, at: i64) -> Vec<(usize, u64)> {
    let segments = &of.plan.segments;
    let begun = segments.iter().filter(|it| it.over.start().as_ms() <= at);
    let last = begun.clone().map(|it| it.over.end().as_ms().min(at.saturating_add(1))).max();
    let open = |it: &&Segment| Some(it.over.end().as_ms().min(at.saturating_add(1))) == last;
    let mut open: Vec<&Segment> = begun.filter(open).collect();
    if open.is_empty() {
        open.extend(segments.first());
    }
    let all: u128 = open.iter().map(|it| u128::from(it.rate.bps())).sum();
    let mut left = bytes;
    let count = open.len();
    let parts = open.into_iter().enumerate().map(|(nth, segment)| {
        let part = u128::from(bytes).saturating_mul(segment.rate.bps().into());
        let part = u64::try_from(part.checked_div(all).unwrap_or(0)).unwrap_or(u64::MAX);
        let part = if nth.saturating_add(1) == count { left } else { part.min(left) };
        left = left.saturating_sub(part);
        (segment.way, part)
    });
    parts.collect()
}

//! What stands, read from the published state a slice at a time: whoever publishes waits for a slice at
//! most, and not for all of it.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_core::lane::LaneName;
use tidegate_core::machine::Counts;
use tidegate_core::{Machine, Reservation, Segment, State};
use tidegate_policy::{Interval, ProjectId, ReservationId, Span, Timestamp};
use tidegate_proto::v1;

use crate::config::{AdmissionMode, JournalPlace};
use crate::convert::{effective, network, policy, reply};
use crate::rpc::Rpc;

/// What is looked at under one lock.
const SLICE: usize = 512;
/// The most projects that are told of.
const PROJECTS_MAX: usize = 1000;

/// What stands at one instant. Parts of it may be some milliseconds apart.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) alive: bool,
    pub(super) journal: &'static str,
    pub(super) started_s: f64,
    pub(super) waiting: usize,
    pub(super) watches: usize,
    pub(super) observing: bool,
    pub(super) sequence: u64,
    pub(super) topology: u64,
    pub(super) policy: u64,
    pub(super) sessions: usize,
    pub(super) counts: Counts,
    /// Facts that reports had no place for.
    pub(super) facts_lost: u64,
    pub(super) held: usize,
    pub(super) confirmed: usize,
    pub(super) closed: usize,
    pub(super) lane_count: usize,
    pub(super) lanes: Vec<v1::Lane>,
    pub(super) project_count: usize,
    pub(super) projects: Vec<ProjectRow>,
}

/// A project, as far as it is told of.
#[derive(Debug)]
pub(super) struct ProjectRow {
    pub(super) name: String,
    pub(super) live: usize,
    pub(super) booked: i64,
    /// What its own rate quota allows, and what is used of it.
    pub(super) quota: Option<(i64, i64)>,
}

/// What all reservations come to.
#[derive(Debug, Default)]
struct Tally {
    held: usize,
    confirmed: usize,
    closed: usize,
    /// Of each project by itself, in bits per second.
    booked: BTreeMap<ProjectId, u64>,
}

impl Standing {
    pub(super) fn of(rpc: &Rpc, alive: bool) -> Self {
        let now = rpc.clock.now();
        let tally = tally(rpc, now);
        let (lanes, lane_count) = lanes(rpc, now);
        let (projects, project_count) = projects(rpc, now, &tally.booked);
        let published = rpc.view.read();
        let machine = &published.machine;
        let started = u64::try_from(rpc.started.as_ms()).unwrap_or(0);
        Self {
            alive,
            journal: match rpc.config.journal {
                JournalPlace::Memory => "memory",
                JournalPlace::Directory(_) => "redb",
            },
            started_s: Duration::from_millis(started).as_secs_f64(),
            waiting: rpc.queue.waiting(),
            watches: rpc.watching.open(),
            observing: rpc.config.admission.mode == AdmissionMode::Observe,
            sequence: published.sequence,
            topology: machine.topology_version(),
            policy: machine.policy_version(),
            sessions: machine.open_sessions(),
            counts: machine.counts(),
            facts_lost: rpc.reports.lost(),
            held: tally.held,
            confirmed: tally.confirmed,
            closed: tally.closed,
            lane_count,
            lanes,
            project_count,
            projects,
        }
    }
}

/// Looks at everything behind one place after another: `look` says where it came to, or nothing where
/// there is no more.
fn sliced<K>(rpc: &Rpc, mut look: impl FnMut(&Machine, Option<K>) -> Option<K>) {
    let mut after = None;
    loop {
        // The lock is taken anew for each: whoever waits to publish gets in between.
        after = look(&rpc.view.read().machine, after);
        if after.is_none() {
            break;
        }
    }
}

fn tally(rpc: &Rpc, now: Timestamp) -> Tally {
    let mut tally = Tally::default();
    sliced(rpc, |machine, after: Option<ReservationId>| {
        let slice: Vec<&Reservation> = machine.reservations(after).take(SLICE).collect();
        slice.iter().for_each(|found| tally.count(found, now));
        slice.last().filter(|_| slice.len() == SLICE).map(|last| last.id)
    });
    tally
}

impl Tally {
    fn count(&mut self, found: &Reservation, now: Timestamp) {
        let of_state = match found.state {
            State::Held { .. } => &mut self.held,
            State::Confirmed => &mut self.confirmed,
            State::Closed { .. } => &mut self.closed,
        };
        *of_state = of_state.saturating_add(1);
        if !found.is_counted() {
            return;
        }
        let runs = |it: &&Segment| it.over.start() <= now && now < it.over.end();
        let segments = found.plan.segments.iter().filter(runs);
        let rate = segments.fold(0_u64, |sum, it| sum.saturating_add(it.rate.bps()));
        if rate != 0 {
            let booked = self.booked.entry(found.owner.project.clone()).or_default();
            *booked = booked.saturating_add(rate);
        }
    }
}

/// The lanes that are told of, and how many there are.
fn lanes(rpc: &Rpc, now: Timestamp) -> (Vec<v1::Lane>, usize) {
    let mut used = BTreeMap::new();
    sliced(rpc, |machine, after| machine.add_used_rates(&mut used, (after, SLICE)));
    let reports = &rpc.config.reports;
    let instant = Span::from_ms(1).and_then(|ms| Interval::new(now, now.plus(ms)));
    let (mut told, mut count) = (Vec::new(), 0_usize);
    sliced(rpc, |machine, after: Option<LaneName>| {
        let slice: Vec<_> = machine.lanes(after.as_ref()).take(SLICE).collect();
        // Quotas are lanes too, and named after people.
        for (name, lane) in slice.iter().filter(|(name, _)| !name.is_quota()) {
            count = count.saturating_add(1);
            let tells = told.len() < reports.lanes_in_metrics
                && reports.metrics_selector.takes(name.as_str());
            if let Some(instant) = instant.filter(|_| tells) {
                let used = used.get(*name).copied().unwrap_or(0);
                told.push(network::lane(name, lane, instant, used));
            }
        }
        slice.last().filter(|_| slice.len() == SLICE).map(|(name, _)| LaneName::clone(name))
    });
    (told, count)
}

/// The projects that are told of, and how many there are.
fn projects(rpc: &Rpc, now: Timestamp, own: &BTreeMap<ProjectId, u64>) -> (Vec<ProjectRow>, usize) {
    let mut booked: BTreeMap<ProjectId, u64> = BTreeMap::new();
    sliced(rpc, |machine, after: Option<ProjectId>| {
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let slice: Vec<_> = own.range((from, std::ops::Bound::Unbounded)).take(SLICE).collect();
        for (id, rate) in &slice {
            for project in machine.projects().lineage(id) {
                let sum = booked.entry(project.id.clone()).or_default();
                *sum = sum.saturating_add(**rate);
            }
        }
        slice.last().filter(|_| slice.len() == SLICE).map(|(id, _)| ProjectId::clone(id))
    });
    let (mut told, mut count) = (Vec::new(), 0_usize);
    sliced(rpc, |machine, after: Option<ProjectId>| {
        let slice: Vec<_> = machine.projects().after(after.as_ref()).take(SLICE).collect();
        count = count.saturating_add(slice.len());
        let room = PROJECTS_MAX.saturating_sub(told.len());
        told.extend(slice.iter().take(room).map(|project| {
            ProjectRow {
                name: policy::name(&project.id),
                live: machine.live_of(&project.id),
                booked: reply::int(booked.get(&project.id).copied().unwrap_or(0)),
                quota: effective::rate(machine, project, now)
                    .map(|(limit, used)| (reply::int(limit), reply::int(used))),
            }
        }));
        slice.last().filter(|_| slice.len() == SLICE).map(|last| last.id.clone())
    });
    (told, count)
}

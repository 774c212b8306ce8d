//! Every invariant of the ledger, checked from scratch: the faults found, none if all hold.
//!
//! Runs after every step of the tests, after a replay, and as a command. It trusts nothing that
//! the machine keeps for speed: everything is recomputed from the list of reservations.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::{Interval, SessionId, Timestamp};

use crate::lane::{Lane, LaneName};
use crate::machine::Machine;
use crate::maintenance::{Window, cuts};
use crate::reservation::Reservation;
use crate::timeline::Timeline;

/// What does not hold, one sentence each; empty if the ledger is sound. Promises over the capacity
/// are looked for from `now` on: the past may have been promised on larger lanes. Only what is
/// live is promised: where capacity was lost, a lane may for a while be booked over what is left
/// by reservations that are closed, whose holders have yet to stop.
#[must_use]
pub fn audit(machine: &Machine, now: Timestamp) -> Vec<String> {
    let mut faults = Vec::new();
    timelines(machine, &mut faults);
    promises(machine, now, &mut faults);
    maintenance(machine, &mut faults);
    sessions(machine, &mut faults);
    counts(machine, &mut faults);
    faults.extend(machine.floating_faults());
    faults
}

fn timelines(machine: &Machine, faults: &mut Vec<String>) {
    let mut expected: BTreeMap<&LaneName, Timeline> = BTreeMap::new();
    for reservation in machine.reservations(None) {
        for (lane, over, amount) in reservation.bookings() {
            if expected.entry(lane).or_default().book(over, amount).is_err() {
                faults.push(format!("{lane}: the bookings overflow"));
            }
        }
    }
    for (name, lane) in &machine.ledger().lanes {
        let booked = expected.remove(name).unwrap_or_default();
        if booked != lane.timeline {
            faults.push(format!("{name}: the timeline is not the sum of the reservations"));
        }
        if lane.timeline.is_empty() && (lane.def.is_none() || !name.lasts_empty()) {
            faults.push(format!("{name}: kept although it left the topology and is empty"));
        }
    }
    for name in expected.keys() {
        faults.push(format!("{name}: booked, but there is no such lane"));
    }
    if !machine.is_seating_sound() {
        faults.push("the index of plans that may move is not that of the reservations".into());
    }
}

/// What is live fits, at every instant from `now` on.
fn promises(machine: &Machine, now: Timestamp, faults: &mut Vec<String>) {
    let mut promised: BTreeMap<&LaneName, Timeline> = BTreeMap::new();
    for reservation in machine.reservations(None).filter(|reservation| reservation.is_live()) {
        for (lane, over, amount) in reservation.plan.bookings() {
            let Some(over) = over.from(now) else { continue };
            if promised.entry(lane).or_default().book(over, amount).is_err() {
                faults.push(format!("{lane}: the promises overflow"));
            }
        }
    }
    // What is over a quota stays: it was there before the quota was cut.
    for (name, mut load) in promised.into_iter().filter(|(name, _)| !name.is_quota()) {
        let lane = machine.ledger().lanes.get(name);
        let added = lane.map_or(Ok(()), |lane| load.add(lane.cuts()));
        let ahead = Interval::new(now, Timestamp::MAX);
        let peak = ahead.map_or(0, |ahead| load.peak(ahead));
        let capacity = lane.map_or(0, Lane::capacity);
        if added.is_err() || capacity < peak {
            faults.push(format!(
                "{name}: {peak} bit/s promised or in maintenance at one instant, of {capacity}"
            ));
        }
    }
}

/// Lanes know of the windows and drains of their resources, and of no others.
fn maintenance(machine: &Machine, faults: &mut Vec<String>) {
    let (ledger, topology) = (machine.ledger(), machine.topology());
    let mut windows: BTreeMap<&LaneName, Vec<Window>> = BTreeMap::new();
    let mut ends = BTreeSet::new();
    for found in machine.maintenances(None) {
        ends.insert((found.over.end(), found.id));
        let Some(lanes) = topology.lanes_of(&found.resource) else {
            faults.push(format!("maintenances/{}: there is no {}", found.id, found.resource));
            continue;
        };
        for lane in lanes {
            let window = Window { over: found.over, left_ppm: found.left_ppm };
            windows.entry(lane).or_default().push(window);
        }
    }
    if ends != ledger.maintenance_ends {
        faults.push("the index of maintenance windows is not that of those to come".into());
    }
    let mut drained = BTreeSet::new();
    for resource in machine.drained() {
        match topology.lanes_of(resource) {
            Some(lanes) => drained.extend(lanes),
            None => faults.push(format!("{resource}: drained, but there is no such resource")),
        }
    }
    for (name, lane) in &ledger.lanes {
        // A share has the windows of the lane that it is of.
        let of = name.as_quota().and_then(|quota| quota.of).map(LaneName::new);
        let windows = windows.get(of.as_ref().unwrap_or(name)).cloned().unwrap_or_default();
        let taken = match ledger.fresh_quota(name) {
            Some(fresh) if name.is_quota() => Ok(fresh.cuts().clone()),
            _ => cuts(lane.capacity(), windows),
        };
        if !matches!(taken, Ok(cuts) if cuts == *lane.cuts()) {
            faults.push(format!("{name}: what is taken away is not what its windows take"));
        }
        if !lane.is_sound() {
            faults.push(format!("{name}: its load is not what is booked and taken away"));
        }
        if lane.is_drained() != drained.contains(name) {
            faults.push(format!("{name}: whether it is drained differs from its resources"));
        }
    }
}

fn sessions(machine: &Machine, faults: &mut Vec<String>) {
    let ledger = machine.ledger();
    let mut expected: BTreeMap<SessionId, BTreeSet<_>> = BTreeMap::new();
    for session in ledger.sessions.values().filter(|session| session.is_open()) {
        expected.insert(session.id, BTreeSet::new());
    }
    for reservation in machine.reservations(None).filter(|reservation| reservation.is_live()) {
        let Some(session) = reservation.session else { continue };
        match expected.get_mut(&session) {
            Some(bound) => {
                bound.insert(reservation.id);
            }
            None => faults.push(format!("{}: live, but its session has ended", reservation.id)),
        }
    }
    if expected != ledger.bound {
        faults.push("the index of bound reservations is not that of the sessions".into());
    }
}

fn counts(machine: &Machine, faults: &mut Vec<String>) {
    let live = machine.reservations(None).filter(|reservation| reservation.is_live()).count();
    let ledger = machine.ledger();
    if (ledger.live_of.clone(), ledger.live_by.clone()) != ledger.count_live() {
        faults.push("the live reservations of projects are not those that are counted".into());
    }
    if ledger.charged != machine.count_charged() {
        faults.push("what is charged to budgets is not what the reservations promise".into());
    }
    if live != machine.live_reservations() {
        faults.push(format!("{live} reservations live, {} counted", machine.live_reservations()));
    }
    let ledger = machine.ledger();
    let ended = ledger.sessions.values().filter(|session| !session.is_open()).count();
    let closed = ledger.reservations.len().saturating_sub(live);
    let made_one = |found: &&Reservation| found.created_by.is_some();
    let lasting = ledger.reservations.values().filter(made_one).count();
    let answers = ledger.requests.len().saturating_sub(lasting);
    let over = ledger.maintenances.values().filter(|window| window.ended.is_some()).count();
    let past = ended.saturating_add(closed).saturating_add(answers).saturating_add(over);
    if (live, past) != (ledger.ends.len(), ledger.past.len()) {
        let found = (ledger.ends.len(), ledger.past.len());
        faults
            .push(format!("{live} ends to come and {past} things of the past, {found:?} indexed"));
    }
}

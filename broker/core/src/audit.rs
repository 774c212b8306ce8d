//! Every invariant of the ledger, checked from scratch: the faults found, none if all hold.
//!
//! Runs after every step of the tests, after a replay, and as a command. It trusts nothing that
//! the machine keeps for speed: everything is recomputed from the list of reservations.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::{Interval, SessionId, Timestamp};

use crate::lane::LaneName;
use crate::machine::Machine;
use crate::reservation::Reservation;
use crate::timeline::Timeline;

/// What does not hold, one sentence each; empty if the ledger is sound. Bookings over the
/// capacity are looked for from `now` on: the past may have been promised on larger lanes.
#[must_use]
pub fn audit(machine: &Machine, now: Timestamp) -> Vec<String> {
    let mut faults = Vec::new();
    timelines(machine, now, &mut faults);
    sessions(machine, &mut faults);
    counts(machine, &mut faults);
    faults
}

fn timelines(machine: &Machine, now: Timestamp, faults: &mut Vec<String>) {
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
        let peak = Interval::new(now, Timestamp::MAX).map_or(0, |ahead| booked.peak(ahead));
        if lane.capacity() < peak {
            faults.push(format!("{name}: {peak} bit/s booked of {}", lane.capacity()));
        }
        if lane.def.is_none() && lane.timeline.is_empty() {
            faults.push(format!("{name}: kept although it left the topology and is empty"));
        }
    }
    for name in expected.keys() {
        faults.push(format!("{name}: booked, but there is no such lane"));
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
    if live != machine.live_reservations() {
        faults.push(format!("{live} reservations live, {} counted", machine.live_reservations()));
    }
    let ledger = machine.ledger();
    let ended = ledger.sessions.values().filter(|session| !session.is_open()).count();
    let closed = ledger.reservations.len().saturating_sub(live);
    let made_one = |found: &&Reservation| found.created_by.is_some();
    let lasting = ledger.reservations.values().filter(made_one).count();
    let answers = ledger.requests.len().saturating_sub(lasting);
    let past = ended.saturating_add(closed).saturating_add(answers);
    if (live, past) != (ledger.ends.len(), ledger.past.len()) {
        let found = (ledger.ends.len(), ledger.past.len());
        faults
            .push(format!("{live} ends to come and {past} things of the past, {found:?} indexed"));
    }
}

//! Decides and follows drains: a drained resource takes nothing new, and keeps what it has.

use std::collections::BTreeSet;

use tidegate_policy::{ReservationId, Resource, SessionId, Timestamp};

use super::decide::{happens, unchanged};
use super::{Answer, Decision, Machine, Stamp};
use crate::event::Change;
use crate::fault::Fault;
use crate::lane::{Lane, LaneName};
use crate::reservation::Reservation;

/// What is drained, and what is still on it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Drained {
    /// The lanes that take nothing new, in the order of their names.
    pub lanes: Vec<LaneName>,
    /// The first of the reservations that are still on them, at most [`LISTED_MAX`].
    pub reservations: Vec<ReservationId>,
    /// How many there are in all.
    pub count: u64,
    /// When the last of them ends.
    pub empty: Option<Timestamp>,
}

/// The most reservations that an answer lists.
pub const LISTED_MAX: usize = 1000;

impl Machine {
    pub(super) fn drain(&self, stamp: Stamp, resource: &Resource) -> Result<Decision, Fault> {
        self.lanes_of(resource)?;
        let answer = self.drained_answer(stamp.now, resource);
        if self.state.drained.contains(resource) {
            return Ok(unchanged(answer));
        }
        Ok(happens(stamp, Change::Drained { resource: resource.clone() }, answer))
    }

    pub(super) fn undrain(&self, stamp: Stamp, resource: &Resource) -> Result<Decision, Fault> {
        self.lanes_of(resource)?;
        let answer = self.undrained_answer(resource);
        if !self.state.drained.contains(resource) {
            return Ok(unchanged(answer));
        }
        Ok(happens(stamp, Change::Undrained { resource: resource.clone() }, answer))
    }

    /// What a drain of a resource comes to; nothing once it has left the topology.
    pub(super) fn drained_answer(&self, now: Timestamp, resource: &Resource) -> Answer {
        let lanes = self.state.topology.lanes_of(resource).unwrap_or_default();
        let mut drained = Drained { lanes: lanes.to_vec(), ..Drained::default() };
        let lanes: BTreeSet<&LaneName> = lanes.iter().collect();
        for found in self.live_on(now, |lane| lanes.contains(lane)) {
            if drained.reservations.len() < LISTED_MAX {
                drained.reservations.push(found.id);
            }
            drained.count = drained.count.saturating_add(1);
            drained.empty = drained.empty.max(Some(found.interval.end()));
        }
        Answer::Drained(drained.into())
    }

    /// The lanes of a resource that are not drained by another one.
    pub(super) fn undrained_answer(&self, resource: &Resource) -> Answer {
        let others = self.state.drained.iter().filter(|other| *other != resource);
        let others = others.filter_map(|other| self.state.topology.lanes_of(other));
        let still: BTreeSet<&LaneName> = others.flatten().collect();
        let lanes = self.state.topology.lanes_of(resource).unwrap_or_default().iter();
        Answer::Undrained(lanes.filter(|lane| !still.contains(lane)).cloned().collect())
    }

    pub(super) fn drain_applied(&mut self, resource: &Resource) {
        self.state.drained.insert(resource.clone());
        self.mark_drained(resource);
    }

    pub(super) fn undrain_applied(&mut self, resource: &Resource) {
        self.state.drained.remove(resource);
        if let Answer::Undrained(lanes) = self.undrained_answer(resource) {
            for name in lanes {
                if let Some(lane) = self.state.lanes.get_mut(&name) {
                    lane.set_drained(false);
                }
            }
        }
    }

    pub(super) fn mark_drained(&mut self, resource: &Resource) {
        for name in self.state.topology.lanes_of(resource).unwrap_or_default() {
            if let Some(lane) = self.state.lanes.get_mut(name) {
                lane.set_drained(true);
            }
        }
    }

    /// The sessions that hold something on a resource.
    #[must_use]
    pub fn sessions_on(&self, resource: &Resource) -> Vec<SessionId> {
        let lanes: BTreeSet<&LaneName> =
            self.state.topology.lanes_of(resource).unwrap_or_default().iter().collect();
        let on = self.live_on(self.state.clock, |lane| lanes.contains(lane));
        let sessions: BTreeSet<SessionId> = on.filter_map(|found| found.session).collect();
        sessions.into_iter().collect()
    }

    /// The lanes of a reservation that take nothing new.
    pub fn draining<'a>(
        &'a self,
        reservation: &'a Reservation,
    ) -> impl Iterator<Item = &'a LaneName> {
        let lanes = reservation.plan.lanes();
        lanes.filter(|name| self.state.lanes.get(*name).is_some_and(Lane::is_drained))
    }

    /// What is drained, in the order of collections and names.
    pub fn drained(&self) -> impl Iterator<Item = &Resource> {
        self.state.drained.iter()
    }
}

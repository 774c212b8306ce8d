//! Firm twins that come and go with an allocation ratio.
//!
//! Where a lane gets a twin, what is firm on it must count there too, or firm bookings to come
//! would be promised the same capacity again. Where a twin goes, its lane keeps all within what is
//! there by itself.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::ReservationId;

use super::Machine;
use crate::event::{Corrupt, Kept};
use crate::lane::LaneName;
use crate::reservation::Reservation;
use crate::topology::Topology;

/// The lanes that get a twin, and those whose twins go, between two topologies.
pub(super) struct Twins {
    pub(super) new: BTreeMap<LaneName, LaneName>,
    pub(super) gone: BTreeSet<LaneName>,
}

impl Twins {
    pub(super) fn between(old: &Topology, new: &Topology) -> Self {
        let mut twins = Self { new: BTreeMap::new(), gone: BTreeSet::new() };
        for (name, def) in &new.lanes {
            // What still books a lane that left and comes back knows of no twin either.
            let before = old.lanes.get(name).and_then(|def| def.twin.as_ref());
            match (before, &def.twin) {
                (Some(twin), None) => {
                    twins.gone.insert(twin.clone());
                }
                (None, Some(twin)) => {
                    twins.new.insert(name.clone(), twin.clone());
                }
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
        twins
    }
}

impl Machine {
    /// Books on new twins what is firm on their lanes, and nothing more on those that went.
    pub(super) fn fit_twins(&mut self, old: &Topology) -> Result<(), Corrupt> {
        let twins = Twins::between(old, &self.state.topology);
        if twins.new.is_empty() && twins.gone.is_empty() {
            return Ok(());
        }
        let ids: Vec<ReservationId> = self.state.reservations.keys().copied().collect();
        for id in ids {
            let before = self.known(id)?.clone();
            let after = twins.fit(before.clone());
            if after != before {
                self.rebook(&before, &after)?;
                self.state.reservations.insert(id, after);
            }
        }
        Ok(())
    }
}

impl Twins {
    /// A reservation with its bookings on the twins that there are now.
    fn fit(&self, mut reservation: Reservation) -> Reservation {
        let has: BTreeSet<LaneName> =
            reservation.bookings().map(|(lane, ..)| lane.clone()).collect();
        let lacks = |twin: &&LaneName| !reservation.terms.shared && !has.contains(*twin);
        let new = |lane: &LaneName| self.new.get(lane).filter(lacks).cloned();
        let mut plan = reservation.plan.clone();
        for (index, way) in plan.ways.iter_mut().enumerate() {
            // Where each lane to come takes its amounts from.
            let mut lanes = Vec::with_capacity(way.lanes.len());
            let stay = way.lanes.iter().enumerate().filter(|(_, lane)| !self.gone.contains(lane));
            for (place, lane) in stay {
                lanes.push((place, lane.clone()));
                lanes.extend(new(lane).map(|twin| (place, twin)));
            }
            for segment in plan.segments.iter_mut().filter(|segment| segment.way == index) {
                let amount = |(place, _): &(usize, LaneName)| segment.amounts.get(*place).copied();
                segment.amounts = lanes.iter().filter_map(amount).collect();
            }
            way.lanes = lanes.into_iter().map(|(_, lane)| lane).collect();
        }
        let mut kept = Vec::with_capacity(reservation.kept.len());
        for part in reservation.kept.iter().filter(|part| !self.gone.contains(&part.lane)) {
            kept.push(part.clone());
            kept.extend(new(&part.lane).map(|lane| Kept { lane, ..part.clone() }));
        }
        (reservation.plan, reservation.kept) = (plan, kept);
        reservation
    }
}

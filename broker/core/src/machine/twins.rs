//! Firm twins that come and go with an allocation ratio.
//!
//! Where a lane gets a twin, what is firm on it must count there too, or firm bookings to come
//! would be promised the same capacity again. Where a twin goes, its lane keeps all within what is
//! there by itself.

use std::collections::{BTreeMap, BTreeSet};

use super::Machine;
use crate::event::{Booked, Corrupt};
use crate::lane::LaneName;
use crate::topology::Topology;

/// The lanes that get a twin, and those whose twins go, between two topologies.
pub(super) struct Twins {
    pub(super) new: BTreeMap<LaneName, LaneName>,
    pub(super) gone: BTreeSet<LaneName>,
}

impl Twins {
    pub(super) fn between(old: &Topology, new: &Topology) -> Self {
        let mut twins = Self { new: BTreeMap::new(), gone: BTreeSet::new() };
        for (name, def) in &old.lanes {
            let now = new.lanes.get(name).map(|def| &def.twin);
            match (&def.twin, now) {
                (Some(twin), Some(None)) => {
                    twins.gone.insert(twin.clone());
                }
                (None, Some(Some(twin))) => {
                    twins.new.insert(name.clone(), twin.clone());
                }
                (Some(_) | None, _) => {}
            }
        }
        twins
    }
}

impl Machine {
    /// Books on new twins what is booked on their lanes, and nothing more on those that went.
    pub(super) fn fit_twins(&mut self, old: &Topology) -> Result<(), Corrupt> {
        let twins = Twins::between(old, &self.state.topology);
        if twins.new.is_empty() && twins.gone.is_empty() {
            return Ok(());
        }
        let corrupt = |name: &LaneName| Corrupt { what: format!("{name} cannot be refitted") };
        for reservation in self.state.reservations.values_mut() {
            let Some(over) = reservation.booked_over() else { continue };
            let mut booked = Vec::with_capacity(reservation.booked.len());
            for part in reservation.booked.drain(..) {
                if twins.gone.contains(&part.lane) {
                    let lane = self.state.lanes.get_mut(&part.lane);
                    let freed = lane.map(|lane| lane.unbook(over, part.amount));
                    freed.and_then(Result::ok).ok_or_else(|| corrupt(&part.lane))?;
                    continue;
                }
                let twin = twins.new.get(&part.lane).cloned();
                let amount = part.amount;
                booked.push(part);
                if let Some(twin) = twin {
                    let lane = self.state.lanes.get_mut(&twin);
                    let made = lane.map(|lane| lane.book(over, amount));
                    made.and_then(Result::ok).ok_or_else(|| corrupt(&twin))?;
                    booked.push(Booked { lane: twin, amount });
                }
            }
            reservation.booked = booked;
        }
        Ok(())
    }
}

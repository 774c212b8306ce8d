//! What is booked on each lane and on each quota that is one, over time.

use std::collections::BTreeMap;

use tidegate_core::lane::LaneName;
use tidegate_core::{Machine, Owner};
use tidegate_policy::Share;

use super::{Booking, Item, Naive, Network, Rules, Steps};

/// A quota that is a lane, and the place of the lane that it is a share of; `None` takes the payload
/// that was asked for.
pub(super) type On = (LaneName, Option<usize>);

fn is_of(shares: &[Share], lane: &LaneName) -> bool {
    shares.iter().any(|share| share.of.takes(lane.as_str()))
}

impl Rules<'_> {
    /// The quotas that somebody takes with a booking on these lanes.
    pub(super) fn quotas(
        &self,
        network: &Network,
        (owner, long): (&Owner, bool),
        lanes: &[&LaneName],
    ) -> Vec<On> {
        let mut on: Vec<On> = Vec::new();
        let lanes: Vec<(usize, &LaneName)> =
            lanes.iter().copied().enumerate().filter(|(_, it)| network.has(it)).collect();
        for above in self.projects.lineage(&owner.project) {
            let (id, quota) = (&above.id, &above.quota);
            if quota.rate.is_some() || !quota.weekly.is_empty() || !quota.overrides.is_empty() {
                on.push((LaneName::new(&format!("projects/{id}/rate")), None));
            }
            for (place, lane) in lanes.iter().filter(|(_, lane)| is_of(&quota.shares, lane)) {
                on.push((LaneName::new(&format!("projects/{id}/on/{lane}")), Some(*place)));
            }
            let Some(whose) = &owner.principal else { continue };
            let whose = format!("projects/{id}/principals/{whose}");
            if quota.each.rate.is_some() {
                on.push((LaneName::new(&format!("{whose}/rate")), None));
            }
            for (place, lane) in lanes.iter().filter(|(_, lane)| is_of(&quota.each.shares, lane)) {
                on.push((LaneName::new(&format!("{whose}/on/{lane}")), Some(*place)));
            }
        }
        let Some(class) = self.class(owner) else { return on };
        for (place, lane) in &lanes {
            if class.lane_share.is_some() {
                let name = format!("classes/{}/on/{lane}", class.id);
                on.push((LaneName::new(&name), Some(*place)));
            }
            if long {
                let name = format!("classes/{}/long/{lane}", class.id);
                on.push((LaneName::new(&name), Some(*place)));
            }
        }
        on
    }
}

/// What some reservations book of each lane.
pub(super) fn lines<'a>(
    items: impl Iterator<Item = &'a Item>,
    is_meant: impl Fn(&Booking) -> bool,
) -> BTreeMap<LaneName, Steps> {
    let mut pieces: BTreeMap<&LaneName, Vec<(i64, i64, u64)>> = BTreeMap::new();
    for booking in items.flat_map(|it| &it.bookings).filter(|it| is_meant(it)) {
        let (from, to) = booking.over;
        pieces.entry(&booking.lane).or_default().push((from, to, booking.amount));
    }
    pieces.into_iter().map(|(lane, pieces)| (lane.clone(), Steps::summed(pieces))).collect()
}

impl Naive {
    pub(super) fn line(&self, lane: &LaneName) -> Steps {
        self.lines.get(lane).cloned().unwrap_or_default()
    }

    /// Whether no lane and no quota has more from now on than it can carry, but what it had before.
    pub(in super::super) fn keeps_lines(
        &self,
        limit: &dyn Fn(&LaneName) -> Steps,
        before: &Self,
        now: i64,
    ) -> Result<(), String> {
        for (lane, line) in &self.lines {
            let was = before.line(lane);
            if *line == was {
                continue;
            }
            let limit = limit(lane);
            let both = line.instants(now, i64::MAX).chain(was.instants(now, i64::MAX));
            for instant in both.chain(limit.instants(now, i64::MAX)) {
                let (level, allowed) = (line.at(instant), limit.at(instant));
                if allowed.max(was.at(instant)) < level {
                    return Err(format!(
                        "{lane} has {level} of {allowed} at {instant}, {} before",
                        was.at(instant)
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether what the machine books is what there is, on exactly these lanes.
    pub(in super::super) fn is_booked(&self, machine: &Machine) -> Result<(), String> {
        let rated = |lane: &LaneName| {
            let mut projects = machine.projects().iter();
            projects.any(|it| {
                let quota = &it.quota;
                let limited =
                    quota.rate.is_some() || !quota.weekly.is_empty() || !quota.overrides.is_empty();
                limited && lane.as_str() == format!("projects/{}/rate", it.id)
            })
        };
        let mut lanes: BTreeMap<&LaneName, &Steps> = self.lines.iter().collect();
        for (name, lane) in machine.lanes(None) {
            let booked: Vec<(i64, u64)> =
                lane.timeline.steps().map(|(at, level)| (at.as_ms(), level)).collect();
            let counted = lanes.remove(name).map_or(&[][..], Steps::list);
            if booked != counted {
                return Err(format!("{name} books {booked:?} and has {counted:?}"));
            }
            if booked.is_empty() && name.is_quota() && !rated(name) {
                return Err(format!("{name}: nothing is booked on a quota that is there"));
            }
        }
        match lanes.into_iter().find(|(_, line)| !line.list().is_empty()) {
            Some((lane, line)) => Err(format!("{lane} has {line:?} and is not there")),
            None => Ok(()),
        }
    }
}

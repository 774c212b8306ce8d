//! What must never happen, computed from the lists of reservations alone.

use std::collections::BTreeMap;

use tidegate_core::{Change, Event, Machine, Reservation, Route};
use tidegate_policy::ReservationId;

use super::levels::{Lanes, all_into, level_at, nothing, plan_into, steps, told};
use super::net::{LANES, Net, lane, lane_name};

/// The level of each lane from each instant on.
pub(super) type Levels = Vec<Vec<(i64, u128)>>;

/// How things stood before a step.
pub(super) struct Before {
    pub(super) reservations: BTreeMap<ReservationId, Reservation>,
    /// Everything that was booked.
    pub(super) booked: Levels,
    pub(super) drained: Vec<bool>,
}

/// What each lane can carry over time.
pub(super) struct Limits {
    capacity: Vec<u64>,
    windows: Vec<Vec<(i64, i64, u32)>>,
}

impl Limits {
    pub(super) fn of(net: &Net, machine: &Machine) -> Self {
        let capacity = (0..LANES).map(|lane| net.capacity(lane)).collect();
        Self { capacity, windows: net.windows(machine) }
    }

    fn at(&self, lane: usize, instant: i64) -> u128 {
        let windows = self.windows[lane].iter();
        let open = windows.filter(|(from, to, _)| *from <= instant && instant < *to);
        let left = open.map(|window| window.2).min().unwrap_or(1_000_000);
        u128::from(self.capacity[lane]) * u128::from(left) / 1_000_000
    }

    /// By how much a level is too high, at each instant from `now` on at which that may change.
    pub(super) fn over(&self, lane: usize, levels: &[(i64, u128)], now: i64) -> Vec<(i64, u128)> {
        let edges = self.windows[lane].iter().map(|window| window.0);
        let edges = levels.iter().map(|(instant, _)| *instant).chain(edges);
        let edges = edges.filter(|instant| now < *instant).chain([now]);
        let over = edges.map(|instant| {
            (instant, level_at(levels, instant).saturating_sub(self.at(lane, instant)))
        });
        over.filter(|(_, over)| 0 < *over).collect()
    }
}

pub(super) fn stand(machine: &Machine, net: &Net, now: i64) -> Before {
    let all = machine.reservations(None).map(|found| (found.id, found.clone()));
    let reservations: BTreeMap<ReservationId, Reservation> = all.collect();
    let mut lanes = nothing();
    for found in reservations.values() {
        all_into(&mut lanes, found, (now, i64::MAX));
    }
    Before { reservations, booked: told(&lanes), drained: net.drained(machine) }
}

/// No lane is promised more than it can carry.
pub(super) fn promised_fits(machine: &Machine, limits: &Limits, now: i64) -> Result<(), String> {
    let mut lanes = nothing();
    for found in machine.reservations(None).filter(|found| found.is_live()) {
        plan_into(&mut lanes, &found.plan, (now, i64::MAX));
    }
    fits(&lanes, limits, now, "promised")
}

pub(super) fn fits(lanes: &Lanes, limits: &Limits, now: i64, what: &str) -> Result<(), String> {
    for (lane, taken) in lanes.iter().enumerate() {
        if let Some((instant, over)) = limits.over(lane, &steps(taken), now).first() {
            let name = lane_name(lane);
            return Err(format!("{name}: {over} bit/s too much {what} at {instant}"));
        }
    }
    Ok(())
}

/// Where more is booked than a lane can carry, because capacity was lost, it becomes no more.
pub(super) fn not_worse(
    (before, after): (&Before, &Before),
    limits: &Limits,
    now: i64,
) -> Result<(), String> {
    for lane in 0..LANES {
        for (instant, over) in limits.over(lane, &after.booked[lane], now) {
            let was = level_at(&before.booked[lane], instant);
            if was.saturating_sub(limits.at(lane, instant)) < over {
                let name = lane_name(lane);
                return Err(format!("{name}: {over} bit/s too much booked at {instant}"));
            }
        }
    }
    Ok(())
}

/// What is drained takes nothing new: nobody has more there than before.
pub(super) fn drained_stays((before, after): (&Before, &Before), now: i64) -> Result<(), String> {
    if !before.drained.contains(&true) {
        return Ok(());
    }
    let booked = |found: Option<&Reservation>| {
        let mut lanes = nothing();
        found.into_iter().for_each(|found| all_into(&mut lanes, found, (now, i64::MAX)));
        told(&lanes)
    };
    for (id, found) in &after.reservations {
        let was = before.reservations.get(id);
        if was == Some(found) {
            continue;
        }
        let (was, is) = (booked(was), booked(Some(found)));
        for lane in (0..LANES).filter(|lane| before.drained[*lane] && after.drained[*lane]) {
            let edges = was[lane].iter().chain(&is[lane]).map(|(instant, _)| *instant);
            for instant in edges.filter(|instant| now <= *instant) {
                if level_at(&was[lane], instant) < level_at(&is[lane], instant) {
                    let (id, name) = (id.as_u128(), lane_name(lane));
                    return Err(format!("r{id} has more of {name} at {instant}, which is drained"));
                }
            }
        }
    }
    Ok(())
}

/// Nothing that is booked between now and then is other than before.
pub(super) fn same_until(
    (before, after): (&Reservation, &Reservation),
    (now, until): (i64, i64),
) -> Result<(), String> {
    let (mut was, mut is) = (nothing(), nothing());
    all_into(&mut was, before, (now, until));
    all_into(&mut is, after, (now, until));
    if told(&was) == told(&is) {
        return Ok(());
    }
    Err(format!("r{} was changed before {until}", before.id.as_u128()))
}

/// The reservation that an event is about.
pub(super) fn about(event: &Event) -> Option<ReservationId> {
    match &event.change {
        Change::Reserved(made) => Some(made.id),
        Change::Modified(modified) => Some(modified.id),
        Change::Moved(moved) => Some(moved.id),
        Change::Settled { id }
        | Change::Confirmed { id }
        | Change::HoldExtended { id, .. }
        | Change::Closed { id, .. }
        | Change::Curtailed { id, .. } => Some(*id),
        _ => None,
    }
}

/// Those that no event is about are as they were, and each event that changes what may be sent
/// counts the version of the plan on by one.
pub(super) fn versions(
    (before, after): (&Before, &Before),
    events: &[Event],
) -> Result<(), String> {
    for (id, was) in &before.reservations {
        let Some(is) = after.reservations.get(id) else { continue };
        let of = events.iter().filter(|event| about(event) == Some(*id));
        let (mut all, mut sent) = (0, 0);
        for event in of {
            all += 1;
            sent += match &event.change {
                Change::Modified(_) | Change::Moved(_) => 1,
                Change::Closed { .. } | Change::Curtailed { .. } => 1,
                _ => 0,
            };
        }
        let metered = was.metered != is.metered;
        if all == 0 && !metered && was != is {
            return Err(format!("r{} changed, and no event says so", id.as_u128()));
        }
        if was.plan_version + sent != is.plan_version {
            let (was, is) = (was.plan_version, is.plan_version);
            return Err(format!("r{}: plan {was} became {is} by {sent} changes", id.as_u128()));
        }
    }
    Ok(())
}

/// A plan books what its rates take on its lanes.
pub(super) fn amounts((machine, net): (&Machine, &Net), found: &Reservation) -> Result<(), String> {
    for (place, way) in found.plan.ways.iter().enumerate() {
        let times: Vec<u32> = match &way.route {
            Route::Lanes(names) => {
                let count = |lane| names.iter().filter(|name| *name == lane).count();
                way.lanes.iter().map(|lane| u32::try_from(count(lane)).unwrap()).collect()
            }
            Route::Between { source, destination, via, .. } => {
                let paths = machine.topology().paths(source, via, destination).unwrap_or_default();
                let same = paths
                    .into_iter()
                    .find(|path| path.needs.iter().map(|need| &need.lane).eq(way.lanes.iter()));
                let Some(path) = same else { continue };
                path.needs.iter().map(|need| need.times).collect()
            }
        };
        for segment in found.plan.segments.iter().filter(|segment| segment.way == place) {
            let pairs = way.lanes.iter().zip(times.iter());
            let taken =
                pairs.map(|(name, times)| net.amount(lane(name), segment.rate.bps(), *times));
            if !taken.eq(segment.amounts.iter().copied()) {
                let id = found.id.as_u128();
                return Err(format!("r{id} books other amounts than its rates take: {segment:?}"));
            }
        }
    }
    Ok(())
}

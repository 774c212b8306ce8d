//! Plain arithmetic over lists of bookings: what is on a lane at each instant.

use tidegate_core::{Plan, Reservation, State};

use super::net::{LANES, lane};

/// From, to, how much, in bits per second of the lane.
pub(super) type Taken = (i64, i64, u64);

/// What is booked on each lane.
pub(super) type Lanes = Vec<Vec<Taken>>;

pub(super) fn nothing() -> Lanes {
    vec![Vec::new(); LANES]
}

/// A plan's bookings inside of a time.
pub(super) fn plan_into(lanes: &mut Lanes, plan: &Plan, (from, to): (i64, i64)) {
    for segment in &plan.segments {
        let start = segment.over.start().as_ms().max(from);
        let end = segment.over.end().as_ms().min(to);
        let way = &plan.ways[segment.way];
        for (name, amount) in way.lanes.iter().zip(&segment.amounts).filter(|_| start < end) {
            lanes[lane(name)].push((start, end, *amount));
        }
    }
}

/// Everything that a reservation books inside of a time: its terms as far as they are booked, and
/// what earlier ones leave.
pub(super) fn all_into(lanes: &mut Lanes, found: &Reservation, (from, to): (i64, i64)) {
    let until = match found.state {
        State::Held { .. } | State::Confirmed => i64::MAX,
        State::Closed { at, free_from, .. } if at < free_from => free_from.as_ms(),
        State::Closed { .. } => i64::MIN,
    };
    plan_into(lanes, &found.plan, (from.max(found.from.as_ms()), to.min(until)));
    for kept in &found.kept {
        let start = kept.over.start().as_ms().max(from);
        let end = kept.over.end().as_ms().min(to);
        if start < end {
            lanes[lane(&kept.lane)].push((start, end, kept.amount));
        }
    }
}

/// The level from each instant on at which it changes.
pub(super) fn steps(taken: &[Taken]) -> Vec<(i64, u128)> {
    let mut edges: Vec<(i64, i128)> = Vec::with_capacity(2 * taken.len());
    for (from, to, amount) in taken {
        edges.push((*from, i128::from(*amount)));
        edges.push((*to, -i128::from(*amount)));
    }
    edges.sort_unstable();
    let (mut steps, mut level): (Vec<(i64, u128)>, i128) = (Vec::new(), 0);
    let mut edges = edges.into_iter().peekable();
    while let Some((instant, change)) = edges.next() {
        level += change;
        if edges.peek().is_some_and(|(next, _)| *next == instant) {
            continue;
        }
        let level = u128::try_from(level).unwrap();
        if steps.last().map_or(0, |(_, before)| *before) != level {
            steps.push((instant, level));
        }
    }
    steps
}

pub(super) fn level_at(steps: &[(i64, u128)], instant: i64) -> u128 {
    let place = steps.partition_point(|(at, _)| *at <= instant);
    place.checked_sub(1).map_or(0, |place| steps[place].1)
}

/// What is on each lane when, one way to say it.
pub(super) fn told(lanes: &Lanes) -> Vec<Vec<(i64, u128)>> {
    lanes.iter().map(|taken| steps(taken)).collect()
}

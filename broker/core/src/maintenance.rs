//! Times in which a resource can carry less.

use std::collections::BTreeMap;

use tidegate_policy::{Interval, MaintenanceId, Resource, Timestamp};

use crate::timeline::{Imbalance, Timeline};

/// A maintenance window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Maintenance {
    /// Its identifier.
    pub id: MaintenanceId,
    /// What it is about.
    pub resource: Resource,
    /// When.
    pub over: Interval,
    /// What is left of each lane meanwhile, in parts per million of its capacity.
    pub left_ppm: u32,
    /// Why.
    pub comment: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was over, or called off; `None` while it is neither.
    pub ended: Option<Timestamp>,
}

/// A request for a maintenance window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MaintenanceAsk {
    /// What it is about.
    pub resource: Resource,
    /// The first instant; `None` means now.
    pub start: Option<Timestamp>,
    /// The first instant past it.
    pub end: Timestamp,
    /// What is to be left, in parts per million, less than all.
    pub left_ppm: u32,
    /// Why.
    pub comment: String,
    /// Takes capacity away even where it is promised.
    pub accept_losses: bool,
}

/// All of a lane, in parts per million.
pub const WHOLE_PPM: u32 = 1_000_000;

/// A window as a lane sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// When.
    pub over: Interval,
    /// What is left meanwhile, in parts per million.
    pub left_ppm: u32,
}

/// What windows take away of a lane of this capacity, in bits per second over time. Where several
/// overlap, the strongest one counts, not their sum: each says what is left, and the least holds.
///
/// # Errors
/// [`Imbalance`] never: a cut is at most the capacity.
pub fn cuts(
    capacity: u64,
    windows: impl IntoIterator<Item = Window>,
) -> Result<Timeline, Imbalance> {
    // What begins and ends at each instant; between two instants nothing changes.
    let mut edges: BTreeMap<Timestamp, Vec<(u32, bool)>> = BTreeMap::new();
    for Window { over, left_ppm } in windows {
        edges.entry(over.start()).or_default().push((left_ppm, true));
        edges.entry(over.end()).or_default().push((left_ppm, false));
    }
    let mut cuts = Timeline::default();
    let mut open: BTreeMap<u32, usize> = BTreeMap::new();
    let mut since: Option<Timestamp> = None;
    for (instant, changes) in edges {
        let over = since.and_then(|since| Interval::new(since, instant));
        if let (Some(over), Some((left_ppm, _))) = (over, open.first_key_value()) {
            cuts.book(over, taken(capacity, *left_ppm))?;
        }
        for (left_ppm, begins) in changes {
            let count = open.entry(left_ppm).or_default();
            *count = if begins { count.saturating_add(1) } else { count.saturating_sub(1) };
        }
        open.retain(|_, count| *count != 0);
        since = Some(instant);
    }
    Ok(cuts)
}

/// What is taken away where `left_ppm` is left, which rounds down.
fn taken(capacity: u64, left_ppm: u32) -> u64 {
    let millionths = u128::from(capacity).saturating_mul(left_ppm.into());
    let left = millionths.checked_div(WHOLE_PPM.into()).unwrap_or(0);
    capacity.saturating_sub(u64::try_from(left).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms).unwrap()
    }

    proptest! {
        /// At each instant the window that leaves least counts, as trying all of them finds.
        #[test]
        fn the_strongest_counts(
            windows in prop::collection::vec((0..30_i64, 1..15_i64, 0..1_000_000_u32), 0..8),
            capacity in 0..=100_000_000_000_000_000_u64,
        ) {
            let list = windows.iter().map(|(from, length, left_ppm)| {
                let over = Interval::new(at(*from), at(from + length)).unwrap();
                Window { over, left_ppm: *left_ppm }
            });
            let cuts = cuts(capacity, list).unwrap();
            for ms in 0..50 {
                let open = windows.iter().filter(|(from, length, _)| (*from..from + length).contains(&ms));
                let left = open.map(|window| window.2).min().unwrap_or(1_000_000);
                let left = u128::from(capacity) * u128::from(left) / 1_000_000;
                prop_assert_eq!(u128::from(capacity) - left, u128::from(cuts.level_at(at(ms))));
            }
        }
    }
}

//! What lanes are worth to many jobs together.
//!
//! Each job takes its cheapest way, whatever fits; lanes that are asked for too much become dearer,
//! the others cheaper, and so on for some rounds (the multiplicative weights of Garg and Koenemann
//! 2007, which come close to the dual of the linear program). What a lane costs in the later rounds
//! tells those who could go elsewhere from those who could not, which how full it is does not.

use tidegate_policy::Interval;

use super::board::Board;
use super::replan::Job;
use super::volume_of;

/// What a lane costs at first.
pub(crate) const PRICE: u64 = 1 << 16;
const CHEAPEST: u64 = PRICE >> 4;
const DEAREST: u64 = PRICE << 12;
const ROUNDS: usize = 40;

/// A lane that is asked for half of what it has keeps its price: windows are long, and what is
/// asked is not spread over them evenly.
const FAIR_PPM: u128 = 500_000;
/// One that is asked for all of it becomes dearer by a twentieth in each round.
const STEP_PPM: u128 = 10_000_000;

/// What each lane of a board costs, on which nobody of these is.
pub(crate) fn prices(bare: &Board, jobs: Vec<&Job>) -> Vec<u64> {
    let lanes = bare.lanes.len();
    let Some(all) = hull(&jobs) else { return vec![PRICE; lanes] };
    let mut used = vec![false; lanes];
    for lane in jobs.iter().flat_map(|job| &job.fan.lanes) {
        used[*lane] = true;
    }
    let used: Vec<usize> = (0..lanes).filter(|lane| used[*lane]).collect();
    let carries: Vec<u128> = used.iter().map(|lane| bare.lanes[*lane].area(all)).collect();
    let wanted: Vec<u128> = jobs.iter().map(|job| volume_of(&job.need)).collect();
    let (mut prices, mut sums) = (vec![PRICE; lanes], vec![0_u64; lanes]);
    for round in 0..ROUNDS {
        let loads = loads(&jobs, &wanted, &prices);
        for (lane, carries) in used.iter().zip(&carries) {
            let price = &mut prices[*lane];
            *price = changed(*price, loads[*lane], *carries);
            if ROUNDS <= round.saturating_mul(2) {
                sums[*lane] = sums[*lane].saturating_add(*price);
            }
        }
    }
    let later = u64::try_from(ROUNDS.div_ceil(2)).unwrap_or(1);
    for lane in used {
        prices[lane] = sums[lane].checked_div(later).unwrap_or(PRICE);
    }
    prices
}

/// What a lane costs next, of which so much is wanted and which carries so much.
fn changed(price: u64, load: u128, carries: u128) -> u64 {
    let asked = load.saturating_mul(1_000_000).checked_div(carries.max(1)).unwrap_or(0);
    let asked = asked.min(2_500_000);
    let part = |ppm: u128| {
        let part = u128::from(price).saturating_mul(ppm).checked_div(STEP_PPM).unwrap_or(0);
        u64::try_from(part).unwrap_or(u64::MAX)
    };
    let next = match asked.checked_sub(FAIR_PPM) {
        Some(over) => price.saturating_add(part(over)),
        None => price.saturating_sub(part(FAIR_PPM.saturating_sub(asked))),
    };
    next.clamp(CHEAPEST, DEAREST)
}

/// What is wanted of each lane, if everybody takes its cheapest way.
fn loads(jobs: &[&Job], wanted: &[u128], prices: &[u64]) -> Vec<u128> {
    let mut loads = vec![0_u128; prices.len()];
    for (job, wanted) in jobs.iter().zip(wanted) {
        let cheapest = job.fan.ways.iter().min_by_key(|way| {
            let lanes = way.iter().map(|it| prices[job.fan.lanes[it.lane]]);
            lanes.fold(0, u64::saturating_add)
        });
        for crossing in cheapest.into_iter().flatten() {
            let load = &mut loads[job.fan.lanes[crossing.lane]];
            *load = load.saturating_add(*wanted);
        }
    }
    loads
}

/// From the first start to the last end.
fn hull(jobs: &[&Job]) -> Option<Interval> {
    let start = jobs.iter().map(|job| job.window.start()).min()?;
    let end = jobs.iter().map(|job| job.window.end()).max()?;
    Interval::new(start, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_that_is_wanted_more_becomes_dearer_and_never_free() {
        assert!(PRICE < changed(PRICE, 10, 10));
        assert!(changed(PRICE, 1, 10) < PRICE);
        assert_eq!(changed(PRICE, 5, 10), PRICE);
        let many = |load| (0..10_000).fold(PRICE, |price, _| changed(price, load, 10));
        assert_eq!((many(0), many(1000)), (CHEAPEST, DEAREST));
    }
}

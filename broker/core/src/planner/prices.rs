//! What lanes are worth to many jobs together.
//!
//! Each job takes its cheapest way, whatever fits; lanes that are asked for too much become dearer,
//! the others cheaper, and so on for some rounds (the multiplicative weights of Garg and Koenemann
//! 2007, which come close to the dual of the linear program). What a lane costs in the later rounds
//! tells those who could go elsewhere from those who could not, which how full it is does not.

use std::collections::BTreeMap;

use super::replan::{Ground, Job, hull};
use super::{Crossing, Fan, volume_of};

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

/// What each lane costs where all of these could be: some who are homeless, and some who settled.
pub(crate) fn prices<G: Ground>(ground: &G, homeless: &[&Job], settled: &[&Job]) -> Vec<u64> {
    let (mut prices, mut sums) = (vec![PRICE; ground.lanes()], vec![0_u64; ground.lanes()]);
    let carries = carries(ground, homeless, settled);
    let wanted = wanted(homeless.iter().chain(settled));
    for round in 0..ROUNDS {
        let loads = loads(&wanted, &prices);
        for (lane, carries) in &carries {
            let price = &mut prices[*lane];
            *price = changed(*price, loads[*lane], *carries);
            if ROUNDS <= round.saturating_mul(2) {
                sums[*lane] = sums[*lane].saturating_add(*price);
            }
        }
    }
    let later = u64::try_from(ROUNDS.div_ceil(2)).unwrap_or(1);
    for (lane, _) in carries {
        prices[lane] = sums[lane].checked_div(later).unwrap_or(PRICE);
    }
    prices
}

/// What each lane that any of these may take carries for them, in bits per second times
/// milliseconds: what is free there, and what they have there now.
fn carries<G: Ground>(ground: &G, homeless: &[&Job], settled: &[&Job]) -> Vec<(usize, u128)> {
    let all = homeless.iter().chain(settled).copied();
    let Some(over) = hull(all.clone()) else { return Vec::new() };
    let mut carries: Vec<Option<u128>> = vec![None; ground.lanes()];
    for lane in all.flat_map(|job| &job.fan.lanes) {
        carries[*lane].get_or_insert(0);
    }
    for job in settled {
        for piece in &job.present {
            for crossing in &job.fan.ways[piece.way] {
                let amount = crossing.factor.amount(piece.rate);
                let area = u128::from(amount).saturating_mul(piece.over.span().as_ms().into());
                let carries = carries[job.fan.lanes[crossing.lane]].get_or_insert(0);
                *carries = carries.saturating_add(area);
            }
        }
    }
    let used = carries.into_iter().enumerate();
    let used =
        used.filter_map(|(lane, own)| Some((lane, own?.saturating_add(ground.area(lane, over)))));
    used.collect()
}

/// How much all those want that have the same ways.
fn wanted<'a>(jobs: impl Iterator<Item = &'a &'a Job>) -> Vec<(&'a Fan<usize>, u128)> {
    let mut wanted: BTreeMap<&Fan<usize>, u128> = BTreeMap::new();
    for job in jobs {
        let sum = wanted.entry(&job.fan).or_default();
        *sum = sum.saturating_add(volume_of(&job.need));
    }
    wanted.into_iter().collect()
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
fn loads(wanted: &[(&Fan<usize>, u128)], prices: &[u64]) -> Vec<u128> {
    let mut loads = vec![0_u128; prices.len()];
    for (fan, wanted) in wanted {
        let cost = |way: &&Vec<Crossing>| {
            let lanes = way.iter().map(|it| prices[fan.lanes[it.lane]]);
            lanes.fold(0, u64::saturating_add)
        };
        for crossing in fan.ways.iter().min_by_key(cost).into_iter().flatten() {
            let load = &mut loads[fan.lanes[crossing.lane]];
            *load = load.saturating_add(*wanted);
        }
    }
    loads
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

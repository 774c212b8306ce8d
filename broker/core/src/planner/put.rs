//! The first place of one job on a board, over the cheapest ways first.

use super::board::Board;
use super::fill::{Choice, fill};
use super::place::place;
use super::prices::PRICE;
use super::replan::{Budget, Job};
use super::{Need, Piece, Volume};

/// Ways that cost this much of the cheapest are taken with it, in percent; dearer ones only if it
/// does not fit there.
const ABOUT_AS_CHEAP: u64 = 120;

/// The first place of a job on a board that has all of its lanes, which cost so much. `steps`
/// counts what was looked at, in pieces of time.
pub(crate) fn put(
    board: &Board,
    job: &Job,
    prices: &[u64],
    budget: &Budget,
    steps: &mut u64,
) -> Option<Vec<Piece>> {
    match &job.need {
        Need::Steady(steady) => {
            let piece = place(board, &job.fan, steady, job.window, steps)?;
            Some(vec![piece])
        }
        Need::Volume(volume) => {
            let (order, few) = by_cost(job, prices);
            let mut among =
                |order: &[usize]| put_volume(board, (job, volume), order, (budget, steps));
            let found = among(&order[..few]);
            if found.is_some() || few == order.len() { found } else { among(&order) }
        }
    }
}

/// The same where all lanes cost the same.
pub(crate) fn put_alone(board: &Board, job: &Job, budget: &Budget) -> Option<Vec<Piece>> {
    put(board, job, &vec![PRICE; board.lanes()], budget, &mut 0)
}

fn put_volume(
    board: &Board,
    (job, volume): (&Job, &Volume),
    order: &[usize],
    (budget, steps): (&Budget, &mut u64),
) -> Option<Vec<Piece>> {
    let read = |lane: usize, from| board.read(job.fan.lanes[lane], from);
    let choice = Choice { ways: &job.fan.ways, order, exact: false };
    fill(read, choice, (volume, job.window), budget.segments_max, steps)
}

/// The ways by what their lanes cost together, and how many are about as cheap as the first.
fn by_cost(job: &Job, prices: &[u64]) -> (Vec<usize>, usize) {
    let cost = |place: &usize| -> u64 {
        let lanes = job.fan.ways[*place].iter().map(|it| prices[job.fan.lanes[it.lane]]);
        lanes.fold(0, u64::saturating_add)
    };
    let costs = job.fan.order().into_iter().map(|place| (cost(&place), place));
    let mut costs: Vec<(u64, usize)> = costs.collect();
    costs.sort_unstable();
    let cheap = costs.first().map_or(0, |(cost, _)| cost.saturating_mul(ABOUT_AS_CHEAP));
    let few = costs.iter().filter(|(cost, _)| cost.saturating_mul(100) <= cheap).count();
    (costs.into_iter().map(|(_, place)| place).collect(), few)
}

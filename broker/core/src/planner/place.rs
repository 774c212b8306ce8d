//! Finds a constant rate its earliest place.

use tidegate_policy::{BitRate, Interval, Timestamp};

use super::board::Board;
use super::{Crossing, Fan, Piece, Steady};

/// The earliest place within a window, on the first way that has it, and there the highest rate
/// that is of use.
pub(crate) fn place(
    board: &Board,
    fan: &Fan<usize>,
    steady: &Steady,
    window: Interval,
    steps: &mut u64,
) -> Option<Piece> {
    let latest = window.end().minus(steady.span);
    let mut best: Option<(Timestamp, usize)> = None;
    for index in 0..fan.ways.len() {
        let limit = best.map_or(latest, |(start, _)| start.min(latest));
        let start = earliest((board, fan, index), steady, (window.start(), limit), steps);
        if let Some(start) = start
            && best.is_none_or(|(best, _)| start < best)
        {
            best = Some((start, index));
            if start == window.start() {
                break;
            }
        }
    }
    let (start, way) = best?;
    let over = Interval::new(start, start.plus(steady.span))?;
    let low = fan.ways[way].iter().map(|crossing| {
        let low = board.lane(fan.lanes[crossing.lane]).map_or(0, |lane| lane.low(over));
        crossing.factor.rate_within(low)
    });
    let rate = low.min().unwrap_or(BitRate::ZERO).min(steady.max);
    Some(Piece { way, over, rate })
}

/// The earliest start on one way.
fn earliest(
    (board, fan, way): (&Board, &Fan<usize>, usize),
    steady: &Steady,
    (from, latest): (Timestamp, Timestamp),
    steps: &mut u64,
) -> Option<Timestamp> {
    leap_frog(&fan.ways[way], (from, latest), |crossing: &Crossing, candidate| {
        *steps = steps.saturating_add(1);
        let lane = board.lane(fan.lanes[crossing.lane])?;
        lane.earliest(candidate, latest, steady.span, crossing.factor.amount(steady.min))
    })
}

/// The earliest start on several lanes together: each in turn moves the candidate on to the
/// `earliest` that it has from there, until none does any more.
pub(crate) fn leap_frog<L>(
    lanes: &[L],
    (from, latest): (Timestamp, Timestamp),
    mut earliest: impl FnMut(&L, Timestamp) -> Option<Timestamp>,
) -> Option<Timestamp> {
    let (mut candidate, mut agreed) = (from, 0_usize);
    if latest < candidate {
        return None;
    }
    for lane in lanes.iter().cycle() {
        if lanes.len() <= agreed {
            break;
        }
        let start = earliest(lane, candidate)?;
        agreed = if start == candidate { agreed.saturating_add(1) } else { 1 };
        candidate = start;
    }
    Some(candidate)
}

//! Finds a constant rate its earliest place.

use tidegate_policy::{BitRate, Interval, Timestamp};

use super::board::{Board, Steps};
use super::{Fan, Piece, Steady};

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
        crossing.factor.rate_within(board.lanes[fan.lanes[crossing.lane]].low(over))
    });
    let rate = low.min().unwrap_or(BitRate::ZERO).min(steady.max);
    Some(Piece { way, over, rate })
}

/// The earliest start on one way, by leap-frog: each lane in turn moves the candidate on, until
/// none does any more.
fn earliest(
    (board, fan, way): (&Board, &Fan<usize>, usize),
    steady: &Steady,
    (from, latest): (Timestamp, Timestamp),
    steps: &mut u64,
) -> Option<Timestamp> {
    let (mut candidate, way) = (from, &fan.ways[way]);
    if latest < candidate {
        return None;
    }
    let mut agreed = 0_usize;
    for crossing in way.iter().cycle() {
        if way.len() <= agreed {
            break;
        }
        let lane = &board.lanes[fan.lanes[crossing.lane]];
        let amount = crossing.factor.amount(steady.min);
        let mut cursor = lane.from(candidate);
        let mut start = candidate;
        loop {
            *steps = steps.saturating_add(1);
            if cursor.level() < amount {
                start = cursor.next()?;
                if latest < start {
                    return None;
                }
            } else if cursor.next().is_none_or(|next| start.plus(steady.span) <= next) {
                break;
            }
            cursor.advance();
        }
        agreed = if start == candidate { agreed.saturating_add(1) } else { 1 };
        candidate = start;
    }
    Some(candidate)
}

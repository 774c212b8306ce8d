//! Leaves out of a plan what loses least, until it has no more segments than it may.
//!
//! A segment is dropped, or comes down to the rate of the one that it touches on the same way, which
//! joins the two: rates only fall, so whatever fitted still does. Each time the one is chosen that
//! loses the least volume, of equals the last; which is not the least for several together.

use tidegate_policy::{BitRate, Interval, Timestamp};

use super::Piece;
use crate::plan::carried;

/// Something that saves a segment.
#[derive(Clone, Copy)]
enum Saving {
    Drop(usize),
    /// The first ends where the second begins.
    Join(usize, usize),
}

/// Makes pieces, in the order of their starts, so few; what that loses, in bits per second times
/// milliseconds. `None` if it is not possible without less than `min` somewhere, but not nothing.
pub(super) fn thin(pieces: &mut Vec<Piece>, most: usize, min: BitRate) -> Option<u128> {
    let mut lost = 0_u128;
    while most < pieces.len() {
        let (loss, saving) = cheapest(pieces, min)?;
        lost = lost.saturating_add(loss);
        match saving {
            Saving::Drop(place) => {
                pieces.remove(place);
            }
            Saving::Join(first, second) => {
                let second = pieces.remove(second);
                let first = &mut pieces[first];
                first.rate = first.rate.min(second.rate);
                first.over = first.over.hull(second.over);
            }
        }
    }
    Some(lost)
}

fn cheapest(pieces: &[Piece], min: BitRate) -> Option<(u128, Saving)> {
    let mut best: Option<(u128, Saving)> = None;
    let mut offer = |loss: u128, saving, lowered: (usize, u64)| {
        let is_better = best.is_none_or(|(least, _)| loss <= least);
        let dropped = matches!(saving, Saving::Drop(_));
        if is_better && lowered.1 <= slack(pieces, lowered.0, min, dropped) {
            best = Some((loss, saving));
        }
    };
    for (place, piece) in pieces.iter().enumerate() {
        offer(carried(piece.rate, piece.over), Saving::Drop(place), (place, piece.rate.bps()));
        let mut later = pieces.iter().enumerate().skip(place.saturating_add(1));
        let next = later.find(|(_, it)| it.way == piece.way);
        let Some((second, next)) = next.filter(|(_, it)| it.over.start() == piece.over.end())
        else {
            continue;
        };
        let (higher, lower) =
            if piece.rate < next.rate { (second, place) } else { (place, second) };
        let (high, low) = (&pieces[higher], &pieces[lower]);
        let less = high.rate.bps().saturating_sub(low.rate.bps());
        let rate = BitRate::from_bps(less).unwrap_or(BitRate::MAX);
        offer(carried(rate, high.over), Saving::Join(place, second), (higher, less));
    }
    best
}

/// Whether a piece can go without less than `min` at any instant, but not nothing.
pub(super) fn is_spare(pieces: &[Piece], place: usize, min: BitRate) -> bool {
    pieces[place].rate.bps() <= slack(pieces, place, min, true)
}

/// By how much a piece can come down without less than `min` at any instant of it; by all of it
/// where it is alone and may be `dropped`.
fn slack(pieces: &[Piece], place: usize, min: BitRate, dropped: bool) -> u64 {
    let piece = &pieces[place];
    if min.bps() <= 1 {
        // No rate at all is no rate that is too low.
        return piece.rate.bps();
    }
    let others = || pieces.iter().enumerate().filter(|(other, _)| *other != place);
    let on = others().filter(|(_, it)| it.over.overlaps(piece.over));
    let on: Vec<(Interval, u64)> = on.map(|(_, it)| (it.over, it.rate.bps())).collect();
    if on.is_empty() && dropped {
        return piece.rate.bps();
    }
    let starts = on.iter().flat_map(|(over, _)| [over.start(), over.end()]);
    let inside =
        |instant: &Timestamp| piece.over.start() <= *instant && *instant < piece.over.end();
    let instants = starts.chain([piece.over.start()]).filter(inside);
    let beside = |instant: Timestamp| {
        let at = on.iter().filter(|(over, _)| over.start() <= instant && instant < over.end());
        at.fold(0, |sum: u64, (_, rate)| sum.saturating_add(*rate))
    };
    let spare = instants.map(|instant| {
        let total = beside(instant).saturating_add(piece.rate.bps());
        total.saturating_sub(min.bps()).min(piece.rate.bps())
    });
    spare.min().unwrap_or(0)
}

/// Takes `surplus` off the end of pieces, and of the rate of the last ones what is less than a
/// millisecond of them.
pub(super) fn cut(pieces: &mut Vec<Piece>, mut surplus: u128, min: BitRate) {
    while let Some(end) = pieces.iter().map(|it| it.over.end()).max() {
        let edges = pieces.iter().flat_map(|it| [it.over.start(), it.over.end()]);
        let Some(last) = edges.filter(|edge| *edge < end).max() else { return };
        let ending = pieces.iter().filter(|it| it.over.end() == end);
        let total = ending.fold(0, |sum: u128, it| sum.saturating_add(it.rate.bps().into()));
        let Some(over) = Interval::new(last, end) else { return };
        let whole = total.saturating_mul(over.span().as_ms().into());
        let until = if whole <= surplus {
            surplus = surplus.saturating_sub(whole);
            last
        } else {
            let ms = surplus.checked_div(total).unwrap_or(0);
            surplus = surplus.saturating_sub(total.saturating_mul(ms));
            let ms = i64::try_from(ms).unwrap_or(0);
            Timestamp::from_ms(end.as_ms().saturating_sub(ms)).unwrap_or(end)
        };
        pieces.retain_mut(|it| {
            let kept = Interval::new(it.over.start(), it.over.end().min(until));
            it.over = kept.unwrap_or(it.over);
            kept.is_some()
        });
        if until != last {
            trim(pieces, until, surplus, min);
            return;
        }
    }
}

/// Lowers the rates of what ends last, from the last piece on.
fn trim(pieces: &mut Vec<Piece>, end: Timestamp, mut surplus: u128, min: BitRate) {
    for place in (0..pieces.len()).rev() {
        let piece = pieces[place];
        if piece.over.end() != end {
            continue;
        }
        let ms = u128::from(piece.over.span().as_ms());
        let less = u64::try_from(surplus.checked_div(ms).unwrap_or(0)).unwrap_or(u64::MAX);
        let less = less.min(slack(pieces, place, min, false));
        let rate = piece.rate.bps().saturating_sub(less);
        surplus = surplus.saturating_sub(ms.saturating_mul(less.into()));
        pieces[place].rate = BitRate::from_bps(rate).unwrap_or(piece.rate);
    }
    pieces.retain(|piece| piece.rate != BitRate::ZERO);
}

//! Moves a volume as soon as possible: in each piece of time as much as the ways carry together,
//! shortest first, until all of it has moved.
//!
//! With rates that may change at any instant, taking the most that can be had as early as it can
//! be had finishes first (Lin and Wu 2013 call it variable path, variable bandwidth; without a
//! cost of switching it is a flow in each interval). Breakpoints are those of the lanes, so the
//! result is exact to the millisecond, unless that takes more segments than a plan may have: then
//! what loses least is left out or joined with its neighbour ([`thin`](super::thin)), and moved
//! later. Segments that bring the end forward by no more than a millisecond together are left out.

use tidegate_policy::{BitRate, Interval, Timestamp};

use super::board::Free;
use super::split::Splitter;
use super::thin::{cut, is_spare, thin};
use super::{Crossing, Piece, Volume};
use crate::plan::carried;

/// The ways that may be taken: all of a fan, and which of them in which order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice<'w> {
    pub(crate) ways: &'w [Vec<Crossing>],
    /// Places, best first.
    pub(crate) order: &'w [usize],
    /// Several at once carry the most that they can; else each in turn what those before it leave,
    /// which takes fewer detours.
    pub(crate) exact: bool,
}

/// Fills the window over some ways, whose lanes `read` reads by their places in the fan, from some
/// instant on. `steps` counts what was looked at, in pieces of time.
///
/// `None` if it does not fit.
pub(crate) fn fill<'s>(
    read: impl Fn(usize, Timestamp) -> Free<'s>,
    choice: Choice<'_>,
    (volume, window): (&Volume, Interval),
    segments_max: usize,
    steps: &mut u64,
) -> Option<Vec<Piece>> {
    let mut filling = Filling::new(&read, choice, volume, segments_max);
    filling.run(window, volume, steps).then_some(filling.pieces)
}

/// The most that [`fill`] finds a place for inside of a window, in bits per second times
/// milliseconds: of less, too.
pub(crate) fn most<'s>(
    read: impl Fn(usize, Timestamp) -> Free<'s>,
    choice: Choice<'_>,
    (volume, window): (&Volume, Interval),
    segments_max: usize,
) -> u128 {
    let endless = Volume { need: u128::MAX, ..*volume };
    let mut filling = Filling::new(&read, choice, &endless, segments_max);
    filling.run(window, &endless, &mut 0);
    filling.held
}

struct Filling<'w, 's, R> {
    read: R,
    /// The lanes that are read, by their places in the fan.
    lanes: Vec<(usize, Free<'s>)>,
    /// When what is free on each of them changes.
    nexts: Vec<Timestamp>,
    splitter: Splitter<'w>,
    pieces: Vec<Piece>,
    /// What they carry.
    held: u128,
    segments_max: usize,
}

impl<'w, 's, R: Fn(usize, Timestamp) -> Free<'s>> Filling<'w, 's, R> {
    fn new(read: R, choice: Choice<'w>, volume: &Volume, segments_max: usize) -> Self {
        let splitter = Splitter::new(choice, volume);
        let (lanes, nexts, pieces, held) = (Vec::new(), Vec::new(), Vec::new(), 0);
        Self { read, lanes, nexts, splitter, pieces, held, segments_max }
    }

    /// Whether all of it has moved before the window ends. What is held grows from one piece of
    /// time to the next, by the same steps whatever the need: so what is held at the end says how
    /// much would have fitted.
    fn run(&mut self, window: Interval, volume: &Volume, steps: &mut u64) -> bool {
        let mut here = window.start();
        while here < window.end() {
            *steps = steps.saturating_add(1);
            if self.most_at(here, window, volume.max) == BitRate::ZERO {
                here = self.skip();
                continue;
            }
            let Some(over) = self.next_piece(here, window.end()) else { break };
            let total = self.splitter.total();
            if volume.min <= total {
                let left = volume.need.saturating_sub(self.held);
                if left <= carried(total, over) && self.finish(left, over, volume.min) {
                    return true;
                }
                self.take(over, volume.min);
                if volume.need <= self.held {
                    cut(&mut self.pieces, self.held.saturating_sub(volume.need), volume.min);
                    return true;
                }
            }
            here = over.end();
            self.look(here);
        }
        false
    }

    /// Takes all that can be had, as far as there are segments for it.
    fn take(&mut self, over: Interval, min: BitRate) {
        let more = carried(self.splitter.total(), over);
        if !self.is_near_full() {
            self.push(over);
            self.held = self.held.saturating_add(more);
            return;
        }
        let before = self.pieces.clone();
        self.push(over);
        let held = self.held.saturating_add(more);
        let lost = thin(&mut self.pieces, self.segments_max, min);
        match lost.filter(|lost| *lost <= more) {
            Some(lost) => self.held = held.saturating_sub(lost),
            None => self.pieces = before,
        }
    }

    /// Whether one more piece of time may take more segments than there may be.
    fn is_near_full(&self) -> bool {
        self.segments_max < self.pieces.len().saturating_add(self.splitter.rates.len())
    }

    /// The most that can be had now. The lanes of a way are read only once those before it do not
    /// carry all that is of use.
    fn most_at(&mut self, here: Timestamp, window: Interval, max: BitRate) -> BitRate {
        let mut total = self.splitter.split();
        while total < max && self.open(here, window.end()) {
            total = self.splitter.split();
        }
        total
    }

    /// Reads one more way; whether there was one.
    fn open(&mut self, here: Timestamp, end: Timestamp) -> bool {
        let Some(way) = self.splitter.open() else { return false };
        for crossing in way {
            if self.lanes.iter().all(|(lane, _)| *lane != crossing.lane) {
                let free = (self.read)(crossing.lane, here);
                let free = free.seen(self.splitter.bounds(crossing.lane), end);
                self.splitter.set(crossing.lane, free.level());
                self.nexts.push(free.next());
                self.lanes.push((crossing.lane, free));
            }
        }
        true
    }

    /// Where every way is closed, reads on to when one may be open.
    fn skip(&mut self) -> Timestamp {
        let change = |lane: usize| {
            let at = self.lanes.iter().position(|(place, _)| *place == lane);
            at.map_or(Timestamp::MAX, |at| self.nexts[at])
        };
        let opens = self.splitter.opens(change);
        for ((lane, free), next) in self.lanes.iter_mut().zip(&mut self.nexts) {
            free.skip(opens);
            *next = free.next();
            self.splitter.set(*lane, free.level());
        }
        opens
    }

    /// The time until something changes.
    fn next_piece(&self, here: Timestamp, end: Timestamp) -> Option<Interval> {
        let next = self.nexts.iter().copied().fold(end, Timestamp::min);
        Interval::new(here, next)
    }

    /// Tells the splitter what is free from `here` on.
    fn look(&mut self, here: Timestamp) {
        for ((lane, free), next) in self.lanes.iter_mut().zip(&mut self.nexts) {
            if *next == here {
                free.advance();
                *next = free.next();
                self.splitter.set(*lane, free.level());
            }
        }
    }

    /// What is left, as late a start as it takes and at no higher a rate than it takes. Nothing
    /// happens if that takes more segments than there may be.
    fn finish(&mut self, left: u128, over: Interval, min: BitRate) -> bool {
        let before =
            self.is_near_full().then(|| (self.pieces.clone(), self.splitter.rates.clone()));
        let left = self.without_crumbs(left, over, min);
        let ms = left.div_ceil(self.splitter.total().bps().max(1).into());
        let end = i64::try_from(ms).ok().and_then(|ms| over.start().as_ms().checked_add(ms));
        let end = end.and_then(Timestamp::from_ms).unwrap_or(over.end());
        let enough = u64::try_from(left.div_ceil(ms.max(1))).unwrap_or(u64::MAX);
        self.splitter.trim(enough.max(min.bps()));
        if let Some(over) = Interval::new(over.start(), end) {
            self.push(over);
        }
        match before {
            Some((pieces, rates)) if self.segments_max < self.pieces.len() => {
                (self.pieces, self.splitter.rates) = (pieces, rates);
                false
            }
            _ => true,
        }
    }

    /// Leaves out segments that bring the end forward by no more than a millisecond together, as long
    /// as the volume is moved inside of `over`; what is left then. A plan whose last rate was rounded
    /// leaves no more than that of a lane, so the next one would otherwise book a bit or two for
    /// minutes.
    fn without_crumbs(&mut self, mut left: u128, over: Interval, min: BitRate) -> u128 {
        let total = self.splitter.total();
        let most = left.saturating_add(total.bps().into()).min(carried(total, over));
        let mut place = 0;
        while let Some(piece) = self.pieces.get(place).copied() {
            let more = left.saturating_add(carried(piece.rate, piece.over));
            let goes_on = piece.over.end() == over.start()
                && self.splitter.rates.get(piece.way) == Some(&piece.rate.bps());
            if more <= most && !goes_on && is_spare(&self.pieces, place, min) {
                self.pieces.remove(place);
                left = more;
            } else {
                place = place.saturating_add(1);
            }
        }
        left
    }

    fn push(&mut self, over: Interval) {
        for (way, bps) in self.splitter.rates.iter().enumerate() {
            let Some(rate) = BitRate::from_bps(*bps).filter(|rate| *rate != BitRate::ZERO) else {
                continue;
            };
            // The last ones are a way each: a piece before them ended before this one starts.
            let recent =
                self.pieces.iter_mut().rev().take(self.splitter.rates.len().saturating_mul(2));
            let before = recent.into_iter().find(|it| it.way == way);
            match before {
                Some(before) if before.over.end() == over.start() && before.rate == rate => {
                    before.over = Interval::new(before.over.start(), over.end()).unwrap_or(over);
                }
                _ => self.pieces.push(Piece { way, over, rate }),
            }
        }
    }
}

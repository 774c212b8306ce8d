//! Moves a volume as soon as possible: in each piece of time as much as the ways carry together,
//! shortest first, until all of it has moved.
//!
//! With rates that may change at any instant, taking the most that can be had as early as it can
//! be had finishes first (Lin and Wu 2013 call it variable path, variable bandwidth; without a
//! cost of switching it is a flow in each interval). Breakpoints are those of the lanes, so the
//! result is exact to the millisecond, unless that takes more segments than a plan may have: then
//! short pieces are read as the lowest of what they hold, ever longer ones until it fits.

use tidegate_policy::{BitRate, Interval, Timestamp};

use super::board::Free;
use super::split::Splitter;
use super::{Crossing, Piece, Volume};
use crate::plan::carried;

/// How often the length of the shortest piece is doubled before it is given up.
const COARSER_MAX: usize = 34;

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
    for shortest in coarser() {
        let mut filling = Filling::new(&read, choice, volume, (shortest, segments_max));
        match filling.run(window, volume, steps) {
            Filled::All => return Some(filling.pieces),
            // Coarser pieces begin and end elsewhere: one grain says nothing of the next.
            Filled::Short if shortest == 0 => return None,
            Filled::Short | Filled::Crowded => {}
        }
    }
    None
}

/// The most that a plan of so many segments carries inside of a window, in bits per second times
/// milliseconds.
pub(crate) fn most<'s>(
    read: impl Fn(usize, Timestamp) -> Free<'s>,
    choice: Choice<'_>,
    (volume, window): (&Volume, Interval),
    segments_max: usize,
) -> u128 {
    let endless = Volume { need: u128::MAX, ..*volume };
    for shortest in coarser() {
        let mut filling = Filling::new(&read, choice, &endless, (shortest, segments_max));
        match filling.run(window, &endless, &mut 0) {
            Filled::Crowded => {}
            Filled::All | Filled::Short => return u128::MAX.saturating_sub(filling.left),
        }
    }
    0
}

/// The shortest pieces of time that are looked at by themselves, in milliseconds, ever longer.
fn coarser() -> impl Iterator<Item = i64> {
    let doubled = |shortest: &i64| shortest.checked_mul(2);
    let longer = std::iter::successors(Some(16_i64), doubled).take(COARSER_MAX);
    std::iter::once(0).chain(longer)
}

enum Filled {
    All,
    /// The window ends before all of it has moved.
    Short,
    /// It takes more segments than are allowed.
    Crowded,
}

struct Filling<'w, 's, R> {
    read: R,
    /// The lanes that are read, by their places in the fan.
    lanes: Vec<(usize, Free<'s>)>,
    /// When what is free on each of them changes.
    nexts: Vec<Timestamp>,
    splitter: Splitter<'w>,
    pieces: Vec<Piece>,
    left: u128,
    /// The shortest piece of time that is looked at by itself, in milliseconds.
    shortest: i64,
    segments_max: usize,
}

impl<'w, 's, R: Fn(usize, Timestamp) -> Free<'s>> Filling<'w, 's, R> {
    fn new(
        read: R,
        choice: Choice<'w>,
        volume: &Volume,
        (shortest, segments_max): (i64, usize),
    ) -> Self {
        let splitter = Splitter::new(choice, volume);
        let (lanes, nexts, pieces, left) = (Vec::new(), Vec::new(), Vec::new(), volume.need);
        Self { read, lanes, nexts, splitter, pieces, left, shortest, segments_max }
    }

    fn run(&mut self, window: Interval, volume: &Volume, steps: &mut u64) -> Filled {
        let mut here = window.start();
        // Where short pieces of time are joined, what is free later counts too.
        let joins = self.shortest != 0;
        while joins && self.open(here, window.end()) {}
        while here < window.end() {
            *steps = steps.saturating_add(1);
            if !joins && self.most_at(here, window, volume.max) == BitRate::ZERO {
                here = self.skip();
                continue;
            }
            let Some(over) = self.next_piece(here, window.end()) else { break };
            let total = if joins { self.splitter.split() } else { self.splitter.total() };
            if BitRate::ZERO < total && volume.min <= total {
                if self.left <= carried(total, over) {
                    self.finish(over, total, volume.min);
                    return self.checked();
                }
                self.left = self.left.saturating_sub(carried(total, over));
                self.push(over);
                if self.segments_max < self.pieces.len() {
                    return Filled::Crowded;
                }
            }
            here = over.end();
            self.look(here);
        }
        Filled::Short
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

    fn checked(&self) -> Filled {
        if self.segments_max < self.pieces.len() { Filled::Crowded } else { Filled::All }
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

    /// The time until something changes. Where that is too short, reads on and tells the splitter
    /// the least that is free until then.
    fn next_piece(&mut self, here: Timestamp, end: Timestamp) -> Option<Interval> {
        let least = here.as_ms().saturating_add(self.shortest);
        loop {
            let next = self.nexts.iter().copied().fold(end, Timestamp::min);
            if next == end || least <= next.as_ms() {
                return Interval::new(here, next);
            }
            for ((lane, free), at) in self.lanes.iter_mut().zip(&mut self.nexts) {
                if *at == next {
                    free.advance();
                    *at = free.next();
                    self.splitter.lower(*lane, free.level());
                }
            }
        }
    }

    /// Tells the splitter what is free from `here` on.
    fn look(&mut self, here: Timestamp) {
        for ((lane, free), next) in self.lanes.iter_mut().zip(&mut self.nexts) {
            if *next == here {
                free.advance();
                *next = free.next();
                self.splitter.set(*lane, free.level());
            } else if self.shortest != 0 {
                self.splitter.set(*lane, free.level());
            }
        }
    }

    /// What is left, as late a start as it takes and at no higher a rate than it takes.
    fn finish(&mut self, over: Interval, total: BitRate, min: BitRate) {
        let ms = self.left.div_ceil(total.bps().into());
        let end = i64::try_from(ms).ok().and_then(|ms| over.start().as_ms().checked_add(ms));
        let end = end.and_then(Timestamp::from_ms).unwrap_or(over.end());
        let enough = u64::try_from(self.left.div_ceil(ms.max(1))).unwrap_or(u64::MAX);
        self.splitter.trim(enough.max(min.bps()));
        if let Some(over) = Interval::new(over.start(), end) {
            self.push(over);
        }
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

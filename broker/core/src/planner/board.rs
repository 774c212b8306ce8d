//! What is free on some lanes over time, to try things on.

use tidegate_policy::{Interval, Span, Timestamp};

use super::{Crossing, Fan, Piece};
use crate::timeline::{Cursor, Timeline};

/// What is free on a lane; by default it carries nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Profile {
    /// What can be booked in all, in bits per second of the lane.
    capacity: u64,
    /// What is booked; more than the capacity where that was lost.
    load: Timeline,
    /// It takes nothing new: whoever is on it stays or leaves.
    closed: bool,
}

/// What is free on those lanes that somebody looks at, by their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    lanes: Vec<Option<Seen>>,
    /// Nobody looks at anything outside.
    over: Interval,
}

/// A lane that somebody looks at.
#[derive(Clone, Debug)]
struct Seen {
    profile: Profile,
    /// When somebody looks at it. What lies outside of that altogether is taken from nobody.
    over: Interval,
}

impl Profile {
    pub(crate) fn new(capacity: u64, load: Timeline) -> Self {
        Self { capacity, load, closed: false }
    }

    /// The same, or one that takes nothing new.
    pub(crate) fn closed(self, closed: bool) -> Self {
        Self { closed, ..self }
    }

    /// The same with room at each instant for all that stands on it then, and for no more: a quota that
    /// was cut below its use takes nothing from those who have it.
    pub(crate) fn at_least_its_load(self) -> Self {
        let whole = self.load.peak(Interval::ALL);
        let Some(past) = whole.checked_sub(self.capacity).filter(|past| *past != 0) else {
            return self;
        };
        let mut load = Timeline::default();
        for (piece, level) in self.load.pieces(Interval::ALL) {
            let booked = load.book(piece, level.saturating_add(past).min(whole));
            debug_assert!(booked.is_ok(), "each piece is booked once");
        }
        Self { capacity: whole, load, ..self }
    }

    /// What is free for something new from `instant` on.
    fn read(&self, instant: Timestamp) -> Free<'_> {
        Free::new(self.open_capacity(), self.load.cursor(instant))
    }

    /// The first start from `after` to `latest` from which `amount` is free for something new for
    /// all of `span`.
    pub(crate) fn earliest(
        &self,
        after: Timestamp,
        latest: Timestamp,
        span: Span,
        amount: u64,
    ) -> Option<Timestamp> {
        earliest((self.open_capacity(), &self.load), (after, latest), span, amount)
    }

    /// The least that is left at one instant of `over`.
    pub(crate) fn low(&self, over: Interval) -> u64 {
        self.capacity.saturating_sub(self.load.peak(over))
    }

    /// What is free for something new over `over` in all, in bits per second times milliseconds.
    pub(crate) fn area(&self, over: Interval) -> u128 {
        area(self.open_capacity(), &self.load, over)
    }

    /// Takes `amount` away over `over`.
    pub(crate) fn take(&mut self, over: Interval, amount: u64) {
        let taken = self.load.book(over, amount);
        debug_assert!(taken.is_ok(), "what stands on a lane together does not overflow");
    }

    /// The same, if that much is left there.
    fn take_if_free(&mut self, over: Interval, amount: u64) -> bool {
        amount == 0 || self.load.book_within(over, amount, self.capacity).is_ok()
    }

    /// Gives `amount` back over `over`, where it was taken.
    pub(crate) fn give(&mut self, over: Interval, amount: u64) {
        let given = self.load.free(over, amount);
        debug_assert!(given.is_ok(), "what is given back was taken");
    }

    fn open_capacity(&self) -> u64 {
        if self.closed { 0 } else { self.capacity }
    }
}

impl Board {
    /// So many lanes, none of which anybody has looked at, for some time.
    pub(crate) fn new(lanes: usize, over: Interval) -> Self {
        Self { lanes: vec![None; lanes], over }
    }

    /// How many lanes it could have.
    pub(crate) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Puts a lane onto the board, if it is not there.
    pub(crate) fn open(&mut self, lane: usize, profile: impl FnOnce() -> Profile) {
        self.look(lane, self.over, profile);
    }

    /// Looks at a lane over some time, and puts it onto the board if it is not there. When it was
    /// looked at before, and when it is now; `None` if nothing changes.
    pub(crate) fn look(
        &mut self,
        lane: usize,
        over: Interval,
        profile: impl FnOnce() -> Profile,
    ) -> Option<(Option<Interval>, Interval)> {
        let seen = self.lanes.get_mut(lane)?;
        if let Some(seen) = seen {
            let (before, now) = (seen.over, seen.over.hull(over));
            seen.over = now;
            return (before != now).then_some((Some(before), now));
        }
        *seen = Some(Seen { profile: profile(), over });
        Some((None, over))
    }

    /// A lane that is on the board.
    pub(crate) fn lane(&self, lane: usize) -> Option<&Profile> {
        self.lanes.get(lane)?.as_ref().map(|seen| &seen.profile)
    }

    pub(crate) fn lane_mut(&mut self, lane: usize) -> Option<&mut Profile> {
        self.lanes.get_mut(lane)?.as_mut().map(|seen| &mut seen.profile)
    }

    /// A lane that somebody looks at sometime in `over`, which is cut to what the board is about.
    pub(crate) fn seen(&mut self, lane: usize, over: Interval) -> Option<(&mut Profile, Interval)> {
        let seen = self.lanes.get_mut(lane)?.as_mut();
        let seen = seen.filter(|seen| seen.over.overlaps(over))?;
        Some((&mut seen.profile, over.within(self.over)?))
    }

    /// What is free for something new on a lane from `instant` on: nothing if it is not on the
    /// board.
    pub(crate) fn read(&self, lane: usize, instant: Timestamp) -> Free<'_> {
        self.lane(lane).map_or_else(Free::none, |lane| lane.read(instant))
    }

    /// Takes what a piece books on its lanes, as far as somebody looks at them then.
    pub(crate) fn take(&mut self, fan: &Fan<usize>, piece: &Piece) {
        for crossing in &fan.ways[piece.way] {
            if let Some((lane, over)) = self.seen(fan.lanes[crossing.lane], piece.over) {
                lane.take(over, crossing.factor.amount(piece.rate));
            }
        }
    }

    /// Gives it back.
    pub(crate) fn give(&mut self, fan: &Fan<usize>, piece: &Piece) {
        self.give_some(fan, piece, &fan.ways[piece.way]);
    }

    fn give_some(&mut self, fan: &Fan<usize>, piece: &Piece, crossings: &[Crossing]) {
        for crossing in crossings {
            if let Some((lane, over)) = self.seen(fan.lanes[crossing.lane], piece.over) {
                lane.give(over, crossing.factor.amount(piece.rate));
            }
        }
    }

    /// Takes what all these pieces book, if they fit together where somebody looks; else nothing.
    pub(crate) fn take_all(&mut self, fan: &Fan<usize>, pieces: &[Piece]) -> bool {
        for (count, piece) in pieces.iter().enumerate() {
            if !self.take_if_free(fan, piece) {
                for piece in &pieces[..count] {
                    self.give(fan, piece);
                }
                return false;
            }
        }
        true
    }

    fn take_if_free(&mut self, fan: &Fan<usize>, piece: &Piece) -> bool {
        let way = &fan.ways[piece.way];
        for (count, crossing) in way.iter().enumerate() {
            let amount = crossing.factor.amount(piece.rate);
            let seen = self.seen(fan.lanes[crossing.lane], piece.over);
            if seen.is_some_and(|(lane, over)| !lane.take_if_free(over, amount)) {
                self.give_some(fan, piece, &way[..count]);
                return false;
            }
        }
        true
    }
}

/// The first start from `after` to `latest` from which `amount` is left of a capacity for all of
/// `span`.
pub(crate) fn earliest(
    (capacity, load): (u64, &Timeline),
    (after, latest): (Timestamp, Timestamp),
    span: Span,
    amount: u64,
) -> Option<Timestamp> {
    if amount == 0 {
        return (after <= latest).then_some(after);
    }
    load.earliest(after, latest, span, capacity.checked_sub(amount)?)
}

/// What is left of a capacity over `over` in all, in bits per second times milliseconds.
pub(crate) fn area(capacity: u64, load: &Timeline, over: Interval) -> u128 {
    let parts = load.pieces(over).map(|(piece, level)| {
        let free = u128::from(capacity.saturating_sub(level));
        free.saturating_mul(piece.span().as_ms().into())
    });
    parts.fold(0, u128::saturating_add)
}

/// What is free on a lane, as it is read from left to right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Free<'a> {
    capacity: u64,
    /// What is booked; `None` if nothing ever is.
    booked: Option<Cursor<'a>>,
    /// Less than this is as good as nothing.
    least: u64,
    /// More than this is of no use.
    enough: u64,
    /// Nobody looks any further.
    end: Timestamp,
    level: u64,
}

impl<'a> Free<'a> {
    pub(crate) fn new(capacity: u64, booked: Cursor<'a>) -> Self {
        // Where nothing can be had, nothing changes about that.
        Self { booked: Some(booked).filter(|_| capacity != 0), ..Self::all(capacity) }
    }

    /// A lane on which nothing is booked.
    pub(crate) fn all(capacity: u64) -> Self {
        let (least, enough, end) = (0, u64::MAX, Timestamp::MAX);
        Self { capacity, booked: None, least, enough, end, level: capacity }
    }

    /// A lane that carries nothing.
    pub(crate) fn none() -> Self {
        Self::all(0)
    }

    /// The same as one sees it to whom less than `least` is as good as nothing and more than
    /// `enough` of no use, and who looks no further than `end`.
    pub(crate) fn seen(self, (least, enough): (u64, u64), end: Timestamp) -> Self {
        let mut seen = Self { least, enough, end, ..self };
        seen.settle();
        seen
    }

    /// What is free now.
    pub(crate) fn level(&self) -> u64 {
        self.level
    }

    /// When that changes; the last instant if it never does.
    pub(crate) fn next(&self) -> Timestamp {
        self.booked.and_then(|booked| booked.next()).unwrap_or(Timestamp::MAX)
    }

    /// Goes on to then.
    pub(crate) fn advance(&mut self) {
        if let Some(booked) = &mut self.booked {
            booked.advance();
            self.settle();
        }
    }

    /// Goes on to an instant that is not before the one where it is.
    pub(crate) fn skip(&mut self, instant: Timestamp) {
        if let Some(booked) = &mut self.booked {
            booked.skip(instant);
            self.settle();
        }
    }

    /// Looks what is free now, and reads on over what does not change it.
    fn settle(&mut self) {
        let Self { capacity, least, enough, end, .. } = *self;
        let seen = |booked: u64| match capacity.saturating_sub(booked) {
            free if free < least => 0,
            free => free.min(enough),
        };
        let Some(booked) = &mut self.booked else {
            self.level = seen(0);
            return;
        };
        let level = seen(booked.level());
        while booked.next().is_some_and(|next| next < end) {
            booked.pass(end, |extent| seen(extent.low) == level && seen(extent.high) == level);
            if booked.peek().is_none_or(|next| seen(next) != level) {
                break;
            }
            booked.advance();
        }
        self.level = level;
    }
}

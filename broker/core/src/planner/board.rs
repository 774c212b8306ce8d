//! What is free on some lanes over time, to try things on.

use tidegate_policy::{Interval, Span, Timestamp};

use super::{Fan, Piece};
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

/// What is free for a time on those lanes that somebody looks at, by their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    lanes: Vec<Option<Profile>>,
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
        if amount == 0 {
            return (after <= latest).then_some(after);
        }
        let ceiling = self.open_capacity().checked_sub(amount)?;
        self.load.earliest(after, latest, span, ceiling)
    }

    /// The least that is left at one instant of `over`.
    pub(crate) fn low(&self, over: Interval) -> u64 {
        self.capacity.saturating_sub(self.load.peak(over))
    }

    /// What is free for something new over `over` in all, in bits per second times milliseconds.
    pub(crate) fn area(&self, over: Interval) -> u128 {
        let capacity = self.open_capacity();
        let parts = self.load.pieces(over).map(|(piece, level)| {
            let free = u128::from(capacity.saturating_sub(level));
            free.saturating_mul(piece.span().as_ms().into())
        });
        parts.fold(0, u128::saturating_add)
    }

    /// Takes `amount` away over `over`.
    pub(crate) fn take(&mut self, over: Interval, amount: u64) {
        let taken = self.load.book(over, amount);
        debug_assert!(taken.is_ok(), "what stands on a lane together does not overflow");
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
        if let Some(place @ None) = self.lanes.get_mut(lane) {
            *place = Some(profile());
        }
    }

    /// A lane that is on the board.
    pub(crate) fn lane(&self, lane: usize) -> Option<&Profile> {
        self.lanes.get(lane)?.as_ref()
    }

    pub(crate) fn lane_mut(&mut self, lane: usize) -> Option<&mut Profile> {
        self.lanes.get_mut(lane)?.as_mut()
    }

    /// What is free for something new on a lane from `instant` on: nothing if it is not on the
    /// board.
    pub(crate) fn read(&self, lane: usize, instant: Timestamp) -> Free<'_> {
        self.lane(lane).map_or_else(Free::none, |lane| lane.read(instant))
    }

    /// Takes what a piece books on its lanes, as far as they are on the board.
    pub(crate) fn take(&mut self, fan: &Fan<usize>, piece: &Piece) {
        let Some(over) = piece.over.within(self.over) else { return };
        for crossing in &fan.ways[piece.way] {
            if let Some(lane) = self.lane_mut(fan.lanes[crossing.lane]) {
                lane.take(over, crossing.factor.amount(piece.rate));
            }
        }
    }

    /// Gives it back.
    pub(crate) fn give(&mut self, fan: &Fan<usize>, piece: &Piece) {
        let Some(over) = piece.over.within(self.over) else { return };
        for crossing in &fan.ways[piece.way] {
            if let Some(lane) = self.lane_mut(fan.lanes[crossing.lane]) {
                lane.give(over, crossing.factor.amount(piece.rate));
            }
        }
    }

    /// Takes what all these pieces book, if they fit together on the lanes that are on the board;
    /// else nothing.
    pub(crate) fn take_all(&mut self, fan: &Fan<usize>, pieces: &[Piece]) -> bool {
        for (count, piece) in pieces.iter().enumerate() {
            let over = piece.over.within(self.over);
            let fits = fan.ways[piece.way].iter().all(|crossing| {
                let lane = self.lane(fan.lanes[crossing.lane]).zip(over);
                let amount = crossing.factor.amount(piece.rate);
                lane.is_none_or(|(lane, over)| amount <= lane.low(over))
            });
            if !fits {
                for piece in &pieces[..count] {
                    self.give(fan, piece);
                }
                return false;
            }
            self.take(fan, piece);
        }
        true
    }
}

/// What is free on a lane, as it is read from left to right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Free<'a> {
    capacity: u64,
    /// What is booked; `None` if nothing ever is.
    booked: Option<Cursor<'a>>,
}

impl<'a> Free<'a> {
    pub(crate) fn new(capacity: u64, booked: Cursor<'a>) -> Self {
        // Where nothing can be had, nothing changes about that.
        Self { capacity, booked: Some(booked).filter(|_| capacity != 0) }
    }

    /// A lane on which nothing is booked.
    pub(crate) fn all(capacity: u64) -> Self {
        Self { capacity, booked: None }
    }

    /// A lane that carries nothing.
    pub(crate) fn none() -> Self {
        Self::all(0)
    }

    /// What is free now.
    pub(crate) fn level(&self) -> u64 {
        self.booked.map_or(self.capacity, |booked| self.capacity.saturating_sub(booked.level()))
    }

    /// When that changes; the last instant if it never does.
    pub(crate) fn next(&self) -> Timestamp {
        self.booked.map_or(Timestamp::MAX, |booked| booked.next().unwrap_or(Timestamp::MAX))
    }

    /// Goes on to then.
    pub(crate) fn advance(&mut self) {
        if let Some(booked) = &mut self.booked {
            booked.advance();
        }
    }

    /// Goes on to an instant that is not before the one where it is.
    pub(crate) fn skip(&mut self, instant: Timestamp) {
        if let Some(booked) = &mut self.booked {
            booked.skip(instant);
        }
    }
}

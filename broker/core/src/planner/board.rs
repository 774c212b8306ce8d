//! What is free on many lanes over time, to try things on.
//!
//! Flat sorted lists: a lane has some hundreds of breakpoints here, and a copy of all of them is
//! one stretch of memory.

use tidegate_policy::{Interval, Timestamp};

use super::{Fan, Piece};

/// What is free on a lane from some instant on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Profile {
    /// What is free from each instant on, in bits per second of the lane; below zero where more is
    /// booked than it can carry. Neighbours may be equal.
    steps: Vec<(Timestamp, i64)>,
    /// It takes nothing new: whoever is on it stays or leaves.
    closed: bool,
}

/// What is free on all lanes from some instant on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Board {
    pub(crate) lanes: Vec<Profile>,
}

impl Profile {
    /// The step function through these points, in the order of their instants; what is free at
    /// the first is free before it too.
    pub(crate) fn new(steps: Vec<(Timestamp, i64)>) -> Self {
        let steps = if steps.is_empty() { vec![(Timestamp::EPOCH, 0)] } else { steps };
        Self { steps, closed: false }
    }

    /// The same, or one that takes nothing new.
    pub(crate) fn closed(self, closed: bool) -> Self {
        Self { closed, ..self }
    }

    /// What is free for something new at `instant`, then at each breakpoint behind it.
    pub(crate) fn from(&self, instant: Timestamp) -> Cursor<'_> {
        Cursor { closed: self.closed, ..self.left(instant) }
    }

    /// What is left at `instant`, then at each breakpoint behind it.
    fn left(&self, instant: Timestamp) -> Cursor<'_> {
        let place = self.steps.partition_point(|(at, _)| *at <= instant).saturating_sub(1);
        Cursor { steps: &self.steps[place..], closed: false }
    }

    /// The least that is left at one instant of `over`.
    pub(crate) fn low(&self, over: Interval) -> u64 {
        let mut cursor = self.left(over.start());
        let mut low = cursor.level();
        while cursor.next().is_some_and(|next| next < over.end()) {
            cursor.advance();
            low = low.min(cursor.level());
        }
        low
    }

    /// What is free over `over` in all, in bits per second times milliseconds.
    pub(crate) fn area(&self, over: Interval) -> u128 {
        let (mut cursor, mut area) = (self.from(over.start()), 0_u128);
        let mut here = over.start();
        while here < over.end() {
            let next = cursor.next().unwrap_or(over.end()).min(over.end());
            let part = u128::from(cursor.level()).saturating_mul(next.since(here).as_ms().into());
            area = area.saturating_add(part);
            here = next;
            cursor.advance();
        }
        area
    }

    /// Takes `amount` away over `over`, where that much is free.
    pub(crate) fn take(&mut self, over: Interval, amount: u64) {
        self.shift(over, signed(amount).saturating_neg());
    }

    /// Gives `amount` back over `over`.
    pub(crate) fn give(&mut self, over: Interval, amount: u64) {
        self.shift(over, signed(amount));
    }

    fn shift(&mut self, over: Interval, more: i64) {
        let first = self.edge(over.start());
        let last = self.edge(over.end());
        for (_, level) in &mut self.steps[first..last] {
            *level = level.saturating_add(more);
        }
        for place in [last, first] {
            let before = place.checked_sub(1).and_then(|place| self.steps.get(place));
            if before.is_some_and(|(_, level)| *level == self.steps[place].1) {
                self.steps.remove(place);
            }
        }
    }

    /// The place of the breakpoint at `instant`, made if there was none.
    fn edge(&mut self, instant: Timestamp) -> usize {
        let place = self.steps.partition_point(|(at, _)| *at < instant);
        if self.steps.get(place).is_none_or(|(at, _)| *at != instant) {
            let level = self.steps[place.saturating_sub(1)].1;
            self.steps.insert(place, (instant, level));
        }
        place
    }
}

impl Board {
    /// Takes what a piece books on its lanes.
    pub(crate) fn take(&mut self, fan: &Fan<usize>, piece: &Piece) {
        for crossing in &fan.ways[piece.way] {
            let lane = &mut self.lanes[fan.lanes[crossing.lane]];
            lane.take(piece.over, crossing.factor.amount(piece.rate));
        }
    }

    /// Gives it back.
    pub(crate) fn give(&mut self, fan: &Fan<usize>, piece: &Piece) {
        for crossing in &fan.ways[piece.way] {
            let lane = &mut self.lanes[fan.lanes[crossing.lane]];
            lane.give(piece.over, crossing.factor.amount(piece.rate));
        }
    }

    /// Takes what all these pieces book, if they fit together; else nothing.
    pub(crate) fn take_all(&mut self, fan: &Fan<usize>, pieces: &[Piece]) -> bool {
        for (count, piece) in pieces.iter().enumerate() {
            let fits = fan.ways[piece.way].iter().all(|crossing| {
                let free = self.lanes[fan.lanes[crossing.lane]].low(piece.over);
                crossing.factor.amount(piece.rate) <= free
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

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// A step function as it is read from left to right.
pub(crate) trait Steps {
    /// What is free now.
    fn level(&self) -> u64;
    /// When that changes.
    fn next(&mut self) -> Option<Timestamp>;
    /// Goes on to then.
    fn advance(&mut self);
}

/// A profile as it is read from left to right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    /// Never empty.
    steps: &'a [(Timestamp, i64)],
    closed: bool,
}

impl Steps for Cursor<'_> {
    fn level(&self) -> u64 {
        if self.closed { 0 } else { u64::try_from(self.steps[0].1).unwrap_or(0) }
    }

    fn next(&mut self) -> Option<Timestamp> {
        self.steps.get(1).map(|(at, _)| *at).filter(|_| !self.closed)
    }

    fn advance(&mut self) {
        if let Some(rest) = self.steps.get(1..).filter(|rest| !rest.is_empty()) {
            self.steps = rest;
        }
    }
}

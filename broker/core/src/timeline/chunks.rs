//! Breakpoints in the order of their instants, in chunks that know their lowest and their highest
//! level.
//!
//! Heads stand in the order of time, and a look over a long time reads little else; what is added
//! to all of a chunk stays at its head. Bodies stay where they are, so a chunk that splits moves
//! one of them. Both are flat: a copy is two stretches of memory.

use tidegate_policy::Timestamp;

/// Breakpoints of a chunk at most.
pub(super) const CHUNK: usize = 32;
/// Neighbours that have so few together become one.
const FEW: usize = CHUNK >> 1;
/// Breakpoints that are put in one behind the other leave room for some between them.
const FULL: usize = CHUNK - (CHUNK >> 2);

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunks {
    /// The instant of the first breakpoint of each: by themselves, because they are searched.
    firsts: Vec<Timestamp>,
    heads: Vec<Head>,
    bodies: Vec<Body>,
    /// No level is above it. It may be too high after levels have sunk,
    top: u64,
    /// so often since it was looked up.
    sunk: usize,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    /// The place of its body.
    body: usize,
    /// How many breakpoints it has: at least one.
    length: usize,
    /// What is added to every level of its body, modulo 2^64.
    raised: u64,
    low: u64,
    high: u64,
}

#[derive(Clone, Debug)]
struct Body {
    at: [Timestamp; CHUNK],
    levels: [u64; CHUNK],
}

/// The place of a breakpoint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    chunk: usize,
    step: usize,
}

/// The lowest and the highest of some levels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extent {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

impl Extent {
    pub(super) fn of(level: u64) -> Self {
        Self { low: level, high: level }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }
}

impl Head {
    fn extent(&self) -> Extent {
        Extent { low: self.low, high: self.high }
    }
}

impl Chunks {
    pub(super) fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// What no level is above.
    pub(super) fn top(&self) -> u64 {
        self.top
    }

    /// Levels have sunk. One in as many times as there are chunks, all of them are looked at for the
    /// highest: that is one per time.
    pub(super) fn sink(&mut self) {
        self.sunk = self.sunk.saturating_add(1);
        if self.heads.len() <= self.sunk {
            self.top = self.heads.iter().map(|head| head.high).max().unwrap_or(0);
            self.sunk = 0;
        }
    }

    pub(super) fn first(&self) -> Option<Place> {
        (!self.heads.is_empty()).then_some(Place { chunk: 0, step: 0 })
    }

    /// The last breakpoint of those at the front for which this holds.
    pub(super) fn last_of(&self, holds: impl Fn(Timestamp) -> bool) -> Option<Place> {
        let chunk = self.firsts.partition_point(|first| holds(*first)).checked_sub(1)?;
        let head = self.heads[chunk];
        let instants = &self.bodies[head.body].at[..head.length];
        let step = instants.partition_point(|at| holds(*at)).saturating_sub(1);
        Some(Place { chunk, step })
    }

    /// The same, where it holds for one of them for sure.
    pub(super) fn last_since(
        &self,
        sure: Option<Place>,
        holds: impl Fn(Timestamp) -> bool,
    ) -> Option<Place> {
        let near = sure.filter(|sure| {
            let next = self.firsts.get(sure.chunk.saturating_add(1));
            next.is_none_or(|first| !holds(*first))
        });
        let Some(Place { chunk, step }) = near else { return self.last_of(holds) };
        let head = self.heads[chunk];
        let instants = &self.bodies[head.body].at[step..head.length];
        let more = instants.partition_point(|at| holds(*at)).saturating_sub(1);
        Some(Place { chunk, step: step.saturating_add(more) })
    }

    /// Whether there is a breakpoint at this place and instant.
    pub(super) fn is_at(&self, place: Place, at: Timestamp) -> bool {
        let head = self.heads.get(place.chunk).filter(|head| place.step < head.length);
        head.is_some_and(|head| self.bodies[head.body].at[place.step] == at)
    }

    /// The breakpoint before another.
    pub(super) fn before(&self, place: Place) -> Option<Place> {
        if let Some(step) = place.step.checked_sub(1) {
            return Some(Place { step, ..place });
        }
        let chunk = place.chunk.checked_sub(1)?;
        Some(Place { chunk, step: self.heads[chunk].length.saturating_sub(1) })
    }

    /// The breakpoint after another, or the first.
    pub(super) fn after(&self, place: Option<Place>) -> Option<Place> {
        let Some(place) = place else { return self.first() };
        let step = place.step.saturating_add(1);
        if step < self.heads[place.chunk].length {
            return Some(Place { step, ..place });
        }
        let chunk = place.chunk.saturating_add(1);
        (chunk < self.heads.len()).then_some(Place { chunk, step: 0 })
    }

    pub(super) fn at(&self, place: Place) -> Timestamp {
        self.bodies[self.heads[place.chunk].body].at[place.step]
    }

    pub(super) fn level(&self, place: Place) -> u64 {
        let head = &self.heads[place.chunk];
        self.bodies[head.body].levels[place.step].wrapping_add(head.raised)
    }

    /// The lowest and the highest level from one breakpoint to another, both included.
    pub(super) fn extent(&self, from: Place, to: Place) -> Extent {
        if from.chunk == to.chunk {
            return self.extent_in(from.chunk, from.step, to.step.saturating_add(1));
        }
        let first = self.extent_in(from.chunk, from.step, self.heads[from.chunk].length);
        let last = self.extent_in(to.chunk, 0, to.step.saturating_add(1));
        let between = &self.heads[from.chunk.saturating_add(1)..to.chunk];
        between.iter().map(Head::extent).fold(first.and(last), Extent::and)
    }

    /// The same within a chunk, the end excluded: never empty.
    fn extent_in(&self, chunk: usize, from: usize, to: usize) -> Extent {
        let head = &self.heads[chunk];
        if (from, to) == (0, head.length) {
            return head.extent();
        }
        extent_of(head.raised, &self.bodies[head.body].levels[from..to])
    }

    /// Adds to all levels from one breakpoint to another, both included, modulo 2^64.
    pub(super) fn raise(&mut self, from: Place, to: Place, more: u64) {
        for chunk in from.chunk..=to.chunk {
            let head = &mut self.heads[chunk];
            let start = if chunk == from.chunk { from.step } else { 0 };
            let end = if chunk == to.chunk { to.step.saturating_add(1) } else { head.length };
            if (start, end) == (0, head.length) {
                head.raised = head.raised.wrapping_add(more);
                head.low = head.low.wrapping_add(more);
                head.high = head.high.wrapping_add(more);
                self.top = self.top.max(head.high);
                continue;
            }
            let (raised, all) = (head.raised, head.extent());
            let part = &mut self.bodies[head.body].levels[start..end];
            let before = extent_of(raised, part);
            for level in &mut *part {
                *level = level.wrapping_add(more);
            }
            // Who was neither the lowest nor the highest says all about who is.
            if all.low < before.low && before.high < all.high {
                let Extent { low, high } = extent_of(raised, part).and(all);
                (head.low, head.high) = (low, high);
            } else {
                self.refresh(chunk);
            }
            self.top = self.top.max(self.heads[chunk].high);
        }
    }

    /// Puts a breakpoint behind all others.
    pub(super) fn push(&mut self, at: Timestamp, level: u64) {
        self.top = self.top.max(level);
        if let Some(head) = self.heads.last_mut().filter(|head| head.length < FULL) {
            let body = &mut self.bodies[head.body];
            body.at[head.length] = at;
            body.levels[head.length] = level.wrapping_sub(head.raised);
            head.length = head.length.saturating_add(1);
            Extent { low: head.low, high: head.high } = head.extent().and(Extent::of(level));
            return;
        }
        let body = self.bodies.len();
        self.firsts.push(at);
        self.heads.push(Head { body, length: 1, raised: 0, low: level, high: level });
        self.bodies.push(Body { at: [at; CHUNK], levels: [level; CHUNK] });
    }

    /// Puts a breakpoint behind another, or in front of all.
    pub(super) fn insert(&mut self, before: Option<Place>, at: Timestamp, level: u64) {
        self.top = self.top.max(level);
        let Some(before) = before.or_else(|| self.first()) else { return self.push(at, level) };
        let mut place = before;
        if self.heads[place.chunk].length == CHUNK {
            self.split(place.chunk);
            if let Some(step) = place.step.checked_sub(FEW) {
                place = Place { chunk: place.chunk.saturating_add(1), step };
            }
        }
        if self.at(place) < at {
            place.step = place.step.saturating_add(1);
        }
        let head = &mut self.heads[place.chunk];
        let body = &mut self.bodies[head.body];
        body.at.copy_within(place.step..head.length, place.step.saturating_add(1));
        body.levels.copy_within(place.step..head.length, place.step.saturating_add(1));
        body.at[place.step] = at;
        body.levels[place.step] = level.wrapping_sub(head.raised);
        head.length = head.length.saturating_add(1);
        self.firsts[place.chunk] = body.at[0];
        Extent { low: head.low, high: head.high } = head.extent().and(Extent::of(level));
    }

    /// Takes a breakpoint out.
    pub(super) fn remove(&mut self, place: Place) {
        let Place { chunk, step } = place;
        let head = &mut self.heads[chunk];
        if head.length == 1 {
            self.drop_chunk(chunk);
            return;
        }
        let body = &mut self.bodies[head.body];
        let twin = step.checked_sub(1).map(|before| body.levels[before]);
        let has_twin = twin == Some(body.levels[step]);
        body.at.copy_within(step.saturating_add(1)..head.length, step);
        body.levels.copy_within(step.saturating_add(1)..head.length, step);
        head.length = head.length.saturating_sub(1);
        self.firsts[chunk] = body.at[0];
        // The lowest and the highest are still there where the one before is equal.
        if !has_twin {
            self.refresh(chunk);
        }
        if self.heads[chunk].length <= FEW {
            self.merge(chunk);
            if let Some(before) = chunk.checked_sub(1) {
                self.merge(before);
            }
        }
    }

    /// The chunks of some time, whole ones: outside of it, it is another function.
    pub(super) fn part(&self, start: Timestamp, end: Timestamp) -> Self {
        let from = self.firsts.partition_point(|first| *first <= start).saturating_sub(1);
        let to = self.firsts.partition_point(|first| *first < end).max(from);
        let heads = self.heads[from..to].iter();
        let bodies = heads.clone().map(|head| self.bodies[head.body].clone()).collect();
        let heads = heads.enumerate().map(|(body, head)| Head { body, ..*head }).collect();
        let firsts = self.firsts[from..to].to_vec();
        Self { firsts, heads, bodies, top: self.top, sunk: self.sunk }
    }

    /// Halves a full chunk.
    fn split(&mut self, chunk: usize) {
        let head = self.heads[chunk];
        let mut late = self.bodies[head.body].clone();
        late.at.copy_within(FEW.., 0);
        late.levels.copy_within(FEW.., 0);
        let length = head.length.saturating_sub(FEW);
        let behind = Head { body: self.bodies.len(), length, ..head };
        self.heads[chunk].length = FEW;
        self.firsts.insert(chunk.saturating_add(1), late.at[0]);
        self.heads.insert(chunk.saturating_add(1), behind);
        self.bodies.push(late);
        self.refresh(chunk);
        self.refresh(chunk.saturating_add(1));
    }

    /// Makes one of a chunk and the next, if they are small.
    fn merge(&mut self, chunk: usize) {
        let next = chunk.saturating_add(1);
        let Some((head, other)) = self.heads.get(chunk).zip(self.heads.get(next)) else { return };
        let (head, other) = (*head, *other);
        let length = head.length.saturating_add(other.length);
        if FEW < length {
            return;
        }
        let Body { at, levels } = self.bodies[other.body].clone();
        let raised = other.raised.wrapping_sub(head.raised);
        let body = &mut self.bodies[head.body];
        body.at[head.length..length].copy_from_slice(&at[..other.length]);
        for (level, other) in body.levels[head.length..length].iter_mut().zip(levels) {
            *level = other.wrapping_add(raised);
        }
        let Extent { low, high } = head.extent().and(other.extent());
        self.heads[chunk] = Head { length, low, high, ..head };
        self.drop_chunk(next);
    }

    fn drop_chunk(&mut self, chunk: usize) {
        self.firsts.remove(chunk);
        let body = self.heads.remove(chunk).body;
        self.bodies.swap_remove(body);
        let last = self.bodies.len();
        if let Some(moved) = self.heads.iter_mut().find(|head| head.body == last) {
            moved.body = body;
        }
    }

    /// Looks for the lowest and the highest level of a chunk anew.
    fn refresh(&mut self, chunk: usize) {
        let head = &mut self.heads[chunk];
        let levels = &self.bodies[head.body].levels[..head.length];
        Extent { low: head.low, high: head.high } = extent_of(head.raised, levels);
    }
}

fn extent_of(raised: u64, levels: &[u64]) -> Extent {
    let (mut low, mut high) = (u64::MAX, 0);
    for level in levels.iter().map(|level| level.wrapping_add(raised)) {
        low = low.min(level);
        high = high.max(level);
    }
    Extent { low, high }
}

/// The levels from some instant on, as they are read from left to right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    chunks: &'a Chunks,
    /// What is booked now.
    level: u64,
    /// Where that changes; at the end, behind the last chunk.
    next: Place,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(chunks: &'a Chunks, instant: Timestamp) -> Self {
        let nothing = Self { chunks, level: 0, next: Place { chunk: 0, step: 0 } };
        nothing.after(instant)
    }

    pub(crate) fn level(&self) -> u64 {
        self.level
    }

    /// When the level changes.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        (self.next.chunk < self.chunks.heads.len()).then(|| self.chunks.at(self.next))
    }

    /// What the level is from then on.
    pub(crate) fn peek(&self) -> Option<u64> {
        (self.next.chunk < self.chunks.heads.len()).then(|| self.chunks.level(self.next))
    }

    /// Goes on to then.
    pub(crate) fn advance(&mut self) {
        let Some(head) = self.chunks.heads.get(self.next.chunk) else { return };
        self.level = self.chunks.level(self.next);
        self.next.step = self.next.step.saturating_add(1);
        if self.next.step == head.length {
            self.next = Place { chunk: self.next.chunk.saturating_add(1), step: 0 };
        }
    }

    /// Goes on to an instant that is not before the one where it is.
    pub(crate) fn skip(&mut self, instant: Timestamp) {
        if self.next().is_some_and(|next| next <= instant) {
            *self = self.after(instant);
        }
    }

    /// Goes on to the end of the last of the next chunks for which `passes` holds and that begin
    /// before `until`, if it stands before a whole one.
    pub(crate) fn pass(&mut self, until: Timestamp, passes: impl Fn(Extent) -> bool) {
        while self.next.step == 0
            && let Some(head) = self.chunks.heads.get(self.next.chunk)
            && self.chunks.firsts[self.next.chunk] < until
            && passes(head.extent())
        {
            let step = head.length.saturating_sub(1);
            self.level = self.chunks.level(Place { step, ..self.next });
            self.next = Place { chunk: self.next.chunk.saturating_add(1), step: 0 };
        }
    }

    fn after(self, instant: Timestamp) -> Self {
        match self.chunks.last_of(|at| at <= instant) {
            None => self,
            Some(place) => {
                let mut there = Self { next: place, ..self };
                there.advance();
                there
            }
        }
    }
}

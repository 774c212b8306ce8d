//! The exact step function of what is booked on one lane.
//!
//! A breakpoint holds the level from its instant on; before the first and after the last one
//! nothing is booked. Neighbours always differ, so equal functions have equal breakpoints, and a
//! timeline from which everything was freed is empty again. Never slots: instants are exact.
//!
//! Breakpoints stand in chunks that know their lowest and highest level, so a look over a long
//! time, or for the first time that does, passes over most of them.

mod chunks;
mod edges;

use tidegate_policy::{Interval, Span, Timestamp};

pub(crate) use chunks::Cursor;
use chunks::{Chunks, Extent, Place};
pub(crate) use edges::Edges;

/// What is booked on a lane, in bits per second of that lane, over time.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    levels: Chunks,
}

/// An amount that cannot be booked or freed: the caller's ledger and this one disagree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Imbalance;

/// The same function, whatever chunks it stands in.
impl PartialEq for Timeline {
    fn eq(&self, other: &Self) -> bool {
        self.steps().eq(other.steps())
    }
}

impl Eq for Timeline {}

impl Timeline {
    /// The most that is booked at one instant of `over`.
    #[must_use]
    pub fn peak(&self, over: Interval) -> u64 {
        self.inside(over).extent(&self.levels).high
    }

    /// What is booked at `instant`.
    #[must_use]
    pub fn level_at(&self, instant: Timestamp) -> u64 {
        let place = self.levels.last_of(|at| at <= instant);
        place.map_or(0, |place| self.levels.level(place))
    }

    /// Books `amount` more over `over`.
    ///
    /// # Errors
    /// [`Imbalance`] if a level would pass 64 bits; nothing has changed then.
    pub fn book(&mut self, over: Interval, amount: u64) -> Result<(), Imbalance> {
        self.book_within(over, amount, u64::MAX)
    }

    /// Books `amount` more over `over`, if no level passes `ceiling` then.
    ///
    /// # Errors
    /// [`Imbalance`] if one would; nothing has changed then.
    pub(crate) fn book_within(
        &mut self,
        over: Interval,
        amount: u64,
        ceiling: u64,
    ) -> Result<(), Imbalance> {
        let inside = self.inside(over);
        let fits = |high: u64| high.checked_add(amount).is_some_and(|high| high <= ceiling);
        let fits = fits(self.levels.top()) || fits(inside.extent(&self.levels).high);
        fits.then_some(()).ok_or(Imbalance)?;
        self.shift(over, inside, amount);
        Ok(())
    }

    /// Frees `amount` over `over`.
    ///
    /// # Errors
    /// [`Imbalance`] if less than that is booked somewhere; nothing has changed then.
    pub fn free(&mut self, over: Interval, amount: u64) -> Result<(), Imbalance> {
        let inside = self.inside(over);
        inside.extent(&self.levels).low.checked_sub(amount).ok_or(Imbalance)?;
        self.shift(over, inside, amount.wrapping_neg());
        self.levels.sink();
        Ok(())
    }

    /// Books all of `other` on top.
    ///
    /// # Errors
    /// [`Imbalance`] if a level would pass 64 bits; nothing has changed then.
    pub fn add(&mut self, other: &Self) -> Result<(), Imbalance> {
        self.change(Edges::between(other.steps()))
    }

    /// Books and frees a lot at once, in the time that it takes to sort the edges and to look at all
    /// breakpoints once.
    ///
    /// # Errors
    /// [`Imbalance`] if a level would sink below zero or pass 64 bits; nothing has changed then.
    pub(crate) fn change(&mut self, edges: Edges) -> Result<(), Imbalance> {
        if !edges.is_empty() {
            self.levels = edges.on(self.steps())?;
        }
        Ok(())
    }

    /// The first start from `after` to `latest` at which the level stays at or below `ceiling`
    /// for all of `span`.
    #[must_use]
    pub fn earliest(
        &self,
        after: Timestamp,
        latest: Timestamp,
        span: Span,
        ceiling: u64,
    ) -> Option<Timestamp> {
        if self.levels.top() <= ceiling {
            return (after <= latest).then_some(after);
        }
        // One pass: a level above the ceiling rules out every start up to its end, and the first
        // start that no such level reaches within its span is the answer. Chunks in which nothing
        // changes about that are passed over.
        let mut cursor = self.cursor(after);
        let mut candidate = after;
        while candidate <= latest {
            let blocked = ceiling < cursor.level();
            let until = if blocked { latest } else { candidate.plus(span) };
            cursor.pass(until, |extent| match blocked {
                true => ceiling < extent.low,
                false => extent.high <= ceiling,
            });
            match cursor.next() {
                Some(next) if blocked => candidate = next,
                Some(next) if next < until => {}
                _ => return (!blocked).then_some(candidate),
            }
            cursor.advance();
        }
        None
    }

    /// The breakpoints: the level from each instant on.
    pub fn steps(&self) -> impl Iterator<Item = (Timestamp, u64)> + '_ {
        let mut place = self.levels.first();
        std::iter::from_fn(move || {
            let here = place?;
            place = self.levels.after(place);
            Some((self.levels.at(here), self.levels.level(here)))
        })
    }

    /// The level from each instant of `over` on: at its start, then at every breakpoint inside.
    pub fn steps_over(&self, over: Interval) -> impl Iterator<Item = (Timestamp, u64)> + '_ {
        let mut cursor = self.cursor(over.start());
        let mut here = Some(over.start());
        std::iter::from_fn(move || {
            let step = (here?, cursor.level());
            here = cursor.next().filter(|next| *next < over.end());
            cursor.advance();
            Some(step)
        })
    }

    /// The level over each piece of `over` between two breakpoints.
    pub fn pieces(&self, over: Interval) -> impl Iterator<Item = (Interval, u64)> + '_ {
        let mut steps = self.steps_over(over).peekable();
        std::iter::from_fn(move || {
            let (start, level) = steps.next()?;
            let end = steps.peek().map_or(over.end(), |(next, _)| *next);
            Some((Interval::new(start, end)?, level))
        })
    }

    /// Whether nothing is booked at any instant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// What is booked at `instant` and from then on.
    pub(crate) fn cursor(&self, instant: Timestamp) -> Cursor<'_> {
        Cursor::new(&self.levels, instant)
    }

    /// A copy that is the same inside of `over` and may be anything outside.
    pub(crate) fn part(&self, over: Interval) -> Self {
        Self { levels: self.levels.part(over.start(), over.end()) }
    }

    fn inside(&self, over: Interval) -> Inside {
        let from = self.levels.last_of(|at| at <= over.start());
        Inside { from, to: self.levels.last_since(from, |at| at < over.end()) }
    }

    /// Adds to every level inside of `over`, modulo 2^64.
    fn shift(&mut self, over: Interval, Inside { from, to }: Inside, more: u64) {
        if more == 0 {
            return;
        }
        let levels = &mut self.levels;
        let level = |levels: &Chunks, place: Option<_>| place.map_or(0, |it| levels.level(it));
        let since = from.map(|from| levels.at(from));
        let begins = since == Some(over.start());
        let behind = level(levels, to);
        let next = levels.after(to);
        let ends = next.filter(|next| levels.at(*next) == over.end());
        let inner = if begins { from } else { levels.after(from) };
        if let (Some(inner), Some(to)) = (inner.filter(|inner| Some(*inner) <= to), to) {
            levels.raise(inner, to, more);
        }
        // Inside, all levels moved alike, so only the two edges can have become superfluous.
        match ends {
            None => levels.insert(to, over.end(), behind),
            Some(end) if levels.level(end) == behind.wrapping_add(more) => levels.remove(end),
            Some(_) => {}
        }
        // The end may have moved it.
        let from = match from.zip(since) {
            Some((from, since)) if levels.is_at(from, since) => Some(from),
            _ => levels.last_of(|at| at <= over.start()),
        };
        let before = if begins { from.and_then(|from| levels.before(from)) } else { from };
        let before = level(levels, before);
        match from {
            Some(start) if begins && levels.level(start) == before => levels.remove(start),
            _ if begins => {}
            from => levels.insert(from, over.start(), before.wrapping_add(more)),
        }
    }
}

/// Where an interval stands among the breakpoints.
#[derive(Clone, Copy, Debug)]
struct Inside {
    /// The last one at its start or before it.
    from: Option<Place>,
    /// The last one before its end.
    to: Option<Place>,
}

impl Inside {
    /// The least and the most that is booked at one instant of it.
    fn extent(self, levels: &Chunks) -> Extent {
        match (self.from, self.to) {
            (Some(from), Some(to)) => levels.extent(from, to),
            // It begins before anything is booked.
            (None, to) => to
                .zip(levels.first())
                .map_or(Extent::of(0), |(to, first)| levels.extent(first, to).and(Extent::of(0))),
            (Some(_), None) => Extent::of(0),
        }
    }
}

#[cfg(test)]
mod tests;

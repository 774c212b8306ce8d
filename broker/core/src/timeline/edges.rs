//! A lot of bookings at once, as the instants at which a level rises and at which it sinks.

use tidegate_policy::{Interval, Timestamp};

use super::Imbalance;
use super::chunks::Chunks;

/// By how much a level changes at an instant.
type Edge = (Timestamp, u64);

/// See the module: in any order, until they are put on a level.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edges {
    rising: Vec<Edge>,
    sinking: Vec<Edge>,
}

impl Edges {
    /// Those between the steps of a level that was zero before them.
    pub(super) fn between(steps: impl Iterator<Item = Edge>) -> Self {
        let (mut edges, mut before) = (Self::default(), 0_u64);
        for (instant, level) in steps {
            match level.checked_sub(before) {
                Some(more) => edges.rising.push((instant, more)),
                None => edges.sinking.push((instant, before.saturating_sub(level))),
            }
            before = level;
        }
        edges
    }

    pub(crate) fn book(&mut self, over: Interval, amount: u64) {
        self.rising.push((over.start(), amount));
        self.sinking.push((over.end(), amount));
    }

    pub(crate) fn free(&mut self, over: Interval, amount: u64) {
        self.sinking.push((over.start(), amount));
        self.rising.push((over.end(), amount));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rising.is_empty() && self.sinking.is_empty()
    }

    /// The level that has these steps, with all of them on top.
    ///
    /// # Errors
    /// [`Imbalance`] if it would sink below zero or pass 64 bits.
    pub(super) fn on(self, steps: impl Iterator<Item = Edge>) -> Result<Chunks, Imbalance> {
        let sorted = |mut edges: Vec<Edge>| {
            edges.sort_unstable_by_key(|(instant, _)| *instant);
            edges.into_iter().peekable()
        };
        let (mut rising, mut sinking) = (sorted(self.rising), sorted(self.sinking));
        let mut steps = steps.peekable();
        let (mut level, mut up, mut down, mut last) = (0_u64, 0_u128, 0_u128, 0_u64);
        let mut levels = Chunks::default();
        loop {
            let next = [steps.peek(), rising.peek(), sinking.peek()];
            let next = next.into_iter().flatten().map(|(instant, _)| *instant).min();
            let Some(instant) = next else { return Ok(levels) };
            let now = |(at, _): &Edge| *at == instant;
            while let Some((_, more)) = rising.next_if(now) {
                up = up.saturating_add(more.into());
            }
            while let Some((_, less)) = sinking.next_if(now) {
                down = down.saturating_add(less.into());
            }
            level = steps.next_if(now).map_or(level, |(_, there)| there);
            let sum = up.saturating_add(level.into()).checked_sub(down);
            let sum = sum.and_then(|sum| u64::try_from(sum).ok()).ok_or(Imbalance)?;
            if sum != last {
                levels.push(instant, sum);
                last = sum;
            }
        }
    }
}

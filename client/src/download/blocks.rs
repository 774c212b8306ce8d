//! Which bytes of a file are there: pure, so that what is fetched twice can be counted.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Ranges of bytes that are there, in order; no two touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Blocks(Vec<Range<u64>>);

impl Blocks {
    /// How many bytes are there.
    pub(super) fn len(&self) -> u64 {
        self.0
            .iter()
            .map(|range| range.end.saturating_sub(range.start))
            .fold(0, u64::saturating_add)
    }

    /// How many are there from the first byte on, without a gap.
    pub(super) fn prefix(&self) -> u64 {
        self.0.first().filter(|first| first.start == 0).map_or(0, |first| first.end)
    }

    /// These are there now.
    pub(super) fn add(&mut self, more: Range<u64>) {
        if more.is_empty() {
            return;
        }
        let from = self.0.partition_point(|range| range.end < more.start);
        let until = self.0.partition_point(|range| range.start <= more.end);
        let joined = self.0.get(from..until).unwrap_or_default();
        let start = joined.first().map_or(more.start, |first| first.start.min(more.start));
        let end = joined.last().map_or(more.end, |last| last.end.max(more.end));
        self.0.splice(from..until.max(from), std::iter::once(start..end));
    }

    /// What is missing before `size`, in pieces of at most `piece` bytes.
    pub(super) fn missing(&self, size: u64, piece: u64) -> Vec<Range<u64>> {
        let starts = std::iter::once(0).chain(self.0.iter().map(|range| range.end));
        let ends = self.0.iter().map(|range| range.start).chain([size]);
        let gaps = starts.zip(ends).map(|(start, end)| start..end.min(size));
        let cut = |gap: Range<u64>| {
            let starts =
                std::iter::successors(Some(gap.start), move |at| at.checked_add(piece.max(1)));
            let starts = starts.take_while(move |at| *at < gap.end);
            starts.map(move |at| at..at.saturating_add(piece.max(1)).min(gap.end))
        };
        gaps.filter(|gap| gap.start < gap.end).flat_map(cut).collect()
    }

    /// Whether these came from here: in order, none empty, none that touch, none behind `size`.
    pub(super) fn is_sound(&self, size: Option<u64>) -> bool {
        let filled = self.0.iter().all(|range| range.start < range.end);
        let apart = self.0.is_sorted_by(|one, next| one.end < next.start);
        let inside = self.0.last().is_none_or(|last| size.is_none_or(|size| last.end <= size));
        filled && apart && inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What is there and what is missing are each other's rest, byte by byte.
        #[test]
        fn nothing_is_lost_or_there_twice(
            ranges in prop::collection::vec((0..60_u64, 0..12_u64), 0..12),
            (size, piece) in (0..80_u64, 1..30_u64),
        ) {
            let (mut blocks, mut there) = (Blocks::default(), vec![false; 80]);
            for (start, length) in ranges {
                blocks.add(start..start + length);
                (start..start + length).for_each(|at| there[usize::try_from(at).unwrap()] = true);
            }
            prop_assert!(blocks.is_sound(None));
            prop_assert_eq!(blocks.len(), u64::try_from(there.iter().filter(|it| **it).count()).unwrap());
            let prefix = there.iter().take_while(|it| **it).count();
            prop_assert_eq!(blocks.prefix(), u64::try_from(prefix).unwrap());
            let missing = blocks.missing(size, piece);
            prop_assert!(missing.iter().all(|it| it.end - it.start <= piece));
            let missing: Vec<u64> = missing.into_iter().flatten().collect();
            let expected = (0..size).filter(|at| !there[usize::try_from(*at).unwrap()]);
            prop_assert_eq!(missing, expected.collect::<Vec<u64>>());
        }
    }
}

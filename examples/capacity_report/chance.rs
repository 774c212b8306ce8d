//! Chance that is the same each time: whole numbers only, so that it is the same on every machine.

/// A sequence of numbers that look random.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64 (Steele, Lea and Flood 2014).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 of no bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let scaled = u128::from(self.next()).saturating_mul(bound.into()) >> 64;
        u64::try_from(scaled).unwrap_or(0)
    }

    /// A number from `least` to `most`.
    pub(crate) fn within(&mut self, least: u64, most: u64) -> u64 {
        least.saturating_add(self.below(most.saturating_sub(least).saturating_add(1)))
    }

    /// True that many times of a thousand.
    pub(crate) fn permille(&mut self, times: u64) -> bool {
        self.below(1000) < times
    }

    /// One of several; the first if there is but one.
    pub(crate) fn one_of<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(of.len()).unwrap_or(0);
        of.get(usize::try_from(self.below(count)).unwrap_or(0))
    }

    /// A heavy-tailed number from `least` to `most`: bounded Pareto of shape 1. Half of them are below
    /// twice the least, and of all that they add up to each doubling of the size has as much.
    pub(crate) fn pareto(&mut self, least: u64, most: u64) -> u64 {
        const ONE: u128 = 1 << 32;
        let (low, high) = (u128::from(least.max(1)), u128::from(most.max(least).max(1)));
        let tail = ONE.saturating_mul(low).checked_div(high).unwrap_or(ONE);
        let drawn = u128::from(self.next() >> 32);
        let left = ONE.saturating_sub(drawn.saturating_mul(ONE.saturating_sub(tail)) >> 32);
        let size = low.saturating_mul(ONE).checked_div(left).unwrap_or(high);
        u64::try_from(size.min(high)).unwrap_or(most)
    }
}

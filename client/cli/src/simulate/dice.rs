//! Chance that is the same for the same seed, on every machine.
//!
//! The generator is xoshiro256** of D. Blackman and S. Vigna, "Scrambled Linear Pseudorandom Number
//! Generators" (2021), seeded through their SplitMix64. A workload has to be drawn again exactly,
//! by whoever has its seed; a crate's generator may change with its version.

use super::numbers::{float, floor};

/// A source of chance.
#[derive(Clone, Debug)]
pub(super) struct Dice([u64; 4]);

/// One step of SplitMix64.
fn split(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Dice {
    /// A source for one purpose: two purposes share no numbers, so that drawing more for one
    /// changes nothing for the other.
    pub(super) fn new(seed: u64, purpose: &str) -> Self {
        let mut state = seed;
        for byte in purpose.bytes() {
            state = split(&mut state) ^ u64::from(byte);
        }
        Self(std::array::from_fn(|_| split(&mut state)))
    }

    fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// Anything from 0 to below 1, alike.
    pub(super) fn unit(&mut self) -> f64 {
        // 53 bits are what a fraction holds.
        float(self.next() >> 11) / float(1 << 53)
    }

    /// Anything from `low` to below `high`, alike.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A whole number from 0 to `most`, alike.
    pub(super) fn up_to(&mut self, most: u64) -> u64 {
        floor(self.unit() * float(most.saturating_add(1))).min(most)
    }

    /// Whether something of this chance happens.
    pub(super) fn happens(&mut self, chance: f64) -> bool {
        self.unit() < chance
    }

    /// An exponentially distributed length of this mean.
    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        // 1 - u is never zero.
        -mean * (1.0 - self.unit()).ln()
    }

    /// A lognormally distributed mass of median 1.
    pub(super) fn lognormal(&mut self, sigma: f64) -> f64 {
        // Box and Muller, 1958.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.unit();
        (sigma * radius * angle.cos()).exp()
    }

    /// The index of one of these, by the running sums of their weights.
    pub(super) fn pick(&mut self, sums: &[f64]) -> usize {
        let at = self.unit() * sums.last().copied().unwrap_or(0.0);
        sums.partition_point(|sum| *sum <= at).min(sums.len().saturating_sub(1))
    }
}

/// The running sums of weights, for [`Dice::pick`].
pub(super) fn sums(weights: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut sum = 0.0;
    let add = |weight: f64| {
        sum += weight;
        sum
    };
    weights.into_iter().map(add).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_everywhere() {
        let mut dice = Dice([1, 2, 3, 4]);
        // The first numbers of the reference implementation from that state.
        let first: Vec<u64> = (0..4).map(|_| dice.next()).collect();
        assert_eq!(first, [11520, 0, 1_509_978_240, 1_215_971_899_390_074_240]);
        let draw = |purpose| Dice::new(7, purpose).next();
        assert_eq!(draw("a"), draw("a"));
        assert_ne!(draw("a"), draw("b"));
    }

    #[test]
    fn what_is_drawn_has_the_mean_that_was_asked_for() {
        let mut dice = Dice::new(1, "test");
        let mean = |draw: &mut dyn FnMut() -> f64| (0..20_000).map(|_| draw()).sum::<f64>() / 2e4;
        let exponential = mean(&mut || dice.exponential(6.0));
        assert!((exponential - 6.0).abs() < 0.2, "{exponential}");
        let unit = mean(&mut || dice.unit());
        assert!((unit - 0.5).abs() < 0.02, "{unit}");
        let logs = mean(&mut || dice.lognormal(0.7).ln().powi(2));
        assert!((logs - 0.49).abs() < 0.03, "{logs}");
        let whole = mean(&mut || float(dice.up_to(4)));
        assert!((whole - 2.0).abs() < 0.05, "{whole}");
    }

    #[test]
    fn weights_are_picked_by_their_share() {
        let (mut dice, sums) = (Dice::new(3, "test"), sums([1.0, 0.0, 3.0]));
        let mut counts = [0; 3];
        for _ in 0..4000 {
            counts[dice.pick(&sums)] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((900..1100).contains(&counts[0]), "{counts:?}");
    }
}

//! Random numbers, rates and bursts that a seed makes again.

use std::time::Duration;

use tidegate_client::bucket::Burst;
use tidegate_policy::{BitRate, ByteCount};

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(crate) fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(u64::try_from(bound).unwrap())).unwrap()
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// 64 kbit/s to 100 Gbit/s, all magnitudes alike, mostly ugly.
    pub(crate) fn rate(&mut self) -> BitRate {
        let tidy = [64_000, 600_000_000, 3_000_000_000, 5_500_000_000, 100_000_000_000];
        let ugly = (64_000_u64 << self.below(21)) + self.below(64_000);
        let tidy_or_ugly = if self.one_in(4) { tidy[self.index(5)] } else { ugly };
        BitRate::from_bps(tidy_or_ugly.min(100_000_000_000)).unwrap()
    }

    pub(crate) fn burst(&mut self) -> Burst {
        match self.below(3) {
            0 => Burst::default(),
            1 => Burst::Span(Duration::from_micros(self.below(50_000))),
            _ => Burst::Bytes(ByteCount::new(self.below(2_000_000))),
        }
    }

    /// None in half of all cases, as by default.
    pub(crate) fn late_credit(&mut self) -> Duration {
        if self.one_in(2) { Duration::ZERO } else { Duration::from_micros(self.below(120_000)) }
    }
}

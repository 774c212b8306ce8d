//! The law itself, as a checker that knows nothing of how it is kept.

use tidegate_policy::BitRate;

/// Billionths of a bit in a byte.
pub(crate) const BYTE: i128 = 8_000_000_000;

/// Checks `rate * w + burst + late credit` in every window that ends now, without remembering the
/// windows: `ahead` is what was admitted less the integral of the rate, and `bound` the least that
/// it ever was when a window could begin, plus what could pass at once at that moment.
///
/// That is a quantum less than what is promised.
pub(crate) struct Law {
    pub(crate) now: u64,
    ahead: i128,
    bound: i128,
    /// The most that it ever was.
    peak: i128,
}

impl Law {
    pub(crate) fn new(now: u64) -> Self {
        Self { now, ahead: 0, bound: i128::MAX, peak: 0 }
    }

    /// Time goes on to `now` at `rate`.
    pub(crate) fn pass(&mut self, rate: BitRate, now: u64) {
        self.ahead -= i128::from(now - self.now) * i128::from(rate.bps());
        self.now = now;
    }

    /// A window may begin here, with `at_once` bytes of burst and late credit.
    pub(crate) fn settle(&mut self, at_once: u64) {
        self.bound = self.bound.min(self.ahead + i128::from(at_once) * BYTE);
    }

    pub(crate) fn admit(&mut self, bytes: u64) {
        self.ahead += i128::from(bytes) * BYTE;
        self.peak = self.peak.max(self.ahead);
    }

    pub(crate) fn give_back(&mut self, bytes: u64) {
        self.ahead -= i128::from(bytes) * BYTE;
    }

    pub(crate) fn holds(&self) -> bool {
        self.ahead <= self.bound
    }

    /// Bytes that the rate carried and nobody got, since it was farthest ahead, rounded down.
    pub(crate) fn behind(&self) -> i128 {
        (self.peak - self.ahead) / BYTE
    }
}

#[test]
fn the_checker_sees_a_byte_too_many() {
    let rate = BitRate::from_bps(8_000).unwrap();
    let mut law = Law::new(0);
    law.settle(100);
    law.admit(100);
    assert!(law.holds());
    // A millisecond carries a byte.
    law.pass(rate, 1_000_000);
    law.settle(100);
    law.admit(1);
    assert!(law.holds());
    law.admit(1);
    assert!(!law.holds());
    law.give_back(1);
    assert!(law.holds());
    law.pass(rate, 51_000_000);
    assert_eq!(law.behind(), 51, "50 bytes, and the one that it was once too far ahead");
}

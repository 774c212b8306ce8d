//! Bits per second and bytes, never bare numbers; the only place where eight is multiplied.
//!
//! Rates are counted in SI units of *payload* bits per second, sizes in bytes. Texts name their
//! unit; a number without one is refused, because half of all tools read it as bits and the
//! other half as bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::decimal::{self, Grammar};
use crate::error::ParseError;
use crate::time::Span;

/// A payload rate in bits per second, at most 10^15.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct BitRate(u64);

const RATE: Grammar = Grammar {
    kind: "rate",
    hint: "write bits as in 10Gbit or 250Mbit/s, or bytes as in 1.25GB/s",
    base: "bit/s",
    max: BitRate::MAX.0,
};

impl BitRate {
    /// No rate at all. Zero is zero: it never means "unlimited".
    pub const ZERO: Self = Self(0);
    /// The largest rate, 10^15 bit/s: sums over a lane's bookings stay far inside 64 bits.
    pub const MAX: Self = Self(1_000_000_000_000_000);

    /// A rate of `bps` bits per second, or `None` above [`Self::MAX`].
    #[must_use]
    pub const fn from_bps(bps: u64) -> Option<Self> {
        if bps <= Self::MAX.0 { Some(Self(bps)) } else { None }
    }

    /// The rate in bits per second.
    #[must_use]
    pub const fn bps(self) -> u64 {
        self.0
    }

    /// Whole bytes that this rate moves in `span`, rounded down.
    #[must_use]
    pub fn bytes_in(self, span: Span) -> ByteCount {
        // 10^15 bit/s over 400 days is 3.5 * 10^22 bits: a product for 128 bits.
        let bits = u128::from(self.0) * u128::from(span.as_ms()) / 1000;
        ByteCount(u64::try_from(bits / 8).unwrap_or(u64::MAX))
    }

    /// The mean rate of `bytes` moved in `span`, rounded down; `None` for an empty span or a
    /// rate above [`Self::MAX`].
    #[must_use]
    pub fn mean(bytes: ByteCount, span: Span) -> Option<Self> {
        let ms = u128::from(span.as_ms());
        let bps = (u128::from(bytes.0) * 8 * 1000).checked_div(ms)?;
        Self::from_bps(u64::try_from(bps).ok()?)
    }
}

/// Decimal prefixes, largest first.
const DECIMAL: [(&str, u64); 6] = [
    ("P", 1_000_000_000_000_000),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1_000),
    ("", 1),
];

/// Binary prefixes, largest first.
const BINARY: [(&str, u64); 5] =
    [("Pi", 1 << 50), ("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];

fn byte_factor(unit: &str) -> Option<u64> {
    let prefix = unit.strip_suffix('B')?;
    DECIMAL.iter().chain(&BINARY).find(|(name, _)| *name == prefix).map(|(_, factor)| *factor)
}

fn rate_factor(unit: &str) -> Option<u64> {
    if let Some(bytes) = unit.strip_suffix("/s").filter(|bytes| bytes.ends_with('B')) {
        return byte_factor(bytes)?.checked_mul(8);
    }
    // Spelled-out bits are never mistaken for bytes, so their prefix may be in either case.
    let bits = unit.strip_suffix("/s").unwrap_or(unit);
    let prefix = bits.strip_suffix("bit").or_else(|| unit.strip_suffix("bps"))?;
    DECIMAL.iter().find(|(name, _)| name.eq_ignore_ascii_case(prefix)).map(|(_, factor)| *factor)
}

impl FromStr for BitRate {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        RATE.parse(text, rate_factor).map(Self)
    }
}

/// Exact, so that what is printed can be typed back: `2.5Gbit/s`, `1.000000001Gbit/s`.
impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = DECIMAL[1..].iter().find(|(_, factor)| self.0 >= *factor);
        let (prefix, factor) = fits.copied().unwrap_or(("", 1));
        f.pad(&format!("{}{prefix}bit/s", decimal::exact(self.0, factor)))
    }
}

impl From<BitRate> for String {
    fn from(rate: BitRate) -> Self {
        rate.to_string()
    }
}

impl TryFrom<String> for BitRate {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

/// A size in bytes.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct ByteCount(u64);

const SIZE: Grammar = Grammar {
    kind: "size",
    hint: "write decimal units as in 40GB or binary ones as in 40GiB",
    base: "byte",
    max: u64::MAX,
};

impl ByteCount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// A size of `bytes` bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The shortest span in which `rate` moves all of these bytes, rounded up; `None` at a rate
    /// of zero or past the largest span.
    #[must_use]
    pub fn span_at(self, rate: BitRate) -> Option<Span> {
        if rate == BitRate::ZERO {
            return None;
        }
        let ms = (u128::from(self.0) * 8 * 1000).div_ceil(u128::from(rate.bps()));
        Span::from_ms(u64::try_from(ms).ok()?)
    }
}

impl FromStr for ByteCount {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        SIZE.parse(text, byte_factor).map(Self)
    }
}

/// Exact: the largest unit that divides the size evenly, or a decimal of the SI one.
impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = BINARY.iter().find(|(_, factor)| {
            self.0 >= *factor && self.0.is_multiple_of(*factor) && !self.0.is_multiple_of(1000)
        });
        let decimal = DECIMAL.iter().find(|(_, factor)| self.0 >= *factor);
        let (prefix, factor) = decimal.copied().unwrap_or(("", 1));
        let text = match binary {
            Some((prefix, factor)) => format!("{}{prefix}B", self.0 / factor),
            None => format!("{}{prefix}B", decimal::exact(self.0, factor)),
        };
        f.pad(&text)
    }
}

impl From<ByteCount> for String {
    fn from(size: ByteCount) -> Self {
        size.to_string()
    }
}

impl TryFrom<String> for ByteCount {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_are_read_with_their_unit() {
        let table = [
            ("10Gbit", Ok(10_000_000_000)),
            ("10gbit/s", Ok(10_000_000_000)),
            ("10 Gbps", Ok(10_000_000_000)),
            ("2.5Gbit", Ok(2_500_000_000)),
            ("1.25GB/s", Ok(10_000_000_000)),
            ("1MiB/s", Ok(8_388_608)),
            ("64kbit", Ok(64_000)),
            ("7bit/s", Ok(7)),
            ("0bit", Ok(0)),
            ("1Pbit", Ok(1_000_000_000_000_000)),
            ("0.5bit", Err("whole bit/s")),
            ("10", Err("no unit")),
            ("10G", Err("unit \"G\" is not known")),
            ("10Gb", Err("not known")),
            ("10GB", Err("not known")),
            ("Gbit", Err("start with a number")),
            ("-1Gbit", Err("start with a number")),
            ("1.2.3Gbit", Err("malformed")),
            ("1.Gbit", Err("malformed")),
            ("1.1Pbit", Err("over the largest")),
            ("99999999999999999999999Gbit", Err("over the largest")),
            ("", Err("start with a number")),
        ];
        for (text, expected) in table {
            match (text.parse::<BitRate>(), expected) {
                (Ok(rate), Ok(bps)) => assert_eq!(rate.bps(), bps, "{text}"),
                (Err(error), Err(why)) => {
                    assert!(error.to_string().contains(why), "{text}: {error}");
                }
                (got, expected) => panic!("{text}: {got:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn sizes_are_read_with_their_unit() {
        let table = [
            ("40GiB", Some(42_949_672_960)),
            ("40GB", Some(40_000_000_000)),
            ("1.5KiB", Some(1536)),
            ("12B", Some(12)),
            ("40", None),
            ("40Gi", None),
            ("0.3B", None),
            ("40gb", None),
        ];
        for (text, bytes) in table {
            assert_eq!(text.parse().ok(), bytes.map(ByteCount::new), "{text}");
        }
    }

    #[test]
    fn spans_round_up_and_bytes_round_down() {
        let gigabit = "1Gbit".parse::<BitRate>().unwrap();
        let size = ByteCount::new(125_000_001);
        assert_eq!(size.span_at(gigabit).unwrap().as_ms(), 1001);
        let ms = Span::from_ms(1).unwrap();
        assert_eq!("15bit".parse::<BitRate>().unwrap().bytes_in(ms), ByteCount::ZERO);
        assert_eq!(size.span_at(BitRate::ZERO), None);
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(bps in 0..=BitRate::MAX.bps(), bytes: u64) {
            let rate = BitRate::from_bps(bps).unwrap();
            prop_assert_eq!(rate.to_string().parse::<BitRate>().unwrap(), rate);
            let size = ByteCount::new(bytes);
            prop_assert_eq!(size.to_string().parse::<ByteCount>().unwrap(), size);
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            drop(text.parse::<BitRate>());
            drop(text.parse::<ByteCount>());
        }
    }
}

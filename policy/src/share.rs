//! So much of each of some lanes: a part of what they carry, whatever that is at the time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::decimal::{self, Grammar};
use crate::error::ParseError;

/// The most shares of one quota.
pub const SHARES_MAX: usize = 16;
/// The longest selector, in characters.
pub const SELECTOR_MAX: usize = 255;
/// The most `*` in a selector.
const STARS_MAX: usize = 8;

/// Which lanes are meant: `all`, `network`, `storage`, or a name in which `*` stands for any text, such
/// as `links/*/forward` or `storage/swift-*`. A resource stands for all its lanes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector(Box<str>);

impl Selector {
    /// Of every lane.
    #[must_use]
    pub fn all() -> Self {
        Self("all".into())
    }

    /// Whether it means a lane of this name.
    #[must_use]
    pub fn takes(&self, lane: &str) -> bool {
        match &*self.0 {
            "all" => true,
            "network" => lane.starts_with("hosts/") || lane.starts_with("links/"),
            "storage" => lane.starts_with("storage/"),
            // A resource, or one of its lanes: the whole name, or all of it to a slash.
            pattern => {
                let ends = lane.match_indices('/').map(|(at, _)| at).chain([lane.len()]);
                let mut names = ends.filter_map(|end| lane.get(..end));
                names.any(|name| fits(pattern.as_bytes(), name.as_bytes()))
            }
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text is a pattern with its stars filled in: greedy, with one step back to the last star,
/// in the product of both lengths at most.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0_usize, 0_usize);
    let mut last: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(read) {
        match pattern.get(at) {
            Some(b'*') => {
                last = Some((at, read));
                at = at.saturating_add(1);
            }
            Some(wanted) if wanted == byte => {
                at = at.saturating_add(1);
                read = read.saturating_add(1);
            }
            _ => {
                let Some((star, taken)) = last else { return false };
                let taken = taken.saturating_add(1);
                last = Some((star, taken));
                (at, read) = (star.saturating_add(1), taken);
            }
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Selector {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fault = |why: &str| {
            let hint = "write all, network, storage, or a name with * in it, as links/*/forward";
            ParseError::new("selector", text, why, hint)
        };
        if matches!(text, "all" | "network" | "storage") {
            return Ok(Self(text.into()));
        }
        if SELECTOR_MAX < text.len() {
            return Err(fault("it is too long"));
        }
        let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '*');
        if !text.chars().all(inner) {
            return Err(fault("it has a character that names do not have"));
        }
        if STARS_MAX < text.matches('*').count() {
            return Err(fault("it has more than 8 stars"));
        }
        let kind = text.split('/').next().unwrap_or_default();
        if !["hosts", "links", "storage", "*"].contains(&kind) || !text.contains('/') {
            return Err(fault("it begins with no collection of hosts, links or storage"));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Selector {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.0.into()
    }
}

/// A part of something, in parts per million of it: from nothing to all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Part(u32);

impl Part {
    /// All of it.
    pub const ALL: Self = Self(1_000_000);

    /// So many millionths, or `None` above all of it.
    #[must_use]
    pub const fn from_ppm(ppm: u32) -> Option<Self> {
        if ppm <= Self::ALL.0 { Some(Self(ppm)) } else { None }
    }

    /// In millionths.
    #[must_use]
    pub const fn ppm(self) -> u32 {
        self.0
    }

    /// So much of `whole`, rounded down.
    #[must_use]
    pub fn of(self, whole: u64) -> u64 {
        let part = u128::from(whole).saturating_mul(self.0.into()) / 1_000_000;
        u64::try_from(part).unwrap_or(whole)
    }

    /// What is left of all without it.
    #[must_use]
    pub const fn rest(self) -> Self {
        Self(Self::ALL.0.saturating_sub(self.0))
    }
}

/// In percent: `50%`, `12.5%`.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}%", decimal::exact(self.0.into(), 10_000)))
    }
}

const PART: Grammar = Grammar {
    kind: "part",
    hint: "write percent from 0% to 100%, as in 12.5%",
    base: "millionth",
    max: Part::ALL.0 as u64,
};

impl FromStr for Part {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let ppm = PART.parse(text, |unit| (unit == "%").then_some(10_000))?;
        let ppm = u32::try_from(ppm).ok().and_then(Self::from_ppm);
        ppm.ok_or_else(|| PART.fault(text, "it is more than all"))
    }
}

impl TryFrom<String> for Part {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Part> for String {
    fn from(part: Part) -> Self {
        part.to_string()
    }
}

/// So much of each lane of a selection.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Of which lanes.
    pub of: Selector,
    /// How much of each of them, of what it carries at the time.
    pub part: Part,
}

impl Share {
    /// The least part of a lane among these shares; `None` if none of them is of it.
    #[must_use]
    pub fn least(shares: &[Self], lane: &str) -> Option<Part> {
        shares.iter().filter(|share| share.of.takes(lane)).map(|share| share.part).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn takes(selector: &str, lane: &str) -> bool {
        selector.parse::<Selector>().unwrap().takes(lane)
    }

    #[test]
    fn selectors_mean_lanes_and_resources() {
        let nic = "hosts/compute-1/nics/eth0/egress";
        for (selector, lane, expected) in [
            ("all", nic, true),
            ("network", nic, true),
            ("network", "links/a/forward", true),
            ("network", "storage/swift/read", false),
            ("storage", "storage/swift/read", true),
            ("links/a", "links/a/forward", true),
            ("links/a", "links/ab/forward", false),
            ("links/*/forward", "links/a/forward", true),
            ("links/*/forward", "links/a/reverse", false),
            ("hosts/compute-*/nics/*", nic, true),
            ("hosts/compute-*", nic, true),
            ("hosts/storage-*", nic, false),
            ("*/total", "links/a/total", true),
        ] {
            assert_eq!(takes(selector, lane), expected, "{selector} {lane}");
        }
        for bad in ["", "links", "nics/eth0", "links/a b", "links/*********", "Links/a"] {
            bad.parse::<Selector>().unwrap_err();
        }
    }

    #[test]
    fn parts_are_percent() {
        for (text, ppm) in [("50%", 500_000), ("12.5%", 125_000), ("100%", 1_000_000), ("0%", 0)] {
            let part: Part = text.parse().unwrap();
            assert_eq!((part.ppm(), part.to_string().as_str()), (ppm, text));
        }
        for bad in ["50", "0.5", "101%", "-1%", "%", "0.00001%"] {
            bad.parse::<Part>().unwrap_err();
        }
        assert_eq!(Part::from_ppm(333_333).unwrap().of(10), 3, "rounded down");
    }

    /// The same by trying every filling of every star.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            Some((byte, rest)) => text.first() == Some(byte) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn stars_stand_for_any_text(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(fits(pattern, text), naive(pattern, text));
        }
    }
}

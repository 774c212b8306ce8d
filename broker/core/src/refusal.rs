//! The answer "no": why, and what would fit.

use std::fmt;

use tidegate_policy::{BitRate, Endpoint, Interval, Name, Timestamp};

use crate::lane::LaneName;

/// Why a request is refused, in the order the reasons are tested. The order is API.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reason {
    /// No path leads from any source to the destination.
    NoPath,
    /// A lane of every path is smaller than the rate, even when empty.
    RateAboveCapacity,
    /// The lanes are booked by others.
    NoHeadroom,
}

/// The most blockers that a refusal lists.
pub const BLOCKERS_MAX: usize = 64;

/// A refusal: nothing is booked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The first reason that holds.
    pub reason: Reason,
    /// Every lane that is in the way, in path order by source; at most [`BLOCKERS_MAX`].
    pub blockers: Vec<Blocker>,
    /// What would be granted if it were asked now, best first.
    pub offers: Vec<CounterOffer>,
}

/// A lane that is in the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Blocker {
    /// The source whose path needs it.
    pub source: Endpoint,
    /// The lane.
    pub lane: LaneName,
    /// What the lane can carry in all, in bits per second.
    pub limit: u64,
    /// The least that is free on it during the interval, in bits per second.
    pub free: u64,
    /// What the request needs there, in bits per second.
    pub needed: u64,
    /// The first start at which this lane alone could carry the request.
    pub first_free: Option<Timestamp>,
}

impl Blocker {
    /// How much is missing, in bits per second.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.needed.saturating_sub(self.free)
    }
}

/// How an offer differs from what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OfferKind {
    /// The same rate for the same time, at the earliest later start.
    SameRateLater,
    /// The same interval, at the highest rate that fits.
    LowerRateNow,
}

/// Something that fits, to be asked for with a new request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CounterOffer {
    /// How it differs.
    pub kind: OfferKind,
    /// The source to name.
    pub source: Endpoint,
    /// The relays to name.
    pub via: Vec<Name>,
    /// The payload rate.
    pub rate: BitRate,
    /// When.
    pub interval: Interval,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoPath => "no path",
            Self::RateAboveCapacity => "rate above capacity",
            Self::NoHeadroom => "no headroom",
        })
    }
}

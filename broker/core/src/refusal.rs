//! The answer "no": why, and what would fit.

use std::fmt;

use tidegate_policy::{BitRate, ByteCount, Endpoint, Interval, Limit, RuleId, Timestamp};

use crate::command::{Ask, Shape, Ways};
use crate::event::Route;
use crate::lane::{LaneName, Terms};
use crate::policy::Whose;
use crate::reservation::Reservation;

/// Why a request is refused, in the order the reasons are tested. The order is API.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reason {
    /// An admission rule denies it.
    RuleDenied,
    /// Its project may not use its class.
    ClassNotAllowed,
    /// More than a quota allows, whatever is booked.
    AboveQuota,
    /// What a quota allows is used by others of the project, or of those beside it.
    QuotaExhausted,
    /// No storage that is named is of a tier that its class is satisfied with.
    NoTier,
    /// No path leads from any source to the destination.
    NoPath,
    /// A lane of every path is smaller than the rate, even when empty.
    RateAboveCapacity,
    /// A lane of every path is drained: it takes nothing new.
    Drained,
    /// The lanes are booked by others.
    NoHeadroom,
    /// It would fit, but others of its batch do not.
    OthersRefused,
    /// Another one of its batch is taken instead.
    OtherTaken,
}

/// The most blockers that a refusal lists.
pub const BLOCKERS_MAX: usize = 64;

/// A refusal: nothing is booked but [`held`](Refusal::held), if that was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The first reason that holds.
    pub reason: Reason,
    /// Every lane that is in the way, in path order by source; at most [`BLOCKERS_MAX`].
    pub blockers: Vec<Blocker>,
    /// Every rule that denies it.
    pub rules: Vec<RuleBlocker>,
    /// Every limit of a quota that is in the way and no lane.
    pub quotas: Vec<QuotaBlocker>,
    /// What would be granted if it were asked now, best first.
    pub offers: Vec<CounterOffer>,
    /// The best offer, held, if that was asked for.
    pub held: Option<Box<Reservation>>,
}

impl Refusal {
    /// A refusal that says no more than its reason.
    pub(crate) fn bare(reason: Reason) -> Self {
        let (blockers, rules, quotas, offers) = Default::default();
        Self { reason, blockers, rules, quotas, offers, held: None }
    }
}

/// A lane that is in the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Blocker {
    /// The source whose path needs it; `None` if only lanes were named.
    pub source: Option<Endpoint>,
    /// The lane.
    pub lane: LaneName,
    /// What the lane can carry in all, in bits per second.
    pub limit: u64,
    /// The least that is free on it during the interval, in bits per second; of a volume, what is
    /// free for it on average from its start to its deadline.
    pub free: u64,
    /// What the request needs there, in bits per second.
    pub needed: u64,
    /// The first start at which this lane alone could carry the request for its whole length; of a
    /// volume, the first at which it could carry any of it, even if not all in time. `None` if there
    /// is none within the horizon.
    pub first_free: Option<Timestamp>,
}

impl Blocker {
    /// How much is missing, in bits per second.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.needed.saturating_sub(self.free)
    }
}

/// An admission rule that denies a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleBlocker {
    /// Which.
    pub rule: RuleId,
    /// What it says.
    pub why: String,
}

/// A limit of a quota that is in the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuotaBlocker {
    /// Whose quota: of the project, of one above it, or of the principal there.
    pub whose: Whose,
    /// Of what; it says in which unit the others are.
    pub what: Limit,
    /// What it allows.
    pub limit: u64,
    /// What is used of it.
    pub used: u64,
    /// What the request needs.
    pub asked: u64,
}

/// How an offer differs from what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OfferKind {
    /// The same rate for the same time, at the earliest later start.
    SameRateLater,
    /// The same interval, at the highest rate that fits; of a window, at the first start where it
    /// does.
    LowerRateNow,
    /// The same volume from the same start with the earliest end, at no higher rate than asked for.
    LaterFinish,
    /// As much of the volume as can be had by its deadline.
    LessInTime,
    /// All that was asked, from a backend that mirrors one that was named.
    OtherSource,
}

/// Something that fits, to be asked for with a new request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CounterOffer {
    /// How it differs.
    pub kind: OfferKind,
    /// The way to take.
    pub route: Route,
    /// What its bookings depend on besides the lanes.
    pub terms: Terms,
    /// The payload rate.
    pub rate: BitRate,
    /// When; of a volume, from the earliest start to the deadline.
    pub interval: Interval,
    /// The payload bytes, where a volume was asked for; the rate is the highest then.
    pub volume: Option<ByteCount>,
}

impl CounterOffer {
    /// A request for exactly this, on the conditions of the one that was refused.
    #[must_use]
    pub fn ask(&self, original: &Ask) -> Ask {
        if let Some(ask) = self.volume.and_then(|volume| self.transfer(original, volume)) {
            return ask;
        }
        let ways = self.route.ways();
        let shape = Shape::Offered { rate: self.rate, over: self.interval };
        Ask { ways, shape, hold_best_offer: false, ..original.clone() }
    }

    /// The same for a volume: over all ways that the original may take, or from the source that
    /// is offered instead.
    fn transfer(&self, original: &Ask, volume: ByteCount) -> Option<Ask> {
        let Shape::Transfer { min, max, split, .. } = original.shape else { return None };
        let (start, deadline) = (Some(self.interval.start()), self.interval.end());
        let shape = Shape::Transfer { volume, min, max, start, deadline, split };
        let mut ways = original.ways.clone();
        if let (Ways::Between { sources, path, .. }, OfferKind::OtherSource) =
            (&mut ways, self.kind)
        {
            *sources = self.route.source().cloned().into_iter().collect();
            *path = None;
        }
        Some(Ask { ways, shape, hold_best_offer: false, ..original.clone() })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::RuleDenied => "denied by a rule",
            Self::ClassNotAllowed => "class not allowed",
            Self::NoTier => "no storage of the tier",
            Self::AboveQuota => "above quota",
            Self::QuotaExhausted => "quota exhausted",
            Self::NoPath => "no path",
            Self::RateAboveCapacity => "rate above capacity",
            Self::Drained => "drained",
            Self::NoHeadroom => "no headroom",
            Self::OthersRefused => "others of its batch are refused",
            Self::OtherTaken => "another one of its batch is taken",
        })
    }
}

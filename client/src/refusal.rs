//! The answer "no": why, how much is missing, and what would fit.

mod offer;

use std::fmt;

use tidegate_policy::{BitRate, Endpoint, Timestamp};
use tidegate_proto::v1;

use crate::error::ClientError;
use crate::policy::{QuotaBlocker, RuleBlocker};
use crate::reservation::{Reservation, State, Timing};
use crate::wire;

pub use offer::{CounterOffer, OfferKind};

/// The answer "no". Nothing is booked.
///
/// Printed, it reads as a clerk would say it: the reason, each lane in the way with what is
/// missing there, and what would be granted instead.
///
/// ```
/// use tidegate_client::refusal::{CounterOffer, OfferKind, Refusal, RefusalReason};
/// use tidegate_client::ask::{Ask, Want};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let offer = CounterOffer {
/// #     kind: OfferKind::SameRateLater,
/// #     source: Some("storage/swift-east".parse()?),
/// #     via: Vec::new(),
/// #     path: None,
/// #     volume: None,
/// #     rate: "5Gbit".parse()?,
/// #     start: "2030-01-01T18:00:00Z".parse()?,
/// #     end: "2030-01-01T19:00:00Z".parse()?,
/// #     token: Some("o1.f00".parse()?),
/// # };
/// # let reason = RefusalReason::NoHeadroom;
/// # let (blockers, rules, quotas) = Default::default();
/// # let offers = vec![offer];
/// # let refusal = Refusal { reason, blockers, rules, quotas, offers, held: None };
/// assert_eq!(
///     refusal.to_string(),
///     "refused: others have booked what it needs\n\
///      what would fit now:\n  \
///      the same rate later: 5Gbit/s from storage/swift-east, \
///      2030-01-01T18:00:00Z to 2030-01-01T19:00:00Z"
/// );
/// // The first offer that finishes in time, asked for exactly as it was made.
/// let latest = "2030-01-01T20:00:00Z".parse()?;
/// let offer = refusal.offers.iter().find(|offer| offer.end <= latest);
/// let ask = offer.map(Ask::offer).ok_or("nothing fits in time")?;
/// assert!(matches!(ask.want, Want::Offer(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The first reason that holds.
    pub reason: RefusalReason,
    /// Every lane that is in the way, at most 64.
    pub blockers: Vec<Blocker>,
    /// What would be granted if it were asked now: first what carries all of the volume, by when it
    /// is finished, then what carries less, by how much. Take one with
    /// [`Client::take`](crate::connect::Client::take) or [`CounterOffer::ask`].
    pub offers: Vec<CounterOffer>,
    /// Every admission rule that denies it, at most 16.
    pub rules: Vec<RuleBlocker>,
    /// Every limit of a quota that is in the way and no lane. The quota of a rate is a lane,
    /// `projects/PROJECT/rate`, and a share of a lane is one as well: both are among the blockers.
    pub quotas: Vec<QuotaBlocker>,
    /// The best offer, held, if [`Ask::hold_best_offer`](crate::ask::Ask::hold_best_offer)
    /// was asked for. Confirm it, or let it lapse.
    pub held: Option<Box<Reservation>>,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// An admission rule denies it.
    RuleDenied,
    /// Its project may not use its class of service.
    ClassNotAllowed,
    /// No storage that is named is of a tier that its class is satisfied with.
    NoTier,
    /// More than a quota allows, whatever is booked.
    AboveQuota,
    /// What a quota allows is used by others of the project, or of those beside it.
    QuotaExhausted,
    /// No path leads from any source to the destination.
    NoPath,
    /// A lane of every path is smaller than the rate, even when empty.
    RateAboveCapacity,
    /// The lanes are booked by others.
    NoHeadroom,
    /// A lane of every path is drained: it takes nothing new.
    Drained,
    /// It would fit, but others of its batch do not.
    OthersRefused,
    /// Another one of its batch is taken instead.
    OtherTaken,
    /// A reason that this client does not know, by its number.
    Unknown(i32),
}

/// A lane that is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// The source whose path needs it; `None` where lanes were named.
    pub source: Option<Endpoint>,
    /// The lane, such as `storage/swift-east/read`.
    pub lane: String,
    /// What it can carry in all.
    pub limit: BitRate,
    /// The least that is free on it during the interval; of a volume, what is free for it on average
    /// from its start to its deadline.
    pub free: BitRate,
    /// What the request needs there, headers included.
    pub needed: BitRate,
    /// How much is missing.
    pub missing: BitRate,
    /// The first start at which this lane alone could carry the request for its whole length; of a
    /// volume, the first at which it could carry any of it, even if not all in time. `None` if there
    /// is none.
    pub first_free: Option<Timestamp>,
}

impl Blocker {
    fn from_wire(wire: v1::Blocker) -> Result<Self, ClientError> {
        Ok(Self {
            source: wire::endpoint("blockers.source", &wire.source)?,
            lane: wire.lane,
            limit: wire::lane_rate("blockers.limit_bps", wire.limit_bps)?,
            free: wire::lane_rate("blockers.free_bps", wire.free_bps)?,
            needed: wire::lane_rate("blockers.needed_bps", wire.needed_bps)?,
            missing: wire::lane_rate("blockers.missing_bps", wire.missing_bps)?,
            first_free: wire::instant("blockers.first_free_time", wire.first_free_time)?,
        })
    }
}

impl Refusal {
    pub(crate) fn from_wire(wire: v1::Refusal, timing: Timing) -> Result<Self, ClientError> {
        let reason = RefusalReason::from_wire(wire.reason);
        let blockers = wire.blockers.into_iter().map(Blocker::from_wire);
        let offers = wire.offers.into_iter().map(CounterOffer::from_wire);
        let rules = wire.rules.into_iter().map(RuleBlocker::from_wire);
        let quotas = wire.quotas.into_iter().map(QuotaBlocker::from_wire);
        let held = wire.held.map(|held| Reservation::from_wire(held, timing));
        Ok(Self {
            reason,
            blockers: blockers.collect::<Result<_, _>>()?,
            offers: offers.collect::<Result<_, _>>()?,
            rules: rules.collect::<Result<_, _>>()?,
            quotas: quotas.collect::<Result<_, _>>()?,
            held: held.transpose()?.map(Box::new),
        })
    }

    /// One that is not an answer to anybody: nothing is held with it.
    pub(crate) fn bare_from_wire(wire: v1::Refusal) -> Result<Self, ClientError> {
        let blockers = wire.blockers.into_iter().map(Blocker::from_wire);
        let rules = wire.rules.into_iter().map(RuleBlocker::from_wire);
        let quotas = wire.quotas.into_iter().map(QuotaBlocker::from_wire);
        Ok(Self {
            reason: RefusalReason::from_wire(wire.reason),
            blockers: blockers.collect::<Result<_, _>>()?,
            offers: Vec::new(),
            rules: rules.collect::<Result<_, _>>()?,
            quotas: quotas.collect::<Result<_, _>>()?,
            held: None,
        })
    }
}

impl RefusalReason {
    pub(crate) fn from_wire(number: i32) -> Self {
        use v1::refusal::Reason;
        match Reason::try_from(number) {
            Ok(Reason::RuleDenied) => Self::RuleDenied,
            Ok(Reason::ClassNotAllowed) => Self::ClassNotAllowed,
            Ok(Reason::NoTier) => Self::NoTier,
            Ok(Reason::AboveQuota) => Self::AboveQuota,
            Ok(Reason::QuotaExhausted) => Self::QuotaExhausted,
            Ok(Reason::NoPath) => Self::NoPath,
            Ok(Reason::RateAboveCapacity) => Self::RateAboveCapacity,
            Ok(Reason::NoHeadroom) => Self::NoHeadroom,
            Ok(Reason::Drained) => Self::Drained,
            Ok(Reason::OthersRefused) => Self::OthersRefused,
            Ok(Reason::OtherTaken) => Self::OtherTaken,
            Ok(Reason::Unspecified) | Err(_) => Self::Unknown(number),
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RuleDenied => f.write_str("an admission rule denies it"),
            Self::ClassNotAllowed => f.write_str("its project may not use its class of service"),
            Self::NoTier => {
                f.write_str("no storage that is named is of a tier that its class takes")
            }
            Self::AboveQuota => f.write_str("it is more than a quota of its project allows"),
            Self::QuotaExhausted => f.write_str("what its project may have is used"),
            Self::NoPath => f.write_str("no path leads from any source to the destination"),
            Self::RateAboveCapacity => {
                f.write_str("it takes a higher rate than the path can carry even when it is empty")
            }
            Self::NoHeadroom => f.write_str("others have booked what it needs"),
            Self::Drained => f.write_str("what it needs is drained and takes nothing new"),
            Self::OthersRefused => {
                f.write_str("it would fit by itself, but others of its batch do not")
            }
            Self::OtherTaken => f.write_str("another one of its batch is taken instead"),
            Self::Unknown(number) => write!(f, "reason {number}, unknown to this client"),
        }
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, lane, limit, free, needed, missing, first_free } = self;
        if let Some(source) = source {
            write!(f, "from {source}: ")?;
        }
        if missing.bps() == 0 {
            write!(f, "{lane} takes nothing new: {needed} needed, {free} free of {limit}")?;
        } else {
            write!(f, "{lane} lacks {missing}: {needed} needed, {free} free of {limit}")?;
        }
        match first_free {
            Some(time) => write!(f, "; it has room from {time}"),
            None => f.write_str("; it never has room for this"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused: {}", self.reason)?;
        for blocker in &self.blockers {
            write!(f, "\n  {blocker}")?;
        }
        for RuleBlocker { rule, message } in &self.rules {
            write!(f, "\n  rules/{rule}: {message}")?;
        }
        for quota in &self.quotas {
            write!(f, "\n  {quota}")?;
        }
        if let Some(held) = &self.held {
            write!(f, "\nthe best offer is held as {}", held.name)?;
            if let State::Held { until } = held.state {
                write!(f, " until {until}")?;
            }
            write!(
                f,
                ": {} from {} to {}; confirm it or let it lapse",
                held.rate, held.start, held.end
            )?;
        }
        match self.offers.as_slice() {
            [] => f.write_str("\nnothing else would fit"),
            offers => {
                f.write_str("\nwhat would fit now:")?;
                offers.iter().try_for_each(|offer| write!(f, "\n  {offer}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::{Ask, End, Want};
    use crate::clock::BootTime;
    use tidegate_policy::Span;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_ms(secs * 1000).unwrap()
    }

    fn wire_refusal() -> v1::Refusal {
        let blocker = v1::Blocker {
            source: "storage/swift-east".into(),
            lane: "storage/swift-east/read".into(),
            limit_bps: 20_000_000_000,
            free_bps: 3_000_000_000,
            needed_bps: 5_000_000_000,
            missing_bps: 2_000_000_000,
            first_free_time: Some(wire::to_timestamp(at(7200))),
        };
        let offer = v1::CounterOffer {
            kind: 1,
            source: "storage/swift-east".into(),
            rate_bps: 5_000_000_000,
            start_time: Some(wire::to_timestamp(at(7200))),
            end_time: Some(wire::to_timestamp(at(10800))),
            via: vec!["hosts/proxy-1".into()],
            token: "3q2+7w".into(),
            path: None,
            volume_bytes: 0,
        };
        v1::Refusal {
            reason: 3,
            blockers: vec![blocker],
            offers: vec![offer],
            ..Default::default()
        }
    }

    #[test]
    fn a_refusal_reads_like_a_helpful_clerk() {
        let refusal = refusal(wire_refusal()).unwrap();
        assert_eq!(
            refusal.to_string(),
            "refused: others have booked what it needs\n  from storage/swift-east: \
             storage/swift-east/read lacks 2Gbit/s: 5Gbit/s needed, 3Gbit/s free of 20Gbit/s; it \
             has room from 1970-01-01T02:00:00Z\nwhat would fit now:\n  the same rate later: \
             5Gbit/s from storage/swift-east, 1970-01-01T02:00:00Z to 1970-01-01T03:00:00Z"
        );
    }

    fn refusal(wire: v1::Refusal) -> Result<Refusal, ClientError> {
        let now = BootTime::now();
        Refusal::from_wire(wire, Timing { sent: now, received: now })
    }

    fn original() -> Ask {
        let (from, to) = ("storage/swift-west", "hosts/compute-1");
        let hour = End::After(Span::from_secs(3600));
        Ask::new(from.parse().unwrap(), to.parse().unwrap(), "5Gbit".parse().unwrap(), hour)
            .held_for(Span::from_secs(60))
    }

    #[test]
    fn an_offer_is_taken_by_its_token_and_nothing_else() {
        let offer = refusal(wire_refusal()).unwrap().offers.remove(0);
        let again = offer.ask(&original());
        assert_ne!(again.request_id, original().request_id);
        assert_eq!(again.want, Want::Offer("3q2+7w".parse().unwrap()));
        assert_eq!((again.hold_for, Ask::offer(&offer).hold_for), (original().hold_for, None));
        let sent = again.to_wire().unwrap();
        assert!(sent.sources.is_empty() && sent.destination.is_empty() && sent.via.is_empty());
        let shape = v1::create_reservation_request::Shape::OfferToken("3q2+7w".into());
        assert_eq!(sent.shape, Some(shape));
    }

    #[test]
    fn an_offer_without_a_token_is_asked_for_by_its_terms() {
        let mut wire = wire_refusal();
        wire.offers[0].token.clear();
        let offer = refusal(wire).unwrap().offers.remove(0);
        let again = offer.ask(&original());
        assert_eq!(again.sources(), ["storage/swift-east".parse().unwrap()]);
        assert_eq!((again.start(), again.until()), (Some(at(7200)), Some(End::At(at(10800)))));
        assert_eq!(again.to_wire().unwrap().via, ["hosts/proxy-1"]);
        let error = Ask::offer(&offer).to_wire().unwrap_err();
        assert!(error.to_string().contains("has no token"), "{error}");
    }

    #[test]
    fn answers_that_make_no_sense_are_errors() {
        let spoil: [fn(&mut v1::Refusal); 5] = [
            |r| r.offers[0].end_time = r.offers[0].start_time,
            |r| r.offers[0].rate_bps = -1,
            |r| r.offers[0].path = Some(-1),
            |r| r.blockers[0].free_bps = -1,
            |r| r.offers[0].via = vec!["storage/x".into()],
        ];
        for spoil in spoil {
            let mut wire = wire_refusal();
            spoil(&mut wire);
            refusal(wire).unwrap_err();
        }
    }
}

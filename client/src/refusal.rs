//! The answer "no": why, how much is missing, and what would fit.

use std::fmt;

use tidegate_policy::{BitRate, Endpoint, Name, Timestamp};
use tidegate_proto::v1;

use crate::error::ClientError;
use crate::reservation::{Ask, End, relays};
use crate::wire;

/// The answer "no". Nothing is booked.
///
/// Printed, it reads as a clerk would say it: the reason, each lane in the way with what is
/// missing there, and what would be granted instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The first reason that holds.
    pub reason: RefusalReason,
    /// Every lane that is in the way, at most 64.
    pub blockers: Vec<Blocker>,
    /// What would be granted if it were asked now, best first.
    pub offers: Vec<CounterOffer>,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// No path leads from any source to the destination.
    NoPath,
    /// A lane of every path is smaller than the rate, even when empty.
    RateAboveCapacity,
    /// The lanes are booked by others.
    NoHeadroom,
    /// A reason that this client does not know, by its number.
    Unknown(i32),
}

/// A lane that is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// The source whose path needs it.
    pub source: Endpoint,
    /// The lane, such as `storage/swift-east/read`.
    pub lane: String,
    /// What it can carry in all.
    pub limit: BitRate,
    /// The least that is free on it during the interval.
    pub free: BitRate,
    /// What the request needs there, headers included.
    pub needed: BitRate,
    /// How much is missing.
    pub missing: BitRate,
    /// The first start at which this lane alone could carry the request for its whole length;
    /// `None` if it never can.
    pub first_free: Option<Timestamp>,
}

/// How an offer differs from what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferKind {
    /// The same rate for the same time, at the earliest later start.
    SameRateLater,
    /// The same interval, at the highest rate that fits.
    LowerRateNow,
    /// In a way that this client does not know, by its number.
    Unknown(i32),
}

/// Something that fits, to be asked for with a new request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterOffer {
    /// How it differs.
    pub kind: OfferKind,
    /// The source to name.
    pub source: Endpoint,
    /// The relays to name.
    pub via: Vec<Name>,
    /// The payload rate.
    pub rate: BitRate,
    /// The first instant.
    pub start: Timestamp,
    /// The first instant past it.
    pub end: Timestamp,
}

impl CounterOffer {
    /// A new request for exactly this offer; destination, hold, session and project are those of
    /// `original`. It is granted if the offer still fits, and refused afresh if not.
    #[must_use]
    pub fn ask(&self, original: &Ask) -> Ask {
        Ask {
            sources: vec![self.source.clone()],
            via: self.via.clone(),
            rate: self.rate,
            start: Some(self.start),
            until: End::At(self.end),
            ..original.clone()
        }
        .anew()
    }

    fn from_wire(wire: v1::CounterOffer) -> Result<Self, ClientError> {
        use v1::counter_offer::Kind;
        let kind = match Kind::try_from(wire.kind) {
            Ok(Kind::SameRateLater) => OfferKind::SameRateLater,
            Ok(Kind::LowerRateNow) => OfferKind::LowerRateNow,
            Ok(Kind::LaterFinish | Kind::OtherSource | Kind::Unspecified) | Err(_) => {
                OfferKind::Unknown(wire.kind)
            }
        };
        let start = wire::instant_required("offers.start_time", wire.start_time)?;
        let end = wire::instant_required("offers.end_time", wire.end_time)?;
        if end <= start {
            return Err(ClientError::bad("offers.end_time", "it does not lie after the start"));
        }
        Ok(Self {
            kind,
            source: wire.source.parse().map_err(ClientError::unparsed("offers.source"))?,
            via: relays(&wire.via)?,
            rate: wire::rate("offers.rate_bps", wire.rate_bps)?,
            start,
            end,
        })
    }
}

impl Blocker {
    fn from_wire(wire: v1::Blocker) -> Result<Self, ClientError> {
        Ok(Self {
            source: wire.source.parse().map_err(ClientError::unparsed("blockers.source"))?,
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
    pub(crate) fn from_wire(wire: v1::Refusal) -> Result<Self, ClientError> {
        use v1::refusal::Reason;
        let reason = match Reason::try_from(wire.reason) {
            Ok(Reason::NoPath) => RefusalReason::NoPath,
            Ok(Reason::RateAboveCapacity) => RefusalReason::RateAboveCapacity,
            Ok(Reason::NoHeadroom) => RefusalReason::NoHeadroom,
            Ok(Reason::Drained | Reason::OthersRefused | Reason::Unspecified) | Err(_) => {
                RefusalReason::Unknown(wire.reason)
            }
        };
        let blockers = wire.blockers.into_iter().map(Blocker::from_wire);
        let offers = wire.offers.into_iter().map(CounterOffer::from_wire);
        Ok(Self {
            reason,
            blockers: blockers.collect::<Result<_, _>>()?,
            offers: offers.collect::<Result<_, _>>()?,
        })
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPath => f.write_str("no path leads from any source to the destination"),
            Self::RateAboveCapacity => {
                f.write_str("the rate is above what the path can carry even when it is empty")
            }
            Self::NoHeadroom => f.write_str("others have booked what it needs"),
            Self::Unknown(number) => write!(f, "reason {number}, unknown to this client"),
        }
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, lane, limit, free, needed, missing, first_free } = self;
        write!(
            f,
            "from {source}: {lane} lacks {missing}: {needed} needed, {free} free of {limit}"
        )?;
        match first_free {
            Some(time) => write!(f, "; it has room from {time}"),
            None => f.write_str("; it never has room for this"),
        }
    }
}

impl fmt::Display for CounterOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, source, rate, start, end, .. } = self;
        let how = match kind {
            OfferKind::SameRateLater => "the same rate later",
            OfferKind::LowerRateNow => "a lower rate",
            OfferKind::Unknown(_) => "another way",
        };
        write!(f, "{how}: {rate} from {source}, {start} to {end}")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused: {}", self.reason)?;
        for blocker in &self.blockers {
            write!(f, "\n  {blocker}")?;
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
            ..Default::default()
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
        let refusal = Refusal::from_wire(wire_refusal()).unwrap();
        assert_eq!(
            refusal.to_string(),
            "refused: others have booked what it needs\n  from storage/swift-east: \
             storage/swift-east/read lacks 2Gbit/s: 5Gbit/s needed, 3Gbit/s free of 20Gbit/s; it \
             has room from 1970-01-01T02:00:00Z\nwhat would fit now:\n  the same rate later: \
             5Gbit/s from storage/swift-east, 1970-01-01T02:00:00Z to 1970-01-01T03:00:00Z"
        );
    }

    #[test]
    fn an_offer_is_asked_for_exactly_and_anew() {
        let refusal = Refusal::from_wire(wire_refusal()).unwrap();
        let original = Ask::new(
            "storage/swift-west".parse().unwrap(),
            "hosts/compute-1".parse().unwrap(),
            "5Gbit".parse().unwrap(),
            End::After(Span::from_secs(3600)),
        )
        .held_for(Span::from_secs(60));
        let again = refusal.offers[0].ask(&original);
        assert_ne!(again.request_id, original.request_id);
        assert_eq!(again.sources, ["storage/swift-east".parse().unwrap()]);
        assert_eq!((again.start, again.until), (Some(at(7200)), End::At(at(10800))));
        assert_eq!(again.via, ["proxy-1".parse().unwrap()]);
        assert_eq!(
            (again.hold_for, &again.destination),
            (original.hold_for, &original.destination)
        );
    }

    #[test]
    fn answers_that_make_no_sense_are_errors() {
        let spoil: [fn(&mut v1::Refusal); 4] = [
            |r| r.offers[0].end_time = r.offers[0].start_time,
            |r| r.offers[0].rate_bps = -1,
            |r| r.blockers[0].free_bps = -1,
            |r| r.offers[0].via = vec!["storage/x".into()],
        ];
        for spoil in spoil {
            let mut wire = wire_refusal();
            spoil(&mut wire);
            Refusal::from_wire(wire).unwrap_err();
        }
    }
}

//! What would fit instead of what was asked.

use std::fmt;

use tidegate_policy::{BitRate, ByteCount, Endpoint, Name, Timestamp};
use tidegate_proto::v1;

use crate::ask::{Along, Ask, Between, End, OfferToken, Rigid, Shape, Transfer, Want, Wish};
use crate::error::ClientError;
use crate::reservation::relays;
use crate::wire;

/// How an offer differs from what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferKind {
    /// The same rate for the same time, at the earliest later start.
    SameRateLater,
    /// The same interval, at the highest rate that fits; of a window, at the first start where it
    /// does.
    LowerRateNow,
    /// The same volume from the same start, at a lower rate and with the earliest end.
    LaterFinish,
    /// All that was asked, from a backend that mirrors one that was named.
    OtherSource,
    /// As much of the volume as can be had by its deadline.
    LessInTime,
    /// In a way that this client does not know, by its number.
    Unknown(i32),
}

/// Something that fits, to be asked for with a new request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterOffer {
    /// How it differs.
    pub kind: OfferKind,
    /// Where the bytes would come from; `None` where lanes were named.
    pub source: Option<Endpoint>,
    /// The relays on the way.
    pub via: Vec<Name>,
    /// Which of the paths that steering allows; `None` where there is no choice.
    pub path: Option<u32>,
    /// The payload bytes of a transfer, of which `end` is the deadline; `None` of anything else.
    pub volume: Option<ByteCount>,
    /// The payload rate, in bits per second; of a transfer the highest at one instant.
    pub rate: BitRate,
    /// The first instant.
    pub start: Timestamp,
    /// The first instant past it.
    pub end: Timestamp,
    /// Asks for exactly this; `None` from a broker that is older than this client.
    pub token: Option<OfferToken>,
}

impl CounterOffer {
    /// A new request for exactly this offer; hold, session and project are those of `original`. It
    /// is granted if the offer still fits, and refused afresh if not.
    #[must_use]
    pub fn ask(&self, original: &Ask) -> Ask {
        let want = match &self.token {
            Some(token) => Want::Offer(token.clone()),
            None => self.by_name(original),
        };
        Ask { want, ..original.clone() }.anew()
    }

    /// The same without a token: a rate, or a volume, on the way that was offered.
    fn by_name(&self, original: &Ask) -> Want {
        let rigid = Rigid { rate: self.rate, start: Some(self.start), until: End::At(self.end) };
        let mut want = original.want.clone();
        if let Want::Rate(Wish { along, shape, .. }) = &mut want {
            match (shape, self.volume) {
                (Shape::Transfer(transfer), Some(volume)) => {
                    *transfer = Transfer { volume, deadline: self.end, ..*transfer };
                    // Its sources may all be needed: a volume is not bound to one.
                    return want;
                }
                (shape, _) => *shape = Shape::Rigid(rigid),
            }
            if let (Along::Between(between), Some(source)) = (along, &self.source) {
                *between = Between {
                    sources: vec![source.clone()],
                    via: self.via.clone(),
                    path: self.path.or(between.path),
                    destination: between.destination.clone(),
                };
            }
        }
        want
    }

    pub(crate) fn from_wire(wire: v1::CounterOffer) -> Result<Self, ClientError> {
        use v1::counter_offer::Kind;
        let kind = match Kind::try_from(wire.kind) {
            Ok(Kind::SameRateLater) => OfferKind::SameRateLater,
            Ok(Kind::LowerRateNow) => OfferKind::LowerRateNow,
            Ok(Kind::LaterFinish) => OfferKind::LaterFinish,
            Ok(Kind::OtherSource) => OfferKind::OtherSource,
            Ok(Kind::LessInTime) => OfferKind::LessInTime,
            Ok(Kind::Unspecified) | Err(_) => OfferKind::Unknown(wire.kind),
        };
        let start = wire::instant_required("offers.start_time", wire.start_time)?;
        let end = wire::instant_required("offers.end_time", wire.end_time)?;
        if end <= start {
            return Err(ClientError::bad("offers.end_time", "it does not lie after the start"));
        }
        Ok(Self {
            kind,
            source: wire::endpoint("offers.source", &wire.source)?,
            via: relays(&wire.via)?,
            path: wire.path.map(|path| wire::index("offers.path", path)).transpose()?,
            token: OfferToken::from_wire(wire.token),
            volume: Some(wire::bytes("offers.volume_bytes", wire.volume_bytes)?)
                .filter(|volume| *volume != ByteCount::ZERO),
            rate: wire::rate("offers.rate_bps", wire.rate_bps)?,
            start,
            end,
        })
    }
}

impl fmt::Display for CounterOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, source, rate, start, end, .. } = self;
        if let Some(volume) = self.volume {
            let how = match kind {
                OfferKind::LessInTime => "as much as fits in time",
                OfferKind::LaterFinish | OfferKind::SameRateLater => "all of it, but later",
                OfferKind::OtherSource => "all of it from another source",
                OfferKind::LowerRateNow | OfferKind::Unknown(_) => "another way",
            };
            write!(f, "{how}: {volume} by {end}")?;
            return match source {
                Some(source) => write!(f, " from {source}"),
                None => Ok(()),
            };
        }
        let how = match kind {
            OfferKind::SameRateLater => "the same rate later",
            OfferKind::LowerRateNow => "a lower rate",
            OfferKind::LaterFinish => "all of it, but slower",
            OfferKind::OtherSource => "all of it from another source",
            OfferKind::LessInTime | OfferKind::Unknown(_) => "another way",
        };
        write!(f, "{how}: {rate}")?;
        if let Some(source) = source {
            write!(f, " from {source}")?;
        }
        write!(f, ", {start} to {end}")
    }
}

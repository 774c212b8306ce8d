//! What only some requests have a place for, and the wire.

use super::{Along, Ask, Assurance, Between, End, Shape, Transfer, Want, Wish, streams_to_wire};
use std::num::NonZeroU16;

use tidegate_policy::{BitRate, ByteCount, Endpoint, Name, ProjectId, Span, Timestamp};
use tidegate_proto::v1;

use crate::error::ClientError;
use crate::policy::class;
use crate::wire;

/// Said of a request that names its lanes, or takes an offer.
const NO_ENDPOINTS: &str = "sources, relays and a path belong to a request between endpoints; lanes \
                            and offers say all of it themselves";
/// Said of a request that takes an offer.
const NO_SHAPE: &str = "an offer is taken as it is: its rate, time, assurance and streams cannot \
                        be changed; ask for them by a request of their own";

/// Said of a request that is no transfer.
const NO_VOLUME: &str = "a volume and the ways that it is split over belong to a transfer; ask for one \
                         with Ask::transfer";
/// Said of a transfer.
const NO_LENGTH: &str =
    "a transfer lasts for as long as its volume takes: give it another deadline";

/// A request that a method has no place in, such as a second source where lanes are named, is not
/// sent: it is answered by [`ClientError::Invalid`].
impl Ask {
    /// One more source, taken where none before it fits.
    #[must_use]
    pub fn or_from(self, source: Endpoint) -> Self {
        self.between(|between| between.sources.push(source))
    }

    /// One more relay that the bytes pass through, after those named before.
    #[must_use]
    pub fn via(self, host: Name) -> Self {
        self.between(|between| between.via.push(host))
    }

    /// Only this one of the paths that steering allows, 0 for the cheapest.
    #[must_use]
    pub fn path(self, path: u32) -> Self {
        self.between(|between| between.path = Some(path))
    }

    /// Starts at `start` instead of now; a flexible request or a transfer not before it.
    #[must_use]
    pub fn starting(self, start: Timestamp) -> Self {
        self.wished(|wish| match &mut wish.shape {
            Shape::Rigid(rigid) => rigid.start = Some(start),
            Shape::Flexible(flexible) => flexible.window_start = Some(start),
            Shape::Transfer(transfer) => transfer.start = Some(start),
        })
    }

    /// Lasts for `span` from its start.
    #[must_use]
    pub fn lasting(mut self, span: Span) -> Self {
        if matches!(&self.want, Want::Rate(Wish { shape: Shape::Transfer(_), .. })) {
            self.misfit = Some(NO_LENGTH);
        }
        self.wished(|wish| match &mut wish.shape {
            Shape::Rigid(rigid) => rigid.until = End::After(span),
            Shape::Flexible(flexible) => flexible.duration = span,
            Shape::Transfer(_) => {}
        })
    }

    /// Moves so many bytes; only of a transfer.
    #[must_use]
    pub fn volume(self, volume: ByteCount) -> Self {
        self.transferred(|transfer| transfer.volume = volume)
    }

    /// Moves at no less than `rate` while anything moves; only of a transfer.
    #[must_use]
    pub fn at_least(self, rate: BitRate) -> Self {
        self.transferred(|transfer| transfer.min = rate)
    }

    /// Moves at no more than `rate` at any instant; only of a transfer.
    #[must_use]
    pub fn at_most(self, rate: BitRate) -> Self {
        self.transferred(|transfer| transfer.max = rate)
    }

    /// May take several ways at once: several sources, or several paths; only of a transfer.
    #[must_use]
    pub fn split(self) -> Self {
        self.transferred(|transfer| transfer.split = true)
    }

    /// Says whether it may count on what is physically there.
    #[must_use]
    pub fn assurance(self, assurance: Assurance) -> Self {
        self.wished(|wish| wish.assurance = assurance)
    }

    /// Spreads its bytes over so many parallel streams, which lets a bundle of links share them.
    #[must_use]
    pub fn streams(self, count: NonZeroU16) -> Self {
        self.wished(|wish| wish.streams = Some(count))
    }

    /// The sources asked for, best first; none where lanes are named or an offer is taken.
    #[must_use]
    pub fn sources(&self) -> &[Endpoint] {
        self.along().map_or(&[], Along::sources)
    }

    /// Where the bytes go; `None` where lanes are named or an offer is taken.
    #[must_use]
    pub fn destination(&self) -> Option<&Endpoint> {
        self.along().and_then(Along::destination)
    }

    /// The lowest payload rate that an answer yes brings; `None` where an offer is taken.
    #[must_use]
    pub fn rate(&self) -> Option<BitRate> {
        match &self.want {
            Want::Rate(wish) => Some(wish.shape.rate()),
            Want::Offer(_) => None,
        }
    }

    /// The earliest start that was said; `None` means now, or that an offer is taken.
    #[must_use]
    pub fn start(&self) -> Option<Timestamp> {
        match &self.want {
            Want::Rate(Wish { shape: Shape::Rigid(rigid), .. }) => rigid.start,
            Want::Rate(Wish { shape: Shape::Flexible(flexible), .. }) => flexible.window_start,
            Want::Rate(Wish { shape: Shape::Transfer(transfer), .. }) => transfer.start,
            Want::Offer(_) => None,
        }
    }

    /// When it is to end, or how long to last; `None` where an offer is taken.
    #[must_use]
    pub fn until(&self) -> Option<End> {
        match &self.want {
            Want::Rate(Wish { shape: Shape::Rigid(rigid), .. }) => Some(rigid.until),
            Want::Rate(Wish { shape: Shape::Flexible(it), .. }) => Some(End::After(it.duration)),
            Want::Rate(Wish { shape: Shape::Transfer(it), .. }) => Some(End::At(it.deadline)),
            Want::Offer(_) => None,
        }
    }

    fn along(&self) -> Option<&Along> {
        match &self.want {
            Want::Rate(wish) => Some(&wish.along),
            Want::Offer(_) => None,
        }
    }

    fn wished(mut self, say: impl FnOnce(&mut Wish)) -> Self {
        match &mut self.want {
            Want::Rate(wish) => say(wish),
            Want::Offer(_) => self.misfit = Some(NO_SHAPE),
        }
        self
    }

    fn transferred(mut self, say: impl FnOnce(&mut Transfer)) -> Self {
        match &mut self.want {
            Want::Rate(Wish { shape: Shape::Transfer(transfer), .. }) => say(transfer),
            Want::Rate(_) => self.misfit = Some(NO_VOLUME),
            Want::Offer(_) => self.misfit = Some(NO_SHAPE),
        }
        self
    }

    fn between(mut self, say: impl FnOnce(&mut Between)) -> Self {
        match &mut self.want {
            Want::Rate(Wish { along: Along::Between(between), .. }) => say(between),
            Want::Rate(_) | Want::Offer(_) => self.misfit = Some(NO_ENDPOINTS),
        }
        self
    }

    /// The message that asks for it.
    pub(crate) fn to_wire(&self) -> Result<v1::CreateReservationRequest, ClientError> {
        use v1::create_reservation_request::Shape as Wire;
        if let Some(why) = self.misfit {
            return Err(ClientError::Invalid { why: why.into(), violations: Vec::new() });
        }
        let envelope = v1::CreateReservationRequest {
            parent: format!("projects/{}", self.project),
            request_id: self.request_id.to_string(),
            validate_only: self.validate_only,
            hold_for: self.hold_for.map(wire::to_duration),
            hold_best_offer: self.hold_best_offer,
            session: wire::to_session(self.session),
            movable: self.movable,
            priority: i32::from(self.priority),
            preemptible: self.preemptible,
            class: self.class.as_ref().map(class::name).unwrap_or_default(),
            principal: self.principal.as_ref().map(ToString::to_string).unwrap_or_default(),
            labels: self.labels.clone(),
            ..v1::CreateReservationRequest::default()
        };
        let wish = match &self.want {
            Want::Rate(wish) => wish,
            Want::Offer(token) => {
                let shape = Some(Wire::OfferToken(token.to_string()));
                // An offer is for the project that it was made for, unless another is said.
                let other = self.project != ProjectId::default_project();
                let parent = if other { envelope.parent } else { String::new() };
                return Ok(v1::CreateReservationRequest { parent, shape, ..envelope });
            }
        };
        let along = wish.along.to_wire();
        Ok(v1::CreateReservationRequest {
            sources: along.sources,
            destination: along.destination,
            via: along.via,
            path: along.path,
            lanes: along.lanes,
            shape: Some(wish.shape.to_wire()),
            assurance: wish.assurance.to_wire(),
            streams: streams_to_wire(wish.streams),
            ..envelope
        })
    }
}

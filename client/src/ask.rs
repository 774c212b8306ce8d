//! What is asked for: a rate, fixed or within bounds, or a volume by a deadline, between endpoints or
//! on named lanes; or exactly what a refusal offered.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::str::FromStr;

use tidegate_policy::{
    BitRate, ByteCount, ClassId, Endpoint, Name, ParseError, Principal, ProjectId, RequestId,
    SessionId, Span, Timestamp,
};
use tidegate_proto::v1;

use crate::error::ClientError;
use crate::refusal::CounterOffer;
use crate::wire;

mod parts;
mod shape;

pub use shape::{Flexible, Rigid, Shape, Transfer};

/// When a reservation is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At this instant.
    At(Timestamp),
    /// This long after its start.
    After(Span),
}

/// Whether a reservation may count on what is physically there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Assurance {
    /// It never shares: all firm bookings together stay within what is there.
    #[default]
    Firm,
    /// It may share with others, as far as the allocation ratio of each lane goes.
    Shared,
}

/// A request for a reservation.
///
/// It carries its request id from the moment it is made: asking twice with the same `Ask` reserves
/// once. Clone and call [`Ask::anew`] to ask for the same once more.
///
/// ```
/// use tidegate_client::ask::{Ask, Between, End};
/// use tidegate_policy::{Span, Timestamp};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // 5 Gbit/s from one of two stores, for an hour from now on.
/// let hour = Span::from_secs(3600);
/// let from = "storage/swift-east".parse()?;
/// let to = "hosts/compute-1".parse()?;
/// let rigid = Ask::new(from, to, "5Gbit".parse()?, End::After(hour))
///     .or_from("storage/swift-west".parse()?);
/// assert_eq!(rigid.sources().len(), 2);
///
/// // 1 to 10 Gbit/s for ten minutes, whenever it fits before the evening.
/// let way = Between::new("storage/swift-east".parse()?, "hosts/compute-1".parse()?);
/// let by: Timestamp = "2030-01-01T18:00:00Z".parse()?;
/// let rates = "1Gbit".parse()?..="10Gbit".parse()?;
/// let flexible = Ask::flexible(way, rates, Span::from_secs(600), by);
/// assert_eq!(flexible.rate(), Some("1Gbit".parse()?));
///
/// // 40 GB by then, at whatever rates there are, from both stores at once if that helps.
/// let way = Between::new("storage/swift-east".parse()?, "hosts/compute-1".parse()?)
///     .or_from("storage/swift-west".parse()?);
/// let transfer = Ask::transfer(way, "40GB".parse()?, by).split();
/// assert_eq!(transfer.until(), Some(End::At(by)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What is asked for.
    pub want: Want,
    /// Makes a hold that lapses after this long, at most 15 minutes; `None` confirms at once.
    pub hold_for: Option<Span>,
    /// If the answer is no, holds the best counter-offer for `hold_for`, or a minute:
    /// [`Refusal::held`](crate::refusal::Refusal::held) has it.
    pub hold_best_offer: bool,
    /// The session to bind it to; without one it lives to its end by itself.
    pub session: Option<SessionId>,
    /// What of its plan lies behind the freeze may be moved to make room for others; the promise
    /// never is. Only of a flexible request or a transfer, and only with a session, which hears of it.
    pub movable: bool,
    /// Higher ones may take from lower ones that can be preempted: 0 to 9.
    pub priority: u8,
    /// It may be shifted, then shrunk to its lowest rate, and at last closed for a higher priority.
    pub preemptible: bool,
    /// Who it belongs to.
    pub project: ProjectId,
    /// The class of service; of its ratio depends how much of a rate is promised. `None` means all of it.
    pub class: Option<ClassId>,
    /// Who asks: a user or a service, as its identity provider calls it.
    pub principal: Option<Principal>,
    /// What people want to know of it: at most 32, of at most 63 characters a side.
    pub labels: BTreeMap<String, String>,
    /// Asks what the answer would be, and books nothing.
    pub validate_only: bool,
    /// What makes asking twice the same as asking once.
    pub request_id: RequestId,
    /// What was said to it that it has no place for; told where it is sent.
    pub(crate) misfit: Option<&'static str>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// A rate or a volume, for which the broker looks for a way and a time.
    Rate(Wish),
    /// Exactly what a refusal offered, with its source, destination, relays, path and time.
    Offer(OfferToken),
}

/// A rate somewhere, at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Where.
    pub along: Along,
    /// How much, and when.
    pub shape: Shape,
    /// Whether it may count on what is physically there.
    pub assurance: Assurance,
    /// Over how many parallel streams the bytes are spread; `None` means one. Enough of them let a
    /// bundle of links share the load.
    pub streams: Option<NonZeroU16>,
}

/// Where a rate is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Along {
    /// Between endpoints, on a path that the broker chooses.
    Between(Between),
    /// On exactly these lanes, 1 to 256, such as `links/spine-1/forward`. One that is named twice
    /// carries the bytes twice.
    Lanes(Vec<String>),
}

/// Between which endpoints, and how far the path is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Between {
    /// Where the bytes may come from, best first, 1 to 16; the first that fits is taken.
    pub sources: Vec<Endpoint>,
    /// Where the bytes go.
    pub destination: Endpoint,
    /// Hosts that the bytes pass through, in order, at most 8; empty means those that the storage
    /// declares.
    pub via: Vec<Name>,
    /// Only this one of the paths that steering allows, 0 for the cheapest; `None` means any.
    pub path: Option<u32>,
}

/// Names a counter-offer, so that exactly what was offered can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OfferToken(Box<str>);

impl OfferToken {
    /// The token of a wire field; `None` where there is none.
    pub(crate) fn from_wire(text: String) -> Option<Self> {
        if text.is_empty() { None } else { Some(Self(text.into())) }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OfferToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for OfferToken {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::from_wire(text.to_owned()).ok_or_else(|| {
            ParseError::new("offer token", text, "it is empty", "copy it from a refusal")
        })
    }
}

impl Between {
    /// From `source` to `destination`, on any path.
    #[must_use]
    pub fn new(source: Endpoint, destination: Endpoint) -> Self {
        Self { sources: vec![source], destination, via: Vec::new(), path: None }
    }

    /// One more source, taken where none before it fits.
    #[must_use]
    pub fn or_from(mut self, source: Endpoint) -> Self {
        self.sources.push(source);
        self
    }

    /// One more relay that the bytes pass through, after those named before.
    #[must_use]
    pub fn via(mut self, host: Name) -> Self {
        self.via.push(host);
        self
    }

    /// Only this one of the paths that steering allows, 0 for the cheapest.
    #[must_use]
    pub fn path(mut self, path: u32) -> Self {
        self.path = Some(path);
        self
    }
}

impl From<Between> for Along {
    fn from(between: Between) -> Self {
        Self::Between(between)
    }
}

impl Along {
    /// These lanes, such as `links/spine-1/forward`.
    pub fn lanes<L: Into<String>>(lanes: impl IntoIterator<Item = L>) -> Self {
        Self::Lanes(lanes.into_iter().map(Into::into).collect())
    }

    /// The sources asked for; none where lanes are named.
    #[must_use]
    pub fn sources(&self) -> &[Endpoint] {
        match self {
            Self::Between(between) => &between.sources,
            Self::Lanes(_) => &[],
        }
    }

    /// Where the bytes go; `None` where lanes are named.
    #[must_use]
    pub fn destination(&self) -> Option<&Endpoint> {
        match self {
            Self::Between(between) => Some(&between.destination),
            Self::Lanes(_) => None,
        }
    }

    pub(crate) fn to_wire(&self) -> AlongWire {
        match self {
            Self::Between(between) => AlongWire {
                sources: between.sources.iter().map(Endpoint::to_string).collect(),
                destination: between.destination.to_string(),
                via: between.via.iter().map(|host| format!("hosts/{host}")).collect(),
                path: between.path.map(|path| i32::try_from(path).unwrap_or(i32::MAX)),
                lanes: Vec::new(),
            },
            Self::Lanes(lanes) => AlongWire { lanes: lanes.clone(), ..AlongWire::default() },
        }
    }
}

/// The fields that several requests have in common.
#[derive(Default)]
pub(crate) struct AlongWire {
    pub(crate) sources: Vec<String>,
    pub(crate) destination: String,
    pub(crate) via: Vec<String>,
    pub(crate) path: Option<i32>,
    pub(crate) lanes: Vec<String>,
}

impl Assurance {
    pub(crate) fn to_wire(self) -> i32 {
        // Unsaid means firm.
        match self {
            Self::Firm => v1::Assurance::Unspecified.into(),
            Self::Shared => v1::Assurance::Shared.into(),
        }
    }

    pub(crate) fn from_wire(number: i32) -> Result<Self, ClientError> {
        match v1::Assurance::try_from(number) {
            Ok(v1::Assurance::Unspecified | v1::Assurance::Firm) => Ok(Self::Firm),
            Ok(v1::Assurance::Shared) => Ok(Self::Shared),
            Err(_) => Err(ClientError::bad("assurance", format!("{number} is not known"))),
        }
    }
}

pub(crate) fn streams_to_wire(streams: Option<NonZeroU16>) -> i32 {
    streams.map_or(0, |count| i32::from(count.get()))
}

impl Ask {
    /// A request for `rate` from `source` to `destination`, from now until `until`, for the
    /// default project, confirmed at once, bound to no session.
    #[must_use]
    pub fn new(source: Endpoint, destination: Endpoint, rate: BitRate, until: End) -> Self {
        Self::rigid(Between::new(source, destination), rate, until)
    }

    /// A request for `rate` from now until `until`, along whatever is given.
    #[must_use]
    pub fn rigid(along: impl Into<Along>, rate: BitRate, until: End) -> Self {
        Self::wish(along.into(), Shape::Rigid(Rigid { rate, start: None, until }))
    }

    /// A request for a rate within `rates` that lasts for `duration`, somewhere between now and
    /// `by`: as early as the lowest rate fits, and there the highest rate that fits.
    #[must_use]
    pub fn flexible(
        along: impl Into<Along>,
        rates: RangeInclusive<BitRate>,
        duration: Span,
        by: Timestamp,
    ) -> Self {
        let (min, max) = rates.into_inner();
        let flexible = Flexible { min, max, duration, window_start: None, window_end: by };
        Self::wish(along.into(), Shape::Flexible(flexible))
    }

    /// A request for `volume` by `deadline`, from now on and as soon as possible: at whatever rates
    /// there are, with gaps where there is none. [`Ask::at_most`] and [`Ask::at_least`] bound them.
    #[must_use]
    pub fn transfer(along: impl Into<Along>, volume: ByteCount, deadline: Timestamp) -> Self {
        Self::wish(along.into(), Shape::Transfer(Transfer::new(volume, deadline)))
    }

    /// A request for `rate` on exactly these lanes, such as `links/spine-1/forward`, from now until
    /// `until`.
    pub fn lanes<L: Into<String>>(
        lanes: impl IntoIterator<Item = L>,
        rate: BitRate,
        until: End,
    ) -> Self {
        Self::rigid(Along::lanes(lanes), rate, until)
    }

    /// A request for exactly what was offered. [`CounterOffer::ask`] takes over hold, session and
    /// project of the request that was refused; this is for whoever does not have it any more.
    #[must_use]
    pub fn offer(offer: &CounterOffer) -> Self {
        match &offer.token {
            Some(token) => Self::token(token.clone()),
            None => {
                let mut ask = Self::token(OfferToken(Box::default()));
                ask.misfit = Some(
                    "the offer has no token: its broker is older than this client; ask for it by \
                     its source, rate and interval",
                );
                ask
            }
        }
    }

    /// A request for exactly what the offer with this token was.
    #[must_use]
    pub fn token(token: OfferToken) -> Self {
        Self::wanting(Want::Offer(token))
    }

    fn wish(along: Along, shape: Shape) -> Self {
        let assurance = Assurance::default();
        Self::wanting(Want::Rate(Wish { along, shape, assurance, streams: None }))
    }

    fn wanting(want: Want) -> Self {
        Self {
            want,
            hold_for: None,
            hold_best_offer: false,
            session: None,
            movable: false,
            priority: 0,
            preemptible: false,
            project: ProjectId::default_project(),
            class: None,
            principal: None,
            labels: BTreeMap::new(),
            validate_only: false,
            request_id: wire::new_request_id(),
            misfit: None,
        }
    }

    /// The same request as a new one: it may be granted a second time.
    #[must_use]
    pub fn anew(mut self) -> Self {
        self.request_id = wire::new_request_id();
        self
    }

    /// Asks for a hold of this length, to be confirmed.
    #[must_use]
    pub fn held_for(mut self, span: Span) -> Self {
        self.hold_for = Some(span);
        self
    }

    /// If the answer is no, holds the best counter-offer, to be confirmed.
    #[must_use]
    pub fn hold_best_offer(mut self) -> Self {
        self.hold_best_offer = true;
        self
    }

    /// Binds it to this session: it ends with it. [`Session::acquire`](crate::session::Session::acquire)
    /// does so by itself.
    #[must_use]
    pub fn bound_to(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    /// Lets what of its plan lies behind the freeze be moved to make room for others; only with a
    /// session.
    #[must_use]
    pub fn movable(mut self) -> Self {
        self.movable = true;
        self
    }

    /// Asks with this priority, 0 to 9: higher ones may take from lower ones that can be preempted.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// Lets a higher priority shift it, shrink it to its lowest rate, and at last close it.
    #[must_use]
    pub fn preemptible(mut self) -> Self {
        self.preemptible = true;
        self
    }

    /// Asks for `project`.
    #[must_use]
    pub fn project(mut self, project: ProjectId) -> Self {
        self.project = project;
        self
    }

    /// Asks in this class of service.
    #[must_use]
    pub fn class(mut self, class: ClassId) -> Self {
        self.class = Some(class);
        self
    }

    /// Says who asks.
    #[must_use]
    pub fn principal(mut self, principal: Principal) -> Self {
        self.principal = Some(principal);
        self
    }

    /// Says one more thing of it, such as which run it belongs to.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Asks what the answer would be, and books nothing.
    #[must_use]
    pub fn validate_only(mut self) -> Self {
        self.validate_only = true;
        self
    }
}

//! What the holder of a grant is told about it.

use std::fmt;

use tidegate_policy::{ByteCount, Timestamp};
use tidegate_proto::v1;

use crate::error::ClientError;
use crate::refusal::CounterOffer;
use crate::wire;

/// Something that the holder of a grant should know. The grant goes on as its terms say, unless it
/// was preempted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it is.
    pub kind: NoticeKind,
    /// The lane that it is about, such as `links/spine-1/forward`; `None` if it is about none in
    /// particular.
    pub lane: Option<String>,
    /// When, if it is about an instant.
    pub time: Option<Timestamp>,
    /// How many bytes, if it is about some: of [`NoticeKind::Lagging`], those that will be missing.
    pub bytes: Option<ByteCount>,
    /// What can be had instead, if it was preempted and something can: ask for it with
    /// [`CounterOffer::ask`].
    pub offer: Option<Box<CounterOffer>>,
}

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// A resource on its path is drained: the grant stays, and nothing new is granted there.
    Draining,
    /// Its end was brought forward, because capacity is lost from then on.
    Curtailed,
    /// Its plan was replaced from the time of the notice on, and is followed already; the promise
    /// stands. [`Reservation::segments`](crate::reservation::Reservation::segments) has the new one.
    Moved,
    /// Its bytes are behind its plan, and what is left does not fit by the deadline: so many bytes
    /// will be missing then.
    Lagging,
    /// A higher priority or a loss of capacity took some of its lanes: its rate was cut, at most to
    /// its floor.
    Shrunk,
    /// A higher priority took its lanes, and it is over.
    Preempted,
    /// Something that this client does not know, by its number.
    Unknown(i32),
}

impl Notice {
    pub(crate) fn from_wire(wire: &v1::Notice) -> Result<Self, ClientError> {
        use v1::notice::Kind;
        let kind = match Kind::try_from(wire.kind) {
            Ok(Kind::Draining) => NoticeKind::Draining,
            Ok(Kind::Curtailed) => NoticeKind::Curtailed,
            Ok(Kind::Moved) => NoticeKind::Moved,
            Ok(Kind::Lagging) => NoticeKind::Lagging,
            Ok(Kind::Shrunk) => NoticeKind::Shrunk,
            Ok(Kind::Unspecified) | Err(_) => NoticeKind::Unknown(wire.kind),
        };
        let bytes = wire::bytes("notices.short_bytes", wire.short_bytes)?;
        Ok(Self {
            kind,
            lane: Some(wire.lane.clone()).filter(|lane| !lane.is_empty()),
            time: wire::instant("notices.time", wire.time)?,
            bytes: Some(bytes).filter(|bytes| *bytes != ByteCount::ZERO),
            offer: None,
        })
    }

    /// That a grant was closed for a higher priority, and what can be had instead.
    pub(crate) fn preempted(offer: Option<CounterOffer>) -> Self {
        let kind = NoticeKind::Preempted;
        Self { kind, lane: None, time: None, bytes: None, offer: offer.map(Box::new) }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lane = self.lane.as_deref().unwrap_or("a resource on its way");
        match self.kind {
            NoticeKind::Draining => write!(f, "{lane} is drained")?,
            NoticeKind::Curtailed => write!(f, "{lane} loses capacity, so the grant ends earlier")?,
            NoticeKind::Moved => f.write_str("its plan was moved, and the promise stands")?,
            NoticeKind::Lagging => match self.bytes {
                Some(bytes) => write!(f, "it lags: {bytes} will be missing by the deadline")?,
                None => f.write_str("it lags behind its plan")?,
            },
            NoticeKind::Shrunk => {
                write!(f, "a higher priority or a loss took some of {lane}: its rate was cut")?;
            }
            NoticeKind::Preempted => f.write_str("a higher priority took its lanes")?,
            NoticeKind::Unknown(number) => {
                write!(f, "{lane}: notice {number}, unknown to this client")?;
            }
        }
        if let Some(offer) = &self.offer {
            write!(f, "; instead there is {offer}")?;
        }
        match self.time {
            Some(time) => write!(f, ": {time}"),
            None => Ok(()),
        }
    }
}

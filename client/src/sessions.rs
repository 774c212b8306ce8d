//! The sessions of all agents, as the broker sees them.

use std::time::Duration;

use tidegate_policy::{SessionId, Timestamp};
use tidegate_proto::v1;

use crate::error::ClientError;
use crate::wire;

/// A session as the broker sees it; [`Session`](crate::session::Session) is one's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its id.
    pub id: SessionId,
    /// What the agent calls itself.
    pub agent: String,
    /// What became of it.
    pub state: SessionState,
    /// How often it is to send a beat.
    pub beat_every: Duration,
    /// How long a beat keeps everything as it is.
    pub lease: Duration,
    /// How long after the lease each of its grants may still send.
    pub grace: Duration,
    /// When it was opened.
    pub opened: Timestamp,
    /// Live reservations bound to it.
    pub reservations: u64,
    /// When its last beat was heard; `None` once it has ended.
    pub heard: Option<Timestamp>,
}

/// What became of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// Alive.
    Open,
    /// Closed by its agent.
    Closed,
    /// No beat came for a lease, a grace and a second.
    Lost,
}

/// Which sessions a listing shows.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SessionListing {
    /// Shows ended ones too.
    pub show_ended: bool,
    /// At most this many on a page, 1 to 1000; 0 means 100.
    pub page_size: u16,
    /// The token of the page before; empty means the first page.
    pub page_token: String,
}

impl SessionInfo {
    pub(crate) fn from_wire(wire: v1::Session) -> Result<Self, ClientError> {
        use v1::session::State;
        let id = wire::session("name", &wire.name)?;
        let state = match State::try_from(wire.state) {
            Ok(State::Open) => SessionState::Open,
            Ok(State::Closed) => SessionState::Closed,
            Ok(State::Lost) => SessionState::Lost,
            Ok(State::Unspecified) | Err(_) => {
                return Err(ClientError::bad("state", format!("{} is not known", wire.state)));
            }
        };
        Ok(Self {
            id: id.ok_or_else(|| ClientError::bad("name", "it is missing"))?,
            agent: wire.agent,
            state,
            beat_every: wire::length("beat_every", wire.beat_every)?,
            lease: wire::length("lease", wire.lease)?,
            grace: wire::length("grace", wire.grace)?,
            opened: wire::instant_required("create_time", wire.create_time)?,
            reservations: wire::count("reservation_count", wire.reservation_count)?,
            heard: wire::instant("heard_time", wire.heard_time)?,
        })
    }
}

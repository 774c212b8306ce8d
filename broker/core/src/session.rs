//! An agent's liveness towards the broker.

use tidegate_policy::{Name, SessionId, Timestamp};

/// A session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// Its identifier.
    pub id: SessionId,
    /// What the agent calls itself.
    pub agent: Name,
    /// When it was opened.
    pub created: Timestamp,
    /// What became of it.
    pub state: SessionState,
}

/// What became of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionState {
    /// Alive.
    Open,
    /// Closed by its agent.
    Closed {
        /// When.
        at: Timestamp,
    },
    /// No beat came for a lease, a grace and a second.
    Lost {
        /// When.
        at: Timestamp,
    },
}

impl Session {
    /// Whether it is alive.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == SessionState::Open
    }
}

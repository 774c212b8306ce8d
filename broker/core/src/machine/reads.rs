//! What readers ask about sessions.

use tidegate_policy::{SessionId, Timestamp};

use super::Machine;
use crate::session::Session;

impl Machine {
    /// The sessions after `after`, in the order of their identifiers.
    pub fn sessions(&self, after: Option<SessionId>) -> impl Iterator<Item = &Session> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.state.sessions.range((from, Unbounded)).map(|(_, session)| session)
    }

    /// How many live reservations are bound to a session.
    #[must_use]
    pub fn bound(&self, session: SessionId) -> usize {
        self.state.bound.get(&session).map_or(0, std::collections::BTreeSet::len)
    }

    /// When the last sign of life of an open session came.
    #[must_use]
    pub fn heard(&self, session: SessionId) -> Option<Timestamp> {
        self.recent.heard(session)
    }
}

//! What readers ask about sessions, and about what moves.

use std::collections::BTreeMap;

use tidegate_policy::{ReservationId, SessionId, Timestamp};

use super::Machine;
use crate::lane::LaneName;
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

    /// A part of [`Self::used_rates`], for whoever must not keep others waiting: adds what moves under
    /// at most `most` reservations behind `after`, and says behind which one to go on.
    pub fn add_used_rates(
        &self,
        rates: &mut BTreeMap<LaneName, u64>,
        (after, most): (Option<ReservationId>, usize),
    ) -> Option<ReservationId> {
        let (mut last, mut count) = (None, 0_usize);
        for (id, bps) in self.recent.rates_behind(after).take(most) {
            (last, count) = (Some(id), count.saturating_add(1));
            let live = self.state.reservations.get(&id).filter(|found| found.is_live());
            for (lane, share) in live.into_iter().flat_map(|found| self.shares(found, bps)) {
                match rates.get_mut(lane) {
                    Some(sum) => *sum = sum.saturating_add(share),
                    None => drop(rates.insert(lane.clone(), share)),
                }
            }
        }
        last.filter(|_| count == most)
    }
}

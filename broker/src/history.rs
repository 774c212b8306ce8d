//! What was asked lately, so that a change of the policy can be rehearsed on it. It is kept while the
//! process runs, and nowhere else.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tidegate_core::rehearsal::Asked;
use tidegate_core::{Command, Request, Stamp};

/// So many requests for reservations are kept, and what was asked about them between the first of them and
/// the last.
pub(crate) const KEPT_MAX: usize = 10_000;

/// What was asked lately.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    asked: VecDeque<Asked>,
    /// How many there are, each entry of a batch and each other request counted once.
    count: usize,
}

impl History {
    /// Keeps what was asked, if it is about reservations.
    pub(crate) fn keep(&self, stamp: Stamp, request: &Request) {
        let is_meant = match &request.command {
            Command::Reserve(_)
            | Command::ReserveAll(_)
            | Command::Confirm(_)
            | Command::ExtendHold(..)
            | Command::Modify(_)
            | Command::Release(_)
            | Command::OpenSession(_)
            | Command::CloseSession(_) => true,
            // Rehearsals are about the network of the day.
            Command::ApplyTopology { .. }
            | Command::Drain(_)
            | Command::Undrain(_)
            | Command::CreateMaintenance(_)
            | Command::DeleteMaintenance(_)
            | Command::ApplyPolicy(_) => false,
        };
        if !is_meant {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.count += weight(request);
        kept.asked.push_back(Asked { stamp, request: request.clone() });
        while KEPT_MAX < kept.count {
            let Some(oldest) = kept.asked.pop_front() else { break };
            kept.count -= weight(&oldest.request);
        }
    }

    /// The last `most` requests for reservations, and what was asked about them since the first of them.
    pub(crate) fn last(&self, most: usize) -> Vec<Asked> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = most;
        let from = kept.asked.iter().rposition(|asked| {
            let asks = asked.request.command.asks().len();
            let enough = left < asks;
            left = left.saturating_sub(asks);
            enough
        });
        kept.asked.iter().skip(from.map_or(0, |from| from + 1)).cloned().collect()
    }
}

fn weight(request: &Request) -> usize {
    request.command.asks().len().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::event::RequestMark;
    use tidegate_policy::{RequestId, SessionId, Timestamp};

    fn close(number: u128) -> (Stamp, Request) {
        let mark = RequestMark { id: RequestId::from_u128(number), fingerprint: [0; 32] };
        let command = Command::CloseSession(SessionId::from_u128(number));
        (Stamp { now: Timestamp::EPOCH, fresh: number }, Request { mark, command })
    }

    #[test]
    fn the_oldest_goes_first() {
        let history = History::default();
        for number in 0..u128::try_from(KEPT_MAX).unwrap() + 3 {
            let (stamp, request) = close(number);
            history.keep(stamp, &request);
        }
        let kept = history.last(1);
        assert_eq!(kept.len(), KEPT_MAX, "none of them asks for a reservation");
        assert_eq!(kept.first().unwrap().stamp.fresh, 3);
    }
}

//! Who is refused only because of what live rates have afloat: then those are to give way, and whoever asks
//! again soon finds the room.

use std::collections::BTreeMap;

use tidegate_policy::{Interval, Span, Timestamp};

use super::live::Claim;
use super::{Machine, SILENCE_MARGIN};
use crate::command::{Command, Request, Shape};
use crate::lane::{Lane, LaneName};
use crate::refusal::{Reason, Refusal};

/// How long live rates leave alone what somebody was refused because of them.
const CLAIM: Span = Span::from_secs(5);

/// The most refused requests for which live rates give way at one time.
const CLAIMS_MAX: usize = 256;

impl Machine {
    /// Whether nobody has anything beyond what is booked.
    pub(super) fn nothing_floats(&self) -> bool {
        self.live.is_empty()
    }

    /// What is needed of each lane that is in the way, if all that is missing there is only afloat.
    fn only_afloat(&self, now: Timestamp, refusal: &Refusal) -> Option<BTreeMap<LaneName, u64>> {
        if self.nothing_floats() || refusal.reason != Reason::NoHeadroom {
            return None;
        }
        let ahead = Interval::new(now, now.plus(self.limits.lease).plus(SILENCE_MARGIN))?;
        let mut needed: BTreeMap<LaneName, u64> = BTreeMap::new();
        for blocker in &refusal.blockers {
            let lane = self.state.lanes.get(&blocker.lane);
            let afloat = lane.map_or(0, |lane: &Lane| lane.afloat().peak(ahead));
            if afloat < blocker.missing() {
                return None;
            }
            let most = needed.entry(blocker.lane.clone()).or_default();
            *most = blocker.needed.max(*most);
        }
        (!needed.is_empty()).then_some(needed)
    }

    /// Whether a rate that is refused is in the way of nothing but live rates, which give way by
    /// themselves.
    pub(super) fn is_crowded(&self, now: Timestamp, refusal: &Refusal) -> bool {
        self.only_afloat(now, refusal).is_some()
    }

    /// Lets live rates give way to a rate that was refused only because of them: for 5 s they leave alone
    /// what it needs. Returns whether that is so; [`Machine::reshare`] says who is to be told.
    pub fn claim(&mut self, now: Timestamp, request: &Request, refusal: &Refusal) -> bool {
        let steady = match &request.command {
            Command::Reserve(ask) => !matches!(ask.shape, Shape::Transfer { .. }),
            Command::Modify(modify) => modify.volume.is_none(),
            // Batches are answered at once.
            Command::ReserveAll(_)
            | Command::Confirm(_)
            | Command::ExtendHold(..)
            | Command::Release(_)
            | Command::OpenSession(_)
            | Command::CloseSession(_)
            | Command::ApplyTopology { .. }
            | Command::Drain(_)
            | Command::Undrain(_)
            | Command::CreateMaintenance(_)
            | Command::DeleteMaintenance(_)
            | Command::ApplyPolicy(_) => false,
        };
        let lanes = self.only_afloat(now, refusal).filter(|_| steady);
        let Some(lanes) = lanes.filter(|_| self.live.claims() < CLAIMS_MAX) else { return false };
        self.live.claim(request.mark.id, Claim { lanes, until: now.plus(CLAIM) });
        true
    }
}

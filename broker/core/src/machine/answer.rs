//! What a decision is, and what the asker of a command hears.

use tidegate_policy::RequestId;

use super::rules::Hits;
use super::{Drained, LaneChange};
use crate::event::{Change, Event};
use crate::lane::LaneName;
use crate::losses::Losses;
use crate::maintenance::Maintenance;
use crate::policy::{Overuse, PolicyChanges};
use crate::refusal::{Reason, Refusal};
use crate::reservation::Reservation;
use crate::session::Session;

/// What is to happen, and what the asker hears.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// What happens if the decision is carried out, in order.
    pub events: Vec<Event>,
    /// What the asker hears.
    pub answer: Answer,
    /// The rules that apply to what was asked.
    pub hits: Hits,
}

/// What the asker of a command hears.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The reservation as it is after the decision.
    Reservation(Box<Reservation>),
    /// No; nothing is booked but the offer that it holds, if that was asked for.
    Refusal(Box<Refusal>),
    /// What each entry of a batch is answered.
    Batch(Vec<Answer>),
    /// The session as it is after the decision.
    Session(Box<Session>),
    /// The topology that stands, and what changed.
    Topology {
        /// How many were applied so far.
        version: u64,
        /// The lanes that came, went or changed.
        changes: Vec<LaneChange>,
        /// Who lost what was promised.
        losses: Losses,
    },
    /// The maintenance window as it is after the decision.
    Maintenance {
        /// The window.
        maintenance: Box<Maintenance>,
        /// Who lost what was promised, if it was made just then.
        losses: Losses,
    },
    /// What takes nothing new.
    Drained(Box<Drained>),
    /// The lanes that take new bookings again.
    Undrained(Vec<LaneName>),
    /// The policy that stands, and what changed.
    Policy {
        /// How often it was changed so far.
        version: u64,
        /// The projects that came, went or changed.
        changes: PolicyChanges,
        /// The quotas that are below what is used.
        overuses: Vec<Overuse>,
    },
}

impl Decision {
    /// An answer, and what happens with it; no rule applies.
    pub(super) fn new(events: Vec<Event>, answer: Answer) -> Self {
        Self { events, answer, hits: Hits::default() }
    }

    /// Whether room among plans that may move was looked for, or would have been: somebody moves,
    /// or the lanes are booked by others.
    #[must_use]
    pub fn searched(&self) -> bool {
        let refused = |answer: &Answer| match answer {
            Answer::Refusal(refusal) => refusal.reason == Reason::NoHeadroom,
            Answer::Reservation(_)
            | Answer::Batch(_)
            | Answer::Session(_)
            | Answer::Topology { .. }
            | Answer::Maintenance { .. }
            | Answer::Drained(_)
            | Answer::Undrained(_)
            | Answer::Policy { .. } => false,
        };
        let moves = |event: &Event| matches!(event.change, Change::Moved(_));
        let several =
            if let Answer::Batch(answers) = &self.answer { answers.as_slice() } else { &[] };
        let any_refused = refused(&self.answer) || several.iter().any(refused);
        any_refused || self.events.iter().any(moves)
    }
}

impl Answer {
    /// The answer with the name of the request that made what it tells of.
    pub(super) fn made_by(mut self, request: RequestId) -> Self {
        let made = match &mut self {
            Self::Reservation(made) => Some(made),
            Self::Refusal(refusal) => refusal.held.as_mut(),
            Self::Batch(_)
            | Self::Session(_)
            | Self::Topology { .. }
            | Self::Maintenance { .. }
            | Self::Drained(_)
            | Self::Undrained(_)
            | Self::Policy { .. } => None,
        };
        if let Some(made) = made {
            made.created_by = Some(request);
        }
        self
    }
}

//! What a change of the policy would have decided otherwise of what was asked lately.

use tidegate_policy::{BitRate, ClassId, Interval, ProjectId, Timestamp};
use tidegate_proto::v1;
use v1::decided::What;

use super::{PolicyChange, change_to_wire, class, project_id, service};
use crate::connect::Client;
use crate::error::ClientError;
use crate::refusal::{Refusal, RefusalReason};
use crate::wire;

/// What a change would have decided otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Rehearsal {
    /// How many requests for reservations were decided under both policies.
    pub decided: u64,
    /// How often one decision turned into the other, as it is and as it would be.
    pub turned: Vec<(Verdict, Verdict, u64)>,
    /// The first decisions that differ, at most 1000.
    pub differing: Vec<Differing>,
    /// From the first request to the last that was decided; `None` if there was none.
    pub over: Option<Interval>,
    /// There were more, for which there was no time.
    pub cut_short: bool,
}

/// What became of a request, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was granted.
    Granted,
    /// It was refused.
    Refused(RefusalReason),
    /// It was wrong.
    Wrong,
}

/// A request that would be decided otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Differing {
    /// Which, by its identifier.
    pub request: String,
    /// When it was asked.
    pub at: Timestamp,
    /// Whose it is.
    pub project: ProjectId,
    /// As it is decided under the policy that stands.
    pub before: Decided,
    /// As it would be.
    pub after: Decided,
}

/// A decision, as far as it is compared.
#[derive(Clone, Debug, PartialEq)]
pub enum Decided {
    /// A rate for some time, in a class.
    Granted {
        /// The payload rate that may be had at most.
        rate: BitRate,
        /// From its start to its end.
        over: Interval,
        /// Its class.
        class: Option<ClassId>,
    },
    /// Refused; without offers.
    Refused(Box<Refusal>),
    /// Wrong: the error.
    Wrong(String),
}

impl Client {
    /// What a change of the policy would have decided otherwise of the last requests; at most
    /// `last` of them, 1 to 10,000, and 1000 if that is 0. Nothing changes.
    ///
    /// # Errors
    /// What [`Client::apply_policy`] fails with if the change itself is wrong. Rehearsals run one
    /// after the other; [`ClientError::Shed`] if no turn came within the deadline.
    pub async fn simulate_policy(
        &self,
        change: &PolicyChange,
        last: u16,
    ) -> Result<Rehearsal, ClientError> {
        let request = v1::SimulatePolicyRequest {
            change: Some(change_to_wire(change)),
            request_count: last.into(),
        };
        let send =
            |channel, request| async move { service(channel).simulate_policy(request).await };
        Rehearsal::from_wire(self.call(request, send).await?.message)
    }
}

impl Rehearsal {
    fn from_wire(wire: v1::SimulatePolicyResponse) -> Result<Self, ClientError> {
        let turned = wire.turned.into_iter().map(|it| {
            let verdict = |it: Option<v1::Verdict>| Verdict::from_wire(it.unwrap_or_default());
            Ok((
                verdict(it.before),
                verdict(it.after),
                wire::count("turned.request_count", it.request_count)?,
            ))
        });
        let differing = wire.differing.into_iter().map(Differing::from_wire);
        let start = wire::instant("start_time", wire.start_time)?;
        let end = wire::instant("end_time", wire.end_time)?;
        Ok(Self {
            decided: wire::count("decided_count", wire.decided_count)?,
            turned: turned.collect::<Result<_, ClientError>>()?,
            differing: differing.collect::<Result<_, _>>()?,
            over: start.zip(end).and_then(|(start, end)| Interval::new(start, end)),
            cut_short: wire.cut_short,
        })
    }
}

impl Verdict {
    fn from_wire(wire: v1::Verdict) -> Self {
        match wire.reason {
            _ if wire.granted => Self::Granted,
            0 => Self::Wrong,
            reason => Self::Refused(RefusalReason::from_wire(reason)),
        }
    }
}

impl Differing {
    fn from_wire(wire: v1::DifferingDecision) -> Result<Self, ClientError> {
        let at = wire::instant("request_time", wire.request_time)?;
        Ok(Self {
            request: wire.decided_request_id,
            at: at.ok_or_else(|| ClientError::bad("request_time", "it is missing"))?,
            project: project_id("project", &wire.project)?,
            before: Decided::from_wire(wire.before)?,
            after: Decided::from_wire(wire.after)?,
        })
    }
}

impl Decided {
    fn from_wire(wire: Option<v1::Decided>) -> Result<Self, ClientError> {
        let missing = || ClientError::bad("what", "it is missing");
        Ok(match wire.and_then(|it| it.what).ok_or_else(missing)? {
            What::Granted(granted) => {
                let start = wire::instant("start_time", granted.start_time)?;
                let end = wire::instant("end_time", granted.end_time)?;
                let over = start.zip(end).and_then(|(start, end)| Interval::new(start, end));
                let class = match granted.class.as_str() {
                    "" => None,
                    name => Some(class::class_id("class", name)?),
                };
                let rate = wire::rate("rate_bps", granted.rate_bps)?;
                Self::Granted { rate, over: over.ok_or_else(missing)?, class }
            }
            What::Refusal(refusal) => Self::Refused(Refusal::bare_from_wire(refusal)?.into()),
            What::Error(error) => Self::Wrong(error),
        })
    }
}

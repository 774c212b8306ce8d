//! Several requests at once: all or none of them, the first that fits, one after the other, or each
//! for itself; once or every week.

use tidegate_policy::{ProjectId, RequestId};
use tidegate_proto::v1;

use crate::ask::Ask;
use crate::error::ClientError;
use crate::refusal::Refusal;
use crate::reservation::{Outcome, Reservation, Timing};
use crate::wire;

/// Requests that are decided in one step, in order, each seeing what those before it have booked.
///
/// It carries its request id from the moment it is made: asking twice with the same `Batch`
/// reserves once. The request ids of its asks are not used, and none of them may ask to hold its
/// best offer or only to be validated: the batch is validated as a whole.
///
/// ```
/// use tidegate_client::{Ask, Batch, End};
/// use tidegate_policy::Span;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // One image to two hosts: both or none.
/// let mut asks = Vec::new();
/// for host in ["hosts/compute-1", "hosts/compute-2"] {
///     let from = "storage/swift-east".parse()?;
///     let until = End::After(Span::from_secs(600));
///     asks.push(Ask::new(from, host.parse()?, "2Gbit".parse()?, until));
/// }
/// assert_eq!(Batch::new(asks).asks.len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The requests, 1 to 100.
    pub asks: Vec<Ask>,
    /// How they hang together, where [`Client::reserve_batch`](crate::connect::Client::reserve_batch)
    /// asks for it.
    pub relation: Relation,
    /// Asks for all of it again in each of the following weeks, 7 days of 24 hours later each time: 0
    /// or 1 means once. All weeks together are at most 100 requests.
    pub weeks: u8,
    /// Who they belong to.
    pub project: ProjectId,
    /// Asks what the answers would be, and books nothing.
    pub validate_only: bool,
    /// What makes asking twice the same as asking once.
    pub request_id: RequestId,
}

/// How the requests of a batch hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Relation {
    /// Each for itself.
    #[default]
    Each,
    /// All of them or none.
    AllOf,
    /// The first that fits; those behind it are not looked at, and are refused with
    /// [`OtherTaken`](crate::refusal::RefusalReason::OtherTaken).
    AnyOf,
    /// All of them or none, each after the end of the one before it.
    InOrder {
        /// Each starts exactly where the one before it ends.
        gapless: bool,
    },
}

impl Relation {
    /// Whether nothing is booked where one is refused.
    #[must_use]
    pub const fn is_all_or_none(self) -> bool {
        matches!(self, Self::AllOf | Self::InOrder { .. })
    }

    const fn to_wire(self) -> v1::Relation {
        match self {
            Self::Each => v1::Relation::Each,
            Self::AllOf => v1::Relation::AllOf,
            Self::AnyOf => v1::Relation::AnyOf,
            Self::InOrder { .. } => v1::Relation::InOrder,
        }
    }
}

/// The answer to a batch of which all or nothing was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a refusal is an answer too"]
pub enum AllOrNone {
    /// Yes to all: one reservation for each request, in their order.
    All(Vec<Reservation>),
    /// No: nothing is booked. One refusal for each request, in their order; those that would have
    /// fitted by themselves say [`OthersRefused`](crate::refusal::RefusalReason::OthersRefused).
    None(Vec<Refusal>),
}

impl Batch {
    /// These requests, for the project of the first of them.
    #[must_use]
    pub fn new(asks: impl IntoIterator<Item = Ask>) -> Self {
        let asks: Vec<Ask> = asks.into_iter().collect();
        let project = asks.first().map(|ask| ask.project.clone());
        Self {
            project: project.unwrap_or_else(ProjectId::default_project),
            asks,
            relation: Relation::default(),
            weeks: 1,
            validate_only: false,
            request_id: wire::new_request_id(),
        }
    }

    /// Lets them hang together like this.
    #[must_use]
    pub fn related(mut self, relation: Relation) -> Self {
        self.relation = relation;
        self
    }

    /// Asks for all of it in so many weeks, this one included.
    #[must_use]
    pub fn weekly(mut self, weeks: u8) -> Self {
        self.weeks = weeks;
        self
    }

    /// Asks what the answers would be, and books nothing.
    #[must_use]
    pub fn validate_only(mut self) -> Self {
        self.validate_only = true;
        self
    }

    pub(crate) fn to_wire(
        &self,
        relation: Relation,
    ) -> Result<v1::BatchCreateReservationsRequest, ClientError> {
        let one = |ask: &Ask| {
            let request_id = String::new();
            Ok(v1::CreateReservationRequest { request_id, ..ask.to_wire()? })
        };
        // What there was before relations is said in its old words: older brokers know no others.
        let old = matches!(relation, Relation::Each | Relation::AllOf);
        Ok(v1::BatchCreateReservationsRequest {
            parent: format!("projects/{}", self.project),
            request_id: self.request_id.to_string(),
            validate_only: self.validate_only,
            all_or_nothing: relation == Relation::AllOf,
            relation: if old { v1::Relation::Unspecified } else { relation.to_wire() }.into(),
            gapless: matches!(relation, Relation::InOrder { gapless: true }),
            weeks: if self.weeks <= 1 { 0 } else { i32::from(self.weeks) },
            requests: self.asks.iter().map(one).collect::<Result<_, ClientError>>()?,
        })
    }

    /// Refuses what a call that asks for one relation, once, has no place for.
    pub(crate) fn plain(&self, call: Relation) -> Result<(), ClientError> {
        let fits = self.relation == Relation::default() || self.relation == call;
        if fits && self.weeks <= 1 {
            return Ok(());
        }
        let why = "its relation or its weeks are another matter: ask with Client::reserve_batch";
        Err(ClientError::Invalid { why: why.into(), violations: Vec::new() })
    }

    /// One answer for each request of each week.
    pub(crate) fn answers(
        &self,
        answer: v1::BatchCreateReservationsResponse,
        timing: Timing,
    ) -> Result<Vec<Outcome>, ClientError> {
        let asked = self.asks.len().saturating_mul(usize::from(self.weeks.max(1)));
        let got = answer.responses.len();
        if asked != got {
            let why = format!("there are {got} for {asked} requests");
            return Err(ClientError::bad("responses", why));
        }
        answer.responses.into_iter().map(|one| Outcome::from_wire(one, timing)).collect()
    }
}

impl FromIterator<Ask> for Batch {
    fn from_iter<I: IntoIterator<Item = Ask>>(asks: I) -> Self {
        Self::new(asks)
    }
}

impl AllOrNone {
    /// All of one kind, or the answer makes no sense.
    pub(crate) fn from_outcomes(outcomes: Vec<Outcome>) -> Result<Self, ClientError> {
        let (mut all, mut none) = (Vec::new(), Vec::new());
        for outcome in outcomes {
            match outcome {
                Outcome::Granted(reservation) => all.push(reservation),
                Outcome::Refused(refusal) => none.push(refusal),
            }
        }
        match (all.is_empty(), none.is_empty()) {
            (_, true) => Ok(Self::All(all)),
            (true, false) => Ok(Self::None(none)),
            (false, false) => {
                Err(ClientError::bad("responses", "some are granted where all or none was asked"))
            }
        }
    }
}

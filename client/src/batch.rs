//! Several requests at once: all or none of them, or each for itself.

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
    /// Who they belong to.
    pub project: ProjectId,
    /// Asks what the answers would be, and books nothing.
    pub validate_only: bool,
    /// What makes asking twice the same as asking once.
    pub request_id: RequestId,
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
            validate_only: false,
            request_id: wire::new_request_id(),
        }
    }

    /// Asks what the answers would be, and books nothing.
    #[must_use]
    pub fn validate_only(mut self) -> Self {
        self.validate_only = true;
        self
    }

    pub(crate) fn to_wire(
        &self,
        all_or_nothing: bool,
    ) -> Result<v1::BatchCreateReservationsRequest, ClientError> {
        let one = |ask: &Ask| {
            let request_id = String::new();
            Ok(v1::CreateReservationRequest { request_id, ..ask.to_wire()? })
        };
        Ok(v1::BatchCreateReservationsRequest {
            parent: format!("projects/{}", self.project),
            request_id: self.request_id.to_string(),
            validate_only: self.validate_only,
            all_or_nothing,
            requests: self.asks.iter().map(one).collect::<Result<_, ClientError>>()?,
            ..v1::BatchCreateReservationsRequest::default()
        })
    }

    /// One answer for each request.
    pub(crate) fn answers(
        &self,
        answer: v1::BatchCreateReservationsResponse,
        timing: Timing,
    ) -> Result<Vec<Outcome>, ClientError> {
        let (asked, got) = (self.asks.len(), answer.responses.len());
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

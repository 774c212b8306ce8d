//! A change of a reservation: another rate, start or end, in one step.

use tidegate_policy::{BitRate, RequestId, SessionId, Timestamp};
use tidegate_proto::v1;

use crate::reservation::{Etag, ReservationName};
use crate::wire;

/// What is to change about a reservation. What is not said stays as it is.
///
/// It carries its request id from the moment it is made: asking twice with the same `Change`
/// changes once.
///
/// ```
/// use tidegate_client::Change;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let later = Change::new().rate("2Gbit".parse()?).end("2030-01-01T18:00:00Z".parse()?);
/// assert_eq!(later.rate, Some("2Gbit".parse()?));
/// assert_eq!(later.start, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The new payload rate, in bits per second.
    pub rate: Option<BitRate>,
    /// The new first instant.
    pub start: Option<Timestamp>,
    /// The new first instant past it.
    pub end: Option<Timestamp>,
    /// Changes it only if this is still its etag.
    pub only_if: Option<Etag>,
    /// Asks what the answer would be, and changes nothing.
    pub validate_only: bool,
    /// What makes asking twice the same as asking once.
    pub request_id: RequestId,
}

impl Default for Change {
    fn default() -> Self {
        Self::new()
    }
}

impl Change {
    /// A change of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            rate: None,
            start: None,
            end: None,
            only_if: None,
            validate_only: false,
            request_id: wire::new_request_id(),
        }
    }

    /// Another payload rate.
    #[must_use]
    pub fn rate(mut self, rate: BitRate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Another start.
    #[must_use]
    pub fn start(mut self, start: Timestamp) -> Self {
        self.start = Some(start);
        self
    }

    /// Another end.
    #[must_use]
    pub fn end(mut self, end: Timestamp) -> Self {
        self.end = Some(end);
        self
    }

    /// Only if nobody has changed it since it was read with this etag; else the error is
    /// [`ClientError::Stale`](crate::error::ClientError::Stale).
    #[must_use]
    pub fn only_if(mut self, etag: Etag) -> Self {
        self.only_if = Some(etag);
        self
    }

    /// Asks what the answer would be, and changes nothing.
    #[must_use]
    pub fn validate_only(mut self) -> Self {
        self.validate_only = true;
        self
    }

    /// The message that asks for it; with `holder` and the version of the plan that it obeys, as
    /// the word that nothing is sent any more under the terms before.
    pub(crate) fn to_wire(
        &self,
        name: &ReservationName,
        holder: Option<(SessionId, u64)>,
    ) -> v1::UpdateReservationRequest {
        let paths = [
            ("rate_bps", self.rate.is_some()),
            ("start_time", self.start.is_some()),
            ("end_time", self.end.is_some()),
        ];
        let paths = paths.into_iter().filter(|(_, said)| *said);
        v1::UpdateReservationRequest {
            reservation: Some(v1::Reservation {
                name: name.to_string(),
                rate_bps: self.rate.map_or(0, wire::to_rate),
                start_time: self.start.map(wire::to_timestamp),
                end_time: self.end.map(wire::to_timestamp),
                etag: wire::to_etag(self.only_if.as_ref()),
                ..v1::Reservation::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: paths.map(|(path, _)| path.to_owned()).collect(),
            }),
            request_id: self.request_id.to_string(),
            validate_only: self.validate_only,
            session: wire::to_session(holder.map(|(session, _)| session)),
            plan_version: holder.map_or(0, |(_, obeyed)| i64::try_from(obeyed).unwrap_or(i64::MAX)),
        }
    }
}

//! What was measured on lanes. It changes no promise; reports say where it is not what it should be.

use tidegate_policy::{BitRate, ByteCount, Interval};
use tidegate_proto::v1;
use v1::topology_service_client::TopologyServiceClient;

use crate::connect::Client;
use crate::error::ClientError;
use crate::wire;

/// What was measured on a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Such as `links/spine-1/forward`.
    pub lane: String,
    /// When: it begins at most an hour ago, takes at most an hour, and is over.
    pub over: Interval,
    /// What crossed it in all, booked or not, in bytes of the lane, as a counter of a port has them;
    /// `None` if that was not measured.
    pub carried: Option<ByteCount>,
    /// The most that it was able to carry, in bits per second, as the speed of a port or a test has it;
    /// `None` if that was not measured.
    pub able: Option<BitRate>,
}

impl Client {
    /// Tells the broker what was measured on lanes, 1 to 1000 observations at once; returns how many it
    /// took in. `observer` says who measured, in 1 to 63 letters, digits, `.`, `_` or `-`: of the same
    /// observer, lane and instant the last word counts, so that it may be told again.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] if there is no such lane, [`ClientError::Invalid`] if an interval is
    /// too long, too old or not over, or nothing was measured.
    pub async fn report_observations(
        &self,
        observer: &str,
        observations: &[Observation],
    ) -> Result<u64, ClientError> {
        let request = v1::ReportObservationsRequest {
            observer: observer.to_owned(),
            observations: observations.iter().map(Observation::to_wire).collect(),
        };
        let send = |channel, request| async move {
            TopologyServiceClient::new(channel).report_observations(request).await
        };
        let heard = self.call(request, send).await?.message;
        wire::count("observation_count", heard.observation_count)
    }
}

impl Observation {
    fn to_wire(&self) -> v1::Observation {
        v1::Observation {
            lane: self.lane.clone(),
            start_time: Some(wire::to_timestamp(self.over.start())),
            end_time: Some(wire::to_timestamp(self.over.end())),
            carried_bytes: self.carried.map(wire::to_bytes),
            able_bps: self.able.map(wire::to_rate),
        }
    }
}

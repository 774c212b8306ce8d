//! The connection to a broker, and one method for each thing that can be asked.

use std::future::Future;
use std::time::Duration;

use http::Uri;
use tidegate_policy::{Interval, ProjectId};
use tidegate_proto::v1;
use tonic::transport::{Channel, Endpoint};
use tower::Service;
use v1::admin_service_client::AdminServiceClient;
use v1::topology_service_client::TopologyServiceClient;

use crate::clock::BootTime;
use crate::error::ClientError;
use crate::operator::Care;
use crate::reservation::Timing;
use crate::retry::RetryPolicy;
use crate::topology::{Applied, Lane, ServerInfo};
use crate::wire;

/// How a client waits and tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long one try of one call may take, connecting included. It goes along with the
    /// request, so that the broker gives up too. Default 5 s.
    pub deadline: Duration,
    /// How long a connection may take to come about. Default 2 s.
    pub connect_timeout: Duration,
    /// When a call is sent again.
    pub retry: RetryPolicy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            retry: RetryPolicy::default(),
        }
    }
}

/// A connection to a broker. Clones share it and cost next to nothing.
///
/// Calls that nothing answered are sent again, with the same request id, as [`RetryPolicy`] says;
/// every mutation is safe to repeat because of that id. What a broker did answer is final.
///
/// # Errors
/// Every method returns a [`ClientError`]; it says what happened, why, and what to do next.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    settings: Settings,
}

/// Which reservations a listing shows.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Listing {
    /// Only those of this project; `None` shows every project.
    pub project: Option<ProjectId>,
    /// Shows closed ones too.
    pub show_closed: bool,
    /// Only those for which this CEL expression holds, such as
    /// `rate_bps >= 1000000000 && destination == "hosts/compute-1"`; empty shows all. The fields
    /// are those of the wire; at most 2048 characters.
    pub filter: String,
    /// At most this many on a page, 1 to 1000; 0 means 100.
    pub page_size: u16,
    /// The token of the page before; empty means the first page.
    pub page_token: String,
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Asks for the next page; empty on the last.
    pub next_page_token: String,
}

/// An answer, and when its request was first sent and it was received.
pub(crate) struct Answer<R> {
    pub(crate) message: R,
    pub(crate) timing: Timing,
}

impl Client {
    /// A client of the broker at `target`, which is `http://HOST:PORT` or `unix:/PATH`, with the
    /// default [`Settings`].
    ///
    /// The connection is made by the first call and again whenever it breaks: an agent may start
    /// before its broker. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`ClientError::BadTarget`] if `target` is not such an address.
    pub fn connect(target: &str) -> Result<Self, ClientError> {
        Self::connect_with(target, Settings::default())
    }

    /// The same with other settings.
    ///
    /// # Errors
    /// [`ClientError::BadTarget`] if `target` is not such an address.
    pub fn connect_with(target: &str, settings: Settings) -> Result<Self, ClientError> {
        let channel = endpoint(target, settings)?.connect_lazy();
        Ok(Self { channel, settings })
    }

    /// A client whose connections come from `connector`: a simulated network, a proxy, a tunnel.
    /// `target` is the address that the connector is called with.
    ///
    /// # Errors
    /// [`ClientError::BadTarget`] if `target` is not an address.
    pub fn with_connector<C>(
        target: &str,
        connector: C,
        settings: Settings,
    ) -> Result<Self, ClientError>
    where
        C: Service<Uri> + Send + 'static,
        C::Response: hyper::rt::Read + hyper::rt::Write + Send + Unpin,
        C::Future: Send,
        C::Error: Send,
        Box<dyn std::error::Error + Send + Sync>: From<C::Error>,
    {
        let channel = endpoint(target, settings)?.connect_with_connector_lazy(connector);
        Ok(Self { channel, settings })
    }

    /// The settings it was made with.
    #[must_use]
    pub const fn settings(&self) -> Settings {
        self.settings
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Replaces the whole topology; with `validate_only`, says what would change and changes
    /// nothing. It never takes away what is promised: see [`Self::apply_topology_with`]. Read one
    /// from a file with [`topology_file::parse`](crate::topology_file::parse).
    pub async fn apply_topology(
        &self,
        topology: v1::Topology,
        validate_only: bool,
    ) -> Result<Applied, ClientError> {
        self.apply_topology_with(topology, Care { validate_only, accept_losses: false }).await
    }

    /// The present topology, as it would be applied.
    pub async fn export_topology(&self) -> Result<v1::Topology, ClientError> {
        let send = |channel, request| async move {
            TopologyServiceClient::new(channel).export_topology(request).await
        };
        Ok(self.call(v1::ExportTopologyRequest {}, send).await?.message)
    }

    /// Every lane, in the order of their names: what it can carry, the most that is booked at one
    /// instant of `interval` (`None` means now), and what is used.
    pub async fn list_lanes(&self, interval: Option<Interval>) -> Result<Vec<Lane>, ClientError> {
        let mut lanes: Vec<Lane> = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListResourcesRequest {
                page_size: 1000,
                page_token,
                start_time: interval.map(Interval::start).map(wire::to_timestamp),
                end_time: interval.map(Interval::end).map(wire::to_timestamp),
            };
            let send = |channel, request| async move {
                TopologyServiceClient::new(channel).list_resources(request).await
            };
            let page = self.call(request, send).await?.message;
            // A page that brings nothing and promises more would keep this loop alive forever.
            if page.lanes.is_empty() && !page.next_page_token.is_empty() {
                return Err(ClientError::bad("next_page_token", "it follows an empty page"));
            }
            for lane in page.lanes {
                lanes.push(Lane::from_wire(lane)?);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(lanes);
            }
        }
    }

    /// What the broker is, since when it runs, and its limits.
    pub async fn server_info(&self) -> Result<ServerInfo, ClientError> {
        let send = |channel, request| async move {
            AdminServiceClient::new(channel).get_server_info(request).await
        };
        ServerInfo::from_wire(self.call(v1::GetServerInfoRequest {}, send).await?.message)
    }

    /// One unary call: a deadline for each try, the same body on each try.
    pub(crate) async fn call<Q, R, F>(
        &self,
        body: Q,
        send: impl Fn(Channel, tonic::Request<Q>) -> F,
    ) -> Result<Answer<R>, ClientError>
    where
        Q: Clone,
        F: Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    {
        let deadline = self.settings.deadline;
        // Of the first try: a repeated answer may be the stored one, counted from back then.
        let sent = BootTime::now();
        let once = || {
            let mut request = tonic::Request::new(body.clone());
            request.set_timeout(deadline);
            let answer = send(self.channel(), request);
            async move {
                // The header binds the broker, this binds the road to it.
                let answer = tokio::time::timeout(deadline, answer).await;
                let answer = answer.map_err(|_| ClientError::Deadline { after: deadline })?;
                let answer =
                    answer.map_err(|status| ClientError::from_status(&status, deadline))?;
                let timing = Timing { sent, received: BootTime::now() };
                Ok(Answer { message: answer.into_inner(), timing })
            }
        };
        self.settings.retry.run(once).await
    }
}

fn endpoint(target: &str, settings: Settings) -> Result<Endpoint, ClientError> {
    let bad = |why: &str| ClientError::BadTarget { target: target.into(), why: why.into() };
    let known = match target.split_once(':') {
        Some(("http", rest)) => rest.len() > 2 && rest.starts_with("//"),
        Some(("unix", path)) => !path.is_empty(),
        _ => return Err(bad("it starts with neither http: nor unix:")),
    };
    if !known {
        return Err(bad("it names no place"));
    }
    let endpoint = Endpoint::from_shared(target.to_owned()).map_err(|e| bad(&e.to_string()))?;
    // Pings find a peer that vanished without a word; they also run while a session's stream is
    // quiet between two beats.
    Ok(endpoint
        .connect_timeout(settings.connect_timeout)
        .http2_keep_alive_interval(settings.deadline.saturating_mul(2))
        .keep_alive_timeout(settings.deadline)
        .tcp_nodelay(true))
}

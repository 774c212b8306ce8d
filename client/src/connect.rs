//! The connection to a broker, and one method for each thing that can be asked.

use std::future::Future;
use std::time::Duration;

use http::Uri;
use tidegate_policy::{ByteCount, Interval, ProjectId, SessionId, Span};
use tidegate_proto::v1;
use tonic::transport::{Channel, Endpoint};
use tower::Service;
use v1::admin_service_client::AdminServiceClient;
use v1::reservation_service_client::ReservationServiceClient;
use v1::session_service_client::SessionServiceClient;
use v1::topology_service_client::TopologyServiceClient;

use crate::clock::BootTime;
use crate::error::ClientError;
use crate::operator::Care;
use crate::reservation::{Ask, Outcome, Reservation, ReservationName, Timing};
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

    /// Asks for a rate over an interval. Asking twice with the same [`Ask`] reserves once.
    pub async fn reserve(&self, ask: &Ask) -> Result<Outcome, ClientError> {
        let send = |channel, request| async move {
            ReservationServiceClient::new(channel).create_reservation(request).await
        };
        let answer = self.call(ask.to_wire(), send).await?;
        Outcome::from_wire(answer.message, answer.timing)
    }

    /// Turns a hold into a promise. Repeated: unchanged.
    pub async fn confirm(&self, name: &ReservationName) -> Result<Reservation, ClientError> {
        let request = v1::ConfirmReservationRequest {
            name: name.to_string(),
            request_id: wire::new_request_id().to_string(),
            validate_only: false,
            etag: String::new(),
        };
        let send = |channel, request| async move {
            ReservationServiceClient::new(channel).confirm_reservation(request).await
        };
        reservation(self.call(request, send).await?)
    }

    /// Lets a hold last `hold_for` from now on, up to 15 minutes after it was made.
    pub async fn extend_hold(
        &self,
        name: &ReservationName,
        hold_for: Span,
    ) -> Result<Reservation, ClientError> {
        let request = v1::ExtendHoldRequest {
            name: name.to_string(),
            request_id: wire::new_request_id().to_string(),
            validate_only: false,
            hold_for: Some(wire::to_duration(hold_for)),
            etag: String::new(),
        };
        let send = |channel, request| async move {
            ReservationServiceClient::new(channel).extend_hold(request).await
        };
        reservation(self.call(request, send).await?)
    }

    /// Gives a reservation back on behalf of somebody else than its holder: if it is bound to a
    /// session, its lanes stay booked until the holder must have stopped. A holder releases its
    /// grant instead ([`Grant::release`](crate::grant::Grant::release)). Repeated: unchanged.
    pub async fn release(&self, name: &ReservationName) -> Result<Reservation, ClientError> {
        self.release_as(name, None, ByteCount::ZERO).await
    }

    /// Gives a reservation back; with `holder`, as the word that nothing is sent any more.
    pub(crate) async fn release_as(
        &self,
        name: &ReservationName,
        holder: Option<SessionId>,
        used: ByteCount,
    ) -> Result<Reservation, ClientError> {
        let request = v1::ReleaseReservationRequest {
            name: name.to_string(),
            request_id: wire::new_request_id().to_string(),
            validate_only: false,
            session: wire::to_session(holder),
            used_bytes: wire::to_bytes(used),
            etag: String::new(),
        };
        let send = |channel, request| async move {
            ReservationServiceClient::new(channel).release_reservation(request).await
        };
        reservation(self.call(request, send).await?)
    }

    /// Reads one reservation.
    pub async fn get(&self, name: &ReservationName) -> Result<Reservation, ClientError> {
        let request = v1::GetReservationRequest { name: name.to_string() };
        let send = |channel, request| async move {
            ReservationServiceClient::new(channel).get_reservation(request).await
        };
        reservation(self.call(request, send).await?)
    }

    /// One page of reservations, in the order they were made.
    pub async fn list(&self, listing: &Listing) -> Result<Page<Reservation>, ClientError> {
        let project = listing.project.as_ref();
        let request = v1::ListReservationsRequest {
            parent: project.map_or_else(|| "projects/-".into(), |p| format!("projects/{p}")),
            page_size: i32::from(listing.page_size),
            page_token: listing.page_token.clone(),
            show_closed: listing.show_closed,
            filter: String::new(),
        };
        let send = |channel, request| async move {
            ReservationServiceClient::new(channel).list_reservations(request).await
        };
        let Answer { message, timing } = self.call(request, send).await?;
        let items = message.reservations.into_iter();
        Ok(Page {
            items: items
                .map(|one| Reservation::from_wire(one, timing))
                .collect::<Result<_, _>>()?,
            next_page_token: message.next_page_token,
        })
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

    pub(crate) async fn open_session_call(
        &self,
        agent: &str,
    ) -> Result<Answer<v1::Session>, ClientError> {
        let request = v1::OpenSessionRequest {
            request_id: wire::new_request_id().to_string(),
            agent: agent.to_owned(),
            validate_only: false,
        };
        let send = |channel, request| async move {
            SessionServiceClient::new(channel).open_session(request).await
        };
        self.call(request, send).await
    }

    pub(crate) async fn close_session_call(&self, id: SessionId) -> Result<(), ClientError> {
        let request = v1::CloseSessionRequest {
            name: wire::to_session(Some(id)),
            request_id: wire::new_request_id().to_string(),
            validate_only: false,
        };
        let send = |channel, request| async move {
            SessionServiceClient::new(channel).close_session(request).await
        };
        self.call(request, send).await.map(drop)
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

fn reservation(answer: Answer<v1::Reservation>) -> Result<Reservation, ClientError> {
    Reservation::from_wire(answer.message, answer.timing)
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

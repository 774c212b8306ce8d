//! The one port: every service, health and reflection, behind deadlines and bounds; and beside them
//! what is answered over plain HTTP.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tidegate_proto::v1::admin_service_server::AdminServiceServer;
use tidegate_proto::v1::policy_service_server::PolicyServiceServer;
use tidegate_proto::v1::report_service_server::ReportServiceServer;
use tidegate_proto::v1::reservation_service_server::ReservationServiceServer;
use tidegate_proto::v1::session_service_server::SessionServiceServer;
use tidegate_proto::v1::topology_service_server::TopologyServiceServer;
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::Stream;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::deadline::DeadlineService;
use crate::journal::MAX_BATCH_BYTES;
use crate::rpc::Rpc;
use crate::trace::calls::CallsService;
use crate::web;
use crate::web::door::{Door, HEADERS_MAX};

/// The largest topology taken, in bytes: a hundred thousand resources, and little enough to fit
/// into one append of the journal ([`MAX_BATCH_BYTES`]) with what the durable form adds.
const APPLY_MAX: usize = MAX_BATCH_BYTES - (2 << 20);
/// The largest message of every other call, in bytes.
const MESSAGE_MAX: usize = 1 << 20;
/// The most streams of one connection.
const STREAMS_MAX: u32 = 1024;
/// How often an idle connection is asked whether it is alive, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_WITHIN: Duration = Duration::from_secs(10);
/// How long calls under way may take after the stop.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// What connections come from.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Serves until it is told to stop and the calls under way are answered.
pub(crate) async fn serve(
    listener: Listener,
    rpc: Rpc,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<ReservationServiceServer<Rpc>>().await;
    health.set_serving::<SessionServiceServer<Rpc>>().await;
    health.set_serving::<TopologyServiceServer<Rpc>>().await;
    health.set_serving::<PolicyServiceServer<Rpc>>().await;
    health.set_serving::<ReportServiceServer<Rpc>>().await;
    health.set_serving::<AdminServiceServer<Rpc>>().await;
    let per_connection = rpc.config.limits.requests_per_connection;
    let pages = web::routes(rpc.clone());
    let services = services(rpc).add_service(health_service).prepare();
    let door = Door::new(CallsService::new(DeadlineService::new(services)), pages);
    let server = Server::builder()
        .accept_http1(true)
        .concurrency_limit_per_connection(per_connection)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEADERS_MAX)
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_WITHIN));
    let stopping = stop.clone();
    let stopped = async move {
        stop.cancelled().await;
        // Whoever asks from now on is sent elsewhere before the connection goes.
        health.set_not_serving::<ReservationServiceServer<Rpc>>().await;
    };
    let served = async {
        match listener {
            Listener::Tcp(listener) => {
                let incoming = NoDelay(TcpListenerStream::new(listener));
                server.serve_with_incoming_shutdown(door, incoming, stopped).await
            }
            Listener::Unix(listener) => {
                let incoming = UnixListenerStream::new(listener);
                server.serve_with_incoming_shutdown(door, incoming, stopped).await
            }
        }
    };
    // Streams of sessions do not end by themselves: the stop does not wait for them forever.
    let drained = async {
        stopping.cancelled().await;
        tokio::time::sleep(DRAIN_MAX).await;
    };
    tokio::select! {
        result = served => result,
        () = drained => Ok(()),
    }
}

/// Every service but that of health.
fn services(rpc: Rpc) -> Routes {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tidegate_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1();
    let reflection = match reflection {
        Ok(service) => Some(service),
        Err(error) => {
            tracing::error!(%error, "reflection is not served");
            None
        }
    };
    let reservations =
        ReservationServiceServer::new(rpc.clone()).max_decoding_message_size(MESSAGE_MAX);
    let sessions = SessionServiceServer::new(rpc.clone()).max_decoding_message_size(MESSAGE_MAX);
    let topology = TopologyServiceServer::new(rpc.clone())
        .max_decoding_message_size(APPLY_MAX)
        .max_encoding_message_size(APPLY_MAX);
    let policy = PolicyServiceServer::new(rpc.clone())
        .max_decoding_message_size(APPLY_MAX)
        .max_encoding_message_size(APPLY_MAX);
    let reports = ReportServiceServer::new(rpc.clone()).max_decoding_message_size(MESSAGE_MAX);
    let mut services = Routes::new(reservations)
        .add_service(sessions)
        .add_service(topology)
        .add_service(policy)
        .add_service(reports)
        .add_service(AdminServiceServer::new(rpc).max_decoding_message_size(MESSAGE_MAX));
    if let Some(reflection) = reflection {
        services = services.add_service(reflection);
    }
    services
}

/// Connections that send small answers at once.
struct NoDelay(TcpListenerStream);

impl Stream for NoDelay {
    type Item = std::io::Result<tokio::net::TcpStream>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(context).map_ok(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection keeps Nagle's delay");
            }
            stream
        })
    }
}

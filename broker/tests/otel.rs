//! Spans as a collector receives them of a real `tidegated`: over the wire, below the span of the caller,
//! and all of them although the broker was told to stop at once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1 as collector;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use support::daemon::{Daemon, configure, said, tidegated};
use support::{Clients, GBIT, create, topology};
use tidegate_proto::v1;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

const HOUR_MS: i64 = 3_600_000;
const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const PARENT: u64 = 0x00f0_67aa_0ba9_02b7;

/// A span, and what is said of the process that sent it.
type Received = (Vec<KeyValue>, Span);

/// A collector that keeps what it is sent.
#[derive(Clone, Debug, Default)]
struct Collector {
    received: Arc<Mutex<Vec<Received>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<collector::ExportTraceServiceRequest>,
    ) -> Result<Response<collector::ExportTraceServiceResponse>, Status> {
        let mut received = self.received.lock().unwrap();
        for of_one in request.into_inner().resource_spans {
            let who = of_one.resource.map(|it| it.attributes).unwrap_or_default();
            let spans = of_one.scope_spans.into_iter().flat_map(|scope| scope.spans);
            received.extend(spans.map(|span| (who.clone(), span)));
        }
        Ok(Response::new(collector::ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Receives on a port of its own, for as long as the test runs.
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let service = TraceServiceServer::new(collector.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, address)
    }

    /// What was received of this name.
    fn spans(&self, name: &str) -> Vec<Span> {
        let received = self.received.lock().unwrap();
        let spans = received.iter().map(|(_, span)| span);
        spans.filter(|span| span.name == name).cloned().collect()
    }
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|it| it.key == key);
    let value = found.and_then(|it| it.value.as_ref()).and_then(|it| it.value.as_ref());
    match value {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        other => format!("{other:?}"),
    }
}

/// Asks as a caller whose span is sampled, or not.
async fn ask(clients: &Clients, sampled: bool) -> v1::CreateReservationRequest {
    let message = create(GBIT, HOUR_MS);
    let mut request = Request::new(message.clone());
    let parent = format!("00-{TRACE:032x}-{PARENT:016x}-0{}", u8::from(sampled));
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    clients.reservations.clone().create_reservation(request).await.unwrap();
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_sees_requests_below_the_spans_of_their_callers() {
    let (collector, endpoint) = Collector::start().await;
    let dir = tempfile::tempdir().unwrap();
    let config = configure(dir.path(), "127.0.0.1:0", "");
    let daemon = Daemon::start_with(&config, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
    let clients = Clients::connect(&daemon.address).await;
    clients.apply(topology(100 * GBIT)).await;
    let (asked, unseen) = (ask(&clients, true).await, ask(&clients, false).await);
    let batch = clients.info().await.journal_sequence - 1;
    drop(clients);
    // Nothing was sent yet, if all goes well: it leaves with the stop.
    daemon.terminate();
    let (status, log) = daemon.wait();
    assert!(status.success() && log.is_empty(), "{status}: {log}");

    let (who, _) = collector.received.lock().unwrap().first().unwrap().clone();
    assert_eq!(text(&who, "service.name"), "tidegated");
    let requests = collector.spans("request");
    let of = |id: &str| requests.iter().find(|span| text(&span.attributes, "request_id") == id);
    assert!(of(&unseen.request_id).is_none(), "its caller does not want it to be kept");
    let request = of(&asked.request_id).unwrap();
    assert_eq!(request.trace_id, TRACE.to_be_bytes());
    assert_eq!(request.parent_span_id, PARENT.to_be_bytes());
    assert_eq!(request.kind(), SpanKind::Server);
    assert_eq!(text(&request.attributes, "code"), "OK");
    let decided = collector.spans("decide");
    let decided = decided.iter().find(|span| span.parent_span_id == request.span_id).unwrap();
    assert_eq!(decided.trace_id, request.trace_id);
    assert_eq!(text(&decided.attributes, "decided"), "granted");
    let appends = collector.spans("append");
    let links = |span: &&Span| span.links.iter().any(|link| link.span_id == request.span_id);
    let append = appends.iter().find(links).unwrap();
    let expected = format!("{:?}", Some(any_value::Value::IntValue(batch)));
    assert_eq!(text(&append.attributes, "batch"), expected);
    // One without a caller's span begins a trace of its own.
    let root = requests.iter().find(|span| span.parent_span_id.is_empty()).unwrap();
    assert_eq!(text(&root.attributes, "method"), "tidegate.v1.TopologyService/ApplyTopology");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_keeps_nobody_from_stopping() {
    // A port that nobody listens on any more.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let endpoint = format!("http://{address}");
    let dir = tempfile::tempdir().unwrap();
    let config = configure(dir.path(), "127.0.0.1:0", "");
    let daemon = Daemon::start_with(&config, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
    let clients = Clients::connect(&daemon.address).await;
    clients.apply(topology(100 * GBIT)).await;
    clients.create(create(GBIT, HOUR_MS)).await;
    drop(clients);
    daemon.terminate();
    let (status, log) = daemon.wait();
    assert!(status.success(), "{status}: {log}");
    assert!(log.contains("Error"), "that spans are lost is said: {log}");
}

#[test]
fn an_endpoint_that_cannot_be_sent_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = configure(dir.path(), "127.0.0.1:0", "");
    for (endpoint, why) in [
        ("https://collector:4317", "spans go out without TLS"),
        ("collector:4317", "write http://"),
        ("http://", "write http://"),
    ] {
        let arguments = ["serve", "--config", config.to_str().unwrap()];
        let output = tidegated(&arguments).args(["--otlp-endpoint", endpoint]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{endpoint}");
        let said = said(&output);
        assert!(said.contains(why) && said.contains("http://"), "{endpoint}: {said}");
    }
}

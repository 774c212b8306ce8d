//! One port: pages over HTTP/1.1 and HTTP/2 and gRPC beside them, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use prost::bytes::Bytes;
use support::gated::{Gate, Gated};
use support::{GBIT, Served, create, eventually, raw, topology};
use tidegate_broker::config::{JournalPlace, Listen};
use tidegate_broker::journal::MemoryJournal;
use tidegate_broker::{Broker, Config};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tonic::Code;

/// The status and the body of what was asked over HTTP/2 without TLS.
async fn h2(address: &str, method: &str, path: &str, body: usize) -> (u16, String) {
    let client: Client<_, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let body = Full::new(Bytes::from(vec![b'x'; body]));
    let request = http::Request::builder().method(method).uri(format!("{address}{path}"));
    let answer = client.request(request.body(body).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// All that comes back for these bytes, until the broker closes the connection.
async fn send(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> String {
    // It may answer and close before it has taken everything.
    drop(stream.write_all(bytes).await);
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8(answer).unwrap()
}

async fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address.strip_prefix("http://").unwrap()).await.unwrap()
}

/// As [`h2`], over HTTP/1.1 and a connection of its own.
async fn h1(address: &str, method: &str, path: &str, headers: &str) -> (u16, String) {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    parse(&send(connect(address).await, head.as_bytes()).await)
}

fn parse(answer: &str) -> (u16, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_methods_share_the_port() {
    let served = Served::in_memory().await;
    let address = served.address();
    let ok = (200, "ok\n".to_owned());
    let (no_page, no_method) = ((404, "there is no such page here\n".to_owned()), 415);
    for _ in 0..2 {
        assert_eq!(h1(&address, "GET", "/healthz", "").await, ok);
        assert_eq!(h2(&address, "GET", "/healthz", 0).await, ok);
        // gRPC goes on beside it.
        served.clients.apply(topology(GBIT)).await;
    }
    assert_eq!(h1(&address, "HEAD", "/healthz", "").await, (200, String::new()));
    for method in ["GET", "POST"] {
        assert_eq!(h1(&address, method, "/no/such.page", "").await, no_page, "{method}");
        assert_eq!(h2(&address, method, "/no/such.page", 9).await, no_page, "{method}");
        let path = raw::path("AdminService/GetServerInfo");
        assert_eq!(h1(&address, method, &path, "").await.0, no_method, "{method}");
        assert_eq!(h2(&address, method, &path, 9).await.0, no_method, "{method}");
    }
    assert_eq!(h1(&address, "POST", "/healthz", "").await.0, 405);
    // Who says that it is gRPC is answered as gRPC, whatever the path.
    for path in ["/healthz", "/no/such.page", "/tidegate.v1.AdminService/No"] {
        let answer = raw::Raw::new(&address).send(path, raw::frame(&[]), raw::GRPC).await;
        assert_eq!((answer.http.as_u16(), answer.status.code()), (200, Code::Unimplemented));
    }
    // But not over HTTP/1.1, which a page in a browser can speak.
    let grpc = "content-type: application/grpc\r\n";
    let path = raw::path("AdminService/GetServerInfo");
    assert_eq!(h1(&address, "POST", &path, grpc).await.0, 505);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_of_a_path_has_the_pages_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broker.sock");
    let listen = Listen::Unix(path.clone());
    let served = Served::start(Config { listen, ..Config::ephemeral(JournalPlace::Memory) }).await;
    let get = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = send(UnixStream::connect(&path).await.unwrap(), get).await;
    assert_eq!(parse(&answer), (200, "ok\n".to_owned()));
    assert_eq!(served.clients.info().await.lane_count, 0);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused() {
    let served = Served::in_memory().await;
    let address = served.address();
    for (bytes, status) in [(15_000, 200), (17_000, 431), (1_000_000, 431)] {
        let header = format!("x: {}\r\n", "y".repeat(bytes));
        assert_eq!(h1(&address, "GET", "/healthz", &header).await.0, status, "{bytes}");
    }
    let many: String = (0..101).map(|it| format!("x{it}: y\r\n")).collect();
    assert_eq!(h1(&address, "GET", "/healthz", &many).await.0, 431);
    for (bytes, status) in [(65_536, 404), (65_537, 413)] {
        assert_eq!(h2(&address, "POST", "/nowhere", bytes).await.0, status, "{bytes}");
        let length = format!("content-length: {bytes}\r\n");
        let whole =
            format!("POST /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{length}\r\n");
        let whole = [whole.into_bytes(), vec![b'x'; bytes]].concat();
        let answer = send(connect(&address).await, &whole).await;
        assert_eq!(parse(&answer).0, status, "{bytes}");
    }
    assert_eq!(h1(&address, "GET", "/healthz", "").await.0, 200);
    served.stop().await;
}

/// A call under way is answered, an idle connection is closed, a request that was half sent is told
/// that this broker stops or nothing at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_pages_and_calls_alike() {
    let gate = Gate::default();
    let journal = Box::new(Gated { journal: MemoryJournal::new(), gate: gate.clone() });
    let config = Config::ephemeral(JournalPlace::Memory);
    let broker = Broker::start_on(journal, config).await.unwrap();
    let (address, stopper) = (broker.address(), broker.stopper());
    let clients = support::Clients::connect(&address).await;
    clients.apply(topology(GBIT)).await;
    let mut idle = connect(&address).await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 15];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    let mut half = connect(&address).await;
    half.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    gate.shut();
    let call = tokio::spawn({
        let clients = clients.clone();
        async move { clients.create(create(1, 3_600_000)).await }
    });
    eventually("it is on its way", async || gate.is_waited_at().then_some(())).await;
    stopper.cancel();
    let mut rest = String::new();
    idle.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with("ok\n"), "an idle connection is closed: {rest:?}");
    let rest = send(half, b"\r\n").await;
    assert!(rest.is_empty() || parse(&rest) == (503, "stopping\n".to_owned()), "{rest:?}");
    gate.open();
    assert!(!call.await.unwrap().name.is_empty(), "what was under way is answered");
    drop(clients);
    tokio::time::timeout(Duration::from_secs(60), broker.wait()).await.unwrap().unwrap();
}

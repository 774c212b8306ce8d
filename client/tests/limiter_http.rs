//! Limited bodies in real HTTP, 1 and 2, through the layers of both sides.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tidegate_client::clock::BootTime;
use tidegate_client::limited::body::LimitedBody;
use tidegate_client::{Burst, LimitError, Limiter, Revoked};
use tokio::net::TcpListener;
use tonic::client::GrpcService;
use tonic::transport::Endpoint;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

const SIZE: usize = 300_000;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn limiter(rate: &str) -> Limiter {
    Limiter::new(rate.parse().unwrap(), Burst::default())
}

fn data() -> Bytes {
    (0..SIZE).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect::<Vec<_>>().into()
}

/// Sends back what came, with a trailer.
async fn echo<B>(request: Request<B>) -> Result<Response<StreamBody<Frames>>, BoxError>
where
    B: http_body::Body<Data = Bytes>,
    BoxError: From<B::Error>,
{
    let data = request.into_body().collect().await?.to_bytes();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-length", HeaderValue::from(data.len()));
    let frames = [Frame::data(data), Frame::trailers(trailers)].map(Ok);
    Ok(Response::new(StreamBody::new(stream::iter(frames))))
}

type Frames = stream::Iter<std::array::IntoIter<Result<Frame<Bytes>, Infallible>, 2>>;

/// A server whose bodies are limited both ways.
async fn serve(takes: Limiter, sends: Limiter) -> Uri {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = ServiceBuilder::new()
                .layer(sends.responses())
                .layer(takes.requests())
                .service(service_fn(echo::<LimitedBody<Incoming>>));
            tokio::spawn(async move {
                let service = TowerToHyperService::new(service);
                let builder = auto::Builder::new(TokioExecutor::new());
                // Fails where a test takes its side away.
                drop(builder.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    format!("http://{address}/").parse().unwrap()
}

#[tokio::test]
async fn bodies_are_limited_both_ways_over_both_versions() {
    for http2 in [false, true] {
        let [takes, sends, up, down] = ["1Gbit"; 4].map(limiter);
        // The narrowest of the four: 20 ms each way, of which the burst saves 10.
        up.set_rate("80Mbit".parse().unwrap());
        sends.set_rate("80Mbit".parse().unwrap());
        let uri = serve(takes.clone(), sends.clone()).await;
        let client = Client::builder(TokioExecutor::new())
            .http2_only(http2)
            .build_http::<LimitedBody<Full<Bytes>>>();
        let service =
            ServiceBuilder::new().layer(down.responses()).layer(up.requests()).service(client);
        let begin = BootTime::now();
        let mut request = Request::post(uri).body(Full::new(data())).unwrap();
        request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        let answer = service.oneshot(request).await.unwrap();
        let body = answer.into_body().collect().await.unwrap();
        // How much longer it takes is the machine's affair.
        assert!(BootTime::now().since(begin) >= Duration::from_millis(40));
        let length = body.trailers().and_then(|trailers| trailers.get("x-length")).cloned();
        assert_eq!(length.is_some(), http2, "HTTP/1 has them only where they are announced");
        assert_eq!(body.to_bytes(), data());
        for limiter in [takes, sends, up, down] {
            assert_eq!(limiter.moved().bytes(), SIZE as u64, "http2: {http2}");
        }
    }
}

#[tokio::test]
async fn a_revocation_breaks_a_body_and_never_ends_it() {
    for http2 in [false, true] {
        let [takes, sends] = ["1Gbit"; 2].map(limiter);
        sends.set_rate("64kbit".parse().unwrap());
        let uri = serve(takes, sends.clone()).await;
        let client =
            Client::builder(TokioExecutor::new()).http2_only(http2).build_http::<Full<Bytes>>();
        let request = Request::post(uri).body(Full::new(data())).unwrap();
        let mut answer = client.request(request).await.unwrap().into_body();
        let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(!first.is_empty() && first.len() <= 2896);
        sends.revoke(Revoked::Preempted);
        // What was on its way may come; then it breaks off, and does not look complete.
        while let Ok(frame) = answer.frame().await.expect("it looks complete") {
            assert!(frame.is_data());
        }
        assert_eq!(sends.check(), Err(LimitError::Revoked(Revoked::Preempted)));
        assert!(sends.moved().bytes() < SIZE as u64);
    }
}

/// tonic's channel takes its own body and no other.
#[tokio::test]
async fn a_grpc_channel_can_be_limited() {
    fn takes<S: GrpcService<tonic::body::Body>>(service: S) -> S {
        service
    }
    let limiter = limiter("1Gbit");
    let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let service = ServiceBuilder::new()
        .layer(limiter.responses())
        .layer(limiter.requests())
        .map_request(|request: Request<LimitedBody<_>>| request.map(tonic::body::Body::new))
        .service(channel);
    let request = Request::new(tonic::body::Body::new(Full::new(data())));
    takes(service).oneshot(request).await.expect_err("nobody listens there");
    let layered = limiter.responses().layer(service_fn(echo::<Full<Bytes>>));
    let answer = layered.oneshot(Request::new(Full::new(data()))).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), data());
}

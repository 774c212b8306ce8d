//! Where gRPC and plain HTTP part, on one port.
//!
//! What says of itself that it is gRPC goes to the services, known method or not; everything else
//! goes to the pages. gRPC is taken over HTTP/2 alone: no browser speaks that without TLS, so no
//! page that somebody opens can be made to change what is promised here.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use http::{HeaderMap, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use http_body_util::Limited;
use tonic::body::Body;
use tower::Service;

use crate::clock;

/// The largest headers of any request, in bytes.
pub(crate) const HEADERS_MAX: u32 = 16 << 10;
/// The largest body of a request for a page, in bytes.
const BODY_MAX: u64 = 64 << 10;
/// How long a page may take for the head of its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// What a header counts beside its name and its value, as HTTP/2 counts it.
const HEADER_FRAME: u64 = 32;

/// Sends each request to where it belongs.
#[derive(Clone, Debug)]
pub(crate) struct Door<G> {
    grpc: G,
    pages: Router,
}

impl<G> Door<G> {
    pub(crate) fn new(grpc: G, pages: Router) -> Self {
        Self { grpc, pages }
    }
}

/// What is wrong with a request that is not for the services.
fn refusal(request: &Request<Body>) -> Option<(StatusCode, &'static str)> {
    if is_grpc(request.headers()) {
        let why = "gRPC is spoken over HTTP/2 here\n";
        return Some((StatusCode::HTTP_VERSION_NOT_SUPPORTED, why));
    }
    // HTTP/2 is held to it by the connection.
    if u64::from(HEADERS_MAX) < headers_bytes(request) {
        let why = "the headers are too large; send 16 KiB at most\n";
        return Some((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, why));
    }
    // What does not say its length is counted while it is read.
    if BODY_MAX < request.body().size_hint().lower() {
        let why = "the body is too large; send 64 KiB at most\n";
        return Some((StatusCode::PAYLOAD_TOO_LARGE, why));
    }
    None
}

/// Whether a request says that it is gRPC, in the encoding that is served.
fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    let rest = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

fn headers_bytes(request: &Request<Body>) -> u64 {
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let lines = request.headers().iter();
    let lines = lines.map(|(name, value)| name.as_str().len().saturating_add(value.len()));
    let bytes = [path].into_iter().chain(lines).map(|it| u64::try_from(it).unwrap_or(u64::MAX));
    bytes.fold(0, |sum, bytes| sum.saturating_add(bytes).saturating_add(HEADER_FRAME))
}

impl<G> Service<Request<Body>> for Door<G>
where
    G: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    G::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Pages are always ready.
        self.grpc.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.version() == Version::HTTP_2 && is_grpc(request.headers()) {
            return Box::pin(self.grpc.call(request));
        }
        if let Some(refusal) = refusal(&request) {
            return Box::pin(async move { Ok(refusal.into_response().map(Body::new)) });
        }
        let most = usize::try_from(BODY_MAX).unwrap_or(usize::MAX);
        let bounded = request.map(|body| axum::body::Body::new(Limited::new(body, most)));
        let answer = self.pages.call(bounded);
        let deadline = clock::deadline_in(ANSWER_WITHIN);
        Box::pin(async move {
            let answer = tokio::time::timeout_at(deadline, answer).await;
            let answer = answer.unwrap_or_else(|_| {
                let why = "this took too long; ask for less, or again\n";
                Ok((StatusCode::GATEWAY_TIMEOUT, why).into_response())
            });
            answer.map(|answer| answer.map(Body::new))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_by_what_it_says_it_is() {
        let is = |kind: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            is_grpc(&headers)
        };
        for grpc in ["application/grpc", "application/grpc+proto", "application/grpc;charset=x"] {
            assert!(is(grpc), "{grpc}");
        }
        for other in ["application/grpc-web", "application/json", "text/plain", ""] {
            assert!(!is(other), "{other}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }
}

//! What the port answers over plain HTTP, beside gRPC.
//!
//! [`door`] stands before both and keeps the bounds: whatever reaches a page has headers and a body
//! of bounded size, and thirty seconds for the head of its answer. A page of events may then go on
//! for as long as its reader does; it ends by itself when [`Rpc::stop`] is cancelled.
//!
//! The dashboard: [`ask`] reads what a page is asked with, [`pages`] ask the services what gRPC would
//! be answered, [`draw`] makes pictures of that, and [`frame`] puts it all on a page.

mod classic;
pub(crate) mod door;
pub(crate) mod metrics;
mod standing;

mod ask;
mod assets;
mod changed;
mod draw;
mod findings;
mod frame;
mod holders;
mod json;
mod limits;
mod pages;
mod say;
mod stream;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use crate::rpc::Rpc;

/// Every page. A path that is none of them is a 404 in plain text.
pub(crate) fn routes(rpc: Rpc) -> Router {
    Router::new()
        .route("/healthz", get(async |State(rpc): State<Rpc>| health(&rpc.stop)))
        .route(
            "/metrics",
            get(async |State(rpc): State<Rpc>, headers: HeaderMap| {
                metrics::page(rpc, headers).await
            }),
        )
        .merge(pages::routes())
        .fallback(unknown)
        .layer(middleware::map_response(frame::sealed))
        .with_state(rpc)
}

/// For whoever asks whether to send requests here.
fn health(stop: &CancellationToken) -> (StatusCode, &'static str) {
    if stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    (StatusCode::OK, "ok\n")
}

async fn unknown(uri: Uri) -> Response {
    if is_method(uri.path()) {
        let why = "this is a gRPC method: call it over HTTP/2 with content-type application/grpc\n";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, why).into_response();
    }
    (StatusCode::NOT_FOUND, "there is no such page here\n").into_response()
}

/// Whether a path is `/package.Service/Method`.
fn is_method(path: &str) -> bool {
    let parts = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    parts.is_some_and(|(service, method)| service.contains('.') && !method.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_stops_is_not_well() {
        let stop = CancellationToken::new();
        assert_eq!(health(&stop), (StatusCode::OK, "ok\n"));
        stop.cancel();
        assert_eq!(health(&stop).0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn methods_are_told_from_pages() {
        assert!(is_method("/tidegate.v1.AdminService/GetServerInfo"));
        for page in ["/", "/metrics", "/lanes/links.spine", "/a.b", "/a.b/c/d", "*"] {
            assert!(!is_method(page), "{page}");
        }
    }
}

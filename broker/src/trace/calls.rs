//! Every call has a span, from its headers to the end of its answer; and who fails leaves a line.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::Service;
use tracing::field::Empty;
use tracing::{Instrument, Level, Span};

use super::parent::Parent;
use crate::clock;
use crate::convert::reply::int;
use crate::convert::request::is_mutation;
use crate::status;

/// The longest name of a method that is told: those that exist are shorter.
const METHOD_MAX: usize = 100;

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Wraps the services.
#[derive(Clone, Debug)]
pub(crate) struct CallsService<S> {
    inner: S,
    /// How many calls there were.
    count: Arc<AtomicU64>,
}

impl<S> CallsService<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, count: Arc::default() }
    }
}

impl<S, B> Service<Request<B>> for CallsService<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible, Future = Answer>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Answer {
        let number = self.count.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let Some(call) = Call::begin(&request, number) else {
            return self.inner.call(request);
        };
        let answer = call.span.in_scope(|| self.inner.call(request));
        let answer = answer.instrument(call.span.clone());
        Box::pin(async move {
            let Ok(response) = answer.await;
            Ok(call.answered(response))
        })
    }
}

/// A call that is under way. One that is dropped before its end was given up by its caller.
struct Call {
    span: Span,
    begun: Duration,
    mutates: bool,
    ended: bool,
}

impl Call {
    /// `None` if nobody listens.
    fn begin<B>(request: &Request<B>, number: u64) -> Option<Self> {
        if !tracing::enabled!(Level::INFO) {
            return None;
        }
        let path = request.uri().path();
        let method = path.strip_prefix('/').unwrap_or(path);
        let method = &method[..method.floor_char_boundary(METHOD_MAX)];
        let parent = Parent::of(request.headers());
        let span = tracing::info_span!(
            "request",
            number = int(number),
            method,
            trace = parent.map(display),
            request_id = Empty,
            code = Empty,
            duration_us = Empty,
            otel.kind = cfg!(feature = "otel").then_some("server"),
            otel.status_code = Empty,
        );
        #[cfg(feature = "otel")]
        if let Some(parent) = parent {
            parent.adopt(&span);
        }
        let mutates = method.rsplit('/').next().is_some_and(is_mutation);
        Some(Self { span, begun: clock::uptime(), mutates, ended: false })
    }

    /// Follows the answer, if more comes than its headers.
    fn answered(mut self, response: Response<Body>) -> Response<Body> {
        let Some(code) = code_in(response.headers()) else {
            return response.map(|body| Body::new(Followed { body, call: self }));
        };
        let status = response.extensions().get::<Status>();
        let info = status.and_then(StatusExt::get_details_error_info);
        self.end(code, info.as_ref().map(|info| info.reason.as_str()));
        response
    }

    fn end(&mut self, code: Code, reason: Option<&str>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let took = clock::uptime().saturating_sub(self.begun);
        let duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let name = status::code_name(code);
        self.span.in_scope(|| {
            if self.mutates && code != Code::Ok {
                tracing::info!(code = name, reason, duration_us, "failed");
            } else {
                tracing::debug!(code = name, reason, duration_us, "answered");
            }
        });
        // At `info` the line has it all, and most calls have none.
        if tracing::enabled!(Level::DEBUG) {
            self.span.record("code", name).record("duration_us", int(duration_us));
            if cfg!(feature = "otel") && status::is_ours(code) {
                self.span.record("otel.status_code", "ERROR");
            }
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Code::Cancelled, None);
    }
}

/// The code in headers or trailers, if there is one.
fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()))
}

/// The rest of an answer, at the end of which the call ends.
struct Followed {
    body: Body,
    call: Call,
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let code = match &polled {
            Poll::Ready(Some(Ok(frame))) => frame.trailers_ref().and_then(code_in),
            Poll::Ready(Some(Err(status))) => Some(status.code()),
            Poll::Ready(None) => Some(Code::Unknown),
            Poll::Pending => None,
        };
        if let Some(code) = code {
            self.call.end(code, None);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

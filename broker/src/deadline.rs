//! Every call has a deadline: the caller's, or 5 s, and 30 s at most.
//!
//! The transport would answer a passed deadline with CANCELLED, as if the caller had given up;
//! this layer answers first, with the code that says what happened.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use crate::clock;
use crate::status::Failure;

const DEFAULT: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(30);
/// No timer counts less than this: who gives less has no time at all.
const SHORTEST: Duration = Duration::from_millis(1);
/// How much earlier than the transport this layer answers.
const EARLIER: Duration = Duration::from_millis(5);

/// When the call must be answered; for whoever carries it out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(pub(crate) Instant);

/// The deadline of a call that came through the layer.
pub(crate) fn of<T>(request: &tonic::Request<T>) -> Instant {
    let known = request.extensions().get::<Deadline>().map(|deadline| deadline.0);
    known.unwrap_or_else(|| clock::deadline_in(DEFAULT))
}

/// The deadline of one question of a stream, which has none of its own.
pub(crate) fn of_one() -> Instant {
    clock::deadline_in(DEFAULT)
}

/// Wraps the routes.
#[derive(Clone, Debug)]
pub(crate) struct DeadlineService<S> {
    inner: S,
}

impl<S> DeadlineService<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S, B> Service<Request<B>> for DeadlineService<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let span = asked(request.headers()).unwrap_or(DEFAULT).min(LONGEST);
        if span < SHORTEST {
            return Box::pin(async { Ok(Status::from(Failure::DeadlinePassed).into_http()) });
        }
        let deadline = clock::deadline_in(span.saturating_sub(EARLIER.min(span / 2)));
        request.extensions_mut().insert(Deadline(deadline));
        let answer = self.inner.call(request);
        Box::pin(async move {
            match tokio::time::timeout_at(deadline, answer).await {
                Ok(answered) => answered,
                Err(_) => Ok(Status::from(Failure::AnswerLate).into_http()),
            }
        })
    }
}

/// What `grpc-timeout` says: up to eight digits and a unit.
fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if 8 < digits.len() {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            asked(&headers)
        };
        assert_eq!(read("100m"), Some(Duration::from_millis(100)));
        assert_eq!(read("2S"), Some(Duration::from_secs(2)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for malformed in ["", "m", "123456789S", "5", "5x", "-1S"] {
            assert_eq!(read(malformed), None, "{malformed}");
        }
    }
}

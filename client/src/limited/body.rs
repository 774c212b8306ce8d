//! HTTP bodies.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::frames::Gate;
use crate::limiter::Limiter;

/// What a limited body fails with: an error of its own or, within, a
/// [`LimitError`](crate::limiter::LimitError), which
/// [`LimitError::within`](crate::limiter::LimitError::within) gives back.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

pin_project! {
    /// An HTTP body, of a request or of an answer, that yields data only as its limiter admits it.
    ///
    /// A data frame larger than what is leased is split without copying; one is held while it waits
    /// for its turn, and no further one is asked for meanwhile. Trailers, errors and the end pass at
    /// once and cost nothing. The length that the inner body tells is told on.
    ///
    /// It fits wherever a body of [`Bytes`] does: hyper, axum, tonic (`tonic::body::Body::new`) and
    /// reqwest (`reqwest::Body::wrap`). What the HTTP library reads ahead of it, a window or a
    /// buffer, passes the network before it is charged: keep those small as well.
    #[derive(Debug)]
    pub struct LimitedBody<B> {
        #[pin]
        inner: B,
        gate: Gate,
    }
}

impl Limiter {
    /// Limits an HTTP body.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http_body_util::{BodyExt, Full};
    /// use tidegate_client::{Burst, Limiter};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let limiter = Limiter::new("800Mbit".parse()?, Burst::default());
    /// let upload = limiter.body(Full::new(Bytes::from(vec![7; 300_000])));
    /// assert_eq!(upload.collect().await?.to_bytes().len(), 300_000);
    /// assert_eq!(limiter.moved().bytes(), 300_000);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn body<B>(&self, inner: B) -> LimitedBody<B> {
        LimitedBody { inner, gate: Gate::new(self.stream()) }
    }
}

impl<B> Body for LimitedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BodyError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut this = self.project();
        loop {
            if let Some(part) = ready!(this.gate.poll_held(cx)) {
                return Poll::Ready(Some(part.map(Frame::data).map_err(BodyError::from)));
            }
            match this.inner.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => this.gate.hold(data),
                    Ok(empty) => return Poll::Ready(Some(Ok(Frame::data(empty)))),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    this.gate.park(cx);
                    return Poll::Pending;
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.gate.len() == 0 && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let held = u64::try_from(self.gate.len()).unwrap_or(u64::MAX);
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint.set_lower(inner.lower().saturating_add(held));
        hint
    }
}

//! Layers that limit all bodies of an HTTP service, one side each; stack both for both.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tidegate_client::limited::body::LimitedBody;
//! use tidegate_client::{Burst, Limiter};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let (up, down) = ("100Mbit".parse()?, "800Mbit".parse()?);
//! let (up, down) = (Limiter::new(up, Burst::default()), Limiter::new(down, Burst::default()));
//! let echo = service_fn(|request: Request<LimitedBody<Full<Bytes>>>| async {
//!     let data = request.into_body().collect().await?.to_bytes();
//!     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Response::new(Full::new(data)))
//! });
//! let service = ServiceBuilder::new().layer(down.responses()).layer(up.requests()).service(echo);
//! let answer = service.oneshot(Request::new(Full::new(Bytes::from_static(b"hello")))).await?;
//! assert_eq!(answer.into_body().collect().await?.to_bytes(), "hello");
//! assert_eq!((up.moved().bytes(), down.moved().bytes()), (5, 5));
//! # Ok(())
//! # }
//! ```
//!
//! A service that takes one type of body and no other, as tonic's `Channel` does, needs it back after
//! [`Limiter::requests`]: `.map_request(|it: Request<_>| it.map(tonic::body::Body::new))`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::body::LimitedBody;
use crate::limiter::Limiter;

/// Limits the bodies of requests: uploads of a client, or what a server takes in.
#[derive(Clone, Debug)]
pub struct RequestLayer {
    limiter: Limiter,
}

/// Limits the bodies of responses: downloads of a client, or what a server sends.
#[derive(Clone, Debug)]
pub struct ResponseLayer {
    limiter: Limiter,
}

/// A service whose requests are limited.
#[derive(Clone, Debug)]
pub struct LimitRequests<S> {
    inner: S,
    limiter: Limiter,
}

/// A service whose responses are limited.
#[derive(Clone, Debug)]
pub struct LimitResponses<S> {
    inner: S,
    limiter: Limiter,
}

pin_project! {
    /// An answer whose body will be limited.
    #[derive(Debug)]
    pub struct LimitedResponse<F> {
        #[pin]
        inner: F,
        limiter: Limiter,
    }
}

impl Limiter {
    /// A layer that limits the bodies of all requests together.
    #[must_use]
    pub fn requests(&self) -> RequestLayer {
        RequestLayer { limiter: self.clone() }
    }

    /// A layer that limits the bodies of all responses together.
    #[must_use]
    pub fn responses(&self) -> ResponseLayer {
        ResponseLayer { limiter: self.clone() }
    }
}

impl<S> Layer<S> for RequestLayer {
    type Service = LimitRequests<S>;

    fn layer(&self, inner: S) -> LimitRequests<S> {
        LimitRequests { inner, limiter: self.limiter.clone() }
    }
}

impl<S> Layer<S> for ResponseLayer {
    type Service = LimitResponses<S>;

    fn layer(&self, inner: S) -> LimitResponses<S> {
        LimitResponses { inner, limiter: self.limiter.clone() }
    }
}

impl<S, B> Service<Request<B>> for LimitRequests<S>
where
    S: Service<Request<LimitedBody<B>>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        let limiter = &self.limiter;
        self.inner.call(request.map(|body| limiter.body(body)))
    }
}

impl<S, R, B> Service<R> for LimitResponses<S>
where
    S: Service<R, Response = Response<B>>,
{
    type Response = Response<LimitedBody<B>>;
    type Error = S::Error;
    type Future = LimitedResponse<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        LimitedResponse { inner: self.inner.call(request), limiter: self.limiter.clone() }
    }
}

impl<F, B, E> Future for LimitedResponse<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<LimitedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        Poll::Ready(Ok(response.map(|body| this.limiter.body(body))))
    }
}

//! Requests with a body, over connections that send evenly: the kernel paces each socket a little
//! above the limiter's rate, follows it when it changes, and keeps little of what it was given unsent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tidegate_policy::BitRate;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::Sleep;
use tower::ServiceExt;

use super::destination::Outlet;
use super::error::{CopyError, first_line};
use crate::download::source::web;
use crate::limited::body::BodyError;
use crate::limiter::{LimitError, Limiter};
use crate::socket::Flow;

/// What is sent.
pub(crate) type Content = UnsyncBoxBody<Bytes, BodyError>;

/// How long a server that has all bytes may take to say that it keeps them: it makes them durable, and
/// a store may put parts together.
const KEEPING_MAX: Duration = Duration::from_secs(300);

/// The longest answer to an upload that is read, in bytes.
const ANSWER_MAX: usize = 64 * 1024;

/// The most that is taken from the limiter ahead of the socket, in bytes.
const FRAME_MAX: usize = 256 * 1024;
const FRAME_MIN: usize = 16 * 1024;

/// Sends a request with its body under the limiter, and reads all of the answer, whatever it says.
/// Redirects are not followed: a body goes where it was meant to go.
pub(crate) async fn send(
    request: Request<Content>,
    outlet: &Outlet,
) -> Result<Response<Bytes>, CopyError> {
    let (how, uri) = (&outlet.how, request.uri().clone());
    let (ended, all_sent) = oneshot::channel();
    let request = request.map(|body| {
        let body = match &outlet.limiter {
            Some(limiter) => limiter.body(body).boxed_unsync(),
            None => body,
        };
        Ending { inner: body, ended: Some(ended) }
    });
    let tls = how.tls.config(uri.scheme_str() == Some("https"))?;
    let (limiter, round_trip) = (outlet.limiter.clone(), how.round_trip);
    let patience = how.patience;
    let paced = web::tcp(how).map_response(move |io| {
        Paced::new(io, limiter.clone().map(|limiter| (limiter, round_trip)), patience)
    });
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(paced);
    // What hyper takes ahead of the socket was admitted and is not sent: half a burst at most.
    let ahead = usize::try_from(how.burst.bytes() / 2).unwrap_or(FRAME_MAX);
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .http1_max_buf_size(ahead.clamp(FRAME_MIN, FRAME_MAX))
        .build(connector);
    let too_late = async {
        // As long as it sends, the connection itself notices a peer that takes nothing.
        drop(all_sent.await);
        tokio::time::sleep(KEEPING_MAX.max(patience)).await;
    };
    let answer = tokio::select! {
        answer = client.request(request) => answer.map_err(|error| failed(&uri, &error, patience))?,
        () = too_late => return Err(idle(&uri, KEEPING_MAX.max(patience))),
    };
    let (head, body) = answer.into_parts();
    Ok(Response::from_parts(head, all_of(body, KEEPING_MAX.max(patience)).await))
}

/// The body of an answer, as far as it can be read.
async fn all_of(body: Incoming, patience: Duration) -> Bytes {
    let body = tokio::time::timeout(patience, Limited::new(body, ANSWER_MAX).collect()).await;
    body.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default()
}

/// An answer of success, or an error that says what the server said.
pub(crate) fn taken(uri: &Uri, answer: Response<Bytes>) -> Result<Response<Bytes>, CopyError> {
    if answer.status().is_success() { Ok(answer) } else { Err(refused(uri, &answer)) }
}

fn refused(uri: &Uri, answer: &Response<Bytes>) -> CopyError {
    let status = answer.status();
    let location = answer.headers().get(http::header::LOCATION);
    let said = match location {
        Some(to) if status.is_redirection() => {
            let to = String::from_utf8_lossy(to.as_bytes()).into_owned();
            format!("what is written is not redirected; write it to {to}")
        }
        _ if status == StatusCode::INSUFFICIENT_STORAGE && answer.body().is_empty() => {
            "no space is left there".to_owned()
        }
        _ => first_line(answer.body()),
    };
    CopyError::Status { url: uri.to_string(), status: status.as_u16(), said }
}

fn idle(uri: &Uri, after: Duration) -> CopyError {
    CopyError::Idle { url: uri.to_string(), after }
}

fn failed(uri: &Uri, error: &hyper_util::client::legacy::Error, patience: Duration) -> CopyError {
    if let Some(limit) = LimitError::within(error) {
        return CopyError::Limit(limit);
    }
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut) {
            return idle(uri, patience);
        }
        if let Some(Fault(fault)) = error.downcast_ref() {
            let (url, why) = (uri.to_string(), fault.clone());
            return CopyError::Connect { url, why };
        }
        cause = error.source();
    }
    match web::connecting(uri, error) {
        crate::DownloadError::Connect { source_url: url, why } => CopyError::Connect { url, why },
        other => CopyError::Source(other),
    }
}

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Fault(pub(crate) String);

/// Tells when all of a body was taken, or nobody wants it any more.
struct Ending {
    inner: Content,
    ended: Option<oneshot::Sender<()>>,
}

impl Body for Ending {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        if frame.is_none() {
            this.ended = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A connection whose socket is paced as its limiter says, and that fails once its peer takes nothing
/// for too long.
pub(crate) struct Paced {
    io: TokioIo<TcpStream>,
    limiter: Option<(Limiter, Duration)>,
    /// The rate that the socket was made for last.
    made_for: Option<BitRate>,
    patience: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    fn new(
        io: TokioIo<TcpStream>,
        limiter: Option<(Limiter, Duration)>,
        patience: Duration,
    ) -> Self {
        let mut this = Self { io, limiter, made_for: None, patience, sleep: None };
        this.pace();
        this
    }

    /// Follows a rate that has changed. A kernel that cannot is no reason to stop: the limiter holds.
    fn pace(&mut self) {
        let Some((limiter, round_trip)) = &self.limiter else { return };
        let flow = Flow::of(limiter, *round_trip);
        // In a pause nothing comes, and what was admitted before may go on.
        if self.made_for == Some(flow.rate) || flow.rate == BitRate::ZERO {
            return;
        }
        let socket = self.io.inner();
        let paced = flow.pace(socket).and_then(|paced| Ok((paced, flow.limit_unsent(socket)?)));
        match paced {
            Ok((paced, unsent)) => tracing::debug!(rate = %flow.rate, ?paced, %unsent, "paced"),
            Err(error) => tracing::debug!(%error, "the socket is not paced"),
        }
        self.made_for = Some(flow.rate);
    }

    /// What a write came to: one that waits for the peer does so for a while only.
    fn waited<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.sleep = None;
            return outcome;
        }
        let patience = self.patience;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Read for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Paced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.pace();
        let outcome = Pin::new(&mut self.io).poll_write(cx, data);
        self.waited(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.pace();
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.waited(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl Connection for Paced {
    fn connected(&self) -> Connected {
        self.io.connected()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Burst;
    use crate::download::Tls;
    use crate::download::source::How;
    use crate::socket::{pacing_of, unsent_max_of};
    use futures_util::future::poll_fn;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    fn limiter(rate: &str) -> Limiter {
        Limiter::new(rate.parse().unwrap(), Burst::default())
    }

    /// The kernel is asked anew whenever the rate has changed, and left alone in a pause.
    #[tokio::test]
    async fn a_socket_is_paced_as_its_limiter_is() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        let limiter = limiter("80Mbit");
        let round_trip = Duration::from_millis(20);
        let patience = Duration::from_secs(5);
        let mut paced =
            Paced::new(TokioIo::new(stream), Some((limiter.clone(), round_trip)), patience);
        let holds = |paced: &Paced| {
            let socket = paced.io.inner();
            let flow = Flow::of(&limiter, round_trip);
            assert_eq!(unsent_max_of(socket).unwrap(), flow.limit_unsent(socket).unwrap());
            pacing_of(socket).unwrap()
        };
        // An eighth more than 10 MB/s.
        assert_eq!(holds(&paced), 11_250_000);
        limiter.set_rate("800Mbit".parse().unwrap());
        let wrote = poll_fn(|cx| Pin::new(&mut paced).poll_write(cx, b"more")).await.unwrap();
        assert_eq!(holds(&paced), 112_500_000);
        limiter.set_rate(BitRate::ZERO);
        poll_fn(|cx| Pin::new(&mut paced).poll_write(cx, b"more")).await.unwrap();
        assert_eq!(pacing_of(paced.io.inner()).unwrap(), 112_500_000);
        let mut heard = [0; 8];
        peer.read_exact(&mut heard[..wrote * 2]).await.unwrap();
    }

    /// What is sent is charged, and what is answered comes back whole.
    #[tokio::test]
    async fn an_upload_is_charged_and_its_answer_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri: Uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let rate = "80Mbit".parse().unwrap();
        let limiter = Limiter::new(rate, Burst::default());
        let how = How {
            tls: Tls::native(),
            rate,
            burst: limiter.burst(),
            streams: 1,
            round_trip: Duration::from_millis(20),
            patience: Duration::from_secs(5),
        };
        let retry = crate::RetryPolicy::default();
        let outlet = Outlet { how, limiter: Some(limiter.clone()), retry };
        let body = http_body_util::Full::new(Bytes::from(vec![7; 100_000]));
        let body = body.map_err(|never| match never {}).boxed_unsync();
        let request = Request::put(&uri).body(body).unwrap();
        let server = async {
            let (mut io, _) = listener.accept().await.unwrap();
            let mut heard = Vec::new();
            while heard.len() < 100_000 {
                assert_ne!(io.read_buf(&mut heard).await.unwrap(), 0);
            }
            let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok";
            tokio::io::AsyncWriteExt::write_all(&mut io, answer).await.unwrap();
        };
        let (answer, ()) = tokio::join!(send(request, &outlet), server);
        let answer = taken(&uri, answer.unwrap()).unwrap();
        assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::CREATED, &b"ok"[..]));
        assert_eq!(limiter.moved().bytes(), 100_000);
    }
}

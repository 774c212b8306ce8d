//! HTTP as a source of bytes, with a receive buffer that fits the rate. How it is written to is in
//! [`copy::sending`](crate::copy::sending).

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tidegate_policy::ByteCount;
use tokio_util::io::StreamReader;
use tower::ServiceExt;
use tower_http::follow_redirect::policy::{Action, Attempt, Policy};
use tower_http::follow_redirect::{FollowRedirect, RequestUri};

use super::{How, Opened, Part, Scheme, Schemes, Source, Stat};
use crate::copy::destination::Destination;
use crate::copy::error::CopyError;
use crate::download::error::DownloadError;
use crate::socket::Flow;

/// Whom to trust over https.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Absent means the certificates of this machine.
    roots: Option<Arc<RootCertStore>>,
}

impl Tls {
    /// Trusts what this machine trusts: the default.
    #[must_use]
    pub fn native() -> Self {
        Self::default()
    }

    /// Trusts the authorities in `pem`, and nobody else.
    ///
    /// # Errors
    /// [`DownloadError::Tls`] if `pem` holds no certificate or a broken one.
    pub fn roots_pem(pem: impl AsRef<[u8]>) -> Result<Self, DownloadError> {
        let fault = |why: String| DownloadError::Tls { why };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_ref()) {
            let certificate = certificate.map_err(|error| fault(error.to_string()))?;
            roots.add(certificate).map_err(|error| fault(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(fault("there is no certificate in it".into()));
        }
        Ok(Self { roots: Some(Arc::new(roots)) })
    }

    /// The provider is given to this configuration alone: a library installs none for the whole
    /// process.
    pub(crate) fn config(&self, needed: bool) -> Result<ClientConfig, DownloadError> {
        let fault = |error: &dyn std::error::Error| DownloadError::Tls { why: error.to_string() };
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| fault(&error))?;
        let config = match &self.roots {
            Some(roots) => config.with_root_certificates(Arc::clone(roots)),
            // A machine without certificates can still fetch what needs none.
            None if !needed => match config.clone().with_native_roots() {
                Ok(config) => config,
                Err(_) => config.with_root_certificates(RootCertStore::empty()),
            },
            None => config.with_native_roots().map_err(|error| fault(&error))?,
        };
        Ok(config.with_no_client_auth())
    }
}

const REDIRECTS_MAX: u8 = 10;
const BUFFER_MIN: usize = 16 * 1024;
const FRAME_MAX: usize = 256 * 1024;

/// `http://` and `https://`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Web;

/// One thing on a web server.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) uri: Uri,
}

impl Page {
    fn at(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
        if uri.host().is_none_or(str::is_empty) {
            return Err("it names no server".to_owned());
        }
        Ok(Self { uri })
    }
}

impl Scheme for Web {
    fn source(&self, url: &str, _schemes: &Schemes) -> Result<Arc<dyn Source>, DownloadError> {
        let page = Page::at(url).map_err(|why| DownloadError::bad_source(url, why))?;
        Ok(Arc::new(page))
    }

    fn destination(
        &self,
        url: &str,
        _schemes: &Schemes,
    ) -> Result<Arc<dyn Destination>, CopyError> {
        let page = Page::at(url).map_err(|why| CopyError::bad_destination(url, why))?;
        Ok(Arc::new(page))
    }
}

impl Source for Page {
    fn stat<'a>(&'a self, how: &'a How) -> BoxFuture<'a, Result<Stat, DownloadError>> {
        async {
            let answer = ask(request(Method::HEAD, &self.uri), how).await?;
            let size = length(answer.headers()).map(ByteCount::new);
            Ok(Stat { size, tag: tag(answer.headers()), ..Stat::default() })
        }
        .boxed()
    }

    fn open<'a>(
        &'a self,
        part: &'a Part,
        how: &'a How,
    ) -> BoxFuture<'a, Result<Opened, DownloadError>> {
        async {
            let answer = ask(ranged(request(Method::GET, &self.uri), part), how).await?;
            opened(&self.uri, answer, part)
        }
        .boxed()
    }
}

/// A request for what is at `uri`, as it is stored: a digest is of that.
pub(crate) fn request(method: Method, uri: &Uri) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(uri)
        .header(header::USER_AGENT, concat!("tidegate/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT_ENCODING, "identity")
}

/// Asks for a part alone; for all of it where it has another tag by now.
pub(super) fn ranged(request: http::request::Builder, part: &Part) -> http::request::Builder {
    if part.from == 0 && part.until.is_none() {
        return request;
    }
    let last = part.until.map_or_else(String::new, |until| until.saturating_sub(1).to_string());
    let request = request.header(header::RANGE, format!("bytes={}-{last}", part.from));
    match &part.tag {
        Some(tag) => request.header(header::IF_RANGE, tag),
        None => request,
    }
}

/// The content that was answered with.
pub(super) fn opened(
    uri: &Uri,
    answer: Response<Incoming>,
    part: &Part,
) -> Result<Opened, DownloadError> {
    let headers = answer.headers();
    let (from, size) = match answer.status() {
        StatusCode::PARTIAL_CONTENT => {
            let range = content_range(headers);
            let (from, size) = range.filter(|(from, _)| *from == part.from).ok_or_else(|| {
                DownloadError::bad_source(uri, "it was answered with another range than asked for")
            })?;
            (from, size)
        }
        _ => (0, length(headers)),
    };
    let stat = Stat { size: size.map(ByteCount::new), tag: tag(headers), ..Stat::default() };
    let frames = answer.into_body().into_data_stream().map_err(io::Error::other);
    Ok(Opened { stat, from, reader: Box::new(StreamReader::new(frames)) })
}

pub(crate) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The first byte of a range, and the length of all of it where it is known: `bytes 10-19/1000`.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, size) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (from, _) = range.split_once('-')?;
    Some((from.trim().parse().ok()?, size.trim().parse().ok()))
}

/// What tells two states of it apart to the byte: a strong ETag, else the date of its last change.
fn tag(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|it: &http::HeaderValue| it.to_str().ok());
    let strong = text(header::ETAG).filter(|tag| !tag.starts_with("W/"));
    strong.or_else(|| text(header::LAST_MODIFIED)).map(str::to_owned)
}

/// Sends a request without a body, and follows redirects until content or a refusal comes.
pub(crate) async fn ask(
    request: http::request::Builder,
    how: &How,
) -> Result<Response<Incoming>, DownloadError> {
    let request = request.body(Full::default());
    let request = request.map_err(|error| DownloadError::bad_source("", error))?;
    let source = request.uri().clone();
    let answer = send(request, how).await?;
    checked(&source, answer)
}

/// Sends a request and follows redirects.
pub(crate) async fn send(
    request: Request<Full<Bytes>>,
    how: &How,
) -> Result<Response<Incoming>, DownloadError> {
    let source = request.uri().clone();
    let client = FollowRedirect::with_policy(
        client(how.tls.config(source.scheme_str() == Some("https"))?, how),
        Careful { left: REDIRECTS_MAX },
    );
    let answer = tokio::time::timeout(how.patience, client.oneshot(request)).await;
    let answer = answer.map_err(|_| DownloadError::Idle { after: how.patience })?;
    answer.map_err(|error| connecting(&source, &error))
}

type WebClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

fn client(tls: ClientConfig, how: &How) -> WebClient {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp(how));
    // What hyper reads ahead of the limiter also passes at line rate: an eighth of a burst at most.
    let frame = usize::try_from(how.burst.bytes() / 8).unwrap_or(FRAME_MAX);
    let window = how.flow().window();
    Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .http2_initial_connection_window_size(window)
        .http2_initial_stream_window_size(window)
        .http1_max_buf_size(frame.clamp(BUFFER_MIN, FRAME_MAX))
        .build(connector)
}

/// Connects with a receive buffer that fits the rate.
pub(crate) fn tcp(how: &How) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(how.patience));
    tcp.set_recv_buffer_size(how.flow().receive_buffer());
    tcp
}

impl How {
    /// What one of its streams carries.
    pub(crate) fn flow(&self) -> Flow {
        let Self { rate, burst, round_trip, .. } = *self;
        Flow { rate, burst, round_trip }.one_of(self.streams.into())
    }
}

/// Follows redirects, but not forever and not from https to where everybody listens.
#[derive(Clone, Copy, Debug)]
struct Careful {
    left: u8,
}

impl<B, E> Policy<B, E> for Careful {
    fn redirect(&mut self, attempt: &Attempt<'_>) -> Result<Action, E> {
        let secure = |uri: &Uri| uri.scheme_str() == Some("https");
        if self.left == 0 || secure(attempt.previous()) && !secure(attempt.location()) {
            return Ok(Action::Stop);
        }
        self.left -= 1;
        Ok(Action::Follow)
    }
}

fn checked(source: &Uri, answer: Response<Incoming>) -> Result<Response<Incoming>, DownloadError> {
    let status = answer.status();
    if matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
        return Ok(answer);
    }
    let from = answer.extensions().get::<RequestUri>().map_or(source, |RequestUri(uri)| uri);
    let from = from.to_string();
    match answer.headers().get(header::LOCATION) {
        Some(to) if status.is_redirection() => {
            let to = String::from_utf8_lossy(to.as_bytes()).into_owned();
            Err(DownloadError::Redirect { from, to })
        }
        _ => Err(DownloadError::Status { source_url: from, status: status.as_u16() }),
    }
}

pub(crate) fn connecting(source: &Uri, error: &hyper_util::client::legacy::Error) -> DownloadError {
    let mut why = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        why = format!("{why}: {error}");
        cause = error.source();
    }
    DownloadError::Connect { source_url: source.to_string(), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use nix::sys::socket::{getsockopt, sockopt};

    use crate::bucket::Burst;

    fn how(rate: &str, round_trip_ms: u64, streams: u16) -> How {
        let rate = rate.parse().unwrap();
        How {
            tls: Tls::native(),
            rate,
            burst: Burst::default().at(rate),
            streams,
            round_trip: Duration::from_millis(round_trip_ms),
            patience: Duration::from_secs(30),
        }
    }

    #[tokio::test]
    async fn a_connection_has_the_receive_buffer_of_its_rate() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri: Uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        for (rate, streams) in [("1Mbit", 1), ("10Mbit", 1), ("10Mbit", 4)] {
            let how = how(rate, 20, streams);
            let connected = tcp(&how).oneshot(uri.clone()).await.unwrap();
            let holds = getsockopt(connected.inner(), sockopt::RcvBuf).unwrap() / 2;
            assert_eq!(Some(holds), how.flow().receive_buffer(), "{rate}");
        }
    }

    #[test]
    fn roots_have_to_be_certificates() {
        Tls::roots_pem("").unwrap_err();
        Tls::roots_pem("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .unwrap_err();
    }
}

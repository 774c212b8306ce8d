//! HTTP as a source of bytes, with a receive buffer that fits the rate.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tidegate_policy::{BitRate, ByteCount};
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;
use tower::ServiceExt;
use tower_http::follow_redirect::policy::{Action, Attempt, Policy};
use tower_http::follow_redirect::{FollowRedirect, RequestUri};

use crate::download::DownloadError;
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
    fn config(&self, needed: bool) -> Result<ClientConfig, DownloadError> {
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

/// How to fetch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    pub(crate) rate: BitRate,
    pub(crate) burst: ByteCount,
    pub(crate) round_trip: Duration,
    /// How long a connection, and then the head of an answer, may take.
    pub(crate) patience: Duration,
}

impl Tuning {
    fn flow(&self) -> Flow {
        Flow { rate: self.rate, burst: self.burst, round_trip: self.round_trip }
    }
}

/// The body of an answer, and its length where the server said it.
pub(crate) struct Body<R> {
    pub(crate) reader: R,
    pub(crate) length: Option<u64>,
}

const REDIRECTS_MAX: u8 = 10;
const BUFFER_MIN: usize = 16 * 1024;
const FRAME_MAX: usize = 256 * 1024;

/// Asks for `source` and follows redirects until a body comes.
pub(crate) async fn open(
    source: &Uri,
    tls: &Tls,
    tuning: Tuning,
) -> Result<Body<impl AsyncRead + Unpin + Send + use<>>, DownloadError> {
    let answer = ask(Method::GET, source, tls, tuning).await?;
    let length = length(&answer);
    let frames = answer.into_body().into_data_stream().map_err(io::Error::other);
    Ok(Body { reader: StreamReader::new(frames), length })
}

/// The length of what is at `source`, where the server says it.
pub(crate) async fn size(
    source: &Uri,
    tls: &Tls,
    tuning: Tuning,
) -> Result<Option<u64>, DownloadError> {
    ask(Method::HEAD, source, tls, tuning).await.map(|answer| length(&answer))
}

fn length(answer: &Response<Incoming>) -> Option<u64> {
    answer.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn ask(
    method: Method,
    source: &Uri,
    tls: &Tls,
    tuning: Tuning,
) -> Result<Response<Incoming>, DownloadError> {
    let client = FollowRedirect::with_policy(
        client(tls.config(source.scheme_str() == Some("https"))?, tuning),
        Careful { left: REDIRECTS_MAX },
    );
    let request = Request::builder()
        .method(method)
        .uri(source)
        .header(header::USER_AGENT, concat!("tidegate/", env!("CARGO_PKG_VERSION")))
        // A digest is of the content as it is stored.
        .header(header::ACCEPT_ENCODING, "identity")
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|error| DownloadError::bad_source(source, error))?;
    let answer = tokio::time::timeout(tuning.patience, client.oneshot(request)).await;
    let answer = answer.map_err(|_| DownloadError::Idle { after: tuning.patience })?;
    let answer = answer.map_err(|error| connecting(source, &error))?;
    checked(source, answer)
}

type Web = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

fn client(tls: ClientConfig, tuning: Tuning) -> Web {
    let tcp = tcp(&tuning);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    // What hyper reads ahead of the limiter also passes at line rate: half a burst at most.
    let frame = usize::try_from(tuning.burst.bytes() / 2).unwrap_or(FRAME_MAX);
    let window = tuning.flow().window();
    Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .http2_initial_connection_window_size(window)
        .http2_initial_stream_window_size(window)
        .http1_max_buf_size(frame.clamp(BUFFER_MIN, FRAME_MAX))
        .build(connector)
}

/// Connects with a receive buffer that fits the rate.
fn tcp(tuning: &Tuning) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(tuning.patience));
    tcp.set_recv_buffer_size(tuning.flow().receive_buffer());
    tcp
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
    if status == http::StatusCode::OK {
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

fn connecting(source: &Uri, error: &hyper_util::client::legacy::Error) -> DownloadError {
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
    use nix::sys::socket::{getsockopt, sockopt};

    use super::*;
    use crate::bucket::Burst;

    fn tuning(rate: &str, round_trip_ms: u64) -> Tuning {
        let rate = rate.parse().unwrap();
        Tuning {
            rate,
            burst: Burst::default().at(rate),
            round_trip: Duration::from_millis(round_trip_ms),
            patience: Duration::from_secs(30),
        }
    }

    #[tokio::test]
    async fn a_connection_has_the_receive_buffer_of_its_rate() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri: Uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        for rate in ["1Mbit", "10Mbit"] {
            let tuning = tuning(rate, 20);
            let connected = tcp(&tuning).oneshot(uri.clone()).await.unwrap();
            let holds = getsockopt(connected.inner(), sockopt::RcvBuf).unwrap() / 2;
            assert_eq!(Some(holds), tuning.flow().receive_buffer(), "{rate}");
        }
    }

    #[test]
    fn roots_have_to_be_certificates() {
        Tls::roots_pem("").unwrap_err();
        Tls::roots_pem("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .unwrap_err();
    }
}

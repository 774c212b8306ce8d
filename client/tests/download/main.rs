//! Downloads from real servers on the loopback: all of the file under its name, or nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod resume;
mod server;

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::CertifiedKey;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tidegate_client::clock::BootTime;
use tidegate_client::download::{Progress, Report};
use tidegate_client::retry::RetryPolicy;
use tidegate_client::{
    Burst, Digest, Download, DownloadError, LimitError, Limiter, Revoked, Schemes, Tls,
};
use tidegate_policy::ByteCount;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const SIZE: usize = 1_000_000;

fn content() -> Bytes {
    (0..SIZE).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect::<Vec<_>>().into()
}

/// As often as usual, but without much of a pause.
fn impatient() -> RetryPolicy {
    RetryPolicy {
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(2),
        ..RetryPolicy::default()
    }
}

fn fast() -> Limiter {
    Limiter::new("10Gbit".parse().unwrap(), Burst::default())
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

fn whole(status: StatusCode, body: Bytes) -> Answer {
    Response::builder().status(status).body(Full::new(body).boxed()).unwrap()
}

fn redirect(to: &str) -> Answer {
    let answer = Response::builder().status(StatusCode::FOUND).header("location", to);
    answer.body(Full::new(Bytes::from_static(b"over there")).boxed()).unwrap()
}

async fn serve(request: Request<Incoming>) -> Result<Answer, Infallible> {
    Ok(match request.uri().path() {
        "/image" | "/dir/image" => whole(StatusCode::OK, content()),
        "/chunked" => {
            let body = content();
            let pieces = (0..SIZE)
                .step_by(77_777)
                .map(move |start| Ok(Frame::data(body.slice(start..(start + 77_777).min(SIZE)))));
            Response::new(BodyExt::boxed(StreamBody::new(stream::iter(pieces))))
        }
        "/moved" => redirect("/dir/old"),
        "/dir/old" => redirect("image"),
        "/loop" => redirect("/loop"),
        "/insecure" => redirect("http://127.0.0.1:1/image"),
        _ => whole(StatusCode::NOT_FOUND, Bytes::from_static(b"no such image")),
    })
}

async fn answer(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let connection = auto::Builder::new(TokioExecutor::new());
    // What a client makes of a connection is its own affair; its error is what is tested.
    drop(connection.serve_connection(TokioIo::new(io), service_fn(serve)).await);
}

/// A server; its address as `HOST:PORT`.
async fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            tokio::spawn(answer(io));
        }
    });
    address
}

/// A server with a certificate of its own for `localhost`; its port and that certificate.
async fn secure_server() -> (u16, String) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(io) = acceptor.accept(io).await {
                    answer(io).await;
                }
            });
        }
    });
    (port, cert.pem())
}

/// A server that sends these bytes, then either closes or keeps silent.
async fn raw_server(bytes: &'static str, then_close: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut silent: Vec<TcpStream> = Vec::new();
        while let Ok((mut io, _)) = listener.accept().await {
            let mut request = [0; 1024];
            assert!(io.read(&mut request).await.unwrap() > 0, "a request");
            io.write_all(bytes.as_bytes()).await.unwrap();
            if !then_close {
                silent.push(io);
            }
        }
    });
    address
}

/// A directory to download into.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn file(&self) -> std::path::PathBuf {
        self.0.path().join("image.qcow2")
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    async fn fetch(&self, source: impl Into<String>) -> Result<Report, DownloadError> {
        let schemes = Schemes::default().mounts(["/".into()]);
        let download = Download::new(source, self.file()).schemes(schemes).retry(impatient());
        download.run(&fast(), |_| {}).await
    }

    /// The error of a download, after which nothing may be left.
    async fn fails(&self, source: impl Into<String>) -> DownloadError {
        let error = self.fetch(source).await.unwrap_err();
        assert_eq!(self.names(), Vec::<String>::new(), "{error}");
        error
    }
}

fn is_content(path: &Path) -> bool {
    std::fs::read(path).unwrap() == content()
}

#[tokio::test]
async fn a_file_comes_whole_verified_and_counted() {
    let (place, limiter) = (Place::new(), fast());
    let mut steps = Vec::new();
    let download = Download::new(format!("http://{}/image", server().await), place.file())
        .digest(Digest::of(&content()));
    let report = download.run(&limiter, |progress| steps.push(progress)).await.unwrap();
    let size = ByteCount::new(SIZE.try_into().unwrap());
    assert_eq!((report.bytes, report.digest), (size, Digest::of(&content())));
    assert_eq!(limiter.moved(), size, "every byte passed the limiter");
    assert_eq!(steps.last(), Some(&Progress { moved: size, total: Some(size) }));
    assert!(is_content(&place.file()));
    assert_eq!(place.names(), ["image.qcow2"]);
}

#[tokio::test]
async fn redirects_are_followed_but_not_forever() {
    let (place, server) = (Place::new(), server().await);
    let error = place.fails(format!("http://{server}/loop")).await;
    assert!(matches!(&error, DownloadError::Redirect { to, .. } if to == "/loop"), "{error:?}");
    place.fetch(format!("http://{server}/moved")).await.unwrap();
    assert!(is_content(&place.file()));
}

#[tokio::test]
async fn a_length_need_not_be_known() {
    let place = Place::new();
    let source = format!("http://{}/chunked", server().await);
    let mut total = None;
    let download = Download::new(source, place.file());
    download.run(&fast(), |progress| total = progress.total).await.unwrap();
    assert_eq!(total, None);
    assert!(is_content(&place.file()));
}

#[tokio::test]
async fn half_a_body_is_no_file() {
    let place = Place::new();
    let short = raw_server("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n0123456789", true).await;
    let error = place.fetch(format!("http://{short}/image")).await.unwrap_err();
    assert!(!place.file().exists());
    let (ten, thousand) = (ByteCount::new(10), Some(ByteCount::new(1000)));
    assert!(
        matches!(error, DownloadError::ShortBody { got, expected } if got == ten && expected == thousand),
        "{error:?}"
    );
    let cut = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\nff\r\n01";
    let cut = raw_server(cut, true).await;
    let error = place.fails(format!("http://{cut}/image")).await;
    assert!(matches!(error, DownloadError::ShortBody { expected: None, .. }), "{error:?}");
}

#[tokio::test]
async fn another_status_is_no_content() {
    let place = Place::new();
    let error = place.fails(format!("http://{}/absent", server().await)).await;
    assert!(matches!(error, DownloadError::Status { status: 404, .. }), "{error:?}");
}

#[tokio::test]
async fn a_wrong_digest_leaves_what_was_there() {
    let place = Place::new();
    std::fs::write(place.file(), "the old image").unwrap();
    let download = Download::new(format!("http://{}/image", server().await), place.file())
        .digest(Digest::of(b"something else"));
    let error = download.run(&fast(), |_| {}).await.unwrap_err();
    assert!(matches!(error, DownloadError::WrongDigest { .. }), "{error:?}");
    assert_eq!(std::fs::read_to_string(place.file()).unwrap(), "the old image");
    assert_eq!(place.names(), ["image.qcow2"]);
}

#[tokio::test]
async fn a_revocation_in_the_middle_leaves_nothing() {
    let (place, limiter) = (Place::new(), fast());
    let download = Download::new(format!("http://{}/image", server().await), place.file());
    let error = download.run(&limiter, |_| limiter.revoke(Revoked::SessionLost)).await.unwrap_err();
    let revoked = LimitError::Revoked(Revoked::SessionLost);
    assert!(matches!(error, DownloadError::Limit(why) if why == revoked), "{error:?}");
    assert!(!place.file().exists());
}

#[tokio::test]
async fn an_expired_limiter_asks_for_nothing() {
    let (place, limiter) = (Place::new(), fast());
    limiter.expires_at(BootTime::now());
    // Nobody listens there: to ask at all would be another error.
    let download = Download::new("http://127.0.0.1:1/image", place.file());
    let error = download.run(&limiter, |_| {}).await.unwrap_err();
    assert!(matches!(error, DownloadError::Limit(LimitError::Expired)), "{error:?}");
}

#[tokio::test]
async fn a_cancelled_download_leaves_nothing() {
    let place = Place::new();
    // One megabyte at 80 kbit/s lasts for minutes: it is always cancelled in the middle.
    let limiter = Limiter::new("80kbit".parse().unwrap(), Burst::default());
    let (first, mut begun) = tokio::sync::mpsc::channel(1);
    let download = Download::new(format!("http://{}/image", server().await), place.file());
    let task = tokio::spawn(async move {
        download
            .run(&limiter, |_| {
                // Full means that it was said before.
                first.try_send(()).unwrap_or_default();
            })
            .await
            .map(drop)
    });
    begun.recv().await.unwrap();
    assert!(!place.names().is_empty(), "a part beside the destination");
    assert!(!place.file().exists());
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(place.names(), Vec::<String>::new());
}

#[tokio::test]
async fn silence_is_not_waited_for_forever() {
    let place = Place::new();
    let silent = [
        raw_server("", false).await,
        raw_server("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n0123456789", false).await,
    ];
    for server in silent {
        let download = Download::new(format!("http://{server}/image"), place.file())
            .idle_timeout(Duration::from_millis(50))
            .retry(impatient());
        let error = download.run(&fast(), |_| {}).await.unwrap_err();
        assert!(matches!(error, DownloadError::Idle { .. }), "{error:?}");
        assert!(!place.file().exists());
    }
}

#[tokio::test]
async fn https_trusts_whom_it_is_told_to() {
    let place = Place::new();
    let (port, pem) = secure_server().await;
    let source = |path: &str| format!("https://localhost:{port}/{path}");
    let (_, stranger) = secure_server().await;
    let strange = Download::new(source("image"), place.file())
        .tls(Tls::roots_pem(stranger).unwrap())
        .retry(impatient());
    let error = strange.run(&fast(), |_| {}).await.unwrap_err();
    assert!(matches!(error, DownloadError::Connect { .. }), "{error:?}");
    let down = Download::new(source("insecure"), place.file()).tls(Tls::roots_pem(&pem).unwrap());
    let error = down.run(&fast(), |_| {}).await.unwrap_err();
    assert!(matches!(error, DownloadError::Redirect { .. }), "{error:?}");
    assert_eq!(place.names(), Vec::<String>::new());
    let known = Download::new(source("image"), place.file()).tls(Tls::roots_pem(&pem).unwrap());
    known.run(&fast(), |_| {}).await.unwrap();
    assert!(is_content(&place.file()));
    let provider = rustls::crypto::CryptoProvider::get_default();
    assert!(provider.is_none(), "no provider is installed for the process");
}

#[tokio::test]
async fn local_files_pass_the_limiter_too() {
    let (place, from) = (Place::new(), TempDir::new().unwrap());
    let path = from.path().join("an image");
    std::fs::write(&path, content()).unwrap();
    let limiter = fast();
    let source = format!("file://{}/an%20image", from.path().display());
    let mounted = |path: &Path| {
        let schemes = Schemes::default().mounts([path.to_owned()]);
        Download::new(&source, place.file()).schemes(schemes)
    };
    let report = mounted(from.path()).run(&limiter, |_| {}).await.unwrap();
    assert_eq!(limiter.moved(), report.bytes);
    assert!(is_content(&place.file()));
    // What is not mounted, or is reached by a link out of what is, is nobody's to read.
    let other = TempDir::new().unwrap();
    let error = mounted(other.path()).run(&limiter, |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("below none of the mounted"), "{error}");
    std::os::unix::fs::symlink(&path, other.path().join("link")).unwrap();
    let link = format!("file://{}/link", other.path().display());
    let schemes = Schemes::default().mounts([other.path().to_owned()]);
    let link = Download::new(link, place.file()).schemes(schemes);
    let error = link.run(&limiter, |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("below none of the mounted"), "{error}");
    let error = Download::new(&source, place.file()).run(&limiter, |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("no directory is mounted"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_fetched_says_why() {
    let place = Place::new();
    for source in ["", "image", "ftp://host/image", "file://host/x", "file:///%zz", "file:///tmp"] {
        let error = place.fails(source).await;
        assert!(matches!(error, DownloadError::BadSource { .. }), "{source}: {error:?}");
    }
    let error = place.fails("file:///absent/image").await;
    assert!(matches!(error, DownloadError::File { .. }), "{error:?}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let error = place.fails(format!("http://{nobody}/image")).await;
    assert!(matches!(error, DownloadError::Connect { .. }), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
    let nowhere = Download::new(format!("http://{}/image", server().await), "/absent/image");
    let error = nowhere.run(&fast(), |_| {}).await.unwrap_err();
    assert!(matches!(error, DownloadError::File { .. }), "{error:?}");
}

//! A store on the loopback that keeps what is put: as a web server, as S3 and as Swift would, as far as
//! an upload asks of them. It compares what came with the digests that came with it, and does as it is
//! told: refuses, fails for a while, or says that it has something else.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use md5::{Digest, Md5};
use rcgen::CertifiedKey;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// How it answers from now on, and what it has.
#[derive(Debug, Default)]
pub(crate) struct Inside {
    /// By its path.
    pub(crate) kept: BTreeMap<String, Bytes>,
    /// Parts of what is not put together, by upload and number.
    pub(crate) parts: BTreeMap<(String, String), Bytes>,
    /// Uploads that were given up.
    pub(crate) aborted: usize,
    /// Bodies of `PUT` that broke off.
    pub(crate) cut: usize,
    /// What was asked: method, path and query.
    pub(crate) asked: Vec<String>,
    /// Answers to the next `PUT`s, before their bodies are read.
    pub(crate) refuse: Vec<(u16, &'static str)>,
    /// It tells another tag than that of what it has.
    pub(crate) lies: bool,
    /// It loses the last byte of what it keeps.
    pub(crate) loses: bool,
    uploads: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    pub(crate) url: String,
    inside: Arc<Mutex<Inside>>,
}

type Answer = Response<Full<Bytes>>;

impl Shelf {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shelf = Self { url, inside: Arc::default() };
        let own = shelf.clone();
        tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                tokio::spawn(own.clone().serve(io));
            }
        });
        shelf
    }

    /// One that is spoken to over https, and the certificate that it shows for `localhost`.
    pub(crate) async fn start_secure() -> (Self, String) {
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
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let shelf = Self { url, inside: Arc::default() };
        let own = shelf.clone();
        tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                if let Ok(io) = acceptor.accept(io).await {
                    tokio::spawn(own.clone().serve(io));
                }
            }
        });
        (shelf, cert.pem())
    }

    async fn serve(self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let serve = service_fn(move |request| {
            let own = self.clone();
            async move { Ok::<_, Infallible>(own.answer(request).await) }
        });
        // A client that hangs up is what is tested.
        let connection = auto::Builder::new(TokioExecutor::new());
        drop(connection.serve_connection(TokioIo::new(io), serve).await);
    }

    pub(crate) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Waits until something is so, at most ten seconds.
    pub(crate) async fn until(&self, what: impl Fn(&Inside) -> bool) {
        for _ in 0..1000 {
            if what(&self.inside()) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("it never came to be: {:?}", self.inside().asked);
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        self.inside().asked.push(format!("{} {}", head.method, head.uri));
        if head.method == Method::PUT {
            let refused = {
                let mut inside = self.inside();
                (!inside.refuse.is_empty()).then(|| inside.refuse.remove(0))
            };
            if let Some((status, said)) = refused {
                return text(status, said);
            }
        }
        match body.collect().await {
            Ok(body) => self.carry_out(&head.method, &head.uri, &head.headers, body.to_bytes()),
            Err(_) => {
                self.inside().cut += 1;
                text(400, "it broke off")
            }
        }
    }

    fn carry_out(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Answer {
        let query = |name: &str| -> Option<String> {
            let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next()
        };
        let mut inside = self.inside();
        let path = uri.path().to_owned();
        if let Some(asked) = uri.query().filter(|asked| asked.starts_with("uploads")) {
            assert_eq!((method, asked.trim_end_matches('=')), (&Method::POST, "uploads"));
            inside.uploads += 1;
            let id = inside.uploads;
            return text(200, &format!("<R><UploadId>up-{id}</UploadId></R>"));
        }
        match (method.as_str(), query("uploadId")) {
            (_, Some(upload)) => {
                let sum = header(headers, "content-md5");
                inside.multipart(method, (upload, query("partNumber")), path, (sum, body))
            }
            ("PUT", None) if uri.query() == Some("multipart-manifest=put") => {
                inside.put_together(path, &body)
            }
            ("PUT", None) => inside.put(path, headers, body),
            ("DELETE", None) => {
                inside.aborted += 1;
                text(if inside.kept.remove(&path).is_some() { 204 } else { 404 }, "")
            }
            ("GET", None) if path == "/auth" => Response::builder()
                .header("x-storage-url", self.at("/v1"))
                .header("x-auth-token", "token")
                .body(Full::default())
                .unwrap(),
            ("GET", None) if uri.query().is_some_and(|it| it.contains("format=json")) => {
                inside.listed(&path)
            }
            ("GET" | "HEAD", None) => inside.get(&path, method == Method::HEAD),
            other => panic!("{other:?} {uri}"),
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|it| it.to_str().ok())
}

impl Inside {
    /// A step of an upload in parts, as S3 has it.
    fn multipart(
        &mut self,
        method: &Method,
        (upload, number): (String, Option<String>),
        path: String,
        (sum, body): (Option<&str>, Bytes),
    ) -> Answer {
        match (method.as_str(), number) {
            ("PUT", Some(number)) => {
                let tag = compared(sum, &base64(&body), &body);
                self.parts.insert((upload, format!("{number:0>8}")), body);
                tagged(tag, self.lies)
            }
            ("POST", None) => {
                let all = self.parts.iter().filter(|((id, _), _)| *id == upload);
                let all: Vec<u8> = all.flat_map(|(_, part)| part.to_vec()).collect();
                self.parts.retain(|(id, _), _| *id != upload);
                self.kept.insert(path, all.into());
                text(200, "<R><ETag>\"it-2\"</ETag></R>")
            }
            ("DELETE", None) => {
                self.parts.retain(|(id, _), _| *id != upload);
                self.aborted += 1;
                text(204, "")
            }
            other => panic!("{other:?}"),
        }
    }

    /// A large object of the pieces that are listed, as Swift has it.
    fn put_together(&mut self, path: String, body: &Bytes) -> Answer {
        let listed: Vec<serde_json::Value> = serde_json::from_slice(body).unwrap();
        let part = |it: &serde_json::Value| {
            let part = self.kept[&format!("/v1/{}", it["path"].as_str().unwrap())].clone();
            assert_eq!(it["etag"].as_str().unwrap(), hex(&part));
            part.to_vec()
        };
        let all: Vec<u8> = listed.iter().flat_map(part).collect();
        self.kept.insert(path, all.into());
        text(201, "")
    }

    fn put(&mut self, path: String, headers: &HeaderMap, body: Bytes) -> Answer {
        let tag = match path.starts_with("/v1/") {
            true => compared(header(headers, "etag"), &hex(&body), &body),
            false => compared(header(headers, "content-md5"), &base64(&body), &body),
        };
        let kept = if self.loses { body.slice(..body.len() - 1) } else { body };
        self.kept.insert(path, kept);
        tagged(tag, self.lies)
    }

    fn listed(&self, path: &str) -> Answer {
        let names = self.kept.keys().filter_map(|it| it.strip_prefix(path));
        let listed = names.filter(|it| it.starts_with(".segments/")).map(|it| {
            let at = "2026-11-29T00:00:00.000000";
            serde_json::json!({
                "bytes": 1, "hash": "0", "name": it, "content_type": "x", "last_modified": at,
            })
        });
        text(200, &serde_json::Value::from_iter(listed).to_string())
    }

    fn get(&self, path: &str, head: bool) -> Answer {
        let Some(kept) = self.kept.get(path) else { return text(404, "there is nothing") };
        Response::builder()
            .header("etag", format!("\"{}\"", hex(kept)))
            .header("content-length", kept.len())
            .header("last-modified", "Sun, 29 Nov 2026 11:00:00 GMT")
            .body(Full::new(if head { Bytes::new() } else { kept.clone() }))
            .unwrap()
    }
}

fn text(status: u16, said: &str) -> Answer {
    let status = StatusCode::from_u16(status).unwrap();
    Response::builder().status(status).body(Full::new(said.to_owned().into())).unwrap()
}

/// What it has is what was meant, where somebody said what that is.
fn compared(told: Option<&str>, got: &str, body: &Bytes) -> String {
    if let Some(told) = told {
        assert_eq!(told, got, "the digest of a piece is that of its bytes");
    }
    hex(body)
}

fn tagged(tag: String, lies: bool) -> Answer {
    let tag = if lies { "0".repeat(32) } else { tag };
    Response::builder()
        .status(StatusCode::OK)
        .header("etag", format!("\"{tag}\""))
        .body(Full::default())
        .unwrap()
}

pub(crate) fn hex(body: &Bytes) -> String {
    Md5::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(body: &Bytes) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(Md5::digest(body))
}

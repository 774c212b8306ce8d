//! Object stores as destinations, by opendal: small objects in one piece, large ones in parts, which
//! the store puts together at the end.
//!
//! Each piece carries its MD5, which S3 and Swift compare before they keep it, and the tag that they
//! answer with is compared once more. A piece that fails in passing is sent again by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use opendal::options::WriteOptions;
use opendal::{Buffer, Error, ErrorKind, HttpBody, Operator, Writer};
use tidegate_policy::ByteCount;

use super::{Check, Destination, Outlet, Writing};
use crate::copy::error::CopyError;
use crate::copy::sending::{self, Content};
use crate::download::digest::{Algorithm, Digest};
use crate::download::source::object::{Object, Store, in_time};
use crate::limited::body::BodyError;

/// The size of parts, in bytes: what an object is smaller than is sent in one piece. S3 takes none
/// below 5 MiB.
const PART: u64 = 8 << 20;

/// The size of parts where nobody knows how large the object becomes, in bytes.
const PART_UNSIZED: u64 = 64 << 20;

/// The largest part, in bytes: parts are held in memory until they are there.
const PART_MAX: u64 = 512 << 20;

/// Parts that are sent at once, so that one is read while another is sent.
const AT_ONCE: usize = 2;

/// Parts in this process at once: those that are sent, one that waits, one that is being filled.
const HELD: u64 = 4;

impl Store {
    /// So many parts fit into one object, with room to spare: S3 takes 10 000, Swift 1000.
    fn parts_max(&self) -> u64 {
        match self {
            Self::S3(_) => 9_000,
            Self::Swift(_) => 900,
        }
    }
}

impl Object {
    /// Refuses what takes parts that are too large to be held.
    fn check(&self, size: Option<ByteCount>) -> Result<(), CopyError> {
        let most = ByteCount::new(PART_MAX.saturating_mul(self.store.parts_max()));
        match size.filter(|size| most < *size) {
            None => Ok(()),
            Some(size) => {
                let why = format!("{size} is more than one object takes; split it below {most}");
                Err(CopyError::bad_destination(&self.url, why))
            }
        }
    }

    /// How large the parts of an object are, in bytes.
    fn part(&self, size: Option<ByteCount>) -> u64 {
        let needed = |size: ByteCount| size.bytes().div_ceil(self.store.parts_max());
        size.map_or(PART_UNSIZED, |size| needed(size).max(PART))
    }
}

impl Destination for Object {
    fn begin<'a>(
        &'a self,
        size: Option<ByteCount>,
        outlet: &'a Outlet,
    ) -> BoxFuture<'a, Result<Box<dyn Writing>, CopyError>> {
        async move {
            self.check(size)?;
            let uploading = Arc::new(Uploading {
                outlet: outlet.clone(),
                is_swift: matches!(self.store, Store::Swift(_)),
                fault: Mutex::default(),
                unsure: AtomicBool::new(false),
            });
            let how = &outlet.how;
            let operator = self.operator(how, Some(Arc::clone(&uploading))).await?;
            let chunk = usize::try_from(self.part(size)).unwrap_or(usize::MAX);
            let options =
                WriteOptions { chunk: Some(chunk), concurrent: AT_ONCE, ..WriteOptions::default() };
            let writer = in_time(how, operator.writer_options(&self.key, options)).await?;
            let writer = writer.map_err(|error| uploading.explained(&self.url, &error))?;
            let object = self.clone();
            let writing = ObjectWriting { object, operator, writer, uploading, sent: 0 };
            Ok(Box::new(writing) as Box<dyn Writing>)
        }
        .boxed()
    }

    fn lag(&self, size: Option<ByteCount>) -> ByteCount {
        let held = self.part(size).saturating_mul(HELD);
        ByteCount::new(size.map_or(held, |size| size.bytes().min(held)))
    }
}

struct ObjectWriting {
    object: Object,
    operator: Operator,
    writer: Writer,
    uploading: Arc<Uploading>,
    /// In bytes.
    sent: u64,
}

impl ObjectWriting {
    fn explained(&self, error: &Error) -> CopyError {
        self.uploading.explained(&self.object.url, error)
    }

    /// Whether the store has as much as it was given.
    async fn read_back(&self) -> Result<Check, CopyError> {
        let how = &self.uploading.outlet.how;
        let found = in_time(how, self.operator.stat(&self.object.key)).await?;
        let stored = found.map_err(|error| self.explained(&error))?.content_length();
        if stored != self.sent {
            let (sent, stored) = (ByteCount::new(self.sent), ByteCount::new(stored));
            return Err(CopyError::ShortWrite { url: self.object.url.clone(), sent, stored });
        }
        let unsure = self.sent == 0 || self.uploading.unsure.load(Ordering::Relaxed);
        Ok(if unsure { Check::Size } else { Check::Digest })
    }
}

impl Writing for ObjectWriting {
    fn write(&mut self, piece: Bytes) -> BoxFuture<'_, Result<(), CopyError>> {
        async {
            let count = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            let written = self.writer.write(piece).await;
            written.map_err(|error| self.explained(&error))?;
            self.sent = self.sent.saturating_add(count);
            Ok(())
        }
        .boxed()
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<Check, CopyError>> {
        async {
            let closed = self.writer.close().await;
            closed.map_err(|error| self.explained(&error))?;
            self.read_back().await
        }
        .boxed()
    }

    fn abort(&mut self) -> BoxFuture<'_, Result<(), CopyError>> {
        async {
            let how = self.uploading.outlet.how.clone();
            let aborted = in_time(&how, self.writer.abort()).await?;
            aborted.map_err(|error| self.explained(&error))
        }
        .boxed()
    }
}

/// What sends the pieces of one object.
#[derive(Debug)]
pub(crate) struct Uploading {
    outlet: Outlet,
    is_swift: bool,
    /// What went wrong first: opendal has its own words for it.
    fault: Mutex<Option<CopyError>>,
    /// The store did not say what it has of some piece.
    unsure: AtomicBool,
}

impl Uploading {
    /// Sends a request with its body under the limiter; a piece again if that may help.
    pub(crate) async fn send(
        &self,
        request: Request<Buffer>,
    ) -> opendal::Result<Response<HttpBody>> {
        let answer = match self.sent(request).await {
            Ok(answer) => answer,
            Err(error) => {
                // Not passing for opendal, which would send it again without an end.
                let told = Error::new(ErrorKind::Unexpected, error.to_string());
                let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
                fault.get_or_insert(error);
                return Err(told);
            }
        };
        let (head, body) = answer.into_parts();
        let size = u64::try_from(body.len()).ok();
        let body = HttpBody::new(stream::iter([Ok(Buffer::from(body))]), size);
        Ok(Response::from_parts(head, body))
    }

    async fn sent(&self, request: Request<Buffer>) -> Result<Response<Bytes>, CopyError> {
        let (mut head, body) = request.into_parts();
        let length = body.len();
        let pieces: Vec<Bytes> = body.collect();
        // The list of parts is no content: its tag is that of what it lists.
        let is_content = head.method == Method::PUT
            && !head.uri.query().is_some_and(|query| query.contains("multipart-manifest"));
        let sum = if is_content { Some(summed(&pieces).await) } else { None };
        if let Some(sum) = &sum {
            let (name, value) = self.header(sum);
            head.headers.insert(name, value);
        }
        head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
        let mut pauses = self.outlet.retry.pauses();
        loop {
            let request = Request::from_parts(head.clone(), content(&pieces));
            let answer = sending::send(request, &self.outlet).await;
            let answer = answer.and_then(|answer| sending::taken(&head.uri, answer));
            let checked = answer.and_then(|answer| self.checked(&head.uri, sum.as_ref(), answer));
            let error = match checked {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // What is not content may have been carried out already.
            let again = is_content && error.is_passing();
            let Some(pause) = pauses.next().filter(|_| again) else { return Err(error) };
            tracing::info!(uri = %head.uri.path(), %error, ?pause, "sending it again");
            tokio::time::sleep(pause).await;
        }
    }

    /// What has the store compare what came with what was sent.
    fn header(&self, sum: &Digest) -> (HeaderName, HeaderValue) {
        let (name, value) = match self.is_swift {
            true => (header::ETAG, hex(sum)),
            false => (HeaderName::from_static("content-md5"), STANDARD.encode(sum.as_bytes())),
        };
        // Hex digits and base64 are always good for a header.
        let value = HeaderValue::from_str(&value);
        (name, value.unwrap_or_else(|_| HeaderValue::from_static("")))
    }

    fn checked(
        &self,
        uri: &http::Uri,
        sum: Option<&Digest>,
        answer: Response<Bytes>,
    ) -> Result<Response<Bytes>, CopyError> {
        let Some(sum) = sum else { return Ok(answer) };
        match told(answer.headers()) {
            Some(got) if got == *sum => Ok(answer),
            Some(got) => {
                let (sent, got) = (Box::new(*sum), Box::new(got));
                Err(CopyError::Damaged { url: uri.path().to_owned(), sent, got })
            }
            None => {
                self.unsure.store(true, Ordering::Relaxed);
                Ok(answer)
            }
        }
    }

    /// What went wrong, in our words where it was here.
    fn explained(&self, url: &str, error: &Error) -> CopyError {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        let why = || match error.kind() {
            ErrorKind::NotFound => format!("there is no such bucket or container: {error}"),
            ErrorKind::PermissionDenied => format!("it may not be written: {error}"),
            _ => error.to_string(),
        };
        fault.unwrap_or_else(|| CopyError::Store { url: url.to_owned(), why: why() })
    }
}

/// The MD5 that a store says it has; `None` where its tag is something else.
fn told(headers: &HeaderMap) -> Option<Digest> {
    let has = |name: &str, value: &str| {
        let found = headers.get(name).and_then(|it| it.to_str().ok());
        found.is_some_and(|found| found.starts_with(value))
    };
    // Encrypted by keys of somebody else, its tag is of what is on the disk.
    if has("x-amz-server-side-encryption", "aws:kms")
        || headers.contains_key("x-amz-server-side-encryption-customer-algorithm")
    {
        return None;
    }
    let tag = headers.get(header::ETAG)?.to_str().ok()?;
    Digest::new(Algorithm::Md5, tag.trim_matches('"')).ok()
}

async fn summed(pieces: &[Bytes]) -> Digest {
    let pieces = pieces.to_vec();
    let sum = move || {
        let mut hash = Algorithm::Md5.hash();
        pieces.iter().for_each(|piece| hash.update(piece));
        hash.digest()
    };
    match tokio::task::spawn_blocking(sum).await {
        Ok(sum) => sum,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn hex(sum: &Digest) -> String {
    sum.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn content(pieces: &[Bytes]) -> Content {
    let frames: Vec<Result<Frame<Bytes>, BodyError>> =
        pieces.iter().cloned().map(|piece| Ok(Frame::data(piece))).collect();
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::download::source::{S3, Swift};

    fn object(store: Store) -> Object {
        let url = "s3://bucket/key";
        let scheme = match store {
            Store::S3(_) => Object::at(url, store),
            Store::Swift(_) => Object::at("swift://container/key", store),
        };
        scheme.unwrap()
    }

    #[test]
    fn parts_are_as_large_as_their_number_asks_for() {
        let s3 = object(Store::S3(S3::default()));
        let swift = object(Swift::account("http://swift", "token").store());
        let of = |bytes| Some(ByteCount::new(bytes));
        for object in [&s3, &swift] {
            assert_eq!(object.part(of(0)), PART);
            assert_eq!(object.part(None), PART_UNSIZED);
            assert_eq!(object.lag(of(1000)), ByteCount::new(1000));
            assert_eq!(object.lag(of(1 << 30)), ByteCount::new(4 * PART));
            for size in [1_u64 << 33, 1 << 40] {
                assert!(size.div_ceil(object.part(of(size))) <= object.store.parts_max());
            }
        }
        assert_eq!(s3.part(of(1 << 33)), PART);
        assert_eq!(swift.part(of(1 << 33)), 9_544_372);
        let most = PART_MAX * swift.store.parts_max();
        assert!(swift.check(None).and(swift.check(of(most))).is_ok());
        let refused = swift.check(of(most + 1)).unwrap_err().to_string();
        assert!(refused.contains("split it"), "{refused}");
    }

    #[test]
    fn a_tag_is_a_digest_where_the_store_means_it() {
        let md5 = "900150983cd24fb0d6963f7d28e17f72";
        let with = |pairs: &[(&'static str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            });
            told(&pairs.collect())
        };
        assert_eq!(with(&[("etag", &format!("\"{md5}\""))]).map(|it| hex(&it)), Some(md5.into()));
        assert_eq!(with(&[("etag", md5)]).map(|it| hex(&it)), Some(md5.into()));
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[("etag", "\"65f1-2\"")]), None);
        let kms = ("x-amz-server-side-encryption", "aws:kms");
        assert_eq!(with(&[("etag", md5), kms]), None);
    }
}

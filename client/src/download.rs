//! Fetching one file under a limiter: all of it under its final name, or nothing.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use sha2::{Digest as _, Sha256};
use tidegate_policy::{BitRate, ByteCount, Span};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::time::Sleep;
use uuid::Uuid;

use crate::clock::BootTime;
use crate::digest::Digest;
use crate::http::{self as web, Body, Tls, Tuning};
use crate::limiter::{LimitError, Limiter};

/// Why a download came to nothing. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The source is not something that can be fetched.
    #[error("{source_url:?} cannot be fetched: {why}; write http://, https:// or file:///")]
    BadSource {
        /// The source as given.
        source_url: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no connection to the server.
    #[error("no connection for {source_url}: {why}")]
    Connect {
        /// What was to be fetched.
        source_url: String,
        /// What the system said.
        why: String,
    },
    /// The certificates to trust cannot be used.
    #[error("the certificates to trust cannot be used: {why}")]
    Tls {
        /// What is wrong with them.
        why: String,
    },
    /// The server did not answer with the content.
    #[error("{source_url} was answered with status {status}")]
    Status {
        /// What was asked for, after redirects.
        source_url: String,
        /// The status, such as 404.
        status: u16,
    },
    /// A redirect that is not followed: the tenth, or one from https to http.
    #[error("the redirect from {from} to {to} is not followed")]
    Redirect {
        /// Who redirects.
        from: String,
        /// Where to.
        to: String,
    },
    /// The content ended early.
    #[error("the content ended after {got}{}; fetch it again", of(*expected))]
    ShortBody {
        /// What came.
        got: ByteCount,
        /// What the server had announced, if it had.
        expected: Option<ByteCount>,
    },
    /// The content is another than asked for.
    #[error("the content is {got}, not {expected}; it was changed or damaged")]
    WrongDigest {
        /// The digest asked for.
        expected: Digest,
        /// The digest of what came.
        got: Digest,
    },
    /// No byte came although the limiter admitted some.
    #[error("nothing came for {after:?}")]
    Idle {
        /// How long was waited.
        after: Duration,
    },
    /// The connection broke.
    #[error("the connection broke after {got}: {source}")]
    Broken {
        /// What came before.
        got: ByteCount,
        /// What the system said.
        source: io::Error,
    },
    /// The limiter admits nothing any longer.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// There is no room for the file.
    #[error("no space is left for {}", path.display())]
    DiskFull {
        /// The file that was being written.
        path: PathBuf,
    },
    /// A local file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DownloadError {
    pub(crate) fn bad_source(source: impl ToString, why: impl ToString) -> Self {
        Self::BadSource { source_url: source.to_string(), why: why.to_string() }
    }

    fn file(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::File { path, source },
        }
    }
}

fn of(expected: Option<ByteCount>) -> String {
    expected.map(|expected| format!(" of {expected}")).unwrap_or_default()
}

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is written so far.
    pub moved: ByteCount,
    /// What it will be, where the source said so.
    pub total: Option<ByteCount>,
}

/// A download that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The size of the file.
    pub bytes: ByteCount,
    /// From the first admitted byte to the durable file.
    pub elapsed: Duration,
    /// The mean rate over that time; `None` where it was too short to tell.
    pub mean_rate: Option<BitRate>,
    /// The digest of the content.
    pub digest: Digest,
}

/// One file to fetch, over http, https or from another place of this machine.
///
/// The bytes go to a hidden `.NAME.ID.part` beside the destination, which is renamed once all of
/// them are there, verified and durable. So there is never half a file under the final name; a
/// download that fails or is cancelled removes its part. Only a killed process can leave one.
#[derive(Clone, Debug)]
pub struct Download {
    source: String,
    destination: PathBuf,
    digest: Option<Digest>,
    tls: Tls,
    idle_timeout: Duration,
    round_trip: Duration,
    peak: BitRate,
}

/// Bytes per step: read, hashed, written.
const STEP: usize = 256 * 1024;

impl Download {
    /// A download of `source` to the file `destination`, which is replaced if it exists.
    #[must_use]
    pub fn new(source: impl Into<String>, destination: impl Into<PathBuf>) -> Self {
        Self {
            source: source.into(),
            destination: destination.into(),
            digest: None,
            tls: Tls::native(),
            idle_timeout: Duration::from_secs(30),
            round_trip: Duration::from_millis(20),
            peak: BitRate::ZERO,
        }
    }

    /// Accepts only content with this digest.
    #[must_use]
    pub fn digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// Whom to trust over https. Default: whom this machine trusts.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// How long the server may keep silent: to accept a connection, to answer, and between two
    /// pieces that the limiter admitted. Default 30 s.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// The round trip to the server, as far as known; it sizes the receive buffer. Default 20 ms.
    #[must_use]
    pub fn round_trip(mut self, round_trip: Duration) -> Self {
        self.round_trip = round_trip;
        self
    }

    /// The highest rate that its limiter will have, as far as known; it sizes the receive buffer.
    /// Default: the one that it has at the beginning.
    #[must_use]
    pub fn peak(mut self, rate: BitRate) -> Self {
        self.peak = rate;
        self
    }

    /// Fetches under `limiter`, such as that of a grant. Waits until it admits bytes before
    /// anything is asked of the server. `progress` is called after each step of at most 256 KiB
    /// and should be quick.
    ///
    /// # Errors
    /// A [`DownloadError`]; then nothing is left behind, and what stood at the destination before
    /// still stands there.
    pub async fn run(
        &self,
        limiter: &Limiter,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Report, DownloadError> {
        limiter.lease(&mut limiter.stream(), 1).await?;
        let begun = BootTime::now();
        let (bytes, digest) = if let Some(path) = self.source.strip_prefix("file://") {
            let body = self.open_file(path).await?;
            Box::pin(self.save(body, limiter, progress)).await?
        } else {
            let tuning = self.tuning(limiter.rate().max(self.peak), limiter.burst());
            let body = Box::pin(web::open(&self.web_source()?, &self.tls, tuning)).await?;
            Box::pin(self.save(body, limiter, progress)).await?
        };
        let elapsed = BootTime::now().since(begun);
        let ms = u64::try_from(elapsed.as_millis()).ok().and_then(Span::from_ms);
        let mean_rate = ms.and_then(|span| BitRate::mean(bytes, span));
        Ok(Report { bytes, elapsed, mean_rate, digest })
    }

    /// How large the source is, where it says so: what to reserve for. No content moves.
    ///
    /// # Errors
    /// A [`DownloadError`] if it cannot be fetched.
    pub async fn size(&self) -> Result<Option<ByteCount>, DownloadError> {
        let length = if let Some(path) = self.source.strip_prefix("file://") {
            self.open_file(path).await?.length
        } else {
            let tuning = self.tuning(BitRate::ZERO, ByteCount::ZERO);
            Box::pin(web::size(&self.web_source()?, &self.tls, tuning)).await?
        };
        Ok(length.map(ByteCount::new))
    }

    fn tuning(&self, rate: BitRate, burst: ByteCount) -> Tuning {
        Tuning { rate, burst, round_trip: self.round_trip, patience: self.idle_timeout }
    }

    async fn open_file(&self, path: &str) -> Result<Body<File>, DownloadError> {
        let path = local_path(&self.source, path)?;
        let file = File::open(&path).await.map_err(|e| DownloadError::file(&path, e))?;
        let data = file.metadata().await.map_err(|e| DownloadError::file(&path, e))?;
        if !data.is_file() {
            return Err(DownloadError::bad_source(&self.source, "it is no regular file"));
        }
        Ok(Body { reader: file, length: Some(data.len()) })
    }

    fn web_source(&self) -> Result<Uri, DownloadError> {
        let uri: Uri =
            self.source.parse().map_err(|error| DownloadError::bad_source(&self.source, error))?;
        match uri.scheme_str() {
            Some("http" | "https") => Ok(uri),
            _ => Err(DownloadError::bad_source(&self.source, "its scheme is not known")),
        }
    }

    /// Brings a body to its place.
    async fn save<R: AsyncRead + Unpin + Send>(
        &self,
        body: Body<R>,
        limiter: &Limiter,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<(ByteCount, Digest), DownloadError> {
        let (part, file) = Part::create(&self.destination).await?;
        let (bytes, got) = self.copy(body, limiter, (&part, file), progress).await?;
        match self.digest {
            Some(expected) if expected != got => {
                return Err(DownloadError::WrongDigest { expected, got });
            }
            _ => {}
        }
        part.keep(&self.destination).await?;
        Ok((bytes, got))
    }

    async fn copy<R: AsyncRead + Unpin + Send>(
        &self,
        body: Body<R>,
        limiter: &Limiter,
        (part, mut file): (&Part, File),
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<(ByteCount, Digest), DownloadError> {
        let expected = body.length.map(ByteCount::new);
        // The watch for silence sits below the limiter: only what was admitted is waited for.
        let mut reader = limiter.reader(Impatient::new(body.reader, self.idle_timeout));
        let mut hash = Sha256::new();
        let mut buffer = vec![0; STEP];
        let mut got = 0_u64;
        loop {
            let read = reader.read(&mut buffer).await;
            let count = read.map_err(|error| broken(error, ByteCount::new(got), expected))?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            hash.update(bytes);
            file.write_all(bytes).await.map_err(|e| DownloadError::file(&part.path, e))?;
            got = got.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            progress(Progress { moved: ByteCount::new(got), total: expected });
        }
        let got = ByteCount::new(got);
        if expected.is_some_and(|expected| got < expected) {
            return Err(DownloadError::ShortBody { got, expected });
        }
        file.flush().await.map_err(|e| DownloadError::file(&part.path, e))?;
        file.sync_all().await.map_err(|e| DownloadError::file(&part.path, e))?;
        Ok((got, Digest::of_sha256(hash)))
    }
}

/// What an error in the middle of a body means.
fn broken(error: io::Error, got: ByteCount, expected: Option<ByteCount>) -> DownloadError {
    if let Some(limit) = LimitError::of(&error) {
        return DownloadError::Limit(limit);
    }
    let inner = error.get_ref();
    if let Some(Silent(after)) = inner.and_then(|inner| inner.downcast_ref()) {
        return DownloadError::Idle { after: *after };
    }
    let http = inner.and_then(|inner| inner.downcast_ref::<hyper::Error>());
    let cut = http.is_some_and(|error| error.is_incomplete_message() || ended(error));
    if cut {
        return DownloadError::ShortBody { got, expected };
    }
    DownloadError::Broken { got, source: error }
}

/// Whether an error of hyper is an end of the connection in the middle of a chunk.
fn ended(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    let io = source.and_then(|source| source.downcast_ref::<io::Error>());
    io.is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof)
}

/// The path in a `file:` source: absolute, on this machine, with `%20` and the like decoded.
fn local_path(source: &str, rest: &str) -> Result<PathBuf, DownloadError> {
    use std::os::unix::ffi::OsStringExt;
    let bad = |why: &str| DownloadError::bad_source(source, why);
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err(bad("it names another machine, or no absolute path"));
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut pieces = path.split('%');
    decoded.extend_from_slice(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        let byte = piece.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let byte = byte.filter(|byte| *byte != 0).ok_or_else(|| bad("a % needs two hex digits"))?;
        decoded.push(byte);
        decoded.extend_from_slice(piece.get(2..).unwrap_or_default().as_bytes());
    }
    Ok(std::ffi::OsString::from_vec(decoded).into())
}

/// A file that is not complete yet. Removed when dropped.
struct Part {
    path: PathBuf,
    kept: bool,
}

impl Part {
    async fn create(destination: &Path) -> Result<(Self, File), DownloadError> {
        let name = destination.file_name().ok_or_else(|| {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "it names no file");
            DownloadError::file(destination, error)
        })?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.part", Uuid::from_u128(crate::wire::new_request_id().as_u128())));
        let path = destination.with_file_name(hidden);
        let options = File::options().write(true).create_new(true).open(&path).await;
        let file = options.map_err(|error| DownloadError::file(&path, error))?;
        Ok((Self { path, kept: false }, file))
    }

    /// Gives it its final name, durably.
    async fn keep(mut self, destination: &Path) -> Result<(), DownloadError> {
        let fault = |error| DownloadError::file(destination, error);
        tokio::fs::rename(&self.path, destination).await.map_err(fault)?;
        self.kept = true;
        // The name is durable once its directory is.
        let parent = destination.parent().filter(|path| !path.as_os_str().is_empty());
        let directory = File::open(parent.unwrap_or(Path::new("."))).await.map_err(fault)?;
        directory.sync_all().await.map_err(fault)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a part is left behind");
        }
    }
}

/// Fails once no byte came for too long while one was waited for.
struct Impatient<R> {
    inner: R,
    timeout: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug, thiserror::Error)]
#[error("nothing came for {0:?}")]
struct Silent(Duration);

impl<R> Impatient<R> {
    fn new(inner: R, timeout: Duration) -> Self {
        Self { inner, timeout, sleep: None }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Impatient<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Poll::Ready(result) = Pin::new(&mut this.inner).poll_read(context, buffer) {
            this.sleep = None;
            return Poll::Ready(result);
        }
        let timeout = this.timeout;
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        sleep.as_mut().poll(context).map(|()| Err(io::Error::other(Silent(timeout))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart() {
        let path = Path::new("image");
        let error = DownloadError::file(path, io::ErrorKind::StorageFull.into());
        assert!(matches!(error, DownloadError::DiskFull { .. }), "{error:?}");
        let error = DownloadError::file(path, io::ErrorKind::NotFound.into());
        assert!(matches!(error, DownloadError::File { .. }), "{error:?}");
    }
}

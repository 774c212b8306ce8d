//! One copy: a reader and a writer with a few pieces between them, and a digest beside.
//!
//! The last piece is written only once all of the content is known to be right: whatever makes a
//! destination show what it has, a length that is reached or the end of a body, is never given for
//! content that is short or another.

use std::path::Path;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use tidegate_policy::ByteCount;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::destination::{Outlet, Writing};
use super::error::CopyError;
use super::{Copied, Copying, Limits, Place, copied};
use crate::clock::BootTime;
use crate::download::digest::{Algorithm, Digest};
use crate::download::patient::Patient;
use crate::download::source::{How, Opened, Part, Source, Stat};
use crate::download::{DownloadError, Progress};
use crate::limiter::Limiter;

/// Bytes per step: read, written.
const STEP: usize = 256 * 1024;

/// With less room than this for what is read, there is more made, in bytes.
const LEAST: usize = 16 * 1024;

/// Steps that wait between the reader and the writer: what each of two limiters admits comes in its
/// own rhythm.
const WAITING_MAX: usize = 8;

pub(super) async fn copy(
    copying: &Copying,
    limits: &Limits,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Copied, CopyError> {
    let begun = BootTime::now();
    let (from, to) = (copying.from()?, copying.to()?);
    let how = copying.how(limits);
    let limiter = limits.writing.clone();
    let outlet = Outlet { how: how.clone(), limiter, retry: copying.retry };
    let reading = Reading { copying, source: from, limiter: limits.reading.as_ref(), how };
    let opened = reading.opened(&Part::default()).await?;
    let total = opened.stat.size;
    let mut open = Open(Some(to.begin(total, &outlet).await?));
    let (pieces, mut inbox) = mpsc::channel::<Bytes>(WAITING_MAX);
    let write = async {
        let mut moved = 0_u64;
        while let Some(piece) = inbox.recv().await {
            let count = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            open.writing()?.write(piece).await?;
            moved = moved.saturating_add(count);
            progress(Progress { moved: ByteCount::new(moved), total });
        }
        Ok::<u64, CopyError>(moved)
    };
    // Whoever fails first ends the other.
    let done = tokio::try_join!(reading.read(opened, pieces), write);
    let finished = match done {
        Ok((digest, moved)) => match open.writing() {
            Ok(writing) => writing.finish().await.map(|check| (digest, moved, check)),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    match finished {
        Ok((digest, moved, check)) => {
            open.0 = None;
            Ok(copied((moved, begun), Some(digest), check))
        }
        Err(error) => {
            open.abort().await;
            Err(error)
        }
    }
}

/// What is being written. Dropped before it is over, it is aborted in the background.
struct Open(Option<Box<dyn Writing>>);

impl Open {
    fn writing(&mut self) -> Result<&mut Box<dyn Writing>, CopyError> {
        self.0.as_mut().ok_or_else(|| CopyError::bad_destination("", "it is over already"))
    }

    async fn abort(&mut self) {
        if let Some(writing) = &mut self.0
            && let Err(error) = writing.abort().await
        {
            tracing::warn!(%error, "what was written so far may be left behind, unseen");
        }
        self.0 = None;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Some(writing) = self.0.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move { Self(Some(writing)).abort().await });
    }
}

/// The side that reads.
struct Reading<'a> {
    copying: &'a Copying,
    source: Arc<dyn Source>,
    limiter: Option<&'a Limiter>,
    how: How,
}

impl Reading<'_> {
    /// The content from the beginning of a part on; again and again as long as it fails in passing.
    async fn opened(&self, part: &Part) -> Result<Opened, DownloadError> {
        let mut pauses = self.copying.retry.pauses();
        loop {
            let error = match self.source.open(part, &self.how).await {
                Ok(opened) => return Ok(opened),
                Err(error) => error,
            };
            let Some(pause) = pauses.next().filter(|_| error.is_passing()) else {
                return Err(error);
            };
            tracing::info!(source = %self.copying.source, %error, ?pause, "trying again");
            tokio::time::sleep(pause).await;
        }
    }

    /// Hands on all of the content, the last piece once it is known to be right.
    async fn read(&self, opened: Opened, pieces: mpsc::Sender<Bytes>) -> Result<Digest, CopyError> {
        let stat = opened.stat.clone();
        let expected = self.copying.digest.or(stat.digest);
        let hashing = Hashing::start(expected.map(|it| it.algorithm()).unwrap_or_default());
        let (is_verified, reader) = (expected.is_some(), Some(self.limited(opened)));
        let mut stretch = Stretch { stat, is_verified, reader, buffer: BytesMut::new(), at: 0 };
        let mut last: Option<Bytes> = None;
        let mut pauses = self.copying.retry.pauses();
        loop {
            match self.next(&mut stretch).await {
                Ok(Some(piece)) => {
                    pauses = self.copying.retry.pauses();
                    hashing.take(piece.clone()).await;
                    if let Some(before) = last.replace(piece) {
                        // Who writes has failed, and says why.
                        drop(pieces.send(before).await);
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    let again = error.is_passing() && stretch.is_certain();
                    let Some(pause) = pauses.next().filter(|_| again) else {
                        return Err(error.into());
                    };
                    tracing::info!(source = %self.copying.source, %error, ?pause, "going on");
                    tokio::time::sleep(pause).await;
                }
            }
        }
        let got = hashing.digest().await?;
        if let Some(expected) = expected.filter(|expected| *expected != got) {
            let (expected, got) = (expected.into(), got.into());
            return Err(DownloadError::WrongDigest { expected, got }.into());
        }
        if let Some(last) = last {
            drop(pieces.send(last).await);
        }
        Ok(got)
    }

    /// The next bytes, `None` at the end of the content.
    async fn next(&self, stretch: &mut Stretch) -> Result<Option<Bytes>, DownloadError> {
        let size = stretch.stat.size.map(ByteCount::bytes);
        if size == Some(stretch.at) {
            return Ok(None);
        }
        let mut reader = match stretch.reader.take() {
            Some(reader) => reader,
            None => {
                let tag = stretch.stat.tag.clone();
                let opened = self.opened(&Part { from: stretch.at, until: None, tag }).await?;
                stretch.meet(&opened, &self.copying.source)?;
                self.limited(opened)
            }
        };
        let left = size.map_or(u64::MAX, |size| size.saturating_sub(stretch.at));
        let room = usize::try_from(left).unwrap_or(STEP).min(STEP);
        // Small pieces share one allocation: a part of an object may hold many of them.
        if stretch.buffer.capacity() < LEAST.min(room) {
            stretch.buffer.reserve(room);
        }
        let read = reader.read_buf(&mut (&mut stretch.buffer).limit(room)).await;
        let so_far = (ByteCount::new(stretch.at), stretch.stat.size);
        let read = read.map_err(|error| DownloadError::in_body(error, so_far))?;
        if read == 0 {
            let (got, expected) = so_far;
            return match expected {
                Some(_) => Err(DownloadError::ShortBody { got, expected }),
                None => Ok(None),
            };
        }
        stretch.reader = Some(reader);
        stretch.at = stretch.at.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(Some(stretch.buffer.split().freeze()))
    }

    /// What is read, under the limiter. The watch for silence sits below it: only what was admitted is
    /// waited for.
    fn limited(&self, opened: Opened) -> Reader {
        let patient = Patient::new(opened.reader, self.how.patience);
        match self.limiter {
            Some(limiter) => Box::new(limiter.reader(patient)),
            None => Box::new(patient),
        }
    }
}

type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// Content as far as it is read.
struct Stretch {
    stat: Stat,
    /// Whether its digest will tell in the end that it is all of one content.
    is_verified: bool,
    /// Gone once it has failed.
    reader: Option<Reader>,
    buffer: BytesMut,
    /// The next byte.
    at: u64,
}

impl Stretch {
    /// Whether what is read from here on is surely of the content that was read before.
    fn is_certain(&self) -> bool {
        self.at == 0 || self.stat.tag.is_some() || self.is_verified
    }

    fn meet(&self, opened: &Opened, source: &Place) -> Result<(), DownloadError> {
        let other = |one: &Option<String>, now: &Option<String>| one.is_some() && one != now;
        let resized = self.stat.size.is_some() && self.stat.size != opened.stat.size;
        if resized || other(&self.stat.tag, &opened.stat.tag) {
            return Err(DownloadError::Changed { source_url: source.to_string() });
        }
        if opened.from != self.at {
            let why = "it broke off, and can only be read from its beginning; copy it again";
            return Err(DownloadError::bad_source(source, why));
        }
        Ok(())
    }
}

/// A digest in the making, on a thread that may take its time.
struct Hashing {
    pieces: mpsc::Sender<Bytes>,
    done: JoinHandle<Digest>,
}

impl Hashing {
    fn start(algorithm: Algorithm) -> Self {
        let (pieces, mut inbox) = mpsc::channel::<Bytes>(WAITING_MAX);
        let done = tokio::task::spawn_blocking(move || {
            let mut hash = algorithm.hash();
            while let Some(piece) = inbox.blocking_recv() {
                hash.update(&piece);
            }
            hash.digest()
        });
        Self { pieces, done }
    }

    async fn take(&self, piece: Bytes) {
        // The thread lives as long as there may be pieces.
        drop(self.pieces.send(piece).await);
    }

    async fn digest(self) -> Result<Digest, DownloadError> {
        drop(self.pieces);
        let failed = |error| DownloadError::file(Path::new(""), std::io::Error::other(error));
        self.done.await.map_err(failed)
    }
}

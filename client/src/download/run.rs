//! One run of a download: from the part that is there to the file, over whichever source gives it.
//!
//! What is known of the content (how long it is, what tells it from other content) is met anew at
//! every answer. Where another state of it is met, nothing that was fetched before is mixed with it.

use std::ops::Range;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::{Either, pending, select};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tidegate_policy::ByteCount;
use tokio::sync::watch;

use super::blocks::Blocks;
use super::digest::{Algorithm, Digest};
use super::error::DownloadError;
use super::hashing::Frontier;
use super::part::{Checkpoint, Part as File};
use super::pump::STEP;
use super::source::{How, Part, Source, Stat};
use super::{Download, Progress};
use crate::limiter::Limiter;

mod split;

pub(crate) use split::SplitWay;

/// Each stream takes about so many pieces, so that none is left with the last one for long.
const PIECES: u64 = 4;

/// Under what a run moves bytes.
#[derive(Clone, Copy)]
pub(super) enum Feed<'a> {
    /// From one source after the other, under one limiter.
    One(&'a Limiter),
    /// From the sources of a plan's ways at once, each under its own. They are asked for again and
    /// again: a plan may be moved.
    Ways(&'a (dyn Fn() -> Vec<SplitWay> + Send + Sync)),
}

/// One run of a download.
pub(super) struct Run<'a> {
    pub(super) download: &'a Download,
    feed: Feed<'a>,
    pub(super) how: How,
    pub(super) file: File,
    state: Mutex<State>,
    frontier: watch::Sender<Frontier>,
    progress: Mutex<&'a mut (dyn FnMut(Progress) + Send)>,
}

#[derive(Debug)]
struct State {
    known: Checkpoint,
    /// What the digest is to be.
    expected: Option<Digest>,
    /// Of an earlier try, in bytes.
    resumed: u64,
    /// Since the last checkpoint, in bytes.
    unsaved: u64,
    /// Something of this content came in this run: if it is another now, it was changed meanwhile.
    begun: bool,
    /// The source knows no ranges: one stream, from the first byte on.
    whole: bool,
}

/// All of a file, under its hidden name.
pub(super) struct Whole {
    pub(super) file: File,
    pub(super) bytes: u64,
    /// Of them, what was there before.
    pub(super) resumed: u64,
    pub(super) digest: Digest,
}

/// What was met at a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    /// The content that is known.
    Same,
    /// Other content, or one without ranges: what was known is forgotten.
    Other,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        (download, feed, how): (&'a Download, Feed<'a>, How),
        (file, known): (File, Checkpoint),
        progress: &'a mut (dyn FnMut(Progress) + Send),
    ) -> Self {
        let expected = download.digest;
        let algorithm = expected.map(|it| it.algorithm()).unwrap_or_default();
        let prefix = known.blocks.prefix();
        let frontier = Frontier { prefix, algorithm, ..Frontier::default() };
        let resumed = known.blocks.len();
        let state = State { known, expected, resumed, unsaved: 0, begun: false, whole: false };
        let (state, frontier) = (Mutex::new(state), watch::Sender::new(frontier));
        Self { download, feed, how, file, state, frontier, progress: Mutex::new(progress) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is made in one step, so a poisoned lock holds a sound state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches all that is missing, and makes sure that it is what it is to be.
    pub(super) async fn all(self) -> Result<Whole, DownloadError> {
        let whole = self.verified().await;
        self.left(whole).await
    }

    /// Fetches, and condenses what comes meanwhile.
    async fn verified(&self) -> Result<Digest, DownloadError> {
        let follow = super::hashing::follow(&self.file, self.frontier.subscribe());
        let (fetch, mut follow) = (pin!(self.fetch()), pin!(follow));
        match select(fetch, &mut follow).await {
            // Where it failed, nobody waits for the digest of the rest.
            Either::Left((fetched, _)) => fetched?,
            // It follows as long as more may come: only a fault ends it before.
            Either::Right((got, _)) => return got,
        }
        self.frontier.send_modify(|it| it.over = true);
        let got = follow.await?;
        match self.lock().expected {
            Some(expected) if expected != got => {
                let (expected, got) = (expected.into(), got.into());
                Err(DownloadError::WrongDigest { expected, got })
            }
            _ => Ok(got),
        }
    }

    /// What is left behind: all of it, what a later try may go on from, or nothing.
    async fn left(self, whole: Result<Digest, DownloadError>) -> Result<Whole, DownloadError> {
        let (known, resumed) = {
            let state = self.lock();
            (state.known.clone(), state.resumed)
        };
        let error = match whole {
            Ok(digest) => {
                let bytes = known.blocks.len();
                return Ok(Whole { file: self.file, bytes, resumed, digest });
            }
            Err(error) => error,
        };
        // Without a length nobody can tell later what is missing.
        let worth = self.download.resume && known.size.is_some() && known.blocks.len() != 0;
        if !worth || !error.keeps() {
            self.file.discard().await?;
        } else if let Err(fault) = self.file.save(&known).await {
            tracing::warn!(%fault, "what has come since the last checkpoint is fetched again");
        }
        Err(error)
    }

    /// From each source in turn, until one has given all of it; or from several at once.
    async fn fetch(&self) -> Result<(), DownloadError> {
        let limiter = match self.feed {
            Feed::One(limiter) => limiter,
            Feed::Ways(ways) => return Box::pin(self.split(ways)).await,
        };
        let mut last = None;
        for url in self.download.in_order() {
            if let Some(error) = last.take() {
                tracing::warn!(%error, next = %url, "going on from another source");
            }
            match self.fetch_from(url, limiter).await {
                Err(error) if error.is_of_the_source() => last = Some(error),
                fetched => return fetched,
            }
        }
        Err(last.unwrap_or_else(|| DownloadError::bad_source("", "there is no source")))
    }

    /// From one source, again and again as long as it fails in passing.
    async fn fetch_from(&self, url: &str, limiter: &Limiter) -> Result<(), DownloadError> {
        let source = self.download.schemes.source(url)?;
        self.turn_to(url).await?;
        let mut pauses = self.download.retry.pauses();
        loop {
            let before = self.lock().known.blocks.len();
            let error = match self.attempt(&*source, limiter).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if before < self.lock().known.blocks.len() {
                pauses = self.download.retry.pauses();
            }
            let Some(pause) = pauses.next().filter(|_| error.is_passing()) else {
                return Err(error);
            };
            tracing::info!(%url, %error, ?pause, "trying again");
            tokio::time::sleep(pause).await;
        }
    }

    /// What came from another source may be kept only where the digest tells in the end whether both
    /// gave the same.
    async fn turn_to(&self, url: &str) -> Result<(), DownloadError> {
        let (same, held) = {
            let known = &self.lock().known;
            (known.source == url, known.blocks.len() != 0)
        };
        if same {
            return Ok(());
        }
        if held && self.download.digest.is_none() {
            self.forget().await?;
        }
        let mut state = self.lock();
        url.clone_into(&mut state.known.source);
        (state.known.tag, state.begun, state.whole) = (None, false, false);
        Ok(())
    }

    async fn attempt(&self, source: &dyn Source, limiter: &Limiter) -> Result<(), DownloadError> {
        loop {
            let (streams, size) = {
                let state = self.lock();
                let streams = if state.whole { 1 } else { self.how.streams };
                (streams, state.known.size)
            };
            let met = match (streams, size) {
                (0 | 1, _) => self.in_turn(source, limiter).await?,
                (_, Some(_)) => self.at_once(source, limiter).await?,
                // How to divide it is known only with its length.
                (_, None) => {
                    let stat = source.stat(&self.how).await?;
                    let met = self.meet(&stat).await?;
                    self.lock().whole |= stat.size.is_none();
                    if met == Met::Same { continue } else { met }
                }
            };
            let whole = |state: &State| {
                state.known.size.is_some_and(|size| state.known.blocks.prefix() == size)
            };
            if met == Met::Same && whole(&self.lock()) {
                return Ok(());
            }
        }
    }

    /// The next gap, by one stream.
    async fn in_turn(&self, source: &dyn Source, limiter: &Limiter) -> Result<Met, DownloadError> {
        let part = {
            let known = &self.lock().known;
            let gap =
                known.size.and_then(|size| known.blocks.missing(size, u64::MAX).into_iter().next());
            match (gap, known.size) {
                (Some(gap), Some(size)) => {
                    let until = (gap.end != size).then_some(gap.end);
                    Part { from: gap.start, until, tag: known.tag.clone() }
                }
                (None, Some(0)) => Part::default(),
                (None, Some(_)) => return Ok(Met::Same),
                (_, None) => Part::default(),
            }
        };
        let opened = source.open(&part, &self.how).await?;
        let met = self.meet(&opened.stat).await?;
        let again = opened.from != part.from;
        if met == Met::Other && opened.from != 0 {
            return Ok(Met::Other);
        }
        if again || part == Part::default() {
            // It gives all of it again: what is there is of no use.
            self.lock().whole |= again;
            if self.is_begun() {
                self.forget().await?;
                self.lock().known.size = opened.stat.size.map(ByteCount::bytes);
            }
        }
        let until = part.until.filter(|_| !again);
        self.pump(opened, until, (limiter, pending())).await?;
        Ok(Met::Same)
    }

    /// All that is missing, by several streams.
    async fn at_once(&self, source: &dyn Source, limiter: &Limiter) -> Result<Met, DownloadError> {
        let (pieces, tag) = {
            let known = &self.lock().known;
            let size = known.size.unwrap_or(0);
            let left = size.saturating_sub(known.blocks.len());
            let piece = left.div_ceil(u64::from(self.how.streams).saturating_mul(PIECES).max(1));
            let piece = piece.max(u64::try_from(STEP).unwrap_or(1));
            (known.blocks.missing(size, piece), known.tag.clone())
        };
        // One that fails in passing costs the others nothing: they come to their ends, and what is
        // missing then is begun again.
        let failed = Mutex::new(None);
        let has_failed = || failed.lock().is_ok_and(|it| it.is_some());
        let one = |piece: Range<u64>| {
            let part = Part { from: piece.start, until: Some(piece.end), tag: tag.clone() };
            let (failed, has_failed) = (&failed, &has_failed);
            async move {
                if has_failed() {
                    return Ok(Met::Same);
                }
                match self.piece((source, limiter), part).await {
                    Err(error) if error.is_passing() => {
                        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        Ok(Met::Same)
                    }
                    done => done,
                }
            }
        };
        let streams = usize::from(self.how.streams);
        let mut running = stream::iter(pieces).map(one).buffer_unordered(streams);
        while let Some(met) = running.try_next().await? {
            if met == Met::Other {
                return Ok(Met::Other);
            }
        }
        drop(running);
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(Met::Same), Err)
    }

    async fn piece(
        &self,
        (source, limiter): (&dyn Source, &Limiter),
        part: Part,
    ) -> Result<Met, DownloadError> {
        let opened = source.open(&part, &self.how).await?;
        if self.meet(&opened.stat).await? == Met::Other {
            return Ok(Met::Other);
        }
        if opened.from != part.from {
            self.lock().whole = true;
            return Ok(Met::Other);
        }
        self.pump(opened, part.until, (limiter, pending())).await.map(|_| Met::Same)
    }

    /// Compares what a source says of its content with what is known of it.
    async fn meet(&self, stat: &Stat) -> Result<Met, DownloadError> {
        let size = stat.size.map(ByteCount::bytes);
        let met = self.compared(size, stat)?;
        if met == Met::Other {
            self.forget().await?;
        }
        let first = {
            let mut state = self.lock();
            let first = state.known.size.is_none();
            (state.known.size, state.known.tag) = (size, stat.tag.clone());
            state.expected = self.download.digest.or(stat.digest);
            let algorithm = state.expected.map_or_else(Algorithm::default, |it| it.algorithm());
            self.frontier.send_if_modified(|it| {
                std::mem::replace(&mut it.algorithm, algorithm) != algorithm
            });
            first
        };
        if let Some(size) = size.filter(|_| first) {
            self.file.reserve(size).await?;
        }
        Ok(met)
    }

    fn compared(&self, size: Option<u64>, stat: &Stat) -> Result<Met, DownloadError> {
        let state = self.lock();
        let known = &state.known;
        let resized = matches!((known.size, size), (Some(one), Some(other)) if one != other);
        let tags = (&known.tag, &stat.tag);
        let retagged = matches!(tags, (Some(one), Some(other)) if one != other);
        if (resized || retagged) && state.begun {
            return Err(DownloadError::Changed { source_url: known.source.clone() });
        }
        // What has no tag could be anything by now; only a digest would tell.
        let unsure = !state.begun && stat.tag.is_none() && state.expected.is_none();
        let other = resized || retagged || unsure;
        Ok(if other && known.blocks.len() != 0 { Met::Other } else { Met::Same })
    }

    fn is_begun(&self) -> bool {
        self.lock().known.blocks.len() != 0
    }

    /// The next byte is the first.
    async fn forget(&self) -> Result<(), DownloadError> {
        self.file.discard().await?;
        let mut state = self.lock();
        state.known.blocks = Blocks::default();
        (state.known.size, state.begun) = (None, false);
        (state.resumed, state.unsaved) = (0, 0);
        self.frontier.send_modify(|it| {
            it.begun = it.begun.saturating_add(1);
            it.prefix = 0;
        });
        Ok(())
    }

    /// These bytes are there now.
    pub(super) async fn came(&self, range: Range<u64>) -> Result<(), DownloadError> {
        let (progress, save) = {
            let mut state = self.lock();
            let count = range.end.saturating_sub(range.start);
            state.known.blocks.add(range);
            state.begun = true;
            state.unsaved = state.unsaved.saturating_add(count);
            let prefix = state.known.blocks.prefix();
            self.frontier
                .send_if_modified(|it| std::mem::replace(&mut it.prefix, prefix) != prefix);
            let moved = ByteCount::new(state.known.blocks.len());
            let progress = Progress { moved, total: state.known.size.map(ByteCount::new) };
            let due = self.download.block.bytes() <= state.unsaved;
            let due = due && self.download.resume && state.known.size.is_some();
            if due {
                state.unsaved = 0;
            }
            (progress, due.then(|| state.known.clone()))
        };
        (self.progress.lock().unwrap_or_else(PoisonError::into_inner))(progress);
        match save {
            Some(known) => self.file.save(&known).await,
            None => Ok(()),
        }
    }

    /// How long it is, as far as known.
    pub(super) fn size(&self) -> Option<u64> {
        self.lock().known.size
    }

    /// This is how long it is.
    pub(super) fn ended(&self, size: u64) {
        self.lock().known.size = Some(size);
    }

    pub(super) fn short(&self) -> DownloadError {
        let (got, expected) = self.so_far();
        DownloadError::ShortBody { got, expected }
    }

    /// What an error in the middle of a body means.
    pub(super) fn broken(&self, error: std::io::Error) -> DownloadError {
        DownloadError::in_body(error, self.so_far())
    }

    fn so_far(&self) -> (ByteCount, Option<ByteCount>) {
        let known = &self.lock().known;
        (ByteCount::new(known.blocks.len()), known.size.map(ByteCount::new))
    }
}

//! A download whose plan is split: from several sources at once, each under a limiter of its own.
//!
//! What is missing lies in one queue. Each way takes a piece when its limiter admits bytes, and the
//! next one when that is there; so whichever has the rate does the work. A way whose plan pauses puts
//! what it has not fetched back at once, and holds nobody up. Sources tag their content each in its
//! own way: only the digest tells that all gave the same.

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tidegate_policy::BitRate;
use tokio::sync::Notify;

use super::{Met, Run, STEP};
use crate::download::error::DownloadError;
use crate::download::source::{Part, Source, Stat};
use crate::limiter::Limiter;

/// One way of a plan: where its bytes come from, and what they have to pass.
#[derive(Clone, Debug)]
pub(crate) struct SplitWay {
    /// The URL of its source.
    pub(crate) url: String,
    pub(crate) limiter: Limiter,
}

/// So many pieces for each way, so that none is left with a large one for long.
const PIECES: u64 = 16;

/// How often it is looked whether the plan has other ways by now.
const LOOK: Duration = Duration::from_millis(100);

/// How often a way that has a piece looks whether its plan pauses.
const GLANCE: Duration = Duration::from_millis(10);

/// What the ways of a plan have in common.
struct Round {
    queue: Mutex<VecDeque<Range<u64>>>,
    /// A piece is there, or back in the queue.
    changed: Notify,
}

impl Run<'_> {
    /// From several sources at once, until all of it is there. `ways` are those of the plan as it stands.
    pub(in crate::download) async fn split(
        &self,
        ways: &(dyn Fn() -> Vec<SplitWay> + Send + Sync),
    ) -> Result<(), DownloadError> {
        self.turn_to(&joined(&ways())).await?;
        let mut pauses = self.download.retry.pauses();
        loop {
            let now = ways();
            let before = self.lock().known.blocks.len();
            if self.is_whole() {
                return Ok(());
            }
            let error = match self.round(&now, ways).await {
                Ok(()) => continue,
                Err(error) => error,
            };
            if before < self.lock().known.blocks.len() {
                pauses = self.download.retry.pauses();
            }
            let Some(pause) = pauses.next().filter(|_| error.is_passing()) else {
                return Err(error);
            };
            tracing::info!(%error, ?pause, "trying again");
            tokio::time::sleep(pause).await;
        }
    }

    fn is_whole(&self) -> bool {
        let known = &self.lock().known;
        known.size.is_some_and(|size| known.blocks.prefix() == size)
    }

    /// Divides what is missing, and fetches it as far as the ways go. An error of one way ends none of
    /// the others before their pieces are there; it is told where something is missing then.
    async fn round(
        &self,
        ways: &[SplitWay],
        again: &(dyn Fn() -> Vec<SplitWay> + Send + Sync),
    ) -> Result<(), DownloadError> {
        let sources = self.sources(ways).await?;
        let queue = Mutex::new(self.pieces(ways.len()));
        let round = Round { queue, changed: Notify::new() };
        let work = sources.iter().zip(ways).map(|(source, way)| self.work(&**source, way, &round));
        let mut work: FuturesUnordered<_> = work.collect();
        let mut failed = None;
        loop {
            match tokio::time::timeout(LOOK, work.next()).await {
                Ok(Some(_)) if self.is_whole() => return Ok(()),
                Ok(Some(Ok(()))) => {}
                Ok(Some(Err(error))) => {
                    failed.get_or_insert(error);
                }
                Ok(None) => return failed.map_or(Ok(()), Err),
                Err(_) if joined(&again()) != joined(ways) => return Ok(()),
                Err(_) => {}
            }
        }
    }

    /// The sources of the ways; the first that answers says how large the content is.
    async fn sources(
        &self,
        ways: &[SplitWay],
    ) -> Result<Vec<std::sync::Arc<dyn Source>>, DownloadError> {
        let sources = ways.iter().map(|way| self.download.schemes.source(&way.url));
        let sources: Vec<_> = sources.collect::<Result<_, _>>()?;
        let is_known = |run: &Self| {
            let state = run.lock();
            state.known.size.is_some() && state.expected.is_some()
        };
        if is_known(self) {
            return Ok(sources);
        }
        let mut last = DownloadError::bad_source("", "the plan has no ways");
        for source in &sources {
            match source.stat(&self.how).await {
                Ok(stat) if stat.size.is_some() => {
                    self.meet(&Stat { tag: None, ..stat }).await?;
                    if is_known(self) {
                        return Ok(sources);
                    }
                    let why = "only a digest tells that several sources give the same content; \
                               say which, or ask for a plan that is not split";
                    last = DownloadError::bad_source(joined(ways), why);
                }
                Ok(_) => {
                    let why = "it does not say how large it is, so nobody can divide it";
                    last = DownloadError::bad_source(joined(ways), why);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn pieces(&self, ways: usize) -> VecDeque<Range<u64>> {
        let known = &self.lock().known;
        let size = known.size.unwrap_or(0);
        let left = size.saturating_sub(known.blocks.len());
        let shares = u64::try_from(ways).unwrap_or(1).saturating_mul(PIECES).max(1);
        let least = u64::try_from(STEP).unwrap_or(1);
        let piece = left.div_ceil(shares).clamp(least, self.download.block.bytes().max(least));
        known.blocks.missing(size, piece).into()
    }

    /// One way: a piece after the other, as its limiter admits them.
    async fn work(
        &self,
        source: &dyn Source,
        way: &SplitWay,
        round: &Round,
    ) -> Result<(), DownloadError> {
        let mut tag = None;
        loop {
            // Who may send nothing now takes nothing that others could fetch.
            way.limiter.lease(&mut way.limiter.stream(), 1).await?;
            let Some(piece) = round.next(|| self.is_whole()).await else { return Ok(()) };
            let fetched = self.share(source, way, (&piece, &mut tag)).await;
            round.back(self.rest_of(&piece));
            fetched?;
        }
    }

    /// One piece of one way, as far as its plan goes on.
    async fn share(
        &self,
        source: &dyn Source,
        way: &SplitWay,
        (piece, tag): (&Range<u64>, &mut Option<String>),
    ) -> Result<(), DownloadError> {
        let part = Part { from: piece.start, until: Some(piece.end), tag: tag.clone() };
        let opened = source.open(&part, &self.how).await?;
        let changed = || DownloadError::Changed { source_url: way.url.clone() };
        if opened.from != part.from || tag.is_some() && opened.stat.tag != *tag {
            return Err(changed());
        }
        tag.clone_from(&opened.stat.tag);
        // A tag is that of one source, and there are several.
        match self.meet(&Stat { tag: None, ..opened.stat.clone() }).await? {
            Met::Same => {
                let halt = paused(&way.limiter);
                self.pump(opened, part.until, (&way.limiter, halt)).await.map(|_| ())
            }
            Met::Other => Err(changed()),
        }
    }

    /// What of a piece is not there.
    fn rest_of(&self, piece: &Range<u64>) -> Vec<Range<u64>> {
        let missing = self.lock().known.blocks.missing(piece.end, u64::MAX).into_iter();
        let inside = missing.map(|it| it.start.max(piece.start)..it.end);
        inside.filter(|it| it.start < it.end).collect()
    }
}

/// Waits until a limiter admits nothing for now.
async fn paused(limiter: &Limiter) {
    while limiter.rate() != BitRate::ZERO {
        tokio::time::sleep(GLANCE).await;
    }
}

impl Round {
    /// The next piece, once there is one; `None` when all is done.
    async fn next(&self, is_done: impl Fn() -> bool) -> Option<Range<u64>> {
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            if is_done() {
                return None;
            }
            if let Some(piece) = self.lock().pop_front() {
                return Some(piece);
            }
            changed.await;
        }
    }

    /// A piece is done, but for this.
    fn back(&self, rest: Vec<Range<u64>>) {
        let mut queue = self.lock();
        rest.into_iter().rev().for_each(|range| queue.push_front(range));
        drop(queue);
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Range<u64>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the checkpoint calls several sources.
fn joined(ways: &[SplitWay]) -> String {
    let mut urls: Vec<&str> = ways.iter().map(|way| way.url.as_str()).collect();
    urls.sort_unstable();
    urls.dedup();
    urls.join(" ")
}

//! A download whose plan is split: from several sources at once, each under a limiter of its own.
//!
//! What is missing lies in one queue. Each way takes a piece when its limiter admits bytes, and the
//! next one when that is there; so whichever has the rate does the work, and a way that pauses holds
//! nobody up: once nothing is left but what it holds, that is taken from it and divided anew. Sources
//! tag their content each in its own way: only the digest tells that all gave the same.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::{Met, Run, STEP};
use crate::download::error::DownloadError;
use crate::download::source::{Part, Source, Stat};
use crate::limiter::{LimitError, Limiter};

/// One way of a plan: where its bytes come from, and what they have to pass.
#[derive(Clone, Debug)]
pub(crate) struct SplitWay {
    /// The URL of its source.
    pub(crate) url: String,
    pub(crate) limiter: Limiter,
}

/// So many pieces for each way, so that none is left with a large one for long.
const PIECES: u64 = 16;

/// How often it is looked whether what is left moves, and whether the plan has other ways by now.
const LOOK: Duration = Duration::from_millis(500);

/// What the ways of a plan have in common.
struct Round {
    queue: Mutex<VecDeque<Range<u64>>>,
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
        let round = Round { queue: Mutex::new(self.pieces(ways.len())) };
        let work = sources.iter().zip(ways).map(|(source, way)| self.work(&**source, way, &round));
        let mut work: FuturesUnordered<_> = work.collect();
        let mut failed = None;
        let mut moved = self.lock().known.blocks.len();
        loop {
            match tokio::time::timeout(LOOK, work.next()).await {
                Ok(Some(Ok(()))) if self.is_whole() => return Ok(()),
                Ok(Some(Ok(()))) => {}
                Ok(Some(Err(error))) => {
                    failed.get_or_insert(error);
                }
                Ok(None) => return failed.map_or(Ok(()), Err),
                Err(_) => {
                    let now = self.lock().known.blocks.len();
                    let stalls = std::mem::replace(&mut moved, now) == now;
                    let others = joined(&again()) != joined(ways);
                    // In a gap of the plan all wait, and there is nothing to divide anew.
                    if others || stalls && round.is_empty() && work.len() < ways.len() {
                        return failed.map_or(Ok(()), Err);
                    }
                }
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
            match way.limiter.lease(&mut way.limiter.stream(), 1).await {
                Ok(_) => {}
                // This way of the plan is over; the others may not be.
                Err(LimitError::Expired) if !round.is_empty() => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            let Some(piece) = round.next() else { return Ok(()) };
            let part = Part { from: piece.start, until: Some(piece.end), tag: tag.clone() };
            let opened = source.open(&part, &self.how).await?;
            let other = tag.is_some() && opened.stat.tag != tag;
            if other || opened.from != part.from {
                let source_url = way.url.clone();
                return Err(DownloadError::Changed { source_url });
            }
            tag.clone_from(&opened.stat.tag);
            if self.meet(&Stat { tag: None, ..opened.stat.clone() }).await? == Met::Other {
                return Err(DownloadError::Changed { source_url: way.url.clone() });
            }
            self.pump(opened, part.until, &way.limiter).await?;
        }
    }
}

impl Round {
    fn next(&self) -> Option<Range<u64>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn is_empty(&self) -> bool {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// What the checkpoint calls several sources.
fn joined(ways: &[SplitWay]) -> String {
    let mut urls: Vec<&str> = ways.iter().map(|way| way.url.as_str()).collect();
    urls.sort_unstable();
    urls.dedup();
    urls.join(" ")
}

//! Fetching one file under a limiter: all of it under its final name, or nothing.
//!
//! A [`Download`] goes from what is there already to the whole file: over several streams if asked,
//! from another source where one fails, again where a connection breaks, on from a checkpoint where a
//! process was killed. What is fetched twice is at most one [`Download::block`]. Sources are found by
//! the schemes of their URLs ([`Schemes`]), and anybody may add one.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use tidegate_policy::{BitRate, ByteCount, Span};

use crate::clock::BootTime;
use crate::limiter::Limiter;
use crate::retry::RetryPolicy;

mod blocks;
pub mod digest;
mod error;
mod hashing;
pub(crate) mod part;
pub(crate) mod patient;
mod pump;
pub(crate) mod run;
pub mod source;

pub use digest::Digest;
pub use error::DownloadError;
pub use source::{Schemes, Stat, Tls};

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is written so far, with what was there before.
    pub moved: ByteCount,
    /// What it will be, where the source said so.
    pub total: Option<ByteCount>,
}

/// A download that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The size of the file.
    pub bytes: ByteCount,
    /// How much of it was there before, from an earlier try.
    pub resumed: ByteCount,
    /// From the first admitted byte to the durable file.
    pub elapsed: Duration,
    /// The mean rate of what was fetched over that time; `None` where it was too short to tell.
    pub mean_rate: Option<BitRate>,
    /// The digest of the content.
    pub digest: Digest,
}

/// One file to fetch.
///
/// The bytes go to a hidden `.NAME.part` beside the destination, which is renamed once all of them
/// are there, verified and durable: there is never half a file under the final name. A download that
/// fails or is cancelled in the middle leaves its part with a checkpoint, `.NAME.part.json`, and the
/// next one to the same destination goes on from there, if the source still has the same content.
/// What cannot be of use is removed. Only one download at a time goes to one destination.
#[derive(Clone, Debug)]
pub struct Download {
    sources: Vec<String>,
    destination: PathBuf,
    digest: Option<Digest>,
    schemes: Schemes,
    tls: Tls,
    idle_timeout: Duration,
    round_trip: Duration,
    peak: BitRate,
    streams: u16,
    block: ByteCount,
    resume: bool,
    retry: RetryPolicy,
}

impl Download {
    /// The most streams of one download.
    pub const STREAMS_MAX: u16 = 64;

    /// A download of `source` to the file `destination`, which is replaced if it exists.
    #[must_use]
    pub fn new(source: impl Into<String>, destination: impl Into<PathBuf>) -> Self {
        Self {
            sources: vec![source.into()],
            destination: destination.into(),
            digest: None,
            schemes: Schemes::default(),
            tls: Tls::native(),
            idle_timeout: Duration::from_secs(30),
            round_trip: Duration::from_millis(20),
            peak: BitRate::ZERO,
            streams: 1,
            block: ByteCount::new(16 << 20),
            resume: true,
            // A server that restarts is back within seconds.
            retry: RetryPolicy {
                tries: NonZeroUsize::MIN.saturating_add(9),
                first_pause: Duration::from_millis(200),
                longest_pause: Duration::from_secs(5),
            },
        }
    }

    /// Goes on from this source where those before it fail. Bytes of two sources are mixed only if a
    /// digest tells in the end that both gave the same.
    #[must_use]
    pub fn or_from(mut self, source: impl Into<String>) -> Self {
        self.sources.push(source.into());
        self
    }

    /// Goes on from these sources and no others.
    pub(crate) fn only(mut self, sources: Vec<String>) -> Self {
        self.sources = sources;
        self
    }

    /// Accepts only content with this digest. Without one, content is accepted if it has the digest
    /// that its source says, as Glance does.
    #[must_use]
    pub fn digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// Which schemes of URLs are allowed, and in which order several sources are tried. Default:
    /// [`Schemes::default`], in which no directory is mounted.
    #[must_use]
    pub fn schemes(mut self, schemes: Schemes) -> Self {
        self.schemes = schemes;
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

    /// Fetches so many pieces at once, under the one limiter; 1 to [`Download::STREAMS_MAX`]. Default
    /// 1: on a network that keeps its promises one stream is as fast, and easier on disks.
    #[must_use]
    pub fn streams(mut self, streams: u16) -> Self {
        self.streams = streams.clamp(1, Self::STREAMS_MAX);
        self
    }

    /// How much each crash may cost: so often what has come is made durable and noted. Default
    /// 16 MiB.
    #[must_use]
    pub fn block(mut self, block: ByteCount) -> Self {
        self.block = ByteCount::new(block.bytes().max(1));
        self
    }

    /// Whether what has come is kept where a download fails, and gone on from. Default: it is.
    #[must_use]
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// How often, and how late, a source that fails in passing is asked again without a byte coming
    /// in between. Default: 10 tries, over half a minute at most.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Fetches under `limiter`, such as that of a grant. Waits until it admits bytes before
    /// anything is asked of the server. `progress` is called after each step of at most 256 KiB
    /// and should be quick.
    ///
    /// # Errors
    /// A [`DownloadError`]; then nothing new is under the final name, and what stood there before
    /// still does. What came is kept or not as [`DownloadError::keeps`] says.
    pub async fn run(
        &self,
        limiter: &Limiter,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<Report, DownloadError> {
        limiter.lease(&mut limiter.stream(), 1).await?;
        let how = self.how(limiter.rate().max(self.peak), limiter.burst());
        self.under(run::Feed::One(limiter), how, &mut progress).await
    }

    /// Fetches from the sources of a plan's ways at once, each under its own limiter. Only with a
    /// digest, from the caller or the source.
    ///
    /// # Errors
    /// Those of [`Download::run`].
    pub(crate) async fn run_split(
        &self,
        ways: &(dyn Fn() -> Vec<run::SplitWay> + Send + Sync),
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<Report, DownloadError> {
        let burst = crate::Burst::default().at(self.peak);
        let how = self.how(self.peak, burst);
        self.under(run::Feed::Ways(ways), how, &mut progress).await
    }

    async fn under(
        &self,
        feed: run::Feed<'_>,
        how: source::How,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Report, DownloadError> {
        let begun = BootTime::now();
        let (part, mut known) = part::Part::open(&self.destination).await?;
        if !self.resume {
            part.discard().await?;
            known = part::Checkpoint::default();
        }
        let run = run::Run::new((self, feed, how), (part, known), progress);
        let run::Whole { file, bytes, resumed, digest } = Box::pin(run.all()).await?;
        file.keep(&self.destination, bytes).await?;
        let elapsed = BootTime::now().since(begun);
        let ms = u64::try_from(elapsed.as_millis()).ok().and_then(Span::from_ms);
        let fetched = ByteCount::new(bytes.saturating_sub(resumed));
        let mean_rate = ms.and_then(|span| BitRate::mean(fetched, span));
        let (bytes, resumed) = (ByteCount::new(bytes), ByteCount::new(resumed));
        Ok(Report { bytes, resumed, elapsed, mean_rate, digest })
    }

    /// What the first source that answers says of its content: what to reserve for. No content moves.
    ///
    /// # Errors
    /// A [`DownloadError`] if none can be fetched: that of the last one.
    pub async fn stat(&self) -> Result<Stat, DownloadError> {
        let how = self.how(BitRate::ZERO, ByteCount::ZERO);
        let mut last = DownloadError::bad_source("", "there is no source");
        for url in self.in_order() {
            let found = match self.schemes.source(url) {
                Ok(source) => source.stat(&how).await,
                Err(error) => Err(error),
            };
            match found {
                Ok(stat) => return Ok(stat),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// How large the source is, where it says so.
    ///
    /// # Errors
    /// Those of [`Download::stat`].
    pub async fn size(&self) -> Result<Option<ByteCount>, DownloadError> {
        self.stat().await.map(|stat| stat.size)
    }

    /// The source that is tried first.
    pub(crate) fn first(&self) -> Option<&str> {
        self.in_order().into_iter().next()
    }

    /// The sources, those of the schemes that are allowed first before others.
    fn in_order(&self) -> Vec<&str> {
        let mut sources: Vec<&str> = self.sources.iter().map(String::as_str).collect();
        sources.sort_by_key(|url| self.schemes.place(url).unwrap_or(usize::MAX));
        sources
    }

    fn how(&self, rate: BitRate, burst: ByteCount) -> source::How {
        source::How {
            tls: self.tls.clone(),
            rate,
            burst,
            streams: self.streams,
            round_trip: self.round_trip,
            patience: self.idle_timeout,
        }
    }
}

//! Copies of content from anywhere to anywhere, through this host and nothing but its memory.
//!
//! A [`Copying`] reads at one [`Place`] under one limiter and writes at another under a second one: a
//! copy between two remote stores has a grant for each direction. Nothing is kept on a disk in between;
//! what is read ahead of what is written is a few megabytes. Where both places are on this machine, its
//! kernel copies. [`Carry`] asks for what a copy needs, and gives it back.
//!
//! A source that breaks off is gone on with from where it was; what was written is not, beyond a part
//! of an object that is sent again: a copy that fails begins anew, and leaves nothing behind.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidegate_policy::{BitRate, ByteCount, Endpoint};

use crate::download::digest::Digest;
use crate::download::source::local::LocalFile;
use crate::download::source::{How, Source, Stat};
use crate::download::{DownloadError, Progress, Schemes, Tls};
use crate::limiter::Limiter;
use crate::retry::RetryPolicy;

mod carry;
pub mod destination;
pub mod error;
mod legs;
mod run;
pub(crate) mod sending;
mod within;

pub use carry::{Carried, Carry, CarryError};
pub use destination::{Check, Destination};
pub use error::CopyError;
pub use legs::{Legs, LegsError};

use destination::LocalPlace;

/// One end of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// By one of the schemes that are allowed.
    Url(String),
    /// A file of this machine, wherever it is: whoever names it by its path may use it.
    File(PathBuf),
}

/// What holds a `://` is a URL, all else a path.
impl From<&str> for Place {
    fn from(text: &str) -> Self {
        if text.contains("://") { Self::Url(text.to_owned()) } else { Self::File(text.into()) }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// What the bytes of a copy have to pass; `None` where nothing is booked for a direction.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// As they are read.
    pub reading: Option<Limiter>,
    /// As they are sent on.
    pub writing: Option<Limiter>,
}

/// A copy that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The size of the content.
    pub bytes: ByteCount,
    /// From the first admitted byte until the destination had all of it.
    pub elapsed: Duration,
    /// The mean rate over that time; `None` where it was too short to tell.
    pub mean_rate: Option<BitRate>,
    /// The digest of what was read; `None` where the kernel copied, which reads nothing here.
    pub digest: Option<Digest>,
    /// What the destination said of what it has.
    pub check: Check,
}

/// Content to copy from one place to another.
#[derive(Clone, Debug)]
pub struct Copying {
    source: Place,
    destination: Place,
    digest: Option<Digest>,
    schemes: Schemes,
    tls: Tls,
    idle_timeout: Duration,
    round_trip: Duration,
    peak: BitRate,
    retry: RetryPolicy,
}

impl Copying {
    /// A copy of what is at `source` to `destination`, which is replaced if it exists.
    #[must_use]
    pub fn new(source: Place, destination: Place) -> Self {
        Self {
            source,
            destination,
            digest: None,
            schemes: Schemes::default(),
            tls: Tls::native(),
            idle_timeout: Duration::from_secs(30),
            round_trip: Duration::from_millis(20),
            peak: BitRate::ZERO,
            retry: RetryPolicy::default(),
        }
    }

    /// Writes only content with this digest. Without one, content is written if it has the digest
    /// that its source says, as Glance does.
    #[must_use]
    pub fn digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// Which schemes of URLs are allowed, and what is mounted. Default: [`Schemes::default`].
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

    /// How long a server may keep silent, and how long it may take no byte. Default 30 s.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// The round trip to the servers, as far as known; it sizes buffers. Default 20 ms.
    #[must_use]
    pub fn round_trip(mut self, round_trip: Duration) -> Self {
        self.round_trip = round_trip;
        self
    }

    /// The highest rate that its limiters will have, as far as known; it sizes buffers. Default: the
    /// one that they have at the beginning.
    #[must_use]
    pub fn peak(mut self, rate: BitRate) -> Self {
        self.peak = rate;
        self
    }

    /// How often, and how late, what fails in passing is tried again without a byte coming in
    /// between. Default: [`RetryPolicy::default`].
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Copies under these limiters, such as those of grants. Waits until both admit bytes before
    /// anything is asked of a server. `progress` is called after each step of at most 256 KiB, and
    /// at least every 200 ms where the kernel copies; it should be quick.
    ///
    /// # Errors
    /// A [`CopyError`]; then nothing new is under the final name, except where it says so. A drop of
    /// the future ends the copy and removes in the background what was written.
    pub async fn run(
        &self,
        limits: &Limits,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<Copied, CopyError> {
        for limiter in [&limits.reading, &limits.writing].into_iter().flatten() {
            limiter.lease(&mut limiter.stream(), 1).await?;
        }
        match (self.local_files()?, &limits.reading, &limits.writing) {
            // Whoever wants a digest wants the bytes to be read; two limiters, too.
            (Some(files), Some(limiter), None) | (Some(files), None, Some(limiter))
                if self.digest.is_none() =>
            {
                within::copy(files, limiter, &mut progress).await
            }
            _ => Box::pin(run::copy(self, limits, &mut progress)).await,
        }
    }

    /// What the source says of its content: what to reserve for. No content moves.
    ///
    /// # Errors
    /// [`CopyError::Source`] if it cannot be read.
    pub async fn stat(&self) -> Result<Stat, CopyError> {
        let how = self.how(&Limits::default());
        Ok(self.from()?.stat(&how).await?)
    }

    /// How much of content of this size may wait here before it is sent on.
    ///
    /// # Errors
    /// [`CopyError::BadDestination`].
    pub fn lag(&self, size: Option<ByteCount>) -> Result<ByteCount, CopyError> {
        Ok(self.to()?.lag(size))
    }

    /// Whose storage the source is, and whose the destination, as far as the mounts say: a file that
    /// is below one belongs to the storage that it names. Waits for the disk.
    #[must_use]
    pub fn storages(&self) -> [Option<Endpoint>; 2] {
        [&self.source, &self.destination].map(|place| {
            let file = self.local(place).ok()??;
            self.schemes.storage_around(file.path())
        })
    }

    fn from(&self) -> Result<Arc<dyn Source>, DownloadError> {
        Ok(match &self.source {
            Place::Url(url) => self.schemes.source(url)?,
            Place::File(path) => Arc::new(LocalFile::named(path.clone())),
        })
    }

    fn to(&self) -> Result<Arc<dyn Destination>, CopyError> {
        Ok(match &self.destination {
            Place::Url(url) => self.schemes.destination(url)?,
            Place::File(path) => Arc::new(LocalPlace(LocalFile::named(path.clone()))),
        })
    }

    /// A place as a file of this machine, if it is one.
    fn local(&self, place: &Place) -> Result<Option<LocalFile>, DownloadError> {
        Ok(match place {
            Place::File(path) => Some(LocalFile::named(path.clone())),
            Place::Url(url) if url.starts_with("file://") && self.schemes.has_mounts() => {
                Some(self.schemes.mounted_file(url)?)
            }
            Place::Url(_) => None,
        })
    }

    /// Both places, if both are files of this machine.
    fn local_files(&self) -> Result<Option<(LocalFile, LocalPlace)>, DownloadError> {
        let (from, to) = (self.local(&self.source)?, self.local(&self.destination)?);
        Ok(from.zip(to.map(LocalPlace)))
    }

    fn how(&self, limits: &Limits) -> How {
        let limiters = [&limits.reading, &limits.writing].into_iter().flatten();
        let rate = limiters.clone().map(Limiter::rate).fold(self.peak, BitRate::max);
        let burst = limiters.map(Limiter::burst).fold(ByteCount::ZERO, ByteCount::max);
        let (tls, round_trip, patience) = (self.tls.clone(), self.round_trip, self.idle_timeout);
        How { tls, rate, burst, streams: 1, round_trip, patience }
    }
}

/// What came of a copy.
fn copied(
    (bytes, begun): (u64, crate::clock::BootTime),
    digest: Option<Digest>,
    check: Check,
) -> Copied {
    let elapsed = crate::clock::BootTime::now().since(begun);
    let bytes = ByteCount::new(bytes);
    let ms = u64::try_from(elapsed.as_millis()).ok().and_then(tidegate_policy::Span::from_ms);
    let mean_rate = ms.and_then(|span| BitRate::mean(bytes, span));
    Copied { bytes, elapsed, mean_rate, digest, check }
}

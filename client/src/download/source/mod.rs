//! Where content comes from: one small trait, and the schemes of URLs that are allowed. Where it goes
//! is beside it, in [`copy::destination`](crate::copy::destination).

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tidegate_policy::{BitRate, ByteCount, Endpoint};
use tokio::io::AsyncRead;

use super::digest::Digest;
use super::error::DownloadError;
use crate::copy::destination::Destination;
use crate::copy::error::CopyError;

mod glance;
pub(crate) mod local;
mod mount;
pub(crate) mod object;
pub(crate) mod web;

pub use glance::Glance;
pub use mount::Mount;
pub use object::{S3, Swift};
pub use web::Tls;

/// What a source says of its content, as far as it says anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// How long it is.
    pub size: Option<ByteCount>,
    /// Changes whenever the content does, such as a strong ETag.
    pub tag: Option<String>,
    /// What its digest is to be.
    pub digest: Option<Digest>,
    /// The name of the store that holds it, such as the one of a Glance image: `storage/NAME` at the
    /// broker.
    pub store: Option<String>,
}

/// Content that is being read.
pub struct Opened {
    /// What is known of it.
    pub stat: Stat,
    /// The first byte of it that `reader` gives: the one that was asked for, or 0 from a source that
    /// knows no ranges or has other content by now.
    pub from: u64,
    /// The bytes. An end before that of the range is an end of the connection.
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { stat, from, reader: _ } = self;
        f.debug_struct("Opened").field("stat", stat).field("from", from).finish_non_exhaustive()
    }
}

/// Which bytes to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The first.
    pub from: u64,
    /// The first that is not wanted any more; `None` reads to the end.
    pub until: Option<u64>,
    /// Only of content with this tag; else all of what is there now, from 0 on.
    pub tag: Option<String>,
}

/// How to read.
#[derive(Clone, Debug)]
pub struct How {
    /// Whom to trust over https.
    pub tls: Tls,
    /// The highest rate that all streams together will have, as far as known.
    pub rate: BitRate,
    /// How much passes their limiter at once.
    pub burst: ByteCount,
    /// How many streams share that.
    pub streams: u16,
    /// The round trip to the server, as far as known.
    pub round_trip: Duration,
    /// How long a connection, and then the head of an answer, may take.
    pub patience: Duration,
}

/// One thing that can be fetched, by any means. What it does is bounded by [`How::patience`].
pub trait Source: Debug + Send + Sync {
    /// What is known of it before any content moves.
    ///
    /// # Errors
    /// A [`DownloadError`] if it cannot be fetched.
    fn stat<'a>(&'a self, how: &'a How) -> BoxFuture<'a, Result<Stat, DownloadError>>;

    /// Reads some of it. Nothing is read ahead of the reader beyond what `how` allows for: bytes are
    /// charged as they are read.
    ///
    /// # Errors
    /// A [`DownloadError`] if it cannot be fetched.
    fn open<'a>(
        &'a self,
        part: &'a Part,
        how: &'a How,
    ) -> BoxFuture<'a, Result<Opened, DownloadError>>;
}

/// Makes sources, and destinations where it can be written to, of URLs with one scheme.
pub trait Scheme: Debug + Send + Sync {
    /// The source at `url`. `schemes` are all that are allowed, for sources that lead to others.
    ///
    /// # Errors
    /// [`DownloadError::BadSource`] if the URL makes no sense to it.
    fn source(&self, url: &str, schemes: &Schemes) -> Result<Arc<dyn Source>, DownloadError>;

    /// The destination at `url`. By default there is none: the scheme can only be read.
    ///
    /// # Errors
    /// [`CopyError::BadDestination`] if nothing can be written there.
    fn destination(&self, url: &str, schemes: &Schemes) -> Result<Arc<dyn Destination>, CopyError> {
        let _ = schemes;
        Err(CopyError::bad_destination(url, "what has this scheme can only be read"))
    }
}

/// The schemes that are allowed, and in which order they are tried where there is a choice.
///
/// By default `http`, `https`, `glance` (a Glance image over http: `glance://HOST:PORT/ID`),
/// `glances` (over https) and `s3`. `swift` needs an account ([`Swift`]). Files are allowed below the
/// directories that are mounted alone: a URL that somebody sends must not read what it likes.
#[derive(Clone, Debug)]
pub struct Schemes {
    named: Vec<(String, Arc<dyn Scheme>)>,
    mounts: Arc<[Mount]>,
}

impl Default for Schemes {
    fn default() -> Self {
        Self { named: Vec::new(), mounts: Arc::new([]) }
            .with("http", web::Web)
            .with("https", web::Web)
            .with("glance", Glance::default())
            .with("glances", Glance::default())
            .with("s3", S3::default())
    }
}

impl Schemes {
    /// Allows another scheme, or does one in another way.
    #[must_use]
    pub fn with(mut self, name: &str, scheme: impl Scheme + 'static) -> Self {
        let scheme: Arc<dyn Scheme> = Arc::new(scheme);
        match self.named.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = scheme,
            None => self.named.push((name.to_owned(), scheme)),
        }
        self
    }

    /// Allows these alone, in this order.
    #[must_use]
    pub fn only(mut self, names: &[&str]) -> Self {
        let place = |name: &str| names.iter().position(|it| *it == name);
        self.named.retain(|(name, _)| place(name).is_some());
        self.named.sort_by_key(|(name, _)| place(name));
        self
    }

    /// Allows `file://` below these directories, before all others.
    #[must_use]
    pub fn mounts(self, directories: impl IntoIterator<Item = PathBuf>) -> Self {
        self.mounted(directories.into_iter().map(Mount::from))
    }

    /// Allows `file://` below these mounts, which may say whose storage they are, before all others.
    #[must_use]
    pub fn mounted(mut self, mounts: impl IntoIterator<Item = Mount>) -> Self {
        self.mounts = mounts.into_iter().collect();
        let local: Arc<dyn Scheme> = Arc::new(local::Local::new(Arc::clone(&self.mounts)));
        self.named.retain(|(name, _)| name != "file");
        self.named.insert(0, ("file".to_owned(), local));
        self
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.iter().map(|(name, _)| name.as_str())
    }

    /// The source at `url`.
    ///
    /// # Errors
    /// [`DownloadError::BadSource`] if its scheme is not allowed, or the URL makes no sense to it.
    pub fn source(&self, url: &str) -> Result<Arc<dyn Source>, DownloadError> {
        match self.of(url) {
            Ok(scheme) => scheme.source(url, self),
            Err(why) => Err(DownloadError::bad_source(url, why)),
        }
    }

    /// The destination at `url`.
    ///
    /// # Errors
    /// [`CopyError::BadDestination`] if its scheme is not allowed or can only be read, or the URL makes
    /// no sense to it.
    pub fn destination(&self, url: &str) -> Result<Arc<dyn Destination>, CopyError> {
        match self.of(url) {
            Ok(scheme) => scheme.destination(url, self),
            Err(why) => Err(CopyError::bad_destination(url, why)),
        }
    }

    /// The scheme of a URL, or what to write instead.
    fn of(&self, url: &str) -> Result<&dyn Scheme, String> {
        let (scheme, _) = url.split_once("://").unwrap_or_default();
        match self.named.iter().find(|(name, _)| name == scheme) {
            Some((_, scheme)) => Ok(&**scheme),
            None if scheme == "file" => Err("no directory is mounted for files".to_owned()),
            None => {
                let names: Vec<String> = self.names().map(|name| format!("{name}://")).collect();
                Err(format!("write {}", names.join(" or ")))
            }
        }
    }

    /// Whether files have URLs here.
    pub(crate) fn has_mounts(&self) -> bool {
        !self.mounts.is_empty()
    }

    /// A file by its URL, below what is mounted.
    pub(crate) fn mounted_file(&self, url: &str) -> Result<local::LocalFile, DownloadError> {
        local::LocalFile::mounted(url, &self.mounts)
    }

    /// The storage whose mount a path is below, as its mount says; it may lead to a file that is not
    /// there yet. Waits for the disk.
    #[must_use]
    pub fn storage_around(&self, path: &Path) -> Option<Endpoint> {
        let path = mount::resolved(path).ok()?;
        mount::around(&self.mounts, &path)?.storage.clone()
    }

    /// Where a URL comes in the order; `None` if it is not allowed.
    #[must_use]
    pub fn place(&self, url: &str) -> Option<usize> {
        let (scheme, _) = url.split_once("://")?;
        self.named.iter().position(|(name, _)| name == scheme)
    }
}

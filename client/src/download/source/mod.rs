//! Where content comes from: one small trait, and the schemes of URLs that are allowed.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tidegate_policy::{BitRate, ByteCount};
use tokio::io::AsyncRead;

use super::digest::Digest;
use super::error::DownloadError;

mod glance;
mod local;
mod object;
mod web;

pub use glance::Glance;
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

/// Makes sources of URLs with one scheme.
pub trait Scheme: Debug + Send + Sync {
    /// The source at `url`. `schemes` are all that are allowed, for sources that lead to others.
    ///
    /// # Errors
    /// [`DownloadError::BadSource`] if the URL makes no sense to it.
    fn source(&self, url: &str, schemes: &Schemes) -> Result<Arc<dyn Source>, DownloadError>;
}

/// The schemes that are allowed, and in which order they are tried where there is a choice.
///
/// By default `http`, `https`, `glance` (a Glance image over http: `glance://HOST:PORT/ID`),
/// `glances` (over https) and `s3`. `swift` needs an account ([`Swift`]). Files are allowed below the
/// directories that are mounted alone: a URL that somebody sends must not read what it likes.
#[derive(Clone, Debug)]
pub struct Schemes(Vec<(String, Arc<dyn Scheme>)>);

impl Default for Schemes {
    fn default() -> Self {
        Self(Vec::new())
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
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = scheme,
            None => self.0.push((name.to_owned(), scheme)),
        }
        self
    }

    /// Allows these alone, in this order.
    #[must_use]
    pub fn only(mut self, names: &[&str]) -> Self {
        let place = |name: &str| names.iter().position(|it| *it == name);
        self.0.retain(|(name, _)| place(name).is_some());
        self.0.sort_by_key(|(name, _)| place(name));
        self
    }

    /// Allows `file://` below these directories, before all others.
    #[must_use]
    pub fn mounts(mut self, directories: impl IntoIterator<Item = PathBuf>) -> Self {
        let local: Arc<dyn Scheme> = Arc::new(local::Local::new(directories));
        self.0.retain(|(name, _)| name != "file");
        self.0.insert(0, ("file".to_owned(), local));
        self
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The source at `url`.
    ///
    /// # Errors
    /// [`DownloadError::BadSource`] if its scheme is not allowed, or the URL makes no sense to it.
    pub fn source(&self, url: &str) -> Result<Arc<dyn Source>, DownloadError> {
        let (scheme, _) = url.split_once("://").unwrap_or_default();
        match self.0.iter().find(|(name, _)| name == scheme) {
            Some((_, scheme)) => scheme.source(url, self),
            None if scheme == "file" => {
                Err(DownloadError::bad_source(url, "no directory is mounted to read files from"))
            }
            None => {
                let names: Vec<String> = self.names().map(|name| format!("{name}://")).collect();
                Err(DownloadError::bad_source(url, format!("write {}", names.join(" or "))))
            }
        }
    }

    /// Where a URL comes in the order; `None` if it is not allowed.
    #[must_use]
    pub fn place(&self, url: &str) -> Option<usize> {
        let (scheme, _) = url.split_once("://")?;
        self.0.iter().position(|(name, _)| name == scheme)
    }
}

//! Files of this machine: by URL below the directories that are mounted, by path wherever.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tidegate_policy::ByteCount;
use tokio::fs::File;
use tokio::io::AsyncSeekExt;

use super::mount::{self, Mount};
use super::{How, Opened, Part, Scheme, Schemes, Source, Stat};
use crate::copy::destination::{Destination, LocalPlace};
use crate::copy::error::CopyError;
use crate::download::error::DownloadError;

/// `file://` below some directories.
#[derive(Clone, Debug)]
pub(super) struct Local {
    mounts: Arc<[Mount]>,
}

/// One file.
#[derive(Clone, Debug)]
pub(crate) struct LocalFile {
    url: String,
    path: PathBuf,
    /// Absent: whoever named the path may read it wherever it is.
    mounts: Option<Arc<[Mount]>>,
}

impl Local {
    pub(super) fn new(mounts: Arc<[Mount]>) -> Self {
        Self { mounts }
    }

    fn file(&self, url: &str) -> Result<LocalFile, DownloadError> {
        let path = local_path(url)?;
        Ok(LocalFile { url: url.to_owned(), path, mounts: Some(Arc::clone(&self.mounts)) })
    }
}

impl Scheme for Local {
    fn source(&self, url: &str, _schemes: &Schemes) -> Result<Arc<dyn Source>, DownloadError> {
        Ok(Arc::new(self.file(url)?))
    }

    fn destination(
        &self,
        url: &str,
        _schemes: &Schemes,
    ) -> Result<Arc<dyn Destination>, CopyError> {
        Ok(Arc::new(LocalPlace(self.file(url)?)))
    }
}

impl LocalFile {
    /// A file by its path, wherever it is.
    pub(crate) fn named(path: PathBuf) -> Self {
        Self { url: path.display().to_string(), path, mounts: None }
    }

    /// A file by its URL, below one of these mounts.
    pub(crate) fn mounted(url: &str, mounts: &Arc<[Mount]>) -> Result<Self, DownloadError> {
        Local::new(Arc::clone(mounts)).file(url)
    }

    async fn opened(&self) -> Result<(File, Stat), DownloadError> {
        let path = self.checked().await?;
        let file = File::open(&path).await.map_err(|error| DownloadError::file(&path, error))?;
        let data = file.metadata().await.map_err(|error| DownloadError::file(&path, error))?;
        if !data.is_file() {
            return Err(DownloadError::bad_source(&self.url, "it is no regular file"));
        }
        use std::os::unix::fs::MetadataExt;
        // A file that is replaced has another number, one that is written another time.
        let tag = format!("{}-{}.{}-{}", data.ino(), data.mtime(), data.mtime_nsec(), data.len());
        let size = Some(ByteCount::new(data.len()));
        Ok((file, Stat { size, tag: Some(tag), ..Stat::default() }))
    }

    /// The path with all links followed: what a link leads out of a mount with is not below it.
    pub(crate) async fn checked(&self) -> Result<PathBuf, DownloadError> {
        let fault = |error| DownloadError::file(&self.path, error);
        let path = tokio::fs::canonicalize(&self.path).await.map_err(fault)?;
        if self.is_allowed(&path) { Ok(path) } else { Err(self.not_below()) }
    }

    /// Where it may be written: what is there is replaced, a link itself and not what it leads to.
    pub(crate) async fn writable(&self) -> Result<PathBuf, DownloadError> {
        let path = self.path.clone();
        let found = tokio::task::spawn_blocking(move || mount::parent_resolved(&path)).await;
        let found = found.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        let path = found.map_err(|error| DownloadError::file(&self.path, error))?;
        if self.is_allowed(&path) { Ok(path) } else { Err(self.not_below()) }
    }

    /// The path as it was given.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    fn is_allowed(&self, path: &std::path::Path) -> bool {
        self.mounts.as_ref().is_none_or(|mounts| mount::around(mounts, path).is_some())
    }

    fn not_below(&self) -> DownloadError {
        let mounts = self.mounts.iter().flat_map(|mounts| mounts.iter());
        let mounts: Vec<_> = mounts.map(|it| it.directory.display().to_string()).collect();
        let why = format!("it is below none of the mounted directories: {}", mounts.join(", "));
        DownloadError::bad_source(&self.url, why)
    }
}

impl Source for LocalFile {
    fn stat<'a>(&'a self, _how: &'a How) -> BoxFuture<'a, Result<Stat, DownloadError>> {
        async { self.opened().await.map(|(_, stat)| stat) }.boxed()
    }

    fn open<'a>(
        &'a self,
        part: &'a Part,
        _how: &'a How,
    ) -> BoxFuture<'a, Result<Opened, DownloadError>> {
        async {
            let (mut file, stat) = self.opened().await?;
            let from = if part.tag.is_none() || part.tag == stat.tag { part.from } else { 0 };
            let fault = |error| DownloadError::file(&self.path, error);
            file.seek(std::io::SeekFrom::Start(from)).await.map_err(fault)?;
            Ok(Opened { stat, from, reader: Box::new(file) })
        }
        .boxed()
    }
}

/// The path in a `file:` URL: absolute, on this machine, with `%20` and the like decoded.
fn local_path(url: &str) -> Result<PathBuf, DownloadError> {
    use std::os::unix::ffi::OsStringExt;
    let rest = url.strip_prefix("file://").unwrap_or(url);
    let bad = |why: &str| DownloadError::bad_source(url, why);
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

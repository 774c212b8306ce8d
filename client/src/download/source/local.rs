//! Files of this machine, below the directories that are mounted.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tidegate_policy::ByteCount;
use tokio::fs::File;
use tokio::io::AsyncSeekExt;

use super::{How, Opened, Part, Scheme, Schemes, Source, Stat};
use crate::download::error::DownloadError;

/// `file://` below some directories.
#[derive(Clone, Debug)]
pub(super) struct Local {
    mounts: Arc<[PathBuf]>,
}

/// One file.
#[derive(Clone, Debug)]
struct LocalFile {
    url: String,
    path: PathBuf,
    mounts: Arc<[PathBuf]>,
}

impl Local {
    pub(super) fn new(mounts: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { mounts: mounts.into_iter().collect() }
    }
}

impl Scheme for Local {
    fn source(&self, url: &str, _schemes: &Schemes) -> Result<Arc<dyn Source>, DownloadError> {
        let rest = url.strip_prefix("file://").unwrap_or(url);
        let path = local_path(url, rest)?;
        Ok(Arc::new(LocalFile { url: url.to_owned(), path, mounts: Arc::clone(&self.mounts) }))
    }
}

impl LocalFile {
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
    async fn checked(&self) -> Result<PathBuf, DownloadError> {
        let fault = |error| DownloadError::file(&self.path, error);
        let path = tokio::fs::canonicalize(&self.path).await.map_err(fault)?;
        for mount in self.mounts.iter() {
            let mount = tokio::fs::canonicalize(mount).await;
            if mount.is_ok_and(|mount| path.starts_with(mount)) {
                return Ok(path);
            }
        }
        let mounts: Vec<_> = self.mounts.iter().map(|it| it.display().to_string()).collect();
        let why = format!("it is below none of the mounted directories: {}", mounts.join(", "));
        Err(DownloadError::bad_source(&self.url, why))
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
fn local_path(url: &str, rest: &str) -> Result<PathBuf, DownloadError> {
    use std::os::unix::ffi::OsStringExt;
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

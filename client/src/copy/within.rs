//! Copies between two files of this machine: by the kernel, which shares blocks where the file system
//! can, and has a server copy by itself where that can. What it cannot, reads and writes do.

use std::time::Duration;

use tidegate_policy::ByteCount;

use super::destination::LocalPlace;
use super::error::CopyError;
use super::{Check, Copied, copied};
use crate::clock::BootTime;
use crate::download::source::local::LocalFile;
use crate::download::{DownloadError, Progress};
use crate::limiter::{LimitError, Limiter};

/// How often it is said how far a copy is.
const EVERY: Duration = Duration::from_millis(200);

pub(super) async fn copy(
    (from, to): (LocalFile, LocalPlace),
    limiter: &Limiter,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Copied, CopyError> {
    let begun = BootTime::now();
    let source = from.checked().await?;
    let fault = |error| DownloadError::file(&source, error);
    let file = tokio::fs::File::open(&source).await.map_err(fault)?;
    let data = file.metadata().await.map_err(fault)?;
    if !data.is_file() {
        return Err(DownloadError::bad_source(source.display(), "it is no regular file").into());
    }
    let (path, part) = to.opened().await?;
    let (before, total) = (limiter.moved().bytes(), ByteCount::new(data.len()));
    let mut copying = std::pin::pin!(limiter.copy_file(file.into_std().await, part.handle()?));
    let mut ticks = tokio::time::interval(EVERY);
    let moved = loop {
        tokio::select! {
            moved = &mut copying => break moved,
            _ = ticks.tick() => {
                // The one whose limiter it is may move other bytes under it.
                let moved = limiter.moved().bytes().saturating_sub(before).min(total.bytes());
                progress(Progress { moved: ByteCount::new(moved), total: Some(total) });
            }
        }
    };
    let moved = moved.map_err(|error| match LimitError::of(&error) {
        Some(limit) => CopyError::Limit(limit),
        None => DownloadError::file(&path, error).into(),
    })?;
    if moved != total {
        let source_url = source.display().to_string();
        return Err(DownloadError::Changed { source_url }.into());
    }
    progress(Progress { moved, total: Some(total) });
    part.keep(&path, moved.bytes()).await?;
    Ok(copied((moved.bytes(), begun), None, Check::Size))
}

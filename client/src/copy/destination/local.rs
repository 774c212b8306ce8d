//! Files of this machine as destinations: written beside their name, synced, renamed.

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::path::PathBuf;
use tidegate_policy::ByteCount;

use super::{Check, Destination, Outlet, Writing};
use crate::copy::error::CopyError;
use crate::download::part::Part;
use crate::download::source::local::LocalFile;

/// A file that may be written.
#[derive(Clone, Debug)]
pub(crate) struct LocalPlace(pub(crate) LocalFile);

impl LocalPlace {
    /// The final path, and the hidden file beside it that becomes it. What an earlier try left there
    /// is gone.
    pub(crate) async fn opened(&self) -> Result<(PathBuf, Part), CopyError> {
        let path = self.0.writable().await?;
        if tokio::fs::metadata(&path).await.is_ok_and(|data| data.is_dir()) {
            let why = "it is a directory; name the file that is to be written in it";
            return Err(CopyError::bad_destination(self.0.path().display(), why));
        }
        let (part, _) = Part::open(&path).await?;
        part.discard().await?;
        Ok((path, part))
    }
}

impl Destination for LocalPlace {
    fn begin<'a>(
        &'a self,
        size: Option<ByteCount>,
        outlet: &'a Outlet,
    ) -> BoxFuture<'a, Result<Box<dyn Writing>, CopyError>> {
        async move {
            let (path, part) = self.opened().await?;
            if let Some(size) = size {
                part.reserve(size.bytes()).await?;
            }
            let stream = outlet.limiter.as_ref().map(crate::limiter::Limiter::stream);
            let writing = LocalWriting { path, part: Some(part), at: 0, stream };
            Ok(Box::new(writing) as Box<dyn Writing>)
        }
        .boxed()
    }
}

struct LocalWriting {
    path: PathBuf,
    /// Until it has its name or is gone.
    part: Option<Part>,
    /// How many bytes are written.
    at: u64,
    /// What they are charged to.
    stream: Option<crate::limiter::Stream>,
}

impl LocalWriting {
    fn part(&self) -> Result<&Part, CopyError> {
        let over = || CopyError::bad_destination(self.path.display(), "it is over already");
        self.part.as_ref().ok_or_else(over)
    }

    async fn put(&mut self, mut piece: Bytes) -> Result<(), CopyError> {
        while !piece.is_empty() {
            let now = match &mut self.stream {
                Some(stream) => stream.lease(piece.len()).await?.min(piece.len()),
                None => piece.len(),
            };
            let step = piece.split_to(now);
            let part = self.part()?;
            part.write((step.to_vec(), now), self.at).await?;
            self.at = self.at.saturating_add(u64::try_from(now).unwrap_or(u64::MAX));
            if let Some(stream) = &mut self.stream {
                stream.charge(now);
                stream.outdate();
            }
        }
        Ok(())
    }
}

impl Writing for LocalWriting {
    fn write(&mut self, piece: Bytes) -> BoxFuture<'_, Result<(), CopyError>> {
        self.put(piece).boxed()
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<Check, CopyError>> {
        async {
            self.part()?;
            if let Some(part) = self.part.take() {
                part.keep(&self.path, self.at).await?;
            }
            Ok(Check::Size)
        }
        .boxed()
    }

    /// A part that is dropped removes itself.
    fn abort(&mut self) -> BoxFuture<'_, Result<(), CopyError>> {
        drop(self.part.take());
        async { Ok(()) }.boxed()
    }
}

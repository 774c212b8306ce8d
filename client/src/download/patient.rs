//! Waits for bytes, but not forever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

/// Fails once no byte came for too long while one was waited for.
pub(crate) struct Patient<R> {
    inner: R,
    timeout: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// Nothing came for so long.
#[derive(Debug, thiserror::Error)]
#[error("nothing came for {0:?}")]
pub(crate) struct Silent(pub(crate) Duration);

impl<R> Patient<R> {
    pub(crate) fn new(inner: R, timeout: Duration) -> Self {
        Self { inner, timeout, sleep: None }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Patient<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Poll::Ready(result) = Pin::new(&mut this.inner).poll_read(context, buffer) {
            this.sleep = None;
            return Poll::Ready(result);
        }
        let timeout = this.timeout;
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        sleep.as_mut().poll(context).map(|()| Err(io::Error::other(Silent(timeout))))
    }
}

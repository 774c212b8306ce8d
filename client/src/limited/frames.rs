//! Streams of byte chunks.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream as Chunks;
use pin_project_lite::pin_project;

use crate::limiter::{LimitError, Limiter, Stream};

pin_project! {
    /// A stream of byte chunks that yields bytes only as its limiter admits them.
    ///
    /// A chunk larger than what is leased is split without copying. One chunk is held while it waits
    /// for its turn, and no further one is asked for meanwhile: nothing is buffered. Empty chunks,
    /// errors and the end pass at once and cost nothing.
    ///
    /// An error of the limiter is an item like any other error of the stream, and the chunk that it
    /// kept back is yielded once bytes are admitted again, after a [`LimitError::Expired`] whose end
    /// was moved. A [`LimitError::Revoked`] comes at every poll.
    #[derive(Debug)]
    pub struct Frames<S> {
        #[pin]
        inner: S,
        gate: Gate,
    }
}

/// One chunk at a time.
#[derive(Debug)]
pub(super) struct Gate {
    stream: Stream,
    held: Bytes,
}

impl Limiter {
    /// Limits a stream of byte chunks, such as the body of an answer.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use futures_util::{TryStreamExt, stream};
    /// use tidegate_client::{Burst, Limiter};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limiter = Limiter::new("800Mbit".parse()?, Burst::default());
    /// let chunks = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![7; 300_000]))]);
    /// let parts: Vec<Bytes> = limiter.frames(chunks).try_collect().await?;
    /// assert_eq!(parts.concat(), vec![7; 300_000]);
    /// assert!(parts.len() > 1, "a large chunk comes in parts");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn frames<S>(&self, inner: S) -> Frames<S> {
        Frames { inner, gate: Gate::new(self.stream()) }
    }
}

impl Gate {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, held: Bytes::new() }
    }

    /// What of the chunk held may pass now, `None` if there is none.
    pub(super) fn poll_held(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, LimitError>>> {
        if self.held.is_empty() {
            // Whoever waits for its peer hears of a revocation all the same.
            return Poll::Ready(self.stream.check().err().map(Err));
        }
        let leased = match ready!(self.stream.poll_lease(cx, self.held.len())) {
            Ok(leased) => leased,
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        self.stream.charge(leased);
        Poll::Ready(Some(Ok(self.held.split_to(leased))))
    }

    pub(super) fn hold(&mut self, chunk: Bytes) {
        self.held = chunk;
    }

    /// The peer makes us wait.
    pub(super) fn park(&mut self, cx: &Context<'_>) {
        self.stream.park(cx);
    }

    /// Bytes held.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }
}

impl<S, E> Chunks for Frames<S>
where
    S: Chunks<Item = Result<Bytes, E>>,
    E: From<LimitError>,
{
    type Item = Result<Bytes, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            if let Some(part) = ready!(this.gate.poll_held(cx)) {
                return Poll::Ready(Some(part.map_err(E::from)));
            }
            match this.inner.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(chunk))) if !chunk.is_empty() => this.gate.hold(chunk),
                Poll::Pending => {
                    this.gate.park(cx);
                    return Poll::Pending;
                }
                passes => return passes,
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // Each chunk may come in any number of parts.
        (usize::from(self.gate.len() > 0).max(self.inner.size_hint().0), None)
    }
}

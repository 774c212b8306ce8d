//! Readers and writers under a limiter, for code that waits.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::task::{Context, Waker};

use super::Runtime;
use crate::limiter::Stream;

/// A reader or writer that moves bytes only as the limiter of its grant admits them.
///
/// One call moves what is leased and no more, at most 1 ms of the rate or 256 KiB. Bytes moved are
/// charged, not the buffer: an end of file, an error and an empty buffer cost nothing. A call that
/// waits in the reader or writer itself, for its peer, is not woken when the grant ends; the next
/// call fails then.
///
/// # Errors
/// Those of the limiter come as [`io::Error`], and
/// [`LimitError::of`](crate::limiter::LimitError::of) gives them back. Inside of an async task, an
/// error that wraps [`ClientError::InsideRuntime`](crate::error::ClientError::InsideRuntime).
#[derive(Debug)]
pub struct Limited<T> {
    inner: T,
    stream: Stream,
    runtime: Arc<Runtime>,
}

impl<T> Limited<T> {
    pub(super) fn new(inner: T, stream: Stream, runtime: Arc<Runtime>) -> Self {
        Self { inner, stream, runtime }
    }

    /// What is limited.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// What is limited; what is moved through it directly is not charged.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// What was limited; the unused lease goes back.
    pub fn into_inner(self) -> T {
        self.inner
    }

    /// How many of `want` bytes may be moved now; waits until it is one at least.
    fn lease(&mut self, want: usize) -> io::Result<usize> {
        // Time may have passed in the call before: the end of the grant is looked at anew.
        self.stream.park(&Context::from_waker(Waker::noop()));
        let stream = &mut self.stream;
        let leased = self.runtime.run(poll_fn(|cx| stream.poll_lease(cx, want)));
        Ok(leased.map_err(io::Error::other)??)
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let leased = self.lease(buf.len())?;
        let moved = self.inner.read(buf.get_mut(..leased).unwrap_or_default())?;
        self.stream.charge(moved);
        Ok(moved)
    }
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let leased = self.lease(data.len())?;
        let moved = self.inner.write(data.get(..leased).unwrap_or_default())?;
        self.stream.charge(moved);
        Ok(moved)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

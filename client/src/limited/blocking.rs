//! Readers and writers under a limiter, for code that waits.

use std::io::{self, Read, Write};

use crate::blocking::inside_a_task;
use crate::error::ClientError;
use crate::limiter::{Limiter, Stream};

/// A reader or writer that moves bytes only as its limiter admits them. It needs no runtime.
///
/// One call moves what is leased and no more, at most 1 ms of the rate or 256 KiB. Bytes moved are
/// charged, not the buffer: an end of file, an error and an empty buffer cost nothing. A call that
/// waits in the reader or writer itself, for its peer, is not woken when the grant ends; the next
/// call fails then.
///
/// # Errors
/// Those of the limiter come as [`io::Error`], and
/// [`LimitError::of`](crate::limiter::LimitError::of) gives them back. Inside of an async task, an
/// error that wraps [`ClientError::InsideRuntime`].
#[derive(Debug)]
pub struct Limited<T> {
    inner: T,
    stream: Stream,
}

impl Limiter {
    /// Limits what is read from `inner` by code that waits.
    ///
    /// ```
    /// use std::io::Read;
    /// use tidegate_client::{Burst, Limiter};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limiter = Limiter::new("800Mbit".parse()?, Burst::default());
    /// let mut read = Vec::new();
    /// // 2 MB at 800 Mbit/s: 20 ms, of which the burst saves 10.
    /// limiter.blocking_reader(std::io::repeat(7).take(2_000_000)).read_to_end(&mut read)?;
    /// assert_eq!(limiter.moved().bytes(), 2_000_000);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn blocking_reader<R>(&self, inner: R) -> Limited<R> {
        Limited::new(inner, self.stream())
    }

    /// Limits what is written to `inner` by code that waits.
    #[must_use]
    pub fn blocking_writer<W>(&self, inner: W) -> Limited<W> {
        Limited::new(inner, self.stream())
    }
}

impl<T> Limited<T> {
    /// Moves the bytes of `inner` as `stream` leases them.
    #[must_use]
    pub fn new(inner: T, stream: Stream) -> Self {
        Self { inner, stream }
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
        if inside_a_task() {
            return Err(io::Error::other(ClientError::InsideRuntime));
        }
        // Time may have passed in the call before: the end of the grant is looked at anew.
        self.stream.outdate();
        Ok(self.stream.lease_blocking(want)?)
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

//! Async readers and writers.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Limited;

/// The most slices that one vectored write passes on. More of them are left for the next write,
/// which the contract of a write allows, so that none has to be collected on the heap.
const SLICES_MAX: usize = 32;

impl<T> Limited<T> {
    /// Charges the bytes that a call of `inner` moved.
    fn settle(
        &mut self,
        cx: &Context<'_>,
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Ok(moved)) => self.stream.charge(moved),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.stream.park(cx),
        }
        outcome
    }
}

impl<R: AsyncRead + Unpin> Limited<R> {
    fn read_leased(
        &mut self,
        cx: &mut Context<'_>,
        leased: usize,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let inner = Pin::new(&mut self.inner);
        if buf.remaining() <= leased {
            let before = buf.filled().len();
            ready!(inner.poll_read(cx, buf))?;
            return Poll::Ready(Ok(buf.filled().len().saturating_sub(before)));
        }
        // A shorter view of a buffer needs its bytes initialized, which is free if they were.
        let mut short = ReadBuf::new(buf.initialize_unfilled_to(leased));
        ready!(inner.poll_read(cx, &mut short))?;
        let moved = short.filled().len();
        buf.advance(moved);
        Poll::Ready(Ok(moved))
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Limited<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let leased = ready!(this.stream.poll_lease(cx, buf.remaining()))?;
        let outcome = this.read_leased(cx, leased, buf);
        this.settle(cx, outcome).map_ok(drop)
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Limited<W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let leased = ready!(this.stream.poll_lease(cx, data.len()))?;
        let data = data.get(..leased).unwrap_or(data);
        let outcome = Pin::new(&mut this.inner).poll_write(cx, data);
        this.settle(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let want = slices.iter().fold(0_usize, |sum, slice| sum.saturating_add(slice.len()));
        let leased = ready!(this.stream.poll_lease(cx, want))?;
        let inner = Pin::new(&mut this.inner);
        let outcome = if want <= leased {
            inner.poll_write_vectored(cx, slices)
        } else {
            let mut head = [IoSlice::new(&[]); SLICES_MAX];
            let count = truncate(slices, leased, &mut head);
            inner.poll_write_vectored(cx, head.get(..count).unwrap_or(&[]))
        };
        this.settle(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// Fills `head` with the first `limit` bytes of `slices`, empty slices left out, and says how
/// many slices that took.
fn truncate<'a>(
    slices: &'a [IoSlice<'a>],
    limit: usize,
    head: &mut [IoSlice<'a>; SLICES_MAX],
) -> usize {
    let mut left = limit;
    let mut count = 0;
    let full = slices.iter().filter(|slice| !slice.is_empty());
    for (place, slice) in head.iter_mut().zip(full) {
        if left == 0 {
            break;
        }
        let part: &'a [u8] = slice.get(..left).unwrap_or(slice);
        *place = IoSlice::new(part);
        left -= part.len();
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_list_is_cut_at_the_byte() {
        let data = [b'x'; 40];
        let slices: Vec<_> = [10, 0, 20, 5].map(|len| IoSlice::new(&data[..len])).into();
        let cut = |limit| {
            let mut head = [IoSlice::new(&[]); SLICES_MAX];
            let count = truncate(&slices, limit, &mut head);
            head[..count].iter().map(|slice| slice.len()).collect::<Vec<_>>()
        };
        assert!(cut(0).is_empty());
        assert_eq!(cut(1), [1]);
        assert_eq!(cut(10), [10]);
        assert_eq!(cut(29), [10, 19]);
        assert_eq!(cut(34), [10, 20, 4]);
        assert_eq!(cut(99), [10, 20, 5]);
        let many = [IoSlice::new(&data[..1]); 40];
        let mut head = [IoSlice::new(&[]); SLICES_MAX];
        assert_eq!(truncate(&many, 39, &mut head), SLICES_MAX);
    }
}

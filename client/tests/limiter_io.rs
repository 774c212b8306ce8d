//! Limited readers and writers in paused time: what is charged, what is cut and what fails.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tidegate_client::clock::BootTime;
use tidegate_client::{Burst, LimitError, Limiter, Revoked};
use tidegate_policy::{BitRate, ByteCount};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex, repeat};
use tokio::time::{Instant, timeout};

fn limiter(bps: u64) -> Limiter {
    Limiter::new(BitRate::from_bps(bps).unwrap(), Burst::default())
}

#[allow(clippy::disallowed_methods, reason = "paused time")]
fn now() -> Instant {
    Instant::now()
}

fn bytes(count: usize) -> ByteCount {
    ByteCount::new(u64::try_from(count).unwrap())
}

/// Bytes read from an endless source with buffers of `size` in `secs` seconds.
async fn read_for(limiter: &Limiter, size: usize, secs: u64) -> u64 {
    let before = limiter.moved().bytes();
    let mut reader = limiter.reader(repeat(b'x'));
    let mut buf = vec![0; size];
    let work = async {
        loop {
            assert!(reader.read(&mut buf).await.unwrap() > 0);
        }
    };
    assert!(timeout(Duration::from_secs(secs), work).await.is_err());
    limiter.moved().bytes() - before
}

#[tokio::test(start_paused = true)]
async fn slow_rates_and_tiny_reads_are_exact() {
    for (rate, size, secs) in [
        (64_000, 1, 60),
        (64_000, 65_536, 60),
        (1_000_000, 1, 10),
        (1_000_000, 262_144, 10),
        (100_000_000, 7, 2),
        (100_000_000, 1448, 2),
        (600_000_000, 65_536, 2),
        (5_500_000_001, 262_144, 1),
    ] {
        let limiter = limiter(rate);
        let burst = limiter.burst().bytes();
        let ideal = rate / 8 * secs;
        let moved = read_for(&limiter, size, secs).await;
        assert!(moved <= ideal + burst, "{rate} by {size}: {moved} above {ideal}");
        // A quantum is still being earned when the time is up.
        let quantum = (ideal / secs / 10_000).clamp(1448, 262_144);
        let least = ideal + burst - quantum - rate / 8 / 500;
        assert!(moved >= least, "{rate} by {size}: {moved} below {least}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_read_moves_no_more_than_a_millisecond_of_the_rate() {
    for (rate, most) in [(64_000, 1448), (1_000_000_000, 12_500), (100_000_000_000, 262_144)] {
        let mut reader = limiter(rate).reader(repeat(b'x'));
        let mut buf = vec![0; 1 << 20];
        for _ in 0..20 {
            assert!(reader.read(&mut buf).await.unwrap() <= most, "{rate}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn end_of_file_and_empty_buffers_cost_nothing() {
    let limiter = limiter(64_000);
    let begin = now();
    let mut reader = limiter.reader(&b"ten bytes!"[..]);
    let mut text = Vec::new();
    reader.read_to_end(&mut text).await.unwrap();
    assert_eq!(text, b"ten bytes!");
    for _ in 0..10_000 {
        assert_eq!(reader.read(&mut [0; 1000]).await.unwrap(), 0);
        assert_eq!(reader.read(&mut []).await.unwrap(), 0);
    }
    assert_eq!(limiter.moved(), bytes(10));
    let mut writer = limiter.writer(Vec::new());
    for _ in 0..10_000 {
        assert_eq!(writer.write(&[]).await.unwrap(), 0);
        assert_eq!(writer.write_vectored(&[]).await.unwrap(), 0);
    }
    assert_eq!(limiter.moved(), bytes(10));
    assert_eq!(now(), begin);
}

#[tokio::test(start_paused = true)]
async fn a_buffer_that_was_never_initialized_is_filled_in_part() {
    let mut reader = limiter(64_000).reader(repeat(b'x'));
    let mut buf = Vec::with_capacity(10_000);
    buf.extend_from_slice(b"head");
    assert_eq!(reader.read_buf(&mut buf).await.unwrap(), 1448);
    assert_eq!(buf.len(), 4 + 1448);
    assert!(buf.starts_with(b"headxxx") && buf.ends_with(b"xxx"));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_waits_keeps_its_lease_and_is_charged_what_came() {
    let limiter = limiter(64_000);
    let begin = now();
    let (mut peer, near) = duplex(64);
    let mut reader = limiter.reader(near);
    let mut buf = [0; 1000];
    let mut total = 0;
    for _ in 0..5 {
        let waits = timeout(Duration::ZERO, reader.read(&mut buf)).await;
        assert!(waits.is_err());
        peer.write_all(b"abc").await.unwrap();
        total += reader.read(&mut buf).await.unwrap();
        assert_eq!(limiter.moved(), bytes(total));
    }
    assert_eq!(total, 15);
    // The other half of the burst was not touched: a second stream takes it at once.
    let mut other = limiter.reader(repeat(b'x'));
    assert_eq!(other.read(&mut [0; 5000]).await.unwrap(), 1448);
    assert!(now() - begin < Duration::from_millis(20));
}

/// Everything under one error: a reader that waits for its peer, one that waits for its turn and
/// a writer.
async fn all_fail(limiter: &Limiter, cause: impl FnOnce(), expected: LimitError) {
    let (_peer, near) = duplex(64);
    let mut idle = limiter.reader(near);
    let idle = tokio::spawn(async move { idle.read(&mut [0; 10]).await.unwrap_err() });
    let mut busy = limiter.reader(repeat(b'x'));
    let busy = tokio::spawn(async move {
        let mut buf = [0; 5000];
        loop {
            if let Err(error) = busy.read(&mut buf).await {
                break error;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let moved = limiter.moved();
    cause();
    let mut writer = limiter.writer(Vec::new());
    let late = writer.write(b"late").await.unwrap_err();
    let slices = [IoSlice::new(b"late")];
    let vectored = writer.write_vectored(&slices).await.unwrap_err();
    for error in [idle.await.unwrap(), busy.await.unwrap(), late, vectored] {
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(error.get_ref().unwrap().downcast_ref(), Some(&expected));
        assert_eq!(LimitError::of(&error), Some(expected));
    }
    assert_eq!(writer.into_inner(), b"");
    assert_eq!(limiter.moved(), moved);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_a_typed_error_everywhere() {
    let limiter = limiter(64_000);
    let cause = || limiter.revoke(Revoked::SessionLost);
    all_fail(&limiter, cause, LimitError::Revoked(Revoked::SessionLost)).await;
}

#[tokio::test(start_paused = true)]
async fn an_end_is_a_typed_error_everywhere() {
    let limiter = limiter(64_000);
    let cause = || limiter.expires_at(BootTime::now());
    all_fail(&limiter, cause, LimitError::Expired).await;
    assert_eq!(LimitError::of(&io::Error::other("disk")), None);
    assert_eq!(LimitError::of(&io::ErrorKind::NotFound.into()), None);
}

/// A writer that takes as many bytes as each of its calls was told to.
#[derive(Default)]
struct Picky {
    takes: VecDeque<usize>,
    calls: Vec<Vec<usize>>,
    data: Vec<u8>,
    closed: bool,
}

impl AsyncWrite for Picky {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(data)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.calls.push(slices.iter().map(|slice| slice.len()).collect());
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let take = this.takes.pop_front().unwrap_or(usize::MAX).min(all.len());
        this.data.extend(&all[..take]);
        Poll::Ready(Ok(take))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().closed = true;
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_vectored_write_is_cut_to_the_lease() {
    let limiter = limiter(64_000);
    let picky = Picky { takes: [usize::MAX, 3].into(), ..Picky::default() };
    let mut writer = limiter.writer(picky);
    assert!(writer.is_write_vectored());
    let data: Vec<u8> = (0..=255).cycle().take(2000).collect();
    let slices = [&data[..1000], &[], &data[1000..]].map(IoSlice::new);
    assert_eq!(writer.write_vectored(&slices).await.unwrap(), 1448);
    assert_eq!(writer.write_vectored(&[IoSlice::new(&data[1448..])]).await.unwrap(), 3);
    writer.write_all(&data[1451..]).await.unwrap();
    writer.flush().await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(limiter.moved(), bytes(2000));
    let inner = writer.into_inner();
    assert_eq!(inner.calls, [vec![1000, 448], vec![552], vec![549]]);
    assert_eq!(inner.data, data);
    assert!(inner.closed);
}

#[tokio::test(start_paused = true)]
async fn a_written_file_takes_its_time() {
    let limiter = limiter(8_000_000);
    let begin = now();
    let mut writer = limiter.writer(Vec::new());
    writer.write_all(&vec![7; 1_010_000]).await.unwrap();
    // A megabyte after the burst of 10 kB, less a timer's tick and what one write may move.
    let took = now() - begin;
    assert!(took >= Duration::from_millis(1000), "{took:?}");
    assert!(took <= Duration::from_millis(1003), "{took:?}");
    assert_eq!(limiter.moved(), bytes(1_010_000));
}

#[tokio::test(start_paused = true)]
async fn both_directions_of_one_stream_share_a_lease() {
    let limiter = limiter(64_000);
    let (mut peer, near) = duplex(4096);
    let mut near = limiter.reader(near);
    near.write_all(b"question").await.unwrap();
    peer.write_all(b"answer").await.unwrap();
    let mut buf = [0; 6];
    near.read_exact(&mut buf).await.unwrap();
    assert_eq!(&buf, b"answer");
    assert_eq!(limiter.moved(), bytes(14));
}

/// A source that fails.
struct Broken;

impl AsyncRead for Broken {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::Error::other("broken")))
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_peer_passes_through_and_costs_nothing() {
    let limiter = limiter(64_000);
    let mut reader = limiter.reader(Broken);
    for _ in 0..100 {
        let error = reader.read(&mut [0; 3000]).await.unwrap_err();
        assert_eq!(error.to_string(), "broken");
        assert_eq!(LimitError::of(&error), None);
    }
    assert_eq!(limiter.moved(), ByteCount::ZERO);
    assert_eq!(limiter.stream().lease(1448).await, Ok(1448));
}

/// A poll of a stream that waits for its peer must not use what it leased before the end.
#[tokio::test(start_paused = true)]
async fn a_lease_does_not_outlast_the_end() {
    let limiter = limiter(10_000_000_000);
    let mut stream = limiter.stream();
    let end = BootTime::now().plus(Duration::from_millis(1));
    limiter.expires_at(end);
    if stream.lease(10).await.is_ok() {
        poll_fn(|cx| {
            stream.park(cx);
            Poll::Ready(())
        })
        .await;
        while BootTime::now() < end {
            std::thread::yield_now();
        }
    }
    assert_eq!(stream.lease(10).await, Err(LimitError::Expired));
}

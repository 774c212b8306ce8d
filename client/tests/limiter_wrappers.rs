//! Limited chunk streams, HTTP bodies, services and file copies: what is split, charged, passed on
//! and failed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tidegate_client::clock::BootTime;
use tidegate_client::limited::body::LimitedBody;
use tidegate_client::{Burst, ClientError, LimitError, Limiter, Revoked};
use tidegate_policy::{BitRate, ByteCount};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tower::{ServiceBuilder, ServiceExt, service_fn};

const GONE: LimitError = LimitError::Revoked(Revoked::Preempted);

fn limiter(bps: u64) -> Limiter {
    Limiter::new(BitRate::from_bps(bps).unwrap(), Burst::default())
}

#[allow(clippy::disallowed_methods, reason = "paused time")]
fn now() -> Instant {
    Instant::now()
}

fn data(size: usize) -> Bytes {
    (0..size).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect::<Vec<_>>().into()
}

fn moved(limiter: &Limiter) -> usize {
    usize::try_from(limiter.moved().bytes()).unwrap()
}

// === Chunks ===

#[tokio::test(start_paused = true)]
async fn a_large_chunk_is_split_and_takes_its_time() {
    let limiter = limiter(8_000_000);
    let begin = now();
    let whole = data(1_010_000);
    let chunks = stream::iter([Ok::<_, io::Error>(whole.clone())]);
    let parts: Vec<Bytes> = limiter.frames(chunks).try_collect().await.unwrap();
    assert_eq!(parts.concat(), whole);
    // No part is a copy, and none is more than 1 ms of the rate or a segment.
    assert!(parts.iter().all(|part| whole.as_ptr_range().contains(&part.as_ptr())));
    assert!(parts.iter().all(|part| (1..=1448).contains(&part.len())));
    let took = now() - begin;
    assert!(took >= Duration::from_millis(1000), "{took:?}");
    assert!(took <= Duration::from_millis(1003), "{took:?}");
    assert_eq!(moved(&limiter), whole.len());
}

#[tokio::test(start_paused = true)]
async fn empty_chunks_errors_and_the_end_cost_nothing() {
    let limiter = limiter(64_000);
    let items = vec![
        Ok(Bytes::new()),
        Ok(data(10)),
        Err(io::Error::other("broken")),
        Ok(data(3)),
        Ok(Bytes::new()),
    ];
    let mut frames = limiter.frames(stream::iter(items));
    assert_eq!(frames.next().await.unwrap().unwrap(), "");
    assert_eq!(frames.next().await.unwrap().unwrap(), data(10));
    assert_eq!(frames.next().await.unwrap().unwrap_err().to_string(), "broken");
    assert_eq!(frames.next().await.unwrap().unwrap(), data(3));
    assert_eq!(frames.next().await.unwrap().unwrap(), "");
    assert!(frames.next().await.is_none());
    assert_eq!(moved(&limiter), 13);
    drop(frames);
    assert_eq!(limiter.admitted(), ByteCount::new(13), "the rest of the lease went back");
}

/// A stream of chunks that counts how often it was asked.
struct Counting(usize);

impl Stream for Counting {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0 += 1;
        Poll::Ready(Some(Ok(data(100_000))))
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_ahead_of_the_chunk_that_waits() {
    let limiter = limiter(64_000);
    let mut asked = Counting(0);
    {
        let mut frames = limiter.frames(&mut asked);
        let reading = async { while frames.next().await.is_some() {} };
        assert!(timeout(Duration::from_secs(5), reading).await.is_err());
    }
    assert_eq!(asked.0, 1);
    // 5 s of 8 kB/s and the burst.
    assert!((38_000..=42_896).contains(&moved(&limiter)), "{}", moved(&limiter));
}

#[tokio::test(start_paused = true)]
async fn a_revocation_reaches_chunks_that_wait_for_anything() {
    let limiter = limiter(64_000);
    let (_peer, idle) = mpsc::channel::<io::Result<Bytes>>(1);
    let mut idle = limiter.frames(ReceiverStream::new(idle));
    let idle = tokio::spawn(async move { idle.next().await.unwrap().unwrap_err() });
    let mut busy = limiter.frames(stream::iter([Ok::<_, io::Error>(data(1_000_000))]));
    let busy = tokio::spawn(async move {
        loop {
            if let Err(error) = busy.next().await.unwrap() {
                // Not an end that could be taken for that of the file.
                assert!(busy.next().await.unwrap().is_err());
                break error;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (before, begin) = (limiter.moved(), now());
    limiter.revoke(Revoked::Preempted);
    for task in [idle, busy] {
        assert_eq!(LimitError::of(&task.await.unwrap()), Some(GONE));
    }
    assert_eq!((limiter.moved(), now()), (before, begin));
}

#[tokio::test(start_paused = true)]
async fn a_chunk_outlasts_an_end_that_is_moved() {
    let limiter = limiter(64_000);
    let mut frames = limiter.frames(stream::iter([Ok::<_, io::Error>(data(2_000))]));
    let first = frames.next().await.unwrap().unwrap();
    limiter.expires_at(BootTime::now());
    let error = frames.next().await.unwrap().unwrap_err();
    assert_eq!(LimitError::of(&error), Some(LimitError::Expired));
    limiter.expires_at(BootTime::now().plus(Duration::from_secs(3600)));
    let mut all = first.to_vec();
    while let Some(part) = frames.next().await {
        all.extend(part.unwrap());
    }
    assert_eq!(all, data(2_000));
}

// === Bodies ===

type Frames = VecDeque<Result<Frame<Bytes>, io::Error>>;

fn body(frames: Frames) -> StreamBody<impl Stream<Item = Result<Frame<Bytes>, io::Error>>> {
    StreamBody::new(stream::iter(frames))
}

#[tokio::test(start_paused = true)]
async fn data_is_charged_and_trailers_pass() {
    let limiter = limiter(8_000_000);
    let begin = now();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames =
        [Frame::data(data(500_000)), Frame::data(data(510_000)), Frame::trailers(trailers)];
    let limited = limiter.body(body(frames.map(Ok).into()));
    let collected = limited.collect().await.unwrap();
    let took = now() - begin;
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(collected.to_bytes(), [data(500_000), data(510_000)].concat());
    assert!(took >= Duration::from_millis(1000) && took <= Duration::from_millis(1003), "{took:?}");
    assert_eq!(moved(&limiter), 1_010_000);
}

#[tokio::test(start_paused = true)]
async fn trailers_and_the_end_pass_even_in_a_pause() {
    let limiter = limiter(8_000_000);
    limiter.set_rate(BitRate::ZERO);
    let frames = [Frame::data(Bytes::new()), Frame::trailers(HeaderMap::new())];
    let mut limited = pin!(limiter.body(body(frames.map(Ok).into())));
    assert_eq!(limited.frame().await.unwrap().unwrap().into_data().unwrap(), "");
    assert!(limited.frame().await.unwrap().unwrap().is_trailers());
    assert!(limited.frame().await.is_none());
    assert_eq!(moved(&limiter), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_tells_its_length_to_the_last_byte() {
    let limiter = limiter(64_000);
    let mut limited = limiter.body(Full::new(data(5_000)));
    assert_eq!(limited.size_hint().exact(), Some(5_000));
    let first = limited.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first.len(), 1448);
    assert_eq!(limited.size_hint().exact(), Some(5_000 - 1448));
    assert!(!limited.is_end_stream(), "the inner body is over, this one is not");
    let rest = limited.collect().await.unwrap().to_bytes();
    assert_eq!([first, rest].concat(), data(5_000));
    assert!(limiter.body(Full::new(Bytes::new())).is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn errors_of_a_body_keep_their_cause() {
    let limiter = limiter(64_000);
    let broken: Frames = [Ok(Frame::data(data(5))), Err(io::Error::other("broken"))].into();
    let error = limiter.body(body(broken)).collect().await.unwrap_err();
    assert_eq!(error.to_string(), "broken");
    assert_eq!(LimitError::within(&*error), None);
    limiter.revoke(Revoked::Preempted);
    let error = limiter.body(Full::new(data(5))).collect().await.unwrap_err();
    assert_eq!(LimitError::within(&*error), Some(GONE));
    let wrapped: Box<dyn Error> = Box::new(io::Error::other(io::Error::from(GONE)));
    assert_eq!(LimitError::within(&*wrapped), Some(GONE), "through errors that wrap errors");
    assert_eq!(moved(&limiter), 5);
}

// === Services ===

type BoxError = Box<dyn Error + Send + Sync>;

#[tokio::test(start_paused = true)]
async fn a_service_is_limited_on_the_side_that_is_chosen() {
    let echo = service_fn(|request: Request<LimitedBody<Full<Bytes>>>| async {
        let data = request.into_body().collect().await?.to_bytes();
        Ok::<_, BoxError>(Response::new(Full::new([data.clone(), data].concat().into())))
    });
    let (up, down) = (limiter(8_000_000), limiter(80_000_000));
    let service = ServiceBuilder::new().layer(down.responses()).layer(up.requests()).service(echo);
    let begin = now();
    let answer = service.clone().oneshot(Request::new(Full::new(data(110_000)))).await.unwrap();
    let sent = now() - begin;
    assert!(sent >= Duration::from_millis(100) && sent <= Duration::from_millis(103), "{sent:?}");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, [data(110_000), data(110_000)].concat());
    let took = now() - begin - sent;
    assert!(took >= Duration::from_millis(12) && took <= Duration::from_millis(15), "{took:?}");
    assert_eq!((moved(&up), moved(&down)), (110_000, 220_000));

    down.revoke(Revoked::Preempted);
    let answer = service.clone().oneshot(Request::new(Full::new(data(1)))).await.unwrap();
    let error = answer.into_body().collect().await.unwrap_err();
    assert_eq!(LimitError::within(&*error), Some(GONE));
    up.revoke(Revoked::Preempted);
    let error = service.oneshot(Request::new(Full::new(data(1)))).await.unwrap_err();
    assert_eq!(LimitError::within(&*error), Some(GONE));
}

/// What servers and clients of this workspace's frameworks take as a body.
#[test]
fn the_body_fits_frameworks() {
    fn takes<B>(body: B) -> B
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        body
    }
    let limited = takes(limiter(1).body(Full::new(data(10))));
    let tonic = tonic::body::Body::new(limited);
    assert_eq!(tonic.size_hint().exact(), Some(10));
}

// === Files ===

fn file(size: usize) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&data(size)).unwrap();
    file.rewind().unwrap();
    file
}

fn content(mut file: &File) -> Vec<u8> {
    file.rewind().unwrap();
    let mut content = Vec::new();
    file.read_to_end(&mut content).unwrap();
    content
}

#[test]
fn a_file_is_copied_at_the_rate_by_a_thread() {
    let limiter = limiter(80_000_000);
    let (from, to) = (file(600_000), tempfile::tempfile().unwrap());
    let begin = BootTime::now();
    assert_eq!(limiter.copy_file_blocking(&from, &to).unwrap(), ByteCount::new(600_000));
    // 500 kB after the burst of 100 kB; how much longer it takes is the machine's affair.
    assert!(BootTime::now().since(begin) >= Duration::from_millis(50));
    assert_eq!(content(&to), data(600_000));
    assert_eq!(moved(&limiter), 600_000);
    assert_eq!(limiter.admitted(), limiter.moved(), "what was leased and not used went back");
}

#[tokio::test]
async fn a_file_is_copied_by_a_task() {
    let limiter = limiter(80_000_000);
    let (from, to) = (file(300_000), tempfile::tempfile().unwrap());
    let begin = BootTime::now();
    let copied = limiter.copy_file(from, to.try_clone().unwrap()).await.unwrap();
    assert_eq!(copied, ByteCount::new(300_000));
    assert!(BootTime::now().since(begin) >= Duration::from_millis(20));
    assert_eq!(content(&to), data(300_000));
    assert_eq!(limiter.admitted(), ByteCount::new(300_000));
    assert_eq!(limiter.copy_file(file(0), to).await.unwrap(), ByteCount::ZERO);
}

#[test]
fn what_the_kernel_cannot_copy_is_read_and_written() {
    let limiter = limiter(10_000_000_000);
    // A file of procfs says that there is nothing to copy, and is not empty.
    let (from, to) = (File::open("/proc/self/status").unwrap(), tempfile::tempfile().unwrap());
    let copied = limiter.copy_file_blocking(&from, &to).unwrap();
    let text = String::from_utf8(content(&to)).unwrap();
    assert!(text.starts_with("Name:"), "{text}");
    assert_eq!(copied.bytes(), u64::try_from(text.len()).unwrap());
    // A pipe is no file that the kernel copies.
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(&data(10_000)).unwrap();
    drop(writer);
    let to = tempfile::tempfile().unwrap();
    let from = File::from(std::os::fd::OwnedFd::from(reader));
    assert_eq!(limiter.copy_file_blocking(&from, &to).unwrap(), ByteCount::new(10_000));
    assert_eq!(content(&to), data(10_000));
}

#[test]
fn a_copy_fails_when_it_may_not_go_on_and_charges_what_it_moved() {
    let slow = limiter(64_000);
    let revoker = slow.clone();
    let other = std::thread::spawn(move || {
        while revoker.moved() == ByteCount::ZERO {
            std::thread::yield_now();
        }
        revoker.revoke(Revoked::Preempted);
    });
    let (from, to) = (file(100_000), tempfile::tempfile().unwrap());
    let error = slow.copy_file_blocking(&from, &to).unwrap_err();
    other.join().unwrap();
    assert_eq!(LimitError::of(&error), Some(GONE));
    assert_eq!(content(&to).len(), moved(&slow), "the bytes there are the bytes charged");
    // A file that cannot be written to.
    let fast = limiter(1_000_000_000);
    let read_only = File::open("/proc/self/status").unwrap();
    fast.copy_file_blocking(&file(10), &read_only).unwrap_err();
    assert_eq!(fast.admitted(), ByteCount::ZERO);
}

#[tokio::test]
async fn a_dropped_copy_stops() {
    let limiter = limiter(64_000);
    let to = tempfile::tempfile().unwrap();
    let copying = limiter.copy_file(file(1_000_000), to.try_clone().unwrap());
    assert!(timeout(Duration::from_millis(20), copying).await.is_err());
    // The chunk under way, if any, is over once nothing is on lease.
    while limiter.admitted() != limiter.moved() {
        tokio::task::yield_now().await;
    }
    let stopped = limiter.moved();
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(limiter.moved(), stopped);
    assert_eq!(content(&to).len(), moved(&limiter));
}

#[tokio::test]
async fn a_task_is_told_not_to_block() {
    let limiter = limiter(1_000_000_000);
    let inside = |error: &io::Error| {
        let error = error.get_ref().unwrap().downcast_ref::<ClientError>();
        matches!(error, Some(ClientError::InsideRuntime))
    };
    tokio::spawn(async move {
        let error = limiter.copy_file_blocking(&file(1), &file(0)).unwrap_err();
        assert!(inside(&error), "{error}");
        let error = limiter.blocking_reader(io::empty()).read(&mut [0]).unwrap_err();
        assert!(inside(&error), "{error}");
    })
    .await
    .unwrap();
}

// === Threads ===

#[test]
fn threads_share_a_limiter_without_a_runtime() {
    let limiter = limiter(80_000_000);
    let begin = BootTime::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut read = Vec::new();
                let source = io::repeat(7).take(250_000);
                limiter.blocking_reader(source).read_to_end(&mut read).unwrap();
                assert_eq!(read, vec![7; 250_000]);
                let mut writer = limiter.blocking_writer(Vec::new());
                writer.write_all(&read).unwrap();
                writer.flush().unwrap();
                assert_eq!(writer.into_inner(), read);
            });
        }
    });
    assert!(BootTime::now().since(begin) >= Duration::from_millis(90));
    assert_eq!(moved(&limiter), 1_000_000);
    assert_eq!(limiter.admitted(), ByteCount::new(1_000_000));
}

#[test]
fn a_thread_that_waits_hears_of_changes() {
    let limiter = limiter(64_000);
    limiter.set_rate(BitRate::ZERO);
    std::thread::scope(|scope| {
        let waits = |why| {
            let limiter = &limiter;
            scope.spawn(move || assert_eq!(limiter.stream().lease_blocking(10), why))
        };
        let one = waits(Ok(10));
        std::thread::sleep(Duration::from_millis(5));
        limiter.set_rate(BitRate::from_bps(1_000_000).unwrap());
        one.join().unwrap();
        limiter.set_rate(BitRate::ZERO);
        let other = waits(Err(GONE));
        std::thread::sleep(Duration::from_millis(5));
        limiter.revoke(Revoked::Preempted);
        other.join().unwrap();
    });
    assert_eq!(limiter.stream().lease_blocking(0), Ok(0), "nothing is asked for");
}

/// A stream that was moved from thread to thread wakes the one that waits.
#[test]
fn a_stream_follows_its_thread() {
    let limiter = limiter(64_000);
    let mut stream = limiter.stream();
    for _ in 0..3 {
        stream = std::thread::scope(|scope| {
            let waits = scope.spawn(move || {
                // The rest of the lease is charged as well, so that there is something to wait for.
                let leased = stream.lease_blocking(usize::MAX).unwrap();
                stream.charge(leased);
                stream
            });
            waits.join().unwrap()
        });
    }
    assert!(limiter.moved().bytes() > 2896);
    let mut cx = Context::from_waker(Waker::noop());
    limiter.revoke(Revoked::Preempted);
    assert_eq!(stream.check(), Err(GONE));
    assert_eq!(stream.poll_lease(&mut cx, 1), Poll::Ready(Err(GONE)));
}

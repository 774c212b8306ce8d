//! No poll of a limiter allocates. A binary of its own, because it replaces the allocator.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use tidegate_client::clock::BootTime;
use tidegate_client::{Burst, Limiter};
use tidegate_policy::BitRate;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, repeat, sink};
use tokio::time::advance;

fn limiter(bps: u64) -> Limiter {
    Limiter::new(BitRate::from_bps(bps).unwrap(), Burst::default())
}

fn none(what: &str, counted: AllocationInfo) {
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0), "{what}");
}

#[test]
fn the_counter_counts() {
    let counted = measure(|| drop(black_box(vec![1_u8; 100])));
    assert_eq!((counted.count_total, counted.bytes_total), (1, 100));
}

#[test]
fn polls_of_leases_and_of_the_bucket_do_not_allocate() {
    let limiter = Limiter::new(BitRate::MAX, Burst::default());
    limiter.expires_at(BootTime::now().plus(Duration::from_secs(3600)));
    let mut stream = limiter.stream();
    let mut cx = Context::from_waker(Waker::noop());
    for want in [1, 1448, 256 * 1024] {
        let counted = measure(|| {
            for _ in 0..100_000 {
                if let Poll::Ready(leased) = stream.poll_lease(&mut cx, want) {
                    stream.charge(leased.unwrap());
                }
            }
        });
        none(&format!("leases of {want}"), counted);
    }
    assert!(limiter.moved().bytes() > 100_000 * 1449);
}

/// Reads, writes, waits and turns of eight streams that share 100 Mbit/s for ten seconds.
#[tokio::test(start_paused = true)]
async fn waiting_and_moving_bytes_does_not_allocate() {
    let limiter = limiter(100_000_000);
    let mut readers: Vec<_> = (0..4).map(|_| limiter.reader(repeat(7))).collect();
    let mut writers: Vec<_> = (0..4).map(|_| limiter.writer(sink())).collect();
    let mut buf = vec![0; 65_536];
    let mut cx = Context::from_waker(Waker::noop());
    // Who had its part lets the others go first, so everyone is asked until nobody moves anything.
    let mut turns = |buf: &mut Vec<u8>| {
        let mut moved = true;
        while std::mem::take(&mut moved) {
            for reader in &mut readers {
                let mut buf = ReadBuf::new(buf);
                while Pin::new(&mut *reader).poll_read(&mut cx, &mut buf).is_ready() {
                    buf.clear();
                    moved = true;
                }
            }
            for writer in &mut writers {
                while Pin::new(&mut *writer).poll_write(&mut cx, buf).is_ready() {
                    moved = true;
                }
            }
        }
    };
    // The first wait of each makes its timer, and the queue grows to its length.
    for _ in 0..10 {
        turns(&mut buf);
        advance(Duration::from_millis(1)).await;
    }
    let before = limiter.moved().bytes();
    for _ in 0..1_000 {
        advance(Duration::from_millis(10)).await;
        none("a turn of eight streams", measure(|| turns(&mut buf)));
    }
    assert!(limiter.moved().bytes() - before > 120_000_000);
}

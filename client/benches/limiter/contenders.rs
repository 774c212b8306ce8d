//! The contenders: what they share and how each moves bytes.
//!
//! The governor is used in two ways: `governor-1B` with a cell per byte, as one would at first, and
//! `governor-tuned` with a cell of 100 us, the remainder carried, a chunk of at most a millisecond
//! and tokio's timer. The others are tuned too: short refills, and a burst like ours.

use std::error::Error;
use std::hint::black_box;
use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use async_speed_limit::clock::StandardClock;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tidegate_client::{Burst, Limited, Limiter};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use crate::rate;

/// Who takes part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Unlimited,
    Tidegate,
    /// With 20 ms of late credit.
    TidegateLate,
    GovernorByte,
    GovernorTuned,
    Speed,
    Leaky,
}

/// The late credit of the one that has some.
pub(crate) const LATE: Duration = Duration::from_millis(20);

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Unlimited,
        Self::Tidegate,
        Self::TidegateLate,
        Self::GovernorByte,
        Self::GovernorTuned,
        Self::Speed,
        Self::Leaky,
    ];

    pub(crate) const LIMITED: [Self; 5] =
        [Self::Tidegate, Self::GovernorByte, Self::GovernorTuned, Self::Speed, Self::Leaky];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unlimited => "unlimited",
            Self::Tidegate => "tidegate",
            Self::TidegateLate => "tidegate-late",
            Self::GovernorByte => "governor-1B",
            Self::GovernorTuned => "governor-tuned",
            Self::Speed => "async-speed-limit",
            Self::Leaky => "leaky-bucket",
        }
    }
}

/// A limiter that streams share.
pub(crate) enum Pool {
    Unlimited,
    Tidegate(Limiter),
    GovernorByte(Arc<DefaultDirectRateLimiter>, usize),
    GovernorTuned(Arc<DefaultDirectRateLimiter>, Cells),
    Speed(async_speed_limit::Limiter<StandardClock>),
    Leaky(Arc<leaky_bucket::RateLimiter>, usize),
}

/// How many bytes a cell is, and the most of them that one step moves.
#[derive(Clone, Copy)]
pub(crate) struct Cells {
    bytes: usize,
    chunk: usize,
}

const LEAKY_TICK_MS: u64 = 2;

impl Pool {
    pub(crate) fn new(kind: Kind, bps: u64) -> Result<Self, Box<dyn Error>> {
        let burst = (bps / 800).max(1);
        Ok(match kind {
            Kind::Unlimited => Self::Unlimited,
            Kind::Tidegate => Self::Tidegate(Limiter::new(rate(bps)?, Burst::default())),
            Kind::TidegateLate => {
                let limiter = Limiter::new(rate(bps)?, Burst::default());
                limiter.set_late_credit(LATE);
                Self::Tidegate(limiter)
            }
            Kind::GovernorByte => {
                let quota = Quota::per_second(nonzero(bps / 8)?).allow_burst(nonzero(burst)?);
                Self::GovernorByte(Arc::new(RateLimiter::direct(quota)), usize::try_from(burst)?)
            }
            Kind::GovernorTuned => {
                let bytes = (bps / 80_000).max(1);
                let chunk = (bps / 8000).clamp(1448, 256 * 1024);
                let period = Duration::from_nanos((bytes * 8_000_000_000).div_ceil(bps));
                let quota = Quota::with_period(period).ok_or("a period of zero")?;
                let quota = quota.allow_burst(nonzero(100 + chunk.div_ceil(bytes))?);
                let cells =
                    Cells { bytes: usize::try_from(bytes)?, chunk: usize::try_from(chunk)? };
                Self::GovernorTuned(Arc::new(RateLimiter::direct(quota)), cells)
            }
            Kind::Speed => {
                let mut builder = async_speed_limit::Limiter::builder(bps as f64 / 8.0);
                builder.refill(Duration::from_millis(10)).min_wait(Duration::from_millis(1));
                Self::Speed(builder.build())
            }
            Kind::Leaky => {
                let refill = usize::try_from(bps * LEAKY_TICK_MS / 8000)?.max(1);
                let max = usize::try_from(burst)?.max(2896);
                let limiter = leaky_bucket::RateLimiter::builder()
                    .interval(Duration::from_millis(LEAKY_TICK_MS))
                    .refill(refill)
                    .max(max)
                    .initial(max)
                    .build();
                Self::Leaky(Arc::new(limiter), max)
            }
        })
    }

    /// One stream that reads up to `chunk` bytes at once.
    pub(crate) fn mover(&self, chunk: usize) -> Result<Mover, Box<dyn Error>> {
        self.mover_from(COLD, chunk)
    }

    /// The same, from so many bytes again and again.
    pub(crate) fn mover_from(&self, span: usize, chunk: usize) -> Result<Mover, Box<dyn Error>> {
        let copy = Copy::new(Memory::new(span), chunk);
        let how = match self {
            Self::Unlimited => How::Unlimited(copy),
            Self::Tidegate(limiter) => {
                How::Tidegate(Copy::new(limiter.reader(Memory::new(span)), chunk))
            }
            Self::GovernorByte(limiter, burst) => {
                let cells = nonzero(u64::try_from(chunk.min(*burst))?)?;
                How::GovernorByte(Arc::clone(limiter), cells, copy)
            }
            Self::GovernorTuned(limiter, cells) => {
                let cells = Cells { chunk: chunk.min(cells.chunk), ..*cells };
                How::GovernorTuned(Arc::clone(limiter), cells, 0, copy)
            }
            Self::Speed(limiter) => How::Speed(limiter.clone(), copy),
            Self::Leaky(limiter, max) => How::Leaky(Arc::clone(limiter), chunk.min(*max), copy),
        };
        Ok(Mover { how, batch: (4096 / chunk.max(1)).max(1) })
    }

    /// A live change, where there is one; whether there is.
    pub(crate) fn set_rate(&self, bps: u64) -> Result<bool, Box<dyn Error>> {
        match self {
            Self::Tidegate(limiter) => limiter.set_rate(rate(bps)?),
            Self::Speed(limiter) => limiter.set_speed_limit(bps as f64 / 8.0),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// One stream of a contender.
pub(crate) struct Mover {
    how: How,
    batch: usize,
}

enum How {
    Unlimited(Copy<Memory>),
    Tidegate(Copy<Limited<Memory>>),
    GovernorByte(Arc<DefaultDirectRateLimiter>, NonZeroU32, Copy<Memory>),
    GovernorTuned(Arc<DefaultDirectRateLimiter>, Cells, usize, Copy<Memory>),
    Speed(async_speed_limit::Limiter<StandardClock>, Copy<Memory>),
    Leaky(Arc<leaky_bucket::RateLimiter>, usize, Copy<Memory>),
}

impl Mover {
    /// How many steps to take between two looks at the clock, so that the look is no large part.
    pub(crate) fn batch(&self) -> usize {
        self.batch
    }

    /// Moves some bytes, as many as it may, and says how many.
    pub(crate) async fn step(&mut self) -> io::Result<usize> {
        match &mut self.how {
            How::Unlimited(copy) => copy.up_to(usize::MAX).await,
            How::Tidegate(copy) => copy.up_to(usize::MAX).await,
            How::GovernorByte(limiter, cells, copy) => {
                limiter.until_n_ready(*cells).await.map_err(io::Error::other)?;
                copy.up_to(usize::try_from(cells.get()).unwrap_or(usize::MAX)).await
            }
            How::GovernorTuned(limiter, cells, carried, copy) => {
                let count = cells.chunk.saturating_sub(*carried).div_ceil(cells.bytes);
                if let Some(count) = u32::try_from(count).ok().and_then(NonZeroU32::new) {
                    while let Err(not) = limiter.check_n(count).map_err(io::Error::other)? {
                        tokio::time::sleep(not.wait_time_from(DefaultClock::default().now())).await;
                    }
                }
                *carried += count * cells.bytes;
                let moved = copy.up_to(cells.chunk).await?;
                *carried -= moved;
                Ok(moved)
            }
            How::Speed(limiter, copy) => {
                let moved = copy.up_to(usize::MAX).await?;
                limiter.consume(moved).await;
                Ok(moved)
            }
            How::Leaky(limiter, chunk, copy) => {
                limiter.acquire(*chunk).await;
                copy.up_to(*chunk).await
            }
        }
    }
}

/// An endless source whose reads are copies, from more memory than a cache holds: what moves through
/// a machine comes from elsewhere.
struct Memory {
    data: Arc<Vec<u8>>,
    at: usize,
    span: usize,
}

/// Bytes in memory, or in a cache where a rate is more than memory gives.
pub(crate) const COLD: usize = 64 * 1024 * 1024;
pub(crate) const HOT: usize = 256 * 1024;

impl Memory {
    fn new(span: usize) -> Self {
        static DATA: OnceLock<Arc<Vec<u8>>> = OnceLock::new();
        let data = Arc::clone(DATA.get_or_init(|| Arc::new(vec![b'x'; COLD])));
        Self { data, at: 0, span: span.min(COLD) }
    }
}

impl AsyncRead for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = buf.remaining().min(self.span - self.at);
        buf.put_slice(self.data.get(self.at..self.at + count).unwrap_or(&[]));
        self.at = (self.at + count) % self.span;
        Poll::Ready(Ok(()))
    }
}

/// A reader and where its bytes go.
struct Copy<R> {
    from: R,
    to: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Copy<R> {
    fn new(from: R, chunk: usize) -> Self {
        Self { from, to: vec![0; chunk] }
    }

    async fn up_to(&mut self, count: usize) -> io::Result<usize> {
        let count = count.min(self.to.len());
        let moved = self.from.read(self.to.get_mut(..count).unwrap_or(&mut [])).await?;
        black_box(&self.to);
        Ok(moved)
    }
}

fn nonzero(count: u64) -> Result<NonZeroU32, Box<dyn Error>> {
    Ok(NonZeroU32::new(u32::try_from(count)?).ok_or("a count of zero")?)
}

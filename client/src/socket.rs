//! Sockets that fit the rate of a limiter, so that the kernel's buffers do not undo what it does.
//!
//! A limiter admits bytes where they are read and written; TCP moves them when it likes. A reader that
//! reads slowly does not slow the wire down at once: the sender goes on at line rate until one
//! receive buffer is full, and the kernel lets that grow to megabytes, which at 1 Mbit/s is most of a
//! minute's worth of the grant. So downloads cap that buffer **before they connect**, and HTTP/2
//! windows likewise. (A buffer that is made smaller later loses what it has no room for any more, and
//! the sender waits 200 ms before it sends that again.) Uploads ask the kernel to pace what it sends and to keep little of it unsent.
//! Neither limits anything by itself: the kernel paces one socket, a grant may have many.
//!
//! ```
//! use std::time::Duration;
//! use tidegate_client::socket::Flow;
//! use tidegate_client::{Burst, Limiter};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let limiter = Limiter::new("10Mbit".parse()?, Burst::default());
//! let flow = Flow::of(&limiter, Duration::from_millis(20));
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
//! # let _entered = runtime.enter();
//! // A download: before it connects.
//! let socket = tokio::net::TcpSocket::new_v4()?;
//! let holds = flow.cap_receive(&socket)?;
//! assert!(holds.is_none_or(|bytes| bytes < 1_000_000));
//! // An upload: at any time, and again when the rate changes.
//! flow.pace(&socket)?;
//! flow.limit_unsent(&socket)?;
//! # Ok(())
//! # }
//! ```

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use tidegate_policy::{BitRate, ByteCount, Span};

use crate::bucket::{Bucket, Burst};
use crate::limiter::Limiter;

/// The least that a connection can work with, in bytes.
const BUFFER_MIN: usize = 16 * 1024;

/// What is asked of the kernel's pacing beyond the rate, so that it smooths and never limits: a part
/// in this many. It counts headers, too.
const PACING_SLACK: u64 = 8;

/// What one connection carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flow {
    /// Its part of the rate.
    pub rate: BitRate,
    /// Its part of the burst.
    pub burst: ByteCount,
    /// How long its bytes take to the peer and back.
    pub round_trip: Duration,
}

impl Flow {
    /// A connection that has a limiter for itself, as that stands now.
    #[must_use]
    pub fn of(limiter: &Limiter, round_trip: Duration) -> Self {
        Self { rate: limiter.rate(), burst: limiter.burst(), round_trip }
    }

    /// One of so many connections that share it alike; zero counts as one.
    #[must_use]
    pub fn one_of(self, connections: usize) -> Self {
        let connections = u64::try_from(connections).unwrap_or(u64::MAX).max(1);
        let rate = BitRate::from_bps(self.rate.bps() / connections).unwrap_or(self.rate);
        Self { rate, burst: ByteCount::new(self.burst.bytes() / connections), ..self }
    }

    /// The size to set the receive buffer to, in bytes; `None` leaves it to the kernel.
    ///
    /// It is what one round trip carries and a quarter of a burst, at least 16 KiB. The kernel doubles
    /// it for its own books and, since Linux 6.6, leaves nearly all of that to payload. Asked to be larger than
    /// `net.core.rmem_max`, the kernel silently makes it that large and stops adapting it, so where
    /// that is below what a round trip carries, capping would cost throughput: the kernel goes on
    /// adapting it then.
    #[must_use]
    pub fn receive_buffer(&self) -> Option<usize> {
        self.receive_buffer_under(system("/proc/sys/net/core/rmem_max"))
    }

    fn receive_buffer_under(&self, rmem_max: Option<usize>) -> Option<usize> {
        let rmem_max = rmem_max?;
        let product = usize::try_from(self.product()).unwrap_or(usize::MAX);
        (product <= rmem_max).then(|| self.wanted().min(rmem_max))
    }

    /// What a round trip carries, in bytes.
    fn product(&self) -> u64 {
        let micros = u64::try_from(self.round_trip.as_micros()).unwrap_or(u64::MAX);
        let round_trip = Span::from_ms(micros.div_ceil(1000)).unwrap_or(Span::MAX);
        self.rate.bytes_in(round_trip).bytes()
    }

    fn wanted(&self) -> usize {
        let wanted = (self.burst.bytes() / 4).saturating_add(self.product());
        usize::try_from(wanted).unwrap_or(usize::MAX).max(BUFFER_MIN)
    }

    /// The window to give an HTTP/2 connection and each of its streams, in bytes: as much as the
    /// receive buffer, because what is in flight there passes the network just the same.
    #[must_use]
    pub fn window(&self) -> u32 {
        const WINDOW_MAX: u32 = (1 << 31) - 1;
        u32::try_from(self.wanted()).unwrap_or(WINDOW_MAX).min(WINDOW_MAX)
    }

    /// Caps the receive buffer of a socket that is not connected yet. How many bytes of payload it
    /// holds now, or twice as many since Linux 6.6; `None` where [`Self::receive_buffer`] leaves it to the kernel.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn cap_receive(&self, socket: &impl AsFd) -> io::Result<Option<usize>> {
        let Some(bytes) = self.receive_buffer() else { return Ok(None) };
        setsockopt(socket, sockopt::RcvBuf, &bytes)?;
        // The kernel doubles what it is asked for, to have room for its own books.
        Ok(Some(getsockopt(socket, sockopt::RcvBuf)? / 2))
    }

    /// Has the kernel send this flow evenly, an eighth faster than its rate at most. The rate that
    /// holds now; `None` where the kernel cannot: it knows no pacing, or truncates a rate from
    /// 34 Gbit/s on (Linux before 5.1), or the rate is zero, which pacing cannot say.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn pace(&self, socket: &impl AsFd) -> io::Result<Option<BitRate>> {
        let bytes = self.rate.bps() / 8;
        let wanted = bytes.saturating_add(bytes / PACING_SLACK);
        if wanted == 0 {
            return Ok(None);
        }
        let got = match Width::of_kernel() {
            Width::Long => set_and_read(socket, (PacingLong, wanted), u64::MAX),
            Width::Short => match u32::try_from(wanted) {
                Ok(short) => {
                    set_and_read(socket, (PacingShort, short), u32::MAX).map(|it| it.map(u64::from))
                }
                Err(_) => return Ok(None),
            },
        };
        let got = got?.filter(|got| *got == wanted);
        Ok(got.and_then(|bytes| BitRate::from_bps(bytes.saturating_mul(8))))
    }

    /// Has the kernel say that it takes no more once what it could not send yet is a quantum of the
    /// rate: bytes that wait there were admitted, and a revocation does not stop them. That size,
    /// as the kernel took it.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn limit_unsent(&self, socket: &impl AsFd) -> io::Result<ByteCount> {
        let quantum = Bucket::new(self.rate, Burst::Bytes(self.burst), 0).quantum(1);
        let quantum = u32::try_from(quantum).unwrap_or(u32::MAX);
        setsockopt(socket, UnsentMax, &quantum)?;
        Ok(ByteCount::new(getsockopt(socket, UnsentMax)?.into()))
    }
}

// The calls that nix has no names for; its macro makes safe ones. What it makes is public here, and
// this module tells nobody of it.
mod options {
    #![allow(missing_docs, unreachable_pub, reason = "the macro decides")]

    use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};

    sockopt_impl!(PacingLong, Both, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, u64);
    sockopt_impl!(PacingShort, Both, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, u32);
    sockopt_impl!(UnsentMax, Both, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, u32);
}

use options::{PacingLong, PacingShort, UnsentMax};

/// The rate that a socket is paced at, in bytes per second.
#[cfg(test)]
pub(crate) fn pacing_of(socket: &impl AsFd) -> io::Result<u64> {
    Ok(match Width::of_kernel() {
        Width::Long => getsockopt(socket, PacingLong)?,
        Width::Short => getsockopt(socket, PacingShort)?.into(),
    })
}

/// How much a socket keeps that it could not send yet.
#[cfg(test)]
pub(crate) fn unsent_max_of(socket: &impl AsFd) -> io::Result<ByteCount> {
    Ok(ByteCount::new(getsockopt(socket, UnsentMax)?.into()))
}

/// How wide a rate the kernel takes, in bytes per second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Width {
    Short,
    Long,
}

impl Width {
    fn of_kernel() -> Self {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self::of(&release)
    }

    /// Linux takes 64 bits since 5.1, where a long has them.
    fn of(release: &str) -> Self {
        let mut numbers = release.split(|it: char| !it.is_ascii_digit()).map(str::parse::<u32>);
        let mut number = || numbers.next().and_then(Result::ok).unwrap_or(0);
        let (major, minor) = (number(), number());
        let new = (major, minor) >= (5, 1) && usize::BITS == u64::BITS;
        if new { Self::Long } else { Self::Short }
    }
}

/// Sets an option and says what the kernel made of it, `None` if it does not know it. Where it made
/// something else of it, `open` is set instead.
fn set_and_read<O, V>(socket: &impl AsFd, (option, value): (O, V), open: V) -> io::Result<Option<V>>
where
    O: nix::sys::socket::SetSockOpt<Val = V> + nix::sys::socket::GetSockOpt<Val = V>,
    V: PartialEq,
{
    match setsockopt(socket, option, &value) {
        Err(nix::errno::Errno::ENOPROTOOPT | nix::errno::Errno::EINVAL) => return Ok(None),
        set => set?,
    }
    let got = getsockopt(socket, option)?;
    if got != value {
        setsockopt(socket, option, &open)?;
    }
    Ok(Some(got))
}

/// A number that the system tells in a file.
fn system(path: &str) -> Option<usize> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;

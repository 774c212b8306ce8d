//! From a source to the file: what comes next is read while what came is written, so that a slow disk
//! costs a reader no more of its rate than it must.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::try_join;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::error::DownloadError;
use super::patient::Patient;
use super::run::Run;
use super::source::Opened;
use crate::limiter::Limiter;

/// Bytes per step: read, written. Each stream has two of them in memory.
pub(super) const STEP: usize = 256 * 1024;

/// How long what has come waits for more before it is written: at low rates a limiter admits a packet
/// at a time, and each write is a call to another thread.
const GATHER: Duration = Duration::from_millis(20);

/// How far bytes were brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pumped {
    /// To their end.
    All,
    /// To where they were halted; what was admitted until then is there.
    Some,
}

pin_project! {
    /// A reader whose bytes end where it would have to wait for more, once it is halted.
    struct Halting<R, H> {
        #[pin]
        reader: R,
        #[pin]
        halt: H,
        halted: bool,
    }
}

impl<R: AsyncRead, H: Future<Output = ()>> AsyncRead for Halting<R, H> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        if *this.halted {
            return Poll::Ready(Ok(()));
        }
        let read = this.reader.poll_read(context, buffer);
        if read.is_pending() && this.halt.poll(context).is_ready() {
            *this.halted = true;
            return Poll::Ready(Ok(()));
        }
        read
    }
}

impl Run<'_> {
    /// Brings bytes to their place, up to an end or to that of the content, or until they are halted.
    pub(super) async fn pump(
        &self,
        opened: Opened,
        until: Option<u64>,
        (limiter, halt): (&Limiter, impl Future<Output = ()>),
    ) -> Result<Pumped, DownloadError> {
        let Opened { from, reader, .. } = opened;
        // The watch for silence sits below the limiter: only what was admitted is waited for.
        let reader = limiter.reader(Patient::new(reader, self.how.patience));
        let mut reader = pin!(Halting { reader, halt, halted: false });
        let end = until.or(self.size());
        let (mut full, mut spare) = (vec![0; STEP], vec![0; STEP]);
        // Where the first of `full` belongs, and how many of it have come.
        let (mut at, mut count) = (from, 0);
        loop {
            let next = behind(at, count);
            let left = end.map_or(u64::MAX, |end| end.saturating_sub(next));
            let left = usize::try_from(left).unwrap_or(STEP).min(STEP);
            let room = spare.get_mut(..left).unwrap_or_default();
            let reading = async { Ok(gathered(&mut reader, room).await) };
            let (written, (read, stopped)) =
                try_join(self.write((full, count), at), reading).await?;
            (full, spare) = (spare, written);
            (at, count) = (next, read);
            if read != 0 && stopped.is_ok() {
                continue;
            }
            self.write((full, count), at).await?;
            at = behind(at, count);
            stopped.map_err(|error| self.broken(error))?;
            break;
        }
        match end {
            Some(end) if at < end && reader.halted => Ok(Pumped::Some),
            None if reader.halted => Ok(Pumped::Some),
            Some(end) if at < end => Err(self.short()),
            Some(_) => Ok(Pumped::All),
            None => {
                // Its end is the only one who tells how long it is.
                self.ended(at);
                Ok(Pumped::All)
            }
        }
    }

    /// Writes the first `count` bytes of a buffer and notes that they are there; gives it back.
    async fn write(
        &self,
        (buffer, count): (Vec<u8>, usize),
        at: u64,
    ) -> Result<Vec<u8>, DownloadError> {
        if count == 0 {
            return Ok(buffer);
        }
        let buffer = self.file.write((buffer, count), at).await?;
        self.came(at..behind(at, count)).await?;
        Ok(buffer)
    }
}

/// The first place behind so many bytes.
fn behind(at: u64, count: usize) -> u64 {
    at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Reads until `room` is full or [`GATHER`] is over: how many bytes, and what else stopped it. None
/// and no error are the end.
async fn gathered(
    reader: &mut (impl AsyncRead + Unpin),
    room: &mut [u8],
) -> (usize, io::Result<()>) {
    let mut filled = match reader.read(room).await {
        Ok(0) => return (0, Ok(())),
        Ok(first) => first,
        Err(error) => return (0, Err(error)),
    };
    let more = async {
        while let Some(rest) = room.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match reader.read(rest).await? {
                0 => break,
                further => filled = filled.saturating_add(further),
            }
        }
        Ok(())
    };
    let stopped = tokio::time::timeout(GATHER, more).await.unwrap_or(Ok(()));
    (filled, stopped)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// A packet each millisecond is not a write each millisecond.
    #[tokio::test(start_paused = true)]
    async fn what_comes_in_small_pieces_is_gathered_but_not_for_long() {
        let (mut near, mut far) = tokio::io::duplex(1 << 20);
        tokio::spawn(async move {
            for _ in 0..100 {
                near.write_all(&[7; 100]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let mut room = vec![0; STEP];
        let (mut all, mut steps) = (0, 0);
        loop {
            match gathered(&mut far, &mut room).await {
                (0, stopped) => break stopped.unwrap(),
                (count, stopped) => {
                    stopped.unwrap();
                    assert!(count <= 2200, "{count} came in 20 ms");
                    (all, steps) = (all + count, steps + 1);
                }
            }
        }
        assert_eq!(all, 10_000);
        assert!((4..=6).contains(&steps), "{steps} steps");
    }

    #[tokio::test]
    async fn what_came_before_an_error_is_kept() {
        let broken = breaking(&[b"abc", b"de"]);
        let mut room = [0; 16];
        let (count, stopped) = gathered(&mut Box::pin(broken), &mut room).await;
        assert_eq!((&room[..count], stopped.unwrap_err().kind()), (&b"abcde"[..], BROKEN));
    }

    const BROKEN: io::ErrorKind = io::ErrorKind::ConnectionReset;

    /// These pieces, and then an error.
    fn breaking(pieces: &'static [&'static [u8]]) -> impl AsyncRead {
        let pieces = pieces.iter().map(|piece| Ok(*piece));
        let all = pieces.chain([Err(io::Error::from(BROKEN))]);
        tokio_util::io::StreamReader::new(futures_util::stream::iter(all))
    }
}

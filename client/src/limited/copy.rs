//! Copies of files on this machine, such as from a mounted backend to a local disk.
//!
//! The kernel copies in chunks of what is leased, without a detour through this process, and where
//! the file systems cannot do that, reads and writes do. Both files are used and left at their own
//! positions. Bytes that a file system shares instead of copying are charged all the same.

use std::fs::File;
use std::io::{self, Read, Write};

use rustix::fs::copy_file_range;
use rustix::io::Errno;
use tidegate_policy::ByteCount;

use crate::blocking::inside_a_task;
use crate::error::ClientError;
use crate::limiter::{Limiter, Stream};

/// The most that one step moves, in bytes: a lease is never larger.
const CHUNK: usize = 256 * 1024;

/// What the kernel says where it cannot copy between these two files, but reads and writes may.
const UNABLE: [Errno; 6] =
    [Errno::XDEV, Errno::NOSYS, Errno::INVAL, Errno::OPNOTSUPP, Errno::BADF, Errno::PERM];

impl Limiter {
    /// Copies all of `from`, from its position on, to `to`; each chunk in a thread for blocking work.
    /// A drop of the future ends the copy after the chunk that is under way. Nothing is synced.
    ///
    /// ```
    /// use std::fs::File;
    /// use std::io::{Seek, Write};
    /// use tidegate_client::{Burst, Limiter};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limiter = Limiter::new("1Gbit".parse()?, Burst::default());
    /// let (mut from, to) = (tempfile::tempfile()?, tempfile::tempfile()?);
    /// from.write_all(&[7; 5000])?;
    /// from.rewind()?;
    /// assert_eq!(limiter.copy_file(from, to).await?.bytes(), 5000);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the files, and those of the limiter, which
    /// [`LimitError::of`](crate::limiter::LimitError::of) gives back. What was copied until then
    /// stays.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with a timer.
    pub async fn copy_file(&self, from: File, to: File) -> io::Result<ByteCount> {
        let mut job = Job { copy: Copy::default(), from, to, stream: self.stream() };
        loop {
            let leased = job.stream.lease(CHUNK).await?;
            let (back, moved) = tokio::task::spawn_blocking(move || {
                let moved = job.step(leased);
                (job, moved)
            })
            .await
            .map_err(io::Error::other)?;
            job = back;
            job.stream.outdate();
            if moved? == 0 {
                return Ok(ByteCount::new(job.copy.total));
            }
        }
    }

    /// As [`Self::copy_file`], for code that waits. It needs no runtime.
    ///
    /// # Errors
    ///
    /// As [`Self::copy_file`]. Inside of an async task, an error that wraps
    /// [`ClientError::InsideRuntime`].
    pub fn copy_file_blocking(&self, from: &File, to: &File) -> io::Result<ByteCount> {
        if inside_a_task() {
            return Err(io::Error::other(ClientError::InsideRuntime));
        }
        let mut stream = self.stream();
        let mut copy = Copy::default();
        loop {
            stream.outdate();
            let leased = stream.lease_blocking(CHUNK)?;
            if copy.step((from, to), leased, &mut stream)? == 0 {
                return Ok(ByteCount::new(copy.total));
            }
        }
    }
}

/// All that a thread for blocking work needs, so that what it moved is charged even if nobody waits
/// for it any longer.
struct Job {
    copy: Copy,
    from: File,
    to: File,
    stream: Stream,
}

impl Job {
    fn step(&mut self, leased: usize) -> io::Result<usize> {
        self.copy.step((&self.from, &self.to), leased, &mut self.stream)
    }
}

#[derive(Default)]
struct Copy {
    total: u64,
    /// Made where the kernel cannot copy.
    buffer: Option<Vec<u8>>,
}

impl Copy {
    /// Moves up to `leased` bytes and charges them; none at the end of the file.
    fn step(
        &mut self,
        files: (&File, &File),
        leased: usize,
        stream: &mut Stream,
    ) -> io::Result<usize> {
        let moved = self.move_some(files, leased, stream)?;
        self.total = self.total.saturating_add(u64::try_from(moved).unwrap_or(u64::MAX));
        Ok(moved)
    }

    fn move_some(
        &mut self,
        (mut from, mut to): (&File, &File),
        leased: usize,
        stream: &mut Stream,
    ) -> io::Result<usize> {
        while self.buffer.is_none() {
            match copy_file_range(from, None, to, None, leased) {
                // Some file systems say so of files that are not at their end: a read tells.
                Ok(0) => self.buffer = Some(vec![0; CHUNK]),
                Ok(moved) => {
                    stream.charge(moved);
                    return Ok(moved);
                }
                Err(Errno::INTR) => {}
                Err(error) if UNABLE.contains(&error) => self.buffer = Some(vec![0; CHUNK]),
                Err(error) => return Err(error.into()),
            }
        }
        let buffer = self.buffer.get_or_insert_default();
        let part = buffer.get_mut(..leased).unwrap_or_default();
        let read = loop {
            match from.read(part) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        let part = part.get(..read).unwrap_or_default();
        let mut written = 0;
        while written < part.len() {
            match to.write(part.get(written..).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(moved) => {
                    stream.charge(moved);
                    written += moved;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }
}

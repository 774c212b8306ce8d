//! What moves bytes, under a limiter: one file for each way of moving them.
//!
//! | what is moved | wrapped by | in |
//! | --- | --- | --- |
//! | async readers and writers | [`Limiter::reader`], [`Limiter::writer`] | [`Limited`] |
//! | streams of byte chunks | [`Limiter::frames`] | [`frames::Frames`] |
//! | HTTP bodies | [`Limiter::body`] | [`body::LimitedBody`] |
//! | all requests or answers of a service | [`Limiter::requests`], [`Limiter::responses`] | [`layer`] |
//! | blocking readers and writers | [`Limiter::blocking_reader`], [`Limiter::blocking_writer`] | [`blocking::Limited`] |
//! | files on this machine | [`Limiter::copy_file`], [`Limiter::copy_file_blocking`] | [`copy`] |
//!
//! **What is charged is payload: the bytes moved.** Not the buffer, not headers, trailers, framing,
//! TLS records, TCP or Ethernet, and nothing that is sent again on the way. A full Ethernet frame of
//! 1500 bytes carries 96 parts payload in a hundred, so a NIC of 10 Gbit/s is full at 9.4 to 9.6
//! Gbit/s of it. An end of file, an error and an empty buffer cost nothing.
//!
//! [`Limiter::reader`]: crate::limiter::Limiter::reader
//! [`Limiter::writer`]: crate::limiter::Limiter::writer
//! [`Limiter::frames`]: crate::limiter::Limiter::frames
//! [`Limiter::body`]: crate::limiter::Limiter::body
//! [`Limiter::requests`]: crate::limiter::Limiter::requests
//! [`Limiter::responses`]: crate::limiter::Limiter::responses
//! [`Limiter::blocking_reader`]: crate::limiter::Limiter::blocking_reader
//! [`Limiter::blocking_writer`]: crate::limiter::Limiter::blocking_writer
//! [`Limiter::copy_file`]: crate::limiter::Limiter::copy_file
//! [`Limiter::copy_file_blocking`]: crate::limiter::Limiter::copy_file_blocking

use crate::limiter::Stream;

pub mod blocking;
pub mod body;
pub mod copy;
pub mod frames;
mod io;
pub mod layer;

/// A reader or writer that moves bytes only as its limiter admits them.
///
/// One call moves what is leased and no more, at most 1 ms of the rate or 256 KiB. Bytes moved
/// are charged, not the buffer: an end of file, an error and an empty buffer cost nothing. A call
/// that waits for the peer keeps its lease. Flush and shutdown pass through.
///
/// Reads and writes of one `Limited` are charged to the same stream; for both directions of a
/// socket under limiters of their own, split it.
///
/// Errors of the limiter come as [`std::io::Error`], and [`LimitError::of`] gives them back.
///
/// A limited reader slows its peer down through the flow control of the transport, so up to a
/// receive buffer of each connection still crosses the network at once: cap that buffer.
///
/// [`LimitError::of`]: crate::limiter::LimitError::of
#[derive(Debug)]
pub struct Limited<T> {
    inner: T,
    stream: Stream,
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
}

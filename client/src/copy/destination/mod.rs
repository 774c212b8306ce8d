//! Where content goes: one small trait beside [`Source`](crate::download::source::Source), found by
//! the same schemes ([`Schemes`](crate::Schemes)).
//!
//! | scheme | how it is written |
//! | --- | --- |
//! | a path, `file://` below mounts | beside its name, synced, renamed |
//! | `http://`, `https://` | one `PUT`, whose last bytes wait until the content is known to be right |
//! | `s3://`, `swift://` | in one piece, or in parts that become an object at the end |

use std::fmt::Debug;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tidegate_policy::ByteCount;

use super::error::CopyError;
use crate::download::source::How;
use crate::limiter::Limiter;
use crate::retry::RetryPolicy;

mod local;
mod object;
mod web;

pub(crate) use local::LocalPlace;
pub(crate) use object::Uploading;

/// How to write.
#[derive(Clone, Debug)]
pub struct Outlet {
    /// As for reading: whom to trust, and for which rate sockets are made.
    pub how: How,
    /// What every byte that leaves has to pass; `None` where bytes do not leave this machine, or
    /// others limit them.
    pub limiter: Option<Limiter>,
    /// How often, and how late, a part that fails in passing is sent again.
    pub retry: RetryPolicy,
}

/// What a destination said of the bytes that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Their digest is that of what was sent.
    Digest,
    /// They are as many as were sent.
    Size,
    /// Nothing: it took them all, and that is all that is known.
    Taken,
}

/// One thing that can be written, by any means.
pub trait Destination: Debug + Send + Sync {
    /// Begins to write content of this size, if it is known. What it does by itself, and every wait
    /// for a peer in what follows, is bounded by [`How::patience`].
    ///
    /// # Errors
    /// A [`CopyError`] if it cannot be written.
    fn begin<'a>(
        &'a self,
        size: Option<ByteCount>,
        outlet: &'a Outlet,
    ) -> BoxFuture<'a, Result<Box<dyn Writing>, CopyError>>;

    /// How much of such content may wait in this process before it is sent on: what a grant for
    /// sending has to last longer for.
    fn lag(&self, size: Option<ByteCount>) -> ByteCount {
        let _ = size;
        ByteCount::ZERO
    }
}

/// Content that is being written. Until [`Writing::finish`] nothing of it is to be seen under the
/// final name, and one that is dropped leaves nothing there.
pub trait Writing: Send {
    /// Takes the next bytes, and waits as long as there is no room for them. They are charged to
    /// [`Outlet::limiter`] as they are sent.
    ///
    /// # Errors
    /// A [`CopyError`]; then nothing but [`Writing::abort`] makes sense.
    fn write(&mut self, piece: Bytes) -> BoxFuture<'_, Result<(), CopyError>>;

    /// All bytes are there: makes them durable, gives them their name, and asks what was kept.
    ///
    /// # Errors
    /// A [`CopyError`]; then nothing but [`Writing::abort`] makes sense.
    fn finish(&mut self) -> BoxFuture<'_, Result<Check, CopyError>>;

    /// Removes what was written so far, as well as it can.
    ///
    /// # Errors
    /// A [`CopyError`] where something may be left, which is not seen under the final name.
    fn abort(&mut self) -> BoxFuture<'_, Result<(), CopyError>>;
}

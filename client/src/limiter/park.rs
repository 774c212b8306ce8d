//! Waiting on a thread.

use std::sync::Arc;
use std::task::Waker;
use std::thread::{self, Thread, ThreadId};
use std::time::Duration;

use crate::blocking::Unpark;

/// Wakes one thread; made once for it, so that a wait allocates nothing.
#[derive(Debug)]
pub(super) struct Parker {
    thread: ThreadId,
    waker: Waker,
}

impl Parker {
    /// The one in `place` if it is of this thread, else a new one there.
    pub(super) fn of_this_thread(place: &mut Option<Self>) -> &Self {
        let thread: Thread = thread::current();
        let own = place.take().filter(|parker| parker.thread == thread.id());
        place.insert(own.unwrap_or_else(|| Self {
            thread: thread.id(),
            waker: Waker::from(Arc::new(Unpark(thread))),
        }))
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Sleeps until it is woken, or for so long; it may wake early.
    pub(super) fn sleep(&self, length: Option<Duration>) {
        match length {
            Some(length) => thread::park_timeout(length),
            None => thread::park(),
        }
    }
}

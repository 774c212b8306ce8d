//! The same client for code that is not async: every call waits for its answer.
//!
//! Each [`Client`] has one thread of its own, which keeps its connection, its sessions and its
//! timers alive; what is made from it shares that thread. Calls wait on the thread that makes them.
//!
//! A call from inside of an async task would stop the runtime that runs the task. It is not carried
//! out and does not panic: it is answered by [`ClientError::InsideRuntime`]. From a runtime's
//! `spawn_blocking` everything works.
//!
//! ```no_run
//! use std::io::Read;
//! use tidegate_client::blocking::{Acquired, Client};
//! use tidegate_client::{Ask, End, OnUnreachable};
//! use tidegate_policy::Span;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("http://127.0.0.1:7411")?;
//! let session = client.open_session("backup")?;
//! let (from, to) = ("storage/swift-east".parse()?, "hosts/compute-1".parse()?);
//! let ask = Ask::new(from, to, "2Gbit".parse()?, End::After(Span::from_secs(600)));
//! match session.acquire(&ask, OnUnreachable::Fail)? {
//!     Acquired::Granted(grant) => {
//!         grant.ready()?;
//!         let source = std::net::TcpStream::connect("image-store:80")?;
//!         let mut image = Vec::new();
//!         grant.reader(source).read_to_end(&mut image)?;
//!         grant.release()?;
//!     }
//!     Acquired::Refused(refusal) => println!("{refusal}"),
//! }
//! session.close()?;
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tidegate_policy::{SessionId, Span};

use crate::ask::Ask;
use crate::batch::{AllOrNone, Batch};
use crate::change::Change;
use crate::connect::{Listing, Page, Settings};
use crate::error::ClientError;
use crate::refusal::CounterOffer;
use crate::reservation::{Etag, Outcome, Reservation, ReservationName};
use crate::sessions::{SessionInfo, SessionListing};
use crate::watch::{WatchFilter, Watched};
use crate::windows::{Explanation, Search, Windows};

mod grant;

pub use crate::limited::blocking::Limited;
pub use grant::{Acquired, Grant, Session};

/// A connection to a broker whose calls wait for their answers. Clones share it.
///
/// # Errors
/// Those of the same call of [`crate::Client`], and [`ClientError::InsideRuntime`] inside of an
/// async task.
#[derive(Clone, Debug)]
pub struct Client {
    inner: crate::Client,
    runtime: Arc<Runtime>,
}

/// Things that come one after the other, each waited for when it is asked for. It ends after an
/// error.
pub struct Items<T> {
    stream: BoxStream<'static, Result<T, ClientError>>,
    runtime: Arc<Runtime>,
    over: bool,
}

impl Client {
    /// A client of the broker at `target`, which is `http://HOST:PORT` or `unix:/PATH`, with the
    /// default [`Settings`].
    ///
    /// # Errors
    /// [`ClientError::BadTarget`] if `target` is not such an address, [`ClientError::NoRuntime`] if
    /// its thread cannot be started.
    pub fn connect(target: &str) -> Result<Self, ClientError> {
        Self::connect_with(target, Settings::default())
    }

    /// The same with other settings.
    ///
    /// # Errors
    /// Those of [`Client::connect`].
    pub fn connect_with(target: &str, settings: Settings) -> Result<Self, ClientError> {
        let runtime = Runtime::start()?;
        let entered = runtime.handle.enter();
        let inner = crate::Client::connect_with(target, settings)?;
        drop(entered);
        Ok(Self { inner, runtime: Arc::new(runtime) })
    }

    /// The client whose calls it waits for, for those that have no method here.
    #[must_use]
    pub fn asynchronous(&self) -> &crate::Client {
        &self.inner
    }

    /// Waits for any future, with the timers and the input and output of this client's thread.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), tidegate_client::ClientError> {
    /// let client = tidegate_client::blocking::Client::connect("http://127.0.0.1:7411")?;
    /// let info = client.run(client.asynchronous().server_info())??;
    /// println!("{} lanes", info.lanes);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::InsideRuntime`] inside of an async task.
    pub fn run<F: Future>(&self, future: F) -> Result<F::Output, ClientError> {
        self.runtime.run(future)
    }

    fn items<T>(&self, stream: BoxStream<'static, Result<T, ClientError>>) -> Items<T> {
        Items { stream, runtime: Arc::clone(&self.runtime), over: false }
    }

    /// As [`crate::Client::reserve`].
    pub fn reserve(&self, ask: &Ask) -> Result<Outcome, ClientError> {
        self.run(self.inner.reserve(ask))?
    }

    /// As [`crate::Client::take`].
    pub fn take(&self, offer: &CounterOffer) -> Result<Outcome, ClientError> {
        self.run(self.inner.take(offer))?
    }

    /// As [`crate::Client::reserve_all`].
    pub fn reserve_all(&self, batch: &Batch) -> Result<AllOrNone, ClientError> {
        self.run(self.inner.reserve_all(batch))?
    }

    /// As [`crate::Client::reserve_each`].
    pub fn reserve_each(&self, batch: &Batch) -> Result<Vec<Outcome>, ClientError> {
        self.run(self.inner.reserve_each(batch))?
    }

    /// As [`crate::Client::reserve_batch`].
    pub fn reserve_batch(&self, batch: &Batch) -> Result<Vec<Outcome>, ClientError> {
        self.run(self.inner.reserve_batch(batch))?
    }

    /// As [`crate::Client::confirm`].
    pub fn confirm(&self, name: &ReservationName) -> Result<Reservation, ClientError> {
        self.run(self.inner.confirm(name))?
    }

    /// As [`crate::Client::confirm_if`].
    pub fn confirm_if(
        &self,
        name: &ReservationName,
        etag: &Etag,
    ) -> Result<Reservation, ClientError> {
        self.run(self.inner.confirm_if(name, etag))?
    }

    /// As [`crate::Client::extend_hold`].
    pub fn extend_hold(
        &self,
        name: &ReservationName,
        hold_for: Span,
    ) -> Result<Reservation, ClientError> {
        self.run(self.inner.extend_hold(name, hold_for))?
    }

    /// As [`crate::Client::update`].
    pub fn update(&self, name: &ReservationName, change: &Change) -> Result<Outcome, ClientError> {
        self.run(self.inner.update(name, change))?
    }

    /// As [`crate::Client::release`].
    pub fn release(&self, name: &ReservationName) -> Result<Reservation, ClientError> {
        self.run(self.inner.release(name))?
    }

    /// As [`crate::Client::release_if`].
    pub fn release_if(
        &self,
        name: &ReservationName,
        etag: &Etag,
    ) -> Result<Reservation, ClientError> {
        self.run(self.inner.release_if(name, etag))?
    }

    /// As [`crate::Client::get`].
    pub fn get(&self, name: &ReservationName) -> Result<Reservation, ClientError> {
        self.run(self.inner.get(name))?
    }

    /// As [`crate::Client::list`].
    pub fn list(&self, listing: &Listing) -> Result<Page<Reservation>, ClientError> {
        self.run(self.inner.list(listing))?
    }

    /// As [`crate::Client::list_all`].
    #[must_use]
    pub fn list_all(&self, listing: Listing) -> Items<Reservation> {
        self.items(self.inner.list_all(listing).boxed())
    }

    /// As [`crate::Client::find_windows`].
    pub fn find_windows(&self, search: &Search) -> Result<Windows, ClientError> {
        self.run(self.inner.find_windows(search))?
    }

    /// As [`crate::Client::explain`].
    pub fn explain(&self, ask: &Ask) -> Result<Explanation, ClientError> {
        self.run(self.inner.explain(ask))?
    }

    /// As [`crate::Client::watch`].
    pub fn watch(&self, filter: WatchFilter) -> Result<Items<Watched>, ClientError> {
        let watch = self.run(self.inner.watch(filter))??;
        Ok(self.items(watch.boxed()))
    }

    /// As [`crate::Client::get_session`].
    pub fn get_session(&self, id: SessionId) -> Result<SessionInfo, ClientError> {
        self.run(self.inner.get_session(id))?
    }

    /// As [`crate::Client::list_sessions`].
    pub fn list_sessions(
        &self,
        listing: &SessionListing,
    ) -> Result<Page<SessionInfo>, ClientError> {
        self.run(self.inner.list_sessions(listing))?
    }

    /// As [`crate::Client::list_all_sessions`].
    #[must_use]
    pub fn list_all_sessions(&self, listing: SessionListing) -> Items<SessionInfo> {
        self.items(self.inner.list_all_sessions(listing).boxed())
    }
}

impl<T> Iterator for Items<T> {
    type Item = Result<T, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.runtime.run(self.stream.next()).unwrap_or_else(|error| Some(Err(error)));
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

impl<T> fmt::Debug for Items<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("over", &self.over).finish_non_exhaustive()
    }
}

/// The thread behind a client.
#[derive(Debug)]
struct Runtime {
    handle: tokio::runtime::Handle,
    /// Taken by the drop.
    owned: Option<tokio::runtime::Runtime>,
}

impl Runtime {
    fn start() -> Result<Self, ClientError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("tidegate-client")
            .enable_all()
            .build()
            .map_err(|error| ClientError::NoRuntime { why: error.to_string() })?;
        Ok(Self { handle: runtime.handle().clone(), owned: Some(runtime) })
    }

    /// Waits for a future on this thread, while the runtime's own thread moves what it waits for.
    fn run<F: Future>(&self, future: F) -> Result<F::Output, ClientError> {
        if inside_a_task() {
            return Err(ClientError::InsideRuntime);
        }
        let _entered = self.handle.enter();
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut cx = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            match future.as_mut().poll(&mut cx) {
                Poll::Ready(output) => return Ok(output),
                Poll::Pending => std::thread::park(),
            }
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // In the background, because the last handle may be dropped where nothing may wait.
        if let Some(runtime) = self.owned.take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) struct Unpark(pub(crate) Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Whether this thread is polling a task of some tokio runtime, so that waiting on it would stop
/// the runtime. A runtime gives every poll of a task a budget and nothing else, not even
/// `spawn_blocking`: where a budget runs out, there is one.
pub(crate) fn inside_a_task() -> bool {
    /// More than any budget is.
    const BUDGET_MAX: usize = 1024;
    if tokio::runtime::Handle::try_current().is_err() {
        return false;
    }
    let mut cx = Context::from_waker(Waker::noop());
    (0..BUDGET_MAX).any(|_| pin!(tokio::task::consume_budget()).poll(&mut cx).is_pending())
}

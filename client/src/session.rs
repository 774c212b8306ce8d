//! An agent's liveness towards the broker, kept up in the background.
//!
//! Beats go up every few seconds and carry what each grant has moved; answers come down and carry
//! how each grant stands. Times are counted on `CLOCK_BOOTTIME` from when the answered beat was
//! *sent*: the broker counts from when it arrived, so this side always stops first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tidegate_policy::{SessionId, Span};
use tidegate_proto::v1;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::beats;
use crate::clock::BootTime;
use crate::connect::{Answer, Client};
use crate::error::ClientError;
use crate::grant::{self, Acquired, AllAcquired, Grant, GrantEnd};
use crate::held::{Heard, Lease};
use crate::refusal::CounterOffer;
use crate::reservation::{Ask, Reservation, Timing};
use crate::standing::Inner;
use crate::terms::{OnUnreachable, Window};
use crate::wire;

/// How a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionPhase {
    /// The broker answers.
    Alive,
    /// It does not, and is being called. Grants go on as [`OnUnreachable`] says.
    Silent,
    /// Closed by this side.
    Closed,
    /// The broker closed it, lost it, or does not know it. All its grants are revoked.
    Lost,
}

/// A session with the broker. It is kept alive by a task of its own until it is closed, dropped
/// or lost; its grants end with it.
///
/// [`Session::close`] revokes what is left of its grants, reports the last bytes and tells the
/// broker. Dropping it does the same in the background, as far as the runtime still runs; if that
/// fails, the broker notices by the missing beats.
#[derive(Debug)]
pub struct Session {
    shared: Arc<Shared>,
    task: JoinHandle<Result<(), ClientError>>,
    /// Dropped, it tells the task to close.
    closing: DropGuard,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) id: SessionId,
    books: Mutex<Books>,
    phase: watch::Sender<SessionPhase>,
    /// A grant has something to report that the broker waits for.
    pub(crate) urgent: Arc<Notify>,
}

#[derive(Debug)]
struct Books {
    lease: Lease,
    /// By the name of the reservation.
    grants: BTreeMap<String, Weak<Inner>>,
    /// The last report on grants that the broker closed, until it has heard it: it frees what they
    /// booked.
    farewells: BTreeMap<String, v1::Usage>,
}

impl Client {
    /// Opens a session under the name `agent`: 1 to 63 letters, digits, `.`, `_` or `-`.
    ///
    /// # Errors
    /// Those of every call; [`ClientError::Invalid`] where `agent` is no such name.
    pub async fn open_session(&self, agent: &str) -> Result<Session, ClientError> {
        let Answer { message, timing } = self.open_session_call(agent).await?;
        let id = wire::session("name", &message.name)?;
        let id = id.ok_or_else(|| ClientError::bad("name", "it is missing"))?;
        let lease = Lease::from_wire(&message, timing)?;
        let shared = Arc::new(Shared {
            client: self.clone(),
            id,
            books: Mutex::new(Books { lease, grants: BTreeMap::new(), farewells: BTreeMap::new() }),
            phase: watch::Sender::new(SessionPhase::Alive),
            urgent: Arc::default(),
        });
        let token = CancellationToken::new();
        let task = tokio::spawn(beats::keep_alive(Arc::clone(&shared), token.clone()));
        Ok(Session { shared, task, closing: token.drop_guard() })
    }
}

impl Session {
    /// The most grants that one session carries: one beat has room for so many.
    pub const GRANTS_MAX: usize = 1000;

    /// Its id.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.shared.id
    }

    /// How it stands now.
    #[must_use]
    pub fn phase(&self) -> SessionPhase {
        *self.shared.phase.borrow()
    }

    /// Follows how it stands.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<SessionPhase> {
        self.shared.phase.subscribe()
    }

    /// Until when everything holds as the broker last said, if no further answer comes.
    #[must_use]
    pub fn live_until(&self) -> BootTime {
        let lease = self.shared.lock().lease;
        lease.live_until()
    }

    /// Until when its grants may send, if no further answer comes.
    #[must_use]
    pub fn send_until(&self) -> BootTime {
        self.shared.lock().lease.window().until
    }

    /// Asks for `ask`, bound to this session, and turns a yes into a grant that follows what the
    /// session hears.
    ///
    /// # Errors
    /// Those of [`Client::acquire`]; [`ClientError::SessionUnusable`] if the session is over or
    /// carries [`Session::GRANTS_MAX`] grants.
    pub async fn acquire(
        &self,
        ask: &Ask,
        on_unreachable: OnUnreachable,
    ) -> Result<Acquired, ClientError> {
        let window = self.shared.room()?;
        let ask = Ask { session: Some(self.shared.id), ..ask.clone() };
        let bind = |inner: &Arc<Inner>| self.shared.bind(inner);
        grant::acquire(&self.shared.client, &ask, on_unreachable, bind, Some(window)).await
    }

    /// Asks for all of these or none, bound to this session, and turns a yes into grants, one for
    /// each, in their order.
    ///
    /// # Errors
    /// Those of [`Session::acquire`] and [`Client::reserve_all`].
    pub async fn acquire_all(
        &self,
        asks: &[Ask],
        on_unreachable: OnUnreachable,
    ) -> Result<AllAcquired, ClientError> {
        self.shared.room()?;
        let bound = |ask: &Ask| Ask { session: Some(self.shared.id), ..ask.clone() };
        let asks: Vec<Ask> = asks.iter().map(bound).collect();
        let adopt = |reservation| self.adopt(reservation, on_unreachable);
        grant::acquire_all(&self.shared.client, &asks, on_unreachable, adopt).await
    }

    /// Turns a reservation that is bound to this session into a grant that follows what the session
    /// hears: one of a batch or of an admission stream ([`Ask::bound_to`]), or an offer that is
    /// held. The grant gives the reservation back when it is dropped.
    ///
    /// # Errors
    /// [`ClientError::SessionUnusable`] if it is bound to another session or to none, and those of
    /// [`Session::acquire`].
    pub fn adopt(
        &self,
        reservation: Reservation,
        on_unreachable: OnUnreachable,
    ) -> Result<Grant, ClientError> {
        if reservation.session != Some(self.shared.id) {
            let why = format!("{} is not bound to sessions/{}", reservation.name, self.shared.id);
            return Err(ClientError::SessionUnusable { why });
        }
        let window = self.shared.room()?;
        let client = &self.shared.client;
        let grant = Grant::promised(client, reservation, on_unreachable, Some(window));
        self.shared.bind(&grant.inner);
        Ok(grant)
    }

    /// Revokes what is left of its grants, reports the last bytes and tells the broker, which
    /// frees what they booked at once.
    ///
    /// # Errors
    /// Those of every call. The session is over on this side in any case.
    pub async fn close(self) -> Result<(), ClientError> {
        let Self { shared, task, closing } = self;
        drop(closing);
        let told = task.await.unwrap_or_else(|error| {
            Err(ClientError::SessionUnusable { why: format!("its task failed: {error}") })
        });
        drop(shared);
        told
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Books> {
        // Every change is one assignment, so a poisoned lock holds a sound state.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lease(&self) -> Lease {
        self.lock().lease
    }

    fn is_over(&self) -> bool {
        matches!(*self.phase.borrow(), SessionPhase::Closed | SessionPhase::Lost)
    }

    /// Whether there is room for one more grant, and until when it may send.
    fn room(&self) -> Result<Window, ClientError> {
        let unusable = |why: &str| ClientError::SessionUnusable { why: why.into() };
        if self.is_over() {
            return Err(unusable("it is over"));
        }
        let mut books = self.lock();
        books.grants.retain(|_, grant| grant.strong_count() > 0);
        if books.grants.len() >= Session::GRANTS_MAX {
            return Err(unusable("it carries as many grants as one beat has room for"));
        }
        Ok(books.lease.window())
    }

    fn bind(&self, inner: &Arc<Inner>) {
        inner.reports_to(&self.urgent);
        if let Some(name) = inner.name() {
            self.lock().grants.insert(name.to_string(), Arc::downgrade(inner));
        }
        if inner.may_have_more() {
            // How much others leave is told in the answer to a beat that names it.
            self.urgent.notify_one();
        }
        // Looked at after the insertion: an end in between is noticed by one of the two.
        if self.is_over() {
            inner.end(GrantEnd::SessionOver);
        }
    }

    /// The grants that a beat has to name.
    pub(crate) fn usage(&self) -> Vec<v1::Usage> {
        let live = self.live();
        let usage = live.iter().map(|(name, grant)| usage(name, grant));
        let farewells: Vec<_> = self.lock().farewells.values().cloned().collect();
        farewells.into_iter().chain(usage).take(Session::GRANTS_MAX).collect()
    }

    /// The grants that are there, and not over as far as this side knows. They are dropped by the
    /// caller, outside of the lock: the last handle on a grant may be among them.
    fn live(&self) -> Vec<(String, Arc<Inner>)> {
        let mut books = self.lock();
        books.grants.retain(|_, grant| grant.strong_count() > 0);
        let grants = books.grants.iter();
        grants.filter_map(|(name, grant)| Some((name.clone(), grant.upgrade()?))).collect()
    }

    /// Takes in the answer to the beat that was sent at `sent`. Returns whether the session lives.
    pub(crate) fn hear(
        &self,
        answer: &v1::KeepAliveResponse,
        sent: BootTime,
    ) -> Result<bool, ClientError> {
        use v1::session::State;
        let Some(session) = &answer.session else {
            return Err(ClientError::bad("session", "it is missing"));
        };
        if wire::session("session.name", &session.name)? != Some(self.id) {
            return Err(ClientError::bad("session.name", "it is another session"));
        }
        match State::try_from(session.state) {
            Ok(State::Open) => {}
            Ok(State::Closed | State::Lost) => return Ok(false),
            Ok(State::Unspecified) | Err(_) => {
                return Err(ClientError::bad("session.state", "it is not known"));
            }
        }
        let lease = Lease::from_wire(session, Timing { sent, received: BootTime::now() })?;
        self.lock().lease = lease;
        for status in &answer.grants {
            let grant = self.lock().grants.get(&status.reservation).and_then(Weak::upgrade);
            match grant {
                Some(grant) if heard(&grant, status, lease)? => {}
                Some(grant) => self.part(&status.reservation, &grant),
                None => drop(self.lock().farewells.remove(&status.reservation)),
            }
        }
        self.phase.send_if_modified(|phase| {
            std::mem::replace(phase, SessionPhase::Alive) != SessionPhase::Alive
        });
        Ok(true)
    }

    /// A grant that the broker closed is named once more, whether it is dropped or not.
    fn part(&self, name: &str, grant: &Inner) {
        let mut books = self.lock();
        books.grants.remove(name);
        books.farewells.insert(name.to_owned(), usage(name, grant));
    }

    pub(crate) fn silent(&self) {
        self.phase.send_if_modified(|phase| {
            std::mem::replace(phase, SessionPhase::Silent) != SessionPhase::Silent
        });
    }

    /// The session is over: nothing moves under it after the return.
    pub(crate) fn end(&self, phase: SessionPhase) {
        self.phase.send_replace(phase);
        for (_, grant) in self.live() {
            grant.end(GrantEnd::SessionOver);
        }
    }
}

fn usage(name: &str, grant: &Inner) -> v1::Usage {
    let (live_version, live) = grant.live_obeyed();
    // Each of many ways counts for itself: the sum may be more than a length of time can say.
    let held_back = u64::try_from(grant.held_back().as_millis()).ok().and_then(Span::from_ms);
    v1::Usage {
        live_version: i64::try_from(live_version).unwrap_or(i64::MAX),
        live_bps: wire::to_rate(live),
        reservation: name.to_owned(),
        used_bytes: wire::to_bytes(grant.moved()),
        plan_version: i64::try_from(grant.obeyed()).unwrap_or(i64::MAX),
        held_back: Some(wire::to_duration(held_back.unwrap_or(Span::MAX))),
    }
}

/// Lets a grant follow what was heard. Returns whether it goes on.
fn heard(grant: &Inner, status: &v1::GrantStatus, lease: Lease) -> Result<bool, ClientError> {
    match Heard::from_wire(status, lease)? {
        Heard::GoesOn(news) => {
            grant.hear(*news);
            Ok(true)
        }
        Heard::Over { why, version } => {
            let offer = status.offer.clone().map(CounterOffer::from_wire).transpose()?;
            grant.close(why, version, offer);
            Ok(false)
        }
    }
}

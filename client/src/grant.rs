//! The client's handle on a reservation: a limiter that keeps its terms.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tidegate_policy::BitRate;
use tokio::sync::Notify;

use crate::bucket::Burst;
use crate::clock::BootTime;
use crate::connect::Client;
use crate::error::ClientError;
use crate::limiter::{LimitError, Limiter, Revoked};
use crate::refusal::Refusal;
use crate::reservation::{Ask, CloseReason, Outcome, Reservation, ReservationName, State};
use crate::terms::{OnUnreachable, Order, Terms, Window};

/// The answer to a request for a grant.
#[derive(Debug)]
#[must_use = "a refusal is an answer too"]
pub enum Acquired {
    /// Bytes may move, from the start on.
    Granted(Grant),
    /// No: nothing is booked.
    Refused(Refusal),
}

/// Why a grant is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantEnd {
    /// The broker closed it.
    Closed(CloseReason),
    /// Its session is over.
    SessionOver,
    /// The broker was silent for longer than the policy allows.
    Unreachable,
    /// Its holder gave it back.
    Released,
}

/// A handle on a reservation. Move bytes with [`Grant::limiter`]: it admits nothing before the
/// start, keeps the rate, follows what the session hears, and stops in time.
///
/// Call [`Grant::release`] when done. A grant that is dropped stops admitting bytes at once and is
/// given back in the background, once, as far as the runtime still runs; what that misses, the end
/// of the reservation or of its session makes up for.
#[derive(Debug)]
pub struct Grant {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    client: Client,
    limiter: Limiter,
    state: Mutex<Standing>,
    /// Apart from the rest, so that the keeper can wait on it without keeping the grant alive.
    nudge: Arc<Notify>,
}

#[derive(Debug)]
struct Standing {
    /// Absent where there is only best effort.
    held: Option<(Reservation, Terms)>,
    promised: bool,
    end: Option<GrantEnd>,
}

/// What a session heard about a grant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct News {
    pub(crate) rate: BitRate,
    pub(crate) ends_at: BootTime,
    pub(crate) confirmed: bool,
    pub(crate) window: Window,
}

/// The longest sleep of a keeper: timers stand still while the machine sleeps, grants do not.
const HOP: Duration = Duration::from_secs(1);

impl Client {
    /// Asks for `ask` and turns a yes into a grant. For a grant that ends with this process, and
    /// may follow changes, ask through a [`Session`](crate::session::Session) instead.
    ///
    /// # Errors
    /// Those of [`Client::reserve`], as far as `on_unreachable` does not deal with them. With
    /// `BestEffort` and `Wait`, an unanswered request may still have been granted; it then lies
    /// unused until its end or that of its session.
    pub async fn acquire(
        &self,
        ask: &Ask,
        on_unreachable: OnUnreachable,
    ) -> Result<Acquired, ClientError> {
        acquire(self, ask, on_unreachable, |_| {}, None).await
    }
}

/// Asks, and hands a new grant to `bind` before anything moves under it.
pub(crate) async fn acquire(
    client: &Client,
    ask: &Ask,
    policy: OnUnreachable,
    bind: impl FnOnce(&Arc<Inner>),
    window: Option<Window>,
) -> Result<Acquired, ClientError> {
    match (reserve(client, ask, policy).await, policy) {
        (Ok(Outcome::Refused(refusal)), _) => Ok(Acquired::Refused(refusal)),
        (Ok(Outcome::Granted(reservation)), _) => {
            let grant = Grant::promised(client, reservation, policy, window);
            bind(&grant.inner);
            Ok(Acquired::Granted(grant))
        }
        (Err(error), OnUnreachable::BestEffort(rate)) if error.is_unreachable() => {
            tracing::warn!(%error, %rate, "going on without a promise");
            Ok(Acquired::Granted(Grant::best_effort(client, rate)))
        }
        (Err(error), _) => Err(error),
    }
}

async fn reserve(
    client: &Client,
    ask: &Ask,
    policy: OnUnreachable,
) -> Result<Outcome, ClientError> {
    let OnUnreachable::Wait { up_to } = policy else { return client.reserve(ask).await };
    let mut last = ClientError::Deadline { after: up_to };
    let retry = client.settings().retry;
    let mut pauses = retry.endless();
    let patient = async {
        loop {
            match client.reserve(ask).await {
                Err(error) if error.is_unreachable() => last = error,
                answer => return answer,
            }
            let pause = pauses.next().unwrap_or(retry.longest_pause);
            tokio::time::sleep(last.retry_after().unwrap_or_default().max(pause)).await;
        }
    };
    let answer = tokio::time::timeout(up_to, patient).await;
    answer.unwrap_or(Err(last))
}

impl Grant {
    fn promised(
        client: &Client,
        reservation: Reservation,
        policy: OnUnreachable,
        window: Option<Window>,
    ) -> Self {
        let terms = Terms {
            rate: reservation.rate,
            confirmed: reservation.state == State::Confirmed,
            starts_at: reservation.starts_at,
            ends_at: reservation.ends_at,
            window,
            policy,
        };
        let closed = match reservation.state {
            State::Closed { why } => Some(GrantEnd::Closed(why)),
            State::Held { .. } | State::Confirmed => None,
        };
        let grant = Self::new(client, BitRate::ZERO, Some((reservation, terms)));
        if let Some(end) = closed {
            grant.inner.end(end);
        }
        grant.inner.review();
        tokio::spawn(keep(Arc::downgrade(&grant.inner), Arc::clone(&grant.inner.nudge)));
        grant
    }

    fn best_effort(client: &Client, rate: BitRate) -> Self {
        Self::new(client, rate, None)
    }

    fn new(client: &Client, rate: BitRate, held: Option<(Reservation, Terms)>) -> Self {
        let state = Standing { promised: held.is_some(), held, end: None };
        let inner = Inner {
            client: client.clone(),
            limiter: Limiter::new(rate, Burst::default()),
            state: Mutex::new(state),
            nudge: Arc::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// What all bytes of this grant have to pass.
    #[must_use]
    pub fn limiter(&self) -> &Limiter {
        &self.inner.limiter
    }

    /// The reservation as last heard of; `None` where there is only best effort.
    #[must_use]
    pub fn reservation(&self) -> Option<Reservation> {
        self.inner.lock().held.as_ref().map(|(reservation, _)| reservation.clone())
    }

    /// Whether the broker stands behind the rate now: not for best effort, and not once the grant
    /// is over.
    #[must_use]
    pub fn is_promised(&self) -> bool {
        let state = self.inner.lock();
        state.promised && state.end.is_none()
    }

    /// Why it is over; `None` while it is not.
    #[must_use]
    pub fn ended(&self) -> Option<GrantEnd> {
        self.inner.lock().end
    }

    /// Waits until bytes may move: until the start, and the end of a pause.
    ///
    /// # Errors
    /// Why none ever will.
    pub async fn ready(&self) -> Result<(), LimitError> {
        let mut probe = self.inner.limiter.stream();
        self.inner.limiter.lease(&mut probe, 1).await.map(drop)
    }

    /// Confirms a hold, so that bytes may move. Repeated, or without a reservation: nothing.
    ///
    /// # Errors
    /// Those of [`Client::confirm`]: the hold may have lapsed.
    pub async fn confirm(&self) -> Result<(), ClientError> {
        let Some(name) = self.inner.name() else { return Ok(()) };
        let confirmed = self.inner.client.confirm(&name).await?;
        self.inner.confirmed(confirmed);
        Ok(())
    }

    /// Stops admitting bytes, then gives the rest of the reservation back and reports what was
    /// moved. Returns the closed reservation; `None` where there was only best effort.
    ///
    /// # Errors
    /// Those of [`Client::release`]. The limiter is stopped in any case.
    pub async fn release(self) -> Result<Option<Reservation>, ClientError> {
        match self.inner.give_back() {
            Some(name) => self.inner.say_released(&name).await.map(Some),
            None => Ok(None),
        }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        let Some(name) = self.inner.give_back() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let inner = Arc::clone(&self.inner);
        runtime.spawn(async move {
            if let Err(error) = inner.say_released(&name).await {
                tracing::warn!(%name, %error, "a dropped grant was not given back");
            }
        });
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Standing> {
        // Every change is one assignment, so a poisoned lock holds a sound state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> Option<ReservationName> {
        self.lock().held.as_ref().map(|(reservation, _)| reservation.name.clone())
    }

    /// Bytes moved so far.
    pub(crate) fn moved(&self) -> tidegate_policy::ByteCount {
        self.limiter.moved()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.lock().end.is_some()
    }

    /// What the session heard; the limiter follows before this returns.
    pub(crate) fn hear(&self, news: News) {
        if let Some((reservation, terms)) = &mut self.lock().held {
            terms.rate = news.rate;
            terms.ends_at = news.ends_at;
            // An answer from before the confirmation does not take it back.
            terms.confirmed |= news.confirmed;
            terms.window = Some(news.window);
            reservation.rate = news.rate;
            reservation.ends_at = news.ends_at;
        }
        self.review();
        self.nudge.notify_one();
    }

    fn confirmed(&self, confirmed: Reservation) {
        if let Some((reservation, terms)) = &mut self.lock().held {
            terms.confirmed = confirmed.state == State::Confirmed;
            terms.starts_at = confirmed.starts_at;
            terms.ends_at = confirmed.ends_at;
            *reservation = confirmed;
        }
        self.review();
        self.nudge.notify_one();
    }

    /// Ends it for good; only the first reason counts.
    pub(crate) fn end(&self, why: GrantEnd) {
        let why = *self.lock().end.get_or_insert(why);
        match why {
            // Its end has passed: the limiter says so by itself, in its own words.
            GrantEnd::Closed(CloseReason::Completed) => self.limiter.expires_at(BootTime::now()),
            why => self.limiter.revoke(revoked(why)),
        }
        self.nudge.notify_one();
    }

    /// Stops the limiter; the name if the broker is to be told.
    fn give_back(&self) -> Option<ReservationName> {
        let first = !self.is_over();
        self.end(GrantEnd::Released);
        if first { self.name() } else { None }
    }

    async fn say_released(&self, name: &ReservationName) -> Result<Reservation, ClientError> {
        let holder = self.lock().held.as_ref().and_then(|(reservation, _)| reservation.session);
        self.client.release_as(name, holder, self.limiter.moved()).await
    }

    /// Lets the limiter do what the terms say for now. When to look again, if ever.
    fn review(&self) -> Option<BootTime> {
        let now = BootTime::now();
        // The lock is held to the end, so that no older order overtakes a newer one.
        let mut state = self.lock();
        if state.end.is_some() {
            return None;
        }
        let (_, terms) = state.held.as_ref()?;
        match terms.order(now) {
            Order::Run { rate, expires_at, review, promised } => {
                state.promised = promised;
                // Neither order of these two calls may admit what neither the old nor the new
                // terms do: a cut comes before a later end, a raise after an earlier one.
                if rate < self.limiter.rate() {
                    self.limiter.set_rate(rate);
                    self.limiter.expires_at(expires_at);
                } else {
                    self.limiter.expires_at(expires_at);
                    self.limiter.set_rate(rate);
                }
                review
            }
            Order::GiveUp => {
                drop(state);
                self.end(GrantEnd::Unreachable);
                None
            }
        }
    }
}

/// The limiter's word for it.
fn revoked(end: GrantEnd) -> Revoked {
    match end {
        GrantEnd::Released | GrantEnd::Closed(CloseReason::Released | CloseReason::Completed) => {
            Revoked::Released
        }
        GrantEnd::Closed(CloseReason::Expired) => Revoked::NoShow,
        GrantEnd::Closed(
            CloseReason::SessionLost | CloseReason::CapacityLost | CloseReason::Unknown(_),
        )
        | GrantEnd::SessionOver
        | GrantEnd::Unreachable => Revoked::SessionLost,
    }
}

/// Looks at the terms whenever time changes what they say.
async fn keep(grant: Weak<Inner>, nudge: Arc<Notify>) {
    loop {
        let review = match grant.upgrade() {
            Some(inner) if !inner.is_over() => inner.review(),
            Some(_) | None => return,
        };
        match review {
            None => nudge.notified().await,
            Some(time) => {
                let pause = time.since(BootTime::now()).min(HOP);
                drop(tokio::time::timeout(pause, nudge.notified()).await);
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.nudge.notify_one();
    }
}

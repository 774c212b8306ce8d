//! The client's handle on a reservation: a limiter that keeps its terms.

use std::sync::Arc;

use tidegate_policy::BitRate;
use tokio::sync::watch;

use crate::batch::{AllOrNone, Batch};
use crate::bucket::Burst;
use crate::change::Change;
use crate::connect::Client;
use crate::error::ClientError;
use crate::held::Held;
use crate::limiter::{LimitError, Limiter};
pub use crate::notice::{Notice, NoticeKind};
use crate::plan::PlanWay;
use crate::refusal::Refusal;
use crate::reservation::{Ask, CloseReason, Outcome, Reservation, State};
use crate::standing::Inner;
use crate::terms::{OnUnreachable, Window};

/// The answer to a request for a grant.
#[derive(Debug)]
#[must_use = "a refusal is an answer too"]
pub enum Acquired {
    /// Bytes may move, from the start on.
    Granted(Grant),
    /// No: nothing is booked.
    Refused(Refusal),
}

/// The answer to requests for several grants of which all or none were asked.
#[derive(Debug)]
#[must_use = "a refusal is an answer too"]
pub enum AllAcquired {
    /// One grant for each request, in their order.
    Granted(Vec<Grant>),
    /// No: nothing is booked. One refusal for each request, in their order; those that would have
    /// fitted by themselves say
    /// [`OthersRefused`](crate::refusal::RefusalReason::OthersRefused).
    Refused(Vec<Refusal>),
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
    pub(crate) inner: Arc<Inner>,
}

/// One way of a grant's plan, with a limiter of its own. It is over when the grant is.
#[derive(Clone, Debug)]
pub struct GrantWay {
    /// Where the bytes come from, which way they take, and what puts them onto it.
    pub way: PlanWay,
    limiter: Limiter,
}

impl GrantWay {
    /// What all bytes on this way have to pass.
    #[must_use]
    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }
}

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

    /// Asks for all of these or none, and turns a yes into grants: [`Client::acquire`] of several.
    ///
    /// # Errors
    /// Those of [`Client::acquire`] and [`Client::reserve_all`].
    pub async fn acquire_all(
        &self,
        asks: &[Ask],
        on_unreachable: OnUnreachable,
    ) -> Result<AllAcquired, ClientError> {
        acquire_all(self, asks, on_unreachable, |reservation| self.adopt(reservation)).await
    }

    /// Turns a reservation without a session into a grant: one of a batch or of an admission
    /// stream, or an offer that is held. Must be called inside a tokio runtime. The grant gives the
    /// reservation back when it is dropped.
    ///
    /// # Errors
    /// [`ClientError::SessionUnusable`] if it is bound to a session: only that session may send
    /// under it ([`Session::adopt`](crate::session::Session::adopt)).
    pub fn adopt(&self, reservation: Reservation) -> Result<Grant, ClientError> {
        if let Some(session) = reservation.session {
            let why = format!("{} is bound to sessions/{session}", reservation.name);
            return Err(ClientError::SessionUnusable { why });
        }
        Ok(Grant::promised(self, reservation, OnUnreachable::Fail, None))
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
    match (patiently(client, policy, || client.reserve(ask)).await, policy) {
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

/// Asks for all or none, and hands new reservations to `adopt`. One that cannot be adopted gives back
/// those before it.
pub(crate) async fn acquire_all(
    client: &Client,
    asks: &[Ask],
    policy: OnUnreachable,
    adopt: impl Fn(Reservation) -> Result<Grant, ClientError>,
) -> Result<AllAcquired, ClientError> {
    let batch = Batch::new(asks.iter().cloned());
    match (patiently(client, policy, || client.reserve_all(&batch)).await, policy) {
        (Ok(AllOrNone::None(refusals)), _) => Ok(AllAcquired::Refused(refusals)),
        (Ok(AllOrNone::All(reservations)), _) => {
            let grants = reservations.into_iter().map(adopt).collect::<Result<_, _>>()?;
            Ok(AllAcquired::Granted(grants))
        }
        (Err(error), OnUnreachable::BestEffort(rate)) if error.is_unreachable() => {
            tracing::warn!(%error, %rate, "going on without a promise");
            let grants = asks.iter().map(|_| Grant::best_effort(client, rate)).collect();
            Ok(AllAcquired::Granted(grants))
        }
        (Err(error), _) => Err(error),
    }
}

/// Asks as often as the policy allows where nobody answers.
async fn patiently<T, F: Future<Output = Result<T, ClientError>>>(
    client: &Client,
    policy: OnUnreachable,
    mut ask: impl FnMut() -> F,
) -> Result<T, ClientError> {
    let OnUnreachable::Wait { up_to } = policy else { return ask().await };
    let mut last = ClientError::Deadline { after: up_to };
    let retry = client.settings().retry;
    let mut pauses = retry.endless();
    let patient = async {
        loop {
            match ask().await {
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
    pub(crate) fn promised(
        client: &Client,
        reservation: Reservation,
        policy: OnUnreachable,
        window: Option<Window>,
    ) -> Self {
        let closed = match reservation.state {
            State::Closed { why } => Some(GrantEnd::Closed(why)),
            State::Held { .. } | State::Confirmed => None,
        };
        let held = Held::granted(reservation, policy, window);
        let grant = Self::new(client, BitRate::ZERO, Some(held));
        if let Some(end) = closed {
            grant.inner.end(end);
        }
        grant.inner.start();
        grant
    }

    fn best_effort(client: &Client, rate: BitRate) -> Self {
        Self::new(client, rate, None)
    }

    fn new(client: &Client, rate: BitRate, held: Option<Held>) -> Self {
        let limiter = Limiter::new(rate, Burst::default());
        Self { inner: Arc::new(Inner::new(client, limiter, held)) }
    }

    /// What all bytes of this grant have to pass: it admits the sum of what its plan has for all ways
    /// now, and nothing in a gap. Where a way was taken apart ([`Grant::way`]), it admits the rest.
    #[must_use]
    pub fn limiter(&self) -> &Limiter {
        &self.inner.limiter
    }

    /// One way of the plan by itself, by its place among
    /// [`Reservation::ways`](crate::reservation::Reservation::ways): for whoever sends the bytes of
    /// each way with its marks. From the first call on, what the plan has for this way is admitted by
    /// the way's limiter and not by the grant's. `None` if the plan has no such way.
    ///
    /// A plan that is moved may take other ways: [`NoticeKind::Moved`] tells so. The limiter of one
    /// that it takes no more pauses, and goes on if the plan comes back to it.
    #[must_use]
    pub fn way(&self, index: usize) -> Option<GrantWay> {
        let (way, limiter) = self.inner.own_way(index)?;
        Some(GrantWay { way, limiter })
    }

    /// The reservation as last heard of; `None` where there is only best effort.
    #[must_use]
    pub fn reservation(&self) -> Option<Reservation> {
        self.inner.reservation()
    }

    /// What is promised: the floor under its rate, whatever others do, in payload bits per second.
    /// `None` where there is only best effort.
    #[must_use]
    pub fn floor(&self) -> Option<BitRate> {
        self.reservation().map(|reservation| reservation.rate)
    }

    /// The most that it may have while others leave it, which is the floor itself where all that was
    /// asked for is promised. `None` where there is only best effort.
    #[must_use]
    pub fn ceiling(&self) -> Option<BitRate> {
        self.reservation().map(|reservation| reservation.ceiling.unwrap_or(reservation.rate))
    }

    /// What it may send at now: from its floor to its ceiling, as its session heard last; zero where its
    /// plan has a gap. [`Grant::limiter`] follows it by itself. `None` once the grant is over, and where
    /// there is only best effort.
    #[must_use]
    pub fn live_rate(&self) -> Option<BitRate> {
        self.inner.live_rate()
    }

    /// Whether the broker stands behind the rate now: not for best effort, and not once the grant
    /// is over.
    #[must_use]
    pub fn is_promised(&self) -> bool {
        self.inner.is_promised()
    }

    /// Why it is over; `None` while it is not.
    #[must_use]
    pub fn ended(&self) -> Option<GrantEnd> {
        self.inner.ended()
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
        self.inner.confirm().await
    }

    /// Changes rate, start or end in one step, as its holder: what is not needed any more is free
    /// for others at once. If the change does not fit, it is refused and everything stays as it
    /// was.
    ///
    /// From before the question is sent until the answer is there, bytes keep to both the present
    /// terms and the new ones. If no answer comes, they go on to do so until a later plan is heard,
    /// or until the same change is asked for again and answered. What is left of a volume is planned
    /// anew, so its lanes stay booked under the plan before as well until a beat has told of the new;
    /// without a session nothing is sent until the answer is there.
    ///
    /// ```no_run
    /// # use tidegate_client::{Change, ClientError, Grant, Outcome};
    /// # async fn run(grant: Grant) -> Result<(), Box<dyn std::error::Error>> {
    /// // Half of the rate will do from now on.
    /// match grant.update(&Change::new().rate("1Gbit".parse()?)).await? {
    ///     Outcome::Granted(now) => println!("{} until {}", now.rate, now.end),
    ///     Outcome::Refused(refusal) => println!("as before: {refusal}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::SessionUnusable`] where there is only best effort, and those of
    /// [`Client::update`].
    pub async fn update(&self, change: &Change) -> Result<Outcome, ClientError> {
        let name = self.inner.name().ok_or_else(|| ClientError::SessionUnusable {
            why: "there is no reservation to change, only best effort".into(),
        })?;
        self.inner.update(&name, change).await
    }

    /// What its holder should know, as last heard, and every change of it: that a resource on its
    /// way is drained, that its end was brought forward, that its plan was moved, that its bytes are
    /// behind it and by how much, that it was cut to its floor, or that it was preempted and what can
    /// be had instead. Empty while there is nothing.
    #[must_use]
    pub fn notices(&self) -> watch::Receiver<Vec<Notice>> {
        self.inner.notices()
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

//! How a grant stands: its terms, what was heard about them, and a limiter that follows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tidegate_policy::{ByteCount, SessionId};
use tokio::sync::{Notify, watch};

use crate::change::Change;
use crate::clock::BootTime;
use crate::connect::Client;
use crate::error::ClientError;
use crate::grant::{GrantEnd, Notice};
use crate::held::{Held, News};
use crate::limiter::{Limiter, Revoked};
use crate::reservation::{CloseReason, Outcome, Reservation, ReservationName};
use crate::terms::Order;

/// What all handles on a grant share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) client: Client,
    pub(crate) limiter: Limiter,
    state: Mutex<Standing>,
    /// Apart from the rest, so that the keeper can wait on it without keeping the grant alive.
    nudge: Arc<Notify>,
    notices: watch::Sender<Vec<Notice>>,
    /// One change at a time.
    turn: tokio::sync::Mutex<()>,
}

/// While it lives, a change is being asked for.
struct Asking<'a>(&'a Inner);

#[derive(Debug)]
struct Standing {
    /// Absent where there is only best effort.
    held: Option<Held>,
    promised: bool,
    end: Option<GrantEnd>,
}

/// The longest sleep of a keeper: timers stand still while the machine sleeps, grants do not.
const HOP: Duration = Duration::from_secs(1);

impl Inner {
    pub(crate) fn new(client: &Client, limiter: Limiter, held: Option<Held>) -> Self {
        let state = Standing { promised: held.is_some(), held, end: None };
        Self {
            client: client.clone(),
            limiter,
            state: Mutex::new(state),
            nudge: Arc::default(),
            notices: watch::Sender::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Keeps to the terms from now on, also as time changes what they say.
    pub(crate) fn start(self: &Arc<Self>) {
        self.review();
        tokio::spawn(keep(Arc::downgrade(self), Arc::clone(&self.nudge)));
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        // No code that can panic leaves the state half changed, so a poisoned lock is sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> Option<ReservationName> {
        self.lock().held.as_ref().map(|held| held.reservation().name.clone())
    }

    pub(crate) fn reservation(&self) -> Option<Reservation> {
        self.lock().held.as_ref().map(|held| held.reservation().clone())
    }

    fn holder(&self) -> Option<SessionId> {
        self.lock().held.as_ref().and_then(|held| held.reservation().session)
    }

    /// The session that holds it, and the plan that it obeys.
    fn word(&self) -> Option<(SessionId, u64)> {
        self.lock().held.as_ref().and_then(Held::word)
    }

    /// Bytes moved so far.
    pub(crate) fn moved(&self) -> ByteCount {
        self.limiter.moved()
    }

    /// The version of the plan under which alone bytes move.
    pub(crate) fn obeyed(&self) -> u64 {
        self.lock().held.as_ref().map_or(0, Held::obeyed)
    }

    pub(crate) fn ended(&self) -> Option<GrantEnd> {
        self.lock().end
    }

    pub(crate) fn is_promised(&self) -> bool {
        let state = self.lock();
        state.promised && state.end.is_none()
    }

    pub(crate) fn notices(&self) -> watch::Receiver<Vec<Notice>> {
        self.notices.subscribe()
    }

    /// What the session heard; the limiter follows before this returns.
    pub(crate) fn hear(&self, news: News) {
        if let Some(held) = &mut self.lock().held {
            held.hear(&news);
        }
        let notices = news.notices;
        self.notices.send_if_modified(|known| {
            let news = *known != notices;
            *known = notices;
            news
        });
        self.reviewed();
    }

    /// What a call answered about it.
    fn told(&self, told: Reservation) {
        if let Some(held) = &mut self.lock().held {
            held.take(told);
        }
        self.reviewed();
    }

    fn reviewed(&self) {
        self.review();
        self.nudge.notify_one();
    }

    /// Confirms a hold.
    pub(crate) async fn confirm(&self) -> Result<(), ClientError> {
        let Some(name) = self.name() else { return Ok(()) };
        let confirmed = self.client.confirm(&name).await?;
        self.told(confirmed);
        Ok(())
    }

    /// Asks for other terms. While it is not known which ones hold, both do.
    pub(crate) async fn update(
        &self,
        name: &ReservationName,
        change: &Change,
    ) -> Result<Outcome, ClientError> {
        let _turn = self.turn.lock().await;
        if change.validate_only {
            return self.client.update_as(name, change, self.word()).await;
        }
        let asking = self.narrow(change);
        let answer = self.client.update_as(name, change, self.word()).await;
        if let Some(held) = &mut self.lock().held {
            held.answered(&answer);
        }
        drop(asking);
        self.reviewed();
        answer
    }

    /// Nothing is sent from now on that the present terms and those of `change` do not both allow.
    fn narrow(&self, change: &Change) -> Asking<'_> {
        if let Some(held) = &mut self.lock().held {
            held.narrow(change);
        }
        self.reviewed();
        Asking(self)
    }

    /// The broker closed it, which is the last version of its plan. Nothing moves after the return.
    pub(crate) fn close(&self, why: CloseReason, version: u64) {
        self.end(GrantEnd::Closed(why));
        if let Some(held) = &mut self.lock().held {
            held.close(why, version);
        }
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
    pub(crate) fn give_back(&self) -> Option<ReservationName> {
        let first = self.ended().is_none();
        self.end(GrantEnd::Released);
        if first { self.name() } else { None }
    }

    pub(crate) async fn say_released(
        &self,
        name: &ReservationName,
    ) -> Result<Reservation, ClientError> {
        self.client.release_as(name, self.holder(), self.limiter.moved(), None).await
    }

    /// Lets the limiter do what the terms say for now. When to look again, if ever.
    fn review(&self) -> Option<BootTime> {
        let now = BootTime::now();
        // The lock is held to the end, so that no older order overtakes a newer one.
        let mut state = self.lock();
        if state.end.is_some() {
            return None;
        }
        let held = state.held.as_mut()?;
        match held.order(now) {
            Order::Run { rate, expires_at, review, promised } => {
                // Neither order of these two calls may admit what neither the old nor the new
                // terms do: a cut comes before a later end, a raise after an earlier one.
                if rate < self.limiter.rate() {
                    self.limiter.set_rate(rate);
                    self.limiter.expires_at(expires_at);
                } else {
                    self.limiter.expires_at(expires_at);
                    self.limiter.set_rate(rate);
                }
                // Only now is it true.
                held.obey();
                state.promised = promised;
                review
            }
            Order::GiveUp => {
                drop(state);
                self.end(GrantEnd::Unreachable);
                None
            }
            Order::Stop(why) => {
                drop(state);
                self.end(GrantEnd::Closed(why));
                if let Some(held) = &mut self.lock().held {
                    held.obey();
                }
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
        GrantEnd::Closed(CloseReason::CapacityLost) => Revoked::CapacityLost,
        GrantEnd::Closed(CloseReason::SessionLost | CloseReason::Unknown(_))
        | GrantEnd::SessionOver
        | GrantEnd::Unreachable => Revoked::SessionLost,
    }
}

/// Looks at the terms whenever time changes what they say.
async fn keep(grant: Weak<Inner>, nudge: Arc<Notify>) {
    loop {
        let review = match grant.upgrade() {
            Some(inner) if inner.ended().is_none() => inner.review(),
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

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(held) = &mut self.0.lock().held {
            held.asked();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.nudge.notify_one();
    }
}

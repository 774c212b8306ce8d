//! How a grant stands: its terms, what was heard about them, and a limiter that follows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tidegate_policy::{ByteCount, SessionId, Span, Timestamp};
use tokio::sync::{Notify, watch};

use crate::change::Change;
use crate::clock::BootTime;
use crate::connect::Client;
use crate::error::ClientError;
use crate::grant::{GrantEnd, Notice, NoticeKind};
use crate::limiter::{Limiter, Revoked};
use crate::reservation::{CloseReason, Outcome, Reservation, ReservationName, State};
use crate::terms::{Narrowed, Order, Plan, Terms, Window};

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

#[derive(Debug)]
struct Held {
    reservation: Reservation,
    terms: Terms,
    /// Of a change whose outcome is not known yet.
    narrowed: Option<Narrowed>,
    /// Whether it is being asked for: then no plan that is heard can settle it.
    asking: bool,
    /// The version of the plan that the limiter follows.
    obeyed: u64,
}

/// What a session heard about a grant.
#[derive(Clone, Debug)]
pub(crate) struct News {
    pub(crate) plan: Plan,
    pub(crate) confirmed: bool,
    pub(crate) window: Window,
    pub(crate) notices: Vec<Notice>,
}

/// The longest sleep of a keeper: timers stand still while the machine sleeps, grants do not.
const HOP: Duration = Duration::from_secs(1);

impl Inner {
    pub(crate) fn new(
        client: &Client,
        limiter: Limiter,
        held: Option<(Reservation, Terms)>,
    ) -> Self {
        let held = held.map(|(reservation, terms)| {
            let obeyed = reservation.plan_version;
            Held { reservation, terms, narrowed: None, asking: false, obeyed }
        });
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
        self.lock().held.as_ref().map(|held| held.reservation.name.clone())
    }

    pub(crate) fn reservation(&self) -> Option<Reservation> {
        self.lock().held.as_ref().map(|held| held.reservation.clone())
    }

    fn holder(&self) -> Option<SessionId> {
        self.lock().held.as_ref().and_then(|held| held.reservation.session)
    }

    /// Bytes moved so far.
    pub(crate) fn moved(&self) -> ByteCount {
        self.limiter.moved()
    }

    /// The version of the plan under which alone bytes move.
    pub(crate) fn obeyed(&self) -> u64 {
        self.lock().held.as_ref().map_or(0, |held| held.obeyed)
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
        let News { plan, confirmed, window, notices } = news;
        if let Some(held) = &mut self.lock().held {
            held.follow(plan);
            // An answer from before the confirmation does not take it back.
            held.terms.confirmed |= confirmed;
            held.terms.window = Some(window);
            if held.terms.confirmed {
                held.reservation.state = State::Confirmed;
            }
            let curtailed = notices.iter().any(|notice| notice.kind == NoticeKind::Curtailed);
            held.reservation.curtailed |= curtailed;
        }
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
            return self.client.update_as(name, change, self.holder()).await;
        }
        let asking = self.narrow(change);
        let answer = self.client.update_as(name, change, self.holder()).await;
        let settled = match &answer {
            Ok(_) => true,
            Err(error) => !error.may_have_happened(),
        };
        if let Some(held) = &mut self.lock().held {
            if settled {
                held.narrowed = None;
            }
            if let Ok(Outcome::Granted(changed)) = &answer {
                held.take(changed.clone());
            }
        }
        drop(asking);
        self.reviewed();
        answer
    }

    /// Nothing is sent from now on that the present terms and those of `change` do not both allow.
    fn narrow(&self, change: &Change) -> Asking<'_> {
        if let Some(held) = &mut self.lock().held {
            let more = held.narrowed_by(change);
            held.narrowed = Some(held.narrowed.map_or(more, |known| known.and(more)));
            held.asking = true;
        }
        self.reviewed();
        Asking(self)
    }

    /// The broker closed it, which is the last version of its plan. Nothing moves after the return.
    pub(crate) fn close(&self, why: CloseReason, version: u64) {
        self.end(GrantEnd::Closed(why));
        if let Some(held) = &mut self.lock().held {
            held.reservation.state = State::Closed { why };
            held.reservation.plan_version = held.reservation.plan_version.max(version);
            held.obeyed = held.reservation.plan_version;
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
                held.obeyed = held.reservation.plan_version;
                state.promised = promised;
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

impl Held {
    fn order(&self, now: BootTime) -> Order {
        match &self.narrowed {
            Some(narrowed) => self.terms.within(narrowed).order(now),
            None => self.terms.order(now),
        }
    }

    /// Follows what a session heard of the plan.
    fn follow(&mut self, plan: Plan) {
        let known = self.reservation.plan_version;
        let before = self.terms;
        let followed = self.terms.follow(known, plan);
        if followed != known {
            // Whatever was asked for before is decided, or overtaken.
            if !self.asking {
                self.narrowed = None;
            }
            let told = &mut self.reservation;
            told.start = moved(told.start, before.starts_at, self.terms.starts_at);
            told.end = moved(told.end, before.ends_at, self.terms.ends_at).max(told.start);
        }
        self.reservation.plan_version = followed;
        self.reservation.rate = self.terms.rate;
        self.reservation.starts_at = self.terms.starts_at;
        self.reservation.ends_at = self.terms.ends_at;
    }

    /// Takes an answer in whole, unless something later was heard.
    fn take(&mut self, told: Reservation) {
        self.terms.confirmed |= told.state == State::Confirmed;
        if told.plan_version < self.reservation.plan_version {
            return;
        }
        self.terms.rate = told.rate;
        self.terms.starts_at = told.starts_at;
        self.terms.ends_at = told.ends_at;
        self.reservation = told;
    }

    /// What keeps to the present terms and to those of `change`, whichever hold. The broker's
    /// instants are told by the distance to those that are known on both clocks.
    fn narrowed_by(&self, change: &Change) -> Narrowed {
        let it = &self.reservation;
        Narrowed {
            rate: change.rate,
            starts_at: change.start.map(|start| shifted(it.starts_at, it.start, start)),
            ends_at: change.end.map(|end| shifted(it.ends_at, it.end, end)),
        }
    }
}

/// The reading of the instant `to`, where `reading` is that of `from`.
fn shifted(reading: BootTime, from: Timestamp, to: Timestamp) -> BootTime {
    reading.plus(to.since(from).to_duration()).minus(from.since(to).to_duration())
}

/// The instant of the reading `to`, where `time` is that of `from`, to the millisecond.
fn moved(time: Timestamp, from: BootTime, to: BootTime) -> Timestamp {
    let span = |length: Duration| {
        u64::try_from(length.as_millis()).ok().and_then(Span::from_ms).unwrap_or(Span::MAX)
    };
    time.plus(span(to.since(from))).minus(span(from.since(to)))
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
            held.asking = false;
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.nudge.notify_one();
    }
}

//! How a grant stands: its terms, what was heard about them, and a limiter that follows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tidegate_policy::{BitRate, ByteCount, SessionId};
use tokio::sync::{Notify, watch};

use crate::bucket::Burst;
use crate::change::Change;
use crate::clock::BootTime;
use crate::connect::Client;
use crate::error::ClientError;
use crate::grant::GrantEnd;
use crate::held::{Held, News};
use crate::limiter::{Limiter, Revoked};
use crate::notice::Notice;
use crate::plan::PlanWay;
use crate::refusal::CounterOffer;
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

#[derive(Debug, Default)]
struct Standing {
    /// Absent where there is only best effort.
    held: Option<Held>,
    promised: bool,
    end: Option<GrantEnd>,
    /// The ways that bytes are sent on by limiters of their own; the rest is the grant's.
    ways: Vec<OwnWay>,
    /// Where to say that there is something to report; absent without a session.
    urgent: Option<Arc<Notify>>,
    /// The version of the plan whose end was reported.
    reported: u64,
}

/// A way with a limiter of its own.
#[derive(Debug)]
struct OwnWay {
    way: PlanWay,
    limiter: Limiter,
}

/// What a limiter is to do until the next review.
struct Target {
    limiter: Limiter,
    rate: BitRate,
    /// From when on less is allowed: nobody has to be awake for that.
    pause: Option<BootTime>,
}

/// More ways than the plans of one grant take in its life.
const OWN_WAYS_MAX: usize = 256;

/// The longest sleep of a keeper: timers stand still while the machine sleeps, grants do not.
const HOP: Duration = Duration::from_secs(1);

impl Inner {
    pub(crate) fn new(client: &Client, limiter: Limiter, held: Option<Held>) -> Self {
        let state = Standing { promised: held.is_some(), held, ..Standing::default() };
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

    /// Its session beats out of turn when this is told.
    pub(crate) fn reports_to(&self, urgent: &Arc<Notify>) {
        self.lock().urgent = Some(Arc::clone(urgent));
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

    /// Bytes moved so far, on all ways.
    pub(crate) fn moved(&self) -> ByteCount {
        let state = self.lock();
        let own = state.ways.iter().map(|own| own.limiter.moved().bytes());
        ByteCount::new(own.fold(self.limiter.moved().bytes(), u64::saturating_add))
    }

    /// For how long its limiters have held bytes back so far, those of all ways together.
    pub(crate) fn held_back(&self) -> Duration {
        let state = self.lock();
        let own = state.ways.iter().map(|own| own.limiter.held_back());
        own.fold(self.limiter.held_back(), Duration::saturating_add)
    }

    /// A limiter for this way of the plan alone, from now on; the grant's admits the rest. `None` if
    /// the plan has no such way.
    pub(crate) fn own_way(&self, index: usize) -> Option<(PlanWay, Limiter)> {
        let mut state = self.lock();
        let way = state.held.as_ref()?.reservation().ways.get(index)?.clone();
        if let Some(own) = state.ways.iter().find(|own| own.way == way) {
            return Some((way, own.limiter.clone()));
        }
        if OWN_WAYS_MAX <= state.ways.len() {
            return None;
        }
        let limiter = Limiter::new(BitRate::ZERO, Burst::default());
        if let Some(why) = state.end {
            limiter.revoke(revoked(why));
        }
        state.ways.push(OwnWay { way: way.clone(), limiter: limiter.clone() });
        drop(state);
        self.reviewed();
        Some((way, limiter))
    }

    /// The version of the plan under which alone bytes move.
    pub(crate) fn obeyed(&self) -> u64 {
        self.lock().held.as_ref().map_or(0, Held::obeyed)
    }

    /// Whether it may have more than its promise while others leave it.
    pub(crate) fn may_have_more(&self) -> bool {
        self.reservation().is_some_and(|told| told.ceiling.is_some())
    }

    /// The live rate that is followed: its version, and the rate.
    pub(crate) fn live_obeyed(&self) -> (u64, BitRate) {
        self.lock().held.as_ref().map_or((0, BitRate::ZERO), Held::live_obeyed)
    }

    /// What may be sent now under a promise; `None` where there is none.
    pub(crate) fn live_rate(&self) -> Option<BitRate> {
        let state = self.lock();
        let held = state.held.as_ref().filter(|_| state.end.is_none())?;
        Some(held.live_rate(BootTime::now()))
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

    /// What the session heard; the limiter follows before this returns. Where less may be sent than
    /// before, others wait to hear that it is so.
    pub(crate) fn hear(&self, news: News) {
        let now = BootTime::now();
        let mut state = self.lock();
        let mut less = false;
        if let Some(held) = &mut state.held {
            let before = held.live_rate(now);
            held.hear(&news);
            less = held.live_rate(now) < before;
        }
        let urgent = state.urgent.clone().filter(|_| less);
        drop(state);
        let notices = news.notices;
        self.notices.send_if_modified(|known| {
            let news = *known != notices;
            *known = notices;
            news
        });
        self.reviewed();
        // Only now is it true.
        urgent.iter().for_each(|urgent| urgent.notify_one());
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
    /// `offer` is what can be had instead.
    pub(crate) fn close(&self, why: CloseReason, version: u64, offer: Option<CounterOffer>) {
        self.end(GrantEnd::Closed(why));
        if why == CloseReason::Preempted {
            self.notices.send_modify(|notices| notices.push(Notice::preempted(offer)));
        }
        if let Some(held) = &mut self.lock().held {
            held.close(why, version);
        }
    }

    /// Ends it for good; only the first reason counts.
    pub(crate) fn end(&self, why: GrantEnd) {
        let mut state = self.lock();
        let why = *state.end.get_or_insert(why);
        for limiter in state.ways.iter().map(|own| &own.limiter).chain([&self.limiter]) {
            match why {
                // Its end has passed: the limiter says so by itself, in its own words.
                GrantEnd::Closed(CloseReason::Completed) => limiter.expires_at(BootTime::now()),
                why => limiter.revoke(revoked(why)),
            }
        }
        drop(state);
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
        self.client.release_as(name, self.holder(), self.moved(), None).await
    }

    /// Lets the limiter do what the terms say for now. When to look again, if ever.
    fn review(&self) -> Option<BootTime> {
        let now = BootTime::now();
        // The lock is held to the end, so that no older order overtakes a newer one.
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.end.is_some() {
            return None;
        }
        let held = state.held.as_mut()?;
        match held.order(now) {
            Order::Run { rate, expires_at, review, promised } => {
                let targets = targets(held, &state.ways, &self.limiter, (rate, promised), now);
                // No order of these calls may admit what neither the old nor the new terms do: all
                // cuts come before the first raise, a cut before a later end, a raise after an
                // earlier one.
                let (cuts, raises): (Vec<_>, Vec<_>) =
                    targets.into_iter().partition(|it| it.rate < it.limiter.rate());
                for Target { limiter, rate, pause } in cuts {
                    limiter.set_rate(rate);
                    limiter.pauses_at(pause);
                    limiter.expires_at(expires_at);
                }
                for Target { limiter, rate, pause } in raises {
                    limiter.expires_at(expires_at);
                    limiter.pauses_at(pause);
                    limiter.set_rate(rate);
                }
                // Only now is it true.
                held.obey();
                state.promised = promised;
                if held.reports(now) && state.reported < held.obeyed() {
                    state.reported = held.obeyed();
                    state.urgent.iter().for_each(|urgent| urgent.notify_one());
                }
                review
            }
            Order::GiveUp => {
                drop(guard);
                self.end(GrantEnd::Unreachable);
                None
            }
            Order::Stop(why) => {
                drop(guard);
                self.end(GrantEnd::Closed(why));
                if let Some(held) = &mut self.lock().held {
                    held.obey();
                }
                None
            }
        }
    }
}

/// What each limiter is to do, where all together may send at `rate`: a way's own what the plan has
/// for it, the grant's what is left.
fn targets(
    held: &Held,
    ways: &[OwnWay],
    rest: &Limiter,
    (rate, promised): (BitRate, bool),
    now: BootTime,
) -> Vec<Target> {
    // What is not promised goes by no plan.
    let course = held.course(now);
    let planned = promised && rate != BitRate::ZERO;
    let known = &held.reservation().ways;
    let mut taken = Vec::new();
    let mut targets = Vec::new();
    for own in ways {
        let limiter = own.limiter.clone();
        let index = known.iter().position(|way| planned && *way == own.way);
        targets.push(match index {
            Some(index) => {
                taken.push(index);
                let pause = course.fall_on(index, now);
                Target { limiter, rate: course.rate_on(index, now), pause }
            }
            None => Target { limiter, rate: BitRate::ZERO, pause: None },
        });
    }
    let limiter = rest.clone();
    targets.push(match planned {
        true => {
            let rate = course.rate_but(&taken, now).min(rate);
            Target { limiter, rate, pause: course.fall_but(&taken, now) }
        }
        false => Target { limiter, rate, pause: None },
    });
    targets
}

/// The limiter's word for it.
fn revoked(end: GrantEnd) -> Revoked {
    match end {
        GrantEnd::Released | GrantEnd::Closed(CloseReason::Released | CloseReason::Completed) => {
            Revoked::Released
        }
        GrantEnd::Closed(CloseReason::Expired | CloseReason::NoShow) => Revoked::NoShow,
        GrantEnd::Closed(CloseReason::Preempted) => Revoked::Preempted,
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

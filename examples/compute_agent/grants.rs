//! Reservations whose bytes somebody else moves: the agent holds them, and tells what becomes of
//! them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use tidegate_client::ask::{Ask, Between, End};
use tidegate_client::reservation::Reservation;
use tidegate_client::{Acquired, Grant, OnUnreachable, clock};
use tokio::sync::mpsc;

use crate::protocol::{Event, Piece, Reserve};
use crate::work::Agent;

/// The most that one connection holds.
const GRANTS_MAX: usize = 100;

/// What one connection holds, by the id of the reservation. Dropped, all of it is given back.
#[derive(Debug, Default)]
pub(crate) struct Grants(Mutex<BTreeMap<String, Arc<Grant>>>);

impl Grants {
    /// Asks for a reservation, and tells of it from then on.
    pub(crate) async fn reserve(
        &self,
        agent: &Agent,
        wanted: Reserve,
        tell: mpsc::Sender<Event>,
    ) -> anyhow::Result<Event> {
        if GRANTS_MAX <= self.lock().len() {
            bail!("this connection holds {GRANTS_MAX} reservations already; release some");
        }
        let ask = ask(agent, wanted)?;
        let session = agent.session().await;
        let grant = match session.acquire(&ask, OnUnreachable::Fail).await? {
            Acquired::Granted(grant) => Arc::new(grant),
            Acquired::Refused(refusal) => bail!("{refusal}"),
        };
        let granted = grant.reservation().context("the broker granted nothing")?;
        let reservation = granted.name.id.to_string();
        self.lock().insert(reservation.clone(), Arc::clone(&grant));
        let event = Event::Granted { reservation: reservation.clone(), plan: pieces(&granted) };
        tokio::spawn(follow(reservation, Arc::downgrade(&grant), tell));
        Ok(event)
    }

    /// Gives one back.
    pub(crate) async fn release(&self, reservation: &str) -> anyhow::Result<Event> {
        let grant = self.lock().remove(reservation);
        let grant = grant.with_context(|| {
            format!("this connection holds no reservation {reservation}; it lists those it made")
        })?;
        let used_bytes = grant.limiter().moved().bytes();
        // Whoever follows it lets go at once.
        if let Some(grant) = Arc::into_inner(grant) {
            grant.release().await?;
        }
        Ok(Event::Released { reservation: reservation.to_owned(), used_bytes })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Grant>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ask(agent: &Agent, wanted: Reserve) -> anyhow::Result<Ask> {
    let Reserve { from, rate, span, volume, by, priority } = wanted;
    let mut sources = from.into_iter();
    let first = sources.next().context("name a source in \"from\"")?;
    let between = sources.fold(Between::new(first, agent.host.clone()), Between::or_from);
    let mut ask = match (rate, span, volume, by) {
        (Some(rate), Some(span), None, None) => Ask::rigid(between, rate, End::After(span)),
        (None, None, Some(volume), Some(by)) => {
            Ask::transfer(between, volume, by.at(clock::wall())).movable()
        }
        _ => bail!("say \"rate\" and \"for\", or \"volume\" and \"by\""),
    };
    ask.priority = priority;
    Ok(ask)
}

/// Tells of a grant until it is over, or given back.
async fn follow(reservation: String, grant: std::sync::Weak<Grant>, tell: mpsc::Sender<Event>) {
    let Some(mut notices) = grant.upgrade().map(|grant| grant.notices()) else { return };
    let mut started = false;
    loop {
        // Held only while it is looked at: who gives it back must be the last to have it.
        let (limiter, ended) = match grant.upgrade() {
            Some(grant) => (grant.limiter().clone(), grant.ended()),
            None => return,
        };
        if let Some(ended) = ended {
            let why = format!("{ended:?}");
            tell.send(Event::Ended { reservation, why }).await.unwrap_or_default();
            return;
        }
        tokio::select! {
            ready = async { limiter.lease(&mut limiter.stream(), 1).await }, if !started => {
                match ready {
                    Ok(_) => {
                        started = true;
                        let reservation = reservation.clone();
                        tell.send(Event::Starts { reservation }).await.unwrap_or_default();
                    }
                    Err(error) => {
                        let why = error.to_string();
                        tell.send(Event::Ended { reservation, why }).await.unwrap_or_default();
                        return;
                    }
                }
            }
            changed = notices.changed() => {
                if changed.is_err() {
                    return;
                }
                let said: Vec<String> =
                    notices.borrow_and_update().iter().map(ToString::to_string).collect();
                let plan = grant.upgrade().and_then(|it| it.reservation());
                let plan = plan.as_ref().map(pieces).unwrap_or_default();
                let (reservation, what) = (reservation.clone(), said.join("; "));
                tell.send(Event::Moved { reservation, what, plan }).await.unwrap_or_default();
            }
            () = tokio::time::sleep(std::time::Duration::from_millis(250)), if started => {
                if let Err(error) = limiter.check() {
                    let why = error.to_string();
                    tell.send(Event::Ended { reservation, why }).await.unwrap_or_default();
                    return;
                }
            }
        }
    }
}

/// When a plan lets bytes move, at which rate.
pub(crate) fn pieces(granted: &Reservation) -> Vec<Piece> {
    let piece = |start: &dyn ToString, end: &dyn ToString, rate_bps| Piece {
        start: start.to_string(),
        end: end.to_string(),
        rate_bps,
    };
    if granted.segments.is_empty() {
        return vec![piece(&granted.start, &granted.end, granted.rate.bps())];
    }
    granted.segments.iter().map(|it| piece(&it.start, &it.end, it.rate.bps())).collect()
}

/// An error with all that led to it.
pub(crate) fn spoken(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

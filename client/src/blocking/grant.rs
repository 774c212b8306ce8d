//! Sessions and grants for code that waits.

use std::future::Future;
use std::io::{Read, Write};

use tidegate_policy::SessionId;

use super::{Client, Limited};
use crate::ask::Ask;
use crate::change::Change;
use crate::clock::BootTime;
use crate::error::ClientError;
use crate::grant::{self, GrantEnd, GrantWay, Notice};
use crate::limiter::Limiter;
use crate::refusal::Refusal;
use crate::reservation::{Outcome, Reservation};
use crate::session::{self, SessionPhase};
use crate::terms::OnUnreachable;

/// A session with the broker, kept alive by the thread of its client until it is closed, dropped
/// or lost; its grants end with it.
///
/// Dropping it closes it as well, and waits for that no longer than one deadline; inside of an
/// async task it does not wait at all.
#[derive(Debug)]
pub struct Session {
    /// Taken by whatever ends it.
    inner: Option<session::Session>,
    id: SessionId,
    client: Client,
}

/// The answer to a request for a grant.
#[derive(Debug)]
#[must_use = "a refusal is an answer too"]
pub enum Acquired {
    /// Bytes may move, from the start on.
    Granted(Grant),
    /// No: nothing is booked.
    Refused(Refusal),
}

/// A handle on a reservation, as [`crate::Grant`]: move bytes with [`Grant::reader`] and
/// [`Grant::writer`].
///
/// Dropping it gives it back as well, and waits for that no longer than one deadline; inside of an
/// async task it does not wait at all.
#[derive(Debug)]
pub struct Grant {
    /// Taken by whatever ends it.
    inner: Option<grant::Grant>,
    /// Outlasts the handle, to say why nothing moves any more.
    limiter: Limiter,
    client: Client,
}

/// # Errors
/// Those of the same call of [`crate::Client`], and [`ClientError::InsideRuntime`] inside of an
/// async task.
impl Client {
    /// Opens a session under the name `agent`, as [`crate::Client::open_session`].
    pub fn open_session(&self, agent: &str) -> Result<Session, ClientError> {
        let inner = self.run(self.inner.open_session(agent))??;
        Ok(Session { id: inner.id(), inner: Some(inner), client: self.clone() })
    }

    /// Asks for a grant without a session, as [`crate::Client::acquire`].
    pub fn acquire(
        &self,
        ask: &Ask,
        on_unreachable: OnUnreachable,
    ) -> Result<Acquired, ClientError> {
        Ok(self.acquired(self.run(self.inner.acquire(ask, on_unreachable))??))
    }

    fn acquired(&self, acquired: grant::Acquired) -> Acquired {
        match acquired {
            grant::Acquired::Granted(grant) => Acquired::Granted(self.granted(grant)),
            grant::Acquired::Refused(refusal) => Acquired::Refused(refusal),
        }
    }

    fn granted(&self, grant: grant::Grant) -> Grant {
        let limiter = grant.limiter().clone();
        Grant { limiter, inner: Some(grant), client: self.clone() }
    }

    /// Turns a reservation without a session into a grant, as [`crate::Client::adopt`].
    pub fn adopt(&self, reservation: Reservation) -> Result<Grant, ClientError> {
        let _entered = self.runtime.handle.enter();
        Ok(self.granted(self.inner.adopt(reservation)?))
    }

    /// Lets something end that is dropped: waits for its last words where that is allowed, and
    /// else leaves them to the thread.
    fn last_words<T, E: std::fmt::Display>(&self, last: impl Future<Output = Result<T, E>>) {
        let deadline = self.inner.settings().deadline;
        let told = self.run(async move { tokio::time::timeout(deadline, last).await });
        if let Ok(Ok(Err(error))) = told {
            tracing::warn!(%error, "something dropped was not given back");
        }
    }
}

impl Session {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// How it stands now.
    #[must_use]
    pub fn phase(&self) -> SessionPhase {
        self.inner.as_ref().map_or(SessionPhase::Closed, session::Session::phase)
    }

    /// Until when everything holds as the broker last said, if no further answer comes.
    #[must_use]
    pub fn live_until(&self) -> BootTime {
        self.inner.as_ref().map_or_else(BootTime::now, session::Session::live_until)
    }

    /// Until when its grants may send, if no further answer comes.
    #[must_use]
    pub fn send_until(&self) -> BootTime {
        self.inner.as_ref().map_or_else(BootTime::now, session::Session::send_until)
    }

    /// Asks for `ask`, bound to this session, as
    /// [`Session::acquire`](crate::session::Session::acquire).
    ///
    /// # Errors
    /// Those of that call, and [`ClientError::InsideRuntime`] inside of an async task.
    pub fn acquire(
        &self,
        ask: &Ask,
        on_unreachable: OnUnreachable,
    ) -> Result<Acquired, ClientError> {
        let Some(session) = &self.inner else {
            return Err(ClientError::SessionUnusable { why: "it is over".into() });
        };
        Ok(self.client.acquired(self.client.run(session.acquire(ask, on_unreachable))??))
    }

    /// Turns a reservation that is bound to this session into a grant, as
    /// [`Session::adopt`](crate::session::Session::adopt).
    ///
    /// # Errors
    /// Those of that call.
    pub fn adopt(
        &self,
        reservation: Reservation,
        on_unreachable: OnUnreachable,
    ) -> Result<Grant, ClientError> {
        let Some(session) = &self.inner else {
            return Err(ClientError::SessionUnusable { why: "it is over".into() });
        };
        let _entered = self.client.runtime.handle.enter();
        Ok(self.client.granted(session.adopt(reservation, on_unreachable)?))
    }

    /// Revokes what is left of its grants, reports the last bytes and tells the broker.
    ///
    /// # Errors
    /// Those of [`Session::close`](crate::session::Session::close). The session is over on this
    /// side in any case.
    pub fn close(mut self) -> Result<(), ClientError> {
        let client = self.client.clone();
        match self.inner.take() {
            Some(session) => client.run(session.close())?,
            None => Ok(()),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(session) = self.inner.take() {
            let _entered = self.client.runtime.handle.enter();
            self.client.last_words(session.close());
        }
    }
}

impl Grant {
    /// What all bytes of this grant have to pass.
    #[must_use]
    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// Limits what is read from `inner`.
    #[must_use]
    pub fn reader<R: Read>(&self, inner: R) -> Limited<R> {
        Limited::new(inner, self.limiter.stream())
    }

    /// Limits what is written to `inner`.
    #[must_use]
    pub fn writer<W: Write>(&self, inner: W) -> Limited<W> {
        Limited::new(inner, self.limiter.stream())
    }

    /// One way of the plan by itself, as [`crate::Grant::way`]: move its bytes with
    /// [`Grant::reader_on`] and [`Grant::writer_on`].
    #[must_use]
    pub fn way(&self, index: usize) -> Option<GrantWay> {
        self.inner.as_ref().and_then(|grant| grant.way(index))
    }

    /// Limits what is read from `inner` to what the plan has for this way.
    #[must_use]
    pub fn reader_on<R: Read>(&self, way: &GrantWay, inner: R) -> Limited<R> {
        Limited::new(inner, way.limiter().stream())
    }

    /// Limits what is written to `inner` to what the plan has for this way.
    #[must_use]
    pub fn writer_on<W: Write>(&self, way: &GrantWay, inner: W) -> Limited<W> {
        Limited::new(inner, way.limiter().stream())
    }

    /// The reservation as last heard of; `None` where there is only best effort.
    #[must_use]
    pub fn reservation(&self) -> Option<Reservation> {
        self.inner.as_ref().and_then(grant::Grant::reservation)
    }

    /// Whether the broker stands behind the rate now.
    #[must_use]
    pub fn is_promised(&self) -> bool {
        self.inner.as_ref().is_some_and(grant::Grant::is_promised)
    }

    /// Why it is over; `None` while it is not.
    #[must_use]
    pub fn ended(&self) -> Option<GrantEnd> {
        self.inner.as_ref().map_or(Some(GrantEnd::Released), grant::Grant::ended)
    }

    /// What its holder should know, as last heard.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        self.inner.as_ref().map_or_else(Vec::new, |grant| grant.notices().borrow().clone())
    }

    /// Waits until bytes may move: until the start, and the end of a pause.
    ///
    /// # Errors
    /// Why none ever will, as [`std::io::Error`] like those of its readers and writers.
    pub fn ready(&self) -> std::io::Result<()> {
        match &self.inner {
            Some(grant) => {
                let ready = self.client.run(grant.ready()).map_err(std::io::Error::other)?;
                Ok(ready?)
            }
            None => Ok(self.limiter.check()?),
        }
    }

    /// Confirms a hold, so that bytes may move.
    ///
    /// # Errors
    /// Those of [`crate::Grant::confirm`], and [`ClientError::InsideRuntime`] inside of an async
    /// task.
    pub fn confirm(&self) -> Result<(), ClientError> {
        match &self.inner {
            Some(grant) => self.client.run(grant.confirm())?,
            None => Ok(()),
        }
    }

    /// Changes rate, start or end, as its holder.
    ///
    /// # Errors
    /// Those of [`crate::Grant::update`], and [`ClientError::InsideRuntime`] inside of an async
    /// task.
    pub fn update(&self, change: &Change) -> Result<Outcome, ClientError> {
        match &self.inner {
            Some(grant) => self.client.run(grant.update(change))?,
            None => Err(ClientError::SessionUnusable { why: "the grant is over".into() }),
        }
    }

    /// Stops admitting bytes, then gives the rest of the reservation back and reports what was
    /// moved. Returns the closed reservation; `None` where there was only best effort.
    ///
    /// # Errors
    /// Those of [`crate::Grant::release`]; the limiter is stopped in any case.
    pub fn release(mut self) -> Result<Option<Reservation>, ClientError> {
        match self.inner.take() {
            Some(grant) => self.client.run(grant.release())?,
            None => Ok(None),
        }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if let Some(grant) = self.inner.take() {
            let _entered = self.client.runtime.handle.enter();
            self.client.last_words(grant.release());
        }
    }
}

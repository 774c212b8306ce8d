//! One method for each thing that can be asked about reservations and sessions.

use std::future::Future;

use futures_util::Stream;
use futures_util::stream::{self, TryStreamExt};
use tidegate_policy::{ByteCount, ProjectId, SessionId, Span};
use tidegate_proto::v1;
use v1::reservation_service_client::ReservationServiceClient;
use v1::session_service_client::SessionServiceClient;

use crate::ask::Ask;
use crate::batch::{AllOrNone, Batch, Relation};
use crate::change::Change;
use crate::connect::{Answer, Client, Listing, Page};
use crate::error::ClientError;
use crate::refusal::CounterOffer;
use crate::reservation::{Etag, Outcome, Reservation, ReservationName};
use crate::sessions::{SessionInfo, SessionListing};
use crate::windows::{Explanation, Search, Windows};
use crate::wire;

/// Reservations.
///
/// # Errors
/// Those of every call: a [`ClientError`] that says what happened, why, and what to do next.
impl Client {
    /// Asks for a rate over an interval, or a volume by a deadline. Asking twice with the same [`Ask`] reserves once.
    pub async fn reserve(&self, ask: &Ask) -> Result<Outcome, ClientError> {
        let send = |channel, request| async move {
            ReservationServiceClient::new(channel).create_reservation(request).await
        };
        let answer = self.call(ask.to_wire()?, send).await?;
        Outcome::from_wire(answer.message, answer.timing)
    }

    /// Takes an offer exactly as it was made, for the default project and without a session. It is
    /// granted if it still fits, and refused afresh if not. With a hold, a session or another
    /// project, ask with [`CounterOffer::ask`] or [`Ask::offer`]; both also work with
    /// [`Session::acquire`](crate::session::Session::acquire).
    pub async fn take(&self, offer: &CounterOffer) -> Result<Outcome, ClientError> {
        self.reserve(&Ask::offer(offer)).await
    }

    /// Asks for all of a batch, or nothing.
    pub async fn reserve_all(&self, batch: &Batch) -> Result<AllOrNone, ClientError> {
        batch.plain(Relation::AllOf)?;
        AllOrNone::from_outcomes(self.batch(batch, Relation::AllOf).await?)
    }

    /// Asks for each of a batch by itself: one answer for each, in their order.
    pub async fn reserve_each(&self, batch: &Batch) -> Result<Vec<Outcome>, ClientError> {
        batch.plain(Relation::Each)?;
        self.batch(batch, Relation::Each).await
    }

    /// Asks for a batch as its relation says, in each of its weeks: one answer for each request, in
    /// their order, week by week. Every week is answered for itself.
    ///
    /// ```no_run
    /// # use tidegate_client::{Ask, Batch, Client, ClientError, Outcome, Relation};
    /// # async fn run(client: Client, copy: Ask, unpack: Ask) -> Result<(), ClientError> {
    /// // One after the other, in this week and in the next three.
    /// let chain = Relation::InOrder { gapless: false };
    /// let batch = Batch::new([copy, unpack]).related(chain).weekly(4);
    /// let answers = client.reserve_batch(&batch).await?;
    /// for (week, answers) in answers.chunks(batch.asks.len()).enumerate() {
    ///     let all = answers.iter().all(|it| matches!(it, Outcome::Granted(_)));
    ///     println!("week {week}: {}", if all { "granted" } else { "refused" });
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reserve_batch(&self, batch: &Batch) -> Result<Vec<Outcome>, ClientError> {
        self.batch(batch, batch.relation).await
    }

    async fn batch(&self, batch: &Batch, relation: Relation) -> Result<Vec<Outcome>, ClientError> {
        let send = |channel, request| async move {
            ReservationServiceClient::new(channel).batch_create_reservations(request).await
        };
        let answer = self.call(batch.to_wire(relation)?, send).await?;
        batch.answers(answer.message, answer.timing)
    }

    /// Turns a hold into a promise. Repeated: unchanged.
    pub async fn confirm(&self, name: &ReservationName) -> Result<Reservation, ClientError> {
        self.confirm_as(name, None).await
    }

    /// The same, only if nobody has changed it since it was read with this etag.
    ///
    /// # Errors
    /// [`ClientError::Stale`] if somebody has, and those of every call.
    pub async fn confirm_if(
        &self,
        name: &ReservationName,
        etag: &Etag,
    ) -> Result<Reservation, ClientError> {
        self.confirm_as(name, Some(etag)).await
    }

    async fn confirm_as(
        &self,
        name: &ReservationName,
        etag: Option<&Etag>,
    ) -> Result<Reservation, ClientError> {
        let request = v1::ConfirmReservationRequest {
            name: name.to_string(),
            request_id: wire::new_request_id().to_string(),
            validate_only: false,
            etag: wire::to_etag(etag),
        };
        let send = |channel, request| async move {
            ReservationServiceClient::new(channel).confirm_reservation(request).await
        };
        reservation(self.call(request, send).await?)
    }

    /// Lets a hold last `hold_for` from now on, up to 15 minutes after it was made.
    pub async fn extend_hold(
        &self,
        name: &ReservationName,
        hold_for: Span,
    ) -> Result<Reservation, ClientError> {
        let request = v1::ExtendHoldRequest {
            name: name.to_string(),
            request_id: wire::new_request_id().to_string(),
            validate_only: false,
            hold_for: Some(wire::to_duration(hold_for)),
            etag: String::new(),
        };
        let send = |channel, request| async move {
            ReservationServiceClient::new(channel).extend_hold(request).await
        };
        reservation(self.call(request, send).await?)
    }

    /// Changes rate, start or end in one step, on behalf of somebody else than its holder: if it is
    /// bound to a session, what it booked before stays booked until the holder has followed, or
    /// must have stopped. What it books itself is not in its way; if the change does not fit, it is
    /// refused and everything stays as it was. A holder changes its grant instead
    /// ([`Grant::update`](crate::grant::Grant::update)).
    ///
    /// # Errors
    /// [`ClientError::Stale`] if somebody has changed it since, and those of every call.
    pub async fn update(
        &self,
        name: &ReservationName,
        change: &Change,
    ) -> Result<Outcome, ClientError> {
        self.update_as(name, change, None).await
    }

    /// Changes a reservation; with `holder` and the version of the plan that it obeys, as the word
    /// that nothing is sent any more under the terms before.
    pub(crate) async fn update_as(
        &self,
        name: &ReservationName,
        change: &Change,
        holder: Option<(SessionId, u64)>,
    ) -> Result<Outcome, ClientError> {
        let send = |channel, request| async move {
            ReservationServiceClient::new(channel).update_reservation(request).await
        };
        let answer = self.call(change.to_wire(name, holder), send).await?;
        Outcome::from_update(answer.message, answer.timing)
    }

    /// Gives a reservation back on behalf of somebody else than its holder: if it is bound to a
    /// session, its lanes stay booked until the holder must have stopped. A holder releases its
    /// grant instead ([`Grant::release`](crate::grant::Grant::release)). Repeated: unchanged.
    pub async fn release(&self, name: &ReservationName) -> Result<Reservation, ClientError> {
        self.release_as(name, None, ByteCount::ZERO, None).await
    }

    /// The same, only if nobody has changed it since it was read with this etag.
    ///
    /// # Errors
    /// [`ClientError::Stale`] if somebody has, and those of every call.
    pub async fn release_if(
        &self,
        name: &ReservationName,
        etag: &Etag,
    ) -> Result<Reservation, ClientError> {
        self.release_as(name, None, ByteCount::ZERO, Some(etag)).await
    }

    /// Gives a reservation back; with `holder`, as the word that nothing is sent any more.
    pub(crate) async fn release_as(
        &self,
        name: &ReservationName,
        holder: Option<SessionId>,
        used: ByteCount,
        etag: Option<&Etag>,
    ) -> Result<Reservation, ClientError> {
        let request = v1::ReleaseReservationRequest {
            name: name.to_string(),
            request_id: wire::new_request_id().to_string(),
            validate_only: false,
            session: wire::to_session(holder),
            used_bytes: wire::to_bytes(used),
            etag: wire::to_etag(etag),
        };
        let send = |channel, request| async move {
            ReservationServiceClient::new(channel).release_reservation(request).await
        };
        reservation(self.call(request, send).await?)
    }

    /// Reads one reservation.
    pub async fn get(&self, name: &ReservationName) -> Result<Reservation, ClientError> {
        let request = v1::GetReservationRequest { name: name.to_string() };
        let send = |channel, request| async move {
            ReservationServiceClient::new(channel).get_reservation(request).await
        };
        reservation(self.call(request, send).await?)
    }

    /// One page of reservations, in the order they were made.
    pub async fn list(&self, listing: &Listing) -> Result<Page<Reservation>, ClientError> {
        let request = v1::ListReservationsRequest {
            parent: parent(listing.project.as_ref()),
            page_size: i32::from(listing.page_size),
            page_token: listing.page_token.clone(),
            show_closed: listing.show_closed,
            filter: listing.filter.clone(),
        };
        let send = |channel, request| async move {
            ReservationServiceClient::new(channel).list_reservations(request).await
        };
        let Answer { message, timing } = self.call(request, send).await?;
        let items = message.reservations.into_iter();
        Ok(Page {
            items: items
                .map(|one| Reservation::from_wire(one, timing))
                .collect::<Result<_, _>>()?,
            next_page_token: message.next_page_token,
        })
    }

    /// All reservations that a listing shows, from its page on: pages are asked for as they are
    /// needed. An error ends it.
    ///
    /// ```no_run
    /// use futures_util::TryStreamExt;
    /// use tidegate_client::Listing;
    /// # async fn run(client: tidegate_client::Client) -> Result<(), tidegate_client::ClientError> {
    /// let listing = Listing { filter: "rate_bps >= 1000000000".into(), ..Listing::default() };
    /// let mut all = std::pin::pin!(client.list_all(listing));
    /// while let Some(it) = all.try_next().await? {
    ///     println!("{} {}", it.name, it.rate);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn list_all(
        &self,
        listing: Listing,
    ) -> impl Stream<Item = Result<Reservation, ClientError>> + Send + use<> {
        let client = self.clone();
        let token = listing.page_token.clone();
        pages(token, move |page_token| {
            let (client, listing) = (client.clone(), Listing { page_token, ..listing.clone() });
            async move { client.list(&listing).await }
        })
    }

    /// When a rate would fit, and how much is free when. Books nothing.
    ///
    /// ```no_run
    /// # use tidegate_client::{Client, ClientError, Search};
    /// # async fn run(client: Client, search: Search) -> Result<(), ClientError> {
    /// let found = client.find_windows(&search).await?;
    /// if let Some(first) = found.windows.first() {
    ///     println!("{} from {} to {}", first.rate, first.start, first.end);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn find_windows(&self, search: &Search) -> Result<Windows, ClientError> {
        let send = |channel, request| async move {
            ReservationServiceClient::new(channel).find_windows(request).await
        };
        Windows::from_wire(self.call(search.to_wire(), send).await?.message)
    }

    /// What a request would be answered, and why, way by way and lane by lane. Books nothing.
    pub async fn explain(&self, ask: &Ask) -> Result<Explanation, ClientError> {
        let request_id = String::new();
        let request = v1::CreateReservationRequest { request_id, ..ask.to_wire()? };
        let request = v1::ExplainReservationRequest { request: Some(request) };
        let send = |channel, request| async move {
            ReservationServiceClient::new(channel).explain_reservation(request).await
        };
        let answer = self.call(request, send).await?;
        Explanation::from_wire(answer.message, answer.timing)
    }
}

/// Sessions; one's own is opened with [`Client::open_session`].
///
/// # Errors
/// Those of every call: a [`ClientError`] that says what happened, why, and what to do next.
impl Client {
    /// Reads one session, of whichever agent.
    pub async fn get_session(&self, id: SessionId) -> Result<SessionInfo, ClientError> {
        let request = v1::GetSessionRequest { name: wire::to_session(Some(id)) };
        let send = |channel, request| async move {
            SessionServiceClient::new(channel).get_session(request).await
        };
        SessionInfo::from_wire(self.call(request, send).await?.message)
    }

    /// One page of sessions, in the order they were opened.
    pub async fn list_sessions(
        &self,
        listing: &SessionListing,
    ) -> Result<Page<SessionInfo>, ClientError> {
        let request = v1::ListSessionsRequest {
            page_size: i32::from(listing.page_size),
            page_token: listing.page_token.clone(),
            show_ended: listing.show_ended,
        };
        let send = |channel, request| async move {
            SessionServiceClient::new(channel).list_sessions(request).await
        };
        let message = self.call(request, send).await?.message;
        let items = message.sessions.into_iter().map(SessionInfo::from_wire);
        Ok(Page {
            items: items.collect::<Result<_, _>>()?,
            next_page_token: message.next_page_token,
        })
    }

    /// All sessions that a listing shows, from its page on: pages are asked for as they are needed.
    /// An error ends it.
    pub fn list_all_sessions(
        &self,
        listing: SessionListing,
    ) -> impl Stream<Item = Result<SessionInfo, ClientError>> + Send + use<> {
        let client = self.clone();
        let token = listing.page_token.clone();
        pages(token, move |page_token| {
            let (client, listing) =
                (client.clone(), SessionListing { page_token, ..listing.clone() });
            async move { client.list_sessions(&listing).await }
        })
    }

    pub(crate) async fn open_session_call(
        &self,
        agent: &str,
    ) -> Result<Answer<v1::Session>, ClientError> {
        let request = v1::OpenSessionRequest {
            request_id: wire::new_request_id().to_string(),
            agent: agent.to_owned(),
            validate_only: false,
        };
        let send = |channel, request| async move {
            SessionServiceClient::new(channel).open_session(request).await
        };
        self.call(request, send).await
    }

    pub(crate) async fn close_session_call(&self, id: SessionId) -> Result<(), ClientError> {
        let request = v1::CloseSessionRequest {
            name: wire::to_session(Some(id)),
            request_id: wire::new_request_id().to_string(),
            validate_only: false,
        };
        let send = |channel, request| async move {
            SessionServiceClient::new(channel).close_session(request).await
        };
        self.call(request, send).await.map(drop)
    }
}

/// Whose reservations are meant; `None` means everybody's.
pub(crate) fn parent(project: Option<&ProjectId>) -> String {
    project.map_or_else(|| "projects/-".into(), |project| format!("projects/{project}"))
}

fn reservation(answer: Answer<v1::Reservation>) -> Result<Reservation, ClientError> {
    Reservation::from_wire(answer.message, answer.timing)
}

/// Every item of every page, each page asked for when the one before is used up.
fn pages<T, F>(
    first: String,
    read: impl Fn(String) -> F + Send,
) -> impl Stream<Item = Result<T, ClientError>> + Send
where
    T: Send,
    F: Future<Output = Result<Page<T>, ClientError>> + Send,
{
    let pages = stream::try_unfold(Some(first), move |token| {
        let page = token.map(|token| (read(token.clone()), token));
        async move {
            let Some((page, token)) = page else { return Ok(None) };
            let Page { items, next_page_token: next } = page.await?;
            // A page that asks for itself would keep this alive forever.
            if next == token && !next.is_empty() {
                return Err(ClientError::bad("next_page_token", "it asks for the same page again"));
            }
            let items = stream::iter(items.into_iter().map(Ok));
            Ok(Some((items, Some(next).filter(|next| !next.is_empty()))))
        }
    });
    pages.try_flatten()
}

//! Follows reservations: what stands, then every change, across cuts and restarts of the broker.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tidegate_policy::ProjectId;
use tidegate_proto::v1;
use tonic::Streaming;
use v1::reservation_service_client::ReservationServiceClient;

use crate::calls;
use crate::clock::BootTime;
use crate::connect::Client;
use crate::error::ClientError;
use crate::reservation::{Reservation, ReservationName, Timing};

/// Which reservations are followed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct WatchFilter {
    /// Only those of this project; `None` follows every project.
    pub project: Option<ProjectId>,
    /// Only those for which this CEL expression holds, as for a
    /// [`Listing`](crate::connect::Listing); empty follows all.
    pub filter: String,
}

/// One thing that a watcher is told.
#[derive(Clone, Debug)]
pub enum Watched {
    /// The watch begins, or begins anew: forget everything, what stands follows.
    Reset,
    /// This stands.
    Stands(Box<Reservation>),
    /// All that stands was told; from here on only changes follow.
    Synced,
    /// This was made or changed, and is now so.
    Changed(Box<Reservation>),
    /// This was told before, and the filter no longer holds for it, or it was forgotten.
    Left(ReservationName),
    /// The stream broke, for this reason, and is being resumed: what was told may be out of date.
    Interrupted(ClientError),
    /// The broker tells again; what was missed follows.
    Resumed,
}

/// What is told about reservations, as a stream.
///
/// When the stream breaks, or the broker restarts, it is resumed by itself after what was told
/// last, with ever longer pauses: [`Watched::Interrupted`] and [`Watched::Resumed`] tell so. Where
/// the broker cannot resume it, it begins anew with [`Watched::Reset`]. What no further try could
/// change, such as a filter that is wrong, is an error and the last item.
///
/// A watcher that reads slowly is cut by the broker, and resumed like any other. Words may have
/// waited on their way, so the times on this machine's clock of a reservation that was told,
/// [`Reservation::starts_at`] and [`Reservation::ends_at`], may be late; nothing is enforced by
/// them.
pub struct Watch {
    events: BoxStream<'static, Result<Watched, ClientError>>,
}

impl Client {
    /// Follows the reservations for which `filter` holds.
    ///
    /// ```no_run
    /// use futures_util::StreamExt;
    /// use tidegate_client::watch::{WatchFilter, Watched};
    /// # async fn run(client: tidegate_client::Client) -> Result<(), tidegate_client::ClientError> {
    /// let mut watch = client.watch(WatchFilter::default()).await?;
    /// while let Some(told) = watch.next().await {
    ///     match told? {
    ///         Watched::Reset => println!("forget everything"),
    ///         Watched::Stands(it) | Watched::Changed(it) => println!("{} {}", it.name, it.rate),
    ///         Watched::Left(name) => println!("{name} is gone"),
    ///         Watched::Synced => println!("that is all for now"),
    ///         Watched::Interrupted(error) => println!("{error}"),
    ///         Watched::Resumed => println!("the broker is back"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of every call, if the first stream does not come about.
    pub async fn watch(&self, filter: WatchFilter) -> Result<Watch, ClientError> {
        let request = v1::WatchReservationsRequest {
            parent: calls::parent(filter.project.as_ref()),
            filter: filter.filter,
            resume_token: String::new(),
        };
        let mut state = Follow {
            client: self.clone(),
            request,
            stream: None,
            pauses: Box::new(self.settings().retry.endless()),
            pause: Duration::ZERO,
            interrupted: false,
            held_back: None,
            over: false,
        };
        let first = self.settings().retry.run(|| open(self, &state.request)).await?;
        state.stream = Some(first);
        let events = stream::unfold(state, |mut state| async move {
            let event = state.next().await?;
            Some((event, state))
        });
        Ok(Watch { events: events.boxed() })
    }
}

impl Stream for Watch {
    type Item = Result<Watched, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next_unpin(cx)
    }
}

impl Watch {
    /// What is told next; `None` after an error. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Watched, ClientError>> {
        self.events.next().await
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

type Told = Streaming<v1::WatchReservationsResponse>;

async fn open(
    client: &Client,
    request: &v1::WatchReservationsRequest,
) -> Result<Told, ClientError> {
    let deadline = client.settings().deadline;
    let mut service = ReservationServiceClient::new(client.channel());
    // The deadline binds the opening alone: a stream lasts.
    let opened = tokio::time::timeout(deadline, service.watch_reservations(request.clone())).await;
    let opened = opened.map_err(|_| ClientError::Deadline { after: deadline })?;
    opened
        .map(tonic::Response::into_inner)
        .map_err(|status| ClientError::from_status(&status, deadline))
}

/// A watch between two words.
struct Follow {
    client: Client,
    /// Its token is that of the last word.
    request: v1::WatchReservationsRequest,
    stream: Option<Told>,
    pauses: Box<dyn Iterator<Item = Duration> + Send>,
    /// Before the next stream.
    pause: Duration,
    /// The outage was told, its end was not.
    interrupted: bool,
    /// To be told after the end of the outage.
    held_back: Option<Watched>,
    over: bool,
}

impl Follow {
    async fn next(&mut self) -> Option<Result<Watched, ClientError>> {
        if self.over {
            return None;
        }
        let event = self.follow().await;
        self.over = event.is_err();
        Some(event)
    }

    async fn follow(&mut self) -> Result<Watched, ClientError> {
        if let Some(event) = self.held_back.take() {
            return Ok(event);
        }
        let retry = self.client.settings().retry;
        loop {
            let error = match self.listen().await {
                Ok(event) => {
                    self.pauses = Box::new(retry.endless());
                    if std::mem::replace(&mut self.interrupted, false) {
                        self.held_back = event;
                        return Ok(Watched::Resumed);
                    }
                    match event {
                        Some(event) => return Ok(event),
                        None => continue,
                    }
                }
                Err(error) => error,
            };
            self.stream = None;
            if !passes(&error) {
                return Err(error);
            }
            let pause = self.pauses.next().unwrap_or(retry.longest_pause);
            self.pause = pause.max(error.retry_after().unwrap_or_default());
            tracing::debug!(%error, pause = ?self.pause, "the watch is resumed");
            if !std::mem::replace(&mut self.interrupted, true) {
                return Ok(Watched::Interrupted(error));
            }
        }
    }

    /// The next word, on a new stream if there is none; `None` where it said only that nothing
    /// happened.
    async fn listen(&mut self) -> Result<Option<Watched>, ClientError> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                tokio::time::sleep(std::mem::take(&mut self.pause)).await;
                let stream = open(&self.client, &self.request).await?;
                self.stream.insert(stream)
            }
        };
        let deadline = self.client.settings().deadline;
        let sent = BootTime::now();
        let word = stream.message().await;
        let word = word.map_err(|status| ClientError::from_status(&status, deadline))?;
        let word = word.ok_or_else(|| ClientError::Unreachable {
            why: "the broker ended the watch".into(),
            retry_after: None,
        })?;
        let (event, token) = read(word, sent)?;
        // While what stands is told, there is nothing to resume: then it begins anew.
        let anew = matches!(event, Some(Watched::Reset));
        if anew || !token.is_empty() {
            self.request.resume_token = token;
        }
        Ok(event)
    }
}

/// Whether a later try may go better. A broker that cuts a slow watcher says that it sheds it.
fn passes(error: &ClientError) -> bool {
    error.is_unreachable()
        || matches!(
            error,
            ClientError::Shed { .. } | ClientError::Full { .. } | ClientError::Internal { .. }
        )
}

fn read(
    word: v1::WatchReservationsResponse,
    sent: BootTime,
) -> Result<(Option<Watched>, String), ClientError> {
    use v1::watch_reservations_response::Kind;
    // What a word says held when the broker sent it, at the earliest when it was waited for.
    let timing = Timing { sent, received: BootTime::now() };
    let about = word.reservation;
    let missing = || ClientError::bad("reservation", "it is missing");
    let full = |about: Option<v1::Reservation>| {
        Reservation::from_wire(about.ok_or_else(missing)?, timing).map(Box::new)
    };
    let event = match Kind::try_from(word.kind) {
        Ok(Kind::Reset) => Some(Watched::Reset),
        Ok(Kind::Stands) => Some(Watched::Stands(full(about)?)),
        Ok(Kind::Synced) => Some(Watched::Synced),
        Ok(Kind::Changed) => Some(Watched::Changed(full(about)?)),
        Ok(Kind::Left) => {
            let name = about.ok_or_else(missing)?.name;
            Some(Watched::Left(name.parse().map_err(ClientError::unparsed("reservation.name"))?))
        }
        Ok(Kind::Bookmark) => None,
        // A later broker may say more than this client knows: none of it changes what stands.
        Ok(Kind::Unspecified) | Err(_) => None,
    };
    Ok((event, word.resume_token))
}

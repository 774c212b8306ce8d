//! Reserve, download, verify, release: what an agent does before it uses an image, in one call.

use tidegate_policy::{BitRate, ByteCount, Span};

use crate::ask::{Ask, Shape, Want};
use crate::connect::Client;
use crate::download::{Download, DownloadError, Progress, Report};
use crate::error::ClientError;
use crate::grant::{Acquired, Grant};
use crate::refusal::Refusal;
use crate::reservation::Reservation;
use crate::session::Session;
use crate::terms::OnUnreachable;

/// A download that asks before it moves a byte.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// What to ask for. [`Fetch::sized`] fits its length to the size of the source.
    pub ask: Ask,
    /// What to fetch once it is granted.
    pub download: Download,
    /// What to do where the broker cannot be reached.
    pub on_unreachable: OnUnreachable,
}

/// A fetch that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// What was fetched, and how fast.
    pub report: Report,
    /// The reservation as it was closed; `None` where there was only best effort.
    pub reservation: Option<Reservation>,
}

/// Why a fetch came to nothing. What was granted was given back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The broker said no; the refusal says why and what would fit.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The broker gave no answer that can be used.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The source did not give what was asked for.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The source does not say how large it is.
    #[error("the source does not say how large it is; say how long to reserve")]
    UnknownSize,
    /// The size takes longer at the rate than anything can be reserved for.
    #[error(
        "{size} at {rate} takes longer than anything can be reserved for; ask for a higher rate"
    )]
    TooSlow {
        /// The size of the source.
        size: ByteCount,
        /// The rate asked for.
        rate: BitRate,
    },
}

/// Reserved beyond what the size takes: connecting, the last sync, the release.
const SLACK: Span = Span::from_secs(10);

impl Fetch {
    /// A fetch that fails where the broker cannot be reached.
    #[must_use]
    pub fn new(ask: Ask, download: Download) -> Self {
        Self { ask, download, on_unreachable: OnUnreachable::default() }
    }

    /// Does something else where the broker cannot be reached.
    #[must_use]
    pub fn on_unreachable(mut self, policy: OnUnreachable) -> Self {
        self.on_unreachable = policy;
        self
    }

    /// Asks for as long as the size of the source takes at the rate, 1 % and 10 s more; at the
    /// lowest rate of a flexible request. A transfer is asked for with the size of the source as its
    /// volume. An offer is taken as it is.
    ///
    /// # Errors
    /// [`FetchError::Download`], [`FetchError::UnknownSize`] and [`FetchError::TooSlow`].
    pub async fn sized(mut self) -> Result<Self, FetchError> {
        let Want::Rate(wish) = &self.ask.want else { return Ok(self) };
        let rate = wish.shape.rate();
        let transfer = matches!(wish.shape, Shape::Transfer(_));
        let size = self.download.size().await?.ok_or(FetchError::UnknownSize)?;
        if transfer {
            // What is empty is fetched too, and nothing can be asked for of nothing.
            self.ask = self.ask.volume(ByteCount::new(size.bytes().max(1)));
            return Ok(self);
        }
        let more = ByteCount::new(size.bytes().saturating_add(size.bytes().div_ceil(100)));
        let span = more.span_at(rate).ok_or(FetchError::TooSlow { size, rate })?;
        self.ask = self.ask.lasting(span.plus(SLACK));
        Ok(self)
    }

    /// Reserves within `session`, downloads under the grant, verifies and releases. `granted` is
    /// called once, before the first byte; `progress` as the download moves.
    ///
    /// # Errors
    /// A [`FetchError`]; then there is no file, and what was granted is given back.
    pub async fn run(
        &self,
        session: &Session,
        granted: impl FnOnce(&Grant) + Send,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Fetched, FetchError> {
        let acquired = session.acquire(&self.ask, self.on_unreachable).await?;
        self.run_under(acquired, granted, progress).await
    }

    /// The same in a session of its own under the name `agent`, which is closed at the end.
    ///
    /// # Errors
    /// Those of [`Fetch::run`].
    pub async fn run_alone(
        &self,
        client: &Client,
        agent: &str,
        granted: impl FnOnce(&Grant) + Send,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Fetched, FetchError> {
        let Some(session) = self.open_session(client, agent).await? else {
            let acquired = client.acquire(&self.ask, self.on_unreachable).await?;
            return self.run_under(acquired, granted, progress).await;
        };
        let fetched = self.run(&session, granted, progress).await;
        if let Err(error) = session.close().await {
            tracing::warn!(%error, "the session was not closed; the broker ends it by itself");
        }
        fetched
    }

    /// Opens a session with the patience of the policy; `None` where it goes on without.
    async fn open_session(
        &self,
        client: &Client,
        agent: &str,
    ) -> Result<Option<Session>, ClientError> {
        let open = async {
            let patient = matches!(self.on_unreachable, OnUnreachable::Wait { .. });
            let mut pauses = client.settings().retry.endless();
            loop {
                match client.open_session(agent).await {
                    Err(error) if error.is_unreachable() && patient => {
                        let longest = client.settings().retry.longest_pause;
                        tokio::time::sleep(pauses.next().unwrap_or(longest)).await;
                    }
                    opened => return opened,
                }
            }
        };
        let opened = match self.on_unreachable {
            OnUnreachable::Wait { up_to } => tokio::time::timeout(up_to, open)
                .await
                .unwrap_or(Err(ClientError::Deadline { after: up_to })),
            OnUnreachable::Fail | OnUnreachable::BestEffort(_) => open.await,
        };
        match (opened, self.on_unreachable) {
            (Err(error), OnUnreachable::BestEffort(_)) if error.is_unreachable() => Ok(None),
            (opened, _) => opened.map(Some),
        }
    }

    async fn run_under(
        &self,
        acquired: Acquired,
        granted: impl FnOnce(&Grant) + Send,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Fetched, FetchError> {
        let grant = match acquired {
            Acquired::Granted(grant) => grant,
            Acquired::Refused(refusal) => return Err(FetchError::Refused(Box::new(refusal))),
        };
        granted(&grant);
        // The rate at the beginning may be the lowest of its plan.
        let peak = grant.reservation().map_or(BitRate::ZERO, |granted| granted.rate);
        let download = self.download.clone().peak(peak);
        let downloaded = download.run(grant.limiter(), progress).await;
        // Given back in either case; a download that failed is the error to report.
        let released = grant.release().await;
        let report = downloaded?;
        let reservation = match released {
            Ok(reservation) => reservation,
            // The file is there and verified: that the broker did not hear of it is no failure.
            Err(error) => {
                tracing::warn!(%error, "the reservation was not given back; it ends by itself");
                None
            }
        };
        Ok(Fetched { report, reservation })
    }
}

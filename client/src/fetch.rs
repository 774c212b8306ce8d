//! Reserve, download, verify, release: what an agent does before it uses an image, in one call.

use tidegate_policy::{BitRate, ByteCount, Endpoint, Span};

use crate::ask::{Along, Ask, Shape, Want, Wish};
use crate::connect::Client;
use crate::download::run::SplitWay;
use crate::download::{Download, DownloadError, Progress, Report};
use crate::error::ClientError;
use crate::grant::{Acquired, Grant, GrantWay};
use crate::limiter::LimitError;
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
    /// Which URLs lead to which source of the request, where they are not the same for all: what is
    /// granted from a source is fetched from its own.
    pub at: Vec<(Endpoint, String)>,
    /// What to do where the broker cannot be reached.
    pub on_unreachable: OnUnreachable,
    /// What to do where the grant ends before the download does.
    pub on_expiry: OnExpiry,
}

/// What to do where a grant ends before its download does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExpiry {
    /// Stops; what has come is kept for another try.
    #[default]
    Stop,
    /// Asks again for what is left, as long as each grant brings some of it.
    AskAgain,
}

/// A fetch that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// What was fetched, and how fast; under the last grant where there were several.
    pub report: Report,
    /// The reservation as it was closed, the last one; `None` where there was only best effort.
    pub reservation: Option<Reservation>,
    /// How many grants it took.
    pub grants: u32,
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

/// The shortest plan that is asked for: the answer, a connection and the head of an answer come first.
const LEAST: Span = match Span::from_ms(500) {
    Some(span) => span,
    None => Span::ZERO,
};

/// The lowest rate that a small file is slowed down to.
pub(crate) const FLOOR: BitRate = match BitRate::from_bps(1_000_000) {
    Some(rate) => rate,
    None => BitRate::MAX,
};

/// Reserved beyond what the size takes: connecting, the last sync, the release.
pub(crate) const SLACK: Span = Span::from_secs(10);

impl Fetch {
    /// A fetch that fails where the broker cannot be reached, and stops where its grant ends.
    #[must_use]
    pub fn new(ask: Ask, download: Download) -> Self {
        let (on_unreachable, on_expiry) = (OnUnreachable::default(), OnExpiry::default());
        Self { ask, download, at: Vec::new(), on_unreachable, on_expiry }
    }

    /// At this source of the request, this is the URL.
    #[must_use]
    pub fn at(mut self, source: Endpoint, url: impl Into<String>) -> Self {
        self.at.push((source, url.into()));
        self
    }

    /// Does something else where the grant ends before the download does.
    #[must_use]
    pub fn on_expiry(mut self, policy: OnExpiry) -> Self {
        self.on_expiry = policy;
        self
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
        if matches!(self.ask.want, Want::Rate(_)) {
            let size = self.whole().size().await?.ok_or(FetchError::UnknownSize)?;
            self.ask = lasting(self.ask, size)?;
        }
        Ok(self)
    }

    /// The download over whichever of its URLs answers.
    fn whole(&self) -> Download {
        let urls = self.at.iter().map(|(_, url)| url.clone());
        urls.fold(self.download.clone(), Download::or_from)
    }

    /// Reserves within `session`, downloads under the grant, verifies and releases. `granted` is
    /// called before the first byte under each grant; `progress` as the download moves.
    ///
    /// Where a plan is split over several sources, each gives its share at once, under its own limiter;
    /// the digest has to be known then, because nothing else tells that all gave the same.
    ///
    /// Where the source fails, and the request has others with URLs of their own, what is left is
    /// asked for and fetched from those.
    ///
    /// # Errors
    /// A [`FetchError`]; then there is no file, and what was granted is given back.
    pub async fn run(
        &self,
        session: &Session,
        granted: impl FnMut(&Grant) + Send,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Fetched, FetchError> {
        self.rounds(Asker::Session(session), granted, progress).await
    }

    /// The same in a session of its own under the name `agent`, which is closed at the end.
    ///
    /// # Errors
    /// Those of [`Fetch::run`].
    pub async fn run_alone(
        &self,
        client: &Client,
        agent: &str,
        granted: impl FnMut(&Grant) + Send,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Fetched, FetchError> {
        let Some(session) = open_session(client, agent, self.on_unreachable).await? else {
            return self.rounds(Asker::Client(client), granted, progress).await;
        };
        let fetched = self.run(&session, granted, progress).await;
        if let Err(error) = session.close().await {
            tracing::warn!(%error, "the session was not closed; the broker ends it by itself");
        }
        fetched
    }

    /// One grant after the other, until all of it is there.
    async fn rounds(
        &self,
        asker: Asker<'_>,
        mut granted: impl FnMut(&Grant) + Send,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<Fetched, FetchError> {
        let (mut ask, mut grants) = (self.ask.clone(), 0_u32);
        let mut last = Progress { moved: ByteCount::ZERO, total: None };
        loop {
            let before = last.moved;
            let grant = match asker.acquire(&ask, self.on_unreachable).await? {
                Acquired::Granted(grant) => grant,
                Acquired::Refused(refusal) => return Err(FetchError::Refused(Box::new(refusal))),
            };
            grants = grants.saturating_add(1);
            granted(&grant);
            let source = grant.reservation().and_then(|granted| granted.source().cloned());
            let download = self.download_from(source.as_ref(), &grant);
            let seen = |now: Progress| {
                last = now;
                progress(now);
            };
            let split = self.is_split(&grant);
            let downloaded = match split {
                true => Box::pin(download.run_split(&|| self.ways(&grant), seen)).await,
                false => Box::pin(download.run(grant.limiter(), seen)).await,
            };
            // Given back in either case; a download that failed is the error to report.
            let released = grant.release().await;
            let error = match downloaded {
                Ok(report) => return Ok(Fetched { report, reservation: told(released), grants }),
                Err(error) => error,
            };
            let next = match &error {
                DownloadError::Limit(LimitError::Expired) => {
                    let again = self.on_expiry == OnExpiry::AskAgain && before < last.moved;
                    again.then(|| ask.clone())
                }
                // Of several at once nobody knows here which one it was.
                error if error.is_of_the_source() && !self.at.is_empty() && !split => {
                    source.and_then(|source| without(&ask, &source))
                }
                _ => None,
            };
            let Some(next) = next else { return Err(error.into()) };
            tracing::warn!(%error, left = ?last, "asking again for what is left");
            ask = rest(next, last)?;
        }
    }

    /// Whether a plan takes several sources: then each has a share, and a limiter, of its own.
    fn is_split(&self, grant: &Grant) -> bool {
        let ways = grant.reservation().map(|granted| granted.ways).unwrap_or_default();
        let first = ways.first().map(|way| way.source.clone());
        ways.iter().any(|way| Some(&way.source) != first.as_ref())
    }

    /// The ways of a plan as it stands, each with the URL of its source.
    fn ways(&self, grant: &Grant) -> Vec<SplitWay> {
        let count = grant.reservation().map_or(0, |granted| granted.ways.len());
        let ways = (0..count).filter_map(|index| grant.way(index));
        let url = |way: &GrantWay| {
            let own = self.at.iter().find(|(at, _)| Some(at) == way.way.source.as_ref());
            own.map(|(_, url)| url.as_str()).or_else(|| self.download.first())
        };
        let split = |way: GrantWay| {
            let url = url(&way)?.to_owned();
            Some(SplitWay { url, limiter: way.limiter().clone() })
        };
        ways.filter_map(split).collect()
    }

    /// What to fetch under a grant: from the URLs of its source, if they are known.
    fn download_from(&self, source: Option<&Endpoint>, grant: &Grant) -> Download {
        // The rate at the beginning may be the lowest of its plan.
        let peak = grant.reservation().map_or(BitRate::ZERO, |granted| granted.rate);
        let own = self.at.iter().filter(|(at, _)| Some(at) == source);
        let urls: Vec<String> = own.map(|(_, url)| url.clone()).collect();
        let download =
            if urls.is_empty() { self.whole() } else { self.download.clone().only(urls) };
        download.peak(peak)
    }
}

/// Opens a session with the patience of a policy; `None` where it goes on without.
pub(crate) async fn open_session(
    client: &Client,
    agent: &str,
    policy: OnUnreachable,
) -> Result<Option<Session>, ClientError> {
    let open = async {
        let patient = matches!(policy, OnUnreachable::Wait { .. });
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
    let opened = match policy {
        OnUnreachable::Wait { up_to } => tokio::time::timeout(up_to, open)
            .await
            .unwrap_or(Err(ClientError::Deadline { after: up_to })),
        OnUnreachable::Fail | OnUnreachable::BestEffort(_) => open.await,
    };
    match (opened, policy) {
        (Err(error), OnUnreachable::BestEffort(_)) if error.is_unreachable() => Ok(None),
        (opened, _) => opened.map(Some),
    }
}

/// Who asks the broker.
#[derive(Clone, Copy)]
enum Asker<'a> {
    Session(&'a Session),
    /// Without a session there is nobody to hear of changes.
    Client(&'a Client),
}

impl Asker<'_> {
    async fn acquire(self, ask: &Ask, policy: OnUnreachable) -> Result<Acquired, ClientError> {
        match self {
            Self::Session(session) => session.acquire(ask, policy).await,
            Self::Client(client) => client.acquire(ask, policy).await,
        }
    }
}

/// The file is there and verified: that the broker did not hear of it is no failure.
pub(crate) fn told(released: Result<Option<Reservation>, ClientError>) -> Option<Reservation> {
    released.unwrap_or_else(|error| {
        tracing::warn!(%error, "the reservation was not given back; it ends by itself");
        None
    })
}

/// The same request for so many bytes: for as long as they take at its rate, 1 % and 10 s more, or as
/// the volume of a transfer. An offer is taken as it is.
pub(crate) fn lasting(ask: Ask, size: ByteCount) -> Result<Ask, FetchError> {
    let Want::Rate(wish) = &ask.want else { return Ok(ask) };
    let rate = wish.shape.rate();
    if matches!(wish.shape, Shape::Transfer(_)) {
        // What is empty is fetched too, and nothing can be asked for of nothing.
        let mut ask = ask.volume(ByteCount::new(size.bytes().max(1)));
        if let Want::Rate(Wish { shape: Shape::Transfer(it), .. }) = &mut ask.want {
            // At full rate a small file's plan would be over before the first byte was asked for.
            let gentle = BitRate::mean(it.volume, LEAST).unwrap_or(it.max);
            it.max = gentle.max(it.min).max(FLOOR).min(it.max);
        }
        return Ok(ask);
    }
    let more = ByteCount::new(size.bytes().saturating_add(size.bytes().div_ceil(100)));
    let span = more.span_at(rate).ok_or(FetchError::TooSlow { size, rate })?;
    Ok(ask.lasting(span.plus(SLACK)))
}

/// Another request for what is left.
fn rest(ask: Ask, last: Progress) -> Result<Ask, FetchError> {
    let left = last.total.map(|total| total.bytes().saturating_sub(last.moved.bytes()));
    let mut ask = match left {
        Some(left) => lasting(ask, ByteCount::new(left))?,
        None => ask,
    };
    ask.request_id = crate::wire::new_request_id();
    Ok(ask)
}

/// The request from its other sources alone; `None` if it has no others.
fn without(ask: &Ask, source: &Endpoint) -> Option<Ask> {
    let mut ask = ask.clone();
    let Want::Rate(wish) = &mut ask.want else { return None };
    let Along::Between(between) = &mut wish.along else { return None };
    between.sources.retain(|other| other != source);
    (!between.sources.is_empty()).then_some(ask)
}

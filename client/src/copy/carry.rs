//! Reserve, copy, verify, release: a copy that asks before it moves a byte.

use tidegate_policy::{BitRate, ByteCount, Span, Timestamp};

use super::legs::Legs;
use super::{Copied, CopyError, Copying, Limits};
use crate::ask::{Ask, End, Rigid, Shape, Transfer, Want, Wish};
use crate::clock;
use crate::connect::Client;
use crate::download::Progress;
use crate::error::ClientError;
use crate::fetch::{self, FLOOR, SLACK};
use crate::grant::{AllAcquired, Grant};
use crate::refusal::Refusal;
use crate::reservation::Reservation;
use crate::session::Session;
use crate::terms::OnUnreachable;

/// A copy that asks before it moves a byte: for each direction, all or none.
#[derive(Clone, Debug)]
pub struct Carry {
    /// What to copy once it is granted.
    pub copying: Copying,
    /// What to ask for. [`Carry::sized`] fits it to the size of the source.
    pub legs: Legs<Ask>,
    /// What to do where the broker cannot be reached.
    pub on_unreachable: OnUnreachable,
}

/// A copy that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// What was copied, and how fast.
    pub report: Copied,
    /// The reservations as they were last heard of, in the order in which bytes took them; none where
    /// there was only best effort.
    pub reservations: Vec<Reservation>,
}

/// Why a copy came to nothing. What was granted was given back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarryError {
    /// The broker said no, to all of it; each refusal says why and what would fit.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Refused(Vec<Refusal>),
    /// The broker gave no answer that can be used.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The content did not get from one place to the other.
    #[error(transparent)]
    Copy(#[from] CopyError),
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
    /// All of it by then takes a higher rate than it may have.
    #[error("{size} by {deadline} takes more than {rate}; allow more, or more time")]
    TooLate {
        /// The size of the source, with what waits on its way.
        size: ByteCount,
        /// When all of it was to be there.
        deadline: Timestamp,
        /// The highest rate that it may have.
        rate: BitRate,
    },
}

impl Carry {
    /// A copy that fails where the broker cannot be reached.
    #[must_use]
    pub fn new(copying: Copying, legs: Legs<Ask>) -> Self {
        Self { copying, legs, on_unreachable: OnUnreachable::default() }
    }

    /// Does something else where the broker cannot be reached.
    #[must_use]
    pub fn on_unreachable(mut self, policy: OnUnreachable) -> Self {
        self.on_unreachable = policy;
        self
    }

    /// Asks for as long as the size of the source takes at the rate, 1 % and 10 s more, and longer
    /// for what may wait here before it is sent. A volume by a deadline is asked for with that size;
    /// through this host, as the one constant rate that the deadline takes, on both ways at once: two
    /// plans that move at different times would need room for all that lies between them.
    ///
    /// # Errors
    /// [`CarryError::Copy`], [`CarryError::UnknownSize`], [`CarryError::TooSlow`] and
    /// [`CarryError::TooLate`].
    pub async fn sized(mut self) -> Result<Self, CarryError> {
        let size = self.copying.stat().await?.size.ok_or(CarryError::UnknownSize)?;
        let lag = self.copying.lag(Some(size))?;
        let through = self.legs.is_through();
        let sized = self.legs.clone().map(|ask| fitted(ask, (size, lag), through));
        self.legs = match sized {
            Legs::In(ask) => Legs::In(ask?),
            Legs::Out(ask) => Legs::Out(ask?),
            Legs::Within(ask) => Legs::Within(ask?),
            Legs::Through { into, out } => Legs::Through { into: into?, out: out? },
        };
        Ok(self)
    }

    /// Reserves within `session`, copies under the grants, verifies and releases. `granted` is called
    /// with the grants before the first byte, `progress` as the copy moves.
    ///
    /// # Errors
    /// A [`CarryError`]; what was granted is given back in any case.
    pub async fn run(
        &self,
        session: &Session,
        granted: impl FnOnce(&[Grant]) + Send,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Carried, CarryError> {
        let asks: Vec<Ask> = self.legs.iter().cloned().collect();
        let acquired = session.acquire_all(&asks, self.on_unreachable).await?;
        self.under(acquired, granted, progress).await
    }

    /// The same in a session of its own under the name `agent`, which is closed at the end.
    ///
    /// # Errors
    /// Those of [`Carry::run`].
    pub async fn run_alone(
        &self,
        client: &Client,
        agent: &str,
        granted: impl FnOnce(&[Grant]) + Send,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Carried, CarryError> {
        let opened = fetch::open_session(client, agent, self.on_unreachable).await?;
        let Some(session) = opened else {
            let asks: Vec<Ask> = self.legs.iter().cloned().collect();
            let acquired = client.acquire_all(&asks, self.on_unreachable).await?;
            return self.under(acquired, granted, progress).await;
        };
        let carried = self.run(&session, granted, progress).await;
        if let Err(error) = session.close().await {
            tracing::warn!(%error, "the session was not closed; the broker ends it by itself");
        }
        carried
    }

    async fn under(
        &self,
        acquired: AllAcquired,
        granted: impl FnOnce(&[Grant]) + Send,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Carried, CarryError> {
        let grants = match acquired {
            AllAcquired::Granted(grants) => grants,
            AllAcquired::Refused(refusals) => return Err(CarryError::Refused(refusals)),
        };
        granted(&grants);
        let limits = self.limits(&grants);
        // The rate at the beginning may be the lowest of a plan.
        let rates = grants.iter().filter_map(|grant| grant.reservation().map(|it| it.rate));
        let peak = rates.fold(BitRate::ZERO, BitRate::max);
        let copying = self.copying.clone().peak(peak);
        let copied = Box::pin(copying.run(&limits, progress)).await;
        // Given back in either case; a copy that failed is the error to report.
        let mut reservations = Vec::new();
        for grant in grants {
            // One whose plan is just over needs no giving back: then it is as it was last heard of.
            let known = grant.reservation();
            reservations.extend(fetch::told(grant.release().await).or(known));
        }
        Ok(Carried { report: copied?, reservations })
    }

    fn limits(&self, grants: &[Grant]) -> Limits {
        let limiter = |index: usize| grants.get(index).map(|grant| grant.limiter().clone());
        match self.legs {
            Legs::In(_) | Legs::Within(_) => Limits { reading: limiter(0), writing: None },
            Legs::Out(_) => Limits { reading: None, writing: limiter(0) },
            Legs::Through { .. } => Limits { reading: limiter(0), writing: limiter(1) },
        }
    }
}

/// The same request for content of this size, of which so much may wait before it is sent.
fn fitted(
    mut ask: Ask,
    (size, lag): (ByteCount, ByteCount),
    through: bool,
) -> Result<Ask, CarryError> {
    let Want::Rate(Wish { shape, .. }) = &mut ask.want else { return Ok(ask) };
    let whole = ByteCount::new(size.bytes().saturating_add(lag.bytes()));
    match (*shape, through) {
        (Shape::Transfer(transfer), true) => {
            let rate = steady(whole, &transfer, clock::wall())?;
            let (start, until) = (transfer.start, End::At(transfer.deadline));
            *shape = Shape::Rigid(Rigid { rate, start, until });
            ask.movable = false;
            Ok(ask)
        }
        // A plan is for what passes, however long it waits.
        (Shape::Transfer(_), false) => sized(ask, size),
        _ => sized(ask, whole),
    }
}

fn sized(ask: Ask, size: ByteCount) -> Result<Ask, CarryError> {
    fetch::lasting(ask, size).map_err(|error| match error {
        fetch::FetchError::TooSlow { size, rate } => CarryError::TooSlow { size, rate },
        fetch::FetchError::Client(error) => CarryError::Client(error),
        _ => CarryError::UnknownSize,
    })
}

/// The constant rate that brings so much by a deadline, with 1 % and 10 s to spare.
fn steady(size: ByteCount, transfer: &Transfer, now: Timestamp) -> Result<BitRate, CarryError> {
    let start = transfer.start.unwrap_or(now).max(now);
    let ms = transfer.deadline.as_ms().saturating_sub(start.as_ms());
    let span = u64::try_from(ms).ok().and_then(Span::from_ms).unwrap_or(Span::ZERO);
    let span = Span::from_ms(span.as_ms().saturating_sub(SLACK.as_ms())).unwrap_or(Span::ZERO);
    let more = ByteCount::new(size.bytes().saturating_add(size.bytes().div_ceil(100)));
    let deadline = transfer.deadline;
    let too_late = CarryError::TooLate { size, deadline, rate: transfer.max };
    let Some(mean) = BitRate::mean(more, span) else { return Err(too_late) };
    // The mean is rounded down, a promise has to be kept.
    let least = BitRate::from_bps(mean.bps().saturating_add(1)).unwrap_or(BitRate::MAX);
    let rate = least.max(transfer.min).max(FLOOR.min(transfer.max));
    if transfer.max < rate { Err(too_late) } else { Ok(rate) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_through_this_host_is_one_rate() {
        let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        let by = now.plus(Span::from_secs(110));
        let size: ByteCount = "10GB".parse().unwrap();
        let any = Transfer::new(size, by);
        // 10 GB and 1 % in the 100 s that leave 10 to spare.
        let rate = steady(size, &any, now).unwrap();
        assert_eq!(rate.bps(), 808_000_001);
        let later = Transfer { start: Some(now.plus(Span::from_secs(50))), ..any };
        assert_eq!(steady(size, &later, now).unwrap().bps(), 1_616_000_001);
        let least = Transfer { min: "2Gbit".parse().unwrap(), ..any };
        assert_eq!(steady(size, &least, now).unwrap(), least.min);
        assert_eq!(steady(ByteCount::new(1), &any, now).unwrap(), FLOOR);
        let most = Transfer { max: "800Mbit".parse().unwrap(), ..any };
        for (transfer, at) in [(most, now), (any, by), (any, by.plus(Span::from_secs(9)))] {
            let error = steady(size, &transfer, at).unwrap_err();
            assert!(matches!(error, CarryError::TooLate { .. }), "{error}");
        }
    }
}

//! What can go wrong between a client and its broker: what, why, and what to do next.

use std::fmt;
use std::time::Duration;

use tidegate_policy::{ParseError, ReservationId};
use tonic::Code;

mod status;

/// Why a call to the broker gave no answer that can be used.
///
/// A refusal is no error: it is one of the two answers to a request.
///
/// ```
/// use std::time::Duration;
/// use tidegate_client::ClientError;
///
/// let wait = Duration::from_millis(100);
/// let error = ClientError::Shed { why: "too many requests wait".into(), retry_after: Some(wait) };
/// let again = match &error {
///     // Nothing answered: the same request, with the same id, is safe to send again.
///     error if error.is_unreachable() => Some(Duration::ZERO),
///     // The broker wants to be left alone first.
///     error => error.retry_after(),
/// };
/// assert_eq!(again, Some(wait));
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No connection, or a broker that is not serving now.
    #[error(
        "the broker cannot be reached: {why}; check the address and that tidegated runs, \
         then ask again with the same request id"
    )]
    Unreachable {
        /// What the transport or the broker said.
        why: String,
        /// When the broker wants to be asked again, if it said so.
        retry_after: Option<Duration>,
    },
    /// No answer came in time. What was asked may have happened.
    #[error(
        "no answer within {after:?}: what was asked may have happened; \
         ask again with the same request id to find out"
    )]
    Deadline {
        /// How long one try waited.
        after: Duration,
    },
    /// The deadline passed before the broker decided: nothing has changed.
    #[error("not decided in time: {why}")]
    Undecided {
        /// What the broker said.
        why: String,
    },
    /// The deadline passed before the outcome was durable: whether it was carried out is unknown.
    #[error("decided, but not answered in time: {why}")]
    AnswerLate {
        /// What the broker said.
        why: String,
    },
    /// The broker is stopping: whether it was carried out is unknown.
    #[error("the broker stops: {why}")]
    Stopping {
        /// What the broker said.
        why: String,
        /// When it wants to be asked again, if it said so.
        retry_after: Option<Duration>,
    },
    /// The broker is overloaded and dropped the request unread.
    #[error("the broker sheds load: {why}; ask again {}", later(*retry_after))]
    Shed {
        /// What the broker said.
        why: String,
        /// When it wants to be asked again, if it said so.
        retry_after: Option<Duration>,
    },
    /// A bound on what the broker keeps is reached.
    #[error("the broker is full: {why}")]
    Full {
        /// What there is too much of, and the bound.
        why: String,
        /// When it wants to be asked again, if it said so.
        retry_after: Option<Duration>,
    },
    /// Identity or role does not allow this.
    #[error("not allowed: {why}; ask an administrator for the role that may")]
    Denied {
        /// What the broker said.
        why: String,
    },
    /// There is no such thing, or it is hidden from this identity.
    #[error("not found: {why}")]
    NotFound {
        /// What there is not, by its full name, such as `storage/swift`; empty if it was not said.
        what: String,
        /// What the broker said.
        why: String,
    },
    /// The request could never be granted as it stands.
    #[error("the request is invalid: {why}")]
    Invalid {
        /// What the broker said.
        why: String,
        /// Every field that is wrong.
        violations: Vec<FieldViolation>,
    },
    /// The request id was used before, with another body.
    #[error("conflict: {why}")]
    Conflict {
        /// What the broker said.
        why: String,
    },
    /// The [`Etag`](crate::reservation::Etag) that was named is not the present one: somebody has
    /// changed it since. Read it again, then decide again.
    #[error("it has changed meanwhile: {why}")]
    Stale {
        /// What the broker said.
        why: String,
    },
    /// The request id was not made within the last minutes by the broker's clock, so it cannot be
    /// told whether it was carried out before. Look, then ask with a new one.
    #[error("the request is too old, or the clocks differ: {why}")]
    RequestIdOutOfWindow {
        /// What the broker said.
        why: String,
    },
    /// The state of the reservation does not allow this step, such as confirming a hold that
    /// lapsed.
    #[error("not possible in the present state: {why}")]
    IllegalStep {
        /// Which reservation.
        reservation: Option<ReservationId>,
        /// The step, such as `confirm`.
        step: String,
        /// What the broker said.
        why: String,
    },
    /// The session has ended. Open another one.
    #[error("the session is over: {why}")]
    SessionEnded {
        /// What the broker said.
        why: String,
    },
    /// The reservation is not bound to the session that claims to hold it.
    #[error("not its holder: {why}")]
    NotHolder {
        /// What the broker said.
        why: String,
    },
    /// The change would take away what is promised.
    #[error("{why}")]
    LanesInUse {
        /// What the broker said.
        why: String,
        /// The lanes, as many as an answer has room for.
        lanes: Vec<LaneInUse>,
    },
    /// The project has live reservations of its own.
    #[error("{why}")]
    ProjectInUse {
        /// What the broker said.
        why: String,
    },
    /// The class of service has live reservations.
    #[error("{why}")]
    ClassInUse {
        /// What the broker said.
        why: String,
    },
    /// The change would take quotas below what is used.
    #[error("{why}")]
    QuotasInUse {
        /// What the broker said.
        why: String,
    },
    /// The state of things does not allow this, for a reason that this client does not know.
    #[error("not possible in the present state: {why}")]
    FailedPrecondition {
        /// What the broker said.
        why: String,
    },
    /// The broker does not know this call.
    #[error("the broker does not offer this: {why}; it may be older than this client")]
    Unsupported {
        /// What the broker said.
        why: String,
    },
    /// The broker failed, or answered with a code that it never uses.
    #[error("the broker failed with {code:?}: {why}; its log says more")]
    Internal {
        /// The code of the answer.
        code: Code,
        /// What the broker said.
        why: String,
    },
    /// The answer does not make sense to this client.
    #[error("the answer of the broker cannot be used: {field}: {why}; check both versions")]
    BadAnswer {
        /// The field of the answer.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The address of the broker is not one.
    #[error(
        "{target:?} is not the address of a broker: {why}; write http://HOST:PORT or unix:/PATH"
    )]
    BadTarget {
        /// The address as given.
        target: String,
        /// What is wrong with it.
        why: String,
    },
    /// The session is over, or carries as many grants as it may.
    #[error("the session cannot take this: {why}; open another session")]
    SessionUnusable {
        /// What is the matter.
        why: String,
    },
    /// A blocking call was made where waiting would stop an async runtime.
    #[error(
        "a blocking call inside of an async task: it would stop the runtime; \
         await the same call of tidegate_client::Client, or wrap this one in spawn_blocking"
    )]
    InsideRuntime,
    /// The runtime behind a blocking client could not be started.
    #[error("cannot start the thread of a blocking client: {why}")]
    NoRuntime {
        /// What the system said.
        why: String,
    },
}

/// A lane on which more is promised than a change would leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneInUse {
    /// The lane, such as `links/spine-1/forward`.
    pub lane: String,
    /// What is promised on it until when, and what would be left.
    pub why: String,
}

/// One field of a request that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// The path of the field, such as `rigid.rate_bps`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

impl ClientError {
    /// Whether the same request, with the same id, may succeed if it is sent again soon: nothing
    /// answered. A shed request is not among them: repeating it at once is what overload is made of.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Deadline { .. }
                | Self::Undecided { .. }
                | Self::AnswerLate { .. }
                | Self::Stopping { .. }
        )
    }

    /// Whether what was asked may have been carried out all the same: the same request, with the
    /// same id, tells.
    #[must_use]
    pub const fn may_have_happened(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Deadline { .. }
                | Self::AnswerLate { .. }
                | Self::Stopping { .. }
                | Self::Internal { .. }
                | Self::BadAnswer { .. }
        )
    }

    /// How long the broker wants to be left alone, if it said so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unreachable { retry_after, .. }
            | Self::Stopping { retry_after, .. }
            | Self::Full { retry_after, .. }
            | Self::Shed { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(crate) fn bad(field: &'static str, why: impl fmt::Display) -> Self {
        Self::BadAnswer { field, why: why.to_string() }
    }

    pub(crate) fn unparsed(field: &'static str) -> impl FnOnce(ParseError) -> Self {
        move |error| Self::bad(field, error)
    }
}

fn later(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(|| "later".to_owned(), |after| format!("in {after:?}"))
}

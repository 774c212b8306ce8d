//! What can go wrong between a client and its broker: what, why, and what to do next.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use tidegate_policy::ParseError;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Why a call to the broker gave no answer that can be used.
///
/// A refusal is no error: it is one of the two answers to a request.
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
    /// The broker is overloaded and dropped the request unread.
    #[error("the broker sheds load: {why}; ask again {}", later(*retry_after))]
    Shed {
        /// What the broker said.
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
    /// The state of things does not allow this step, such as confirming a hold that lapsed.
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
        matches!(self, Self::Unreachable { .. } | Self::Deadline { .. })
    }

    /// How long the broker wants to be left alone, if it said so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unreachable { retry_after, .. } | Self::Shed { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(crate) fn bad(field: &'static str, why: impl fmt::Display) -> Self {
        Self::BadAnswer { field, why: why.to_string() }
    }

    pub(crate) fn unparsed(field: &'static str) -> impl FnOnce(ParseError) -> Self {
        move |error| Self::bad(field, error)
    }

    /// The one place where codes of the wire become errors.
    pub(crate) fn from_status(status: &Status, deadline: Duration) -> Self {
        let why = explain(status);
        let retry_after = || status.get_details_retry_info().and_then(|info| info.retry_delay);
        match status.code() {
            Code::Unavailable => Self::Unreachable { why, retry_after: retry_after() },
            Code::DeadlineExceeded => Self::Deadline { after: deadline },
            // The transport of this side says "cancelled" where its own timer ran out.
            Code::Cancelled if status.message() == TIMED_OUT => Self::Deadline { after: deadline },
            // A status that came over the wire has no source: this one is about the connection.
            Code::Unknown | Code::Internal | Code::Cancelled if status.source().is_some() => {
                Self::Unreachable { why, retry_after: None }
            }
            Code::ResourceExhausted => Self::Shed { why, retry_after: retry_after() },
            Code::PermissionDenied | Code::Unauthenticated => Self::Denied { why },
            Code::NotFound => Self::NotFound { why },
            Code::InvalidArgument | Code::OutOfRange => {
                let details = status.get_details_bad_request();
                let violations = details.into_iter().flat_map(|d| d.field_violations);
                let violations = violations
                    .map(|v| FieldViolation { field: v.field, description: v.description });
                Self::Invalid { why, violations: violations.collect() }
            }
            Code::AlreadyExists | Code::Aborted => Self::Conflict { why },
            Code::FailedPrecondition => Self::FailedPrecondition { why },
            Code::Unimplemented => Self::Unsupported { why },
            code @ (Code::Ok
            | Code::Unknown
            | Code::Internal
            | Code::Cancelled
            | Code::DataLoss) => Self::Internal { code, why },
        }
    }
}

/// What tonic writes where its timer on this side ran out.
const TIMED_OUT: &str = "Timeout expired";

/// The message of a status and of what caused it: "transport error" alone helps nobody.
fn explain(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = status.source();
    while let Some(error) = source {
        let part = error.to_string();
        if !text.contains(&part) {
            text = if text.is_empty() { part } else { format!("{text}: {part}") };
        }
        source = error.source();
    }
    if text.is_empty() { "it gave no reason".to_owned() } else { text }
}

fn later(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(|| "later".to_owned(), |after| format!("in {after:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    const DEADLINE: Duration = Duration::from_secs(5);

    #[test]
    fn every_violation_is_told() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("rigid.rate_bps", "it is zero");
        details.add_bad_request_violation("destination", "it is empty");
        let status = Status::with_error_details(Code::InvalidArgument, "two fields", details);
        let error = ClientError::from_status(&status, DEADLINE);
        let ClientError::Invalid { violations, .. } = &error else { panic!("{error}") };
        let fields: Vec<&str> = violations.iter().map(|one| one.field.as_str()).collect();
        assert_eq!(fields, ["rigid.rate_bps", "destination"]);
        // The broker's words name every field already, and what to do next.
        assert_eq!(error.to_string(), "the request is invalid: two fields");
        assert!(!error.is_unreachable());
    }

    #[test]
    fn the_hint_of_an_overloaded_broker_survives() {
        let wait = Duration::from_millis(700);
        let details = ErrorDetails::with_retry_info(Some(wait));
        let status = Status::with_error_details(Code::ResourceExhausted, "queue full", details);
        let error = ClientError::from_status(&status, DEADLINE);
        assert_eq!(error.retry_after(), Some(wait));
        assert!(!error.is_unreachable(), "a shed request is not repeated behind the caller");
    }

    #[test]
    fn each_code_has_its_error() {
        let table = [
            (Code::Unavailable, true),
            (Code::DeadlineExceeded, true),
            (Code::PermissionDenied, false),
            (Code::NotFound, false),
            (Code::AlreadyExists, false),
            (Code::FailedPrecondition, false),
            (Code::Internal, false),
            (Code::Unknown, false),
        ];
        for (code, again) in table {
            let error = ClientError::from_status(&Status::new(code, "x"), DEADLINE);
            assert_eq!(error.is_unreachable(), again, "{code:?}: {error}");
        }
    }
}

//! Codes and reasons of the wire, and the errors that they are.

use std::error::Error;
use std::time::Duration;

use tidegate_proto::v1;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{ClientError, FieldViolation, LaneInUse};

impl ClientError {
    /// The one place where codes of the wire become errors.
    pub(crate) fn from_status(status: &Status, deadline: Duration) -> Self {
        let why = explain(status);
        // A reason says more than its code.
        let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        if let Some(error) = from_reason(&reason, status, &why) {
            return error;
        }
        match status.code() {
            // The transport of this side says "cancelled" where its own timer ran out.
            Code::Cancelled if status.message() == TIMED_OUT => Self::Deadline { after: deadline },
            // A status that came over the wire has no source: this one is about the connection.
            Code::Unknown | Code::Internal | Code::Cancelled if status.source().is_some() => {
                Self::Unreachable { why, retry_after: None }
            }
            Code::DeadlineExceeded => Self::Deadline { after: deadline },
            code => from_code(code, why, retry_after(status), || violations(status)),
        }
    }

    /// An error that came inside of a message: what a call would be told, with fewer details.
    pub(crate) fn from_item(item: v1::AdmitError) -> Self {
        let (code, why) = (Code::from_i32(item.code), item.message);
        let mut details = ErrorDetails::new();
        for bad in item.field_violations {
            details.add_bad_request_violation(bad.field, bad.description);
        }
        let status = Status::with_error_details(code, &why, details);
        if let Some(error) = from_reason(&item.reason, &status, &why) {
            return error;
        }
        match code {
            Code::DeadlineExceeded => Self::AnswerLate { why },
            code => from_code(code, why, None, || violations(&status)),
        }
    }
}

/// The reasons of the broker, each with what comes along with it.
fn from_reason(reason: &str, status: &Status, why: &str) -> Option<ClientError> {
    let why = why.to_owned();
    let retry_after = || retry_after(status);
    Some(match reason {
        "FIELDS_INVALID" => ClientError::Invalid { why, violations: violations(status) },
        "SHED" => ClientError::Shed { why, retry_after: retry_after() },
        "DEADLINE_PASSED" => ClientError::Undecided { why },
        "ANSWER_LATE" => ClientError::AnswerLate { why },
        "STOPPING" => ClientError::Stopping { why, retry_after: retry_after() },
        "NOT_FOUND" => {
            let info = status.get_details_resource_info();
            let what = info.map(|info| info.resource_name).unwrap_or_default();
            ClientError::NotFound { what, why }
        }
        "ETAG_STALE" => ClientError::Stale { why },
        "REQUEST_ID_REUSED" => ClientError::Conflict { why },
        "REQUEST_ID_OUT_OF_WINDOW" => ClientError::RequestIdOutOfWindow { why },
        "ILLEGAL_STEP" => {
            let (subject, step) = preconditions(status, "STATE").next().unwrap_or_default();
            ClientError::IllegalStep { reservation: subject.parse().ok(), step, why }
        }
        "SESSION_ENDED" => ClientError::SessionEnded { why },
        "NOT_HOLDER" => ClientError::NotHolder { why },
        "LANES_IN_USE" => {
            let lanes = preconditions(status, "LANE");
            let lanes = lanes.map(|(lane, why)| LaneInUse { lane, why });
            ClientError::LanesInUse { why, lanes: lanes.collect() }
        }
        "PROJECT_IN_USE" => ClientError::ProjectInUse { why },
        "CLASS_IN_USE" => ClientError::ClassInUse { why },
        "QUOTAS_IN_USE" => ClientError::QuotasInUse { why },
        "FULL" => ClientError::Full { why, retry_after: retry_after() },
        _ => return None,
    })
}

/// What a code says by itself.
fn from_code(
    code: Code,
    why: String,
    retry_after: Option<Duration>,
    violations: impl FnOnce() -> Vec<FieldViolation>,
) -> ClientError {
    match code {
        Code::Unavailable => ClientError::Unreachable { why, retry_after },
        Code::ResourceExhausted => ClientError::Shed { why, retry_after },
        Code::PermissionDenied | Code::Unauthenticated => ClientError::Denied { why },
        Code::NotFound => ClientError::NotFound { what: String::new(), why },
        Code::InvalidArgument | Code::OutOfRange => {
            ClientError::Invalid { why, violations: violations() }
        }
        Code::AlreadyExists => ClientError::Conflict { why },
        Code::Aborted => ClientError::Stale { why },
        Code::FailedPrecondition => ClientError::FailedPrecondition { why },
        Code::Unimplemented => ClientError::Unsupported { why },
        code @ (Code::Ok
        | Code::Unknown
        | Code::Internal
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::DataLoss) => ClientError::Internal { code, why },
    }
}

fn retry_after(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}

fn violations(status: &Status) -> Vec<FieldViolation> {
    let details = status.get_details_bad_request();
    let violations = details.into_iter().flat_map(|details| details.field_violations);
    let violation = |v: tonic_types::FieldViolation| FieldViolation {
        field: v.field,
        description: v.description,
    };
    violations.map(violation).collect()
}

/// The preconditions of one kind that failed: subject and description.
fn preconditions(status: &Status, kind: &'static str) -> impl Iterator<Item = (String, String)> {
    let details = status.get_details_precondition_failure();
    let failed = details.into_iter().flat_map(|details| details.violations);
    failed.filter(move |one| one.r#type == kind).map(|one| (one.subject, one.description))
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let stale = ClientError::from_status(&Status::aborted("its etag is e8"), DEADLINE);
        assert!(matches!(stale, ClientError::Stale { .. }), "{stale:?}");
    }

    /// What the broker says with this reason.
    fn said(code: Code, reason: &str, more: impl FnOnce(&mut ErrorDetails)) -> ClientError {
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, "tidegate.v1", std::collections::HashMap::new());
        more(&mut details);
        let status = Status::with_error_details(code, "why", details);
        ClientError::from_status(&status, DEADLINE)
    }

    /// The name of a variant.
    fn variant(error: &ClientError) -> String {
        let text = format!("{error:?}");
        text.chars().take_while(char::is_ascii_alphanumeric).collect()
    }

    #[test]
    fn each_reason_has_its_error() {
        // Code, reason, variant, whether it is asked again, whether it may have happened.
        let table = [
            (Code::InvalidArgument, "FIELDS_INVALID", "Invalid", false, false),
            (Code::ResourceExhausted, "SHED", "Shed", false, false),
            (Code::DeadlineExceeded, "DEADLINE_PASSED", "Undecided", true, false),
            (Code::DeadlineExceeded, "ANSWER_LATE", "AnswerLate", true, true),
            (Code::Unavailable, "STOPPING", "Stopping", true, true),
            (Code::NotFound, "NOT_FOUND", "NotFound", false, false),
            (Code::AlreadyExists, "REQUEST_ID_REUSED", "Conflict", false, false),
            (
                Code::FailedPrecondition,
                "REQUEST_ID_OUT_OF_WINDOW",
                "RequestIdOutOfWindow",
                false,
                false,
            ),
            (Code::FailedPrecondition, "ILLEGAL_STEP", "IllegalStep", false, false),
            (Code::Aborted, "ETAG_STALE", "Stale", false, false),
            (Code::FailedPrecondition, "SESSION_ENDED", "SessionEnded", false, false),
            (Code::FailedPrecondition, "NOT_HOLDER", "NotHolder", false, false),
            (Code::FailedPrecondition, "LANES_IN_USE", "LanesInUse", false, false),
            (Code::FailedPrecondition, "PROJECT_IN_USE", "ProjectInUse", false, false),
            (Code::FailedPrecondition, "CLASS_IN_USE", "ClassInUse", false, false),
            (Code::FailedPrecondition, "QUOTAS_IN_USE", "QuotasInUse", false, false),
            (Code::ResourceExhausted, "FULL", "Full", false, false),
            // What a later broker says is known by its code.
            (Code::FailedPrecondition, "TIDE_OUT", "FailedPrecondition", false, false),
        ];
        for (code, reason, expected, again, happened) in table {
            let error = said(code, reason, |_| {});
            assert_eq!(variant(&error), expected, "{reason}");
            assert_eq!(error.is_unreachable(), again, "{reason}");
            assert_eq!(error.may_have_happened(), happened, "{reason}");
            let (code, reason) = (code.into(), reason.into());
            let item = v1::AdmitError { code, reason, ..v1::AdmitError::default() };
            assert_eq!(variant(&ClientError::from_item(item)), expected, "{expected} on a stream");
        }
    }

    #[test]
    fn what_comes_along_with_a_reason_is_kept() {
        let missing = said(Code::NotFound, "NOT_FOUND", |details| {
            details.set_resource_info("storage", "storage/swift", "", "it does not exist");
        });
        let ClientError::NotFound { what, .. } = missing else { panic!("{missing}") };
        assert_eq!(what, "storage/swift");
        let id = "019aa7e0-8000-7000-8000-000000000001";
        let step = said(Code::FailedPrecondition, "ILLEGAL_STEP", |details| {
            details.add_precondition_failure_violation("STATE", id, "confirm");
        });
        let ClientError::IllegalStep { reservation, step, .. } = step else { panic!("{step}") };
        assert_eq!((reservation.unwrap().to_string().as_str(), step.as_str()), (id, "confirm"));
        let in_use = said(Code::FailedPrecondition, "LANES_IN_USE", |details| {
            details.add_precondition_failure_violation("LANE", "links/a/forward", "5 bit/s");
            details.add_precondition_failure_violation("LANE", "links/b/forward", "7 bit/s");
        });
        let ClientError::LanesInUse { lanes, .. } = in_use else { panic!("{in_use}") };
        assert_eq!((lanes.len(), lanes[1].lane.as_str()), (2, "links/b/forward"));
        let wait = Duration::from_millis(100);
        for (code, reason) in [(Code::ResourceExhausted, "FULL"), (Code::Unavailable, "STOPPING")] {
            let error = said(code, reason, |details| {
                details.set_retry_info(Some(wait));
            });
            assert_eq!(error.retry_after(), Some(wait), "{reason}");
        }
    }
}

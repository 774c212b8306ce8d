//! Where a cause becomes a gRPC status: the only place that names codes.

use std::collections::HashMap;
use std::time::Duration;

use tidegate_core::{Fault, FieldFault};
use tidegate_proto::v1;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::convert::reply;
use crate::reports::ReportsError;

/// The domain of every error reason.
const DOMAIN: &str = "tidegate.v1";

/// Why a call was not answered.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The core says what is wrong with it.
    Fault(Fault),
    /// Fields are malformed; all of them.
    Fields(Vec<FieldFault>),
    /// Too many requests wait already.
    Shed,
    /// Its deadline passed before it was decided: nothing has changed.
    DeadlinePassed,
    /// Its deadline passed before its outcome was durable: whether it was carried out is unknown.
    AnswerLate,
    /// Somebody takes a backup already.
    BackupUnderWay,
    /// No backup can be had, and why.
    NoBackup(String),
    /// No report can be made, and why.
    NoReport(String),
    /// The broker is stopping, or its journal failed: whether it was carried out is unknown.
    Stopped,
    /// A watcher takes changes more slowly than they are made. It resumes with this token, if it
    /// had one.
    WatchBehind(Option<String>),
    /// A watch ends because the broker is stopping. It resumes with this token, if it had one.
    WatchStopped(Option<String>),
    /// Somebody does not take the answers on its stream.
    NotRead,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<ReportsError> for Failure {
    fn from(error: ReportsError) -> Self {
        Self::NoReport(error.to_string())
    }
}

impl From<Vec<FieldFault>> for Failure {
    fn from(fields: Vec<FieldFault>) -> Self {
        Self::Fields(fields)
    }
}

/// For one question of a stream: what a call would be told.
impl From<Failure> for v1::AdmitError {
    fn from(failure: Failure) -> Self {
        let (_, reason) = code(&failure);
        let status = Status::from(failure);
        let bad = status.get_details_bad_request();
        let bad = bad.into_iter().flat_map(|bad| bad.field_violations);
        Self {
            code: i32::from(status.code()),
            message: status.message().into(),
            field_violations: bad
                .map(|it| v1::FieldViolation { field: it.field, description: it.description })
                .collect(),
            reason: reason.into(),
        }
    }
}

/// How long a caller whose request was shed waits before it asks again.
const SHED_RETRY: Duration = Duration::from_millis(100);

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let (code, reason) = code(&failure);
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, DOMAIN, metadata(&failure));
        let message = match &failure {
            Failure::Fault(fault) => {
                detail(&mut details, fault);
                match fault {
                    Fault::Invalid(fields) => named(fields),
                    other => cut(&other.to_string(), MESSAGE_MAX),
                }
            }
            Failure::Fields(fields) => {
                violations(&mut details, fields);
                named(fields)
            }
            Failure::Shed => {
                details.set_retry_info(Some(SHED_RETRY));
                "too many requests wait for a decision; ask again shortly".into()
            }
            Failure::DeadlinePassed => {
                "the deadline passed before a decision; nothing has changed, ask again with the \
                 same request id and more time"
                    .into()
            }
            Failure::AnswerLate => {
                "the deadline passed before the answer; ask again with the same request id and \
                 more time to learn the outcome"
                    .into()
            }
            Failure::BackupUnderWay => {
                "somebody takes a backup already, and one at a time is enough; ask again later"
                    .into()
            }
            Failure::NoBackup(why) | Failure::NoReport(why) => cut(why, MESSAGE_MAX),
            Failure::Stopped => {
                "the broker is stopping; ask again with the same request id to learn the outcome"
                    .into()
            }
            Failure::WatchBehind(token) => {
                format!("changes are made faster than this watch takes them; {}", resume(token))
            }
            Failure::WatchStopped(token) => format!("the broker is stopping; {}", resume(token)),
            Failure::NotRead => {
                "the answers on this stream were not read; read them while asking, and ask again \
                 with the same request ids to learn the outcomes"
                    .into()
            }
        };
        Self::with_error_details(code, message, details)
    }
}

/// What a program reads instead of the message.
fn metadata(failure: &Failure) -> HashMap<String, String> {
    match failure {
        Failure::WatchBehind(Some(token)) | Failure::WatchStopped(Some(token)) => {
            HashMap::from([("resume_token".into(), token.clone())])
        }
        Failure::Fault(Fault::Within { part, .. }) => {
            HashMap::from([("part".into(), part.clone())])
        }
        _ => HashMap::new(),
    }
}

fn resume(token: &Option<String>) -> String {
    match token {
        Some(token) => format!("watch again with resume_token {token}"),
        None => "watch again from the beginning".into(),
    }
}

/// The reason of a failure, a name that is stable forever.
pub(crate) fn reason(failure: &Failure) -> &'static str {
    code(failure).1
}

/// A code as the specification of gRPC writes it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Whether a code blames the broker and not its caller, as OpenTelemetry draws the line.
pub(crate) fn is_ours(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// The code of a failure and its reason, a name that is stable forever.
pub(crate) fn code(failure: &Failure) -> (Code, &'static str) {
    match failure {
        Failure::Fields(_) => (Code::InvalidArgument, "FIELDS_INVALID"),
        Failure::Shed => (Code::ResourceExhausted, "SHED"),
        Failure::DeadlinePassed => (Code::DeadlineExceeded, "DEADLINE_PASSED"),
        Failure::AnswerLate => (Code::DeadlineExceeded, "ANSWER_LATE"),
        Failure::BackupUnderWay => (Code::ResourceExhausted, "BACKUP_UNDER_WAY"),
        Failure::NoBackup(_) => (Code::DataLoss, "NO_BACKUP"),
        Failure::NoReport(_) => (Code::Unavailable, "NO_REPORT"),
        Failure::Stopped | Failure::WatchStopped(_) => (Code::Unavailable, "STOPPING"),
        Failure::WatchBehind(_) => (Code::ResourceExhausted, "WATCH_BEHIND"),
        Failure::NotRead => (Code::ResourceExhausted, "ANSWERS_NOT_READ"),
        Failure::Fault(fault) => code_of(fault),
    }
}

fn code_of(fault: &Fault) -> (Code, &'static str) {
    match fault {
        Fault::Invalid(_) => (Code::InvalidArgument, "FIELDS_INVALID"),
        Fault::NotFound { .. } => (Code::NotFound, "NOT_FOUND"),
        Fault::RequestReused(_) => (Code::AlreadyExists, "REQUEST_ID_REUSED"),
        Fault::RequestOutOfWindow { .. } => (Code::FailedPrecondition, "REQUEST_ID_OUT_OF_WINDOW"),
        Fault::IllegalStep { .. } => (Code::FailedPrecondition, "ILLEGAL_STEP"),
        Fault::Stale { .. } => (Code::Aborted, "ETAG_STALE"),
        Fault::SessionEnded(_) => (Code::FailedPrecondition, "SESSION_ENDED"),
        Fault::NotHolder { .. } => (Code::FailedPrecondition, "NOT_HOLDER"),
        Fault::LanesInUse { .. } => (Code::FailedPrecondition, "LANES_IN_USE"),
        Fault::StalePolicy { .. } => (Code::Aborted, "ETAG_STALE"),
        Fault::ProjectInUse { .. } => (Code::FailedPrecondition, "PROJECT_IN_USE"),
        Fault::ClassInUse { .. } => (Code::FailedPrecondition, "CLASS_IN_USE"),
        Fault::QuotasInUse(_) => (Code::FailedPrecondition, "QUOTAS_IN_USE"),
        Fault::Full { .. } => (Code::ResourceExhausted, "FULL"),
        Fault::Within { fault, .. } => code_of(fault),
    }
}

/// The code of plain HTTP that says the same as that of gRPC.
pub(crate) fn http(status: &Status) -> http::StatusCode {
    match status.code() {
        Code::Ok => http::StatusCode::OK,
        Code::InvalidArgument | Code::OutOfRange => http::StatusCode::BAD_REQUEST,
        Code::Unauthenticated => http::StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => http::StatusCode::FORBIDDEN,
        Code::NotFound => http::StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => {
            http::StatusCode::CONFLICT
        }
        Code::ResourceExhausted => http::StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => http::StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable | Code::Cancelled => http::StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => http::StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => http::StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn detail(details: &mut ErrorDetails, fault: &Fault) {
    match fault {
        Fault::Invalid(fields) => violations(details, fields),
        Fault::NotFound { what } => {
            let kind = what.split('/').next().unwrap_or_default();
            details.set_resource_info(kind, what, "", "it does not exist");
        }
        Fault::LanesInUse { lanes, losses } => {
            // Of each kind as many as fit into one half.
            let mut room = DETAILS_MAX / 2;
            for lane in lanes {
                let why = format!(
                    "{} bit/s promised until {}, {} bit/s left",
                    lane.promised, lane.until, lane.capacity
                );
                if !fits(&mut room, lane.lane.as_str(), &why) {
                    break;
                }
                details.add_precondition_failure_violation("LANE", lane.lane.as_str(), why);
            }
            let mut room = DETAILS_MAX / 2;
            for victim in &losses.victims {
                let name = reply::unknown_name(victim.reservation);
                let why = format!("would be lost at {} on {}", victim.lost, victim.lane);
                if !fits(&mut room, &name, &why) {
                    break;
                }
                details.add_precondition_failure_violation("RESERVATION", name, why);
            }
        }
        Fault::QuotasInUse(overuses) => {
            let mut room = DETAILS_MAX;
            for overuse in overuses {
                let (name, why) = (overuse.whose.to_string(), overuse.to_string());
                if !fits(&mut room, &name, &why) {
                    break;
                }
                details.add_precondition_failure_violation("QUOTA", name, why);
            }
        }
        Fault::ProjectInUse { project, live } => {
            let why = format!("{live} live reservations");
            details.add_precondition_failure_violation(
                "PROJECT",
                format!("projects/{project}"),
                why,
            );
        }
        Fault::ClassInUse { class, live } => {
            let why = format!("{live} live reservations");
            details.add_precondition_failure_violation("CLASS", format!("classes/{class}"), why);
        }
        Fault::IllegalStep { id, step, .. } => {
            details.add_precondition_failure_violation("STATE", id.to_string(), *step);
        }
        Fault::Full { .. } => {
            details.set_retry_info(Some(SHED_RETRY));
        }
        Fault::Within { fault, .. } => detail(details, fault),
        Fault::RequestReused(_)
        | Fault::RequestOutOfWindow { .. }
        | Fault::Stale { .. }
        | Fault::StalePolicy { .. }
        | Fault::SessionEnded(_)
        | Fault::NotHolder { .. } => {}
    }
}

/// The longest message, and all violations of one answer together, in bytes. An answer has to fit
/// into the headers of a reply, of which clients take 8 KiB or so and close the connection past
/// that, with everything else that is under way on it.
const MESSAGE_MAX: usize = 1200;
const DETAILS_MAX: usize = 2400;
/// The longest explanation of one field, in bytes.
const WHY_MAX: usize = 300;

/// What is wrong, field by field, as far as it fits.
fn named(fields: &[FieldFault]) -> String {
    let mut message = String::new();
    for (index, fault) in fields.iter().enumerate() {
        let line = format!("{}: {}", fault.field, cut(&fault.why, WHY_MAX));
        if index != 0 && MESSAGE_MAX < message.len().saturating_add(line.len()) {
            let rest = fields.len().saturating_sub(index);
            return format!("{message}; and {rest} more");
        }
        if index != 0 {
            message.push_str("; ");
        }
        message.push_str(&line);
    }
    message
}

fn violations(details: &mut ErrorDetails, fields: &[FieldFault]) {
    let mut room = DETAILS_MAX;
    for fault in fields {
        let why = cut(&fault.why, WHY_MAX);
        if !fits(&mut room, &fault.field, &why) {
            break;
        }
        details.add_bad_request_violation(fault.field.as_str(), why);
    }
}

/// Takes the room that a violation needs, if there is as much.
fn fits(room: &mut usize, subject: &str, why: &str) -> bool {
    /// Tags and lengths around the two.
    const FRAME: usize = 12;
    let needed = subject.len().saturating_add(why.len()).saturating_add(FRAME);
    let left = room.checked_sub(needed);
    *room = left.unwrap_or(0);
    left.is_some()
}

/// At most `most` bytes of a text.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.into();
    }
    format!("{}…", &text[..text.floor_char_boundary(most)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the headers that a status becomes, at most.
    fn header_bytes(status: &Status) -> usize {
        let encoded: usize =
            status.message().bytes().map(|b| if b.is_ascii_alphanumeric() { 1 } else { 3 }).sum();
        encoded + status.details().len().div_ceil(3) * 4
    }

    #[test]
    fn however_much_is_wrong_the_answer_fits_into_headers() {
        // As many as a message holds, the first of them as long as a message is.
        let fault = |index: usize| {
            let why = "\u{202e}".repeat(if index < 40 { 99_999 } else { 9 });
            FieldFault::new(format!("topology.links[{index}].to"), why)
        };
        let fields: Vec<FieldFault> = (0..100_000).map(fault).collect();
        let status = Status::from(Failure::Fields(fields));
        assert!(status.message().ends_with("; and 99997 more"), "{}", status.message());
        assert!(header_bytes(&status) < 10_000, "{}", header_bytes(&status));
    }
}

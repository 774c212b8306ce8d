//! Where a cause becomes a gRPC status: the only place that names codes.

use std::collections::HashMap;
use std::time::Duration;

use tidegate_core::{Fault, FieldFault};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

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
    /// The broker is stopping, or its journal failed: whether it was carried out is unknown.
    Stopped,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Vec<FieldFault>> for Failure {
    fn from(fields: Vec<FieldFault>) -> Self {
        Self::Fields(fields)
    }
}

/// How long a caller whose request was shed waits before it asks again.
const SHED_RETRY: Duration = Duration::from_millis(100);

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let (code, reason) = code(&failure);
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, DOMAIN, HashMap::new());
        let message = match &failure {
            Failure::Fault(fault) => {
                detail(&mut details, fault);
                fault.to_string()
            }
            Failure::Fields(fields) => {
                violations(&mut details, fields);
                Fault::Invalid(fields.clone()).to_string()
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
            Failure::Stopped => {
                "the broker is stopping; ask again with the same request id to learn the outcome"
                    .into()
            }
        };
        Self::with_error_details(code, message, details)
    }
}

/// The code of a failure and its reason, a name that is stable forever.
fn code(failure: &Failure) -> (Code, &'static str) {
    match failure {
        Failure::Fields(_) => (Code::InvalidArgument, "FIELDS_INVALID"),
        Failure::Shed => (Code::ResourceExhausted, "SHED"),
        Failure::DeadlinePassed => (Code::DeadlineExceeded, "DEADLINE_PASSED"),
        Failure::Stopped => (Code::Unavailable, "STOPPING"),
        Failure::Fault(fault) => match fault {
            Fault::Invalid(_) => (Code::InvalidArgument, "FIELDS_INVALID"),
            Fault::NotFound { .. } => (Code::NotFound, "NOT_FOUND"),
            Fault::RequestReused(_) => (Code::AlreadyExists, "REQUEST_ID_REUSED"),
            Fault::RequestOutOfWindow { .. } => {
                (Code::FailedPrecondition, "REQUEST_ID_OUT_OF_WINDOW")
            }
            Fault::IllegalStep { .. } => (Code::FailedPrecondition, "ILLEGAL_STEP"),
            Fault::SessionEnded(_) => (Code::FailedPrecondition, "SESSION_ENDED"),
            Fault::NotHolder { .. } => (Code::FailedPrecondition, "NOT_HOLDER"),
            Fault::LanesInUse(_) => (Code::FailedPrecondition, "LANES_IN_USE"),
            Fault::Full { .. } => (Code::ResourceExhausted, "FULL"),
        },
    }
}

fn detail(details: &mut ErrorDetails, fault: &Fault) {
    match fault {
        Fault::Invalid(fields) => violations(details, fields),
        Fault::NotFound { what } => {
            let kind = what.split('/').next().unwrap_or_default();
            details.set_resource_info(kind, what, "", "it does not exist");
        }
        Fault::LanesInUse(lanes) => {
            for lane in lanes.iter().take(VIOLATIONS_MAX) {
                let why = format!(
                    "{} bit/s promised until {}, {} bit/s left",
                    lane.promised, lane.until, lane.capacity
                );
                details.add_precondition_failure_violation("LANE", lane.lane.as_str(), why);
            }
        }
        Fault::IllegalStep { id, step, .. } => {
            details.add_precondition_failure_violation("STATE", id.to_string(), *step);
        }
        Fault::Full { .. } => {
            details.set_retry_info(Some(SHED_RETRY));
        }
        Fault::RequestReused(_)
        | Fault::RequestOutOfWindow { .. }
        | Fault::SessionEnded(_)
        | Fault::NotHolder { .. } => {}
    }
}

/// The most violations that one answer lists: it has to fit into the headers of a reply.
const VIOLATIONS_MAX: usize = 32;

fn violations(details: &mut ErrorDetails, fields: &[FieldFault]) {
    for fault in fields.iter().take(VIOLATIONS_MAX) {
        details.add_bad_request_violation(fault.field.as_str(), fault.why.as_str());
    }
}

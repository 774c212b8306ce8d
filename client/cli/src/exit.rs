//! How a command ended, for scripts.

use std::process::ExitCode;

use tidegate_client::error::ClientError;

/// An exit code. Numbers are stable forever; 2 (usage) is clap's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    Done = 0,
    Failure = 1,
    Usage = 2,
    Refused = 3,
    Denied = 4,
    NotFound = 5,
    Conflict = 6,
    Unreachable = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Says what went wrong and returns the code for it.
#[allow(clippy::print_stderr, reason = "the last word of a command that failed")]
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    eprintln!("tidegate: {error:#}");
    error.downcast_ref::<ClientError>().map_or(Exit::Failure, code)
}

fn code(error: &ClientError) -> Exit {
    match error {
        error if error.is_unreachable() => Exit::Unreachable,
        ClientError::Denied { .. } => Exit::Denied,
        ClientError::NotFound { .. } => Exit::NotFound,
        ClientError::Conflict { .. }
        | ClientError::Stale { .. }
        | ClientError::RequestIdOutOfWindow { .. }
        | ClientError::IllegalStep { .. }
        | ClientError::SessionEnded { .. }
        | ClientError::NotHolder { .. }
        | ClientError::LanesInUse { .. }
        | ClientError::FailedPrecondition { .. } => Exit::Conflict,
        ClientError::Invalid { .. } | ClientError::BadTarget { .. } => Exit::Usage,
        _ => Exit::Failure,
    }
}

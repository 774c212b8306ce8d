//! How a command ended, for scripts, and its last words, for people.

use std::fmt;
use std::io::ErrorKind;
use std::process::ExitCode;

use tidegate_client::error::ClientError;

use crate::output::{hint, say};

/// An exit code. Numbers are stable forever.
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

/// What was typed cannot be meant: found before the broker is asked.
#[derive(Clone, Debug)]
pub(crate) struct Mistake {
    what: String,
    hint: Option<String>,
}

impl Mistake {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }

    /// What to type instead.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// All of it where there is room for a line only.
    pub(crate) fn one_line(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}; {hint}", self.what),
            None => self.what.clone(),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Mistake {}

/// Says what went wrong and what to do next, and returns the code for it.
pub(crate) fn report(error: &anyhow::Error, advice: Option<&str>) -> Exit {
    let piped = error.downcast_ref::<std::io::Error>();
    if piped.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        // Whoever read the output has seen enough.
        return Exit::Done;
    }
    say(&format!("tidegate: {}", words(error)));
    let mistake = error.downcast_ref::<Mistake>();
    if let Some(next) = mistake.and_then(|mistake| mistake.hint.as_deref()).or(advice) {
        hint(next);
    }
    match (mistake, error.downcast_ref::<ClientError>()) {
        (Some(_), _) => Exit::Usage,
        (None, Some(error)) => code(error),
        (None, None) => Exit::Failure,
    }
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
        | ClientError::ProjectInUse { .. }
        | ClientError::ClassInUse { .. }
        | ClientError::QuotasInUse { .. }
        | ClientError::FailedPrecondition { .. } => Exit::Conflict,
        ClientError::Invalid { .. } | ClientError::BadTarget { .. } => Exit::Usage,
        _ => Exit::Failure,
    }
}

/// What happened, without what only a program could do about it.
fn words(error: &anyhow::Error) -> String {
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Unreachable { why, .. }) => {
            format!("the broker cannot be reached: {why}")
        }
        Some(ClientError::Deadline { after }) => {
            format!("no answer within {after:?}: what was asked may have happened")
        }
        _ => format!("{error:#}"),
    }
}

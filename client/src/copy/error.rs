//! Why a copy came to nothing.

use std::time::Duration;

use tidegate_policy::ByteCount;

use crate::download::DownloadError;
use crate::download::digest::Digest;
use crate::limiter::LimitError;

/// Why a copy came to nothing. Nothing new is to be seen under the final name, except where it says
/// so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The source did not give what was asked for, or a file of this machine failed on either side.
    #[error(transparent)]
    Source(#[from] DownloadError),
    /// The destination is not something that can be written.
    #[error("{url:?} cannot be written: {why}")]
    BadDestination {
        /// The destination as given.
        url: String,
        /// What is wrong with it, and what to write instead.
        why: String,
    },
    /// There is no connection to the server, or it broke.
    #[error("no connection for {url}: {why}")]
    Connect {
        /// What was to be written.
        url: String,
        /// What the system said.
        why: String,
    },
    /// The server did not take the content.
    #[error("{url} was answered with status {status}{}", after(said))]
    Status {
        /// What was to be written.
        url: String,
        /// The status, such as 403.
        status: u16,
        /// What else it said, on one line; may be empty.
        said: String,
    },
    /// A store did not take the content.
    #[error("{url}: {why}")]
    Store {
        /// What was to be written.
        url: String,
        /// What the store said.
        why: String,
    },
    /// The server took no byte although the limiter admitted some, or did not say in the end whether
    /// it has all of them.
    #[error("{url} took nothing for {after:?}")]
    Idle {
        /// What was to be written.
        url: String,
        /// How long was waited.
        after: Duration,
    },
    /// The destination has another number of bytes than were written to it. They stand under the final
    /// name.
    #[error("{url} has {stored} where {sent} were written; write it again")]
    ShortWrite {
        /// What was written.
        url: String,
        /// What was written.
        sent: ByteCount,
        /// What the destination says that it has.
        stored: ByteCount,
    },
    /// The destination says that it was given other bytes than were sent.
    #[error("{url} has {got} where {sent} was sent; it was damaged on the way")]
    Damaged {
        /// What was written.
        url: String,
        /// The digest of what was sent.
        sent: Box<Digest>,
        /// The digest that the destination tells.
        got: Box<Digest>,
    },
    /// The limiter admits nothing any longer.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

impl CopyError {
    /// A destination that cannot be written, and why: for destinations of other schemes as well.
    pub fn bad_destination(url: impl ToString, why: impl ToString) -> Self {
        Self::BadDestination { url: url.to_string(), why: why.to_string() }
    }

    /// Whether the same may work a little later: the connection or the server failed, not the
    /// request.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Idle { .. } | Self::Damaged { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::Source(_)
            | Self::BadDestination { .. }
            | Self::Store { .. }
            | Self::ShortWrite { .. }
            | Self::Limit(_) => false,
        }
    }
}

fn after(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// The longest line that is repeated of an answer, in characters.
const LINE_MAX: usize = 200;

/// What the body of an answer says, on one line: the message of a store, the title of a page, or else
/// its first line.
pub(crate) fn first_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let within = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        rest.split_once(&format!("</{tag}>")).map(|(inside, _)| inside.to_owned())
    };
    let coded = within("Code").zip(within("Message"));
    let coded = coded.map(|(code, message)| format!("{code}: {message}"));
    let found = coded.or_else(|| within("Message")).or_else(|| within("title"));
    let line = found
        .or_else(|| text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned));
    let line = line.unwrap_or_default();
    let mut clean = line.chars().filter(|it| !it.is_control());
    let mut short: String = clean.by_ref().take(LINE_MAX).collect();
    if clean.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_on_one_line() {
        let told = [
            ("", ""),
            ("\r\n  no room\r\nat all", "no room"),
            ("<html>\r\n<head><title>403 Forbidden</title></head>", "403 Forbidden"),
            (
                "<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code><Message>No.</Message>",
                "AccessDenied: No.",
            ),
            ("\u{1b}[31mred", "[31mred"),
        ];
        for (body, line) in told {
            assert_eq!(first_line(body.as_bytes()), line);
        }
        assert_eq!(first_line(&[b'x'; 1000]).chars().count(), LINE_MAX + 1);
        let error = CopyError::Status { url: "u".into(), status: 507, said: "no room".into() };
        assert_eq!(error.to_string(), "u was answered with status 507: no room");
    }
}

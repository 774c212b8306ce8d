//! Why a download came to nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate_policy::ByteCount;

use super::digest::Digest;
use super::patient::Silent;
use crate::limiter::LimitError;

/// Why a download came to nothing. Nothing is left under its final name; [`DownloadError::keeps`]
/// says whether what has come is kept, so that another try goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The source is not something that can be fetched.
    #[error("{source_url:?} cannot be fetched: {why}")]
    BadSource {
        /// The source as given.
        source_url: String,
        /// What is wrong with it, and what to write instead.
        why: String,
    },
    /// There is no connection to the server.
    #[error("no connection for {source_url}: {why}")]
    Connect {
        /// What was to be fetched.
        source_url: String,
        /// What the system said.
        why: String,
    },
    /// The certificates to trust cannot be used.
    #[error("the certificates to trust cannot be used: {why}")]
    Tls {
        /// What is wrong with them.
        why: String,
    },
    /// The server did not answer with the content.
    #[error("{source_url} was answered with status {status}")]
    Status {
        /// What was asked for, after redirects.
        source_url: String,
        /// The status, such as 404.
        status: u16,
    },
    /// A store did not give the content.
    #[error("{source_url}: {why}")]
    Store {
        /// What was asked for.
        source_url: String,
        /// What the store said.
        why: String,
        /// Whether the same may work a little later.
        passing: bool,
    },
    /// A redirect that is not followed: the tenth, or one from https to http.
    #[error("the redirect from {from} to {to} is not followed")]
    Redirect {
        /// Who redirects.
        from: String,
        /// Where to.
        to: String,
    },
    /// The content ended early.
    #[error("the content ended after {got}{}; fetch it again", of(*expected))]
    ShortBody {
        /// What came.
        got: ByteCount,
        /// What the server had announced, if it had.
        expected: Option<ByteCount>,
    },
    /// The source gave other content than before in the middle of it.
    #[error("{source_url} was changed while it was fetched; fetch it again")]
    Changed {
        /// What was fetched.
        source_url: String,
    },
    /// The content is another than asked for.
    #[error("the content is {got}, not {expected}; it was changed or damaged")]
    WrongDigest {
        /// The digest asked for.
        expected: Box<Digest>,
        /// The digest of what came.
        got: Box<Digest>,
    },
    /// No byte came although the limiter admitted some.
    #[error("nothing came for {after:?}")]
    Idle {
        /// How long was waited.
        after: Duration,
    },
    /// The connection broke.
    #[error("the connection broke after {got}: {source}")]
    Broken {
        /// What came before.
        got: ByteCount,
        /// What the system said.
        source: io::Error,
    },
    /// The limiter admits nothing any longer.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// There is no room for the file.
    #[error("no space is left for {}", path.display())]
    DiskFull {
        /// The file that was being written.
        path: PathBuf,
    },
    /// Somebody else fetches to the same place.
    #[error("{} is being fetched already; wait for that, or name another file", path.display())]
    Busy {
        /// Where to.
        path: PathBuf,
    },
    /// A local file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DownloadError {
    /// A source that cannot be fetched, and why: for sources of other schemes as well.
    pub fn bad_source(source: impl ToString, why: impl ToString) -> Self {
        Self::BadSource { source_url: source.to_string(), why: why.to_string() }
    }

    /// Whether what has come is kept beside the destination, so that another try goes on from there.
    #[must_use]
    pub fn keeps(&self) -> bool {
        match self {
            Self::Changed { .. } | Self::WrongDigest { .. } | Self::BadSource { .. } => false,
            Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Status { .. }
            | Self::Store { .. }
            | Self::Redirect { .. }
            | Self::ShortBody { .. }
            | Self::Idle { .. }
            | Self::Broken { .. }
            | Self::Limit(_)
            | Self::DiskFull { .. }
            | Self::Busy { .. }
            | Self::File { .. } => true,
        }
    }

    /// Whether the same may work a little later: the connection or the server failed, not the
    /// request.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::ShortBody { .. } | Self::Idle { .. } => true,
            Self::Broken { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::Store { passing, .. } => *passing,
            Self::BadSource { .. }
            | Self::Tls { .. }
            | Self::Redirect { .. }
            | Self::Changed { .. }
            | Self::WrongDigest { .. }
            | Self::Limit(_)
            | Self::DiskFull { .. }
            | Self::Busy { .. }
            | Self::File { .. } => false,
        }
    }

    /// Whether another source of the same content may do better.
    pub(crate) fn is_of_the_source(&self) -> bool {
        match self {
            Self::BadSource { .. } | Self::Tls { .. } | Self::Redirect { .. } => true,
            Self::Changed { .. } | Self::WrongDigest { .. } => true,
            Self::Limit(_) | Self::DiskFull { .. } | Self::Busy { .. } => false,
            // A file that is read is one of the source; where it is written, nobody can help.
            Self::File { .. } => false,
            passing => {
                passing.is_passing() || matches!(passing, Self::Status { .. } | Self::Store { .. })
            }
        }
    }

    /// What an error in the middle of a body means, of which so much came, and so much was to come.
    pub(crate) fn in_body(
        error: io::Error,
        (got, expected): (ByteCount, Option<ByteCount>),
    ) -> Self {
        if let Some(limit) = LimitError::of(&error) {
            return Self::Limit(limit);
        }
        let inner = error.get_ref();
        if let Some(Silent(after)) = inner.and_then(|inner| inner.downcast_ref()) {
            return Self::Idle { after: *after };
        }
        let http = inner.and_then(|inner| inner.downcast_ref::<hyper::Error>());
        if http.is_some_and(|error| error.is_incomplete_message() || ended(error)) {
            return Self::ShortBody { got, expected };
        }
        Self::Broken { got, source: error }
    }

    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::File { path, source },
        }
    }
}

/// Whether an error of hyper is an end of the connection in the middle of a chunk.
fn ended(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    let io = source.and_then(|source| source.downcast_ref::<io::Error>());
    io.is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof)
}

fn of(expected: Option<ByteCount>) -> String {
    expected.map(|expected| format!(" of {expected}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart() {
        let path = Path::new("image");
        let error = DownloadError::file(path, io::ErrorKind::StorageFull.into());
        assert!(matches!(error, DownloadError::DiskFull { .. }), "{error:?}");
        let error = DownloadError::file(path, io::ErrorKind::NotFound.into());
        assert!(matches!(error, DownloadError::File { .. }), "{error:?}");
    }
}

//! Why a limiter admits nothing.

use std::io;

use thiserror::Error;

/// Why a grant may not be used any longer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum Revoked {
    /// Its owner released it.
    #[error("it was released")]
    Released,
    /// It was not used in time after its start.
    #[error("it was not used in time")]
    NoShow,
    /// The session that it was bound to ended.
    #[error("its session was lost")]
    SessionLost,
    /// A reservation of a higher class took its place.
    #[error("it was preempted")]
    Preempted,
    /// The capacity that it stood on failed or was withdrawn.
    #[error("its capacity was lost")]
    CapacityLost,
}

/// Why a limiter admits nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum LimitError {
    /// The grant was revoked; it never comes back.
    #[error("the grant was revoked: {0}")]
    Revoked(Revoked),
    /// The grant's end has passed; it may still be extended.
    #[error("the grant has expired")]
    Expired,
}

impl LimitError {
    /// The limiter's reason inside of an I/O error, if it is one of the limiter's.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }

    /// The limiter's reason anywhere among the causes of an error, such as that of an HTTP body.
    #[must_use]
    pub fn within(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(*found);
            }
            // An I/O error tells the source of what it wraps, and not what it wraps.
            let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            cause = match wrapped {
                Some(wrapped) => Some(wrapped),
                None => error.source(),
            };
        }
        None
    }
}

/// Of kind [`io::ErrorKind::PermissionDenied`], which nobody retries; [`LimitError::of`] and
/// [`io::Error::get_ref`] give it back.
impl From<LimitError> for io::Error {
    fn from(error: LimitError) -> Self {
        Self::new(io::ErrorKind::PermissionDenied, error)
    }
}

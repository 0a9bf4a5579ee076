//! What went wrong, named by what the caller should do now.

use std::time::Duration;

/// Any underlying failure.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a call to the desk did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such ticket, organization or user, or it was deleted. Final.
    #[error("not found on the desk")]
    NotFound,
    /// The ticket is closed and takes no update any more. Final.
    #[error("the ticket is closed")]
    Closed,
    /// The ticket changed since its stamp was read: read it again, look for what should be written, then write.
    #[error("the ticket changed meanwhile")]
    Conflict,
    /// The file is larger than the desk takes. Final for this file.
    #[error("the file is larger than the desk takes")]
    TooLarge,
    /// The desk will not do this, however often it is asked.
    #[error("the desk refused: {detail}")]
    Refused {
        /// The desk's own words, shortened.
        detail: String,
    },
    /// Too many calls: wait this long.
    #[error("the desk asks to wait {} s", retry_after.as_secs())]
    RateLimited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The credentials are wrong or lack a right, even after a renewal. An operator must act; then the same call succeeds.
    #[error("the desk does not accept our credentials")]
    Unauthorized,
    /// The desk cannot be reached, failed, or was not understood. The call may have had its effect. Try again later.
    #[error("the desk is unavailable")]
    Unavailable {
        /// How long the desk asked to wait, if it did.
        retry_after: Option<Duration>,
        /// What happened.
        source: BoxError,
    },
}

impl Error {
    /// Whether the same call may succeed later without anybody acting.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Unavailable { .. })
    }

    /// How long the desk asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => Some(*retry_after),
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(crate) fn unavailable(source: impl Into<BoxError>) -> Self {
        Self::Unavailable { retry_after: None, source: source.into() }
    }

    pub(crate) fn refused(detail: impl Into<String>) -> Self {
        Self::Refused { detail: detail.into() }
    }
}

/// The address is left out: a file's name stands in it.
impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        Self::unavailable(error.without_url())
    }
}

//! Errors, named by what the caller should do.

use std::time::Duration;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ticket, organization or user does not exist or was deleted. Final.
    #[error("not found on the desk")]
    NotFound,
    /// The ticket is closed and can no longer be updated. Final.
    #[error("the ticket is closed")]
    Closed,
    /// The ticket changed since its stamp was read: read it again, look for the comment, then write it.
    #[error("the ticket has changed in the meantime")]
    Conflict,
    /// The file is larger than the desk accepts. Final for this file.
    #[error("the file is larger than the desk accepts")]
    TooLarge,
    /// The desk refuses the request; a retry gets the same answer.
    #[error("the desk refused: {detail}")]
    Refused {
        /// The desk's own words, shortened.
        detail: String,
    },
    /// Too many calls: wait.
    #[error("the desk asks to wait {} s", retry_after.as_secs())]
    RateLimited { retry_after: Duration },
    /// The credentials are wrong or lack a permission, even with a new token. An operator must fix them; then retry.
    #[error("the desk does not accept our credentials")]
    Unauthorized,
    /// The desk cannot be reached, failed, or sent an answer we cannot parse. The call may have had its effect. Retry later.
    #[error("the desk is unavailable")]
    Unavailable {
        /// The wait that the desk asked for.
        retry_after: Option<Duration>,
        source: BoxError,
    },
}

impl Error {
    /// Whether a retry may succeed without anyone doing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Unavailable { .. })
    }

    /// The wait that the desk asked for.
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

/// Drops the URL, because it can contain a file name.
impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        Self::unavailable(error.without_url())
    }
}

//! Why a job did not end. The runner decides what follows.

use std::time::Duration;

/// The end of a job, or of a batch of jobs, without an outcome.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    /// Nothing can be recorded. The lease runs out, and the job is tried again.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// Tried again later.
    #[error(transparent)]
    Desk(#[from] desk::Error),
    /// Tried again later.
    #[error(transparent)]
    Slack(#[from] desk::slack::Error),
    /// Tried again later.
    #[error("{0}")]
    Bucket(String),
    /// Not a failure: this job, or any job of this ticket, must wait until then, ms.
    #[error("not before {0}")]
    NotBefore(i64),
}

impl From<bucket::Error> for JobError {
    fn from(error: bucket::Error) -> Self {
        Self::Bucket(error.to_string())
    }
}

impl JobError {
    /// For metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Ledger(_) => "ledger",
            Self::Bucket(_) => "bucket",
            Self::Slack(_) => "slack",
            Self::NotBefore(_) => "waiting",
            Self::Desk(error) => match error {
                desk::Error::NotFound => "not_found",
                desk::Error::Conflict => "conflict",
                desk::Error::Unauthorized => "unauthorized",
                desk::Error::RateLimited { .. } => "rate_limited",
                desk::Error::Unavailable { .. } => "unavailable",
                desk::Error::TooLarge => "too_large",
                desk::Error::Closed | desk::Error::Refused { .. } => "refused",
            },
        }
    }

    /// How long the desk or Slack asks us to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Desk(error) => error.retry_after(),
            Self::Slack(error) => error.retry_after(),
            _ => None,
        }
    }

    /// Whether other jobs of the same ticket would fail alike. A refusal or a bucket concerns one job alone.
    pub(crate) fn concerns_ticket(&self) -> bool {
        !matches!(self, Self::Bucket(_) | Self::Desk(desk::Error::Refused { .. } | desk::Error::TooLarge))
    }
}

//! Failed requests and when to retry them. Invariant: a request that would get the same answer is not retried.

use std::time::Duration;

/// The longest pause of a download, whatever the server asks for.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A failed request.
pub(crate) struct RequestError {
    pub(crate) error: anyhow::Error,
    pub(crate) retry: Retry,
}

/// Whether a retry may help.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// The same request would get the same answer.
    Never,
    /// The request was not sent, so it can be retried whatever its method.
    NotSent,
    /// The request may have been performed. Holds the pause that the server asked for.
    Later(Option<Duration>),
}

impl RequestError {
    pub(crate) fn permanent(error: anyhow::Error) -> Self {
        Self { error, retry: Retry::Never }
    }

    pub(crate) fn transient(error: anyhow::Error) -> Self {
        Self { error, retry: Retry::Later(None) }
    }

    /// The pause after so many failures; `None` if a retry is useless.
    pub(crate) fn pause(&self, failures: u32) -> Option<Duration> {
        let backoff =
            Duration::from_millis(200 << failures.saturating_sub(1).min(6)).min(Duration::from_secs(10));
        match self.retry {
            Retry::Never => None,
            Retry::NotSent | Retry::Later(None) => Some(backoff),
            Retry::Later(Some(asked)) => Some(asked.max(backoff).min(PAUSE_MAX)),
        }
    }
}

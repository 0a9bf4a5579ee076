//! Why a request for bytes did not succeed, and whether trying again may help.
//! Invariant: nothing is tried again that would get the same answer.

use std::time::Duration;

/// A download waits at most so long between tries, whatever the server asks for.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A failed request.
pub(crate) struct Trouble {
    pub(crate) error: anyhow::Error,
    pub(crate) retry: Retry,
}

/// Whether to try again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// The same request would get the same answer.
    Never,
    /// The request never left: any method may try again.
    NotSent,
    /// It may have been performed. The pause is what the server asked for.
    Later(Option<Duration>),
}

impl Trouble {
    pub(crate) fn lasting(error: anyhow::Error) -> Self {
        Self { error, retry: Retry::Never }
    }

    pub(crate) fn passing(error: anyhow::Error) -> Self {
        Self { error, retry: Retry::Later(None) }
    }

    /// The pause before try number `failures + 1`, or none when trying again is useless.
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

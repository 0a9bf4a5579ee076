//! Slack's errors, named by what the caller should do.

use std::time::Duration;

use crate::BoxError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too many calls: wait.
    #[error("Slack asks to wait {} s", retry_after.as_secs())]
    RateLimited { retry_after: Duration },
    /// Slack cannot be reached, failed, or sent an answer we cannot parse. The call may have had its effect: look for the
    /// message before you post it again.
    #[error("Slack is unavailable")]
    Unavailable {
        /// The wait that Slack asked for.
        retry_after: Option<Duration>,
        source: BoxError,
    },
    /// Slack refuses the request; a retry gets the same answer.
    #[error("Slack refused: {error}")]
    Refused {
        /// Slack's own name for it, such as `msg_too_long`.
        error: String,
    },
    /// The token is wrong or was revoked. An operator must fix it; then retry.
    #[error("Slack does not accept our token")]
    Unauthorized,
    /// The token lacks a scope for this call; others may work. An operator must fix it; then retry.
    #[error("the app lacks a scope for this call")]
    MissingScope,
    /// The channel does not exist, is archived, or the app is not in it. An operator must fix it; then retry.
    #[error("the channel does not exist, is archived, or has not invited the app")]
    NoChannel,
}

impl Error {
    /// The wait that Slack asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => Some(*retry_after),
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The error that Slack's name for it stands for.
    pub(super) fn named(name: &str, retry_after: Option<Duration>) -> Self {
        match name {
            "missing_scope" => Self::MissingScope,
            "ratelimited" | "rate_limited" => Self::limited(retry_after),
            "invalid_auth"
            | "not_authed"
            | "token_revoked"
            | "token_expired"
            | "account_inactive"
            | "not_allowed_token_type"
            | "no_permission" => Self::Unauthorized,
            "channel_not_found" | "not_in_channel" | "is_archived" => Self::NoChannel,
            "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" => {
                Self::Unavailable { retry_after, source: format!("Slack answered {name}").into() }
            }
            _ => Self::refused(name),
        }
    }

    pub(super) fn limited(retry_after: Option<Duration>) -> Self {
        /// The wait if Slack names none: it allows about one message a second and channel.
        const DEFAULT_WAIT: Duration = Duration::from_secs(30);
        Self::RateLimited { retry_after: retry_after.unwrap_or(DEFAULT_WAIT) }
    }

    pub(super) fn unavailable(source: impl Into<BoxError>) -> Self {
        Self::Unavailable { retry_after: None, source: source.into() }
    }

    pub(super) fn refused(error: impl Into<String>) -> Self {
        /// Slack's own words are cut to this.
        const CHARS_MAX: usize = 300;
        let error: String = error.into();
        Self::Refused { error: error.chars().filter(|c| !c.is_control()).take(CHARS_MAX).collect() }
    }

    /// For a metric.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::RateLimited { .. } => "rate-limited",
            Self::Unavailable { .. } => "unavailable",
            Self::Refused { .. } => "refused",
            Self::Unauthorized => "unauthorized",
            Self::MissingScope => "missing-scope",
            Self::NoChannel => "no-channel",
        }
    }
}

/// What the shared HTTP code says.
impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        match error {
            crate::Error::Unavailable { retry_after, source } => Self::Unavailable { retry_after, source },
            crate::Error::Refused { detail } => Self::Refused { error: detail },
            error => Self::unavailable(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_slack_map_to_errors() {
        for (name, label) in [
            ("ratelimited", "rate-limited"),
            ("invalid_auth", "unauthorized"),
            ("not_authed", "unauthorized"),
            ("token_revoked", "unauthorized"),
            ("account_inactive", "unauthorized"),
            ("missing_scope", "missing-scope"),
            ("channel_not_found", "no-channel"),
            ("not_in_channel", "no-channel"),
            ("is_archived", "no-channel"),
            ("internal_error", "unavailable"),
            ("fatal_error", "unavailable"),
            ("service_unavailable", "unavailable"),
            ("msg_too_long", "refused"),
            ("invented", "refused"),
        ] {
            let error = Error::named(name, None);
            assert_eq!(error.label(), label, "{name}");
        }
        let wait = Some(Duration::from_secs(7));
        assert_eq!(Error::named("ratelimited", wait).retry_after(), wait);
        assert_eq!(Error::named("internal_error", wait).retry_after(), wait);
        assert!(Error::named("ratelimited", None).retry_after().is_some());
    }
}

//! Exit statuses, and errors that carry one. Scripts rely on these numbers.
//! Any other error ends with status 1.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Also if the reader of our output is gone.
    Done = 0,
    /// For a reason not named below.
    Failed = 1,
    /// The same as clap's.
    Usage = 2,
    /// Not found, expired or removed.
    NotFound = 3,
    /// Not allowed by the token or the bucket.
    NotAllowed = 4,
    /// The bytes do not match the receipt.
    Mismatch = 5,
}

impl Status {
    /// The status of several operations: a mismatch wins, otherwise the first failure.
    pub(crate) fn and(self, next: Self) -> Self {
        match (self, next) {
            (Self::Done, _) | (_, Self::Mismatch) => next,
            _ => self,
        }
    }
}

/// An error with an exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    status: Status,
    message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

pub(crate) fn failure(status: Status, message: impl Into<String>) -> anyhow::Error {
    Failure { status, message: message.into() }.into()
}

/// Status 1.
pub(crate) fn failed(message: impl Into<String>) -> anyhow::Error {
    failure(Status::Failed, message)
}

/// Status 2.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    failure(Status::Usage, message)
}

/// Status 3.
pub(crate) fn not_found(message: impl Into<String>) -> anyhow::Error {
    failure(Status::NotFound, message)
}

/// Status 5.
pub(crate) fn mismatch(message: impl Into<String>) -> anyhow::Error {
    failure(Status::Mismatch, message)
}

/// The exit status of an error, whatever its context.
pub(crate) fn status_of(error: &anyhow::Error) -> Status {
    error.downcast_ref::<Failure>().map_or(Status::Failed, |failure| failure.status)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn context_keeps_the_status() {
        let error = Err::<(), _>(mismatch("differs")).context("get `a`").unwrap_err();
        assert_eq!(status_of(&error), Status::Mismatch);
        assert_eq!(format!("{error:#}"), "get `a`: differs");
        assert_eq!(status_of(&anyhow::anyhow!("other")), Status::Failed);
    }

    #[test]
    fn a_mismatch_wins_over_the_first_failure() {
        let total = |all: &[Status]| all.iter().fold(Status::Done, |total, next| total.and(*next));
        assert_eq!(total(&[]), Status::Done);
        assert_eq!(total(&[Status::Done, Status::NotFound, Status::Done]), Status::NotFound);
        assert_eq!(total(&[Status::NotFound, Status::Failed]), Status::NotFound);
        assert_eq!(total(&[Status::NotFound, Status::Mismatch, Status::Failed]), Status::Mismatch);
    }
}

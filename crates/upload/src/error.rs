//! Errors named by what someone should do now. One file of the gateway maps them to answers.

use std::time::Duration;

use crate::Algorithm;

/// The part a side file has in a mismatch. Names are the sender's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SideFile {
    /// It came first, under this name, and the file that came now is another.
    Before(String),
    /// It came now, and the file of this name that came before is another.
    After(String),
}

/// Why an upload did not go on, and so who acts.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sender: begin again; there is no such upload (or it is another link's).
    #[error("no such upload")]
    NotFound,
    /// The sender: begin again; it was cancelled, has expired, or its parts were removed from the bucket, which says so in
    /// every way it can be asked.
    #[error("the upload was cancelled, has expired, or its parts were removed from the bucket")]
    Gone,
    /// The sender: go on at the offset given.
    #[error("the upload is at offset {expected}")]
    OffsetMismatch {
        /// Durable bytes.
        expected: i64,
    },
    /// The sender: send a smaller file, or ask for a larger limit.
    #[error("larger than {max} bytes")]
    TooLarge {
        /// Largest size, bytes.
        max: u64,
    },
    /// The sender: lengths given contradict each other.
    #[error("{declared} bytes were announced, {actual} came")]
    LengthMismatch {
        /// Bytes announced.
        declared: u64,
        /// Bytes that came.
        actual: u64,
    },
    /// The sender: the bytes are not those announced; send again.
    #[error("{} {announced} was announced, the bytes have {actual}", algorithm.name())]
    DigestMismatch {
        /// By which hash.
        algorithm: Algorithm,
        /// Hex digest announced.
        announced: String,
        /// Hex digest of what came.
        actual: String,
        /// The side file that announced it, or that was compared with a file sent before.
        side_file: Option<SideFile>,
    },
    /// The sender: the side file names a digest, but none that can be compared. It was not kept.
    #[error("a side file of `{target}` names no {}", algorithm.name())]
    UnreadableSideFile {
        /// The hash that its name says.
        algorithm: Algorithm,
        /// The name of the file that it is about.
        target: String,
    },
    /// The sender: the bytes of this body are not those announced; send it again. Nothing of it was kept.
    #[error("{} {announced} was announced for the body, it has {actual}", algorithm.name())]
    ContentMismatch {
        /// By which hash.
        algorithm: Algorithm,
        /// Hex digest announced.
        announced: String,
        /// Hex digest of what came.
        actual: String,
    },
    /// The sender: go on in a moment, at this gateway or another; this one is stopping.
    #[error("the gateway is stopping")]
    Draining,
    /// The sender: the body ended before its end.
    #[error("interrupted after {received} bytes")]
    Interrupted {
        /// Bytes of this request that came.
        received: u64,
    },
    /// The sender: the body came slower than the minimum rate.
    #[error("slower than the minimum rate after {received} bytes")]
    TooSlow {
        /// Bytes of this request that came.
        received: u64,
    },
    /// The sender's program: the body is malformed.
    #[error("malformed body: {0}")]
    Malformed(String),
    /// Nobody: a newer request has taken over.
    #[error("a newer request has taken over")]
    Superseded,
    /// The sender: ask for a new link; this one was withdrawn while the file was on its way.
    #[error("the link was revoked")]
    Revoked,
    /// The sender: wait for an upload to end; too many are open on the link.
    #[error("too many uploads are open on the link")]
    TooManyOpen,
    /// The sender: let what is under way on the link end, or cancel it; together it holds as much as it may.
    #[error("uploads of the link that are not complete may hold {max} bytes")]
    TooMuchUnfinished {
        /// Bytes they may hold together.
        max: u64,
    },
    /// The sender: wait; no memory is free.
    #[error("no memory is free for another upload")]
    Busy {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The sender waits, the operator looks: the bucket or the ledger does not answer.
    #[error("storage is unavailable: {0}")]
    Unavailable(String),
    /// The sender waits, the operator acts: the bucket is another, or does not allow what it is asked.
    #[error("storage refuses: {0}")]
    Refused(String),
    /// The sender waits, the operator looks: bytes arrive at the bucket, or come back from it, other than they were sent.
    #[error("storage damages bytes: {0}")]
    Damaged(String),
    /// The operator: something is wrong that no retry fixes.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    /// Whether the same may succeed later, when storage or its operator has changed something.
    pub(crate) fn is_for_now(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Refused(_) | Self::Damaged(_) | Self::Internal(_))
    }

    /// Whether what came before it counts.
    pub(crate) fn keeps_what_came(&self) -> bool {
        matches!(self, Self::Interrupted { .. } | Self::TooSlow { .. } | Self::Draining)
    }

    /// A short name for logs and metrics: the last word of the problem type that the sender sees, where the operator need
    /// not know more.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::Gone => "upload-gone",
            Self::OffsetMismatch { .. } => "mismatching-upload-offset",
            Self::TooLarge { .. } => "too-large",
            Self::LengthMismatch { .. } => "inconsistent-upload-length",
            Self::Draining => "unavailable",
            Self::ContentMismatch { .. } | Self::DigestMismatch { .. } => "digest-mismatch",
            Self::Interrupted { .. } => "interrupted",
            Self::TooSlow { .. } => "too-slow",
            Self::Malformed(_) | Self::UnreadableSideFile { .. } => "bad-request",
            Self::Superseded => "superseded",
            Self::Revoked => "link-expired",
            Self::TooManyOpen | Self::TooMuchUnfinished { .. } => "slow-down",
            Self::Busy { .. } => "busy",
            Self::Unavailable(_) | Self::Refused(_) => "unavailable",
            Self::Damaged(_) => "damaged",
            Self::Internal(_) => "internal",
        }
    }
}

/// Result of every call to the engine.
pub type Result<T> = std::result::Result<T, Error>;

impl From<ledger::Error> for Error {
    fn from(error: ledger::Error) -> Self {
        match error {
            ledger::Error::NotFound => Self::NotFound,
            ledger::Error::Superseded => Self::Superseded,
            ledger::Error::Conflict(text) => Self::Internal(text),
            ledger::Error::Unavailable(source) => Self::Unavailable(format!("ledger: {source}")),
        }
    }
}

/// No answer is final: that bytes are gone takes more than one (`lost.rs`). Wrong credentials or a wrong bucket are fixed by
/// an operator, and what was waiting goes on.
impl From<bucket::Error> for Error {
    fn from(error: bucket::Error) -> Self {
        use bucket::Error as B;
        match error {
            B::Damaged(_) => Self::Damaged(error.to_string()),
            B::NoCredentials(_) | B::Unavailable(_) => Self::Unavailable(error.to_string()),
            B::NotFound(_) | B::Changed | B::NoSuchBucket(_) | B::Forbidden(_) | B::Refused(_) => {
                Self::Refused(error.to_string())
            }
        }
    }
}

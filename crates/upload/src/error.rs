//! Errors named by what someone should do now. The gateway maps them to responses in one file.

use std::time::Duration;

use crate::Algorithm;

/// The side file of a mismatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SideFile {
    /// The side file of this name arrived first, and the file that arrived now does not match it.
    Before(String),
    /// The side file arrived now, and the file of this name that arrived before does not match it.
    After(String),
}

/// Why a call failed, and so who acts.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sender: start over. No upload has this ID, or it is another link's.
    #[error("no such upload")]
    NotFound,
    /// The sender: start over. The upload was cancelled, has expired, or its parts are proven to be gone from the bucket.
    #[error("the upload was cancelled, has expired, or its parts were removed from the bucket")]
    Gone,
    /// The sender: resume at this offset.
    #[error("the upload is at offset {expected}")]
    OffsetMismatch { expected: i64 },
    /// The sender: send a smaller file, or ask for a larger limit.
    #[error("larger than {max} bytes")]
    TooLarge { max: u64 },
    /// The sender: the announced lengths contradict each other, or the body.
    #[error("{declared} bytes were announced, {actual} received")]
    LengthMismatch { declared: u64, actual: u64 },
    /// The sender: the bytes do not have the announced digest. Send them again.
    #[error("{} {announced} was announced, the bytes have {actual}", algorithm.name())]
    DigestMismatch {
        algorithm: Algorithm,
        /// Hex.
        announced: String,
        /// Hex.
        actual: String,
        /// The side file that was compared, if the digest is from one.
        side_file: Option<SideFile>,
    },
    /// The sender: the side file has a digest, but not one that can be compared. It was not kept.
    #[error("the side file of `{target}` has no {}", algorithm.name())]
    UnreadableSideFile {
        /// As its name says.
        algorithm: Algorithm,
        /// The file that it is about.
        target: String,
    },
    /// The sender: this body does not have the announced digest. Send it again. Nothing of it was kept.
    #[error("{} {announced} was announced for the body, it has {actual}", algorithm.name())]
    ContentMismatch {
        algorithm: Algorithm,
        /// Hex.
        announced: String,
        /// Hex.
        actual: String,
    },
    /// The sender: resume in a moment, at this gateway or another. This one is stopping.
    #[error("the gateway is stopping")]
    Draining,
    /// The sender: the body ended early.
    #[error("interrupted after {received} bytes")]
    Interrupted {
        /// Bytes of this request.
        received: u64,
    },
    /// The sender: the body was slower than the minimum rate.
    #[error("slower than the minimum rate after {received} bytes")]
    TooSlow {
        /// Bytes of this request.
        received: u64,
    },
    /// The sender's program: the body is malformed.
    #[error("malformed body: {0}")]
    Malformed(String),
    /// Support: lift the hold on this ticket. Until then its files stay.
    #[error("ticket {ticket} has a hold")]
    OnHold { ticket: String },
    /// Nobody: a newer request took over.
    #[error("a newer request took over")]
    Superseded,
    /// The sender: ask for a new link. This one was revoked during the upload.
    #[error("the link was revoked")]
    Revoked,
    /// The sender: wait for an upload to end. Too many are open on the link.
    #[error("too many uploads are open on the link")]
    TooManyOpen,
    /// The sender: let uploads on the link finish, or cancel them. Together they hold as much as they may.
    #[error("incomplete uploads of the link may hold {max} bytes")]
    TooMuchUnfinished { max: u64 },
    /// The sender: wait. No memory is free.
    #[error("no memory is free for another upload")]
    Busy { retry_after: Duration },
    /// The sender waits, the operator checks: the bucket or the ledger does not answer.
    #[error("storage is unavailable: {0}")]
    Unavailable(String),
    /// The sender waits, the operator acts: the bucket is the wrong one, or forbids the request.
    #[error("storage refuses: {0}")]
    Refused(String),
    /// The sender waits, the operator checks: bytes are damaged on their way to the bucket, or in it.
    #[error("storage damages bytes: {0}")]
    Damaged(String),
    /// The operator: no retry fixes this.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    /// Whether a retry may succeed once storage is back or its operator has changed something.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Refused(_) | Self::Damaged(_) | Self::Internal(_))
    }

    /// Whether the bytes received before it count.
    pub(crate) fn keeps_received_bytes(&self) -> bool {
        matches!(self, Self::Interrupted { .. } | Self::TooSlow { .. } | Self::Draining)
    }

    /// A short name for logs and metrics: the last segment of the problem type that the sender sees, unless the operator needs to
    /// know more.
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
            Self::OnHold { .. } => "on-hold",
            Self::TooManyOpen | Self::TooMuchUnfinished { .. } => "slow-down",
            Self::Busy { .. } => "busy",
            Self::Unavailable(_) | Self::Refused(_) => "unavailable",
            Self::Damaged(_) => "damaged",
            Self::Internal(_) => "internal",
        }
    }
}

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

/// No single answer is final: that bytes are gone takes more proof (`lost.rs`). An operator fixes wrong credentials or a wrong
/// bucket, and uploads that waited for that continue.
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

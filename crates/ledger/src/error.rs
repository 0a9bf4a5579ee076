//! The one error of this crate, named by what the caller can do.
//! Invariant: after an error that says a connection is no longer what it was, no older connection is used again.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What went wrong in the ledger. Any call may fail with [`Error::Unavailable`]; the calls document the others.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("not found")]
    NotFound,
    /// The row exists already, or another row refers to it. The text says which.
    #[error("{0}")]
    Conflict(String),
    /// A newer append of the same upload, or its end, has taken over: stop writing.
    #[error("superseded by a newer request")]
    Superseded,
    /// The database did not answer, or its answer made no sense.
    #[error("ledger is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Result of every ledger call.
pub type Result<T> = std::result::Result<T, Error>;

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::RowNotFound => Self::NotFound,
            sqlx::Error::Database(db) if db.is_unique_violation() => {
                Self::Conflict("it exists already".into())
            }
            sqlx::Error::Database(db) if db.is_foreign_key_violation() => {
                Self::Conflict("it refers to something that does not exist".into())
            }
            // The text contains U+0000. Postgres cannot store that, so no row can be meant.
            sqlx::Error::Database(db) if db.code().as_deref() == Some("22021") => Self::NotFound,
            _ => {
                let code = error.as_database_error().and_then(|db| db.code());
                if code.is_some_and(|code| OUTDATED.contains(&&*code) || is_disk_error(&code))
                    || matches!(error, sqlx::Error::InvalidSavePointStatement)
                {
                    *DISTRUSTED_AT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                }
                metrics::counter!("weighbridge_ledger_errors_total").increment(1);
                Self::Unavailable(Box::new(error))
            }
        }
    }
}

/// Postgres's codes for a connection whose knowledge is outdated: a newer gateway's migration changed a table
/// (`feature_not_supported`: the cached plan must not change its result), or the server is no longer the primary
/// (`read_only_sql_transaction`).
const OUTDATED: [&str; 2] = ["0A000", "25006"];

/// SQLite's codes (www.sqlite.org/rescode.html) for a disk that is full (13) or fails (10, with any extension above the low
/// byte). The database has rolled back, but the connection believes that its transaction is still open.
fn is_disk_error(code: &str) -> bool {
    code.len() < 5 && code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 10 | 13))
}

static DISTRUSTED_AT: Mutex<Option<Instant>> = Mutex::new(None);

/// Connections made before this are not used again.
pub(crate) fn distrusted_at() -> Option<Instant> {
    *DISTRUSTED_AT.lock().unwrap_or_else(PoisonError::into_inner)
}

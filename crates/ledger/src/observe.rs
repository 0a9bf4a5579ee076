//! How the ledger is watched: the span that every log line about an upload falls under, and the time transactions take.
//! Invariant: a span names an upload by what an operator looks for, and holds no token.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use sqlx::{Any, Transaction};
use tracing::Span;

use crate::Upload;
use crate::bounded::{Connection, in_time, too_late};

impl Upload {
    /// The span of whatever happens to this upload: append, parts, completion, delivery. At the level of errors, so that
    /// no filter takes it from the lines that pass.
    pub fn span(&self) -> Span {
        tracing::error_span!(
            "upload",
            upload.id = self.id,
            upload.name = self.name,
            link.id = self.link_id,
            partner = self.partner_id,
            ticket = self.ticket,
        )
    }
}

/// A transaction that has taken longer is not committed: with the commit itself it would come near a minute.
const TRANSACTION_MAX: Duration = Duration::from_secs(35);

/// A transaction that is timed from the moment it was asked for until it is on the disk.
pub(crate) struct Timed {
    connection: Connection,
    asked_at: Instant,
}

impl Timed {
    /// `asked_at` is before the wait for the write lock.
    pub(crate) fn new(transaction: Transaction<'static, Any>, asked_at: Instant) -> Self {
        Self { connection: Connection(transaction), asked_at }
    }

    pub(crate) async fn commit(self) -> sqlx::Result<()> {
        if self.asked_at.elapsed() > TRANSACTION_MAX {
            return Err(too_late());
        }
        self.commit_late().await
    }

    /// The same for one that may take its time.
    pub(crate) async fn commit_late(self) -> sqlx::Result<()> {
        in_time(self.connection.0.commit()).await?;
        metrics::histogram!("weighbridge_ledger_transaction_seconds").record(self.asked_at.elapsed());
        Ok(())
    }

    pub(crate) async fn rollback(self) -> sqlx::Result<()> {
        in_time(self.connection.0.rollback()).await
    }
}

impl Deref for Timed {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Timed {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// Counts a call that the database did not answer, or not with sense.
pub(crate) fn unavailable() {
    metrics::counter!("weighbridge_ledger_errors_total").increment(1);
}

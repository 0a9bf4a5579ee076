//! How the ledger is watched: the span that every log line about an upload falls under, and the time transactions take.
//! Invariant: a span names an upload by what an operator looks for, and holds no token.

use std::ops::{Deref, DerefMut};
use std::time::Instant;

use sqlx::{Any, AnyConnection, Transaction};
use tracing::Span;

use crate::Upload;

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

/// A transaction that is timed from the moment it was asked for until it is on the disk.
pub(crate) struct Timed {
    transaction: Transaction<'static, Any>,
    asked_at: Instant,
}

impl Timed {
    /// `asked_at` is before the wait for the write lock.
    pub(crate) fn new(transaction: Transaction<'static, Any>, asked_at: Instant) -> Self {
        Self { transaction, asked_at }
    }

    pub(crate) async fn commit(self) -> sqlx::Result<()> {
        self.transaction.commit().await?;
        metrics::histogram!("weighbridge_ledger_transaction_seconds").record(self.asked_at.elapsed());
        Ok(())
    }

    pub(crate) async fn rollback(self) -> sqlx::Result<()> {
        self.transaction.rollback().await
    }
}

impl Deref for Timed {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.transaction
    }
}

impl DerefMut for Timed {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }
}

/// Counts a call that the database did not answer, or not with sense.
pub(crate) fn unavailable() {
    metrics::counter!("weighbridge_ledger_errors_total").increment(1);
}

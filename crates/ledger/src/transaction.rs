//! Transactions: timed from the request for one until it is on the disk.
//! Invariant: a transaction that took too long is not committed; deadlines of attempts on a bucket rely on that.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use sqlx::Any;

use crate::timeout::{Connection, in_time, timed_out};

/// A transaction that has taken longer is not committed: with the commit itself it would take nearly a minute.
const TRANSACTION_MAX: Duration = Duration::from_secs(35);

pub(crate) struct Transaction {
    connection: Connection,
    requested_at: Instant,
}

impl Transaction {
    /// `requested_at` is before the wait for the write lock.
    pub(crate) fn new(transaction: sqlx::Transaction<'static, Any>, requested_at: Instant) -> Self {
        Self { connection: Connection(transaction), requested_at }
    }

    pub(crate) async fn commit(self) -> sqlx::Result<()> {
        if self.requested_at.elapsed() > TRANSACTION_MAX {
            return Err(timed_out());
        }
        self.commit_late().await
    }

    /// Commits a transaction that may take any time, such as a migration.
    pub(crate) async fn commit_late(self) -> sqlx::Result<()> {
        in_time(self.connection.0.commit()).await?;
        metrics::histogram!("weighbridge_ledger_transaction_seconds").record(self.requested_at.elapsed());
        Ok(())
    }

    pub(crate) async fn rollback(self) -> sqlx::Result<()> {
        in_time(self.connection.0.rollback()).await
    }
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

//! The handle to the ledger and its connections.
//! Invariant: SQLite writes go through one connection, and a transaction takes the write lock when it begins.

use std::str::FromStr as _;
use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, utf8_percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};

use crate::dialect::Dialect;
use crate::error::distrusted_at;
use crate::sql::sql;
use crate::timeout::{Pool, in_time};
use crate::transaction::Transaction;
use crate::{Error, Result, check_url, now_ms};

/// A handle to the ledger; clones share the connections.
#[derive(Clone)]
pub struct Ledger {
    pub(crate) write: Pool,
    pub(crate) read: Pool,
    pub(crate) dialect: Dialect,
}

/// A statement waiting for SQLite's write lock gives up after this time.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);
/// Connections for reads (SQLite): more than the cores of most machines gain nothing.
const READERS_MAX: u32 = 8;
/// Connections for everything (Postgres). Eight reach 4,000 transactions a second on loopback. Sixteen allow for a network
/// in between, and Postgres's default limit of 100 still serves five gateways and their operators.
const CONNECTIONS_MAX: u32 = 16;
/// Connections to Postgres are renewed after this time, to follow a DNS name that has moved.
const CONNECTION_LIFE: Duration = Duration::from_secs(30 * 60);
/// Leases last 20 s by each gateway's own clock: two gateways whose clocks are off by this much still agree on the holder.
const CLOCK_SKEW_MAX_MS: u64 = 5_000;
/// Characters that mean something in the URL of a SQLite file.
const PATH: AsciiSet = AsciiSet::EMPTY.add(b'%').add(b'?').add(b'#');

impl Ledger {
    /// Opens `sqlite:PATH` (created with mode 600 when missing) or `postgres://…`. Does not migrate: see
    /// [`Ledger::migrate`].
    ///
    /// # Errors
    /// [`Error::Conflict`] for a URL of another kind and for a clock that is wrong.
    pub async fn open(url: &str) -> Result<Self> {
        sqlx::any::install_default_drivers();
        check_url(url).map_err(|what| Error::Conflict(format!("the ledger's url {what}")))?;
        if let Some(path) = url.strip_prefix("sqlite:") {
            create_private(path).map_err(|error| {
                let fix = "create its folder and allow this user to write there";
                Error::Unavailable(format!("{error}; {fix}").into())
            })?;
            let options =
                AnyConnectOptions::from_str(&format!("sqlite:{}", utf8_percent_encode(path, &PATH)))?;
            let dialect = Dialect::Sqlite;
            let pool = |connections_max| pool(dialect, connections_max).idle_timeout(None).max_lifetime(None);
            let write = Pool(pool(1).connect_with(options.clone()).await?);
            let read = Pool(pool(READERS_MAX).connect_with(options).await?);
            return Ok(Self { write, read, dialect });
        }
        let dialect = Dialect::Postgres;
        let pool = pool(dialect, CONNECTIONS_MAX).max_lifetime(CONNECTION_LIFE);
        let pool = Pool(pool.connect_with(AnyConnectOptions::from_str(url)?).await?);
        let ledger = Self { write: pool.clone(), read: pool, dialect };
        ledger.check_clock().await?;
        Ok(ledger)
    }

    /// Whether other gateways may run on this ledger at the same time.
    pub fn is_shared(&self) -> bool {
        self.dialect == Dialect::Postgres
    }

    async fn check_clock(&self) -> Result<()> {
        let Some(clock) = self.dialect.clock() else { return Ok(()) };
        let before = now_ms();
        let theirs: i64 = sqlx::query_scalar(clock).fetch_one(&self.read).await?;
        let skew_ms = theirs.abs_diff(theirs.clamp(before, now_ms().max(before)));
        if skew_ms > CLOCK_SKEW_MAX_MS {
            return Err(Error::Conflict(format!(
                "the clocks of this machine and of Postgres differ by {} s, and gateways would steal each other's work; \
                 synchronize both with the same time server",
                skew_ms / 1000
            )));
        }
        Ok(())
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.read).await?;
        Ok(())
    }

    /// Checks that the disk can be written, with a small transaction that changes nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: the disk is full, or another writer holds the lock for too long.
    pub async fn try_write(&self) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query(sqlx::AssertSqlSafe(self.dialect.write_nothing())).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Closes every connection; SQLite folds its log into the file.
    pub async fn close(&self) {
        self.read.0.close().await;
        self.write.0.close().await;
    }

    pub(crate) async fn begin(&self) -> Result<Transaction> {
        let requested_at = Instant::now();
        let transaction = in_time(self.write.0.begin_with(self.dialect.begin())).await?;
        Ok(Transaction::new(transaction, requested_at))
    }

    /// Begins a transaction that runs alone among those of the same turn: each sees what the one before it did.
    pub(crate) async fn begin_in_turn(&self, turn: &str) -> Result<Transaction> {
        let mut tx = self.begin().await?;
        if let Some(statement) = self.dialect.wait_for_turn() {
            sql!(statement, [turn]).execute(&mut *tx).await?;
        }
        Ok(tx)
    }
}

fn pool(dialect: Dialect, connections_max: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(BUSY_TIMEOUT)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                for statement in dialect.session() {
                    sqlx::query(*statement).execute(&mut *connection).await?;
                }
                Ok(())
            })
        })
        .before_acquire(|_, connection| {
            let is_trusted = distrusted_at().is_none_or(|at| connection.age < at.elapsed());
            Box::pin(async move { Ok(is_trusted) })
        })
}

/// Creates the file readable by its owner alone, since it holds names and hashes. An existing file is left as it is.
pub(crate) fn create_private(path: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

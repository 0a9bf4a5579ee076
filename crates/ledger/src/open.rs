//! Opens the ledger: pools, migrations, and the one error of this crate.
//! SQLite writes go through one connection (it has one writer anyway); a transaction takes the write lock at its start.

use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{Migration, MigrationType, Migrator};

use crate::bounded::{Pool, in_time};
use crate::dialect::Dialect;
use crate::observe::{self, Timed};
use crate::{check_url, now_ms};

/// What went wrong in the ledger, named by what the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such row.
    #[error("not found")]
    NotFound,
    /// The row exists already, or is referred to: the text says which.
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
            // A text with U+0000: Postgres keeps none, so no row can be meant.
            sqlx::Error::Database(db) if db.code().as_deref() == Some("22021") => Self::NotFound,
            _ => {
                let code = error.as_database_error().and_then(|db| db.code());
                if code.is_some_and(|code| OUTLIVED.contains(&&*code) || is_disk_error(&code))
                    || matches!(error, sqlx::Error::InvalidSavePointStatement)
                {
                    *DOUBTED_AT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                }
                observe::unavailable();
                Self::Unavailable(Box::new(error))
            }
        }
    }
}

/// Postgres's codes for a connection that has outlived what it knew: a table was changed by a newer gateway's migration
/// (feature_not_supported: the cached plan must not change its result), or the server is no longer the one that is
/// written to (read_only_sql_transaction).
const OUTLIVED: [&str; 2] = ["0A000", "25006"];

/// SQLite's codes (www.sqlite.org/rescode.html) for a disk that is full (13) or fails (10, whatever stands above its low
/// byte). The database has rolled back, and the connection believes that it is in a transaction still.
fn is_disk_error(code: &str) -> bool {
    code.len() < 5 && code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 10 | 13))
}

/// Connections made before this are not used again.
static DOUBTED_AT: Mutex<Option<Instant>> = Mutex::new(None);

/// A handle to the ledger; clones share the connections.
#[derive(Clone)]
pub struct Ledger {
    pub(crate) write: Pool,
    pub(crate) read: Pool,
    dialect: Dialect,
}

/// A statement waiting for SQLite's write lock gives up after this time.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);
/// Connections for reads (SQLite): more than the cores of most machines gain nothing.
const READERS_MAX: u32 = 8;
/// Connections for everything (Postgres). Eight reach 4,000 transactions a second on loopback; twice as many allow for a
/// network in between, and Postgres's own default of 100 still serves five gateways and their operators.
const CONNECTIONS_MAX: u32 = 16;
/// A connection to Postgres is made anew after this, so that a name that leads elsewhere is followed.
const CONNECTION_LIFE: Duration = Duration::from_secs(30 * 60);
/// Leases are 20 s long and kept by each gateway's own clock: two that are each this far off still agree on whose it is.
const CLOCK_OFF_MAX_MS: u64 = 5_000;

impl Ledger {
    /// Opens `sqlite:PATH` (created with mode 600 when missing) or `postgres://…`. Does not migrate: see
    /// [`Ledger::migrate`].
    ///
    /// # Errors
    /// [`Error::Conflict`] for a URL of another kind and for a clock that is wrong, [`Error::Unavailable`] when it cannot
    /// be opened.
    pub async fn open(url: &str) -> Result<Self> {
        sqlx::any::install_default_drivers();
        check_url(url).map_err(|what| Error::Conflict(format!("the ledger's url {what}")))?;
        if let Some(path) = url.strip_prefix("sqlite:") {
            create_private(path).map_err(|error| {
                let mend = "make its folder, and let the user that runs this write there";
                Error::Unavailable(format!("{error}; {mend}").into())
            })?;
            let encoded = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
            let options = AnyConnectOptions::from_str(&format!("sqlite:{encoded}"))?;
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
        let after = now_ms();
        let off = if theirs < before {
            before.abs_diff(theirs)
        } else {
            theirs.saturating_sub(after).max(0).unsigned_abs()
        };
        if off > CLOCK_OFF_MAX_MS {
            return Err(Error::Conflict(format!(
                "the clocks of this machine and of Postgres differ by {} s, and gateways would take each other's work; \
                 have both follow the same time server",
                off / 1000
            )));
        }
        Ok(())
    }

    /// Brings the tables up to date; safe to run again, and while others run it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when a step fails; every step is rolled back.
    pub async fn migrate(&self) -> Result<()> {
        // The migrator's own lock is none on SQLite, and ends before the commit on Postgres: two processes would both create
        // the first table.
        let mut tx = self.begin().await?;
        if let Some(patience) = self.dialect.patience() {
            sqlx::query(patience).execute(tx.unbounded()).await?;
        }
        if let Some(wait) = self.dialect.turn() {
            sqlx::query(wait).bind("migrate").execute(tx.unbounded()).await?;
        }
        // Not `run`: its future is not known to be `Send`.
        migrator()
            .run_direct(None, tx.unbounded(), false)
            .await
            .map_err(|error| Error::Unavailable(error.into()))?;
        tx.commit_late().await?;
        Ok(())
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.read).await?;
        Ok(())
    }

    /// Whether something can be written, to the disk: a small transaction that changes nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: no room, or whoever writes just now does so for longer than anybody waits.
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

    pub(crate) async fn begin(&self) -> Result<Timed> {
        let asked_at = Instant::now();
        Ok(Timed::new(in_time(self.write.0.begin_with(self.dialect.begin())).await?, asked_at))
    }

    /// A transaction beside which no other of the same turn runs: each sees what the one before it did.
    pub(crate) async fn begin_in_turn(&self, turn: &str) -> Result<Timed> {
        let mut tx = self.begin().await?;
        if let Some(wait) = self.dialect.turn() {
            sqlx::query(wait).bind(turn).execute(&mut *tx).await?;
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
            let doubted_at = *DOUBTED_AT.lock().unwrap_or_else(PoisonError::into_inner);
            Box::pin(async move { Ok(doubted_at.is_none_or(|at| connection.age < at.elapsed())) })
        })
}

/// Creates the file readable by its owner alone, since it holds names and hashes; an existing file is left as it is.
pub(crate) fn create_private(path: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

const MIGRATIONS: [(i64, &str, &str); 8] = [
    (1, "ledger", include_str!("../migrations/0001_ledger.sql")),
    (2, "link_limits", include_str!("../migrations/0002_link_limits.sql")),
    (3, "digests", include_str!("../migrations/0003_digests.sql")),
    (4, "resume", include_str!("../migrations/0004_resume.sql")),
    (5, "duplicates", include_str!("../migrations/0005_duplicates.sql")),
    (6, "unswept", include_str!("../migrations/0006_unswept.sql")),
    (7, "begins_with_body", include_str!("../migrations/0007_begins_with_body.sql")),
    (8, "side_files", include_str!("../migrations/0008_side_files.sql")),
];

/// Number and name of every migration this program knows.
pub fn migrations() -> impl Iterator<Item = (i64, &'static str)> {
    MIGRATIONS.iter().map(|(version, name, _)| (*version, *name))
}

fn migrator() -> Migrator {
    let mut migrator = Migrator::with_migrations(
        MIGRATIONS
            .iter()
            .map(|(version, name, sql)| {
                Migration::new(
                    *version,
                    (*name).into(),
                    MigrationType::Simple,
                    sqlx::AssertSqlSafe(*sql).into_sql_str(),
                    false,
                )
            })
            .collect(),
    );
    migrator.set_locking(false);
    migrator
}

use sqlx::SqlSafeStr as _;

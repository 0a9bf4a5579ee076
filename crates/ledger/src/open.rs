//! Opens the ledger: pools, pragmas, migrations, and the one error of this crate.
//! SQLite writes go through one connection (it has one writer anyway); a transaction takes the write lock at its start.

use std::fs::{File, TryLockError};
use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::AnyPool;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{Migration, MigrationType, Migrator};

use crate::observe::{self, Timed};

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
            _ => {
                observe::unavailable();
                Self::Unavailable(Box::new(error))
            }
        }
    }
}

/// A handle to the ledger; clones share the connections.
#[derive(Clone)]
pub struct Ledger {
    pub(crate) write: AnyPool,
    pub(crate) read: AnyPool,
}

/// The right to be the one gateway on a SQLite ledger. The operating system ends it with the process.
#[derive(Debug)]
pub struct Hold {
    _file: File,
}

/// A statement waiting for SQLite's write lock gives up after this time.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);
/// Connections for reads (SQLite), or for everything (Postgres).
const CONNECTIONS_MAX: u32 = 8;

impl Ledger {
    /// Opens `sqlite:PATH` (created with mode 600 when missing). Does not migrate: see [`Ledger::migrate`].
    ///
    /// # Errors
    /// [`Error::Conflict`] for a URL of another kind, [`Error::Unavailable`] when it cannot be opened.
    pub async fn open(url: &str) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let Some(path) = url.strip_prefix("sqlite:") else {
            return Err(Error::Conflict("the ledger's url must be `sqlite:PATH`".into()));
        };
        create_private(path).map_err(|error| Error::Unavailable(error.into()))?;
        let encoded = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
        let options = AnyConnectOptions::from_str(&format!("sqlite:{encoded}"))?;
        let write = pool(1).connect_with(options.clone()).await?;
        let read = pool(CONNECTIONS_MAX).connect_with(options).await?;
        Ok(Self { write, read })
    }

    /// Brings the tables up to date; safe to run again, and while others run it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when a step fails; every step is rolled back.
    pub async fn migrate(&self) -> Result<()> {
        // The migrator itself takes no lock on SQLite: two processes would both create the first table.
        let mut tx = self.begin().await?;
        // Not `run`: its future is not known to be `Send`.
        migrator()
            .run_direct(None, &mut *tx, false)
            .await
            .map_err(|error| Error::Unavailable(error.into()))?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes the right to be the one gateway on this SQLite file, for as long as the result lives: a second one would
    /// take the first one's running uploads for abandoned.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another has it.
    pub fn hold(url: &str) -> Result<Hold> {
        let path = format!("{}.lock", url.strip_prefix("sqlite:").unwrap_or(url));
        create_private(&path).map_err(|error| Error::Unavailable(error.into()))?;
        let file = File::open(&path).map_err(|error| Error::Unavailable(error.into()))?;
        match file.try_lock() {
            Ok(()) => Ok(Hold { _file: file }),
            Err(TryLockError::WouldBlock) => {
                Err(Error::Conflict("another gateway runs on this ledger".into()))
            }
            Err(TryLockError::Error(error)) => Err(Error::Unavailable(error.into())),
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.read).await?;
        Ok(())
    }

    /// Closes every connection; SQLite folds its log into the file.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }

    pub(crate) async fn begin(&self) -> Result<Timed> {
        let asked_at = Instant::now();
        Ok(Timed::new(self.write.begin_with("BEGIN IMMEDIATE").await?, asked_at))
    }
}

fn pool(connections_max: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(BUSY_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(|connection, _| {
            Box::pin(async move {
                // FULL: a commit is on the disk before it returns. The promise rests on it.
                for pragma in [
                    "PRAGMA journal_mode = WAL",
                    "PRAGMA synchronous = FULL",
                    "PRAGMA foreign_keys = ON",
                    "PRAGMA busy_timeout = 20000",
                ] {
                    sqlx::query(pragma).execute(&mut *connection).await?;
                }
                Ok(())
            })
        })
}

/// Creates the file readable by its owner alone, since it holds names and hashes; an existing file is left as it is.
fn create_private(path: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

const MIGRATIONS: [(i64, &str, &str); 4] = [
    (1, "ledger", include_str!("../migrations/0001_ledger.sql")),
    (2, "link_limits", include_str!("../migrations/0002_link_limits.sql")),
    (3, "digests", include_str!("../migrations/0003_digests.sql")),
    (4, "resume", include_str!("../migrations/0004_resume.sql")),
];

/// Number and name of every migration this program knows.
pub fn migrations() -> impl Iterator<Item = (i64, &'static str)> {
    MIGRATIONS.iter().map(|(version, name, _)| (*version, *name))
}

fn migrator() -> Migrator {
    Migrator::with_migrations(
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
    )
}

use sqlx::SqlSafeStr as _;

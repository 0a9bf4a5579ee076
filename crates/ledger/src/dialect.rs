//! The differences between SQLite and Postgres, side by side; every other statement is one text for both.
//! Invariant: whatever relies on SQLite's single writer waits for its turn here, since Postgres has many writers.

use sqlx::AnyConnection;

use crate::now_ms;

/// The database that a ledger is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// A file that belongs to one gateway.
    Sqlite,
    /// A server that several gateways share.
    Postgres,
}

impl Dialect {
    pub(crate) fn of(url: &str) -> Option<Self> {
        if url.starts_with("sqlite:") {
            Some(Self::Sqlite)
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Some(Self::Postgres)
        } else {
            None
        }
    }

    /// Begins a transaction. SQLite takes the write lock at once, because it refuses to turn a reader into a writer.
    pub(crate) fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED",
        }
    }

    /// The first statements of every connection. A commit is on the disk before it returns: every promise relies on it. A
    /// statement that waits gives up after 20 s. A transaction whose gateway has vanished ends and frees its rows.
    pub(crate) fn session(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => &[
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = FULL",
                "PRAGMA foreign_keys = ON",
                "PRAGMA busy_timeout = 20000",
            ],
            Self::Postgres => &["SELECT set_config('synchronous_commit', \
                 CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, \
                 false), set_config('default_transaction_isolation', 'read committed', false), \
                 set_config('statement_timeout', '20000', false), set_config('idle_in_transaction_session_timeout', '60000', false), \
                 set_config('client_min_messages', 'warning', false)"],
        }
    }

    /// Waits until no other transaction has this turn (`$1`), and holds it until the transaction ends. Later statements see
    /// what the previous holder committed. SQLite has one writer, whose turn began with its transaction.
    pub(crate) fn wait_for_turn(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"),
        }
    }

    /// Lifts the time limit of this transaction, which migrates or waits for another that does.
    pub(crate) fn no_timeout(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SET LOCAL statement_timeout = 0"),
        }
    }

    /// Reads the database's clock, ms, where it may differ from this machine's.
    pub(crate) fn clock(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"),
        }
    }

    /// Writes something that nobody reads: a number in the file's header, or an entry in Postgres's log.
    pub(crate) fn write_nothing(self) -> String {
        match self {
            Self::Sqlite => format!("PRAGMA user_version = {}", now_ms() / 1000 % i64::from(i32::MAX)),
            Self::Postgres => "SELECT CAST(pg_current_xact_id() AS TEXT)".into(),
        }
    }

    /// Takes the lock of a gateway that is alone, if it is free within two seconds: Postgres may need a moment to notice that
    /// a process is gone. For Postgres only; on a SQLite file the operating system has the lock.
    pub(crate) async fn lock_alone(session: &mut AnyConnection) -> sqlx::Result<bool> {
        sqlx::query("SELECT set_config('lock_timeout', '2000', false)").execute(&mut *session).await?;
        let taken = sqlx::query("SELECT pg_advisory_lock(hashtextextended('weighbridge gateway', 0))");
        let taken = taken.execute(&mut *session).await;
        sqlx::query("SELECT set_config('lock_timeout', '0', false)").execute(&mut *session).await?;
        match taken {
            Ok(_) => Ok(true),
            // lock_not_available
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes the lock together with other gateways; waits for one that is alone.
    pub(crate) async fn lock_shared(session: &mut AnyConnection) -> sqlx::Result<()> {
        let share = sqlx::query("SELECT pg_advisory_lock_shared(hashtextextended('weighbridge gateway', 0))");
        share.execute(session).await.map(drop)
    }

    pub(crate) async fn unlock_alone(session: &mut AnyConnection) -> sqlx::Result<()> {
        let leave = sqlx::query("SELECT pg_advisory_unlock(hashtextextended('weighbridge gateway', 0))");
        leave.execute(session).await.map(drop)
    }
}

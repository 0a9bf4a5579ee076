//! What differs between SQLite and Postgres, side by side; every other statement is one text for both.
//! Invariant: whatever rests on SQLite's single writer takes its turn here, since Postgres lets writers run side by side.

use std::str::FromStr as _;

use sqlx::AnyConnection;
use sqlx::any::AnyConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::now_ms;

/// The database that a ledger is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// A file, which one gateway has for itself.
    Sqlite,
    /// A server, which several gateways share.
    Postgres,
}

/// The parameters of a `postgres://` URL that are understood; another would be passed over in silence.
const PARAMETERS: [&str; 17] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "options",
    "hostaddr",
    "application_name",
    "statement-cache-capacity",
];

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

    /// How a transaction begins. SQLite takes the write lock at once: it refuses to turn a reader into a writer.
    pub(crate) fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED",
        }
    }

    /// What every connection is told first. A commit is on the disk before it returns: the promise rests on it. A
    /// statement that waits gives up after 20 s; a transaction whose gateway has vanished ends, and frees its rows.
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

    /// Waits until no other transaction has this turn (`$1`); it ends with the transaction. A statement after it sees what
    /// the one before has committed. SQLite has one writer, whose turn began with its transaction.
    pub(crate) fn turn(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"),
        }
    }

    /// Lets this transaction take its time: it migrates, or waits for one that does.
    pub(crate) fn patience(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SET LOCAL statement_timeout = 0"),
        }
    }

    /// The database's own clock, ms, where it is not this machine's.
    pub(crate) fn clock(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"),
        }
    }

    /// Writes what nobody reads: a number in the head of the file, an entry in Postgres' log.
    pub(crate) fn write_nothing(self) -> String {
        match self {
            Self::Sqlite => format!("PRAGMA user_version = {}", now_ms() / 1000 % i64::from(i32::MAX)),
            Self::Postgres => "SELECT CAST(pg_current_xact_id() AS TEXT)".into(),
        }
    }

    /// Takes the place of the only gateway, if it is free within two seconds: Postgres may need a moment to see that a
    /// process is gone. The place is Postgres' alone; on a SQLite file the operating system keeps it.
    pub(crate) async fn take_place(session: &mut AnyConnection) -> sqlx::Result<bool> {
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

    /// Takes a place beside others; waits for one that is alone.
    pub(crate) async fn share_place(session: &mut AnyConnection) -> sqlx::Result<()> {
        let share = sqlx::query("SELECT pg_advisory_lock_shared(hashtextextended('weighbridge gateway', 0))");
        share.execute(session).await.map(drop)
    }

    /// Gives the place of the only gateway up.
    pub(crate) async fn leave_place(session: &mut AnyConnection) -> sqlx::Result<()> {
        let leave = sqlx::query("SELECT pg_advisory_unlock(hashtextextended('weighbridge gateway', 0))");
        leave.execute(session).await.map(drop)
    }
}

/// Whether a ledger may be opened at this URL; nothing is opened.
///
/// # Errors
/// What is wrong and, after `; `, what to write instead. It holds no password.
pub fn check_url(url: &str) -> Result<(), String> {
    match Dialect::of(url) {
        None => {
            Err("is no ledger's address; write `\"sqlite:PATH\"` or `\"postgres://USER@HOST/DATABASE\"`"
                .into())
        }
        Some(Dialect::Sqlite) => Ok(()),
        Some(Dialect::Postgres) => {
            let options = AnyConnectOptions::from_str(url).map_err(|error| {
                format!(
                    "cannot be read ({}); write `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with `%40` for `@`, `%2F` \
                     for `/` and `%3A` for `:` in a password",
                    cause(&error)
                )
            })?;
            let known = |key: &str| PARAMETERS.contains(&key) || key.starts_with("options[");
            if let Some((key, _)) = options.database_url.query_pairs().find(|(key, _)| !known(key)) {
                let key: String = key.chars().filter(|c| c.is_ascii_graphic()).take(40).collect();
                return Err(format!("has a parameter `{key}` that is not understood; leave it out"));
            }
            PgConnectOptions::try_from(&options)
                .map(drop)
                .map_err(|error| format!("cannot be read ({}); mend that parameter", cause(&error)))
        }
    }
}

/// The file of a ledger that is one.
pub fn file(url: &str) -> Option<&std::path::Path> {
    url.strip_prefix("sqlite:").map(std::path::Path::new)
}

/// Without sqlx's own words around it.
fn cause(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Configuration(cause) => cause.to_string(),
        other => other.to_string(),
    }
}

/// The URL as it may be logged: without user, password and parameters.
pub fn shown(url: &str) -> String {
    if Dialect::of(url) != Some(Dialect::Postgres) {
        return url.to_owned();
    }
    let Ok(options) = AnyConnectOptions::from_str(url) else { return "postgres://…".into() };
    let url = options.database_url;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("postgres://{}{port}{}", url.host_str().unwrap_or_default(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_good_and_that_are_not() {
        for good in [
            "sqlite:/a",
            "postgres://h/d",
            "postgresql://u:p%40@h:5433/d?sslmode=verify-full&sslrootcert=/ca.pem",
            "postgres:///d?host=/run/postgresql&options[search_path]=w",
        ] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for (bad, said) in [
            ("mysql://u:secret@h/d", "postgres://USER@HOST"),
            ("postgres:d", "postgres://USER@HOST"),
            ("postgres://u:secret@h:x/d", "invalid port"),
            ("postgres://u:secret@h/d?sslmode=secret-ish", "sslmode"),
            ("postgres://u:secret@h/d?passwd=secret", "`passwd`"),
            ("postgres://u:se/cret@h/d", "%2F"),
        ] {
            let text = check_url(bad).unwrap_err();
            assert!(text.contains(said) || text.contains(&said.replace("ssl", "ssl_")), "{bad}: {text}");
            assert!(text.contains("; ") && !text.contains("u:secret") && !text.contains("cret@"), "{text}");
        }
    }

    #[test]
    fn what_is_logged_holds_no_password() {
        assert_eq!(shown("postgres://u:secret@h:1/d?password=secret"), "postgres://h:1/d");
        assert_eq!(shown("postgres://u:secret@h:x/d"), "postgres://…");
        assert_eq!(shown("sqlite:/a"), "sqlite:/a");
    }
}

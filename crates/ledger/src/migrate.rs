//! Migrations: the tables of the ledger, embedded in the program.
//! Invariant: new columns have defaults, so that older gateways on the same ledger continue to work during an upgrade.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use crate::dialect::Dialect;
use crate::sql::sql;
use crate::{Error, Ledger, Result};

/// Number, name and text; the text for SQLite and the one for Postgres where they differ.
const MIGRATIONS: [(i64, &str, [&str; 2]); 17] = [
    (1, "ledger", [include_str!("../migrations/0001_ledger.sql"); 2]),
    (2, "link_limits", [include_str!("../migrations/0002_link_limits.sql"); 2]),
    (3, "digests", [include_str!("../migrations/0003_digests.sql"); 2]),
    (4, "resume", [include_str!("../migrations/0004_resume.sql"); 2]),
    (5, "duplicates", [include_str!("../migrations/0005_duplicates.sql"); 2]),
    (6, "unswept", [include_str!("../migrations/0006_unswept.sql"); 2]),
    (7, "begins_with_body", [include_str!("../migrations/0007_begins_with_body.sql"); 2]),
    (8, "side_files", [include_str!("../migrations/0008_side_files.sql"); 2]),
    (
        9,
        "job_subjects",
        [
            include_str!("../migrations/0009_job_subjects.sqlite.sql"),
            include_str!("../migrations/0009_job_subjects.postgres.sql"),
        ],
    ),
    (10, "comparisons", [include_str!("../migrations/0010_comparisons.sql"); 2]),
    (11, "people", [include_str!("../migrations/0011_people.sql"); 2]),
    (
        12,
        "audit",
        [
            include_str!("../migrations/0012_audit.sqlite.sql"),
            include_str!("../migrations/0012_audit.postgres.sql"),
        ],
    ),
    (13, "retention", [include_str!("../migrations/0013_retention.sql"); 2]),
    (14, "partner_objects", [include_str!("../migrations/0014_partner_objects.sql"); 2]),
    (15, "asks", [include_str!("../migrations/0015_asks.sql"); 2]),
    (16, "sessions", [include_str!("../migrations/0016_sessions.sql"); 2]),
    (17, "sender_notes", [include_str!("../migrations/0017_sender_notes.sql"); 2]),
];

/// Number and name of every migration this program knows.
pub fn migrations() -> impl Iterator<Item = (i64, &'static str)> {
    MIGRATIONS.iter().map(|(version, name, _)| (*version, *name))
}

impl Ledger {
    /// Brings the tables up to date. Safe to repeat, and safe while others do the same. If a step fails, all are rolled back.
    pub async fn migrate(&self) -> Result<()> {
        // The migrator's own lock does nothing on SQLite and ends before the commit on Postgres: two processes would both
        // create the first table.
        let mut tx = self.begin().await?;
        if let Some(statement) = self.dialect.no_timeout() {
            sqlx::query(statement).execute(tx.unbounded()).await?;
        }
        if let Some(statement) = self.dialect.wait_for_turn() {
            sql!(statement, ["migrate"]).execute(tx.unbounded()).await?;
        }
        // Not `run`: its future is not known to be `Send`.
        migrator(self.dialect)
            .run_direct(None, tx.unbounded(), false)
            .await
            .map_err(|error| Error::Unavailable(error.into()))?;
        tx.commit_late().await?;
        // Makes the SQLite connection for reads notice the new tables. Otherwise its first `SELECT *` would be prepared for the
        // old columns, and sqlx would panic at a new one.
        sqlx::query("SELECT 1 FROM jobs LIMIT 1").execute(&self.read).await?;
        Ok(())
    }
}

fn migrator(dialect: Dialect) -> Migrator {
    let migration = |(version, name, [sqlite, postgres]): (i64, &'static str, [&'static str; 2])| {
        let sql = if dialect == Dialect::Sqlite { sqlite } else { postgres };
        let sql = sqlx::AssertSqlSafe(sql).into_sql_str();
        Migration::new(version, name.into(), MigrationType::Simple, sql, false)
    };
    let mut migrator = Migrator::with_migrations(MIGRATIONS.map(migration).into());
    migrator.set_locking(false);
    migrator
}

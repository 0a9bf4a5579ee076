//! The digests in side files, about the next upload of a name or about one that is complete.
//! Invariant: of a file and its side file, the one that completes later is compared with the other in the transaction that
//! completes it; a digest that cannot be compared there is kept for a job.

use crate::sql::{sql, sql_as};
use crate::timeout::Connection;
use crate::{JobKind, Ledger, Result, Upload, audit, jobs, now_ms};

/// What the ledger records about a side file.
#[derive(Debug, Clone, Copy)]
pub enum SideFileRecord<'a> {
    /// The next upload of this name on the link has this digest.
    Binds {
        name: &'a str,
        algorithm: &'a str,
        digest: &'a str,
        until: i64,
        /// The newest complete upload of the name when the side file was read. A newer one has to be compared first.
        newest: Option<&'a str>,
        /// That upload was searched among those that completed at or after this, ms.
        since: i64,
    },
    /// An earlier file has the digest.
    Agrees { upload_id: &'a str, algorithm: &'a str },
    /// An earlier file is compared with this MD5 when its own is known.
    Waits { upload_id: &'a str, digest: &'a str },
}

impl Ledger {
    /// Digests that bind the next upload of `name` on the link: algorithm and hex.
    pub async fn announced(&self, link_id: &str, name: &str) -> Result<Vec<(String, String)>> {
        Ok(sql_as!(
            "SELECT algorithm, digest FROM announced WHERE link_id = $1 AND name = $2 AND until > $3 ORDER BY algorithm",
            [link_id, name, now_ms()]
        )
        .fetch_all(&self.read)
        .await?)
    }

    /// The newest upload of `name` for the ticket on the link that completed at or after `since`, ms.
    pub async fn newest_complete(
        &self,
        link_id: &str,
        ticket: &str,
        name: &str,
        since: i64,
    ) -> Result<Option<Upload>> {
        let newest = sql_as!(NEWEST, [link_id, ticket, name, since]);
        Ok(newest.fetch_optional(&self.read).await?)
    }

    /// Queues a [`JobKind::Compare`] job, which computes the MD5 of a complete upload.
    pub async fn queue_comparison(&self, id: &str) -> Result<()> {
        if !self.has_job(JobKind::Compare, id).await? {
            let mut tx = self.begin().await?;
            jobs::queue(&mut tx, JobKind::Compare, id).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Ends a [`JobKind::Compare`] job: keeps the file's MD5, hex, and compares it with the digests that waited for it.
    /// Without an MD5 they are dropped.
    pub async fn finish_comparison(&self, job_id: &str, id: &str, md5: Option<&str>) -> Result<()> {
        let mut tx = self.begin_in_turn(&self.link_of(id).await?).await?;
        let waiting: Vec<(String, String)> =
            sql_as!("DELETE FROM uncompared WHERE upload_id = $1 RETURNING algorithm, digest", [id])
                .fetch_all(&mut *tx)
                .await?;
        if let Some(md5) = md5 {
            sql!("UPDATE uploads SET md5 = $2 WHERE id = $1", [id, md5]).execute(&mut *tx).await?;
            for (algorithm, digest) in waiting {
                compare(&mut tx, id, &algorithm, &digest, md5).await?;
            }
        }
        sql!("DELETE FROM jobs WHERE id = $1", [job_id]).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Records that a digest that arrived after the file does not match it, and queues a comment about that.
    pub async fn mark_mismatch(&self, id: &str, mismatch: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        record_mismatch(&mut tx, id, mismatch).await?;
        tx.commit().await?;
        Ok(())
    }
}

const NEWEST: &str = "SELECT * FROM uploads WHERE link_id = $1 AND state = 'complete' AND name = $3 AND ticket = $2 \
     AND completed_at >= $4 ORDER BY completed_at DESC, id DESC LIMIT 1";

/// Compares a completing file with the side files that wait for it, and records its digest if it is a side file itself. Call it
/// in the link's turn. Returns true if the file that this side file names has just completed: then roll back.
pub(crate) async fn apply(
    tx: &mut Connection,
    file: &Upload,
    side: Option<&SideFileRecord<'_>>,
) -> Result<bool> {
    let announced: Vec<(String, String)> = sql_as!(
        "SELECT algorithm, digest FROM announced WHERE link_id = $1 AND name = $2 AND until > $3",
        [&file.link_id, &file.name, now_ms()]
    )
    .fetch_all(&mut *tx)
    .await?;
    for (algorithm, digest) in announced {
        let actual = if algorithm == "sha-256" { &file.sha256 } else { &file.md5 };
        match actual {
            Some(actual) => compare(tx, &file.id, &algorithm, &digest, actual).await?,
            None => compare_later(tx, &file.id, &algorithm, &digest).await?,
        }
    }
    sql!(
        "DELETE FROM announced WHERE (link_id = $1 AND name = $2) OR until <= $3",
        [&file.link_id, &file.name, now_ms()]
    )
    .execute(&mut *tx)
    .await?;
    match side {
        None => {}
        Some(SideFileRecord::Agrees { upload_id, algorithm }) => agree(tx, upload_id, algorithm).await?,
        Some(SideFileRecord::Waits { upload_id, digest }) => {
            compare_later(tx, upload_id, "md5", digest).await?
        }
        Some(SideFileRecord::Binds { name, algorithm, digest, until, newest, since }) => {
            let now = sql_as!(NEWEST, [&file.link_id, &file.ticket, *name, *since]);
            let now: Option<Upload> = now.fetch_optional(&mut *tx).await?;
            if now.is_some_and(|now| Some(&*now.id) != *newest) {
                return Ok(true);
            }
            // A later side file replaces an earlier one.
            sql!(
                "INSERT INTO announced (link_id, name, algorithm, digest, until) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (link_id, name, algorithm) DO UPDATE SET digest = excluded.digest, until = excluded.until",
                [&file.link_id, *name, *algorithm, *digest, *until]
            )
            .execute(&mut *tx)
            .await?;
        }
    }
    Ok(false)
}

/// Leaves the comparison to a job, which computes what is missing. A later digest replaces an earlier one.
async fn compare_later(tx: &mut Connection, id: &str, algorithm: &str, digest: &str) -> Result<()> {
    sql!(
        "INSERT INTO uncompared (upload_id, algorithm, digest) VALUES ($1, $2, $3) \
         ON CONFLICT (upload_id, algorithm) DO UPDATE SET digest = excluded.digest",
        [id, algorithm, digest]
    )
    .execute(&mut *tx)
    .await?;
    jobs::queue(tx, JobKind::Compare, id).await
}

async fn compare(tx: &mut Connection, id: &str, algorithm: &str, digest: &str, actual: &str) -> Result<()> {
    if digest == actual {
        return agree(tx, id, algorithm).await;
    }
    record_mismatch(tx, id, &format!("{algorithm} {digest} {actual}")).await
}

async fn agree(tx: &mut Connection, id: &str, algorithm: &str) -> Result<()> {
    let done = sql!(
        "UPDATE uploads SET checked = CASE WHEN checked = '' THEN $2 ELSE checked || ',' || $2 END, \
         updated_at = $3 WHERE id = $1 AND state = 'complete' \
         AND (',' || checked || ',') NOT LIKE ('%,' || $2 || ',%')",
        [id, algorithm, now_ms()]
    )
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(());
    }
    jobs::queue(tx, JobKind::Receipt, id).await
}

async fn record_mismatch(tx: &mut Connection, id: &str, mismatch: &str) -> Result<()> {
    sql!(
        "UPDATE uploads SET mismatch = $2, updated_at = $3 WHERE id = $1 AND state = 'complete'",
        [id, mismatch, now_ms()]
    )
    .execute(&mut *tx)
    .await?;
    jobs::queue(tx, JobKind::MismatchComment, id).await?;
    jobs::queue(tx, JobKind::Receipt, id).await?;
    audit::write(&mut *tx, "gateway", "upload.mismatch", id, mismatch).await
}

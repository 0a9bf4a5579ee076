//! What side files say: of the next upload of a name, and of one that is complete.
//! Invariant: of a file and its side file, whichever is complete later is compared with the other, in the transaction that
//! says so; where that cannot be, what is yet to be compared is kept.

use sqlx::Row as _;

use crate::bounded::Connection;
use crate::uploads::upload;
use crate::{Completed, JobKind, Ledger, Result, Upload, audit, new_id, now_ms};

/// What a side file says.
#[derive(Debug, Clone, Copy)]
pub enum Side<'a> {
    /// The next upload of this name on the link has this digest.
    Binds {
        /// The name.
        name: &'a str,
        /// The hash.
        algorithm: &'a str,
        /// The digest, hex.
        digest: &'a str,
        /// Until then, ms.
        until: i64,
        /// The newest complete upload of the name when the side file was read. One that came since is compared first.
        newest: Option<&'a str>,
        /// It was looked for among those that came at or after this, ms.
        since: i64,
    },
    /// A file that came before has the digest.
    Agrees {
        /// That file.
        upload_id: &'a str,
        /// The hash.
        algorithm: &'a str,
    },
}

impl Ledger {
    /// Digests that bind the next upload of `name` on the link: algorithm and hex.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn announced(&self, link_id: &str, name: &str) -> Result<Vec<(String, String)>> {
        let rows = sqlx::query(
            "SELECT algorithm, digest FROM announced WHERE link_id = $1 AND name = $2 AND until > $3 ORDER BY algorithm",
        )
        .bind(link_id)
        .bind(name)
        .bind(now_ms())
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Records that `original` has come once more, with this MD5 where somebody asked for it: what it says as a side file,
    /// and whether it is what side files said of it. [`Completed::Overtaken`] as for [`Ledger::complete`].
    ///
    /// # Errors
    /// [`crate::Error::NotFound`], [`crate::Error::Unavailable`].
    pub async fn settle_again(
        &self,
        original: &str,
        md5: Option<&str>,
        side: Option<&Side<'_>>,
    ) -> Result<Completed> {
        let mut tx = self.begin_in_turn(&self.link_of(original).await?).await?;
        let row = sqlx::query("UPDATE uploads SET md5 = COALESCE(md5, $2) WHERE id = $1 RETURNING *")
            .bind(original)
            .bind(md5)
            .fetch_one(&mut *tx)
            .await?;
        if settle(&mut tx, &upload(&row)?, side).await? {
            tx.rollback().await?;
            return Ok(Completed::Overtaken);
        }
        tx.commit().await?;
        Ok(Completed::Before)
    }

    /// The link of an upload, which never changes: whose turn it is.
    pub(crate) async fn link_of(&self, id: &str) -> Result<String> {
        let link = sqlx::query("SELECT link_id FROM uploads WHERE id = $1").bind(id);
        Ok(link.fetch_one(&self.read).await?.try_get("link_id")?)
    }

    /// The newest complete upload of `name` for the ticket on the link that came at or after `since`, ms.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn newest_complete(
        &self,
        link_id: &str,
        ticket: &str,
        name: &str,
        since: i64,
    ) -> Result<Option<Upload>> {
        let row = sqlx::query(NEWEST).bind(link_id).bind(ticket).bind(name).bind(since);
        row.fetch_optional(&self.read).await?.as_ref().map(upload).transpose()
    }

    /// Keeps the MD5 of a complete upload, hex, for whoever asks next.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn keep_md5(&self, id: &str, md5: &str) -> Result<()> {
        let keep = sqlx::query("UPDATE uploads SET md5 = $2 WHERE id = $1 AND state = 'complete'");
        keep.bind(id).bind(md5).execute(&self.write).await?;
        Ok(())
    }

    /// What side files said of a complete upload and is yet to be compared: algorithm and hex.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn uncompared(&self, id: &str) -> Result<Vec<(String, String)>> {
        let rows =
            sqlx::query("SELECT algorithm, digest FROM uncompared WHERE upload_id = $1 ORDER BY algorithm")
                .bind(id)
                .fetch_all(&self.read)
                .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Ids of uploads of which something is yet to be compared since `before`, ms, oldest first.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn uncompared_since(&self, before: i64) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT id FROM uploads WHERE id IN (SELECT upload_id FROM uncompared) AND updated_at <= $1 \
             ORDER BY id LIMIT 1000",
        )
        .bind(before)
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
    }

    /// Records how a digest of [`Ledger::uncompared`] compares with the file's, hex; none where the file has none that could
    /// be computed. Once: says whether it was still to be compared.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn compared(
        &self,
        id: &str,
        algorithm: &str,
        digest: &str,
        actual: Option<&str>,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        let done =
            sqlx::query("DELETE FROM uncompared WHERE upload_id = $1 AND algorithm = $2 AND digest = $3")
                .bind(id)
                .bind(algorithm)
                .bind(digest)
                .execute(&mut *tx)
                .await?;
        if done.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        if let Some(actual) = actual {
            compare(&mut tx, id, algorithm, digest, actual).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Records that a digest that came after the file is not the file's, and has it marked on the ticket.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn mark_mismatch(&self, id: &str, mismatch: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        mark(&mut tx, id, mismatch).await?;
        tx.commit().await?;
        Ok(())
    }
}

const NEWEST: &str = "SELECT * FROM uploads WHERE link_id = $1 AND state = 'complete' AND name = $3 AND ticket = $2 \
     AND completed_at >= $4 ORDER BY completed_at DESC, id DESC LIMIT 1";

/// A file has come: compares it with what side files said of the next one of its name. What it says as a side file counts
/// from now on; true, and the transaction is to be rolled back, when it is not about the next one any more. In its link's turn.
pub(crate) async fn settle(tx: &mut Connection, come: &Upload, side: Option<&Side<'_>>) -> Result<bool> {
    let said = sqlx::query(
        "SELECT algorithm, digest FROM announced WHERE link_id = $1 AND name = $2 AND until > $3",
    )
    .bind(&come.link_id)
    .bind(&come.name)
    .bind(now_ms())
    .fetch_all(&mut *tx)
    .await?;
    for row in said {
        let (algorithm, digest): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let actual = if algorithm == "sha-256" { &come.sha256 } else { &come.md5 };
        match actual {
            Some(actual) => compare(tx, &come.id, &algorithm, &digest, actual).await?,
            None => {
                sqlx::query(
                    "INSERT INTO uncompared (upload_id, algorithm, digest) VALUES ($1, $2, $3) \
                     ON CONFLICT (upload_id, algorithm) DO UPDATE SET digest = excluded.digest",
                )
                .bind(&come.id)
                .bind(algorithm)
                .bind(digest)
                .execute(&mut *tx)
                .await?;
            }
        }
    }
    sqlx::query("DELETE FROM announced WHERE (link_id = $1 AND name = $2) OR until <= $3")
        .bind(&come.link_id)
        .bind(&come.name)
        .bind(now_ms())
        .execute(&mut *tx)
        .await?;
    match side {
        None => {}
        Some(Side::Agrees { upload_id, algorithm }) => agree(tx, upload_id, algorithm).await?,
        Some(Side::Binds { name, algorithm, digest, until, newest, since }) => {
            let now = sqlx::query(NEWEST).bind(&come.link_id).bind(&come.ticket).bind(*name).bind(*since);
            let now = now.fetch_optional(&mut *tx).await?;
            let now: Option<String> = now.map(|row| row.try_get("id")).transpose()?;
            if now.is_some() && now.as_deref() != *newest {
                return Ok(true);
            }
            // The last one counts.
            sqlx::query(
                "INSERT INTO announced (link_id, name, algorithm, digest, until) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (link_id, name, algorithm) DO UPDATE SET digest = excluded.digest, until = excluded.until",
            )
            .bind(&come.link_id)
            .bind(*name)
            .bind(*algorithm)
            .bind(*digest)
            .bind(*until)
            .execute(&mut *tx)
            .await?;
        }
    }
    Ok(false)
}

async fn compare(tx: &mut Connection, id: &str, algorithm: &str, digest: &str, actual: &str) -> Result<()> {
    if digest == actual {
        return agree(tx, id, algorithm).await;
    }
    mark(tx, id, &format!("{algorithm} {digest} {actual}")).await
}

async fn agree(tx: &mut Connection, id: &str, algorithm: &str) -> Result<()> {
    let done = sqlx::query(
        "UPDATE uploads SET checked = CASE WHEN checked = '' THEN $2 ELSE checked || ',' || $2 END, \
         updated_at = $3 WHERE id = $1 AND state = 'complete' \
         AND (',' || checked || ',') NOT LIKE ('%,' || $2 || ',%')",
    )
    .bind(id)
    .bind(algorithm)
    .bind(now_ms())
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(());
    }
    queue(tx, JobKind::Receipt, id).await
}

async fn mark(tx: &mut Connection, id: &str, mismatch: &str) -> Result<()> {
    sqlx::query("UPDATE uploads SET mismatch = $2, updated_at = $3 WHERE id = $1 AND state = 'complete'")
        .bind(id)
        .bind(mismatch)
        .bind(now_ms())
        .execute(&mut *tx)
        .await?;
    queue(tx, JobKind::Mark, id).await?;
    queue(tx, JobKind::Receipt, id).await?;
    audit::write(&mut *tx, "gateway", "upload.mismatch", id, mismatch).await
}

/// Queues a job anew. A worker that still holds an older one of its kind ends that one, not this.
pub(crate) async fn queue(tx: &mut Connection, kind: JobKind, upload_id: &str) -> Result<()> {
    sqlx::query(
        "INSERT INTO jobs (id, kind, upload_id, ticket, run_at, lease_until, attempts, created_at) \
         SELECT $1, $4, id, ticket, $3, 0, 0, $3 FROM uploads WHERE id = $2 AND state = 'complete' \
         ON CONFLICT (kind, upload_id) DO UPDATE SET id = excluded.id, run_at = excluded.run_at, lease_until = 0",
    )
    .bind(new_id())
    .bind(upload_id)
    .bind(now_ms())
    .bind(kind.name())
    .execute(tx)
    .await?;
    Ok(())
}

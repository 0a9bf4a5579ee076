//! `Idempotency-Key`: one answer per link, route and key for 24 hours. A newer request takes over from a running one.

use sqlx::Row as _;

use crate::sql::sql;
use crate::{Ledger, Result, now_ms};

/// What a request with a key announces before its body.
#[derive(Debug, Clone)]
pub struct Key {
    /// Hash of link, route and key.
    pub hash: String,
    /// Empty where the body names the file.
    pub name: String,
    pub length: Option<i64>,
    pub digest: Option<String>,
    /// The ID of this request.
    pub attempt: String,
}

/// The earlier use of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// None.
    New,
    /// A request that is still running, with its uploads so far: take over.
    Running(Vec<String>),
    /// A request that is done, with its uploads: repeat its answer.
    Done(Vec<String>),
    /// A different request.
    Mismatch,
}

impl Ledger {
    /// Claims a key for this request. A claim from before `since`, ms, has expired.
    pub async fn claim_key(&self, key: &Key, since: i64) -> Result<Claim> {
        let mut tx = self.begin_in_turn(&key.hash).await?;
        sql!("DELETE FROM idempotency WHERE key_hash = $1 AND created_at < $2", [&key.hash, since])
            .execute(&mut *tx)
            .await?;
        let found = sql!("SELECT * FROM idempotency WHERE key_hash = $1", [&key.hash])
            .fetch_optional(&mut *tx)
            .await?;
        let claim = match found {
            None => Claim::New,
            Some(row) => {
                let length: Option<i64> = row.try_get("length_bytes")?;
                let digest: Option<String> = row.try_get("digest")?;
                let upload_ids: String = row.try_get("upload_ids")?;
                let uploads = upload_ids.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect();
                if row.try_get::<String, _>("name")? != key.name
                    || differ(length.as_ref(), key.length.as_ref())
                    || differ(digest.as_ref(), key.digest.as_ref())
                {
                    Claim::Mismatch
                } else if row.try_get::<Option<i64>, _>("done_at")?.is_some() {
                    Claim::Done(uploads)
                } else {
                    Claim::Running(uploads)
                }
            }
        };
        if matches!(claim, Claim::New | Claim::Running(_)) {
            sql!(
                "INSERT INTO idempotency (key_hash, name, length_bytes, digest, attempt, upload_ids, created_at, done_at) \
                 VALUES ($1, $2, $3, $4, $5, '', $6, NULL) ON CONFLICT (key_hash) DO UPDATE SET \
                 length_bytes = excluded.length_bytes, digest = excluded.digest, attempt = excluded.attempt, \
                 upload_ids = '', created_at = excluded.created_at",
                [&key.hash, &key.name, key.length, &key.digest, &key.attempt, now_ms()]
            )
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(claim)
    }

    /// Whether a request with this key and `name` has been done since `since`, ms. Claims nothing.
    pub async fn key_is_done(&self, hash: &str, name: &str, since: i64) -> Result<bool> {
        let found = sql!(
            "SELECT 1 FROM idempotency WHERE key_hash = $1 AND name = $2 AND created_at >= $3 AND done_at IS NOT NULL",
            [hash, name, since]
        )
        .fetch_optional(&self.read)
        .await?;
        Ok(found.is_some())
    }

    /// Records the uploads of a request so far. Returns false if another request has taken the key.
    pub async fn note_key(&self, key: &Key, upload_ids: &[String], done: bool) -> Result<bool> {
        // In turn: a claim reads the row and then writes it.
        let mut tx = self.begin_in_turn(&key.hash).await?;
        let changed = sql!(
            "UPDATE idempotency SET upload_ids = $3, done_at = $4 WHERE key_hash = $1 AND attempt = $2",
            [&key.hash, &key.attempt, upload_ids.join(","), done.then(now_ms)]
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(changed.rows_affected() > 0)
    }

    /// Releases the key of a failed request: the next one may differ.
    pub async fn drop_key(&self, key: &Key) -> Result<()> {
        let mut tx = self.begin_in_turn(&key.hash).await?;
        sql!("DELETE FROM idempotency WHERE key_hash = $1 AND attempt = $2", [&key.hash, &key.attempt])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}

fn differ<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> bool {
    a.zip(b).is_some_and(|(a, b)| a != b)
}

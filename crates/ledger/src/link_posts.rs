//! Links that the gateway itself posts on tickets: one for a new ticket, and one in place of each link that is renewed.
//! Invariant: a post is recorded with its job in one transaction, and each is asked for once.

use crate::sql::{sql, sql_as};
use crate::{Error, JobKind, Ledger, Link, NewLink, Result, Token, audit, is_id, jobs, links, now_ms};

/// The step that posts the link. Its result has the IDs of the links of all attempts, and at the end that of the posted one.
const STEP: &str = "link";

impl Ledger {
    /// Queues the job that posts a link on a ticket. `subject` is the link that it renews, or else the ticket and the partner.
    /// Returns false, and does nothing, if this was asked for before.
    pub async fn post_link(&self, subject: &str, ticket: &str, actor: &str) -> Result<bool> {
        let mut tx = self.begin().await?;
        let done = sql!(
            "INSERT INTO steps (subject, step, begun_at) VALUES ($1, $2, $3) ON CONFLICT (subject, step) DO NOTHING",
            [subject, STEP, now_ms()]
        )
        .execute(&mut *tx)
        .await?;
        let is_new = done.rows_affected() > 0;
        if is_new {
            jobs::queue_about(&mut tx, JobKind::PostLink, subject, Some(ticket), "").await?;
            if is_id(subject) {
                audit::write(&mut *tx, actor, "link.renew", subject, "").await?;
            }
        }
        tx.commit().await?;
        Ok(is_new)
    }

    /// When the post was asked for, ms, and the links of its attempts so far.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`] if it was never asked for.
    pub async fn link_post(&self, subject: &str) -> Result<(i64, Vec<String>)> {
        let (begun_at, attempts): (i64, Option<String>) =
            sql_as!("SELECT begun_at, result FROM steps WHERE subject = $1 AND step = $2", [subject, STEP])
                .fetch_one(&self.read)
                .await?;
        Ok((begun_at, attempts.unwrap_or_default().split_whitespace().map(str::to_owned).collect()))
    }

    /// Makes the link of an attempt, and records it.
    ///
    /// # Errors
    /// [`Error::Superseded`] if another worker has posted a link in the meantime.
    pub async fn create_posted_link(&self, subject: &str, token: &Token, new: &NewLink) -> Result<Link> {
        let mut tx = self.begin().await?;
        let link = links::insert(&mut tx, token, new).await?;
        let done = sql!(
            "UPDATE steps SET result = COALESCE(result || ' ', '') || $3 \
             WHERE subject = $1 AND step = $2 AND done_at IS NULL",
            [subject, STEP, &link.id]
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            tx.rollback().await?;
            return Err(Error::Superseded);
        }
        tx.commit().await?;
        Ok(link)
    }

    /// Ends the job. The links of attempts that came to nothing are revoked: nobody has them.
    pub async fn link_posted(&self, job_id: &str, subject: &str, posted: Option<&str>) -> Result<()> {
        let (_, attempts) = self.link_post(subject).await?;
        let now = now_ms();
        let mut tx = self.begin().await?;
        let done = sql!(
            "UPDATE steps SET done_at = $3, result = $4 WHERE subject = $1 AND step = $2 AND done_at IS NULL",
            [subject, STEP, now, posted.unwrap_or_default()]
        )
        .execute(&mut *tx)
        .await?;
        // Another worker that ended it has revoked them.
        let unused = attempts.iter().filter(|id| done.rows_affected() > 0 && Some(id.as_str()) != posted);
        for unused in unused {
            sql!("UPDATE links SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1", [unused, now])
                .execute(&mut *tx)
                .await?;
            audit::write(&mut *tx, "gateway", "link.revoke", unused, "it was not posted").await?;
        }
        sql!("DELETE FROM jobs WHERE id = $1", [job_id]).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }
}

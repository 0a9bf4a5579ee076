//! Objects that partners put into their own buckets with their own tools.
//! Invariant: the note that an object belongs to is recorded before it is written, so each object is on one note. What is known
//! of its bytes holds only for their ETag.

use crate::sql::{from_row, sql, sql_as, sql_scalar};
use crate::{JobKind, Ledger, Result, audit, jobs, new_id, now_ms};

/// Objects recorded for a partner. Further ones are only listed.
pub const PARTNER_OBJECTS_MAX: i64 = 200_000;
/// Larger objects are read only if support asks for it.
const READ_BYTES_MAX: i64 = 2_000_000_000;
/// Tickets that get a note after one look into a bucket. The others follow.
const NOTES_MAX: i64 = 100;

#[derive(Debug, Clone)]
pub struct PartnerObject {
    pub id: String,
    pub partner_id: String,
    pub object_key: String,
    pub size_bytes: i64,
    pub etag: String,
    /// When it was first listed, ms.
    pub seen_at: i64,
    /// Of the bytes with this ETag; none until they are read.
    pub sha256: Option<String>,
    pub verified_at: Option<i64>,
    /// Why they could not be read.
    pub problem: Option<String>,
}

/// An object as a listing shows it.
#[derive(Debug, Clone)]
pub struct SeenObject {
    pub key: String,
    /// The number at the beginning of the key.
    pub ticket: Option<String>,
    pub size_bytes: i64,
    pub etag: String,
}

/// A note about a partner's objects that is not known to be on its ticket.
#[derive(Debug, Clone)]
pub struct ObjectNote {
    pub id: String,
    pub objects: i64,
    /// The first of them, by key.
    pub first: Vec<PartnerObject>,
    /// When the oldest was first listed, ms.
    pub seen_at: i64,
}

impl Ledger {
    /// Records objects of a partner. What was known of the bytes of one that has changed is dropped. Without `is_new_wanted`, only
    /// changes of known ones are recorded.
    pub async fn saw_objects(
        &self,
        partner_id: &str,
        objects: &[SeenObject],
        is_new_wanted: bool,
    ) -> Result<()> {
        // Most are as before, and a row that is written again waits for others that do.
        let mut changed = Vec::new();
        for object in objects {
            let is_wanted = match self.partner_object(partner_id, &object.key).await? {
                Some(known) => known.etag != object.etag || known.size_bytes != object.size_bytes,
                None => is_new_wanted,
            };
            changed.extend(is_wanted.then_some(object));
        }
        if changed.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        for object in changed {
            sql!(
                "INSERT INTO partner_objects (id, partner_id, object_key, ticket, size_bytes, etag, seen_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (partner_id, object_key) DO UPDATE SET \
                 size_bytes = excluded.size_bytes, etag = excluded.etag, sha256 = NULL, verified_at = NULL, problem = NULL",
                [new_id(), partner_id, &object.key, &object.ticket, object.size_bytes, &object.etag, now_ms()]
            )
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// How many objects of a partner are recorded.
    pub async fn partner_objects(&self, partner_id: &str) -> Result<i64> {
        Ok(sql_scalar!("SELECT COUNT(*) FROM partner_objects WHERE partner_id = $1", [partner_id])
            .fetch_one(&self.read)
            .await?)
    }

    /// Numbers at the beginning of keys of which it is not known whether they are tickets.
    pub async fn unknown_object_tickets(&self, partner_id: &str, limit: i64) -> Result<Vec<String>> {
        Ok(sql_scalar!(
            "SELECT DISTINCT ticket FROM partner_objects WHERE partner_id = $1 AND noted_at IS NULL AND ticket IS NOT NULL \
             AND NOT EXISTS (SELECT 1 FROM tickets WHERE tickets.ticket = partner_objects.ticket AND checked_at > 0) \
             ORDER BY ticket LIMIT $2",
            [partner_id, limit]
        )
        .fetch_all(&self.read)
        .await?)
    }

    /// Queues a note for each open ticket of the partner that has objects without one, and the reading of objects.
    pub async fn queue_object_jobs(&self, partner_id: &str) -> Result<()> {
        // Nothing confirms the tickets of a partner without an organisation, except the links that support made.
        let tickets: Vec<String> = sql_scalar!(
            "SELECT DISTINCT o.ticket FROM partner_objects o JOIN partners p ON p.id = o.partner_id \
             LEFT JOIN tickets t ON t.ticket = o.ticket \
             WHERE o.partner_id = $1 AND o.noted_at IS NULL AND o.ticket IS NOT NULL AND p.disabled_at IS NULL \
             AND COALESCE(t.closed, 0) = 0 AND (t.organization_id = p.organization_id OR (p.organization_id IS NULL \
               AND EXISTS (SELECT 1 FROM links l WHERE l.partner_id = p.id AND l.ticket = o.ticket))) LIMIT $2",
            [partner_id, NOTES_MAX]
        )
        .fetch_all(&self.read)
        .await?;
        let is_readable = self.next_unread_object(partner_id).await?.is_some();
        if tickets.is_empty() && !is_readable {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        for ticket in tickets {
            let subject = format!("{ticket} {partner_id}");
            jobs::queue_unless_waiting(&mut tx, JobKind::NoteObjects, &subject, Some(&ticket), "").await?;
        }
        if is_readable {
            jobs::queue_unless_waiting(&mut tx, JobKind::ReadObject, partner_id, None, "").await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The note to write about a partner's objects on a ticket: one that was begun before, else one about all objects without a
    /// note. `named_max` bounds [`ObjectNote::first`].
    pub async fn begin_object_note(
        &self,
        partner_id: &str,
        ticket: &str,
        named_max: i64,
    ) -> Result<Option<ObjectNote>> {
        let mut tx = self.begin_in_turn(&format!("objects {ticket} {partner_id}")).await?;
        let begun: Option<String> = sql_scalar!(
            "SELECT note_id FROM partner_objects WHERE partner_id = $1 AND ticket = $2 AND noted_at IS NULL \
             AND note_id IS NOT NULL LIMIT 1",
            [partner_id, ticket]
        )
        .fetch_optional(&mut *tx)
        .await?;
        let id = match begun {
            Some(begun) => begun,
            None => {
                let id = new_id();
                sql!(
                    "UPDATE partner_objects SET note_id = $3 WHERE partner_id = $1 AND ticket = $2 AND noted_at IS NULL",
                    [partner_id, ticket, &id]
                )
                .execute(&mut *tx)
                .await?;
                id
            }
        };
        let (objects, seen_at): (i64, Option<i64>) = sql_as!(
            "SELECT COUNT(*), MIN(seen_at) FROM partner_objects \
             WHERE partner_id = $1 AND ticket = $2 AND noted_at IS NULL AND note_id = $3",
            [partner_id, ticket, &id]
        )
        .fetch_one(&mut *tx)
        .await?;
        let first = sql_as!(
            "SELECT * FROM partner_objects WHERE partner_id = $1 AND ticket = $2 AND noted_at IS NULL AND note_id = $3 \
             ORDER BY object_key LIMIT $4",
            [partner_id, ticket, &id, named_max]
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(seen_at.map(|seen_at| ObjectNote { id, objects, first, seen_at }))
    }

    /// Records that the note is on its ticket.
    pub async fn objects_noted(&self, partner_id: &str, ticket: &str, note_id: &str) -> Result<()> {
        sql!(
            "UPDATE partner_objects SET noted_at = $4 WHERE partner_id = $1 AND ticket = $2 AND note_id = $3",
            [partner_id, ticket, note_id, now_ms()]
        )
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// The partner's next object to read: what support asked for first, then small objects that are on a note.
    pub async fn next_unread_object(&self, partner_id: &str) -> Result<Option<PartnerObject>> {
        let wanted = sql_as!(
            "SELECT * FROM partner_objects WHERE partner_id = $1 AND sha256 IS NULL AND problem IS NULL AND wanted = 1 \
             ORDER BY id LIMIT 1",
            [partner_id]
        );
        if let Some(wanted) = wanted.fetch_optional(&self.read).await? {
            return Ok(Some(wanted));
        }
        Ok(sql_as!(
            "SELECT * FROM partner_objects WHERE partner_id = $1 AND sha256 IS NULL AND problem IS NULL \
             AND noted_at IS NOT NULL AND size_bytes <= $2 ORDER BY id LIMIT 1",
            [partner_id, READ_BYTES_MAX]
        )
        .fetch_optional(&self.read)
        .await?)
    }

    /// Records the SHA-256 of an object, hex, or why it could not be read, unless it has changed. Ends the job, or queues it for
    /// the next object, behind those of other partners.
    pub async fn read_object(
        &self,
        job_id: &str,
        object: &PartnerObject,
        sha256: std::result::Result<&str, &str>,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        let now = now_ms();
        let done = sql!(
            "UPDATE partner_objects SET sha256 = $3, problem = $4, verified_at = $5, wanted = 0 WHERE id = $1 AND etag = $2",
            [&object.id, &object.etag, sha256.ok(), sha256.err(), sha256.ok().map(|_| now)]
        )
        .execute(&mut *tx)
        .await?;
        if let (Ok(sha256), true) = (sha256, done.rows_affected() > 0) {
            let detail = format!("{} {sha256}", object.object_key);
            audit::write(&mut *tx, "gateway", "object.verify", &object.partner_id, &detail).await?;
        }
        sql!("DELETE FROM jobs WHERE id = $1", [job_id]).execute(&mut *tx).await?;
        // It ends at once if there is no other.
        jobs::queue_unless_waiting(&mut tx, JobKind::ReadObject, &object.partner_id, None, "").await?;
        tx.commit().await?;
        Ok(())
    }

    /// Asks for an object to be read, unless its bytes are known. A problem of before is forgotten.
    pub async fn want_object(
        &self,
        partner_id: &str,
        seen: &SeenObject,
        actor: &str,
    ) -> Result<PartnerObject> {
        self.saw_objects(partner_id, std::slice::from_ref(seen), true).await?;
        let mut tx = self.begin().await?;
        let done = sql!(
            "UPDATE partner_objects SET wanted = 1, problem = NULL \
             WHERE partner_id = $1 AND object_key = $2 AND sha256 IS NULL AND wanted = 0",
            [partner_id, &seen.key]
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() > 0 {
            jobs::queue_unless_waiting(&mut tx, JobKind::ReadObject, partner_id, None, "").await?;
            audit::write(&mut *tx, actor, "object.want", partner_id, &seen.key).await?;
        }
        tx.commit().await?;
        let object = self.partner_object(partner_id, &seen.key).await?;
        object.ok_or(crate::Error::NotFound)
    }

    pub async fn partner_object(&self, partner_id: &str, key: &str) -> Result<Option<PartnerObject>> {
        Ok(sql_as!(
            "SELECT * FROM partner_objects WHERE partner_id = $1 AND object_key = $2",
            [partner_id, key]
        )
        .fetch_optional(&self.read)
        .await?)
    }
}

from_row!(PartnerObject {
    id,
    partner_id,
    object_key,
    size_bytes,
    etag,
    seen_at,
    sha256,
    verified_at,
    problem
});

//! Adopts a complete upload into a ledger that has lost it.
//! Invariant: the upload and everything that belongs to it are recorded in one transaction, and only a pending delivery is
//! queued: no ticket gets a second note.

use crate::sql::{sql, sql_scalar};
use crate::{
    Delivery, Destination, JobKind, Ledger, Result, SAME_FILE_MS, Token, audit, dedupe_key, jobs, now_ms,
};

/// A complete upload, as described by its receipt and its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    pub id: String,
    /// Where the object names it.
    pub link_id: Option<String>,
    /// A known partner.
    pub partner_id: String,
    pub ticket: String,
    pub name: String,
    pub content_type: String,
    pub bucket: String,
    pub object_key: String,
    pub size: i64,
    pub sha256: String,
    /// CRC-64/NVME, hex, where the store reports it.
    pub crc64: Option<String>,
    /// Client digests that matched.
    pub checked: Vec<String>,
    /// As in [`crate::Upload`].
    pub mismatch: Option<String>,
    pub destination: Destination,
    pub delivery: Delivery,
    pub received_at: i64,
}

/// The reason of an undeliverable upload, when the old ledger is lost.
const REASON_LOST: &str = "the reason was in the ledger that is lost";

impl Ledger {
    /// Records a complete upload that this ledger does not know, or knows as unfinished or cancelled: then this ledger is older
    /// than the receipt. Returns false, and changes nothing, if the upload is complete or removed here.
    ///
    /// A link that this ledger does not know is created again under its ID, but revoked, because its token is lost. Uploads
    /// without a known link share one link per partner.
    ///
    /// # Errors
    /// [`crate::Error::Conflict`] for an unknown partner.
    pub async fn adopt(&self, upload: &Adopted) -> Result<bool> {
        let now = now_ms();
        let mut tx = self.begin_in_turn(&upload.id).await?;
        let shared = format!("adopted-{}", upload.partner_id);
        let mut link_id = shared.clone();
        for id in upload.link_id.iter().chain([&shared]) {
            sql!(
                "INSERT INTO links (id, token_hash, partner_id, rights, created_by, created_at, revoked_at) \
                 VALUES ($1, $2, $3, 'upload', 'operator', $4, $4) ON CONFLICT (id) DO NOTHING",
                [id, Token::random().hash(), &upload.partner_id, now]
            )
            .execute(&mut *tx)
            .await?;
            let of: String =
                sql_scalar!("SELECT partner_id FROM links WHERE id = $1", [id]).fetch_one(&mut *tx).await?;
            // A partner that can write into its bucket could name another partner's link.
            if of == upload.partner_id {
                link_id.clone_from(id);
                break;
            }
        }
        let dedupe_key = dedupe_key(&link_id, &upload.ticket, &upload.name, &upload.sha256);
        let done = insert(upload, &link_id, &dedupe_key, now).execute(&mut *tx).await?;
        if done.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        if upload.received_at > now - SAME_FILE_MS {
            sql!(
                "INSERT INTO originals (dedupe_key, upload_id, claimed_at) VALUES ($1, $2, $3) \
                 ON CONFLICT (dedupe_key) DO NOTHING",
                [&dedupe_key, &upload.id, upload.received_at]
            )
            .execute(&mut *tx)
            .await?;
        }
        sql!("DELETE FROM tails WHERE upload_id = $1", [&upload.id]).execute(&mut *tx).await?;
        if upload.delivery == Delivery::Pending {
            jobs::queue(&mut tx, JobKind::Deliver, &upload.id).await?;
        }
        audit::write(&mut *tx, "operator", "upload.adopt", &upload.id, &upload.bucket).await?;
        tx.commit().await?;
        Ok(true)
    }
}

type Insert<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

/// `tails_written` is 1, so that the next sweep looks for pieces of a tail once.
fn insert<'q>(upload: &'q Adopted, link_id: &'q str, dedupe_key: &'q str, now: i64) -> Insert<'q> {
    sql!(
        "INSERT INTO uploads (id, link_id, partner_id, ticket, name, content_type, bucket, object_key, state, epoch, \
         offset_bytes, length_bytes, parts_bytes, crc64, sha256, checked, mismatch, destination, delivery, \
         delivery_detail, dedupe_key, created_at, updated_at, completed_at, attempts_until, tails_written) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'complete', 1, $9, $9, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
         $19, $20, $19, 1) ON CONFLICT (id) DO UPDATE SET state = 'complete', epoch = uploads.epoch + 1, \
         offset_bytes = excluded.offset_bytes, length_bytes = excluded.length_bytes, parts_bytes = excluded.parts_bytes, \
         crc64 = excluded.crc64, sha256 = excluded.sha256, sha256_state = NULL, checked = excluded.checked, \
         mismatch = excluded.mismatch, destination = excluded.destination, delivery = excluded.delivery, \
         delivery_detail = excluded.delivery_detail, dedupe_key = excluded.dedupe_key, updated_at = excluded.updated_at, \
         completed_at = excluded.completed_at, tails_written = uploads.tails_written + 1, swept_at = NULL \
         WHERE uploads.state IN ('open', 'completing', 'cancelled') AND uploads.bucket = excluded.bucket \
         AND uploads.object_key = excluded.object_key AND uploads.partner_id = excluded.partner_id",
        [
            &upload.id,
            link_id,
            &upload.partner_id,
            &upload.ticket,
            &upload.name,
            &upload.content_type,
            &upload.bucket,
            &upload.object_key,
            upload.size,
            &upload.crc64,
            &upload.sha256,
            upload.checked.join(","),
            &upload.mismatch,
            upload.destination.name(),
            upload.delivery.name(),
            (upload.delivery == Delivery::Undeliverable).then_some(REASON_LOST),
            dedupe_key,
            begun_at(&upload.id).unwrap_or(upload.received_at),
            now,
            upload.received_at
        ]
    )
}

/// When an upload began, ms, by its ID.
fn begun_at(id: &str) -> Option<i64> {
    i64::try_from(ulid::Ulid::from_string(id).ok()?.timestamp_ms()).ok()
}

/// Whether a text is an ID as [`crate::new_id`] makes them, in canonical spelling.
pub fn is_id(text: &str) -> bool {
    ulid::Ulid::from_string(text).is_ok_and(|id| id.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::new_id;

    #[test]
    fn ids_are_recognized() {
        let id = new_id();
        assert!(is_id(&id) && !is_id(&id.to_lowercase()) && !is_id("") && !is_id(&format!("8{}", &id[1..])));
        assert!(begun_at(&id).is_some_and(|at| now_ms() - at < 60_000));
    }
}

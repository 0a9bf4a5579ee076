//! Uploads from creation to completion, cancel and sweep.
//! Invariant: an offset only grows, and only under the epoch that holds the upload; `complete` is final.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::{Error, Ledger, Result, Room, audit, now_ms};

macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($(#[$vdoc:meta])* $variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $type { $($(#[$vdoc])* $variant),+ }
        impl $type {
            /// The name used in the ledger, in receipts and in requests.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
            /// The value of that name.
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

names! {
    /// How far an upload has come.
    State {
        /// Bytes may still arrive.
        Open = "open",
        /// Every byte has arrived and its digest is recorded; the object is being published.
        Completing = "completing",
        /// Durable at its final key.
        Complete = "complete",
        /// Cancelled, failed or superseded before it was complete.
        Cancelled = "cancelled",
        /// Removed after it was complete.
        Removed = "removed",
    }
}

names! {
    /// Where a file belongs.
    Destination {
        /// Attached to the ticket.
        TicketAttachment = "ticket-attachment",
        /// The shared bucket.
        SupportUploader = "support-uploader",
        /// The partner's own bucket.
        PartnerBucket = "partner-bucket",
    }
}

names! {
    /// Whether the ticket has been told.
    Delivery {
        /// Not yet.
        Pending = "pending",
        /// It has.
        Done = "done",
        /// The desk refuses for good; the file stays in its bucket.
        Undeliverable = "undeliverable",
    }
}

/// One file, on its way in or arrived.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Identifier; sorts by time.
    pub id: String,
    /// Link it came through.
    pub link_id: String,
    /// Partner it belongs to.
    pub partner_id: String,
    /// Ticket it is for.
    pub ticket: String,
    /// File name as the sender gave it (NFC).
    pub name: String,
    /// Media type to attach and serve it with.
    pub content_type: String,
    /// Configured bucket: `support-uploader`, or the partner's id.
    pub bucket: String,
    /// Final key in that bucket.
    pub object_key: String,
    /// How far it has come.
    pub state: State,
    /// Bumped by every append; a writer with an older one is refused.
    pub epoch: i64,
    /// Durable bytes without a gap.
    pub offset: i64,
    /// Bytes in all, once known.
    pub length: Option<i64>,
    /// The multipart upload that holds its parts.
    pub multipart_id: Option<String>,
    /// SHA-256 of the file, lower-case hex, once all of it has arrived.
    pub sha256: Option<String>,
    /// MD5 of the file, lower-case hex, where somebody asked for it.
    pub md5: Option<String>,
    /// CRC-64/NVME of the durable bytes, hex.
    pub crc64: Option<String>,
    /// Client digests that were compared, by algorithm.
    pub checked: Vec<String>,
    /// A digest that came after the file and is not the file's: algorithm, digest announced, digest of the file.
    pub mismatch: Option<String>,
    /// Where it belongs, once complete.
    pub destination: Option<Destination>,
    /// Whether the ticket was told, once complete.
    pub delivery: Option<Delivery>,
    /// Why it is undeliverable.
    pub delivery_detail: Option<String>,
    /// The desk's token for an attachment that no comment has used yet, and until when it is good, ms.
    pub desk_token: Option<(String, i64)>,
    /// Whether it is kept for the resume window when nobody sends.
    pub resumable: bool,
    /// Whether the request that makes it brings its first bytes, and its sender hears of it only after them.
    pub begins_with_body: bool,
    /// How often a piece of a tail was begun.
    pub tails_written: i64,
    /// Digests of the whole file that were announced: `md5 HEX,sha-256 HEX`.
    pub announced: String,
    /// What a tus client said of the file.
    pub tus_metadata: Option<String>,
    /// When it began, ms.
    pub created_at: i64,
    /// When it last moved, ms.
    pub updated_at: i64,
    /// When it was complete, ms.
    pub completed_at: Option<i64>,
    /// No attempt of ours on the bucket may still run after this, ms.
    pub attempts_until: i64,
}

/// What a new upload is made of.
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// From [`crate::new_id`].
    pub id: String,
    /// Link it comes through.
    pub link_id: String,
    /// Partner it belongs to.
    pub partner_id: String,
    /// Ticket it is for.
    pub ticket: String,
    /// File name (NFC).
    pub name: String,
    /// Media type.
    pub content_type: String,
    /// Configured bucket.
    pub bucket: String,
    /// Final key.
    pub object_key: String,
    /// Bytes in all, where known.
    pub length: Option<i64>,
    /// Whether it is kept for the resume window when nobody sends.
    pub resumable: bool,
    /// Whether the request that makes it brings its first bytes, and its sender hears of it only after them.
    pub begins_with_body: bool,
    /// Digests of the whole file that were announced: `md5 HEX,sha-256 HEX`.
    pub announced: String,
    /// What a tus client said of the file.
    pub tus_metadata: Option<String>,
}

/// What an append may begin with.
#[derive(Debug, Clone)]
pub struct Appending {
    /// The epoch this append writes under.
    pub epoch: i64,
    /// The upload as it stands.
    pub upload: Upload,
    /// Running SHA-256 at the offset; none at 0.
    pub sha256_state: Option<String>,
}

/// Which uploads a listing wants.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this link.
    pub link_id: Option<String>,
    /// Of this ticket.
    pub ticket: Option<String>,
    /// Of this partner.
    pub partner_id: Option<String>,
    /// Of this name.
    pub name: Option<String>,
    /// In this state.
    pub state: Option<State>,
    /// Complete, and its ticket told so far.
    pub delivery: Option<Delivery>,
    /// Begun at or after, ms.
    pub since: Option<i64>,
    /// Begun before, ms.
    pub until: Option<i64>,
    /// With an id below this one: the next page.
    pub before: Option<String>,
    /// At most so many.
    pub limit: i64,
}

impl Upload {
    /// Nothing of it is durable and nobody can have heard of it: when the request that made it has ended, nobody goes on.
    pub fn is_unheard_of(&self) -> bool {
        self.begins_with_body && self.epoch <= 1 && self.offset == 0
    }
}

impl Ledger {
    /// Records a new upload before anything of it exists in a bucket.
    ///
    /// # Errors
    /// [`Error::Superseded`] when the link has no room for it.
    pub async fn create_upload(&self, new: &NewUpload, room: Room) -> Result<()> {
        let now = now_ms();
        // One of unknown length needs room for a byte.
        let most_before = room.unfinished_bytes.saturating_sub(new.length.unwrap_or(1));
        // In turn: of two on one link, the later counts the earlier.
        let mut tx = self.begin_in_turn(&new.link_id).await?;
        let done = sqlx::query(
            "INSERT INTO uploads (id, link_id, partner_id, ticket, name, content_type, bucket, object_key, state, \
             epoch, offset_bytes, length_bytes, checked, created_at, updated_at, attempts_until, resumable, announced, \
             tus_metadata, begins_with_body) \
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, 'open', 0, 0, $9, '', $10, $10, $10, $13, $14, $15, $16 \
             WHERE (SELECT COUNT(*) FROM uploads WHERE link_id = $2 AND state = 'open') < $11 \
             AND (SELECT CAST(COALESCE(SUM(COALESCE(length_bytes, offset_bytes)), 0) AS BIGINT) FROM uploads \
             WHERE link_id = $2 AND state IN ('open', 'completing')) <= $12",
        )
        .bind(&new.id)
        .bind(&new.link_id)
        .bind(&new.partner_id)
        .bind(&new.ticket)
        .bind(&new.name)
        .bind(&new.content_type)
        .bind(&new.bucket)
        .bind(&new.object_key)
        .bind(new.length)
        .bind(now)
        .bind(room.open)
        .bind(most_before)
        .bind(i64::from(new.resumable))
        .bind(&new.announced)
        .bind(&new.tus_metadata)
        .bind(i64::from(new.begins_with_body))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        if done.rows_affected() == 0 { Err(Error::Superseded) } else { Ok(()) }
    }

    /// The upload of that id.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn upload(&self, id: &str) -> Result<Upload> {
        let row = sqlx::query("SELECT * FROM uploads WHERE id = $1").bind(id).fetch_one(&self.read).await?;
        upload(&row)
    }

    /// Takes the upload over at `offset`, or further on where an older writer has moved it since, and keeps its length where
    /// that was unknown: bumps its epoch, so that every older writer is refused from now on.
    ///
    /// # Errors
    /// [`Error::Superseded`] when it is not open, or has not come to that offset.
    pub async fn begin_append(&self, id: &str, offset: i64, length: Option<i64>) -> Result<Appending> {
        let row = sqlx::query(
            "UPDATE uploads SET epoch = epoch + 1, updated_at = $3, length_bytes = COALESCE(length_bytes, $4) \
             WHERE id = $1 AND state = 'open' AND offset_bytes >= $2 RETURNING *",
        )
        .bind(id)
        .bind(offset)
        .bind(now_ms())
        .bind(length)
        .fetch_optional(&self.write)
        .await?
        .ok_or(Error::Superseded)?;
        let upload = upload(&row)?;
        Ok(Appending { epoch: upload.epoch, upload, sha256_state: row.try_get("sha256_state")? })
    }

    /// Records the multipart upload that holds the parts.
    ///
    /// # Errors
    /// [`Error::Superseded`] when the epoch is no longer ours.
    pub async fn set_multipart(&self, id: &str, epoch: i64, multipart_id: &str) -> Result<()> {
        let done = sqlx::query(
            "UPDATE uploads SET multipart_id = $3, updated_at = $4 WHERE id = $1 AND epoch = $2 AND state = 'open'",
        )
        .bind(id)
        .bind(epoch)
        .bind(multipart_id)
        .bind(now_ms())
        .execute(&self.write)
        .await?;
        if done.rows_affected() == 0 { Err(Error::Superseded) } else { Ok(()) }
    }

    /// Says that an attempt on the bucket may run until `until`, ms, before it is made.
    ///
    /// # Errors
    /// [`Error::Superseded`] when the epoch is no longer ours.
    pub async fn extend_attempts(&self, id: &str, epoch: i64, until: i64) -> Result<()> {
        let done = sqlx::query(
            "UPDATE uploads SET attempts_until = CASE WHEN attempts_until < $3 THEN $3 ELSE attempts_until END \
             WHERE id = $1 AND epoch = $2 AND state IN ('open', 'completing')",
        )
        .bind(id)
        .bind(epoch)
        .bind(until)
        .execute(&self.write)
        .await?;
        if done.rows_affected() == 0 { Err(Error::Superseded) } else { Ok(()) }
    }

    /// Ends an upload that is open or completing; what it left in a bucket waits for [`Ledger::unswept`].
    /// With an epoch, only if it is still ours. The audit has for whom, and why. Says whether it did.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn cancel(&self, id: &str, epoch: Option<i64>, actor: &str, why: &str) -> Result<bool> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "UPDATE uploads SET state = 'cancelled', epoch = epoch + 1, updated_at = $3 \
             WHERE id = $1 AND (CAST($2 AS BIGINT) IS NULL OR epoch = $2) AND state IN ('open', 'completing')",
        )
        .bind(id)
        .bind(epoch)
        .bind(now_ms())
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        audit::write(&mut *tx, actor, "upload.cancel", id, why).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Takes a complete upload out of every listing; its object waits for [`Ledger::unswept`].
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is not complete.
    pub async fn remove(&self, id: &str, actor: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "UPDATE uploads SET state = 'removed', swept_at = NULL, updated_at = $2 WHERE id = $1 AND state = 'complete'",
        )
        .bind(id)
        .bind(now_ms())
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            tx.rollback().await?;
            return Err(Error::NotFound);
        }
        sqlx::query("DELETE FROM originals WHERE upload_id = $1").bind(id).execute(&mut *tx).await?;
        sqlx::query("DELETE FROM jobs WHERE upload_id = $1").bind(id).execute(&mut *tx).await?;
        audit::write(&mut *tx, actor, "upload.remove", id, "").await?;
        tx.commit().await?;
        Ok(())
    }

    /// Open uploads that have not moved since `before`, ms, and that nobody will go on with: those that may not be resumed, or
    /// no longer (begun at or before `begun_before`, ms), those of which nobody can know, and those whose last byte has come.
    /// Oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn left(&self, before: i64, begun_before: i64) -> Result<Vec<Upload>> {
        let rows = sqlx::query(
            "SELECT * FROM uploads WHERE state = 'open' AND updated_at <= $1 AND (resumable = 0 OR created_at <= $2 \
             OR (begins_with_body = 1 AND epoch <= 1 AND offset_bytes = 0) \
             OR (offset_bytes > 0 AND offset_bytes = length_bytes)) ORDER BY id LIMIT 1000",
        )
        .bind(before)
        .bind(begun_before)
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(upload).collect()
    }

    /// Uploads in `state` that have not moved since `before`, ms, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn unmoved(&self, state: State, before: i64) -> Result<Vec<Upload>> {
        let rows =
            sqlx::query("SELECT * FROM uploads WHERE state = $1 AND updated_at <= $2 ORDER BY id LIMIT 1000")
                .bind(state.name())
                .bind(before)
                .fetch_all(&self.read)
                .await?;
        rows.iter().map(upload).collect()
    }

    /// Uploads that match, newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn uploads(&self, filter: &Filter) -> Result<Vec<Upload>> {
        let rows = sqlx::query(
            "SELECT * FROM uploads WHERE (CAST($1 AS TEXT) IS NULL OR ticket = $1) \
             AND (CAST($2 AS TEXT) IS NULL OR partner_id = $2) AND (CAST($3 AS TEXT) IS NULL OR state = $3) \
             AND (CAST($4 AS BIGINT) IS NULL OR created_at >= $4) AND (CAST($5 AS BIGINT) IS NULL OR created_at < $5) \
             AND (CAST($6 AS TEXT) IS NULL OR id < $6) AND (CAST($7 AS TEXT) IS NULL OR link_id = $7) \
             AND (CAST($8 AS TEXT) IS NULL OR delivery = $8) \
             AND (CAST($10 AS TEXT) IS NULL OR name = $10) ORDER BY id DESC LIMIT $9",
        )
        .bind(&filter.ticket)
        .bind(&filter.partner_id)
        .bind(filter.state.map(State::name))
        .bind(filter.since)
        .bind(filter.until)
        .bind(&filter.before)
        .bind(&filter.link_id)
        .bind(filter.delivery.map(Delivery::name))
        .bind(filter.limit)
        .bind(&filter.name)
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(upload).collect()
    }

    /// How many uploads are in each state and delivery, for metrics.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn upload_counts(&self) -> Result<Vec<(String, String, i64)>> {
        let rows = sqlx::query(
            "SELECT state, COALESCE(delivery, '') AS delivery, COUNT(*) AS uploads FROM uploads \
             WHERE state <> 'cancelled' AND state <> 'removed' GROUP BY state, delivery",
        )
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
    }
}

pub(crate) fn upload(row: &AnyRow) -> Result<Upload> {
    let unknown = |column: &str| Error::Unavailable(format!("unknown value in uploads.{column}").into());
    let named = |column: &str| -> Result<Option<String>> { Ok(row.try_get(column)?) };
    let state: String = row.try_get("state")?;
    let checked: String = row.try_get("checked")?;
    let desk_token: Option<String> = row.try_get("desk_token")?;
    let desk_token_until: Option<i64> = row.try_get("desk_token_until")?;
    Ok(Upload {
        id: row.try_get("id")?,
        link_id: row.try_get("link_id")?,
        partner_id: row.try_get("partner_id")?,
        ticket: row.try_get("ticket")?,
        name: row.try_get("name")?,
        content_type: row.try_get("content_type")?,
        bucket: row.try_get("bucket")?,
        object_key: row.try_get("object_key")?,
        state: State::parse(&state).ok_or_else(|| unknown("state"))?,
        epoch: row.try_get("epoch")?,
        offset: row.try_get("offset_bytes")?,
        length: row.try_get("length_bytes")?,
        multipart_id: row.try_get("multipart_id")?,
        sha256: row.try_get("sha256")?,
        md5: row.try_get("md5")?,
        crc64: row.try_get("crc64")?,
        checked: checked.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        destination: named("destination")?
            .map(|name| Destination::parse(&name).ok_or_else(|| unknown("destination")))
            .transpose()?,
        delivery: named("delivery")?
            .map(|name| Delivery::parse(&name).ok_or_else(|| unknown("delivery")))
            .transpose()?,
        mismatch: row.try_get("mismatch")?,
        delivery_detail: row.try_get("delivery_detail")?,
        desk_token: desk_token.zip(desk_token_until),
        resumable: row.try_get::<i64, _>("resumable")? != 0,
        begins_with_body: row.try_get::<i64, _>("begins_with_body")? != 0,
        tails_written: row.try_get("tails_written")?,
        announced: row.try_get("announced")?,
        tus_metadata: row.try_get("tus_metadata")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
        completed_at: row.try_get("completed_at")?,
        attempts_until: row.try_get("attempts_until")?,
    })
}

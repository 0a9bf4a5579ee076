//! An upload as the ledger has it: its states, its fields and its row.

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use tracing::Span;

use crate::names::names;

names! {
    /// The state of an upload.
    State {
        /// Bytes may still arrive.
        Open = "open",
        /// Every byte has arrived and its digest is recorded. The object is being published.
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
    /// Where a file is delivered to.
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
    /// Whether the ticket has a note about the file.
    Delivery {
        Pending = "pending",
        Done = "done",
        /// The desk refuses the note for good. The file stays in its bucket.
        Undeliverable = "undeliverable",
    }
}

/// One file, arriving or complete.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Sorts by time.
    pub id: String,
    pub link_id: String,
    pub partner_id: String,
    pub ticket: String,
    /// File name as the sender gave it (NFC).
    pub name: String,
    /// Media type to attach and serve it with.
    pub content_type: String,
    /// Configured bucket: `support-uploader`, or the partner's id.
    pub bucket: String,
    /// Final key in that bucket.
    pub object_key: String,
    pub state: State,
    /// Incremented by every append; a writer with an older epoch is refused.
    pub epoch: i64,
    /// Durable bytes without a gap.
    pub offset: i64,
    /// Size of the file, once known.
    pub length: Option<i64>,
    /// The multipart upload that holds its parts.
    pub multipart_id: Option<String>,
    /// SHA-256 of the file, lower-case hex, once all of it has arrived.
    pub sha256: Option<String>,
    /// MD5 of the file, lower-case hex, where a digest or a side file asked for it.
    pub md5: Option<String>,
    /// CRC-64/NVME of the durable bytes, hex.
    pub crc64: Option<String>,
    /// Client digests that were compared, by algorithm.
    pub checked: Vec<String>,
    /// A digest that arrived after the file and does not match it: algorithm, announced digest, actual digest.
    pub mismatch: Option<String>,
    /// Set from the time when all bytes have arrived.
    pub destination: Option<Destination>,
    /// Set once complete.
    pub delivery: Option<Delivery>,
    /// Why it is undeliverable.
    pub delivery_detail: Option<String>,
    /// The desk's token for an attachment that no comment has used yet, and when it expires, ms.
    pub desk_token: Option<(String, i64)>,
    /// Whether it is kept for the resume window when its sender is gone.
    pub resumable: bool,
    /// Whether the request that creates it carries its first bytes, and its sender learns its address only afterwards.
    pub begins_with_body: bool,
    /// How many pieces of a tail were begun.
    pub tails_written: i64,
    /// Digests of the whole file that were announced: `md5 HEX,sha-256 HEX`.
    pub announced: String,
    /// The `Upload-Metadata` of a tus client.
    pub tus_metadata: Option<String>,
    /// Which file that support asks for it is, as its sender said: an ID, or [`crate::ASK_NONE`].
    pub ask: Option<String>,
    pub created_at: i64,
    /// When it last made progress, ms.
    pub updated_at: i64,
    pub completed_at: Option<i64>,
    /// When it is to be deleted, ms; none while that depends on its ticket. A removed file has it only if it was removed for its age.
    pub expires_at: Option<i64>,
    /// No attempt of ours on the bucket runs after this, ms.
    pub attempts_until: i64,
}

impl Upload {
    /// Nothing of it is durable, and no sender can know its address: when its first request has ended, nobody will resume it.
    pub fn is_unheard_of(&self) -> bool {
        self.begins_with_body && self.epoch <= 1 && self.offset == 0
    }

    /// The span of everything that happens to this upload: append, parts, completion, delivery. It names what an operator
    /// looks for and holds no token. It has the error level, so that no filter removes it from a line that passes.
    pub fn span(&self) -> Span {
        tracing::error_span!(
            "upload",
            upload.id = self.id,
            upload.name = self.name,
            link.id = self.link_id,
            partner = self.partner_id,
            ticket = self.ticket,
        )
    }
}

impl FromRow<'_, AnyRow> for Upload {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let unknown = |column: &str| sqlx::Error::Decode(format!("unknown value in uploads.{column}").into());
        let named = |column: &str| row.try_get::<Option<String>, _>(column);
        let state: String = row.try_get("state")?;
        let checked: String = row.try_get("checked")?;
        let desk_token: Option<String> = row.try_get("desk_token")?;
        let desk_token_until: Option<i64> = row.try_get("desk_token_until")?;
        Ok(Self {
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
            ask: row.try_get("ask")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
            completed_at: row.try_get("completed_at")?,
            expires_at: row.try_get("expires_at")?,
            attempts_until: row.try_get("attempts_until")?,
        })
    }
}

//! Creates uploads. Everything that can be refused without a byte is refused here.

use ledger::{Link, NewUpload, Upload};

use crate::checksum::digest;
use crate::limits::signed;
use crate::uploads::{Uploads, busy};
use crate::{Digest, Error, Result};

/// A new upload as a request describes it.
#[derive(Debug, Clone)]
pub struct Create<'a> {
    pub link: &'a Link,
    pub ticket: &'a str,
    /// File name, checked and normalised.
    pub name: &'a str,
    pub content_type: &'a str,
    /// Size of the file, if announced.
    pub length: Option<u64>,
    /// Whether the upload is kept for the resume window while nobody sends.
    pub resumable: bool,
    /// Whether the request brings the first bytes too, so that its sender learns of the upload only after them.
    pub begins_with_body: bool,
    /// Announced digests of the whole file.
    pub digests: &'a [Digest],
    /// A tus client's metadata, which it can ask for again.
    pub tus_metadata: Option<&'a str>,
    /// Which file that support asks for it is, as its sender says: an ID, or [`ledger::ASK_NONE`].
    pub ask: Option<&'a str>,
}

impl Uploads {
    /// Whether an upload of unknown length could begin on this link now. A later one may still be refused.
    ///
    /// # Errors
    /// [`Error::TooManyOpen`], [`Error::TooMuchUnfinished`], [`Error::Busy`], and [`Error::Unavailable`] when the ledger does not
    /// answer.
    pub async fn has_room(&self, link: &Link) -> Result<()> {
        if let Some(error) = self.why_no_room(link, None).await? {
            return Err(error);
        }
        self.0.budget.admit(&link.partner_id, &link.id).await.map(drop).ok_or_else(busy)
    }

    /// Records a new upload. Nothing exists in a bucket yet.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::TooManyOpen`], [`Error::TooMuchUnfinished`], [`Error::Busy`] when there is no memory for its
    /// first append, and [`Error::Unavailable`] when the ledger does not answer.
    pub async fn create(&self, new: &Create<'_>) -> Result<Upload> {
        let max = self.max_bytes(new.link);
        if new.length.is_some_and(|length| length > max) {
            return Err(Error::TooLarge { max });
        }
        if self.0.budget.admit(&new.link.partner_id, &new.link.id).await.is_none() {
            return Err(busy());
        }
        let id = ledger::new_id();
        let (bucket_name, bucket) = self.0.buckets.of_partner(&new.link.partner_id);
        let row = NewUpload {
            object_key: bucket::layout::file_key(bucket.prefix(), new.ticket, &id, new.name),
            id,
            link_id: new.link.id.clone(),
            partner_id: new.link.partner_id.clone(),
            ticket: new.ticket.to_owned(),
            name: new.name.to_owned(),
            content_type: new.content_type.to_owned(),
            bucket: bucket_name.to_owned(),
            length: new.length.map(signed),
            resumable: new.resumable,
            begins_with_body: new.begins_with_body,
            announced: digest::to_text(new.digests),
            tus_metadata: new.tus_metadata.map(str::to_owned),
            ask: new.ask.map(str::to_owned),
        };
        match self.0.ledger.create_upload(&row, self.room(new.link)).await {
            Ok(()) => Ok(self.0.ledger.upload(&row.id).await?),
            Err(ledger::Error::Superseded) => {
                // There may be room again by now. The sender is told about the moment before.
                Err(self.why_no_room(new.link, new.length).await?.unwrap_or(Error::TooManyOpen))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Creates an upload for a sender that may have begun it before. If the link has no room, an unfinished upload of the same
    /// name that nobody sends is cancelled for it.
    ///
    /// # Errors
    /// As [`Uploads::create`].
    pub async fn create_replacing_idle(&self, new: &Create<'_>) -> Result<Upload> {
        match self.create(new).await {
            Err(error @ (Error::TooManyOpen | Error::TooMuchUnfinished { .. })) => {
                let unfinished = self.unfinished(&new.link.id, new.name).await?;
                let is_idle = |upload: &&Upload| {
                    // If no other gateway is on the ledger, every sender sends to this one.
                    let elsewhere = self.0.ledger.is_shared() && self.is_kept_alive(upload);
                    !elsewhere && !self.is_running(&upload.id)
                };
                let Some(oldest) = unfinished.iter().rfind(is_idle) else { return Err(error) };
                if !self.cancel_idle(oldest, "cancelled", "cancelled").await? {
                    return Err(error);
                }
                self.create(new).await
            }
            other => other,
        }
    }
}

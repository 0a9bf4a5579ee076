//! What a link may hold that is not complete: asked before an upload begins, and while one of unknown length grows.
//! Invariant: bytes announced count from when they are; bytes unannounced are counted again before each step.

use ledger::{Link, Room, Upload};

use crate::engine::{GATEWAY, Uploads, signed, unsigned};
use crate::{Error, Result};

/// An upload of unknown length grows so far before the link's other uploads are counted again: the first part's size.
const STEP_BYTES: u64 = 8 * 1024 * 1024;

/// How far an upload under way may grow before the next look.
#[derive(Debug)]
pub(crate) struct Growth {
    until: u64,
}

impl Growth {
    /// One whose announced length was counted grows as it likes.
    pub(crate) fn of(upload: &Upload) -> Self {
        Self { until: if upload.length.is_some() { u64::MAX } else { 0 } }
    }

    /// Whether the upload may come to have `end` bytes beside what the link holds otherwise.
    ///
    /// # Errors
    /// [`Error::TooMuchUnfinished`], and [`Error::Unavailable`] when the ledger does not answer.
    pub(crate) async fn admit(&mut self, uploads: &Uploads, upload: &Upload, end: u64) -> Result<()> {
        if end <= self.until {
            return Ok(());
        }
        let ledger = &uploads.0.ledger;
        let max = uploads.max_unfinished_bytes(&ledger.link(&upload.link_id).await?);
        let others = ledger.link_holds(&upload.link_id, Some(&upload.id)).await?.unfinished_bytes;
        let room = max.saturating_sub(unsigned(others));
        if end > room {
            return Err(Error::TooMuchUnfinished { max });
        }
        self.until = room.min(end.saturating_add(STEP_BYTES));
        Ok(())
    }
}

impl Uploads {
    /// The largest file this link takes, bytes. What it may hold unfinished bounds a single file, too.
    pub fn max_bytes(&self, link: &Link) -> u64 {
        let own = link.max_bytes.map_or(u64::MAX, unsigned);
        own.min(self.0.limits.max_upload_bytes).min(self.max_unfinished_bytes(link))
    }

    /// Uploads that may be open on this link at a time.
    pub fn max_open(&self, link: &Link) -> i64 {
        link.max_open.unwrap_or_else(|| i64::from(self.0.limits.link_open_uploads_max))
    }

    /// Bytes that this link's uploads may hold together while they are not complete.
    pub fn max_unfinished_bytes(&self, link: &Link) -> u64 {
        link.max_unfinished_bytes.map_or(self.0.limits.link_unfinished_bytes_max, unsigned)
    }

    /// Both, as the ledger compares them.
    pub(crate) fn room(&self, link: &Link) -> Room {
        Room { open: self.max_open(link), unfinished_bytes: signed(self.max_unfinished_bytes(link)) }
    }

    /// A length that was not known when the upload began counts from now on.
    ///
    /// # Errors
    /// [`Error::TooMuchUnfinished`], and [`Error::Unavailable`] when the ledger does not answer.
    pub(crate) async fn announce_length(&self, upload: &Upload, length: u64) -> Result<()> {
        let max = self.max_unfinished_bytes(&self.0.ledger.link(&upload.link_id).await?);
        let has_room = self.0.ledger.announce_length(upload, signed(length), signed(max)).await?;
        if has_room { Ok(()) } else { Err(Error::TooMuchUnfinished { max }) }
    }

    /// Why the ledger found no room for an upload of this length on the link; none when there is room by now.
    pub(crate) async fn why_no_room(&self, link: &Link, length: Option<u64>) -> Result<Option<Error>> {
        let (room, holds) = (self.room(link), self.0.ledger.link_holds(&link.id, None).await?);
        let bytes = holds.unfinished_bytes.saturating_add(signed(length.unwrap_or(1)));
        Ok(if holds.open >= room.open {
            Some(Error::TooManyOpen)
        } else if bytes > room.unfinished_bytes {
            Some(Error::TooMuchUnfinished { max: unsigned(room.unfinished_bytes) })
        } else {
            None
        })
    }

    /// Ends what is still on its way through links that were revoked, or of partners that were disabled, also where no
    /// byte comes any more.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the ledger does not answer.
    pub async fn stop_withdrawn(&self) -> Result<()> {
        for id in self.0.ledger.withdrawn_uploads().await? {
            tracing::info!(upload.id = id, "cancel upload: its link was withdrawn");
            self.cancel(&id, GATEWAY, "link-expired").await?;
        }
        Ok(())
    }
}

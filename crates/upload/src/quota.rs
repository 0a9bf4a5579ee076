//! How much unfinished data a link may hold: checked before an upload begins, and while one of unknown length grows.
//! Invariant: an announced length counts as soon as it is announced; bytes of unknown length are counted again before each
//! step.

use ledger::{Link, Room, Upload};

use crate::limits::{signed, unsigned};
use crate::uploads::Uploads;
use crate::{Error, Result};

/// An upload of unknown length grows by this much before the link's other uploads are counted again: the size of a first part.
const STEP_BYTES: u64 = 8 * 1024 * 1024;

/// How far a running upload may grow before the next check.
#[derive(Debug)]
pub(crate) struct GrowthQuota {
    until: u64,
}

impl GrowthQuota {
    /// An announced length has been counted already, so the upload may grow freely.
    pub(crate) fn of(upload: &Upload) -> Self {
        Self { until: if upload.length.is_some() { u64::MAX } else { 0 } }
    }

    /// Checks that the upload may grow to `end` bytes beside what else the link holds.
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
    /// The largest file this link accepts, bytes. Its limit on unfinished data bounds a single file, too.
    pub fn max_bytes(&self, link: &Link) -> u64 {
        let own = link.max_bytes.map_or(u64::MAX, unsigned);
        own.min(self.0.limits.max_upload_bytes).min(self.max_unfinished_bytes(link))
    }

    /// How many uploads may be open on this link.
    pub fn max_open(&self, link: &Link) -> i64 {
        link.max_open.unwrap_or_else(|| i64::from(self.0.limits.link_open_uploads_max))
    }

    /// Bytes that the incomplete uploads of this link may hold together.
    pub fn max_unfinished_bytes(&self, link: &Link) -> u64 {
        link.max_unfinished_bytes.map_or(self.0.limits.link_unfinished_bytes_max, unsigned)
    }

    /// Both limits, as the ledger compares them.
    pub(crate) fn room(&self, link: &Link) -> Room {
        Room { open: self.max_open(link), unfinished_bytes: signed(self.max_unfinished_bytes(link)) }
    }

    /// Counts a length that was not known when the upload began.
    ///
    /// # Errors
    /// [`Error::TooMuchUnfinished`], and [`Error::Unavailable`] when the ledger does not answer.
    pub(crate) async fn announce_length(&self, upload: &Upload, length: u64) -> Result<()> {
        let max = self.max_unfinished_bytes(&self.0.ledger.link(&upload.link_id).await?);
        let has_room = self.0.ledger.announce_length(upload, signed(length), signed(max)).await?;
        if has_room { Ok(()) } else { Err(Error::TooMuchUnfinished { max }) }
    }

    /// Why an upload of this length exceeds the link's limits; none if it fits by now.
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
}

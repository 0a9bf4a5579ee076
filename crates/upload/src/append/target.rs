//! Where an append writes: the upload, under the epoch that it got from the ledger.

use bucket::Bucket;
use ledger::Upload;

use crate::append::part_lease::PartLease;
use crate::append::signals::Signals;
use crate::uploads::Uploads;

pub(crate) struct Target<'a> {
    pub(crate) uploads: &'a Uploads,
    pub(crate) bucket: &'a Bucket,
    /// As it was when the append began.
    pub(crate) upload: Upload,
    /// The ledger refuses a writer with an older one.
    pub(crate) epoch: i64,
    pub(crate) lease: PartLease,
    pub(crate) signals: Signals,
}

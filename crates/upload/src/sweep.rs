//! Clears what cancelled and removed uploads left in a bucket, and looks for leaks: objects that this ledger does not know.

mod ended;
mod leaks;
pub(crate) mod report;

use crate::Result;
use crate::sweep::report::Swept;
use crate::uploads::Uploads;

impl Uploads {
    /// Clears what every ended upload left, and looks through the buckets for leaks. With `dry_run` it only counts.
    pub async fn sweep(&self, dry_run: bool) -> Result<Swept> {
        let mut swept = self.sweep_ended(dry_run).await?;
        self.look_through_buckets(dry_run, &mut swept).await?;
        Ok(swept)
    }

    /// Looks through the buckets only: deletes leftovers of ended uploads, and reports leaks.
    pub async fn find_leaks(&self) -> Result<Swept> {
        let mut swept = Swept::default();
        self.look_through_buckets(false, &mut swept).await?;
        Ok(swept)
    }
}

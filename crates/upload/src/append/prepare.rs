//! Prepares an append: takes the upload over in the ledger, and continues from the hashes, parts and tail recorded there.

use ledger::{Appending, Numbers, State};

use crate::append::pipeline::PartPipeline;
use crate::append::receiver::Receiver;
use crate::append::request::Append;
use crate::append::running::RunningAppend;
use crate::append::signals::Signals;
use crate::append::target::Target;
use crate::checksum::digest;
use crate::checksum::hasher::Hasher;
use crate::limits::signed;
use crate::memory::budget::AppendMemory;
use crate::telemetry::AppendProgress;
use crate::uploads::Uploads;
use crate::{Error, Result};

impl Uploads {
    /// Makes this append the upload's only writer. What an older one stored until now is skipped: it comes from the same file.
    pub(crate) async fn begin_append(&self, id: &str, append: &Append) -> Result<Appending> {
        match self.0.ledger.begin_append(id, signed(append.offset), append.length.map(signed)).await {
            Err(ledger::Error::Superseded) => {
                let upload = self.0.ledger.upload(id).await?;
                Err(if upload.state == State::Open {
                    Error::OffsetMismatch { expected: upload.offset }
                } else {
                    Error::Gone
                })
            }
            other => Ok(other?),
        }
    }

    /// Where the append writes, and the saved SHA-256 state to continue from.
    pub(crate) fn target(
        &self,
        begun: Appending,
        running: &RunningAppend,
    ) -> Result<(Target<'_>, Option<String>)> {
        let Appending { epoch, upload, sha256_state } = begun;
        let target = Target {
            uploads: self,
            bucket: self.bucket(&upload)?,
            epoch,
            lease: running.lease.clone(),
            signals: Signals::new(running, self.stopping(upload.resumable)),
            upload,
        };
        Ok((target, sha256_state))
    }

    /// Everything that receives and stores the append's bytes.
    pub(crate) async fn receiver<'a>(
        &self,
        target: &'a Target<'a>,
        sha256_state: Option<String>,
        append: &Append,
        memory: AppendMemory,
        progress: &'a mut AppendProgress,
    ) -> Result<Receiver<'a>> {
        let (ledger, upload) = (&self.0.ledger, &target.upload);
        let mut announced = digest::from_text(&upload.announced);
        let new: Vec<_> =
            append.digests.iter().filter(|digest| !announced.contains(digest)).cloned().collect();
        announced.extend(new);
        let hasher = match &sha256_state {
            None => {
                let by_side_files = self.announced_by_side_files(upload).await?;
                Hasher::new(announced.iter().chain(&by_side_files).map(|digest| digest.algorithm))
            }
            // Perhaps another version wrote it: a gateway of that version can continue.
            Some(saved) => Hasher::restore(saved)
                .ok_or_else(|| Error::Unavailable("the saved SHA-256 state cannot be read".into()))?,
        };
        // The ledger records the multipart upload before its first part.
        let numbers = match upload.multipart_id {
            Some(_) => ledger.numbers(&upload.id, target.epoch).await?,
            None => Numbers { last: 0, doubtful_until: 0 },
        };
        let tails = if upload.tails_written > 0 { ledger.tails(&upload.id).await? } else { Vec::new() };
        let pipeline = PartPipeline::new(target, &numbers, tails, !append.content.is_empty());
        Ok(Receiver::new(pipeline, (hasher, announced), memory, append, progress))
    }
}

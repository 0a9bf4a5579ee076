//! One writer for each upload: how an append is halted, and how gateways learn that another still works on an upload.
//! Invariant: a halted append stores what it received in order before the offset is told.

use std::time::Duration;

use ledger::{State, Upload, now_ms};
use tokio::time::Instant;

use crate::Result;
use crate::limits::millis;
use crate::uploads::Uploads;

/// How long a halted append may take to store what it received. After that, whatever is not durable is dropped.
const HALT_WAIT_MAX: Duration = Duration::from_secs(10);
/// A gateway reports every 2 s that it works on an upload ([`Uploads::keep_alive`]). After three missed reports it is gone.
const SILENCE: Duration = Duration::from_secs(6);
/// The same across two gateways, whose clocks may each differ by 5 s from the ledger's.
const SILENCE_SHARED: Duration = Duration::from_secs(16);

impl Uploads {
    /// Ends the running append of an open upload, and returns where the upload stands. Its offset stays there until
    /// somebody appends again. An append that has received its last bytes may complete.
    pub async fn halt(&self, id: &str) -> Result<Upload> {
        let ledger = &self.0.ledger;
        let upload = ledger.upload(id).await?;
        if upload.state != State::Open || !upload.resumable {
            return Ok(upload);
        }
        if let Some(append) = self.0.running.get(id) {
            append.halted.cancel();
            if tokio::time::timeout(HALT_WAIT_MAX, append.ended.cancelled()).await.is_err() {
                append.superseded.cancel();
                // One that is being published continues; the ledger says so.
                let _ = tokio::time::timeout(HALT_WAIT_MAX, append.ended.cancelled()).await;
            }
            return Ok(ledger.upload(id).await?);
        }
        if !ledger.is_shared() || !self.is_kept_alive(&upload) {
            return Ok(upload);
        }
        // A new epoch ends a writer on another node.
        match ledger.begin_append(id, upload.offset, None).await {
            Ok(begun) => Ok(begun.upload),
            Err(ledger::Error::Superseded) => Ok(ledger.upload(id).await?),
            Err(error) => Err(error.into()),
        }
    }

    /// Reports to other processes on the ledger which uploads are being worked on here, and ends those that were cancelled
    /// elsewhere. If no other gateway is on the ledger, only a sweep from the command line needs to know, and only of uploads
    /// that would have expired.
    pub async fn keep_alive(&self) -> Result<()> {
        let ledger = &self.0.ledger;
        let mut running = self.0.running.all();
        if !running.is_empty() && !ledger.is_shared() {
            let overdue = ledger.overdue(self.resumable_since()).await?;
            running.retain(|id, _| overdue.contains(id));
        }
        for (id, append) in running {
            let Some(epoch) = append.epoch() else { continue };
            let asked = Instant::now();
            if ledger.heartbeat(&id, epoch, append.lease.until_ms()).await? {
                append.lease.renewed(asked);
                continue;
            }
            // It may have been completed just now, by this append.
            let upload = ledger.upload(&id).await?;
            if upload.epoch != epoch || upload.state == State::Cancelled {
                append.superseded.cancel();
            }
        }
        Ok(())
    }

    /// Whether another process may be working on the upload: it changed, or was reported alive, a short time ago.
    pub(crate) fn is_kept_alive(&self, upload: &Upload) -> bool {
        let silence = if self.0.ledger.is_shared() { SILENCE_SHARED } else { SILENCE };
        upload.updated_at.saturating_add(millis(silence)) > now_ms()
    }
}

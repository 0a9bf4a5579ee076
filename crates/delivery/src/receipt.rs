//! The receipt beside the object: a bucket explains itself even without the gateway.
//! Invariant: the last receipt written is what the ledger said at that moment, and no receipt stays beside a removed object.

use std::time::Duration;

use api::Receipt;
use bucket::{Bucket, Crc64Hasher, Metadata, Payload};
use ledger::{Job, State, Upload, now_ms, rfc3339};
use tracing::Instrument as _;

use crate::error::JobError;
use crate::shared::Shared;

const WRITE_TIMEOUT: Duration = Duration::from_secs(45);
/// Nothing of an attempt arrives at the bucket later than this; a sweep looks again then.
const ATTEMPT_MS: i64 = 120_000;
/// An upload changes twice after it is complete. If it changes more often, a later attempt writes the receipt.
const ROUNDS_MAX: usize = 5;

/// The receipt of a complete upload.
pub fn receipt(upload: &Upload) -> Receipt {
    Receipt {
        id: upload.id.clone(),
        name: upload.name.clone(),
        size: upload.length.and_then(|length| u64::try_from(length).ok()),
        sha256: upload.sha256.clone(),
        partner: Some(upload.partner_id.clone()),
        ticket: Some(upload.ticket.clone()),
        destination: upload.destination.map(|destination| destination.name().to_owned()),
        delivery: upload.delivery.map(|delivery| delivery.name().to_owned()),
        received_at: upload.completed_at.map(rfc3339),
        expires_at: upload.expires_at.map(rfc3339),
        checked: Some(upload.checked.clone()),
        mismatch: upload.mismatch.clone(),
        ..Receipt::default()
    }
}

pub(crate) async fn run(shared: &Shared, job: &Job) -> Result<(), JobError> {
    let upload = shared.ledger.upload(&job.subject).await?;
    let span = upload.span();
    let written = tokio::time::timeout(WRITE_TIMEOUT, Box::pin(put(shared, upload)).instrument(span)).await;
    written.unwrap_or_else(|_| Err(JobError::Bucket("no answer in time".into())))?;
    Ok(shared.ledger.finish_job(&job.id).await?)
}

/// Writes the receipt until the ledger says the same before and after.
async fn put(shared: &Shared, mut upload: Upload) -> Result<(), JobError> {
    let bucket = shared.bucket_of(&upload).map_err(JobError::Bucket)?;
    let key = bucket::layout::receipt_key(&upload.object_key);
    for _ in 0..ROUNDS_MAX {
        if !shared.ledger.attempt_receipt(&upload.id, now_ms() + ATTEMPT_MS).await? {
            // Removed in the meantime: the sweep may have been here before our last round.
            return Ok(bucket.delete(&key).await?);
        }
        let written = receipt(&upload);
        put_json(bucket, &key, &upload, &written).await?;
        upload = shared.ledger.upload(&upload.id).await?;
        if upload.state == State::Complete && receipt(&upload) == written {
            return Ok(());
        }
    }
    Err(JobError::Bucket("the upload keeps changing".into()))
}

async fn put_json(bucket: &Bucket, key: &str, upload: &Upload, receipt: &Receipt) -> Result<(), JobError> {
    let text = serde_json::to_string_pretty(receipt);
    let mut text = text.map_err(|error| JobError::Bucket(format!("cannot write the receipt: {error}")))?;
    text.push('\n');
    let mut crc64 = Crc64Hasher::new();
    crc64.update(text.as_bytes());
    let payload = Payload::new(vec![text.into()], crc64.value());
    let metadata: Metadata = vec![("upload-id", upload.id.clone())];
    Ok(bucket.put(key, "application/json", &metadata, &payload).await?)
}

//! The receipt beside the object: a bucket explains itself even without the gateway.
//! Invariant: the last receipt written is what the ledger said at that moment, and no receipt stays beside a removed object.

use std::time::Duration;

use bucket::{Bucket, Crc64Hasher, Metadata, Payload};
use ledger::{Delivery, Destination, Job, State, Upload, now_ms, rfc3339};
use serde_json::{Value, json};
use tracing::Instrument as _;

use crate::error::JobError;
use crate::shared::Shared;

const WRITE_TIMEOUT: Duration = Duration::from_secs(45);
/// Nothing of an attempt arrives at the bucket later than this; a sweep looks again then.
const ATTEMPT_MS: i64 = 120_000;
/// An upload changes twice after it is complete. If it changes more often, a later attempt writes the receipt.
const ROUNDS_MAX: usize = 5;

/// The receipt of a complete upload, with the fields of the interface; `mismatch` only where there is one.
pub fn receipt(upload: &Upload) -> Value {
    let mut receipt = json!({
        "id": upload.id,
        "name": upload.name,
        "size": upload.length,
        "sha256": upload.sha256,
        "partner": upload.partner_id,
        "ticket": upload.ticket,
        "destination": upload.destination.map(Destination::name),
        "delivery": upload.delivery.map(Delivery::name),
        "received_at": upload.completed_at.map(rfc3339),
        "expires_at": null,
        "checked": upload.checked,
    });
    if let Some(mismatch) = &upload.mismatch {
        receipt["mismatch"] = mismatch.as_str().into();
    }
    receipt
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

async fn put_json(bucket: &Bucket, key: &str, upload: &Upload, receipt: &Value) -> bucket::Result<()> {
    let text = format!("{receipt:#}\n");
    let mut crc64 = Crc64Hasher::new();
    crc64.update(text.as_bytes());
    let payload = Payload::new(vec![text.into()], crc64.value());
    let metadata: Metadata = vec![("upload-id", upload.id.clone())];
    bucket.put(key, "application/json", &metadata, &payload).await
}

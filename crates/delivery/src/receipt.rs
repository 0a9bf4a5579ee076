//! The receipt beside the object: a bucket explains itself even without the gateway.
//! Invariant: what was written last is the ledger's truth of that moment, and nothing stays beside a removed object.

use std::time::Duration;

use bucket::{Bucket, Crc64Hasher, Metadata, Payload, layout};
use ledger::{Delivery, Destination, Job, State, Upload, now_ms, rfc3339};
use serde_json::{Value, json};

use crate::{Shared, chain, failed, pacing};

/// How long a receipt may take; longer than this and it is tried again by whoever comes.
pub(crate) const LEASE_MS: i64 = 60_000;
/// Ends before the lease does.
const WRITE_TIMEOUT: Duration = Duration::from_secs(45);
/// Nothing of an attempt arrives at the bucket later than this after it began: a sweep looks again then.
const ATTEMPT_MS: i64 = 2 * LEASE_MS;
/// The truth changes twice in an upload's life; more turns than this are somebody else's to make.
const TURNS_MAX: usize = 5;

/// The receipt of a complete upload, with the fields of the interface; and `mismatch` where a digest that came after the
/// file is not the file's.
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

/// Writes one receipt. Says how many were settled: one or none.
pub(crate) async fn write(shared: &Shared, job: &Job) -> usize {
    let written = tokio::time::timeout(WRITE_TIMEOUT, Box::pin(put(shared, &job.upload_id))).await;
    let ended = match written.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
        Ok(()) => shared.ledger.finish_job(&job.id).await.map(|()| 1),
        Err(reason) => {
            tracing::warn!(error = reason, "write receipt; it is tried again");
            failed("receipt");
            // The claim has counted this attempt already.
            let wait = pacing::backoff(job.attempts - 1, None, rand::random());
            let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(LEASE_MS);
            shared
                .ledger
                .put_off(std::slice::from_ref(job), now_ms() + wait_ms, Some(&reason))
                .await
                .map(|()| 0)
        }
    };
    ended.unwrap_or_else(|error| {
        tracing::warn!(error = chain(&error), "end receipt job; its lease runs out");
        0
    })
}

/// Puts the receipt, and again for as long as the ledger says something else afterwards.
async fn put(shared: &Shared, upload_id: &str) -> Result<(), String> {
    let mut upload = read(shared, upload_id).await?;
    for _ in 0..TURNS_MAX {
        let name = &upload.bucket;
        let bucket =
            shared.buckets.named(name).ok_or_else(|| format!("no bucket is configured for {name}"))?;
        let key = layout::receipt_key(&upload.object_key);
        if !shared
            .ledger
            .attempt_receipt(upload_id, now_ms() + ATTEMPT_MS)
            .await
            .map_err(|error| chain(&error))?
        {
            // Removed meanwhile: the sweep may have been here before our last turn.
            return bucket.delete(&key).await.map_err(|error| error.to_string());
        }
        let written = receipt(&upload);
        put_json(bucket, &key, &upload, &written).await.map_err(|error| error.to_string())?;
        upload = read(shared, upload_id).await?;
        if upload.state == State::Complete && receipt(&upload) == written {
            return Ok(());
        }
    }
    Err("the upload keeps changing".to_owned())
}

async fn read(shared: &Shared, upload_id: &str) -> Result<Upload, String> {
    shared.ledger.upload(upload_id).await.map_err(|error| chain(&error))
}

async fn put_json(bucket: &Bucket, key: &str, upload: &Upload, receipt: &Value) -> bucket::Result<()> {
    let text = format!("{receipt:#}\n");
    let mut crc64 = Crc64Hasher::new();
    crc64.update(text.as_bytes());
    let payload = Payload::new(vec![text.into()], crc64.value());
    let metadata: Metadata = vec![("upload-id", upload.id.clone())];
    bucket.put(key, "application/json", &metadata, &payload).await
}

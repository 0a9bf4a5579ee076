//! Reads a stored file back for its MD5, and compares it with the side files that announced one.

use std::time::Duration;

use ledger::{Job, State, Upload};

use crate::error::JobError;
use crate::shared::Shared;

/// Larger files are not read back. This size takes about 5 s.
const READ_BACK_BYTES_MAX: i64 = 2_000_000_000;
/// A bucket that delivers more slowly is asked again later, so that it does not keep a worker.
const READ_BACK_TIMEOUT: Duration = Duration::from_secs(10 * 60);

pub(crate) async fn run(shared: &Shared, job: &Job) -> Result<(), JobError> {
    let file = shared.ledger.upload(&job.subject).await?;
    let md5 = match &file.md5 {
        None => read_back(shared, &file).await?,
        known => known.clone(),
    };
    Ok(shared.ledger.finish_comparison(&job.id, &file.id, md5.as_deref()).await?)
}

/// None if the file is too large, or gone.
async fn read_back(shared: &Shared, file: &Upload) -> Result<Option<String>, JobError> {
    if file.state != State::Complete || file.length.is_none_or(|length| length > READ_BACK_BYTES_MAX) {
        return Ok(None);
    }
    let bucket = shared.bucket_of(file).map_err(JobError::Bucket)?;
    let read = tokio::time::timeout(READ_BACK_TIMEOUT, bucket.md5(&file.object_key)).await;
    match read.map_err(|_| JobError::Bucket("no answer in time".into()))? {
        Err(error @ bucket::Error::NotFound(_)) => {
            file.span()
                .in_scope(|| tracing::warn!(error = %error, "cannot compare a file with its side file"));
            Ok(None)
        }
        read => Ok(Some(read?)),
    }
}

//! Bodies on their way to disk: batches of a mebibyte, written and summed on a blocking thread while the next one fills.
//! Invariant: at most two batches of a body are in memory; a reader that is not awaited holds the sender back.

use std::fs::File;
use std::io::Write as _;

use futures_util::StreamExt as _;
use http::HeaderMap;
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3ErrorCode, S3Result, StdError, TrailingHeaders, s3_error};
use tokio::task::JoinHandle;

use super::files::Staged;
use super::state::{Inner, Store, internal};
use crate::s3::checksum::{Declared, Sums, Verifier};

/// Bytes handed to a blocking thread at once; below a mebibyte the hand-over itself begins to show.
const BATCH_BYTES: usize = 1 << 20;

/// S3's limit for one PutObject or UploadPart.
const BODY_MAX_BYTES: u64 = 5 << 30;

/// A body that is flushed under a temporary name, its declared checksum verified.
#[derive(Debug)]
pub(crate) struct Received {
    pub(super) staged: Staged,
    pub(super) size: u64,
    pub(super) sums: Sums,
}

/// The file being written. Dropped before its end, it removes the file.
struct Writing {
    staged: Staged,
    file: File,
    verifier: Verifier,
    size: u64,
}

impl Writing {
    fn begin(inner: &Inner, declared: Declared) -> S3Result<Self> {
        let (staged, file) = Staged::create(&inner.files.blobs).map_err(internal)?;
        Ok(Self { staged, file, verifier: Verifier::new(declared), size: 0 })
    }

    fn write(&mut self, batch: &[u8]) -> S3Result<()> {
        self.size += batch.len() as u64;
        if self.size > BODY_MAX_BYTES {
            return Err(s3_error!(EntityTooLarge, "Your proposed upload exceeds the maximum allowed size"));
        }
        self.verifier.update(batch);
        self.file.write_all(batch).map_err(internal)
    }

    fn finish(self, trailers: Option<&HeaderMap>) -> S3Result<Received> {
        let sums = self.verifier.finish(trailers)?;
        self.file.sync_all().map_err(internal)?;
        Ok(Received { staged: self.staged, size: self.size, sums })
    }
}

/// A batch under way: the file, and the buffer back when it is written.
type Batch = JoinHandle<S3Result<(Writing, Vec<u8>)>>;

impl Store {
    /// Receives a body. Nothing is kept of one that ends early or does not match its checksum.
    pub(crate) async fn receive(
        &self,
        body: Option<StreamingBlob>,
        declared: Declared,
        trailers: Option<TrailingHeaders>,
    ) -> S3Result<Received> {
        let inner = self.inner.clone();
        let mut batch: Batch =
            self.tasks.spawn_blocking(move || Ok((Writing::begin(&inner, declared)?, Vec::new())));
        let mut filling = Vec::new();
        if let Some(mut body) = body {
            while let Some(frame) = body.next().await {
                filling.extend_from_slice(&frame.map_err(|error| broken_body(&error))?);
                if filling.len() >= BATCH_BYTES {
                    let (mut writing, empty) = written(batch).await?;
                    let mut full = std::mem::replace(&mut filling, empty);
                    batch = self.tasks.spawn_blocking(move || {
                        writing.write(&full)?;
                        full.clear();
                        Ok((writing, full))
                    });
                }
            }
        }
        let (mut writing, _) = written(batch).await?;
        let trailers = trailers.and_then(|trailers| trailers.take());
        self.blocking(move |_| {
            writing.write(&filling)?;
            writing.finish(trailers.as_ref())
        })
        .await
    }
}

async fn written(batch: Batch) -> S3Result<(Writing, Vec<u8>)> {
    batch.await.map_err(S3Error::internal_error)?
}

/// The protocol layer verifies signed payloads as they pass and reports a mismatch as an error of the body; everything else
/// that can go wrong there is a body that ended early.
fn broken_body(error: &StdError) -> S3Error {
    let text = error.to_string();
    if text.contains("Sha256Mismatch") {
        let message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
        let mut refusal =
            S3Error::with_message(S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()), message);
        refusal.set_status_code(http::StatusCode::BAD_REQUEST);
        return refusal;
    }
    if text.contains("SignatureMismatch") {
        return s3_error!(SignatureDoesNotMatch, "A chunk's signature does not match.");
    }
    s3_error!(
        IncompleteBody,
        "You did not provide the number of bytes specified by the Content-Length HTTP header: {text}"
    )
}

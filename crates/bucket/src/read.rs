//! Reads objects, or hands out URLs to read them.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::ChecksumMode;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use md5::Digest;

use crate::call::{bounded, bounded_by};
use crate::error::{classify, classify_head, require_etag};
use crate::{Bucket, Crc64, Error, Result};

/// How long the store may send nothing in the middle of an object.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What a `HEAD` says about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Bytes.
    pub size: i64,
    /// Of the whole object; `None` if the store keeps no checksum.
    pub crc64: Option<Crc64>,
    /// For [`Bucket::read_same`].
    pub etag: Option<String>,
    /// Milliseconds since the epoch.
    pub last_modified: i64,
    pub content_type: Option<String>,
    /// Names are lower-case.
    pub metadata: HashMap<String, String>,
}

/// The content of an object, or a range of it.
pub struct Read {
    /// Bytes to read.
    pub length: i64,
    /// For [`Bucket::read_same`].
    pub etag: String,
    body: ByteStream,
}

impl Read {
    pub fn stream(self) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        stream::unfold(self.body, |mut body| async move {
            let next = body.next().await?;
            Some((next.map_err(|error| Error::Unavailable(error.to_string())), body))
        })
    }
}

pub(crate) fn millis(at: &DateTime) -> i64 {
    at.to_millis().unwrap_or_default()
}

impl Bucket {
    /// Checks that the bucket answers and that we have access.
    pub async fn probe(&self) -> Result<()> {
        let request = self.client.head_bucket().bucket(self.name()).set_expected_bucket_owner(self.owner());
        bounded(request.send()).await.map(drop)
    }

    /// What is known about the object at `key`; `None` if there is none. A 404 counts only if a listing agrees: the answer to
    /// a `HEAD` has no body, so nothing proves that it came from the store.
    ///
    /// # Errors
    /// Never [`Error::NotFound`].
    pub async fn head(&self, key: &str) -> Result<Option<Found>> {
        let request = self
            .client
            .head_object()
            .bucket(self.name())
            .key(key)
            .checksum_mode(ChecksumMode::Enabled)
            .set_expected_bucket_owner(self.owner());
        match bounded_by(classify_head, request.send()).await {
            Ok(answer) => Ok(Some(Found {
                size: answer.content_length.unwrap_or_default(),
                crc64: answer.checksum_crc64_nvme.as_deref().and_then(Crc64::from_base64),
                etag: Some(require_etag(answer.e_tag)?),
                last_modified: answer.last_modified.map_or(0, |at| millis(&at)),
                content_type: answer.content_type,
                metadata: answer.metadata.unwrap_or_default(),
            })),
            Err(Error::NotFound(_)) if self.is_listed(key).await? => {
                Err(Error::Unavailable("the store lists the object, but says that it does not exist".into()))
            }
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads an object, or its bytes `first..=last`.
    pub async fn read(&self, key: &str, range: Option<(u64, u64)>) -> Result<Read> {
        self.read_same(key, range, None).await
    }

    /// Like [`Bucket::read`], but only if the object still has this ETag.
    ///
    /// # Errors
    /// [`Error::Changed`] if the object has been replaced.
    pub async fn read_same(&self, key: &str, range: Option<(u64, u64)>, etag: Option<&str>) -> Result<Read> {
        let request = self
            .client
            .get_object()
            .bucket(self.name())
            .key(key)
            .set_range(range.map(|(first, last)| format!("bytes={first}-{last}")))
            .set_if_match(etag.map(str::to_owned))
            .set_expected_bucket_owner(self.owner());
        let answer = bounded(request.send()).await?;
        let etag = require_etag(answer.e_tag)?;
        Ok(Read { length: answer.content_length.unwrap_or_default(), etag, body: answer.body })
    }

    /// Reads a whole small object; `None` if it has more than `bytes_max`.
    pub async fn read_small(&self, key: &str, bytes_max: i64) -> Result<Option<Vec<u8>>> {
        let read = self.read(key, None).await?;
        if read.length > bytes_max {
            return Ok(None);
        }
        let (mut bytes, mut frames) = (Vec::new(), std::pin::pin!(read.stream()));
        while let Some(frame) = frames.next().await {
            bytes.extend_from_slice(&frame?);
        }
        Ok(Some(bytes))
    }

    /// Reads a whole object and computes its MD5, hex.
    pub async fn md5(&self, key: &str) -> Result<String> {
        self.digest::<md5::Md5>(key, None).await.map(|(md5, _)| md5)
    }

    /// Reads a whole object and computes its SHA-256, hex. Also returns its bytes.
    ///
    /// # Errors
    /// [`Error::Changed`] if the object has been replaced since it had this ETag.
    pub async fn sha256(&self, key: &str, etag: &str) -> Result<(String, i64)> {
        self.digest::<sha2::Sha256>(key, Some(etag)).await
    }

    async fn digest<D: Digest>(&self, key: &str, etag: Option<&str>) -> Result<(String, i64)> {
        let mut frames = std::pin::pin!(self.read_same(key, None, etag).await?.stream());
        let (mut digest, mut bytes) = (D::new(), 0);
        loop {
            let next = tokio::time::timeout(SILENCE_MAX, frames.next()).await;
            let next =
                next.map_err(|_| Error::Unavailable("the store stopped in the middle of an object".into()))?;
            let Some(frame) = next.transpose()? else { break };
            bytes += i64::try_from(frame.len()).unwrap_or(i64::MAX);
            digest.update(frame);
        }
        Ok((hex::encode(digest.finalize()), bytes))
    }

    /// A URL on the public endpoint that serves the object as an attachment. It is valid for `expires_in`, at most 7 days,
    /// or until the credentials expire.
    ///
    /// # Errors
    /// [`Error::Refused`] without a public endpoint, [`Error::NoCredentials`] without credentials. With an expected owner, also
    /// S3's answer if the bucket belongs to another account.
    pub async fn presign(&self, key: &str, disposition: &str, expires_in: Duration) -> Result<String> {
        let client =
            self.public.as_ref().ok_or_else(|| Error::Refused("no public endpoint is configured".into()))?;
        // A browser does not send `x-amz-expected-bucket-owner`, so the owner is checked now.
        if self.config.expected_owner.is_some() && self.head(key).await?.is_none() {
            return Err(Error::NotFound("object"));
        }
        let (credentials, expires_in) = self.credentials.lasting(expires_in).await?;
        if expires_in < Duration::from_secs(1) {
            return Err(Error::NoCredentials("the credentials have expired".into()));
        }
        let config =
            PresigningConfig::expires_in(expires_in).map_err(|error| Error::Refused(error.to_string()))?;
        let request = client
            .get_object()
            .bucket(self.name())
            .key(key)
            .response_content_disposition(disposition)
            .response_content_type("application/octet-stream")
            .customize()
            .config_override(aws_sdk_s3::Config::builder().credentials_provider(credentials))
            .presigned(config)
            .await
            .map_err(|error| classify(&error))?;
        Ok(request.uri().to_owned())
    }
}

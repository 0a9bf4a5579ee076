//! Everything that changes a bucket. Each call is bounded by [`Bucket::CALL_TIMEOUT`] and may be repeated.

use std::future::Future;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, ServerSideEncryption,
};

use crate::error::sort;
use crate::{Bucket, Crc64, Error, Payload, Result};

/// What is written with an object, so that a bucket explains itself. Keys and values are ASCII: callers encode.
pub type Metadata = Vec<(&'static str, String)>;

/// A stored part, as the store must be told at the end.
#[derive(Debug, Clone)]
pub struct PartTag {
    /// Its number, from 1.
    pub number: i64,
    /// The store's tag for it.
    pub etag: String,
    /// Its checksum.
    pub crc64: Crc64,
}

impl Bucket {
    /// Puts a whole object.
    ///
    /// # Errors
    /// As [`Error`]; the store verifies the checksum.
    pub async fn put(
        &self,
        key: &str,
        content_type: &str,
        metadata: &Metadata,
        payload: &Payload,
    ) -> Result<()> {
        let request = || {
            let mut request = self
                .client
                .put_object()
                .bucket(self.name())
                .key(key)
                .content_type(content_type)
                .set_metadata(Some(
                    metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
                ))
                .set_expected_bucket_owner(self.owner())
                .checksum_crc64_nvme(payload.crc64().to_base64())
                .body(payload.stream());
            if let Some(key) = &self.config.kms_key {
                request = request.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(key);
            }
            Box::pin(request.customize().disable_payload_signing().send())
        };
        bounded(resent(request)).await?;
        Ok(())
    }

    /// Opens a multipart upload whose whole-object checksum the store will verify. Returns its id.
    ///
    /// # Errors
    /// As [`Error`]. After a lost answer one may exist that nobody knows: see [`Bucket::multiparts`].
    pub async fn create_multipart(
        &self,
        key: &str,
        content_type: &str,
        metadata: &Metadata,
    ) -> Result<String> {
        let mut request = self
            .client
            .create_multipart_upload()
            .bucket(self.name())
            .key(key)
            .content_type(content_type)
            .set_metadata(Some(
                metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            ))
            .set_expected_bucket_owner(self.owner())
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            .checksum_type(ChecksumType::FullObject);
        if let Some(key) = &self.config.kms_key {
            request = request.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(key);
        }
        let answer = bounded(Box::pin(request.send())).await?;
        answer.upload_id.ok_or_else(|| Error::Unavailable("no id for the multipart upload was given".into()))
    }

    /// Stores one part. Returns the store's tag for it.
    ///
    /// # Errors
    /// As [`Error`]; the store verifies the checksum.
    pub async fn put_part(
        &self,
        key: &str,
        multipart_id: &str,
        number: i64,
        payload: &Payload,
    ) -> Result<String> {
        let number = part_number(number)?;
        let request = || {
            let request = self
                .client
                .upload_part()
                .bucket(self.name())
                .key(key)
                .upload_id(multipart_id)
                .part_number(number)
                .set_expected_bucket_owner(self.owner())
                .checksum_crc64_nvme(payload.crc64().to_base64())
                .body(payload.stream());
            Box::pin(request.customize().disable_payload_signing().send())
        };
        let answer = bounded(resent(request)).await?;
        answer.e_tag.ok_or_else(|| Error::Unavailable("no tag for the part was given".into()))
    }

    /// Publishes the object made of these parts, asserting size and checksum of the whole.
    ///
    /// # Errors
    /// As [`Error`]; [`Error::NotFound`] also when a repeated call comes after one whose answer was lost.
    pub async fn complete_multipart(
        &self,
        key: &str,
        multipart_id: &str,
        parts: &[PartTag],
        size: i64,
        crc64: Crc64,
    ) -> Result<()> {
        let mut list = CompletedMultipartUpload::builder();
        for part in parts {
            list = list.parts(
                CompletedPart::builder()
                    .part_number(part_number(part.number)?)
                    .e_tag(&part.etag)
                    .checksum_crc64_nvme(part.crc64.to_base64())
                    .build(),
            );
        }
        let request = self
            .client
            .complete_multipart_upload()
            .bucket(self.name())
            .key(key)
            .upload_id(multipart_id)
            .multipart_upload(list.build())
            .checksum_type(ChecksumType::FullObject)
            .checksum_crc64_nvme(crc64.to_base64())
            .mpu_object_size(size)
            .set_expected_bucket_owner(self.owner());
        bounded(Box::pin(request.send())).await?;
        Ok(())
    }

    /// Drops a multipart upload and its parts; one that is gone already is fine.
    ///
    /// # Errors
    /// As [`Error`].
    pub async fn abort_multipart(&self, key: &str, multipart_id: &str) -> Result<()> {
        let request = self
            .client
            .abort_multipart_upload()
            .bucket(self.name())
            .key(key)
            .upload_id(multipart_id)
            .set_expected_bucket_owner(self.owner());
        match bounded(Box::pin(request.send())).await {
            Ok(_) | Err(Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes an object; one that is gone already is fine.
    ///
    /// # Errors
    /// As [`Error`].
    pub async fn delete(&self, key: &str) -> Result<()> {
        let request =
            self.client.delete_object().bucket(self.name()).key(key).set_expected_bucket_owner(self.owner());
        match bounded(Box::pin(request.send())).await {
            Ok(_) | Err(Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Waits for an answer within [`Bucket::CALL_TIMEOUT`] and sorts what is not one.
pub(crate) async fn bounded<T, E>(
    call: impl Future<Output = std::result::Result<T, SdkError<E>>>,
) -> Result<T>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match tokio::time::timeout(Bucket::CALL_TIMEOUT, call).await {
        Ok(answer) => answer.map_err(|error| sort(&error)),
        Err(_) => Err(Error::Unavailable("no answer in time".into())),
    }
}

/// Sends once more what the store says was damaged on its way: what we hold is what the checksum was made of.
async fn resent<T, E, F>(request: impl Fn() -> F) -> std::result::Result<T, SdkError<E>>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    F: Future<Output = std::result::Result<T, SdkError<E>>>,
{
    match request().await {
        Err(error) if matches!(sort(&error), Error::Damaged(_)) => request().await,
        other => other,
    }
}

fn part_number(number: i64) -> Result<i32> {
    i32::try_from(number).map_err(|_| Error::Refused(format!("part number {number} is out of range")))
}

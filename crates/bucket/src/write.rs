//! Everything that changes a bucket. Each call is bounded by [`Bucket::CALL_TIMEOUT`] and may be repeated.

use std::future::Future;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, ServerSideEncryption,
};

use crate::error::{sort, tagged};
use crate::probe::Checks;
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
        let request = self.put_request(key, content_type, metadata, payload);
        let answer = Box::pin(request.customize().disable_payload_signing().send());
        tagged(bounded(answer).await?.e_tag).map(drop)
    }

    pub(crate) fn put_request(
        &self,
        key: &str,
        content_type: &str,
        metadata: &Metadata,
        payload: &Payload,
    ) -> PutObjectFluentBuilder {
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
            .body(payload.stream());
        request = match self.checks() {
            Checks::Whole | Checks::Parts => request.checksum_crc64_nvme(payload.crc64().to_base64()),
            Checks::Md5 => request.content_md5(payload.md5_base64()),
        };
        if let Some(key) = &self.config.kms_key {
            request = request
                .server_side_encryption(ServerSideEncryption::AwsKms)
                .ssekms_key_id(key)
                // Else S3 asks KMS for every object and part.
                .bucket_key_enabled(true);
        }
        request
    }

    /// Opens a multipart upload whose whole-object checksum the store will verify, if it can. Returns its id.
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
            .set_expected_bucket_owner(self.owner());
        if self.checks() == Checks::Whole {
            request = request
                .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
                .checksum_type(ChecksumType::FullObject);
        }
        if let Some(key) = &self.config.kms_key {
            request = request
                .server_side_encryption(ServerSideEncryption::AwsKms)
                .ssekms_key_id(key)
                .bucket_key_enabled(true);
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
        let request = self
            .client
            .upload_part()
            .bucket(self.name())
            .key(key)
            .upload_id(multipart_id)
            .part_number(number)
            .set_expected_bucket_owner(self.owner())
            .body(payload.stream());
        let request = match self.checks() {
            Checks::Whole | Checks::Parts => request.checksum_crc64_nvme(payload.crc64().to_base64()),
            Checks::Md5 => request.content_md5(payload.md5_base64()),
        };
        let answer = Box::pin(request.customize().disable_payload_signing().send());
        tagged(bounded(answer).await?.e_tag)
    }

    /// Publishes the object made of these parts, asserting size and checksum of the whole. A store that does not check
    /// the whole has checked each part, and is asked for the size afterwards.
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
        let whole = self.checks() == Checks::Whole;
        let mut list = CompletedMultipartUpload::builder();
        for part in parts {
            let entry = CompletedPart::builder().part_number(part_number(part.number)?).e_tag(&part.etag);
            let checksum = whole.then(|| part.crc64.to_base64());
            list = list.parts(entry.set_checksum_crc64_nvme(checksum).build());
        }
        let mut request = self
            .client
            .complete_multipart_upload()
            .bucket(self.name())
            .key(key)
            .upload_id(multipart_id)
            .multipart_upload(list.build())
            .set_expected_bucket_owner(self.owner());
        if whole {
            request = request
                .checksum_type(ChecksumType::FullObject)
                .checksum_crc64_nvme(crc64.to_base64())
                .mpu_object_size(size);
        }
        tagged(bounded(Box::pin(request.send())).await?.e_tag)?;
        if whole {
            return Ok(());
        }
        match self.head(key).await? {
            Some(found) if found.size == size => Ok(()),
            Some(found) => {
                Err(Error::Damaged(format!("{size} bytes were sent, the object has {}", found.size)))
            }
            None => Err(Error::Unavailable("the object is not there yet".into())),
        }
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
    bounded_by(sort, call).await
}

/// The same with another way to sort.
pub(crate) async fn bounded_by<T, E>(
    sort: impl FnOnce(&SdkError<E>) -> Error,
    call: impl Future<Output = std::result::Result<T, SdkError<E>>>,
) -> Result<T> {
    match tokio::time::timeout(Bucket::CALL_TIMEOUT, call).await {
        Ok(answer) => answer.map_err(|error| sort(&error)),
        Err(_) => Err(Error::Unavailable("no answer in time".into())),
    }
}

fn part_number(number: i64) -> Result<i32> {
    i32::try_from(number).map_err(|_| Error::Refused(format!("part number {number} is out of range")))
}

//! Writes and deletes. Every call may be repeated.

use std::collections::HashMap;

use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, ServerSideEncryption,
};

use crate::call::bounded;
use crate::checks::Checks;
use crate::error::require_etag;
use crate::{Bucket, Crc64, Error, Payload, Result};

/// User metadata of an object. Keys and values must be ASCII: callers encode them.
pub type Metadata = Vec<(&'static str, String)>;

/// A stored part, as listed when the multipart upload is completed.
#[derive(Debug, Clone)]
pub struct PartTag {
    /// From 1.
    pub number: i64,
    pub etag: String,
    pub crc64: Crc64,
}

impl Bucket {
    /// Puts a whole object. The store verifies the checksum.
    pub async fn put(
        &self,
        key: &str,
        content_type: &str,
        metadata: &Metadata,
        payload: &Payload,
    ) -> Result<()> {
        let request = self.put_request(key, content_type, metadata, payload);
        let answer = bounded(request.customize().disable_payload_signing().send());
        require_etag(answer.await?.e_tag).map(drop)
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
            .set_metadata(Some(owned(metadata)))
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
                // Otherwise S3 calls KMS for every object and part.
                .bucket_key_enabled(true);
        }
        request
    }

    /// Starts a multipart upload and returns its ID. If it can, the store will verify the checksum of the whole object.
    ///
    /// # Errors
    /// If the answer is lost, the multipart upload may exist nonetheless: see [`Bucket::multiparts`].
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
            .set_metadata(Some(owned(metadata)))
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
        let answer = bounded(request.send()).await?;
        answer
            .upload_id
            .ok_or_else(|| Error::Unavailable("the answer has no ID for the multipart upload".into()))
    }

    /// Stores a part and returns its ETag. The store verifies the checksum.
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
        let answer = bounded(request.customize().disable_payload_signing().send());
        require_etag(answer.await?.e_tag)
    }

    /// Completes a multipart upload, asserting size and checksum of the whole object. If the store cannot verify the whole,
    /// it has verified each part, and the size is compared afterwards.
    ///
    /// # Errors
    /// [`Error::NotFound`] also if an earlier call succeeded and its answer was lost.
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
        require_etag(bounded(request.send()).await?.e_tag)?;
        if whole {
            return Ok(());
        }
        match self.head(key).await? {
            Some(found) if found.size == size => Ok(()),
            Some(found) => {
                Err(Error::Damaged(format!("{size} bytes were sent, but the object has {}", found.size)))
            }
            None => Err(Error::Unavailable("the object does not exist yet".into())),
        }
    }

    /// Aborts a multipart upload and deletes its parts. Succeeds if it does not exist.
    pub async fn abort_multipart(&self, key: &str, multipart_id: &str) -> Result<()> {
        let request = self
            .client
            .abort_multipart_upload()
            .bucket(self.name())
            .key(key)
            .upload_id(multipart_id)
            .set_expected_bucket_owner(self.owner());
        gone(bounded(request.send()).await)
    }

    /// Deletes one version of an object, or one delete marker. Succeeds if it does not exist.
    pub async fn delete_version(&self, key: &str, version: &str) -> Result<()> {
        let request = self.client.delete_object().bucket(self.name()).key(key).version_id(version);
        gone(bounded(request.set_expected_bucket_owner(self.owner()).send()).await)
    }

    /// Deletes an object. Succeeds if it does not exist.
    pub async fn delete(&self, key: &str) -> Result<()> {
        let request =
            self.client.delete_object().bucket(self.name()).key(key).set_expected_bucket_owner(self.owner());
        gone(bounded(request.send()).await)
    }
}

fn owned(metadata: &Metadata) -> HashMap<String, String> {
    metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// What does not exist is deleted.
fn gone<T>(answer: Result<T>) -> Result<()> {
    match answer {
        Ok(_) | Err(Error::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn part_number(number: i64) -> Result<i32> {
    i32::try_from(number).map_err(|_| Error::Refused(format!("part number {number} is out of range")))
}

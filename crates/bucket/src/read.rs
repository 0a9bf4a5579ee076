//! Everything that only looks: head, read, list, presign.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ChecksumMode, EncodingType};
use bytes::Bytes;
use futures_util::{Stream, stream};

use crate::error::{sort, sort_head, tagged};
use crate::write::{bounded, bounded_by};
use crate::{Bucket, Crc64, Error, Result};

/// An object that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Bytes.
    pub size: i64,
    /// Checksum of the whole, where the store keeps one.
    pub crc64: Option<Crc64>,
    /// The store's tag for exactly these bytes, see [`Bucket::read_same`].
    pub etag: Option<String>,
    /// When it was last written, ms since 1970.
    pub last_modified: i64,
    /// Media type.
    pub content_type: Option<String>,
    /// What was written with it; names in lower case.
    pub metadata: HashMap<String, String>,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Key.
    pub key: String,
    /// Bytes.
    pub size: i64,
    /// When it was last written, ms since 1970.
    pub last_modified: i64,
    /// The store's tag for exactly these bytes, see [`Bucket::read_same`].
    pub etag: Option<String>,
}

/// A multipart upload that is not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Key it is for.
    pub key: String,
    /// Its id in the store.
    pub id: String,
    /// When it began, ms since 1970.
    pub begun_at: i64,
}

/// One page of a listing, and where the next begins.
#[derive(Debug, Clone)]
pub struct Page {
    /// Objects by key.
    pub objects: Vec<Object>,
    /// Pass it on for the next page.
    pub next: Option<String>,
}

/// The bytes of an object, or of a range of it.
pub struct Read {
    /// Bytes in this answer.
    pub length: i64,
    /// The object's tag: see [`Bucket::read_same`].
    pub etag: String,
    body: ByteStream,
}

impl Read {
    /// The bytes as they come.
    pub fn stream(self) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        stream::unfold(self.body, |mut body| async move {
            let next = body.next().await?;
            Some((next.map_err(|error| Error::Unavailable(error.to_string())), body))
        })
    }
}

fn millis(at: &DateTime) -> i64 {
    at.to_millis().unwrap_or_default()
}

/// A key out of a listing with `encoding-type=url`: a blank is a plus, as in forms. S3 keys are UTF-8.
fn decoded(key: &str) -> String {
    let key = key.replace('+', " ");
    percent_encoding::percent_decode_str(&key).decode_utf8_lossy().into_owned()
}

/// A part as the store lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its number, from 1.
    pub number: i64,
    /// Bytes.
    pub size: i64,
    /// Its checksum, where the store keeps one.
    pub crc64: Option<Crc64>,
    /// The store's tag for it.
    pub etag: String,
}

/// The key itself sorts before all others that begin with it; a few more, for a store that sorts otherwise.
const LISTED_MAX: i32 = 10;

impl Bucket {
    /// Whether the bucket answers and lets us in.
    ///
    /// # Errors
    /// As [`Error`].
    pub async fn probe(&self) -> Result<()> {
        let request = self.client.head_bucket().bucket(self.name()).set_expected_bucket_owner(self.owner());
        bounded(Box::pin(request.send())).await.map(drop)
    }

    /// The object at `key`, if there is one. That there is none is believed when a listing says so, too: the answer to a
    /// `HEAD` has no body in which the store could say that it is the store's.
    ///
    /// # Errors
    /// As [`Error`], without [`Error::NotFound`].
    pub async fn head(&self, key: &str) -> Result<Option<Found>> {
        let request = self
            .client
            .head_object()
            .bucket(self.name())
            .key(key)
            .checksum_mode(ChecksumMode::Enabled)
            .set_expected_bucket_owner(self.owner());
        match bounded_by(sort_head, Box::pin(request.send())).await {
            Ok(answer) => Ok(Some(Found {
                size: answer.content_length.unwrap_or_default(),
                crc64: answer.checksum_crc64_nvme.as_deref().and_then(Crc64::from_base64),
                etag: Some(tagged(answer.e_tag)?),
                last_modified: answer.last_modified.map_or(0, |at| millis(&at)),
                content_type: answer.content_type,
                metadata: answer.metadata.unwrap_or_default(),
            })),
            Err(Error::NotFound(_)) if self.is_listed(key).await? => {
                Err(Error::Unavailable("it lists the object, and answers that there is none".into()))
            }
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the listing has an object of exactly this key. Costs one listing, and needs no answer to a `HEAD`.
    ///
    /// # Errors
    /// As [`Error`], without [`Error::NotFound`].
    pub async fn is_listed(&self, key: &str) -> Result<bool> {
        let page = self.page(key, None, Some(LISTED_MAX)).await?;
        Ok(page.objects.iter().any(|object| object.key == key))
    }

    /// Reads an object, or the bytes `first..=last` of it.
    ///
    /// # Errors
    /// As [`Error`].
    pub async fn read(&self, key: &str, range: Option<(u64, u64)>) -> Result<Read> {
        self.read_same(key, range, None).await
    }

    /// As [`Bucket::read`], but only while the object is still the one that had `etag`.
    ///
    /// # Errors
    /// As [`Error`]; [`Error::Changed`] when the object has been replaced.
    pub async fn read_same(&self, key: &str, range: Option<(u64, u64)>, etag: Option<&str>) -> Result<Read> {
        let request = self
            .client
            .get_object()
            .bucket(self.name())
            .key(key)
            .set_range(range.map(|(first, last)| format!("bytes={first}-{last}")))
            .set_if_match(etag.map(str::to_owned))
            .set_expected_bucket_owner(self.owner());
        let answer = bounded(Box::pin(request.send())).await?;
        let etag = tagged(answer.e_tag)?;
        Ok(Read { length: answer.content_length.unwrap_or_default(), etag, body: answer.body })
    }

    /// A page of the objects under `prefix` (our own prefix is not added).
    ///
    /// # Errors
    /// As [`Error`].
    pub async fn list(&self, prefix: &str, next: Option<&str>) -> Result<Page> {
        self.page(prefix, next, None).await
    }

    async fn page(&self, prefix: &str, next: Option<&str>, max: Option<i32>) -> Result<Page> {
        let request = self
            .client
            .list_objects_v2()
            .bucket(self.name())
            .prefix(prefix)
            // XML has no way to write most control characters, and keys may hold them.
            .encoding_type(EncodingType::Url)
            .set_continuation_token(next.map(str::to_owned))
            .set_max_keys(max)
            .set_expected_bucket_owner(self.owner());
        let answer = bounded(Box::pin(request.send())).await?;
        let encoded = answer.encoding_type == Some(EncodingType::Url);
        let objects = answer.contents.unwrap_or_default().into_iter().filter_map(|object| {
            Some(Object {
                key: if encoded { decoded(&object.key?) } else { object.key? },
                size: object.size.unwrap_or_default(),
                last_modified: object.last_modified.map_or(0, |at| millis(&at)),
                etag: object.e_tag,
            })
        });
        Ok(Page { objects: objects.collect(), next: answer.next_continuation_token })
    }

    /// Keys and ids of the unfinished multipart uploads under `prefix`, all of them.
    ///
    /// # Errors
    /// As [`Error`].
    pub async fn multiparts(&self, prefix: &str) -> Result<Vec<(String, String)>> {
        let found = self.unfinished(prefix).await?;
        Ok(found.into_iter().map(|unfinished| (unfinished.key, unfinished.id)).collect())
    }

    /// The unfinished multipart uploads under `prefix`, all of them.
    ///
    /// # Errors
    /// As [`Error`].
    pub async fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>> {
        let mut found = Vec::new();
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let request = self
                .client
                .list_multipart_uploads()
                .bucket(self.name())
                .prefix(prefix)
                .set_key_marker(key_marker.take())
                .set_upload_id_marker(id_marker.take())
                .set_expected_bucket_owner(self.owner());
            let answer = bounded(Box::pin(request.send())).await?;
            found.extend(answer.uploads.unwrap_or_default().into_iter().filter_map(|upload| {
                let begun_at = upload.initiated.as_ref().map_or(0, millis);
                Some(Unfinished { key: upload.key?, id: upload.upload_id?, begun_at })
            }));
            if answer.is_truncated != Some(true) {
                return Ok(found);
            }
            (key_marker, id_marker) = (answer.next_key_marker, answer.next_upload_id_marker);
        }
    }

    /// Bytes of the parts of a multipart upload that are stored; 0 when it has gone.
    ///
    /// # Errors
    /// As [`Error`], without [`Error::NotFound`].
    pub async fn multipart_bytes(&self, key: &str, multipart_id: &str) -> Result<i64> {
        match self.parts(key, multipart_id).await {
            Err(Error::NotFound(_)) => Ok(0),
            other => Ok(other?.iter().map(|part| part.size).sum()),
        }
    }

    /// The parts of a multipart upload as the store has them now, in order.
    ///
    /// # Errors
    /// As [`Error`].
    pub async fn parts(&self, key: &str, multipart_id: &str) -> Result<Vec<Listed>> {
        let (mut found, mut marker) = (Vec::new(), None);
        loop {
            let request = self
                .client
                .list_parts()
                .bucket(self.name())
                .key(key)
                .upload_id(multipart_id)
                .set_part_number_marker(marker.take())
                .set_expected_bucket_owner(self.owner());
            let answer = bounded(Box::pin(request.send())).await?;
            found.extend(answer.parts.unwrap_or_default().into_iter().filter_map(|part| {
                Some(Listed {
                    number: part.part_number?.into(),
                    size: part.size?,
                    crc64: part.checksum_crc64_nvme.as_deref().and_then(Crc64::from_base64),
                    etag: part.e_tag?,
                })
            }));
            if answer.is_truncated != Some(true) || answer.next_part_number_marker.is_none() {
                return Ok(found);
            }
            marker = answer.next_part_number_marker;
        }
    }

    /// Whether a multipart upload has gone without having become an object: its parts cannot be listed, a listing of the
    /// multipart uploads for its key has it no more, and nothing lies at the key. One answer alone proves nothing.
    ///
    /// # Errors
    /// As [`Error`], without [`Error::NotFound`].
    pub async fn has_lost(&self, key: &str, multipart_id: &str) -> Result<bool> {
        match self.parts(key, multipart_id).await {
            Err(Error::NotFound(_)) => {}
            other => return other.map(|_| false),
        }
        let listed = self.multiparts(key).await?;
        let is_listed = listed.iter().any(|(found, id)| found == key && id == multipart_id);
        Ok(!is_listed && self.head(key).await?.is_none())
    }

    /// A URL on the public endpoint that serves the object as an attachment for `expires_in`, at most 7 days; for less
    /// where the credentials end before.
    ///
    /// # Errors
    /// [`Error::Refused`] without a public endpoint; [`Error::NoCredentials`] when none can be had; with an expected
    /// owner, what S3 says when the bucket is another's.
    pub async fn presign(&self, key: &str, disposition: &str, expires_in: Duration) -> Result<String> {
        let client =
            self.public.as_ref().ok_or_else(|| Error::Refused("there is no public endpoint".into()))?;
        // A browser that follows a URL sends no `x-amz-expected-bucket-owner`: S3 is asked now.
        if self.config.expected_owner.is_some() && self.head(key).await?.is_none() {
            return Err(Error::NotFound("object"));
        }
        let (credentials, expires_in) = self.identity.lasting(expires_in).await?;
        if expires_in < Duration::from_secs(1) {
            return Err(Error::NoCredentials("those that there are have expired".into()));
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
            .map_err(|error| sort(&error))?;
        Ok(request.uri().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_listing() {
        for (written, key) in [
            ("a/b.log", "a/b.log"),
            ("a+b%2Bc%20d", "a b+c d"),
            ("%01%1B%5B31m", "\u{1}\u{1b}[31m"),
            ("Gr%C3%BC%C3%9Fe/%E6%97%A5", "Grüße/日"),
            ("100%25", "100%"),
        ] {
            assert_eq!(decoded(written), key, "{written}");
        }
    }
}

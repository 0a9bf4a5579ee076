//! Lists objects, multipart uploads and parts.

use aws_sdk_s3::types::EncodingType;

use crate::call::bounded;
use crate::read::millis;
use crate::{Bucket, Crc64, Error, Result};

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub key: String,
    /// Bytes.
    pub size: i64,
    /// Milliseconds since the epoch.
    pub last_modified: i64,
    /// For [`Bucket::read_same`].
    pub etag: Option<String>,
}

/// A multipart upload that is not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    pub key: String,
    pub id: String,
    /// Milliseconds since the epoch.
    pub begun_at: i64,
}

/// One page of a listing.
#[derive(Debug, Clone)]
pub struct Page {
    /// Sorted by key.
    pub objects: Vec<Object>,
    /// The argument for the next page; `None` at the end.
    pub next: Option<String>,
}

/// Decodes a key from a listing with `encoding-type=url`: a space is a plus, as in forms. S3 keys are UTF-8.
fn decoded(key: &str) -> String {
    let key = key.replace('+', " ");
    percent_encoding::percent_decode_str(&key).decode_utf8_lossy().into_owned()
}

/// A part of a multipart upload, as listed by the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// From 1.
    pub number: i64,
    /// Bytes.
    pub size: i64,
    /// `None` if the store keeps no checksum.
    pub crc64: Option<Crc64>,
    pub etag: String,
}

/// Where a page of a listing begins.
enum From<'a> {
    Beginning,
    Token(&'a str),
    After(&'a str),
}

/// A key sorts before all others that begin with it. A few more, in case a store sorts differently.
const LISTED_MAX: i32 = 10;

impl Bucket {
    /// Whether the listing has an object with exactly this key. Takes one listing and no `HEAD`.
    ///
    /// # Errors
    /// Never [`Error::NotFound`].
    pub async fn is_listed(&self, key: &str) -> Result<bool> {
        let page = self.page(key, From::Beginning, Some(LISTED_MAX)).await?;
        Ok(page.objects.iter().any(|object| object.key == key))
    }

    /// One page of the objects under `prefix`, which must include the bucket's own prefix.
    pub async fn list(&self, prefix: &str, next: Option<&str>) -> Result<Page> {
        self.page(prefix, next.map_or(From::Beginning, From::Token), None).await
    }

    /// Like [`Bucket::list`], but beginning after the key `after`. This is S3's order, by the bytes of the keys.
    pub async fn list_after(&self, prefix: &str, after: &str) -> Result<Page> {
        self.page(prefix, From::After(after), None).await
    }

    async fn page(&self, prefix: &str, from: From<'_>, max: Option<i32>) -> Result<Page> {
        let (token, after) = match from {
            From::Beginning => (None, None),
            From::Token(token) => (Some(token.to_owned()), None),
            From::After(key) => (None, Some(key.to_owned())),
        };
        let request = self
            .client
            .list_objects_v2()
            .bucket(self.name())
            .prefix(prefix)
            // XML cannot represent most control characters, and keys may contain them.
            .encoding_type(EncodingType::Url)
            .set_continuation_token(token)
            .set_start_after(after)
            .set_max_keys(max)
            .set_expected_bucket_owner(self.owner());
        let answer = bounded(request.send()).await?;
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

    /// The IDs of all versions and delete markers of exactly this key; none if the store has no versions or does not let us list
    /// them. A bucket without versioning lists its one object as `null`.
    pub async fn versions(&self, key: &str) -> Result<Option<Vec<String>>> {
        let mut found = Vec::new();
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let request = self
                .client
                .list_object_versions()
                .bucket(self.name())
                .prefix(key)
                .encoding_type(EncodingType::Url)
                .set_key_marker(key_marker.take())
                .set_version_id_marker(id_marker.take())
                .set_expected_bucket_owner(self.owner());
            let answer = match bounded(request.send()).await {
                Err(Error::Refused(_) | Error::Forbidden(_)) => return Ok(None),
                answer => answer?,
            };
            let encoded = answer.encoding_type == Some(EncodingType::Url);
            let plain = |key: String| if encoded { decoded(&key) } else { key };
            let versions = answer.versions.unwrap_or_default();
            let markers = answer.delete_markers.unwrap_or_default();
            let versions = versions.into_iter().map(|version| (version.key, version.version_id));
            let all = versions.chain(markers.into_iter().map(|marker| (marker.key, marker.version_id)));
            found.extend(all.filter_map(|(of, id)| id.filter(|_| of.map(plain).as_deref() == Some(key))));
            if answer.is_truncated != Some(true) {
                return Ok(Some(found));
            }
            (key_marker, id_marker) = (answer.next_key_marker.map(plain), answer.next_version_id_marker);
        }
    }

    /// The keys and IDs of all multipart uploads under `prefix` that are not complete.
    pub async fn multiparts(&self, prefix: &str) -> Result<Vec<(String, String)>> {
        let found = self.unfinished(prefix).await?;
        Ok(found.into_iter().map(|unfinished| (unfinished.key, unfinished.id)).collect())
    }

    /// All multipart uploads under `prefix` that are not complete.
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
            let answer = bounded(request.send()).await?;
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

    /// The total size of the stored parts of a multipart upload; 0 if it does not exist any more.
    ///
    /// # Errors
    /// Never [`Error::NotFound`].
    pub async fn multipart_bytes(&self, key: &str, multipart_id: &str) -> Result<i64> {
        match self.parts(key, multipart_id).await {
            Err(Error::NotFound(_)) => Ok(0),
            other => Ok(other?.iter().map(|part| part.size).sum()),
        }
    }

    /// The stored parts of a multipart upload, in order.
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
            let answer = bounded(request.send()).await?;
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

    /// Whether a multipart upload is gone and has not become an object: its parts cannot be listed, it is not among the
    /// multipart uploads of its key, and there is no object at the key. One of these answers alone proves nothing.
    ///
    /// # Errors
    /// Never [`Error::NotFound`].
    pub async fn has_lost(&self, key: &str, multipart_id: &str) -> Result<bool> {
        match self.parts(key, multipart_id).await {
            Err(Error::NotFound(_)) => {}
            other => return other.map(|_| false),
        }
        let listed = self.multiparts(key).await?;
        let is_listed = listed.iter().any(|(found, id)| found == key && id == multipart_id);
        Ok(!is_listed && self.head(key).await?.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_keys_are_decoded() {
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

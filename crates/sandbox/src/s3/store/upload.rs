//! Multipart uploads: begin, add parts, list them, complete, abort.
//! Invariant: completing checks everything it was told before anything is published, and an upload ends exactly once.

use std::collections::BTreeMap;
use std::sync::Arc;

use s3s::{S3Error, S3Result, s3_error};
use sha2::{Digest as _, Sha256};

use super::files;
use super::index::{Object, Upload, lock};
use super::object::Condition;
use super::receive::Received;
use super::records::{Manifest, Part, Piece, UploadRecord};
use super::state::{Inner, Store, internal, now_ms, to_json};
use crate::s3::checksum::{Algorithm, Checksum};

/// S3's least size of every part but the last.
const PART_MIN_BYTES: u64 = 5 << 20;

/// A part as the completing client lists it.
#[derive(Debug, Clone)]
pub(crate) struct ListedPart {
    pub(crate) number: u16,
    pub(crate) etag: String,
    pub(crate) checksums: Vec<Checksum>,
}

/// The claims of the completing client.
#[derive(Debug)]
pub(crate) struct Complete {
    pub(crate) parts: Vec<ListedPart>,
    pub(crate) size: Option<u64>,
    /// Of the whole object.
    pub(crate) crc64nvme: Option<u64>,
    pub(crate) checksum_type: Option<String>,
    pub(crate) condition: Condition,
}

impl Store {
    /// Begins an upload; the record's id and time are filled in here.
    pub(crate) async fn create_upload(&self, mut record: UploadRecord) -> S3Result<String> {
        self.blocking(move |inner| {
            inner.index().bucket(&record.bucket)?;
            // Sorts by time within a key, as S3 lists uploads.
            let id = format!("{:016x}{}", inner.next_stamp(), files::random_id::<8>());
            record.id.clone_from(&id);
            record.started_ms = now_ms();
            files::write(&inner.files.uploads, &format!("{id}.json"), &to_json(&record)?)
                .map_err(internal)?;
            let place = (record.key.clone(), id.clone());
            let mut index = inner.index();
            let bucket = index.bucket_mut(&record.bucket.clone())?;
            bucket.uploads.insert(place, Arc::new(Upload::new(record)));
            Ok(id)
        })
        .await
    }

    /// The record of an upload in progress.
    pub(crate) fn upload(&self, bucket: &str, key: &str, id: &str) -> S3Result<UploadRecord> {
        Ok(self.inner.upload(bucket, key, id)?.record.clone())
    }

    /// Adds a received body as a part; an earlier one of the same number is replaced.
    pub(crate) async fn put_part(
        &self,
        bucket: String,
        key: String,
        id: String,
        number: u16,
        received: Received,
    ) -> S3Result<Part> {
        self.blocking(move |inner| {
            let upload = inner.upload(&bucket, &key, &id)?;
            let part = Part {
                number,
                stamp: inner.next_stamp(),
                size: received.size,
                crc64nvme: received.sums.crc64nvme,
                etag: files::random_id::<20>(),
                checksum: received.sums.checksum,
            };
            let name = part.file_name(&id);
            received.staged.publish(&name).map_err(internal)?;
            let unused = {
                let mut state = lock(&upload.state);
                if state.over {
                    drop(state);
                    files::remove_quietly(&inner.files.blobs.join(&name));
                    return Err(no_such_upload());
                }
                // Two at once for one number: the one that began to count later stays, as after a restart.
                state.place(part.clone())
            };
            if let Some(unused) = unused {
                files::remove_quietly(&inner.files.blobs.join(unused.file_name(&id)));
            }
            Ok(part)
        })
        .await
    }

    /// The parts so far with numbers above `after`, in order, at most `max`, and whether there are more.
    pub(crate) async fn parts(
        &self,
        (bucket, key, id): (String, String, String),
        after: u16,
        max: usize,
    ) -> S3Result<(Vec<Part>, bool)> {
        self.blocking(move |inner| {
            let upload = inner.upload(&bucket, &key, &id)?;
            let state = lock(&upload.state);
            if state.over {
                return Err(no_such_upload());
            }
            let mut parts = state.parts.range(after.saturating_add(1)..).map(|(_, part)| part.clone());
            let page = parts.by_ref().take(max).collect();
            Ok((page, parts.next().is_some()))
        })
        .await
    }

    /// Turns the upload into an object, or refuses and leaves it as it was.
    pub(crate) async fn complete(
        &self,
        bucket: String,
        key: String,
        id: String,
        wanted: Complete,
    ) -> S3Result<Arc<Object>> {
        self.blocking(move |inner| inner.complete(&bucket, &key, &id, &wanted)).await
    }

    /// Ends the upload and removes its parts.
    pub(crate) async fn abort(&self, bucket: String, key: String, id: String) -> S3Result<()> {
        self.blocking(move |inner| {
            let upload = inner.upload(&bucket, &key, &id)?;
            let mut state = lock(&upload.state);
            if state.over {
                return Err(no_such_upload());
            }
            inner.forget(&upload)?;
            state.over = true;
            inner.remove_parts(&id, state.parts.values());
            Ok(())
        })
        .await
    }
}

impl Inner {
    fn upload(&self, bucket: &str, key: &str, id: &str) -> S3Result<Arc<Upload>> {
        let place = (key.to_owned(), id.to_owned());
        self.index().bucket(bucket)?.uploads.get(&place).cloned().ok_or_else(no_such_upload)
    }

    fn complete(&self, bucket: &str, key: &str, id: &str, wanted: &Complete) -> S3Result<Arc<Object>> {
        let upload = self.upload(bucket, key, id)?;
        let mut state = lock(&upload.state);
        if state.over {
            return Err(no_such_upload());
        }
        let parts = choose(&state.parts, &wanted.parts, upload.record.algorithm.is_some())?;
        let (size, crc64nvme) = check_whole(&upload.record, &parts, wanted)?;
        let manifest = Manifest {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            etag: joined_etag(&parts),
            size,
            crc64nvme,
            checksum: None,
            modified_ms: now_ms(),
            attributes: upload.record.attributes.clone(),
            pieces: parts.iter().map(|part| Piece { blob: part.file_name(id), size: part.size }).collect(),
            upload_id: Some(id.to_owned()),
        };
        let object = self.publish(manifest, &wanted.condition)?;
        state.over = true;
        // The object is published: what fails from here on is put right at the next start.
        if let Err(error) = self.forget(&upload) {
            tracing::warn!(%error, "the record of a completed upload could not be removed");
        }
        let left = state.parts.values().filter(|part| !parts.iter().any(|used| used.number == part.number));
        self.remove_parts(id, left);
        Ok(object)
    }

    /// Removes the upload's record, on disk and in the index.
    fn forget(&self, upload: &Upload) -> S3Result<()> {
        let UploadRecord { bucket, key, id, .. } = &upload.record;
        files::remove(&self.files.uploads, &format!("{id}.json")).map_err(internal)?;
        self.index().bucket_mut(bucket)?.uploads.remove(&(key.clone(), id.clone()));
        Ok(())
    }

    fn remove_parts<'a>(&self, upload: &str, parts: impl Iterator<Item = &'a Part>) {
        for part in parts {
            files::remove_quietly(&self.files.blobs.join(part.file_name(upload)));
        }
    }
}

/// The stored parts that a list names, if the list is one that S3 accepts.
fn choose(stored: &BTreeMap<u16, Part>, listed: &[ListedPart], consecutive: bool) -> S3Result<Vec<Part>> {
    if listed.is_empty() {
        return Err(s3_error!(InvalidRequest, "You must specify at least one part"));
    }
    if !listed.is_sorted_by(|a, b| a.number < b.number) {
        return Err(s3_error!(InvalidPartOrder, "The list of parts was not in ascending order."));
    }
    let mut parts = Vec::with_capacity(listed.len());
    for wanted in listed {
        let part = stored
            .get(&wanted.number)
            .filter(|part| part.etag == wanted.etag && checksums_agree(part, wanted));
        let Some(part) = part else {
            return Err(s3_error!(
                InvalidPart,
                "One or more of the specified parts could not be found. The part may not have been uploaded, or the \
                 specified entity tag may not match the part's entity tag. (part {})",
                wanted.number
            ));
        };
        parts.push(part.clone());
    }
    // S3 requires this of uploads with additional checksums (and answers 500, which a client would only retry).
    if consecutive && (1..).zip(&parts).any(|(number, part)| part.number != number) {
        return Err(s3_error!(
            InvalidRequest,
            "Part numbers must be consecutive from 1 with additional checksums."
        ));
    }
    if let Some(small) = parts.iter().rev().skip(1).find(|part| part.size < PART_MIN_BYTES) {
        return Err(s3_error!(
            EntityTooSmall,
            "Your proposed upload is smaller than the minimum allowed size (part {}: {} bytes)",
            small.number,
            small.size
        ));
    }
    Ok(parts)
}

/// A checksum that was not kept with the part cannot contradict it; the CRC64NVME always is kept.
fn checksums_agree(part: &Part, wanted: &ListedPart) -> bool {
    wanted.checksums.iter().all(|given| match given.algorithm {
        Algorithm::Crc64Nvme => given.digest == part.crc64nvme.to_be_bytes(),
        _ => part.checksum.as_ref().is_none_or(|kept| kept.algorithm != given.algorithm || kept == given),
    })
}

/// Size and CRC64NVME of the whole, if they are what the client asserts.
fn check_whole(record: &UploadRecord, parts: &[Part], wanted: &Complete) -> S3Result<(u64, u64)> {
    let size = parts.iter().map(|part| part.size).sum();
    if let Some(expected) = wanted.size
        && expected != size
    {
        return Err(s3_error!(
            InvalidRequest,
            "The provided 'x-amz-mp-object-size' header value {expected} does not match what was computed: {size}"
        ));
    }
    if let Some(given) = &wanted.checksum_type
        && *given != record.checksum_type.as_deref().unwrap_or("FULL_OBJECT")
    {
        return Err(s3_error!(
            InvalidRequest,
            "The upload was created with another checksum type than {given}."
        ));
    }
    let crc64nvme = parts.iter().fold(0, |whole, part| {
        crc_fast::checksum_combine(crc_fast::CrcAlgorithm::Crc64Nvme, whole, part.crc64nvme, part.size)
    });
    let Some(expected) = wanted.crc64nvme else { return Ok((size, crc64nvme)) };
    if !matches!(record.algorithm.as_deref(), None | Some("CRC64NVME")) {
        return Err(s3_error!(
            InvalidRequest,
            "The upload was created with another checksum algorithm than CRC64NVME."
        ));
    }
    if expected != crc64nvme {
        return Err(s3_error!(
            BadDigest,
            "The CRC64NVME you specified did not match the calculated checksum."
        ));
    }
    Ok((size, crc64nvme))
}

/// Of the parts' tags, with their number, as S3's are.
fn joined_etag(parts: &[Part]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.etag.as_bytes());
    }
    format!("{}-{}", hex::encode(&hash.finalize()[..20]), parts.len())
}

fn no_such_upload() -> S3Error {
    s3_error!(
        NoSuchUpload,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u16, size: u64) -> Part {
        Part {
            number,
            stamp: 0,
            size,
            crc64nvme: u64::from(number),
            etag: format!("tag{number}"),
            checksum: None,
        }
    }

    fn check(listed: &[(u16, &str)], consecutive: bool, outcome: Result<usize, &str>) {
        let stored = [part(1, PART_MIN_BYTES), part(2, 9), part(4, PART_MIN_BYTES), part(5, 1)];
        let stored = stored.into_iter().map(|part| (part.number, part)).collect();
        let listed: Vec<_> = listed
            .iter()
            .map(|(number, etag)| ListedPart {
                number: *number,
                etag: (*etag).to_owned(),
                checksums: Vec::new(),
            })
            .collect();
        let chosen = choose(&stored, &listed, consecutive).map(|parts| parts.len());
        assert_eq!(
            chosen.map_err(|error| error.code().as_str().to_owned()),
            outcome.map_err(str::to_owned),
            "{listed:?}"
        );
    }

    #[test]
    fn part_lists() {
        check(&[(1, "tag1"), (2, "tag2")], true, Ok(2));
        check(&[(1, "tag1"), (4, "tag4"), (5, "tag5")], false, Ok(3));
        check(&[(2, "tag2")], false, Ok(1));
        check(&[], false, Err("InvalidRequest"));
        check(&[(2, "tag2"), (1, "tag1")], false, Err("InvalidPartOrder"));
        check(&[(1, "tag1"), (1, "tag1")], false, Err("InvalidPartOrder"));
        check(&[(1, "tag2")], false, Err("InvalidPart"));
        check(&[(1, "tag1"), (3, "tag3")], false, Err("InvalidPart"));
        check(&[(1, "tag1"), (2, "tag2"), (4, "tag4")], false, Err("EntityTooSmall"));
        check(&[(1, "tag1"), (4, "tag4")], true, Err("InvalidRequest"));
        check(&[(2, "tag2")], true, Err("InvalidRequest"));
    }
}

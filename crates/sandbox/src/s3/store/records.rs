//! The records of buckets, objects, uploads and parts, as stored on disk.
//! Invariant: a part's file name says everything about the part, so one rename makes it durable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::s3::checksum::Checksum;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Bucket {
    pub(crate) name: String,
    pub(crate) created_ms: i64,
}

/// The client's description of the content, returned unchanged.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Attributes {
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) content_language: Option<String>,
    pub(crate) cache_control: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// One file of an object's content.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) blob: String,
    pub(crate) size: u64,
}

/// An object: what it is, and the files that hold its bytes, in order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) etag: String,
    pub(crate) size: u64,
    /// Of the whole content.
    pub(crate) crc64nvme: u64,
    /// Another checksum that a client gave with a PutObject, verified.
    pub(crate) checksum: Option<Checksum>,
    pub(crate) modified_ms: i64,
    pub(crate) attributes: Attributes,
    pub(crate) pieces: Vec<Piece>,
    /// The multipart upload it came from. Found again at start, it says that the upload is over.
    pub(crate) upload_id: Option<String>,
}

/// A multipart upload in progress, without its parts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct UploadRecord {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) id: String,
    pub(crate) started_ms: i64,
    /// As announced at creation: `CRC64NVME`, `SHA256`, …
    pub(crate) algorithm: Option<String>,
    /// `FULL_OBJECT` or `COMPOSITE`.
    pub(crate) checksum_type: Option<String>,
    pub(crate) attributes: Attributes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) number: u16,
    /// Nanoseconds since 1970, unique and rising within the store: of two files for one number the later counts.
    pub(crate) stamp: u64,
    pub(crate) size: u64,
    pub(crate) crc64nvme: u64,
    pub(crate) etag: String,
    pub(crate) checksum: Option<Checksum>,
}

impl Part {
    pub(crate) fn modified_ms(&self) -> i64 {
        i64::try_from(self.stamp / 1_000_000).unwrap_or(i64::MAX)
    }

    /// `UPLOAD.NUMBER.STAMP.SIZE.CRC64NVME.ETAG[.ALGORITHM.VALUE]`, at most 210 bytes.
    pub(super) fn file_name(&self, upload: &str) -> String {
        let Self { number, stamp, size, crc64nvme, etag, checksum } = self;
        let mut name = format!("{upload}.{number:05}.{stamp:016x}.{size:x}.{crc64nvme:016x}.{etag}");
        if let Some(checksum) = checksum {
            name.push('.');
            name.push_str(&checksum.to_file_name());
        }
        name
    }

    /// The upload ID and the part that a file name encodes; `None` for any other file.
    pub(super) fn from_file_name(name: &str) -> Option<(&str, Self)> {
        let mut fields = name.splitn(7, '.');
        let upload = fields.next()?;
        let part = Self {
            number: fields.next()?.parse().ok()?,
            stamp: u64::from_str_radix(fields.next()?, 16).ok()?,
            size: u64::from_str_radix(fields.next()?, 16).ok()?,
            crc64nvme: u64::from_str_radix(fields.next()?, 16).ok()?,
            etag: fields.next()?.to_owned(),
            checksum: match fields.next() {
                Some(text) => Some(Checksum::from_file_name(text)?),
                None => None,
            },
        };
        Some((upload, part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::checksum::Algorithm;

    #[test]
    fn part_survives_its_file_name() {
        for checksum in [None, Some(Checksum { algorithm: Algorithm::Sha256, digest: vec![0xfb; 32] })] {
            let part = Part {
                number: 10_000,
                stamp: u64::MAX,
                size: 5 << 30,
                crc64nvme: 7,
                etag: "e".repeat(40),
                checksum,
            };
            let name = part.file_name(&"a".repeat(32));
            assert!(name.len() <= 210, "{}", name.len());
            assert_eq!(Part::from_file_name(&name), Some(("a".repeat(32).as_str(), part)));
        }
        assert_eq!(Part::from_file_name(&"a".repeat(32)), None);
    }
}

//! What the sink remembers. Keys are `bucket/key`, decoded.

use std::collections::BTreeMap;

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};

/// What a request said about its body.
#[derive(Clone, Debug, Default)]
pub(super) struct Stored {
    pub(super) size: u64,
    /// `x-amz-checksum-crc64nvme`, as given.
    pub(super) crc64: Option<String>,
    pub(super) etag: String,
    /// The body, where it was small.
    pub(super) body: Option<Bytes>,
}

pub(super) type Metadata = Vec<(HeaderName, HeaderValue)>;

#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) stored: Stored,
    pub(super) metadata: Metadata,
}

#[derive(Debug)]
pub(super) struct Multipart {
    pub(super) key: String,
    pub(super) metadata: Metadata,
    pub(super) parts: BTreeMap<u32, Stored>,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) objects: BTreeMap<String, Object>,
    /// By upload id.
    pub(super) multiparts: BTreeMap<String, Multipart>,
    /// Of objects that were asked for.
    pub(super) read_bytes: u64,
    last_id: u64,
}

/// Why a multipart upload is not completed: S3's code and text.
pub(super) type Refusal = (&'static str, &'static str);

impl Store {
    /// A number not used before: upload ids and etags.
    pub(super) fn next_id(&mut self) -> String {
        self.last_id += 1;
        format!("{:032x}", self.last_id)
    }

    /// The multipart upload `id` of `key`.
    pub(super) fn multipart(&mut self, id: &str, key: &str) -> Result<&mut Multipart, Refusal> {
        let found = self.multiparts.get_mut(id).filter(|multipart| multipart.key == key);
        found.ok_or(("NoSuchUpload", "The specified multipart upload does not exist."))
    }

    /// Makes an object of the listed parts; `size` is what the client asserts.
    pub(super) fn complete(
        &mut self,
        id: &str,
        key: &str,
        listed: &[u32],
        size: Option<u64>,
        crc64: Option<String>,
    ) -> Result<Object, Refusal> {
        let multipart = self.multipart(id, key)?;
        let mut total = 0;
        for number in listed {
            let part = multipart.parts.get(number).ok_or(("InvalidPart", "A part was not found."))?;
            total += part.size;
        }
        if !listed.is_sorted_by(|a, b| a < b) || listed.is_empty() {
            return Err(("InvalidPartOrder", "The list of parts was not in ascending order."));
        }
        if size.is_some_and(|size| size != total) {
            return Err(("InvalidRequest", "The asserted size is not the size of the parts."));
        }
        let metadata = std::mem::take(&mut multipart.metadata);
        self.multiparts.remove(id);
        let stored = Stored { size: total, crc64, etag: self.next_id(), body: None };
        let object = Object { stored, metadata };
        self.objects.insert(key.to_owned(), object.clone());
        Ok(object)
    }
}

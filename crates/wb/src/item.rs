//! A file to fetch: from the gateway by its receipt, or from a bucket by its object.

use std::sync::Arc;

use api::Receipt;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::checksum::{Proof, is_sha256};
use crate::exit::{mismatch, not_found};
use crate::gateway::client::Gateway;
use crate::gateway::content::Content;
use crate::output::Output;
use crate::s3::content::ObjectContent;
use crate::s3::entry::Entry;
use crate::s3::store::{Store, refused};
use crate::source::Source;

pub(crate) struct Item {
    /// Names the partial file: the same ID always stands for the same bytes.
    pub(crate) id: String,
    /// As the sender gave it: do not trust it as a path or on a terminal.
    pub(crate) name: String,
    pub(crate) size_bytes: u64,
    pub(crate) proof: Proof,
    pub(crate) source: Arc<Source>,
    /// What `--json` prints.
    pub(crate) facts: Value,
}

impl Item {
    /// # Errors
    /// Status 3 if the upload is not complete.
    pub(crate) fn of_upload(
        gateway: &Arc<Gateway>,
        receipt: &Receipt,
        via_gateway: bool,
    ) -> anyhow::Result<Self> {
        let Some((size_bytes, sha256)) = receipt.proof() else {
            return Err(not_found("the upload is not complete, so there is nothing to download yet"));
        };
        let content = Content::new(gateway, &receipt.id, size_bytes, via_gateway);
        Ok(Self {
            id: receipt.id.clone(),
            name: receipt.name.clone(),
            size_bytes,
            proof: Proof::Receipt(sha256.to_owned()),
            source: Arc::new(Source::Gateway(content)),
            facts: serde_json::to_value(receipt)?,
        })
    }

    /// The object is verified against its receipt, else against the digest in its metadata, else against the store's checksum.
    ///
    /// # Errors
    /// Status 5 if the receipt has another size.
    pub(crate) async fn of_object(store: &Store, mut entry: Entry, output: &Output) -> anyhow::Result<Self> {
        let receipt = store.receipt(&mut entry, output).await?;
        let mut etag = entry.etag.clone();
        let proof = match receipt.as_ref().and_then(Receipt::proof) {
            Some((size_bytes, _)) if size_bytes != entry.size_bytes => {
                let actual = entry.size_bytes;
                return Err(mismatch(format!("{actual} bytes are stored, the receipt says {size_bytes}")));
            }
            Some((_, sha256)) => Proof::Receipt(sha256.to_ascii_lowercase()),
            None => {
                let head = match entry.head.clone() {
                    Some(head) => head,
                    None => {
                        let head = store.bucket.head(&entry.key).await.map_err(|error| refused(&error))?;
                        head.ok_or_else(|| not_found("the object no longer exists"))?
                    }
                };
                etag = head.etag.clone();
                proof_of(&head)
            }
        };
        let name = receipt.as_ref().map_or(entry.name(), |receipt| &receipt.name).to_owned();
        let facts = entry.facts(receipt.as_ref())?;
        let id = object_id(store.name(), &entry);
        let content = ObjectContent::new(store.bucket.clone(), entry.key, etag);
        let source = Arc::new(Source::Bucket(content));
        Ok(Self { id, name, size_bytes: entry.size_bytes, proof, source, facts })
    }
}

fn proof_of(head: &bucket::Found) -> Proof {
    match (head.metadata.get("sha256").filter(|text| is_sha256(text)), head.crc64) {
        (Some(sha256), _) => Proof::Metadata(sha256.to_ascii_lowercase()),
        (None, Some(crc64)) => Proof::Crc64(crc64),
        (None, None) => Proof::Nothing,
    }
}

/// An ID of an object's bytes: another object, or other bytes under the same key, has another.
fn object_id(bucket: &str, entry: &Entry) -> String {
    let mut hasher = Sha256::new();
    for part in [bucket, &entry.key, entry.etag.as_deref().unwrap_or_default()] {
        hasher.update(part);
        hasher.update([0]);
    }
    hasher.update(entry.size_bytes.to_be_bytes());
    hex::encode(&hasher.finalize()[..16])
}

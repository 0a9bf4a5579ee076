//! The bytes of one object, by range, and what vouches for them.
//! Invariant: all ranges are of the same object: one that is replaced while it is read is refused.

use std::sync::Arc;

use bucket::Bucket;
use futures_util::StreamExt;

use super::{Entry, Store, download_id, refused};
use crate::{
    download::{Item, Proof, Source},
    failure::{failed, mismatch, not_found},
    output::Output,
    trouble::Trouble,
};

/// Where the bytes of one object come from.
pub(crate) struct ObjectContent {
    bucket: Bucket,
    key: String,
    etag: Option<String>,
}

impl ObjectContent {
    /// Appends the bytes from `start` to before `end` to `piece`. What has arrived stays there when it fails,
    /// so that the next try goes on behind it. `arrived` hears of every chunk.
    pub(crate) async fn read(
        &self,
        start: u64,
        end: u64,
        piece: &mut Vec<u8>,
        arrived: impl Fn(u64),
    ) -> Result<(), Trouble> {
        let read = self.bucket.read_same(&self.key, Some((start, end - 1)), self.etag.as_deref()).await;
        let read = read.map_err(|error| trouble(&error))?;
        if u64::try_from(read.length) != Ok(end - start) {
            return Err(Trouble::lasting(mismatch("the answer holds another range than was asked for")));
        }
        let mut missing = end - start;
        let mut chunks = Box::pin(read.stream());
        while missing > 0 {
            let Some(chunk) = chunks.next().await else {
                return Err(Trouble::passing(failed("the answer ended early")));
            };
            let chunk = chunk.map_err(|error| trouble(&error))?;
            let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX).min(missing);
            piece.extend_from_slice(&chunk[..usize::try_from(length).unwrap_or(chunk.len())]);
            arrived(length);
            missing -= length;
        }
        Ok(())
    }
}

fn trouble(error: &bucket::Error) -> Trouble {
    let passing = error.is_transient();
    let error = refused(error);
    if passing { Trouble::passing(error) } else { Trouble::lasting(error) }
}

/// An object as something to fetch. Its receipt vouches for the bytes, else the digest written with it, else the
/// checksum of the store.
///
/// # Errors
/// Status 5 when the receipt speaks of another size.
pub(crate) async fn item(store: &Store, mut entry: Entry, output: &Output) -> anyhow::Result<Item> {
    let receipt = store.receipt(&mut entry, output).await?;
    let mut etag = entry.etag.clone();
    let proof = match receipt.as_ref().and_then(|receipt| receipt.proof()) {
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
                    head.ok_or_else(|| not_found("the object is gone"))?
                }
            };
            etag = head.etag.clone();
            proof_of(&head)
        }
    };
    let name = receipt.as_ref().map_or(entry.name(), |receipt| &receipt.name).to_owned();
    let facts = entry.facts(receipt.as_ref())?;
    let id = download_id(store.name(), &entry);
    let content = ObjectContent { bucket: store.bucket.clone(), key: entry.key, etag };
    let source = Arc::new(Source::Bucket(content));
    Ok(Item { id, name, size_bytes: entry.size_bytes, proof, source, facts })
}

fn proof_of(head: &bucket::Found) -> Proof {
    let is_digest = |text: &&String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (head.metadata.get("sha256").filter(is_digest), head.crc64) {
        (Some(sha256), _) => Proof::Metadata(sha256.to_ascii_lowercase()),
        (None, Some(crc64)) => Proof::Crc64(crc64),
        (None, None) => Proof::Nothing,
    }
}

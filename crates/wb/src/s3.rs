//! A bucket read directly, with the ordinary AWS credential chain and without the gateway.
//! Invariant: nothing is ever written to the bucket, and no listing shows unfinished pieces.

mod content;
mod entry;
mod location;
mod resolve;

use bucket::Bucket;

pub(crate) use self::{
    content::{ObjectContent, item},
    entry::Entry,
    location::Location,
    resolve::resolve,
};
use crate::{
    download::hex,
    failure::{Status, failed, failure, not_found},
    output::Output,
    receipt::Receipt,
};

/// What the gateway adds to an object's key for its receipt.
pub(crate) const RECEIPT_SUFFIX: &str = ".receipt.json";
/// Longest key of an object, bytes of UTF-8.
const KEY_BYTES_MAX: usize = 1_024;
/// A receipt is below 2 kB; what is larger is something else.
const RECEIPT_BYTES_MAX: u64 = 64 << 10;

/// A bucket, and the prefix we were asked to look under.
pub(crate) struct Store {
    bucket: Bucket,
}

impl Store {
    /// Nothing is sent yet: wrong credentials show with the first request.
    pub(crate) async fn open(location: Location) -> Self {
        Self { bucket: Bucket::from_environment(location.bucket, location.prefix).await }
    }

    /// The bucket's name.
    pub(crate) fn name(&self) -> &str {
        self.bucket.name()
    }

    /// Empty, or ending in `/`.
    pub(crate) fn prefix(&self) -> &str {
        self.bucket.prefix()
    }

    /// Everything under a prefix, page by page.
    pub(crate) fn listing(&self, under: String) -> Listing<'_> {
        Listing { store: self, under, next: None, ended: false, held: Vec::new() }
    }

    /// The object of that key, if there is one.
    pub(crate) async fn head(&self, key: &str) -> anyhow::Result<Option<Entry>> {
        if key.len() > KEY_BYTES_MAX {
            return Ok(None);
        }
        let found = self.bucket.head(key).await.map_err(|error| refused(&error))?;
        Ok(found.map(|found| Entry::from_head(key, found)))
    }

    /// Reads the receipt beside an object, and notes whether there is one. One that cannot be its receipt is a remark, not
    /// an error: anyone who may write to the bucket can put anything there.
    pub(crate) async fn receipt(
        &self,
        entry: &mut Entry,
        output: &Output,
    ) -> anyhow::Result<Option<Receipt>> {
        let key = format!("{}{RECEIPT_SUFFIX}", entry.key);
        if entry.has_receipt == Some(false) || key.len() > KEY_BYTES_MAX {
            entry.has_receipt = Some(false);
            return Ok(None);
        }
        let receipt = match self.small_object(&key).await {
            Ok(text) => {
                let receipt = text.as_deref().and_then(|text| entry.accept(text));
                if receipt.is_none() {
                    output.warn(&format!("`{key}` is not a receipt of the object beside it"));
                }
                receipt
            }
            Err(bucket::Error::NotFound(_)) => None,
            Err(error) => return Err(refused(&error).context(format!("read `{key}`"))),
        };
        entry.has_receipt = Some(receipt.is_some());
        Ok(receipt)
    }

    /// All bytes of an object that has few; none of one that has too many.
    async fn small_object(&self, key: &str) -> bucket::Result<Option<Vec<u8>>> {
        use futures_util::TryStreamExt;
        let read = self.bucket.read(key, None).await?;
        if u64::try_from(read.length).is_ok_and(|length| length > RECEIPT_BYTES_MAX) {
            return Ok(None);
        }
        let text = read.stream().try_fold(Vec::new(), async |mut text, piece| {
            text.extend_from_slice(&piece);
            Ok(text)
        });
        Ok(Some(Box::pin(text).await?))
    }
}

/// A listing on its way.
pub(crate) struct Listing<'a> {
    store: &'a Store,
    under: String,
    next: Option<String>,
    ended: bool,
    /// The last upload of a page may go on in the next one: its receipt sorts behind it.
    held: Vec<bucket::Object>,
}

impl Listing<'_> {
    /// The next objects by key; none at the end. May be empty in between.
    pub(crate) async fn page(&mut self) -> anyhow::Result<Option<Vec<Entry>>> {
        if self.ended {
            return Ok(None);
        }
        let page = self
            .store
            .bucket
            .list(&self.under, self.next.as_deref())
            .await
            .map_err(|error| refused(&error))?;
        if page.next.is_some() && page.next == self.next {
            return Err(failed("the bucket lists the same page again"));
        }
        self.ended = page.next.is_none();
        self.next = page.next;
        let mut objects = std::mem::take(&mut self.held);
        objects.extend(page.objects);
        if !self.ended {
            self.held = entry::split_last_upload(&mut objects);
        }
        Ok(Some(entry::entries(objects)))
    }
}

/// A file name for what is fetched from an object: another object, or other bytes under its key, has another.
fn download_id(bucket: &str, entry: &Entry) -> String {
    use sha2::{Digest, Sha256};
    let mut hasher = Sha256::new();
    for part in [bucket, &entry.key, entry.etag.as_deref().unwrap_or_default()] {
        hasher.update(part);
        hasher.update([0]);
    }
    hasher.update(entry.size_bytes.to_be_bytes());
    hex(&hasher.finalize()[..16])
}

/// A bucket's answer as an error with the status it calls for.
pub(crate) fn refused(error: &bucket::Error) -> anyhow::Error {
    use bucket::Error;
    match error {
        Error::NotFound(_) | Error::NoSuchBucket(_) => not_found(error.to_string()),
        Error::Forbidden(_) => failure(Status::NotAllowed, error.to_string()),
        Error::NoCredentials(_) => {
            failure(Status::NotAllowed, format!("{error}; set AWS_PROFILE, or sign in with `aws sso login`"))
        }
        Error::Changed => not_found("the object was replaced while it was read: run the same command again"),
        Error::Damaged(_) | Error::Refused(_) | Error::Unavailable(_) => failed(error.to_string()),
    }
}

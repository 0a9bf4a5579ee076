//! A bucket and a prefix to look under. Invariants: nothing is written to the bucket, and no listing shows hidden objects.

use api::Receipt;
use bucket::{Bucket, layout};

use super::entry::{self, Entry};
use super::location::Location;
use crate::exit::{Status, failed, failure, not_found};
use crate::output::Output;

/// S3's limit, in bytes of UTF-8.
const KEY_BYTES_MAX: usize = 1_024;
/// A receipt is below 2 kB; anything larger is something else.
const RECEIPT_BYTES_MAX: i64 = 64 << 10;

pub(crate) struct Store {
    pub(crate) bucket: Bucket,
}

impl Store {
    /// Sends nothing yet, so wrong credentials show up with the first request.
    pub(crate) async fn open(location: Location) -> Self {
        Self { bucket: Bucket::from_environment(location.bucket, location.prefix).await }
    }

    pub(crate) fn name(&self) -> &str {
        self.bucket.name()
    }

    /// Empty, or ending in `/`.
    pub(crate) fn prefix(&self) -> &str {
        self.bucket.prefix()
    }

    /// Lists everything under a prefix, page by page.
    pub(crate) fn listing(&self, under: String) -> Listing<'_> {
        Listing { store: self, under, next: None, ended: false, held: Vec::new() }
    }

    pub(crate) async fn head(&self, key: &str) -> anyhow::Result<Option<Entry>> {
        if key.len() > KEY_BYTES_MAX {
            return Ok(None);
        }
        let found = self.bucket.head(key).await.map_err(|error| refused(&error))?;
        Ok(found.map(|found| Entry::from_head(key, found)))
    }

    /// Reads an object's receipt and records in `entry` whether it exists. An invalid receipt is a warning, not an error:
    /// anyone who can write to the bucket can put anything there.
    pub(crate) async fn receipt(
        &self,
        entry: &mut Entry,
        output: &Output,
    ) -> anyhow::Result<Option<Receipt>> {
        let key = layout::receipt_key(&entry.key);
        if entry.has_receipt == Some(false) || key.len() > KEY_BYTES_MAX {
            entry.has_receipt = Some(false);
            return Ok(None);
        }
        let receipt = match self.bucket.read_small(&key, RECEIPT_BYTES_MAX).await {
            Ok(text) => {
                let receipt = text.as_deref().and_then(|text| entry.accept(text));
                if receipt.is_none() {
                    output.warn(&format!("`{key}` is not a receipt of the object next to it"));
                }
                receipt
            }
            Err(bucket::Error::NotFound(_)) => None,
            Err(error) => return Err(refused(&error).context(format!("cannot read `{key}`"))),
        };
        entry.has_receipt = Some(receipt.is_some());
        Ok(receipt)
    }
}

pub(crate) struct Listing<'a> {
    store: &'a Store,
    under: String,
    next: Option<String>,
    ended: bool,
    /// Objects of the last upload on the previous page: its receipt may be on the next page.
    held: Vec<bucket::Object>,
}

impl Listing<'_> {
    /// The next objects, sorted by key; `None` at the end. A page can be empty.
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
            return Err(failed("the bucket sent the same page twice"));
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

/// Turns a bucket's error into one with an exit status.
pub(crate) fn refused(error: &bucket::Error) -> anyhow::Error {
    use bucket::Error;
    match error {
        Error::NotFound(_) | Error::NoSuchBucket(_) => not_found(error.to_string()),
        Error::Forbidden(_) => failure(Status::NotAllowed, error.to_string()),
        Error::NoCredentials(_) => {
            failure(Status::NotAllowed, format!("{error}; set AWS_PROFILE, or sign in with `aws sso login`"))
        }
        Error::Changed => {
            not_found("the object was replaced during the download: run the same command again")
        }
        Error::Damaged(_) | Error::Refused(_) | Error::Unavailable(_) => failed(error.to_string()),
    }
}

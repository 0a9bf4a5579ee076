//! All configured buckets by name: the shared one, and those of partners with a bucket of their own.

use std::collections::BTreeMap;

use crate::Bucket;

/// The shared bucket's name in the ledger; no partner may have it as its ID.
pub const SUPPORT_UPLOADER: &str = "support-uploader";

#[derive(Debug, Clone)]
pub struct Buckets {
    support_uploader: Bucket,
    partners: BTreeMap<String, Bucket>,
}

impl Buckets {
    /// `partners` are by partner ID.
    pub fn new(support_uploader: Bucket, partners: BTreeMap<String, Bucket>) -> Self {
        Self { support_uploader, partners }
    }

    /// The name and the bucket for a partner's files: its own bucket, else the shared one.
    pub fn of_partner(&self, partner_id: &str) -> (&str, &Bucket) {
        match self.partners.get_key_value(partner_id) {
            Some((name, bucket)) => (name, bucket),
            None => (SUPPORT_UPLOADER, &self.support_uploader),
        }
    }

    pub fn has_own(&self, partner_id: &str) -> bool {
        self.partners.contains_key(partner_id)
    }

    /// `None` if that bucket is no longer configured.
    pub fn named(&self, name: &str) -> Option<&Bucket> {
        if name == SUPPORT_UPLOADER { Some(&self.support_uploader) } else { self.partners.get(name) }
    }

    /// Prefixes of other configured buckets that are below this one's prefix in the same bucket of the store.
    pub fn prefixes_inside(&self, name: &str) -> Vec<&str> {
        let Some(outer) = self.named(name) else { return Vec::new() };
        let is_inside = |inner: &Bucket| {
            (inner.name(), &inner.config.endpoint) == (outer.name(), &outer.config.endpoint)
                && inner.prefix() != outer.prefix()
                && inner.prefix().starts_with(outer.prefix())
        };
        self.all().filter(|(_, inner)| is_inside(inner)).map(|(_, inner)| inner.prefix()).collect()
    }

    /// The buckets of partners that have their own, by partner ID.
    pub fn own(&self) -> impl Iterator<Item = (&str, &Bucket)> {
        self.partners.iter().map(|(name, bucket)| (name.as_str(), bucket))
    }

    pub fn all(&self) -> impl Iterator<Item = (&str, &Bucket)> {
        std::iter::once((SUPPORT_UPLOADER, &self.support_uploader)).chain(self.own())
    }
}

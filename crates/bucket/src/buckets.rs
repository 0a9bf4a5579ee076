//! Every configured bucket by name: the shared one, and those of partners who have their own.

use std::collections::BTreeMap;

use crate::Bucket;

/// The shared bucket's name in the ledger; no partner may be called so.
pub const SUPPORT_UPLOADER: &str = "support-uploader";

/// The configured buckets.
#[derive(Debug, Clone)]
pub struct Buckets {
    support_uploader: Bucket,
    partners: BTreeMap<String, Bucket>,
}

impl Buckets {
    /// The shared bucket, and the buckets of partners by partner id.
    pub fn new(support_uploader: Bucket, partners: BTreeMap<String, Bucket>) -> Self {
        Self { support_uploader, partners }
    }

    /// Name and bucket where a partner's files rest: its own if it has one, else the shared one.
    pub fn of_partner(&self, partner_id: &str) -> (&str, &Bucket) {
        match self.partners.get_key_value(partner_id) {
            Some((name, bucket)) => (name, bucket),
            None => (SUPPORT_UPLOADER, &self.support_uploader),
        }
    }

    /// Whether the partner has a bucket of its own.
    pub fn has_own(&self, partner_id: &str) -> bool {
        self.partners.contains_key(partner_id)
    }

    /// The bucket of that name; none when it is no longer configured.
    pub fn named(&self, name: &str) -> Option<&Bucket> {
        if name == SUPPORT_UPLOADER { Some(&self.support_uploader) } else { self.partners.get(name) }
    }

    /// Prefixes of other configured buckets that lie below the prefix of this one, in the same bucket of the store.
    pub fn prefixes_inside(&self, name: &str) -> Vec<&str> {
        let Some(outer) = self.named(name) else { return Vec::new() };
        let is_inside = |inner: &Bucket| {
            (inner.name(), &inner.config.endpoint) == (outer.name(), &outer.config.endpoint)
                && inner.prefix() != outer.prefix()
                && inner.prefix().starts_with(outer.prefix())
        };
        self.all().filter(|(_, inner)| is_inside(inner)).map(|(_, inner)| inner.prefix()).collect()
    }

    /// Every bucket with its name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Bucket)> {
        let partners = self.partners.iter().map(|(name, bucket)| (name.as_str(), bucket));
        std::iter::once((SUPPORT_UPLOADER, &self.support_uploader)).chain(partners)
    }
}

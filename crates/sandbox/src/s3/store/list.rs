//! Listings: objects by prefix and delimiter, uploads by prefix, in pages.
//! Invariant: keys come in the order of their UTF-8 bytes, and each page starts exactly where the previous one ended.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::S3Result;

use super::index::{BucketIndex, Object};
use super::records::UploadRecord;
use super::state::Store;

/// S3's limit for the entries of one page.
pub(crate) const PAGE_MAX: usize = 1000;

/// Where a page of objects starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    Beginning,
    /// After this key.
    AfterKey(String),
    /// After every key that begins so: the page before it ended with this common prefix.
    AfterPrefix(String),
}

impl Start {
    /// The opaque text that a client sends back for the next page.
    pub(crate) fn to_token(&self) -> Option<String> {
        match self {
            Self::Beginning => None,
            Self::AfterKey(key) => Some(URL_SAFE_NO_PAD.encode(format!("k{key}"))),
            Self::AfterPrefix(prefix) => Some(URL_SAFE_NO_PAD.encode(format!("p{prefix}"))),
        }
    }

    pub(crate) fn from_token(token: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        match text.split_at_checked(1)? {
            ("k", key) => Some(Self::AfterKey(key.to_owned())),
            ("p", prefix) => Some(Self::AfterPrefix(prefix.to_owned())),
            _ => None,
        }
    }
}

/// A page of a sorted map, whatever its values.
#[derive(Debug)]
pub(crate) struct Listing<V> {
    pub(crate) values: Vec<V>,
    pub(crate) common_prefixes: Vec<String>,
    /// Where the next page starts, if there is one.
    pub(crate) next: Option<Start>,
}

#[derive(Debug)]
pub(crate) struct UploadListing {
    pub(crate) uploads: Vec<UploadRecord>,
    pub(crate) truncated: bool,
}

impl Store {
    pub(crate) fn list(
        &self,
        bucket: &str,
        prefix: &str,
        delimiter: Option<&str>,
        start: &Start,
        max: usize,
    ) -> S3Result<Listing<Arc<Object>>> {
        let index = self.inner.index();
        Ok(page(&index.bucket(bucket)?.objects, prefix, delimiter, start, max.min(PAGE_MAX)))
    }

    /// Uploads in progress by key and time, after the upload `after` of a key (or after all of that key's, without an id).
    pub(crate) fn list_uploads(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<(&str, Option<&str>)>,
        max: usize,
    ) -> S3Result<UploadListing> {
        let index = self.inner.index();
        let mut uploads = uploads_after(index.bucket(bucket)?, prefix, after);
        let page: Vec<_> = uploads.by_ref().take(max.min(PAGE_MAX)).collect();
        let truncated = max > 0 && uploads.next().is_some();
        Ok(UploadListing { uploads: page, truncated })
    }
}

fn uploads_after<'a>(
    bucket: &'a BucketIndex,
    prefix: &'a str,
    after: Option<(&'a str, Option<&'a str>)>,
) -> impl Iterator<Item = UploadRecord> + 'a {
    let from = match after {
        Some((key, _)) if key >= prefix => key,
        _ => prefix,
    };
    bucket
        .uploads
        .range((from.to_owned(), String::new())..)
        .take_while(move |((key, _), _)| key.starts_with(prefix))
        .filter(move |((key, id), _)| match after {
            None => true,
            Some((marker, None)) => key.as_str() > marker,
            Some((marker, Some(id_marker))) => (key.as_str(), id.as_str()) > (marker, id_marker),
        })
        .map(|(_, upload)| upload.record.clone())
}

fn page<V: Clone>(
    keys: &BTreeMap<String, V>,
    prefix: &str,
    delimiter: Option<&str>,
    start: &Start,
    max: usize,
) -> Listing<V> {
    let mut page = Listing { values: Vec::new(), common_prefixes: Vec::new(), next: None };
    let delimiter = delimiter.filter(|delimiter| !delimiter.is_empty());
    let mut at = start.clone();
    let mut taken = 0;
    while let Some((key, value)) = first_after(keys, prefix, &at) {
        if taken == max {
            // S3 answers a page of no entries as complete.
            page.next = (max > 0).then_some(at);
            break;
        }
        let cut = delimiter.and_then(|delimiter| {
            let rest = key.get(prefix.len()..)?;
            Some(prefix.len() + rest.find(delimiter)? + delimiter.len())
        });
        match cut.and_then(|cut| key.get(..cut)) {
            Some(common) => {
                page.common_prefixes.push(common.to_owned());
                at = Start::AfterPrefix(common.to_owned());
            }
            None => {
                page.values.push(value.clone());
                at = Start::AfterKey(key.clone());
            }
        }
        taken += 1;
    }
    page
}

/// The first entry with the prefix behind a position.
fn first_after<'a, V>(
    keys: &'a BTreeMap<String, V>,
    prefix: &str,
    at: &Start,
) -> Option<(&'a String, &'a V)> {
    let from = |bound: Bound<&str>| keys.range::<str, _>((bound, Bound::Unbounded));
    let found = match at {
        Start::AfterKey(key) if key.as_str() >= prefix => from(Bound::Excluded(key)).next(),
        Start::AfterPrefix(common) if common.as_str() >= prefix => {
            // Nearly every key with the common prefix sorts before this bound, so the skip after it is short.
            let bound = format!("{common}{}", char::MAX);
            from(Bound::Excluded(&bound)).find(|(key, _)| !key.starts_with(common.as_str()))
        }
        _ => from(Bound::Included(prefix)).next(),
    };
    found.filter(|(key, _)| key.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every page of a listing, as `key` and `prefix*`.
    fn pages(keys: &[&str], prefix: &str, delimiter: Option<&str>, max: usize) -> Vec<Vec<String>> {
        let keys: BTreeMap<String, String> =
            keys.iter().map(|key| ((*key).to_owned(), (*key).to_owned())).collect();
        let mut start = Start::Beginning;
        let mut pages = Vec::new();
        loop {
            let page = page(&keys, prefix, delimiter, &start, max);
            let mut entries = page.values;
            entries.extend(page.common_prefixes.iter().map(|common| format!("{common}*")));
            entries.sort();
            pages.push(entries);
            let Some(next) = page.next else { return pages };
            start = Start::from_token(&next.to_token().unwrap()).unwrap();
        }
    }

    #[test]
    fn prefixes_delimiters_and_pages() {
        let keys = ["a", "a/1", "a/2", "a/b/3", "b", "b/\u{10FFFF}\u{10FFFF}x", "c//d", "é/1"];
        assert_eq!(pages(&keys, "", None, 1000).concat().len(), keys.len());
        assert_eq!(pages(&keys, "", Some("/"), 1000), [["a", "a/*", "b", "b/*", "c/*", "é/*"]]);
        assert_eq!(pages(&keys, "", Some("/"), 2), [vec!["a", "a/*"], vec!["b", "b/*"], vec!["c/*", "é/*"]]);
        assert_eq!(pages(&keys, "a/", Some("/"), 1), [["a/1"], ["a/2"], ["a/b/*"]]);
        assert_eq!(pages(&keys, "a/b", None, 1), [["a/b/3"]]);
        assert_eq!(pages(&keys, "c/", Some("/"), 9), [["c//*"]]);
        assert_eq!(pages(&keys, "nothing", None, 9), [Vec::<String>::new()]);
        assert_eq!(pages(&keys, "", None, 0), [Vec::<String>::new()]);
        assert_eq!(pages(&keys, "", None, 3).len(), 3);
    }

    #[test]
    fn foreign_tokens_are_refused() {
        for token in ["", "!", "eA"] {
            assert_eq!(Start::from_token(token), None, "{token}");
        }
    }
}

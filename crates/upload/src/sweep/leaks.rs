//! Looks through the buckets for multipart uploads and tail pieces that belong to no unfinished upload.
//! Invariant: leftovers of this ledger's ended uploads are deleted; whatever this ledger did not make is reported, and never
//! touched.

use bucket::{Bucket, layout};
use ledger::{State, Upload};

use crate::Result;
use crate::sweep::report::{Leak, LeakKind, Swept, Total};
use crate::uploads::Uploads;

/// Whose a key is.
enum Owner {
    /// An upload that has not ended.
    Unfinished,
    /// An upload that has ended: nobody continues it.
    Ended,
    /// Not this ledger's.
    Unknown,
}

/// A bucket being looked through.
struct Search<'a> {
    name: &'a str,
    bucket: &'a Bucket,
    /// Prefixes of other configured buckets inside it, which are looked through as their own.
    others: Vec<&'a str>,
}

impl Search<'_> {
    fn covers(&self, key: &str) -> bool {
        !layout::is_probe(self.bucket.prefix(), key)
            && !self.others.iter().any(|other| key.starts_with(other))
    }
}

impl Uploads {
    /// Looks through every bucket. A bucket where that fails counts as failed.
    pub(super) async fn look_through_buckets(&self, dry_run: bool, swept: &mut Swept) -> Result<()> {
        for (name, bucket) in self.0.buckets.all() {
            let search = Search { name, bucket, others: self.0.buckets.prefixes_inside(name) };
            for kind in LeakKind::ALL {
                swept.leaks.totals.insert((name.to_owned(), kind), Total::default());
            }
            let mut looked = Box::pin(self.find_multiparts(&search, dry_run, swept)).await;
            if looked.is_ok() {
                looked = Box::pin(self.find_tails(&search, dry_run, swept)).await;
            }
            if let Err(error) = looked {
                tracing::warn!(bucket = name, error = %error, "cannot look through a bucket");
                swept.failed += 1;
                // Not zero, but unknown.
                swept.leaks.totals.retain(|(bucket, _), _| bucket != name);
            }
        }
        Ok(())
    }

    /// Multipart uploads: their key is that of the upload.
    async fn find_multiparts(&self, search: &Search<'_>, dry_run: bool, swept: &mut Swept) -> Result<()> {
        let Search { name, bucket, .. } = *search;
        for found in bucket.unfinished(bucket.prefix()).await? {
            if !search.covers(&found.key) {
                continue;
            }
            let id = found.key.rsplit('/').nth(1).unwrap_or_default();
            match self.owner(search, id, |upload| upload.object_key == found.key).await? {
                Owner::Unfinished => {}
                Owner::Ended => {
                    if !dry_run {
                        bucket.abort_multipart(&found.key, &found.id).await?;
                    }
                    swept.stray += 1;
                }
                Owner::Unknown => {
                    let kind = LeakKind::Multipart;
                    let bytes = if swept.leaks.names_more(name, kind) {
                        multipart_bytes(bucket, &found).await?
                    } else {
                        None
                    };
                    let (key, multipart_id, since) = (found.key, Some(found.id), found.begun_at);
                    swept.leaks.add(Leak { bucket: name.to_owned(), kind, key, multipart_id, bytes, since });
                }
            }
        }
        Ok(())
    }

    /// Pieces of tails.
    async fn find_tails(&self, search: &Search<'_>, dry_run: bool, swept: &mut Swept) -> Result<()> {
        let Search { name, bucket, .. } = *search;
        let folder = layout::hidden_prefix(bucket.prefix());
        let mut next = None;
        loop {
            let page = bucket.list(&folder, next.as_deref()).await?;
            for object in page.objects {
                if !search.covers(&object.key) {
                    continue;
                }
                let id = layout::tail_upload_id(bucket.prefix(), &object.key);
                match self.owner(search, id, |_| true).await? {
                    Owner::Unfinished => {}
                    Owner::Ended => {
                        if !dry_run {
                            bucket.delete(&object.key).await?;
                        }
                        swept.stray += 1;
                    }
                    Owner::Unknown => swept.leaks.add(Leak {
                        bucket: name.to_owned(),
                        kind: LeakKind::Tail,
                        key: object.key,
                        multipart_id: None,
                        bytes: Some(object.size),
                        since: object.last_modified,
                    }),
                }
            }
            next = page.next;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// Who owns something in this bucket that carries this upload ID.
    async fn owner(&self, search: &Search<'_>, id: &str, is_its: impl Fn(&Upload) -> bool) -> Result<Owner> {
        match self.0.ledger.upload(id).await {
            Ok(upload) if upload.bucket != search.name || !is_its(&upload) => Ok(Owner::Unknown),
            Ok(upload) if matches!(upload.state, State::Open | State::Completing) => Ok(Owner::Unfinished),
            Ok(_) => Ok(Owner::Ended),
            Err(ledger::Error::NotFound) => Ok(Owner::Unknown),
            Err(error) => Err(error.into()),
        }
    }
}

/// The size of an unfinished multipart upload, if we may see it.
async fn multipart_bytes(bucket: &Bucket, found: &bucket::Unfinished) -> Result<Option<i64>> {
    match bucket.multipart_bytes(&found.key, &found.id).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(bucket::Error::Forbidden(_) | bucket::Error::Refused(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

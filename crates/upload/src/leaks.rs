//! Looks through the buckets for multipart uploads and pieces of tails that no unfinished upload accounts for.
//! Invariant: what this ledger made and has ended is dropped; what it did not make is told of, and never touched.

use std::collections::BTreeMap;

use bucket::{Bucket, layout};
use ledger::{State, Upload};

use crate::Result;
use crate::engine::Uploads;
use crate::sweep::Swept;

/// What somebody may be paying for without knowing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeakKind {
    /// An unfinished multipart upload.
    Multipart,
    /// An object among the pieces of unfinished uploads.
    Tail,
}

impl LeakKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Multipart, Self::Tail];

    /// Its name in metrics and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Multipart => "multipart",
            Self::Tail => "tail",
        }
    }
}

/// Something under our prefix that this ledger did not make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// Configured bucket.
    pub bucket: String,
    /// What it is.
    pub kind: LeakKind,
    /// Its key.
    pub key: String,
    /// Of a multipart upload: its id in the store.
    pub multipart_id: Option<String>,
    /// Bytes of it; none where the store does not let us see them.
    pub bytes: Option<i64>,
    /// When it was begun or written, ms.
    pub since: i64,
}

/// How many, and how large together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// How many.
    pub count: u64,
    /// Bytes, as far as they could be seen.
    pub bytes: i64,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leaks {
    /// By name: of each bucket and kind the first thousand.
    pub named: Vec<Leak>,
    /// By bucket and kind, for each bucket that could be looked through.
    pub totals: BTreeMap<(String, LeakKind), Total>,
}

impl Leaks {
    /// Of every bucket, of this kind.
    pub fn total(&self, kind: LeakKind) -> Total {
        let of_kind = self.totals.iter().filter(|((_, found), _)| *found == kind);
        of_kind.fold(Total::default(), |sum, (_, total)| Total {
            count: sum.count + total.count,
            bytes: sum.bytes + total.bytes,
        })
    }

    /// Whether the next one of this bucket and kind is told by name.
    fn names_more(&self, bucket: &str, kind: LeakKind) -> bool {
        self.totals.get(&(bucket.to_owned(), kind)).is_none_or(|total| total.count < NAMED_MAX)
    }

    fn add(&mut self, leak: Leak) {
        let names_more = self.names_more(&leak.bucket, leak.kind);
        let total = self.totals.entry((leak.bucket.clone(), leak.kind)).or_default();
        total.count += 1;
        total.bytes += leak.bytes.unwrap_or_default();
        if names_more {
            self.named.push(leak);
        }
    }
}

/// Of a bucket and kind: enough to see what it is about. More would fill the memory, and cost a request each.
const NAMED_MAX: u64 = 1_000;

/// Whose a key is.
enum Owner {
    /// An upload that is not at its end.
    Unfinished,
    /// An upload that has ended: nobody goes on with it.
    Ended,
    /// Not this ledger's.
    Unknown,
}

/// A bucket that is looked through.
struct Place<'a> {
    name: &'a str,
    bucket: &'a Bucket,
    /// Prefixes of other configured buckets inside of it: looked through as their own.
    others: Vec<&'a str>,
}

impl Place<'_> {
    fn holds(&self, key: &str) -> bool {
        !layout::is_probe(self.bucket.prefix(), key)
            && !self.others.iter().any(|other| key.starts_with(other))
    }
}

impl Uploads {
    /// Looks through every bucket. What cannot be looked through counts as failed.
    pub(crate) async fn look_through_buckets(&self, dry_run: bool, swept: &mut Swept) -> Result<()> {
        for (name, bucket) in self.0.buckets.all() {
            let place = Place { name, bucket, others: self.0.buckets.prefixes_inside(name) };
            for kind in LeakKind::ALL {
                swept.leaks.totals.insert((name.to_owned(), kind), Total::default());
            }
            let mut looked = Box::pin(self.multiparts(&place, dry_run, swept)).await;
            if looked.is_ok() {
                looked = Box::pin(self.tails(&place, dry_run, swept)).await;
            }
            if let Err(error) = looked {
                tracing::warn!(bucket = name, error = %error, "look through a bucket");
                swept.failed += 1;
                // Not 0: nobody knows.
                swept.leaks.totals.retain(|(bucket, _), _| bucket != name);
            }
        }
        Ok(())
    }

    /// Multipart uploads: their key is that of the upload.
    async fn multiparts(&self, place: &Place<'_>, dry_run: bool, swept: &mut Swept) -> Result<()> {
        let Place { name, bucket, .. } = *place;
        for found in bucket.unfinished(bucket.prefix()).await? {
            if !place.holds(&found.key) {
                continue;
            }
            let id = found.key.rsplit('/').nth(1).unwrap_or_default();
            let is_its = |upload: &Upload| upload.object_key == found.key;
            match self.owner(place, id, is_its).await? {
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
                    let multipart_id = Some(found.id);
                    let (key, since) = (found.key, found.begun_at);
                    swept.leaks.add(Leak { bucket: name.to_owned(), kind, key, multipart_id, bytes, since });
                }
            }
        }
        Ok(())
    }

    /// Pieces of tails.
    async fn tails(&self, place: &Place<'_>, dry_run: bool, swept: &mut Swept) -> Result<()> {
        let Place { name, bucket, .. } = *place;
        let folder = layout::hidden_prefix(bucket.prefix());
        let mut next = None;
        loop {
            let page = bucket.list(&folder, next.as_deref()).await?;
            for object in page.objects {
                if !place.holds(&object.key) {
                    continue;
                }
                let id = layout::tail_upload_id(bucket.prefix(), &object.key);
                match self.owner(place, id, |_| true).await? {
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

    /// Whose something of this upload id in this bucket is.
    async fn owner(&self, place: &Place<'_>, id: &str, is_its: impl Fn(&Upload) -> bool) -> Result<Owner> {
        match self.0.ledger.upload(id).await {
            Ok(upload) if upload.bucket != place.name || !is_its(&upload) => Ok(Owner::Unknown),
            Ok(upload) if matches!(upload.state, State::Open | State::Completing) => Ok(Owner::Unfinished),
            Ok(_) => Ok(Owner::Ended),
            Err(ledger::Error::NotFound) => Ok(Owner::Unknown),
            Err(error) => Err(error.into()),
        }
    }
}

/// Bytes of an unfinished multipart upload, where we may see them.
async fn multipart_bytes(bucket: &Bucket, found: &bucket::Unfinished) -> Result<Option<i64>> {
    match bucket.multipart_bytes(&found.key, &found.id).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(bucket::Error::Forbidden(_) | bucket::Error::Refused(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

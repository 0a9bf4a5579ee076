//! What a sweep did and found.

use std::collections::BTreeMap;

/// Leaks reported by name, for each bucket and kind. More would fill the memory, and cost a request each.
const NAMED_MAX: u64 = 1_000;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Unfinished uploads that could no longer be resumed. They were cancelled.
    pub expired: u64,
    /// Uploads that were cleared for good.
    pub cleared: u64,
    /// Uploads that were cleared, but whose last request to the bucket may still be in flight. The next sweep checks them again.
    pub waiting: u64,
    /// Uploads that could not be cleared, and buckets that could not be looked through.
    pub failed: u64,
    /// Multipart uploads and tail pieces of ended uploads, as a lost answer leaves them. They were deleted.
    pub stray: u64,
    pub leaks: Leaks,
}

/// Kinds of leaks, which somebody may pay for without knowing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeakKind {
    /// An unfinished multipart upload.
    Multipart,
    /// An object among the tails of unfinished uploads.
    Tail,
}

impl LeakKind {
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
    /// Name of the bucket in the configuration.
    pub bucket: String,
    pub kind: LeakKind,
    pub key: String,
    /// The store's ID of a multipart upload.
    pub multipart_id: Option<String>,
    /// Its size. None if the store does not let us see it.
    pub bytes: Option<i64>,
    /// When it was begun or written, ms.
    pub since: i64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    pub count: u64,
    /// As far as sizes are known.
    pub bytes: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leaks {
    /// The first thousand of each bucket and kind.
    pub named: Vec<Leak>,
    /// By bucket and kind, for each bucket that could be looked through.
    pub totals: BTreeMap<(String, LeakKind), Total>,
}

impl Leaks {
    /// The total of a kind in all buckets.
    pub fn total(&self, kind: LeakKind) -> Total {
        let of_kind = self.totals.iter().filter(|((_, found), _)| *found == kind);
        of_kind.fold(Total::default(), |sum, (_, total)| Total {
            count: sum.count + total.count,
            bytes: sum.bytes + total.bytes,
        })
    }

    /// Whether the next leak of this bucket and kind is reported by name.
    pub(crate) fn names_more(&self, bucket: &str, kind: LeakKind) -> bool {
        self.totals.get(&(bucket.to_owned(), kind)).is_none_or(|total| total.count < NAMED_MAX)
    }

    pub(crate) fn add(&mut self, leak: Leak) {
        let names_more = self.names_more(&leak.bucket, leak.kind);
        let total = self.totals.entry((leak.bucket.clone(), leak.kind)).or_default();
        total.count += 1;
        total.bytes += leak.bytes.unwrap_or_default();
        if names_more {
            self.named.push(leak);
        }
    }
}

//! The appends that run on this node.
//! Invariant: an upload has one running append at most. A newer one waits until the older has nothing left in flight.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::append::part_lease::PartLease;

/// A running append, as others on this node see it.
#[derive(Clone)]
pub(crate) struct RunningAppend {
    /// Cancelled when a newer append takes over, or the upload is cancelled.
    pub(crate) superseded: CancellationToken,
    /// Cancelled when the append must store what it has received and end, so that its offset can be told.
    pub(crate) halted: CancellationToken,
    /// Cancelled when the append has ended.
    pub(crate) ended: CancellationToken,
    /// 0 until the append has begun.
    epoch: Arc<AtomicI64>,
    pub(crate) lease: PartLease,
}

impl RunningAppend {
    /// The epoch it writes under, once it has begun.
    pub(crate) fn epoch(&self) -> Option<i64> {
        Some(self.epoch.load(Ordering::Relaxed)).filter(|epoch| *epoch != 0)
    }
}

/// All of them, by upload ID.
#[derive(Default)]
pub(crate) struct RunningAppends(Mutex<HashMap<String, RunningAppend>>);

impl RunningAppends {
    pub(crate) fn get(&self, id: &str) -> Option<RunningAppend> {
        self.lock().get(id).cloned()
    }

    pub(crate) fn all(&self) -> HashMap<String, RunningAppend> {
        self.lock().clone()
    }

    /// Ends an older append of the upload and waits until nothing of it is on its way to the bucket. The ledger's epoch
    /// ends appends on other nodes.
    pub(crate) async fn take_over<'a>(&'a self, id: &'a str, lease: PartLease) -> RunningGuard<'a> {
        let append = RunningAppend {
            superseded: CancellationToken::new(),
            halted: CancellationToken::new(),
            ended: CancellationToken::new(),
            epoch: Arc::default(),
            lease,
        };
        let older = self.lock().insert(id.to_owned(), append.clone());
        let guard = RunningGuard { all: self, id, append };
        if let Some(older) = older {
            older.superseded.cancel();
            older.ended.cancelled().await;
        }
        guard
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, RunningAppend>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Registers an append as running for as long as it lives.
pub(crate) struct RunningGuard<'a> {
    all: &'a RunningAppends,
    id: &'a str,
    append: RunningAppend,
}

impl RunningGuard<'_> {
    /// Records the epoch that the append writes under.
    pub(crate) fn begun(&self, epoch: i64) {
        self.append.epoch.store(epoch, Ordering::Relaxed);
    }

    pub(crate) fn append(&self) -> &RunningAppend {
        &self.append
    }
}

impl Drop for RunningGuard<'_> {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        self.append.ended.cancel();
        // A newer append has taken this one's entry.
        if all.get(self.id).is_some_and(|append| append.ended.is_cancelled()) {
            all.remove(self.id);
        }
    }
}

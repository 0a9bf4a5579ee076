//! A lock for each link: one file of a link is read back at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Locks by link ID, kept while somebody holds or awaits them.
#[derive(Default)]
pub(crate) struct LinkLocks(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl LinkLocks {
    pub(crate) fn get(&self, link_id: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, lock| lock.strong_count() > 0);
        let lock = all.get(link_id).and_then(Weak::upgrade).unwrap_or_default();
        all.insert(link_id.to_owned(), Arc::downgrade(&lock));
        lock
    }
}

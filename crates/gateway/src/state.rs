//! What every handler shares. State lies below the handlers; `router.rs` lies above them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use access::RateLimiter;
use bucket::Buckets;
use desk::Desk;
use ipnet::IpNet;
use ledger::{Ledger, Link};
use tickets::Tickets;
use tokio::sync::Notify;
use upload::Uploads;

use crate::config::Limits;
use crate::hooks::Hooks;

/// Clones share everything.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) ledger: Ledger,
    pub(crate) buckets: Buckets,
    pub(crate) desk: Desk,
    pub(crate) uploads: Uploads,
    pub(crate) limits: Limits,
    /// Requests, by link.
    pub(crate) requests: RateLimiter,
    pub(crate) tickets: Tickets,
    pub(crate) hooks: Hooks,
    /// Wakes the runner of jobs.
    pub(crate) wake: Arc<Notify>,
    /// Without a slash at its end.
    pub(crate) public_url: String,
    /// Proxies whose `X-Forwarded-*` headers are believed.
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) draining: AtomicBool,
    /// The last attempt to write to the ledger failed.
    pub(crate) ledger_refuses: AtomicBool,
    /// The ledger's path, if it is a file.
    pub(crate) ledger_file: Option<PathBuf>,
}

impl std::ops::Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl AppState {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    pub(crate) fn requests_per_minute(&self, link: &Link) -> u32 {
        let own = link.max_requests_per_minute.map(|max| u32::try_from(max).unwrap_or(u32::MAX));
        own.unwrap_or(self.limits.link_requests_per_minute)
    }
}

//! The engine's state, which its clones share, and what can be asked about an upload. The verbs have files of their own:
//! `create`, `append`, `cancel`, `recover`, `sweep`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bucket::{Bucket, Buckets};
use ledger::{Filter, Ledger, State, Upload, now_ms};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::append::running::RunningAppends;
use crate::limits::{Limits, millis};
use crate::memory::budget::MemoryBudget;
use crate::memory::part_plan::PartPlan;
use crate::{Error, Result};

/// Who cancels an upload without being asked to, in the audit.
pub(crate) const GATEWAY: &str = "gateway";
/// How long a sender is asked to wait when no memory is free.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(5);

/// The upload engine; clones share everything.
#[derive(Clone)]
pub struct Uploads(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) ledger: Ledger,
    pub(crate) buckets: Buckets,
    pub(crate) budget: MemoryBudget,
    pub(crate) part_plan: PartPlan,
    pub(crate) limits: Limits,
    pub(crate) running: RunningAppends,
    /// Notified when an append has succeeded, or there is new work for the jobs.
    pub(crate) completed: Arc<Notify>,
    /// Cancelled when the gateway stops.
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl Uploads {
    /// An engine on this ledger and these buckets. `completed` is notified when there may be new jobs.
    pub fn new(ledger: Ledger, buckets: Buckets, limits: Limits, completed: Arc<Notify>) -> Self {
        let budget = MemoryBudget::new(limits.memory_bytes);
        let part_plan = PartPlan::new(budget.total_bytes());
        Self(Arc::new(Inner {
            ledger,
            buckets,
            budget,
            part_plan,
            limits,
            running: RunningAppends::default(),
            completed,
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }

    pub fn budget(&self) -> &MemoryBudget {
        &self.0.budget
    }

    /// The upload with this ID on this link, as it stands. If it was cancelled because the same file had been sent before, the
    /// earlier upload.
    ///
    /// # Errors
    /// [`Error::NotFound`] also for another link's upload; [`Error::Gone`] for one that was cancelled or removed.
    pub async fn status(&self, link_id: &str, id: &str) -> Result<Upload> {
        let upload = self.0.ledger.upload(id).await?;
        match upload.state {
            _ if upload.link_id != link_id => Err(Error::NotFound),
            // A sender that missed the answer gets it here.
            State::Cancelled => match self.0.ledger.original_of(id).await? {
                Some(original) if original.state == State::Complete => Ok(original),
                _ => Err(Error::Gone),
            },
            State::Removed => Err(Error::Gone),
            // The next sweep cancels it.
            State::Open if self.has_expired(&upload) => Err(Error::Gone),
            State::Open | State::Completing | State::Complete => Ok(upload),
        }
    }

    /// Unfinished uploads with this name on this link that can be resumed, newest first.
    pub async fn unfinished(&self, link_id: &str, name: &str) -> Result<Vec<Upload>> {
        let open = Filter {
            link_id: Some(link_id.to_owned()),
            name: Some(name.to_owned()),
            state: Some(State::Open),
            limit: 100,
            ..Filter::default()
        };
        let found = self.0.ledger.uploads(&open).await?;
        Ok(found.into_iter().filter(|upload| upload.resumable && !self.has_expired(upload)).collect())
    }

    /// Until when an unfinished upload can be resumed, ms.
    pub fn expires_at(&self, upload: &Upload) -> i64 {
        upload.created_at.saturating_add(millis(self.0.limits.resume_window))
    }

    /// Unfinished uploads that were created at or before this time, ms, can no longer be resumed.
    pub(crate) fn resumable_since(&self) -> i64 {
        now_ms().saturating_sub(millis(self.0.limits.resume_window))
    }

    /// Whether the upload can no longer be resumed. A running append may finish.
    pub(crate) fn has_expired(&self, upload: &Upload) -> bool {
        upload.resumable && self.expires_at(upload) <= now_ms() && !self.is_running(&upload.id)
    }

    /// Whether an append of the upload is running on this node.
    pub(crate) fn is_running(&self, id: &str) -> bool {
        self.0.running.get(id).is_some()
    }

    /// The bucket that the upload is stored in.
    pub(crate) fn bucket(&self, upload: &Upload) -> Result<&Bucket> {
        self.0
            .buckets
            .named(&upload.bucket)
            .ok_or_else(|| Error::Unavailable(format!("bucket `{}` is not configured", upload.bucket)))
    }

    /// Runs work that must not end with the request that began it, in the current span. [`Uploads::drain`] waits for it.
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.0.tasks.spawn(work.in_current_span())
    }

    /// Ends appends of uploads that can be resumed: what they received is stored, and their senders are told to resume.
    pub fn stop(&self) {
        self.0.stopping.cancel();
    }

    /// Cancelled when an append should end because the gateway stops. An upload that cannot be resumed may finish.
    pub(crate) fn stopping(&self, resumable: bool) -> CancellationToken {
        if resumable { self.0.stopping.clone() } else { CancellationToken::new() }
    }

    /// Waits for everything spawned.
    pub async fn drain(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

/// The error when no memory is free.
pub(crate) fn busy() -> Error {
    Error::Busy { retry_after: BUSY_RETRY_AFTER }
}

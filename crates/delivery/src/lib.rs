//! Durable jobs after the bytes rest: attach a file to its ticket or note there where it lies, and write its receipt
//! beside it. Invariant: everything that waits is in the ledger, and whatever is repeated looks first whether it was done,
//! so the process may die after any await: each upload stands in exactly one comment, and none is forgotten.

mod adopt;
mod attach;
mod attempt;
mod batch;
mod lease;
mod mark;
mod note;
mod pacing;
mod receipt;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use bucket::Buckets;
use desk::Desk;
use ledger::{Destination, Ledger, Upload, now_ms};
use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

pub use adopt::{Adopter, Finding, Owners, Sum};
use lease::Lease;
pub use receipt::receipt;

/// Tickets worked on at the same time.
const TICKETS_MAX: usize = 4;
/// Receipts written at the same time.
const RECEIPTS_MAX: usize = 4;
/// How often to look for work that nobody announced: what was put off, and what another process left.
const POLL: Duration = Duration::from_secs(1);
/// How long work under way may go on when told to stop; what is broken off is done again.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// How to deliver.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where support staff reach this gateway; put before the links in notes.
    pub public_url: String,
    /// Whether a comment that attaches files is public. Every other note is private.
    pub attachments_public: bool,
    /// How long files are collected after a note before the next one. Longer near the desk's limit.
    pub batch: Duration,
}

impl Config {
    /// Private comments, and 10 s between them.
    pub fn new(public_url: impl Into<String>) -> Self {
        Self { public_url: public_url.into(), attachments_public: false, batch: Duration::from_secs(10) }
    }
}

/// Works off the jobs in the ledger. Cheap to clone; several, in several processes, may run on one ledger.
#[derive(Clone)]
pub struct Delivery(Arc<Shared>);

pub(crate) struct Shared {
    ledger: Ledger,
    buckets: Buckets,
    desk: Desk,
    config: Config,
    tickets: Arc<Semaphore>,
    receipts: Arc<Semaphore>,
    /// When it was last said that the desk does not accept our credentials, ms.
    alarmed_at: AtomicI64,
}

impl Delivery {
    /// Calls nobody yet.
    pub fn new(ledger: Ledger, buckets: Buckets, desk: Desk, config: Config) -> Self {
        Self(Arc::new(Shared {
            ledger,
            buckets,
            desk,
            config,
            tickets: Arc::new(Semaphore::new(TICKETS_MAX)),
            receipts: Arc::new(Semaphore::new(RECEIPTS_MAX)),
            alarmed_at: AtomicI64::new(0),
        }))
    }

    /// Works until `stop` is cancelled; woken by `completed` and by time. Work under way then has some seconds to end.
    pub async fn run(&self, completed: Arc<Notify>, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        let mut reachable = true;
        while !stop.is_cancelled() {
            let started = self.start(&mut tasks).await;
            match &started {
                Err(error) if reachable => tracing::warn!(error = chain(error), "look for deliveries"),
                Ok(_) if !reachable => tracing::info!("the ledger answers again"),
                _ => {}
            }
            reachable = started.is_ok();
            tokio::select! {
                () = stop.cancelled() => {}
                () = completed.notified() => {}
                () = tokio::time::sleep(POLL) => {}
                Some(end) = tasks.join_next() => { settled(end); }
            }
        }
        let drain = async {
            while let Some(end) = tasks.join_next().await {
                settled(end);
            }
        };
        if tokio::time::timeout(STOP_GRACE, drain).await.is_err() {
            tracing::info!("deliveries broken off; they are done again at the next start");
        }
    }

    /// Works on everything due until nothing is. Says how many deliveries and receipts were settled.
    ///
    /// # Errors
    /// [`ledger::Error::Unavailable`] when the ledger does not say what is due. What goes wrong with one job is logged,
    /// and the job put off.
    pub async fn pass(&self) -> Result<usize, ledger::Error> {
        let mut tasks = JoinSet::new();
        let mut done = 0;
        loop {
            self.start(&mut tasks).await?;
            let Some(end) = tasks.join_next().await else { return Ok(done) };
            done += settled(end);
        }
    }

    /// Starts what is due, as far as there are hands free.
    async fn start(&self, tasks: &mut JoinSet<usize>) -> Result<(), ledger::Error> {
        let Shared { ledger, tickets, receipts, .. } = &*self.0;
        let free = tickets.available_permits();
        if free > 0 {
            for ticket in ledger.due_tickets(i64::try_from(free).unwrap_or(i64::MAX)).await? {
                let Ok(hand) = Arc::clone(tickets).try_acquire_owned() else { break };
                // Another process may have been quicker.
                let Some(lease) = Lease::take(ledger, ticket).await? else { continue };
                let shared = Arc::clone(&self.0);
                let span = tracing::error_span!("delivery", ticket = lease.ticket());
                let work = async move {
                    let _hand = hand;
                    batch::deliver(&shared, &lease).await
                };
                tasks.spawn(work.instrument(span));
            }
        }
        while let Ok(hand) = Arc::clone(receipts).try_acquire_owned() {
            let Some(job) = ledger.claim_receipt_job(now_ms() + receipt::LEASE_MS).await? else { break };
            let shared = Arc::clone(&self.0);
            let span = tracing::error_span!("upload", upload.id = job.upload_id, ticket = job.ticket);
            let work = async move {
                let _hand = hand;
                receipt::write(&shared, &job).await
            };
            tasks.spawn(work.instrument(span));
        }
        Ok(())
    }
}

/// What a task settled. A panic ends its own task alone; its lease runs out, and the work is tried again.
fn settled(end: Result<usize, JoinError>) -> usize {
    end.unwrap_or_else(|error| {
        tracing::error!(error = %error, "a delivery broke down");
        failed("panic");
        0
    })
}

pub(crate) fn failed(reason: &'static str) {
    metrics::counter!("weighbridge_delivery_failures_total", "reason" => reason).increment(1);
}

/// A ticket has been told of a file, after so long.
fn told(upload: &Upload, destination: Destination) {
    upload.span().in_scope(|| tracing::info!(destination = destination.name(), "delivered"));
    let waited_ms = now_ms() - upload.completed_at.unwrap_or_else(now_ms);
    let waited = Duration::from_millis(u64::try_from(waited_ms).unwrap_or_default());
    metrics::histogram!("weighbridge_delivery_seconds").record(waited);
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

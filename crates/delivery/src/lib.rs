//! Durable jobs that follow a stored file: attach it to its ticket or note there where it is, and write its receipt.
//! A kind of job is one file here, with its `mod` line and its line in `run`. Invariant: everything that waits is in the
//! ledger, and a job that is repeated first looks whether it was done; so the process may die after any await, and each
//! upload is in exactly one comment.

mod backoff;
mod batch;
mod error;
mod lease;
mod marker;
mod organization;
mod poll;
mod rate;
mod retention;
mod shared;
mod step;
mod ticket;
mod watch_buckets;
mod words;

mod compare;
mod deliver;
mod escalate;
mod expire_files;
mod mismatch_comment;
mod note_objects;
mod post_link;
mod post_note;
mod read_asks;
mod read_message;
mod read_object;
mod receipt;
mod see_ticket;
mod tell_asks;
mod tell_slack;
mod warn_files;

use std::sync::Arc;
use std::time::Duration;

use bucket::{Buckets, chain};
use desk::Desk;
use desk::slack::Slack;
use ledger::{JobKind, Ledger, now_ms};
use tickets::Tickets;
use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use batch::Batch;
use error::JobError;
use lease::Lease;
pub use poll::poll;
pub use receipt::receipt;
pub use retention::retention;
pub use shared::Config;
use shared::{Shared, failed};
pub use watch_buckets::{look_into_buckets, watch_buckets};

async fn run(kind: JobKind, batch: &mut Batch<'_>) -> Result<(), JobError> {
    match kind {
        JobKind::Deliver => deliver::run(batch).await,
        JobKind::MismatchComment => batch.each(mismatch_comment::run).await,
        JobKind::Receipt => batch.each(receipt::run).await,
        JobKind::Compare => batch.each(compare::run).await,
        JobKind::Escalate => batch.each(escalate::run).await,
        JobKind::TellSlack => batch.each(tell_slack::run).await,
        JobKind::SeeTicket => batch.each(see_ticket::run).await,
        JobKind::WarnFiles => batch.each(warn_files::run).await,
        JobKind::ExpireFiles => batch.each(expire_files::run).await,
        JobKind::TellAsks => batch.each(tell_asks::run).await,
        JobKind::PostNote => batch.each(post_note::run).await,
        JobKind::PostLink => batch.each(post_link::run).await,
        JobKind::NoteObjects => batch.each(note_objects::run).await,
        JobKind::ReadObject => batch.each(read_object::run).await,
        JobKind::ReadMessage => batch.each(read_message::run).await,
    }
}

/// Whole objects of partners that are read at a time: uploads need the processor.
const READERS_MAX: usize = 2;
/// Workers for each kind of job: a desk that is slow does not delay receipts.
const WORKERS_MAX: usize = 4;
/// How often to look for jobs that nobody announced: postponed ones, and those of another process.
const POLL: Duration = Duration::from_secs(1);
/// How long running jobs may continue after a stop. Interrupted ones are repeated.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Works off the jobs in the ledger. Cheap to clone; several, in several processes, may run on one ledger.
#[derive(Clone)]
pub struct Delivery {
    shared: Arc<Shared>,
    workers: [Arc<Semaphore>; JobKind::ALL.len()],
}

impl Delivery {
    pub fn new(
        ledger: Ledger,
        buckets: Buckets,
        desk: Desk,
        tickets: Tickets,
        slack: Option<Slack>,
        config: Config,
    ) -> Self {
        let shared = Shared { ledger, buckets, desk, tickets, slack, config, alarmed_at: 0.into() };
        Self {
            shared: Arc::new(shared),
            workers: JobKind::ALL.map(|kind| {
                let workers = if kind == JobKind::ReadObject { READERS_MAX } else { WORKERS_MAX };
                Arc::new(Semaphore::new(workers))
            }),
        }
    }

    /// Works until `stop` is cancelled, woken by `completed` and by time. Running jobs then have some seconds to end.
    pub async fn run(&self, completed: Arc<Notify>, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        let mut reachable = true;
        while !stop.is_cancelled() {
            let started = self.start(&mut tasks).await;
            match &started {
                Err(error) if reachable => tracing::warn!(error = chain(error), "cannot look for jobs"),
                Ok(()) if !reachable => tracing::info!("the ledger answers again"),
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
            tracing::info!("interrupted running jobs; the next start repeats them");
        }
    }

    /// Works on everything due until nothing is. Returns how many jobs were settled.
    ///
    /// # Errors
    /// [`ledger::Error::Unavailable`] when the ledger does not say what is due. A job that fails is logged and postponed.
    pub async fn pass(&self) -> ledger::Result<usize> {
        let mut tasks = JoinSet::new();
        let mut done = 0;
        loop {
            self.start(&mut tasks).await?;
            let Some(end) = tasks.join_next().await else { return Ok(done) };
            done += settled(end);
        }
    }

    /// Starts what is due, as far as there are free workers.
    async fn start(&self, tasks: &mut JoinSet<usize>) -> ledger::Result<()> {
        for (kind, workers) in JobKind::ALL.into_iter().zip(&self.workers) {
            while let Ok(worker) = Arc::clone(workers).try_acquire_owned() {
                let Some((lease, jobs)) = Lease::claim(&self.shared.ledger, kind).await? else { break };
                let shared = Arc::clone(&self.shared);
                let first = jobs.first();
                let ticket = first.and_then(|job| job.ticket.clone());
                let span = tracing::error_span!("job", kind = kind.name(), ticket);
                let work = async move {
                    let _worker = worker;
                    let mut batch = Batch { shared: &shared, jobs, settled: 0 };
                    work(kind, &mut batch, &lease).await;
                    batch.settled
                };
                tasks.spawn(work.instrument(span));
            }
        }
        Ok(())
    }
}

/// Works on a batch as long as its lease lasts.
async fn work(kind: JobKind, batch: &mut Batch<'_>, lease: &Lease) {
    // A job that is not held by its ticket runs to its end even if its lease is lost: a request that is dropped could still
    // reach the bucket, after the new worker's.
    let lost = async {
        lease.keep().await;
        if !kind.is_by_ticket() {
            std::future::pending::<()>().await;
        }
    };
    let end = tokio::select! {
        end = Box::pin(turn(kind, batch)) => end,
        () = lost => {
            tracing::warn!("lost the lease; another worker continues");
            failed("lease");
            return;
        }
    };
    match end {
        Ok(hold_until) => lease.end(hold_until).await,
        Err(error) => {
            tracing::warn!(error = chain(&error), "cannot record the end of a job; its lease runs out");
            failed("ledger");
        }
    }
}

/// Runs a batch and records its end. Returns until when, ms, nobody need work on the job or ticket; 0 for at once.
async fn turn(kind: JobKind, batch: &mut Batch<'_>) -> ledger::Result<i64> {
    let shared = batch.shared;
    let Some(ticket) = batch.jobs.first().and_then(|job| job.ticket.clone()).filter(|_| kind.is_by_ticket())
    else {
        let end = run(kind, batch).await;
        return conclude(kind, batch, end).await;
    };
    // An escalation waits for no file, and is not collected with others. Its writing observes the desk's limit.
    if kind != JobKind::Escalate {
        let files =
            std::mem::replace(&mut batch.jobs, shared.ledger.ticket_jobs(JobKind::Escalate, &ticket).await?);
        let end = run(JobKind::Escalate, batch).await;
        conclude(JobKind::Escalate, batch, end).await?;
        batch.jobs = files;
        let next_note_at = ticket::next_note_at(shared, &ticket).await?;
        if next_note_at > now_ms() {
            return Ok(next_note_at);
        }
    }
    let end = run(kind, batch).await;
    let hold_until = conclude(kind, batch, end).await?;
    if kind != JobKind::Deliver || hold_until > 0 {
        return Ok(hold_until);
    }
    // Under the same lease: where files keep coming, the next one is for their notes, too.
    for other in JobKind::ALL.into_iter().filter(|other| other.is_by_ticket() && *other != kind) {
        batch.jobs = shared.ledger.ticket_jobs(other, &ticket).await?;
        let end = run(other, batch).await;
        let hold_until = conclude(other, batch, end).await?;
        if hold_until > 0 {
            return Ok(hold_until);
        }
    }
    Ok(0)
}

/// Postpones failed jobs. Returns until when, ms, nobody need work on the job or ticket; 0 for at once.
async fn conclude(kind: JobKind, batch: &Batch<'_>, end: Result<(), JobError>) -> ledger::Result<i64> {
    let error = match end {
        Ok(()) => return Ok(0),
        Err(JobError::NotBefore(until)) => return Ok(until),
        Err(JobError::Ledger(error)) => return Err(error),
        Err(error) => error,
    };
    failed(if kind == JobKind::Deliver { error.reason() } else { kind.name() });
    let attempts = batch.jobs.iter().map(|job| job.attempts).max().unwrap_or_default();
    let until = backoff::retry_at(attempts, error.retry_after());
    let text = chain(&error);
    if !matches!(error, JobError::Desk(desk::Error::Unauthorized)) {
        let subject = batch.jobs.first().map(|job| job.subject.as_str());
        tracing::warn!(error = text, subject, until = ledger::rfc3339(until), "postponed a job that failed");
    } else if batch.shared.alarm_is_due() {
        tracing::error!("the desk does not accept our credentials: an operator must act");
    }
    batch.shared.ledger.postpone(&batch.jobs, until, Some(&text)).await?;
    // A comment about one file does not hold up the notes about others.
    Ok(if kind == JobKind::Deliver && error.concerns_ticket() { until } else { 0 })
}

/// What a task settled. A panic ends its own task alone; its lease runs out, and the job is tried again.
fn settled(end: Result<usize, JoinError>) -> usize {
    end.unwrap_or_else(|error| {
        tracing::error!(error = %error, "a job panicked");
        failed("panic");
        0
    })
}

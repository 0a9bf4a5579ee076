//! Who works on which jobs: a lease on one job, or on a ticket and all its jobs.
//! Invariant: two workers never hold the same job or ticket; a lease that is not extended runs out.

use crate::sql::{sql, sql_as, sql_scalar};
use crate::{Job, JobKind, Ledger, Result, now_ms};

/// The jobs of one ticket that a worker takes together: with the longest file names, a note about so many fits into a
/// comment of 65,535 characters.
pub const TICKET_JOBS_MAX: i64 = 30;

/// What a worker holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// The ID of a job.
    Job(String),
    Ticket(String),
}

/// Jobs for one worker.
#[derive(Debug, Clone)]
pub struct ClaimedJobs {
    pub held: Held,
    /// Oldest first. May be empty: another worker may have finished them just before.
    pub jobs: Vec<Job>,
}

impl Ledger {
    /// Takes the due jobs that waited longest, until `lease_until`, ms: one job, or those of a ticket
    /// ([`JobKind::is_by_ticket`]). Of two workers that ask at the same moment, one may get nothing although more is due.
    pub async fn claim_jobs(&self, kind: JobKind, lease_until: i64) -> Result<Option<ClaimedJobs>> {
        if kind.is_by_ticket() {
            self.claim_ticket(kind, lease_until).await
        } else {
            self.claim_job(kind, lease_until).await
        }
    }

    async fn claim_job(&self, kind: JobKind, lease_until: i64) -> Result<Option<ClaimedJobs>> {
        let job: Option<Job> = sql_as!(
            "UPDATE jobs SET lease_until = $2 WHERE lease_until < $1 AND id = (SELECT id FROM jobs \
             WHERE kind = $3 AND run_at <= $1 AND lease_until < $1 AND ($4 = 0 OR NOT EXISTS (SELECT 1 FROM jobs AS running \
             JOIN uploads AS its ON its.id = running.upload_id JOIN uploads AS ours ON ours.link_id = its.link_id \
             WHERE running.kind = $3 AND running.lease_until >= $1 AND ours.id = jobs.upload_id)) ORDER BY run_at LIMIT 1) \
             RETURNING id, upload_id, subject, ticket, payload, attempts",
            [now_ms(), lease_until, kind.name(), i64::from(kind.is_one_per_link())]
        )
        .fetch_optional(&self.write)
        .await?;
        Ok(job.map(|job| ClaimedJobs { held: Held::Job(job.id.clone()), jobs: vec![job] }))
    }

    async fn claim_ticket(&self, kind: JobKind, lease_until: i64) -> Result<Option<ClaimedJobs>> {
        let now = now_ms();
        // This search is slow if many jobs wait, so it uses a read connection and blocks no writer.
        let due: Option<String> = sql_scalar!(
            "SELECT ticket FROM jobs WHERE kind = $2 AND run_at <= $1 AND ticket IS NOT NULL \
             AND NOT EXISTS (SELECT 1 FROM tickets WHERE tickets.ticket = jobs.ticket AND tickets.lease_until > $1) \
             GROUP BY ticket ORDER BY MIN(run_at) LIMIT 1",
            [now, kind.name()]
        )
        .fetch_optional(&self.read)
        .await?;
        let Some(ticket) = due else { return Ok(None) };
        let taken = sql!(
            "INSERT INTO tickets (ticket, closed, checked_at, lease_until, last_note_at) VALUES ($1, 0, 0, $3, 0) \
             ON CONFLICT (ticket) DO UPDATE SET lease_until = excluded.lease_until WHERE tickets.lease_until <= $2",
            [&ticket, now, lease_until]
        )
        .execute(&self.write)
        .await?;
        if taken.rows_affected() == 0 {
            return Ok(None);
        }
        let jobs = self.ticket_jobs(kind, &ticket).await?;
        Ok(Some(ClaimedJobs { held: Held::Ticket(ticket), jobs }))
    }

    /// The due jobs of a ticket, oldest first, at most [`TICKET_JOBS_MAX`]. Only whoever holds the ticket may work on them.
    pub async fn ticket_jobs(&self, kind: JobKind, ticket: &str) -> Result<Vec<Job>> {
        let jobs = sql_as!(
            "SELECT id, upload_id, subject, ticket, payload, attempts FROM jobs \
             WHERE kind = $1 AND ticket = $2 AND run_at <= $3 ORDER BY upload_id, id LIMIT $4",
            [kind.name(), ticket, now_ms(), TICKET_JOBS_MAX]
        )
        .fetch_all(&self.read)
        .await?;
        Ok(jobs)
    }

    /// Moves the end of a lease from `until` to `to`, ms: later to keep it, to 0 to give it back, to a future time to let
    /// nobody work there before. Returns whether the lease was still ours. `until` proves that, because the next holder's
    /// lease ends later.
    pub async fn move_lease(&self, held: &Held, until: i64, to: i64) -> Result<bool> {
        let (statement, id) = match held {
            Held::Job(id) => ("UPDATE jobs SET lease_until = $3 WHERE id = $1 AND lease_until = $2", id),
            Held::Ticket(ticket) => {
                ("UPDATE tickets SET lease_until = $3 WHERE ticket = $1 AND lease_until = $2", ticket)
            }
        };
        let done = sql!(statement, [id, until, to]).execute(&self.write).await?;
        Ok(done.rows_affected() > 0)
    }
}

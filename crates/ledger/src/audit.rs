//! The append-only audit: who did what to which thing, and when. No secrets, no file contents.
//! Invariant: no entry is changed or removed; the database refuses it (`migrations/0012_audit`).

use crate::sql::{from_row, sql, sql_as};
use crate::{Ledger, Result, new_id, now_ms};

#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// Sorts by time.
    pub id: String,
    pub at: i64,
    /// `link:ID`, `staff:ID`, `operator` or `gateway`.
    pub actor: String,
    /// The name of the staff token, if the actor is staff.
    pub actor_name: Option<String>,
    /// As `noun.verb`.
    pub action: String,
    /// An ID, or a ticket's number.
    pub subject: String,
    /// The ticket that the subject belonged to at the time.
    pub ticket: Option<String>,
    /// The partner that the subject, or else the actor, belonged to at the time.
    pub partner_id: Option<String>,
    pub detail: String,
}

/// Which entries to read.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub subject: Option<String>,
    pub ticket: Option<String>,
    pub partner_id: Option<String>,
    /// At or after, ms.
    pub since: Option<i64>,
    /// The last ID of the page before; empty for the beginning.
    pub after: String,
    pub limit: i64,
}

/// The statement that reads entries under this condition and all others.
macro_rules! entries {
    ($one:literal) => {
        concat!(
            "SELECT audit.*, (SELECT name FROM staff_tokens WHERE 'staff:' || staff_tokens.id = audit.actor) AS actor_name \
             FROM audit WHERE id > $1 AND ",
            $one,
            " AND (CAST($3 AS TEXT) IS NULL OR ticket = $3) AND (CAST($4 AS TEXT) IS NULL OR partner_id = $4) \
             AND (CAST($5 AS TEXT) IS NULL OR subject = $5) AND (CAST($6 AS BIGINT) IS NULL OR at >= $6) ORDER BY id LIMIT $7"
        )
    };
}

impl AuditFilter {
    /// The first entries about one thing.
    pub fn about(subject: &str) -> Self {
        Self { subject: Some(subject.to_owned()), limit: 1_000, ..Self::default() }
    }
}

impl Ledger {
    pub async fn record(&self, actor: &str, action: &str, subject: &str, detail: &str) -> Result<()> {
        write(&self.write, actor, action, subject, detail).await
    }

    /// Entries that match the filter, oldest first.
    pub async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditEntry>> {
        // SQLite uses an index only for a condition that stands alone.
        let (text, one) = match filter {
            AuditFilter { ticket: Some(ticket), .. } => (entries!("ticket = $2"), ticket.as_str()),
            AuditFilter { partner_id: Some(partner), .. } => (entries!("partner_id = $2"), partner.as_str()),
            AuditFilter { subject: Some(subject), .. } => (entries!("subject = $2"), subject.as_str()),
            _ => (entries!("$2 = ''"), ""),
        };
        Ok(sql_as!(
            text,
            [
                &filter.after,
                one,
                &filter.ticket,
                &filter.partner_id,
                &filter.subject,
                filter.since,
                filter.limit
            ]
        )
        .fetch_all(&self.read)
        .await?)
    }
}

from_row!(AuditEntry { id, at, actor, actor_name, action, subject, ticket, partner_id, detail });

/// Appends an entry, in the transaction of the action where there is one. Its ticket and partner are those of its subject: an
/// upload, a link, an escalation, a contact, a partner, or, for `ticket.…`, a ticket. Otherwise the partner is that of the
/// link that acts.
pub(crate) async fn write(
    to: impl sqlx::Executor<'_, Database = sqlx::Any>,
    actor: &str,
    action: &str,
    subject: &str,
    detail: &str,
) -> Result<()> {
    let ticket = action.starts_with("ticket.").then_some(subject);
    let link = actor.strip_prefix("link:");
    sql!(
        "INSERT INTO audit (id, at, actor, action, subject, detail, ticket, partner_id) \
         SELECT $1, CAST($2 AS BIGINT), $3, $4, $5, $6, \
         COALESCE(CAST($7 AS TEXT), (SELECT ticket FROM uploads WHERE id = $5), (SELECT ticket FROM links WHERE id = $5), \
         (SELECT ticket FROM escalations WHERE id = $5)), \
         COALESCE((SELECT partner_id FROM uploads WHERE id = $5), (SELECT partner_id FROM links WHERE id = $5), \
         (SELECT partner_id FROM escalations WHERE id = $5), (SELECT partner_id FROM contacts WHERE id = $5), \
         (SELECT id FROM partners WHERE id = $5 AND CAST($7 AS TEXT) IS NULL), (SELECT partner_id FROM links WHERE id = CAST($8 AS TEXT)))",
        [new_id(), now_ms(), actor, action, subject, detail, ticket, link]
    )
    .execute(to)
    .await?;
    Ok(())
}

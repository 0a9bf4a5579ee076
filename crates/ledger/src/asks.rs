//! Files that support asks for on a ticket, and which of them have arrived.
//! Invariant: an arrival is recorded in the transaction that completes the file, and a file answers one ask at most.

use crate::sql::{from_row, sql, sql_as, sql_scalar};
use crate::timeout::Connection;
use crate::{Error, JobKind};
use crate::{Ledger, Result, Upload, audit, jobs, new_id, now_ms};

/// Files that a ticket may wait for at a time.
pub const ASKS_MAX: usize = 50;
/// The choice of a sender whose file is none of those that support asks for.
pub const ASK_NONE: &str = "none";

#[derive(Debug, Clone)]
pub struct Ask {
    pub id: String,
    pub ticket: String,
    /// What to send, in support's words: one line.
    pub wanted: String,
    /// As in the audit, or `desk:ID` for the author of a comment.
    pub asked_by: String,
    pub created_at: i64,
    /// When a comment on the ticket said so, ms.
    pub told_at: Option<i64>,
    /// The file that arrived; none while it is missing.
    pub upload_id: Option<String>,
    pub arrived_at: Option<i64>,
}

impl Ledger {
    /// Asks for files on a ticket, and queues the comment that says so. A file that is asked for already is not asked for twice.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the ticket would wait for too many files.
    pub async fn ask(&self, ticket: &str, wanted: &[String], actor: &str) -> Result<()> {
        let mut tx = self.begin_in_turn(&turn(ticket)).await?;
        let new = add(&mut tx, ticket, wanted, actor, false).await?;
        if open(&mut tx, ticket).await?.len() > ASKS_MAX {
            tx.rollback().await?;
            return Err(Error::Conflict(format!("a ticket can wait for at most {ASKS_MAX} files at a time")));
        }
        if new {
            jobs::queue_about(&mut tx, JobKind::TellAsks, ticket, Some(ticket), "").await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Records what a comment on the ticket asks for. Each comment asks once, whatever has become of its files. A ticket that would
    /// wait for too many files waits for no more.
    pub async fn ask_by_comment(
        &self,
        ticket: &str,
        comment: u64,
        author: u64,
        wanted: &[String],
    ) -> Result<()> {
        let mut tx = self.begin_in_turn(&turn(ticket)).await?;
        let read = sql!(
            "INSERT INTO steps (subject, step, begun_at, done_at) VALUES ($1, 'asks', $2, $2) \
             ON CONFLICT (subject, step) DO NOTHING",
            [format!("comment {comment}"), now_ms()]
        )
        .execute(&mut *tx)
        .await?;
        if read.rows_affected() > 0 {
            let room = ASKS_MAX.saturating_sub(open(&mut tx, ticket).await?.len());
            let wanted = &wanted[..wanted.len().min(room)];
            add(&mut tx, ticket, wanted, &format!("desk:{author}"), true).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// What support asked for on a ticket, oldest first, without what it withdrew.
    pub async fn asks(&self, ticket: &str) -> Result<Vec<Ask>> {
        Ok(sql_as!(
            "SELECT * FROM asks WHERE ticket = $1 AND withdrawn_at IS NULL ORDER BY created_at, place, id LIMIT 1000",
            [ticket]
        )
        .fetch_all(&self.read)
        .await?)
    }

    /// What a ticket waits for, oldest first.
    pub async fn missing(&self, ticket: &str) -> Result<Vec<String>> {
        Ok(sql_scalar!(
            "SELECT wanted FROM asks WHERE ticket = $1 AND withdrawn_at IS NULL AND upload_id IS NULL ORDER BY created_at, place, id",
            [ticket]
        )
        .fetch_all(&self.read)
        .await?)
    }

    /// No longer asks for a file.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the ticket does not wait for it.
    pub async fn withdraw_ask(&self, ticket: &str, id: &str, actor: &str) -> Result<()> {
        let mut tx = self.begin_in_turn(&turn(ticket)).await?;
        let wanted: Option<String> = sql_scalar!(
            "UPDATE asks SET withdrawn_at = $3 WHERE id = $2 AND ticket = $1 AND withdrawn_at IS NULL AND upload_id IS NULL \
             RETURNING wanted",
            [ticket, id, now_ms()]
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(wanted) = wanted else {
            tx.rollback().await?;
            return Err(Error::NotFound);
        };
        audit::write(&mut *tx, actor, "ticket.withdraw", ticket, &wanted).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Asks that no comment on the ticket has told yet.
    pub async fn asks_to_tell(&self, ticket: &str) -> Result<Vec<Ask>> {
        Ok(sql_as!(
            "SELECT * FROM asks WHERE ticket = $1 AND told_at IS NULL AND withdrawn_at IS NULL AND upload_id IS NULL ORDER BY created_at, place, id",
            [ticket]
        )
        .fetch_all(&self.read)
        .await?)
    }

    /// Asks that were answered by a file whose own note did not say so.
    pub async fn arrivals_to_tell(&self, ticket: &str) -> Result<Vec<Ask>> {
        Ok(sql_as!(
            "SELECT asks.* FROM asks JOIN uploads ON uploads.id = asks.upload_id \
             WHERE asks.ticket = $1 AND asks.arrival_told = 0 AND uploads.delivery <> 'pending' ORDER BY asks.created_at, asks.place",
            [ticket]
        )
        .fetch_all(&self.read)
        .await?)
    }

    /// Records that a comment on the ticket has told these asks, or their arrivals.
    pub async fn asks_told(&self, asks: &[Ask]) -> Result<()> {
        let mut tx = self.begin().await?;
        for ask in asks {
            sql!(
                "UPDATE asks SET told_at = COALESCE(told_at, $2), \
                 arrival_told = CASE WHEN CAST($3 AS TEXT) IS NULL THEN arrival_told ELSE 1 END WHERE id = $1",
                [&ask.id, now_ms(), &ask.upload_id]
            )
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

from_row!(Ask { id, ticket, wanted, asked_by, created_at, told_at, upload_id, arrived_at });

fn turn(ticket: &str) -> String {
    format!("asks {ticket}")
}

async fn open(tx: &mut Connection, ticket: &str) -> Result<Vec<Ask>> {
    Ok(sql_as!(
        "SELECT * FROM asks WHERE ticket = $1 AND withdrawn_at IS NULL AND upload_id IS NULL ORDER BY created_at, place, id",
        [ticket]
    )
    .fetch_all(&mut *tx)
    .await?)
}

/// Asks for what the ticket does not wait for already. Returns whether that is anything. `is_told`: a comment on the ticket
/// says so.
async fn add(
    tx: &mut Connection,
    ticket: &str,
    wanted: &[String],
    actor: &str,
    is_told: bool,
) -> Result<bool> {
    let now = now_ms();
    let mut open: Vec<_> = open(tx, ticket).await?.iter().map(|ask| ask.wanted.to_lowercase()).collect();
    let before = open.len();
    for wanted in wanted {
        if open.contains(&wanted.to_lowercase()) {
            continue;
        }
        let place = i64::try_from(open.len()).unwrap_or(i64::MAX);
        sql!(
            "INSERT INTO asks (id, ticket, wanted, place, asked_by, created_at, told_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            [new_id(), ticket, wanted, place, actor, now, is_told.then_some(now)]
        )
        .execute(&mut *tx)
        .await?;
        audit::write(&mut *tx, actor, "ticket.ask", ticket, wanted).await?;
        open.push(wanted.to_lowercase());
    }
    Ok(open.len() > before)
}

/// Records that a file which has just been completed, or was sent again, is one that its ticket waits for: the one that its
/// sender chose, else the one that its name says. If a note about the file is on the ticket already, another one is queued.
pub(crate) async fn arrived(tx: &mut Connection, upload: &Upload, choice: Option<&str>) -> Result<()> {
    let open = open(tx, &upload.ticket).await?;
    let chosen = open.iter().find(|ask| Some(ask.id.as_str()) == choice);
    let Some(ask) = chosen.or_else(|| {
        let by_name = by_name(&open, &upload.name);
        by_name.filter(|_| choice != Some(ASK_NONE))
    }) else {
        return Ok(());
    };
    let done = sql!(
        "UPDATE asks SET upload_id = $2, arrived_at = $3, arrival_told = 0 \
         WHERE id = $1 AND upload_id IS NULL AND withdrawn_at IS NULL \
         AND NOT EXISTS (SELECT 1 FROM asks AS other WHERE other.upload_id = $2)",
        [&ask.id, &upload.id, now_ms()]
    )
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() > 0 {
        audit::write(&mut *tx, "gateway", "ask.arrive", &upload.id, &ask.wanted).await?;
        if upload.delivery != Some(crate::Delivery::Pending) {
            jobs::queue_about(tx, JobKind::TellAsks, &upload.ticket, Some(&upload.ticket), "").await?;
        }
    }
    Ok(())
}

/// The ticket waits again for what this file was: it was removed.
pub(crate) async fn missing_again(tx: &mut Connection, upload_id: &str) -> Result<()> {
    sql!(
        "UPDATE asks SET upload_id = NULL, arrived_at = NULL, arrival_told = 0 WHERE upload_id = $1",
        [upload_id]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The ask with the most words that are all in the file's name; of several, the oldest. A side file has its file's name.
fn by_name<'a>(open: &'a [Ask], name: &str) -> Option<&'a Ask> {
    if [".sha256", ".md5"].iter().any(|suffix| name.to_lowercase().ends_with(suffix)) {
        return None;
    }
    let (in_name, joined) = (words(name), words(name).concat());
    let mut best = None;
    for ask in open {
        let wanted = words(&ask.wanted);
        let is_joined = wanted.len() > 1 && joined.contains(&wanted.concat());
        let fits = !wanted.is_empty() && (is_joined || wanted.iter().all(|word| in_name.contains(word)));
        if fits && best.is_none_or(|(most, _)| wanted.len() > most) {
            best = Some((wanted.len(), ask));
        }
    }
    best.map(|(_, ask)| ask)
}

/// The words of a text in lower case, without what says little and without the plural. Digits are words of their own.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut last: Option<char> = None;
    for c in text.chars().flat_map(char::to_lowercase) {
        let kind = |c: char| (c.is_numeric(), c.is_alphanumeric());
        if c.is_alphanumeric() {
            match words.last_mut() {
                Some(word) if last.is_some_and(|last| kind(last) == kind(c)) => word.push(c),
                _ => words.push(c.to_string()),
            }
        }
        last = Some(c);
    }
    words.retain(|word| {
        !["a", "an", "the", "of", "for", "from", "and", "your", "please", "file", "files"]
            .contains(&word.as_str())
    });
    for word in &mut words {
        if word.chars().count() > 3 && word.ends_with('s') && !word.ends_with("ss") {
            word.pop();
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_answers_the_ask_whose_words_it_has() {
        let ask = |wanted: &str| Ask {
            id: wanted.into(),
            ticket: "1001".into(),
            wanted: wanted.into(),
            asked_by: "staff:1".into(),
            created_at: 0,
            told_at: None,
            upload_id: None,
            arrived_at: None,
        };
        let open =
            ["logs", "Database logs", "the support bundle", "core dump of node 2", "heap.hprof", "日志"]
                .map(ask);
        for (name, expected) in [
            ("database-logs.tar.gz", Some("Database logs")),
            ("Database_Log_2026-11-28.txt", Some("Database logs")),
            ("app.log", Some("logs")),
            ("support-bundle-1.tgz", Some("the support bundle")),
            ("SupportBundle.zip", Some("the support bundle")),
            ("supportbundle.zip", Some("the support bundle")),
            ("node2-core-dump.bin", Some("core dump of node 2")),
            ("node3-core-dump.bin", None),
            ("heap.hprof", Some("heap.hprof")),
            ("日志.zip", Some("日志")),
            ("database-logs.tar.gz.sha256", None),
            ("holiday.jpg", None),
            ("catalog.xml", None),
            ("", None),
        ] {
            assert_eq!(by_name(&open, name).map(|ask| ask.wanted.as_str()), expected, "{name}");
        }
        assert!(by_name(&[ask("the files")], "the files").is_none(), "no word says what");
    }
}

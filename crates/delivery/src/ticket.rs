//! Comments on a ticket: reading our own, and writing within the desk's limit.
//! Invariant: an update is counted before it is sent, so that one whose answer is lost counts too.

use desk::{Comment, NewComment};
use ledger::{Upload, now_ms};

use crate::error::JobError;
use crate::rate::{self, WINDOW_MS};
use crate::shared::Shared;

/// The desk's clock may be behind ours by this much.
pub(crate) const ALLOWED_SKEW_MS: i64 = 60 * 60 * 1000;

/// When the next note on the ticket may be written, ms.
pub(crate) async fn next_note_at(shared: &Shared, ticket: &str) -> ledger::Result<i64> {
    let updates = shared.ledger.ticket_updates(ticket, now_ms() - WINDOW_MS).await?;
    let last_note_at = shared.ledger.ticket(ticket).await?.map_or(0, |ticket| ticket.last_note_at);
    Ok(rate::next_note(last_note_at, &updates, shared.config.batch))
}

/// Our comments that may be about these uploads.
pub(crate) async fn our_comments(
    shared: &Shared,
    ticket: &str,
    uploads: impl Iterator<Item = &Upload>,
) -> Result<Vec<Comment>, JobError> {
    let completed_at = |upload: &Upload| upload.completed_at.unwrap_or(upload.created_at);
    // While our clock was ahead, it may have recorded a completion later than now.
    let oldest = uploads.map(completed_at).min().unwrap_or_default().min(now_ms());
    our_comments_since(shared, ticket, oldest - ALLOWED_SKEW_MS).await
}

/// Our comments since then, ms.
pub(crate) async fn our_comments_since(
    shared: &Shared,
    ticket: &str,
    since: i64,
) -> Result<Vec<Comment>, JobError> {
    let me = shared.desk.me().await?;
    let mut comments = shared.desk.comments_since(ticket, since).await?;
    comments.retain(|comment| comment.author_id == me);
    Ok(comments)
}

/// Whether the desk has no such ticket. A proxy or a page in front of the desk may answer 404 to everything for a while. Only a
/// desk that tells us who we are, and then again that it has no such ticket, is believed.
pub(crate) async fn is_gone(shared: &Shared, ticket: &str) -> bool {
    let desk = &shared.desk;
    desk.ask_me().await.is_ok() && matches!(desk.ticket(ticket).await, Err(desk::Error::NotFound))
}

/// Fails if the ticket has too many updates already.
pub(crate) async fn has_room(shared: &Shared, ticket: &str) -> Result<(), JobError> {
    let now = now_ms();
    let room_at = rate::room_at(&shared.ledger.ticket_updates(ticket, now - WINDOW_MS).await?);
    if room_at > now { Err(JobError::NotBefore(room_at)) } else { Ok(()) }
}

/// Writes a comment, unless the ticket has changed since the stamp or has too many updates already.
pub(crate) async fn write(shared: &Shared, ticket: &str, comment: NewComment<'_>) -> Result<(), JobError> {
    has_room(shared, ticket).await?;
    shared.ledger.note_ticket_update(ticket, now_ms() - WINDOW_MS).await?;
    Ok(shared.desk.comment(ticket, comment).await?)
}

//! Asks the desk which tickets have changed, because webhooks get lost.
//! Invariant: the cursor moves only after the jobs of its page are recorded.

use std::time::Duration;

use bucket::chain;
use desk::{ChangesFrom, Desk};
use ledger::{JobKind, Ledger, hash_token, now_ms};
use tokio_util::sync::CancellationToken;

const CURSOR: &str = "tickets";

/// Polls until it is stopped.
pub async fn poll(ledger: Ledger, desk: Desk, every: Duration, stop: CancellationToken) {
    // A gateway that starts again and again does not use up the desk's limit.
    let first = tokio::time::Instant::now() + every;
    let (mut ticks, mut works) = (tokio::time::interval_at(first, every), true);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let end = once(&ledger, &desk).await;
        match &end {
            Err(error) if works => tracing::warn!(error, "cannot ask the desk which tickets changed"),
            Ok(()) if !works => tracing::info!("the desk says again which tickets changed"),
            _ => {}
        }
        works = end.is_ok();
    }
}

async fn once(ledger: &Ledger, desk: &Desk) -> Result<(), String> {
    let failed = |error: &(dyn std::error::Error + 'static)| chain(error);
    loop {
        let cursor = ledger.cursor(CURSOR).await.map_err(|error| failed(&error))?;
        let from = cursor.map_or(ChangesFrom::Second(now_ms() / 1000), ChangesFrom::Cursor);
        let page = match desk.changed_tickets(&from).await {
            Err(desk::Error::Refused { detail }) => {
                // It no longer knows the cursor.
                let hour_ago = format!("second:{}", now_ms() / 1000 - 60 * 60);
                ledger.set_cursor(CURSOR, &hour_ago).await.map_err(|error| failed(&error))?;
                return Err(detail);
            }
            page => page.map_err(|error| failed(&error))?,
        };
        let partners = ledger.partners().await.map_err(|error| failed(&error))?;
        for ticket in page.tickets {
            let organization = ticket.organization();
            if organization.is_none()
                || !partners.iter().any(|partner| partner.organization_id == organization)
            {
                continue;
            }
            let number = ticket.id.to_string();
            let id = hash_token(&format!("poll\n{number}\n{}", ticket.updated_stamp));
            let accepted = ledger.accept_hook(&id, JobKind::SeeTicket, &number, Some(&number), "").await;
            accepted.map_err(|error| failed(&error))?;
        }
        ledger.set_cursor(CURSOR, &page.next).await.map_err(|error| failed(&error))?;
        if page.is_end {
            return Ok(());
        }
    }
}

//! Asks the desk which organisation a ticket belongs to, where the receipt is not enough.
//! Invariant: a desk that does not answer never counts as an answer.

use std::time::Duration;

use desk::{Desk, Error};

/// Limit for one answer of the desk.
const DESK_TIMEOUT: Duration = Duration::from_secs(30);
/// How often to ask again about one ticket after the desk asked us to wait: its limit is per minute, and a bucket may name
/// more tickets.
const WAITS_MAX: u32 = 3;
/// Limit for each of these waits.
const PAUSE_MAX: Duration = Duration::from_secs(90);
/// After so many tickets in a row without an answer, the desk is down, and thousands more are not tried one by one.
const SILENT_MAX: u32 = 3;

/// The organisation of a ticket, none if it has none or does not exist; or why that is unknown now.
pub(crate) type Owner = Result<Option<i64>, String>;

/// Asks the desk once for all receipts of a ticket, which follow one another.
#[derive(Debug)]
pub struct TicketOwners<'a> {
    desk: &'a Desk,
    last: Option<(String, Owner)>,
    silent: u32,
}

impl<'a> TicketOwners<'a> {
    #[must_use]
    pub fn new(desk: &'a Desk) -> Self {
        Self { desk, last: None, silent: 0 }
    }

    pub(crate) async fn of(&mut self, ticket: &str) -> Owner {
        if let Some((last, owner)) = &self.last
            && last == ticket
        {
            return owner.clone();
        }
        let owner = if self.silent < SILENT_MAX {
            self.ask(ticket).await
        } else {
            Err("the desk did not answer before".into())
        };
        self.silent = if owner.is_ok() { 0 } else { self.silent.saturating_add(1) };
        self.last = Some((ticket.to_owned(), owner.clone()));
        owner
    }

    async fn ask(&self, ticket: &str) -> Owner {
        let mut waits = 0;
        loop {
            match tokio::time::timeout(DESK_TIMEOUT, self.desk.ticket(ticket)).await {
                Ok(Ok(found)) => return Ok(found.organization_id.and_then(|id| i64::try_from(id).ok())),
                Ok(Err(Error::NotFound)) => return Ok(None),
                Ok(Err(Error::RateLimited { retry_after })) if waits < WAITS_MAX => {
                    waits += 1;
                    tokio::time::sleep(retry_after.min(PAUSE_MAX)).await;
                }
                Ok(Err(error)) => return Err(format!("{:#}", anyhow::Error::new(error))),
                Err(_) => return Err("no answer in time".into()),
            }
        }
    }
}

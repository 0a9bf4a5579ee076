//! Whose a ticket is, where a receipt's word is not enough. Invariant: a desk that cannot be asked is never taken for one
//! that has answered.

use std::time::Duration;

use desk::{Desk, Error};

/// How long the desk is waited for.
const DESK_WAIT: Duration = Duration::from_secs(30);
/// As often one ticket is asked for again after the desk asked to wait: its limits are for a minute, and a bucket may name
/// more tickets than that.
const WAITS_MAX: u32 = 3;
/// No longer than this is waited each time.
const PAUSE_MAX: Duration = Duration::from_secs(90);
/// After so many tickets in a row without an answer the desk is down: thousands more are not waited for one by one.
const SILENT_MAX: u32 = 3;

/// The organisation that a ticket is of, none where it is nobody's or there is no such ticket; or why that cannot be said
/// now.
pub(super) type Owner = Result<Option<i64>, String>;

/// Asks the desk once for all receipts of a ticket: they come one after the other.
#[derive(Debug)]
pub struct Owners<'a> {
    desk: &'a Desk,
    last: Option<(String, Owner)>,
    silent: u32,
}

impl<'a> Owners<'a> {
    /// Asks nobody yet.
    #[must_use]
    pub fn new(desk: &'a Desk) -> Self {
        Self { desk, last: None, silent: 0 }
    }

    /// Whose this ticket is.
    pub(super) async fn of(&mut self, ticket: &str) -> Owner {
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
            match tokio::time::timeout(DESK_WAIT, self.desk.ticket(ticket)).await {
                Ok(Ok(found)) => return Ok(found.organization_id.and_then(|id| i64::try_from(id).ok())),
                Ok(Err(Error::NotFound)) => return Ok(None),
                Ok(Err(Error::RateLimited { retry_after })) if waits < WAITS_MAX => {
                    waits += 1;
                    tokio::time::sleep(retry_after.min(PAUSE_MAX)).await;
                }
                Ok(Err(error)) => return Err(crate::chain(&error)),
                Err(_) => return Err("no answer in time".into()),
            }
        }
    }
}

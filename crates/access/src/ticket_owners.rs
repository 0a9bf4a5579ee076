//! Asks the desk which organisation many tickets belong to, one after the other, where a receipt is not enough.

use std::time::Duration;

use desk::Desk;

use crate::desk_ticket::ask;

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
pub type Owner = Result<Option<i64>, String>;

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

    pub async fn of(&mut self, ticket: &str) -> Owner {
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
            match ask(self.desk, ticket, DESK_TIMEOUT).await {
                Ok(found) => return Ok(found.and_then(|ticket| ticket.organization)),
                Err(no_answer) => match no_answer.retry_after {
                    Some(pause) if waits < WAITS_MAX => {
                        waits += 1;
                        tokio::time::sleep(pause.min(PAUSE_MAX)).await;
                    }
                    _ => return Err(no_answer.why),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A desk that is down is not asked about every ticket.
    #[tokio::test]
    async fn owner_of_a_ticket_is_unknown_without_the_desk() {
        let credentials =
            desk::Credentials::ApiToken { email: "a@example.com".into(), api_token: "t".into() };
        // Nobody listens on the port of tcpmux.
        let desk = Desk::new(desk::Config::new("http://127.0.0.1:1", credentials)).unwrap();
        let mut owners = TicketOwners::new(&desk);
        for (ticket, asked) in
            [("1", true), ("1", true), ("2", true), ("3", true), ("4", false), ("5", false)]
        {
            let why = owners.of(ticket).await.unwrap_err();
            assert_eq!(!why.contains("did not answer before"), asked, "{ticket}: {why}");
        }
    }
}

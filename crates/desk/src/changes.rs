//! The stream of changed tickets, for finding what a webhook did not tell.
//!
//! Invariant: the caller decides where to continue; a page that cannot be parsed moves nothing forward.

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::tickets::Ticket;
use crate::{Desk, Error};

/// Zendesk refuses a start that is less than a minute ago; this leaves room for a difference between the clocks.
const SECONDS_AGO_MIN: i64 = 120;
/// A cursor of ours, for a stream that had nothing yet and so gave none.
const SECOND: &str = "second:";

/// Where to start in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangesFrom {
    /// Changes in this second (since the epoch) or later. A later start than two minutes ago becomes two minutes ago.
    Second(i64),
    /// [`ChangedTickets::next`] of the page before.
    Cursor(String),
}

/// A page of changed tickets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedTickets {
    /// Their state now, oldest change first. Deleted ones are among them. A ticket can come again.
    pub tickets: Vec<Ticket>,
    /// Where to continue, now or later.
    pub next: String,
    /// Nothing more has changed yet.
    pub is_end: bool,
}

#[derive(Deserialize)]
struct Answer {
    tickets: Vec<Value>,
    after_cursor: Option<String>,
    end_of_stream: bool,
}

impl Desk {
    /// A page of the tickets that were created, changed or deleted. Zendesk allows ten of these calls a minute, and leaves
    /// out the changes of the last minute.
    pub async fn changed_tickets(&self, from: &ChangesFrom) -> Result<ChangedTickets, Error> {
        let start = start(from, jiff::Timestamp::now().as_second());
        let request = self.request(Method::GET, &["incremental", "tickets", "cursor"])?;
        let answer: Answer = self.call(request.query(&[&start])).await?;
        let unchanged = || match start {
            ("start_time", second) => format!("{SECOND}{second}"),
            (_, cursor) => cursor,
        };
        // One damaged ticket must not hold up all others.
        let tickets = answer.tickets.into_iter().filter_map(|ticket| match serde_json::from_value(ticket) {
            Ok(ticket) => Some(ticket),
            Err(error) => {
                tracing::warn!(%error, "a changed ticket of the desk cannot be read");
                None
            }
        });
        let tickets = tickets.collect();
        let next = answer.after_cursor.filter(|cursor| !cursor.is_empty()).unwrap_or_else(unchanged);
        Ok(ChangedTickets { tickets, next, is_end: answer.end_of_stream })
    }
}

/// The query's one field.
fn start(from: &ChangesFrom, now: i64) -> (&'static str, String) {
    let second = match from {
        ChangesFrom::Second(second) => Some(*second),
        ChangesFrom::Cursor(cursor) => cursor.strip_prefix(SECOND).and_then(|second| second.parse().ok()),
    };
    match (second, from) {
        (Some(second), _) => ("start_time", second.min(now - SECONDS_AGO_MIN).max(0).to_string()),
        (None, ChangesFrom::Cursor(cursor)) => ("cursor", cursor.clone()),
        (None, ChangesFrom::Second(second)) => ("start_time", second.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_starts_at_a_second_or_continues_at_a_cursor() {
        let cursor = |text: &str| ChangesFrom::Cursor(text.to_owned());
        for (from, name, value) in [
            (ChangesFrom::Second(500), "start_time", "500"),
            (ChangesFrom::Second(990), "start_time", "880"),
            (ChangesFrom::Second(-5), "start_time", "0"),
            (cursor("second:500"), "start_time", "500"),
            (cursor("second:999"), "start_time", "880"),
            (cursor("MTU4MDc1Mzc5OC4wfHw0MzJ8"), "cursor", "MTU4MDc1Mzc5OC4wfHw0MzJ8"),
            (cursor("second:x"), "cursor", "second:x"),
        ] {
            assert_eq!(start(&from, 1000), (name, value.to_owned()), "{from:?}");
        }
    }
}

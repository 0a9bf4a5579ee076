//! Tickets. Invariant: a ticket ID becomes part of a path only if it is all digits.

use reqwest::Method;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::http::null_as_empty;
use crate::{Desk, Error};

/// A 64-bit ID has no more digits.
const ID_DIGITS_MAX: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    New,
    /// Waiting for support.
    Open,
    /// Waiting for the requester.
    Pending,
    /// Waiting for a third party.
    Hold,
    /// Answered; can be reopened.
    Solved,
    /// Final: the ticket can no longer be updated.
    Closed,
    /// Only seen in [`Desk::changed_tickets`]; elsewhere a deleted ticket is not found.
    Deleted,
    /// A status this crate does not know; not closed.
    #[serde(other)]
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Ticket {
    pub id: u64,
    pub status: Status,
    #[serde(default, deserialize_with = "null_as_empty")]
    pub subject: String,
    pub organization_id: Option<u64>,
    /// 0 if the desk has erased them.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub requester_id: u64,
    #[serde(default)]
    pub ticket_form_id: Option<u64>,
    /// Whatever else names it.
    #[serde(default)]
    pub external_id: Option<String>,
    #[serde(default, deserialize_with = "null_as_empty")]
    pub tags: Vec<String>,
    /// Tickets that continue this one, which is closed.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub followup_ids: Vec<u64>,
    /// Milliseconds since the epoch; 0 if the desk does not say.
    #[serde(rename = "created_at", default, deserialize_with = "milliseconds")]
    pub created_at_ms: i64,
    /// When it last changed, exactly as the desk wrote it, for [`crate::NewComment::stamp`].
    #[serde(rename = "updated_at")]
    pub updated_stamp: String,
}

/// A ticket to open.
#[derive(Clone, Debug, Serialize)]
pub struct NewTicket {
    pub subject: String,
    /// The first comment, which is public.
    #[serde(skip)]
    pub body: String,
    /// Upload tokens for that comment.
    #[serde(skip)]
    pub uploads: Vec<String>,
    #[serde(flatten)]
    pub requester: Requester,
    /// One of the requester's organizations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket_form_id: Option<u64>,
    pub tags: Vec<String>,
    /// An ID of ours to find the ticket by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

/// The requester of a new ticket.
#[derive(Clone, Debug, Serialize)]
pub enum Requester {
    /// A user of the desk.
    #[serde(rename = "requester_id")]
    Id(u64),
    /// A person by e-mail address. The desk creates a user if it has none.
    #[serde(rename = "requester")]
    Person { name: String, email: String },
}

#[derive(Deserialize)]
pub(crate) struct TicketAnswer {
    pub(crate) ticket: Ticket,
}

#[derive(Deserialize)]
struct TicketsAnswer {
    tickets: Vec<Ticket>,
}

impl Ticket {
    /// The organisation's ID, as the ledger keeps it.
    pub fn organization(&self) -> Option<i64> {
        self.organization_id.and_then(|id| i64::try_from(id).ok())
    }

    /// When it last changed, ms; none if the desk's text is not a time.
    pub fn updated_at_ms(&self) -> Option<i64> {
        self.updated_stamp.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
    }
}

impl Desk {
    /// # Errors
    /// [`Error::NotFound`], without a call if `id` is not a number.
    pub async fn ticket(&self, id: &str) -> Result<Ticket, Error> {
        let request = self.request(Method::GET, &["tickets", digits(id)?])?;
        Ok(self.call::<TicketAnswer>(request).await?.ticket)
    }

    /// Opens a ticket. The same `idempotency_key` (at most 255 bytes, kept for two hours) opens it only once.
    pub async fn create_ticket(&self, ticket: &NewTicket, idempotency_key: &str) -> Result<Ticket, Error> {
        let mut body = json!({ "ticket": ticket });
        body["ticket"]["comment"] = json!({"body": ticket.body, "public": true, "uploads": ticket.uploads});
        if let Requester::Id(id) = ticket.requester {
            // The submitter is the author of the first comment: otherwise the requester's words would be ours.
            body["ticket"]["submitter_id"] = id.into();
        }
        let request = self.request(Method::POST, &["tickets"])?;
        let request = request.header("idempotency-key", idempotency_key).json(&body);
        Ok(self.call::<TicketAnswer>(request).await?.ticket)
    }

    /// Adds one tag, unless the ticket has changed since its stamp was read. A tag that is there already stays.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it has changed.
    pub async fn add_tag(&self, ticket: &str, tag: &str, stamp: &str) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Answer {
            tags: Vec<String>,
        }
        // The desk takes this flag as text here, unlike in an update of the ticket.
        let body = json!({"tags": [tag], "updated_stamp": stamp, "safe_update": "true"});
        let request = self.request(Method::PUT, &["tickets", digits(ticket)?, "tags"])?.json(&body);
        let tags = self.call::<Answer>(request).await?.tags;
        if tags.iter().any(|known| known.eq_ignore_ascii_case(tag)) {
            Ok(())
        } else {
            Err(Error::refused(format!("the tag {tag} is not among the ticket's tags")))
        }
    }

    /// At most 100 tickets with this ID of ours. It need not be unique. Unlike a search, this is not behind.
    pub async fn tickets_by_external_id(&self, external_id: &str) -> Result<Vec<Ticket>, Error> {
        if external_id.is_empty() {
            // Would list every ticket.
            return Ok(Vec::new());
        }
        let request = self.request(Method::GET, &["tickets"])?.query(&[("external_id", external_id)]);
        Ok(self.call::<TicketsAnswer>(request).await?.tickets)
    }

    /// Finds at most 100 tickets of an organization with this phrase in their subject. The desk's index is seconds to
    /// minutes behind: read a ticket before acting on its status.
    pub async fn search_tickets(&self, organization_id: u64, phrase: &str) -> Result<Vec<Ticket>, Error> {
        #[derive(Deserialize)]
        struct Results {
            results: Vec<Value>,
        }
        // A quote would end the phrase and turn the rest into search terms.
        let phrase: String =
            phrase.chars().map(|c| if c == '"' || c.is_control() { ' ' } else { c }).collect();
        let query = format!("type:ticket organization:{organization_id} subject:\"{}\"", phrase.trim());
        let request = self.request(Method::GET, &["search"])?.query(&[("query", query)]);
        let results: Results = self.call(request).await?;
        let tickets =
            results.results.into_iter().filter_map(|item| serde_json::from_value::<Ticket>(item).ok());
        Ok(tickets.filter(|ticket| ticket.organization_id == Some(organization_id)).collect())
    }
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let time = Option::<jiff::Timestamp>::deserialize(deserializer)?;
    Ok(time.map_or(0, jiff::Timestamp::as_millisecond))
}

/// The ID, if it may become part of a path.
pub(crate) fn digits(id: &str) -> Result<&str, Error> {
    if is_id(id) { Ok(id) } else { Err(Error::NotFound) }
}

fn is_id(text: &str) -> bool {
    (1..=ID_DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A ticket number as people write it, with spaces around it or a `#` in front. `None` if it is not a number.
pub fn ticket_number(input: &str) -> Option<String> {
    let digits = input.trim();
    let digits = digits.strip_prefix('#').unwrap_or(digits).trim_start();
    let number = digits.trim_start_matches('0');
    (is_id(digits) && !number.is_empty()).then(|| number.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_all_digits() {
        for (id, fits) in [
            ("1001", true),
            ("18446744073709551615", true),
            ("", false),
            ("123456789012345678901", false),
            ("1/../2", false),
            ("1001.json", false),
            ("-1", false),
            ("١٢", false),
        ] {
            assert_eq!(digits(id).is_ok(), fits, "{id}");
        }
    }

    #[test]
    fn statuses_are_parsed() {
        for (text, status) in [
            ("closed", Status::Closed),
            ("deleted", Status::Deleted),
            ("hold", Status::Hold),
            ("new", Status::New),
            ("invented", Status::Other),
        ] {
            assert_eq!(serde_json::from_value::<Status>(json!(text)).unwrap(), status);
        }
    }

    #[test]
    fn absent_fields_of_a_ticket_have_defaults() {
        let ticket: Ticket = serde_json::from_value(json!({"id": 1, "status": "deleted", "subject": null,
            "requester_id": null, "tags": null, "created_at": null, "updated_at": "2026-01-01T00:00:00Z"}))
        .unwrap();
        assert_eq!((ticket.requester_id, ticket.created_at_ms), (0, 0));
        assert!(ticket.tags.is_empty() && ticket.subject.is_empty());
        let ticket: Ticket = serde_json::from_value(json!({"id": 1, "status": "open", "requester_id": 5,
            "tags": ["a"], "created_at": "2026-01-01T00:00:01Z", "updated_at": ""}))
        .unwrap();
        assert_eq!((ticket.tags, ticket.created_at_ms), (vec!["a".to_owned()], 1_767_225_601_000));
    }

    #[test]
    fn a_new_ticket_names_its_requester() {
        let ticket = |requester| NewTicket {
            subject: "s".to_owned(),
            body: "b".to_owned(),
            uploads: vec![],
            requester,
            organization_id: None,
            ticket_form_id: Some(3),
            tags: vec![],
            external_id: None,
        };
        let by_id = serde_json::to_value(ticket(Requester::Id(5))).unwrap();
        assert_eq!(by_id, json!({"subject": "s", "requester_id": 5, "ticket_form_id": 3, "tags": []}));
        let person = Requester::Person { name: "n".to_owned(), email: "e@x".to_owned() };
        let by_address = serde_json::to_value(ticket(person)).unwrap();
        assert_eq!(by_address["requester"], json!({"name": "n", "email": "e@x"}));
    }

    #[test]
    fn ticket_numbers_are_read_as_people_write_them() {
        for (input, number) in [
            ("1001", Some("1001")),
            (" #1001 ", Some("1001")),
            ("# 1001", Some("1001")),
            ("0042", Some("42")),
            ("18446744073709551615", Some("18446744073709551615")),
            ("", None),
            ("#", None),
            ("0", None),
            ("##1", None),
            ("10 01", None),
            ("1001a", None),
            ("T123456789", None),
            ("123456789012345678901", None),
            ("١٢", None),
        ] {
            assert_eq!(ticket_number(input).as_deref(), number, "{input:?}");
        }
    }
}

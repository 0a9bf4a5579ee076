//! Tickets and their comments.
//!
//! Invariants: a ticket's id goes into a path only if it is all digits; a comment always says whether it is public, and
//! always goes with the stamp of the ticket it was written for.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Desk, Error};

/// Comments asked for at once: this many of the longest (64 KiB, three times each) stay within one answer's limit.
const PAGE_COMMENTS: usize = 30;
/// Zendesk holds at most 5,000 comments of a ticket.
const MAX_PAGES: usize = 5_000 / PAGE_COMMENTS + 1;
/// A 64-bit id has no more.
const MAX_ID_DIGITS: usize = 20;

/// A ticket's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nobody looked yet.
    New,
    /// Support's turn.
    Open,
    /// The requester's turn.
    Pending,
    /// A third party's turn.
    Hold,
    /// Answered; can be opened again.
    Solved,
    /// Final: takes no update any more.
    Closed,
    /// One this crate does not know; not closed.
    #[serde(other)]
    Other,
}

/// A ticket, as far as the gateway needs it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Ticket {
    /// Its id.
    pub id: u64,
    /// Its status.
    pub status: Status,
    /// Its subject.
    #[serde(default, deserialize_with = "crate::people::text")]
    pub subject: String,
    /// The organization it belongs to.
    pub organization_id: Option<u64>,
    /// Who asked.
    pub requester_id: u64,
    /// With which form.
    #[serde(default)]
    pub ticket_form_id: Option<u64>,
    /// When it changed last, in the desk's own spelling: what [`NewComment::stamp`] takes.
    #[serde(rename = "updated_at")]
    pub updated_stamp: String,
}

/// A comment on a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Its id.
    pub id: u64,
    /// Who wrote it.
    pub author_id: u64,
    /// Its text.
    pub body: String,
    /// Whether the requester sees it.
    pub public: bool,
    /// Its files.
    pub attachments: Vec<Attachment>,
    /// When it was written, in milliseconds since the epoch; the desk knows whole seconds only.
    pub created_at_ms: i64,
}

/// A file on a comment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Attachment {
    /// Its name.
    pub file_name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Where its bytes are. May be another host: never send it our credentials.
    pub content_url: String,
}

/// A comment to write.
#[derive(Clone, Debug)]
pub struct NewComment<'a> {
    /// Its text, in Markdown. What a stranger wrote goes through [`crate::escape`] first.
    pub body: String,
    /// Whether the requester sees it.
    pub public: bool,
    /// Upload tokens; each can be used once.
    pub uploads: Vec<String>,
    /// [`Ticket::updated_stamp`] as read before deciding to write this.
    pub stamp: &'a str,
}

/// A ticket to open.
#[derive(Clone, Debug, Serialize)]
pub struct NewTicket {
    /// Its subject.
    pub subject: String,
    /// Its first, public comment.
    #[serde(skip)]
    pub body: String,
    /// Upload tokens for that comment.
    #[serde(skip)]
    pub uploads: Vec<String>,
    /// Who asks.
    #[serde(flatten)]
    pub requester: Requester,
    /// For which organization; one of the requester's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<u64>,
    /// With which form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket_form_id: Option<u64>,
    /// Tags.
    pub tags: Vec<String>,
    /// An id of ours, by which it can be found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

/// Who asks in a new ticket.
#[derive(Clone, Debug, Serialize)]
pub enum Requester {
    /// A user of the desk.
    #[serde(rename = "requester_id")]
    Id(u64),
    /// Somebody by address; the desk makes a user of them if it knows none.
    #[serde(rename = "requester")]
    Person {
        /// Their name.
        name: String,
        /// Their address.
        email: String,
    },
}

#[derive(Deserialize)]
struct TicketAnswer {
    ticket: Ticket,
}

#[derive(Deserialize)]
struct CommentsAnswer {
    comments: Vec<CommentShape>,
    meta: Meta,
}

#[derive(Deserialize)]
struct Meta {
    has_more: bool,
    after_cursor: Option<String>,
}

#[derive(Deserialize)]
struct CommentShape {
    id: u64,
    author_id: i64,
    #[serde(default, deserialize_with = "crate::people::text")]
    body: String,
    public: bool,
    #[serde(default)]
    attachments: Vec<Attachment>,
    created_at: jiff::Timestamp,
}

impl From<CommentShape> for Comment {
    fn from(shape: CommentShape) -> Self {
        let CommentShape { id, author_id, body, public, attachments, created_at } = shape;
        // Zendesk's own system user has the id -1; as an author it is nobody we know.
        let author_id = u64::try_from(author_id).unwrap_or_default();
        Self { id, author_id, body, public, attachments, created_at_ms: created_at.as_millisecond() }
    }
}

impl Desk {
    /// Reads a ticket.
    ///
    /// # Errors
    /// [`Error::NotFound`] also for an `id` that is no number, without a call.
    pub async fn ticket(&self, id: &str) -> Result<Ticket, Error> {
        let request = self.request(Method::GET, &["tickets", digits(id)?])?;
        Ok(self.call::<TicketAnswer>(request).await?.ticket)
    }

    /// The comments written at `since_ms` (milliseconds since the epoch) or later, newest first. The desk's clock decides
    /// and knows whole seconds only: a caller that must not miss one allows for the difference between the clocks.
    pub async fn comments_since(&self, id: &str, since_ms: i64) -> Result<Vec<Comment>, Error> {
        let id = digits(id)?;
        let since_ms = since_ms.div_euclid(1000) * 1000;
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        for _ in 0..MAX_PAGES {
            let mut query =
                vec![("page[size]", PAGE_COMMENTS.to_string()), ("sort", "-created_at".to_owned())];
            query.extend(cursor.take().map(|cursor| ("page[after]", cursor)));
            let request = self.request(Method::GET, &["tickets", id, "comments"])?.query(&query);
            let answer: CommentsAnswer = self.call(request).await?;
            for comment in answer.comments {
                let comment = Comment::from(comment);
                if comment.created_at_ms < since_ms {
                    return Ok(found);
                }
                found.push(comment);
            }
            cursor = answer.meta.after_cursor.filter(|_| answer.meta.has_more);
            if cursor.is_none() {
                return Ok(found);
            }
        }
        Err(Error::unavailable("the list of comments does not end"))
    }

    /// Writes a comment, unless the ticket has changed since its stamp was read.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it has. After [`Error::Unavailable`] the comment may be there: look before writing again.
    pub async fn comment(&self, id: &str, comment: NewComment<'_>) -> Result<(), Error> {
        let id = digits(id)?;
        let NewComment { body, public, uploads, stamp } = comment;
        let ticket = json!({"ticket": {
            "comment": {"body": body, "public": public, "uploads": uploads},
            "safe_update": true,
            "updated_stamp": stamp,
        }});
        let request = self.request(Method::PUT, &["tickets", id])?.json(&ticket);
        let answer: TicketAnswer = self.call(request).await?;
        if answer.ticket.id.to_string() == id.trim_start_matches('0') {
            Ok(())
        } else {
            Err(Error::unavailable("the desk answered for another ticket"))
        }
    }

    /// Opens a ticket and answers it. The same `idempotency_key` (at most 255 bytes, kept two hours) opens it once only.
    pub async fn create_ticket(&self, ticket: &NewTicket, idempotency_key: &str) -> Result<Ticket, Error> {
        let mut body = json!({ "ticket": ticket });
        body["ticket"]["comment"] = json!({"body": ticket.body, "public": true, "uploads": ticket.uploads});
        let request = self.request(Method::POST, &["tickets"])?;
        let request = request.header("idempotency-key", idempotency_key).json(&body);
        Ok(self.call::<TicketAnswer>(request).await?.ticket)
    }

    /// Tickets of an organization with this phrase in their subject, at most 100. The desk's index lags behind by seconds to
    /// minutes: read a ticket before acting on its status.
    pub async fn search_tickets(&self, organization_id: u64, phrase: &str) -> Result<Vec<Ticket>, Error> {
        #[derive(Deserialize)]
        struct Results {
            results: Vec<Value>,
        }
        // A quote would end the phrase and let the rest be read as terms of the query.
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

fn digits(id: &str) -> Result<&str, Error> {
    let fits = (1..=MAX_ID_DIGITS).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit());
    if fits { Ok(id) } else { Err(Error::NotFound) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_are_an_id() {
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
    fn statuses_are_read() {
        for (text, status) in [
            ("closed", Status::Closed),
            ("hold", Status::Hold),
            ("new", Status::New),
            ("invented", Status::Other),
        ] {
            assert_eq!(serde_json::from_value::<Status>(json!(text)).unwrap(), status);
        }
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
}

//! Comments. Invariant: a comment always says whether it is public, and is always written against the ticket's stamp.

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::http::null_as_empty;
use crate::tickets::{TicketAnswer, digits};
use crate::{Desk, Error};

/// Comments per page: this many of the longest (64 KiB, three times each) stay within the size limit of an answer.
const PAGE_COMMENTS: usize = 30;
/// Zendesk keeps at most 5,000 comments per ticket.
const PAGES_MAX: usize = 5_000 / PAGE_COMMENTS + 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    pub id: u64,
    pub author_id: u64,
    pub body: String,
    /// Whether the requester can see it.
    pub public: bool,
    pub attachments: Vec<Attachment>,
    /// Milliseconds since the epoch; the desk only keeps whole seconds.
    pub created_at_ms: i64,
}

/// A file attached to a comment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Attachment {
    pub file_name: String,
    /// Bytes.
    pub size: u64,
    /// Where its bytes are. May be on another host: never send it our credentials.
    pub content_url: String,
}

/// A comment to write.
#[derive(Clone, Debug)]
pub struct NewComment<'a> {
    /// Markdown. Pass text from strangers through [`crate::escape`] first.
    pub body: String,
    /// Whether the requester can see it.
    pub public: bool,
    /// Upload tokens; each works once.
    pub uploads: Vec<String>,
    /// [`crate::Ticket::updated_stamp`], as read before deciding to write this.
    pub stamp: &'a str,
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
    #[serde(default, deserialize_with = "null_as_empty")]
    body: String,
    public: bool,
    #[serde(default)]
    attachments: Vec<Attachment>,
    created_at: jiff::Timestamp,
}

impl From<CommentShape> for Comment {
    fn from(shape: CommentShape) -> Self {
        let CommentShape { id, author_id, body, public, attachments, created_at } = shape;
        // Zendesk's system user has the ID -1, which becomes 0 here and matches no user.
        let author_id = u64::try_from(author_id).unwrap_or_default();
        Self { id, author_id, body, public, attachments, created_at_ms: created_at.as_millisecond() }
    }
}

impl Desk {
    /// The comments written at `since_ms` (milliseconds since the epoch) or later, newest first. The desk's clock decides,
    /// in whole seconds: a caller that must not miss one allows for the difference between the clocks.
    pub async fn comments_since(&self, id: &str, since_ms: i64) -> Result<Vec<Comment>, Error> {
        let id = digits(id)?;
        let since_ms = since_ms.div_euclid(1000) * 1000;
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        for _ in 0..PAGES_MAX {
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
        Err(Error::unavailable("the list of comments has no end"))
    }

    /// Writes a comment, unless the ticket has changed since its stamp was read.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it has changed. After [`Error::Unavailable`] the comment may exist: look before you retry.
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
}

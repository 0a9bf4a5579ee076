//! The JSON shapes of Zendesk's API, made from the desk's state. Pure: nothing here reads or writes.

use axum::extract::FromRequestParts;
use axum::http::header::HOST;
use axum::http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::model::{Attachment, Comment, Organization, Role, Seconds, State, Ticket, Upload, User};

/// Characters that need no escape in a URL (RFC 3986, section 2.3).
pub(super) const UNRESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// This desk's own address, as the caller spelt it: `http://host:port`. Every URL in an answer begins with it.
#[derive(Clone, Debug)]
pub(super) struct Base(pub String);

impl<S: Sync> FromRequestParts<S> for Base {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| parts.uri.authority().map(|authority| authority.as_str()));
        Ok(Self(format!("http://{}", host.unwrap_or("localhost"))))
    }
}

/// RFC 3339 in UTC with whole seconds, as Zendesk writes it.
pub(super) fn time(at: Seconds) -> String {
    jiff::Timestamp::from_second(at).unwrap_or_default().to_string()
}

impl Base {
    pub(super) fn ticket(&self, ticket: &Ticket) -> Value {
        let fields = json!(ticket.custom_fields);
        let status = if ticket.deleted { json!("deleted") } else { json!(ticket.status) };
        json!({
            "url": format!("{}/api/v2/tickets/{}.json", self.0, ticket.id),
            "id": ticket.id,
            "external_id": ticket.external_id,
            "via": {"channel": "api", "source": {"from": {}, "to": {}, "rel": null}},
            "created_at": time(ticket.created_at),
            "updated_at": time(ticket.updated_at),
            "generated_timestamp": ticket.updated_at,
            "type": ticket.kind,
            "subject": ticket.subject,
            "raw_subject": ticket.subject,
            "description": ticket.comments.first().map(|comment| &comment.body),
            "priority": ticket.priority,
            "status": status,
            "recipient": null,
            "requester_id": ticket.requester_id,
            "submitter_id": ticket.submitter_id,
            "assignee_id": ticket.assignee_id,
            "organization_id": ticket.organization_id,
            "group_id": null,
            "collaborator_ids": [],
            "follower_ids": [],
            "email_cc_ids": [],
            "followup_source_id": ticket.followup_source_id,
            "followup_ids": ticket.followup_ids,
            "problem_id": null,
            "has_incidents": false,
            "is_public": ticket.comments.iter().any(|comment| comment.public),
            "due_at": null,
            "tags": ticket.tags,
            "custom_fields": fields,
            "fields": fields,
            "satisfaction_rating": {"score": "unoffered"},
            "ticket_form_id": ticket.ticket_form_id,
            "allow_channelback": false,
            "allow_attachments": true,
        })
    }

    pub(super) fn comment(&self, state: &State, comment: &Comment) -> Value {
        json!({
            "id": comment.id,
            "type": "Comment",
            "author_id": comment.author_id,
            "body": comment.body,
            "html_body": html(&comment.body),
            "plain_body": comment.body,
            "public": comment.public,
            "attachments": self.attachments(state, &comment.attachments),
            "audit_id": comment.id,
            "via": {"channel": "api", "source": {"from": {}, "to": {}, "rel": null}},
            "created_at": time(comment.created_at),
            "metadata": {"system": {}, "custom": {}},
        })
    }

    /// The audit in the answer to an update.
    pub(super) fn audit(
        &self,
        state: &State,
        ticket: &Ticket,
        author_id: u64,
        comment: Option<&Comment>,
    ) -> Value {
        let events: Vec<Value> = comment.map(|comment| self.comment(state, comment)).into_iter().collect();
        json!({
            "id": comment.map(|comment| comment.id),
            "ticket_id": ticket.id,
            "created_at": time(ticket.updated_at),
            "author_id": author_id,
            "events": events,
        })
    }

    pub(super) fn upload(&self, state: &State, token: &str, upload: &Upload) -> Value {
        let attachments = self.attachments(state, &upload.attachments);
        json!({"upload": {
            "token": token,
            "expires_at": time(upload.expires_at),
            "attachment": attachments.last(),
            "attachments": attachments,
        }})
    }

    fn attachments(&self, state: &State, tokens: &[String]) -> Vec<Value> {
        let known = |token: &String| Some(self.attachment(token, state.attachments.get(token)?));
        tokens.iter().filter_map(known).collect()
    }

    fn attachment(&self, token: &str, attachment: &Attachment) -> Value {
        let name = utf8_percent_encode(&attachment.file_name, UNRESERVED);
        let content_url = format!("{}/attachments/token/{token}/?name={name}", self.0);
        json!({
            "url": format!("{}/api/v2/attachments/{}.json", self.0, attachment.id),
            "id": attachment.id,
            "file_name": attachment.file_name,
            "content_url": content_url,
            "mapped_content_url": content_url,
            "content_type": attachment.content_type,
            "size": attachment.size,
            "width": null,
            "height": null,
            "inline": false,
            "deleted": false,
            "malware_access_override": false,
            "malware_scan_result": "not_scanned",
            "thumbnails": [],
        })
    }

    pub(super) fn user(&self, User { seed: user, created_at }: &User) -> Value {
        json!({
            "id": user.id,
            "url": format!("{}/api/v2/users/{}.json", self.0, user.id),
            "name": user.name,
            "email": user.email,
            "role": user.role,
            "organization_id": user.organization_ids.first(),
            "external_id": null,
            "verified": true,
            "active": true,
            "suspended": false,
            "moderator": user.role != Role::EndUser,
            "tags": [],
            "user_fields": {},
            "created_at": time(*created_at),
            "updated_at": time(*created_at),
        })
    }

    pub(super) fn organization(&self, Organization { seed: found, created_at }: &Organization) -> Value {
        json!({
            "id": found.id,
            "url": format!("{}/api/v2/organizations/{}.json", self.0, found.id),
            "name": found.name,
            "notes": found.notes,
            "details": found.details,
            "organization_fields": found.organization_fields,
            "external_id": found.external_id,
            "domain_names": [],
            "tags": [],
            "group_id": null,
            "shared_tickets": false,
            "shared_comments": false,
            "created_at": time(*created_at),
            "updated_at": time(*created_at),
        })
    }
}

/// The text as a page shows it. Markdown is not rendered: what it would do is the sender's affair to prevent.
fn html(body: &str) -> String {
    let escaped = body.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let paragraphs: Vec<String> = escaped
        .split("\n\n")
        .map(|text| format!("<p dir=\"auto\">{}</p>", text.replace('\n', "<br>")))
        .collect();
    format!("<div class=\"zd-comment\" dir=\"auto\">{}</div>", paragraphs.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_html() {
        assert_eq!(
            html("a < b\nc"),
            r#"<div class="zd-comment" dir="auto"><p dir="auto">a &lt; b<br>c</p></div>"#
        );
    }

    #[test]
    fn times_have_whole_seconds() {
        assert_eq!(time(1_767_225_600), "2026-01-01T00:00:00Z");
    }
}

//! What a ticket request does to the state: pure decisions, in the order Zendesk takes them.
//! Invariant: works on a copy that a refusal drops, so a refused update consumes no upload token and leaves no comment.

use serde::Deserialize;
use serde_json::Value;

use super::answer::Refusal;
use super::model::{Comment, CustomField, Seconds, SeedUser, State, Status, Ticket, User};
use super::uploads::consume;

/// Zendesk's limits on one comment and one ticket.
const MAX_COMMENT_CHARS: usize = 65_535;
const MAX_COMMENTS: usize = 5_000;

#[derive(Deserialize)]
pub(super) struct TicketBody {
    pub ticket: TicketInput,
}

/// A ticket as a caller writes it; missing fields stay as they are.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct TicketInput {
    subject: Option<String>,
    description: Option<String>,
    comment: Option<CommentInput>,
    status: Option<String>,
    priority: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    tags: Option<Vec<String>>,
    external_id: Option<String>,
    requester: Option<Requester>,
    requester_id: Option<u64>,
    /// The author of a new ticket's first comment.
    submitter_id: Option<u64>,
    assignee_id: Option<u64>,
    organization_id: Option<u64>,
    ticket_form_id: Option<u64>,
    custom_fields: Vec<CustomField>,
    via_followup_source_id: Option<u64>,
    /// `true` or `"true"`.
    safe_update: Value,
    updated_stamp: Option<String>,
}

#[derive(Default, Deserialize)]
struct CommentInput {
    body: Option<String>,
    /// Public unless told otherwise.
    public: Option<bool>,
    author_id: Option<u64>,
    #[serde(default)]
    uploads: Vec<String>,
}

#[derive(Deserialize)]
struct Requester {
    name: Option<String>,
    email: String,
}

/// Who acts, and when.
#[derive(Clone, Copy)]
pub(super) struct Act {
    pub user_id: u64,
    pub now: Seconds,
}

/// Updates a ticket; returns its new comment, if any.
pub(super) fn update(
    state: &mut State,
    id: u64,
    input: TicketInput,
    act: Act,
) -> Result<Option<Comment>, Refusal> {
    let ticket = state.ticket(id).ok_or_else(Refusal::not_found)?;
    if ticket.status == Status::Closed {
        return Err(Refusal::closed());
    }
    check_stamp(ticket, &input.safe_update, input.updated_stamp.as_deref())?;
    check_people(state, &input)?;
    let full = ticket.comments.len() >= MAX_COMMENTS;
    let comment = match &input.comment {
        Some(_) if full => {
            return Err(Refusal::invalid("comment", "TooMany", "Ticket: has too many comments"));
        }
        Some(comment) => Some(make_comment(state, comment, act.user_id, act.now)?),
        None => None,
    };
    let status = parse_status(input.status.as_deref())?;
    let Some(ticket) = state.tickets.get_mut(&id) else { return Err(Refusal::not_found()) };
    ticket.status = status.unwrap_or(ticket.status);
    if let Some(subject) = input.subject {
        ticket.subject = subject;
    }
    if let Some(tags) = input.tags {
        ticket.tags = tidy(&tags);
    }
    ticket.requester_id = input.requester_id.unwrap_or(ticket.requester_id);
    ticket.organization_id = input.organization_id.or(ticket.organization_id);
    ticket.assignee_id = input.assignee_id.or(ticket.assignee_id);
    ticket.ticket_form_id = input.ticket_form_id.or(ticket.ticket_form_id);
    ticket.priority = input.priority.or(ticket.priority.take());
    ticket.kind = input.kind.or(ticket.kind.take());
    ticket.external_id = input.external_id.or(ticket.external_id.take());
    for field in input.custom_fields {
        ticket.custom_fields.retain(|known| known.id != field.id);
        ticket.custom_fields.push(field);
    }
    ticket.comments.extend(comment.clone());
    state.touch(id, act.now);
    Ok(comment)
}

/// Creates a ticket; returns its ID.
pub(super) fn create(state: &mut State, input: TicketInput, act: Act) -> Result<u64, Refusal> {
    check_people(state, &input)?;
    let requester_id = requester(state, &input, act)?;
    let description = CommentInput { body: input.description, ..CommentInput::default() };
    let submitter_id = input.submitter_id.unwrap_or(act.user_id);
    let comment = make_comment(state, &input.comment.unwrap_or(description), submitter_id, act.now)?;
    let belongs =
        state.users.get(&requester_id).map(|user| user.seed.organization_ids.clone()).unwrap_or_default();
    if input.organization_id.is_some_and(|id| !belongs.contains(&id)) {
        let description = "Organization: is not one of the requester's";
        return Err(Refusal::invalid("organization", "InvalidValue", description));
    }
    let source = input.via_followup_source_id.and_then(|id| state.ticket(id));
    let followup_source_id = source.filter(|source| source.status == Status::Closed).map(|source| source.id);
    let id = state.tickets.keys().next_back().copied().unwrap_or_default() + 1;
    let ticket = Ticket {
        id,
        subject: input.subject.unwrap_or_else(|| comment.body.chars().take(150).collect()),
        status: parse_status(input.status.as_deref())?.unwrap_or(Status::New),
        requester_id,
        submitter_id,
        assignee_id: input.assignee_id,
        organization_id: input.organization_id.or_else(|| belongs.first().copied()),
        ticket_form_id: input.ticket_form_id,
        priority: input.priority,
        kind: input.kind,
        external_id: input.external_id,
        followup_source_id,
        tags: tidy(&input.tags.unwrap_or_default()),
        custom_fields: input.custom_fields,
        created_at: act.now,
        updated_at: act.now,
        comments: vec![comment],
        ..Ticket::default()
    };
    state.tickets.insert(id, ticket);
    if let Some(source) = followup_source_id.and_then(|source| state.tickets.get_mut(&source)) {
        source.followup_ids.push(id);
    }
    state.changed(id);
    Ok(id)
}

/// 409 unless the caller has seen the newest state; only where it asks for that.
pub(super) fn check_stamp(ticket: &Ticket, safe_update: &Value, stamp: Option<&str>) -> Result<(), Refusal> {
    if *safe_update != Value::Bool(true) && *safe_update != "true" {
        return Ok(());
    }
    let stamp = stamp.and_then(|stamp| stamp.parse::<jiff::Timestamp>().ok());
    let stamp = stamp
        .ok_or_else(|| Refusal::bad_request("InvalidValue", "updated_stamp is missing or not a time"))?;
    if stamp.as_second() < ticket.updated_at { Err(Refusal::conflict()) } else { Ok(()) }
}

fn check_people(state: &State, input: &TicketInput) -> Result<(), Refusal> {
    let author_id = input.comment.as_ref().and_then(|comment| comment.author_id);
    for (field, id) in
        [("requester", input.requester_id), ("assignee", input.assignee_id), ("author", author_id)]
    {
        if id.is_some_and(|id| !state.users.contains_key(&id)) {
            return Err(Refusal::invalid(field, "InvalidValue", &format!("{field}: is invalid")));
        }
    }
    if input.organization_id.is_some_and(|id| !state.organizations.contains_key(&id)) {
        return Err(Refusal::invalid("organization", "InvalidValue", "Organization: is invalid"));
    }
    Ok(())
}

/// The requester by ID, by address or, failing both, the caller. An unknown address creates an end user.
fn requester(state: &mut State, input: &TicketInput, act: Act) -> Result<u64, Refusal> {
    let Some(requester) = &input.requester else { return Ok(input.requester_id.unwrap_or(act.user_id)) };
    let email = requester.email.trim();
    if !email.contains('@') {
        return Err(Refusal::invalid(
            "requester",
            "InvalidValue",
            "Requester: Email is not properly formatted",
        ));
    }
    if let Some(user) = state.users.values().find(|user| user.seed.email.eq_ignore_ascii_case(email)) {
        return Ok(user.seed.id);
    }
    let id = state.next_id();
    let name = requester.name.clone().unwrap_or_else(|| email.to_owned());
    let seed = SeedUser { id, name, email: email.to_owned(), ..SeedUser::default() };
    state.users.insert(id, User { seed, created_at: act.now });
    Ok(id)
}

fn make_comment(
    state: &mut State,
    input: &CommentInput,
    author_id: u64,
    now: Seconds,
) -> Result<Comment, Refusal> {
    let body = input.body.clone().unwrap_or_default();
    if body.trim().is_empty() {
        return Err(Refusal::invalid("comment", "BlankValue", "Comment: cannot be blank"));
    }
    if body.chars().count() > MAX_COMMENT_CHARS {
        return Err(Refusal::invalid(
            "comment",
            "TooLong",
            "Comment: is too long (maximum is 65535 characters)",
        ));
    }
    let attachments = consume(state, &input.uploads, now)?;
    Ok(Comment {
        id: state.next_id(),
        author_id: input.author_id.unwrap_or(author_id),
        body,
        public: input.public.unwrap_or(true),
        attachments,
        created_at: now,
    })
}

fn parse_status(text: Option<&str>) -> Result<Option<Status>, Refusal> {
    let invalid = || Refusal::invalid("status", "InvalidValue", "Status: is invalid");
    text.map(|text| Status::parse(text).ok_or_else(invalid)).transpose()
}

/// Tags are a sorted set of lower-case words.
pub(super) fn tidy(tags: &[String]) -> Vec<String> {
    let words = tags.iter().flat_map(|tag| tag.split_whitespace());
    let mut tags: Vec<String> = words.map(str::to_lowercase).collect();
    tags.sort();
    tags.dedup();
    tags
}

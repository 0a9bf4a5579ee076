//! Tickets over HTTP: show, list, create, update and delete them, add tags, list comments.
//! Invariant: `write` decides what a request does; this file only translates.

use std::sync::{Arc, PoisonError};

use axum::extract::{Path, Query, State as Shared};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answer::Refusal;
use super::credentials::sha256_hex;
use super::instance::{Desk, Params};
use super::model::{Comment, Replay, Seconds, State, Status, Ticket};
use super::paging::answer;
use super::people::id;
use super::render::Base;
use super::write::{self, Act, TicketBody};

/// How long an `Idempotency-Key` is remembered: two hours.
const REPLAY_SECONDS: Seconds = 2 * 60 * 60;
const LOOKUP: HeaderName = HeaderName::from_static("x-idempotency-lookup");

impl Desk {
    fn act(&self) -> Act {
        Act { user_id: self.agent_id, now: self.now() }
    }

    /// Refuses one update too many. Called last, so that only an update that would succeed is counted.
    fn count_update(&self, ticket: u64, act: Act) -> Result<(), Refusal> {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits
            .update(act.user_id, ticket, act.now, self.options.updates_per_ticket)
            .map_err(Refusal::too_many)
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::bad_request("InvalidRequest", &error.to_string()))
}

pub(super) async fn show(
    Shared(desk): Shared<Arc<Desk>>,
    base: Base,
    Path(of): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let state = desk.read();
    let ticket = state.ticket(id(&of)?).ok_or_else(Refusal::not_found)?;
    Ok(Json(json!({"ticket": base.ticket(ticket)})))
}

/// All tickets, or those with an `external_id`.
pub(super) async fn list(
    Shared(desk): Shared<Arc<Desk>>,
    base: Base,
    Query(params): Query<Params>,
) -> Result<Json<Value>, Refusal> {
    let state = desk.read();
    let external_id = params.get("external_id");
    let wanted = |ticket: &&Ticket| {
        !ticket.deleted && (external_id.is_none() || ticket.external_id.as_ref() == external_id)
    };
    let tickets: Vec<&Ticket> = state.tickets.values().filter(wanted).collect();
    answer("tickets", &tickets, |ticket| ticket.id, |ticket| base.ticket(ticket), (&params, &base, "tickets"))
}

pub(super) async fn update(
    Shared(desk): Shared<Arc<Desk>>,
    base: Base,
    Path(of): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let (id, input) = (id(&of)?, parse::<TicketBody>(&body)?.ticket);
    let (act, holder) = (desk.act(), Arc::clone(&desk));
    desk.change(move |state| {
        let comment = write::update(state, id, input, act)?;
        holder.count_update(id, act)?;
        let ticket = state.ticket(id).ok_or_else(Refusal::not_found)?;
        let audit = base.audit(state, ticket, act.user_id, comment.as_ref());
        Ok(Json(json!({"ticket": base.ticket(ticket), "audit": audit})))
    })
    .await
}

pub(super) async fn create(
    Shared(desk): Shared<Arc<Desk>>,
    base: Base,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let input = parse::<TicketBody>(&body)?.ticket;
    let key = match headers.get("idempotency-key").map(|key| key.to_str()) {
        Some(Ok(key)) if key.len() <= 255 => Some(key.to_owned()),
        Some(_) => {
            return Err(Refusal::bad_request("IdempotentRequestError", "The idempotency key is not valid"));
        }
        None => None,
    };
    let (act, digest) = (desk.act(), sha256_hex(&body));
    let keyed = key.is_some();
    let (shown, location, hit) = desk
        .change(move |state| {
            let replay = key.as_ref().and_then(|key| replay(state, key, act.now)).cloned();
            let (id, hit) = match replay {
                Some(replay) if replay.request_sha256 == digest => (replay.ticket_id, true),
                Some(_) => {
                    let description = "Request parameters don't match the given idempotency key";
                    return Err(Refusal::bad_request("IdempotentRequestError", description));
                }
                None => (write::create(state, input, act)?, false),
            };
            if let Some(key) = key.filter(|_| !hit) {
                let expires_at = act.now + REPLAY_SECONDS;
                state.replays.insert(key, Replay { request_sha256: digest, ticket_id: id, expires_at });
            }
            let ticket = state.tickets.get(&id).ok_or_else(Refusal::not_found)?;
            let audit = base.audit(state, ticket, act.user_id, ticket.comments.first());
            let location = format!("{}/api/v2/tickets/{id}.json", base.0);
            Ok((json!({"ticket": base.ticket(ticket), "audit": audit}), location, hit))
        })
        .await?;
    let mut response = (StatusCode::CREATED, [("location", location)], Json(shown)).into_response();
    if keyed {
        response
            .headers_mut()
            .insert(LOOKUP, if hit { "hit" } else { "miss" }.parse().map_err(anyhow::Error::from)?);
    }
    Ok(response)
}

fn replay<'a>(state: &'a State, key: &str, now: Seconds) -> Option<&'a Replay> {
    state.replays.get(key).filter(|replay| replay.expires_at > now)
}

pub(super) async fn remove(
    Shared(desk): Shared<Arc<Desk>>,
    Path(of): Path<String>,
) -> Result<StatusCode, Refusal> {
    let (id, now) = (id(&of)?, desk.now());
    desk.change(move |state| {
        let ticket =
            state.tickets.get_mut(&id).filter(|ticket| !ticket.deleted).ok_or_else(Refusal::not_found)?;
        ticket.deleted = true;
        state.touch(id, now);
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

pub(super) async fn comments(
    Shared(desk): Shared<Arc<Desk>>,
    base: Base,
    Path(of): Path<String>,
    Query(params): Query<Params>,
) -> Result<Json<Value>, Refusal> {
    let state = desk.read();
    let ticket = state.ticket(id(&of)?).ok_or_else(Refusal::not_found)?;
    let mut comments: Vec<&Comment> = ticket.comments.iter().collect();
    let descending = params.get("sort").is_some_and(|sort| sort.starts_with('-'))
        || params.get("sort_order").is_some_and(|order| order.eq_ignore_ascii_case("desc"));
    if descending {
        comments.reverse();
    }
    let query = (&params, &base, &*format!("tickets/{of}/comments"));
    answer("comments", &comments, |comment| comment.id, |comment| base.comment(&state, comment), query)
}

/// The last two fields guard the tags as they guard an update.
#[derive(Deserialize)]
pub(super) struct Tags {
    tags: Vec<String>,
    #[serde(default)]
    safe_update: Value,
    updated_stamp: Option<String>,
}

pub(super) async fn add_tags(
    Shared(desk): Shared<Arc<Desk>>,
    Path(of): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let (id, input) = (id(&of)?, parse::<Tags>(&body)?);
    let (act, holder) = (desk.act(), Arc::clone(&desk));
    desk.change(move |state| {
        let ticket =
            state.tickets.get_mut(&id).filter(|ticket| !ticket.deleted).ok_or_else(Refusal::not_found)?;
        if ticket.status == Status::Closed {
            return Err(Refusal::closed());
        }
        write::check_stamp(ticket, &input.safe_update, input.updated_stamp.as_deref())?;
        ticket.tags = write::tidy(&[&ticket.tags[..], &input.tags].concat());
        let tags = json!({"tags": ticket.tags});
        state.touch(id, act.now);
        holder.count_update(id, act)?;
        Ok(Json(tags))
    })
    .await
}

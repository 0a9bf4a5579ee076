//! Upload links: made, shown, renewed and revoked by support.

use access::{LinkError, LinkMaker};
use api::{CreatedLink, LinkExpiry, LinkList, LinkRequest};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::extract::{Id, JsonBody, Params, Staff, found, partner};
use crate::http::json::Json;
use crate::problem::{self, Problem};
use crate::state::AppState;
use crate::to_api;

/// Largest body: the description of a link.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Makes an upload link.
#[utoipa::path(post, path = "/api/v1/links", operation_id = "create_link", request_body = LinkRequest, responses(
    (status = 201, description = "The link. No other answer has its URL.", body = CreatedLink),
    (status = 404, description = "The ticket is unknown, or of another partner."),
    (status = 409, description = "The ticket is closed."),
    (status = 422, description = "Fields are missing or wrong."),
))]
pub(crate) async fn create(
    staff: Staff,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<LinkRequest>,
) -> Result<Response, Problem> {
    let made = maker(&state).make(&request, &staff.actor()).await?;
    let created = CreatedLink {
        url: format!("{}/u/{}", state.public_url, made.token.reveal()),
        warning: made.warning,
        link: to_api::link(&made.link),
    };
    Ok((StatusCode::CREATED, [("cache-control", "no-store")], Json(created)).into_response())
}

pub(crate) fn maker(state: &AppState) -> LinkMaker<'_> {
    LinkMaker { ledger: &state.ledger, desk: &state.desk, default_expiry: state.limits.link_expiry }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkFilter {
    /// The short name of a partner.
    partner: Option<String>,
}

/// Lists upload links.
#[utoipa::path(get, path = "/api/v1/links", operation_id = "list_links", params(LinkFilter), responses(
    (status = 200, description = "The links, without their URLs.", body = LinkList),
    (status = 404, description = "No partner has this name."),
))]
pub(crate) async fn list(
    _: Staff,
    State(state): State<AppState>,
    Params(filter): Params<LinkFilter>,
) -> Result<Json<LinkList>, Problem> {
    let of = match &filter.partner {
        Some(id) => Some(partner(&state, id).await?.id),
        None => None,
    };
    let links = state.ledger.links(of.as_deref()).await?;
    Ok(Json(LinkList { links: links.iter().map(to_api::link).collect() }))
}

/// Shows an upload link.
#[utoipa::path(get, path = "/api/v1/links/{id}", operation_id = "show_link",
    params(("id" = String, Path, description = "The id of a link.")),
    responses(
        (status = 200, description = "The link, without its URL.", body = api::Link),
        (status = 404, description = "No link has this id."),
    ))]
pub(crate) async fn show(
    _: Staff,
    State(state): State<AppState>,
    id: Id,
) -> Result<Json<api::Link>, Problem> {
    let id = id.of("link")?;
    Ok(Json(to_api::link(&found("link", id, state.ledger.link(id).await)?)))
}

/// Revokes an upload link, and cancels what it is sending.
#[utoipa::path(delete, path = "/api/v1/links/{id}", operation_id = "revoke_link",
    params(("id" = String, Path, description = "The id of a link.")),
    responses(
        (status = 204, description = "The link is revoked."),
        (status = 404, description = "No link has this id."),
    ))]
pub(crate) async fn revoke(
    staff: Staff,
    State(state): State<AppState>,
    id: Id,
) -> Result<StatusCode, Problem> {
    let id = id.of("link")?;
    found("link", id, state.ledger.revoke_link(id, &staff.actor()).await)?;
    state.uploads.cancel_revoked().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets an upload link work for another life from now, at the same URL.
#[utoipa::path(post, path = "/api/v1/links/{id}/renew", operation_id = "extend_link",
    params(("id" = String, Path, description = "The id of a link.")), request_body = LinkExpiry,
    responses(
        (status = 200, description = "The link.", body = api::Link),
        (status = 404, description = "No link has this id."),
        (status = 409, description = "The link was revoked, or its ticket is closed."),
        (status = 422, description = "Fields are wrong."),
    ))]
pub(crate) async fn renew(
    staff: Staff,
    State(state): State<AppState>,
    id: Id,
    JsonBody(wanted): JsonBody<LinkExpiry>,
) -> Result<Json<api::Link>, Problem> {
    let id = id.of("link")?;
    match maker(&state).renew(id, wanted.expires_in_s, &staff.actor()).await {
        Err(LinkError::Ledger(ledger::Error::NotFound)) => Err(problem::no_such_id("link", id)),
        renewed => Ok(Json(to_api::link(&renewed?))),
    }
}

//! Upload links: made, shown and revoked by support.

use access::LinkMaker;
use api::{CreatedLink, LinkList, LinkRequest};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::extract::{Id, JsonBody, Params, Staff, found, partner};
use crate::http::json::Json;
use crate::problem::Problem;
use crate::state::AppState;
use crate::to_api;

/// Largest body: the description of a link.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

pub(crate) async fn create(
    staff: Staff,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<LinkRequest>,
) -> Result<Response, Problem> {
    let maker =
        LinkMaker { ledger: &state.ledger, desk: &state.desk, default_expiry: state.limits.link_expiry };
    let made = maker.make(&request, &staff.actor()).await?;
    let created = CreatedLink {
        url: format!("{}/u/{}", state.public_url, made.token.reveal()),
        warning: made.warning,
        link: to_api::link(&made.link),
    };
    Ok((StatusCode::CREATED, [("cache-control", "no-store")], Json(created)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkFilter {
    partner: Option<String>,
}

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

pub(crate) async fn show(
    _: Staff,
    State(state): State<AppState>,
    id: Id,
) -> Result<Json<api::Link>, Problem> {
    let id = id.of("link")?;
    Ok(Json(to_api::link(&found("link", id, state.ledger.link(id).await)?)))
}

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

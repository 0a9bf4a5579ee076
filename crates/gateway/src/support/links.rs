//! Upload links: listed, made and revoked.

use api::LinkRequest;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use ledger::{Link, now_ms, rfc3339};
use page::support::{LinkRow, LinksPage};

use super::session::Session;
use crate::problem::Problem;
use crate::staff::extract::{Id, found};
use crate::staff::links::maker;
use crate::state::AppState;

/// Links on the page, the newest.
const LINKS: usize = 100;

pub(crate) async fn list(session: Session, State(state): State<AppState>) -> Result<Response, Problem> {
    show(&session, &state, None).await
}

pub(crate) async fn create(
    session: Session,
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let mut fields = session.fields(&headers, body).await?;
    let partner = fields.line("partner", "Write the partner's short name.");
    let ticket = fields.optional_line("ticket");
    fields.finish()?;
    let request = LinkRequest { partner, ticket, ..LinkRequest::default() };
    let made = maker(&state).make(&request, &session.actor()).await?;
    let url = format!("{}/u/{}", state.public_url, made.token.reveal());
    show(&session, &state, Some((&url, made.warning.as_deref()))).await
}

pub(crate) async fn revoke(
    session: Session,
    State(state): State<AppState>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    session.fields(&headers, body).await?.finish()?;
    let id = id.of("link")?;
    found("link", id, state.ledger.revoke_link(id, &session.actor()).await)?;
    state.uploads.cancel_revoked().await?;
    Ok((StatusCode::SEE_OTHER, [(LOCATION, "/support/links")]).into_response())
}

async fn show(
    session: &Session,
    state: &AppState,
    made: Option<(&str, Option<&str>)>,
) -> Result<Response, Problem> {
    let links = state.ledger.links(None).await?;
    let links: Vec<_> = links.iter().take(LINKS).map(row).collect();
    let html = page::html(&LinksPage {
        staff: &session.staff.name,
        csrf: &session.csrf,
        made: made.map(|(url, _)| url),
        warning: made.and_then(|(_, warning)| warning),
        links: &links,
    });
    Ok(([(CACHE_CONTROL, "no-store")], Html(html)).into_response())
}

fn row(link: &Link) -> LinkRow<'_> {
    let has_expired = link.expires_at.is_some_and(|at| at <= now_ms());
    let state = match (link.revoked_at, link.expires_at) {
        (Some(at), _) => format!("revoked {}", rfc3339(at)),
        (None, Some(at)) if has_expired => format!("expired {}", rfc3339(at)),
        (None, Some(at)) => format!("works until {}", rfc3339(at)),
        (None, None) => "never expires".to_owned(),
    };
    let rights: Vec<_> = link.rights.iter().map(|right| right.name()).collect();
    LinkRow {
        id: &link.id,
        partner: &link.partner_id,
        ticket: link.ticket.as_deref(),
        rights: rights.join(", "),
        state,
        works: link.revoked_at.is_none() && !has_expired,
    }
}

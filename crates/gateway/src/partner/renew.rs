//! `POST /u/{link}/renew`: a new link in place of one that has expired, as a comment on its ticket.
//! Invariant: the answer has no link. Only who reads the ticket gets the new one, so an old link in the wrong hands gains
//! nothing.

use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};

use super::request::UploadRequest;
use crate::accept::ResponseFormat;
use crate::http::html;
use crate::http::json::Json;
use crate::problem::{self, Problem};

/// Posts a new link on the ticket of a link, expired or not.
///
/// The new link can send files and, if the old one could, escalate. Each link is renewed once.
#[utoipa::path(post, path = "/u/{link}/renew", operation_id = "renew_link",
    params(("link" = String, Path, description = "The token of a link, or `-` if it is in `Authorization`.")),
    responses(
        (status = 200, description = "A new link was asked for before.", body = api::LinkRenewal),
        (status = 202, description = "A new link is posted on the ticket.", body = api::LinkRenewal),
        (status = 403, description = "The link is not bound to a ticket."),
        (status = 409, description = "The ticket is closed."),
    ))]
pub(crate) async fn post(UploadRequest(request): UploadRequest) -> Result<Response, Problem> {
    if request.link.ticket.is_none() {
        let detail = "This link is not for one ticket, so there is no ticket to post a new link on. Ask support to renew it.";
        return Err(problem::not_allowed("renew it").with_detail(detail.to_owned()));
    }
    let ledger = &request.state.ledger;
    let ticket = request.state.tickets.check().resolve(&request.link, &request.partner, None).await?;
    if let Some(parent) = &request.link.parent_id
        && ledger.link(parent).await?.expires_at.is_some_and(|end| end <= ledger::now_ms())
    {
        return Err(
            problem::link_expired(false).with_advice("So has the partner link that it was made with.")
        );
    }
    let is_new = ledger.post_link(&request.link.id, &ticket, &request.actor()).await?;
    request.state.wake.notify_one();
    let answer = match request.format {
        ResponseFormat::Html => {
            let language = request.language;
            let page = page::RenewedPage { language, ticket: &ticket, repeated: !is_new };
            html::response(language, page::html(&page))
        }
        _ => {
            Json(api::LinkRenewal { ticket, repeated: !is_new, extra: api::Extra::default() }).into_response()
        }
    };
    let status = if is_new { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, [(CACHE_CONTROL, "no-store")], answer).into_response())
}

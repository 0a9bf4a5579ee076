//! `POST /u/{link}/note`: what a sender writes to support beside its files.
//! Invariant: the text goes only on a ticket that the link may send files to.

use api::described::NoteFields;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use ledger::{NoteAdded, SENDER_NOTES_MAX};

use super::request::PartnerRequest;
use super::{form, ticket};
use crate::accept::ResponseFormat;
use crate::fields::Fields;
use crate::headers;
use crate::http::html;
use crate::http::json::Json;
use crate::problem::{self, Problem};

/// Longest text, characters.
const TEXT_CHARS_MAX: usize = 5_000;

/// Writes a note for support on a ticket.
///
/// The note is private. The same text is written once a day.
#[utoipa::path(post, path = "/u/{link}/note", operation_id = "write_note",
    params(("link" = String, Path, description = "The token of a link, or `-` if it is in `Authorization`.")),
    request_body(content(
        (NoteFields = "application/json"),
        (NoteFields = "application/x-www-form-urlencoded"),
        (NoteFields = "multipart/form-data"),
    )),
    responses(
        (status = 200, description = "The same text was sent before, and no other note is written.", body = api::SentNote),
        (status = 202, description = "The note will be on the ticket in a moment.", body = api::SentNote),
        (status = 409, description = "The ticket is closed."),
        (status = 422, description = "Fields are missing or wrong."),
    ))]
pub(crate) async fn post(request: PartnerRequest, body: Body) -> Result<Response, Problem> {
    let (request, mut fields) = if headers::is_type(&request.headers, "multipart/form-data")? {
        form::fields(request, body).await?
    } else {
        let fields = Fields::read(&request.headers, body).await?;
        (request, fields)
    };
    let text = fields.text("text", "Write what support should know.");
    if text.chars().count() > TEXT_CHARS_MAX {
        let detail = format!("It is longer than {TEXT_CHARS_MAX} characters. Send the rest as a file.");
        fields.wrong("text", &detail);
    }
    let named = fields.optional_line("ticket");
    fields.finish()?;
    let ticket = ticket::resolve(&request, named.as_deref()).await?;
    let (link, actor) = (&request.link, request.actor());
    let added =
        request.state.ledger.add_sender_note(&link.id, &link.partner_id, &ticket, &text, &actor).await?;
    let (id, repeated) = match added {
        NoteAdded::New(id) => (id, false),
        NoteAdded::Repeated(id) => (id, true),
        NoteAdded::TooMany(wait) => return Err(problem::too_many_notes(SENDER_NOTES_MAX, wait)),
    };
    request.state.wake.notify_one();
    let answer = match request.format {
        ResponseFormat::Html => {
            let (language, here) = (request.language, request.here());
            let page = page::NoteSentPage { language, ticket: &ticket, repeated, here: &here };
            html::response(language, page::html(&page))
        }
        _ => Json(api::SentNote { id, ticket, repeated, extra: api::Extra::default() }).into_response(),
    };
    let status = if repeated { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, [(CACHE_CONTROL, "no-store")], answer).into_response())
}

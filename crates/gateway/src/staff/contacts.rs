//! Contacts of a partner: the people who may open tickets.

use api::described::ContactFields;
use api::{Contact, ContactList};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use ledger::NewContact;

use super::extract::{Id, Staff, found, partner};
use crate::fields::Fields;
use crate::http::json::Json;
use crate::problem::{self, Problem};
use crate::state::AppState;
use crate::to_api;

/// Lists the contacts of a partner.
#[utoipa::path(get, path = "/api/v1/partners/{id}/contacts", operation_id = "list_contacts",
    params(("id" = String, Path, description = "The short name of a partner.")),
    responses(
        (status = 200, description = "Every contact.", body = ContactList),
        (status = 404, description = "No partner has this name."),
    ))]
pub(crate) async fn list(
    _: Staff,
    State(state): State<AppState>,
    Id(id): Id,
) -> Result<Json<ContactList>, Problem> {
    let partner = partner(&state, &id).await?;
    let contacts = state.ledger.contacts(Some(&partner.id)).await?;
    Ok(Json(ContactList { contacts: contacts.iter().map(to_api::contact).collect() }))
}

/// Adds a contact, or changes the one with this address.
#[utoipa::path(post, path = "/api/v1/partners/{id}/contacts", operation_id = "put_contact",
    params(("id" = String, Path, description = "The short name of a partner.")),
    request_body(content((ContactFields = "application/json"), (ContactFields = "application/x-www-form-urlencoded"))),
    responses(
        (status = 201, description = "The contact.", body = Contact),
        (status = 404, description = "No partner has this name."),
        (status = 422, description = "Fields are missing or wrong."),
    ))]
pub(crate) async fn create(
    staff: Staff,
    State(state): State<AppState>,
    Id(id): Id,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let partner = partner(&state, &id).await?;
    let mut fields = Fields::read(&headers, body).await?;
    let name = fields.line("name", "Write the person's name.");
    let email = fields.line("email", "Write the person's e-mail address.");
    if !email.is_empty() && !tickets::is_email(&email) {
        fields.wrong("email", "It is not an e-mail address.");
    }
    let slack_user_id = fields.optional_line("slack_user_id");
    fields.finish()?;
    let new = NewContact {
        partner_id: &partner.id,
        name: &name,
        email: &email,
        slack_user_id: slack_user_id.as_deref(),
    };
    let contact: Contact = to_api::contact(&state.ledger.put_contact(&new, &staff.actor()).await?);
    Ok((StatusCode::CREATED, Json(contact)).into_response())
}

/// Disables a contact, who opens no tickets any more.
#[utoipa::path(delete, path = "/api/v1/partners/{id}/contacts/{contact}", operation_id = "disable_contact",
    params(
        ("id" = String, Path, description = "The short name of a partner."),
        ("contact" = String, Path, description = "The id of a contact."),
    ),
    responses(
        (status = 204, description = "The contact is disabled."),
        (status = 404, description = "No partner has this name, or none of its contacts has this id."),
    ))]
pub(crate) async fn disable(
    staff: Staff,
    State(state): State<AppState>,
    Path((id, contact)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let partner = partner(&state, &id).await?;
    if !ledger::is_id(&contact) {
        return Err(problem::no_such_id("contact", &contact));
    }
    let done = state.ledger.disable_contact(&contact, Some(&partner.id), &staff.actor()).await;
    found("contact", &contact, done)?;
    Ok(StatusCode::NO_CONTENT)
}

//! What handlers for support take as arguments: the staff token, ids in the address, the query string, a JSON body.

use access::is_partner_id;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use ledger::{Partner, StaffToken};
use serde::de::DeserializeOwned;

use crate::headers;
use crate::http::places;
use crate::problem::{self, Problem};
use crate::state::AppState;

/// Someone with a valid staff token.
pub(crate) struct Staff(StaffToken);

impl Staff {
    /// Their name in the audit.
    pub(crate) fn actor(&self) -> String {
        format!("staff:{}", self.0.id)
    }
}

impl FromRequestParts<AppState> for Staff {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let hint = "Send a staff token as `Authorization: Bearer TOKEN`. An operator makes one with `weighbridge token create`.";
        let token = headers::token(&parts.headers).ok_or_else(|| problem::unauthorized(hint))?;
        match state.ledger.staff_token(&token).await {
            Ok(found) => {
                places::authenticated(&parts.extensions);
                Ok(Self(found))
            }
            Err(ledger::Error::NotFound) => Err(problem::unauthorized(hint)),
            Err(error) => Err(error.into()),
        }
    }
}

/// The one parameter in an address.
pub(crate) struct Id(pub(crate) String);

impl FromRequestParts<AppState> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(id) =
            path.map_err(|_| problem::bad_request("The id in the address is not UTF-8. Check it."))?;
        Ok(Self(id))
    }
}

impl Id {
    /// The id, without asking the ledger if it cannot be one of ours.
    pub(crate) fn of(&self, what: &str) -> Result<&str, Problem> {
        if ledger::is_id(&self.0) { Ok(&self.0) } else { Err(problem::no_such_id(what, &self.0)) }
    }
}

/// Names the id in the ledger's "not found".
pub(crate) fn found<T>(what: &str, id: &str, result: ledger::Result<T>) -> Result<T, Problem> {
    match result {
        Err(ledger::Error::NotFound) => Err(problem::no_such_id(what, id)),
        other => Ok(other?),
    }
}

/// The ticket that a filter names.
pub(crate) fn ticket_number(text: &str) -> Result<String, Problem> {
    let why = "`ticket` must be the number of a ticket, digits only.";
    desk::ticket_number(text).ok_or_else(|| problem::bad_request(why))
}

/// The ticket in an address.
pub(crate) fn ticket_in_path(text: &str) -> Result<String, Problem> {
    let why = "The address must have the number of a ticket, digits only.";
    desk::ticket_number(text).ok_or_else(|| problem::bad_request(why))
}

/// A time that a filter names, ms.
pub(crate) fn time(key: &str, text: Option<&str>) -> Result<Option<i64>, Problem> {
    let Some(text) = text else { return Ok(None) };
    ledger::parse_rfc3339(text).map(Some).ok_or_else(|| {
        problem::bad_request(&format!("`{key}` must be a time such as 2026-11-22T00:00:00Z (RFC 3339)."))
    })
}

/// The partner that an address or a filter names.
pub(crate) async fn partner(state: &AppState, id: &str) -> Result<Partner, Problem> {
    let unknown = || {
        let detail =
            format!("No partner is called `{}`. `GET /api/v1/partners` lists them.", id.escape_debug());
        problem::not_found().with_detail(detail)
    };
    if !is_partner_id(id) {
        return Err(unknown());
    }
    match state.ledger.partner(id).await {
        Err(ledger::Error::NotFound) => Err(unknown()),
        other => Ok(other?),
    }
}

/// The query string. Unknown parameters are refused.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<AppState> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        let Query(params) = Query::try_from_uri(&parts.uri)
            .map_err(|rejection| problem::bad_request(&format!("{}.", rejection.body_text())))?;
        Ok(Self(params))
    }
}

/// A JSON body.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<AppState> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let malformed = |rejection: JsonRejection| match rejection {
            JsonRejection::JsonDataError(error) => wrong_field(&error.body_text()),
            other => problem::bad_request(&format!("The body is not JSON: {}.", other.body_text())),
        };
        let axum::Json(body) = axum::Json::from_request(request, state).await.map_err(malformed)?;
        Ok(Self(body))
    }
}

/// The field that the parser names in backticks, and what it says.
fn wrong_field(said: &str) -> Problem {
    // The prefix is axum's own and names no field.
    let said = said.split_once("type: ").map_or(said, |(_, said)| said);
    let field = match said.split_once('`').and_then(|(_, rest)| rest.split_once('`')) {
        Some((field, _)) => field,
        None => said.split_once(':').map_or("body", |(path, _)| path),
    };
    problem::bad_field(field.trim(), &format!("{said}."))
}

//! The support side: a JSON API behind staff tokens. Every read of content, every link made or revoked and every removal
//! is in the audit.

mod content;
mod download;
mod links;
mod partners;
mod uploads;

pub(crate) use links::{Asked, describe as describe_link, make as make_link};

use axum::Router;
use axum::extract::{FromRequestParts, Query, rejection::JsonRejection};
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ledger::{Partner, StaffToken};
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::headers::{self, Wanted};
use crate::listen::authenticated;
use crate::problem::{self, Problem};

/// Largest body of a request here: a link's description.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/uploads", get(uploads::list))
        .route("/uploads/{id}", get(uploads::show).delete(uploads::remove))
        .route("/uploads/{id}/content", get(content::content))
        .route("/partners", get(partners::list))
        .route("/partners/{id}", get(partners::show))
        .route("/partners/{id}/objects", get(partners::objects))
        .route("/links", get(links::list).post(links::create))
        .route("/links/{id}", get(links::show).delete(links::revoke))
        .fallback(|| async { Refusal(problem::not_found()) })
        .layer(axum::middleware::map_response(always_problem))
}

/// What the framework refuses by itself (a method, an address that cannot be decoded), as problem details, too.
async fn always_problem(response: Response) -> Response {
    let status = response.status();
    let refused = status.is_client_error() || status.is_server_error();
    let told = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    if !refused || told {
        return response;
    }
    let title = status.canonical_reason().unwrap_or("Refused");
    let mut answer =
        Problem::new(status, "about:blank", title, "The address or the method is not one of this API.")
            .answer(Wanted::Json);
    answer.headers_mut().extend(response.headers().get(ALLOW).map(|allow| (ALLOW, allow.clone())));
    answer
}

/// Somebody with a valid staff token.
pub(crate) struct Staff(StaffToken);

impl Staff {
    /// As the audit names them.
    pub(crate) fn actor(&self) -> String {
        format!("staff:{}", self.0.id)
    }
}

impl FromRequestParts<App> for Staff {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let hint = "Send a staff token as `Authorization: Bearer TOKEN`; an operator makes one with `weighbridge token create`.";
        let token = headers::token(&parts.headers).ok_or_else(|| problem::unauthorized(hint))?;
        match app.ledger.staff_token(&token).await {
            Ok(found) => {
                authenticated(&parts.extensions);
                Ok(Self(found))
            }
            Err(ledger::Error::NotFound) => Err(problem::unauthorized(hint).into()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The query string, refused where it holds what is not asked for here.
pub(crate) struct Params<T>(T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        let Query(wanted) = Query::try_from_uri(&parts.uri)
            .map_err(|rejection| problem::bad_request(&format!("{}.", rejection.body_text())))?;
        Ok(Self(wanted))
    }
}

/// An identifier out of an address; what cannot be one of ours is of nothing, and no ledger is asked.
fn known(id: &str) -> Result<&str, Refusal> {
    if ledger::is_id(id) { Ok(id) } else { Err(problem::no_such_thing().into()) }
}

/// The partner that an address or a filter names.
async fn partner(app: &App, id: &str) -> Result<Partner, Refusal> {
    let nobody = || {
        problem::no_such_thing().saying(format!(
            "There is no partner `{}`. `GET /api/v1/partners` lists them.",
            id.escape_debug()
        ))
    };
    if !crate::partners::is_partner_id(id) {
        return Err(nobody().into());
    }
    match app.ledger.partner(id).await {
        Err(ledger::Error::NotFound) => Err(nobody().into()),
        other => Ok(other?),
    }
}

/// A refusal on this side: always problem details, for a program reads it.
pub(crate) struct Refusal(Problem);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<ledger::Error> for Refusal {
    fn from(error: ledger::Error) -> Self {
        upload::Error::from(error).into()
    }
}

impl From<bucket::Error> for Refusal {
    fn from(error: bucket::Error) -> Self {
        Self(error.into())
    }
}

impl From<upload::Error> for Refusal {
    fn from(error: upload::Error) -> Self {
        match error {
            upload::Error::NotFound => Self(problem::no_such_thing()),
            other => Self(other.into()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.0.answer(Wanted::Json)
    }
}

fn malformed(rejection: &JsonRejection) -> Problem {
    problem::bad_request(&format!("The body is not the JSON expected here: {}.", rejection.body_text()))
}

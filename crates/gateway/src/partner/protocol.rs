//! Which protocol a request speaks, and what it says in it. The parsers below are pure: headers in, a `Creation` or an
//! [`Append`] out; the verbs beside this file act on them.

pub(super) mod creation;
mod plain;
pub(super) mod rufh;
pub(super) mod tus;

use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use upload::Append;

use super::cors;
use crate::headers;
use crate::problem::{self, Problem};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `Content-Range` or `Upload-Offset`, with plain curl.
    Plain,
    /// tus 1.0.
    Tus,
    /// Resumable uploads for HTTP (draft-ietf-httpbis-resumable-upload).
    Rufh,
}

impl Protocol {
    /// By a header that each protocol requires, or by the media type of a part.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(if headers.contains_key("tus-resumable") {
            Self::Tus
        } else if headers::resumable::complete(headers)?.is_some()
            || headers.contains_key(rufh::INTEROP)
            || headers::is_type(headers, rufh::PARTIAL)?
        {
            Self::Rufh
        } else {
            Self::Plain
        })
    }

    /// What a request says about the bytes that it appends.
    pub(super) fn append(
        self,
        method: &Method,
        headers: &HeaderMap,
        max_bytes: u64,
    ) -> Result<Append, Problem> {
        match self {
            Self::Tus => tus::append(headers, max_bytes),
            Self::Rufh => rufh::append(method, headers, max_bytes),
            Self::Plain => plain::append(method, headers, max_bytes),
        }
    }
}

/// The method that a client means, if a proxy lets only `POST` through. In tus the header always counts; otherwise only where
/// it makes sense.
fn overridden(method: &Method, headers: &HeaderMap) -> Result<Option<Method>, Problem> {
    let Some(name) = headers::text(headers, "x-http-method-override")? else { return Ok(None) };
    let makes_sense = *method == Method::POST && ["PATCH", "DELETE", "HEAD"].contains(&name);
    if !makes_sense && !headers.contains_key("tus-resumable") {
        return Ok(None);
    }
    let why = "The header X-HTTP-Method-Override contains no method. Write `PATCH`, or leave it out.";
    Method::from_bytes(name.as_bytes()).map(Some).map_err(|_| problem::bad_request(why))
}

/// Gives a request the method that its client means. [`sign`] refuses a header that cannot be read.
pub(crate) async fn override_method(mut request: Request, next: Next) -> Response {
    let below_link = request.uri().path().starts_with("/u/");
    let meant = overridden(request.method(), request.headers()).ok().flatten().filter(|_| below_link);
    let Some(meant) = meant else { return next.run(request).await };
    let is_head = meant == Method::HEAD && *request.method() != Method::HEAD;
    *request.method_mut() = meant;
    let mut response = next.run(request).await;
    // On the wire this answers no HEAD, so it must not announce the body that was left out.
    if is_head {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    response
}

/// What the answer to a request carries, whatever it says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signature {
    is_tus: bool,
    is_rufh: bool,
}

impl Signature {
    /// The headers that it depends on.
    pub(crate) const HEADERS: [&str; 4] = ["tus-resumable", "upload-complete", rufh::INTEROP, "content-type"];

    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Self {
        let is_tus = headers.contains_key("tus-resumable");
        Self { is_tus, is_rufh: rufh::is_sending(method, headers) }
    }

    pub(crate) fn sign(self, status: StatusCode, headers: &mut HeaderMap) {
        if self.is_rufh && (status.is_client_error() || status.is_server_error()) {
            rufh::sign_refusal(headers);
        }
        if self.is_tus {
            tus::sign(headers);
        }
    }
}

/// Adds what every answer below a link carries: permission for browsers, and the headers of the request's protocol.
pub(crate) async fn sign(request: Request, next: Next) -> Response {
    let readable = overridden(request.method(), request.headers());
    let signature = Signature::of(request.method(), request.headers());
    let mut response = match readable {
        Ok(_) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    signature.sign(response.status(), response.headers_mut());
    cors::expose(response.headers_mut());
    response
}

//! `POST uploads`, and `Upload-Complete` on other creations: a new upload by the rules of a protocol for resuming.

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::Response;
use upload::Create;

use super::append;
use super::how_to_send::check_creation;
use super::idempotency::{self, Created};
use super::protocol::creation::Creation;
use super::protocol::{Protocol, rufh, tus};
use super::request::PartnerRequest;
use super::response::{appended, set};
use super::{ask, nfr, ticket};
use crate::file_name;
use crate::headers::resumable;
use crate::problem::{self, Problem};

pub(crate) async fn post(request: PartnerRequest, body: Body) -> Result<Response, Problem> {
    check_creation(&request)?;
    let protocol = Protocol::of(&request.headers)?;
    let creation = match protocol {
        Protocol::Tus => tus::creation(&request.headers, request.max_bytes())?,
        Protocol::Rufh => rufh::creation(&request.headers, request.max_bytes())?,
        Protocol::Plain => {
            return Err(problem::bad_request(
                "Name the protocol: send `Tus-Resumable: 1.0.0` (tus) or `Upload-Complete: ?0` (IETF resumable uploads). \
                 To send a file as it is, use PUT (`curl -T NAME`).",
            ));
        }
    };
    create(&request, protocol, creation, body).await
}

/// `PUT` or `POST` at another address with `Upload-Complete`. A name in the address wins over one in the headers.
pub(super) async fn rufh(request: &PartnerRequest, body: Body) -> Result<Response, Problem> {
    let mut creation = rufh::creation(&request.headers, request.max_bytes())?;
    if let Some(segment) = request.segment() {
        creation.name = Some(file_name::decode(segment)?);
    }
    create(request, Protocol::Rufh, creation, body).await
}

async fn create(
    request: &PartnerRequest,
    protocol: Protocol,
    creation: Creation,
    body: Body,
) -> Result<Response, Problem> {
    nfr::check_query(request)?;
    let mut ask = ask::in_query(request)?;
    if protocol == Protocol::Tus {
        if let Some(said) = resumable::metadata(&request.headers, &["ask"])? {
            ask = ask::check(Some(said))?;
        }
        nfr::check(request, resumable::metadata(&request.headers, &["nfr"])?.as_deref())?;
    }
    let content_type = creation.content_type.as_deref();
    let name = match &creation.name {
        Some(name) => file_name::check(name)?,
        None => file_name::generate(content_type, ledger::now_ms()),
    };
    let ticket = ticket::resolve(request, None).await?;
    let new = Create {
        link: &request.link,
        ticket: &ticket,
        name: &name,
        content_type: &file_name::content_type(content_type, &name),
        length: creation.length,
        resumable: true,
        begins_with_body: false,
        digests: &creation.digests,
        tus_metadata: creation.tus_metadata.as_deref(),
        ask: ask.as_deref(),
    };
    let created = if creation.once {
        match idempotency::create_once(request, &new, creation.name.is_none()).await? {
            Created::Now(created) => created,
            Created::Before(created) => {
                return Ok(appended(request, protocol, StatusCode::CREATED, &created));
            }
        }
    } else {
        request.state.uploads.create(&new).await?
    };
    let Some(append) = creation.append else {
        return Ok(appended(request, protocol, StatusCode::CREATED, &created));
    };
    let mut response = append::run(request, protocol, &created, append, body).await?;
    *response.status_mut() = StatusCode::CREATED;
    if !response.headers().contains_key(LOCATION) {
        set(response.headers_mut(), "location", &request.location(&created.id));
    }
    Ok(response)
}

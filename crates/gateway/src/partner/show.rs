//! An upload as a resource of its link: receipt, offset, list. It is looked up through the link, so another partner's upload
//! does not exist here.

use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use ledger::{Filter, Right, State, Upload};

use super::protocol::Protocol;
use super::request::{PartnerRequest, UploadRequest};
use super::response::{receipt, set, state_headers};
use super::unfinished;
use crate::accept::ResponseFormat;
use crate::headers::resumable;
use crate::http::json::Json;
use crate::problem::{self, Problem};
use crate::{file_name, to_api};

pub(crate) async fn show(UploadRequest(request): UploadRequest) -> Result<Response, Problem> {
    let upload = request.state.uploads.status(&request.link.id, request.upload_id()).await?;
    let upload = settled(&request, upload).await?;
    if request.format == ResponseFormat::Html {
        return Ok(receipt(&request, StatusCode::OK, &upload));
    }
    let mut response = Json(to_api::receipt(&upload)).into_response();
    state_headers(&request, Protocol::Plain, &upload, response.headers_mut());
    Ok(response)
}

pub(crate) async fn head(UploadRequest(request): UploadRequest) -> Result<Response, Problem> {
    let upload = request.state.uploads.status(&request.link.id, request.upload_id()).await?;
    offset(&request, upload).await
}

/// `HEAD {name}`.
pub(crate) async fn head_named(request: PartnerRequest) -> Result<Response, Problem> {
    let length = resumable::length(&request.headers)?;
    let name = file_name::from_segment(request.segment().unwrap_or_default())?;
    let upload = unfinished::by_name(&request, &name, length).await?;
    offset(&request, upload).await
}

/// What the ledger says, without a call to a bucket.
async fn offset(request: &PartnerRequest, upload: Upload) -> Result<Response, Problem> {
    let upload = settled(request, upload).await?;
    let protocol = Protocol::of(&request.headers)?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    state_headers(request, protocol, &upload, headers);
    set(headers, "location", &request.location(&upload.id));
    if protocol == Protocol::Tus {
        if let Some(metadata) = &upload.tus_metadata {
            set(headers, "upload-metadata", metadata);
        }
        *response.status_mut() = StatusCode::OK;
    }
    Ok(response)
}

/// The upload for a client that asks where to resume. In a protocol for resuming, the client has lost its older request, so that
/// is ended: it would otherwise move the offset past the one told here (section 4.6 of the draft). Plain curl may be just
/// watching, and ends nothing.
async fn settled(request: &PartnerRequest, upload: Upload) -> Result<Upload, Problem> {
    if upload.state != State::Open || Protocol::of(&request.headers)? == Protocol::Plain {
        return Ok(upload);
    }
    request.state.uploads.halt(&upload.id).await?;
    Ok(request.state.uploads.status(&request.link.id, &upload.id).await?)
}

pub(crate) async fn list(request: PartnerRequest) -> Result<Response, Problem> {
    if !request.link.allows(Right::List) {
        return Err(problem::not_allowed("list what was sent"));
    }
    let filter = Filter {
        link_id: Some(request.link.id.clone()),
        state: Some(State::Complete),
        before: request.query("cursor").map(|cursor| to_api::page_cursor(&cursor)).transpose()?,
        limit: to_api::PAGE_UPLOADS,
        ..Filter::default()
    };
    if filter.before.is_none() {
        request.state.ledger.record(&request.actor(), "link.list", &request.link.id, "").await?;
    }
    let uploads = request.state.ledger.uploads(&filter).await?;
    let mut response = Json(to_api::page(&uploads)).into_response();
    response.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
    Ok(response)
}

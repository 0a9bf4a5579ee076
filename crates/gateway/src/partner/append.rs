//! Appends a request's body to an upload, whatever protocol its sender speaks, and answers.

use axum::body::Body;
use axum::http::{HeaderName, StatusCode};
use axum::response::Response;
use ledger::{State, Upload};
use upload::{Append, End};

use super::protocol::{Protocol, rufh, tus};
use super::request::PartnerRequest;
use super::response::{appended, resume_command, unsigned};
use crate::headers::http_date;
use crate::http::request_body::RateLimitedBody;
use crate::problem::{self, Problem};

/// Runs in a task of its own, which continues if the client has sent everything and left.
pub(super) async fn run(
    request: &PartnerRequest,
    protocol: Protocol,
    upload: &Upload,
    append: Append,
    body: Body,
) -> Result<Response, Problem> {
    let is_whole = append.offset == 0 && append.end == End::Body;
    let mut body = RateLimitedBody::new(body, is_whole, &request.state.limits);
    let (uploads, id) = (request.state.uploads.clone(), upload.id.clone());
    let task = request.state.uploads.spawn({
        let append = append.clone();
        async move { uploads.append(&id, &append, &mut body).await }
    });
    let result = task.await.map_err(|error| upload::Error::Internal(format!("append: {error}")))?;
    match result {
        Ok(now) => Ok(appended(request, protocol, StatusCode::NO_CONTENT, &now)),
        Err(error) => {
            // An older request, which this one repeats, may have ended the upload meanwhile.
            if matches!(error, upload::Error::Gone)
                && let Ok(now) = request.state.uploads.status(&request.link.id, &upload.id).await
                && now.state != State::Open
            {
                return ended(request, protocol, &now, &append);
            }
            Err(refusal(request, protocol, &upload.id, append.offset, error).await)
        }
    }
}

/// An engine's error as the protocol states it, with the durable offset and how to resume if the upload can be resumed.
pub(super) async fn refusal(
    request: &PartnerRequest,
    protocol: Protocol,
    id: &str,
    offset: u64,
    error: upload::Error,
) -> Problem {
    let broke_off = matches!(error, upload::Error::Interrupted { .. } | upload::Error::TooSlow { .. });
    // Sending the same bytes again would exceed it again.
    let exceeds = match &error {
        upload::Error::TooLarge { .. } => true,
        upload::Error::LengthMismatch { declared, actual } => actual > declared,
        _ => false,
    };
    let mut problem = match &error {
        upload::Error::OffsetMismatch { expected } if protocol == Protocol::Rufh => {
            rufh::mismatch(unsigned(*expected), offset)
        }
        _ => Problem::from(error),
    };
    if protocol == Protocol::Tus {
        problem = tus::in_tus(problem);
    }
    match request.state.uploads.status(&request.link.id, id).await {
        Ok(now) if now.state == State::Open && now.resumable => {
            let hint = if exceeds {
                "The bytes before these are kept. To start over, cancel the upload first (DELETE on its address).".to_owned()
            } else {
                format!("To resume: {}", resume_command(request, &now))
            };
            let problem = problem.with_resume_hint(now.offset, &request.location(id), &hint);
            with_expiry(request, protocol, &now, problem)
        }
        _ if broke_off => problem.with_advice("Nothing was kept. Send the file again."),
        _ => problem,
    }
}

/// Adds the time that tus wants in every answer to a `PATCH` of an upload that will expire.
pub(super) fn with_expiry(
    request: &PartnerRequest,
    protocol: Protocol,
    upload: &Upload,
    problem: Problem,
) -> Problem {
    if protocol != Protocol::Tus || upload.state != State::Open {
        return problem;
    }
    let expires = http_date(request.state.uploads.expires_at(upload));
    problem.header(HeaderName::from_static("upload-expires"), &expires)
}

/// The answer to an append to an upload that has ended: the receipt again, if nothing is missing.
pub(super) fn ended(
    request: &PartnerRequest,
    protocol: Protocol,
    upload: &Upload,
    append: &Append,
) -> Result<Response, Problem> {
    let length = upload.length.unwrap_or_default();
    let (declared, offset) = (unsigned(length), append.offset);
    let is_whole = offset == declared;
    match upload.state {
        State::Complete if is_whole && append.body_bytes != Some(0) && protocol != Protocol::Plain => {
            let actual = offset.saturating_add(append.body_bytes.unwrap_or(1));
            Err(upload::Error::LengthMismatch { declared, actual }.into())
        }
        State::Complete if is_whole || protocol == Protocol::Plain => {
            Ok(appended(request, protocol, StatusCode::NO_CONTENT, upload))
        }
        State::Complete if protocol == Protocol::Rufh => Err(rufh::mismatch(declared, offset)),
        State::Complete => Err(upload::Error::OffsetMismatch { expected: length }.into()),
        _ => {
            let retry_after = std::time::Duration::from_secs(2);
            Err(problem::unavailable("This file is being stored right now.", retry_after))
        }
    }
}
